//! A block of rows, compressed together: column by column where they are rows of as many columns each.
//!
//! Blocks stay in a cache as rows: the end of each as a `u32`, then the rows. A row is a slice of one.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

use super::codec::{checksum, small};
use super::side::BlockPlace;
use super::transpose::{columns_of, rows_of};
use crate::error::{Error, Result};

/// Rows are put into one block up to so many bytes. A longer row has a block of its own.
pub(super) const BLOCK_BYTES: usize = 16 << 10;
/// Level of zstd: the fastest. Higher ones take longer than they gain, see the README.
const LEVEL: i32 = 1;

/// Bytes of a row's end.
pub(super) const END: usize = 4;
/// The first byte of a block: how its rows are kept.
const ROWS: u8 = 0;
const COLUMNS: u8 = 1;

fn damaged(what: &str) -> Error {
    Error::corrupted(format!("block of rows: {what}"))
}

/// Rows on their way into a block.
#[derive(Default)]
pub(super) struct BlockBuilder {
    rows: Vec<u8>,
    ends: Vec<u32>,
    /// Made for the first block: making one takes longer than a small block.
    compressor: Option<Compressor<'static>>,
}

impl BlockBuilder {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether a row of so many bytes belongs into the next block.
    pub fn is_full_for(&self, row: usize) -> bool {
        !self.is_empty() && self.rows.len() + row + END * (self.ends.len() + 1) > BLOCK_BYTES
    }

    /// # Errors
    /// 54000 for a row beyond 4 GiB.
    pub fn push(&mut self, row: &[u8]) -> Result<()> {
        self.rows.extend_from_slice(row);
        self.ends.push(small(self.rows.len(), "bytes in one row")?);
        Ok(())
    }

    /// Compresses the block behind what `out` holds; the builder is empty then.
    pub fn finish(&mut self, offset: u64, out: &mut Vec<u8>) -> Result<BlockPlace> {
        let mut rows = Vec::with_capacity(END * self.ends.len() + self.rows.len());
        for end in &self.ends {
            rows.extend_from_slice(&end.to_le_bytes());
        }
        rows.extend_from_slice(&self.rows);
        // Only if they come back as they are.
        let columns = columns_of(&self.rows, &self.ends).filter(|columns| {
            let again = rows_of(columns, self.ends.len());
            again.is_ok_and(|again| again == rows)
        });
        let mut raw = vec![if columns.is_some() { COLUMNS } else { ROWS }];
        raw.extend_from_slice(columns.as_ref().unwrap_or(&rows));
        self.rows.clear();
        self.ends.clear();
        let failed = |error| Error::internal(format!("compressing rows: {error}"));
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL).map_err(failed)?),
        };
        let stored = compressor.compress(&raw).map_err(failed)?;
        out.extend_from_slice(&stored);
        Ok(BlockPlace {
            offset,
            stored: small(stored.len(), "bytes in one row")?,
            raw: small(raw.len(), "bytes in one row")?,
            checksum: checksum(&stored),
        })
    }
}

/// Decompressors to be used again: making one takes longer than to uncompress a small block.
#[derive(Default)]
pub(super) struct Decompressors(Mutex<Vec<Decompressor<'static>>>);

/// Decompressors that are kept, some 100 KiB each.
const MOST_DECOMPRESSORS: usize = 16;

impl Decompressors {
    pub fn uncompress(&self, stored: &[u8], length: usize) -> io::Result<Vec<u8>> {
        let kept = self.0.lock().pop();
        let mut decompressor = match kept {
            Some(kept) => kept,
            None => Decompressor::new()?,
        };
        let raw = decompressor.decompress(stored, length)?;
        let mut kept = self.0.lock();
        if kept.len() < MOST_DECOMPRESSORS {
            kept.push(decompressor);
        }
        Ok(raw)
    }
}

/// Checks and uncompresses a block of `rows` rows.
///
/// # Errors
/// XX001 when it is not what was written.
pub(super) fn open(
    stored: &[u8],
    place: &BlockPlace,
    rows: usize,
    decompressors: &Decompressors,
) -> Result<Vec<u8>> {
    if checksum(stored) != place.checksum {
        return Err(damaged("wrong checksum"));
    }
    let raw = decompressors
        .uncompress(stored, place.raw as usize)
        .map_err(|error| damaged(&error.to_string()))?;
    if raw.len() != place.raw as usize {
        return Err(damaged("it is shorter than it was"));
    }
    let raw = match raw.split_first() {
        Some((&COLUMNS, columns)) => rows_of(columns, rows)?,
        Some((&ROWS, rows)) => rows.to_vec(),
        _ => return Err(damaged("it is kept in an unknown way")),
    };
    let ends = raw
        .get(..END * rows)
        .ok_or_else(|| damaged("it ends early"))?
        .as_chunks::<END>()
        .0;
    let mut ends = ends.iter().map(|end| u32::from_le_bytes(*end) as usize);
    let body = raw.len() - END * rows;
    if !ends.clone().is_sorted() || ends.next_back().unwrap_or(0) != body {
        return Err(damaged("rows that do not fill it"));
    }
    Ok(raw)
}

/// The row at a position of an opened block of `rows` rows, sharing the block's memory.
#[inline]
pub(super) fn row(block: &Bytes, rows: usize, at: usize) -> Option<Bytes> {
    let range = place(block, rows, at)?;
    Some(block.slice(range))
}

/// Where in an opened block of `rows` rows the one at a position lies.
#[inline]
pub(super) fn place(block: &[u8], rows: usize, at: usize) -> Option<Range<usize>> {
    if at >= rows {
        return None;
    }
    let end = |at: usize| {
        let bytes = block.get(END * at..)?.first_chunk::<END>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let start = match at.checked_sub(1) {
        Some(before) => end(before)?,
        None => 0,
    };
    let range = END * rows + start..END * rows + end(at)?;
    block.get(range.clone()).map(|_| range)
}
