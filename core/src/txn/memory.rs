//! How much memory the changes of transactions may take: their write sets and locks, the rows that a
//! statement has found and not yet changed, and the segments that loads write.
//!
//! A transaction is counted from below, in steps: it says how much it may have by now at most, which costs
//! nothing, and only when that is more than it has reserved is everything counted, and more reserved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result, SqlState};

/// What each transaction may have without asking: most never need more.
const FREE: usize = 64 << 10;

/// Of what is free of it, the part that new rows of a statement take before they move on, and the part that
/// the segment takes which they move on to, before it ends. So many loads at once take less each, and
/// leave some.
const LOAD_SHARE: usize = 8;
const SEGMENT_SHARE: usize = 2;
/// Where nothing is free, a segment and two times so many new rows fit into [`FREE`]: those that are about to
/// move on, and those that come before it is noticed that they should.
const LEAST_SEGMENT: usize = FREE / 2;
const LEAST_ROWS: usize = FREE / 8;
/// Reserved for new rows that are to come, at least.
pub(super) const LEAST_ROOM: usize = 2 * LEAST_ROWS;

/// What all transactions may have together.
pub(super) struct Memory {
    limit: usize,
    reserved: AtomicUsize,
}

impl Memory {
    pub fn new(limit: usize) -> Self {
        Memory {
            limit,
            reserved: AtomicUsize::new(0),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |reserved: usize| {
            let sum = reserved.checked_add(bytes)?;
            (sum <= self.limit).then_some(sum)
        };
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.reserved.fetch_update(set, fetch, more).is_ok()
    }

    fn free(&self) -> usize {
        self.limit.saturating_sub(self.reserved())
    }

    /// Bytes that new rows of one statement may take before they move on into segments.
    pub fn for_loads(&self) -> usize {
        (self.free() / LOAD_SHARE).max(LEAST_ROWS)
    }

    /// Bytes that a segment may take before it ends.
    pub fn for_segment(&self) -> usize {
        (self.free() / SEGMENT_SHARE).max(LEAST_SEGMENT)
    }

    /// Bytes that are reserved now.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Acquire)
    }
}

/// What one transaction has reserved; dropping it gives that back.
pub(super) struct Reservation {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.reserved.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Reservation {
    pub fn new(memory: Arc<Memory>) -> Self {
        Reservation { memory, bytes: 0 }
    }

    /// All that is free, but for some bytes.
    #[cfg(test)]
    pub fn of_all_but(memory: Arc<Memory>, free: usize) -> Self {
        let bytes = memory.free().saturating_sub(free);
        assert!(memory.take(bytes));
        Reservation { memory, bytes }
    }

    /// Whether so much needs no more than is reserved.
    #[inline]
    pub fn covers(&self, bytes: usize) -> bool {
        bytes <= self.bytes.saturating_add(FREE)
    }

    /// Bytes that may come to so many without reserving more.
    pub fn room(&self, bytes: usize) -> usize {
        self.bytes.saturating_add(FREE).saturating_sub(bytes)
    }

    /// Reserves what covers `bytes`, and a part more so that it is not asked for too often; gives back what
    /// is too much.
    ///
    /// # Errors
    /// 53200 when there is not so much.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        let least = bytes.saturating_sub(FREE);
        let most = match least {
            0 => 0,
            least => least.saturating_add(bytes / 4).saturating_add(FREE),
        };
        if let Some(less) = self.bytes.checked_sub(most) {
            self.memory.reserved.fetch_sub(less, Ordering::AcqRel);
            self.bytes = most;
            return Ok(());
        }
        let mut wanted = most;
        // With little more than is needed now, everything would be counted again at once.
        while least == 0 || wanted.saturating_sub(least) >= FREE / 2 {
            let more = wanted.saturating_sub(self.bytes);
            if self.memory.take(more) {
                self.bytes = self.bytes.max(wanted);
                return Ok(());
            }
            wanted = least.midpoint(wanted);
        }
        if least <= self.bytes {
            return Ok(());
        }
        Err(self.exhausted(bytes))
    }

    fn exhausted(&self, bytes: usize) -> Error {
        let memory = &self.memory;
        let others = memory.reserved().saturating_sub(self.bytes);
        Error::new(
            SqlState::OUT_OF_MEMORY,
            "the changes of this transaction do not fit into memory",
        )
        .detail(format!(
            "It needs {}, other transactions have {}, and all together may have {} (transaction_memory).",
            shown(bytes),
            shown(others),
            shown(memory.limit),
        ))
        .hint(
            "Change fewer rows in one transaction, for example those of one range of keys after the other, \
             or raise transaction_memory.",
        )
    }
}

fn shown(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} kB", bytes >> 10),
        megabytes => format!("{megabytes} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_never_exceed_the_limit() {
        let memory = Arc::new(Memory::new(1 << 20));
        let mut one = Reservation::new(memory.clone());
        assert!(one.covers(FREE) && !one.covers(FREE + 1));
        one.resize(600 << 10).unwrap();
        assert!(one.covers(600 << 10));
        let mut other = Reservation::new(memory.clone());
        other.resize(FREE).unwrap();
        let error = other.resize(700 << 10).unwrap_err();
        assert_eq!(error.state().code(), "53200");
        assert!(memory.reserved() <= 1 << 20);
        one.resize(100 << 10).unwrap();
        other.resize(700 << 10).unwrap();
        assert!(other.covers(700 << 10));
        drop(other);
        one.resize(0).unwrap();
        assert_eq!(memory.reserved(), 0);
        one.resize(500 << 10).unwrap();
        drop(one);
        assert_eq!(memory.reserved(), 0);
    }
}
