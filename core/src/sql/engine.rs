//! What all sessions of a database share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{Cache, Catalog, Object, Rights, Sequences, Table};
use crate::env::Env;
use crate::error::{Error, Result, SqlState};
use crate::query::QueryEngine;
use crate::segment::{Effort, Segments, Shape};
use crate::storage::TableId;
use crate::txn::{Interrupt, Transactions};

/// The parts of an open database.
pub struct Engine {
    pub env: Env,
    /// When the database was opened, µs since 1970 UTC.
    pub started: i64,
    pub transactions: Transactions,
    pub segments: Arc<Segments>,
    pub catalog: Cache,
    pub sequences: Sequences,
    pub query: Arc<QueryEngine>,
    /// Running sessions by process number.
    pub sessions: Mutex<HashMap<i32, RunningSession>>,
}

/// What other sessions may know of one.
pub struct RunningSession {
    /// The role that logged in.
    pub user: String,
    /// For `pg_cancel_backend`.
    pub interrupt: Interrupt,
    /// Owner of its locks ([`crate::txn::LockInfo::group`]), for `pg_locks`.
    pub locks: u64,
}

/// Moves all rows of the table with this OID into segments.
///
/// # Errors
/// 42P01 when there is no such table, 42809 when it is another object, 42501 for whom it does not
/// belong to, 55006 when it is being sealed.
pub async fn seal(engine: &Engine, catalog: Arc<Catalog>, rights: Rights, oid: u32) -> Result<()> {
    let object = catalog.object(oid).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_TABLE,
            format!("relation with OID {oid} does not exist"),
        )
    })?;
    let Object::Table(table) = object else {
        return Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a table", object.name()),
        ));
    };
    catalog.check_owner(&rights, object)?;
    tend(&engine.segments, &catalog, table, Effort::All).await?;
    Ok(())
}

/// Moves rows of a table and entries of its indexes into segments, and merges those. Returns whether
/// there was something to do.
///
/// # Errors
/// As [`Segments::rewrite`].
pub async fn tend(
    segments: &Segments,
    catalog: &Catalog,
    table: &Table,
    effort: Effort,
) -> Result<bool> {
    let mut moved = false;
    for (storage, shape) in shapes(catalog, table)? {
        if effort == Effort::All || segments.is_due(storage)? {
            segments.tend(storage, shape, effort).await?;
            moved = true;
        }
    }
    Ok(moved)
}

/// The storage of a table and of its indexes, and how each is written to segments.
pub fn shapes(catalog: &Catalog, table: &Table) -> Result<Vec<(TableId, Shape)>> {
    let mut shapes = vec![(table.storage, table.shape()?)];
    let entries = catalog.indexes(table).into_iter();
    let entries = entries.filter_map(|index| index.storage);
    shapes.extend(entries.map(|storage| (storage, Shape::of_entries())));
    Ok(shapes)
}
