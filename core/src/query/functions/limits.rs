//! What one call may cost: the bytes of the values it makes, and the time until it looks whether the
//! statement was stopped.
//!
//! Every function of single values is counted here by [`Budget`], from outside. A function whose
//! result may be many times as large as its arguments also asks before it grows:
//! [`ValueLimit::fits`] for a size that it knows, [`Text`] and [`collect`] for one that it finds out.

use crate::error::{Error, Result, SqlState};
use crate::txn::Interrupt;
use crate::types::Datum;

/// How many bytes one value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::query) struct ValueLimit(usize);

impl ValueLimit {
    /// While a plan runs: PostgreSQL's limit.
    pub const RUN: ValueLimit = ValueLimit(0x3fff_ffff);

    /// While constants are folded. The optimizer copies and prints the values in a plan many times:
    /// what is larger stays a call, and each execution makes it once.
    pub const FOLD: ValueLimit = ValueLimit(1 << 20);

    /// 54000 for more bytes.
    pub fn fits(self, bytes: usize) -> Result<()> {
        match bytes > self.0 {
            true => Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "requested length too large",
            )),
            false => Ok(()),
        }
    }
}

/// The most bytes of the values that one function makes for one batch of rows.
const MAX_COLUMN: usize = 1 << 30;

/// The most bytes that the values collected by one aggregate take while its result is computed.
const MAX_COLLECTED: usize = 2 << 30;

/// What a call counts besides its values, in bytes.
const CALL: usize = 64;

/// How much is done between two looks at the interrupt, in bytes.
const BETWEEN_LOOKS: usize = 256 << 10;

fn out_of_memory(what: &str) -> Error {
    Error::new(SqlState::OUT_OF_MEMORY, "out of memory")
        .detail(what.to_owned())
        .hint("Compute fewer rows at once, or smaller values.")
}

/// Whether an aggregate may hold so many rows of so many values.
pub(super) fn fits_collected(rows: usize, values: usize) -> Result<()> {
    let row = size_of::<Vec<Datum<'static>>>() + values.saturating_mul(size_of::<Datum<'static>>());
    match rows.saturating_mul(row) > MAX_COLLECTED {
        true => Err(out_of_memory("An aggregate has to hold too many values.")),
        false => Ok(()),
    }
}

/// A text that grows.
pub(super) struct Text {
    text: String,
    limit: ValueLimit,
}

impl Text {
    pub fn new(limit: ValueLimit) -> Self {
        Text {
            text: String::new(),
            limit,
        }
    }

    pub fn push(&mut self, part: &str) -> Result<()> {
        let bytes = self.text.len().saturating_add(part.len());
        self.limit.fits(bytes)?;
        self.text.push_str(part);
        Ok(())
    }

    pub fn into_datum(self) -> Datum<'static> {
        Datum::text(self.text)
    }
}

/// The items of an array.
pub(super) fn collect(
    limit: ValueLimit,
    values: impl Iterator<Item = Datum<'static>>,
) -> Result<Vec<Datum<'static>>> {
    let mut items = Vec::new();
    let mut bytes = 0_usize;
    for value in values {
        bytes = bytes
            .saturating_add(size_of::<Datum<'static>>())
            .saturating_add(value.weight());
        limit.fits(bytes)?;
        items.push(value);
    }
    Ok(items)
}

/// Counts the calls of one function for one batch of rows.
pub(super) struct Budget<'a> {
    interrupt: &'a Interrupt,
    limit: ValueLimit,
    /// Bytes of all results.
    made: usize,
    /// What was done since the last look at the interrupt.
    unseen: usize,
}

impl<'a> Budget<'a> {
    pub fn new(interrupt: &'a Interrupt, limit: ValueLimit) -> Self {
        Budget {
            interrupt,
            limit,
            made: 0,
            unseen: 0,
        }
    }

    /// Before a call with arguments of so many bytes: none that puts them together makes more.
    pub fn call(&mut self, bytes: usize) -> Result<()> {
        self.limit.fits(bytes)?;
        self.work(bytes)
    }

    /// Behind a call, with its result.
    pub fn result(&mut self, value: &Datum<'_>) -> Result<()> {
        let bytes = value.weight();
        self.limit.fits(bytes)?;
        self.made = self.made.saturating_add(bytes);
        if self.made > MAX_COLUMN {
            return Err(out_of_memory(
                "The values of a batch of rows are too large.",
            ));
        }
        self.work(bytes)
    }

    fn work(&mut self, bytes: usize) -> Result<()> {
        self.unseen = self.unseen.saturating_add(bytes).saturating_add(CALL);
        if self.unseen >= BETWEEN_LOOKS {
            self.unseen = 0;
            self.interrupt.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bounded() {
        let ValueLimit(most) = ValueLimit::RUN;
        assert!(ValueLimit::RUN.fits(most).is_ok());
        let error = ValueLimit::RUN.fits(most + 1).unwrap_err();
        assert_eq!(error.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(fits_collected(1_000, 2).is_ok());
        assert!(fits_collected(MAX_COLLECTED, 1).is_err());
    }

    #[test]
    fn a_batch_is_bounded_and_can_be_stopped() {
        let interrupt = Interrupt::default();
        let mut budget = Budget::new(&interrupt, ValueLimit::RUN);
        let large = Datum::text("x".repeat(MAX_COLUMN / 64));
        let error = (0..65).find_map(|_| budget.result(&large).err()).unwrap();
        assert_eq!(error.state(), SqlState::OUT_OF_MEMORY);
        let mut budget = Budget::new(&interrupt, ValueLimit::RUN);
        interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "stop"));
        let stopped = (0..BETWEEN_LOOKS / CALL).find_map(|_| budget.call(0).err());
        assert_eq!(stopped.unwrap().message(), "stop");
    }
}
