//! VACUUM, ANALYZE, CLUSTER, CHECKPOINT and LOCK TABLE.
//!
//! VACUUM moves rows into segments, and merges segments: where that pays, or, with FULL, until no row
//! is left unsealed. The storage needs none of the other three: it counts its rows exactly, and keeps
//! them in key order. They succeed, after checking what they name, so that scripts run.

use datafusion::sql::sqlparser::ast::{Lock, LockTableMode};

use super::super::engine::tend;
use super::super::{Context, Outcome};
use super::scope::not_a;
use crate::catalog::{Object, Privileges, QualifiedName, denied, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::segment::Effort;
use crate::txn::{RelationMode, Wait};

/// A statement that tends the storage.
#[derive(Clone, Debug, PartialEq)]
pub enum Maintenance {
    Vacuum {
        full: bool,
        targets: Vec<Target>,
    },
    Analyze(Vec<Target>),
    /// CLUSTER, with its table.
    Cluster(Option<QualifiedName>),
    Checkpoint,
}

/// A table with columns, as VACUUM and ANALYZE name them.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: QualifiedName,
    pub columns: Vec<String>,
}

pub(super) async fn run(context: &mut Context<'_>, statement: &Maintenance) -> Result<Outcome> {
    let mut named = Vec::new();
    let (tag, targets): (_, &[Target]) = match statement {
        Maintenance::Vacuum { targets, .. } => {
            if context.in_block {
                return Err(Error::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "VACUUM cannot run inside a transaction block",
                ));
            }
            ("VACUUM", targets)
        }
        Maintenance::Analyze(targets) => ("ANALYZE", targets),
        Maintenance::Cluster(name) => {
            if let Some(name) = name {
                context.lock_table(name, RelationMode::AccessShare).await?;
                return Err(Error::unsupported(
                    "CLUSTER of a table",
                    "Rows are kept in the order of the primary key: declare the order there.",
                ));
            }
            ("CLUSTER", &[])
        }
        Maintenance::Checkpoint => {
            if !context.rights().superuser {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT",
                ));
            }
            ("CHECKPOINT", &[])
        }
    };
    for target in targets {
        let name = &target.name;
        match context.catalog.resolve(name, &context.info.search_path) {
            Some(Object::Table(table)) => {
                let object = Object::Table(table.clone());
                if context.check_owner(&object).is_err() {
                    let verb = tag.to_lowercase();
                    let message = format!(
                        "permission denied to {verb} \"{}\", skipping it",
                        table.name
                    );
                    context.warning(Error::new(SqlState::WARNING, message));
                    continue;
                }
                for column in &target.columns {
                    if table.column(column).is_none() {
                        return Err(undefined_column(column, &table.name));
                    }
                }
                named.push(table.oid);
            }
            Some(other) => {
                let verb = if tag == "VACUUM" { "vacuum" } else { "analyze" };
                let message = format!(
                    "skipping \"{}\" --- cannot {verb} non-tables or special system tables",
                    other.name()
                );
                context.warning(Error::new(SqlState::WARNING, message));
            }
            None => return Err(context.missing_relation(name)),
        }
    }
    if let Maintenance::Vacuum { full, targets } = statement {
        let effort = if *full { Effort::All } else { Effort::Due };
        if targets.is_empty() {
            named = own_tables(context);
        }
        for oid in named {
            vacuum(context, oid, effort).await?;
        }
    }
    Ok(Outcome::Command(tag.to_owned()))
}

/// The tables that the role may vacuum.
fn own_tables(context: &Context<'_>) -> Vec<u32> {
    context
        .catalog
        .objects()
        .filter(|object| matches!(object, Object::Table(_)))
        .filter(|object| context.check_owner(object).is_ok())
        .map(Object::oid)
        .collect()
}

/// Tends one table's segments. Readers and writers go on meanwhile; DDL and another VACUUM wait.
async fn vacuum(context: &mut Context<'_>, oid: u32, effort: Effort) -> Result<()> {
    let (mode, wait) = (RelationMode::ShareUpdateExclusive, context.wait());
    context.txn.lock_relation(oid, mode, wait).await?;
    context.refresh()?;
    // Dropped while the lock was awaited: nothing is left to do.
    let Some(table) = context.catalog.table(oid).cloned() else {
        return Ok(());
    };
    tend(&context.engine.segments, context.catalog, &table, effort).await?;
    Ok(())
}

pub(super) async fn lock(context: &mut Context<'_>, statement: &Lock) -> Result<Outcome> {
    if !context.in_block {
        return Err(Error::new(
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            "LOCK TABLE can only be used in transaction blocks",
        ));
    }
    let mode = match statement.lock_mode {
        Some(LockTableMode::AccessShare) => RelationMode::AccessShare,
        Some(LockTableMode::RowShare) => RelationMode::RowShare,
        Some(LockTableMode::RowExclusive) => RelationMode::RowExclusive,
        Some(LockTableMode::ShareUpdateExclusive) => RelationMode::ShareUpdateExclusive,
        Some(LockTableMode::Share) => RelationMode::Share,
        Some(LockTableMode::ShareRowExclusive) => RelationMode::ShareRowExclusive,
        Some(LockTableMode::Exclusive) => RelationMode::Exclusive,
        Some(LockTableMode::AccessExclusive) | None => RelationMode::AccessExclusive,
    };
    let wait = if statement.nowait {
        Wait::Fail
    } else {
        context.wait()
    };
    for target in &statement.tables {
        let name = QualifiedName::from_ast(&target.name)?;
        // Only the relation is locked, not its definition: LOCK TABLE changes nothing.
        loop {
            let Some(found) = context
                .catalog
                .resolve(&name, &context.info.search_path)
                .cloned()
            else {
                return Err(context.missing_relation(&name));
            };
            if !matches!(found, Object::Table(_) | Object::View(_)) {
                return Err(not_a(&found, "a table or view"));
            }
            check_lock(context, &found, mode)?;
            let locked = context.txn.lock_relation(found.oid(), mode, wait).await;
            locked.map_err(|error| match error.state() {
                SqlState::LOCK_NOT_AVAILABLE if statement.nowait => Error::new(
                    SqlState::LOCK_NOT_AVAILABLE,
                    format!("could not obtain lock on relation \"{}\"", found.name()),
                ),
                _ => error,
            })?;
            context.refresh()?;
            let now = context.catalog.resolve(&name, &context.info.search_path);
            if now.map(Object::oid) == Some(found.oid()) {
                break;
            }
        }
    }
    Ok(Outcome::Command("LOCK TABLE".to_owned()))
}

/// LOCK TABLE in a mode needs what a statement needs that takes it.
fn check_lock(context: &Context<'_>, object: &Object, mode: RelationMode) -> Result<()> {
    let change = Privileges::UPDATE
        .with(Privileges::DELETE)
        .with(Privileges::TRUNCATE);
    let any = match mode {
        RelationMode::AccessShare => Privileges::SELECT,
        RelationMode::RowExclusive => change.with(Privileges::INSERT),
        _ => change,
    };
    let held = context.catalog.privileges(&context.rights(), object, any);
    if held.is_empty() {
        return Err(denied(object.kind(), object.name()));
    }
    Ok(())
}

/// `CREATE DATABASE` and its like.
pub(super) fn one_database(what: &str) -> Error {
    Error::unsupported(
        what,
        "A data directory holds one database: use schemas, or start another server.",
    )
}
