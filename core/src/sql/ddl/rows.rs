//! Rows of a table as DDL needs them: all of them, decoded, to check, to index or to rewrite.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use super::super::Context;
use crate::catalog::{Index, Table, keys};
use crate::error::{Error, Result, SqlState};
use crate::storage::TableId;
use crate::txn::View;
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType, row, text};

/// Rows between two looks at whether the statement was stopped.
const CHECK_INTERVAL: usize = 1024;

/// Decodes rows of one table, with what rows written before a column existed have there.
pub(super) struct RowDecoder {
    types: Vec<PgType>,
    missing: Vec<Datum<'static>>,
    dropped: Vec<bool>,
}

impl RowDecoder {
    pub(super) fn new(table: &Table) -> Result<Self> {
        let mut missing = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            missing.push(match &column.missing {
                Some(value) => text::parse(column.ty, value, &TextStyle::default())?,
                None => Datum::Null,
            });
        }
        Ok(RowDecoder {
            types: physical_types(table),
            missing,
            dropped: table.columns.iter().map(|column| column.dropped).collect(),
        })
    }

    /// One datum for each physical column; dropped ones are NULL.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Vec<Datum<'static>>> {
        let row = row::RowRef::new(bytes)?;
        let stored = row.columns();
        let mut out = Vec::with_capacity(self.types.len());
        for (at, ty) in self.types.iter().enumerate() {
            let dropped = self.dropped.get(at).copied().unwrap_or(false);
            out.push(if dropped {
                Datum::Null
            } else if at < stored {
                row.get(at, *ty)?.into_owned()
            } else {
                self.missing.get(at).cloned().unwrap_or(Datum::Null)
            });
        }
        Ok(out)
    }
}

/// The types of all physical columns.
pub(super) fn physical_types(table: &Table) -> Vec<PgType> {
    table.columns.iter().map(|column| column.ty).collect()
}

/// Calls `each` with the key and the columns of every row of `table`, as the newest state has it.
pub(super) fn for_each_row(
    context: &mut Context<'_>,
    table: &Table,
    mut each: impl FnMut(&mut Context<'_>, &[u8], Vec<Datum<'static>>) -> Result<()>,
) -> Result<()> {
    let decoder = RowDecoder::new(table)?;
    let view = context.txn.latest()?;
    for (count, entry) in view
        .range(table.storage, Bound::Unbounded, Bound::Unbounded)?
        .enumerate()
    {
        if count.is_multiple_of(CHECK_INTERVAL) {
            context.interrupt.check()?;
        }
        let (key, bytes) = entry?;
        let row = decoder.decode(bytes.as_ref())?;
        each(context, key.as_ref(), row)?;
    }
    Ok(())
}

/// Whether the table has no row.
pub(super) fn is_empty(context: &mut Context<'_>, storage: TableId) -> Result<bool> {
    let view = context.txn.latest()?;
    let first = view
        .range(storage, Bound::Unbounded, Bound::Unbounded)?
        .next()
        .transpose()?;
    Ok(first.is_none())
}

/// Fills a new index from the table's rows.
///
/// # Errors
/// 23505 when the index is unique and two rows have the same key.
pub(super) fn build_index(context: &mut Context<'_>, table: &Table, index: &Index) -> Result<()> {
    let Some(storage) = index.storage else {
        return Ok(());
    };
    context.txn.create_table(storage)?;
    let mut seen = HashMap::new();
    for_each_row(context, table, |context, row_key, row| {
        if index.unique
            && let Some(key) = keys::unique_key(index, table, &row)?
            && seen.insert(key, ()).is_some()
        {
            return Err(duplicate(context, table, index, &row));
        }
        let key = keys::index_key(index, table, &row, row_key)?;
        context.txn.put(storage, key, Vec::new())
    })
}

/// Checks that rows would be unique under `columns`, for a primary key.
pub(super) fn duplicate(
    context: &Context<'_>,
    table: &Table,
    index: &Index,
    row: &[Datum<'_>],
) -> Error {
    Error::new(
        SqlState::UNIQUE_VIOLATION,
        format!("could not create unique index \"{}\"", index.name),
    )
    .detail(format!(
        "Key {} is duplicated.",
        key_detail(context, table, &index.columns, row)
    ))
    .schema(
        context
            .catalog
            .schema_name(table.schema)
            .unwrap_or_default(),
    )
    .table(&table.name)
    .constraint(&index.name)
}

/// `(a, b)=(1, x)`.
pub(super) fn key_detail(
    context: &Context<'_>,
    table: &Table,
    columns: &[usize],
    row: &[Datum<'_>],
) -> String {
    let mut names = Vec::with_capacity(columns.len());
    let mut values = Vec::with_capacity(columns.len());
    for &at in columns {
        if let (Some(column), Some(datum)) = (table.columns.get(at), row.get(at)) {
            names.push(column.name.clone());
            values.push(match datum {
                Datum::Null => "null".to_owned(),
                datum => text::to_string(datum, column.ty, &context.info.style),
            });
        }
    }
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// Whether the referenced table has a row with these values of the key's columns.
pub(super) fn has_referenced(
    view: &View,
    parent: &Table,
    index: &Index,
    values: &[Datum<'_>],
) -> Result<bool> {
    match index.storage {
        None => {
            let key = keys::table_prefix(parent, values)?;
            Ok(view.get(parent.storage, &key)?.is_some())
        }
        Some(storage) => {
            let prefix = keys::index_prefix(index, parent, values)?;
            let end = crate::types::key::prefix_end(&prefix);
            let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let first = view
                .range(storage, Bound::Included(&prefix), to)?
                .next()
                .transpose()?;
            Ok(first.is_some())
        }
    }
}

/// Moves all rows of `old` to a new storage table as rows of `new`, each changed by `change`, and
/// builds all indexes of `new` again. `new.storage` and its indexes' storage are set here; the
/// caller puts the table, which is returned, into the catalog.
pub(super) async fn rewrite(
    context: &mut Context<'_>,
    old: &Arc<Table>,
    mut new: Table,
    mut rows: Vec<(Vec<u8>, Vec<Datum<'static>>)>,
) -> Result<Arc<Table>> {
    let storage = TableId::from(context.new_oid()?);
    context.txn.create_table(storage)?;
    new.storage = storage;
    let types = physical_types(&new);
    let keyed = !new.primary_key.is_empty();
    let was_keyed = !old.primary_key.is_empty();
    let primary = context
        .catalog
        .indexes(&new)
        .into_iter()
        .find(|index| index.primary);
    let mut seen: HashMap<Vec<u8>, ()> = HashMap::new();
    for (old_key, row) in rows.drain(..) {
        let key = if keyed {
            let key = keys::table_key(&new, &row)?;
            if seen.insert(key.clone(), ()).is_some() {
                return Err(match &primary {
                    Some(index) => duplicate(context, &new, index, &row),
                    None => Error::internal("two rows have one key"),
                });
            }
            key
        } else if was_keyed {
            keys::row_id_key(context.engine.sequences.next_row_id(storage)?)?
        } else {
            old_key
        };
        context.txn.put(storage, key, row::encode(&row, &types)?)?;
    }
    if !keyed && !was_keyed {
        context
            .engine
            .sequences
            .move_row_ids(old.storage, storage)?;
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
        build_index(context, &new, &rebuilt)?;
        context.put_index(rebuilt)?;
    }
    Ok(new)
}

/// All rows of a table with their keys.
pub(super) fn all_rows(
    context: &mut Context<'_>,
    table: &Table,
) -> Result<Vec<(Vec<u8>, Vec<Datum<'static>>)>> {
    let mut rows = Vec::new();
    for_each_row(context, table, |_, key, row| {
        rows.push((key.to_vec(), row));
        Ok(())
    })?;
    Ok(rows)
}
