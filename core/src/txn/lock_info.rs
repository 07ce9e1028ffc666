//! Locks as `pg_locks` shows them.

use super::lock_key::LockKey;
use crate::storage::TableId;

/// A lock that someone holds or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockInfo {
    pub object: LockedObject,
    /// The strongest mode, by its name in PostgreSQL.
    pub mode: &'static str,
    /// Held; `false` is waited for.
    pub granted: bool,
    /// The session ([`super::SessionLocks::group`]), or the transaction if it has none.
    pub group: u64,
}

/// What a lock is on. A row's key is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockedObject {
    Relation(u32),
    Row(TableId),
    Advisory(i64),
    AdvisoryPair(i32, i32),
}

impl From<LockKey> for LockedObject {
    fn from(key: LockKey) -> Self {
        match key {
            LockKey::Relation(oid) => LockedObject::Relation(oid),
            LockKey::Row(table, ..) => LockedObject::Row(table),
            LockKey::Advisory(key) => LockedObject::Advisory(key),
            LockKey::AdvisoryPair(first, second) => LockedObject::AdvisoryPair(first, second),
        }
    }
}
