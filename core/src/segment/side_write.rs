//! Writes a sidecar.

use bytes::Bytes;
use object_store::PutPayload;

use super::block::BlockBuilder;
use super::codec::{checksum, small};
use super::key_page::KeyPages;
use super::keys::{KeyColumnBytes, Shape, word};
use super::side::{BlockPlace, Head, PAGE_KEYS};
use crate::env::Clock;
use crate::error::Result;

/// Collects keys and rows. Blocks of rows are compressed as they fill; keys stay as they are.
#[derive(Default)]
pub(super) struct SideWriter {
    keys: Vec<u8>,
    /// Where each key ends.
    ends: Vec<u32>,
    /// The width of the keys, while it is one.
    width: Option<usize>,
    block: BlockBuilder,
    firsts: Vec<u32>,
    places: Vec<BlockPlace>,
    blocks: Vec<u8>,
}

/// A finished sidecar, but for the Parquet object that it belongs to.
pub(super) struct Sidecar {
    head: Head,
    /// What follows the head.
    rest: [Bytes; 3],
}

impl Sidecar {
    /// The sidecar of the Parquet object whose footer has the checksum `stamp`: its size and its bytes.
    ///
    /// # Errors
    /// 54000 when something has more parts than the format counts.
    pub fn of(mut self, stamp: u32) -> Result<(u64, PutPayload)> {
        self.head.stamp = stamp;
        let encoded = Bytes::from(self.head.encode()?);
        let size = self.head.object_size();
        let pieces = std::iter::once(encoded).chain(self.rest);
        Ok((size, pieces.collect()))
    }
}

impl SideWriter {
    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.keys.len() + 4 * self.ends.len() + self.blocks.len()
    }

    fn key(&self, at: usize) -> &[u8] {
        let end = self.ends.get(at).map_or(0, |&end| end as usize);
        let start = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |&start| start as usize);
        self.keys.get(start..end).unwrap_or_default()
    }

    /// The last key.
    pub fn last_key(&self) -> &[u8] {
        self.key(self.ends.len().saturating_sub(1))
    }

    pub fn first_key(&self) -> &[u8] {
        self.key(0)
    }

    /// Whether a key starts with `prefix`.
    pub fn has_prefix(&self, prefix: &[u8]) -> bool {
        // Keys mostly ascend.
        if self.last_key() < prefix {
            return false;
        }
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle) < prefix {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low < self.ends.len() && self.key(low).starts_with(prefix)
    }

    /// # Errors
    /// 54000 when the keys have more than 4 GiB.
    pub fn push(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let end = small(self.keys.len() + key.len(), "bytes of keys")?;
        if self.block.is_full_for(row.len()) {
            self.end_block()?;
        }
        if self.block.is_empty() {
            self.firsts.push(small(self.ends.len(), "rows")?);
        }
        self.block.push(row)?;
        self.width = if self.ends.is_empty() {
            Some(key.len())
        } else {
            self.width.filter(|&width| width == key.len())
        };
        self.keys.extend_from_slice(key);
        self.ends.push(end);
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let offset = self.blocks.len() as u64;
        let place = self.block.finish(offset, &mut self.blocks)?;
        self.places.push(place);
        Ok(())
    }

    /// The key column in its final shape.
    fn column(&mut self) -> KeyColumnBytes {
        let shape = Shape::of(self.width, self.first_key(), self.last_key());
        let count = self.ends.len();
        let (offsets, bytes) = match &shape {
            Shape::Words { suffix, .. } => {
                let width = self.width.unwrap_or(1).max(1);
                let words = self.keys.chunks_exact(width).flat_map(|key| {
                    let suffix = key.get(width - suffix..).unwrap_or_default();
                    word(suffix).to_le_bytes()
                });
                (Vec::new(), words.collect())
            }
            Shape::Fixed(_) => (Vec::new(), std::mem::take(&mut self.keys)),
            Shape::Variable => {
                let starts = [0_u32].into_iter().chain(self.ends.iter().copied());
                let offsets = starts.flat_map(u32::to_le_bytes).collect();
                (offsets, std::mem::take(&mut self.keys))
            }
        };
        self.keys = Vec::new();
        KeyColumnBytes {
            shape,
            count,
            offsets: offsets.into(),
            bytes: bytes.into(),
        }
    }

    /// # Errors
    /// 54000 when something has more parts than the format counts.
    pub fn finish(
        mut self,
        table: u64,
        segment: u64,
        clock: Option<&dyn Clock>,
    ) -> Result<Sidecar> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let rows = small(self.ends.len(), "rows")?;
        let column = self.column();
        let index = column.index(clock)?.encode();
        let mut head = Head {
            table,
            segment,
            rows,
            stamp: 0,
            pages: Vec::new(),
            firsts: self.firsts,
            blocks: self.places,
            index_length: small(index.len(), "keys")?,
            index_checksum: checksum(&index),
            shape: column.shape.clone(),
            length: 0,
            checksum: 0,
        };
        let mut pages = KeyPages::new()?;
        for first in (0..column.count).step_by(PAGE_KEYS as usize) {
            let last = column.count.min(first + PAGE_KEYS as usize);
            head.pages.push(pages.push(&column, first, last)?);
        }
        Ok(Sidecar {
            head,
            rest: [pages.stored.into(), index.into(), self.blocks.into()],
        })
    }
}
