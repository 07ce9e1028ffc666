//! The seam to the rows of a table that do not lie in redb: its sealed tier.
//!
//! Storage knows no more of that tier than this: which rows it has in a given state, and what is left
//! of it after a commit. A key has a row in redb or in the sealed tier, never in both.

use std::any::Any;
use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{KeyFilter, RowBatch, SealedRow, Snapshot, TableId, TableWrites, WriteBatch};
use crate::error::Result;

/// Keys that are read at once to know them: some milliseconds. Where there are more, look-ups go to
/// redb until the next seal.
pub const MAX_LEARNT_KEYS: u64 = 65_536;

/// Counts the redb tables that a table has had for its rows. A seal moves rows out of redb by going
/// on in a new, nearly empty one, because removing rows one by one is slow.
pub type Generation = u32;

/// Sealed rows of a range, in key order: keys and rows.
pub type SealedIter = Box<dyn DoubleEndedIterator<Item = Result<(Bytes, Bytes)>> + Send>;

/// Whether to go on.
pub type Flow = ControlFlow<()>;

/// Takes the key and the row of one entry.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<Flow>;

/// A table's sealed rows in one state, which never changes.
pub trait Sealed: Send + Sync + 'static {
    /// The row of one key.
    fn get(&self, key: &[u8]) -> Result<Option<SealedRow>>;

    /// Fills in the rows of those of these ascending keys that are still looked for.
    fn get_batch(&self, keys: &[&[u8]], rows: &mut RowBatch) -> Result<()>;

    /// Passes keys and rows of a range on, in key order: faster than [`Sealed::range`], because nothing
    /// outlives the call that sees it.
    fn visit(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, each: Visit<'_>) -> Result<()>;

    /// The rows of a range in key order.
    fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<SealedIter>;

    /// Number of rows.
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state in which `writes` have replaced or removed rows: whatever they name is gone from it.
    /// `None` when they name none of its rows. What has to be stored for it goes into `beside`, which
    /// is committed together with the writes.
    fn without(
        &self,
        writes: &TableWrites,
        beside: &mut WriteBatch,
    ) -> Result<Option<Arc<dyn Sealed>>>;

    /// The table was dropped by a commit that is not yet durable.
    fn dropped(&self);

    /// The implementation, for whoever reads columns instead of rows.
    fn as_any(&self) -> &dyn Any;
}

/// Where the rows of one table are.
#[derive(Clone, Default)]
pub struct Tier {
    /// Which of its redb tables takes the writes.
    pub generation: Generation,
    pub sealed: Option<Arc<dyn Sealed>>,
    /// All keys of that redb table, where they are known.
    pub keys: Option<Arc<KeyFilter>>,
}

/// Where the rows of every table are, in one state. A table that is not named has everything in
/// generation 0.
#[derive(Clone, Default)]
pub struct Tiers(pub HashMap<TableId, Tier, RandomState>);

impl Tiers {
    pub fn generation(&self, table: TableId) -> Generation {
        self.0.get(&table).map_or(0, |tier| tier.generation)
    }

    pub fn sealed(&self, table: TableId) -> Option<&Arc<dyn Sealed>> {
        self.0.get(&table)?.sealed.as_ref()
    }

    /// Gets to know the keys in redb of all tables with sealed rows that have few of them. Nothing may
    /// be committed between `snapshot`, which has these tiers, and the first commit that has the keys.
    pub(super) fn know_keys(&mut self, snapshot: &Snapshot) -> Result<()> {
        for (table, tier) in &mut self.0 {
            if tier.sealed.is_some() && snapshot.unsealed_len(*table)? <= MAX_LEARNT_KEYS {
                tier.keys = Some(Arc::new(snapshot.unsealed_keys(*table)?));
            }
        }
        Ok(())
    }

    /// The keys of the table's rows in redb, where they are known.
    pub fn keys(&self, table: TableId) -> Option<&KeyFilter> {
        self.0.get(&table)?.keys.as_deref()
    }
}

/// A change of where rows are, not of what they are. Applied in this order.
#[derive(Default)]
pub struct Relocation {
    /// Rows for other generations than the current one; a generation is made when it is written to.
    pub rows: Vec<(TableId, Generation, TableWrites)>,
    /// What the tier remembers of itself, in its reserved tables.
    pub beside: WriteBatch,
    /// Generations that hold nothing any more.
    pub drop: Vec<(TableId, Generation)>,
    /// Where rows are from now on.
    pub tiers: Vec<(TableId, Tier)>,
}
