//! Reads the sidecar: its head, its keys, whole or page by page, its blocks of rows. What is damaged
//! is written anew and read again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use bytes::Bytes;

use super::block;
use super::cache::Name;
use super::codec::checksum;
use super::columns_read::{self, Footer};
use super::key_page::Unpacked;
use super::keys::{KeyColumnBytes, KeyRun, Keys, Shape};
use super::page_index::PageIndex;
use super::residents::{FOOTER, KEYS, PAGE_INDEX, Piece, SIDE, Side};
use super::segment::Inner;
use super::side::{FIXED_HEAD, Head, PAGE_KEYS};
use crate::error::{Error, Result, SqlState};
use crate::index::Index;
use crate::storage::{Block, Charged, SealedRow, shared};

/// What a look-up through a page of keys counts towards reading all keys, in bytes. Once look-ups
/// have cost as much as that, it is worth it.
const PAGE_RENT: u64 = 4096;
/// Times that one read writes a sidecar anew: more than once only if it is damaged again meanwhile.
const MAX_MENDS: usize = 3;

/// Keys with their index, or what it takes to read pages of them.
pub(super) enum KeySource {
    Whole(Arc<Charged<Keys>>),
    Pages(Arc<Charged<Side>>),
}

impl Inner {
    pub fn name(&self) -> Name {
        (self.meta.table, self.meta.segment)
    }

    pub fn side_damaged(&self, what: &str) -> Error {
        Error::corrupted(format!("object {} is damaged: {what}", self.side_path))
    }

    /// Reads from the sidecar, writes it anew when it is damaged, and reads again.
    pub fn side<T>(&self, mut read: impl FnMut(&Inner) -> Result<T>) -> Result<T> {
        for _ in 0..MAX_MENDS {
            let generation = self.generation.load(Ordering::Acquire);
            match read(self) {
                Err(error) if error.state() == SqlState::DATA_CORRUPTED => {
                    self.mend(generation, &error)?;
                }
                other => return other,
            }
        }
        read(self)
    }

    /// Writes the sidecar anew, unless somebody has done that since `generation`.
    fn mend(&self, generation: u64, found: &Error) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock();
        if *rebuilt != generation {
            return Ok(());
        }
        tracing::warn!(object = %self.side_path, %found, "rebuilding a sidecar");
        self.rebuild()?;
        self.residents.clear_side();
        *rebuilt += 1;
        self.generation.store(*rebuilt, Ordering::Release);
        Ok(())
    }

    /// A part of the sidecar.
    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.objects.read(&self.side_path, range)
    }

    /// The sidecar's table of contents.
    pub fn head(&self) -> Result<Arc<Charged<Side>>> {
        let read = || {
            let side = Side::new(self.read_head()?);
            Ok((side.size(), side))
        };
        let keys = &self.caches.keys;
        self.residents.get_or(keys, |all| &all.side, SIDE, read)
    }

    pub fn read_head(&self) -> Result<Head> {
        let length = Head::length(&self.read(0..FIXED_HEAD as u64)?)?;
        let head = Head::decode(&self.read(0..length.into())?)?;
        let meta = &self.meta;
        let own = (head.table, head.segment, head.rows, head.stamp)
            == (meta.table, meta.segment, meta.rows, meta.footer.checksum);
        if !own {
            return Err(self.side_damaged("it belongs to another segment"));
        }
        Ok(head)
    }

    pub fn footer(&self) -> Result<Arc<Charged<Footer>>> {
        let read = || {
            let footer = columns_read::footer(&self.objects, &self.meta)?;
            Ok((footer.size(), footer))
        };
        let keys = &self.caches.keys;
        self.residents.get_or(keys, |all| &all.footer, FOOTER, read)
    }

    pub fn page_index(&self) -> Result<Arc<Charged<Option<PageIndex>>>> {
        // First: whoever reads one resident may not ask for another.
        let footer = self.footer()?;
        let read = || {
            let index = PageIndex::read(&self.objects, &self.meta, &footer)?;
            Ok((index.as_ref().map_or(0, PageIndex::size), index))
        };
        let keys = &self.caches.keys;
        self.residents
            .get_or(keys, |all| &all.page_index, PAGE_INDEX, read)
    }

    /// All keys, if they are in memory or worth reading for `probes` more look-ups.
    pub fn keys(&self, probes: u64) -> Result<KeySource> {
        if let Some(keys) = self.residents.keys.get() {
            return Ok(KeySource::Whole(keys));
        }
        let head = self.head()?;
        let size = head.keys_size();
        let (fits, free) = self.caches.keys.room_for(size);
        let rent = self
            .rent
            .fetch_add(probes.saturating_mul(PAGE_RENT), Ordering::Relaxed);
        if !fits || !free && rent < size {
            return Ok(KeySource::Pages(head));
        }
        self.rent.store(0, Ordering::Relaxed);
        let read = || {
            let keys = self.read_keys(&head)?;
            Ok((keys.size(), keys))
        };
        let clock = &self.caches.keys;
        let keys = self.residents.get_or(clock, |all| &all.keys, KEYS, read)?;
        Ok(KeySource::Whole(keys))
    }

    /// Reads all keys and their index.
    pub fn read_keys(&self, head: &Head) -> Result<Keys> {
        let parts = head.parts();
        let all = self.read(parts.keys.start..parts.index.end)?;
        let part = |range: Range<u64>| {
            let start = (range.start - parts.keys.start) as usize;
            let end = (range.end - parts.keys.start) as usize;
            all.get(start..end)
                .ok_or_else(|| self.side_damaged("pages outside of it"))
        };
        let size = usize::try_from(head.keys_size()).unwrap_or(0);
        let mut unpacked = Unpacked::with_capacity(size);
        for (at, page) in head.pages.iter().enumerate() {
            let place = head
                .page_place(at)
                .ok_or_else(|| self.side_damaged("a page of keys"))?;
            let stored = part(parts.keys.start + place.start..parts.keys.start + place.end)?;
            let count = head.page_rows(at).len();
            unpacked
                .add(
                    &head.shape,
                    count,
                    page,
                    stored,
                    self.caches.decompressors(),
                )
                .map_err(|_| self.side_damaged("wrong checksum of its keys"))?;
        }
        let column = unpacked.column(&head.shape, head.rows as usize)?;
        let blob = part(parts.index.clone())?;
        if checksum(blob) != head.index_checksum {
            return Err(self.side_damaged("wrong checksum of its index"));
        }
        let index = Index::decode(blob).ok().filter(|index| column.fits(index));
        let index = match index {
            Some(index) => index,
            // Whole, but of another version: the keys are what counts.
            None => column.index(None)?,
        };
        Ok(Keys { column, index })
    }

    /// A row, if it is in memory.
    #[inline]
    pub fn kept_row(&self, row: u32) -> Option<SealedRow> {
        self.residents.side.look().as_ref()?.row(row)
    }

    /// The number of the row with a key, and the row, if all that takes is in memory; the row is `None`
    /// when its block is not.
    ///
    /// The key and the row lie in memory that is rarely in a processor's cache. The index tells about
    /// where both are, so that neither has to be waited for before the other is asked for.
    #[inline]
    pub fn kept(&self, key: &[u8]) -> Option<Option<(u32, Option<SealedRow>)>> {
        let keys = self.residents.keys.look();
        let side = self.residents.side.look();
        let (keys, side) = (keys.as_ref()?, side.as_ref()?);
        let mut near = None;
        let found = keys.locate(key, |row| near = side.fetch(row));
        let row_of = |row| match near {
            Some(near) => side.row_near(row, near),
            None => side.row(row),
        };
        Some(found.map(|row| (row, row_of(row))))
    }

    pub fn locate(&self, key: &[u8]) -> Result<Option<u32>> {
        if let Some(keys) = self.residents.keys.look().as_ref() {
            return Ok(keys.locate(key, |_| {}));
        }
        match self.keys(1)? {
            KeySource::Whole(keys) => Ok(keys.locate(key, |_| {})),
            KeySource::Pages(head) => {
                let (at, found) = self.rank_in_pages(&head, key)?;
                Ok(found.then_some(at))
            }
        }
    }

    /// How many keys sort below a probe, and whether the next one is the probe.
    pub fn rank(&self, probe: &[u8]) -> Result<(u32, bool)> {
        match self.keys(1)? {
            KeySource::Whole(keys) => {
                let (at, found) = keys.column.rank(Some(&keys.index), probe);
                Ok((at as u32, found))
            }
            KeySource::Pages(head) => self.rank_in_pages(&head, probe),
        }
    }

    pub fn rank_in_pages(&self, side: &Arc<Charged<Side>>, probe: &[u8]) -> Result<(u32, bool)> {
        let page = side.page_of(probe);
        let keys = self.page(side, page)?;
        let (at, found) = keys.rank(None, probe);
        Ok((side.page_rows(page).start + at as u32, found))
    }

    /// A page of keys.
    pub fn page(&self, side: &Arc<Charged<Side>>, page: usize) -> Result<KeyColumnBytes> {
        let outside = || Error::internal("a key page that does not exist");
        let place = side.pages.get(page).ok_or_else(outside)?;
        let rows = side.page_rows(page);
        let within = side.page_place(page).ok_or_else(outside)?;
        // Of keys of any length, the offsets come first, then the bytes.
        let offsets_length = match side.shape {
            Shape::Variable => 4 * (rows.len() + 1),
            _ => 0,
        };
        let block = self.piece(side, Piece::Page(page), || {
            let start = side.parts().keys.start;
            let stored = self.read(start + within.start..start + within.end)?;
            let mut unpacked = Unpacked::default();
            let (count, shape) = (rows.len(), &side.shape);
            unpacked
                .add(shape, count, place, &stored, self.caches.decompressors())
                .map_err(|_| self.side_damaged("wrong checksum of a page of keys"))?;
            Ok(unpacked.joined())
        })?;
        let bytes = shared(block);
        if bytes.len() < offsets_length {
            return Err(outside());
        }
        KeyColumnBytes {
            shape: side.shape.clone(),
            count: rows.len(),
            offsets: bytes.slice(..offsets_length),
            bytes: bytes.slice(offsets_length..),
        }
        .check()
    }

    /// A block of rows, by its number.
    pub fn block(&self, side: &Arc<Charged<Side>>, at: usize) -> Result<Block> {
        let rows = side.block_rows(at).len();
        self.piece(side, Piece::Block(at), || self.read_block(side, at, rows))
    }

    /// A piece of the sidecar, which is read if it is not in memory, and kept if it can be.
    fn piece(
        &self,
        side: &Arc<Charged<Side>>,
        piece: Piece,
        read: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Block> {
        if let Some(block) = side.look(piece).and_then(Guard::into_inner) {
            return Ok(block);
        }
        self.caches.blocks_read.fetch_add(1, Ordering::Relaxed);
        let bytes = read()?;
        let clock = &self.caches.blocks;
        let charge = clock.charge(bytes.len() as u64);
        let block = Block::from_header_and_slice(charge, &bytes);
        side.keep(clock, piece, &block);
        Ok(block)
    }

    /// Reads a block of so many rows, and uncompresses it.
    pub fn read_block(&self, head: &Head, at: usize, rows: usize) -> Result<Vec<u8>> {
        let place = head
            .blocks
            .get(at)
            .ok_or_else(|| Error::internal("a block that does not exist"))?;
        let start = head.parts().blocks.saturating_add(place.offset);
        let stored = self.read(start..start.saturating_add(place.stored.into()))?;
        block::open(&stored, place, rows, self.caches.decompressors())
    }

    /// The keys of some rows.
    pub fn key_run(&self, rows: Range<u32>) -> Result<KeyRun> {
        let mut run = KeyRun::default();
        self.add_keys(rows, &mut run)?;
        Ok(run)
    }

    /// Adds the keys of some rows.
    pub fn add_keys(&self, rows: Range<u32>, run: &mut KeyRun) -> Result<()> {
        match self.keys(1)? {
            KeySource::Whole(keys) => {
                keys.column
                    .copy(rows.start as usize..rows.end as usize, run);
            }
            KeySource::Pages(head) => {
                let mut next = rows.start;
                while next < rows.end {
                    let page = (next / PAGE_KEYS) as usize;
                    let own = head.page_rows(page);
                    let end = own.end.min(rows.end);
                    let keys = self.page(&head, page)?;
                    keys.copy((next - own.start) as usize..(end - own.start) as usize, run);
                    next = end;
                }
            }
        }
        Ok(())
    }
}
