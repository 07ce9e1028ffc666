//! How a transaction locks rows, values and relations.

use super::lock::Mode;
use super::lock_key::LockKey;
use super::lock_owner::Taken;
use super::{Isolation, LockTarget, RelationMode, RowMode, Transaction, Wait};
use crate::error::{Error, Result, SqlState};
use crate::storage::TableId;

/// What locking a row found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowLock {
    /// Locked; the row is as the statement's snapshot shows it.
    Unchanged,
    /// Locked; since the snapshot the row changed to this (READ COMMITTED only; the other levels
    /// fail with 40001), or was deleted (`None`).
    Changed(Option<Vec<u8>>),
    /// Another transaction holds it and the statement said SKIP LOCKED.
    Skipped,
}

impl Transaction {
    pub(super) async fn take(&mut self, key: LockKey, mode: Mode, wait: Wait) -> Result<Taken> {
        let clock = self.manager.shared.env.clock.as_ref();
        let taken = self
            .locks
            .take(key, mode, wait, &self.interrupt, clock)
            .await?;
        self.reserve()?;
        Ok(taken)
    }

    /// Locks a row and says whether it changed since the statement's snapshot.
    ///
    /// # Errors
    /// 40001, 40P01, 55P03 (see [`super::row_not_available`] for its wording), or what the interrupt
    /// raised.
    pub async fn lock_row(
        &mut self,
        table: TableId,
        key: &[u8],
        mode: RowMode,
        wait: Wait,
    ) -> Result<RowLock> {
        self.statement_snapshot()?;
        if self.writes.created_since(table, None) {
            return Ok(RowLock::Unchanged);
        }
        let lock = self.locks.row_key(table, key);
        if self.take(lock, mode.into(), wait).await? == Taken::Skipped {
            return Ok(RowLock::Skipped);
        }
        // Whoever wrote a row holds its lock, so nobody else has changed it since.
        if self.writes.has_written(table, key) {
            return Ok(RowLock::Unchanged);
        }
        // Read after the lock was granted: committers release theirs once they are visible.
        let newest = self.manager.store().snapshot()?;
        let seen = self.statement_snapshot()?;
        if newest.sequence() == seen.sequence() || newest.last_modified(table) <= seen.sequence() {
            return Ok(RowLock::Unchanged);
        }
        let before = seen.get(table, key)?;
        let now = newest.get(table, key)?;
        if before.as_ref().map(AsRef::as_ref) == now.as_ref().map(AsRef::as_ref) {
            return Ok(RowLock::Unchanged);
        }
        if self.options.isolation == Isolation::ReadCommitted {
            return Ok(RowLock::Changed(now.map(|row| row.as_ref().to_vec())));
        }
        let what = if now.is_some() { "update" } else { "delete" };
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            format!("could not serialize access due to concurrent {what}"),
        ))
    }

    /// Locks a key value (of a unique index, of a catalog name) or an advisory lock, without looking
    /// at any row. [`Wait::Skip`] is [`Wait::Fail`] here; see [`Transaction::try_lock_key`].
    ///
    /// # Errors
    /// 40P01, 55P03, or what the interrupt raised.
    pub async fn lock_key(&mut self, target: LockTarget, mode: RowMode, wait: Wait) -> Result<()> {
        let wait = match wait {
            Wait::Skip => Wait::Fail,
            wait => wait,
        };
        let key = self.locks.key(with_row_modes(&target)?);
        self.take(key, mode.into(), wait).await?;
        if let LockTarget::Row(table, key) = &target {
            self.wait_for_loads(*table, key, wait).await?;
        }
        Ok(())
    }

    /// [`Transaction::lock_key`] of a key value of `table` (a table's row or an index's entry).
    pub async fn lock_value(
        &mut self,
        table: TableId,
        key: &[u8],
        mode: RowMode,
        wait: Wait,
    ) -> Result<()> {
        let wait = match wait {
            Wait::Skip => Wait::Fail,
            wait => wait,
        };
        if self.writes.created_since(table, None) {
            return Ok(());
        }
        let name = self.locks.row_key(table, key);
        self.take(name, mode.into(), wait).await?;
        self.wait_for_loads(table, key, wait).await?;
        Ok(())
    }

    /// Takes a lock if that needs no waiting. Returns whether it did.
    pub async fn try_lock_key(&mut self, target: &LockTarget, mode: RowMode) -> Result<bool> {
        let key = self.locks.key(with_row_modes(target)?);
        let taken = self.take(key, mode.into(), Wait::Skip).await?;
        Ok(taken == Taken::Yes)
    }

    /// Locks a relation until the end of the transaction. [`Wait::Skip`] is [`Wait::Fail`] here.
    ///
    /// # Errors
    /// 40P01, 55P03 (see [`super::relation_not_available`]), or what the interrupt raised.
    pub async fn lock_relation(
        &mut self,
        relation: u32,
        mode: RelationMode,
        wait: Wait,
    ) -> Result<()> {
        let wait = match wait {
            Wait::Skip => Wait::Fail,
            wait => wait,
        };
        self.take(LockKey::Relation(relation), mode.into(), wait)
            .await
            .map(|_| ())
    }
}

/// Relations have other modes than everything else.
fn with_row_modes(target: &LockTarget) -> Result<&LockTarget> {
    match target {
        LockTarget::Relation(_) => Err(Error::internal("relations have lock modes of their own")),
        _ => Ok(target),
    }
}
