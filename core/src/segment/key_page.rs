//! A page of keys as it is stored: compressed, words and keys of one width as byte planes, keys of any
//! length behind their lengths.

use zstd::bulk::Compressor;

use super::block::Decompressors;
use super::codec::{checksum, small};
use super::keys::{KeyColumnBytes, Shape};
use super::planes;
use super::side::KeyPage;
use crate::error::{Error, Result};

/// Level of zstd.
const LEVEL: i32 = 1;
/// Bytes of an offset, and of a length.
const OFFSET: usize = 4;

fn damaged() -> Error {
    Error::corrupted("sidecar: a page of keys that is not what was written")
}

/// Writes pages.
pub(super) struct KeyPages {
    compressor: Compressor<'static>,
    pub stored: Vec<u8>,
}

impl KeyPages {
    pub fn new() -> Result<Self> {
        let compressor = Compressor::new(LEVEL);
        Ok(KeyPages {
            compressor: compressor
                .map_err(|error| Error::internal(format!("compressing keys: {error}")))?,
            stored: Vec::new(),
        })
    }

    /// Adds the keys `first..last` of a column as a page.
    pub fn push(&mut self, column: &KeyColumnBytes, first: usize, last: usize) -> Result<KeyPage> {
        let mut raw = Vec::new();
        match column.shape.stride() {
            Some(stride) => {
                let keys = column.bytes.get(first * stride..last * stride);
                planes::split(keys.unwrap_or_default(), stride, &mut raw);
            }
            None => {
                let offsets = column.offsets.as_chunks::<OFFSET>().0;
                let offsets = offsets.get(first..=last).unwrap_or_default();
                let at = |offset: &[u8; OFFSET]| u32::from_le_bytes(*offset);
                let lengths: Vec<u8> = offsets
                    .windows(2)
                    .filter_map(|pair| match pair {
                        [start, end] => Some(at(end).wrapping_sub(at(start))),
                        _ => None,
                    })
                    .flat_map(u32::to_le_bytes)
                    .collect();
                planes::split(&lengths, OFFSET, &mut raw);
                let ends = (offsets.first().map(at), offsets.last().map(at));
                if let (Some(start), Some(end)) = ends {
                    let keys = column.bytes.get(start as usize..end as usize);
                    raw.extend_from_slice(keys.unwrap_or_default());
                }
            }
        }
        let stored = self
            .compressor
            .compress(&raw)
            .map_err(|error| Error::internal(format!("compressing keys: {error}")))?;
        self.stored.extend_from_slice(&stored);
        Ok(KeyPage {
            end: self.stored.len() as u64,
            raw: small(raw.len(), "bytes of keys")?,
            checksum: checksum(&stored),
            first: column.key(first),
        })
    }
}

/// Keys that were stored in pages.
#[derive(Default)]
pub(super) struct Unpacked {
    /// For keys of any length.
    offsets: Vec<u8>,
    bytes: Vec<u8>,
}

impl Unpacked {
    pub fn with_capacity(bytes: usize) -> Self {
        Unpacked {
            offsets: Vec::new(),
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Adds the keys of a page of `count`.
    ///
    /// # Errors
    /// XX001 when it is not what was written.
    pub fn add(
        &mut self,
        shape: &Shape,
        count: usize,
        page: &KeyPage,
        stored: &[u8],
        decompressors: &Decompressors,
    ) -> Result<()> {
        if checksum(stored) != page.checksum {
            return Err(damaged());
        }
        let raw = decompressors.uncompress(stored, page.raw as usize);
        let raw = raw.map_err(|_| damaged())?;
        if let Some(stride) = shape.stride() {
            if count.checked_mul(stride) != Some(raw.len()) {
                return Err(damaged());
            }
            planes::join(&raw, stride, &mut self.bytes);
            return Ok(());
        }
        let (lengths, keys) = raw.split_at_checked(count * OFFSET).ok_or_else(damaged)?;
        let mut joined = Vec::new();
        planes::join(lengths, OFFSET, &mut joined);
        let mut end = small(self.bytes.len(), "bytes of keys")?;
        if self.offsets.is_empty() {
            self.offsets.extend_from_slice(&end.to_le_bytes());
        }
        for length in joined.as_chunks::<OFFSET>().0 {
            let length = u32::from_le_bytes(*length);
            end = end.checked_add(length).ok_or_else(damaged)?;
            self.offsets.extend_from_slice(&end.to_le_bytes());
        }
        self.bytes.extend_from_slice(keys);
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// XX001 when they are not `count` keys of this shape.
    pub fn column(mut self, shape: &Shape, count: usize) -> Result<KeyColumnBytes> {
        if shape.stride().is_none() && self.offsets.is_empty() {
            self.offsets.extend_from_slice(&[0; OFFSET]);
        }
        KeyColumnBytes {
            shape: shape.clone(),
            count,
            offsets: self.offsets.into(),
            bytes: self.bytes.into(),
        }
        .check()
    }

    /// The offsets, then the keys.
    pub fn joined(mut self) -> Vec<u8> {
        self.offsets.extend_from_slice(&self.bytes);
        self.offsets
    }
}
