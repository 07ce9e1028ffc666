//! The file format: names of redb tables, and the `meta` table that says what the file is.

use std::fmt::Write;

use redb::{Database, ReadableDatabase, TableDefinition, TableError};

use super::TableId;
use super::tier::Generation;
use crate::error::{Error, Result, SqlState};

/// Type of keys and values in redb.
pub(super) type Bytes = &'static [u8];

/// What the file is, by name: `magic` and `format_version`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const MAGIC_KEY: &str = "magic";
const MAGIC: &[u8] = b"OmenDB";
const VERSION_KEY: &str = "format_version";

/// The format that this build reads and writes; little-endian `u32` in `meta`.
pub const FORMAT_VERSION: u32 = 1;

/// The name of a relation's redb table: `t` and its number, and from generation 1 on `.` and that.
pub(super) struct Table(String);

impl Table {
    pub fn of(table: TableId, generation: Generation) -> Self {
        let mut name = String::with_capacity(32);
        // Writing to a String cannot fail.
        let _ = match generation {
            0 => write!(name, "t{table}"),
            _ => write!(name, "t{table}.{generation}"),
        };
        Table(name)
    }

    /// The relation and the generation that a redb table is named after; `None` for other tables.
    pub fn parse(name: &str) -> Option<(TableId, Generation)> {
        let rest = name.strip_prefix('t')?;
        match rest.split_once('.') {
            Some((table, generation)) => Some((table.parse().ok()?, generation.parse().ok()?)),
            None => Some((rest.parse().ok()?, 0)),
        }
    }

    pub fn definition(&self) -> TableDefinition<'_, Bytes, Bytes> {
        TableDefinition::new(&self.0)
    }
}

/// Marks a new database as ours, or checks that an existing one is, in a version we know.
///
/// # Errors
/// 55000 for a redb file of another program, 0A000 for another version.
pub(super) fn check_or_create(database: &Database) -> Result<()> {
    let reader = database.begin_read()?;
    let meta = match reader.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) if reader.list_tables()?.next().is_none() => {
            drop(reader);
            return create(database);
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(not_ours()),
    };
    if meta
        .get(MAGIC_KEY)?
        .is_none_or(|magic| magic.value() != MAGIC)
    {
        return Err(not_ours());
    }
    let version = meta.get(VERSION_KEY)?.ok_or_else(not_ours)?;
    let version = <[u8; 4]>::try_from(version.value()).map_err(|_| not_ours())?;
    match u32::from_le_bytes(version) {
        FORMAT_VERSION => Ok(()),
        other => Err(Error::unsupported(
            format!("database format version {other}"),
            format!(
                "This build reads version {FORMAT_VERSION}. Open the database with the release that wrote it."
            ),
        )),
    }
}

fn create(database: &Database) -> Result<()> {
    let writer = database.begin_write()?;
    {
        let mut meta = writer.open_table(META)?;
        meta.insert(MAGIC_KEY, MAGIC)?;
        meta.insert(VERSION_KEY, FORMAT_VERSION.to_le_bytes().as_slice())?;
    }
    Ok(writer.commit()?)
}

fn not_ours() -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the file is a redb database, but not an OmenDB database",
    )
    .hint("Choose another path, or move the file away.")
}
