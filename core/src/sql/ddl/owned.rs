//! REASSIGN OWNED and DROP OWNED: all that a role owns, at once.

use std::sync::Arc;

use super::super::{Context, Outcome};
use super::depends::Part;
use super::drop;
use super::rename::change_owner;
use super::role::owner_of;
use super::scope::find_role;
use crate::catalog::{Acl, BOOTSTRAP_ROLE, DATABASE, Kind, Object};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;

#[derive(Clone, Debug)]
pub enum Owned {
    Reassign { roles: Vec<String>, to: String },
    Drop { roles: Vec<String>, cascade: bool },
}

impl Owned {
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Owned::Reassign { .. } => "REASSIGN OWNED",
            Owned::Drop { .. } => "DROP OWNED",
        }
    }
}

pub(super) async fn execute(context: &mut Context<'_>, statement: &Owned) -> Result<Outcome> {
    match statement {
        Owned::Reassign { roles, to } => {
            let to = find_role(context.catalog, &context.role_name(to))?.oid;
            check(context, to, "reassign objects")?;
            context.hold_role(to).await?;
            for role in roles {
                let role = find_role(context.catalog, &context.role_name(role))?.oid;
                check(context, role, "reassign objects")?;
                refuse_system(context, role, "reassign ownership of")?;
                for object in locked(context, role).await? {
                    // A table takes its sequences along.
                    if owner_of(&object) == Some(role) {
                        change_owner(context, &object, to)?;
                    }
                }
            }
        }
        Owned::Drop { roles, cascade } => {
            for role in roles {
                let role = find_role(context.catalog, &context.role_name(role))?.oid;
                check(context, role, "drop objects")?;
                refuse_system(context, role, "drop objects owned by")?;
                let parts: Vec<Part> = locked(context, role)
                    .await?
                    .iter()
                    .map(|object| match object {
                        Object::Schema(schema) => Part::Schema(schema.oid),
                        other => Part::Relation(other.oid()),
                    })
                    .collect();
                drop::remove(context, &parts, *cascade).await?;
                forget(context, role)?;
            }
        }
    }
    Ok(Outcome::Command(statement.tag().to_owned()))
}

/// 42501 unless the current role has the privileges of the other.
fn check(context: &Context<'_>, role: u32, doing: &str) -> Result<()> {
    if context.rights().owns(role) {
        return Ok(());
    }
    Err(Error::new(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied to {doing}"),
    ))
}

fn refuse_system(context: &Context<'_>, role: u32, doing: &str) -> Result<()> {
    if role != BOOTSTRAP_ROLE {
        return Ok(());
    }
    let name = context.catalog.object(role).map_or("", Object::name);
    Err(Error::new(
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        format!(
            "cannot {doing} objects owned by role {name} because they are required by the database system"
        ),
    ))
}

/// All that the role owns, each relation and catalog row locked.
async fn locked(context: &mut Context<'_>, role: u32) -> Result<Vec<Object>> {
    let mut known: Vec<u32> = Vec::new();
    loop {
        let next = context
            .catalog
            .objects()
            .find(|object| owner_of(object) == Some(role) && !known.contains(&object.oid()))
            .cloned();
        let Some(next) = next else { break };
        known.push(next.oid());
        if next.schema().is_some() {
            // Gone meanwhile is as good as dropped.
            let mode = RelationMode::AccessExclusive;
            let _ = context.lock_by_oid(next.oid(), mode).await;
        } else {
            context.lock_catalog_row(&next).await?;
            context.refresh()?;
        }
    }
    Ok(context
        .catalog
        .objects()
        .filter(|object| owner_of(object) == Some(role))
        .cloned()
        .collect())
}

/// Takes away all that was granted to the role, and what it granted by default.
fn forget(context: &mut Context<'_>, role: u32) -> Result<()> {
    let lists: Vec<(u32, u32, Acl)> = context
        .catalog
        .acls()
        .filter(|(.., acl)| acl.mentions(role))
        .map(|(oid, sub, acl)| (oid, sub, acl.clone()))
        .collect();
    for (oid, sub, mut acl) in lists {
        let owner = match context.catalog.object(oid) {
            Some(object) => owner_of(object).unwrap_or(BOOTSTRAP_ROLE),
            None if oid == DATABASE => BOOTSTRAP_ROLE,
            None => continue,
        };
        // What rests on its grant options goes too.
        acl.0
            .retain(|grant| grant.grantor != role || grant.grantor == owner);
        acl.0
            .retain(|grant| grant.grantee != role || grant.grantee == owner);
        let stored = (sub == 0 || !acl.0.is_empty()).then_some(acl);
        Arc::make_mut(context.catalog).set_acl(context.txn, oid, sub, stored)?;
    }
    let defaults: Vec<(u32, u32, char)> = context
        .catalog
        .default_acls()
        .filter(|((owner, ..), _)| *owner == role)
        .map(|(key, _)| key)
        .collect();
    for (owner, schema, letter) in defaults {
        for kind in [Kind::Table, Kind::Sequence, Kind::Schema] {
            if kind.letter() == letter {
                Arc::make_mut(context.catalog).set_default_acl(
                    context.txn,
                    owner,
                    schema,
                    kind,
                    None,
                )?;
            }
        }
    }
    Ok(())
}
