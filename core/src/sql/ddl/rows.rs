//! Rows of a table as DDL needs them: all of them, decoded, to check or to index.

use std::ops::Bound;

use super::super::Context;
use super::super::violation::key_values;
use crate::catalog::{Index, Table, keys};
use crate::error::{Error, Result, SqlState};
use crate::segment::Shape;
use crate::storage::TableId;
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType, row, text};

/// Index entries between two looks at whether the statement was stopped.
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

/// A stored row: its key, and one datum for each physical column.
pub(super) type StoredRow = (Vec<u8>, Vec<Datum<'static>>);

/// Rows that are in memory together while others are awaited.
const CHUNK_ROWS: usize = if cfg!(test) { 64 } else { 1024 };
/// Bytes of rows after which a chunk ends, however few they are.
const CHUNK_BYTES: usize = 1 << 20;

/// The rows of a table that nobody writes to, a bounded number of them at a time. Each chunk is read
/// from a state of its own, so that a long pass pins no old one.
pub(super) struct Chunks {
    storage: TableId,
    decoder: RowDecoder,
    /// The last key that was read.
    after: Option<Vec<u8>>,
}

impl Chunks {
    pub(super) fn new(table: &Table) -> Result<Self> {
        Ok(Chunks {
            storage: table.storage,
            decoder: RowDecoder::new(table)?,
            after: None,
        })
    }

    /// The next rows, in key order; none at the end.
    pub(super) fn next(&mut self, context: &mut Context<'_>) -> Result<Vec<StoredRow>> {
        context.interrupt.check()?;
        let view = context.txn.latest()?;
        let from = self.after.as_deref();
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = Vec::new();
        let mut bytes = 0_usize;
        for entry in view.range(self.storage, from, Bound::Unbounded)? {
            let (key, row) = entry?;
            bytes = bytes.saturating_add(row.as_ref().len());
            rows.push((key.as_ref().to_vec(), self.decoder.decode(row.as_ref())?));
            if rows.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                break;
            }
        }
        if let Some((key, _)) = rows.last() {
            self.after = Some(key.clone());
        }
        Ok(rows)
    }
}

/// Calls `each` with the key and the columns of every row of `table`, as the newest state has it.
pub(super) fn for_each_row(
    context: &mut Context<'_>,
    table: &Table,
    mut each: impl FnMut(&mut Context<'_>, &[u8], Vec<Datum<'static>>) -> Result<()>,
) -> Result<()> {
    let mut chunks = Chunks::new(table)?;
    loop {
        let rows = chunks.next(context)?;
        if rows.is_empty() {
            return Ok(());
        }
        for (key, row) in rows {
            each(context, &key, row)?;
        }
    }
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

/// Fills a new index from the table's rows. Many entries go to segments directly.
///
/// # Errors
/// 23505 when the index is unique and two rows have the same key.
pub(super) async fn build_index(
    context: &mut Context<'_>,
    table: &Table,
    index: &Index,
) -> Result<()> {
    let Some(storage) = index.storage else {
        return Ok(());
    };
    context.txn.create_table(storage)?;
    context
        .txn
        .begin_load(vec![(storage, Shape::of_entries())])?;
    let mut chunks = Chunks::new(table)?;
    loop {
        let rows = chunks.next(context)?;
        if rows.is_empty() {
            break;
        }
        for (row_key, row) in &rows {
            let entry = keys::index_key(index, table, row, row_key)?;
            context.txn.put_new(storage, entry, Vec::new())?;
            context.txn.move_on().await?;
        }
    }
    context.txn.end_load().await?;
    match index.unique {
        true => check_unique(context, table, index, storage),
        false => Ok(()),
    }
}

/// Entries come in the order of their values, so equal ones are neighbours.
fn check_unique(
    context: &mut Context<'_>,
    table: &Table,
    index: &Index,
    storage: TableId,
) -> Result<()> {
    let view = context.txn.latest()?;
    let entries = view.range(storage, Bound::Unbounded, Bound::Unbounded)?;
    let mut last: Vec<u8> = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count.is_multiple_of(CHECK_INTERVAL) {
            context.interrupt.check()?;
        }
        let (entry, _) = entry?;
        let (value, row_key) = keys::split_entry(index, table, entry.as_ref())?;
        let Some(value) = value else {
            continue;
        };
        if last == value {
            let row = view.get(table.storage, row_key)?;
            let row = row.ok_or_else(|| Error::internal("an index entry of no row"))?;
            let row = RowDecoder::new(table)?.decode(row.as_ref())?;
            return Err(duplicate(context, table, index, &row));
        }
        last.clear();
        last.extend_from_slice(value);
    }
    Ok(())
}

/// 23505: a row has the key of another one.
pub(super) fn duplicate(
    context: &Context<'_>,
    table: &Table,
    index: &Index,
    row: &[Datum<'_>],
) -> Error {
    let message = format!("could not create unique index \"{}\"", index.name);
    let shown = context.shown_key(table, &index.columns, key_values(row, &index.columns));
    context
        .table_error(table, SqlState::UNIQUE_VIOLATION, message)
        .detail(format!("Key {shown} is duplicated."))
        .constraint(&index.name)
}
