//! What a SERIALIZABLE transaction has read, as keys and ranges.

use std::collections::{HashMap, HashSet};
use std::ops::{Bound, RangeBounds};

use parking_lot::Mutex;

use crate::storage::{TableId, TableWrites, bounds_are_empty};

/// Above this many keys read one by one, a table counts as read as a whole.
const MAX_KEYS: usize = 4096;
/// Above this many ranges, likewise.
const MAX_RANGES: usize = 256;

/// Filled by views, which may be on several threads; read at commit.
#[derive(Default)]
pub(super) struct ReadSet {
    tables: Mutex<HashMap<TableId, TableReads>>,
}

type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Default)]
struct TableReads {
    whole: bool,
    keys: HashSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
}

impl TableReads {
    fn read_whole(&mut self) {
        self.whole = true;
        self.keys = HashSet::new();
        self.ranges = Vec::new();
    }

    fn has_read(&self, key: &[u8]) -> bool {
        self.whole
            || self.keys.contains(key)
            || self.ranges.iter().any(|(from, to)| {
                let range = (
                    from.as_ref().map(Vec::as_slice),
                    to.as_ref().map(Vec::as_slice),
                );
                RangeBounds::<[u8]>::contains(&range, key)
            })
    }
}

impl ReadSet {
    pub fn add_key(&self, table: TableId, key: &[u8]) {
        let mut tables = self.tables.lock();
        let reads = tables.entry(table).or_default();
        if reads.whole || reads.keys.contains(key) {
            return;
        }
        if reads.keys.len() >= MAX_KEYS {
            reads.read_whole();
        } else {
            reads.keys.insert(key.to_vec());
        }
    }

    /// The whole range counts as read, also what lies beyond the last entry that was looked at:
    /// there, a phantom could appear.
    pub fn add_range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        if bounds_are_empty(from, to) {
            return;
        }
        let mut tables = self.tables.lock();
        let reads = tables.entry(table).or_default();
        if reads.whole {
            return;
        }
        let range = (from.map(<[u8]>::to_vec), to.map(<[u8]>::to_vec));
        let everything = range == (Bound::Unbounded, Bound::Unbounded);
        if everything || reads.ranges.len() >= MAX_RANGES {
            reads.read_whole();
        } else if !reads.ranges.contains(&range) {
            reads.ranges.push(range);
        }
    }

    /// Whether a commit that changed `table` changed something that was read. `writes` is `None`
    /// when it is not known which keys it changed.
    pub fn conflicts(&self, table: TableId, writes: Option<&TableWrites>) -> bool {
        let tables = self.tables.lock();
        let Some(reads) = tables.get(&table) else {
            return false;
        };
        match writes {
            Some(writes) => writes.keys().any(|key| reads.has_read(key)),
            None => true,
        }
    }
}
