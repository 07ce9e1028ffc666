//! An immutable segment: finds keys, reads rows and columns.
//!
//! ```text
//! key ─ learned index over the key column ─▶ row number ─ block of rows ─▶ row
//!                                            row group ─ Parquet column chunk ─▶ column
//! ```
//!
//! Rows come from the sidecar, columns from the Parquet object. What is read stays in caches with
//! limits. Keys that do not fit, or not yet, are read page by page.

use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::ArrayRef;
use bytes::Bytes;
use parking_lot::Mutex;

use super::block;
use super::cache::{BlockName, Caches, Name, Part, Resident};
use super::codec::checksum;
use super::columns_read::{self, Footer};
use super::entries::Entries;
use super::keys::{KeyColumnBytes, KeyRun, Keys, Shape};
use super::meta::{Group, SegmentMeta};
use super::objects::Objects;
use super::side::{FIXED_HEAD, Head, PAGE_KEYS};
use crate::error::{Error, Result, SqlState};
use crate::index::Index;
use crate::types::Datum;

/// What a look-up through a page of keys counts towards reading all keys, in bytes. Once look-ups
/// have cost as much as that, it is worth it.
const PAGE_RENT: u64 = 4096;
/// Numbers of key pages among the blocks of a sidecar.
const PAGES: u32 = 1 << 31;

/// A segment. Clones share it.
#[derive(Clone)]
pub struct Segment {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub meta: SegmentMeta,
    pub objects: Objects,
    pub caches: Arc<Caches>,
    side_path: String,
    /// What look-ups without an index have cost since all keys were read last.
    rent: AtomicU64,
    /// Counts how often the sidecar was written anew; held while it is.
    rebuilt: Mutex<u64>,
    generation: AtomicU64,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meta = self.meta();
        write!(
            f,
            "Segment({}/{}, {} rows)",
            meta.table, meta.segment, meta.rows
        )
    }
}

/// Keys with their index, or what it takes to read pages of them.
enum KeySource {
    Whole(Arc<Keys>),
    Pages(Arc<Head>),
}

impl Segment {
    /// Reads nothing yet.
    pub fn new(meta: SegmentMeta, objects: Objects, caches: Arc<Caches>) -> Segment {
        let side_path = meta.side_path();
        Segment {
            inner: Arc::new(Inner {
                meta,
                objects,
                caches,
                side_path,
                rent: AtomicU64::new(0),
                rebuilt: Mutex::new(0),
                generation: AtomicU64::new(0),
            }),
        }
    }

    pub fn meta(&self) -> &SegmentMeta {
        &self.inner.meta
    }

    /// The row groups, in the order of their rows.
    pub fn groups(&self) -> &[Group] {
        &self.inner.meta.groups
    }

    /// The number of the row with a key.
    ///
    /// # Errors
    /// XX001 when the Parquet object is damaged and the sidecar as well, 58030 when they cannot be read.
    pub fn locate(&self, key: &[u8]) -> Result<Option<u32>> {
        if !self.may_hold(key) {
            return Ok(None);
        }
        self.inner.side(|inner| inner.locate(key))
    }

    fn may_hold(&self, key: &[u8]) -> bool {
        let meta = self.meta();
        meta.first_key.as_slice() <= key && key <= meta.last_key.as_slice()
    }

    /// The numbers of the rows with some keys, in the order of the keys. `out` is replaced.
    ///
    /// # Errors
    /// As [`Segment::locate`].
    pub fn locate_batch(&self, keys: &[&[u8]], out: &mut Vec<Option<u32>>) -> Result<()> {
        self.inner.side(|inner| {
            out.clear();
            match inner.keys(keys.len() as u64)? {
                KeySource::Whole(whole) => whole.locate_batch(keys, out),
                KeySource::Pages(head) => {
                    for key in keys {
                        let (at, found) = inner.rank_in_pages(&head, key)?;
                        out.push(found.then_some(at));
                    }
                }
            }
            Ok(())
        })
    }

    /// The numbers of the rows whose keys are between two bounds.
    ///
    /// # Errors
    /// As [`Segment::locate`].
    pub fn positions(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Range<u32>> {
        let rows = self.meta().rows;
        self.inner.side(|inner| {
            let behind = |(at, found): (u32, bool)| at + u32::from(found);
            let start = match from {
                Bound::Included(key) => inner.rank(key)?.0,
                Bound::Excluded(key) => behind(inner.rank(key)?),
                Bound::Unbounded => 0,
            };
            let end = match to {
                Bound::Included(key) => behind(inner.rank(key)?),
                Bound::Excluded(key) => inner.rank(key)?.0,
                Bound::Unbounded => rows,
            };
            Ok(start..end.max(start))
        })
    }

    /// The key of a row.
    ///
    /// # Errors
    /// As [`Segment::locate`]; XX000 for a row that does not exist.
    pub fn key(&self, row: u32) -> Result<Bytes> {
        self.check_row(row)?;
        self.inner.side(|inner| match inner.keys(1)? {
            KeySource::Whole(keys) => Ok(keys.column.key(row as usize)),
            KeySource::Pages(head) => {
                let page = row / PAGE_KEYS;
                let keys = inner.page(&head, page as usize)?;
                Ok(keys.key((row % PAGE_KEYS) as usize))
            }
        })
    }

    /// The bytes of a row, as they were pushed. They share memory with rows beside it: whoever keeps
    /// them for long copies them.
    ///
    /// # Errors
    /// As [`Segment::key`].
    pub fn row(&self, row: u32) -> Result<Bytes> {
        self.check_row(row)?;
        if self.meta().bare {
            return Ok(Bytes::new());
        }
        self.inner.side(|inner| {
            let head = inner.head()?;
            let (rows, bytes) = inner.block(&head, row)?;
            let at = (row - rows.start) as usize;
            block::row(&bytes, rows.len(), at).ok_or_else(|| inner.side_damaged("a row"))
        })
    }

    fn check_row(&self, row: u32) -> Result<()> {
        if row < self.meta().rows {
            return Ok(());
        }
        Err(Error::internal(format!("row {row} of {self:?}")))
    }

    /// Row number, key and row of the rows of a range, from both ends. Rows that do not exist are left
    /// out. An error ends it.
    pub fn entries(&self, rows: Range<u32>) -> Entries {
        let end = rows.end.min(self.meta().rows);
        Entries::new(self.clone(), rows.start.min(end)..end)
    }

    /// A column of a row group, in the Arrow type of its PostgreSQL type (with zone UTC); `None` when
    /// the segment does not have it, because it was added to the table later, or dropped before.
    ///
    /// # Errors
    /// XX001 naming the Parquet object when it is damaged, 58030 when it cannot be read, 22008 when an
    /// interval has more digits than its Arrow type holds, XX000 for a row group that does not exist.
    pub fn column(&self, group: usize, position: usize) -> Result<Option<ArrayRef>> {
        let inner = &self.inner;
        let Some(column) = inner.meta.layout.columns.get(position) else {
            return Ok(None);
        };
        if column.dropped {
            return Ok(None);
        }
        let name = (inner.name(), group as u32, position as u32);
        let read = || {
            let footer = inner.footer()?;
            let (objects, meta) = (&inner.objects, &inner.meta);
            columns_read::column(objects, meta, &footer, group, position, column.ty)
        };
        inner.caches.column_or(name, read).map(Some)
    }

    /// Whether a column of a row group is decoded and in memory.
    pub fn has_column(&self, group: usize, position: usize) -> bool {
        let name = (self.inner.name(), group as u32, position as u32);
        self.inner.caches.has_column(name)
    }

    /// Whether a row group can have a value in a column, by its bloom filter. `true` where there is
    /// none.
    ///
    /// # Errors
    /// As [`Segment::column`].
    pub fn may_contain(&self, group: usize, position: usize, value: &Datum<'_>) -> Result<bool> {
        let meta = self.meta();
        let found = meta
            .groups
            .get(group)
            .and_then(|group| group.columns.get(position));
        let bloom = found
            .and_then(Option::as_ref)
            .and_then(|column| column.bloom);
        match (bloom, meta.layout.columns.get(position)) {
            (Some(bloom), Some(column)) => {
                columns_read::may_contain(&self.inner.objects, meta, &bloom, value, column.ty)
            }
            _ => Ok(true),
        }
    }

    /// Deletes the objects. Nobody may read the segment any more.
    ///
    /// # Errors
    /// 58030 when the store fails.
    pub fn delete_objects(&self) -> Result<()> {
        self.forget();
        self.inner
            .objects
            .delete(self.meta().table, self.meta().segment)
    }

    /// Gives back the memory of what is cached of the segment.
    pub fn forget(&self) {
        self.inner.caches.forget(self.inner.name());
    }
}

impl Inner {
    pub fn name(&self) -> Name {
        (self.meta.table, self.meta.segment)
    }

    fn side_damaged(&self, what: &str) -> Error {
        Error::corrupted(format!("object {} is damaged: {what}", self.side_path))
    }

    /// Reads from the sidecar, writes it anew when it is damaged, and reads again.
    pub fn side<T>(&self, mut read: impl FnMut(&Inner) -> Result<T>) -> Result<T> {
        let generation = self.generation.load(Ordering::Acquire);
        match read(self) {
            Err(error) if error.state() == SqlState::DATA_CORRUPTED => {
                self.mend(generation, &error)?;
                read(self)
            }
            other => other,
        }
    }

    /// Writes the sidecar anew, unless somebody has done that since `generation`.
    fn mend(&self, generation: u64, found: &Error) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock();
        if *rebuilt != generation {
            return Ok(());
        }
        tracing::warn!(object = %self.side_path, %found, "rebuilding a sidecar");
        self.rebuild()?;
        self.caches.forget_side(self.name());
        *rebuilt += 1;
        self.generation.store(*rebuilt, Ordering::Release);
        Ok(())
    }

    /// A part of the sidecar.
    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.objects.read(&self.side_path, range)
    }

    /// The sidecar's table of contents.
    pub fn head(&self) -> Result<Arc<Head>> {
        let found = match self.caches.resident(self.name(), Part::Head) {
            Some(found) => found,
            None => self
                .caches
                .resident_or(self.name(), Part::Head, || self.read_head())?,
        };
        match found {
            Resident::Head(head) => Ok(head),
            _ => Err(Error::internal("the cache of heads holds something else")),
        }
    }

    fn read_head(&self) -> Result<Resident> {
        let length = Head::length(&self.read(0..FIXED_HEAD as u64)?)?;
        let head = Head::decode(&self.read(0..length.into())?)?;
        let meta = &self.meta;
        let own = (head.table, head.segment, head.rows, head.stamp)
            == (meta.table, meta.segment, meta.rows, meta.footer.checksum);
        if !own {
            return Err(self.side_damaged("it belongs to another segment"));
        }
        Ok(Resident::Head(Arc::new(head)))
    }

    pub fn footer(&self) -> Result<Arc<Footer>> {
        let found = self.caches.resident_or(self.name(), Part::Footer, || {
            let footer = columns_read::footer(&self.objects, &self.meta)?;
            Ok(Resident::Footer(Arc::new(footer)))
        })?;
        match found {
            Resident::Footer(footer) => Ok(footer),
            _ => Err(Error::internal("the cache of footers holds something else")),
        }
    }

    /// All keys, if they are in memory or worth reading for `probes` more look-ups.
    fn keys(&self, probes: u64) -> Result<KeySource> {
        if let Some(Resident::Keys(keys)) = self.caches.resident(self.name(), Part::Keys) {
            return Ok(KeySource::Whole(keys));
        }
        let head = self.head()?;
        let parts = head.parts();
        let size = parts.index.end - parts.offsets.start;
        let (fits, free) = self.caches.room_for_keys(size);
        let rent = self
            .rent
            .fetch_add(probes.saturating_mul(PAGE_RENT), Ordering::Relaxed);
        if !fits || !free && rent < size {
            return Ok(KeySource::Pages(head));
        }
        self.rent.store(0, Ordering::Relaxed);
        let read = || Ok(Resident::Keys(Arc::new(self.read_keys(&head)?)));
        match self.caches.resident_or(self.name(), Part::Keys, read)? {
            Resident::Keys(keys) => Ok(KeySource::Whole(keys)),
            _ => Err(Error::internal("the cache of keys holds something else")),
        }
    }

    /// Reads all keys and their index.
    fn read_keys(&self, head: &Head) -> Result<Keys> {
        let parts = head.parts();
        let all = self.read(parts.offsets.start..parts.index.end)?;
        let part = |range: &Range<u64>| {
            let start = (range.start - parts.offsets.start) as usize;
            let end = (range.end - parts.offsets.start) as usize;
            all.slice(start..end)
        };
        let column = KeyColumnBytes {
            shape: head.shape.clone(),
            count: head.rows as usize,
            offsets: part(&parts.offsets),
            bytes: part(&parts.keys),
        };
        for (at, page) in head.pages.iter().enumerate() {
            let rows = head.page_rows(at);
            let offsets = match head.shape {
                Shape::Variable => column
                    .offsets
                    .get(4 * rows.start as usize..4 * (rows.end as usize + 1)),
                _ => None,
            };
            let keys = head
                .page_keys(at)
                .and_then(|keys| column.bytes.get(keys.start as usize..keys.end as usize));
            if checksum(offsets.unwrap_or_default()) != page.offsets_checksum
                || keys.map(checksum) != Some(page.keys_checksum)
            {
                return Err(self.side_damaged("wrong checksum of its keys"));
            }
        }
        let column = column.check()?;
        let blob = part(&parts.index);
        if checksum(&blob) != head.index_checksum {
            return Err(self.side_damaged("wrong checksum of its index"));
        }
        let index = Index::decode(&blob).ok().filter(|index| column.fits(index));
        let index = match index {
            Some(index) => index,
            // Whole, but of another version: the keys are what counts.
            None => column.index(None)?,
        };
        Ok(Keys { column, index })
    }

    fn locate(&self, key: &[u8]) -> Result<Option<u32>> {
        match self.keys(1)? {
            KeySource::Whole(keys) => Ok(keys.locate(key)),
            KeySource::Pages(head) => {
                let (at, found) = self.rank_in_pages(&head, key)?;
                Ok(found.then_some(at))
            }
        }
    }

    /// How many keys sort below a probe, and whether the next one is the probe.
    fn rank(&self, probe: &[u8]) -> Result<(u32, bool)> {
        match self.keys(1)? {
            KeySource::Whole(keys) => {
                let (at, found) = keys.column.rank(Some(&keys.index), probe);
                Ok((at as u32, found))
            }
            KeySource::Pages(head) => self.rank_in_pages(&head, probe),
        }
    }

    fn rank_in_pages(&self, head: &Arc<Head>, probe: &[u8]) -> Result<(u32, bool)> {
        let page = head.page_of(probe);
        let keys = self.page(head, page)?;
        let (at, found) = keys.rank(None, probe);
        Ok((head.page_rows(page).start + at as u32, found))
    }

    /// A page of keys.
    fn page(&self, head: &Arc<Head>, page: usize) -> Result<KeyColumnBytes> {
        let outside = || Error::internal("a key page that does not exist");
        let place = head.pages.get(page).ok_or_else(outside)?;
        let rows = head.page_rows(page);
        let within = head.page_keys(page).ok_or_else(outside)?;
        let name: BlockName = (self.name(), head.checksum, PAGES | page as u32);
        // Of keys of any length, the offsets come first, then the bytes.
        let offsets_length = match head.shape {
            Shape::Variable => 4 * (rows.len() + 1),
            _ => 0,
        };
        let bytes = self.caches.block_or(name, || {
            let parts = head.parts();
            let keys = self.read(parts.keys.start + within.start..parts.keys.start + within.end)?;
            let start = parts.offsets.start + 4 * u64::from(rows.start);
            let offsets = self.read(start..start + offsets_length as u64)?;
            if checksum(&offsets) != place.offsets_checksum
                || checksum(&keys) != place.keys_checksum
            {
                return Err(self.side_damaged("wrong checksum of a page of keys"));
            }
            if offsets.is_empty() {
                return Ok(keys);
            }
            let relative = offsets.as_chunks::<4>().0.iter().flat_map(|offset| {
                let offset = u32::from_le_bytes(*offset);
                offset.wrapping_sub(within.start as u32).to_le_bytes()
            });
            let mut page: Vec<u8> = relative.collect();
            page.extend_from_slice(&keys);
            Ok(page.into())
        })?;
        if bytes.len() < offsets_length {
            return Err(outside());
        }
        KeyColumnBytes {
            shape: head.shape.clone(),
            count: rows.len(),
            offsets: bytes.slice(..offsets_length),
            bytes: bytes.slice(offsets_length..),
        }
        .check()
    }

    /// The block that holds a row, and the rows that it holds.
    pub fn block(&self, head: &Head, row: u32) -> Result<(Range<u32>, Bytes)> {
        let at = head.block_of(row);
        let rows = head.block_rows(at);
        let name: BlockName = (self.name(), head.checksum, at as u32);
        let bytes = self.caches.block_or(name, || {
            let place = head
                .blocks
                .get(at)
                .ok_or_else(|| Error::internal("a block that does not exist"))?;
            let start = head.parts().blocks.saturating_add(place.offset);
            let stored = self.read(start..start.saturating_add(place.stored.into()))?;
            block::open(&stored, place, rows.len(), self.caches.decompressors())
        })?;
        Ok((rows, bytes))
    }

    /// The keys of some rows.
    pub fn key_run(&self, rows: Range<u32>) -> Result<KeyRun> {
        let mut run = KeyRun::default();
        match self.keys(1)? {
            KeySource::Whole(keys) => {
                keys.column
                    .copy(rows.start as usize..rows.end as usize, &mut run);
            }
            KeySource::Pages(head) => {
                let mut next = rows.start;
                while next < rows.end {
                    let page = (next / PAGE_KEYS) as usize;
                    let own = head.page_rows(page);
                    let end = own.end.min(rows.end);
                    let keys = self.page(&head, page)?;
                    keys.copy(
                        (next - own.start) as usize..(end - own.start) as usize,
                        &mut run,
                    );
                    next = end;
                }
            }
        }
        Ok(run)
    }
}
