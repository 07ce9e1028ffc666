//! Decoded columns, kept between queries: a table that did not change is read as columns.
//!
//! A column is the pieces that one full scan of one key range of a table decoded it into. The view's
//! version of the table is part of its name, so a changed table finds nothing here; and so is the
//! generation, for a seal moves rows away without changing them.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use parking_lot::Mutex;

use crate::storage::{Generation, TableId};
use crate::types::PgType;

/// Which column, of which rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ColumnKey {
    pub table: TableId,
    pub version: u64,
    /// Of the rows that are not sealed. Only those are kept here.
    pub generation: Generation,
    /// The range of row keys, as encoded bounds.
    pub range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Position in the table.
    pub column: usize,
    /// A column may get another type without its rows being written.
    pub ty: PgType,
}

/// One column's batches.
pub(super) type Pieces = Arc<Vec<ArrayRef>>;

/// A bounded cache that forgets what was not used for longest.
#[derive(Debug)]
pub(in crate::query) struct ColumnCache {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    columns: HashMap<ColumnKey, Slot>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    pieces: Pieces,
    bytes: usize,
    used: u64,
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

    pub(super) fn get(&self, key: &ColumnKey) -> Option<Pieces> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let slot = inner.columns.get_mut(key)?;
        slot.used = now;
        Some(slot.pieces.clone())
    }

    pub(super) fn put(&self, key: ColumnKey, pieces: Vec<ArrayRef>) {
        let bytes: usize = pieces
            .iter()
            .map(|piece| piece.get_array_memory_size())
            .sum();
        if bytes > self.limit {
            return;
        }
        let mut inner = self.inner.lock();
        // Older versions of the table are never asked for again, or only by old snapshots.
        let stale: Vec<ColumnKey> = inner
            .columns
            .keys()
            .filter(|known| {
                let age = (known.version, known.generation);
                known.table == key.table && age < (key.version, key.generation)
            })
            .cloned()
            .collect();
        for old in stale {
            inner.remove(&old);
        }
        while inner.bytes + bytes > self.limit {
            let oldest = inner
                .columns
                .iter()
                .min_by_key(|(_, slot)| slot.used)
                .map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => inner.remove(&oldest),
                None => return,
            }
        }
        inner.clock += 1;
        let used = inner.clock;
        inner.remove(&key);
        inner.bytes += bytes;
        inner.columns.insert(
            key,
            Slot {
                pieces: Arc::new(pieces),
                bytes,
                used,
            },
        );
    }
}

impl Inner {
    fn remove(&mut self, key: &ColumnKey) {
        if let Some(slot) = self.columns.remove(key) {
            self.bytes -= slot.bytes;
        }
    }
}
