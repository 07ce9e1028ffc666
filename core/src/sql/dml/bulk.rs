//! New rows by the thousand: checked and written many at a time, with one look at each index for all of
//! them. The outcome is that of writing one after the other ([`Target::insert`]).
//!
//! A row is checked by itself when it is added. Uniqueness waits until there are some rows: their values
//! are locked in order, and then the newest state says which of them are taken. The first row that
//! cannot be written is the one that is reported; so whoever meets another error writes first what was
//! added before.

use std::sync::Arc;

use super::foreign_key::Changes;
use super::target::Target;
use crate::catalog::{Index, keys};
use crate::error::{Error, Result};
use crate::segment::Shape;
use crate::sql::Context;
use crate::sql::unique_index::holder;
use crate::storage::{RowBatch, TableId, Wanted};
use crate::txn::NEW_ROW_BYTES;
use crate::types::{Datum, row};

/// Rows that are written at once.
const MAX_ROWS: usize = 1024;
/// Bytes of rows that are written at once, however few they are.
const MAX_BYTES: usize = 1 << 20;

/// Rows that were added and not yet written.
pub(super) struct Bulk {
    target: Arc<Target>,
    rows: Vec<NewRow>,
    bytes: usize,
}

struct NewRow {
    row_key: Vec<u8>,
    bytes: Vec<u8>,
    /// By position among the indexes: the value that a unique one allows once. Nothing for the primary
    /// key, whose value is the row key, and for values with a NULL.
    values: Vec<Option<Vec<u8>>>,
    /// Index entries, by the index's storage.
    entries: Vec<(TableId, Vec<u8>)>,
    /// Number of the line that it comes from.
    line: Option<u64>,
}

impl NewRow {
    /// What a unique index allows once.
    fn value(&self, at: usize, index: &Index) -> Option<&[u8]> {
        match index.storage {
            None => Some(&self.row_key),
            Some(_) => self.values.get(at)?.as_deref(),
        }
    }
}

impl Bulk {
    /// Begins to write many rows to a table.
    pub(super) fn begin(context: &mut Context<'_>, target: &Arc<Target>) -> Result<Bulk> {
        let mut tables = vec![(target.table.storage, target.table.shape()?)];
        let entries = target.indexes.iter().filter_map(|index| index.storage);
        tables.extend(entries.map(|storage| (storage, Shape::of_entries())));
        context.txn.begin_load(tables)?;
        Ok(Bulk {
            target: target.clone(),
            rows: Vec::new(),
            bytes: 0,
        })
    }

    /// Adds a row, and writes some if they are many.
    ///
    /// # Errors
    /// As [`Target::insert`], about this row or one before. The caller calls [`Bulk::write`] before it
    /// reports an error, and rather reports what that returns.
    pub(super) async fn add(
        &mut self,
        context: &mut Context<'_>,
        changes: &mut Changes,
        values: &[Datum<'_>],
        line: Option<u64>,
    ) -> Result<()> {
        let target = self.target.clone();
        target.check(context, values).await?;
        let table = &target.table;
        let row_key = if table.primary_key.is_empty() {
            keys::row_id_key(context.engine.sequences.next_row_id(table.storage)?)?
        } else {
            keys::table_key(table, values)?
        };
        let mut row = NewRow {
            bytes: row::encode(values, &target.types)?,
            values: Vec::new(),
            entries: Vec::new(),
            row_key,
            line,
        };
        for (at, index) in target.indexes.iter().enumerate() {
            let Some(storage) = index.storage else {
                continue;
            };
            if index.unique {
                row.values.resize(at, None);
                row.values.push(keys::unique_key(index, table, values)?);
            }
            let entry = keys::index_key(index, table, values, &row.row_key)?;
            row.entries.push((storage, entry));
        }
        for at in 0..target.foreign_keys.len() {
            changes.note_child(&target, at, values)?;
        }
        let entries = row
            .entries
            .iter()
            .map(|(_, entry)| NEW_ROW_BYTES + entry.len());
        self.bytes += NEW_ROW_BYTES + row.row_key.len() + row.bytes.len() + entries.sum::<usize>();
        self.rows.push(row);
        let most_bytes = MAX_BYTES.min(context.txn.for_new_rows());
        if self.rows.len() >= MAX_ROWS || self.bytes >= most_bytes {
            self.write(context).await?;
            context.txn.move_on().await?;
            changes.check_early(context).await?;
        }
        Ok(())
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// 23505, and those of locks; with the row's line, if it has one.
    pub(super) async fn write(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.bytes = 0;
        let mut rows = std::mem::take(&mut self.rows);
        let mut locked = 0;
        let target = self.target.clone();
        while locked < rows.len() {
            for (at, index) in target.unique() {
                let storage = index.storage.unwrap_or(target.table.storage);
                let row = rows.get(locked);
                let Some(value) = row.and_then(|row| row.value(at, index)) else {
                    continue;
                };
                if context.txn.try_lock_new_value(storage, value).await? {
                    continue;
                }
                let value = value.to_vec();
                // What comes before has its turn before anybody waits.
                let rest = rows.split_off(locked);
                self.check_and_put(context, std::mem::replace(&mut rows, rest))
                    .await?;
                locked = 0;
                let wait = context.wait();
                let taken = context.txn.lock_new_value(storage, &value, wait).await;
                let line = rows.first().and_then(|row| row.line);
                taken.map_err(|error| self.at_line(error, line))?;
            }
            locked += 1;
        }
        self.check_and_put(context, rows).await
    }

    /// Writes the rest, and ends the load.
    ///
    /// # Errors
    /// As [`Bulk::write`].
    pub(super) async fn finish(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.write(context).await?;
        context.txn.end_load().await
    }

    /// Writes rows whose values are locked, unless one is taken.
    async fn check_and_put(&self, context: &mut Context<'_>, rows: Vec<NewRow>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if let Some((at, index)) = self.first_taken(context, &rows)? {
            let row = rows
                .get(at)
                .ok_or_else(|| Error::internal("a row that was never added"))?;
            let values = self.target.decode(&row.bytes)?;
            let error = self.target.duplicate(index, &values, context);
            return Err(self.at_line(error, row.line));
        }
        let storage = self.target.table.storage;
        for row in rows {
            for (storage, entry) in row.entries {
                context.txn.put_new(storage, entry, Vec::new())?;
            }
            context.txn.put_new(storage, row.row_key, row.bytes)?;
        }
        Ok(())
    }

    /// The first row with a value that another row has, or one before it, and the index that has it.
    fn first_taken(
        &self,
        context: &mut Context<'_>,
        rows: &[NewRow],
    ) -> Result<Option<(usize, &Index)>> {
        let target = &self.target;
        let mut first: Option<(usize, &Index)> = None;
        let latest = context.txn.latest()?;
        for (at, index) in target.unique() {
            let mut values: Vec<(&[u8], usize)> = rows
                .iter()
                .enumerate()
                .filter_map(|(n, row)| Some((row.value(at, index)?, n)))
                .collect();
            values.sort_unstable();
            let again = values.windows(2).filter_map(|pair| match pair {
                [(one, _), (next, n)] if one == next => Some(*n),
                _ => None,
            });
            let mut taken: Option<usize> = again.min();
            let mut note = |n: usize| taken = Some(taken.map_or(n, |known| known.min(n)));
            let storage = index.storage.unwrap_or(target.table.storage);
            match index.storage {
                None => {
                    values.dedup_by_key(|(value, _)| *value);
                    let probes: Vec<&[u8]> = values.iter().map(|(value, _)| *value).collect();
                    let mut found = RowBatch::new(probes.len(), Wanted::Presence);
                    latest.get_batch(storage, &probes, &mut found)?;
                    for ((_, n), found) in values.iter().zip(found.iter()) {
                        if found.is_some() {
                            note(*n);
                        }
                    }
                }
                Some(_) => {
                    for (value, n) in &values {
                        if holder(&latest, &target.table, index, value)?.is_some() {
                            note(*n);
                        }
                    }
                }
            }
            for (value, n) in &values {
                if context.txn.has_moved(storage, value)? {
                    note(*n);
                }
            }
            // Of one row, the index that comes first counts.
            if let Some(n) = taken
                && first.is_none_or(|(known, _)| n < known)
            {
                first = Some((n, index));
            }
        }
        Ok(first)
    }

    fn at_line(&self, error: Error, line: Option<u64>) -> Error {
        match line {
            None => error,
            Some(line) => error.context(format!("COPY {}, line {line}", self.target.table.name)),
        }
    }
}
