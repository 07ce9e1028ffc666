//! Moves rows into new segments: from redb when a table is sealed, from older segments when those
//! are merged.
//!
//! ```text
//! record keys, take a snapshot ─▶ write segments ─▶ follow what was written meanwhile ─▶ relocate
//! ```
//!
//! Nobody waits for the first three. The last is one short commit: rows that were written since the
//! snapshot go to the new generation and out of the new segments, which the manifest then names.
//! Until it, nothing refers to anything new, so a seal may be given up, or interrupted, at any point.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use super::compact::{Extent, sorted_runs};
use super::garbage::{Garbage, Handle, Waste};
use super::manifest::{put_generation, put_segment, remove_segment};
use super::merged::Merged;
use super::segments::Segments;
use super::table::{Part, SealedTable};
use super::{Deleted, Layout, SegmentMeta, WriteOptions, Writer};
use crate::error::{Error, Result, SqlState};
use crate::storage::{
    DELETED_TABLE, Generation, KeyFilter, Recording, Relocation, SEGMENT_TABLE, Sealed, SealedIter,
    Snapshot, TableId, TableWrites, Tier,
};

/// Rows written between two moments at which others get to run.
const STEP_ROWS: u64 = if cfg!(test) { 7 } else { 1024 };
/// Keys that the last commit of a seal may have to follow. More are followed by commits before it.
const MAX_LAST_KEYS: usize = if cfg!(test) { 5 } else { 4096 };
/// Rounds of commits that follow writers before the last one; against writers who are faster than they are.
const MAX_FOLLOWING: usize = 16;

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub rows: u64,
    /// Those of them that were in segments before.
    pub merged: u64,
    pub segments: usize,
}

/// How the rows of a table are written.
#[derive(Clone, Debug)]
pub struct Shape {
    pub layout: Layout,
    /// Physical positions of the columns that row keys are made of, in their order; empty when keys
    /// are not made of columns.
    pub key: Vec<usize>,
}

impl Shape {
    /// How the entries of an index are written: keys without rows.
    pub fn of_entries() -> Shape {
        Shape {
            layout: Layout {
                columns: Vec::new(),
            },
            key: Vec::new(),
        }
    }
}

/// Which rows become new segments.
#[derive(Clone, Debug)]
pub enum Source {
    /// Those in redb.
    Unsealed,
    /// Those of these segments.
    Segments(Vec<u64>),
}

impl Segments {
    /// Moves rows of `table` into new segments. Each poll does a bounded part of it.
    ///
    /// # Errors
    /// 55006 when the table is being moved already or was dropped or sealed meanwhile, 58030 when
    /// storage fails. Then nothing has changed.
    pub async fn rewrite(&self, table: TableId, shape: Shape, source: Source) -> Result<Moved> {
        let Some((recording, snapshot)) = self.store.record(table)? else {
            return Err(Error::new(
                SqlState::OBJECT_IN_USE,
                "the rows of this table are being moved already",
            ));
        };
        let parts = chosen(&snapshot, table, &source);
        let rows: Box<dyn Iterator<Item = Result<(Row, Row)>> + Send> = match &source {
            Source::Unsealed => Box::new(
                snapshot
                    .unsealed_range(table, Unbounded, Unbounded)?
                    .map(|entry| entry.map(|(key, row)| (Row::Page(key), Row::Page(row)))),
            ),
            Source::Segments(_) => Box::new(
                merged(&parts)?
                    .map(|entry| entry.map(|(key, row)| (Row::Sealed(key), Row::Sealed(row)))),
            ),
        };
        let mut written = Unfinished::new(&self.garbage);
        let moved = self
            .write_segments(table, shape, rows, &mut written)
            .await?;
        let from = snapshot.tiers().generation(table);
        drop(snapshot);
        if moved.rows == 0 && parts.is_empty() {
            return Ok(moved);
        }
        let move_rows = matches!(source, Source::Unsealed);
        let to = if move_rows {
            self.new_generation()
        } else {
            from
        };
        let segments = written
            .segments
            .iter()
            .map(|meta| self.handle(meta.clone()));
        let following = Following {
            table,
            from,
            to,
            recording,
            segments: segments
                .map(|segment| (segment, Deleted::default()))
                .collect(),
            replaced: parts,
            keys: Arc::default(),
        };
        if move_rows {
            written.generation = Some((table, to));
        }
        self.relocate(following).await?;
        written.finish();
        Ok(moved)
    }

    pub(super) async fn write_segments<R: AsRef<[u8]>>(
        &self,
        table: TableId,
        shape: Shape,
        rows: impl Iterator<Item = Result<(R, R)>>,
        written: &mut Unfinished<'_>,
    ) -> Result<Moved> {
        let mut moved = Moved::default();
        let mut writer: Option<Writer> = None;
        for entry in rows {
            let (key, row) = entry?;
            let open = match &mut writer {
                Some(open) => open,
                None => writer.insert(self.writer(table, &shape)?),
            };
            open.push(key.as_ref(), row.as_ref())?;
            moved.rows += 1;
            if open.is_full()
                && let Some(full) = writer.take()
            {
                written.segments.extend(self.finish(full)?);
            }
            if moved.rows.is_multiple_of(STEP_ROWS) {
                let_others_run().await;
                // In vain once the database is closed.
                self.store.snapshot()?;
            }
        }
        let_others_run().await;
        if let Some(last) = writer {
            written.segments.extend(self.finish(last)?);
        }
        moved.segments = written.segments.len();
        Ok(moved)
    }

    /// Begins a segment.
    pub(super) fn writer(&self, table: TableId, shape: &Shape) -> Result<Writer> {
        let options = WriteOptions {
            key: Some(shape.key.clone()),
            ..self.write.clone()
        };
        let (layout, clock) = (shape.layout.clone(), self.env.clock.clone());
        let segment = self.new_segment();
        Writer::new(&self.objects, table, segment, layout, options, Some(clock))
    }

    async fn relocate(&self, following: Following) -> Result<()> {
        let following = Arc::new(Mutex::new(following));
        for _ in 0..MAX_FOLLOWING {
            let keys = following.lock().recording.take();
            let last = keys.len() <= MAX_LAST_KEYS;
            let mut keys = keys.into_iter();
            loop {
                // One after the other: commits wait for each, and it has the rows in memory.
                let some: BTreeSet<Vec<u8>> = keys.by_ref().take(MAX_LAST_KEYS).collect();
                if some.is_empty() && !last {
                    break;
                }
                let following = following.clone();
                let pending = self.store.submit_relocation(Box::new(move |now| {
                    following.lock().follow(now, &some, last)
                }))?;
                if last {
                    return pending.durable.await;
                }
                pending.visible.await?;
            }
        }
        let last = move |now: &Snapshot| following.lock().follow(now, &BTreeSet::new(), true);
        let pending = self.store.submit_relocation(Box::new(last))?;
        pending.durable.await
    }
}

/// A key or a row, wherever it comes from.
enum Row {
    Page(crate::storage::Value),
    Sealed(bytes::Bytes),
}

impl AsRef<[u8]> for Row {
    fn as_ref(&self) -> &[u8] {
        match self {
            Row::Page(value) => value.as_ref(),
            Row::Sealed(bytes) => bytes,
        }
    }
}

/// The rows of some segments, in key order.
fn merged(parts: &[Part]) -> Result<SealedIter> {
    let extents: Vec<Extent<'_>> = parts.iter().map(Part::extent).collect();
    let mut runs = Vec::new();
    for run in sorted_runs(&extents) {
        runs.push(chained(run.into_iter().filter_map(|at| parts.get(at)))?);
    }
    let rows = Merged::of(runs);
    Ok(rows.unwrap_or_else(|| Box::new(std::iter::empty())))
}

/// The rows of segments that follow one another.
pub(super) fn chained<'p>(parts: impl Iterator<Item = &'p Part>) -> Result<SealedIter> {
    let live: Vec<Option<SealedIter>> = parts.map(Part::live).collect::<Result<_>>()?;
    Ok(Box::new(live.into_iter().flatten().flatten()))
}

/// The segments of `table` that `source` names.
fn chosen(snapshot: &Snapshot, table: TableId, source: &Source) -> Vec<Part> {
    match source {
        Source::Unsealed => Vec::new(),
        Source::Segments(wanted) => parts_of(snapshot, table)
            .iter()
            .filter(|part| wanted.contains(&part.segment.meta().segment))
            .cloned()
            .collect(),
    }
}

/// The segments of a table in one state.
pub(super) fn parts_of(snapshot: &Snapshot, table: TableId) -> &[Part] {
    SealedTable::of(snapshot, table).map_or(&[], SealedTable::parts)
}

/// What a rewrite has written and nothing refers to yet: waste, unless it is finished.
pub(super) struct Unfinished<'g> {
    garbage: &'g Garbage,
    pub segments: Vec<SegmentMeta>,
    generation: Option<(TableId, Generation)>,
}

impl<'g> Unfinished<'g> {
    pub fn new(garbage: &'g Garbage) -> Self {
        Unfinished {
            garbage,
            segments: Vec::new(),
            generation: None,
        }
    }

    pub fn finish(mut self) {
        self.segments.clear();
        self.generation = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.garbage.add(Waste {
            segments: std::mem::take(&mut self.segments),
            generations: self.generation.take().into_iter().collect(),
        });
    }
}

/// Keeps new segments in step with what is written to their table.
struct Following {
    table: TableId,
    /// The generation that the rows are moved out of, and the one that writes go to afterwards.
    from: Generation,
    to: Generation,
    recording: Recording,
    /// The new segments, and what has been written since they were.
    segments: Vec<(Arc<Handle>, Deleted)>,
    /// The segments that the new ones replace.
    replaced: Vec<Part>,
    /// What the new generation has.
    keys: Arc<KeyFilter>,
}

impl Following {
    /// Takes `keys` out of the new segments, and their rows along to the new generation. The last
    /// call also takes those that were recorded since, and says where the rows are from now on.
    fn follow(
        &mut self,
        now: &Snapshot,
        keys: &BTreeSet<Vec<u8>>,
        last: bool,
    ) -> Result<Relocation> {
        let gone = !now.exists(self.table)? || now.tiers().generation(self.table) != self.from;
        if gone {
            return Err(Error::new(
                SqlState::OBJECT_IN_USE,
                "the table was dropped or rewritten while its rows were being moved",
            ));
        }
        let mut rows = TableWrites::new();
        self.mark(keys)?;
        self.copy(now, keys, &mut rows)?;
        if last {
            let rest = self.recording.take();
            self.mark(&rest)?;
            self.copy(now, &rest, &mut rows)?;
        }
        let mut relocation = Relocation::default();
        if self.from != self.to {
            relocation.rows.push((self.table, self.to, rows));
        }
        if last {
            self.settle(now, &mut relocation)?;
        }
        Ok(relocation)
    }

    fn mark(&mut self, keys: &BTreeSet<Vec<u8>>) -> Result<()> {
        let mut found = Vec::new();
        for (segment, deleted) in &mut self.segments {
            let meta = segment.meta();
            let within = (
                Included(meta.first_key.as_slice()),
                Included(meta.last_key.as_slice()),
            );
            let keys: Vec<&[u8]> = keys.range::<[u8], _>(within).map(Vec::as_slice).collect();
            segment.locate_batch(&keys, &mut found)?;
            for row in found.iter().flatten() {
                deleted.insert(*row);
            }
        }
        Ok(())
    }

    fn copy(&self, now: &Snapshot, keys: &BTreeSet<Vec<u8>>, rows: &mut TableWrites) -> Result<()> {
        if self.from == self.to {
            return Ok(());
        }
        for key in keys {
            let row = now.unsealed(self.table, key)?;
            self.keys.add(key);
            rows.insert(key.clone(), row.map(|row| row.as_ref().to_vec()));
        }
        Ok(())
    }

    fn settle(&self, now: &Snapshot, relocation: &mut Relocation) -> Result<()> {
        let table = self.table;
        let (mut segments, mut chunks) = (TableWrites::new(), TableWrites::new());
        put_generation(table, self.to, &mut segments);
        let is_replaced = |part: &Part| {
            let mut replaced = self.replaced.iter();
            replaced.any(|replaced| Arc::ptr_eq(&replaced.segment, &part.segment))
        };
        let mut parts = Vec::new();
        for part in parts_of(now, table) {
            if is_replaced(part) {
                remove_segment(part, &mut segments, &mut chunks);
            } else {
                parts.push(part.clone());
            }
        }
        for (segment, deleted) in &self.segments {
            put_segment(segment.meta(), deleted, &mut segments, &mut chunks)?;
            parts.push(Part {
                segment: segment.clone(),
                deleted: Arc::new(deleted.clone()),
            });
        }
        let writes = &mut relocation.beside.writes;
        writes.insert(SEGMENT_TABLE, Arc::new(segments));
        writes.insert(DELETED_TABLE, Arc::new(chunks));
        if self.from != self.to {
            relocation.drop.push((table, self.from));
        }
        let sealed = (!parts.is_empty())
            .then(|| Arc::new(SealedTable::new(table, parts)) as Arc<dyn Sealed>);
        let keys = match self.from == self.to {
            true => now.tiers().0.get(&table).and_then(|tier| tier.keys.clone()),
            false => Some(self.keys.clone()),
        };
        let generation = self.to;
        let tier = Tier {
            generation,
            sealed,
            keys,
        };
        relocation.tiers.push((table, tier));
        for part in &self.replaced {
            part.segment.discard();
        }
        Ok(())
    }
}

/// Gives way once, so that a host with one thread can do something else.
async fn let_others_run() {
    let mut ran = false;
    poll_fn(|cx| {
        if ran {
            return Poll::Ready(());
        }
        ran = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
