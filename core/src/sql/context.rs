//! What a statement runs with, and what comes out of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use futures::stream::BoxStream;

use super::Engine;
use crate::catalog::Catalog;
use crate::error::{Error, Notice, Result};
use crate::query::{Execution, PlanContext, ResultColumn, Rows, SessionInfo};
use crate::txn::{Interrupt, Transaction, Wait};
use crate::types::{Datum, PgType};

/// A running statement's surroundings.
pub struct Context<'a> {
    pub engine: &'a Arc<Engine>,
    pub txn: &'a mut Transaction,
    /// The catalog at the statement's snapshot; DDL replaces it.
    pub catalog: &'a mut Arc<Catalog>,
    pub info: Arc<SessionInfo>,
    /// Values of `$1 …` with their types.
    pub parameters: &'a [Datum<'static>],
    pub parameter_types: &'a [PgType],
    pub notices: &'a mut Vec<Notice>,
    pub interrupt: Interrupt,
    /// `lock_timeout` in microseconds; `None` is none.
    pub lock_timeout: Option<u64>,
    /// Whether a transaction block (or a query string of several statements) is open around the
    /// statement: VACUUM and its like are refused then (25001).
    pub in_block: bool,
}

/// What a statement gives back.
pub enum Outcome {
    /// Done, with its command tag.
    Command(String),
    Rows {
        columns: Arc<[ResultColumn]>,
        rows: BoxStream<'static, Result<Rows>>,
        tag: Tag,
    },
    CopyIn(Box<dyn CopySink>),
    CopyOut(Box<dyn CopySource>),
    /// Nothing was done: the catalog changed while a relation lock was awaited. The session plans
    /// again and runs the statement anew; its locks stay.
    Replan,
}

/// How a row-returning statement ends.
#[derive(Clone, Debug)]
pub enum Tag {
    /// The word, followed by the number of rows sent (`SELECT 3`).
    Counted(&'static str),
    /// Fixed when the rows begin (`INSERT 0 3`).
    Fixed(String),
}

/// Boxed future of the COPY traits.
pub type CopyFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Takes the data of `COPY … FROM STDIN`. Dropping it unfinished leaves no trace but what the
/// transaction's own abort removes.
pub trait CopySink: Send {
    fn columns(&self) -> usize;
    fn binary(&self) -> bool;
    /// A piece of input, cut anywhere.
    fn data<'a>(&'a mut self, context: &'a mut Context<'_>, data: &'a [u8]) -> CopyFuture<'a, ()>;
    /// The end of input: checks and writes what is left; the command tag.
    fn finish<'a>(&'a mut self, context: &'a mut Context<'_>) -> CopyFuture<'a, String>;
}

/// Rows of `COPY … TO STDOUT`. Clients count on one message a row.
#[derive(Clone, Debug, Default)]
pub struct CopyRows {
    bytes: Vec<u8>,
    /// Where each row ends in `bytes`.
    ends: Vec<usize>,
}

impl CopyRows {
    /// Where the next row is written.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was written since the last end is a row.
    pub fn end_row(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .filter_map(|(from, to)| self.bytes.get(from..*to))
    }
}

/// Gives the data of `COPY … TO STDOUT`.
pub trait CopySource: Send {
    fn columns(&self) -> usize;
    fn binary(&self) -> bool;
    /// The next piece (whole rows), or `None` at the end.
    fn next(&mut self) -> CopyFuture<'_, Option<CopyRows>>;
    /// The command tag, once `next` gave `None`.
    fn tag(&self) -> String;
}

impl Context<'_> {
    /// The value of an expression that reads no row, and its type.
    pub(super) async fn evaluate(&mut self, expr: &ast::Expr) -> Result<(Datum<'static>, PgType)> {
        let execution = self.execution()?;
        let planning = self.plan_context();
        let (exprs, rows) = (std::slice::from_ref(expr), [Vec::new()]);
        let query = &self.engine.query;
        let results = query
            .evaluate(exprs, None, &rows, &planning, &execution)
            .await?;
        let first = results.into_iter().flatten().next();
        first.ok_or_else(|| Error::internal("an expression gave no value"))
    }

    /// What to plan a query of this statement against.
    pub fn plan_context(&self) -> PlanContext<'_> {
        PlanContext {
            catalog: self.catalog,
            info: &self.info,
            parameters: self.parameter_types,
            row_keys: &[],
        }
    }

    /// What to run a query of this statement with.
    pub fn execution(&mut self) -> Result<Execution> {
        Ok(Execution {
            view: self.txn.view()?,
            info: self.info.clone(),
            parameters: self.parameters.to_vec(),
            interrupt: self.interrupt.clone(),
            only: Default::default(),
        })
    }

    /// Waiting in line for a lock, as the session's `lock_timeout` says.
    pub fn wait(&self) -> Wait {
        Wait::Queue(self.lock_timeout)
    }

    pub fn notice(&mut self, error: Error) {
        self.notices.push(Notice {
            severity: "NOTICE",
            error,
        });
    }

    pub fn warning(&mut self, error: Error) {
        self.notices.push(Notice {
            severity: "WARNING",
            error,
        });
    }
}
