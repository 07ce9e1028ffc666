//! The one place that writes a row: the row, its index entries, and everything that PostgreSQL
//! checks on the way.
//!
//! A row is checked by itself first (NOT NULL, CHECK), then against the unique indexes, then it is
//! written. Foreign keys are checked at the end of the statement, as PostgreSQL's triggers do: a
//! write only notes what there is to check ([`Changes`]), and [`Changes::finish`] does it.
//!
//! Uniqueness under concurrency: the key value itself is locked, so that of two transactions that
//! write the same value the second waits for the first; only then the newest committed state (and
//! the own writes) say whether the value is taken.

use std::borrow::Cow;
use std::sync::Arc;

use super::foreign_key::Changes;
use super::target::Target;
use crate::catalog::{Index, keys};
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::sql::unique_index::holder;
use crate::sql::violation::key_values;
use crate::txn::{LockTarget, RowMode};
use crate::types::{Datum, row};

/// A unique index that already has the value of a new row.
pub(super) struct Conflict {
    /// Position in [`Target::indexes`].
    pub index: usize,
    /// Key of the row that has it.
    pub row_key: Vec<u8>,
}

/// Whether the unique check of a row was made before, with the locks kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unique {
    Check,
    Checked,
}

impl Target {
    /// Writes a new row. Returns its key.
    ///
    /// # Errors
    /// 23502, 23514, 23505, and those of locks.
    pub(super) async fn insert(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        changes: &mut Changes,
        values: &[Datum<'_>],
        unique: Unique,
    ) -> Result<Vec<u8>> {
        if unique == Unique::Check {
            self.check(context, values).await?;
        }
        let row_key = if self.table.primary_key.is_empty() {
            keys::row_id_key(context.engine.sequences.next_row_id(self.table.storage)?)?
        } else {
            keys::table_key(&self.table, values)?
        };
        if unique == Unique::Check {
            for index in self.indexes.iter().filter(|index| index.unique) {
                self.check_unique(context, index, values, &row_key, None)
                    .await?;
            }
        }
        let bytes = row::encode(values, &self.types)?;
        for index in &self.indexes {
            if let Some(storage) = index.storage {
                let entry = keys::index_key(index, &self.table, values, &row_key)?;
                context.txn.put(storage, entry, Vec::new())?;
            }
        }
        context
            .txn
            .put(self.table.storage, row_key.clone(), bytes)?;
        for at in 0..self.foreign_keys.len() {
            let bytes = changes.note_child(self, at, values)?;
            context.txn.keep(bytes)?;
        }
        Ok(row_key)
    }

    /// Replaces a row that the caller has locked. `changed` says for each physical column whether
    /// the statement assigned it. Returns the row's key, a new one if the primary key changed.
    ///
    /// # Errors
    /// As [`Target::insert`].
    pub(super) async fn update(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        changes: &mut Changes,
        row_key: &[u8],
        old: &[Datum<'_>],
        new: &[Datum<'_>],
        changed: &[bool],
    ) -> Result<Vec<u8>> {
        self.check(context, new).await?;
        let touches = |columns: &[usize]| {
            columns
                .iter()
                .any(|at| changed.get(*at).copied().unwrap_or(true))
        };
        let new_key = match touches(&self.table.primary_key) {
            true => keys::table_key(&self.table, new)?,
            false => row_key.to_vec(),
        };
        let moved = new_key != row_key;
        for index in &self.indexes {
            if index.unique && touches(&index.columns) {
                self.check_unique(context, index, new, &new_key, Some((old, row_key)))
                    .await?;
            }
        }
        let bytes = row::encode(new, &self.types)?;
        for index in &self.indexes {
            let Some(storage) = index.storage else {
                continue;
            };
            if !moved && !touches(&index.columns) {
                continue;
            }
            let before = keys::index_key(index, &self.table, old, row_key)?;
            let after = keys::index_key(index, &self.table, new, &new_key)?;
            if before != after {
                context.txn.delete(storage, before)?;
                context.txn.put(storage, after, Vec::new())?;
            }
        }
        if moved {
            context.txn.delete(self.table.storage, row_key.to_vec())?;
        }
        context
            .txn
            .put(self.table.storage, new_key.clone(), bytes)?;
        for (at, foreign) in self.foreign_keys.iter().enumerate() {
            if touches(&foreign.columns) && differs(&foreign.columns, old, new) {
                let bytes = changes.note_child(self, at, new)?;
                context.txn.keep(bytes)?;
            }
        }
        for (at, (_, foreign)) in self.referencing.iter().enumerate() {
            if touches(&foreign.referenced) && differs(&foreign.referenced, old, new) {
                let bytes = changes.note_parent(self, at, old, Some(new));
                context.txn.keep(bytes)?;
            }
        }
        Ok(new_key)
    }

    /// Removes a row that the caller has locked.
    pub(super) fn delete(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        changes: &mut Changes,
        row_key: &[u8],
        old: &[Datum<'_>],
    ) -> Result<()> {
        for index in &self.indexes {
            if let Some(storage) = index.storage {
                let entry = keys::index_key(index, &self.table, old, row_key)?;
                context.txn.delete(storage, entry)?;
            }
        }
        context.txn.delete(self.table.storage, row_key.to_vec())?;
        for at in 0..self.referencing.len() {
            let bytes = changes.note_parent(self, at, old, None);
            context.txn.keep(bytes)?;
        }
        Ok(())
    }

    /// The lock that an update of these columns needs.
    pub(super) fn update_mode(&self, changed: &[bool]) -> RowMode {
        match self
            .key_columns
            .iter()
            .zip(changed)
            .any(|(key, changed)| *key && *changed)
        {
            true => RowMode::Update,
            false => RowMode::NoKeyUpdate,
        }
    }

    /// Locks the value that `index` would get and fails if another row has it.
    async fn check_unique(
        &self,
        context: &mut Context<'_>,
        index: &Index,
        new: &[Datum<'_>],
        new_key: &[u8],
        before: Option<(&[Datum<'_>], &[u8])>,
    ) -> Result<()> {
        let (target, prefix) = match index.storage {
            None => (self.table.storage, Cow::Borrowed(new_key)),
            Some(storage) => match keys::unique_key(index, &self.table, new)? {
                Some(prefix) => (storage, Cow::Owned(prefix)),
                None => return Ok(()),
            },
        };
        if let Some((old, old_key)) = before {
            let unchanged = match index.storage {
                None => old_key == new_key,
                Some(_) => {
                    keys::unique_key(index, &self.table, old)?.as_deref() == Some(prefix.as_ref())
                }
            };
            if unchanged {
                return Ok(());
            }
        }
        let wait = context.wait();
        context
            .txn
            .lock_value(target, &prefix, RowMode::Update, wait)
            .await?;
        if holder(&context.txn.latest()?, &self.table, index, &prefix)?.is_none() {
            return Ok(());
        }
        Err(self.duplicate(index, new, context))
    }

    /// 23505 for `row`.
    pub(super) fn duplicate(
        &self,
        index: &Index,
        row: &[Datum<'_>],
        context: &Context<'_>,
    ) -> Error {
        let message = format!(
            "duplicate key value violates unique constraint \"{}\"",
            index.name
        );
        let values = key_values(row, &index.columns);
        let shown = context.shown_key(&self.table, &index.columns, values);
        context
            .table_error(&self.table, SqlState::UNIQUE_VIOLATION, message)
            .detail(format!("Key {shown} already exists."))
            .constraint(&index.name)
    }

    /// Looks for a row that has the new row's value in one of the unique indexes `arbiters`
    /// (positions in [`Target::indexes`]). If there is none, the values stay locked, so that the
    /// row can be inserted.
    pub(super) async fn find_conflict(
        &self,
        context: &mut Context<'_>,
        values: &[Datum<'_>],
        arbiters: &[usize],
    ) -> Result<Option<Conflict>> {
        for &at in arbiters {
            let Some(index) = self.indexes.get(at) else {
                continue;
            };
            let Some(prefix) = keys::unique_key(index, &self.table, values)? else {
                continue;
            };
            // A row that is there needs no lock on the value; DO NOTHING must not wait for those
            // who only update it.
            let mut found = holder(&context.txn.latest()?, &self.table, index, &prefix)?;
            if found.is_none() {
                let target = index.storage.unwrap_or(self.table.storage);
                let lock = LockTarget::Row(target, prefix.clone());
                let wait = context.wait();
                context.txn.lock_key(lock, RowMode::Update, wait).await?;
                found = holder(&context.txn.latest()?, &self.table, index, &prefix)?;
            }
            if let Some(row_key) = found {
                return Ok(Some(Conflict { index: at, row_key }));
            }
        }
        Ok(None)
    }

    /// Checks the unique indexes other than `arbiters`, which [`Target::find_conflict`] did.
    pub(super) async fn check_other_unique(
        &self,
        context: &mut Context<'_>,
        values: &[Datum<'_>],
        arbiters: &[usize],
    ) -> Result<()> {
        for (at, index) in self.indexes.iter().enumerate() {
            if index.unique && !arbiters.contains(&at) {
                let row_key = match index.storage {
                    None => keys::table_key(&self.table, values)?,
                    Some(_) => Vec::new(),
                };
                self.check_unique(context, index, values, &row_key, None)
                    .await?;
            }
        }
        Ok(())
    }
}

/// Whether any of these columns differs between two versions of a row.
fn differs(columns: &[usize], old: &[Datum<'_>], new: &[Datum<'_>]) -> bool {
    columns.iter().any(|at| match (old.get(*at), new.get(*at)) {
        (Some(old), Some(new)) => match (old.is_null(), new.is_null()) {
            (false, false) => crate::types::ops::compare(old, new).is_ne(),
            (old, new) => old != new,
        },
        _ => true,
    })
}
