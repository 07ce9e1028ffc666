//! What all sessions of a database share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{Cache, Catalog, Object, Rights, Sequences};
use crate::env::Env;
use crate::error::{Error, Result, SqlState};
use crate::query::QueryEngine;
use crate::segment::{Effort, Segments};
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
    let segments = &engine.segments;
    segments
        .tend(table.storage, table.shape()?, Effort::All)
        .await?;
    Ok(())
}
