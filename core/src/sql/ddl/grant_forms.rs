//! GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, REASSIGN OWNED and DROP OWNED, read from their tokens.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::cursor::Cursor;
use super::forms::{Form, name, qualified};
use super::membership::Members;
use super::owned::Owned;
use super::role_options::names;
use crate::catalog::{Kind, Privileges, QualifiedName};
use crate::error::{Error, Result, SqlState};

/// GRANT or REVOKE of privileges.
#[derive(Clone, Debug)]
pub struct Grant {
    pub revoke: bool,
    /// WITH GRANT OPTION, or GRANT OPTION FOR.
    pub option: bool,
    pub privileges: Wanted,
    pub target: Target,
    pub grantees: Vec<Grantee>,
    pub granted_by: Option<String>,
    pub cascade: bool,
}

/// The privileges of a statement.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// ALL [PRIVILEGES], perhaps of some columns.
    All(Vec<String>),
    /// Each with the columns that it is for.
    These(Vec<(String, Vec<String>)>),
}

/// What they are for.
#[derive(Clone, Debug)]
pub enum Target {
    /// Tables, views and (as PostgreSQL allows) sequences.
    Tables(Vec<QualifiedName>),
    Sequences(Vec<QualifiedName>),
    /// All relations of a kind in these schemas.
    AllIn(Kind, Vec<String>),
    Schemas(Vec<String>),
    Databases(Vec<String>),
}

#[derive(Clone, Debug)]
pub enum Grantee {
    Public,
    Role(String),
}

/// ALTER DEFAULT PRIVILEGES.
#[derive(Clone, Debug)]
pub struct DefaultPrivileges {
    /// Whose new objects it is about; empty means the current role's.
    pub roles: Vec<String>,
    pub schemas: Vec<String>,
    pub kind: Kind,
    pub revoke: bool,
    pub option: bool,
    pub privileges: Wanted,
    pub grantees: Vec<Grantee>,
    pub cascade: bool,
}

/// Reads one of these statements; `None` when it is another.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Form>> {
    if cursor.keyword("GRANT") {
        return grant(cursor, false).map(Some);
    }
    if cursor.keyword("REVOKE") {
        return grant(cursor, true).map(Some);
    }
    if cursor.keywords(&["ALTER", "DEFAULT", "PRIVILEGES"]) {
        return default_privileges(cursor).map(Some);
    }
    if cursor.keywords(&["REASSIGN", "OWNED", "BY"]) {
        let roles = names(cursor)?;
        cursor.expect_keyword("TO")?;
        let to = name(cursor)?;
        return Ok(Some(Form::Owned(Owned::Reassign { roles, to })));
    }
    if cursor.keywords(&["DROP", "OWNED", "BY"]) {
        let roles = names(cursor)?;
        let cascade = cascade(cursor);
        return Ok(Some(Form::Owned(Owned::Drop { roles, cascade })));
    }
    Ok(None)
}

fn cascade(cursor: &mut Cursor<'_>) -> bool {
    cursor.keyword("CASCADE") || {
        cursor.keyword("RESTRICT");
        false
    }
}

fn grant(cursor: &mut Cursor<'_>, revoke: bool) -> Result<Form> {
    let mut option = revoke && cursor.keywords(&["GRANT", "OPTION", "FOR"]);
    let mut admin = revoke && !option && cursor.keywords(&["ADMIN", "OPTION", "FOR"]);
    let privileges = wanted(cursor)?;
    let of_roles = admin || !cursor.keyword("ON");
    let target = match of_roles {
        true => None,
        false => Some(target(cursor)?),
    };
    cursor.expect_keyword(if revoke { "FROM" } else { "TO" })?;
    let grantees = grantees(cursor)?;
    if !revoke {
        if target.is_some() {
            option = cursor.keywords(&["WITH", "GRANT", "OPTION"]);
        } else {
            admin = cursor.keywords(&["WITH", "ADMIN", "OPTION"]);
        }
    }
    let granted_by = match cursor.keywords(&["GRANTED", "BY"]) {
        true => Some(name(cursor)?),
        false => None,
    };
    let cascade = revoke && cascade(cursor);
    let Some(target) = target else {
        let Wanted::These(list) = privileges else {
            return Err(cursor.unexpected());
        };
        let mut roles = Vec::with_capacity(list.len());
        for (role, columns) in list {
            if !columns.is_empty() {
                return Err(Error::new(
                    SqlState::INVALID_GRANT_OPERATION,
                    "column names cannot be included in GRANT/REVOKE ROLE",
                ));
            }
            roles.push(role);
        }
        let mut members = Vec::with_capacity(grantees.len());
        for grantee in grantees {
            match grantee {
                Grantee::Role(role) => members.push(role),
                Grantee::Public => {
                    return Err(Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        "role \"public\" does not exist",
                    ));
                }
            }
        }
        return Ok(Form::Members(Members {
            revoke,
            roles,
            members,
            admin,
            granted_by,
        }));
    };
    Ok(Form::Grant(Grant {
        revoke,
        option,
        privileges,
        target,
        grantees,
        granted_by,
        cascade,
    }))
}

fn wanted(cursor: &mut Cursor<'_>) -> Result<Wanted> {
    if cursor.keyword("ALL") {
        cursor.keyword("PRIVILEGES");
        return Ok(Wanted::All(columns(cursor)?));
    }
    let mut list = Vec::new();
    loop {
        let word = name(cursor)?;
        list.push((word, columns(cursor)?));
        if !cursor.token(&Token::Comma) {
            return Ok(Wanted::These(list));
        }
    }
}

fn columns(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    if !cursor.token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let columns = names(cursor)?;
    cursor.expect(&Token::RParen)?;
    Ok(columns)
}

fn target(cursor: &mut Cursor<'_>) -> Result<Target> {
    if cursor.keyword("ALL") {
        let kind = if cursor.keyword("TABLES") {
            Kind::Table
        } else if cursor.keyword("SEQUENCES") {
            Kind::Sequence
        } else if let Some(word) = ["FUNCTIONS", "PROCEDURES", "ROUTINES"]
            .iter()
            .find(|word| cursor.keyword(word))
        {
            return Err(refused(word));
        } else {
            return Err(cursor.unexpected());
        };
        cursor.expect_keyword("IN")?;
        cursor.expect_keyword("SCHEMA")?;
        return Ok(Target::AllIn(kind, names(cursor)?));
    }
    if cursor.keyword("SEQUENCE") {
        return Ok(Target::Sequences(relations(cursor)?));
    }
    if cursor.keyword("SCHEMA") {
        return Ok(Target::Schemas(names(cursor)?));
    }
    if cursor.keyword("DATABASE") {
        return Ok(Target::Databases(names(cursor)?));
    }
    // These words begin another kind of object only when a name follows.
    for word in [
        "DOMAIN",
        "FOREIGN",
        "FUNCTION",
        "LANGUAGE",
        "LARGE",
        "PARAMETER",
        "PROCEDURE",
        "ROUTINE",
        "TABLESPACE",
        "TYPE",
    ] {
        let mark = cursor.mark();
        if cursor.keyword(word) {
            if matches!(cursor.peek(), Some(Token::Word(next))
                if !["to", "from"].contains(&next.value.to_lowercase().as_str()))
            {
                return Err(refused(word));
            }
            cursor.back(mark);
        }
    }
    cursor.keyword("TABLE");
    Ok(Target::Tables(relations(cursor)?))
}

fn refused(word: &str) -> Error {
    Error::unsupported(
        format!("a privilege on {}", word.to_lowercase()),
        "Privileges are for tables, columns, sequences, schemas and the database.",
    )
}

fn relations(cursor: &mut Cursor<'_>) -> Result<Vec<QualifiedName>> {
    let mut list = vec![qualified(cursor)?];
    while cursor.token(&Token::Comma) {
        list.push(qualified(cursor)?);
    }
    Ok(list)
}

fn grantees(cursor: &mut Cursor<'_>) -> Result<Vec<Grantee>> {
    let mut list = Vec::new();
    loop {
        cursor.keyword("GROUP");
        list.push(if cursor.keyword("PUBLIC") {
            Grantee::Public
        } else {
            match name(cursor)?.as_str() {
                "public" => Grantee::Public,
                name => Grantee::Role(name.to_owned()),
            }
        });
        if !cursor.token(&Token::Comma) {
            return Ok(list);
        }
    }
}

fn default_privileges(cursor: &mut Cursor<'_>) -> Result<Form> {
    let (mut roles, mut schemas) = (Vec::new(), Vec::new());
    loop {
        if cursor.keywords(&["FOR", "ROLE"]) || cursor.keywords(&["FOR", "USER"]) {
            roles.extend(names(cursor)?);
        } else if cursor.keywords(&["IN", "SCHEMA"]) {
            schemas.extend(names(cursor)?);
        } else {
            break;
        }
    }
    let revoke = cursor.keyword("REVOKE");
    if !revoke {
        cursor.expect_keyword("GRANT")?;
    }
    let mut option = revoke && cursor.keywords(&["GRANT", "OPTION", "FOR"]);
    let privileges = wanted(cursor)?;
    cursor.expect_keyword("ON")?;
    let kind = if cursor.keyword("TABLES") {
        Kind::Table
    } else if cursor.keyword("SEQUENCES") {
        Kind::Sequence
    } else if cursor.keyword("SCHEMAS") {
        Kind::Schema
    } else if let Some(word) = ["FUNCTIONS", "ROUTINES", "TYPES"]
        .iter()
        .find(|word| cursor.keyword(word))
    {
        return Err(refused(word));
    } else {
        return Err(cursor.unexpected());
    };
    cursor.expect_keyword(if revoke { "FROM" } else { "TO" })?;
    let grantees = grantees(cursor)?;
    if !revoke {
        option = cursor.keywords(&["WITH", "GRANT", "OPTION"]);
    }
    let cascade = revoke && cascade(cursor);
    Ok(Form::DefaultPrivileges(DefaultPrivileges {
        roles,
        schemas,
        kind,
        revoke,
        option,
        privileges,
        grantees,
        cascade,
    }))
}

impl Wanted {
    /// The privileges on whole objects of a kind, and those on columns.
    ///
    /// # Errors
    /// 0LP01 for a privilege that the kind does not have, 42601 for an unknown one.
    pub(super) fn resolve(&self, kind: Kind) -> Result<(Privileges, Vec<(Privileges, &str)>)> {
        let mut whole = Privileges::NONE;
        let mut columns: Vec<(Privileges, &str)> = Vec::new();
        match self {
            Wanted::All(names) if names.is_empty() => whole = Privileges::all(kind),
            Wanted::All(names) => {
                let all = Privileges::all(Kind::Column);
                columns.extend(names.iter().map(|name| (all, name.as_str())));
            }
            Wanted::These(list) => {
                for (word, names) in list {
                    let privilege = known(word)?;
                    let of = match names.is_empty() {
                        true => kind,
                        false => Kind::Column,
                    };
                    if !Privileges::all(of).contains(privilege) {
                        return Err(invalid(word, of.word()));
                    }
                    if names.is_empty() {
                        whole = whole.with(privilege);
                    }
                    columns.extend(names.iter().map(|name| (privilege, name.as_str())));
                }
            }
        }
        if kind != Kind::Table && !columns.is_empty() {
            return Err(Error::new(
                SqlState::INVALID_GRANT_OPERATION,
                "column privileges are only valid for relations",
            ));
        }
        Ok((whole, columns))
    }
}

pub(super) fn invalid(word: &str, kind: &str) -> Error {
    Error::new(
        SqlState::INVALID_GRANT_OPERATION,
        format!("invalid privilege type {} for {kind}", word.to_uppercase()),
    )
}

/// The privilege of a word. PostgreSQL's others belong to objects that there are not.
fn known(word: &str) -> Result<Privileges> {
    if let Some(privilege) = Privileges::named(word) {
        return Ok(privilege);
    }
    if ["execute", "set"].contains(&word) || word == "alter system" {
        return Err(invalid(word, "relation"));
    }
    Err(Error::new(
        SqlState::SYNTAX_ERROR,
        format!("unrecognized privilege type \"{word}\""),
    ))
}
