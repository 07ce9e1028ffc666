//! One consistent state of everything.

use std::ops::Bound;

use super::TableId;
use crate::error::Result;

/// A state of the whole database that never changes. Hold it briefly: it pins freed pages.
pub struct Snapshot {}

/// A value read from a snapshot; borrows the page it lies in.
pub struct Value {}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        todo!()
    }
}

/// Entries of a key range; from the front and from the back.
pub struct RangeIter {}

impl Iterator for RangeIter {
    type Item = Result<(Value, Value)>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl DoubleEndedIterator for RangeIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl Snapshot {
    /// Number of the newest commit in it; grows with every visible commit.
    pub fn sequence(&self) -> u64 {
        todo!()
    }

    /// Number of a commit that is at least as new as the last change of `table` in this snapshot.
    pub fn last_modified(&self, table: TableId) -> u64 {
        let _ = table;
        todo!()
    }

    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Value>> {
        let _ = (table, key);
        todo!()
    }

    /// Entries in key order. A table that does not exist has none.
    pub fn range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<RangeIter> {
        let _ = (table, from, to);
        todo!()
    }

    /// Number of entries.
    pub fn len(&self, table: TableId) -> Result<u64> {
        let _ = table;
        todo!()
    }
}
