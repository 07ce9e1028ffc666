//! Row and relation locks, in memory, with PostgreSQL's modes and conflicts.

use crate::storage::TableId;

/// What a lock is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockTarget {
    /// A table, view, sequence, … by its catalog OID.
    Relation(u32),
    /// A row, or a key value of a unique index, by table and key.
    Row(TableId, Vec<u8>),
    /// `pg_advisory_lock(key)`.
    Advisory(i64),
}

/// Row lock modes, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowMode {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

/// Relation lock modes, weakest first. Plain reads take none: a snapshot already protects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// What to do when a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Wait in line, at most `lock_timeout` (microseconds; `None` is forever).
    Queue(Option<u64>),
    /// NOWAIT: 55P03.
    Fail,
    /// SKIP LOCKED.
    Skip,
}
