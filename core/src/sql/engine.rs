//! What all sessions of a database share.

use crate::catalog::{Cache, Sequences};
use crate::env::Env;
use crate::query::QueryEngine;
use crate::txn::Transactions;

/// The parts of an open database.
pub struct Engine {
    pub env: Env,
    pub transactions: Transactions,
    pub catalog: Cache,
    pub sequences: Sequences,
    pub query: QueryEngine,
}
