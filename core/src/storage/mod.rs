//! Rows on redb: tables of `key bytes → row bytes`, snapshots, and the commit queue.
//!
//! One redb table per relation. Everything that must be read together (rows, indexes, catalog,
//! sequences) lives in tables of one redb database, so that one redb read transaction is one
//! snapshot of everything.

mod batch;
mod snapshot;
mod store;

pub use batch::{TableWrites, WriteBatch};
pub use snapshot::{RangeIter, Snapshot, Value};
pub use store::{Options, Pending, Store};

/// Names a redb table. Relations get theirs from the catalog's OID counter, anew whenever their
/// rows are rewritten or truncated.
pub type TableId = u64;

/// The catalog's objects, one row each.
pub const CATALOG_TABLE: TableId = 1;
/// The high-water mark of each sequence.
pub const SEQUENCE_TABLE: TableId = 2;
/// The first identifier for tables of users.
pub const FIRST_USER_TABLE: TableId = 16384;
