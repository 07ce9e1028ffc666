//! Blocks of result rows, ready to be written cell by cell in text or binary format.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::{ResultColumn, Rows};
use crate::types::text::TextStyle;
use crate::types::{binary, columns, text};

/// How a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

/// A block of rows with all that is needed to write it.
#[derive(Clone)]
pub struct RowBlock {
    pub columns: Arc<[ResultColumn]>,
    /// One format for each column.
    pub formats: Arc<[Format]>,
    pub style: Arc<TextStyle>,
    pub rows: Rows,
}

impl RowBlock {
    /// Appends one cell in its column's format, without a length; `false` when it is NULL.
    pub fn write_cell(&self, row: usize, column: usize, out: &mut Vec<u8>) -> Result<bool> {
        let missing = || Error::internal("a result block lacks a column");
        let ty = self.columns.get(column).ok_or_else(missing)?.ty;
        let format = self.formats.get(column).ok_or_else(missing)?;
        let datum = match &self.rows {
            Rows::Batch(batch) => {
                let array = batch.columns().get(column).ok_or_else(missing)?.as_ref();
                return match format {
                    Format::Text => columns::write_text(array, row, ty, &self.style, out),
                    Format::Binary => columns::write_binary(array, row, ty, out),
                };
            }
            Rows::Datums(rows) => rows
                .get(row)
                .and_then(|row| row.get(column))
                .ok_or_else(missing)?,
        };
        if datum.is_null() {
            return Ok(false);
        }
        match format {
            Format::Text => text::write(datum, ty, &self.style, out),
            Format::Binary => binary::write(datum, ty, out)?,
        }
        Ok(true)
    }
}
