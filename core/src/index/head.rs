//! Which bytes of a byte-string key make its head.
//!
//! The keys of one segment share a lot: a common prefix, the bytes that mark a value as not NULL,
//! the upper half of every timestamp. Such constant bytes say nothing about the order, so the head
//! is made of the first eight bytes that differ anywhere in the column.

use std::cmp::Ordering;

/// Bytes of a head.
pub(super) const HEAD_BYTES: usize = 8;

/// How far behind the common prefix constant bytes are looked for.
const WINDOW: usize = 32;

/// The last byte of a key that can be in a head. A longer common prefix is cut here: heads then
/// say little, and answers stay right.
const LAST_POSITION: usize = u16::MAX as usize - WINDOW - HEAD_BYTES;

/// Places of a head's bytes in the key, ascending. A key that ends before a place has 0 there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadLayout {
    positions: [u16; HEAD_BYTES],
}

impl HeadLayout {
    /// The layout for `count` sorted keys, of which `key` gives one by position. Reads every key.
    pub fn of<'k>(count: usize, key: impl Fn(usize) -> &'k [u8]) -> HeadLayout {
        let (Some(last), first) = (count.checked_sub(1), key(0)) else {
            return HeadLayout::contiguous(0);
        };
        // Sorted keys have in common what the outermost two have.
        let prefix = common_prefix(first, key(last)).min(LAST_POSITION);
        let start = first.get(prefix..).unwrap_or_default();
        let mut varying = [false; WINDOW];
        for at in 0..count {
            let rest = key(at).get(prefix..).unwrap_or_default();
            if let (Some(own), Some(expected)) =
                (rest.first_chunk::<WINDOW>(), start.first_chunk::<WINDOW>())
            {
                for ((varies, own), expected) in varying.iter_mut().zip(own).zip(expected) {
                    *varies |= own != expected;
                }
                continue;
            }
            for (place, varies) in varying.iter_mut().enumerate() {
                // A byte that some key does not have is not constant.
                *varies |= rest.get(place).is_none() || rest.get(place) != start.get(place);
            }
        }
        let beyond = WINDOW..WINDOW + HEAD_BYTES;
        let places = varying
            .iter()
            .enumerate()
            .filter_map(|(place, &varies)| varies.then_some(place))
            .chain(beyond);
        let mut positions = [0; HEAD_BYTES];
        for (position, place) in positions.iter_mut().zip(places) {
            *position = (prefix + place) as u16;
        }
        HeadLayout { positions }
    }

    /// The eight bytes from `start`.
    fn contiguous(start: u16) -> HeadLayout {
        let mut positions = [0; HEAD_BYTES];
        for (position, place) in positions.iter_mut().zip(start..) {
            *position = place;
        }
        HeadLayout { positions }
    }

    pub(super) fn positions(&self) -> [u16; HEAD_BYTES] {
        self.positions
    }

    /// The layout with these positions; `None` unless they ascend or are all 0 (a column of words).
    pub(super) fn from_positions(positions: [u16; HEAD_BYTES]) -> Option<HeadLayout> {
        let ascending = positions.windows(2).all(|pair| match pair {
            [left, right] => left < right,
            _ => true,
        });
        (ascending || positions == [0; HEAD_BYTES]).then_some(HeadLayout { positions })
    }

    /// Where the eight bytes start, when they are neighbours.
    fn start_of_run(&self) -> Option<usize> {
        let [first, .., last] = self.positions;
        (usize::from(last) == usize::from(first) + HEAD_BYTES - 1).then_some(usize::from(first))
    }

    /// The head of a key of the column.
    #[inline]
    pub(super) fn head(&self, key: &[u8]) -> u64 {
        if let Some(start) = self.start_of_run() {
            return word_at(key, start);
        }
        self.positions.iter().fold(0, |head, &position| {
            head << 8 | u64::from(key.get(usize::from(position)).copied().unwrap_or(0))
        })
    }

    /// The head of any byte string, given one key of the column. What stands outside of the column's
    /// constant bytes sorts before or after all that has them.
    pub(super) fn probe_head(&self, probe: &[u8], sample: &[u8]) -> u64 {
        let [first, ..] = self.positions;
        let prefix = usize::from(first);
        let own = probe.get(..prefix).unwrap_or(probe);
        match own.cmp(sample.get(..prefix).unwrap_or(sample)) {
            Ordering::Less => return 0,
            Ordering::Greater => return u64::MAX,
            Ordering::Equal => {}
        }
        if let Some(start) = self.start_of_run() {
            return word_at(probe, start);
        }
        let mut head = 0_u64;
        let mut at = prefix;
        for (taken, &position) in (1..).zip(&self.positions) {
            let position = usize::from(position);
            let below = HEAD_BYTES.saturating_sub(taken - 1) as u32 * 8;
            let own = probe
                .get(at..position)
                .unwrap_or_else(|| probe.get(at..).unwrap_or_default());
            match own.cmp(sample.get(at..position).unwrap_or_default()) {
                Ordering::Less => return head.checked_shl(below).unwrap_or(0),
                Ordering::Greater => {
                    let rest = u64::MAX.checked_shr(64 - below).unwrap_or(0);
                    return head.checked_shl(below).unwrap_or(0) | rest;
                }
                Ordering::Equal => {}
            }
            head = head << 8 | u64::from(probe.get(position).copied().unwrap_or(0));
            at = position + 1;
        }
        head
    }
}

/// Eight bytes from a place as a big-endian number; 0 for bytes that are not there.
#[inline]
fn word_at(key: &[u8], start: usize) -> u64 {
    let rest = key.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; HEAD_BYTES];
            for (to, from) in chunk.iter_mut().zip(rest) {
                *to = *from;
            }
            u64::from_be_bytes(chunk)
        }
    }
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}
