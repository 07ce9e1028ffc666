//! Columns of byte-string keys: text, uuid, numeric and composite keys in the order-preserving
//! encoding of [`crate::types::key`].
//!
//! Heads find the neighbourhood; whole keys are compared in it. So keys that share a head cost a
//! few more comparisons and never a wrong answer.

use super::column::KeyColumn;
use super::head::HeadLayout;

/// Where each key ends.
#[derive(Clone, Copy, Debug)]
enum Ends<'a> {
    /// Every key has this many bytes, at least 1.
    Fixed(usize),
    /// `count + 1` little-endian offsets into the bytes.
    Offsets(&'a [[u8; 4]]),
}

/// Sorted byte strings, one after another.
#[derive(Clone, Copy, Debug)]
pub struct ByteKeys<'a> {
    ends: Ends<'a>,
    bytes: &'a [u8],
    count: usize,
    layout: HeadLayout,
}

/// A byte string to look for, or what comes right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesProbe<'p> {
    bytes: &'p [u8],
    after: bool,
}

impl<'p> From<&'p [u8]> for BytesProbe<'p> {
    fn from(bytes: &'p [u8]) -> Self {
        BytesProbe {
            bytes,
            after: false,
        }
    }
}

impl<'a> ByteKeys<'a> {
    /// Keys of `width` bytes each; bytes that do not fill a key are left out. Reads every key once to
    /// find the layout of heads, unless `layout` is given ([`super::Index::layout`]).
    pub fn fixed(width: usize, bytes: &'a [u8], layout: Option<HeadLayout>) -> Self {
        let width = width.max(1);
        ByteKeys::with(Ends::Fixed(width), bytes, bytes.len() / width, layout)
    }

    /// Key `i` is `bytes[offsets[i]..offsets[i + 1]]`; `offsets` are little-endian `u32`s, one more
    /// than there are keys. An offset outside of the bytes makes an empty key, so whoever lends
    /// bytes from outside checks them first. `layout` as in [`ByteKeys::fixed`].
    pub fn variable(offsets: &'a [u8], bytes: &'a [u8], layout: Option<HeadLayout>) -> Self {
        let offsets = offsets.as_chunks().0;
        let count = offsets.len().saturating_sub(1);
        ByteKeys::with(Ends::Offsets(offsets), bytes, count, layout)
    }

    fn with(ends: Ends<'a>, bytes: &'a [u8], count: usize, layout: Option<HeadLayout>) -> Self {
        let mut keys = ByteKeys {
            ends,
            bytes,
            count,
            layout: HeadLayout::default(),
        };
        keys.layout = layout.unwrap_or_else(|| HeadLayout::of(count, |at| keys.get(at)));
        keys
    }

    /// The key at a position; empty past the end.
    #[inline]
    pub fn get(&self, at: usize) -> &'a [u8] {
        let range =
            match self.ends {
                Ends::Fixed(width) => at
                    .checked_mul(width)
                    .map(|start| start..start.saturating_add(width)),
                Ends::Offsets(offsets) => offsets
                    .get(at..)
                    .and_then(|rest| rest.first_chunk())
                    .map(|[start, end]| {
                        u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize
                    }),
            };
        range
            .and_then(|range| self.bytes.get(range))
            .unwrap_or_default()
    }
}

impl KeyColumn for ByteKeys<'_> {
    type Probe<'p> = BytesProbe<'p>;

    const EXACT: bool = false;
    const LANES: usize = 2;

    #[inline]
    fn len(&self) -> usize {
        self.count
    }

    #[inline]
    fn head(&self, at: usize) -> u64 {
        if at < self.count {
            self.layout.head(self.get(at))
        } else {
            u64::MAX
        }
    }

    #[inline]
    fn probe_head(&self, probe: BytesProbe<'_>) -> u64 {
        self.layout.probe_head(probe.bytes, self.get(0))
    }

    #[inline]
    fn below(&self, at: usize, probe: BytesProbe<'_>) -> bool {
        if at >= self.count {
            return false;
        }
        let key = self.get(at);
        if probe.after {
            key <= probe.bytes
        } else {
            key < probe.bytes
        }
    }

    #[inline]
    fn holds(&self, at: usize, probe: BytesProbe<'_>) -> bool {
        if at >= self.count {
            return false;
        }
        let key = self.get(at);
        if probe.after {
            key.split_last() == Some((&0, probe.bytes))
        } else {
            key == probe.bytes
        }
    }

    #[inline]
    fn rank(&self, at: usize, probe: BytesProbe<'_>) -> usize {
        usize::from(self.below(at, probe)) + usize::from(self.below(at + 1, probe))
    }

    /// Nothing lies between a byte string and the same with a zero byte behind it.
    #[inline]
    fn after<'p>(probe: Self::Probe<'p>) -> Option<Self::Probe<'p>> {
        Some(BytesProbe {
            bytes: probe.bytes,
            after: true,
        })
    }

    #[inline]
    fn key(&self, at: usize) -> Option<BytesProbe<'_>> {
        (at < self.count).then(|| self.get(at).into())
    }

    fn layout(&self) -> HeadLayout {
        self.layout
    }
}
