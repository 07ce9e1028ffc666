//! Keys of rows and of index entries: which bytes a row is stored under, and which bytes an index
//! keeps for it.
//!
//! ```text
//! row with a primary key      key(column) …                  in primary key order
//! row without one             key(int8 row id)
//! index entry                 key(column) … ‖ row key        value: empty
//! ```
//!
//! Each part is an order-preserving, self-delimiting encoding of [`crate::types::key`], so entries
//! of one index sort by value and then by row, and the row key is what follows the index's columns.
//! The primary key's own index has no entries: the rows are it.
//!
//! A *row* here is a slice with one datum for each physical column of the table, dropped ones
//! included: position `i` is `table.columns[i]`.

use super::{Index, Table};
use crate::error::{Error, Result};
use crate::types::{Datum, PgType, key};

/// The key a row of `table` is stored under, from its primary key's columns.
///
/// # Errors
/// XX000 when the table has no primary key: such rows are stored under [`row_id_key`].
pub fn table_key(table: &Table, row: &[Datum<'_>]) -> Result<Vec<u8>> {
    if table.primary_key.is_empty() {
        return Err(Error::internal(format!(
            "table \"{}\" has no primary key to take a row's key from",
            table.name
        )));
    }
    let mut out = Vec::with_capacity(16);
    encode_columns(table, &table.primary_key, row, &mut out)?;
    Ok(out)
}

/// The key of a row of a table without a primary key, from its hidden row id.
pub fn row_id_key(id: i64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    key::encode(&Datum::Int8(id), PgType::INT8, &mut out)?;
    Ok(out)
}

/// The leading part of row keys for values of the first primary key columns, in key order.
pub fn table_prefix(table: &Table, values: &[Datum<'_>]) -> Result<Vec<u8>> {
    encode_values(table, &table.primary_key, values)
}

/// The key of `row`'s entry in `index`; `row_key` is the key that the row is stored under.
pub fn index_key(
    index: &Index,
    table: &Table,
    row: &[Datum<'_>],
    row_key: &[u8],
) -> Result<Vec<u8>> {
    if index.storage.is_none() {
        return Ok(row_key.to_vec());
    }
    let mut out = Vec::with_capacity(row_key.len().saturating_add(16));
    encode_columns(table, &index.columns, row, &mut out)?;
    out.extend_from_slice(row_key);
    Ok(out)
}

/// The leading part of index entries for values of the index's first columns, in index order.
pub fn index_prefix(index: &Index, table: &Table, values: &[Datum<'_>]) -> Result<Vec<u8>> {
    encode_values(table, &index.columns, values)
}

/// The part of `row`'s entry that a unique index allows once; `None` when a column of it is NULL,
/// for NULLs are distinct unless the index says otherwise.
pub fn unique_key(index: &Index, table: &Table, row: &[Datum<'_>]) -> Result<Option<Vec<u8>>> {
    for &at in &index.columns {
        if value(row, at)?.is_null() && !index.nulls_not_distinct {
            return Ok(None);
        }
    }
    let mut out = Vec::new();
    encode_columns(table, &index.columns, row, &mut out)?;
    Ok(Some(out))
}

/// The row key at the end of an index entry.
///
/// # Errors
/// XX001 when the entry is not one of this index.
pub fn row_key_of<'a>(index: &Index, table: &Table, entry: &'a [u8]) -> Result<&'a [u8]> {
    if index.storage.is_none() {
        return Ok(entry);
    }
    let mut rest = entry;
    for &at in &index.columns {
        key::decode(&mut rest, column_type(table, at)?)?;
    }
    Ok(rest)
}

/// An index entry as what a unique index allows once ([`unique_key`]) and the row key.
///
/// # Errors
/// XX001 when the entry is not one of this index.
pub fn split_entry<'a>(
    index: &Index,
    table: &Table,
    entry: &'a [u8],
) -> Result<(Option<&'a [u8]>, &'a [u8])> {
    let mut rest = entry;
    let mut nulls = false;
    for &at in &index.columns {
        nulls |= key::decode(&mut rest, column_type(table, at)?)?.is_null();
    }
    let (value, row_key) = entry.split_at(entry.len().saturating_sub(rest.len()));
    let distinct = nulls && !index.nulls_not_distinct;
    Ok(((!distinct).then_some(value), row_key))
}

fn encode_columns(
    table: &Table,
    columns: &[usize],
    row: &[Datum<'_>],
    out: &mut Vec<u8>,
) -> Result<()> {
    for &at in columns {
        key::encode(value(row, at)?, column_type(table, at)?, out)?;
    }
    Ok(())
}

fn encode_values(table: &Table, columns: &[usize], values: &[Datum<'_>]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (&at, datum) in columns.iter().zip(values) {
        key::encode(datum, column_type(table, at)?, &mut out)?;
    }
    Ok(out)
}

fn column_type(table: &Table, at: usize) -> Result<PgType> {
    match table.columns.get(at) {
        Some(column) => Ok(column.ty),
        None => Err(Error::corrupted(format!(
            "an index of table \"{}\" names column {at}, which does not exist",
            table.name
        ))),
    }
}

fn value<'r, 'd>(row: &'r [Datum<'d>], at: usize) -> Result<&'r Datum<'d>> {
    row.get(at)
        .ok_or_else(|| Error::internal(format!("a row lacks column {at}")))
}
