//! One lock: who holds it in which modes, and who waits in line for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::task::AtomicWaker;

use super::lock::{Mode, Modes};

/// Who holds a lock. Owners of one group (a session and its transaction) never exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnerId {
    pub group: u64,
    pub scope: Scope,
}

/// How long a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Transaction,
    Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub id: OwnerId,
    pub modes: Modes,
}

/// A place in a lock's queue.
pub(super) struct Waiter {
    pub id: OwnerId,
    pub mode: Mode,
    /// The group holds a weaker mode already. Such a waiter goes first: all others would wait for
    /// the mode that it holds.
    pub upgrade: bool,
    granted: AtomicBool,
    pub waker: AtomicWaker,
}

impl Waiter {
    pub fn new(id: OwnerId, mode: Mode, upgrade: bool) -> Self {
        Waiter {
            id,
            mode,
            upgrade,
            granted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire)
    }
}

/// Small while there is one holder and nobody waits, which is how nearly all row locks live.
pub(super) struct Entry {
    /// Holds nothing when its modes are 0.
    first: Holder,
    crowd: Option<Box<Crowd>>,
}

#[derive(Default)]
struct Crowd {
    holders: Vec<Holder>,
    waiters: VecDeque<Arc<Waiter>>,
}

impl Entry {
    pub fn held(id: OwnerId, modes: Modes) -> Self {
        Entry {
            first: Holder { id, modes },
            crowd: None,
        }
    }

    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let rest = self.crowd.iter().flat_map(|crowd| crowd.holders.iter());
        std::iter::once(&self.first)
            .chain(rest)
            .filter(|holder| holder.modes != 0)
    }

    pub fn waiters(&self) -> impl Iterator<Item = &Arc<Waiter>> {
        self.crowd.iter().flat_map(|crowd| crowd.waiters.iter())
    }

    pub fn has_waiters(&self) -> bool {
        self.waiters().next().is_some()
    }

    pub fn is_idle(&self) -> bool {
        self.holders().next().is_none() && !self.has_waiters()
    }

    pub fn modes_of(&self, id: OwnerId) -> Modes {
        self.holders()
            .find(|holder| holder.id == id)
            .map_or(0, |holder| holder.modes)
    }

    /// All modes that a group holds, in any scope.
    pub fn modes_of_group(&self, group: u64) -> Modes {
        self.holders()
            .filter(|holder| holder.id.group == group)
            .fold(0, |modes, holder| modes | holder.modes)
    }

    fn modes_of_others(&self, group: u64) -> Modes {
        self.holders()
            .filter(|holder| holder.id.group != group)
            .fold(0, |modes, holder| modes | holder.modes)
    }

    /// Whether a new request has to wait. It waits for everyone who is in line before it, so that
    /// a stream of shared lockers cannot starve an exclusive one.
    pub fn must_wait(&self, group: u64, mode: Mode, upgrade: bool) -> bool {
        if self.modes_of_others(group) & mode.conflicts() != 0 {
            return true;
        }
        !upgrade
            && self
                .waiters()
                .any(|waiter| waiter.mode.bit() & mode.conflicts() != 0)
    }

    pub fn add(&mut self, id: OwnerId, mode: Mode) {
        if self.first.modes == 0 || self.first.id == id {
            self.first.modes |= mode.bit();
            self.first.id = id;
            return;
        }
        let crowd = self.crowd.get_or_insert_default();
        match crowd.holders.iter_mut().find(|holder| holder.id == id) {
            Some(holder) => holder.modes |= mode.bit(),
            None => crowd.holders.push(Holder {
                id,
                modes: mode.bit(),
            }),
        }
    }

    pub fn remove(&mut self, id: OwnerId, modes: Modes) {
        if self.first.id == id {
            self.first.modes &= !modes;
        } else if let Some(crowd) = &mut self.crowd
            && let Some(at) = crowd.holders.iter().position(|holder| holder.id == id)
        {
            let left = crowd.holders.get_mut(at).map_or(0, |holder| {
                holder.modes &= !modes;
                holder.modes
            });
            if left == 0 {
                crowd.holders.swap_remove(at);
            }
        }
        if self.first.modes == 0
            && let Some(crowd) = &mut self.crowd
            && let Some(holder) = crowd.holders.pop()
        {
            self.first = holder;
        }
        self.drop_empty_crowd();
    }

    /// Puts a waiter in line: at the end, or as an upgrade before all that are none.
    pub fn enqueue(&mut self, waiter: Arc<Waiter>) {
        let waiters = &mut self.crowd.get_or_insert_default().waiters;
        let at = if waiter.upgrade {
            waiters.iter().position(|other| !other.upgrade)
        } else {
            None
        };
        waiters.insert(at.unwrap_or(waiters.len()), waiter);
    }

    /// Takes a waiter out of the line. Returns whether it still was in it.
    pub fn leave(&mut self, waiter: &Arc<Waiter>) -> bool {
        let Some(crowd) = &mut self.crowd else {
            return false;
        };
        let before = crowd.waiters.len();
        crowd.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        let left = crowd.waiters.len() < before;
        self.drop_empty_crowd();
        left
    }

    /// Gives the lock to everyone in line who may have it now, in order. The caller wakes them.
    pub fn grant(&mut self) -> Vec<Arc<Waiter>> {
        let mut granted = Vec::new();
        let Some(crowd) = &mut self.crowd else {
            return granted;
        };
        if crowd.waiters.is_empty() {
            return granted;
        }
        let waiters = std::mem::take(&mut crowd.waiters);
        let mut still = VecDeque::with_capacity(waiters.len());
        let mut ahead: Modes = 0;
        for waiter in waiters {
            let mode = waiter.mode;
            let blocked = self.modes_of_others(waiter.id.group) & mode.conflicts() != 0
                || (!waiter.upgrade && ahead & mode.conflicts() != 0);
            if blocked {
                ahead |= mode.bit();
                still.push_back(waiter);
            } else {
                self.add(waiter.id, mode);
                waiter.granted.store(true, Ordering::Release);
                granted.push(waiter);
            }
        }
        self.crowd.get_or_insert_default().waiters = still;
        self.drop_empty_crowd();
        granted
    }

    fn drop_empty_crowd(&mut self) {
        if let Some(crowd) = &self.crowd
            && crowd.holders.is_empty()
            && crowd.waiters.is_empty()
        {
            self.crowd = None;
        }
    }
}
