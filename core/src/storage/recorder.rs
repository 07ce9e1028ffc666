//! Which keys of a table commits write to, from a moment on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{TableId, TableWrites};

type Keys = Arc<Mutex<BTreeSet<Vec<u8>>>>;

/// The recordings under way.
#[derive(Default)]
pub(super) struct Recorders(Mutex<HashMap<TableId, Keys>>);

/// Remembers the keys of every commit to a table until it is dropped; at most one for a table.
pub struct Recording {
    recorders: Arc<Recorders>,
    table: TableId,
    keys: Keys,
}

impl Recorders {
    /// `None` when the table is being recorded already.
    pub fn start(self: &Arc<Self>, table: TableId) -> Option<Recording> {
        let mut tables = self.0.lock();
        if tables.contains_key(&table) {
            return None;
        }
        let keys = Keys::default();
        tables.insert(table, keys.clone());
        Some(Recording {
            recorders: self.clone(),
            table,
            keys,
        })
    }

    /// Notes what a commit writes. Must happen before that commit becomes visible.
    pub fn note(&self, table: TableId, writes: &TableWrites) {
        let keys = self.0.lock().get(&table).cloned();
        if let Some(keys) = keys {
            keys.lock().extend(writes.keys().cloned());
        }
    }
}

impl Recording {
    /// Takes the keys that were recorded since the last call, in order.
    pub fn take(&self) -> BTreeSet<Vec<u8>> {
        std::mem::take(&mut *self.keys.lock())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.recorders.0.lock().remove(&self.table);
    }
}
