//! Rows on redb: tables of `key bytes → row bytes`, snapshots, and the commit queue.
//!
//! One redb table per relation. Everything that must be read together (rows, indexes, catalog,
//! sequences) lives in tables of one redb database, so that one redb read transaction is one
//! snapshot of everything.

mod apply;
mod batch;
mod block;
mod clock;
mod commit;
#[cfg(any(test, feature = "fault"))]
pub mod fault;
mod filter;
mod followed;
mod format;
mod gate;
mod log;
mod log_record;
mod modified;
mod queue;
mod range;
mod recorder;
mod recover;
mod row_batch;
mod snapshot;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod tier;

use std::ops::Bound;

pub use batch::{TableWrites, WriteBatch};
pub use block::{Block, SealedRow, shared};
pub use clock::{Charge, Charged, Clock, Keeper, Slot};
pub use filter::KeyFilter;
pub use format::FORMAT_VERSION;
pub use queue::{OnVisible, Pending, Relocate, Validate};
pub use range::{RangeIter, Value};
pub use recorder::Recording;
pub use row_batch::{RowBatch, Wanted};
pub use snapshot::Snapshot;
pub use store::{Options, Stats, Store};
pub use tier::{
    Flow, Generation, MAX_LEARNT_KEYS, Relocation, Sealed, SealedIter, Tier, Tiers, Visit,
};

/// Names a redb table. Relations get theirs from the catalog's OID counter, anew whenever their
/// rows are rewritten or truncated.
pub type TableId = u64;

/// The catalog's objects, one row each.
pub const CATALOG_TABLE: TableId = 1;
/// The high-water mark of each sequence.
pub const SEQUENCE_TABLE: TableId = 2;
/// The sealed tier: by table, its generation; by table and segment, what the segment is.
pub const SEGMENT_TABLE: TableId = 3;
/// The sealed tier: by table, segment and chunk, which of its rows are gone.
pub const DELETED_TABLE: TableId = 4;
/// The first identifier for tables of users.
pub const FIRST_USER_TABLE: TableId = 16384;

/// Whether no key can lie between two bounds. Ordered maps panic on some such ranges.
pub(crate) fn bounds_are_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (from, to) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(from), Included(to)) => from > to,
        (Included(from) | Excluded(from), Excluded(to)) | (Excluded(from), Included(to)) => {
            from >= to
        }
    }
}
