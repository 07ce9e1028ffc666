//! One transaction, and the manager that begins them.

use std::sync::Arc;

use super::{Interrupt, LockTarget, RelationMode, RowMode, View, Wait};
use crate::env::Env;
use crate::error::Result;
use crate::storage::{Store, TableId};

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

/// Begins transactions and owns what they share: store, lock table, log of recent commits.
#[derive(Clone)]
pub struct Transactions {
    inner: Arc<()>,
}

impl Transactions {
    pub fn new(store: Store, env: Env) -> Self {
        let _ = (store, env);
        todo!()
    }

    pub fn store(&self) -> &Store {
        let _ = &self.inner;
        todo!()
    }

    pub fn begin(&self, options: BeginOptions, interrupt: Interrupt) -> Transaction {
        let _ = (options, interrupt);
        todo!()
    }
}

/// What locking a row found.
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

/// A transaction. Dropping it rolls back: nothing is written, all locks are released.
pub struct Transaction {}

impl Transaction {
    pub fn options(&self) -> BeginOptions {
        todo!()
    }

    /// Changes the isolation level or access mode; the caller has checked that it still may.
    pub fn set_options(&mut self, options: BeginOptions) {
        let _ = options;
        todo!()
    }

    /// Whether a snapshot was taken, so that SET TRANSACTION ISOLATION comes too late.
    pub fn has_snapshot(&self) -> bool {
        todo!()
    }

    /// Identifies the transaction in locks and in `pg_locks`; grows.
    pub fn id(&self) -> u64 {
        todo!()
    }

    /// Starts a statement: READ COMMITTED takes a new snapshot.
    pub fn start_statement(&mut self) -> Result<()> {
        todo!()
    }

    /// The statement's snapshot ∪ own writes until now. Later writes do not show in it.
    pub fn view(&mut self) -> Result<View> {
        todo!()
    }

    /// The newest committed state ∪ own writes until now: for uniqueness and foreign keys.
    pub fn latest(&mut self) -> Result<View> {
        todo!()
    }

    /// Whether anything was written.
    pub fn has_writes(&self) -> bool {
        todo!()
    }

    /// Writes a row. The caller holds the row's lock.
    ///
    /// # Errors
    /// 25006 in a READ ONLY transaction.
    pub fn put(&mut self, table: TableId, key: Vec<u8>, row: Vec<u8>) -> Result<()> {
        let _ = (table, key, row);
        todo!()
    }

    pub fn delete(&mut self, table: TableId, key: Vec<u8>) -> Result<()> {
        let _ = (table, key);
        todo!()
    }

    /// Creates a table at commit; until then its rows are in the write set.
    pub fn create_table(&mut self, table: TableId) -> Result<()> {
        let _ = table;
        todo!()
    }

    /// Drops a table at commit; its own pending writes are forgotten.
    pub fn drop_table(&mut self, table: TableId) -> Result<()> {
        let _ = table;
        todo!()
    }

    /// Locks a row and says whether it changed since the statement's snapshot.
    ///
    /// # Errors
    /// 40001, 40P01, 55P03, or what the interrupt raised.
    pub async fn lock_row(
        &mut self,
        table: TableId,
        key: &[u8],
        mode: RowMode,
        wait: Wait,
    ) -> Result<RowLock> {
        let _ = (table, key, mode, wait);
        todo!()
    }

    /// Locks a key value (of a unique index, of a catalog name) without looking at its row.
    pub async fn lock_key(&mut self, target: LockTarget, mode: RowMode, wait: Wait) -> Result<()> {
        let _ = (target, mode, wait);
        todo!()
    }

    /// Locks a relation until the end of the transaction.
    pub async fn lock_relation(
        &mut self,
        relation: u32,
        mode: RelationMode,
        wait: Wait,
    ) -> Result<()> {
        let _ = (relation, mode, wait);
        todo!()
    }

    pub fn savepoint(&mut self) -> Savepoint {
        todo!()
    }

    /// Undoes every write since `savepoint` and releases the locks taken since. The savepoint stays.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        let _ = savepoint;
        todo!()
    }

    /// Forgets `savepoint` and later ones; their writes stay.
    pub fn release(&mut self, savepoint: Savepoint) {
        let _ = savepoint;
        todo!()
    }

    /// Commits: resolves once the transaction is durable.
    ///
    /// # Errors
    /// 40001 when SERIALIZABLE validation fails; 58030 when storage failed.
    pub async fn commit(self) -> Result<()> {
        todo!()
    }

    pub fn rollback(self) {}
}
