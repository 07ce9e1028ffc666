//! TRUNCATE: gives tables new, empty storage.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{CascadeOption, Truncate, TruncateIdentityOption};

use super::super::{Context, Outcome};
use super::scope::not_a;
use super::{foreign_key, sequence};
use crate::catalog::{Index, Object, Privileges, QualifiedName, Table, row_id_mark};
use crate::error::{Error, Result, SqlState};
use crate::storage::{SEQUENCE_TABLE, TableId};
use crate::txn::RelationMode;

pub(super) async fn truncate(context: &mut Context<'_>, statement: &Truncate) -> Result<Outcome> {
    if statement.partitions.is_some() || statement.on_cluster.is_some() || statement.if_exists {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "syntax error in TRUNCATE",
        ));
    }
    let cascade = matches!(statement.cascade, Some(CascadeOption::Cascade));
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for target in &statement.table_names {
        let name = QualifiedName::from_ast(&target.name)?;
        let table = context
            .lock_table_for(&name, RelationMode::AccessExclusive, Privileges::TRUNCATE)
            .await?;
        if !tables.iter().any(|other| other.oid == table.oid) {
            tables.push(table);
        }
    }
    let mut at = 0;
    while let Some(table) = tables.get(at).cloned() {
        at = at.saturating_add(1);
        for (child, _) in context.catalog.referencing(table.oid) {
            if tables.iter().any(|other| other.oid == child.oid) {
                continue;
            }
            if !cascade {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot truncate a table referenced in a foreign key constraint",
                )
                .detail(format!(
                    "Table \"{}\" references \"{}\".",
                    child.name, table.name
                ))
                .hint(format!(
                    "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                    child.name
                )));
            }
            match context
                .lock_by_oid(child.oid, RelationMode::AccessExclusive)
                .await?
            {
                Object::Table(child) => {
                    let object = Object::Table(child.clone());
                    let rights = context.rights();
                    context
                        .catalog
                        .check(&rights, &object, Privileges::TRUNCATE)?;
                    let message = format!("truncate cascades to table \"{}\"", child.name);
                    context.notice(Error::new(SqlState::SUCCESSFUL_COMPLETION, message));
                    tables.push(child);
                }
                other => return Err(not_a(&other, "a table")),
            }
        }
    }
    for table in &tables {
        foreign_key::lock_partners(context, table).await?;
    }
    let restart = matches!(statement.identity, Some(TruncateIdentityOption::Restart));
    for table in &tables {
        // The locks may have been awaited: take the tables as they are now.
        let Some(table) = context.catalog.table(table.oid).cloned() else {
            continue;
        };
        empty(context, &table)?;
        if restart {
            restart_sequences(context, table.oid)?;
        }
    }
    Ok(Outcome::Command("TRUNCATE TABLE".to_owned()))
}

fn empty(context: &mut Context<'_>, table: &Table) -> Result<()> {
    let storage = TableId::from(context.new_oid()?);
    context.txn.create_table(storage)?;
    context.txn.drop_table(table.storage)?;
    context
        .txn
        .delete(SEQUENCE_TABLE, row_id_mark(table.storage))?;
    for index in context.catalog.indexes(table) {
        if let Some(old) = index.storage {
            let fresh = TableId::from(context.new_oid()?);
            context.txn.create_table(fresh)?;
            context.txn.drop_table(old)?;
            context.put_index(Index {
                storage: Some(fresh),
                ..index.as_ref().clone()
            })?;
        }
    }
    context.put_table(Table {
        storage,
        ..table.clone()
    })?;
    Ok(())
}

fn restart_sequences(context: &mut Context<'_>, table: u32) -> Result<()> {
    let owned: Vec<_> = context
        .catalog
        .objects()
        .filter_map(|object| match object {
            Object::Sequence(it) if it.owned_by.is_some_and(|(owner, _)| owner == table) => {
                Some(it.clone())
            }
            _ => None,
        })
        .collect();
    for it in owned {
        context.check_owner(&Object::Sequence(it.clone()))?;
        let mut changed = it.as_ref().clone();
        let start = changed.start;
        sequence::restart(context, &mut changed, start)?;
        context.put_sequence(changed)?;
    }
    Ok(())
}
