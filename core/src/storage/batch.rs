//! What one transaction changes, in the form the commit queue applies.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TableId;

/// Changes up to which a batch is a small one.
const SMALL_BATCH: usize = 64;

/// Changes to one table, in key order: a new row, or `None` for a removed one.
pub type TableWrites = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Everything one transaction changes.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// Tables to create (before the writes).
    pub create: Vec<TableId>,
    /// Tables to drop as a whole (after the writes).
    pub drop: Vec<TableId>,
    pub writes: BTreeMap<TableId, Arc<TableWrites>>,
}

impl WriteBatch {
    /// Whether applying it takes no longer than making it durable.
    pub fn is_small(&self) -> bool {
        let changes = |writes: &Arc<TableWrites>| writes.len();
        let changes: usize = self.writes.values().map(changes).sum();
        changes <= SMALL_BATCH && self.create.is_empty() && self.drop.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.drop.is_empty() && self.writes.is_empty()
    }

    /// Every table that the batch changes in some way.
    pub fn tables(&self) -> impl Iterator<Item = TableId> + '_ {
        self.writes
            .keys()
            .chain(&self.create)
            .chain(&self.drop)
            .copied()
    }
}
