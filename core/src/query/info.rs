//! What a query may know of the session that runs it.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::catalog::SearchPath;
use crate::error::{Error, Result};
use crate::txn::{Interrupt, LockInfo, LockScope, LockTarget, RowMode};
use crate::types::text::TextStyle;

/// The session's facts, fixed for one statement.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub user: String,
    pub session_user: String,
    pub database: String,
    pub search_path: SearchPath,
    /// The `TimeZone` setting as it was given.
    pub zone: String,
    pub style: Arc<TextStyle>,
    /// `now()`: start of the transaction, µs since 1970 UTC.
    pub transaction_start: i64,
    /// `statement_timestamp()`.
    pub statement_start: i64,
    /// Whether the transaction is READ ONLY.
    pub read_only: bool,
    pub process_id: i32,
    /// What stops the statement, while it is planned too.
    pub interrupt: Interrupt,
    pub access: Arc<dyn SessionAccess>,
}

impl SessionInfo {
    /// The session, for what a READ ONLY transaction must not do.
    ///
    /// # Errors
    /// 25006 in such a transaction.
    pub fn writer(&self, what: &str) -> Result<&dyn SessionAccess> {
        match self.read_only {
            true => Err(Error::read_only(what)),
            false => Ok(&*self.access),
        }
    }
}

/// One row of `pg_prepared_statements`.
#[derive(Clone, Debug)]
pub struct PreparedInfo {
    pub name: String,
    pub statement: String,
    /// µs since 1970 UTC.
    pub prepared_at: i64,
    /// Whether PREPARE made it, rather than a Parse message.
    pub from_sql: bool,
}

/// An advisory lock that is asked for.
#[derive(Clone, Debug)]
pub struct AdvisoryLock {
    pub target: LockTarget,
    /// [`RowMode::Update`] is exclusive, [`RowMode::Share`] is shared.
    pub mode: RowMode,
    pub scope: LockScope,
}

/// What one session may ask of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To stop its statement.
    Cancel,
    /// To end.
    Terminate,
}

/// What functions with effects do to the session.
pub trait SessionAccess: Debug + Send + Sync {
    /// `nextval`, by sequence OID.
    fn next_value(&self, sequence: u32) -> Result<i64>;
    /// As `next_value`, for an identity column: whoever may insert may count.
    fn next_identity(&self, sequence: u32) -> Result<i64> {
        self.next_value(sequence)
    }
    /// `currval`: 55000 when this session took none.
    fn current_value(&self, sequence: u32) -> Result<i64>;
    fn last_value(&self) -> Result<i64>;
    /// The last value of a sequence, whoever took it, and whether it was given.
    fn sequence_state(&self, sequence: u32) -> Result<(i64, bool)>;
    /// When the database was opened, µs since 1970 UTC.
    fn started(&self) -> i64;
    fn set_value(&self, sequence: u32, value: i64, is_called: bool) -> Result<i64>;
    /// `current_setting`: the setting's text, `None` when there is no such setting.
    fn setting(&self, name: &str) -> Option<String>;
    /// `set_config(name, value, is_local)`: the value it now has. `None` resets it.
    fn set_setting(&self, name: &str, value: Option<&str>, local: bool) -> Result<String>;
    /// All settings: (name, value, description), for `pg_settings`.
    fn settings(&self) -> Vec<(String, String, String)>;
    /// The session's prepared statements, for `pg_prepared_statements`.
    fn prepared_statements(&self) -> Vec<PreparedInfo>;
    /// `clock_timestamp()`, µs since 1970 UTC.
    fn clock(&self) -> i64;
    /// 16 random bytes, for `gen_random_uuid` and `random`.
    fn random(&self) -> [u8; 16];
    /// Takes an advisory lock, waiting for it as `lock_timeout` says.
    fn advisory_lock(&self, lock: AdvisoryLock) -> BoxFuture<'_, Result<()>>;
    /// Takes an advisory lock that is free; `false` when another session holds it.
    fn try_advisory_lock(&self, lock: &AdvisoryLock) -> Result<bool>;
    /// Gives a session's advisory lock back; `false` when it is not held in this mode.
    fn advisory_unlock(&self, target: &LockTarget, mode: RowMode) -> bool;
    fn advisory_unlock_all(&self);
    /// Every lock with the process number of its session (0 when there is none), for `pg_locks`.
    fn locks(&self) -> Vec<(i32, LockInfo)>;
    /// Resolves after so many microseconds.
    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()>;
    /// Moves all rows of a table into segments.
    ///
    /// # Errors
    /// 42501 unless the session owns the table, 42809 when it is none, 55006 when it is being sealed.
    fn seal(&self, table: u32) -> BoxFuture<'_, Result<()>>;
    /// Sends the client a warning.
    fn warn(&self, warning: Error);
    /// `pg_cancel_backend` and `pg_terminate_backend`; `false` when there is no such session.
    ///
    /// # Errors
    /// 42501 when the session is another role's.
    fn signal(&self, process_id: i32, signal: Signal) -> Result<bool>;
}
