//! CREATE, ALTER and DROP ROLE (USER is a role that may log in).

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ObjectName, Statement};

use super::super::cursor::Cursor;
use super::super::{Context, Outcome};
use super::schema::simple;
use super::scope::find_role;
use super::scram;
use crate::catalog::{BOOTSTRAP_ROLE, Object, Role};
use crate::error::{Error, Result, SqlState};

/// What a statement says about a role; `None` is what it does not mention.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleOptions {
    pub superuser: Option<bool>,
    pub login: Option<bool>,
    /// The inner `None` is PASSWORD NULL.
    pub password: Option<Option<String>>,
    pub connection_limit: Option<i32>,
}

/// CREATE ROLE, USER or GROUP.
#[derive(Clone, Debug)]
pub struct CreateRole {
    pub name: String,
    /// USER: LOGIN is the default.
    pub user: bool,
    pub options: RoleOptions,
}

/// ALTER ROLE or USER.
#[derive(Clone, Debug)]
pub struct AlterRole {
    pub name: String,
    pub change: RoleChange,
}

#[derive(Clone, Debug)]
pub enum RoleChange {
    Options(RoleOptions),
    Rename(String),
}

impl RoleOptions {
    /// Reads options in any order until the end.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut out = RoleOptions::default();
        cursor.keyword("WITH");
        while !cursor.is_end() {
            if cursor.keyword("SUPERUSER") {
                out.superuser = Some(true);
            } else if cursor.keyword("NOSUPERUSER") {
                out.superuser = Some(false);
            } else if cursor.keyword("LOGIN") {
                out.login = Some(true);
            } else if cursor.keyword("NOLOGIN") {
                out.login = Some(false);
            } else if cursor.keywords(&["PASSWORD", "NULL"]) {
                out.password = Some(None);
            } else if cursor.keyword("PASSWORD") || cursor.keywords(&["ENCRYPTED", "PASSWORD"]) {
                let text = cursor.string().ok_or_else(|| cursor.unexpected())?;
                out.password = Some(Some(text));
            } else if cursor.keywords(&["CONNECTION", "LIMIT"]) {
                let text = cursor.number().ok_or_else(|| cursor.unexpected())?;
                let limit = text.parse::<i32>().ok().filter(|limit| *limit >= -1);
                out.connection_limit = Some(limit.ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("invalid connection limit: {text}"),
                    )
                })?);
            } else if [
                "INHERIT",
                "NOCREATEDB",
                "NOCREATEROLE",
                "NOREPLICATION",
                "NOBYPASSRLS",
            ]
            .iter()
            .any(|word| cursor.keyword(word))
            {
                // What every role is anyway.
            } else if let Some(word) = [
                "CREATEDB",
                "CREATEROLE",
                "REPLICATION",
                "BYPASSRLS",
                "NOINHERIT",
            ]
            .iter()
            .find(|word| cursor.keyword(word))
            {
                return Err(Error::unsupported(
                    format!("the role attribute {word}"),
                    "Use SUPERUSER for a role that administers, or leave the attribute out.",
                ));
            } else if cursor.keywords(&["VALID", "UNTIL"]) {
                return Err(Error::unsupported(
                    "VALID UNTIL",
                    "Set another password when the old one shall end.",
                ));
            } else if ["IN", "ROLE", "ADMIN", "USER", "SYSID"]
                .iter()
                .any(|word| cursor.keyword(word))
            {
                return Err(membership());
            } else {
                return Err(cursor.unexpected());
            }
        }
        Ok(out)
    }

    fn apply(&self, context: &Context<'_>, role: &mut Role) -> Result<()> {
        if let Some(superuser) = self.superuser {
            role.superuser = superuser;
        }
        if let Some(login) = self.login {
            role.login = login;
        }
        if let Some(limit) = self.connection_limit {
            role.connection_limit = limit;
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

pub(super) fn membership() -> Error {
    Error::unsupported("membership in roles", "Give each role its own attributes.")
}

/// Whether the session's user is a superuser.
pub(super) fn is_superuser(context: &Context<'_>) -> bool {
    context
        .catalog
        .role(&context.info.user)
        .is_some_and(|role| role.superuser)
}

fn check_superuser(context: &Context<'_>, what: &str) -> Result<()> {
    if is_superuser(context) {
        return Ok(());
    }
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, what))
}

pub(super) async fn create(context: &mut Context<'_>, statement: &CreateRole) -> Result<Outcome> {
    check_superuser(context, "permission denied to create role")?;
    let name = &statement.name;
    check_name(name)?;
    if context.lock_role_name(name).await?.is_some() {
        return Err(Error::new(
            SqlState::DUPLICATE_OBJECT,
            format!("role \"{name}\" already exists"),
        ));
    }
    let mut role = Role {
        oid: context.new_oid()?,
        name: name.clone(),
        superuser: false,
        login: statement.user,
        verifier: None,
        connection_limit: -1,
    };
    statement.options.apply(context, &mut role)?;
    context.put(Object::Role(Arc::new(role)))?;
    Ok(Outcome::Command("CREATE ROLE".to_owned()))
}

pub(super) async fn alter(context: &mut Context<'_>, statement: &AlterRole) -> Result<Outcome> {
    let name = match statement.name.as_str() {
        "current_user" | "current_role" => context.info.user.clone(),
        "session_user" => context.info.session_user.clone(),
        name => name.to_owned(),
    };
    let own_password = matches!(&statement.change, RoleChange::Options(options)
        if *options == RoleOptions { password: options.password.clone(), ..RoleOptions::default() })
        && name == context.info.user;
    if !own_password {
        check_superuser(context, "permission denied")?;
    }
    let Some(role) = context.lock_role_name(&name).await? else {
        return Err(find_role(context.catalog, &name)
            .err()
            .unwrap_or_else(|| Error::internal("a role that was not there is there")));
    };
    context
        .lock_catalog_row(&Object::Role(role.clone()))
        .await?;
    let mut changed = role.as_ref().clone();
    match &statement.change {
        RoleChange::Options(options) => {
            if role.oid == BOOTSTRAP_ROLE && options.superuser == Some(false) {
                return Err(
                    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied")
                        .detail("The bootstrap user must have the SUPERUSER attribute."),
                );
            }
            options.apply(context, &mut changed)?;
        }
        RoleChange::Rename(new) => {
            check_name(new)?;
            if name == context.info.session_user {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "session user cannot be renamed",
                ));
            }
            if context.lock_role_name(new).await?.is_some() {
                return Err(Error::new(
                    SqlState::DUPLICATE_OBJECT,
                    format!("role \"{new}\" already exists"),
                ));
            }
            changed.name = new.clone();
        }
    }
    context.put(Object::Role(Arc::new(changed)))?;
    Ok(Outcome::Command("ALTER ROLE".to_owned()))
}

pub(super) async fn drop(
    context: &mut Context<'_>,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<Outcome> {
    check_superuser(context, "permission denied to drop role")?;
    for name in names {
        let name = simple(name)?;
        let Some(role) = context.lock_role_name(&name).await? else {
            let message = format!("role \"{name}\" does not exist");
            if if_exists {
                context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
                continue;
            }
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        };
        let in_use = |message: &str| Error::new(SqlState::OBJECT_IN_USE, message);
        if name == context.info.user {
            return Err(in_use("current user cannot be dropped"));
        }
        if name == context.info.session_user {
            return Err(in_use("session user cannot be dropped"));
        }
        let required = || {
            Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("role \"{name}\" cannot be dropped because some objects depend on it"),
            )
        };
        if role.oid == BOOTSTRAP_ROLE {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop role {name} because it is required by the database system"),
            ));
        }
        let owned: Vec<String> = context
            .catalog
            .objects()
            .filter(|object| owner_of(object) == Some(role.oid))
            .map(|object| format!("owner of {} {}", object.kind(), context.shown(object)))
            .collect();
        if !owned.is_empty() {
            return Err(required().detail(owned.join("\n")));
        }
        context
            .lock_catalog_row(&Object::Role(role.clone()))
            .await?;
        context.remove(role.oid)?;
    }
    Ok(Outcome::Command("DROP ROLE".to_owned()))
}

/// The role that owns an object.
pub(super) fn owner_of(object: &Object) -> Option<u32> {
    match object {
        Object::Schema(it) => Some(it.owner),
        Object::Table(it) => Some(it.owner),
        Object::View(it) => Some(it.owner),
        Object::Sequence(it) => Some(it.owner),
        Object::Index(_) | Object::Role(_) => None,
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.starts_with("pg_") {
        return Err(Error::new(
            SqlState::RESERVED_NAME,
            format!("role name \"{name}\" is reserved"),
        )
        .detail("Role names starting with \"pg_\" are reserved."));
    }
    if matches!(name, "public" | "none") {
        return Err(Error::new(
            SqlState::RESERVED_NAME,
            format!("role name \"{name}\" is reserved"),
        ));
    }
    Ok(())
}

/// GRANT and REVOKE. There are no privileges to give: a superuser and an owner may do everything
/// already, so only that much is taken.
pub(super) fn grant(context: &Context<'_>, statement: &Statement) -> Result<Outcome> {
    let (verb, grantees, privileges) = match statement {
        Statement::Grant(grant) => ("GRANT", &grant.grantees, &grant.privileges),
        Statement::Revoke(revoke) => ("REVOKE", &revoke.grantees, &revoke.privileges),
        _ => return Err(Error::internal("not GRANT")),
    };
    let _ = privileges;
    let refused = || {
        Error::unsupported(
            format!("{verb} of privileges"),
            "A superuser and the owner of an object have all privileges on it; use ALTER … OWNER TO.",
        )
    };
    if verb == "REVOKE" {
        return Err(refused());
    }
    for grantee in grantees {
        let name = grantee
            .name
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let name = name.trim_matches('"').to_owned();
        let role = find_role(context.catalog, &name);
        if !matches!(name.to_lowercase().as_str(), "public") && role?.superuser {
            continue;
        }
        return Err(refused());
    }
    Ok(Outcome::Command(verb.to_owned()))
}
