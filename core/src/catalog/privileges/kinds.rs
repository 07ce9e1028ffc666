//! The privileges that there are, and which kinds of objects have them.

use serde::{Deserialize, Serialize};

/// A set of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Privileges(pub u16);

/// What a privilege is about. PostgreSQL's letters stand for these in `pg_default_acl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Tables and views.
    Table,
    Column,
    Sequence,
    Schema,
    Database,
}

/// (privilege, its SQL word, its letter), in the order in which ACLs are written.
const NAMES: [(Privileges, &str, char); 11] = [
    (Privileges::INSERT, "INSERT", 'a'),
    (Privileges::SELECT, "SELECT", 'r'),
    (Privileges::UPDATE, "UPDATE", 'w'),
    (Privileges::DELETE, "DELETE", 'd'),
    (Privileges::TRUNCATE, "TRUNCATE", 'D'),
    (Privileges::REFERENCES, "REFERENCES", 'x'),
    (Privileges::TRIGGER, "TRIGGER", 't'),
    (Privileges::USAGE, "USAGE", 'U'),
    (Privileges::CREATE, "CREATE", 'C'),
    (Privileges::TEMPORARY, "TEMPORARY", 'T'),
    (Privileges::CONNECT, "CONNECT", 'c'),
];

impl Privileges {
    pub const NONE: Privileges = Privileges(0);
    pub const INSERT: Privileges = Privileges(1);
    pub const SELECT: Privileges = Privileges(1 << 1);
    pub const UPDATE: Privileges = Privileges(1 << 2);
    pub const DELETE: Privileges = Privileges(1 << 3);
    pub const TRUNCATE: Privileges = Privileges(1 << 4);
    pub const REFERENCES: Privileges = Privileges(1 << 5);
    pub const TRIGGER: Privileges = Privileges(1 << 6);
    pub const USAGE: Privileges = Privileges(1 << 8);
    pub const CREATE: Privileges = Privileges(1 << 9);
    pub const TEMPORARY: Privileges = Privileges(1 << 10);
    pub const CONNECT: Privileges = Privileges(1 << 11);

    /// All that a kind of object has.
    pub fn all(kind: Kind) -> Privileges {
        match kind {
            Kind::Table => Privileges(0b111_1111),
            Kind::Column => {
                Privileges(Self::INSERT.0 | Self::SELECT.0 | Self::UPDATE.0 | Self::REFERENCES.0)
            }
            Kind::Sequence => Privileges(Self::USAGE.0 | Self::SELECT.0 | Self::UPDATE.0),
            Kind::Schema => Privileges(Self::USAGE.0 | Self::CREATE.0),
            Kind::Database => Privileges(Self::CREATE.0 | Self::TEMPORARY.0 | Self::CONNECT.0),
        }
    }

    /// The privilege of that SQL word, in any case.
    pub fn named(word: &str) -> Option<Privileges> {
        if word.eq_ignore_ascii_case("TEMP") {
            return Some(Privileges::TEMPORARY);
        }
        NAMES
            .iter()
            .find(|(_, name, _)| name.eq_ignore_ascii_case(word))
            .map(|(privilege, ..)| *privilege)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in it.
    pub fn contains(self, other: Privileges) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    pub fn overlaps(self, other: Privileges) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub fn with(self, other: Privileges) -> Privileges {
        Privileges(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: Privileges) -> Privileges {
        Privileges(self.0 & !other.0)
    }

    #[must_use]
    pub fn among(self, other: Privileges) -> Privileges {
        Privileges(self.0 & other.0)
    }

    /// Each privilege, with its word and its letter.
    pub fn each(self) -> impl Iterator<Item = (Privileges, &'static str, char)> {
        NAMES
            .into_iter()
            .filter(move |(privilege, ..)| self.contains(*privilege))
    }
}

impl Kind {
    /// What messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Table => "relation",
            Kind::Column => "column",
            Kind::Sequence => "sequence",
            Kind::Schema => "schema",
            Kind::Database => "database",
        }
    }

    /// Its letter in `pg_default_acl`.
    pub fn letter(self) -> char {
        match self {
            Kind::Table | Kind::Column => 'r',
            Kind::Sequence => 'S',
            Kind::Schema => 'n',
            Kind::Database => 'd',
        }
    }
}
