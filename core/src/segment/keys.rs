//! The keys of a segment, or of a page of it, in memory, and where a key stands among them.
//!
//! Keys of one width that differ in nothing but their last eight bytes (integers, dates, timestamps,
//! hidden row numbers; composite keys whose first column hardly varies) are kept as words: the shared
//! start once, the rest as little-endian `u64`s. Other keys are kept as they are.

use std::cmp::Ordering;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::index::{ABSENT, ByteKeys, BytesProbe, HeadLayout, Index, KeyColumn, Words};

/// Bytes of a word.
const WORD: usize = 8;

/// How keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `prefix`, then the last `suffix` bytes of a word, the most significant first.
    Words { prefix: Bytes, suffix: usize },
    /// Keys of this many bytes.
    Fixed(usize),
    /// Keys of any length.
    Variable,
}

impl Shape {
    /// The shape for keys of one `width` (`None`: of several), given the outermost two of them.
    pub fn of(width: Option<usize>, first: &[u8], last: &[u8]) -> Shape {
        match width {
            None | Some(0) => Shape::Variable,
            Some(width) => {
                let prefix = width.saturating_sub(WORD);
                // What the outermost two keys share, all keys between them share.
                match (first.get(..prefix), last.get(..prefix)) {
                    (Some(start), Some(end)) if start == end => Shape::Words {
                        prefix: Bytes::copy_from_slice(start),
                        suffix: width - prefix,
                    },
                    _ => Shape::Fixed(width),
                }
            }
        }
    }

    /// Bytes that a key takes in the column; `None` when that varies.
    pub fn stride(&self) -> Option<usize> {
        match self {
            Shape::Words { .. } => Some(WORD),
            Shape::Fixed(width) => Some(*width),
            Shape::Variable => None,
        }
    }
}

/// The last bytes of a key as a word.
pub(super) fn word(suffix: &[u8]) -> u64 {
    if let Ok(bytes) = suffix.try_into() {
        return u64::from_be_bytes(bytes);
    }
    suffix
        .iter()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// A column of keys without an index: a page of a sidecar, or all of it.
#[derive(Clone, Debug)]
pub(super) struct KeyColumnBytes {
    pub shape: Shape,
    pub count: usize,
    /// `count + 1` little-endian offsets into `bytes`, for keys of any length; else empty.
    pub offsets: Bytes,
    pub bytes: Bytes,
}

/// A probe among words: below or above all of them, or between two.
enum Place {
    Below,
    Above,
    /// Keys below this word are below the probe. If the probe is a key, it is this one (`whole`).
    Word(u64, bool),
    /// Keys up to this word are below the probe.
    Behind(u64),
}

fn place(probe: &[u8], prefix: &[u8], suffix: usize) -> Place {
    let Some((own, rest)) = probe.split_at_checked(prefix.len()) else {
        // Shorter than what all keys start with: below them if it is their start.
        return match probe.cmp(prefix) {
            Ordering::Greater => Place::Above,
            _ => Place::Below,
        };
    };
    match own.cmp(prefix) {
        Ordering::Less => return Place::Below,
        Ordering::Greater => return Place::Above,
        Ordering::Equal => {}
    }
    match rest.split_at_checked(suffix) {
        Some((start, [])) => Place::Word(word(start), true),
        Some((start, _)) => Place::Behind(word(start)),
        None => {
            // The smallest key that starts with it has zeros behind it.
            let missing = suffix.saturating_sub(rest.len()) as u32;
            let padded = word(rest).checked_shl(8 * missing).unwrap_or(0);
            Place::Word(padded, false)
        }
    }
}

impl KeyColumnBytes {
    /// # Errors
    /// XX001 when the parts do not hold `count` keys.
    pub fn check(self) -> Result<Self> {
        let sound = match self.shape.stride() {
            Some(stride) => {
                self.offsets.is_empty() && self.count.checked_mul(stride) == Some(self.bytes.len())
            }
            None => {
                let (offsets, rest) = self.offsets.as_chunks::<4>();
                let mut ends = offsets.iter().map(|end| u32::from_le_bytes(*end));
                rest.is_empty()
                    && offsets.len() == self.count + 1
                    && ends.clone().is_sorted()
                    && ends.clone().next() == Some(0)
                    && ends.next_back().map(|end| end as usize) == Some(self.bytes.len())
            }
        };
        if sound {
            Ok(self)
        } else {
            Err(Error::corrupted("segment: a key column of another size"))
        }
    }

    fn words(&self) -> Words<'_, [u8; 8]> {
        Words::from_le_bytes(&self.bytes)
    }

    fn byte_keys(&self, layout: HeadLayout) -> ByteKeys<'_> {
        match self.shape {
            Shape::Fixed(width) => ByteKeys::fixed(width, &self.bytes, Some(layout)),
            _ => ByteKeys::variable(&self.offsets, &self.bytes, Some(layout)),
        }
    }

    /// Builds an index over the column.
    pub fn index(&self, clock: Option<&dyn crate::env::Clock>) -> Result<Index> {
        match self.shape {
            Shape::Words { .. } => Index::build(&self.words(), clock),
            Shape::Fixed(width) => Index::build(&ByteKeys::fixed(width, &self.bytes, None), clock),
            Shape::Variable => {
                Index::build(&ByteKeys::variable(&self.offsets, &self.bytes, None), clock)
            }
        }
    }

    /// Whether an index is about this column.
    pub fn fits(&self, index: &Index) -> bool {
        match self.shape {
            Shape::Words { .. } => index.fits(&self.words()).is_ok(),
            _ => index.fits(&self.byte_keys(index.layout())).is_ok(),
        }
    }

    /// How many keys sort below a probe, and whether the next one is the probe.
    pub fn rank(&self, index: Option<&Index>, probe: &[u8]) -> (usize, bool) {
        match &self.shape {
            Shape::Words { prefix, suffix } => {
                let words = self.words();
                match place(probe, prefix, *suffix) {
                    Place::Below => (0, false),
                    Place::Above => (self.count, false),
                    Place::Word(word, whole) => {
                        let at = lower_bound(index, &words, word);
                        (at, whole && words.holds(at, word))
                    }
                    Place::Behind(word) => match word.checked_add(1) {
                        Some(next) => (lower_bound(index, &words, next), false),
                        None => (self.count, false),
                    },
                }
            }
            _ => {
                let layout = index.map(Index::layout).unwrap_or_default();
                let keys = self.byte_keys(layout);
                let probe = BytesProbe::from(probe);
                let at = lower_bound(index, &keys, probe);
                (at, keys.holds(at, probe))
            }
        }
    }

    /// Appends the key at a position.
    fn append(&self, at: usize, out: &mut BytesMut) {
        match &self.shape {
            Shape::Words { prefix, suffix } => {
                out.extend_from_slice(prefix);
                let word = self.words().head(at).to_be_bytes();
                out.extend_from_slice(word.get(WORD - suffix..).unwrap_or_default());
            }
            _ => out.extend_from_slice(self.byte_keys(HeadLayout::default()).get(at)),
        }
    }

    /// The key at a position, in bytes of its own; empty past the end.
    pub fn key(&self, at: usize) -> Bytes {
        let mut out = BytesMut::new();
        self.append(at, &mut out);
        out.freeze()
    }

    /// The keys at some positions, one after another, and the end of each.
    pub fn copy(&self, range: std::ops::Range<usize>, run: &mut KeyRun) {
        run.ends.reserve(range.len());
        for at in range {
            self.append(at, &mut run.bytes);
            run.ends.push(run.bytes.len());
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        (self.offsets.len() + self.bytes.len()) as u64
    }
}

/// Some keys, one after another.
#[derive(Debug, Default)]
pub(super) struct KeyRun {
    pub bytes: BytesMut,
    pub ends: Vec<usize>,
}

impl KeyRun {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The key at a position of the run.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(between(&self.ends, at)?)
    }
}

/// Where a key lies among keys that follow one another and end there.
#[inline]
pub(super) fn between(ends: &[usize], at: usize) -> Option<std::ops::Range<usize>> {
    let start = match at.checked_sub(1) {
        Some(before) => *ends.get(before)?,
        None => 0,
    };
    Some(start..*ends.get(at)?)
}

/// By the index, or else by halving.
fn lower_bound<C: KeyColumn>(index: Option<&Index>, column: &C, probe: C::Probe<'_>) -> usize {
    if let Some(index) = index {
        return index.lower_bound(column, probe);
    }
    let (mut low, mut high) = (0, column.len());
    while low < high {
        let middle = low.midpoint(high);
        if column.below(middle, probe) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// All keys of a segment with their index.
#[derive(Debug)]
pub(super) struct Keys {
    pub column: KeyColumnBytes,
    pub index: Index,
}

impl Keys {
    /// The position of a key. `near` is told about where it will be, before the keys are read: what it
    /// begins to fetch then arrives together with them.
    #[inline]
    pub fn locate(&self, key: &[u8], near: impl FnOnce(u32)) -> Option<u32> {
        match &self.column.shape {
            Shape::Words { prefix, suffix } => match place(key, prefix, *suffix) {
                Place::Word(word, true) => self.find(&self.column.words(), word, near),
                _ => None,
            },
            _ => {
                let column = self.column.byte_keys(self.index.layout());
                self.find(&column, BytesProbe::from(key), near)
            }
        }
    }

    #[inline]
    fn find<C: KeyColumn>(
        &self,
        column: &C,
        probe: C::Probe<'_>,
        near: impl FnOnce(u32),
    ) -> Option<u32> {
        let window = self.index.window(column, probe);
        near(window.middle());
        let at = self.index.lower_bound_in(column, window, probe);
        column.holds(at, probe).then_some(at as u32)
    }

    /// The positions of many keys; `out` is extended.
    pub fn locate_batch(&self, keys: &[&[u8]], out: &mut Vec<Option<u32>>) {
        let mut answers = Vec::new();
        match &self.column.shape {
            Shape::Words { prefix, suffix } => {
                let places = keys.iter().map(|key| place(key, prefix, *suffix));
                let probes: Vec<Option<u64>> = places
                    .map(|place| match place {
                        Place::Word(word, true) => Some(word),
                        _ => None,
                    })
                    .collect();
                let words: Vec<u64> = probes.iter().map(|word| word.unwrap_or(0)).collect();
                self.index
                    .get_batch(&self.column.words(), &words, &mut answers);
                let found = answers
                    .iter()
                    .zip(&probes)
                    .map(|(&at, probe)| probe.and((at != ABSENT).then_some(at)));
                out.extend(found);
            }
            _ => {
                let column = self.column.byte_keys(self.index.layout());
                let probes: Vec<BytesProbe<'_>> =
                    keys.iter().map(|key| BytesProbe::from(*key)).collect();
                self.index.get_batch(&column, &probes, &mut answers);
                out.extend(answers.iter().map(|&at| (at != ABSENT).then_some(at)));
            }
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        self.column.size() + self.index.size() as u64
    }
}
