//! What redb keeps of the sealed tier: which table has which segments, and what is gone from them.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `SEGMENT_TABLE` | table | generation, `u32`, little-endian |
//! | | table, segment | [`SegmentMeta`] |
//! | `DELETED_TABLE` | table, segment, chunk | rows of the chunk that are gone, roaring's portable format |
//!
//! Table and segment are `u64`, chunk is `u16`, all big-endian.

use std::collections::HashMap;
use std::ops::Bound::Unbounded;
use std::sync::Arc;

use super::garbage::Handle;
use super::table::{Part, SealedTable};
use super::{Deleted, SegmentMeta};
use crate::error::{Error, Result};
use crate::storage::{
    DELETED_TABLE, Generation, SEGMENT_TABLE, Sealed, Snapshot, TableId, TableWrites, Tier, Tiers,
};

pub(super) fn table_key(table: TableId) -> Vec<u8> {
    table.to_be_bytes().to_vec()
}

pub(super) fn segment_key(table: TableId, segment: u64) -> Vec<u8> {
    [table.to_be_bytes(), segment.to_be_bytes()].concat()
}

pub(super) fn chunk_key(table: TableId, segment: u64, chunk: u16) -> Vec<u8> {
    let mut key = segment_key(table, segment);
    key.extend_from_slice(&chunk.to_be_bytes());
    key
}

/// Takes a big-endian number off the front of a key.
fn number(key: &mut &[u8]) -> Option<u64> {
    let (first, rest) = key.split_first_chunk()?;
    let number = u64::from_be_bytes(*first);
    *key = rest;
    Some(number)
}

fn corrupted(what: &str) -> Error {
    Error::corrupted(format!("segment manifest: {what}"))
}

/// The changes that record a table's generation and what is gone from a new segment of it.
pub(super) fn put_segment(
    meta: &SegmentMeta,
    deleted: &Deleted,
    segments: &mut TableWrites,
    chunks: &mut TableWrites,
) -> Result<()> {
    segments.insert(segment_key(meta.table, meta.segment), Some(meta.encode()));
    for chunk in deleted.chunks() {
        let key = chunk_key(meta.table, meta.segment, chunk);
        chunks.insert(key, Some(deleted.encode_chunk(chunk)?));
    }
    Ok(())
}

/// The changes that forget a segment.
pub(super) fn remove_segment(part: &Part, segments: &mut TableWrites, chunks: &mut TableWrites) {
    let meta = part.segment.meta();
    segments.insert(segment_key(meta.table, meta.segment), None);
    for chunk in part.deleted.chunks() {
        chunks.insert(chunk_key(meta.table, meta.segment, chunk), None);
    }
}

pub(super) fn put_generation(table: TableId, generation: Generation, segments: &mut TableWrites) {
    let value = generation.to_le_bytes().to_vec();
    segments.insert(table_key(table), Some(value));
}

/// Everything that is recorded; `open` makes a segment's handle.
///
/// # Errors
/// XX001 when the records contradict each other.
pub(super) fn load(
    snapshot: &Snapshot,
    open: impl Fn(SegmentMeta) -> Arc<Handle>,
) -> Result<Tiers> {
    let mut deleted: HashMap<(TableId, u64), Deleted> = HashMap::new();
    for entry in snapshot.range(DELETED_TABLE, Unbounded, Unbounded)? {
        let (key, bytes) = entry?;
        let mut key = key.as_ref();
        let (table, segment) = (number(&mut key), number(&mut key));
        let (Some(table), Some(segment), Ok(chunk)) = (table, segment, <[u8; 2]>::try_from(key))
        else {
            return Err(corrupted("a delete bitmap has an unknown key"));
        };
        deleted
            .entry((table, segment))
            .or_default()
            .decode_chunk(u16::from_be_bytes(chunk), bytes.as_ref())?;
    }
    let mut generations: HashMap<TableId, Generation> = HashMap::new();
    let mut parts: HashMap<TableId, Vec<Part>> = HashMap::new();
    for entry in snapshot.range(SEGMENT_TABLE, Unbounded, Unbounded)? {
        let (key, value) = entry?;
        let (mut key, value) = (key.as_ref(), value.as_ref());
        let table = number(&mut key).ok_or_else(|| corrupted("an unknown key"))?;
        if key.is_empty() {
            let bytes =
                <[u8; 4]>::try_from(value).map_err(|_| corrupted("an unknown generation"))?;
            generations.insert(table, Generation::from_le_bytes(bytes));
            continue;
        }
        let meta = SegmentMeta::decode(value)?;
        if number(&mut key) != Some(meta.segment) || !key.is_empty() || meta.table != table {
            return Err(corrupted("a segment under another one's key"));
        }
        let gone = deleted.remove(&(table, meta.segment)).unwrap_or_default();
        if gone.between(meta.rows, u32::MAX).next().is_some() {
            return Err(corrupted("rows are gone that a segment never had"));
        }
        parts.entry(table).or_default().push(Part {
            segment: open(meta),
            deleted: Arc::new(gone),
        });
    }
    if !deleted.is_empty() {
        return Err(corrupted("a delete bitmap belongs to no segment"));
    }
    let mut tiers = Tiers::default();
    for (table, generation) in generations {
        let sealed = parts
            .remove(&table)
            .map(|parts| Arc::new(SealedTable::new(table, parts)) as Arc<dyn Sealed>);
        let keys = None;
        let tier = Tier {
            generation,
            sealed,
            keys,
        };
        tiers.0.insert(table, tier);
    }
    match parts.is_empty() {
        true => Ok(tiers),
        false => Err(corrupted("a segment belongs to no table")),
    }
}
