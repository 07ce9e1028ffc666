//! Advisory locks of a session: until it gives them back, or until its transaction ends.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;

use super::lock::Mode;
use super::lock_entry::{OwnerId, Scope};
use super::lock_owner::{Asked, LockOwner, Taken};
use super::lock_table::LockTable;
use super::{Interrupt, LockTarget, RowMode, Wait};
use crate::env::Env;
use crate::error::{Error, Result};

/// How long an advisory lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockScope {
    /// `pg_advisory_lock`: until it is unlocked as often as it was locked, or the session ends.
    Session,
    /// `pg_advisory_xact_lock`: until the transaction ends, or is rolled back to before it.
    Transaction,
}

/// The advisory locks of one session. Functions on several threads may use it at once; nothing is
/// locked while one of them waits in line. Dropping this releases all of them.
pub struct SessionLocks {
    pub(super) group: u64,
    pub(super) process: u64,
    /// How many it holds; its transactions look there.
    pub(super) held: Arc<AtomicUsize>,
    session: Mutex<LockOwner>,
    transaction: Mutex<LockOwner>,
    env: Env,
}

impl SessionLocks {
    pub(super) fn new(table: Arc<LockTable>, env: Env, group: u64, process: u64) -> Self {
        let held = Arc::new(AtomicUsize::new(0));
        let owner = |scope| {
            let id = OwnerId { group, scope };
            Mutex::new(LockOwner::advisory(
                table.clone(),
                id,
                process,
                held.clone(),
            ))
        };
        SessionLocks {
            group,
            process,
            session: owner(Scope::Session),
            transaction: owner(Scope::Transaction),
            held,
            env,
        }
    }

    /// Identifies the session in [`super::LockInfo::group`].
    pub fn group(&self) -> u64 {
        self.group
    }

    fn owner(&self, scope: LockScope) -> &Mutex<LockOwner> {
        match scope {
            LockScope::Session => &self.session,
            LockScope::Transaction => &self.transaction,
        }
    }

    /// Takes a lock. Returns `false` only with [`Wait::Skip`], when another session holds it.
    ///
    /// # Errors
    /// 40P01, 55P03, or what the interrupt raised.
    pub async fn lock(
        &self,
        scope: LockScope,
        target: &LockTarget,
        mode: RowMode,
        wait: Wait,
        interrupt: &Interrupt,
    ) -> Result<bool> {
        let mode = Mode::from(mode);
        let owner = self.owner(scope);
        let (key, asked) = {
            let mut owner = owner.lock();
            let key = owner.key(advisory(target)?);
            (key, owner.ask(key, mode, wait)?)
        };
        match asked {
            Asked::Done(taken) => Ok(taken == Taken::Yes),
            Asked::Waits(waiting) => {
                waiting.granted(interrupt, self.env.clock.as_ref()).await?;
                owner.lock().keep(key, mode);
                Ok(true)
            }
        }
    }

    /// Takes a lock that is free. Returns `false` when another session holds it.
    ///
    /// # Errors
    /// XX000 for a lock that is not advisory.
    pub fn try_lock(&self, scope: LockScope, target: &LockTarget, mode: RowMode) -> Result<bool> {
        let mut owner = self.owner(scope).lock();
        let key = owner.key(advisory(target)?);
        let asked = owner.ask(key, Mode::from(mode), Wait::Skip)?;
        Ok(matches!(asked, Asked::Done(Taken::Yes)))
    }

    /// Releases a lock of the session once. Returns whether it was held in this mode.
    pub fn unlock(&self, target: &LockTarget, mode: RowMode) -> bool {
        let mut owner = self.session.lock();
        let key = owner.key(target);
        owner.unlock(key, Mode::from(mode))
    }

    /// Releases everything that the session holds beyond transactions (`pg_advisory_unlock_all`).
    pub fn unlock_all(&self) {
        self.session.lock().release_since(0);
    }

    /// A mark for [`SessionLocks::release_since`].
    pub fn mark(&self) -> usize {
        self.transaction.lock().mark()
    }

    /// Releases the transaction's locks that were taken since the mark; 0 ends the transaction.
    pub fn release_since(&self, mark: usize) {
        self.transaction.lock().release_since(mark);
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
