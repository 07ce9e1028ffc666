//! Reading a table row by row: through its keys, a range of them, or an index.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::cache::ColumnCache;
use super::keep::{Fill, Keeper, KeptBatches};
use super::metrics::Counters;
use super::ranges::{Access, KeyRange, as_slices};
use super::rows::{BATCH_ROWS, Builders, SharedLayout};
use crate::catalog::{Index, Table, keys};
use crate::error::{Error, Result};
use crate::query::context::ReadContext;
use crate::storage::{RowBatch, TableId, Wanted};
use crate::txn::{View, ViewIter};

/// Keys that are looked up together.
const LOOKED_UP: usize = 1024;

/// Appends the rows that entries of an index are about, in the order of the entries. Returns how many of
/// them are sealed.
fn rows_of(
    view: &View,
    storage: TableId,
    index: &Index,
    row_keys: &[Vec<u8>],
    builders: &mut Builders<'_>,
) -> Result<usize> {
    let mut order: Vec<usize> = (0..row_keys.len()).collect();
    let key = |at: &usize| row_keys.get(*at).map_or(&[][..], Vec::as_slice);
    order.sort_unstable_by_key(key);
    let probes: Vec<&[u8]> = order.iter().map(key).collect();
    let mut found = RowBatch::new(probes.len(), Wanted::Rows);
    view.get_batch(storage, &probes, &mut found)?;
    let mut places = vec![0; order.len()];
    for (place, at) in order.iter().enumerate() {
        if let Some(slot) = places.get_mut(*at) {
            *slot = place;
        }
    }
    for (key, place) in row_keys.iter().zip(places) {
        let row = found.get(place).ok_or_else(|| {
            let what = format!("index \"{}\" has an entry without a row", index.name);
            Error::corrupted(what)
        })?;
        builders.append(key, row)?;
    }
    Ok(found.sealed())
}

/// What every way of reading a table needs.
pub(super) struct Reading {
    pub table: Arc<Table>,
    pub layout: SharedLayout,
    /// The table's column of each of the scan's columns; `None` is the row key.
    pub positions: Vec<Option<usize>>,
    pub read: Arc<ReadContext>,
    pub cache: Option<Arc<ColumnCache>>,
}

/// Where a scan stands.
enum Walk {
    Keys {
        keys: Vec<Vec<u8>>,
        at: usize,
    },
    Ranges {
        index: Option<Arc<Index>>,
        ranges: Vec<KeyRange>,
        /// Whether the table's sealed rows are left out.
        unsealed: bool,
        next: usize,
        iter: Option<ViewIter>,
    },
}

impl Walk {
    fn ranges(index: Option<Arc<Index>>, ranges: Vec<KeyRange>, unsealed: bool) -> Walk {
        Walk::Ranges {
            index,
            ranges,
            unsealed,
            next: 0,
            iter: None,
        }
    }
}

/// Rows of a table, row by row or as they were kept.
pub(super) enum RowBatches {
    Kept(KeptBatches),
    Read(Box<Run>),
}

impl RowBatches {
    /// The rows of one key range that are not sealed. Kept for the next scan of the same.
    pub fn unsealed(
        reading: &Arc<Reading>,
        range: KeyRange,
        counters: &Counters,
    ) -> Result<RowBatches> {
        let keeper = Keeper::of(reading, &range);
        if let Some(keeper) = &keeper
            && let Some(batches) = keeper.find(reading)?
        {
            return Ok(RowBatches::Kept(batches));
        }
        let mut run = Run::new(reading, Walk::ranges(None, vec![range], true), counters);
        run.fill = keeper.and_then(Keeper::fill);
        Ok(RowBatches::Read(Box::new(run)))
    }

    /// The rows of some key ranges that are not sealed.
    pub fn unsealed_ranges(
        reading: &Arc<Reading>,
        ranges: Vec<KeyRange>,
        counters: &Counters,
    ) -> RowBatches {
        let walk = Walk::ranges(None, ranges, true);
        RowBatches::Read(Box::new(Run::new(reading, walk, counters)))
    }

    /// Rows wherever they lie; of a full scan those of one key range.
    pub fn of(
        reading: &Arc<Reading>,
        access: &Access,
        range: KeyRange,
        limit: Option<usize>,
        counters: &Counters,
    ) -> Result<RowBatches> {
        let walk = match access {
            Access::Full => {
                let storage = reading.table.storage;
                if limit.is_none() && reading.read.view.sealed(storage).is_none() {
                    return RowBatches::unsealed(reading, range, counters);
                }
                Walk::ranges(None, vec![range], false)
            }
            Access::Ranges(ranges) => Walk::ranges(None, ranges.clone(), false),
            Access::Index(index, ranges) => {
                Walk::ranges(Some(index.clone()), ranges.clone(), false)
            }
            Access::Nothing => Walk::ranges(None, Vec::new(), false),
            Access::Keys(keys) => Walk::Keys {
                keys: keys.clone(),
                at: 0,
            },
        };
        let mut run = Run::new(reading, walk, counters);
        run.left = limit.unwrap_or(usize::MAX);
        Ok(RowBatches::Read(Box::new(run)))
    }

    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            RowBatches::Read(run) => run.batch(),
            RowBatches::Kept(kept) => kept.next(),
        }
    }
}

/// A running scan.
pub(super) struct Run {
    reading: Arc<Reading>,
    walk: Walk,
    left: usize,
    fill: Option<Fill>,
    counters: Counters,
}

impl Run {
    fn new(reading: &Arc<Reading>, walk: Walk, counters: &Counters) -> Run {
        Run {
            reading: reading.clone(),
            walk,
            left: usize::MAX,
            fill: None,
            counters: counters.clone(),
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let reading = self.reading.clone();
        let (view, storage) = (&reading.read.view, reading.table.storage);
        reading.read.interrupt.check()?;
        let wanted = BATCH_ROWS.min(self.left);
        if wanted == 0 {
            return Ok(None);
        }
        let mut builders = reading.layout.builders(wanted.min(1024));
        let (mut lookups, mut sealed) = (0, 0);
        while builders.rows < wanted {
            match &mut self.walk {
                Walk::Keys { keys, at } => {
                    let some = (wanted - builders.rows).min(LOOKED_UP);
                    let end = keys.len().min(*at + some);
                    let next = keys.get(*at..end).unwrap_or_default();
                    if next.is_empty() {
                        break;
                    }
                    *at = end;
                    lookups += next.len();
                    let probes: Vec<&[u8]> = next.iter().map(Vec::as_slice).collect();
                    let mut rows = RowBatch::new(probes.len(), Wanted::Rows);
                    view.get_batch(storage, &probes, &mut rows)?;
                    sealed += rows.sealed();
                    for (key, row) in next.iter().zip(rows.iter()) {
                        if let Some(row) = row {
                            builders.append(key, row)?;
                        }
                    }
                }
                Walk::Ranges {
                    index,
                    ranges,
                    unsealed,
                    next,
                    iter,
                } => {
                    let Some(entries) = iter else {
                        let Some(range) = ranges.get(*next) else {
                            break;
                        };
                        *next += 1;
                        let (from, to) = as_slices(range);
                        *iter = Some(match index {
                            Some(index) => {
                                let entries = index
                                    .storage
                                    .ok_or_else(|| Error::internal("an index without entries"))?;
                                view.range(entries, from, to)?
                            }
                            None if *unsealed => {
                                view.remember(storage, from, to);
                                view.unsealed_range(storage, from, to)?
                            }
                            None => view.range(storage, from, to)?,
                        });
                        continue;
                    };
                    let Some(index) = index else {
                        match entries.next() {
                            None => *iter = None,
                            Some(entry) => {
                                let (key, value) = entry?;
                                builders.append(key.as_ref(), value.as_ref())?;
                                if let Some(fill) = &mut self.fill {
                                    fill.add_key(key.as_ref());
                                }
                            }
                        }
                        continue;
                    };
                    let some = (wanted - builders.rows).min(LOOKED_UP);
                    let mut row_keys = Vec::new();
                    for entry in entries.take(some) {
                        let (entry, _) = entry?;
                        let key = keys::row_key_of(index, &reading.table, entry.as_ref())?;
                        row_keys.push(key.to_vec());
                    }
                    if row_keys.len() < some {
                        *iter = None;
                    }
                    lookups += row_keys.len();
                    sealed += rows_of(view, storage, index, &row_keys, &mut builders)?;
                }
            }
        }
        self.counters.lookups.add(lookups);
        self.counters.lookups_sealed.add(sealed);
        if builders.rows == 0 {
            if let Some(fill) = self.fill.take() {
                fill.finish();
            }
            return Ok(None);
        }
        self.left -= builders.rows;
        let batch = builders.finish()?;
        self.fill = self.fill.take().and_then(|fill| fill.with(&batch));
        Ok(Some(batch))
    }
}
