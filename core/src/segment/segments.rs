//! The sealed tier of one database: opens it, and deletes what it no longer needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use object_store::ObjectStore;
use parking_lot::Mutex;
use redb::StorageBackend;

use super::garbage::{Garbage, Handle, Waste};
use super::manifest;
use super::seal::parts_of;
use super::{
    CacheOptions, CacheStats, Caches, Objects, Segment, SegmentMeta, WriteOptions, Writer,
};
use crate::env::Env;
use crate::error::Result;
use crate::storage::{self, Generation, Relocation, Snapshot, Store, TableId};

/// Settings of the sealed tier.
#[derive(Clone, Debug)]
pub struct Options {
    pub caches: CacheOptions,
    pub write: WriteOptions,
    /// Rows of a table that stay unsealed before sealing them pays.
    pub seal_rows: u64,
    /// New rows that one statement collects in memory for a table before they go to segments directly.
    /// Statements with fewer leave them to redb.
    pub load_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            caches: CacheOptions::default(),
            write: WriteOptions::default(),
            seal_rows: 100_000,
            load_rows: 65_536,
        }
    }
}

/// The sealed tier of one database.
pub struct Segments {
    pub(super) store: Store,
    pub(super) env: Env,
    pub(super) objects: Objects,
    pub(super) caches: Arc<Caches>,
    pub(super) write: WriteOptions,
    pub(super) seal_rows: u64,
    pub(super) load_rows: usize,
    pub(super) garbage: Arc<Garbage>,
    /// Held while rows are moved: one table at a time, which bounds the memory and the work.
    pub(super) turn: futures::lock::Mutex<()>,
    /// Held while what a load has written is merged: one load at a time, likewise.
    pub(super) merging: futures::lock::Mutex<()>,
    /// Segments with few rows that are full nevertheless, because of their bytes. The manifest does not
    /// say so: one that was written before the database was opened is found out when it is merged.
    heavy: Mutex<HashSet<u64>>,
    /// Numbers that nothing in this database has been named after.
    next_segment: AtomicU64,
    next_generation: AtomicU32,
}

impl Segments {
    /// Opens a database with its sealed tier, and removes objects that an interruption left behind.
    ///
    /// # Errors
    /// As [`Store::open_with`]; 58030 when the object store fails, XX001 when the manifest is damaged.
    pub fn open(
        backend: impl StorageBackend,
        log: Option<Arc<dyn StorageBackend>>,
        objects: Arc<dyn ObjectStore>,
        storage: &storage::Options,
        options: &Options,
        env: Env,
    ) -> Result<Segments> {
        let objects = Objects::new(objects);
        let caches = Arc::new(Caches::new(&options.caches));
        let garbage = Arc::<Garbage>::default();
        let open = |meta| {
            let segment = Segment::new(meta, objects.clone(), caches.clone());
            Arc::new(Handle::new(segment, garbage.clone()))
        };
        let store = Store::open_with(backend, log, storage, env.clone(), |snapshot| {
            manifest::load(snapshot, open)
        })?;
        let snapshot = store.snapshot()?;
        let known = known_segments(&snapshot);
        let mut highest = 0;
        for owner in objects.list()? {
            highest = highest.max(owner.1);
            if !known.contains(&owner) {
                let (table, segment) = owner;
                tracing::info!(table, segment, "removing what an interruption left behind");
                objects.delete(table, segment)?;
            }
        }
        let tiers = snapshot.tiers().0.values();
        let generation = tiers.map(|tier| tier.generation).max();
        let highest = known
            .iter()
            .map(|(_, segment)| *segment)
            .fold(highest, u64::max);
        Ok(Segments {
            store,
            env,
            objects,
            caches,
            write: options.write.clone(),
            seal_rows: options.seal_rows,
            load_rows: options.load_rows.max(1),
            garbage,
            turn: futures::lock::Mutex::default(),
            merging: futures::lock::Mutex::default(),
            heavy: Mutex::default(),
            next_segment: AtomicU64::new(highest.saturating_add(1)),
            next_generation: AtomicU32::new(generation.unwrap_or(0).saturating_add(1)),
        })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the caches hold.
    pub fn cache_stats(&self) -> CacheStats {
        self.caches.stats()
    }

    /// See [`Options::load_rows`].
    pub fn load_rows(&self) -> usize {
        self.load_rows
    }

    pub(super) fn new_segment(&self) -> u64 {
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn new_generation(&self) -> Generation {
        self.next_generation.fetch_add(1, Ordering::Relaxed)
    }

    fn segment(&self, meta: SegmentMeta) -> Segment {
        Segment::new(meta, self.objects.clone(), self.caches.clone())
    }

    pub(super) fn handle(&self, meta: SegmentMeta) -> Arc<Handle> {
        Arc::new(Handle::new(self.segment(meta), self.garbage.clone()))
    }

    /// Ends a segment.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub(super) fn finish(&self, writer: Writer) -> Result<Option<SegmentMeta>> {
        let full = writer.is_full();
        let meta = writer.finish(&self.env.workers)?;
        if let Some(meta) = &meta
            && full
            && meta.rows < self.write.rows
        {
            self.heavy.lock().insert(meta.segment);
        }
        Ok(meta)
    }

    pub(super) fn is_heavy(&self, segment: u64) -> bool {
        self.heavy.lock().contains(&segment)
    }

    /// Deletes what nobody reads any more. Returns the number of segments deleted.
    ///
    /// # Errors
    /// 58030 when storage fails; what is left is tried again by the next call.
    pub async fn sweep(&self) -> Result<usize> {
        let waste = self.garbage.take();
        if waste.is_empty() {
            return Ok(0);
        }
        let generations = waste.generations.clone();
        // Once this is durable, every commit that could have made use of something, or waste of it, is.
        let pending = self.store.submit_relocation(Box::new(move |now| {
            let unused = |(table, generation): &(TableId, Generation)| {
                now.tiers().generation(*table) != *generation
            };
            Ok(Relocation {
                drop: generations.into_iter().filter(unused).collect(),
                ..Relocation::default()
            })
        }));
        let durable = match pending {
            Ok(pending) => pending.durable.await,
            Err(error) => Err(error),
        };
        if let Err(error) = durable {
            self.garbage.add(waste);
            return Err(error);
        }
        let used = known_segments(&*self.store.snapshot()?);
        let mut deleted = 0;
        let mut segments = waste
            .segments
            .into_iter()
            .filter(|meta| !used.contains(&(meta.table, meta.segment)));
        while let Some(meta) = segments.next() {
            let number = meta.segment;
            if let Err(error) = self.segment(meta.clone()).delete_objects() {
                let left = std::iter::once(meta).chain(segments).collect();
                self.garbage.add(Waste {
                    segments: left,
                    generations: Vec::new(),
                });
                return Err(error);
            }
            self.heavy.lock().remove(&number);
            deleted += 1;
        }
        Ok(deleted)
    }
}

fn known_segments(snapshot: &Snapshot) -> HashSet<(TableId, u64)> {
    let mut known = HashSet::new();
    for table in snapshot.tiers().0.keys() {
        for part in parts_of(snapshot, *table) {
            known.insert((*table, part.segment.meta().segment));
        }
    }
    known
}
