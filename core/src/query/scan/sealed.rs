//! The sealed rows that a scan reads as columns: in which pieces, and who reads which of them.

use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ranges::{Access, EVERYTHING, KeyRange, as_slices};
use super::rows::BATCH_ROWS;
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::query::context::ReadContext;
use crate::segment::{Group, Part, SealedTable};
use crate::storage::TableId;
use crate::txn::View;

/// So few rows of a range are read one by one, in key order: decoding columns for them takes longer.
pub(super) const ROWS_ONE_BY_ONE: u64 = if cfg!(test) { 20 } else { 2000 };
/// An index is not asked for more than one row in so many: it takes as long to look them up as to
/// read the columns of all.
const INDEX_SHARE: u64 = 64;
/// Pieces of work that each partition should find, so that none has to wait for another at the end.
const PIECES_EACH: usize = 2;

/// Rows of one row group.
#[derive(Clone, Debug)]
pub(super) struct Morsel {
    /// Number of the segment in [`SealedScan::parts`].
    pub part: usize,
    pub group: usize,
    /// Row numbers in the segment.
    pub rows: Range<u32>,
}

/// A piece of work of a scan.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Sealed(Morsel),
    /// The rows of a key range of a full scan that are not sealed.
    Unsealed(KeyRange),
    /// The rows of some ranges that are not sealed.
    UnsealedRanges(Vec<KeyRange>),
}

/// What is read, in the order in which it is handed out.
pub(super) struct SealedScan {
    pub parts: Vec<Part>,
    pub work: Vec<Work>,
    /// Ranges of the keys of all rows that are read.
    pub ranges: Vec<KeyRange>,
    /// Row numbers in each segment, ascending, that own writes replace. Found by whoever needs them
    /// first.
    hidden: Mutex<Option<Arc<Vec<Vec<u32>>>>>,
    /// Which segments were read, for EXPLAIN.
    read: Vec<AtomicBool>,
}

/// The segments of a table, if that is how its sealed rows lie.
pub(in crate::query) fn parts_of(view: &View, table: TableId) -> Option<Vec<Part>> {
    let sealed = view.sealed(table)?;
    let sealed: &SealedTable = sealed.as_any().downcast_ref()?;
    Some(sealed.parts().to_vec())
}

/// Sealed rows in some key ranges, deleted ones included.
pub(super) fn rows_between(parts: &[Part], ranges: &[KeyRange]) -> Result<u64> {
    let mut rows = 0_u64;
    for part in parts {
        for range in ranges {
            rows = rows.saturating_add(positions(part, range)?.len() as u64);
        }
    }
    Ok(rows)
}

fn positions(part: &Part, range: &KeyRange) -> Result<Range<u32>> {
    match range {
        (Bound::Unbounded, Bound::Unbounded) => Ok(0..part.segment.meta().rows),
        range => {
            let (from, to) = as_slices(range);
            part.segment.positions(from, to)
        }
    }
}

/// The way into a table with sealed rows: not through an index for a large part of them.
pub(super) fn weigh(table: &Table, access: Access, read: &ReadContext) -> Result<Access> {
    let Access::Index(index, ranges) = &access else {
        return Ok(access);
    };
    let (Some(_), Some(entries)) = (parts_of(&read.view, table.storage), index.storage) else {
        return Ok(access);
    };
    let rows = read.view.snapshot().len(table.storage)?;
    let most = (rows / INDEX_SHARE).max(ROWS_ONE_BY_ONE);
    let parts = parts_of(&read.view, entries).unwrap_or_default();
    let mut found = rows_between(&parts, ranges)?;
    for range in ranges {
        let (from, to) = as_slices(range);
        let mut unsealed = read.view.unsealed_range(entries, from, to)?;
        while found <= most {
            match unsealed.next() {
                Some(entry) => {
                    entry?;
                    found = found.saturating_add(1);
                }
                None => break,
            }
        }
    }
    Ok(if found <= most { access } else { Access::Full })
}

impl SealedScan {
    /// All rows in `ranges`; `unsealed` says where those are that are not sealed.
    pub fn new(
        parts: &[Part],
        ranges: Vec<KeyRange>,
        unsealed: Vec<Work>,
        parallelism: usize,
    ) -> Result<SealedScan> {
        let mut morsels = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let mut next = 0;
            for range in &ranges {
                let rows = positions(part, range)?;
                // Ranges are ascending and apart; this is for those who are not.
                let rows = rows.start.max(next)..rows.end;
                next = next.max(rows.end);
                cut(at, part.segment.groups(), rows, &mut morsels);
            }
        }
        let wanted = parallelism.saturating_mul(PIECES_EACH);
        if parallelism > 1 && morsels.len() < wanted {
            morsels = halved(morsels, wanted);
        }
        // Rows that are read one by one take longest: they come first.
        let mut work = unsealed;
        work.extend(morsels.into_iter().map(Work::Sealed));
        Ok(SealedScan {
            parts: parts.to_vec(),
            work,
            ranges,
            hidden: Mutex::default(),
            read: parts.iter().map(|_| AtomicBool::new(false)).collect(),
        })
    }

    /// Notes that rows of a segment are read.
    pub fn note_read(&self, morsel: &Morsel) {
        if let Some(read) = self.read.get(morsel.part) {
            read.store(true, Ordering::Relaxed);
        }
    }

    /// How many segments were read.
    pub fn parts_read(&self) -> usize {
        let read = self.read.iter();
        read.filter(|read| read.load(Ordering::Relaxed)).count()
    }

    /// The same work in another order.
    pub fn reordered(&self, work: Vec<Work>) -> SealedScan {
        SealedScan {
            parts: self.parts.clone(),
            work,
            ranges: self.ranges.clone(),
            hidden: Mutex::default(),
            read: self.read.iter().map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Sealed rows, deleted ones included.
    pub fn sealed_rows(&self) -> u64 {
        self.morsels().map(|morsel| morsel.rows.len() as u64).sum()
    }

    pub fn morsels(&self) -> impl Iterator<Item = &Morsel> {
        self.work.iter().filter_map(|work| match work {
            Work::Sealed(morsel) => Some(morsel),
            Work::Unsealed(_) | Work::UnsealedRanges(_) => None,
        })
    }

    pub fn part(&self, morsel: &Morsel) -> Result<&Part> {
        self.parts
            .get(morsel.part)
            .ok_or_else(|| Error::internal("a row group of no segment"))
    }

    pub fn group(&self, morsel: &Morsel) -> Result<&Group> {
        let groups = self.part(morsel)?.segment.groups();
        groups
            .get(morsel.group)
            .ok_or_else(|| Error::internal("a row group that is not there"))
    }

    /// Whether all rows are sealed and the segments follow one another in key order.
    pub fn in_key_order(&self) -> bool {
        let metas = self.parts.iter().map(|part| part.segment.meta());
        let mut last: Option<&[u8]> = None;
        for meta in metas {
            if last.is_some_and(|last| last >= meta.first_key.as_slice()) {
                return false;
            }
            last = Some(&meta.last_key);
        }
        self.work.iter().all(|work| matches!(work, Work::Sealed(_)))
    }

    /// Rows of each segment that own writes replace.
    pub fn hidden(&self, view: &View, table: TableId) -> Result<Arc<Vec<Vec<u32>>>> {
        let mut hidden = self.hidden.lock();
        if let Some(known) = hidden.as_ref() {
            return Ok(known.clone());
        }
        let mut all = Vec::with_capacity(self.parts.len());
        let mut found = Vec::new();
        for part in &self.parts {
            let mut rows = Vec::new();
            if view.has_own(table) {
                let meta = part.segment.meta();
                let from = Bound::Included(meta.first_key.as_slice());
                let to = Bound::Included(meta.last_key.as_slice());
                let keys: Vec<Vec<u8>> = view.own_keys(table, from, to).collect();
                let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                if !keys.is_empty() {
                    part.segment.locate_batch(&keys, &mut found)?;
                    rows.extend(found.iter().flatten());
                }
            }
            all.push(rows);
        }
        let all = Arc::new(all);
        *hidden = Some(all.clone());
        Ok(all)
    }

    /// Counts what is read as read.
    pub fn remember(&self, view: &View, table: TableId) {
        for range in &self.ranges {
            let (from, to) = as_slices(range);
            view.remember(table, from, to);
        }
    }
}

/// The row groups that rows lie in.
fn cut(part: usize, groups: &[Group], rows: Range<u32>, out: &mut Vec<Morsel>) {
    let first = groups.partition_point(|group| group.range().end <= rows.start);
    for (group, known) in groups.iter().enumerate().skip(first) {
        let within = known.range();
        let rows = rows.start.max(within.start)..rows.end.min(within.end);
        if rows.is_empty() {
            break;
        }
        // Ranges that touch are one piece.
        match out.last_mut() {
            Some(last)
                if last.part == part && last.group == group && last.rows.end == rows.start =>
            {
                last.rows.end = rows.end;
            }
            _ => out.push(Morsel { part, group, rows }),
        }
    }
}

/// Smaller pieces, each of whole batches, until there are as many as wanted.
fn halved(morsels: Vec<Morsel>, wanted: usize) -> Vec<Morsel> {
    let batch = BATCH_ROWS as u32;
    let rows: usize = morsels.iter().map(|morsel| morsel.rows.len()).sum();
    let piece = rows.div_ceil(wanted.max(1)).div_ceil(BATCH_ROWS) as u32;
    let piece = piece.max(1).saturating_mul(batch);
    let mut pieces = Vec::with_capacity(wanted);
    for mut morsel in morsels {
        while morsel.rows.len() > piece as usize {
            let end = morsel.rows.start.saturating_add(piece);
            pieces.push(Morsel {
                rows: morsel.rows.start..end,
                ..morsel
            });
            morsel.rows.start = end;
        }
        pieces.push(morsel);
    }
    pieces
}

/// Hands out work to the partitions of a scan: whoever is done takes the next piece.
#[derive(Default)]
pub(super) struct Handout {
    round: Mutex<Round>,
}

#[derive(Default)]
struct Round {
    /// Partitions that take part.
    started: Vec<usize>,
    next: Arc<AtomicUsize>,
}

impl Handout {
    /// Where a partition takes its work from. One that starts again begins another round.
    pub fn join(&self, partition: usize) -> Takes {
        let mut round = self.round.lock();
        if round.started.contains(&partition) {
            *round = Round::default();
        }
        round.started.push(partition);
        Takes(round.next.clone())
    }
}

/// One partition's way to its work.
pub(super) struct Takes(Arc<AtomicUsize>);

impl Takes {
    /// Number of the next piece of work, whether or not there is one.
    pub fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The ranges that a way in reads, if it reads rows in key order.
pub(super) fn ranges_of(access: &Access) -> Option<Vec<KeyRange>> {
    match access {
        Access::Full => Some(vec![EVERYTHING]),
        Access::Ranges(ranges) => Some(ranges.clone()),
        Access::Keys(_) | Access::Index(..) | Access::Nothing => None,
    }
}
