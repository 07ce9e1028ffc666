//! Writes all rows of a table anew, into another storage table: a bounded number of them at a time, and
//! straight into segments when they are many. Nobody sees the new table before the commit.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Expr;

use super::super::Context;
use super::rows::{Chunks, StoredRow, build_index, duplicate, physical_types};
use super::{expressions, foreign_key};
use crate::catalog::{Index, Sequence, Table, keys};
use crate::error::{Error, Result};
use crate::storage::{RowBatch, TableId, Wanted};
use crate::types::{Datum, PgType, cast, row};

/// What becomes of the rows.
pub(super) enum Change<'a> {
    /// They only move.
    Nothing,
    /// A column's values become those of another type.
    Cast { at: usize, from: PgType, to: PgType },
    /// A column gets what an expression over the old row gives.
    Transform {
        at: usize,
        to: PgType,
        expr: &'a Expr,
    },
    /// They get one more column.
    Append { ty: PgType, value: NewValue },
}

/// What rows get in a new column.
pub(super) enum NewValue {
    Next(Arc<Sequence>),
    /// Evaluated for each row.
    Default(Expr),
}

impl Change<'_> {
    async fn apply(
        &self,
        context: &mut Context<'_>,
        old: &Table,
        rows: &mut [StoredRow],
    ) -> Result<()> {
        match self {
            Change::Nothing => Ok(()),
            Change::Cast { at, from, to } => {
                for (_, row) in rows {
                    if let Some(datum) = row.get_mut(*at) {
                        let value = std::mem::replace(datum, Datum::Null);
                        *datum = assigned(context, value, *from, *to)?;
                    }
                }
                Ok(())
            }
            Change::Transform { at, to, expr } => {
                transform(context, old, (*at, *to), expr, rows).await
            }
            Change::Append { ty, value } => {
                for (_, row) in rows {
                    context.interrupt.check()?;
                    row.push(match value {
                        NewValue::Next(sequence) => {
                            let next = context.engine.sequences.next_value(sequence)?;
                            assigned(context, Datum::Int8(next), PgType::INT8, *ty)?
                        }
                        NewValue::Default(expr) => {
                            expressions::constant(context, expr, *ty).await?
                        }
                    });
                }
                Ok(())
            }
        }
    }
}

fn assigned(
    context: &Context<'_>,
    value: Datum<'static>,
    from: PgType,
    to: PgType,
) -> Result<Datum<'static>> {
    let style = &context.info.style;
    cast::cast(value, from, to, cast::Context::Assignment, style)
}

/// New values of a column, for all rows at once.
async fn transform(
    context: &mut Context<'_>,
    old: &Table,
    (at, to): (usize, PgType),
    expr: &Expr,
    rows: &mut [StoredRow],
) -> Result<()> {
    let live: Vec<Vec<Datum<'static>>> = rows
        .iter()
        .map(|(_, row)| {
            old.live_columns()
                .map(|(at, _)| row.get(at).cloned().unwrap_or(Datum::Null))
                .collect()
        })
        .collect();
    let execution = context.execution()?;
    let values = context
        .engine
        .query
        .evaluate(
            std::slice::from_ref(expr),
            Some(old),
            &live,
            &context.plan_context(),
            &execution,
        )
        .await?;
    for ((_, row), mut value) in rows.iter_mut().zip(values) {
        let (Some(datum), Some((value, from))) = (row.get_mut(at), value.pop()) else {
            return Err(Error::internal("an expression gave no value"));
        };
        *datum = assigned(context, value, from, to)?;
    }
    Ok(())
}

/// Moves all rows of `old` to a new storage table as rows of `new`, each with its change, and builds
/// all indexes of `new` again. `new.storage` and its indexes' storage are set here. Puts the table,
/// which is returned, into the catalog.
///
/// # Errors
/// 23505 when two rows have the same key, and those of the change.
pub(super) async fn rewrite(
    context: &mut Context<'_>,
    old: &Table,
    mut new: Table,
    change: &Change<'_>,
) -> Result<Arc<Table>> {
    foreign_key::lock_partners(context, old).await?;
    let storage = TableId::from(context.new_oid()?);
    context.txn.create_table(storage)?;
    new.storage = storage;
    context.txn.begin_load(vec![(storage, new.shape()?)])?;
    let types = physical_types(&new);
    let mut keys_differ = false;
    let mut chunks = Chunks::new(old)?;
    loop {
        let mut rows = chunks.next(context)?;
        if rows.is_empty() {
            break;
        }
        change.apply(context, old, &mut rows).await?;
        for (key, row) in &mut rows {
            let changed = new_key(context, old, &new, row)?;
            if let Some(changed) = changed.filter(|changed| changed != key) {
                keys_differ = true;
                *key = changed;
            }
        }
        // As long as every row keeps its key, no two can have one.
        if keys_differ {
            check_keys(context, &new, &rows)?;
        }
        for (key, row) in rows {
            context
                .txn
                .put_new(storage, key, row::encode(&row, &types)?)?;
            context.txn.move_on().await?;
        }
    }
    context.txn.end_load().await?;
    if old.primary_key.is_empty() && new.primary_key.is_empty() {
        let sequences = &context.engine.sequences;
        sequences.move_row_ids(old.storage, storage)?;
    }
    context.txn.drop_table(old.storage)?;
    let new = context.put_table(new)?;
    for index in context.catalog.indexes(&new) {
        let Some(old_storage) = index.storage else {
            continue;
        };
        context.txn.drop_table(old_storage)?;
        let rebuilt = Index {
            storage: Some(TableId::from(context.new_oid()?)),
            ..index.as_ref().clone()
        };
        build_index(context, &new, &rebuilt).await?;
        context.put_index(rebuilt)?;
    }
    Ok(new)
}

/// The key of a row in the new table; `None` when it is the one it has.
fn new_key(
    context: &Context<'_>,
    old: &Table,
    new: &Table,
    row: &[Datum<'static>],
) -> Result<Option<Vec<u8>>> {
    if !new.primary_key.is_empty() {
        return keys::table_key(new, row).map(Some);
    }
    if old.primary_key.is_empty() {
        return Ok(None);
    }
    let id = context.engine.sequences.next_row_id(new.storage)?;
    keys::row_id_key(id).map(Some)
}

/// Whether the keys of rows that are about to be written are new and different.
fn check_keys(context: &mut Context<'_>, new: &Table, rows: &[StoredRow]) -> Result<()> {
    let mut sorted: Vec<&StoredRow> = rows.iter().collect();
    sorted.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let again = sorted.windows(2).find_map(|pair| match pair {
        [one, next] if one.0 == next.0 => Some(*next),
        _ => None,
    });
    let mut taken = again;
    if taken.is_none() {
        let probes: Vec<&[u8]> = sorted.iter().map(|(key, _)| key.as_slice()).collect();
        let latest = context.txn.latest()?;
        let mut found = RowBatch::new(probes.len(), Wanted::Presence);
        latest.get_batch(new.storage, &probes, &mut found)?;
        for (row, found) in sorted.iter().zip(found.iter()) {
            if found.is_some() || context.txn.has_moved(new.storage, &row.0)? {
                taken = Some(*row);
                break;
            }
        }
    }
    let Some((_, row)) = taken else {
        return Ok(());
    };
    let indexes = context.catalog.indexes(new);
    let primary = indexes.iter().find(|index| index.primary);
    Err(match primary {
        Some(index) => duplicate(context, new, index, row),
        None => Error::internal("two rows have one key"),
    })
}
