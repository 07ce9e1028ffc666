//! Result rows and what describes them.

use arrow::array::RecordBatch;

use crate::types::{Datum, PgType};

/// A result column (`RowDescription`).
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    pub name: String,
    pub ty: PgType,
    /// OID of the table that the column comes from, or 0.
    pub table: u32,
    /// Its number in that table, or 0.
    pub attribute: i16,
}

/// Rows from DataFusion come as batches, rows of compiled statements as datums.
#[derive(Clone, Debug)]
pub enum Rows {
    Batch(RecordBatch),
    Datums(Vec<Vec<Datum<'static>>>),
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Rows::Batch(batch) => batch.num_rows(),
            Rows::Datums(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` rows and the rest.
    pub fn split(self, count: usize) -> (Rows, Rows) {
        match self {
            Rows::Batch(batch) => {
                let count = count.min(batch.num_rows());
                let rest = batch.slice(count, batch.num_rows() - count);
                (Rows::Batch(batch.slice(0, count)), Rows::Batch(rest))
            }
            Rows::Datums(mut rows) => {
                let rest = rows.split_off(count.min(rows.len()));
                (Rows::Datums(rows), Rows::Datums(rest))
            }
        }
    }
}
