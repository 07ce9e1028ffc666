//! Decoded columns of unsealed rows, kept between queries ([`Kept`]), within a limit.
//!
//! The rows of a table are kept by key range, as of the newest version that somebody asked for. Older
//! views find nothing here; newer ones bring up to date what they find. The generation is part of
//! the name, for a seal moves rows away without changing them.

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
    bytes: usize,
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

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
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
        while inner.bytes + bytes > self.limit {
            let oldest = inner
                .kept
                .iter()
                .min_by_key(|(_, slot)| slot.used)
                .map(|(name, _)| name.clone());
            match oldest {
                Some(oldest) => inner.remove(&oldest),
                None => return,
            }
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

impl Inner {
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
