//! The manager that begins transactions, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::loads::Loads;
use super::lock_entry::{OwnerId, Scope};
use super::lock_owner::LockOwner;
use super::lock_table::LockTable;
use super::memory::{Memory, Reservation};
use super::recent::RecentCommits;
use super::{BeginOptions, Interrupt, LockInfo, SessionLocks, Transaction};
use crate::env::Env;
use crate::segment::Segments;
use crate::storage::Store;

/// Begins transactions and owns what they share: store, lock table, log of recent commits.
#[derive(Clone)]
pub struct Transactions {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub store: Store,
    pub env: Env,
    pub locks: Arc<LockTable>,
    pub recent: Arc<RecentCommits>,
    /// Where large loads go; without it, all rows go through redb.
    pub segments: Option<Arc<Segments>>,
    pub loads: Arc<Loads>,
    pub memory: Arc<Memory>,
    /// The last number given to a transaction or a session.
    last_id: AtomicU64,
}

impl Transactions {
    pub fn new(store: Store, env: Env) -> Self {
        Transactions::over(store, None, env, usize::MAX)
    }

    /// Transactions of a database with a sealed tier. Their changes take `memory` bytes at most, all together.
    pub fn with_segments(segments: Arc<Segments>, env: Env, memory: usize) -> Self {
        Transactions::over(segments.store().clone(), Some(segments), env, memory)
    }

    fn over(store: Store, segments: Option<Arc<Segments>>, env: Env, memory: usize) -> Self {
        let locks = Arc::new(LockTable::new(env.entropy.as_ref()));
        Transactions {
            shared: Arc::new(Shared {
                store,
                env,
                locks,
                recent: Arc::default(),
                segments,
                loads: Arc::default(),
                memory: Arc::new(Memory::new(memory)),
                last_id: AtomicU64::new(0),
            }),
        }
    }

    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Begins a transaction that belongs to no session.
    pub fn begin(&self, options: BeginOptions, interrupt: Interrupt) -> Transaction {
        let id = self.next_id();
        let owner = OwnerId {
            group: id,
            scope: Scope::Transaction,
        };
        let locks = LockOwner::new(self.shared.locks.clone(), owner, id, None);
        Transaction::new(self.clone(), options, interrupt, id, locks)
    }

    /// Begins a transaction of a session. Locks that the session holds do not stand in its way, and
    /// its own do not stand in the session's.
    pub fn begin_in(
        &self,
        session: &SessionLocks,
        options: BeginOptions,
        interrupt: Interrupt,
    ) -> Transaction {
        let owner = OwnerId {
            group: session.group,
            scope: Scope::Transaction,
        };
        let table = self.shared.locks.clone();
        let held = Some(session.held.clone());
        let locks = LockOwner::new(table, owner, session.process, held);
        Transaction::new(self.clone(), options, interrupt, self.next_id(), locks)
    }

    /// The owner of a new session's advisory locks. `process` is what deadlock reports call the
    /// session.
    pub fn session(&self, process: i32) -> SessionLocks {
        let group = self.next_id();
        SessionLocks::new(
            self.shared.locks.clone(),
            self.shared.env.clone(),
            group,
            u64::from(process.cast_unsigned()),
        )
    }

    /// What is locked now: relations, advisory locks, and rows that someone waits for. Rows that
    /// nobody waits for are left out, as in PostgreSQL, where they live in the rows themselves.
    pub fn locks(&self) -> Vec<LockInfo> {
        self.shared.locks.list()
    }

    /// How often anybody has waited for a lock since the database was opened: for a row, a relation or an
    /// advisory lock.
    pub fn lock_waits(&self) -> u64 {
        self.shared.locks.waits_begun()
    }

    /// Bytes that the changes of transactions have reserved.
    pub fn memory(&self) -> usize {
        self.shared.memory.reserved()
    }

    /// Bytes that the segments take which loads are writing.
    #[cfg(test)]
    pub fn loading(&self) -> usize {
        self.shared.loads.memory()
    }

    /// Takes all memory that is free but for some bytes, until it is dropped.
    #[cfg(test)]
    pub fn take_memory(&self, free: usize) -> impl Drop + use<> {
        Reservation::of_all_but(self.shared.memory.clone(), free)
    }

    pub(super) fn reservation(&self) -> Reservation {
        Reservation::new(self.shared.memory.clone())
    }

    pub(super) fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}
