//! Reads sealed rows as columns: batches cut from the columns of row groups, less what is gone and what
//! does not match.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BinaryViewBuilder, BooleanBufferBuilder, RecordBatch,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use super::super::bind::ZONE;
use super::filter::{RowFilter, count};
use super::metrics::Counters;
use super::prune::{Pruner, Pruning};
use super::rows::{BATCH_ROWS, Source};
use super::sealed::{Morsel, SealedScan, Takes, Work};
use super::walk::{Reading, RowBatches};
use crate::error::{Error, Result};
use crate::segment::{Part, Pieces};
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
    /// Made when the first batch is there, for the same reason.
    filter: Option<RowFilter>,
    output: Output,
    left: usize,
    /// Nothing is left but what the filter has gathered.
    ended: bool,
}

/// What a scan shows of its columns.
#[derive(Clone)]
pub(super) struct Output {
    pub schema: SchemaRef,
    /// Which columns of the layout; `None` for all.
    pub columns: Option<Arc<[usize]>>,
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
        (output, limit): (Output, Option<usize>),
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
            filter: None,
            output,
            left: limit.unwrap_or(usize::MAX),
            ended: false,
        }
    }

    pub fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.left > 0 {
            self.reading.read.interrupt.check()?;
            if let Some(batch) = self.filter.as_mut().and_then(RowFilter::next) {
                let batch = match batch.num_rows() > self.left {
                    true => batch.slice(0, self.left),
                    false => batch,
                };
                self.left -= batch.num_rows();
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            if !self.step()? {
                self.current = None;
                if !self.take()? {
                    self.ended = true;
                    if let Some(filter) = &mut self.filter {
                        filter.finish()?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Filters the next batch of what is at hand, if there is one.
    fn step(&mut self) -> Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        let filter = match &mut self.filter {
            Some(filter) => filter,
            None => self.filter.insert(self.pruning.row_filter(
                &self.reading.layout.schema,
                self.output.columns.clone(),
                self.output.schema.clone(),
            )?),
        };
        let (batch, live, selected) = match current {
            Current::Columns(group) => {
                let Some(Slice { first, batch, live }) = group.next(&self.reading)? else {
                    return Ok(false);
                };
                let known = count(live.as_ref(), batch.num_rows());
                let selected = filter.select(&batch, live)?;
                let batch = group.with_keys(batch, first, selected.as_ref())?;
                (batch, known, selected)
            }
            Current::Rows(rows) => {
                let Some(batch) = rows.next()? else {
                    return Ok(false);
                };
                self.counters.unsealed.add(batch.num_rows());
                let selected = filter.select(&batch, None)?;
                let rows = batch.num_rows();
                (batch, rows, selected)
            }
        };
        let kept = count(selected.as_ref(), batch.num_rows());
        self.counters.removed.add(live.saturating_sub(kept));
        filter.push(batch, selected)?;
        Ok(true)
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
            )?)),
            Work::UnsealedRanges(ranges) => Some(Current::Rows(RowBatches::unsealed_ranges(
                &self.reading,
                ranges.clone(),
                &self.counters,
            ))),
            Work::Sealed(morsel) if pruner.keeps(at) => {
                self.counters.read.add(1);
                self.scan.note_read(morsel);
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
    Column(Pieces),
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
                Source::Stored(at, ty, missing) => match part.segment.pieces(morsel.group, *at)? {
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

    /// The next rows, those that are gone among them; keys are left empty.
    fn next(&mut self, reading: &Reading) -> Result<Option<Slice>> {
        while !self.rest.is_empty() {
            let first = self.rest.start;
            // No further than the piece of the columns: a batch is one piece, not two joined.
            let within = first.saturating_sub(self.group_start) as usize % BATCH_ROWS;
            let length = self.rest.len().min(BATCH_ROWS.saturating_sub(within));
            self.rest.start = first.saturating_add(length as u32);
            let live = self.live.as_ref().map(|live| {
                let offset = first.saturating_sub(self.start) as usize;
                live.slice(offset, length)
            });
            let alive = count(live.as_ref(), length);
            if alive == 0 {
                continue;
            }
            let offset = first.saturating_sub(self.group_start) as usize;
            let (number, offset) = (offset / BATCH_ROWS, offset % BATCH_ROWS);
            let columns = self.columns.iter().map(|piece| match piece {
                Piece::Column(column) => match column.get(number) {
                    Some(whole) if (offset, length) == (0, whole.len()) => Ok(whole.clone()),
                    Some(whole) if offset.saturating_add(length) <= whole.len() => {
                        Ok(whole.slice(offset, length))
                    }
                    _ => Err(Error::corrupted(
                        "a row group with fewer rows than announced",
                    )),
                },
                Piece::Constant(column) => Ok(column.slice(0, length)),
                Piece::Key => Ok(no_keys(length)),
            });
            return Ok(Some(Slice {
                first,
                batch: reading
                    .layout
                    .batch(columns.collect::<Result<_>>()?, length)?,
                live: live.filter(|_| alive < length),
            }));
        }
        Ok(None)
    }

    /// The batch with the keys of the selected rows, where keys are asked for.
    fn with_keys(
        &self,
        slice: RecordBatch,
        first: u32,
        selected: Option<&BooleanBuffer>,
    ) -> Result<RecordBatch> {
        if !self.columns.iter().any(|piece| matches!(piece, Piece::Key)) {
            return Ok(slice);
        }
        let mut keys = BinaryViewBuilder::with_capacity(slice.num_rows());
        for (at, row) in (first..).take(slice.num_rows()).enumerate() {
            match selected.is_none_or(|selected| selected.value(at)) {
                true => keys.append_value(self.part.segment.key(row)?),
                false => keys.append_value(b""),
            }
        }
        let keys: ArrayRef = Arc::new(keys.finish());
        let columns = slice.columns().iter().zip(&self.columns);
        let columns = columns.map(|(column, piece)| match piece {
            Piece::Key => keys.clone(),
            Piece::Column(_) | Piece::Constant(_) => column.clone(),
        });
        Ok(RecordBatch::try_new(slice.schema(), columns.collect())?)
    }
}

/// Rows of a row group.
struct Slice {
    /// Number of the first one in its segment.
    first: u32,
    batch: RecordBatch,
    /// Which of them count; `None` when all do.
    live: Option<BooleanBuffer>,
}

/// As many empty keys.
fn no_keys(rows: usize) -> ArrayRef {
    Arc::new(BinaryViewArray::from_iter_values(std::iter::repeat_n(
        b"", rows,
    )))
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
fn of_type(column: Pieces, part: &Part, at: usize, ty: PgType) -> Result<Pieces> {
    let wanted = columns::data_type(ty, ZONE);
    if column.iter().all(|piece| *piece.data_type() == wanted) {
        return Ok(column);
    }
    let layout = &part.segment.meta().layout;
    let from = layout
        .columns
        .get(at)
        .map(|column| column.ty)
        .ok_or_else(|| Error::internal("a column that no layout has"))?;
    let pieces = column.iter().map(|piece| {
        let mut builder = ColumnBuilder::new(ty, ZONE, piece.len());
        for row in 0..piece.len() {
            builder.append(&columns::get(piece.as_ref(), row, from)?)?;
        }
        Ok(builder.finish())
    });
    pieces.collect()
}

/// A batch of one value.
fn constant(value: &Datum<'static>, ty: PgType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty, ZONE, BATCH_ROWS);
    for _ in 0..BATCH_ROWS {
        builder.append(value)?;
    }
    Ok(builder.finish())
}
