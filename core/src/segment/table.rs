//! The sealed rows of one table: its segments, less what was deleted from them.

use std::any::Any;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::deletes::Deleted;
use super::garbage::Handle;
use super::manifest;
use super::merged::Merged;
use crate::error::Result;
use crate::storage::{DELETED_TABLE, Sealed, SealedIter, TableId, TableWrites, WriteBatch};

/// One segment, and which of its rows are gone.
#[derive(Clone)]
pub struct Part {
    pub segment: Arc<Handle>,
    pub deleted: Arc<Deleted>,
}

impl Part {
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

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if key < self.first_key() || key > self.last_key() {
            return Ok(None);
        }
        match self.segment.locate(key)? {
            Some(row) if !self.deleted.contains(row) => Ok(Some(self.segment.row(row)?)),
            _ => Ok(None),
        }
    }

    /// The rows that are not gone.
    pub(super) fn live(&self) -> Result<Option<SealedIter>> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Option<SealedIter>> {
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
}

impl SealedTable {
    pub fn new(table: TableId, mut parts: Vec<Part>) -> Self {
        parts.sort_by(|a, b| a.first_key().cmp(b.first_key()));
        SealedTable { table, parts }
    }

    /// The segments, in the order of their first keys.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Sealed for SealedTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        for part in &self.parts {
            if let Some(row) = part.get(key)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
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
