//! Sequence values: handed out from memory, with a durable mark ahead of them.
//!
//! Not transactional, as in PostgreSQL: a value once given is gone. The mark is submitted to the
//! commit queue before a value beyond the old mark is handed out; the queue is first in, first out,
//! so no commit that uses the value can become durable before the mark does.
//!
//! The engine's own counters (OIDs, hidden row ids) work the same way. A mark is a row of
//! [`SEQUENCE_TABLE`]:
//!
//! ```text
//! key     'o'                                  the OID counter
//! key     'r' ‖ storage table (8 bytes, BE)    hidden row ids of a table
//! key     's' ‖ state (8 bytes, BE)            a sequence
//! value   last value (8 bytes, LE) ‖ whether it was given (1 byte)
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{FIRST_USER_OID, Sequence};
use crate::error::{Error, Result, SqlState};
use crate::storage::{SEQUENCE_TABLE, Store, TableId, WriteBatch};

/// Values that the first mark of a counter covers; each next one covers twice as many, up to
/// [`MAX_BLOCK`]. A crash loses at most the values of one block.
const FIRST_BLOCK: i64 = 32;
const MAX_BLOCK: i64 = 8192;

/// The sequences' state, shared by all sessions.
pub struct Sequences {
    store: Store,
    /// One entry for each counter used since the start: as many as there are sequences and tables.
    counters: Mutex<HashMap<Mark, Counter>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    Oids,
    RowIds(TableId),
    Sequence(u64),
}

/// What a counter counts through.
#[derive(Clone, Copy)]
struct Bounds {
    increment: i64,
    minimum: i64,
    maximum: i64,
    cycle: bool,
}

#[derive(Clone, Copy)]
struct Counter {
    last: i64,
    /// Whether `last` was given; else it is the next one.
    called: bool,
    /// Values after `last` that the mark covers.
    covered: i64,
    block: i64,
}

impl Sequences {
    pub fn new(store: Store) -> Self {
        Sequences {
            store,
            counters: Mutex::new(HashMap::new()),
        }
    }

    /// The next value.
    ///
    /// # Errors
    /// 2200H at the end of a sequence that does not cycle.
    pub fn next_value(&self, sequence: &Sequence) -> Result<i64> {
        self.with(sequence.mark(), sequence.initial(), |counter| {
            match self.step(counter, sequence.mark(), sequence.bounds())? {
                Some(value) => Ok(value),
                None => Err(exhausted(sequence)),
            }
        })
    }

    /// `setval(sequence, value, is_called)`.
    ///
    /// # Errors
    /// 22003 when the value is out of the sequence's bounds.
    pub fn set_value(&self, sequence: &Sequence, value: i64, is_called: bool) -> Result<()> {
        if value < sequence.minimum || value > sequence.maximum {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!(
                    "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                    sequence.name, sequence.minimum, sequence.maximum
                ),
            ));
        }
        self.with(sequence.mark(), sequence.initial(), |counter| {
            self.submit(&[(sequence.mark(), value, is_called)])?;
            counter.last = value;
            counter.called = is_called;
            counter.covered = 0;
            Ok(())
        })
    }

    /// `(last_value, is_called)`.
    pub fn last_value(&self, sequence: &Sequence) -> Result<(i64, bool)> {
        self.with(sequence.mark(), sequence.initial(), |counter| {
            Ok((counter.last, counter.called))
        })
    }

    /// New OIDs for catalog objects and new identifiers for tables: never given twice.
    pub fn next_oid(&self) -> Result<u32> {
        let bounds = Bounds::counting_up(i64::from(FIRST_USER_OID), i64::from(u32::MAX));
        let value = self.with(Mark::Oids, bounds.minimum, |counter| {
            self.step(counter, Mark::Oids, bounds)
        })?;
        value
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| {
                Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "all object identifiers of this database are used up",
                )
            })
    }

    /// The next hidden row id of a table without a primary key.
    pub fn next_row_id(&self, table: TableId) -> Result<i64> {
        let bounds = Bounds::counting_up(1, i64::MAX);
        let mark = Mark::RowIds(table);
        self.with(mark, 1, |counter| self.step(counter, mark, bounds))?
            .ok_or_else(|| {
                Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "all row identifiers of this table are used up",
                )
            })
    }

    /// Lets the row ids of `to` go on where those of `from` are: its rows keep their keys there.
    pub fn move_row_ids(&self, from: TableId, to: TableId) -> Result<()> {
        let (last, called) = self.with(Mark::RowIds(from), 1, |counter| {
            Ok((counter.last, counter.called))
        })?;
        self.with(Mark::RowIds(to), 1, |counter| {
            self.submit(&[(Mark::RowIds(to), last, called)])?;
            (counter.last, counter.called, counter.covered) = (last, called, 0);
            Ok(())
        })
    }

    /// Writes exact marks, so that an orderly close loses no values. Call it before closing the
    /// store, when no session runs any more.
    pub fn flush(&self) -> Result<()> {
        let mut counters = self.counters.lock();
        let marks: Vec<(Mark, i64, bool)> = counters
            .iter()
            .filter(|(_, counter)| counter.covered > 0)
            .map(|(mark, counter)| (*mark, counter.last, counter.called))
            .collect();
        if marks.is_empty() {
            return Ok(());
        }
        self.submit(&marks)?;
        for counter in counters.values_mut() {
            counter.covered = 0;
        }
        Ok(())
    }

    /// Runs `work` on a counter, read from its mark when this is its first use.
    fn with<T>(
        &self,
        mark: Mark,
        initial: i64,
        work: impl FnOnce(&mut Counter) -> Result<T>,
    ) -> Result<T> {
        let mut counters = self.counters.lock();
        let counter = match counters.entry(mark) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let stored = self.store.snapshot()?.get(SEQUENCE_TABLE, &mark.key())?;
                let (last, called) = match stored {
                    Some(bytes) => parse(bytes.as_ref())?,
                    // Never used: perhaps made by a transaction that is still open.
                    None => (initial, false),
                };
                entry.insert(Counter {
                    last,
                    called,
                    covered: 0,
                    block: FIRST_BLOCK,
                })
            }
        };
        work(counter)
    }

    /// The next value, or `None` at the end; extends the mark when the value is beyond it.
    fn step(&self, counter: &mut Counter, mark: Mark, bounds: Bounds) -> Result<Option<i64>> {
        let Some(value) = bounds.after(counter.last, counter.called) else {
            return Ok(None);
        };
        if counter.covered > 0 {
            counter.covered = counter.covered.saturating_sub(1);
        } else {
            let (ahead, covered) = bounds.ahead(value, counter.block);
            self.submit(&[(mark, ahead, true)])?;
            counter.covered = covered;
            counter.block = counter.block.saturating_mul(2).min(MAX_BLOCK);
        }
        counter.last = value;
        counter.called = true;
        Ok(Some(value))
    }

    /// Queues marks. Nobody waits for them: whatever uses the values is queued behind.
    fn submit(&self, marks: &[(Mark, i64, bool)]) -> Result<()> {
        let writes = marks
            .iter()
            .map(|(mark, last, called)| {
                let mut row = last.to_le_bytes().to_vec();
                row.push(u8::from(*called));
                (mark.key(), Some(row))
            })
            .collect();
        let batch = WriteBatch {
            writes: BTreeMap::from([(SEQUENCE_TABLE, Arc::new(writes))]),
            ..WriteBatch::default()
        };
        drop(self.store.submit(batch, None)?);
        Ok(())
    }
}

/// The key of a sequence's mark; deleted together with the sequence.
pub fn sequence_mark(sequence: &Sequence) -> Vec<u8> {
    sequence.mark().key()
}

/// The key of the mark of a table's row ids; deleted together with the table's rows.
pub fn row_id_mark(storage: TableId) -> Vec<u8> {
    Mark::RowIds(storage).key()
}

impl Mark {
    fn key(self) -> Vec<u8> {
        let (kind, id) = match self {
            Mark::Oids => return vec![b'o'],
            Mark::RowIds(table) => (b'r', table),
            Mark::Sequence(state) => (b's', state),
        };
        let mut key = vec![kind];
        key.extend_from_slice(&id.to_be_bytes());
        key
    }
}

fn parse(bytes: &[u8]) -> Result<(i64, bool)> {
    let damaged = || Error::corrupted("a sequence's mark is damaged");
    let (last, called) = bytes.split_at_checked(8).ok_or_else(damaged)?;
    let last = i64::from_le_bytes(last.try_into().map_err(|_| damaged())?);
    match called {
        [0] => Ok((last, false)),
        [1] => Ok((last, true)),
        _ => Err(damaged()),
    }
}

impl Sequence {
    fn mark(&self) -> Mark {
        Mark::Sequence(match self.state {
            0 => u64::from(self.oid),
            state => state,
        })
    }

    fn initial(&self) -> i64 {
        self.restart.unwrap_or(self.start)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            increment: self.increment,
            minimum: self.minimum,
            maximum: self.maximum,
            cycle: self.cycle,
        }
    }
}

impl Bounds {
    fn counting_up(minimum: i64, maximum: i64) -> Self {
        Bounds {
            increment: 1,
            minimum,
            maximum,
            cycle: false,
        }
    }

    /// The value that follows; `None` at the end.
    fn after(self, last: i64, called: bool) -> Option<i64> {
        if !called {
            return Some(last);
        }
        let next = last
            .checked_add(self.increment)
            .filter(|next| *next <= self.maximum && *next >= self.minimum);
        match next {
            Some(next) => Some(next),
            None if !self.cycle => None,
            None if self.increment > 0 => Some(self.minimum),
            None => Some(self.maximum),
        }
    }

    /// The last of up to `block` values after `value`, short of the end, and how many there are.
    fn ahead(self, value: i64, block: i64) -> (i64, i64) {
        let room = if self.increment > 0 {
            i128::from(self.maximum) - i128::from(value)
        } else {
            i128::from(value) - i128::from(self.minimum)
        };
        let step = i128::from(self.increment).abs().max(1);
        let steps = i64::try_from((room / step).max(0))
            .unwrap_or(i64::MAX)
            .min(block);
        let ahead = self.increment.saturating_mul(steps).saturating_add(value);
        (ahead, steps)
    }
}

fn exhausted(sequence: &Sequence) -> Error {
    let (end, limit) = if sequence.increment > 0 {
        ("maximum", sequence.maximum)
    } else {
        ("minimum", sequence.minimum)
    };
    Error::new(
        SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
        format!(
            "nextval: reached {end} value of sequence \"{}\" ({limit})",
            sequence.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Bounds = Bounds {
        increment: -3,
        minimum: -7,
        maximum: -1,
        cycle: false,
    };

    #[test]
    fn a_sequence_ends_or_cycles() {
        assert_eq!(DOWN.after(-1, false), Some(-1));
        assert_eq!(DOWN.after(-1, true), Some(-4));
        assert_eq!(DOWN.after(-7, true), None);
        let cycling = Bounds {
            cycle: true,
            ..DOWN
        };
        assert_eq!(cycling.after(-7, true), Some(-1));
        let up = Bounds::counting_up(1, i64::MAX);
        assert_eq!(up.after(i64::MAX, true), None);
    }

    #[test]
    fn a_mark_never_passes_the_end() {
        assert_eq!(DOWN.ahead(-1, 32), (-7, 2));
        let up = Bounds::counting_up(1, i64::MAX);
        assert_eq!(up.ahead(1, 32), (33, 32));
        assert_eq!(up.ahead(i64::MAX - 1, 32), (i64::MAX, 1));
        let wide = Bounds {
            increment: i64::MIN,
            minimum: i64::MIN,
            maximum: i64::MAX,
            cycle: false,
        };
        assert_eq!(wide.ahead(i64::MAX, 32), (-1, 1));
    }

    #[test]
    fn damaged_marks_are_noticed() {
        assert!(parse(&[0; 8]).is_err());
        assert!(parse(&[0, 0, 0, 0, 0, 0, 0, 0, 2]).is_err());
        assert_eq!(parse(&[5, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap(), (5, true));
    }
}
