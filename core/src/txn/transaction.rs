//! One transaction: snapshots, own writes, locks, savepoints, and the way to commit.

use std::sync::Arc;

use super::load::Loading;
use super::loads::Announced;
use super::lock::Mode;
use super::lock_key::LockKey;
use super::lock_owner::{LockOwner, Taken};
use super::memory::Reservation;
use super::read_set::ReadSet;
use super::recent::{Claim, changes};
use super::write_set::WriteSet;
use super::{Interrupt, LockTarget, RelationMode, RowMode, Transactions, View, Wait};
use crate::error::{Error, Result, SqlState};
use crate::segment::load::settled;
use crate::storage::{CATALOG_TABLE, Snapshot, TableId};

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

/// A mark to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(pub(super) usize);

/// What a savepoint remembers.
struct Mark {
    writes: usize,
    locks: usize,
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
    snapshot: Option<Arc<Snapshot>>,
    had_snapshot: bool,
    /// What was read, and the claim to validate it: SERIALIZABLE transactions that may write.
    reads: Option<Arc<ReadSet>>,
    claim: Option<Claim>,
    savepoints: Vec<Mark>,
    /// What the parts of one statement read.
    held: Option<View>,
    memory: Reservation,
    /// Bytes of rows that the statement has found and keeps.
    found: usize,
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

    /// Starts a statement: READ COMMITTED takes a new snapshot.
    pub fn start_statement(&mut self) -> Result<()> {
        self.held = None;
        self.found = 0;
        if self.options.isolation == Isolation::ReadCommitted {
            self.snapshot = None;
        }
        self.statement_snapshot().map(|_| ())
    }

    /// Ends a statement: READ COMMITTED gives its snapshot back, so that a transaction that is idle
    /// does not pin freed pages. Optional.
    pub fn end_statement(&mut self) {
        self.held = None;
        let found = std::mem::take(&mut self.found);
        if found > self.writes.bytes() {
            self.give_back();
        }
        if self.options.isolation == Isolation::ReadCommitted {
            self.snapshot = None;
        }
    }

    pub(super) fn statement_snapshot(&mut self) -> Result<&Arc<Snapshot>> {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.new_snapshot()?);
            self.had_snapshot = true;
        }
        self.snapshot
            .as_ref()
            .ok_or_else(|| Error::internal("no snapshot"))
    }

    fn new_snapshot(&mut self) -> Result<Arc<Snapshot>> {
        let shared = &self.manager.shared;
        // A transaction that only reads is as if it had run wholly at its snapshot.
        if self.options.isolation == Isolation::Serializable && !self.options.read_only {
            let (snapshot, claim) = shared.recent.claim(&shared.store)?;
            self.claim = Some(claim);
            self.reads = Some(Arc::default());
            return Ok(snapshot);
        }
        shared.store.snapshot()
    }

    /// The statement's snapshot ∪ own writes until now. Later writes do not show in it.
    pub fn view(&mut self) -> Result<View> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let snapshot = self.statement_snapshot()?.clone();
        let (tables, stamp) = self.writes.share();
        Ok(View::new(snapshot, tables, stamp, self.reads.clone()))
    }

    /// Number of the commit that changed the catalog last, as the statement's snapshot sees it;
    /// `None` when the transaction changed it itself. As [`View::version`], without making a view.
    pub fn catalog_version(&mut self) -> Result<Option<u64>> {
        if self.writes.touches(CATALOG_TABLE) {
            return Ok(None);
        }
        Ok(Some(
            self.statement_snapshot()?.last_modified(CATALOG_TABLE),
        ))
    }

    /// Whether a commit since the statement's snapshot changed the catalog.
    pub fn catalog_changed(&mut self) -> Result<bool> {
        let newest = self.manager.store().snapshot()?;
        let seen = self.statement_snapshot()?;
        Ok(newest.last_modified(CATALOG_TABLE) > seen.last_modified(CATALOG_TABLE))
    }

    /// From now on [`Self::view`] gives the present one, until it is released or the statement ends:
    /// the parts of one statement do not see each other's writes.
    pub fn hold_view(&mut self) -> Result<()> {
        self.held = Some(self.view()?);
        Ok(())
    }

    pub fn holds_view(&self) -> bool {
        self.held.is_some()
    }

    pub fn release_view(&mut self) {
        self.held = None;
    }

    /// The newest committed state ∪ own writes until now: for uniqueness and foreign keys.
    ///
    /// SERIALIZABLE does not validate what is read here. Lock what the answer depends on.
    pub fn latest(&mut self) -> Result<View> {
        let snapshot = self.manager.store().snapshot()?;
        let (tables, stamp) = self.writes.share();
        Ok(View::new(snapshot, tables, stamp, None))
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

    pub(super) async fn take(&mut self, key: LockKey, mode: Mode, wait: Wait) -> Result<Taken> {
        let clock = self.manager.shared.env.clock.as_ref();
        let taken = self
            .locks
            .take(key, mode, wait, &self.interrupt, clock)
            .await?;
        self.reserve()?;
        Ok(taken)
    }

    /// Says that the statement keeps so many more bytes until it ends: rows that it is about to change,
    /// or gives back.
    ///
    /// # Errors
    /// 53200 when transactions have too much in memory.
    pub fn keep(&mut self, bytes: usize) -> Result<()> {
        self.found = self.found.saturating_add(bytes);
        self.reserve()
    }

    /// Reserves memory for what the transaction has.
    pub(super) fn reserve(&mut self) -> Result<()> {
        match self.memory.covers(self.bytes()) {
            true => Ok(()),
            false => self.recount(),
        }
    }

    /// Gives back what is reserved and not needed any more.
    pub(super) fn give_back(&mut self) {
        // Less is always granted.
        let _ = self.recount();
    }

    /// Counts what the transaction has, and reserves as much.
    ///
    /// # Errors
    /// 53200 when there is not so much.
    pub(super) fn recount(&mut self) -> Result<()> {
        self.writes.count();
        let bytes = self.bytes();
        self.memory.resize(bytes)
    }

    /// Bytes of memory, at most.
    fn bytes(&self) -> usize {
        let loading = self.loading.as_ref().map_or(0, Loading::bytes);
        let beside = self.found.saturating_add(self.locks.bytes());
        let bytes = self.writes.bytes().saturating_add(beside);
        bytes.saturating_add(loading)
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

    pub fn savepoint(&mut self) -> Savepoint {
        self.savepoints.push(Mark {
            writes: self.writes.mark(),
            locks: self.locks.mark(),
        });
        Savepoint(self.savepoints.len() - 1)
    }

    /// Undoes every write since `savepoint` and releases the locks taken since. The savepoint stays.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        let Some(mark) = self.savepoints.get(savepoint.0) else {
            debug_assert!(false, "the savepoint was released");
            return;
        };
        let undone = self.writes.undo_len().saturating_sub(mark.writes);
        self.loading = None;
        self.locks.release_passing();
        self.writes.undo_to(mark.writes);
        self.locks.release_since(mark.locks);
        self.savepoints.truncate(savepoint.0 + 1);
        // Counting takes as long as there are rows.
        match undone > self.writes.len() / 4 {
            true => self.give_back(),
            // Less is always granted.
            false => drop(self.memory.resize(self.bytes())),
        }
    }

    /// The transaction failed and can only be rolled back: to its newest savepoint, or as a whole.
    /// Undoes its writes and gives back its locks until there, so that nobody waits for a client.
    pub fn fail(&mut self) {
        match self.savepoints.len().checked_sub(1) {
            Some(newest) => self.rollback_to(Savepoint(newest)),
            None => {
                self.loading = None;
                self.loads = Vec::new();
                self.writes = WriteSet::default();
                self.locks.release_passing();
                self.locks.release_since(0);
                self.memory = self.manager.reservation();
            }
        }
        self.end_statement();
    }

    /// Forgets `savepoint` and later ones; their writes stay.
    pub fn release(&mut self, savepoint: Savepoint) {
        self.savepoints.truncate(savepoint.0);
        if self.savepoints.is_empty() {
            self.writes.forget_marks();
        }
    }

    /// Commits: resolves once the transaction is durable. Its locks are released as soon as it is
    /// visible. If the future is dropped before it resolves, the transaction commits nevertheless.
    ///
    /// # Errors
    /// 40001 when SERIALIZABLE validation fails; 58030 when storage failed.
    pub async fn commit(mut self) -> Result<()> {
        if self.loading.as_ref().is_some_and(Loading::has_rows) {
            return Err(Error::internal("a statement has not ended its load"));
        }
        self.give_up_load();
        if self.writes.is_empty() {
            return Ok(());
        }
        let loaded = self.writes.loaded();
        let batch = self.writes.into_batch();
        if batch.is_empty() {
            return Ok(());
        }
        let mut changes = changes(&batch);
        for (table, keys) in &mut changes {
            if loaded.iter().any(|loaded| loaded.table() == *table) {
                *keys = None;
            }
        }
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

/// Relations have other modes than everything else.
fn with_row_modes(target: &LockTarget) -> Result<&LockTarget> {
    match target {
        LockTarget::Relation(_) => Err(Error::internal("relations have lock modes of their own")),
        _ => Ok(target),
    }
}
