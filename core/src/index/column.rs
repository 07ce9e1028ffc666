//! What the index searches: a sorted column of keys that somebody else owns.
//!
//! A column lends its bytes, be they in memory, in a cache or mapped from a file; the index holds
//! nothing but a model of where each key stands. Every key has a *head*, an order-preserving `u64`
//! that the model is trained on. For integers, dates, timestamps and floats the head is the key
//! itself; for byte strings see [`super::bytes`].

use super::head::HeadLayout;

/// Sorted keys, ascending, with duplicates allowed. Positions count from 0.
///
/// An implementation must keep two promises, or answers are wrong: the keys are sorted, and they do
/// not change. Nothing here may panic, whatever the position.
pub trait KeyColumn {
    /// A key to look for.
    type Probe<'p>: Copy;

    /// Whether two keys with the same head are the same key.
    const EXACT: bool;

    /// How many keys [`KeyColumn::rank`] compares at once; at least 2.
    const LANES: usize;

    /// Number of keys.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The head of the key at a position: `key(a) <= key(b)` implies `head(a) <= head(b)`.
    /// `u64::MAX` past the end.
    fn head(&self, at: usize) -> u64;

    /// The head of a probe, in the same order as the heads of the keys.
    fn probe_head(&self, probe: Self::Probe<'_>) -> u64;

    /// Whether the key at a position sorts before the probe. `false` past the end.
    fn below(&self, at: usize, probe: Self::Probe<'_>) -> bool;

    /// Whether the key at a position is the probe. `false` past the end.
    fn holds(&self, at: usize, probe: Self::Probe<'_>) -> bool;

    /// How many of the [`KeyColumn::LANES`] keys from `at` sort before the probe.
    fn rank(&self, at: usize, probe: Self::Probe<'_>) -> usize;

    /// Reads what [`KeyColumn::rank`] at a position would wait for, and nothing else: a batch calls it
    /// for all its look-ups first. What it returns says nothing.
    fn touch(&self, at: usize) -> u64 {
        let _ = at;
        0
    }

    /// The smallest probe above a key ([`KeyColumn::key`] or what a caller made from its own key);
    /// `None` when there is none.
    fn after<'p>(probe: Self::Probe<'p>) -> Option<Self::Probe<'p>>;

    /// The key at a position as a probe; `None` past the end.
    fn key(&self, at: usize) -> Option<Self::Probe<'_>>;

    /// Where heads are taken from.
    fn layout(&self) -> HeadLayout {
        HeadLayout::default()
    }
}

/// A `u64` as it lies in memory: native, or little-endian bytes of any alignment.
pub trait Word: Copy {
    fn value(self) -> u64;
}

impl Word for u64 {
    fn value(self) -> u64 {
        self
    }
}

impl Word for [u8; 8] {
    fn value(self) -> u64 {
        u64::from_le_bytes(self)
    }
}

/// Keys of 64 bits: integers, dates, timestamps and floats in their order-preserving form
/// ([`from_i64`], [`from_f64`]).
#[derive(Clone, Copy, Debug)]
pub struct Words<'a, W = u64> {
    keys: &'a [W],
}

impl<'a, W: Word> Words<'a, W> {
    /// `keys` must be sorted.
    pub fn new(keys: &'a [W]) -> Self {
        Words { keys }
    }
}

impl<'a> Words<'a, [u8; 8]> {
    /// Sorted little-endian words as a file holds them. Bytes that do not fill a word are left out.
    pub fn from_le_bytes(bytes: &'a [u8]) -> Self {
        Words {
            keys: bytes.as_chunks().0,
        }
    }
}

/// Keys compared at once in a column of words: two cache lines.
pub(super) const WORD_LANES: usize = 16;

impl<W: Word> KeyColumn for Words<'_, W> {
    type Probe<'p> = u64;

    const EXACT: bool = true;
    const LANES: usize = WORD_LANES;

    #[inline]
    fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    fn head(&self, at: usize) -> u64 {
        self.keys.get(at).map_or(u64::MAX, |key| key.value())
    }

    #[inline]
    fn probe_head(&self, probe: u64) -> u64 {
        probe
    }

    #[inline]
    fn below(&self, at: usize, probe: u64) -> bool {
        self.keys.get(at).is_some_and(|key| key.value() < probe)
    }

    #[inline]
    fn holds(&self, at: usize, probe: u64) -> bool {
        self.keys.get(at).is_some_and(|key| key.value() == probe)
    }

    #[inline]
    fn rank(&self, at: usize, probe: u64) -> usize {
        match self.keys.get(at..).and_then(|keys| keys.first_chunk()) {
            Some(keys) => rank(keys, probe),
            None => 0,
        }
    }

    #[inline]
    fn touch(&self, at: usize) -> u64 {
        // One key in each half: as a rule, in each cache line.
        self.head(at + WORD_LANES / 4 - 1) ^ self.head(at + 3 * WORD_LANES / 4 - 1)
    }

    #[inline]
    fn after<'p>(probe: Self::Probe<'p>) -> Option<Self::Probe<'p>> {
        probe.checked_add(1)
    }

    #[inline]
    fn key(&self, at: usize) -> Option<u64> {
        self.keys.get(at).map(|key| key.value())
    }
}

/// How many of sixteen sorted keys are smaller, without a branch: first which four, then which one.
#[inline(always)]
pub(super) fn rank<W: Word>(keys: &[W; WORD_LANES], probe: u64) -> usize {
    let below = |key: &W| usize::from(key.value() < probe);
    let four = below(&keys[3]) + below(&keys[7]) + below(&keys[11]);
    let (fours, _) = keys.as_chunks::<4>();
    let rest = fours
        .get(four)
        .map_or(0, |[a, b, c, d]| below(a) + below(b) + below(c) + below(d));
    4 * four + rest
}

/// The order-preserving word of a signed integer, a date or a timestamp.
pub fn from_i64(value: i64) -> u64 {
    value.cast_unsigned() ^ 1 << 63
}

/// The order-preserving word of a float, ordered as PostgreSQL orders them: `-0` is `0`, and NaN,
/// whichever, sorts last.
pub fn from_f64(value: f64) -> u64 {
    let bits = if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        (value + 0.0).to_bits()
    };
    bits ^ if bits >> 63 == 1 { u64::MAX } else { 1 << 63 }
}
