//! The seam that every host calls: a session takes SQL and messages' contents, and gives back
//! descriptions, blocks of rows and command tags. It knows no wire: hosts move bytes.
//!
//! Extended protocol: `parse` → `bind` → `describe` → `execute` … → `sync`. Simple protocol:
//! `simple`, then `next_simple` until it gives `None`. Results are pulled block by block, so a
//! result of any size needs the memory of one block.

mod check;
mod check_tiers;
mod cursors;
mod database;
mod extended;
mod locate;
mod parsed;
mod point;
mod portal;
mod prepared;
mod rows;
mod run;
#[expect(clippy::module_inception)]
mod session;
mod shared;
mod simple;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod verbs;

pub use crate::error::Notice;
pub use crate::query::{ResultColumn, Rows};
pub use crate::sql::CopyRows;
pub use database::{DATABASE_NAME, Database, DatabaseOptions, Login};
pub use rows::{Format, RowBlock};
pub use session::Session;
pub use shared::canceled;

use std::future::Future;
use std::sync::Arc;

use crate::error::Result;
use crate::txn::Interrupt;

/// What a client says when it connects.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    pub user: String,
    pub database: String,
    /// Settings from the start-up message (`application_name`, `options`, `TimeZone`, …).
    pub parameters: Vec<(String, String)>,
    /// Number by which `pg_stat_activity` and cancel requests know the session.
    pub process_id: i32,
}

/// Where a session stands between messages (the status byte of `ReadyForQuery`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// A prepared statement's parameters and result.
#[derive(Clone, Debug)]
pub struct StatementDescription {
    /// OIDs of the parameters.
    pub parameters: Vec<u32>,
    /// `None` when the statement returns no rows.
    pub columns: Option<Arc<[ResultColumn]>>,
}

/// One parameter value as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Parameter<'a> {
    pub format: Format,
    /// `None` is NULL.
    pub value: Option<&'a [u8]>,
}

/// What a COPY expects or sends.
#[derive(Clone, Copy, Debug)]
pub struct CopyShape {
    pub columns: usize,
    pub format: Format,
}

/// One step of a running statement.
pub enum Step {
    /// Rows of this shape follow (simple protocol only; extended clients ask with Describe).
    Describe(Arc<[ResultColumn]>),
    Rows(RowBlock),
    /// The row limit of this `execute` is reached; the portal can go on.
    Suspended,
    /// The statement is done; the text is its command tag (`INSERT 0 1`).
    Complete(String),
    /// The statement was empty.
    Empty,
    /// The client sends data now: `copy_data` …, then `copy_done` or `copy_fail`.
    CopyIn(CopyShape),
    /// The data of `COPY … TO STDOUT` follows as `CopyData`, then `CopyDone`, then `Complete`.
    CopyOut(CopyShape),
    CopyData(CopyRows),
    CopyDone,
}

/// What a host is about to ask of a session.
#[derive(Clone, Copy, Debug)]
pub enum Ahead<'a> {
    /// The text of a statement, or of a simple query.
    Text(&'a str),
    /// The next step of this portal.
    Portal(&'a str),
    /// The next step of the simple query.
    Simple,
    Sync,
}

/// A session, as hosts use it.
///
/// After an error in the extended protocol the host discards messages until Sync and then calls
/// [`sync`](SqlSession::sync), as PostgreSQL does; the session itself keeps the transaction's state.
pub trait SqlSession: Send {
    /// Prepares a statement; the empty name is the unnamed one. OID 0 leaves a type to be inferred.
    fn parse(
        &mut self,
        name: &str,
        sql: &str,
        types: &[u32],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Makes a portal. `result_formats` is empty (all text), one for all, or one for each column.
    fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        parameters: &[Parameter<'_>],
        result_formats: &[Format],
    ) -> impl Future<Output = Result<()>> + Send;

    fn describe_statement(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<StatementDescription>> + Send;

    /// The portal's columns with their formats; `None` when it returns no rows.
    fn describe_portal(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<Option<(Arc<[ResultColumn]>, Arc<[Format]>)>>> + Send;

    /// The next step of a portal. Called again until `Complete`, `Suspended` or `Empty`;
    /// `max_rows` (0 is no limit) is what is left of the message's limit.
    fn execute(
        &mut self,
        portal: &str,
        max_rows: usize,
    ) -> impl Future<Output = Result<Step>> + Send;

    /// Closing what does not exist is no error.
    fn close_statement(&mut self, name: &str);
    fn close_portal(&mut self, name: &str);

    /// Starts a simple query of any number of statements.
    ///
    /// # Errors
    /// A syntax error anywhere in it: then nothing of it runs.
    fn simple(&mut self, sql: &str) -> impl Future<Output = Result<()>> + Send;

    /// Plans the next statement of the simple query, if none is under way: then
    /// [`is_brief`](SqlSession::is_brief) knows what comes. Else `next_simple` does it.
    fn plan_simple(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Whether something is done in moments, apart from waiting for locks, for the disk or for
    /// workers. What is not would keep others waiting that are served by the same thread.
    fn is_brief(&self, ahead: Ahead<'_>) -> bool;

    /// The next step of the simple query; `None` when it is done. An error ends it.
    fn next_simple(&mut self) -> impl Future<Output = Result<Option<Step>>> + Send;

    /// A piece of COPY input, cut anywhere.
    fn copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Ends COPY input and completes the statement.
    fn copy_done(&mut self) -> impl Future<Output = Result<Step>> + Send;

    /// The client gave up: fails the statement with 57014; returns that error.
    fn copy_fail(&mut self, message: &str) -> impl Future<Output = crate::error::Error> + Send;

    /// Ends the implicit transaction of an extended query: commits, or rolls back after an error.
    fn sync(&mut self) -> impl Future<Output = Result<()>> + Send;

    fn status(&self) -> TransactionStatus;
    fn take_notices(&mut self) -> Vec<Notice>;
    /// Reported settings (`ParameterStatus`) that changed since the last call; all of them at first.
    fn take_parameter_changes(&mut self) -> Vec<(String, String)>;
    fn interrupt(&self) -> Interrupt;
    /// Milliseconds that the session may idle inside a transaction (25P03), 0 for ever.
    fn idle_in_transaction_timeout(&self) -> u64;
}
