//! What one call may cost: the bytes of the values it makes, and the time until it looks whether the
//! statement was stopped.
//!
//! Every function of single values is counted here by [`Budget`], from outside. A function whose
//! result may be many times as large as its arguments also asks before it grows: [`fits`] for a size
//! that it knows, [`Text`] and [`collect`] for one that it finds out.

use crate::error::{Error, Result, SqlState};
use crate::txn::Interrupt;
use crate::types::Datum;

/// The most bytes of one value, as in PostgreSQL.
pub(super) const MAX_VALUE: usize = 0x3fff_ffff;

/// The most bytes of the values that one function makes for one batch of rows.
const MAX_COLUMN: usize = 1 << 30;

/// The most bytes that the values collected by one aggregate take while its result is computed.
const MAX_COLLECTED: usize = 2 << 30;

/// What a call counts besides its values, in bytes.
const CALL: usize = 64;

/// How much is done between two looks at the interrupt, in bytes.
const BETWEEN_LOOKS: usize = 256 << 10;

/// 54000.
pub(super) fn too_long() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        "requested length too large",
    )
}

fn out_of_memory(what: &str) -> Error {
    Error::new(SqlState::OUT_OF_MEMORY, "out of memory")
        .detail(what.to_owned())
        .hint("Compute fewer rows at once, or smaller values.")
}

/// Whether a value may have so many bytes.
pub(super) fn fits(bytes: usize) -> Result<()> {
    match bytes > MAX_VALUE {
        true => Err(too_long()),
        false => Ok(()),
    }
}

/// Whether an aggregate may hold so many rows of so many values.
pub(super) fn fits_collected(rows: usize, values: usize) -> Result<()> {
    let row = size_of::<Vec<Datum<'static>>>() + values.saturating_mul(size_of::<Datum<'static>>());
    match rows.saturating_mul(row) > MAX_COLLECTED {
        true => Err(out_of_memory("An aggregate has to hold too many values.")),
        false => Ok(()),
    }
}

/// The bytes of a value beyond its place.
pub(super) fn weight(value: &Datum<'_>) -> usize {
    match value {
        Datum::Text(text) => text.len(),
        Datum::Bytea(bytes) => bytes.len(),
        Datum::Array(array) => array
            .items
            .iter()
            .map(|item| size_of::<Datum<'static>>().saturating_add(weight(item)))
            .fold(0, usize::saturating_add),
        _ => 0,
    }
}

/// A text that grows.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub fn push(&mut self, part: &str) -> Result<()> {
        fits(self.0.len().saturating_add(part.len()))?;
        self.0.push_str(part);
        Ok(())
    }

    pub fn into_datum(self) -> Datum<'static> {
        Datum::text(self.0)
    }
}

/// The items of an array.
pub(super) fn collect(values: impl Iterator<Item = Datum<'static>>) -> Result<Vec<Datum<'static>>> {
    let mut items = Vec::new();
    let mut bytes = 0_usize;
    for value in values {
        bytes = bytes
            .saturating_add(size_of::<Datum<'static>>())
            .saturating_add(weight(&value));
        fits(bytes)?;
        items.push(value);
    }
    Ok(items)
}

/// Counts the calls of one function for one batch of rows.
pub(super) struct Budget<'a> {
    interrupt: &'a Interrupt,
    /// Bytes of all results.
    made: usize,
    /// What was done since the last look at the interrupt.
    unseen: usize,
}

impl<'a> Budget<'a> {
    pub fn new(interrupt: &'a Interrupt) -> Self {
        Budget {
            interrupt,
            made: 0,
            unseen: 0,
        }
    }

    /// Before a call with arguments of so many bytes: none that puts them together makes more.
    pub fn call(&mut self, bytes: usize) -> Result<()> {
        fits(bytes)?;
        self.work(bytes)
    }

    /// Behind a call, with its result.
    pub fn result(&mut self, value: &Datum<'_>) -> Result<()> {
        let bytes = weight(value);
        fits(bytes)?;
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
        assert!(fits(MAX_VALUE).is_ok());
        let error = fits(MAX_VALUE + 1).unwrap_err();
        assert_eq!(error.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(fits_collected(1_000, 2).is_ok());
        assert!(fits_collected(MAX_COLLECTED, 1).is_err());
    }

    #[test]
    fn a_batch_is_bounded_and_can_be_stopped() {
        let interrupt = Interrupt::default();
        let mut budget = Budget::new(&interrupt);
        let large = Datum::text("x".repeat(MAX_COLUMN / 64));
        let error = (0..65).find_map(|_| budget.result(&large).err()).unwrap();
        assert_eq!(error.state(), SqlState::OUT_OF_MEMORY);
        let mut budget = Budget::new(&interrupt);
        interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "stop"));
        let stopped = (0..BETWEEN_LOOKS / CALL).find_map(|_| budget.call(0).err());
        assert_eq!(stopped.unwrap().message(), "stop");
    }
}
