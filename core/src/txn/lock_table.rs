//! The lock table: every lock that is held or waited for, in shards, and the search for deadlocks.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Wait;
use super::lock::{Mode, Modes};
use super::lock_entry::{Entry, OwnerId, Scope, Waiter};
use super::lock_info::LockInfo;
use super::lock_key::{FoldHasher, KeyHasher, LockKey};
use crate::env::Entropy;
use crate::storage::TableId;

/// Power of two: enough that two cores rarely meet in one.
const SHARDS: usize = 64;
/// An empty shard that has grown beyond this many locks gives its memory back.
const KEPT_CAPACITY: usize = 1024;
/// A found cycle is looked at again, because locks move while one looks; this many times.
const MAX_SEARCHES: usize = 4;

type Map<K, V> = HashMap<K, V, BuildHasherDefault<FoldHasher>>;

#[derive(Default)]
struct Shard {
    entries: Map<LockKey, Entry>,
    /// Row locks with one holder and nobody waiting, which is nearly all there are. A row's lock is
    /// either here or among the entries.
    blocks: Map<(TableId, u64), Block>,
}

/// The rows of one block that one owner holds in one mode.
struct Block {
    owner: OwnerId,
    modes: Modes,
    /// A bit for each place.
    rows: u64,
}

pub(super) struct LockTable {
    pub hasher: KeyHasher,
    shards: Vec<Mutex<Shard>>,
    /// What each waiting group waits for. A group waits for one lock at a time.
    waits: Mutex<HashMap<u64, WaitRecord>>,
    /// Waits that have begun since the database was opened.
    waits_begun: AtomicU64,
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

impl Shard {
    /// Takes a row's lock in its block. `None` when that is for an entry to decide; the row's lock is
    /// one by then if anyone holds it.
    fn attempt_in_block(&mut self, key: LockKey, id: OwnerId, mode: Mode) -> Option<Attempt> {
        let LockKey::Row(table, block, place) = key else {
            return None;
        };
        if self.entries.contains_key(&key) {
            return None;
        }
        let row = 1 << place;
        let mut known = match self.blocks.entry((table, block)) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Block {
                    owner: id,
                    modes: mode.bit(),
                    rows: row,
                });
                return Some(Attempt::Granted);
            }
            MapEntry::Occupied(known) => known,
        };
        let block = known.get_mut();
        if block.rows & row == 0 {
            let alike = block.owner == id && block.modes == mode.bit();
            block.rows |= if alike { row } else { 0 };
            return alike.then_some(Attempt::Granted);
        }
        let enough = block.modes & mode.bit() != 0 || covers(key, block.modes, mode);
        if block.owner == id && enough {
            return Some(Attempt::Held);
        }
        self.entries
            .insert(key, Entry::held(block.owner, block.modes));
        block.rows &= !row;
        if block.rows == 0 {
            known.remove();
        }
        None
    }

    /// Releases a row's lock if it is in its block.
    fn release_in_block(&mut self, key: LockKey, id: OwnerId, modes: Modes) -> bool {
        let LockKey::Row(table, block, place) = key else {
            return false;
        };
        if self.entries.contains_key(&key) {
            return false;
        }
        if let MapEntry::Occupied(mut known) = self.blocks.entry((table, block)) {
            let block = known.get_mut();
            if block.owner == id && block.modes & modes != 0 {
                block.rows &= !(1 << place);
            }
            if block.rows == 0 {
                known.remove();
                give_back(&mut self.blocks);
            }
        }
        true
    }
}

/// A map that is empty and was large gives its memory back.
fn give_back<K: Eq + Hash, V>(map: &mut Map<K, V>) {
    if map.is_empty() && map.capacity() > KEPT_CAPACITY {
        map.shrink_to(KEPT_CAPACITY);
    }
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
            waits_begun: AtomicU64::new(0),
        }
    }

    fn shard(&self, key: LockKey) -> &Mutex<Shard> {
        // All rows of a block are in its shard.
        let block = match key {
            LockKey::Row(table, block, _) => LockKey::Row(table, block, 0),
            other => other,
        };
        let hash = BuildHasherDefault::<FoldHasher>::default().hash_one(block);
        // The maps use the lowest and the highest bits.
        let at = (hash >> 32) as usize % SHARDS;
        &self.shards[at]
    }

    pub fn attempt(&self, key: LockKey, id: OwnerId, mode: Mode, wait: Wait) -> Attempt {
        let mut shard = self.shard(key).lock();
        if let Some(attempt) = shard.attempt_in_block(key, id, mode) {
            return attempt;
        }
        let entry = match shard.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::held(id, mode.bit()));
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
        if self.shard(key).lock().release_in_block(key, id, modes) {
            return false;
        }
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
            let Some(entry) = shard.entries.get_mut(&key) else {
                return false;
            };
            change(entry);
            let granted = entry.grant();
            if entry.is_idle() {
                shard.entries.remove(&key);
                give_back(&mut shard.entries);
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
        self.waits_begun.fetch_add(1, Ordering::Relaxed);
        self.waits.lock().insert(record.waiter.id.group, record);
    }

    /// How often anybody has waited for a lock.
    pub fn waits_begun(&self) -> u64 {
        self.waits_begun.load(Ordering::Relaxed)
    }

    pub fn end_wait(&self, group: u64) {
        self.waits.lock().remove(&group);
    }

    /// Whether anyone waits for one of `keys`.
    pub fn any_waited_for(&self, mut keys: impl Iterator<Item = LockKey>) -> bool {
        keys.any(|key| {
            let shard = self.shard(key).lock();
            shard.entries.get(&key).is_some_and(Entry::has_waiters)
        })
    }

    /// Every lock on a relation or advisory lock, held or waited for, and the rows waited for.
    pub fn list(&self) -> Vec<LockInfo> {
        let mut found = Vec::new();
        for shard in &self.shards {
            for (key, entry) in &shard.lock().entries {
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
        let Some(entry) = shard.entries.get(&record.key) else {
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
