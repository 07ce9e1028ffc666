//! The objects of a catalog. They are stored as JSON with defaults for what older versions did not
//! write, so fields may be added but never change their meaning.

use serde::{Deserialize, Serialize};

use crate::storage::TableId;
use crate::types::PgType;

/// OIDs of what exists from the start (PostgreSQL's own numbers).
pub const PG_CATALOG_SCHEMA: u32 = 11;
pub const PUBLIC_SCHEMA: u32 = 2200;
pub const INFORMATION_SCHEMA: u32 = 13000;
pub const BOOTSTRAP_ROLE: u32 = 10;
pub const FIRST_USER_OID: u32 = 16384;

/// Whether this is a schema whose objects nobody changes.
pub fn is_system_schema(oid: u32) -> bool {
    oid == PG_CATALOG_SCHEMA || oid == INFORMATION_SCHEMA
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schema {
    pub oid: u32,
    pub name: String,
    pub owner: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    pub oid: u32,
    pub name: String,
    pub superuser: bool,
    pub login: bool,
    /// SCRAM-SHA-256 verifier in PostgreSQL's format; never a password.
    #[serde(default)]
    pub verifier: Option<String>,
    /// At most so many sessions; -1 is no limit.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    #[serde(default)]
    pub create_db: bool,
    #[serde(default)]
    pub create_role: bool,
    /// Whether it has the privileges of the roles that it is a member of without SET ROLE.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// When the password ends: µs since 1970 UTC.
    #[serde(default)]
    pub valid_until: Option<i64>,
}

fn yes() -> bool {
    true
}

fn no_limit() -> i32 {
    -1
}

/// A table: what a row is and where its rows lie.
///
/// A row is stored under its key: the primary key's columns in key order, or a hidden row id
/// (`int8`) when there is no primary key. The row itself holds every column, in the order of
/// [`columns`](Table::columns), dropped ones (as NULL) included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    pub oid: u32,
    pub name: String,
    pub schema: u32,
    pub owner: u32,
    /// The redb table of its rows; another one after TRUNCATE or a rewrite.
    pub storage: TableId,
    /// Physical columns; column `i` has attribute number `i + 1`, also after others are dropped.
    pub columns: Vec<Column>,
    /// Positions in `columns` of the primary key, in key order; empty when there is none.
    pub primary_key: Vec<usize>,
    /// OIDs of its indexes, the primary key's included (which has no storage of its own).
    pub indexes: Vec<u32>,
    pub constraints: Vec<Constraint>,
    #[serde(default)]
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub ty: PgType,
    pub not_null: bool,
    /// SQL of the default expression.
    #[serde(default)]
    pub default: Option<String>,
    #[serde(default)]
    pub identity: Option<Identity>,
    /// OID of the sequence that this column owns (SERIAL, IDENTITY).
    #[serde(default)]
    pub sequence: Option<u32>,
    /// Text form of the value that rows written before the column existed have.
    #[serde(default)]
    pub missing: Option<String>,
    #[serde(default)]
    pub dropped: bool,
    #[serde(default)]
    pub comment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    Always,
    ByDefault,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Constraint {
    pub oid: u32,
    pub name: String,
    pub kind: ConstraintKind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ConstraintKind {
    /// Backed by the index of this OID.
    PrimaryKey {
        index: u32,
    },
    Unique {
        index: u32,
    },
    /// SQL of the condition.
    Check {
        expression: String,
    },
    ForeignKey(ForeignKey),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignKey {
    pub name: String,
    /// Positions in the referencing table's columns.
    pub columns: Vec<usize>,
    /// OID of the referenced table, and positions in its columns, pairwise with `columns`.
    pub table: u32,
    pub referenced: Vec<usize>,
    /// OID of the referenced table's unique index (or primary key) that the check uses.
    pub index: u32,
    pub on_delete: Action,
    pub on_update: Action,
    /// MATCH FULL: a key is NULL as a whole or not at all.
    #[serde(default)]
    pub match_full: bool,
}

impl ForeignKey {
    /// Whether a row with so many NULLs in the key's columns needs a referenced row (or breaks MATCH FULL).
    pub fn binds(&self, nulls: usize) -> bool {
        nulls == 0 || (self.match_full && nulls < self.columns.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// An index. Its rows are (indexed columns, primary key or row id) → (): the key is the indexed
/// values' encoding followed by the table's row key. A unique index whose values are all not NULL
/// is unique in its first part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Index {
    pub oid: u32,
    pub name: String,
    pub schema: u32,
    pub table: u32,
    /// The redb table of its entries; the primary key's index has none: the rows are it.
    pub storage: Option<TableId>,
    /// Positions in the table's columns.
    pub columns: Vec<usize>,
    /// DESC for each column; kept for `\d` and for an exact match with ORDER BY.
    pub descending: Vec<bool>,
    pub unique: bool,
    pub primary: bool,
    /// UNIQUE NULLS NOT DISTINCT: NULL is a value like any other.
    #[serde(default)]
    pub nulls_not_distinct: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    pub oid: u32,
    pub name: String,
    pub schema: u32,
    pub owner: u32,
    /// The query, with every relation's name qualified.
    pub query: String,
    pub columns: Vec<ViewColumn>,
    /// OIDs of the relations that it reads.
    pub depends: Vec<u32>,
    #[serde(default)]
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewColumn {
    pub name: String,
    pub ty: PgType,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sequence {
    pub oid: u32,
    pub name: String,
    pub schema: u32,
    pub owner: u32,
    pub ty: PgType,
    pub start: i64,
    pub increment: i64,
    pub minimum: i64,
    pub maximum: i64,
    pub cache: i64,
    pub cycle: bool,
    /// Table OID and column position that own it; dropped with them.
    #[serde(default)]
    pub owned_by: Option<(u32, usize)>,
    /// Names the state (the last value) that it counts on; 0 is its OID. RESTART gives it a new
    /// one, so that a rollback brings the old one back.
    #[serde(default)]
    pub state: u64,
    /// The first value of that state, when it is not `start`.
    #[serde(default)]
    pub restart: Option<i64>,
}

impl Role {
    /// A role without any attribute.
    pub fn new(oid: u32, name: &str) -> Role {
        Role {
            oid,
            name: name.to_owned(),
            superuser: false,
            login: false,
            verifier: None,
            connection_limit: no_limit(),
            create_db: false,
            create_role: false,
            inherit: true,
            valid_until: None,
        }
    }
}

impl Column {
    /// A column that is no more than a name and a type.
    pub fn plain(name: &str, ty: PgType) -> Column {
        Column {
            name: name.to_owned(),
            ty,
            not_null: false,
            default: None,
            identity: None,
            sequence: None,
            missing: None,
            dropped: false,
            comment: None,
        }
    }
}

impl Table {
    /// Live columns with their positions.
    pub fn live_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.dropped)
    }

    /// Position of the live column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| !column.dropped && column.name == name)
    }
}
