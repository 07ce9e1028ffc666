//! One consistent state of everything.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};

use super::format::{Bytes, Table};
use super::modified::Modified;
use super::range::{PageRange, RangeIter, Value, ValueBytes};
use super::tier::{Generation, Sealed, Tier, Tiers, Visit};
use super::{CATALOG_TABLE, KeyFilter, RowBatch, TableId, bounds_are_empty};
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
    tiers: Arc<Tiers>,
}

impl Snapshot {
    pub(super) fn new(
        sequence: u64,
        modified: Arc<Modified>,
        transaction: ReadTransaction,
        tiers: Arc<Tiers>,
    ) -> Self {
        Snapshot {
            sequence,
            catalog_modified: modified.last(CATALOG_TABLE, sequence),
            modified,
            tables: RwLock::new(HashMap::new()),
            transaction,
            tiers,
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

    /// Has the keys remembered that commits write to `table` from now on, for
    /// [`Snapshot::changed_since`].
    pub fn follow(&self, table: TableId) {
        self.modified.follow(table);
    }

    /// The keys of `table` whose rows may be others than in a snapshot for which
    /// [`Snapshot::last_modified`] was `version`; `None` when that is not known, or when that snapshot is
    /// the newer one.
    pub fn changed_since(&self, table: TableId, version: u64) -> Option<BTreeSet<Vec<u8>>> {
        if version > self.sequence {
            return None;
        }
        self.modified.changed(table, version, self.sequence)
    }

    /// Where the rows of every table are.
    pub fn tiers(&self) -> &Arc<Tiers> {
        &self.tiers
    }

    /// The sealed rows of a table.
    pub fn sealed(&self, table: TableId) -> Option<&Arc<dyn Sealed>> {
        self.tiers.sealed(table)
    }

    /// Whether a table has been created and not been dropped.
    pub fn exists(&self, table: TableId) -> Result<bool> {
        Ok(self.rows(table)?.is_some())
    }

    /// The value of one key.
    ///
    /// # Errors
    /// 58030 when the backend cannot be read, XX001 when it holds something else than was written.
    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Value>> {
        let tier = self.tiers.0.get(&table);
        if let Some(value) = self.unsealed_in(tier, table, key)? {
            return Ok(Some(value));
        }
        match tier.and_then(|tier| tier.sealed.as_ref()) {
            Some(sealed) => Ok(sealed.get(key)?.map(Value::from)),
            None => Ok(None),
        }
    }

    /// Fills in the rows of those of these ascending keys that are still looked for.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_batch(&self, table: TableId, keys: &[&[u8]], found: &mut RowBatch) -> Result<()> {
        let tier = self.tiers.0.get(&table);
        if let Some(rows) = self.rows(table)? {
            // Keys are mostly appended, and then none of them is there.
            let last = rows.last()?.map(|(key, _)| key.value().to_vec());
            let known = tier.and_then(|tier| tier.keys.as_deref());
            let may_be_there = |key: &[u8]| {
                last.as_ref().is_some_and(|last| key <= last.as_slice())
                    && known.is_none_or(|known| known.may_contain(key))
            };
            for (at, key) in keys.iter().enumerate() {
                if found.is_open(at)
                    && may_be_there(key)
                    && let Some(row) = rows.get(key)?
                {
                    found.put(at, row.value(), false);
                }
            }
        }
        match tier.and_then(|tier| tier.sealed.as_ref()) {
            Some(sealed) => sealed.get_batch(keys, found),
            None => Ok(()),
        }
    }

    /// The value of one key if it lies in redb.
    pub fn unsealed(&self, table: TableId, key: &[u8]) -> Result<Option<Value>> {
        self.unsealed_in(self.tiers.0.get(&table), table, key)
    }

    fn unsealed_in(
        &self,
        tier: Option<&Tier>,
        table: TableId,
        key: &[u8],
    ) -> Result<Option<Value>> {
        if let Some(keys) = tier.and_then(|tier| tier.keys.as_ref())
            && !keys.may_contain(key)
        {
            return Ok(None);
        }
        match self.rows(table)? {
            Some(rows) => Ok(rows
                .get_owned(key)?
                .map(|value| Value(ValueBytes::Page(value)))),
            None => Ok(None),
        }
    }

    /// Entries in key order. A table that does not exist has none.
    pub fn range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<RangeIter> {
        if bounds_are_empty(from, to) {
            return Ok(RangeIter::default());
        }
        let sealed = match self.tiers.sealed(table) {
            Some(sealed) => Some(sealed.range(from, to)?),
            None => None,
        };
        Ok(RangeIter::new(self.pages(table, from, to)?, sealed))
    }

    /// Passes keys and values of a range on, in key order, until told to stop: faster than
    /// [`Snapshot::range`], because nothing outlives the call that sees it.
    ///
    /// # Errors
    /// As [`Snapshot::get`], and those of `each`.
    pub fn visit(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        each: Visit<'_>,
    ) -> Result<()> {
        if bounds_are_empty(from, to) {
            return Ok(());
        }
        if let Some(sealed) = self.tiers.sealed(table) {
            let unsealed = match self.pages(table, from, to)? {
                Some(mut pages) => pages.next().transpose()?,
                None => None,
            };
            if unsealed.is_none() {
                return sealed.visit(from, to, each);
            }
        }
        for entry in self.range(table, from, to)? {
            let (key, value) = entry?;
            if each(key.as_ref(), value.as_ref())?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Entries of a range that lie in redb, and among them in key order those of other sealed rows than
    /// the snapshot's own.
    pub fn range_beside(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        sealed: &dyn Sealed,
    ) -> Result<RangeIter> {
        if bounds_are_empty(from, to) {
            return Ok(RangeIter::default());
        }
        let sealed = sealed.range(from, to)?;
        Ok(RangeIter::new(self.pages(table, from, to)?, Some(sealed)))
    }

    /// Those entries of a range that lie in redb, in key order.
    pub fn unsealed_range(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<RangeIter> {
        if bounds_are_empty(from, to) {
            return Ok(RangeIter::default());
        }
        Ok(RangeIter::new(self.pages(table, from, to)?, None))
    }

    /// The redb side of a range, which is not empty.
    fn pages(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<Option<PageRange>> {
        match self.rows(table)? {
            Some(rows) => Ok(Some(rows.range_owned::<&[u8]>((from, to))?)),
            None => Ok(None),
        }
    }

    /// Number of entries.
    pub fn len(&self, table: TableId) -> Result<u64> {
        let sealed = self.tiers.sealed(table).map_or(0, |sealed| sealed.len());
        Ok(self.unsealed_len(table)?.saturating_add(sealed))
    }

    /// Number of entries that lie in redb.
    pub fn unsealed_len(&self, table: TableId) -> Result<u64> {
        match self.rows(table)? {
            Some(rows) => Ok(rows.len()?),
            None => Ok(0),
        }
    }

    /// The keys of all entries that lie in redb.
    pub fn unsealed_keys(&self, table: TableId) -> Result<KeyFilter> {
        let keys = KeyFilter::default();
        for entry in self.unsealed_range(table, Bound::Unbounded, Bound::Unbounded)? {
            keys.add(entry?.0.as_ref());
        }
        Ok(keys)
    }

    fn rows(&self, table: TableId) -> Result<Option<Arc<Rows>>> {
        if let Some(rows) = self.tables.read().get(&table) {
            return Ok(rows.clone());
        }
        let rows = self.open(table, self.tiers.generation(table))?;
        let mut tables = self.tables.write();
        if tables.len() < MAX_OPEN_TABLES {
            tables.insert(table, rows.clone());
        }
        Ok(rows)
    }

    fn open(&self, table: TableId, generation: Generation) -> Result<Option<Arc<Rows>>> {
        let name = Table::of(table, generation);
        match self.transaction.open_table(name.definition()) {
            Ok(rows) => Ok(Some(Arc::new(rows))),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
