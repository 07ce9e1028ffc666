//! The manager that begins transactions, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::lock::Mode;
use super::lock_entry::{OwnerId, Scope};
use super::lock_owner::{LockOwner, Taken};
use super::lock_table::LockTable;
use super::recent::RecentCommits;
use super::{BeginOptions, Interrupt, LockInfo, LockTarget, RowMode, Transaction, Wait};
use crate::env::Env;
use crate::error::{Error, Result};
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
    /// The last number given to a transaction or a session.
    last_id: AtomicU64,
}

impl Transactions {
    pub fn new(store: Store, env: Env) -> Self {
        let locks = Arc::new(LockTable::new(env.entropy.as_ref()));
        Transactions {
            shared: Arc::new(Shared {
                store,
                env,
                locks,
                recent: Arc::default(),
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
            group: session.owner.id().group,
            scope: Scope::Transaction,
        };
        let table = self.shared.locks.clone();
        let held = Some(session.held.clone());
        let locks = LockOwner::new(table, owner, session.owner.process(), held);
        Transaction::new(self.clone(), options, interrupt, self.next_id(), locks)
    }

    /// The owner of a new session's locks. `process` is what deadlock reports call the session.
    pub fn session(&self, process: i32) -> SessionLocks {
        let owner = OwnerId {
            group: self.next_id(),
            scope: Scope::Session,
        };
        let process = u64::from(process.cast_unsigned());
        let held = Arc::new(AtomicUsize::new(0));
        let table = self.shared.locks.clone();
        SessionLocks {
            owner: LockOwner::new(table, owner, process, Some(held.clone())),
            held,
            env: self.shared.env.clone(),
        }
    }

    /// What is locked now: relations, advisory locks, and rows that someone waits for. Rows that
    /// nobody waits for are left out, as in PostgreSQL, where they live in the rows themselves.
    pub fn locks(&self) -> Vec<LockInfo> {
        self.shared.locks.list()
    }

    fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Locks that a session holds across transactions (`pg_advisory_lock`). They are counted: each has
/// to be unlocked as often as it was locked. Dropping this releases all of them.
pub struct SessionLocks {
    owner: LockOwner,
    /// How many it holds; its transactions look there.
    held: Arc<AtomicUsize>,
    env: Env,
}

impl SessionLocks {
    /// Identifies the session in [`LockInfo::group`].
    pub fn group(&self) -> u64 {
        self.owner.id().group
    }

    /// Takes a lock. Returns `false` only with [`Wait::Skip`], when another session holds it.
    ///
    /// # Errors
    /// 40P01, 55P03, or what the interrupt raised.
    pub async fn lock(
        &mut self,
        target: &LockTarget,
        mode: RowMode,
        wait: Wait,
        interrupt: &Interrupt,
    ) -> Result<bool> {
        let key = self.owner.key(advisory(target)?);
        let clock = self.env.clock.clone();
        let taken = self
            .owner
            .take(key, Mode::from(mode), wait, interrupt, clock.as_ref())
            .await?;
        Ok(taken == Taken::Yes)
    }

    /// Releases a lock once. Returns whether the session held it in this mode.
    pub fn unlock(&mut self, target: &LockTarget, mode: RowMode) -> bool {
        let key = self.owner.key(target);
        self.owner.unlock(key, Mode::from(mode))
    }

    /// Releases everything (`pg_advisory_unlock_all`).
    pub fn unlock_all(&mut self) {
        self.owner.release_since(0);
    }
}

/// Sessions hold advisory locks only; a relation's modes would be misread.
fn advisory(target: &LockTarget) -> Result<&LockTarget> {
    match target {
        LockTarget::Advisory(_) | LockTarget::AdvisoryPair(..) => Ok(target),
        LockTarget::Relation(_) | LockTarget::Row(..) => {
            Err(Error::internal("a session can hold advisory locks only"))
        }
    }
}
