//! ALTER DEFAULT PRIVILEGES, and what new objects get by it.
//!
//! A role's defaults for all schemas replace what objects have from the start; those for one schema
//! add to it.

use std::sync::Arc;

use super::super::{Context, Outcome};
use super::grant::grantees;
use super::grant_forms::DefaultPrivileges;
use super::scope::find_role;
use crate::catalog::{
    Acl, Change, Kind, Object, Privileges, kind_and_owner, role_name_lock, undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::txn::RowMode;

pub(super) async fn execute(
    context: &mut Context<'_>,
    statement: &DefaultPrivileges,
) -> Result<Outcome> {
    if statement.kind == Kind::Schema && !statement.schemas.is_empty() {
        return Err(Error::new(
            SqlState::INVALID_GRANT_OPERATION,
            "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS",
        ));
    }
    let (wanted, columns) = statement.privileges.resolve(statement.kind)?;
    if !columns.is_empty() {
        return Err(Error::new(
            SqlState::INVALID_GRANT_OPERATION,
            "default privileges cannot be set for columns",
        ));
    }
    let grantees = grantees(context, &statement.grantees).await?;
    let mut roles = vec![context.info.user.clone()];
    if !statement.roles.is_empty() {
        roles = statement
            .roles
            .iter()
            .map(|name| context.role_name(name))
            .collect();
    }
    for name in roles {
        let wait = context.wait();
        let lock = role_name_lock(&name);
        context.txn.lock_key(lock, RowMode::Update, wait).await?;
        context.refresh()?;
        let role = find_role(context.catalog, &name)?.oid;
        context.check_member(role)?;
        let mut schemas = Vec::new();
        for name in &statement.schemas {
            let schema = context.catalog.schema(name);
            let oid = schema.ok_or_else(|| undefined_schema(name))?.oid;
            context.check_schema(oid, Privileges::CREATE)?;
            schemas.push(oid);
        }
        if schemas.is_empty() {
            schemas.push(0);
        }
        for schema in schemas {
            change(context, statement, &grantees, role, schema, wanted)?;
        }
    }
    Ok(Outcome::Command("ALTER DEFAULT PRIVILEGES".to_owned()))
}

fn change(
    context: &mut Context<'_>,
    statement: &DefaultPrivileges,
    grantees: &[u32],
    role: u32,
    schema: u32,
    wanted: Privileges,
) -> Result<()> {
    let kind = statement.kind;
    let start = match schema {
        0 => Acl::default_of(kind, role),
        _ => Acl::default(),
    };
    let known = context.catalog.default_acl(role, schema, kind).cloned();
    let mut acl = known.unwrap_or_else(|| start.clone());
    for grantee in grantees {
        let none = Privileges::NONE;
        let (privileges, options) = match (statement.revoke, statement.option) {
            (false, false) => (wanted, none),
            (false, true) | (true, false) => (wanted, wanted),
            (true, true) => (none, wanted),
        };
        let change = Change {
            grantee: *grantee,
            grantor: role,
            privileges,
            options,
            revoke: statement.revoke,
            cascade: statement.cascade,
        };
        acl.change(&change, role)?;
    }
    let acl = sorted(acl);
    let stored = (acl != sorted(start)).then_some(acl);
    Arc::make_mut(context.catalog).set_default_acl(context.txn, role, schema, kind, stored)
}

/// In PostgreSQL's order of default lists.
fn sorted(mut acl: Acl) -> Acl {
    acl.0.sort_by_key(|grant| (grant.grantee, grant.grantor));
    acl
}

impl Context<'_> {
    /// Adds an object, with the privileges that its maker's defaults give.
    pub(super) async fn put_new(&mut self, object: Object) -> Result<()> {
        let oid = object.oid();
        let found = kind_and_owner(&object);
        let schema = object.schema().unwrap_or(0);
        if let Some((_, owner)) = found {
            self.hold_role(owner).await?;
        }
        self.put(object)?;
        let Some((kind, owner)) = found else {
            return Ok(());
        };
        let everywhere = self.catalog.default_acl(owner, 0, kind).cloned();
        let here = match schema {
            0 => None,
            schema => self.catalog.default_acl(owner, schema, kind).cloned(),
        };
        if everywhere.is_none() && here.is_none() {
            return Ok(());
        }
        let mut acl = everywhere.unwrap_or_else(|| Acl::default_of(kind, owner));
        for grant in here.into_iter().flat_map(|acl| acl.0) {
            let change = Change {
                grantee: grant.grantee,
                grantor: grant.grantor,
                privileges: grant.privileges,
                options: grant.options,
                revoke: false,
                cascade: false,
            };
            acl.change(&change, owner)?;
        }
        let acl = sorted(acl);
        if acl == sorted(Acl::default_of(kind, owner)) {
            return Ok(());
        }
        Arc::make_mut(self.catalog).set_acl(self.txn, oid, 0, Some(acl))
    }
}
