//! CREATE, ALTER and DROP ROLE (USER is a role that may log in).

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::ObjectName;

use super::super::{Context, Outcome};
use super::membership;
use super::role_options::RoleOptions;
use super::schema::simple;
use super::scope::find_role;
use crate::catalog::{BOOTSTRAP_ROLE, DATABASE, Object, Role, kind_and_owner};
use crate::error::{Error, Result, SqlState};

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

impl Context<'_> {
    /// The role that a name means where CURRENT_USER and its like may stand.
    pub(super) fn role_name(&self, name: &str) -> String {
        match name {
            "current_user" | "current_role" => self.info.user.clone(),
            "session_user" => self.info.session_user.clone(),
            name => name.to_owned(),
        }
    }

    /// Whether the current role may make and change roles.
    pub(super) fn creates_roles(&self) -> bool {
        self.catalog
            .role(&self.info.user)
            .is_some_and(|role| role.superuser || role.create_role)
    }

    fn is_superuser(&self) -> bool {
        self.rights().superuser
    }
}

fn denied(message: impl Into<String>) -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

/// Roles are changed by who has CREATEROLE, superusers by superusers.
pub(super) fn check_may_change(
    context: &Context<'_>,
    role: &Role,
    superuser: &str,
    other: &str,
) -> Result<()> {
    if role.superuser && !context.is_superuser() {
        return Err(denied(superuser));
    }
    if !context.creates_roles() {
        return Err(denied(other));
    }
    Ok(())
}

pub(super) async fn create(context: &mut Context<'_>, statement: &CreateRole) -> Result<Outcome> {
    if statement.options.superuser == Some(true) && !context.is_superuser() {
        return Err(denied("must be superuser to create superusers"));
    }
    if !context.creates_roles() {
        return Err(denied("permission denied to create role"));
    }
    let name = &statement.name;
    check_name(name)?;
    if context.lock_role_name(name).await?.is_some() {
        return Err(Error::new(
            SqlState::DUPLICATE_OBJECT,
            format!("role \"{name}\" already exists"),
        ));
    }
    let mut role = Role::new(context.new_oid()?, name);
    role.login = statement.user;
    statement.options.apply(context, &mut role)?;
    let oid = role.oid;
    context.put(Object::Role(Arc::new(role)))?;
    let options = &statement.options;
    for of in &options.of {
        let of = find_role(context.catalog, of)?.clone();
        membership::check_may_add(context, &of)?;
        membership::add(context, &of, oid, false)?;
    }
    let made = find_role(context.catalog, name)?.clone();
    for (members, admin) in [(&options.members, false), (&options.admins, true)] {
        for member in members {
            let member = find_role(context.catalog, member)?.oid;
            membership::add(context, &made, member, admin)?;
        }
    }
    Ok(Outcome::Command("CREATE ROLE".to_owned()))
}

pub(super) async fn alter(context: &mut Context<'_>, statement: &AlterRole) -> Result<Outcome> {
    let name = context.role_name(&statement.name);
    let Some(role) = context.lock_role_name(&name).await? else {
        return Err(find_role(context.catalog, &name)
            .err()
            .unwrap_or_else(|| Error::internal("a role that was not there is there")));
    };
    let mut changed = role.as_ref().clone();
    match &statement.change {
        RoleChange::Options(options) => {
            check_options(context, &role, options)?;
            options.apply(context, &mut changed)?;
        }
        RoleChange::Rename(new) => {
            if name == context.info.session_user {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "session user cannot be renamed",
                ));
            }
            if name == context.info.user {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "current user cannot be renamed",
                ));
            }
            check_name(new)?;
            if context.lock_role_name(new).await?.is_some() {
                return Err(Error::new(
                    SqlState::DUPLICATE_OBJECT,
                    format!("role \"{new}\" already exists"),
                ));
            }
            check_may_change(
                context,
                &role,
                "must be superuser to rename superusers",
                "permission denied to rename role",
            )?;
            changed.name.clone_from(new);
        }
    }
    context.lock_catalog_row(&Object::Role(role)).await?;
    context.put(Object::Role(Arc::new(changed)))?;
    Ok(Outcome::Command("ALTER ROLE".to_owned()))
}

fn check_options(context: &Context<'_>, role: &Role, options: &RoleOptions) -> Result<()> {
    if options.superuser.is_some() || role.superuser {
        if !context.is_superuser() {
            return Err(denied(
                "must be superuser to alter superuser roles or change superuser attribute",
            ));
        }
    } else {
        let own_password = options.is_password() && role.name == context.info.user;
        if !context.creates_roles() && !own_password {
            return Err(denied("permission denied"));
        }
    }
    if role.oid == BOOTSTRAP_ROLE && options.superuser == Some(false) {
        return Err(denied("permission denied")
            .detail("The bootstrap user must have the SUPERUSER attribute."));
    }
    Ok(())
}

pub(super) async fn drop(
    context: &mut Context<'_>,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<Outcome> {
    if !context.creates_roles() {
        return Err(denied("permission denied to drop role"));
    }
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
        if role.superuser && !context.is_superuser() {
            return Err(denied("must be superuser to drop superusers"));
        }
        if role.oid == BOOTSTRAP_ROLE {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop role {name} because it is required by the database system"),
            ));
        }
        let depends = depending(context, role.oid);
        if !depends.is_empty() {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("role \"{name}\" cannot be dropped because some objects depend on it"),
            )
            .detail(depends.join("\n")));
        }
        context
            .lock_catalog_row(&Object::Role(role.clone()))
            .await?;
        context.remove(role.oid)?;
    }
    Ok(Outcome::Command("DROP ROLE".to_owned()))
}

/// What a role has to do with the objects that there are, a line each.
fn depending(context: &Context<'_>, role: u32) -> Vec<String> {
    let catalog = &context.catalog;
    let mut lines = Vec::new();
    for (oid, sub, acl) in catalog.acls() {
        if !acl.mentions(role) {
            continue;
        }
        let Some(object) = catalog.object(oid) else {
            if oid == DATABASE {
                lines.push(format!("privileges for database {}", context.info.database));
            }
            continue;
        };
        // An owner's own privileges go with the object.
        if owner_of(object) == Some(role) {
            continue;
        }
        let shown = format!("{} {}", object.kind(), context.shown(object));
        let column = usize::try_from(sub).ok().and_then(|at| {
            let at = at.checked_sub(1)?;
            Some(catalog.table(oid)?.columns.get(at)?.name.clone())
        });
        lines.push(match column {
            Some(column) => format!("privileges for column {column} of {shown}"),
            None => format!("privileges for {shown}"),
        });
    }
    for object in catalog.objects() {
        if owner_of(object) == Some(role) {
            lines.push(format!(
                "owner of {} {}",
                object.kind(),
                context.shown(object)
            ));
        }
    }
    for ((owner, schema, _), acl) in catalog.default_acls() {
        if owner == role || acl.mentions(role) {
            let owner = catalog.object(owner).map_or("", Object::name);
            let place = match catalog.schema_name(schema) {
                Some(schema) => format!(" in schema {schema}"),
                None => String::new(),
            };
            lines.push(format!(
                "owner of default privileges on new objects belonging to role {owner}{place}"
            ));
        }
    }
    lines
}

/// The role that owns an object.
pub(super) fn owner_of(object: &Object) -> Option<u32> {
    kind_and_owner(object).map(|(_, owner)| owner)
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
