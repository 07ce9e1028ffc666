//! Rows as bytes: a fixed header that gives every column's place, so that one column is read
//! without decoding the others.

use super::columns::ColumnBuilder;
use super::{Datum, PgType};
use crate::error::Result;

/// Encodes a row; `values` and `types` are in the order of the table's physical columns.
pub fn encode(values: &[Datum<'_>], types: &[PgType]) -> Result<Vec<u8>> {
    let _ = (values, types);
    todo!()
}

/// A row read in place.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    #[expect(dead_code)]
    bytes: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// # Errors
    /// XX001 when the header does not describe these bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let _ = bytes;
        todo!()
    }

    /// Number of columns this row was written with. A column added to the table later is not in
    /// it: its value is the column's default at the time it was added.
    pub fn columns(&self) -> usize {
        todo!()
    }

    /// The value of column `at` (`at < columns()`).
    pub fn get(&self, at: usize, ty: PgType) -> Result<Datum<'a>> {
        let _ = (at, ty);
        todo!()
    }

    /// Appends column `at` to a builder of the same type, without a datum between.
    pub fn append_to(&self, at: usize, ty: PgType, builder: &mut ColumnBuilder) -> Result<()> {
        let _ = (at, ty, builder);
        todo!()
    }
}
