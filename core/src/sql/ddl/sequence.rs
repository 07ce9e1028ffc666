//! CREATE SEQUENCE and ALTER SEQUENCE.

use std::sync::Arc;

use super::super::{Context, Outcome};
use super::scope::not_a;
use super::sequence_options::{SequenceOptions, within};
use crate::catalog::{Object, QualifiedName, Sequence, Table, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;
use crate::types::PgType;

/// CREATE SEQUENCE, whichever parser read it.
#[derive(Clone, Debug)]
pub struct CreateSequence {
    pub name: QualifiedName,
    pub if_not_exists: bool,
    pub options: SequenceOptions,
}

/// ALTER SEQUENCE with options.
#[derive(Clone, Debug)]
pub struct AlterSequence {
    pub name: QualifiedName,
    pub if_exists: bool,
    pub options: SequenceOptions,
}

pub(super) async fn create(
    context: &mut Context<'_>,
    statement: &CreateSequence,
) -> Result<Outcome> {
    let tag = Outcome::Command("CREATE SEQUENCE".to_owned());
    let schema = context.creation_schema(&statement.name)?;
    let name = &statement.name.name;
    if context.lock_new_relation(schema, name).await?.is_some() {
        let message = format!("relation \"{name}\" already exists");
        if statement.if_not_exists {
            context.skipping(SqlState::DUPLICATE_TABLE, message);
            return Ok(tag);
        }
        return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
    }
    if statement.options.restart.is_some() || statement.options.name.is_some() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "invalid option of CREATE SEQUENCE",
        ));
    }
    let mut sequence = blank(context, schema, name)?;
    statement.options.apply(&mut sequence, true)?;
    if let Some(Some(parts)) = &statement.options.owned_by {
        let (table, column) = owner(context, &sequence, parts).await?;
        sequence.owned_by = Some((table.oid, column));
    }
    context
        .put_new(Object::Sequence(Arc::new(sequence)))
        .await?;
    Ok(tag)
}

/// A sequence with PostgreSQL's defaults.
pub(super) fn blank(context: &Context<'_>, schema: u32, name: &str) -> Result<Sequence> {
    Ok(Sequence {
        oid: context.new_oid()?,
        name: name.to_owned(),
        schema,
        owner: context.owner()?,
        ty: PgType::INT8,
        start: 1,
        increment: 1,
        minimum: 1,
        maximum: i64::MAX,
        cache: 1,
        cycle: false,
        owned_by: None,
        state: 0,
        restart: None,
    })
}

pub(super) async fn alter(context: &mut Context<'_>, statement: &AlterSequence) -> Result<Outcome> {
    let tag = Outcome::Command("ALTER SEQUENCE".to_owned());
    let wait = context.wait();
    let found = context
        .lock_by_name(&statement.name, RelationMode::ShareRowExclusive, wait)
        .await?;
    let sequence = match found {
        Some(Object::Sequence(sequence)) => sequence,
        Some(other) => return Err(not_a(&other, "a sequence")),
        None if statement.if_exists => {
            let message = format!("relation \"{}\" does not exist", statement.name);
            context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(tag);
        }
        None => return Err(context.missing_relation(&statement.name)),
    };
    let mut changed = change(context, &sequence, &statement.options)?;
    if let Some(owned_by) = &statement.options.owned_by {
        if is_identity(context, &sequence) {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot change ownership of identity sequence",
            )
            .detail(format!(
                "Sequence \"{}\" is linked to table \"{}\".",
                sequence.name,
                sequence
                    .owned_by
                    .and_then(|(table, _)| context.catalog.table(table))
                    .map_or("", |table| table.name.as_str())
            )));
        }
        changed.owned_by = match owned_by {
            None => None,
            Some(parts) => {
                let (table, column) = owner(context, &sequence, parts).await?;
                Some((table.oid, column))
            }
        };
    }
    context.put_sequence(changed)?;
    Ok(tag)
}

/// The sequence with options applied, and its state moved by RESTART.
pub(super) fn change(
    context: &mut Context<'_>,
    sequence: &Sequence,
    options: &SequenceOptions,
) -> Result<Sequence> {
    let mut changed = sequence.clone();
    options.apply(&mut changed, false)?;
    match options.restart {
        Some(value) => {
            let value = value.unwrap_or(changed.start);
            within("RESTART", value, &changed)?;
            restart(context, &mut changed, value)?;
        }
        None => {
            let (last, _) = context.engine.sequences.last_value(sequence)?;
            within("RESTART", last, &changed)?;
        }
    }
    Ok(changed)
}

/// Lets a sequence count from `value` on: under a new state, so that a rollback keeps the old one.
pub(super) fn restart(
    context: &mut Context<'_>,
    sequence: &mut Sequence,
    value: i64,
) -> Result<()> {
    let old = crate::catalog::sequence_mark(sequence);
    context.txn.delete(crate::storage::SEQUENCE_TABLE, old)?;
    sequence.state = u64::from(context.new_oid()?);
    sequence.restart = Some(value);
    Ok(())
}

/// Whether the sequence belongs to an identity column.
pub(super) fn is_identity(context: &Context<'_>, sequence: &Sequence) -> bool {
    sequence.owned_by.is_some_and(|(table, column)| {
        context
            .catalog
            .table(table)
            .and_then(|table| table.columns.get(column))
            .is_some_and(|column| {
                column.identity.is_some() && column.sequence == Some(sequence.oid)
            })
    })
}

/// The column that OWNED BY names.
async fn owner(
    context: &mut Context<'_>,
    sequence: &Sequence,
    parts: &[String],
) -> Result<(Arc<Table>, usize)> {
    let (table, column) = match parts {
        [table, column] => (QualifiedName::new(None, table), column),
        [schema, table, column] => (QualifiedName::new(Some(schema), table), column),
        _ => {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                    .hint("Specify OWNED BY table.column or OWNED BY NONE."),
            );
        }
    };
    let table = context
        .lock_table(&table, RelationMode::AccessShare)
        .await?;
    if table.schema != sequence.schema {
        return Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "sequence must be in same schema as table it is linked to",
        ));
    }
    if table.owner != sequence.owner {
        return Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "sequence must have same owner as table it is linked to",
        ));
    }
    let at = table
        .column(column)
        .ok_or_else(|| undefined_column(column, &table.name))?;
    Ok((table, at))
}
