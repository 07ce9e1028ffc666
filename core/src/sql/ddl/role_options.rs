//! The attributes of CREATE ROLE and ALTER ROLE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::Context;
use super::super::cursor::Cursor;
use super::forms::name;
use super::scram;
use crate::catalog::Role;
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, PgType, text};

/// What a statement says about a role; `None` is what it does not mention.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleOptions {
    pub superuser: Option<bool>,
    pub create_db: Option<bool>,
    pub create_role: Option<bool>,
    pub inherit: Option<bool>,
    pub login: Option<bool>,
    /// The inner `None` is PASSWORD NULL.
    pub password: Option<Option<String>>,
    pub connection_limit: Option<i32>,
    /// A timestamp, as written.
    pub valid_until: Option<String>,
    /// IN ROLE: what it becomes a member of.
    pub of: Vec<String>,
    /// ROLE: who becomes a member of it.
    pub members: Vec<String>,
    /// ADMIN: members who may add others.
    pub admins: Vec<String>,
}

impl RoleOptions {
    /// Reads options in any order until the end. CREATE takes memberships too.
    pub(super) fn parse(cursor: &mut Cursor<'_>, create: bool) -> Result<Self> {
        let mut out = RoleOptions::default();
        cursor.keyword("WITH");
        while !cursor.is_end() {
            if out.flag(cursor)? {
                continue;
            }
            if cursor.keywords(&["PASSWORD", "NULL"]) {
                once(&mut out.password, None)?;
            } else if cursor.keyword("PASSWORD") || cursor.keywords(&["ENCRYPTED", "PASSWORD"]) {
                let text = cursor.string().ok_or_else(|| cursor.unexpected())?;
                once(&mut out.password, Some(text))?;
            } else if cursor.keywords(&["CONNECTION", "LIMIT"]) {
                let text = cursor.number().ok_or_else(|| cursor.unexpected())?;
                let limit = text.parse::<i32>().ok().filter(|limit| *limit >= -1);
                let limit = limit.ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid connection limit: {text}"),
                    )
                })?;
                once(&mut out.connection_limit, limit)?;
            } else if cursor.keywords(&["VALID", "UNTIL"]) {
                let text = cursor.string().ok_or_else(|| cursor.unexpected())?;
                once(&mut out.valid_until, text)?;
            } else if create
                && (cursor.keywords(&["IN", "ROLE"]) || cursor.keywords(&["IN", "GROUP"]))
            {
                out.of.extend(names(cursor)?);
            } else if create && (cursor.keyword("ROLE") || cursor.keyword("USER")) {
                out.members.extend(names(cursor)?);
            } else if create && cursor.keyword("ADMIN") {
                out.admins.extend(names(cursor)?);
            } else if create && cursor.keyword("SYSID") {
                // PostgreSQL reads it and takes no notice, and says so.
                cursor.number().ok_or_else(|| cursor.unexpected())?;
            } else {
                return Err(cursor.unexpected());
            }
        }
        Ok(out)
    }

    /// Reads an attribute that is there or not.
    fn flag(&mut self, cursor: &mut Cursor<'_>) -> Result<bool> {
        for (word, slot) in [
            ("SUPERUSER", &mut self.superuser),
            ("CREATEDB", &mut self.create_db),
            ("CREATEROLE", &mut self.create_role),
            ("INHERIT", &mut self.inherit),
            ("LOGIN", &mut self.login),
        ] {
            if cursor.keyword(word) {
                once(slot, true)?;
                return Ok(true);
            }
            if cursor.keyword(&format!("NO{word}")) {
                once(slot, false)?;
                return Ok(true);
            }
        }
        // What no role has.
        if cursor.keyword("NOREPLICATION") || cursor.keyword("NOBYPASSRLS") {
            return Ok(true);
        }
        for (word, hint) in [
            ("REPLICATION", "Copy the data with COPY."),
            ("BYPASSRLS", "There is no row level security to bypass."),
        ] {
            if cursor.keyword(word) {
                return Err(Error::unsupported(
                    format!("the role attribute {word}"),
                    hint,
                ));
            }
        }
        Ok(false)
    }

    /// Whether it says nothing but a password.
    pub(super) fn is_password(&self) -> bool {
        let only = RoleOptions {
            password: self.password.clone(),
            ..RoleOptions::default()
        };
        *self == only
    }

    pub(super) fn apply(&self, context: &Context<'_>, role: &mut Role) -> Result<()> {
        for (given, slot) in [
            (self.superuser, &mut role.superuser),
            (self.create_db, &mut role.create_db),
            (self.create_role, &mut role.create_role),
            (self.inherit, &mut role.inherit),
            (self.login, &mut role.login),
        ] {
            if let Some(given) = given {
                *slot = given;
            }
        }
        if let Some(limit) = self.connection_limit {
            role.connection_limit = limit;
        }
        if let Some(until) = &self.valid_until {
            match text::parse(PgType::TIMESTAMPTZ, until, &context.info.style)? {
                Datum::Timestamptz(until) => role.valid_until = Some(until),
                _ => return Err(Error::internal("a timestamp is none")),
            }
        }
        match &self.password {
            None => {}
            Some(Some(password)) if !password.is_empty() => {
                let entropy = context.engine.env.entropy.as_ref();
                role.verifier = Some(scram::verifier(password, entropy)?);
            }
            // An empty password lets nobody in; PostgreSQL stores none.
            Some(_) => role.verifier = None,
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "conflicting or redundant options",
        ));
    }
    Ok(())
}

/// Names of roles, separated by commas.
pub(super) fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = vec![name(cursor)?];
    while cursor.token(&Token::Comma) {
        names.push(name(cursor)?);
    }
    Ok(names)
}
