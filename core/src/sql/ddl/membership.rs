//! GRANT role TO role, and REVOKE role FROM role.

use std::sync::Arc;

use super::super::{Context, Outcome};
use super::scope::find_role;
use crate::catalog::{Membership, Object, Role};
use crate::error::{Error, Result, SqlState};

/// GRANT or REVOKE of memberships.
#[derive(Clone, Debug)]
pub struct Members {
    pub revoke: bool,
    pub roles: Vec<String>,
    pub members: Vec<String>,
    /// WITH ADMIN OPTION, or ADMIN OPTION FOR.
    pub admin: bool,
    pub granted_by: Option<String>,
}

pub(super) async fn execute(context: &mut Context<'_>, statement: &Members) -> Result<Outcome> {
    if let Some(grantor) = &statement.granted_by {
        let grantor = find_role(context.catalog, &context.role_name(grantor))?.oid;
        let rights = context.rights();
        if grantor != rights.role && !rights.superuser {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "must be superuser to set grantor",
            ));
        }
    }
    for name in &statement.roles {
        let name = context.role_name(name);
        let found = context.lock_role_name(&name).await?;
        let Some(role) = found else {
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("role \"{name}\" does not exist"),
            ));
        };
        context
            .lock_catalog_row(&Object::Role(role.clone()))
            .await?;
        check_may_add(context, &role)?;
        for member in &statement.members {
            let member = context.role_name(member);
            let member = find_role(context.catalog, &member)?.oid;
            context.hold_role(member).await?;
            if statement.revoke {
                remove(context, &role, member, statement.admin)?;
            } else {
                add(context, &role, member, statement.admin)?;
            }
        }
    }
    Ok(Outcome::Command(
        if statement.revoke {
            "REVOKE ROLE"
        } else {
            "GRANT ROLE"
        }
        .to_owned(),
    ))
}

/// 42501 unless the current role may say who is a member of `role`.
pub(super) fn check_may_add(context: &Context<'_>, role: &Role) -> Result<()> {
    let message = if role.superuser {
        if context.rights().superuser {
            return Ok(());
        }
        "must be superuser to alter superusers".to_owned()
    } else {
        let own = context.rights().role;
        if context.creates_roles() || context.catalog.is_admin(own, role.oid) {
            return Ok(());
        }
        format!("must have admin option on role \"{}\"", role.name)
    };
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message))
}

fn name(context: &Context<'_>, role: u32) -> String {
    let object = context.catalog.object(role);
    object.map_or_else(String::new, |role| role.name().to_owned())
}

/// Makes a role a member of another.
pub(super) fn add(
    context: &mut Context<'_>,
    role: &Arc<Role>,
    member: u32,
    admin: bool,
) -> Result<()> {
    if context
        .catalog
        .memberships(role.oid, false)
        .contains(&member)
    {
        return Err(Error::new(
            SqlState::INVALID_GRANT_OPERATION,
            format!(
                "role \"{}\" is a member of role \"{}\"",
                role.name,
                name(context, member)
            ),
        ));
    }
    let before = context.catalog.members().get(&(role.oid, member)).copied();
    if let Some(before) = before
        && (!admin || before.admin)
    {
        let message = format!(
            "role \"{}\" is already a member of role \"{}\"",
            name(context, member),
            role.name
        );
        context.notice(Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
        return Ok(());
    }
    let membership = Membership {
        grantor: context.rights().role,
        admin,
    };
    Arc::make_mut(context.catalog).set_member(context.txn, role.oid, member, Some(membership))
}

/// Ends a membership, or only its admin option.
fn remove(context: &mut Context<'_>, role: &Arc<Role>, member: u32, admin: bool) -> Result<()> {
    let Some(before) = context.catalog.members().get(&(role.oid, member)).copied() else {
        let message = format!(
            "role \"{}\" is not a member of role \"{}\"",
            name(context, member),
            role.name
        );
        context.warning(Error::new(SqlState::WARNING, message));
        return Ok(());
    };
    let left = admin.then_some(Membership {
        admin: false,
        ..before
    });
    Arc::make_mut(context.catalog).set_member(context.txn, role.oid, member, left)
}
