//! What all sessions of a database share.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{Cache, Sequences};
use crate::env::Env;
use crate::query::QueryEngine;
use crate::txn::{Interrupt, Transactions};

/// The parts of an open database.
pub struct Engine {
    pub env: Env,
    /// When the database was opened, µs since 1970 UTC.
    pub started: i64,
    pub transactions: Transactions,
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
