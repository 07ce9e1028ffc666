//! The sealed rows of one table: its segments, less what was deleted from them.

use std::any::Any;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use super::compact::Extent;
use super::deletes::Deleted;
use super::garbage::Handle;
use super::manifest;
use super::merged::Merged;
use crate::error::Result;
use crate::storage::{
    DELETED_TABLE, Flow, RowBatch, Sealed, SealedIter, SealedRow, Snapshot, TableId, TableWrites,
    Visit, Wanted, WriteBatch, bounds_are_empty,
};

/// One segment, and which of its rows are gone.
#[derive(Clone)]
pub struct Part {
    pub segment: Arc<Handle>,
    pub deleted: Arc<Deleted>,
}

impl Part {
    /// A segment of which no row is gone.
    pub fn whole(segment: Arc<Handle>) -> Part {
        Part {
            segment,
            deleted: Arc::default(),
        }
    }

    fn first_key(&self) -> &[u8] {
        &self.segment.meta().first_key
    }

    fn last_key(&self) -> &[u8] {
        &self.segment.meta().last_key
    }

    /// Number of rows that are not gone.
    pub fn live_rows(&self) -> u64 {
        u64::from(self.segment.meta().rows).saturating_sub(self.deleted.len())
    }

    /// What counts of it when segments are merged.
    pub(super) fn extent(&self) -> Extent<'_> {
        Extent {
            segment: self.segment.meta().segment,
            first: self.first_key(),
            last: self.last_key(),
            live: self.live_rows(),
            gone: self.deleted.len(),
            small: false,
        }
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Result<Option<SealedRow>> {
        let found = self.segment.get(key)?;
        Ok(found
            .filter(|(row, _)| !self.deleted.contains(*row))
            .map(|(_, bytes)| bytes))
    }

    fn is_outside(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
        bounds_are_empty(Bound::Included(self.first_key()), to)
            || bounds_are_empty(from, Bound::Included(self.last_key()))
    }

    /// Passes the rows of a range that are not gone on.
    fn visit(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, each: Visit<'_>) -> Result<Flow> {
        if self.is_outside(from, to) {
            return Ok(Flow::Continue(()));
        }
        let rows = self.segment.positions(from, to)?;
        let is_gone = |row| !self.deleted.is_empty() && self.deleted.contains(row);
        self.segment
            .visit(rows, &mut |row, key, bytes| match is_gone(row) {
                true => Ok(Flow::Continue(())),
                false => each(key, bytes),
            })
    }

    /// The rows that are not gone.
    pub(super) fn live(&self) -> Result<Option<SealedIter>> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Option<SealedIter>> {
        if self.is_outside(from, to) {
            return Ok(None);
        }
        let rows = self.segment.positions(from, to)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let deleted = self.deleted.clone();
        let live = self
            .segment
            .entries(rows)
            .filter_map(move |entry| match entry {
                Ok((row, _, _)) if deleted.contains(row) => None,
                Ok((_, key, value)) => Some(Ok((key, value))),
                Err(error) => Some(Err(error)),
            });
        Ok(Some(Box::new(live)))
    }
}

/// The sealed rows of one table in one state.
#[derive(Clone)]
pub struct SealedTable {
    table: TableId,
    /// In the order of their first keys.
    parts: Vec<Part>,
    runs: Arc<[Run]>,
}

/// Segments that do not overlap, in key order.
type Run = Vec<Place>;

/// Where a segment lies among keys, told from their first bytes: reading whole keys takes longer, because
/// they lie elsewhere.
#[derive(Clone, Copy)]
struct Place {
    first: u64,
    last: u64,
    /// Its position among the segments.
    at: usize,
}

impl Place {
    fn of(at: usize, part: &Part) -> Place {
        Place {
            first: start(part.first_key()),
            last: start(part.last_key()),
            at,
        }
    }
}

/// The first eight bytes of a key. Keys are in the order of their starts; those with one start may be in
/// any.
fn start(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(bytes)
        }
    }
}

/// The fewest runs that segments in the order of their first keys make: as many as have one key in
/// common, somewhere. Those with the most rows come first.
fn runs_of(parts: &[Part]) -> Arc<[Run]> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let ended = |run: &&mut Run| {
            let last = run.last().and_then(|place| parts.get(place.at));
            last.is_none_or(|last| last.last_key() < part.first_key())
        };
        let place = Place::of(at, part);
        match runs.iter_mut().find(ended) {
            Some(run) => run.push(place),
            None => runs.push(vec![place]),
        }
    }
    let rows = |run: &Run| -> u64 {
        let parts = run.iter().filter_map(|place| parts.get(place.at));
        parts.map(Part::live_rows).sum()
    };
    runs.sort_by_cached_key(|run| std::cmp::Reverse(rows(run)));
    runs.into()
}

impl SealedTable {
    pub fn new(table: TableId, mut parts: Vec<Part>) -> Self {
        parts.sort_by(|a, b| a.first_key().cmp(b.first_key()));
        SealedTable {
            table,
            runs: runs_of(&parts),
            parts,
        }
    }

    /// These rows and those of some more segments, of which none has a key of theirs.
    pub fn with(&self, more: &[Part]) -> SealedTable {
        let parts = self.parts.iter().chain(more).cloned();
        SealedTable::new(self.table, parts.collect())
    }

    /// Its segments, which were nobody's, are those of a committed state from now on.
    pub fn keep(&self) {
        for part in &self.parts {
            part.segment.keep();
        }
    }

    /// The segments that may have a key: one of each run at most.
    pub(super) fn parts_around(&self, key: &[u8]) -> impl Iterator<Item = &Part> {
        let probe = start(key);
        let part = |place: &Place| self.parts.get(place.at);
        let begins = move |place: &Place| match place.first.cmp(&probe) {
            Ordering::Less => true,
            Ordering::Equal => part(place).is_some_and(|part| part.first_key() <= key),
            Ordering::Greater => false,
        };
        let ends = move |place: &Place| match place.last.cmp(&probe) {
            Ordering::Less => true,
            Ordering::Equal => part(place).is_some_and(|part| part.last_key() < key),
            Ordering::Greater => false,
        };
        self.runs.iter().filter_map(move |run| {
            let place = run.get(run.partition_point(begins).checked_sub(1)?)?;
            part(place).filter(|_| !ends(place))
        })
    }

    /// The number of segments that have one key within, where it is greatest.
    pub fn depth(&self) -> usize {
        self.runs.len()
    }

    /// The sealed rows of a table in one state, if it has any.
    pub fn of(snapshot: &Snapshot, table: TableId) -> Option<&SealedTable> {
        snapshot.sealed(table)?.as_any().downcast_ref()
    }

    pub fn table(&self) -> TableId {
        self.table
    }

    /// The segments, in the order of their first keys.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Sealed for SealedTable {
    fn get(&self, key: &[u8]) -> Result<Option<SealedRow>> {
        for part in self.parts_around(key) {
            if let Some(row) = part.get(key)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn get_batch(&self, keys: &[&[u8]], rows: &mut RowBatch) -> Result<()> {
        let mut located = Vec::new();
        for part in &self.parts {
            let start = keys.partition_point(|key| *key < part.first_key());
            let end = keys.partition_point(|key| *key <= part.last_key());
            let open = (start..end).filter(|at| rows.is_open(*at));
            let open = open.filter_map(|at| Some((at, *keys.get(at)?)));
            let (places, probes): (Vec<usize>, Vec<&[u8]>) = open.unzip();
            if probes.is_empty() {
                continue;
            }
            part.segment.locate_batch(&probes, &mut located)?;
            let there = places.iter().zip(&located);
            let there = there.filter_map(|(at, row)| Some((*at, (*row)?)));
            let there = there.filter(|(_, row)| !part.deleted.contains(*row));
            let (places, numbers): (Vec<usize>, Vec<u32>) = there.unzip();
            match rows.wanted() {
                Wanted::Rows => part.segment.rows(&numbers, |at, row| {
                    if let Some(at) = places.get(at) {
                        rows.put(*at, row, true);
                    }
                })?,
                Wanted::Presence => places.iter().for_each(|at| rows.put(*at, &[], true)),
            }
        }
        Ok(())
    }

    fn visit(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, each: Visit<'_>) -> Result<()> {
        if self.depth() > 1 {
            for entry in self.range(from, to)? {
                let (key, row) = entry?;
                if each(&key, &row)?.is_break() {
                    return Ok(());
                }
            }
            return Ok(());
        }
        for part in &self.parts {
            if part.visit(from, to, each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<SealedIter> {
        // Segments that overlap are merged; what does not overlap comes one after the other.
        let mut runs: Vec<SealedIter> = Vec::new();
        let mut overlapping: Vec<SealedIter> = Vec::new();
        let mut reach: Option<&[u8]> = None;
        for part in &self.parts {
            if reach.is_some_and(|reach| part.first_key() > reach) {
                runs.extend(Merged::of(std::mem::take(&mut overlapping)));
            }
            overlapping.extend(part.range(from, to)?);
            reach = reach.max(Some(part.last_key()));
        }
        runs.extend(Merged::of(overlapping));
        Ok(Box::new(runs.into_iter().flatten()))
    }

    fn len(&self) -> u64 {
        self.parts.iter().map(Part::live_rows).sum()
    }

    fn without(
        &self,
        writes: &TableWrites,
        beside: &mut WriteBatch,
    ) -> Result<Option<Arc<dyn Sealed>>> {
        let mut left: Option<SealedTable> = None;
        let mut chunks = TableWrites::new();
        let mut found = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let within = (
                Bound::Included(part.first_key()),
                Bound::Included(part.last_key()),
            );
            let keys: Vec<&[u8]> = writes
                .range::<[u8], _>(within)
                .map(|(key, _)| key.as_slice())
                .collect();
            if keys.is_empty() {
                continue;
            }
            part.segment.locate_batch(&keys, &mut found)?;
            let mut rows = found.iter().flatten().copied();
            let Some(first) = rows.find(|row| !part.deleted.contains(*row)) else {
                continue;
            };
            let mut deleted = Deleted::clone(&part.deleted);
            let mut touched: Vec<u16> = std::iter::once(first)
                .chain(rows)
                .filter_map(|row| deleted.insert(row))
                .collect();
            touched.dedup();
            for chunk in touched {
                let key = manifest::chunk_key(self.table, part.segment.meta().segment, chunk);
                chunks.insert(key, Some(deleted.encode_chunk(chunk)?));
            }
            let left = left.get_or_insert_with(|| self.clone());
            if let Some(part) = left.parts.get_mut(at) {
                part.deleted = Arc::new(deleted);
            }
        }
        if !chunks.is_empty() {
            beside.writes.insert(DELETED_TABLE, Arc::new(chunks));
        }
        Ok(left.map(|left| Arc::new(left) as Arc<dyn Sealed>))
    }

    fn dropped(&self) {
        for part in &self.parts {
            part.segment.discard();
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
