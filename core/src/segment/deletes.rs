//! Which rows of a segment are gone: they were updated, or deleted, after they were sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};

/// Rows that share one stored bitmap: 1 << 16, one container of a roaring bitmap.
const CHUNK_BITS: u32 = 16;

/// A set of row numbers of one segment. Clones share their chunks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deleted {
    chunks: BTreeMap<u16, Arc<RoaringBitmap>>,
    count: u64,
}

fn split(row: u32) -> (u16, u32) {
    ((row >> CHUNK_BITS) as u16, row & ((1 << CHUNK_BITS) - 1))
}

impl Deleted {
    /// Number of rows in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn contains(&self, row: u32) -> bool {
        let (chunk, within) = split(row);
        self.chunks
            .get(&chunk)
            .is_some_and(|rows| rows.contains(within))
    }

    /// Adds a row; returns its chunk's number, `None` when the row was in the set already.
    pub fn insert(&mut self, row: u32) -> Option<u16> {
        let (chunk, within) = split(row);
        let rows = self.chunks.entry(chunk).or_default();
        if rows.contains(within) {
            return None;
        }
        Arc::make_mut(rows).insert(within);
        self.count += 1;
        Some(chunk)
    }

    /// Rows of the set between two row numbers, in order.
    pub fn between(&self, from: u32, to: u32) -> impl Iterator<Item = u32> + '_ {
        let first = split(from).0;
        let last = split(to.saturating_sub(1)).0;
        self.chunks
            .range(first..=last.max(first))
            .flat_map(|(chunk, rows)| {
                let base = u32::from(*chunk) << CHUNK_BITS;
                rows.iter().map(move |row| base | row)
            })
            .filter(move |row| (from..to).contains(row))
    }

    /// Numbers of the chunks that are not empty.
    pub fn chunks(&self) -> impl Iterator<Item = u16> + '_ {
        self.chunks.keys().copied()
    }

    /// One chunk in roaring's portable format.
    pub fn encode_chunk(&self, chunk: u16) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(rows) = self.chunks.get(&chunk) {
            rows.serialize_into(&mut bytes)
                .map_err(|error| Error::internal(format!("delete bitmap: {error}")))?;
        }
        Ok(bytes)
    }

    /// Adds a chunk that [`Deleted::encode_chunk`] wrote.
    ///
    /// # Errors
    /// XX001 when the bytes are no such chunk.
    pub fn decode_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<()> {
        let rows = RoaringBitmap::deserialize_from(bytes)
            .map_err(|error| Error::corrupted(format!("delete bitmap: {error}")))?;
        if rows.max().is_some_and(|row| row >> CHUNK_BITS != 0) || self.chunks.contains_key(&chunk)
        {
            return Err(Error::corrupted("delete bitmap: rows of another chunk"));
        }
        self.count = self.count.saturating_add(rows.len());
        self.chunks.insert(chunk, Arc::new(rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_and_survive_storage() {
        let rows = [0, 1, 65_535, 65_536, 200_000, 4_000_000];
        let mut deleted = Deleted::default();
        for row in rows {
            assert!(deleted.insert(row).is_some());
            assert_eq!(deleted.insert(row), None);
        }
        assert_eq!(deleted.len(), rows.len() as u64);
        assert_eq!(deleted.between(0, u32::MAX).collect::<Vec<_>>(), rows);
        assert_eq!(deleted.between(1, 65_536).collect::<Vec<_>>(), [1, 65_535],);
        assert_eq!(deleted.between(7, 7).count(), 0);
        assert!(deleted.contains(200_000) && !deleted.contains(200_001));

        let mut read = Deleted::default();
        for chunk in deleted.chunks() {
            let bytes = deleted.encode_chunk(chunk).unwrap();
            read.decode_chunk(chunk, &bytes).unwrap();
            assert!(read.decode_chunk(chunk, &bytes).is_err());
        }
        assert_eq!(read, deleted);
        assert!(Deleted::default().decode_chunk(0, b"not one").is_err());
    }
}
