//! New rows of a transaction on their way straight into segments, past redb.
//!
//! ```text
//! sorted rows ─ push ─▶ runs of segments ─ finish ─▶ parts ─ commit: settled ─▶ manifest
//! ```
//!
//! Rows are written by the host's workers while the statement makes the next ones.
//!
//! A run is a sequence of segments that follow one another. Rows that come in key order make one run;
//! each step back begins another. Many runs are merged, so that there are never more than some dozens.
//!
//! Nothing refers to the segments before the commit: those of a load that is given up are deleted once
//! nobody reads them, and those of an interrupted one when the database is opened.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::garbage::Handle;
use super::manifest::{put_generation, put_segment};
use super::merged::Merged;
use super::seal::{Shape, Unfinished, chained, parts_of};
use super::segments::Segments;
use super::table::{Part, SealedTable};
use super::{Deleted, Writer};
use crate::error::Result;
use crate::storage::{
    DELETED_TABLE, KeyFilter, MAX_LEARNT_KEYS, Relocation, SEGMENT_TABLE, Sealed, Snapshot,
    TableId, TableWrites, Tier,
};
use crate::types::key::prefix_end;

/// Runs of about the same size that are merged into one.
const MAX_RUNS: usize = if cfg!(test) { 3 } else { 16 };
/// What a row in memory takes besides its key and its bytes, about, wherever it waits.
pub const ROW_BYTES: usize = 200;
/// Rows of a merge between two looks at whether it has to stop.
const STEP_ROWS: usize = 1024;

/// A row with its key.
type Entry = (Vec<u8>, Bytes);

/// The load of one table or index. Others look into it while it goes on: whether it has a key.
pub struct Load {
    segments: Arc<Segments>,
    table: TableId,
    shape: Shape,
    /// Locked by who writes rows until they are written.
    open: Mutex<Open>,
    /// No key is above it.
    highest: Mutex<Vec<u8>>,
    /// Bytes of memory that rows take which are in no segment yet.
    held: AtomicUsize,
    /// The rows that are being written.
    running: futures::lock::Mutex<Option<BoxFuture<'static, Result<()>>>>,
}

#[derive(Default)]
struct Open {
    /// Rows that nobody has begun to write.
    queued: Vec<Entry>,
    writer: Option<Writer>,
    /// The last one is that of the writer.
    runs: Vec<Run>,
}

/// Segments that follow one another.
#[derive(Clone, Default)]
struct Run {
    segments: Vec<Arc<Handle>>,
    /// How often its rows were merged.
    level: u32,
}

impl Segments {
    /// Begins a load.
    pub fn load(self: &Arc<Self>, table: TableId, shape: Shape) -> Load {
        Load {
            segments: self.clone(),
            table,
            shape,
            open: Mutex::default(),
            highest: Mutex::default(),
            held: AtomicUsize::new(0),
            running: futures::lock::Mutex::default(),
        }
    }

    /// A segment that no state has yet.
    fn unsettled(&self, meta: super::SegmentMeta) -> Arc<Handle> {
        let handle = self.handle(meta);
        handle.discard();
        handle
    }
}

impl Run {
    fn has_prefix(&self, prefix: &[u8], end: Option<&[u8]>) -> Result<bool> {
        for segment in &self.segments {
            let meta = segment.meta();
            let above = meta.last_key.as_slice() < prefix;
            let below = end.is_some_and(|end| meta.first_key.as_slice() >= end);
            if above || below {
                continue;
            }
            let end = end.map_or(Unbounded, Excluded);
            if !segment.positions(Included(prefix), end)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Load {
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Bytes of memory that rows take which are in no segment yet, about.
    pub fn memory(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Adds rows in key order. They are in it when this returns, but may still have to be written.
    /// `go_on` is asked now and then whether to stop.
    ///
    /// # Errors
    /// 58030 when an object cannot be written, of these rows or those before, and those of `go_on`. The
    /// load has to be given up then.
    pub async fn push(
        self: &Arc<Self>,
        rows: Vec<Entry>,
        go_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<()> {
        // One at a time: what waits to be written takes memory.
        self.written().await?;
        self.merge(go_on).await?;
        {
            let mut open = self.open.lock();
            let mut highest = self.highest.lock();
            if let Some((last, _)) = rows.last()
                && *last > *highest
            {
                highest.clone_from(last);
            }
            let queued = rows
                .iter()
                .map(|(key, row)| ROW_BYTES + key.len() + row.len());
            let queued = queued.sum::<usize>();
            self.held.fetch_add(queued, Relaxed);
            open.queued = rows;
        }
        let load = self.clone();
        let mut writing = async move {
            let workers = load.segments.env.workers.clone();
            workers.run(async move { load.write_queued() }).await
        }
        .boxed();
        match futures::poll!(&mut writing) {
            Poll::Ready(done) => done,
            Poll::Pending => {
                *self.running.lock().await = Some(writing);
                Ok(())
            }
        }
    }

    fn write_queued(&self) -> Result<()> {
        let mut open = self.open.lock();
        for (key, row) in std::mem::take(&mut open.queued) {
            open.push(self, &key, &row)?;
        }
        self.held.store(open.memory(), Relaxed);
        Ok(())
    }

    /// Waits until all rows are written.
    async fn written(&self) -> Result<()> {
        match self.running.lock().await.take() {
            Some(writing) => writing.await,
            None => Ok(()),
        }
    }

    /// Merges the newest runs while there are many of one size.
    async fn merge(&self, go_on: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
        loop {
            go_on()?;
            let chosen = {
                let open = self.open.lock();
                let done = open.runs.len() - usize::from(open.writer.is_some());
                let runs = open.runs.get(..done).unwrap_or_default();
                let level = runs.last().map_or(0, |run| run.level);
                let alike = runs.iter().rev().take_while(|run| run.level == level);
                match alike.count() {
                    count if count >= MAX_RUNS => {
                        runs.get(done - count..).unwrap_or_default().to_vec()
                    }
                    _ => return Ok(()),
                }
            };
            // Many loads may have to: one after the other, which bounds the memory.
            let _turn = self.segments.merging.lock().await;
            let mut runs = Vec::new();
            for run in &chosen {
                let parts: Vec<Part> = run.segments.iter().cloned().map(Part::whole).collect();
                runs.push(chained(parts.iter())?);
            }
            let rows = Merged::of(runs).into_iter().flatten();
            let rows = rows.enumerate().map(|(at, row)| {
                if at.is_multiple_of(STEP_ROWS) {
                    go_on()?;
                }
                row
            });
            let mut written = Unfinished::new(&self.segments.garbage);
            let shape = self.shape.clone();
            let merging = self
                .segments
                .write_segments(self.table, shape, rows, &mut written);
            merging.await?;
            let metas = std::mem::take(&mut written.segments);
            let merged = Run {
                segments: metas
                    .into_iter()
                    .map(|meta| self.segments.unsettled(meta))
                    .collect(),
                level: chosen.last().map_or(0, |run| run.level) + 1,
            };
            let mut open = self.open.lock();
            let done = open.runs.len() - usize::from(open.writer.is_some());
            open.runs.splice(done - chosen.len()..done, [merged]);
        }
    }

    /// Whether a key that starts with `prefix` is in it.
    ///
    /// # Errors
    /// 58030 when an object cannot be read.
    pub fn has_prefix(&self, prefix: &[u8]) -> Result<bool> {
        // Keys mostly ascend, and then nobody waits for the rows that are being written.
        if self.highest.lock().as_slice() < prefix {
            return Ok(false);
        }
        let end = prefix_end(prefix);
        let runs = {
            let open = self.open.lock();
            let at = open
                .queued
                .partition_point(|(key, _)| key.as_slice() < prefix);
            if open
                .queued
                .get(at)
                .is_some_and(|(key, _)| key.starts_with(prefix))
            {
                return Ok(true);
            }
            let written = open.writer.as_ref();
            if written.is_some_and(|writer| writer.has_prefix(prefix)) {
                return Ok(true);
            }
            open.runs.clone()
        };
        for run in runs {
            if run.has_prefix(prefix, end.as_deref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the segment that is being written if it takes more memory, and so gives that back.
    ///
    /// # Errors
    /// 58030 when an object cannot be written.
    pub async fn end_segment_above(self: &Arc<Self>, bytes: usize) -> Result<()> {
        if self.memory() <= bytes {
            return Ok(());
        }
        // What waits takes more than what is written.
        self.written().await?;
        match self.memory() > bytes {
            true => self.end_segment().await,
            false => Ok(()),
        }
    }

    /// Ends the segment that is being written.
    async fn end_segment(self: &Arc<Self>) -> Result<()> {
        self.written().await?;
        let load = self.clone();
        let ending = async move {
            load.open.lock().end_segment(&load)?;
            load.held.store(0, Relaxed);
            Ok(())
        };
        self.segments.env.workers.run(ending).await
    }

    /// Ends it: all its rows.
    ///
    /// # Errors
    /// 58030 when an object cannot be written.
    pub async fn finish(self: &Arc<Self>) -> Result<Vec<Part>> {
        self.end_segment().await?;
        let open = self.open.lock();
        let segments = open.runs.iter().flat_map(|run| &run.segments);
        Ok(segments.cloned().map(Part::whole).collect())
    }
}

impl Open {
    fn push(&mut self, load: &Load, key: &[u8], row: &[u8]) -> Result<()> {
        let ascends = self.last_key().is_some_and(|last| last < key);
        if let Some(writer) = &mut self.writer
            && ascends
            && !writer.is_full()
        {
            return writer.push(key, row);
        }
        self.end_segment(load)?;
        if !ascends {
            self.runs.push(Run::default());
        }
        let writer = load.segments.writer(load.table, &load.shape)?;
        self.writer.insert(writer).push(key, row)
    }

    /// The last key of the last run.
    fn last_key(&self) -> Option<&[u8]> {
        if let Some(writer) = &self.writer {
            return Some(writer.last_key());
        }
        let last = self.runs.last()?.segments.last()?;
        Some(&last.meta().last_key)
    }

    fn memory(&self) -> usize {
        self.writer.as_ref().map_or(0, Writer::memory)
    }

    fn end_segment(&mut self, load: &Load) -> Result<()> {
        if let Some(writer) = self.writer.take()
            && let Some(meta) = load.segments.finish(writer)?
            && let Some(run) = self.runs.last_mut()
        {
            run.segments.push(load.segments.unsettled(meta));
        }
        Ok(())
    }
}

/// Where the rows of tables are once these loaded ones are committed. Then they have to be kept
/// ([`SealedTable::keep`]).
///
/// # Errors
/// 58030 when storage fails.
pub fn settled(now: &Snapshot, loaded: &[Arc<SealedTable>]) -> Result<Relocation> {
    let mut relocation = Relocation::default();
    let (mut segments, mut chunks) = (TableWrites::new(), TableWrites::new());
    for more in loaded {
        let table = more.table();
        let generation = now.tiers().generation(table);
        put_generation(table, generation, &mut segments);
        for part in more.parts() {
            let meta = part.segment.meta();
            put_segment(meta, &Deleted::default(), &mut segments, &mut chunks)?;
        }
        let mut parts = parts_of(now, table).to_vec();
        parts.extend_from_slice(more.parts());
        let known = now.tiers().0.get(&table).and_then(|tier| tier.keys.clone());
        let keys = match known {
            Some(keys) => Some(keys),
            None if now.unsealed_len(table)? > MAX_LEARNT_KEYS => None,
            None => Some(Arc::<KeyFilter>::new(now.unsealed_keys(table)?)),
        };
        let tier = Tier {
            generation,
            sealed: Some(Arc::new(SealedTable::new(table, parts)) as Arc<dyn Sealed>),
            keys,
        };
        relocation.tiers.push((table, tier));
    }
    let writes = &mut relocation.beside.writes;
    writes.insert(SEGMENT_TABLE, Arc::new(segments));
    writes.insert(DELETED_TABLE, Arc::new(chunks));
    Ok(relocation)
}
