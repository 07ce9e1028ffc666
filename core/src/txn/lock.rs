//! Row and relation locks, in memory, with PostgreSQL's modes and conflicts.

use super::lock_key::LockKey;
use crate::error::{Error, SqlState};
use crate::storage::TableId;

/// What a lock is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockTarget {
    /// A table, view, sequence, … by its catalog OID.
    Relation(u32),
    /// A row, or a key value of a unique index, by table and key.
    Row(TableId, Vec<u8>),
    /// `pg_advisory_lock(key)`. [`RowMode::Update`] is exclusive, [`RowMode::Share`] is shared.
    Advisory(i64),
    /// `pg_advisory_lock(key1, key2)`: a key space of its own.
    AdvisoryPair(i32, i32),
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

impl RelationMode {
    /// The name in `pg_locks` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            RelationMode::AccessShare => "AccessShareLock",
            RelationMode::RowShare => "RowShareLock",
            RelationMode::RowExclusive => "RowExclusiveLock",
            RelationMode::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            RelationMode::Share => "ShareLock",
            RelationMode::ShareRowExclusive => "ShareRowExclusiveLock",
            RelationMode::Exclusive => "ExclusiveLock",
            RelationMode::AccessExclusive => "AccessExclusiveLock",
        }
    }

    const ALL: [RelationMode; 8] = [
        RelationMode::AccessShare,
        RelationMode::RowShare,
        RelationMode::RowExclusive,
        RelationMode::ShareUpdateExclusive,
        RelationMode::Share,
        RelationMode::ShareRowExclusive,
        RelationMode::Exclusive,
        RelationMode::AccessExclusive,
    ];
}

/// A mode of any kind of lock, as a bit of a [`Modes`] set. Rows and relations have their own bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    bit: u8,
    conflicts: Modes,
}

/// A set of lock modes of one kind, a bit each.
pub(super) type Modes = u8;

impl Mode {
    pub fn bit(self) -> Modes {
        1 << self.bit
    }

    /// The modes of other owners that exclude this one.
    pub fn conflicts(self) -> Modes {
        self.conflicts
    }

    /// The name in messages: that of the relation mode, or the one PostgreSQL waits in for rows.
    pub fn name(self, relation: bool) -> &'static str {
        Mode::strongest_name(self.bit(), relation)
    }

    /// The name of the strongest of some modes.
    pub fn strongest_name(modes: Modes, relation: bool) -> &'static str {
        let strongest = modes.checked_ilog2().unwrap_or(0) as usize;
        match RelationMode::ALL.get(strongest) {
            Some(mode) if relation => mode.name(),
            _ if strongest == RowMode::Update as usize => "ExclusiveLock",
            _ => "ShareLock",
        }
    }
}

impl From<RowMode> for Mode {
    /// PostgreSQL documentation, table 13.3.
    fn from(mode: RowMode) -> Self {
        Mode {
            bit: mode as u8,
            conflicts: match mode {
                RowMode::KeyShare => 0b1000,
                RowMode::Share => 0b1100,
                RowMode::NoKeyUpdate => 0b1110,
                RowMode::Update => 0b1111,
            },
        }
    }
}

impl From<RelationMode> for Mode {
    /// PostgreSQL documentation, table 13.2.
    fn from(mode: RelationMode) -> Self {
        Mode {
            bit: mode as u8,
            conflicts: match mode {
                RelationMode::AccessShare => 0b1000_0000,
                RelationMode::RowShare => 0b1100_0000,
                RelationMode::RowExclusive => 0b1111_0000,
                RelationMode::ShareUpdateExclusive => 0b1111_1000,
                RelationMode::Share => 0b1110_1100,
                RelationMode::ShareRowExclusive => 0b1111_1100,
                RelationMode::Exclusive => 0b1111_1110,
                RelationMode::AccessExclusive => 0b1111_1111,
            },
        }
    }
}

/// What NOWAIT answers for a row of `relation`. The lock table knows no names: a caller that gets
/// 55P03 after [`Wait::Fail`] answers this instead.
pub fn row_not_available(relation: &str) -> Error {
    Error::new(
        SqlState::LOCK_NOT_AVAILABLE,
        format!("could not obtain lock on row in relation \"{relation}\""),
    )
}

/// What NOWAIT answers for the relation `relation`.
pub fn relation_not_available(relation: &str) -> Error {
    Error::new(
        SqlState::LOCK_NOT_AVAILABLE,
        format!("could not obtain lock on relation \"{relation}\""),
    )
}

/// NOWAIT before anyone has added a name.
pub(super) fn not_available(key: LockKey) -> Error {
    let what = match key {
        LockKey::Relation(oid) => format!("relation with OID {oid}"),
        LockKey::Row(..) => "row".to_owned(),
        LockKey::Advisory(_) | LockKey::AdvisoryPair(..) => "advisory lock".to_owned(),
    };
    Error::new(
        SqlState::LOCK_NOT_AVAILABLE,
        format!("could not obtain lock on {what}"),
    )
}

pub(super) fn timed_out() -> Error {
    Error::new(
        SqlState::LOCK_NOT_AVAILABLE,
        "canceling statement due to lock timeout",
    )
}
