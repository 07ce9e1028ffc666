//! What segments keep in memory, each kind in a cache with a limit of its own: the key columns with
//! their indexes, blocks of rows, decoded columns. All segments of a database share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::Array;
use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::block::Decompressors;
use super::columns_read::{Footer, Pieces};
use super::keys::Keys;
use super::side::Head;
use crate::error::Result;

/// What an entry of a cache costs besides its bytes.
const ENTRY_BYTES: u64 = 128;

/// Limits in bytes.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Key columns with their indexes, and tables of contents.
    pub keys_bytes: u64,
    /// Blocks of rows, uncompressed.
    pub blocks_bytes: u64,
    /// Decoded columns.
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

/// What a segment has in the cache of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Head,
    Keys,
    Footer,
}

/// A segment: its table and its number.
pub(super) type Name = (u64, u64);

#[derive(Clone)]
pub(super) enum Resident {
    Head(Arc<Head>),
    Keys(Arc<Keys>),
    Footer(Arc<Footer>),
}

/// A block of a sidecar: the segment, the checksum of the sidecar's head (a rebuilt sidecar has other
/// blocks), the number of the block.
pub(super) type BlockName = (Name, u32, u32);
/// A column of one row group: the segment, the group, the physical position.
pub(super) type ColumnName = (Name, u32, u32);

#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<(Name, Part), Resident> for Weight {
    fn weight(&self, _: &(Name, Part), resident: &Resident) -> u64 {
        ENTRY_BYTES
            + match resident {
                Resident::Head(head) => head.size(),
                Resident::Keys(keys) => keys.size(),
                Resident::Footer(footer) => footer.size(),
            }
    }
}

impl Weighter<BlockName, Bytes> for Weight {
    fn weight(&self, _: &BlockName, block: &Bytes) -> u64 {
        ENTRY_BYTES + block.len() as u64
    }
}

impl Weighter<ColumnName, Pieces> for Weight {
    fn weight(&self, _: &ColumnName, column: &Pieces) -> u64 {
        let pieces = column.iter();
        let bytes: usize = pieces.map(|piece| piece.get_array_memory_size()).sum();
        ENTRY_BYTES + bytes as u64
    }
}

type Limited<K, V> = Cache<K, V, Weight, DefaultHashBuilder, DefaultLifecycle<K, V>>;

/// The caches.
pub struct Caches {
    keys: Limited<(Name, Part), Resident>,
    blocks: Limited<BlockName, Bytes>,
    columns: Limited<ColumnName, Pieces>,
    blocks_read: AtomicU64,
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

/// A cache of `limit` bytes whose entries have some `entry` bytes. Every shard has its part of the
/// limit, so there are few where entries are large.
fn limited<K, V>(limit: u64, entry: u64) -> Limited<K, V>
where
    K: std::hash::Hash + Eq + Clone,
    V: Clone,
    Weight: Weighter<K, V>,
{
    /// Shards of a cache at most.
    const MOST_SHARDS: u64 = 64;
    /// Entries that a shard should have room for.
    const SHARD_ENTRIES: u64 = 64;
    let entries = limit / entry + 1;
    let shards = (entries / SHARD_ENTRIES).clamp(1, MOST_SHARDS);
    let options = OptionsBuilder::new()
        .shards(shards as usize)
        .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
        .weight_capacity(limit)
        .build();
    match options {
        Ok(options) => Cache::with_options(
            options,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Both capacities are given; there is nothing else that can be wrong with them.
        Err(_) => Cache::with(
            0,
            limit,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
    }
}

impl Caches {
    pub fn new(options: &CacheOptions) -> Self {
        Caches {
            keys: limited(options.keys_bytes, 1 << 22),
            blocks: limited(options.blocks_bytes, 1 << 14),
            columns: limited(options.columns_bytes, 1 << 20),
            blocks_read: AtomicU64::new(0),
            columns_read: AtomicU64::new(0),
            decompressors: Decompressors::default(),
        }
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats {
            keys_bytes: self.keys.weight(),
            blocks_bytes: self.blocks.weight(),
            blocks_read: self.blocks_read.load(Ordering::Relaxed),
            columns_bytes: self.columns.weight(),
            columns_read: self.columns_read.load(Ordering::Relaxed),
        }
    }

    /// Whether keys of so many bytes can be kept at all, and whether they can be kept without
    /// anything else having to go.
    pub(super) fn room_for_keys(&self, bytes: u64) -> (bool, bool) {
        let keys = &self.keys;
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        let shard = keys.capacity() / keys.num_shards().max(1) as u64;
        let free = keys.weight().saturating_add(bytes) <= keys.capacity();
        // A little less than a shard: the hot part of one is not all of it.
        (bytes <= shard / 16 * 15, free)
    }

    pub(super) fn decompressors(&self) -> &Decompressors {
        &self.decompressors
    }

    pub(super) fn resident(&self, name: Name, part: Part) -> Option<Resident> {
        self.keys.get(&(name, part))
    }

    /// A resident part, read by one caller while others wait.
    pub(super) fn resident_or(
        &self,
        name: Name,
        part: Part,
        read: impl FnOnce() -> Result<Resident>,
    ) -> Result<Resident> {
        self.keys.get_or_insert_with(&(name, part), read)
    }

    pub(super) fn block_or(
        &self,
        name: BlockName,
        read: impl FnOnce() -> Result<Bytes>,
    ) -> Result<Bytes> {
        self.blocks.get_or_insert_with(&name, || {
            self.blocks_read.fetch_add(1, Ordering::Relaxed);
            read()
        })
    }

    pub(super) fn column_or(
        &self,
        name: ColumnName,
        read: impl FnOnce() -> Result<Pieces>,
    ) -> Result<Pieces> {
        self.columns.get_or_insert_with(&name, || {
            self.columns_read.fetch_add(1, Ordering::Relaxed);
            read()
        })
    }

    /// Whether a column is in memory.
    pub(super) fn has_column(&self, name: ColumnName) -> bool {
        self.columns.contains_key(&name)
    }

    /// Forgets the contents of a sidecar. Its blocks go by themselves: nobody asks for them again.
    pub(super) fn forget_side(&self, name: Name) {
        self.keys.remove(&(name, Part::Head));
        self.keys.remove(&(name, Part::Keys));
    }

    /// Forgets a segment.
    pub(super) fn forget(&self, name: Name) {
        self.forget_side(name);
        self.keys.remove(&(name, Part::Footer));
        self.blocks.retain(|(owner, ..), _| *owner != name);
        self.columns.retain(|(owner, ..), _| *owner != name);
    }
}
