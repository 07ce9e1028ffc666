//! What one segment has in memory: its table of contents, its keys, its footer and page index, and by
//! number the blocks of rows and pages of keys that were read.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::Guard;
use parking_lot::Mutex;

use super::block;
use super::columns_read::Footer;
use super::keys::Keys;
use super::page_index::PageIndex;
use super::side::Head;
use crate::storage::{Block, Charged, Clock, Keeper, SealedRow, Slot};

/// Bytes of a processor's cache line.
const LINE: usize = 64;
/// Numbers of key pages among the blocks of a sidecar.
const PAGES: u32 = 1 << 31;

/// Slots of blocks, and which of them were used.
struct Slots {
    slots: Box<[Place]>,
    used: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Place {
    block: Slot<Block>,
    /// Length of the block. Here, too, it is known before the block's memory is read.
    length: AtomicU32,
}

impl Slots {
    fn new(count: usize) -> Self {
        let words = count.div_ceil(u64::BITS as usize);
        Slots {
            slots: std::iter::repeat_with(Place::default).take(count).collect(),
            used: std::iter::repeat_with(AtomicU64::default)
                .take(words)
                .collect(),
        }
    }

    fn mark(&self, at: usize) -> Option<(&AtomicU64, u64)> {
        let word = self.used.get(at / u64::BITS as usize)?;
        Some((word, 1 << (at % u64::BITS as usize)))
    }

    /// What is in a slot, which counts as used then.
    #[inline]
    fn look(&self, at: usize) -> Option<Guard<Option<Block>>> {
        let found = self.slots.get(at)?.block.look();
        found.as_ref()?;
        let (word, bit) = self.mark(at)?;
        // Writing it each time would take the line from other processors.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Some(found)
    }

    fn put(&self, at: usize, block: Block) {
        if let Some(place) = self.slots.get(at) {
            let length = u32::try_from(block.slice.len()).unwrap_or(0);
            place.length.store(length, Ordering::Relaxed);
            place.block.put(block);
        }
    }

    fn retire(&self, at: usize) -> bool {
        let used = self
            .mark(at)
            .is_some_and(|(word, bit)| word.fetch_and(!bit, Ordering::Relaxed) & bit != 0);
        if used {
            return false;
        }
        if let Some(place) = self.slots.get(at) {
            place.block.clear();
        }
        true
    }

    /// Length of the block in a slot.
    #[inline]
    fn length(&self, at: usize) -> usize {
        let place = self.slots.get(at);
        place.map_or(0, |place| place.length.load(Ordering::Relaxed)) as usize
    }

    fn size(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.used)
    }
}

/// Rows that are fetched together. A thread can look at eight things without counting that it does
/// ([`arc_swap`]); its callers may look at some already.
pub(super) const TOGETHER: usize = 6;

/// A block on its way to the processor's cache.
pub(super) struct Near {
    at: usize,
    block: Guard<Option<Block>>,
}

/// A sidecar: its table of contents, and what is in memory of what that names.
pub(super) struct Side {
    head: Head,
    blocks: Slots,
    pages: Slots,
}

impl Deref for Side {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// What in a sidecar is kept by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Block(usize),
    Page(usize),
}

impl Side {
    pub fn new(head: Head) -> Self {
        Side {
            blocks: Slots::new(head.blocks.len()),
            pages: Slots::new(head.pages.len()),
            head,
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        self.head.size() + (self.blocks.size() + self.pages.size()) as u64
    }

    /// A block of rows or a page of keys, if it is in memory.
    #[inline]
    pub fn look(&self, piece: Piece) -> Option<Guard<Option<Block>>> {
        match piece {
            Piece::Block(at) => self.blocks.look(at),
            Piece::Page(at) => self.pages.look(at),
        }
    }

    /// A row, if it is in memory.
    #[inline]
    pub fn row(&self, row: u32) -> Option<SealedRow> {
        let at = self.block_of(row);
        self.row_of(self.blocks.look(at)?, at, row)
    }

    /// Begins to fetch what has to be read of a row and its neighbours, without waiting for it.
    #[inline]
    pub fn fetch(&self, row: u32) -> Option<Near> {
        let near = self.near(self.block_of(row))?;
        self.touch(&near, row);
        Some(near)
    }

    /// [`Side::fetch`] for up to [`TOGETHER`] rows. What is needed first of all of them is fetched first.
    #[inline]
    pub fn fetch_all(&self, rows: &[u32]) -> [Option<Near>; TOGETHER] {
        let blocks: [Option<usize>; TOGETHER] =
            std::array::from_fn(|at| rows.get(at).map(|row| self.block_of(*row)));
        let lengths = blocks.iter().flatten().map(|at| self.blocks.length(*at));
        black_box(lengths.sum::<usize>());
        let near = blocks.map(|at| self.near(at?));
        // A block that is not in memory leaves its row out, and no other.
        for (row, near) in rows.iter().zip(&near) {
            if let Some(near) = near {
                self.touch(near, *row);
            }
        }
        near
    }

    #[inline]
    fn near(&self, at: usize) -> Option<Near> {
        let block = self.blocks.look(at)?;
        Some(Near { at, block })
    }

    #[inline]
    fn touch(&self, near: &Near, row: u32) {
        let rows = self.block_rows(near.at);
        let (count, within) = (rows.len(), row.saturating_sub(rows.start) as usize);
        let bytes = near.block.as_ref().map(|block| &block.slice);
        // Read, though nobody wants it: the processor goes on while the memory answers.
        let touch = |at: usize| black_box(bytes.and_then(|bytes| bytes.get(at).copied()));
        let ends = block::END * count;
        let bodies = self.blocks.length(near.at).saturating_sub(ends);
        // Rows of one length, as they mostly are, lie exactly there.
        let start = ends + bodies * within / count.max(1);
        touch(block::END * within);
        touch(start);
        touch(start + LINE);
    }

    /// A row, if it is in memory: in the block that was fetched for one near it, mostly.
    #[inline]
    pub fn row_near(&self, row: u32, near: Near) -> Option<SealedRow> {
        match self.block_rows(near.at).contains(&row) {
            true => self.row_of(near.block, near.at, row),
            false => self.row(row),
        }
    }

    /// A row of a block, whose number is `at`.
    pub fn row_in(&self, at: usize, block: Block, row: u32) -> Option<SealedRow> {
        self.row_of(Guard::from_inner(Some(block)), at, row)
    }

    #[inline]
    fn row_of(&self, block: Guard<Option<Block>>, at: usize, row: u32) -> Option<SealedRow> {
        let rows = self.block_rows(at);
        let bytes = &block.as_ref()?.slice;
        let place = block::place(bytes, rows.len(), row.checked_sub(rows.start)? as usize)?;
        SealedRow::new(block, place)
    }
}

impl Charged<Side> {
    /// Keeps a block of rows or a page of keys.
    pub fn keep(self: &Arc<Self>, clock: &Clock, piece: Piece, block: &Block) {
        let keeper: Arc<dyn Keeper> = self.clone();
        let (slots, at, number) = match piece {
            Piece::Block(at) => (&self.blocks, at, at as u32),
            Piece::Page(at) => (&self.pages, at, PAGES | at as u32),
        };
        let bytes = block.slice.len() as u64;
        clock.keep(bytes, Arc::downgrade(&keeper), number, || {
            slots.put(at, block.clone());
        });
    }
}

impl Keeper for Charged<Side> {
    fn retire(&self, slot: u32) -> bool {
        match slot & PAGES {
            0 => self.blocks.retire(slot as usize),
            _ => self.pages.retire((slot & !PAGES) as usize),
        }
    }
}

/// One thing of which a segment has one.
pub(super) struct Resident<T> {
    slot: Slot<Arc<Charged<T>>>,
    used: AtomicBool,
}

impl<T> Default for Resident<T> {
    fn default() -> Self {
        Resident {
            slot: Slot::default(),
            used: AtomicBool::new(false),
        }
    }
}

impl<T> Resident<T> {
    /// Looks at it for a short while.
    #[inline]
    pub fn look(&self) -> Guard<Option<Arc<Charged<T>>>> {
        let found = self.slot.look();
        if found.is_some() && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        found
    }

    pub fn get(&self) -> Option<Arc<Charged<T>>> {
        Guard::into_inner(self.look())
    }

    fn retire(&self) -> bool {
        let used = self.used.swap(false, Ordering::Relaxed);
        if !used {
            self.slot.clear();
        }
        !used
    }
}

/// What a segment has one of.
#[derive(Default)]
pub(super) struct Residents {
    pub side: Resident<Side>,
    pub keys: Resident<Keys>,
    pub footer: Resident<Footer>,
    /// None where there is none that can be checked.
    pub page_index: Resident<Option<PageIndex>>,
    /// Held while one of them is read: by one caller, while others wait.
    reading: Mutex<()>,
}

impl Residents {
    /// Forgets what came from the sidecar.
    pub fn clear_side(&self) {
        self.side.slot.clear();
        self.keys.slot.clear();
    }

    pub fn clear(&self) {
        self.clear_side();
        self.footer.slot.clear();
        self.page_index.slot.clear();
    }

    /// One of them, which is read if it is not there, and kept if it can be.
    pub fn get_or<T>(
        self: &Arc<Self>,
        clock: &Clock,
        which: fn(&Residents) -> &Resident<T>,
        number: u32,
        read: impl FnOnce() -> crate::error::Result<(u64, T)>,
    ) -> crate::error::Result<Arc<Charged<T>>> {
        let resident = which(self);
        if let Some(found) = resident.get() {
            return Ok(found);
        }
        let _reading = self.reading.lock();
        if let Some(found) = resident.get() {
            return Ok(found);
        }
        let (bytes, value) = read()?;
        let made = clock.charged(bytes, value);
        let keeper: Arc<dyn Keeper> = self.clone();
        clock.keep(bytes, Arc::downgrade(&keeper), number, || {
            resident.slot.put(made.clone());
        });
        Ok(made)
    }
}

/// Numbers of the residents among the slots of their keeper.
pub(super) const SIDE: u32 = 0;
pub(super) const KEYS: u32 = 1;
pub(super) const FOOTER: u32 = 2;
pub(super) const PAGE_INDEX: u32 = 3;

impl Keeper for Residents {
    fn retire(&self, slot: u32) -> bool {
        match slot {
            SIDE => self.side.retire(),
            KEYS => self.keys.retire(),
            FOOTER => self.footer.retire(),
            _ => self.page_index.retire(),
        }
    }
}
