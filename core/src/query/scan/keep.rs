//! Scans of unsealed rows that are kept ([`Kept`]): what is there is brought up to date, what is missing
//! is read and kept.

use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewBuilder, RecordBatch};
use arrow::datatypes::Schema;

use super::cache::{Claim, ColumnCache, Name};
use super::kept::{Column, Kept, Piece};
use super::ranges::{KeyRange, as_slices};
use super::rows::Layout;
use super::walk::Reading;
use crate::error::{Error, Result};
use crate::storage::CATALOG_TABLE;

/// How the scan of a key range uses what is kept.
pub(super) struct Keeper {
    cache: Arc<ColumnCache>,
    name: Name,
    /// What the view shows of what is stored, apart from own writes.
    version: u64,
    /// One for each column of the scan; none for the row key.
    columns: Vec<Option<Column>>,
    /// The transaction has written to the table: what only it sees is kept for nobody.
    own: bool,
    /// Of the table, apart from own writes and sealed ones.
    rows: u64,
}

impl Keeper {
    pub fn of(reading: &Reading, range: &KeyRange) -> Option<Keeper> {
        let cache = reading.cache.as_ref().filter(|cache| cache.limit() > 0)?;
        let (view, table) = (&reading.read.view, reading.table.storage);
        view.remember(table, Bound::Unbounded, Bound::Unbounded);
        // A column of a table that nobody else sees so may have other values in rows from before it.
        if view.has_dropped(table) || view.has_own(CATALOG_TABLE) {
            return None;
        }
        let columns = reading.positions.iter().map(|position| {
            let Some(position) = *position else {
                return Some(None);
            };
            let ty = reading.table.columns.get(position)?.ty;
            Some(Some(Column { position, ty }))
        });
        let snapshot = view.snapshot();
        // Before anything is read: what is kept is followed from then on.
        snapshot.follow(table);
        Some(Keeper {
            cache: cache.clone(),
            name: Name {
                table,
                generation: snapshot.tiers().generation(table),
                range: range.clone(),
            },
            version: snapshot.last_modified(table),
            columns: columns.collect::<Option<_>>()?,
            own: view.has_own(table),
            rows: snapshot.unsealed_len(table).ok()?,
        })
    }

    /// The kept rows as the view shows them, if any are kept that can be made to be.
    pub fn find(&self, reading: &Arc<Reading>) -> Result<Option<KeptBatches>> {
        let Some(kept) = self.cache.get(&self.name) else {
            return Ok(None);
        };
        let Some(mut kept) = self.current(reading, kept)? else {
            return Ok(None);
        };
        let mut missing: Vec<Column> = Vec::new();
        let places = self.columns.iter().map(|column| {
            let column = (*column)?;
            Some(kept.place(column).unwrap_or_else(|| {
                missing.push(column);
                kept.columns().len() + missing.len() - 1
            }))
        });
        let mut places: Vec<Option<usize>> = places.collect();
        if self.own {
            if !missing.is_empty() {
                return Ok(None);
            }
            let mut columns: Vec<usize> = places.iter().flatten().copied().collect();
            columns.sort_unstable();
            columns.dedup();
            let Some(changed) = self.with_own(reading, &kept, &columns)? else {
                return Ok(None);
            };
            kept = Arc::new(changed);
            for place in places.iter_mut().flatten() {
                *place = columns.partition_point(|column| column < place);
            }
        }
        let rows = kept.rows() as u64;
        Ok(Some(KeptBatches {
            reading: reading.clone(),
            kept,
            places,
            at: 0,
            missing: match missing.is_empty() {
                true => None,
                false => Some(Missing::new(self, reading, missing, rows)?),
            },
        }))
    }

    /// What is kept, as of the view's version.
    fn current(&self, reading: &Reading, kept: Arc<Kept>) -> Result<Option<Arc<Kept>>> {
        if kept.version == self.version {
            return Ok(Some(kept));
        }
        let snapshot = reading.read.view.snapshot();
        let table = self.name.table;
        if kept.version > self.version {
            return Ok(None);
        }
        let Some(mut keys) = snapshot.changed_since(table, kept.version) else {
            return Ok(None);
        };
        let range = as_slices(&self.name.range);
        keys.retain(|key| std::ops::RangeBounds::<[u8]>::contains(&range, key.as_slice()));
        let interrupt = &reading.read.interrupt;
        let read = |key: &[u8]| {
            interrupt.check()?;
            snapshot.unsealed(table, key)
        };
        let change =
            |columns: &[usize]| kept.changed(self.version, &keys, &reading.table, columns, &read);
        let wanted = |at: &usize| {
            let columns = kept.columns();
            let column = columns.get(*at).copied();
            column.is_some_and(|column| self.columns.contains(&Some(column)))
        };
        let used = kept.used(&reading.table);
        let changed = match change(&used) {
            Ok(changed) => changed,
            // A value that cannot be shown concerns only who asks for its column.
            Err(_) => change(&used.into_iter().filter(wanted).collect::<Vec<_>>())?,
        };
        let changed = changed.map(Arc::new);
        if let Some(changed) = &changed {
            self.cache.put(self.name.clone(), changed.clone());
        }
        Ok(changed)
    }

    /// The rows with own writes laid over them.
    fn with_own(&self, reading: &Reading, kept: &Kept, columns: &[usize]) -> Result<Option<Kept>> {
        let (view, table) = (&reading.read.view, self.name.table);
        let (from, to) = as_slices(&self.name.range);
        let keys = view.own_keys(table, from, to).collect();
        let read = |key: &[u8]| {
            reading.read.interrupt.check()?;
            view.unsealed(table, key)
        };
        kept.changed(self.version, &keys, &reading.table, columns, &read)
    }

    /// Where the rows are gathered that a scan reads, for others.
    pub fn fill(self) -> Option<Fill> {
        if self.own || self.columns.is_empty() {
            return None;
        }
        Some(Fill {
            keys: BinaryViewBuilder::new(),
            pieces: Vec::new(),
            claim: Claim::new(self.cache.clone()),
            keeper: self,
        })
    }
}

/// Rows on their way into the cache.
pub(super) struct Fill {
    keeper: Keeper,
    /// Of the next piece.
    keys: BinaryViewBuilder,
    pieces: Vec<Arc<Piece>>,
    claim: Claim,
}

impl Fill {
    pub fn add_key(&mut self, key: &[u8]) {
        self.keys.append_value(key);
    }

    /// Takes the rows whose keys were added; `None` when there is no room for them.
    pub fn with(mut self, batch: &RecordBatch) -> Option<Fill> {
        let keys = std::mem::take(&mut self.keys).finish();
        let columns = batch.columns().iter().zip(&self.keeper.columns);
        let columns = columns
            .filter(|(_, column)| column.is_some())
            .map(|(array, _)| array.clone());
        let piece = Piece::new(Arc::new(keys), columns.collect());
        let (bytes, rows) = (piece.bytes(), piece.rows());
        if !self.claim.grow(bytes, rows, self.keeper.rows) {
            return None;
        }
        self.pieces.push(Arc::new(piece));
        Some(self)
    }

    /// The scan came to its end: its rows are whole.
    pub fn finish(self) {
        let keeper = self.keeper;
        let columns: Vec<Column> = keeper.columns.iter().flatten().copied().collect();
        let kept = Kept::new(keeper.version, &columns, self.pieces);
        drop(self.claim);
        keeper.cache.put(keeper.name, Arc::new(kept));
    }
}

/// Kept rows as batches of a scan.
pub(super) struct KeptBatches {
    reading: Arc<Reading>,
    kept: Arc<Kept>,
    /// Where the columns of the scan are among those of a piece; none for the row key.
    places: Vec<Option<usize>>,
    at: usize,
    missing: Option<Missing>,
}

/// Columns that are read, and then kept with the others.
struct Missing {
    cache: Arc<ColumnCache>,
    name: Name,
    columns: Vec<Column>,
    layout: Layout,
    /// Of all pieces.
    rows: u64,
    /// The pieces that have them; `None` once there is no room for more.
    gathered: Option<(Vec<Arc<Piece>>, Claim)>,
}

impl KeptBatches {
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.reading.read.interrupt.check()?;
        let Some(piece) = self.kept.pieces().get(self.at).cloned() else {
            if let Some(missing) = self.missing.take() {
                missing.finish(&self.kept);
            }
            return Ok(None);
        };
        self.at += 1;
        let piece = match &mut self.missing {
            Some(missing) => missing.complete(&self.reading, &piece)?,
            None => piece,
        };
        let columns = self.places.iter().map(|place| match place {
            None => Some(piece.keys().clone()),
            Some(place) => piece.column(*place).cloned(),
        });
        let columns: Option<Vec<ArrayRef>> = columns.collect();
        let columns = columns.ok_or_else(|| Error::internal("a kept piece without a column"))?;
        self.reading.layout.batch(columns, piece.rows()).map(Some)
    }
}

impl Missing {
    fn new(keeper: &Keeper, reading: &Reading, columns: Vec<Column>, rows: u64) -> Result<Missing> {
        let positions: Vec<Option<usize>> =
            columns.iter().map(|column| Some(column.position)).collect();
        Ok(Missing {
            cache: keeper.cache.clone(),
            name: keeper.name.clone(),
            layout: Layout::new(&reading.table, &positions, Arc::new(Schema::empty()))?,
            columns,
            rows,
            gathered: Some((Vec::new(), Claim::new(keeper.cache.clone()))),
        })
    }

    /// The piece with the columns that it lacked.
    fn complete(&mut self, reading: &Reading, piece: &Piece) -> Result<Arc<Piece>> {
        let mut rows = self.layout.builders(piece.rows());
        if let (Some(first), Some(last)) = (piece.first_key(), piece.last_key()) {
            let (from, to) = (Bound::Included(first), Bound::Included(last));
            let snapshot = reading.read.view.snapshot();
            for entry in snapshot.unsealed_range(self.name.table, from, to)? {
                let (key, row) = entry?;
                rows.append(key.as_ref(), row.as_ref())?;
            }
        }
        if rows.rows != piece.rows() {
            return Err(Error::internal("kept rows are not those of the table"));
        }
        let whole = Arc::new(piece.with(rows.columns()));
        let more = whole.bytes().saturating_sub(piece.bytes());
        self.gathered = self.gathered.take().and_then(|(mut pieces, mut claim)| {
            let has_room = claim.grow(more, piece.rows(), self.rows);
            pieces.push(whole.clone());
            has_room.then_some((pieces, claim))
        });
        Ok(whole)
    }

    fn finish(self, kept: &Kept) {
        let Some((pieces, claim)) = self.gathered else {
            return;
        };
        let mut columns = kept.columns();
        columns.extend(&self.columns);
        let kept = Kept::new(kept.version, &columns, pieces);
        drop(claim);
        self.cache.put(self.name, Arc::new(kept));
    }
}
