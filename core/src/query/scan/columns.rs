//! Reads sealed rows as columns: batches cut from the columns of row groups, less what is gone.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewBuilder, BooleanArray, BooleanBufferBuilder, RecordBatch,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::FilterBuilder;

use super::super::bind::ZONE;
use super::metrics::Counters;
use super::prune::{Pruner, Pruning};
use super::rows::{BATCH_ROWS, Source};
use super::sealed::{Morsel, SealedScan, Takes, Work};
use super::walk::{Reading, RowBatches};
use crate::error::{Error, Result};
use crate::segment::Part;
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Datum, PgType};

/// One partition of a scan.
pub(super) struct ColumnRun {
    reading: Arc<Reading>,
    scan: Arc<SealedScan>,
    takes: Takes,
    pruning: Arc<Pruning>,
    /// Made when it is needed: filters may change before the first row is asked for.
    pruner: Option<Pruner>,
    counters: Counters,
    current: Option<Current>,
    left: usize,
}

enum Current {
    Columns(GroupBatches),
    Rows(RowBatches),
}

impl ColumnRun {
    pub fn new(
        reading: &Arc<Reading>,
        scan: &Arc<SealedScan>,
        takes: Takes,
        pruning: Arc<Pruning>,
        limit: Option<usize>,
        counters: Counters,
    ) -> ColumnRun {
        ColumnRun {
            reading: reading.clone(),
            scan: scan.clone(),
            takes,
            pruning,
            pruner: None,
            counters,
            current: None,
            left: limit.unwrap_or(usize::MAX),
        }
    }

    pub fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.left > 0 {
            self.reading.read.interrupt.check()?;
            let batch = match &mut self.current {
                Some(Current::Columns(group)) => group.next(&self.reading)?,
                Some(Current::Rows(rows)) => {
                    let batch = rows.next()?;
                    let count = batch.as_ref().map_or(0, RecordBatch::num_rows);
                    self.counters.unsealed.add(count);
                    batch
                }
                None => None,
            };
            match batch {
                Some(batch) => {
                    let batch = match batch.num_rows() > self.left {
                        true => batch.slice(0, self.left),
                        false => batch,
                    };
                    self.left -= batch.num_rows();
                    return Ok(Some(batch));
                }
                None => {
                    self.current = None;
                    if !self.take()? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Goes on with the next piece of work, if there is one.
    fn take(&mut self) -> Result<bool> {
        let at = self.takes.next();
        let Some(work) = self.scan.work.get(at) else {
            return Ok(false);
        };
        let pruner = self
            .pruner
            .get_or_insert_with(|| self.pruning.start(&self.reading, &self.scan));
        self.current = match work {
            Work::Unsealed(range) => Some(Current::Rows(RowBatches::unsealed(
                &self.reading,
                range.clone(),
                &self.counters,
            ))),
            Work::UnsealedRanges(ranges) => Some(Current::Rows(RowBatches::unsealed_ranges(
                &self.reading,
                ranges.clone(),
                &self.counters,
            ))),
            Work::Sealed(morsel) if pruner.keeps(at) => {
                self.counters.read.add(1);
                GroupBatches::open(&self.reading, &self.scan, morsel)?.map(Current::Columns)
            }
            Work::Sealed(_) => {
                self.counters.pruned.add(1);
                None
            }
        };
        Ok(true)
    }
}

/// A column of a row group.
enum Piece {
    Column(ArrayRef),
    /// The same value in all rows, of which one batch is enough.
    Constant(ArrayRef),
    Key,
}

/// Rows of one row group, batch by batch.
struct GroupBatches {
    part: Part,
    columns: Vec<Piece>,
    /// Number of the row group's first row.
    group_start: u32,
    /// Number of the first of the rows that are read.
    start: u32,
    /// Which of the rows that are read count; `None` when all do.
    live: Option<BooleanBuffer>,
    /// What has not been read yet.
    rest: Range<u32>,
}

impl GroupBatches {
    /// `None` when all rows are gone.
    fn open(reading: &Reading, scan: &SealedScan, morsel: &Morsel) -> Result<Option<GroupBatches>> {
        let part = scan.part(morsel)?;
        let live = live(reading, scan, morsel)?;
        if live.as_ref().is_some_and(|live| live.count_set_bits() == 0) {
            return Ok(None);
        }
        let group_start = scan.group(morsel)?.first_row;
        let mut pieces = Vec::with_capacity(reading.positions.len());
        for source in reading.layout.sources() {
            pieces.push(match source {
                Source::Key => Piece::Key,
                Source::Stored(at, ty, missing) => match part.segment.column(morsel.group, *at)? {
                    Some(column) => Piece::Column(of_type(column, part, *at, *ty)?),
                    None => Piece::Constant(constant(missing, *ty)?),
                },
            });
        }
        Ok(Some(GroupBatches {
            part: part.clone(),
            columns: pieces,
            group_start,
            start: morsel.rows.start,
            live,
            rest: morsel.rows.clone(),
        }))
    }

    fn next(&mut self, reading: &Reading) -> Result<Option<RecordBatch>> {
        while !self.rest.is_empty() {
            let count = self.rest.len().min(BATCH_ROWS);
            let first = self.rest.start;
            self.rest.start = first.saturating_add(count as u32);
            let rows = first..self.rest.start;
            let live = self.live.as_ref().map(|live| {
                let offset = first.saturating_sub(self.start) as usize;
                live.slice(offset, count)
            });
            let alive = live.as_ref().map_or(count, BooleanBuffer::count_set_bits);
            if alive == 0 {
                continue;
            }
            let live = live.filter(|_| alive < count);
            let columns = self.cut(rows, live)?;
            return reading.layout.batch(columns, alive).map(Some);
        }
        Ok(None)
    }

    fn cut(&self, rows: Range<u32>, live: Option<BooleanBuffer>) -> Result<Vec<ArrayRef>> {
        let count = rows.len();
        let offset = rows.start.saturating_sub(self.group_start) as usize;
        let filter = live
            .as_ref()
            .map(|live| FilterBuilder::new(&BooleanArray::new(live.clone(), None)).optimize());
        let filter = filter.map(FilterBuilder::build);
        let kept = |column: ArrayRef| match &filter {
            Some(filter) => filter.filter(column.as_ref()).map_err(Error::from),
            None => Ok(column),
        };
        self.columns
            .iter()
            .map(|piece| match piece {
                Piece::Column(column) if offset.saturating_add(count) > column.len() => Err(
                    Error::corrupted("a row group with fewer rows than announced"),
                ),
                Piece::Column(column) => kept(column.slice(offset, count)),
                Piece::Constant(column) => kept(column.slice(0, count)),
                Piece::Key => self.keys(rows.clone(), live.as_ref()),
            })
            .collect()
    }

    fn keys(&self, rows: Range<u32>, live: Option<&BooleanBuffer>) -> Result<ArrayRef> {
        let mut builder = BinaryViewBuilder::with_capacity(rows.len());
        for (at, row) in rows.enumerate() {
            if live.is_none_or(|live| live.value(at)) {
                builder.append_value(self.part.segment.key(row)?);
            }
        }
        Ok(Arc::new(builder.finish()))
    }
}

/// Which rows count; `None` when all do.
fn live(reading: &Reading, scan: &SealedScan, morsel: &Morsel) -> Result<Option<BooleanBuffer>> {
    let part = scan.part(morsel)?;
    let rows = &morsel.rows;
    let hidden = scan.hidden(&reading.read.view, reading.table.storage)?;
    let hidden = hidden.get(morsel.part).map_or(&[][..], Vec::as_slice);
    let from = hidden.partition_point(|row| *row < rows.start);
    let own = hidden
        .iter()
        .skip(from)
        .copied()
        .take_while(|row| *row < rows.end);
    let mut gone = part
        .deleted
        .between(rows.start, rows.end)
        .chain(own)
        .peekable();
    if rows.is_empty() || gone.peek().is_none() {
        return Ok(None);
    }
    let mut live = BooleanBufferBuilder::new(rows.len());
    live.append_n(rows.len(), true);
    for row in gone {
        live.set_bit(row.saturating_sub(rows.start) as usize, false);
    }
    Ok(Some(live.finish()))
}

/// A column as the table has it now: its type may have been changed without its rows.
fn of_type(column: ArrayRef, part: &Part, at: usize, ty: PgType) -> Result<ArrayRef> {
    if *column.data_type() == columns::data_type(ty, ZONE) {
        return Ok(column);
    }
    let layout = &part.segment.meta().layout;
    let from = layout
        .columns
        .get(at)
        .map(|column| column.ty)
        .ok_or_else(|| Error::internal("a column that no layout has"))?;
    let mut builder = ColumnBuilder::new(ty, ZONE, column.len());
    for row in 0..column.len() {
        builder.append(&columns::get(column.as_ref(), row, from)?)?;
    }
    Ok(builder.finish())
}

/// A batch of one value.
fn constant(value: &Datum<'static>, ty: PgType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty, ZONE, BATCH_ROWS);
    for _ in 0..BATCH_ROWS {
        builder.append(value)?;
    }
    Ok(builder.finish())
}
