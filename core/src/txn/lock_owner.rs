//! Whoever holds locks: a transaction until it ends, or a session until it gives them back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::OptionFuture;

use super::lock::{Mode, Modes, not_available, timed_out};
use super::lock_entry::{OwnerId, Scope, Waiter};
use super::lock_key::LockKey;
use super::lock_table::{Attempt, Edge, LockTable, WaitRecord};
use super::{Interrupt, LockTarget, Wait};
use crate::env::Clock;
use crate::error::{Error, Result, SqlState};

/// An owner with more locks than this always searches for deadlocks when it waits; one with fewer
/// first looks whether anyone waits for it.
const MAX_LOOKED_AT: usize = 64;

/// What a held lock takes, here and in the table.
pub(super) const LOCK_BYTES: usize = 100;

/// Holds locks; dropping it releases all of them.
pub(super) struct LockOwner {
    table: Arc<LockTable>,
    id: OwnerId,
    /// What deadlock messages call the owner.
    process: u64,
    /// How many advisory locks the session holds: their owners count, its transactions look.
    advisory_held: Option<Arc<AtomicUsize>>,
    /// Whether this owner's locks are the advisory ones.
    advisory: bool,
    /// In the order taken. One entry for each mode gained (a transaction), or for each successful
    /// call (a session, whose locks are counted).
    held: Vec<Held>,
    /// Locks of the values that a load writes, until others find those in the load.
    passing: Vec<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    key: LockKey,
    modes: Modes,
}

/// What taking a lock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Busy, and the request said SKIP LOCKED.
    Skipped,
}

/// What asking for a lock came to.
pub(super) enum Asked {
    Done(Taken),
    /// In line. Once it is [`Waiting::granted`], the owner has to [`LockOwner::keep`] it.
    Waits(Waiting),
}

impl LockOwner {
    /// The owner of a transaction's locks. `advisory_held` counts what its session holds besides.
    pub fn new(
        table: Arc<LockTable>,
        id: OwnerId,
        process: u64,
        advisory_held: Option<Arc<AtomicUsize>>,
    ) -> Self {
        LockOwner {
            table,
            id,
            process,
            advisory_held,
            advisory: false,
            held: Vec::new(),
            passing: Vec::new(),
        }
    }

    /// An owner of advisory locks, which are counted in `advisory_held`.
    pub fn advisory(
        table: Arc<LockTable>,
        id: OwnerId,
        process: u64,
        advisory_held: Arc<AtomicUsize>,
    ) -> Self {
        let mut owner = LockOwner::new(table, id, process, Some(advisory_held));
        owner.advisory = true;
        owner
    }

    pub fn key(&self, target: &LockTarget) -> LockKey {
        self.table.hasher.target(target)
    }

    pub fn row_key(&self, table: u64, key: &[u8]) -> LockKey {
        self.table.hasher.row(table, key)
    }

    /// Bytes that its locks take, about.
    #[inline]
    pub fn bytes(&self) -> usize {
        (self.held.len() + self.passing.len()) * LOCK_BYTES
    }

    /// A mark for [`LockOwner::release_since`].
    pub fn mark(&self) -> usize {
        self.held.len()
    }

    /// Releases what was taken since the mark. Returns whether someone got one of the locks.
    pub fn release_since(&mut self, mark: usize) -> bool {
        let mut let_go = false;
        while self.held.len() > mark {
            if let Some(held) = self.held.pop() {
                self.count(|count| count.fetch_sub(1, Ordering::Relaxed));
                let_go |= self.table.release(held.key, self.id, held.modes);
            }
        }
        let_go
    }

    /// Puts what was taken since the mark aside, to be released before the rest.
    pub fn pass_since(&mut self, mark: usize) {
        self.passing
            .extend(self.held.drain(mark.min(self.held.len())..));
    }

    /// Releases what was put aside.
    pub fn release_passing(&mut self) {
        for held in std::mem::take(&mut self.passing) {
            self.table.release(held.key, self.id, held.modes);
        }
    }

    /// Keeps what was put aside like everything else.
    pub fn keep_passing(&mut self) {
        self.held.append(&mut self.passing);
    }

    fn count(&self, change: impl FnOnce(&AtomicUsize) -> usize) {
        if self.advisory
            && let Some(count) = &self.advisory_held
        {
            change(count);
        }
    }

    /// Releases one session lock. Returns whether it was held.
    pub fn unlock(&mut self, key: LockKey, mode: Mode) -> bool {
        let same = |held: &Held| held.key == key && held.modes == mode.bit();
        let Some(at) = self.held.iter().rposition(same) else {
            return false;
        };
        self.held.swap_remove(at);
        self.count(|count| count.fetch_sub(1, Ordering::Relaxed));
        if !self.held.iter().any(same) {
            self.table.release(key, self.id, mode.bit());
        }
        true
    }

    /// Takes a lock, waiting in line if need be. Needs no runtime. If the future is dropped, the
    /// lock is not taken.
    pub async fn take(
        &mut self,
        key: LockKey,
        mode: Mode,
        wait: Wait,
        interrupt: &Interrupt,
        clock: &dyn Clock,
    ) -> Result<Taken> {
        match self.ask(key, mode, wait)? {
            Asked::Done(taken) => Ok(taken),
            Asked::Waits(waiting) => {
                Box::pin(waiting.granted(interrupt, clock)).await?;
                self.keep(key, mode);
                Ok(Taken::Yes)
            }
        }
    }

    /// Takes a lock that is free, or gets in line for it.
    pub fn ask(&mut self, key: LockKey, mode: Mode, wait: Wait) -> Result<Asked> {
        match self.table.attempt(key, self.id, mode, wait) {
            Attempt::Held if self.id.scope == Scope::Transaction => {}
            Attempt::Held | Attempt::Granted => self.keep(key, mode),
            Attempt::Busy if wait == Wait::Skip => return Ok(Asked::Done(Taken::Skipped)),
            Attempt::Busy => return Err(not_available(key)),
            Attempt::Queued(waiter) => return Ok(Asked::Waits(self.line_up(key, waiter, wait))),
        }
        Ok(Asked::Done(Taken::Yes))
    }

    /// Remembers a lock that was granted.
    pub fn keep(&mut self, key: LockKey, mode: Mode) {
        self.held.push(Held {
            key,
            modes: mode.bit(),
        });
        self.count(|count| count.fetch_add(1, Ordering::Relaxed));
    }

    fn line_up(&self, key: LockKey, waiter: Arc<Waiter>, wait: Wait) -> Waiting {
        self.table.start_wait(WaitRecord {
            key,
            waiter: waiter.clone(),
            process: self.process,
        });
        Waiting {
            table: self.table.clone(),
            key,
            waiter,
            limit: match wait {
                Wait::Queue(limit) => limit,
                Wait::Fail | Wait::Skip => None,
            },
            // Looked at once the wait is published: of two that close a cycle, one sees the other.
            search: self.may_be_waited_for(),
            claimed: false,
        }
    }

    /// A cycle needs someone who waits for this owner. Most waits (a queue before one hot row) are
    /// not part of one, and searching a long queue is not free.
    fn may_be_waited_for(&self) -> bool {
        let held = |count: &Arc<AtomicUsize>| count.load(Ordering::Relaxed) > 0;
        self.advisory
            || self.advisory_held.as_ref().is_some_and(held)
            || self.held.len() + self.passing.len() > MAX_LOOKED_AT
            || self
                .table
                .any_waited_for(self.held.iter().chain(&self.passing).map(|held| held.key))
    }
}

impl Drop for LockOwner {
    fn drop(&mut self) {
        self.release_passing();
        self.release_since(0);
    }
}

/// A place in line, given up when it is dropped before the lock is granted.
pub(super) struct Waiting {
    table: Arc<LockTable>,
    key: LockKey,
    waiter: Arc<Waiter>,
    /// Microseconds.
    limit: Option<u64>,
    /// Whether the wait may have closed a cycle.
    search: bool,
    claimed: bool,
}

impl Waiting {
    /// Waits for the lock. From then on whoever asked has it, and must keep it at once.
    pub async fn granted(mut self, interrupt: &Interrupt, clock: &dyn Clock) -> Result<()> {
        if self.search
            && let Some(cycle) = self.table.find_deadlock(self.waiter.id.group)
        {
            return Err(deadlock(&cycle));
        }
        let mut raised = pin!(interrupt.raised());
        let mut time_out = OptionFuture::from(self.limit.map(|micros| clock.sleep(micros)));
        let mut time_out = pin!(&mut time_out);
        poll_fn(|cx| {
            self.waiter.waker.register(cx.waker());
            if self.waiter.is_granted() {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(error) = raised.as_mut().poll(cx) {
                return Poll::Ready(Err(error));
            }
            if self.limit.is_some() && time_out.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(timed_out()));
            }
            Poll::Pending
        })
        .await?;
        self.claimed = true;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.table.end_wait(self.waiter.id.group);
        if !self.claimed {
            self.table.abandon(self.key, &self.waiter);
        }
    }
}

/// PostgreSQL's report: who waits for what, step by step.
fn deadlock(cycle: &[Edge]) -> Error {
    let process = |group: u64| {
        cycle
            .iter()
            .find(|edge| edge.record.waiter.id.group == group)
            .map_or(group, |edge| edge.record.process)
    };
    let lines: Vec<String> = cycle
        .iter()
        .map(|edge| {
            let mode = edge.record.waiter.mode;
            let (mode, what) = match edge.record.key {
                LockKey::Relation(oid) => (mode.name(true), format!("relation {oid}")),
                LockKey::Row(..) => ("ShareLock", format!("transaction {}", edge.blocker)),
                LockKey::Advisory(key) => {
                    let (high, low) = ((key >> 32) as u32, key as u32);
                    (mode.name(false), format!("advisory lock [{high},{low},1]"))
                }
                LockKey::AdvisoryPair(first, second) => (
                    mode.name(false),
                    format!("advisory lock [{first},{second},2]"),
                ),
            };
            format!(
                "Process {} waits for {mode} on {what}; blocked by process {}.",
                edge.record.process,
                process(edge.blocker),
            )
        })
        .collect();
    Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
        .detail(lines.join("\n"))
        .hint("See server log for query details.")
}
