//! The last step of every look-up: a claim about where the answer stands becomes the answer.
//!
//! The answer `r` of a lower bound is the number of keys below the probe: `key(r-1) < probe <=
//! key(r)`. A model claims a window in which this holds. The search ends by comparing the keys on
//! both sides of its answer; where they do not fit, it goes on to search the whole column. So a
//! model, however damaged, costs time and never an answer.

use super::column::KeyColumn;

/// Keys that have to be looked at: `len` from `start`. The first sorts before the probe or has
/// position 0; the last does not sort before it or is the column's last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Window {
    /// The position in its middle: about where the answer is.
    #[inline]
    pub fn middle(self) -> u32 {
        self.start.saturating_add(self.len / 2)
    }

    /// The window for an answer in `low..=high`.
    #[inline]
    pub(super) fn of_answers(low: u32, high: u32) -> Window {
        let start = low.saturating_sub(1);
        Window {
            start,
            len: high.saturating_sub(start).saturating_add(1),
        }
    }
}

/// Number of keys below the probe, given a window that should have the answer.
#[inline]
pub(super) fn finish<C: KeyColumn>(column: &C, window: Window, probe: C::Probe<'_>) -> usize {
    let mut start = window.start as usize;
    let mut len = window.len as usize;
    while len > C::LANES {
        (start, len) = halve(column, start, len, probe);
    }
    settle(column, start, probe)
}

/// One step of a binary search without a branch on the keys. Both outcomes leave the same length.
#[inline(always)]
pub(super) fn halve<C: KeyColumn>(
    column: &C,
    start: usize,
    len: usize,
    probe: C::Probe<'_>,
) -> (usize, usize) {
    let half = (len - 1) / 2;
    let below = column.below(start + half, probe);
    (start + half * usize::from(below), len - half)
}

/// Ranks the probe among the [`KeyColumn::LANES`] keys from `start`, and verifies.
#[inline(always)]
pub(super) fn settle<C: KeyColumn>(column: &C, start: usize, probe: C::Probe<'_>) -> usize {
    let count = column.len();
    let Some(last_start) = count.checked_sub(C::LANES) else {
        return (0..count).filter(|&at| column.below(at, probe)).count();
    };
    let start = start.min(last_start);
    let rank = column.rank(start, probe);
    let verified_left = rank > 0 || start == 0;
    let verified_right = rank < C::LANES || start == last_start;
    if verified_left && verified_right {
        start + rank
    } else {
        search_from(column, start + rank, probe)
    }
}

/// Number of keys below the probe, by a search that starts anywhere and relies on nothing.
#[cold]
pub(super) fn search_from<C: KeyColumn>(column: &C, from: usize, probe: C::Probe<'_>) -> usize {
    let count = column.len();
    let from = from.min(count);
    let mut step = 1_usize;
    let (mut low, mut high);
    if column.below(from, probe) {
        low = from + 1;
        high = low;
        while high < count && column.below(high, probe) {
            low = high + 1;
            high = high.saturating_add(step);
            step = step.saturating_mul(2);
        }
        high = high.min(count);
    } else {
        high = from;
        low = high.saturating_sub(step);
        while low > 0 && !column.below(low, probe) {
            high = low;
            step = step.saturating_mul(2);
            low = low.saturating_sub(step);
        }
    }
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
