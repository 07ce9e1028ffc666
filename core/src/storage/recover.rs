//! What an interruption leaves behind: commits that are in the log alone, a file that was not yet a
//! database, and redb tables to which rows were being moved.
//!
//! redb creates a file in this order: it extends the file with zeros, writes the first page without
//! the magic number that names a redb file, syncs, and writes the magic number. If the machine stops
//! before the last step, redb does not know the file afterwards. Nothing was ever acknowledged by
//! such a file, so it is emptied and created anew; but only if every byte says so.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, StorageBackend, TableHandle};

use super::apply::OpenTables;
use super::format::{self, LogState, Table};
use super::gate::Gate;
use super::log::{Checkpoint, Identity, Log};
use super::{Tiers, log_record};
use crate::env::{Entropy, Env};
use crate::error::{Error, Result, SqlState};

/// Where redb's magic number stands.
const MAGIC_LEN: usize = 9;
/// redb's header lies in the first page; everything behind it is zero in a new file.
const HEADER_PAGE: u64 = 4096;
/// Larger than any file that redb has just created: a larger one has held data.
const MAX_NEW_FILE: u64 = 4 << 20;
const CHUNK: usize = 64 << 10;

/// Empties the backend if it holds nothing but an interrupted creation.
pub(super) fn discard_interrupted_creation(backend: &impl StorageBackend) -> Result<()> {
    let len = backend.len().map_err(io)?;
    if len == 0 || len > MAX_NEW_FILE {
        return Ok(());
    }
    let is_zero = |from: u64, to: u64| -> Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let mut at = from;
        while at < to {
            let count = CHUNK.min(usize::try_from(to - at).unwrap_or(CHUNK));
            let (piece, _) = chunk.split_at_mut(count);
            backend.read(at, piece).map_err(io)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += count as u64;
        }
        Ok(true)
    };
    if is_zero(0, len.min(MAGIC_LEN as u64))? && is_zero(HEADER_PAGE.min(len), len)? {
        tracing::warn!("the creation of this database was interrupted; creating it anew");
        backend.set_len(0).map_err(io)?;
        backend.sync_data().map_err(io)?;
    }
    Ok(())
}

/// Removes the redb tables of generations that are not the current one of their relation.
pub(super) fn drop_other_generations(database: &Database, tiers: &Tiers) -> Result<()> {
    let other: Vec<Table> = database
        .begin_read()?
        .list_tables()?
        .filter_map(|handle| Table::parse(handle.name()))
        .filter(|(table, generation)| tiers.generation(*table) != *generation)
        .map(|(table, generation)| Table::of(table, generation))
        .collect();
    if other.is_empty() {
        return Ok(());
    }
    let writer = database.begin_write()?;
    for table in other {
        writer.delete_table(table.definition())?;
    }
    Ok(writer.commit()?)
}

/// Opens the commit log for a new life of the database. First, what the log alone has of the life
/// before is applied, durably; `tiers` follows.
///
/// # Errors
/// 55000 when the database was not closed and `backend` is not its log; XX001 when a record is damaged
/// in a way that no crash explains.
pub(super) fn open_log(
    database: &Database,
    tiers: &mut Arc<Tiers>,
    backend: Option<Arc<dyn StorageBackend>>,
    env: &Env,
    gate: &Gate,
) -> Result<Option<Log>> {
    let state = format::log_state(database)?;
    let interrupted = state.is_some_and(|state| state.in_use);
    let Some(backend) = backend else {
        return match interrupted {
            true => Err(no_log()),
            false => Ok(None),
        };
    };
    let writer = database.begin_write()?;
    let last = match state {
        Some(LogState { checkpoint, .. }) if interrupted => {
            if !Log::is_of(&*backend, &checkpoint.identity)? {
                return Err(no_log());
            }
            let mut tables = OpenTables::new(&writer, tiers.clone());
            let mut replay = Log::replay(&*backend, checkpoint);
            let mut records = 0_u64;
            while let Some(record) = replay.next()? {
                for batch in log_record::decode(&record)? {
                    tables.apply(&batch)?;
                }
                records += 1;
            }
            replay.check_end()?;
            if records > 0 {
                tracing::info!(records, "recovered commits from the log");
            }
            *tiers = tables.tiers;
            checkpoint
        }
        state => {
            let mut identity = Identity::default();
            env.entropy.fill(&mut identity);
            let first = Checkpoint {
                identity,
                life: 0,
                number: 1,
                half: 0,
                bytes: 0,
            };
            let last = state.map_or(first, |state| state.checkpoint);
            Log::create(&*backend, &last.identity)?;
            last
        }
    };
    let checkpoint = Checkpoint {
        life: next_life(last.life, &*env.entropy),
        bytes: Log::make_room(&*backend)?,
        ..last
    };
    let state = LogState {
        checkpoint,
        in_use: true,
    };
    format::set_log_state(&writer, &state)?;
    writer.commit()?;
    Ok(Some(Log::start(backend, checkpoint, gate.clone())?))
}

/// Names a life so that nobody can foretell it: bytes that a user stores pass for a record of none.
fn next_life(last: u64, entropy: &dyn Entropy) -> u64 {
    let mut step = [0; 8];
    entropy.fill(&mut step);
    last.wrapping_add(u64::from_le_bytes(step) | 1)
}

fn no_log() -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the database was not closed, and the commit log that belongs to it is missing",
    )
    .hint(
        "The log holds the last commits: put it back beside the database's file, and open and close the database where it ran.",
    )
}

fn io(error: std::io::Error) -> Error {
    Error::io("storage", &error)
}
