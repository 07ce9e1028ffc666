//! Unsealed rows as columns, kept from one query to the next.
//!
//! The rows of a key range in key order, cut into pieces, with their keys and the columns that somebody
//! asked for, as of one commit. What later commits wrote is merged into the pieces that it falls into;
//! the others are shared by both states. Pieces of one state share no memory.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryViewBuilder, MutableArrayData, make_array,
    new_empty_array,
};
use arrow::datatypes::{DataType, Schema};

use super::super::bind::ZONE;
use super::rows::Layout;
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::types::PgType;
use crate::types::columns::{compact, data_type, own};

/// What changes is cut into pieces of so many rows, so that the next change copies no more than that.
const CUT_ROWS: usize = if cfg!(test) { 16 } else { 2048 };
/// What kept rows cost besides their pieces, and a piece besides its columns.
const ENTRY_BYTES: usize = 256;
const PIECE_BYTES: usize = 128;
/// Each merge leaves a buffer of the new values behind; after so many of them they become one.
const MAX_MERGES: u32 = if cfg!(test) { 4 } else { 64 };
/// A column that nobody asked for while there were so many changes is not kept.
const MAX_IDLE: u32 = if cfg!(test) { 6 } else { 64 };
/// With more changes than one in so many rows, all are decoded anew: row by row from first to last is
/// faster than key by key.
const CHANGED_SHARE: usize = 4;
/// Pieces that have shrunk to so little of what they could hold, on average, are put together anew.
const SHRUNK_SHARE: usize = 8;

/// A column of a table as it is decoded: it may get another type without its rows being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// In the table.
    pub position: usize,
    pub ty: PgType,
}

#[derive(Debug)]
struct Known {
    column: Column,
    /// Changes since it was asked for.
    idle: AtomicU32,
}

/// Rows of one key range in one state.
#[derive(Debug)]
pub(super) struct Kept {
    /// They are as of this commit.
    pub version: u64,
    columns: Vec<Known>,
    pieces: Vec<Arc<Piece>>,
}

#[derive(Debug)]
pub(super) struct Piece {
    keys: ArrayRef,
    /// One for each known column.
    columns: Vec<ArrayRef>,
    merges: u32,
}

/// Reads the row of a key, if it is unsealed.
pub(super) type ReadRow<'a, R> = &'a dyn Fn(&[u8]) -> Result<Option<R>>;

impl Piece {
    pub fn new(keys: ArrayRef, columns: Vec<ArrayRef>) -> Piece {
        Piece {
            keys: compact(keys),
            columns: columns.into_iter().map(compact).collect(),
            merges: 0,
        }
    }

    pub fn keys(&self) -> &ArrayRef {
        &self.keys
    }

    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    pub fn column(&self, at: usize) -> Option<&ArrayRef> {
        self.columns.get(at)
    }

    fn key(&self, at: usize) -> &[u8] {
        self.keys.as_binary_view().value(at)
    }

    pub fn first_key(&self) -> Option<&[u8]> {
        (self.rows() > 0).then(|| self.key(0))
    }

    pub fn last_key(&self) -> Option<&[u8]> {
        self.rows().checked_sub(1).map(|last| self.key(last))
    }

    /// How many keys sort before one; none of the first `from` does not.
    fn rank(&self, key: &[u8], from: usize) -> usize {
        let (mut low, mut high) = (from, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle) < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    pub fn bytes(&self) -> usize {
        let arrays = std::iter::once(&self.keys).chain(&self.columns);
        let bytes = arrays.map(|array| array.get_array_memory_size());
        PIECE_BYTES + bytes.sum::<usize>()
    }

    /// The piece with some more columns.
    pub fn with(&self, more: impl Iterator<Item = ArrayRef>) -> Piece {
        let known = self.columns.iter().cloned();
        Piece {
            keys: self.keys.clone(),
            columns: known.chain(more.map(compact)).collect(),
            merges: self.merges,
        }
    }

    fn only(&self, columns: &[usize]) -> Piece {
        let chosen = columns.iter().filter_map(|at| self.columns.get(*at));
        Piece {
            keys: self.keys.clone(),
            columns: chosen.cloned().collect(),
            merges: self.merges,
        }
    }
}

impl Kept {
    pub fn new(version: u64, columns: &[Column], pieces: Vec<Arc<Piece>>) -> Kept {
        let known = columns.iter().map(|column| Known {
            column: *column,
            idle: AtomicU32::new(0),
        });
        Kept {
            version,
            columns: known.collect(),
            pieces,
        }
    }

    pub fn pieces(&self) -> &[Arc<Piece>] {
        &self.pieces
    }

    pub fn rows(&self) -> usize {
        self.pieces.iter().map(|piece| piece.rows()).sum()
    }

    pub fn bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| piece.bytes());
        ENTRY_BYTES + pieces.sum::<usize>()
    }

    pub fn columns(&self) -> Vec<Column> {
        self.columns.iter().map(|known| known.column).collect()
    }

    /// Where a column is. It counts as used.
    pub fn place(&self, column: Column) -> Option<usize> {
        let place = self
            .columns
            .iter()
            .position(|known| known.column == column)?;
        if let Some(known) = self.columns.get(place) {
            known.idle.store(0, Ordering::Relaxed);
        }
        Some(place)
    }

    /// The columns that are worth keeping in step with a table as it is now.
    pub fn used(&self, table: &Table) -> Vec<usize> {
        let used = |known: &Known| {
            let now = table.columns.get(known.column.position);
            let same = now.is_some_and(|now| !now.dropped && now.ty == known.column.ty);
            same && known.idle.load(Ordering::Relaxed) < MAX_IDLE
        };
        let all = self.columns.iter().enumerate();
        all.filter(|(_, known)| used(known))
            .map(|(at, _)| at)
            .collect()
    }

    /// The state in which the rows of some keys are what `read` says, with some of the columns. `None`
    /// when to decode all rows is better.
    pub fn changed<R: AsRef<[u8]>>(
        &self,
        version: u64,
        keys: &BTreeSet<Vec<u8>>,
        table: &Table,
        columns: &[usize],
        read: ReadRow<'_, R>,
    ) -> Result<Option<Kept>> {
        let rows = self.rows();
        if keys.len() > CUT_ROWS && keys.len() > rows / CHANGED_SHARE {
            return Ok(None);
        }
        let known: Vec<&Known> = columns
            .iter()
            .filter_map(|at| self.columns.get(*at))
            .collect();
        let merge = Merge::new(table, &known, read)?;
        let nothing;
        let before = match self.pieces.as_slice() {
            [] => {
                nothing = [Arc::new(merge.nothing())];
                &nothing[..]
            }
            pieces => pieces,
        };
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut rest = keys.as_slice();
        let mut pieces = Vec::with_capacity(before.len() + 1);
        for (at, piece) in before.iter().enumerate() {
            let next = before.get(at + 1).and_then(|next| next.first_key());
            let within = next.map_or(rest.len(), |next| rest.partition_point(|key| *key < next));
            let (here, behind) = rest.split_at(within);
            rest = behind;
            let piece = match columns.len() == piece.columns.len() {
                true => piece.clone(),
                false => Arc::new(piece.only(columns)),
            };
            match here {
                [] => pieces.push(piece),
                here => merge.piece(&piece, here, &mut pieces)?,
            }
        }
        pieces.retain(|piece| piece.rows() > 0);
        let kept = Kept {
            version,
            columns: known
                .iter()
                .map(|known| Known {
                    column: known.column,
                    idle: AtomicU32::new(known.idle.load(Ordering::Relaxed).saturating_add(1)),
                })
                .collect(),
            pieces,
        };
        let room = kept.pieces.len().saturating_mul(CUT_ROWS);
        let shrunk = kept.pieces.len() > SHRUNK_SHARE && kept.rows() < room / SHRUNK_SHARE;
        Ok((!shrunk).then_some(kept))
    }
}

/// Changes on their way into pieces.
struct Merge<'a, R> {
    layout: Layout,
    types: Vec<PgType>,
    read: ReadRow<'a, R>,
}

/// Rows of the piece (0) or of the changes (1) that stay together.
type Run = (usize, Range<usize>);

fn push(runs: &mut Vec<Run>, source: usize, rows: Range<usize>) {
    match runs.last_mut() {
        _ if rows.is_empty() => {}
        Some((last, known)) if *last == source && known.end == rows.start => known.end = rows.end,
        _ => runs.push((source, rows)),
    }
}

impl<'a, R: AsRef<[u8]>> Merge<'a, R> {
    fn new(table: &Table, columns: &[&Known], read: ReadRow<'a, R>) -> Result<Self> {
        let positions: Vec<Option<usize>> = columns
            .iter()
            .map(|known| Some(known.column.position))
            .collect();
        Ok(Merge {
            layout: Layout::new(table, &positions, Arc::new(Schema::empty()))?,
            types: columns.iter().map(|known| known.column.ty).collect(),
            read,
        })
    }

    /// A piece without rows.
    fn nothing(&self) -> Piece {
        let types = self.types.iter().map(|ty| data_type(*ty, ZONE));
        Piece::new(
            new_empty_array(&DataType::BinaryView),
            types.map(|data| new_empty_array(&data)).collect(),
        )
    }

    /// Puts the changes of some keys, ascending, among the rows of a piece.
    fn piece(&self, piece: &Piece, keys: &[&[u8]], out: &mut Vec<Arc<Piece>>) -> Result<()> {
        let mut runs = Vec::with_capacity(keys.len() * 2 + 1);
        let mut rows = self.layout.builders(keys.len());
        let mut row_keys = BinaryViewBuilder::with_capacity(keys.len());
        let mut at = 0;
        for key in keys {
            let place = piece.rank(key, at);
            push(&mut runs, 0, at..place);
            at = place + usize::from(place < piece.rows() && piece.key(place) == *key);
            if let Some(row) = (self.read)(key)? {
                let new = rows.rows;
                push(&mut runs, 1, new..new + 1);
                rows.append(key, row.as_ref())?;
                row_keys.append_value(key);
            }
        }
        push(&mut runs, 0, at..piece.rows());
        let mut new: Vec<ArrayRef> = vec![Arc::new(row_keys.finish())];
        new.extend(rows.columns());
        // Builders reserve room for more strings than one row has.
        let new: Vec<ArrayRef> = new.into_iter().map(compact).collect();
        let total: usize = runs.iter().map(|(_, rows)| rows.len()).sum();
        let parts = total.div_ceil(CUT_ROWS).max(1);
        let merges = piece.merges.saturating_add(1);
        let alone = parts == 1 && merges < MAX_MERGES;
        for part in 0..parts {
            let runs = between(&runs, total * part / parts..total * (part + 1) / parts);
            let known = std::iter::once(&piece.keys).chain(&piece.columns);
            let arrays = known.zip(&new).map(|(known, new)| {
                let array = merged(known, new, &runs)?;
                Ok(if alone { compact(array) } else { own(array) })
            });
            let mut arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?.into_iter();
            out.push(Arc::new(Piece {
                keys: arrays
                    .next()
                    .ok_or_else(|| Error::internal("a piece without keys"))?,
                columns: arrays.collect(),
                merges: if alone { merges } else { 0 },
            }));
        }
        Ok(())
    }
}

/// The part of some runs that holds the given rows of all of them.
fn between(runs: &[Run], rows: Range<usize>) -> Vec<Run> {
    let mut found = Vec::new();
    let mut before = 0;
    for (source, run) in runs {
        let from = rows.start.clamp(before, before + run.len()) - before;
        let to = rows.end.clamp(before, before + run.len()) - before;
        push(&mut found, *source, run.start + from..run.start + to);
        before += run.len();
    }
    found
}

fn merged(known: &ArrayRef, new: &ArrayRef, runs: &[Run]) -> Result<ArrayRef> {
    if known.data_type() != new.data_type() {
        return Err(Error::internal("a kept column of another type"));
    }
    let sources: [ArrayData; 2] = [known.to_data(), new.to_data()];
    let rows = runs.iter().map(|(_, rows)| rows.len()).sum();
    let mut all = MutableArrayData::new(sources.iter().collect(), false, rows);
    for (source, rows) in runs {
        all.try_extend(*source, rows.start, rows.end)?;
    }
    Ok(make_array(all.freeze()))
}
