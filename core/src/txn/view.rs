//! What a statement reads: a snapshot with the transaction's own writes laid over it.

use std::ops::Bound;
use std::sync::Arc;

use crate::error::Result;
use crate::storage::{Snapshot, TableId};

/// A fixed state to read from. Cheap to clone, and safe to read from several threads. A
/// SERIALIZABLE transaction's view remembers which ranges were read through it.
#[derive(Clone)]
pub struct View {}

/// Bytes of a row or key, from the snapshot's page or from the write set.
pub struct Entry {}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        todo!()
    }
}

/// Entries of a range in key order; from the front and from the back.
pub struct ViewIter {}

impl Iterator for ViewIter {
    type Item = Result<(Entry, Entry)>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl DoubleEndedIterator for ViewIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl View {
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        todo!()
    }

    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Entry>> {
        let _ = (table, key);
        todo!()
    }

    pub fn range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<ViewIter> {
        let _ = (table, from, to);
        todo!()
    }

    /// Exact number of entries of a table.
    pub fn len(&self, table: TableId) -> Result<u64> {
        let _ = table;
        todo!()
    }

    /// A number that is the same for two views only if both see the same rows of `table`; `None`
    /// when own writes make it unique to this transaction.
    pub fn version(&self, table: TableId) -> Option<u64> {
        let _ = table;
        todo!()
    }
}
