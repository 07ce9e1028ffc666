//! The rows of many keys, looked up together.

use std::ops::Range;

/// What is asked of many keys at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    #[default]
    Rows,
    /// Only whether there is one: a row that is found may come out empty.
    Presence,
}

/// The answers for some keys, in their order. Whoever may have rows fills in those that are still
/// [open](RowBatch::is_open).
#[derive(Debug, Default)]
pub struct RowBatch {
    wanted: Wanted,
    answers: Vec<Answer>,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
enum Answer {
    #[default]
    Open,
    /// There is no row, whatever others have.
    Absent,
    Row {
        bytes: Range<usize>,
        sealed: bool,
    },
}

impl RowBatch {
    /// Answers for so many keys, all open.
    pub fn new(keys: usize, wanted: Wanted) -> RowBatch {
        let mut batch = RowBatch {
            wanted,
            ..RowBatch::default()
        };
        batch.reset(keys);
        batch
    }

    /// Opens answers for other keys.
    pub fn reset(&mut self, keys: usize) {
        self.answers.clear();
        self.answers.resize(keys, Answer::Open);
        self.bytes.clear();
    }

    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Whether the key at a place is still looked for.
    #[inline]
    pub fn is_open(&self, at: usize) -> bool {
        matches!(self.answers.get(at), Some(Answer::Open))
    }

    /// The row of the key at a place; `sealed` when it comes from the sealed tier.
    #[inline]
    pub fn put(&mut self, at: usize, row: &[u8], sealed: bool) {
        let start = self.bytes.len();
        if self.wanted == Wanted::Rows {
            self.bytes.extend_from_slice(row);
        }
        self.answer(
            at,
            Answer::Row {
                bytes: start..self.bytes.len(),
                sealed,
            },
        );
    }

    /// The key at a place has no row.
    pub fn close(&mut self, at: usize) {
        self.answer(at, Answer::Absent);
    }

    #[inline]
    fn answer(&mut self, at: usize, answer: Answer) {
        if let Some(slot) = self.answers.get_mut(at) {
            *slot = answer;
        }
    }

    /// The row of the key at a place, if there is one.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        match self.answers.get(at)? {
            Answer::Row { bytes, .. } => self.bytes.get(bytes.clone()),
            Answer::Open | Answer::Absent => None,
        }
    }

    /// The row of each key.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.answers.len()).map(|at| self.get(at))
    }

    /// How many rows came from the sealed tier.
    pub fn sealed(&self) -> usize {
        let is_sealed = |answer: &&Answer| matches!(answer, Answer::Row { sealed: true, .. });
        self.answers.iter().filter(is_sealed).count()
    }
}
