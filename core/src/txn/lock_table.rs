//! The lock table: every lock that is held or waited for, in shards, and the search for deadlocks.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Wait;
use super::lock::{Mode, Modes};
use super::lock_entry::{Entry, OwnerId, Scope, Waiter};
use super::lock_info::LockInfo;
use super::lock_key::{FoldHasher, KeyHasher, LockKey};
use crate::env::Entropy;

/// Power of two: enough that two cores rarely meet in one.
const SHARDS: usize = 64;
/// An empty shard that has grown beyond this many locks gives its memory back.
const KEPT_CAPACITY: usize = 1024;
/// A found cycle is looked at again, because locks move while one looks; this many times.
const MAX_SEARCHES: usize = 4;

type Shard = HashMap<LockKey, Entry, BuildHasherDefault<FoldHasher>>;

pub(super) struct LockTable {
    pub hasher: KeyHasher,
    shards: Vec<Mutex<Shard>>,
    /// What each waiting group waits for. A group waits for one lock at a time.
    waits: Mutex<HashMap<u64, WaitRecord>>,
}

/// What a group waits for.
#[derive(Clone)]
pub(super) struct WaitRecord {
    pub key: LockKey,
    pub waiter: Arc<Waiter>,
    /// What messages call the group.
    pub process: u64,
}

/// One step of a deadlock: `record` waits for the group `blocker`.
pub(super) struct Edge {
    pub record: WaitRecord,
    pub blocker: u64,
}

/// How an attempt to take a lock ended.
pub(super) enum Attempt {
    /// The owner has it already.
    Held,
    /// The owner has it now.
    Granted,
    /// Someone else has it, and the request does not wait.
    Busy,
    /// In line.
    Queued(Arc<Waiter>),
}

impl LockTable {
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut first = [0; 8];
        let mut second = [0; 8];
        entropy.fill(&mut first);
        entropy.fill(&mut second);
        LockTable {
            hasher: KeyHasher::new([u64::from_le_bytes(first), u64::from_le_bytes(second)]),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            waits: Mutex::default(),
        }
    }

    fn shard(&self, key: LockKey) -> &Mutex<Shard> {
        let hash = BuildHasherDefault::<FoldHasher>::default().hash_one(key);
        // The maps use the lowest and the highest bits.
        let at = (hash >> 32) as usize % SHARDS;
        &self.shards[at]
    }

    pub fn attempt(&self, key: LockKey, id: OwnerId, mode: Mode, wait: Wait) -> Attempt {
        let mut shard = self.shard(key).lock();
        let entry = match shard.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::held(id, mode));
                return Attempt::Granted;
            }
            MapEntry::Occupied(occupied) => occupied.into_mut(),
        };
        let own = entry.modes_of(id);
        if own & mode.bit() != 0 || (covers(key, own, mode) && id.scope == Scope::Transaction) {
            return Attempt::Held;
        }
        let upgrade = entry.modes_of_group(id.group) != 0;
        if !entry.must_wait(id.group, mode, upgrade) {
            entry.add(id, mode);
            return Attempt::Granted;
        }
        match wait {
            Wait::Fail | Wait::Skip => Attempt::Busy,
            Wait::Queue(_) => {
                let waiter = Arc::new(Waiter::new(id, mode, upgrade));
                entry.enqueue(waiter.clone());
                Attempt::Queued(waiter)
            }
        }
    }

    /// Gives up `modes` of a lock, and hands it on. Returns whether someone waited and got it.
    pub fn release(&self, key: LockKey, id: OwnerId, modes: Modes) -> bool {
        self.change(key, |entry| entry.remove(id, modes))
    }

    /// Ends a wait that nobody follows any more: leaves the line, or gives back what was granted
    /// meanwhile.
    pub fn abandon(&self, key: LockKey, waiter: &Arc<Waiter>) {
        self.change(key, |entry| {
            if !entry.leave(waiter) && waiter.is_granted() {
                entry.remove(waiter.id, waiter.mode.bit());
            }
        });
    }

    fn change(&self, key: LockKey, change: impl FnOnce(&mut Entry)) -> bool {
        let granted = {
            let mut shard = self.shard(key).lock();
            let Some(entry) = shard.get_mut(&key) else {
                return false;
            };
            change(entry);
            let granted = entry.grant();
            if entry.is_idle() {
                shard.remove(&key);
                if shard.is_empty() && shard.capacity() > KEPT_CAPACITY {
                    shard.shrink_to(KEPT_CAPACITY);
                }
            }
            granted
        };
        for waiter in &granted {
            waiter.waker.wake();
        }
        !granted.is_empty()
    }

    /// Publishes what a group waits for; must come before [`LockTable::find_deadlock`].
    pub fn start_wait(&self, record: WaitRecord) {
        self.waits.lock().insert(record.waiter.id.group, record);
    }

    pub fn end_wait(&self, group: u64) {
        self.waits.lock().remove(&group);
    }

    /// Whether anyone waits for one of `keys`.
    pub fn any_waited_for(&self, mut keys: impl Iterator<Item = LockKey>) -> bool {
        keys.any(|key| {
            let shard = self.shard(key).lock();
            shard.get(&key).is_some_and(Entry::has_waiters)
        })
    }

    /// Every lock on a relation or advisory lock, held or waited for, and the rows waited for.
    pub fn list(&self) -> Vec<LockInfo> {
        let mut found = Vec::new();
        for shard in &self.shards {
            for (key, entry) in shard.lock().iter() {
                if matches!(key, LockKey::Row(..)) && !entry.has_waiters() {
                    continue;
                }
                let info = |id: OwnerId, modes: Modes, granted| LockInfo {
                    object: (*key).into(),
                    mode: Mode::strongest_name(modes, matches!(key, LockKey::Relation(_))),
                    granted,
                    group: id.group,
                };
                found.extend(entry.holders().map(|held| info(held.id, held.modes, true)));
                let waiters = entry.waiters();
                found.extend(waiters.map(|waits| info(waits.id, waits.mode.bit(), false)));
            }
        }
        found
    }

    /// The groups that a waiter waits for: holders, and those who are in line before it.
    fn blockers(&self, record: &WaitRecord) -> Vec<u64> {
        let shard = self.shard(record.key).lock();
        let Some(entry) = shard.get(&record.key) else {
            return Vec::new();
        };
        let conflicts = record.waiter.mode.conflicts();
        let group = record.waiter.id.group;
        let mut blockers = Vec::new();
        let mut waiting = false;
        for waiter in entry.waiters() {
            if Arc::ptr_eq(waiter, &record.waiter) {
                waiting = true;
                break;
            }
            if !record.waiter.upgrade && waiter.mode.bit() & conflicts != 0 {
                blockers.push(waiter.id.group);
            }
        }
        if !waiting {
            return Vec::new();
        }
        blockers.extend(
            entry
                .holders()
                .filter(|holder| holder.id.group != group && holder.modes & conflicts != 0)
                .map(|holder| holder.id.group),
        );
        blockers
    }

    /// The cycle of waits that the wait of `group` has closed, if there is one.
    ///
    /// Run when a wait begins. Every cycle is closed by the last of its waits to begin, whose search
    /// sees the others; so no timer is needed. Shards are looked at one after the other, and an
    /// edge may be gone when the next one is read. But whoever waits cannot release anything, so
    /// a cycle in which every wait is still there on a second look was there all the time between.
    pub fn find_deadlock(&self, group: u64) -> Option<Vec<Edge>> {
        for _ in 0..MAX_SEARCHES {
            let cycle = self.search(group)?;
            if cycle.iter().all(|edge| self.still_waits(edge)) {
                return Some(cycle);
            }
        }
        None
    }

    fn still_waits(&self, edge: &Edge) -> bool {
        let group = edge.record.waiter.id.group;
        let same = self
            .waits
            .lock()
            .get(&group)
            .is_some_and(|record| Arc::ptr_eq(&record.waiter, &edge.record.waiter));
        same && self.blockers(&edge.record).contains(&edge.blocker)
    }

    /// Depth first from `group`, each group once.
    fn search(&self, group: u64) -> Option<Vec<Edge>> {
        let record = self.waits.lock().get(&group).cloned()?;
        let mut seen = HashSet::new();
        let mut path = vec![(record.clone(), self.blockers(&record))];
        loop {
            let (record, blockers) = path.last_mut()?;
            let Some(blocker) = blockers.pop() else {
                path.pop();
                continue;
            };
            if blocker == group {
                let closing = record.clone();
                let next = path
                    .iter()
                    .skip(1)
                    .map(|(record, _)| record.waiter.id.group)
                    .chain([group]);
                let records = path.iter().map(|(record, _)| record.clone());
                debug_assert_eq!(path.last()?.0.key, closing.key);
                return Some(
                    records
                        .zip(next)
                        .map(|(record, blocker)| Edge { record, blocker })
                        .collect(),
                );
            }
            if seen.insert(blocker)
                && let Some(record) = self.waits.lock().get(&blocker).cloned()
            {
                let blockers = self.blockers(&record);
                path.push((record, blockers));
            }
        }
    }
}

/// Whether modes that an owner holds give it all that `mode` would.
fn covers(key: LockKey, held: Modes, mode: Mode) -> bool {
    // Row modes include all weaker ones; relation modes do not.
    !matches!(key, LockKey::Relation(_)) && held > mode.bit()
}
