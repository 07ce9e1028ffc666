//! When rows are sealed, and which segments are merged.

use std::collections::HashSet;

use super::seal::{Moved, Shape, Source, parts_of};
use super::segments::Segments;
use super::table::Part;
use crate::error::Result;
use crate::storage::{Snapshot, TableId};

/// Segments that may hold rows of the same key range before they are merged: each of them is asked
/// for a key.
const MAX_OVERLAP: usize = 4;
/// A segment is merged when one row in so many is gone.
const GONE_SHARE: u64 = 5;

/// How much of what could be done is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// What pays: many unsealed rows, many deleted ones, many segments for a key.
    Due,
    /// Everything, so that no row is unsealed and none is in vain.
    All,
}

impl Segments {
    /// Seals the rows of `table` and merges its segments, as far as `effort` asks for. Each poll does a
    /// bounded part of it.
    ///
    /// # Errors
    /// As [`Segments::rewrite`].
    pub async fn tend(&self, table: TableId, shape: Shape, effort: Effort) -> Result<Moved> {
        let _turn = self.turn.lock().await;
        let mut moved = Moved::default();
        let unsealed = self.store().snapshot()?.unsealed_len(table)?;
        let least = match effort {
            Effort::Due => self.seal_rows.max(1),
            Effort::All => 1,
        };
        if unsealed >= least {
            moved = self.rewrite(table, shape.clone(), Source::Unsealed).await?;
        }
        let chosen = to_merge(&*self.store().snapshot()?, table, effort);
        if !chosen.is_empty() {
            let merged = self.rewrite(table, shape, Source::Segments(chosen)).await?;
            moved.rows = moved.rows.max(merged.rows);
            moved.segments += merged.segments;
        }
        self.sweep().await?;
        Ok(moved)
    }

    /// Whether [`Effort::Due`] would do something.
    pub fn is_due(&self, table: TableId) -> Result<bool> {
        let snapshot = self.store().snapshot()?;
        Ok(snapshot.unsealed_len(table)? >= self.seal_rows.max(1)
            || !to_merge(&snapshot, table, Effort::Due).is_empty())
    }
}

/// Segments that are merged with each other, or rewritten without what is gone from them.
fn to_merge(snapshot: &Snapshot, table: TableId, effort: Effort) -> Vec<u64> {
    let parts = parts_of(snapshot, table);
    let mut chosen = HashSet::new();
    for part in parts {
        let gone = part.deleted.len();
        let due = match effort {
            Effort::Due => gone.saturating_mul(GONE_SHARE) >= u64::from(part.segment.meta().rows),
            Effort::All => gone > 0,
        };
        if due {
            chosen.insert(part.segment.meta().segment);
        }
        // Every depth of overlap is reached at some segment's first key.
        let deep: Vec<&Part> = parts
            .iter()
            .filter(|other| covers(other, &part.segment.meta().first_key))
            .collect();
        let most = match effort {
            Effort::Due => MAX_OVERLAP,
            Effort::All => 1,
        };
        if deep.len() > most {
            chosen.extend(deep.iter().map(|part| part.segment.meta().segment));
        }
    }
    chosen.into_iter().collect()
}

fn covers(part: &Part, key: &[u8]) -> bool {
    let meta = part.segment.meta();
    meta.first_key.as_slice() <= key && key <= meta.last_key.as_slice()
}
