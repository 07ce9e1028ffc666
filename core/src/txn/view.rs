//! What a statement reads: a snapshot with the transaction's own writes laid over it.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::own_rows::OwnRows;
use super::read_set::ReadSet;
use super::write_set::{Row, Stamp, TableState, Tables};
use crate::error::Result;
use crate::segment::SealedTable;
use crate::storage::{CATALOG_TABLE, RangeIter, RowBatch, Sealed, Snapshot, TableId, Value};

/// A fixed state to read from. Cheap to clone, and safe to read from several threads. A
/// SERIALIZABLE transaction's view remembers which ranges were read through it; reading its
/// [`View::snapshot`] directly is not remembered.
#[derive(Clone)]
pub struct View {
    snapshot: Arc<Snapshot>,
    tables: Tables,
    stamp: Stamp,
    reads: Option<Arc<ReadSet>>,
}

/// Bytes of a row or key, from the snapshot's page or from the write set.
pub struct Entry(EntryBytes);

enum EntryBytes {
    /// Of the snapshot, or an own row that was loaded.
    Stored(Value),
    Key(Vec<u8>),
    Row(Bytes),
}

impl Entry {
    /// Whether it lies in the sealed tier.
    pub fn is_sealed(&self) -> bool {
        match &self.0 {
            EntryBytes::Stored(value) => value.is_sealed(),
            EntryBytes::Key(_) | EntryBytes::Row(_) => false,
        }
    }
}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            EntryBytes::Stored(value) => value.as_ref(),
            EntryBytes::Key(key) => key,
            EntryBytes::Row(row) => row,
        }
    }
}

impl View {
    pub(super) fn new(
        snapshot: Arc<Snapshot>,
        tables: Tables,
        stamp: Stamp,
        reads: Option<Arc<ReadSet>>,
    ) -> Self {
        View {
            snapshot,
            tables,
            stamp,
            reads,
        }
    }

    /// What a snapshot shows, without writes of any transaction.
    pub fn of(snapshot: Arc<Snapshot>) -> Self {
        View::new(snapshot, Tables::default(), 0, None)
    }

    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Where reads of `table` are remembered. The catalog is not a client's data: relation locks keep
    /// DDL away from what a transaction uses, and a change of any other table must not fail it.
    fn remembered(&self, table: TableId) -> Option<&ReadSet> {
        self.reads.as_deref().filter(|_| table != CATALOG_TABLE)
    }

    /// What the transaction itself has written under a key, as this view sees it.
    fn own_row(&self, own: &TableState, key: &[u8]) -> Option<Row> {
        let rows = own.rows.read();
        rows.map.get(key)?.seen_by(self.stamp).cloned()
    }

    /// The row of one key.
    pub fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Entry>> {
        if let Some(reads) = self.remembered(table) {
            reads.add_key(table, key);
        }
        if let Some(own) = self.tables.get(&table) {
            if own.dropped {
                return Ok(None);
            }
            if let Some(row) = self.own_row(own, key) {
                return Ok(row.map(|row| Entry(EntryBytes::Row(row))));
            }
            if let Some(loaded) = &own.loaded
                && let Some(row) = loaded.get(key)?
            {
                return Ok(Some(Entry(EntryBytes::Stored(row.into()))));
            }
        }
        let found = self.snapshot.get(table, key)?;
        Ok(found.map(|value| Entry(EntryBytes::Stored(value))))
    }

    /// Fills in the rows of ascending keys.
    pub fn get_batch(&self, table: TableId, keys: &[&[u8]], found: &mut RowBatch) -> Result<()> {
        if let Some(reads) = self.remembered(table) {
            for key in keys {
                reads.add_key(table, key);
            }
        }
        if let Some(own) = self.tables.get(&table) {
            if own.dropped {
                return Ok(());
            }
            let rows = own.rows.read();
            for (at, key) in keys.iter().enumerate() {
                let row = rows.map.get(*key);
                match row.and_then(|row| row.seen_by(self.stamp)) {
                    Some(Some(row)) => found.put(at, row, false),
                    Some(None) => found.close(at),
                    None => {}
                }
            }
            drop(rows);
            if let Some(loaded) = &own.loaded {
                loaded.get_batch(keys, found)?;
            }
        }
        self.snapshot.get_batch(table, keys, found)
    }

    /// Entries of a range in key order. Reads lazily.
    pub fn range(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<ViewIter> {
        if let Some(reads) = self.remembered(table) {
            reads.add_range(table, from, to);
        }
        let own = self.tables.get(&table);
        if own.is_some_and(|own| own.dropped) {
            return Ok(ViewIter::default());
        }
        let stored = match own.and_then(|own| own.loaded.as_ref()) {
            None => self.snapshot.range(table, from, to)?,
            Some(loaded) => {
                let sealed = self.with_stored(table, loaded);
                self.snapshot.range_beside(table, from, to, &sealed)?
            }
        };
        let own = own.filter(|own| !own.rows.read().map.is_empty());
        Ok(ViewIter {
            stored: Ends::new(Some(stored)),
            own: Ends::new(own.map(|own| OwnRows::new(own.rows.clone(), self.stamp, from, to))),
        })
    }

    /// Exact number of entries of a table. Costs a look-up for each own write.
    pub fn len(&self, table: TableId) -> Result<u64> {
        if let Some(reads) = self.remembered(table) {
            reads.add_range(table, Bound::Unbounded, Bound::Unbounded);
        }
        let mut stored = self.snapshot.len(table)?;
        let Some(own) = self.tables.get(&table) else {
            return Ok(stored);
        };
        if own.dropped {
            return Ok(0);
        }
        if let Some(loaded) = &own.loaded {
            stored = stored.saturating_add(loaded.len());
        }
        let mut len = stored;
        let unbounded = Bound::Unbounded;
        for (key, row) in OwnRows::new(own.rows.clone(), self.stamp, unbounded, unbounded) {
            let is_loaded = match &own.loaded {
                Some(loaded) => loaded.get(&key)?.is_some(),
                None => false,
            };
            let is_stored = is_loaded || stored > 0 && self.snapshot.get(table, &key)?.is_some();
            match (is_stored, row.is_some()) {
                (false, true) => len = len.saturating_add(1),
                (true, false) => len = len.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
        }
        Ok(len)
    }

    /// The sealed rows of a table, those too that [`View::own_keys`] replaces. Reading them is not
    /// remembered: see [`View::remember`].
    pub fn sealed(&self, table: TableId) -> Option<Arc<dyn Sealed>> {
        match self.tables.get(&table) {
            Some(own) if own.dropped => None,
            Some(TableState {
                loaded: Some(loaded),
                ..
            }) => Some(Arc::new(self.with_stored(table, loaded))),
            _ => self.snapshot.sealed(table).cloned(),
        }
    }

    /// The sealed rows of the snapshot and own ones that were loaded.
    fn with_stored(&self, table: TableId, loaded: &SealedTable) -> SealedTable {
        match SealedTable::of(&self.snapshot, table) {
            Some(stored) => stored.with(loaded.parts()),
            None => loaded.clone(),
        }
    }

    /// Entries of a range that are not sealed, in key order: those in redb and own ones. Reads
    /// lazily. Reading them is not remembered: see [`View::remember`].
    pub fn unsealed_range(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Result<ViewIter> {
        let own = self.tables.get(&table);
        if own.is_some_and(|own| own.dropped) {
            return Ok(ViewIter::default());
        }
        let own = own.filter(|own| !own.rows.read().map.is_empty());
        Ok(ViewIter {
            stored: Ends::new(Some(self.snapshot.unsealed_range(table, from, to)?)),
            own: Ends::new(own.map(|own| OwnRows::new(own.rows.clone(), self.stamp, from, to))),
        })
    }

    /// The entry of one key if it is not sealed. Reading it is not remembered: see [`View::remember`].
    pub fn unsealed(&self, table: TableId, key: &[u8]) -> Result<Option<Entry>> {
        if let Some(own) = self.tables.get(&table) {
            if own.dropped {
                return Ok(None);
            }
            if let Some(row) = self.own_row(own, key) {
                return Ok(row.map(|row| Entry(EntryBytes::Row(row))));
            }
        }
        let found = self.snapshot.unsealed(table, key)?;
        Ok(found.map(|value| Entry(EntryBytes::Stored(value))))
    }

    /// The most entries of a table that are not sealed; none means that there are none.
    pub fn unsealed_at_most(&self, table: TableId) -> Result<u64> {
        let own = match self.tables.get(&table) {
            Some(own) if own.dropped => return Ok(0),
            Some(own) => own.rows.read().map.len() as u64,
            None => 0,
        };
        Ok(self.snapshot.unsealed_len(table)?.saturating_add(own))
    }

    /// Whether the transaction has dropped a table.
    pub fn has_dropped(&self, table: TableId) -> bool {
        self.tables.get(&table).is_some_and(|own| own.dropped)
    }

    /// Whether the transaction has written to a table.
    pub fn has_own(&self, table: TableId) -> bool {
        let own = self.tables.get(&table);
        own.is_some_and(|own| own.dropped || own.has_rows())
    }

    /// The keys of a range that the transaction has written or deleted, in order: what is stored
    /// under them does not count.
    pub fn own_keys(
        &self,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl Iterator<Item = Vec<u8>> + use<> {
        let own = self.tables.get(&table);
        let rows = own.map(|own| OwnRows::new(own.rows.clone(), self.stamp, from, to));
        rows.into_iter().flatten().map(|(key, _)| key)
    }

    /// Counts a range as read where it is read otherwise than through [`View::range`].
    pub fn remember(&self, table: TableId, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        if let Some(reads) = self.remembered(table) {
            reads.add_range(table, from, to);
        }
    }

    /// A number that is the same for two views only if both see the same rows of `table`; `None`
    /// when own writes make it unique to this transaction.
    ///
    /// What is cached under it may be used instead of reading the table, so a SERIALIZABLE
    /// transaction counts as having read all of it.
    pub fn version(&self, table: TableId) -> Option<u64> {
        if let Some(reads) = self.remembered(table) {
            reads.add_range(table, Bound::Unbounded, Bound::Unbounded);
        }
        if self.has_own(table) {
            return None;
        }
        Some(self.snapshot.last_modified(table))
    }
}

/// An iterator that can be looked at from both ends before it is advanced.
struct Ends<I: Iterator> {
    rest: Option<I>,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<I: Iterator> Default for Ends<I> {
    fn default() -> Self {
        Ends::new(None)
    }
}

impl<I: Iterator> Ends<I> {
    fn new(rest: Option<I>) -> Self {
        Ends {
            rest,
            front: None,
            back: None,
        }
    }

    fn peek_front(&mut self) -> Option<&I::Item> {
        if self.front.is_none() {
            self.front = self.rest.as_mut().and_then(Iterator::next);
        }
        if self.front.is_none() {
            self.front = self.back.take();
        }
        self.front.as_ref()
    }
}

impl<I: DoubleEndedIterator> Ends<I> {
    fn peek_back(&mut self) -> Option<&I::Item> {
        if self.back.is_none() {
            self.back = self.rest.as_mut().and_then(DoubleEndedIterator::next_back);
        }
        if self.back.is_none() {
            self.back = self.front.take();
        }
        self.back.as_ref()
    }
}

/// Entries of a range in key order; from the front and from the back.
#[derive(Default)]
pub struct ViewIter {
    stored: Ends<RangeIter>,
    own: Ends<OwnRows>,
}

/// Where the next entry comes from.
enum Source {
    Stored,
    Own,
    /// Both have the key; the own row counts.
    Both,
}

impl Source {
    /// Chooses between the two next entries; `first` is the order of the key that comes first.
    fn choose(
        stored: Option<&Result<(Value, Value)>>,
        own: Option<&(Vec<u8>, Row)>,
        first: Ordering,
    ) -> Option<Source> {
        match (stored, own) {
            (None, None) => None,
            (Some(_), None) | (Some(Err(_)), _) => Some(Source::Stored),
            (None, Some(_)) => Some(Source::Own),
            (Some(Ok((stored, _))), Some((own, _))) => match stored.as_ref().cmp(own) {
                Ordering::Equal => Some(Source::Both),
                order if order == first => Some(Source::Stored),
                _ => Some(Source::Own),
            },
        }
    }
}

fn stored_entry(found: Result<(Value, Value)>) -> Result<(Entry, Entry)> {
    let (key, row) = found?;
    Ok((
        Entry(EntryBytes::Stored(key)),
        Entry(EntryBytes::Stored(row)),
    ))
}

fn own_entry((key, row): (Vec<u8>, Row)) -> Option<(Entry, Entry)> {
    let row = Entry(EntryBytes::Row(row?));
    Some((Entry(EntryBytes::Key(key)), row))
}

impl Iterator for ViewIter {
    type Item = Result<(Entry, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (stored, own) = (self.stored.peek_front(), self.own.peek_front());
            match Source::choose(stored, own, Ordering::Less)? {
                Source::Stored => return self.stored.front.take().map(stored_entry),
                Source::Own => {}
                Source::Both => self.stored.front = None,
            }
            // A tombstone is no entry.
            if let Some(entry) = self.own.front.take().and_then(own_entry) {
                return Some(Ok(entry));
            }
        }
    }
}

impl DoubleEndedIterator for ViewIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let (stored, own) = (self.stored.peek_back(), self.own.peek_back());
            match Source::choose(stored, own, Ordering::Greater)? {
                Source::Stored => return self.stored.back.take().map(stored_entry),
                Source::Own => {}
                Source::Both => self.stored.back = None,
            }
            if let Some(entry) = self.own.back.take().and_then(own_entry) {
                return Some(Ok(entry));
            }
        }
    }
}
