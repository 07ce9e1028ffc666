//! When rows are sealed, and which segments are merged.

use super::compact::{self, Extent, MAX_DEPTH};
use super::seal::{Moved, Shape, Source, parts_of};
use super::segments::Segments;
use super::table::{Part, SealedTable};
use crate::error::Result;
use crate::storage::{Snapshot, TableId};

/// Segments that may have one key, before whoever adds more of them merges some first: loads come as fast
/// as clients send them, and what merges in the background may not keep up.
pub const MAX_LOADED_DEPTH: usize = 2 * MAX_DEPTH;

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
        let choose = |now: &Snapshot| self.to_merge(now, table, effort);
        let merged = self.merge(table, &shape, choose).await?;
        moved.rows += merged.rows;
        moved.merged += merged.rows;
        moved.segments += merged.segments;
        self.sweep().await?;
        Ok(moved)
    }

    /// Whether [`Effort::Due`] would do something.
    pub fn is_due(&self, table: TableId) -> Result<bool> {
        let snapshot = self.store().snapshot()?;
        Ok(snapshot.unsealed_len(table)? >= self.seal_rows.max(1)
            || self.to_merge(&snapshot, table, Effort::Due).is_some())
    }

    /// Merges segments of `table` if a key lies in too many of them to add more ([`MAX_LOADED_DEPTH`]), and
    /// no more than that: a statement waits for it.
    ///
    /// # Errors
    /// As [`Segments::rewrite`].
    pub async fn make_way(&self, table: TableId, shape: &Shape) -> Result<()> {
        let in_the_way = |now: &Snapshot| {
            let sealed = SealedTable::of(now, table)?;
            let too_deep = sealed.depth() >= MAX_LOADED_DEPTH;
            too_deep
                .then(|| compact::too_deep(sealed.parts().iter().map(Part::extent).collect()))?
        };
        if in_the_way(&*self.store().snapshot()?).is_some() {
            let _turn = self.turn.lock().await;
            // Chosen anew: who had the turn may have merged them.
            self.merge(table, shape, in_the_way).await?;
        }
        Ok(())
    }

    /// Merges what is chosen until nothing is.
    async fn merge(
        &self,
        table: TableId,
        shape: &Shape,
        choose: impl Fn(&Snapshot) -> Option<Vec<u64>>,
    ) -> Result<Moved> {
        let mut moved = Moved::default();
        // Each merge does away with one segment at least; the bound is against writers who take rows
        // out of segments as fast as those are written.
        let most = parts_of(&*self.store().snapshot()?, table).len();
        for _ in 0..most {
            let chosen = choose(&*self.store().snapshot()?);
            let Some(chosen) = chosen else {
                break;
            };
            let source = Source::Segments(chosen);
            let merged = self.rewrite(table, shape.clone(), source).await?;
            moved.rows += merged.rows;
            moved.segments += merged.segments;
        }
        Ok(moved)
    }

    fn to_merge(&self, snapshot: &Snapshot, table: TableId, effort: Effort) -> Option<Vec<u64>> {
        let extents = parts_of(snapshot, table).iter().map(|part| {
            let meta = part.segment.meta();
            Extent {
                small: part.live_rows().saturating_mul(2) < u64::from(self.write.rows)
                    && meta.row_bytes.saturating_mul(2) < self.write.bytes
                    && !self.is_heavy(meta.segment),
                ..part.extent()
            }
        });
        compact::next(extents.collect(), effort)
    }
}
