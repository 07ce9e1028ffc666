//! Stored rows as Arrow batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::super::bind::ZONE;
use crate::catalog::Table;
use crate::error::Result;
use crate::segment::PIECE_ROWS;
use crate::types::columns::{self, ColumnBuilder};
use crate::types::row::RowRef;
use crate::types::text::{self, TextStyle};
use crate::types::{Datum, PgType};

/// Rows in a batch.
pub(in crate::query) const BATCH_ROWS: usize = PIECE_ROWS;

/// What a column of a scan is made from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The row's column at this position; rows written before it existed have the datum.
    Stored(usize, PgType, Datum<'static>),
    Key,
}

/// The columns that a scan reads.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    sources: Vec<Source>,
    pub schema: SchemaRef,
}

impl Layout {
    /// `positions[i]` is the table's column of the scan's column `i`, `None` the row key.
    pub fn new(table: &Table, positions: &[Option<usize>], schema: SchemaRef) -> Result<Layout> {
        let mut sources = Vec::with_capacity(positions.len());
        for position in positions {
            sources.push(
                match position.and_then(|at| Some((at, table.columns.get(at)?))) {
                    Some((at, column)) => {
                        let missing = match &column.missing {
                            Some(value) => text::parse(column.ty, value, &TextStyle::default())?,
                            None => Datum::Null,
                        };
                        Source::Stored(at, column.ty, missing)
                    }
                    None => Source::Key,
                },
            );
        }
        Ok(Layout { sources, schema })
    }

    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub fn builders(&self, capacity: usize) -> Builders<'_> {
        let columns = self
            .sources
            .iter()
            .map(|source| {
                let ty = match source {
                    Source::Stored(_, ty, _) => *ty,
                    Source::Key => PgType::BYTEA,
                };
                ColumnBuilder::new(ty, ZONE, capacity)
            })
            .collect();
        Builders {
            layout: self,
            columns,
            rows: 0,
        }
    }

    pub fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }
}

/// A batch under construction.
pub(super) struct Builders<'l> {
    layout: &'l Layout,
    columns: Vec<ColumnBuilder>,
    pub rows: usize,
}

impl Builders<'_> {
    pub fn append(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        self.rows += 1;
        if self.columns.is_empty() {
            return Ok(());
        }
        let row = RowRef::new(row)?;
        let width = row.columns();
        for (source, builder) in self.layout.sources.iter().zip(&mut self.columns) {
            match source {
                Source::Stored(at, ty, _) if *at < width => row.append_to(*at, *ty, builder)?,
                Source::Stored(_, _, missing) => builder.append(missing)?,
                Source::Key => builder.append(&Datum::Bytea(key.into()))?,
            }
        }
        Ok(())
    }

    pub fn columns(&mut self) -> impl Iterator<Item = ArrayRef> {
        self.columns.iter_mut().map(ColumnBuilder::finish)
    }

    pub fn finish(mut self) -> Result<RecordBatch> {
        let columns = self.columns().collect();
        self.layout.batch(columns, self.rows)
    }
}

/// The values of a column in an array of their own, as another type has them.
pub(super) fn as_type(array: &dyn Array, from: PgType, to: PgType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(to, ZONE, array.len());
    for row in 0..array.len() {
        builder.append(&columns::get(array, row, from)?)?;
    }
    Ok(builder.finish())
}

/// Shared handle, for streams that outlive their plan.
pub(super) type SharedLayout = Arc<Layout>;
