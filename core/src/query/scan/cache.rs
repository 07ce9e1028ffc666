//! Decoded columns of unsealed rows, kept between queries ([`Kept`]), within a limit.
//!
//! The rows of a table are kept by key range, as of the newest version that somebody asked for. Older
//! views find nothing here; newer ones bring up to date what they find. The generation is part of
//! the name, for a seal moves rows away without changing them. Rows that are still gathered count
//! towards the limit as well ([`Claim`]).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::kept::Kept;
use super::ranges::KeyRange;
use crate::error::Result;
use crate::storage::{Generation, TableId};

/// Tables whose cuts are remembered.
const MAX_CUTS: usize = 1024;

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub table: TableId,
    pub generation: Generation,
    pub range: KeyRange,
}

/// A bounded cache that forgets what was not used for longest.
#[derive(Debug)]
pub(in crate::query) struct ColumnCache {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<Name, Slot>,
    cuts: HashMap<TableId, Cuts>,
    /// Of what is kept.
    bytes: usize,
    /// Of what is gathered.
    claimed: usize,
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    kept: Arc<Kept>,
    bytes: usize,
    used: u64,
}

/// How the rows of a large table are cut into ranges.
#[derive(Clone, Debug)]
struct Cuts {
    generation: Generation,
    ranges: Vec<KeyRange>,
    /// Of how many rows they were made.
    rows: u64,
}

impl ColumnCache {
    pub fn new(limit: usize) -> Self {
        ColumnCache {
            limit,
            inner: Mutex::default(),
        }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of what is kept and gathered.
    pub fn bytes(&self) -> usize {
        let inner = self.inner.lock();
        inner.bytes + inner.claimed
    }

    pub(super) fn get(&self, name: &Name) -> Option<Arc<Kept>> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let slot = inner.kept.get_mut(name)?;
        slot.used = now;
        Some(slot.kept.clone())
    }

    /// Keeps rows, unless newer ones are kept.
    pub(super) fn put(&self, name: Name, kept: Arc<Kept>) {
        let bytes = kept.bytes();
        let mut inner = self.inner.lock();
        let known = inner.kept.get(&name);
        if known.is_some_and(|slot| slot.kept.version > kept.version) {
            return;
        }
        inner.remove(&name);
        if bytes > self.limit {
            return;
        }
        inner.remove_others(name.table, |other| other.generation >= name.generation);
        if !inner.make_room(bytes, self.limit) {
            return;
        }
        inner.clock += 1;
        let used = inner.clock;
        inner.bytes += bytes;
        inner.kept.insert(name, Slot { kept, bytes, used });
    }

    /// Ranges into which a table of so many rows is cut: the same ones for as long as they are about
    /// right, so that what is kept of them is found again.
    pub(super) fn cuts(
        &self,
        (table, generation): (TableId, Generation),
        rows: u64,
        count: usize,
        make: impl FnOnce() -> Result<Vec<KeyRange>>,
    ) -> Result<Vec<KeyRange>> {
        if let Some(known) = self.inner.lock().cuts.get(&table)
            && known.generation == generation
            && known.ranges.len() == count
            && known.rows.saturating_mul(2) >= rows
        {
            return Ok(known.ranges.clone());
        }
        let ranges = make()?;
        if ranges.len() == count && self.limit > 0 {
            let mut inner = self.inner.lock();
            inner.remove_others(table, |other| ranges.contains(&other.range));
            let cuts = Cuts {
                generation,
                ranges: ranges.clone(),
                rows,
            };
            if inner.cuts.len() >= MAX_CUTS {
                inner.cuts.clear();
            }
            inner.cuts.insert(table, cuts);
        }
        Ok(ranges)
    }
}

/// Room for rows that a scan gathers. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    cache: Arc<ColumnCache>,
    bytes: usize,
    rows: usize,
}

impl Claim {
    pub fn new(cache: Arc<ColumnCache>) -> Claim {
        Claim {
            cache,
            bytes: 0,
            rows: 0,
        }
    }

    /// Takes room for some more of `all` rows. What was not used for longest goes for them, unless all
    /// of them would not have room either. Returns whether there is room.
    pub fn grow(&mut self, bytes: usize, rows: usize, all: u64) -> bool {
        let more = self.rows.saturating_add(rows);
        let so_far = self.bytes.saturating_add(bytes) as u64;
        let expected = so_far.saturating_mul(all) / (more as u64).max(1);
        let limit = self.cache.limit;
        let mut inner = self.cache.inner.lock();
        let is_free = inner.used().saturating_add(bytes) <= limit;
        if !is_free && (expected > limit as u64 || !inner.make_room(bytes, limit)) {
            return false;
        }
        inner.claimed += bytes;
        self.bytes += bytes;
        self.rows = more;
        true
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.cache.inner.lock().claimed -= self.bytes;
    }
}

impl Inner {
    fn used(&self) -> usize {
        self.bytes.saturating_add(self.claimed)
    }

    /// Forgets what was not used for longest until there is room, or nothing if there will be none.
    fn make_room(&mut self, bytes: usize, limit: usize) -> bool {
        if self.claimed.saturating_add(bytes) > limit {
            return false;
        }
        while self.used().saturating_add(bytes) > limit {
            let oldest = self.kept.iter().min_by_key(|(_, slot)| slot.used);
            match oldest.map(|(name, _)| name.clone()) {
                Some(oldest) => self.remove(&oldest),
                None => return false,
            }
        }
        true
    }

    fn remove(&mut self, name: &Name) {
        if let Some(slot) = self.kept.remove(name) {
            self.bytes -= slot.bytes;
        }
    }

    /// Forgets of a table what is not to stay.
    fn remove_others(&mut self, table: TableId, stays: impl Fn(&Name) -> bool) {
        let names = self.kept.keys();
        let gone: Vec<Name> = names
            .filter(|name| name.table == table && !stays(name))
            .cloned()
            .collect();
        for name in gone {
            self.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::Piece;
    use super::super::ranges::EVERYTHING;
    use super::*;
    use arrow::array::{ArrayRef, BinaryViewArray};

    fn kept(rows: usize) -> Arc<Kept> {
        let keys = BinaryViewArray::from_iter_values((0..rows).map(|row| row.to_string()));
        let keys: ArrayRef = Arc::new(keys);
        let pieces = vec![Arc::new(Piece::new(keys, Vec::new()))];
        Arc::new(Kept::new(1, &[], pieces))
    }

    fn name(table: TableId) -> Name {
        Name {
            table,
            generation: Generation::default(),
            range: EVERYTHING,
        }
    }

    #[test]
    fn what_is_gathered_counts_towards_the_limit() {
        let one = kept(100).bytes();
        let limit = 4 * one;
        let cache = Arc::new(ColumnCache::new(limit));
        for table in 0..4 {
            cache.put(name(table), kept(100));
        }
        assert_eq!(cache.bytes(), limit);
        cache.get(&name(0)).unwrap();

        // A quarter of what will have no room: nothing goes for it.
        let mut large = Claim::new(cache.clone());
        assert!(!large.grow(2 * one, 10, 40));
        assert_eq!(cache.bytes(), limit);

        let mut claim = Claim::new(cache.clone());
        assert!(claim.grow(one, 10, 20) && claim.grow(one, 10, 20));
        assert_eq!(cache.bytes(), limit);
        let known = |table: TableId| cache.get(&name(table)).is_some();
        assert!(known(0) && !known(1) && !known(2) && known(3));

        // Together they are never more than the limit, whatever each of them expects.
        let mut other = Claim::new(cache.clone());
        assert!(other.grow(2 * one, 10, 10) && !known(0) && !known(3));
        assert!(!other.grow(1, 0, 0));
        cache.put(name(5), kept(100));
        assert!(!known(5));
        assert_eq!(cache.bytes(), limit);

        drop(other);
        assert!(claim.grow(2 * one, 0, 0));
        drop(claim);
        assert_eq!(cache.bytes(), 0);
    }
}
