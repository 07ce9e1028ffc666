//! What is kept in memory within a limit: a clock.
//!
//! Whoever owns something that could be read again has a [`Slot`] for it, at a place it knows: a look-up
//! takes no lock, hashes nothing and touches no counter. All slots of one kind share a [`Clock`]. When
//! they hold too much, its hand goes around them and empties those that nobody used since it came by last
//! (second chance; Corbató, "A paging experiment with the Multics system", 1968). What was read only
//! once, as by a scan, goes first; what is used again and again stays.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwapAny, Guard, RefCnt};
use parking_lot::Mutex;

/// What an entry costs besides its bytes.
const ENTRY_BYTES: u64 = 128;

/// Has slots, by number.
pub trait Keeper: Send + Sync {
    /// Empties a slot, unless it was used since this was last asked: then it has another chance.
    /// Returns whether it is empty.
    fn retire(&self, slot: u32) -> bool;
}

/// A limit, and the slots that share it.
pub struct Clock {
    limit: u64,
    bytes: Arc<AtomicU64>,
    ring: Mutex<VecDeque<Entry>>,
}

struct Entry {
    keeper: Weak<dyn Keeper>,
    slot: u32,
}

/// Counts towards a clock for as long as it lives.
pub struct Charge {
    bytes: u64,
    total: Arc<AtomicU64>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Something with its charge.
pub struct Charged<T> {
    value: T,
    _charge: Charge,
}

impl<T> Deref for Charged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Clock {
    pub fn new(limit: u64) -> Self {
        Clock {
            limit,
            bytes: Arc::default(),
            ring: Mutex::default(),
        }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes of all that lives: in slots, or still being looked at.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether something of so many bytes can be kept at all, and whether it can be without anything
    /// else having to go.
    pub fn room_for(&self, bytes: u64) -> (bool, bool) {
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        let fits = bytes <= self.limit;
        (fits, self.bytes().saturating_add(bytes) <= self.limit)
    }

    pub fn charge(&self, bytes: u64) -> Charge {
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            bytes,
            total: self.bytes.clone(),
        }
    }

    pub fn charged<T>(&self, bytes: u64, value: T) -> Arc<Charged<T>> {
        let _charge = self.charge(bytes);
        Arc::new(Charged { value, _charge })
    }

    /// Puts something that was charged with `bytes` into a slot of a keeper's by calling `put`, unless
    /// it alone is too large. Others go until all are within the limit.
    pub fn keep(&self, bytes: u64, keeper: Weak<dyn Keeper>, slot: u32, put: impl FnOnce()) {
        if !self.room_for(bytes).0 {
            return;
        }
        let mut ring = self.ring.lock();
        put();
        ring.push_back(Entry { keeper, slot });
        // Keepers that are gone took what they kept with them.
        match ring.pop_front() {
            Some(entry) if entry.keeper.strong_count() > 0 => ring.push_back(entry),
            _ => {}
        }
        // Twice around: the first time may only take chances away.
        let mut steps = 2 * ring.len();
        while self.bytes() > self.limit && steps > 0 {
            steps -= 1;
            let Some(entry) = ring.pop_front() else {
                break;
            };
            if let Some(keeper) = entry.keeper.upgrade()
                && !keeper.retire(entry.slot)
            {
                ring.push_back(entry);
            }
        }
    }
}

/// A place for one thing.
pub struct Slot<P: RefCnt>(ArcSwapAny<Option<P>>);

impl<P: RefCnt> Default for Slot<P> {
    fn default() -> Self {
        Slot(ArcSwapAny::new(None))
    }
}

impl<P: RefCnt> Slot<P> {
    /// What is there, to be looked at for a short while.
    #[inline]
    pub fn look(&self) -> Guard<Option<P>> {
        self.0.load()
    }

    pub fn put(&self, kept: P) {
        self.0.store(Some(kept));
    }

    pub fn clear(&self) {
        self.0.store(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct Shelf {
        slots: Vec<(Slot<Arc<Charged<u32>>>, AtomicBool)>,
    }

    impl Keeper for Shelf {
        fn retire(&self, slot: u32) -> bool {
            let (slot, used) = &self.slots[slot as usize];
            if used.swap(false, Ordering::Relaxed) {
                return false;
            }
            slot.clear();
            true
        }
    }

    impl Shelf {
        fn new(slots: usize) -> Arc<Shelf> {
            Arc::new(Shelf {
                slots: (0..slots).map(|_| Default::default()).collect(),
            })
        }

        /// The number in a slot, which was put there if it was not.
        fn get(self: &Arc<Shelf>, clock: &Clock, slot: u32) -> bool {
            let (place, used) = &self.slots[slot as usize];
            if let Some(found) = place.look().as_ref() {
                assert_eq!(***found, slot);
                used.store(true, Ordering::Relaxed);
                return true;
            }
            let made = clock.charged(1000, slot);
            let keeper: Arc<dyn Keeper> = self.clone();
            clock.keep(1000, Arc::downgrade(&keeper), slot, || place.put(made));
            false
        }
    }

    #[test]
    fn what_is_used_stays_and_the_limit_holds() {
        let clock = Clock::new(20 * (1000 + ENTRY_BYTES));
        let shelf = Shelf::new(1000);
        for slot in 10..1000 {
            for hot in 0..10 {
                let found = shelf.get(&clock, hot);
                assert!(found || slot == 10, "slot {hot} at {slot}");
            }
            shelf.get(&clock, slot);
            assert!(clock.bytes() <= clock.limit());
        }
        assert!(clock.ring.lock().len() <= 20);
        drop(shelf);
        assert_eq!(clock.bytes(), 0);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let clock = Clock::new(1000);
        let shelf = Shelf::new(1);
        assert!(!shelf.get(&clock, 0) && !shelf.get(&clock, 0));
        assert_eq!((clock.bytes(), clock.ring.lock().len()), (0, 0));
    }

    #[test]
    fn keepers_that_are_gone_are_forgotten() {
        let clock = Clock::new(1 << 30);
        for _ in 0..100 {
            let shelf = Shelf::new(3);
            (0..3).for_each(|slot| assert!(!shelf.get(&clock, slot)));
        }
        assert_eq!(clock.bytes(), 0);
        assert!(clock.ring.lock().len() < 10);
    }

    #[test]
    fn what_is_looked_at_still_counts() {
        let clock = Clock::new(2 * (1000 + ENTRY_BYTES));
        let shelf = Shelf::new(3);
        shelf.get(&clock, 0);
        let looked_at = shelf.slots[0].0.look();
        shelf.slots[0].0.clear();
        assert_eq!(clock.bytes(), 1000 + ENTRY_BYTES);
        drop(looked_at);
        assert_eq!(clock.bytes(), 0);
    }
}
