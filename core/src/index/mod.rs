//! The learned index: where a key stands in a sorted, immutable column.
//!
//! ```text
//! probe ─ head ─▶ model ─▶ window of positions ─ compare keys, verify ─▶ position
//!                 RMI or static search tree      (search on if it does not fit)
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`column`] | what a column of keys has to lend; columns of 64-bit words |
//! | [`bytes`], [`head`] | columns of byte strings, and the eight bytes of each that a model sees |
//! | `rmi`, `train` | the recursive model, and its training with exact error bounds |
//! | `tree` | the static search tree, for keys that no model describes |
//! | `search` | from a window to a verified answer |
//! | `batch` | many look-ups side by side |
//! | `choose` | measuring which structure a column gets |
//! | `blob`, `checksum` | the index as bytes |
//!
//! Answers come from the keys. A model, even a damaged one, decides how long that takes and nothing
//! else. An index holds no keys: each call is lent the column that the index was built for.

mod batch;
mod blob;
pub mod bytes;
pub(crate) mod checksum;
mod choose;
pub mod column;
pub mod head;
mod rmi;
mod search;
#[cfg(test)]
mod tests;
mod train;
mod tree;

use std::ops::{Bound, Range};

pub use blob::BLOB_VERSION;
pub use bytes::{ByteKeys, BytesProbe};
pub use column::{KeyColumn, Words, from_f64, from_i64};
pub use head::HeadLayout;
pub use train::RmiShape;

use crate::env::Clock;
use crate::error::{Error, Result, SqlState};
use rmi::Rmi;
pub use search::Window;
use search::finish;
use tree::Tree;

/// Keys that one index can be built over.
pub const MAX_KEYS: usize = i32::MAX as usize - 1;

/// What [`Index::get_batch`] answers for a key that is not there.
pub const ABSENT: u32 = u32::MAX;

/// Which structure an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Rmi(RmiShape),
    Tree,
}

#[derive(Clone, Debug, PartialEq)]
enum Model {
    Rmi(Rmi),
    Tree(Tree),
}

impl Model {
    #[inline]
    fn window(&self, head: u64) -> Window {
        match self {
            Model::Rmi(rmi) => rmi.window(head),
            Model::Tree(tree) => tree.window(head),
        }
    }

    #[inline]
    fn lower_bound<C: KeyColumn>(&self, column: &C, probe: C::Probe<'_>) -> usize {
        finish(column, self.window(column.probe_head(probe)), probe)
    }
}

/// An index over one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    count: usize,
    /// Heads of the first and the last key.
    first: u64,
    last: u64,
    layout: HeadLayout,
    model: Model,
}

impl Index {
    /// Builds the structure that answers fastest, as `clock` measures it on a sample; without a clock,
    /// or with one that ticks too coarsely, the one with the least work to do.
    ///
    /// # Errors
    /// XX000 when the column is not sorted, 54000 for more than [`MAX_KEYS`] keys.
    pub fn build<C: KeyColumn>(column: &C, clock: Option<&dyn Clock>) -> Result<Index> {
        check(column)?;
        Ok(Index::with(column, choose::choose(column, clock).0))
    }

    /// Builds one given structure.
    ///
    /// # Errors
    /// As [`Index::build`].
    pub fn build_as<C: KeyColumn>(column: &C, shape: Shape) -> Result<Index> {
        check(column)?;
        let model = match shape {
            Shape::Rmi(shape) => Model::Rmi(train::train(column, shape)),
            Shape::Tree => Model::Tree(Tree::build(column)),
        };
        Ok(Index::with(column, model))
    }

    fn with<C: KeyColumn>(column: &C, model: Model) -> Index {
        Index {
            count: column.len(),
            first: column.head(0),
            last: column.head(column.len().saturating_sub(1)),
            layout: column.layout(),
            model,
        }
    }

    /// Whether this index can have been built over a column: a check for blobs that were mixed up.
    ///
    /// # Errors
    /// XX001 when it cannot.
    pub fn fits<C: KeyColumn>(&self, column: &C) -> Result<()> {
        let last = column.head(column.len().saturating_sub(1));
        let fits = self.count == column.len()
            && self.first == column.head(0)
            && self.last == last
            && self.layout == column.layout();
        fits.then_some(())
            .ok_or_else(|| Error::corrupted("learned index: made for other keys"))
    }

    /// Number of keys that the index was built over.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where heads are taken from in byte-string keys.
    pub fn layout(&self) -> HeadLayout {
        self.layout
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        size_of::<Index>()
            + match &self.model {
                Model::Rmi(rmi) => rmi.size(),
                Model::Tree(tree) => tree.size(),
            }
    }

    /// What the index is, for people.
    pub fn describe(&self) -> String {
        match &self.model {
            Model::Rmi(rmi) => format!(
                "rmi: {} nodes, {} slots",
                rmi.nodes.len() + 1,
                rmi.slots.len()
            ),
            Model::Tree(tree) => format!("search tree: {} levels", tree.levels.len()),
        }
    }

    /// Number of keys below the probe: where it stands, or would stand, first.
    #[inline]
    pub fn lower_bound<C: KeyColumn>(&self, column: &C, probe: C::Probe<'_>) -> usize {
        self.model.lower_bound(column, probe)
    }

    /// Where [`Index::lower_bound`] will look first: reads the model, but no key. Whoever has to fetch
    /// something else that belongs to the key can do so before the keys themselves are read.
    #[inline]
    pub fn window<C: KeyColumn>(&self, column: &C, probe: C::Probe<'_>) -> Window {
        self.model.window(column.probe_head(probe))
    }

    /// [`Index::lower_bound`] from [`Index::window`] on.
    #[inline]
    pub fn lower_bound_in<C: KeyColumn>(
        &self,
        column: &C,
        window: Window,
        probe: C::Probe<'_>,
    ) -> usize {
        finish(column, window, probe)
    }

    /// Number of keys that are the probe or below it.
    #[inline]
    pub fn upper_bound<C: KeyColumn>(&self, column: &C, probe: C::Probe<'_>) -> usize {
        match C::after(probe) {
            Some(after) => self.lower_bound(column, after),
            None => column.len(),
        }
    }

    /// The first position of a key.
    #[inline]
    pub fn get<C: KeyColumn>(&self, column: &C, probe: C::Probe<'_>) -> Option<usize> {
        let at = self.lower_bound(column, probe);
        column.holds(at, probe).then_some(at)
    }

    /// Positions of the keys between two bounds; empty when they cross.
    pub fn range<C: KeyColumn>(
        &self,
        column: &C,
        from: Bound<C::Probe<'_>>,
        to: Bound<C::Probe<'_>>,
    ) -> Range<usize> {
        let start = match from {
            Bound::Included(probe) => self.lower_bound(column, probe),
            Bound::Excluded(probe) => self.upper_bound(column, probe),
            Bound::Unbounded => 0,
        };
        let end = match to {
            Bound::Included(probe) => self.upper_bound(column, probe),
            Bound::Excluded(probe) => self.lower_bound(column, probe),
            Bound::Unbounded => column.len(),
        };
        start..end.max(start)
    }

    /// [`Index::lower_bound`] of many probes, in their order, several times faster than one by one.
    /// `answers` is replaced.
    pub fn lower_bound_batch<C: KeyColumn>(
        &self,
        column: &C,
        probes: &[C::Probe<'_>],
        answers: &mut Vec<u32>,
    ) {
        answers.clear();
        answers.resize(probes.len(), 0);
        for (probes, answers) in probes
            .chunks(batch::GROUP)
            .zip(answers.chunks_mut(batch::GROUP))
        {
            batch::lower_bounds(column, &self.model, probes, answers);
        }
    }

    /// [`Index::get`] of many probes, in their order; [`ABSENT`] for keys that are not there.
    /// `answers` is replaced.
    pub fn get_batch<C: KeyColumn>(
        &self,
        column: &C,
        probes: &[C::Probe<'_>],
        answers: &mut Vec<u32>,
    ) {
        answers.clear();
        answers.resize(probes.len(), 0);
        for (probes, answers) in probes
            .chunks(batch::GROUP)
            .zip(answers.chunks_mut(batch::GROUP))
        {
            batch::lower_bounds(column, &self.model, probes, answers);
            for (&probe, answer) in probes.iter().zip(answers) {
                if !column.holds(*answer as usize, probe) {
                    *answer = ABSENT;
                }
            }
        }
    }
}

/// What every answer rests on.
fn check<C: KeyColumn>(column: &C) -> Result<()> {
    if column.len() > MAX_KEYS {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("an index over more than {MAX_KEYS} keys"),
        ));
    }
    for at in 1..column.len() {
        let before = column.key(at - 1);
        if before.is_some_and(|before| column.below(at, before)) {
            return Err(Error::internal(format!(
                "learned index: the key at {at} sorts before the one ahead of it"
            )));
        }
    }
    Ok(())
}
