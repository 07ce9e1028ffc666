//! The file format: names of redb tables, and the `meta` table that says what the file is.

use std::fmt::Write;

use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use super::TableId;
use super::log::{Checkpoint, Identity};
use super::tier::Generation;
use crate::error::{Error, Result, SqlState};

/// Type of keys and values in redb.
pub(super) type Bytes = &'static [u8];

/// What the file is, by name: `magic`, `format_version`, `log`, `log_bytes`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const MAGIC_KEY: &str = "magic";
const MAGIC: &[u8] = b"OmenDB";
const VERSION_KEY: &str = "format_version";

const LOG_KEY: &str = "log";
/// Identity 16, life 8, number 8, half 1, in use 1.
const LOG_BYTES: usize = 34;
/// Life 8, bytes that the log's file has had durably in that life 8. Other lives say nothing.
const LENGTH_KEY: &str = "log_bytes";

/// The format that this build reads and writes; little-endian `u32` in `meta`.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest that it reads: without a commit log.
const OLDEST_VERSION: u32 = 1;

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
        OLDEST_VERSION..=FORMAT_VERSION => Ok(()),
        other => Err(Error::unsupported(
            format!("database format version {other}"),
            format!(
                "This build reads versions {OLDEST_VERSION} to {FORMAT_VERSION}. Open the database with the release that wrote it."
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

/// What a database says of its commit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogState {
    pub checkpoint: Checkpoint,
    /// Whether the log may hold what the database has not: it was not closed.
    pub in_use: bool,
}

/// What the database says of its commit log; `None` if it never had one.
///
/// # Errors
/// XX001 when that is damaged.
pub(super) fn log_state(database: &Database) -> Result<Option<LogState>> {
    let meta = database.begin_read()?.open_table(META)?;
    let Some(stored) = meta.get(LOG_KEY)? else {
        return Ok(None);
    };
    let damaged = || {
        Error::new(
            SqlState::DATA_CORRUPTED,
            "what the database says of its commit log is damaged",
        )
    };
    let stored = <[u8; LOG_BYTES]>::try_from(stored.value()).map_err(|_| damaged())?;
    let (numbers, [half @ 0..=1, in_use @ 0..=1]) = stored.split_at(LOG_BYTES - 2) else {
        return Err(damaged());
    };
    let (identity, numbers) = numbers.split_at(size_of::<Identity>());
    let (life, number) = numbers.split_at(8);
    let number_of = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes);
    let length = meta.get(LENGTH_KEY)?;
    let length = length.and_then(|stored| {
        let bytes = stored.value().strip_prefix(life)?;
        number_of(bytes).ok()
    });
    Ok(Some(LogState {
        checkpoint: Checkpoint {
            identity: identity.try_into().map_err(|_| damaged())?,
            life: number_of(life).map_err(|_| damaged())?,
            number: number_of(number).map_err(|_| damaged())?,
            half: *half,
            bytes: length.unwrap_or_default(),
        },
        in_use: *in_use == 1,
    }))
}

/// Stores what is to be said of the commit log, with the transaction.
pub(super) fn set_log_state(writer: &WriteTransaction, state: &LogState) -> Result<()> {
    let checkpoint = &state.checkpoint;
    let mut stored = Vec::with_capacity(LOG_BYTES);
    stored.extend_from_slice(&checkpoint.identity);
    stored.extend_from_slice(&checkpoint.life.to_le_bytes());
    stored.extend_from_slice(&checkpoint.number.to_le_bytes());
    stored.extend_from_slice(&[checkpoint.half, u8::from(state.in_use)]);
    let mut meta = writer.open_table(META)?;
    meta.insert(LOG_KEY, stored.as_slice())?;
    let length = [
        checkpoint.life.to_le_bytes(),
        checkpoint.bytes.to_le_bytes(),
    ];
    meta.insert(LENGTH_KEY, length.as_flattened())?;
    meta.insert(VERSION_KEY, FORMAT_VERSION.to_le_bytes().as_slice())?;
    Ok(())
}

fn not_ours() -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the file is a redb database, but not an OmenDB database",
    )
    .hint("Choose another path, or move the file away.")
}
