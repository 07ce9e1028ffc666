//! Reads sealed rows as columns: batches cut from the columns of row groups, less what is gone and what
//! does not match.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewBuilder, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use super::super::bind::ZONE;
use super::filter::{RowFilter, Rows, count};
use super::metrics::Counters;
use super::prune::{Pruner, Pruning};
use super::rows::{BATCH_ROWS, Source, as_type};
use super::sealed::{Morsel, SealedScan, Takes, Work};
use super::walk::{Reading, RowBatches};
use crate::error::{Error, Result};
use crate::segment::{Part, Pieces};
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Datum, PgType};

/// With at most one in so many pieces to read, the others are not decoded.
const FEW_PIECES: usize = 2;

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
        match current {
            Current::Columns(group) => {
                let Some((mut slice, live)) = group.next() else {
                    return Ok(false);
                };
                let known = count(live.as_ref(), slice.count());
                let selected = filter.select(&mut slice, live)?;
                let kept = count(selected.as_ref(), slice.count());
                self.counters.pieces.add(1);
                self.counters.removed.add(known.saturating_sub(kept));
                filter.push(&mut slice, selected)?;
            }
            Current::Rows(rows) => {
                let Some(mut batch) = rows.next()? else {
                    return Ok(false);
                };
                self.counters.unsealed.add(batch.num_rows());
                let selected = filter.select(&mut batch, None)?;
                let kept = count(selected.as_ref(), batch.num_rows());
                self.counters
                    .removed
                    .add(batch.num_rows().saturating_sub(kept));
                filter.push(&mut batch, selected)?;
            }
        }
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
                let pieces = pruner.pieces(morsel);
                let opened = GroupBatches::open(&self.reading, &self.scan, morsel, pieces)?;
                if let Some(group) = &opened {
                    self.counters.read.add(1);
                    self.counters.pieces_pruned.add(group.pruned);
                    self.scan.note_read(morsel);
                } else {
                    self.counters.pruned.add(1);
                }
                opened.map(Current::Columns)
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
enum Column {
    /// Nobody has asked for it.
    Unread,
    Pieces(Pieces),
    /// Only the wanted pieces.
    Some(Pieces),
    /// The same value in all rows, of which one batch is enough.
    Constant(ArrayRef),
}

/// Rows of one row group, batch by batch.
struct GroupBatches {
    reading: Arc<Reading>,
    part: Part,
    /// Number of the row group.
    group: usize,
    columns: Vec<Column>,
    /// Number of the row group's first row.
    group_start: u32,
    /// Number of the first of the rows that are read.
    start: u32,
    /// Which of the rows that are read count; `None` when all do.
    live: Option<BooleanBuffer>,
    /// What has not been read yet.
    rest: Range<u32>,
    /// The pieces that may have a row that matches, ascending; `None` for all.
    wanted: Option<Vec<usize>>,
    /// Pieces that are left out.
    pruned: usize,
    /// Whether so few are wanted that the others are not decoded.
    few: bool,
}

impl GroupBatches {
    /// `None` when no row can match, or all rows are gone. `kept` says which pieces may have one that
    /// does; without it all of them may.
    fn open(
        reading: &Arc<Reading>,
        scan: &SealedScan,
        morsel: &Morsel,
        kept: Option<Vec<bool>>,
    ) -> Result<Option<GroupBatches>> {
        let group_start = scan.group(morsel)?.first_row;
        let within = |row: u32| row.saturating_sub(group_start) as usize;
        let pieces =
            within(morsel.rows.start) / BATCH_ROWS..within(morsel.rows.end).div_ceil(BATCH_ROWS);
        let all = pieces.len();
        let wanted = kept.map(|kept| {
            let wanted = pieces.filter(|piece| kept.get(*piece).copied().unwrap_or(true));
            wanted.collect::<Vec<usize>>()
        });
        let left = wanted.as_ref().map_or(all, Vec::len);
        if left == 0 {
            return Ok(None);
        }
        let live = live(reading, scan, morsel)?;
        if live.as_ref().is_some_and(|live| live.count_set_bits() == 0) {
            return Ok(None);
        }
        let sources = reading.layout.sources();
        Ok(Some(GroupBatches {
            reading: reading.clone(),
            part: scan.part(morsel)?.clone(),
            group: morsel.group,
            columns: sources.iter().map(|_| Column::Unread).collect(),
            group_start,
            start: morsel.rows.start,
            live,
            rest: morsel.rows.clone(),
            wanted,
            pruned: all - left,
            few: left <= all / FEW_PIECES,
        }))
    }

    /// The next rows, those that are gone among them, and which count; `None` when all do.
    fn next(&mut self) -> Option<(Slice<'_>, Option<BooleanBuffer>)> {
        while !self.rest.is_empty() {
            let first = self.rest.start;
            // No further than the piece of the columns: a batch is one piece, not two joined.
            let place = first.saturating_sub(self.group_start) as usize;
            let (number, offset) = (place / BATCH_ROWS, place % BATCH_ROWS);
            let length = self.rest.len().min(BATCH_ROWS.saturating_sub(offset));
            self.rest.start = first.saturating_add(length as u32);
            let wanted = self.wanted.as_ref();
            if wanted.is_some_and(|wanted| wanted.binary_search(&number).is_err()) {
                continue;
            }
            let live = self.live.as_ref().map(|live| {
                let offset = first.saturating_sub(self.start) as usize;
                live.slice(offset, length)
            });
            let alive = count(live.as_ref(), length);
            if alive == 0 {
                continue;
            }
            let slice = Slice {
                group: self,
                first,
                number,
                offset,
                length,
            };
            return Some((slice, live.filter(|_| alive < length)));
        }
        None
    }

    fn read(&self, at: usize, ty: PgType, missing: &Datum<'static>) -> Result<Column> {
        let segment = &self.part.segment;
        if let (Some(wanted), true) = (&self.wanted, self.few)
            && let Some(some) = segment.some_pieces(self.group, at, wanted)?
        {
            return Ok(Column::Some(of_type(some.into(), &self.part, at, ty)?));
        }
        Ok(match segment.pieces(self.group, at)? {
            Some(column) => Column::Pieces(of_type(column, &self.part, at, ty)?),
            None => Column::Constant(constant(missing, ty)?),
        })
    }
}

/// Rows of one piece of a row group.
struct Slice<'a> {
    group: &'a mut GroupBatches,
    /// Number of the first one in its segment.
    first: u32,
    /// Number of the piece, and place of the first row in it.
    number: usize,
    offset: usize,
    length: usize,
}

impl Rows for Slice<'_> {
    fn count(&self) -> usize {
        self.length
    }

    fn column(&mut self, at: usize, selected: Option<&BooleanBuffer>) -> Result<ArrayRef> {
        let group = &mut *self.group;
        let absent = || Error::internal("a column that a scan does not read");
        let reading = group.reading.clone();
        let (position, ty, missing) = match reading.layout.sources().get(at).ok_or_else(absent)? {
            Source::Key => return keys(&group.part, self.first, self.length, selected),
            Source::Stored(position, ty, missing) => (*position, *ty, missing),
        };
        if matches!(group.columns.get(at), Some(Column::Unread)) {
            let column = group.read(position, ty, missing)?;
            if let Some(slot) = group.columns.get_mut(at) {
                *slot = column;
            }
        }
        let whole = match group.columns.get(at).ok_or_else(absent)? {
            Column::Pieces(column) => column.get(self.number),
            Column::Some(column) => {
                let wanted = group.wanted.as_ref();
                let place = wanted.and_then(|wanted| wanted.binary_search(&self.number).ok());
                place.and_then(|place| column.get(place))
            }
            Column::Constant(column) => return Ok(column.slice(0, self.length)),
            Column::Unread => return Err(absent()),
        };
        match whole {
            Some(whole) if (self.offset, self.length) == (0, whole.len()) => Ok(whole.clone()),
            Some(whole) if self.offset.saturating_add(self.length) <= whole.len() => {
                Ok(whole.slice(self.offset, self.length))
            }
            _ => Err(Error::corrupted(
                "a row group with fewer rows than announced",
            )),
        }
    }
}

/// The keys of the selected ones of some rows; others come out empty.
fn keys(
    part: &Part,
    first: u32,
    length: usize,
    selected: Option<&BooleanBuffer>,
) -> Result<ArrayRef> {
    let mut keys = BinaryViewBuilder::with_capacity(length);
    for (at, row) in (first..).take(length).enumerate() {
        match selected.is_none_or(|selected| selected.value(at)) {
            true => keys.append_value(part.segment.key(row)?),
            false => keys.append_value(b""),
        }
    }
    Ok(Arc::new(keys.finish()))
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
    let pieces = column.iter();
    pieces
        .map(|piece| as_type(piece.as_ref(), from, ty))
        .collect()
}

/// A batch of one value.
fn constant(value: &Datum<'static>, ty: PgType) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty, ZONE, BATCH_ROWS);
    for _ in 0..BATCH_ROWS {
        builder.append(value)?;
    }
    Ok(builder.finish())
}
