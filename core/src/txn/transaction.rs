//! One transaction: what it has written, and the way to commit.

use std::sync::Arc;

use super::load::Loading;
use super::loads::Announced;
use super::lock_owner::LockOwner;
use super::memory::Reservation;
use super::read_set::ReadSet;
use super::recent::{Claim, changes};
use super::savepoint::Mark;
use super::write_set::WriteSet;
use super::{Interrupt, Transactions, View};
use crate::error::{Error, Result, SqlState};
use crate::segment::load::settled;
use crate::storage::{Snapshot, TableId};

/// Isolation levels. READ UNCOMMITTED is READ COMMITTED, as in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Clone, Copy, Debug)]
pub struct BeginOptions {
    pub isolation: Isolation,
    pub read_only: bool,
}

/// A transaction. Dropping it rolls back: nothing is written, all locks are released.
pub struct Transaction {
    pub(super) manager: Transactions,
    pub(super) options: BeginOptions,
    pub(super) interrupt: Interrupt,
    id: u64,
    /// Its loads, until it ends: before its locks.
    pub(super) loads: Vec<Announced>,
    /// The load of the running statement.
    pub(super) loading: Option<Loading>,
    pub(super) locks: LockOwner,
    pub(super) writes: WriteSet,
    /// The statement's (READ COMMITTED) or the transaction's snapshot.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) had_snapshot: bool,
    /// What was read, and the claim to validate it: SERIALIZABLE transactions that may write.
    pub(super) reads: Option<Arc<ReadSet>>,
    pub(super) claim: Option<Claim>,
    pub(super) savepoints: Vec<Mark>,
    /// What the parts of one statement read.
    pub(super) held: Option<View>,
    pub(super) memory: Reservation,
    /// Bytes of rows that the statement has found and keeps.
    pub(super) found: usize,
}

impl Transaction {
    pub(super) fn new(
        manager: Transactions,
        options: BeginOptions,
        interrupt: Interrupt,
        id: u64,
        locks: LockOwner,
    ) -> Self {
        Transaction {
            memory: manager.reservation(),
            found: 0,
            manager,
            options,
            interrupt,
            id,
            loads: Vec::new(),
            loading: None,
            locks,
            writes: WriteSet::default(),
            snapshot: None,
            had_snapshot: false,
            reads: None,
            claim: None,
            savepoints: Vec::new(),
            held: None,
        }
    }

    pub fn options(&self) -> BeginOptions {
        self.options
    }

    /// Changes the isolation level or access mode; the caller has checked that it still may.
    pub fn set_options(&mut self, options: BeginOptions) {
        self.options = options;
    }

    /// Whether a snapshot was taken, so that SET TRANSACTION ISOLATION comes too late.
    pub fn has_snapshot(&self) -> bool {
        self.had_snapshot
    }

    /// Identifies the transaction; grows.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Number of rows and index entries written.
    pub fn written(&self) -> usize {
        self.writes.len()
    }

    /// Whether the transaction wrote this row, or deleted it, other than in bulk.
    pub fn has_written(&self, table: TableId, key: &[u8]) -> bool {
        self.writes.has_written(table, key)
    }

    /// Whether anything was written.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(
                SqlState::READ_ONLY_SQL_TRANSACTION,
                "cannot write in a read-only transaction",
            ));
        }
        self.manager.store().check_writable()
    }

    /// Writes a row. The caller holds the row's lock.
    ///
    /// # Errors
    /// 25006 in a READ ONLY transaction; 58030 after a storage failure.
    pub fn put(&mut self, table: TableId, key: Vec<u8>, row: Vec<u8>) -> Result<()> {
        self.check_writable()?;
        self.writes.write(table, key, Some(row));
        self.reserve()
    }

    /// Deletes a row, if it is there. The caller holds the row's lock.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn delete(&mut self, table: TableId, key: Vec<u8>) -> Result<()> {
        self.check_writable()?;
        self.writes.write(table, key, None);
        self.reserve()
    }

    /// Creates a table at commit; until then its rows are in the write set.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn create_table(&mut self, table: TableId) -> Result<()> {
        self.check_writable()?;
        self.writes.create_table(table);
        Ok(())
    }

    /// Whether the transaction created this table since its newest savepoint: nobody else can have
    /// seen it.
    pub fn created_table(&self, table: TableId) -> bool {
        let mark = self.savepoints.last().map(|mark| mark.writes);
        self.writes.created_since(table, mark)
    }

    /// Drops a table at commit; its own pending writes are forgotten.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn drop_table(&mut self, table: TableId) -> Result<()> {
        self.check_writable()?;
        self.writes.drop_table(table);
        Ok(())
    }

    /// Commits: resolves once the transaction is durable. Its locks are released as soon as it is
    /// visible. If the future is dropped before it resolves, the transaction commits nevertheless.
    ///
    /// # Errors
    /// 40001 when SERIALIZABLE validation fails; 58030 when storage failed.
    pub async fn commit(mut self) -> Result<()> {
        self.no_load()?;
        if self.writes.is_empty() {
            return Ok(());
        }
        let loaded = self.writes.loaded();
        let (batch, sizes) = self.writes.into_batch();
        if batch.is_empty() {
            return Ok(());
        }
        let is_loaded = |table| loaded.iter().any(|loaded| loaded.table() == table);
        let changes = changes(&batch, |table| match is_loaded(table) {
            true => None,
            false => sizes.get(&table).copied(),
        });
        let (reads, claim, mut locks) = (self.reads, self.claim, self.locks);
        let memory = self.memory;
        let recent = self.manager.shared.recent.clone();
        let validate = {
            let recent = recent.clone();
            move |sequence| {
                let validation = reads.as_deref().zip(claim.as_ref());
                recent.admit(sequence, changes, validation)
            }
        };
        let (loads, settling) = (self.loads, loaded.clone());
        let on_visible = move |sequence| {
            for loaded in &loaded {
                loaded.keep();
            }
            recent.prune(sequence);
            drop((loads, memory));
            locks.release_since(0)
        };
        let store = self.manager.store();
        let (validate, on_visible) = (
            Some(Box::new(validate) as _),
            Some(Box::new(on_visible) as _),
        );
        let pending = match settling.is_empty() {
            true => store.submit_with(batch, validate, on_visible)?,
            false => {
                let settle = move |now: &Snapshot| settled(now, &settling);
                store.submit_sealed(batch, Box::new(settle), validate, on_visible)?
            }
        };
        pending.durable.await
    }

    pub fn rollback(self) {}
}
