//! What segments keep in memory, each kind within a limit of its own: the key columns with their indexes,
//! blocks of rows, decoded columns and their bloom filters. All segments of a database share the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use parquet::bloom_filter::Sbbf;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::block::Decompressors;
use super::columns_read::Pieces;
use crate::error::{Error, Result};
use crate::storage::Clock;

/// What a column costs besides its bytes.
const ENTRY_BYTES: u64 = 128;
/// Bytes of a block of a bloom filter, as Parquet has them.
const BLOOM_BLOCK_BYTES: usize = 32;

/// Limits in bytes.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Key columns with their indexes, and tables of contents.
    pub keys_bytes: u64,
    /// Blocks of rows, uncompressed.
    pub blocks_bytes: u64,
    /// Decoded columns, and their bloom filters.
    pub columns_bytes: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        CacheOptions {
            keys_bytes: 128 << 20,
            blocks_bytes: 128 << 20,
            columns_bytes: 256 << 20,
        }
    }
}

/// A segment: its table and its number.
pub(super) type Name = (u64, u64);
/// What is read of a column of one row group: the segment, the group, the physical position, and what.
pub(super) type ColumnName = (Name, u32, u32, Read);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Read {
    /// All pieces.
    Whole,
    Piece(u32),
    Bloom,
}

#[derive(Clone)]
enum Entry {
    /// All, or the one of [`Read::Piece`].
    Pieces(Pieces),
    Bloom(Arc<Sbbf>),
}

#[derive(Clone)]
struct Weight;

impl Weighter<ColumnName, Entry> for Weight {
    fn weight(&self, _: &ColumnName, entry: &Entry) -> u64 {
        let bytes = match entry {
            Entry::Pieces(pieces) => {
                let pieces = pieces.iter();
                pieces.map(|piece| piece.get_array_memory_size()).sum()
            }
            Entry::Bloom(filter) => filter.num_blocks() * BLOOM_BLOCK_BYTES,
        };
        ENTRY_BYTES + bytes as u64
    }
}

type Columns =
    Cache<ColumnName, Entry, Weight, DefaultHashBuilder, DefaultLifecycle<ColumnName, Entry>>;

/// The caches.
pub struct Caches {
    /// Of key columns with their indexes, and tables of contents.
    pub(super) keys: Clock,
    /// Of blocks of rows and pages of keys.
    pub(super) blocks: Clock,
    columns: Columns,
    pub(super) blocks_read: AtomicU64,
    columns_read: AtomicU64,
    decompressors: Decompressors,
}

/// What the caches hold, and what was read because they did not hold it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheStats {
    pub keys_bytes: u64,
    pub blocks_bytes: u64,
    /// Blocks read from the store.
    pub blocks_read: u64,
    pub columns_bytes: u64,
    /// Columns read and decoded.
    pub columns_read: u64,
}

/// A cache of columns of `limit` bytes. Every shard has its part of the limit, so there are few where
/// columns are large.
fn columns(limit: u64) -> Columns {
    /// Bytes of a column of a row group, about.
    const COLUMN_BYTES: u64 = 1 << 20;
    /// Shards of a cache at most.
    const MOST_SHARDS: u64 = 64;
    /// Entries that a shard should have room for.
    const SHARD_ENTRIES: u64 = 64;
    let entries = limit / COLUMN_BYTES + 1;
    let shards = (entries / SHARD_ENTRIES).clamp(1, MOST_SHARDS);
    let options = OptionsBuilder::new()
        .shards(shards as usize)
        .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
        .weight_capacity(limit)
        .build();
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    match options {
        Ok(options) => Cache::with_options(options, Weight, hasher, lifecycle),
        // Both capacities are given; there is nothing else that can be wrong with them.
        Err(_) => Cache::with(0, limit, Weight, hasher, lifecycle),
    }
}

impl Caches {
    pub fn new(options: &CacheOptions) -> Self {
        Caches {
            keys: Clock::new(options.keys_bytes),
            blocks: Clock::new(options.blocks_bytes),
            columns: columns(options.columns_bytes),
            blocks_read: AtomicU64::new(0),
            columns_read: AtomicU64::new(0),
            decompressors: Decompressors::default(),
        }
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats {
            keys_bytes: self.keys.bytes(),
            blocks_bytes: self.blocks.bytes(),
            blocks_read: self.blocks_read.load(Ordering::Relaxed),
            columns_bytes: self.columns.weight(),
            columns_read: self.columns_read.load(Ordering::Relaxed),
        }
    }

    pub(super) fn decompressors(&self) -> &Decompressors {
        &self.decompressors
    }

    /// All pieces of a column.
    pub(super) fn column_or(
        &self,
        name: ColumnName,
        read: impl FnOnce() -> Result<Pieces>,
    ) -> Result<Pieces> {
        let entry = self.columns.get_or_insert_with(&name, || {
            self.columns_read.fetch_add(1, Ordering::Relaxed);
            read().map(Entry::Pieces)
        })?;
        entry.pieces().ok_or_else(misnamed)
    }

    /// One piece of a column, if it is in memory.
    pub(super) fn piece(&self, name: ColumnName) -> Option<ArrayRef> {
        self.columns.get(&name)?.pieces()?.first().cloned()
    }

    pub(super) fn keep_piece(&self, name: ColumnName, piece: ArrayRef) {
        let pieces = Entry::Pieces(Pieces::from([piece]));
        self.columns.insert(name, pieces);
    }

    /// The bloom filter of a column.
    pub(super) fn bloom_or(
        &self,
        name: ColumnName,
        read: impl FnOnce() -> Result<Sbbf>,
    ) -> Result<Arc<Sbbf>> {
        let read = || read().map(|filter| Entry::Bloom(Arc::new(filter)));
        match self.columns.get_or_insert_with(&name, read)? {
            Entry::Bloom(filter) => Ok(filter),
            Entry::Pieces(_) => Err(misnamed()),
        }
    }

    /// Whether a column is in memory.
    pub(super) fn has_column(&self, name: ColumnName) -> bool {
        self.columns.contains_key(&name)
    }

    /// Forgets the columns of a segment, and their bloom filters.
    pub(super) fn forget_columns(&self, name: Name) {
        self.columns.retain(|(owner, ..), _| *owner != name);
    }
}

impl Entry {
    fn pieces(&self) -> Option<Pieces> {
        match self {
            Entry::Pieces(pieces) => Some(pieces.clone()),
            Entry::Bloom(_) => None,
        }
    }
}

fn misnamed() -> Error {
    Error::internal("a column that is a bloom filter, or the other way round")
}
