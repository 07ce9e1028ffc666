//! The sidecar's head: what is where in the sidecar, with a checksum for everything. The README of this
//! folder shows the format byte by byte.
//!
//! A sidecar is never authoritative: it holds the rows and keys of one Parquet object (told by the
//! checksum of that object's footer) in a form that single rows are read from. One that is missing or
//! damaged is written anew.

use std::ops::Range;

use bytes::Bytes;

use super::codec::{Reader, checksum, other_version, small};
use super::keys::Shape;
use crate::error::{Error, Result};

const MAGIC: [u8; 4] = *b"OMDS";
/// The format that this build reads and writes. A sidecar of an older one is written anew.
pub const SIDE_VERSION: u16 = 2;

const WORDS: u8 = 1;
const FIXED: u8 = 2;
const VARIABLE: u8 = 3;

/// Bytes in front of everything whose number varies.
pub(super) const FIXED_HEAD: usize = 64;
/// A longer head is not believed in: a segment of 2³² rows has a shorter one.
const MAX_HEAD: u32 = 1 << 30;
/// Bytes of a block's entry, and of a key page's without its first key.
const BLOCK_BYTES: usize = 16;
const PAGE_BYTES: usize = 16;

/// Blocks on either side of where one is expected.
const NEAR: usize = 8;

/// Keys of one page: what is read at once when the keys are not in memory.
pub(super) const PAGE_KEYS: u32 = 4096;

/// A page of keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyPage {
    /// Where it ends in the bytes of all pages.
    pub end: u64,
    /// Bytes uncompressed.
    pub raw: u32,
    pub checksum: u32,
    /// Its first key.
    pub first: Bytes,
}

/// A block of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BlockPlace {
    /// Where it starts behind the first block.
    pub offset: u64,
    /// Bytes in the object.
    pub stored: u32,
    /// Bytes uncompressed.
    pub raw: u32,
    pub checksum: u32,
}

/// The table of contents.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub table: u64,
    pub segment: u64,
    pub rows: u32,
    /// Checksum of the Parquet object's footer.
    pub stamp: u32,
    pub shape: Shape,
    pub pages: Vec<KeyPage>,
    /// Number of the first row of each block.
    pub firsts: Vec<u32>,
    pub blocks: Vec<BlockPlace>,
    pub index_length: u32,
    pub index_checksum: u32,
    /// Length of the head itself.
    pub length: u32,
    /// Checksum of the head.
    pub checksum: u32,
}

/// Where the parts are. They follow the head in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parts {
    /// The pages of keys.
    pub keys: Range<u64>,
    pub index: Range<u64>,
    pub blocks: u64,
}

impl Head {
    pub fn parts(&self) -> Parts {
        let start = u64::from(self.length);
        let keys = self.pages.last().map_or(0, |page| page.end);
        let index_start = start.saturating_add(keys);
        let blocks = index_start.saturating_add(self.index_length.into());
        Parts {
            keys: start..index_start,
            index: index_start..blocks,
            blocks,
        }
    }

    /// Size of the whole sidecar.
    pub fn object_size(&self) -> u64 {
        let blocks = self
            .blocks
            .last()
            .map_or(0, |block| block.offset + u64::from(block.stored));
        self.parts().blocks.saturating_add(blocks)
    }

    /// The rows of a page.
    pub fn page_rows(&self, page: usize) -> Range<u32> {
        let first = (page as u32).saturating_mul(PAGE_KEYS).min(self.rows);
        first..first.saturating_add(PAGE_KEYS).min(self.rows)
    }

    /// The bytes of a page within those of all pages.
    pub fn page_place(&self, page: usize) -> Option<Range<u64>> {
        let start = match page.checked_sub(1) {
            Some(before) => self.pages.get(before)?.end,
            None => 0,
        };
        Some(start..self.pages.get(page)?.end)
    }

    /// Bytes of memory that all keys and their index take.
    pub fn keys_size(&self) -> u64 {
        let keys: u64 = self.pages.iter().map(|page| u64::from(page.raw)).sum();
        keys.saturating_add(self.index_length.into())
    }

    /// The page in which a key stands, if it is anywhere.
    pub fn page_of(&self, key: &[u8]) -> usize {
        self.pages
            .partition_point(|page| *page.first <= *key)
            .saturating_sub(1)
    }

    /// The block that holds a row.
    #[inline]
    pub fn block_of(&self, row: u32) -> usize {
        // Most blocks have about as many rows as the others: it stands near its share of them. The last
        // one has what is left over.
        let last = self.firsts.len().saturating_sub(1);
        let rows = self.firsts.last().copied().unwrap_or(0).max(1);
        let share = f64::from(row) * last as f64 / f64::from(rows);
        let share = (share as usize).min(last);
        let starts_below = |at: usize| self.firsts.get(at).is_some_and(|&first| first <= row);
        // A branch that is foreseen, not a computation: what is read of the block then need not wait for
        // the numbers that are compared here.
        if starts_below(share) && !starts_below(share + 1) {
            return share;
        }
        let low = share.saturating_sub(NEAR);
        let high = (share + NEAR).min(self.firsts.len());
        let (low, firsts) = match self.firsts.get(low..high) {
            Some(near) if starts_below(low) && !starts_below(high) => (low, near),
            _ => (0, self.firsts.as_slice()),
        };
        (low + firsts.partition_point(|&first| first <= row)).saturating_sub(1)
    }

    /// The rows of a block.
    #[inline]
    pub fn block_rows(&self, block: usize) -> Range<u32> {
        let first = self.firsts.get(block).copied().unwrap_or(self.rows);
        first..self.firsts.get(block + 1).copied().unwrap_or(self.rows)
    }

    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        let keys: usize = self.pages.iter().map(|page| page.first.len()).sum();
        (size_of::<Head>()
            + keys
            + self.pages.len() * size_of::<KeyPage>()
            + self.blocks.len() * (size_of::<BlockPlace>() + size_of::<u32>())) as u64
    }

    /// The head as bytes; sets its length and checksum.
    ///
    /// # Errors
    /// 54000 when something has more parts than the format counts.
    pub fn encode(&mut self) -> Result<Vec<u8>> {
        let (kind, width, prefix) = match &self.shape {
            Shape::Words { prefix, suffix } => (WORDS, *suffix, prefix.clone()),
            Shape::Fixed(width) => (FIXED, *width, Bytes::new()),
            Shape::Variable => (VARIABLE, 0, Bytes::new()),
        };
        let fences: usize = self.pages.iter().map(|page| page.first.len()).sum();
        let length = FIXED_HEAD
            + prefix.len()
            + self.pages.len() * PAGE_BYTES
            + fences
            + self.blocks.len() * BLOCK_BYTES
            + 4;
        self.length = small(length, "blocks")?;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&SIDE_VERSION.to_le_bytes());
        out.push(kind);
        out.push(0);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.stamp.to_le_bytes());
        out.extend_from_slice(&self.table.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&small(width, "key bytes")?.to_le_bytes());
        out.extend_from_slice(&small(prefix.len(), "key bytes")?.to_le_bytes());
        out.extend_from_slice(&small(self.pages.len(), "keys")?.to_le_bytes());
        out.extend_from_slice(&small(self.blocks.len(), "blocks")?.to_le_bytes());
        out.extend_from_slice(&self.index_length.to_le_bytes());
        out.extend_from_slice(&self.index_checksum.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&prefix);
        for page in &self.pages {
            let end =
                u32::try_from(page.end).map_err(|_| super::codec::too_much("bytes of keys"))?;
            out.extend_from_slice(&end.to_le_bytes());
            out.extend_from_slice(&page.raw.to_le_bytes());
            out.extend_from_slice(&page.checksum.to_le_bytes());
            super::codec::put_bytes(&mut out, &page.first)?;
        }
        for (first, block) in self.firsts.iter().zip(&self.blocks) {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&block.stored.to_le_bytes());
            out.extend_from_slice(&block.raw.to_le_bytes());
            out.extend_from_slice(&block.checksum.to_le_bytes());
        }
        self.checksum = checksum(&out);
        out.extend_from_slice(&self.checksum.to_le_bytes());
        Ok(out)
    }

    /// The length of the head that starts with these bytes ([`FIXED_HEAD`] of them).
    pub fn length(start: &[u8]) -> Result<u32> {
        let mut reader = Reader::new(start, "sidecar");
        if reader.take()? != MAGIC {
            return Err(reader.damaged("it is none"));
        }
        reader.u32()?;
        match reader.u32()? {
            length if (FIXED_HEAD as u32 + 4..=MAX_HEAD).contains(&length) => Ok(length),
            _ => Err(reader.damaged("a head of an impossible length")),
        }
    }

    /// Reads a head.
    ///
    /// # Errors
    /// XX001 when it is damaged, 0A000 when another version wrote it.
    pub fn decode(bytes: &Bytes) -> Result<Head> {
        let damaged = |how: &str| Error::corrupted(format!("sidecar: {how}"));
        let (body, sum) = bytes
            .split_last_chunk()
            .ok_or_else(|| damaged("it ends early"))?;
        let sum = u32::from_le_bytes(*sum);
        if checksum(body) != sum {
            return Err(damaged("its head is damaged"));
        }
        let mut reader = Reader::new(body, "sidecar");
        reader.u32()?;
        match reader.u16()? {
            SIDE_VERSION => {}
            older if older < SIDE_VERSION => return Err(damaged("it is of an older version")),
            other => return Err(other_version("sidecar", other, SIDE_VERSION)),
        }
        let kind = reader.u8()?;
        reader.u8()?;
        let length = reader.u32()?;
        if length as usize != bytes.len() {
            return Err(damaged("a head of another length"));
        }
        let stamp = reader.u32()?;
        let (table, segment) = (reader.u64()?, reader.u64()?);
        let rows = reader.u32()?;
        let width = reader.u32()? as usize;
        let prefix = reader.u32()? as usize;
        let (pages, blocks) = (reader.u32()? as usize, reader.u32()? as usize);
        let (index_length, index_checksum) = (reader.u32()?, reader.u32()?);
        reader.u32()?;
        let prefix = Bytes::copy_from_slice(reader.slice(prefix)?);
        let shape = match kind {
            WORDS if (1..=8).contains(&width) => Shape::Words {
                prefix,
                suffix: width,
            },
            FIXED if width > 0 => Shape::Fixed(width),
            VARIABLE => Shape::Variable,
            _ => return Err(damaged("keys of an unknown shape")),
        };
        if pages != rows.div_ceil(PAGE_KEYS) as usize || pages > body.len() / PAGE_BYTES {
            return Err(damaged("another number of key pages"));
        }
        let pages = (0..pages)
            .map(|_| {
                Ok(KeyPage {
                    end: reader.u32()?.into(),
                    raw: reader.u32()?,
                    checksum: reader.u32()?,
                    first: Bytes::copy_from_slice(reader.bytes()?),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        if blocks > body.len() / BLOCK_BYTES {
            return Err(damaged("fewer blocks than announced"));
        }
        let mut head = Head {
            table,
            segment,
            rows,
            stamp,
            shape,
            pages,
            firsts: Vec::with_capacity(blocks),
            blocks: Vec::with_capacity(blocks),
            index_length,
            index_checksum,
            length,
            checksum: sum,
        };
        let mut offset = 0_u64;
        for _ in 0..blocks {
            head.firsts.push(reader.u32()?);
            let block = BlockPlace {
                offset,
                stored: reader.u32()?,
                raw: reader.u32()?,
                checksum: reader.u32()?,
            };
            offset += u64::from(block.stored);
            head.blocks.push(block);
        }
        reader.end()?;
        head.check()?;
        Ok(head)
    }

    /// That pages and blocks are in order.
    fn check(&self) -> Result<()> {
        let rows_in_order = self.firsts.first().is_none_or(|&first| first == 0)
            && self.firsts.is_sorted_by(|before, after| before < after)
            && self.firsts.last().is_none_or(|&last| last < self.rows)
            && self.firsts.is_empty() == (self.rows == 0);
        let keys_in_order = self.pages.is_sorted_by_key(|page| page.end);
        if rows_in_order && keys_in_order {
            Ok(())
        } else {
            Err(Error::corrupted("sidecar: blocks out of order"))
        }
    }
}
