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
use std::sync::atomic::AtomicU64;

use arrow::array::ArrayRef;
use bytes::Bytes;
use parking_lot::Mutex;

use super::cache::{Caches, ColumnName, Read};
use super::columns_read::{self, Pieces};
use super::entries::Entries;
use super::meta::{Group, SegmentMeta};
use super::objects::Objects;
use super::page_index::{PageIndex, PieceStats};
use super::residents::{Residents, TOGETHER};
use super::side::PAGE_KEYS;
use super::side_read::KeySource;
use crate::error::{Error, Result};
use crate::storage::{Block, SealedRow};
use crate::types::{Datum, PgType};

/// A segment. Clones share it.
#[derive(Clone)]
pub struct Segment {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub meta: SegmentMeta,
    pub objects: Objects,
    pub caches: Arc<Caches>,
    pub residents: Arc<Residents>,
    pub side_path: String,
    /// What look-ups without an index have cost since all keys were read last.
    pub rent: AtomicU64,
    /// Counts how often the sidecar was written anew; held while it is.
    pub rebuilt: Mutex<u64>,
    pub generation: AtomicU64,
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

impl Segment {
    /// Reads nothing yet.
    pub fn new(meta: SegmentMeta, objects: Objects, caches: Arc<Caches>) -> Segment {
        let side_path = meta.side_path();
        Segment {
            inner: Arc::new(Inner {
                meta,
                objects,
                caches,
                residents: Arc::default(),
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

    /// The number of the row with a key, and the row.
    ///
    /// # Errors
    /// As [`Segment::locate`].
    #[inline]
    pub fn get(&self, key: &[u8]) -> Result<Option<(u32, SealedRow)>> {
        if !self.meta().bare
            && let Some(kept) = self.inner.kept(key)
        {
            return match kept {
                None => Ok(None),
                Some((row, Some(found))) => Ok(Some((row, found))),
                Some((row, None)) => Ok(Some((row, self.row(row)?))),
            };
        }
        match self.locate(key)? {
            Some(row) => Ok(Some((row, self.row(row)?))),
            None => Ok(None),
        }
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

    /// The bytes of a row, as they were pushed. They keep the block in memory that they lie in: whoever
    /// needs them for long copies them.
    ///
    /// # Errors
    /// As [`Segment::key`].
    #[inline]
    pub fn row(&self, row: u32) -> Result<SealedRow> {
        self.check_row(row)?;
        if self.meta().bare {
            return Ok(SealedRow::default());
        }
        if let Some(found) = self.inner.kept_row(row) {
            return Ok(found);
        }
        self.inner.side(|inner| {
            let side = inner.head()?;
            let at = side.block_of(row);
            let block = inner.block(&side, at)?;
            side.row_in(at, block, row)
                .ok_or_else(|| inner.side_damaged("a row"))
        })
    }

    /// Passes the bytes of some rows on, whose numbers are ascending, with their places among them. Those
    /// of one block are read together, and the memory of many is waited for at once. A row may be passed
    /// on again, when the sidecar had to be mended.
    ///
    /// # Errors
    /// As [`Segment::key`].
    pub fn rows(&self, rows: &[u32], mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        for row in rows {
            self.check_row(*row)?;
        }
        if self.meta().bare {
            (0..rows.len()).for_each(|at| each(at, &[]));
            return Ok(());
        }
        self.inner.side(|inner| {
            let side = inner.head()?;
            let mut read: Option<(usize, Block)> = None;
            for (group, start) in rows.chunks(TOGETHER).zip((0..).step_by(TOGETHER)) {
                for ((row, near), at) in group.iter().zip(side.fetch_all(group)).zip(start..) {
                    if let Some(found) = near.and_then(|near| side.row_near(*row, near)) {
                        each(at, found.as_ref());
                        continue;
                    }
                    let number = side.block_of(*row);
                    let block = match read.take() {
                        Some((at, block)) if at == number => block,
                        _ => inner.block(&side, number)?,
                    };
                    let found = side.row_in(number, block.clone(), *row);
                    let found = found.ok_or_else(|| inner.side_damaged("a row"))?;
                    each(at, found.as_ref());
                    read = Some((number, block));
                }
            }
            Ok(())
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
        let pieces = self.pieces(group, position)?;
        pieces
            .map(|pieces| columns_read::whole(&pieces))
            .transpose()
    }

    /// [`Segment::column`] in pieces of [`columns_read::PIECE_ROWS`] rows, as it is kept in memory.
    ///
    /// # Errors
    /// As [`Segment::column`].
    pub fn pieces(&self, group: usize, position: usize) -> Result<Option<Pieces>> {
        let inner = &self.inner;
        let Some(column) = inner.meta.layout.columns.get(position) else {
            return Ok(None);
        };
        if column.dropped {
            return Ok(None);
        }
        let name = inner.column_name(group, position, Read::Whole);
        let read = || {
            Ok(inner
                .read_pieces((group, position), column.ty, None)?
                .into())
        };
        inner.caches.column_or(name, read).map(Some)
    }

    /// Some pieces of a column, of ascending numbers: those of [`Segment::pieces`], without decoding the
    /// others.
    ///
    /// # Errors
    /// As [`Segment::column`].
    pub fn some_pieces(
        &self,
        group: usize,
        position: usize,
        numbers: &[usize],
    ) -> Result<Option<Vec<ArrayRef>>> {
        let inner = &self.inner;
        let column = inner.meta.layout.columns.get(position);
        let Some(column) = column.filter(|column| !column.dropped) else {
            return Ok(None);
        };
        if self.has_column(group, position)
            && let Some(pieces) = self.pieces(group, position)?
        {
            let some = numbers.iter().map(|number| pieces.get(*number).cloned());
            return Ok(some.collect());
        }
        let name = |number: usize| inner.column_name(group, position, Read::Piece(number as u32));
        let known = numbers
            .iter()
            .map(|number| inner.caches.piece(name(*number)));
        let mut known: Vec<Option<ArrayRef>> = known.collect();
        let places = known.iter().zip(numbers);
        let missing: Vec<usize> = places
            .filter(|(known, _)| known.is_none())
            .map(|(_, number)| *number)
            .collect();
        if !missing.is_empty() {
            let read = inner.read_pieces((group, position), column.ty, Some(&missing))?;
            let places = known.iter_mut().filter(|known| known.is_none());
            for ((place, number), piece) in places.zip(missing).zip(read) {
                inner.caches.keep_piece(name(number), piece.clone());
                *place = Some(piece);
            }
        }
        Ok(known.into_iter().collect())
    }

    /// What is known of each piece of a column of a row group before it is decoded; `None` for nothing.
    ///
    /// # Errors
    /// XX001 naming the Parquet object when it is damaged, 58030 when it cannot be read.
    pub fn piece_stats(&self, group: usize, position: usize) -> Result<Option<Vec<PieceStats>>> {
        let index = self.inner.page_index()?;
        let index: &Option<PageIndex> = &index;
        match index {
            Some(index) => index.pieces(self.meta(), group, position),
            None => Ok(None),
        }
    }

    /// Whether a column of a row group is decoded and in memory.
    pub fn has_column(&self, group: usize, position: usize) -> bool {
        let name = self.inner.column_name(group, position, Read::Whole);
        self.inner.caches.has_column(name)
    }

    /// Whether a row group can have one of some values in a column, by its bloom filter. `true` where
    /// there is none.
    ///
    /// # Errors
    /// As [`Segment::column`].
    pub fn may_contain(&self, group: usize, position: usize, values: &[Datum<'_>]) -> Result<bool> {
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
                let name = self.inner.column_name(group, position, Read::Bloom);
                let read = || columns_read::bloom(&self.inner.objects, meta, &bloom);
                let filter = self.inner.caches.bloom_or(name, read)?;
                Ok(columns_read::may_contain(&filter, values, column.ty))
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
        self.inner.residents.clear();
        self.inner.caches.forget_columns(self.inner.name());
    }
}

impl Inner {
    fn column_name(&self, group: usize, position: usize, read: Read) -> ColumnName {
        (self.name(), group as u32, position as u32, read)
    }

    /// Pieces of a column from the store: all, or those of some numbers.
    fn read_pieces(
        &self,
        column: (usize, usize),
        ty: PgType,
        numbers: Option<&[usize]>,
    ) -> Result<Vec<ArrayRef>> {
        let footer = self.footer()?;
        columns_read::pieces(&self.objects, &self.meta, &footer, column, ty, numbers)
    }
}
