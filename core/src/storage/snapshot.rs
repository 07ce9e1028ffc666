//! One consistent state of everything.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{
    OwnedAccessGuard, OwnedRange, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableError,
};

use super::format::{Bytes, Table};
use super::modified::Modified;
use super::{CATALOG_TABLE, TableId, bounds_are_empty};
use crate::error::Result;

/// Opened tables that one snapshot remembers; the tables beyond are opened on each use.
const MAX_OPEN_TABLES: usize = 4096;

type Rows = ReadOnlyTable<Bytes, Bytes>;

/// A state of the whole database that never changes. Hold it briefly: it pins freed pages.
pub struct Snapshot {
    sequence: u64,
    modified: Arc<Modified>,
    /// [`Snapshot::last_modified`] of the catalog, which every statement asks for.
    catalog_modified: u64,
    /// Tables opened so far; `None` is a table that does not exist. Opening costs a look-up in
    /// redb's own table of tables, which would be most of a point read.
    tables: RwLock<HashMap<TableId, Option<Arc<Rows>>>>,
    transaction: ReadTransaction,
}

/// A value read from a snapshot; borrows the page it lies in.
pub struct Value(OwnedAccessGuard<Bytes>);

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

/// Entries of a key range; from the front and from the back.
pub struct RangeIter(Option<OwnedRange<Bytes, Bytes>>);

impl RangeIter {
    fn entry(
        found: redb::Result<(OwnedAccessGuard<Bytes>, OwnedAccessGuard<Bytes>)>,
    ) -> Result<(Value, Value)> {
        let (key, value) = found?;
        Ok((Value(key), Value(value)))
    }
}

impl Iterator for RangeIter {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(Self::entry(self.0.as_mut()?.next()?))
    }
}

impl DoubleEndedIterator for RangeIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(Self::entry(self.0.as_mut()?.next_back()?))
    }
}

impl Snapshot {
    pub(super) fn new(
        sequence: u64,
        modified: Arc<Modified>,
        transaction: ReadTransaction,
    ) -> Self {
        Snapshot {
            sequence,
            catalog_modified: modified.last(CATALOG_TABLE, sequence),
            modified,
            tables: RwLock::new(HashMap::new()),
            transaction,
        }
    }

    /// Number of the newest commit in it; grows with every visible commit.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Number of a commit that is at least as new as the last change of `table` in this snapshot.
    /// Two snapshots that give the same number have the same rows in `table`.
    pub fn last_modified(&self, table: TableId) -> u64 {
        if table == CATALOG_TABLE {
            return self.catalog_modified;
        }
        self.modified.last(table, self.sequence)
    }

    /// The value of one key.
    ///
    /// # Errors
    /// 58030 when the backend cannot be read, XX001 when it holds something else than was written.
    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Value>> {
        match self.rows(table)? {
            Some(rows) => Ok(rows.get_owned(key)?.map(Value)),
            None => Ok(None),
        }
    }

    /// Entries in key order. A table that does not exist has none.
    pub fn range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<RangeIter> {
        if bounds_are_empty(from, to) {
            return Ok(RangeIter(None));
        }
        match self.rows(table)? {
            Some(rows) => Ok(RangeIter(Some(rows.range_owned::<&[u8]>((from, to))?))),
            None => Ok(RangeIter(None)),
        }
    }

    /// Number of entries.
    pub fn len(&self, table: TableId) -> Result<u64> {
        match self.rows(table)? {
            Some(rows) => Ok(rows.len()?),
            None => Ok(0),
        }
    }

    fn rows(&self, table: TableId) -> Result<Option<Arc<Rows>>> {
        if let Some(rows) = self.tables.read().get(&table) {
            return Ok(rows.clone());
        }
        let rows = match self.transaction.open_table(Table::of(table).definition()) {
            Ok(rows) => Some(Arc::new(rows)),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut tables = self.tables.write();
        if tables.len() < MAX_OPEN_TABLES {
            tables.insert(table, rows.clone());
        }
        Ok(rows)
    }
}
