//! A session whose statements are commands of a small script language: `rows 25`, `fail`, `panic`,
//! `sleep`, `begin`, `commit`, `notice`, `copy in`, `copy out`, and nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use omendb_core::error::{Error, Notice, Result, SqlState};
use omendb_core::session::{
    Ahead, ConnectOptions, CopyRows, CopyShape, Format, Login, Parameter, ResultColumn, RowBlock,
    Rows, SqlSession, StatementDescription, Step, TransactionStatus,
};
use omendb_core::txn::Interrupt;
use omendb_core::types::text::TextStyle;
use omendb_core::types::{Datum, PgType, oid};
use parking_lot::Mutex;

use crate::wire::Backend;

/// Rows of a block.
pub const BLOCK: usize = 10;

/// Password "pencil", as in RFC 7677.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// What the sessions did, for the tests to look at.
#[derive(Default)]
pub struct Seen {
    pub rows: AtomicUsize,
    pub open: AtomicUsize,
    pub interrupted: Mutex<Option<Error>>,
    pub copied: Mutex<Vec<u8>>,
    pub bound: Mutex<Vec<Option<Vec<u8>>>>,
}

#[derive(Clone, Default)]
pub struct MockBackend {
    pub seen: Arc<Seen>,
    pub idle_limit: u64,
}

impl Backend for MockBackend {
    type Session = MockSession;

    fn login(&self, user: &str) -> Result<Login> {
        if user == "nobody" {
            return Err(Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" does not exist"),
            ));
        }
        Ok(Login {
            verifier: (user != "open").then(|| VERIFIER.to_owned()),
            connection_limit: if user == "one" { 1 } else { -1 },
        })
    }

    fn connect(&self, options: ConnectOptions) -> Result<MockSession> {
        self.seen.open.fetch_add(1, Ordering::SeqCst);
        Ok(MockSession {
            seen: self.seen.clone(),
            idle_limit: self.idle_limit,
            interrupt: Interrupt::default(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            simple: VecDeque::new(),
            running: None,
            status: TransactionStatus::Idle,
            notices: Vec::new(),
            changes: vec![("application_name".into(), options.user)],
        })
    }
}

pub struct MockSession {
    seen: Arc<Seen>,
    idle_limit: u64,
    interrupt: Interrupt,
    statements: HashMap<String, String>,
    portals: HashMap<String, Run>,
    simple: VecDeque<String>,
    running: Option<Run>,
    status: TransactionStatus,
    notices: Vec<Notice>,
    changes: Vec<(String, String)>,
}

/// A statement under way.
#[derive(Clone)]
struct Run {
    sql: String,
    at: usize,
    described: bool,
}

impl Run {
    fn new(sql: &str) -> Run {
        Run {
            sql: sql.trim().to_owned(),
            at: 0,
            described: false,
        }
    }

    fn rows(&self) -> Option<usize> {
        self.sql.strip_prefix("rows ")?.parse().ok()
    }
}

fn columns() -> Arc<[ResultColumn]> {
    let column = |name: &str, oid| ResultColumn {
        name: name.into(),
        ty: PgType::new(oid),
        table: 0,
        attribute: 0,
    };
    Arc::from([column("number", oid::TEXT), column("nothing", oid::INT4)])
}

const SHAPE: CopyShape = CopyShape {
    columns: 2,
    format: Format::Text,
};

impl MockSession {
    async fn step(&mut self, run: &mut Run, limit: usize) -> Result<Step> {
        self.interrupt.check()?;
        if let Some(total) = run.rows() {
            let mut left = total - run.at;
            if limit > 0 {
                left = left.min(limit);
            }
            let count = left.min(BLOCK);
            if count == 0 {
                return Ok(Step::Complete(format!("SELECT {total}")));
            }
            let rows = (run.at..run.at + count)
                .map(|n| vec![Datum::text(n.to_string()), Datum::Null])
                .collect();
            run.at += count;
            self.seen.rows.fetch_add(count, Ordering::SeqCst);
            return Ok(Step::Rows(RowBlock {
                columns: columns(),
                formats: Arc::from([Format::Text, Format::Text]),
                style: Arc::new(TextStyle::default()),
                rows: Rows::Datums(rows),
            }));
        }
        match run.sql.as_str() {
            "" => Ok(Step::Empty),
            "fail" => Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero").position(3)),
            "panic" => panic!("a statement that panics"),
            "sleep" => {
                let error = self.interrupt.raised().await;
                *self.seen.interrupted.lock() = Some(error.clone());
                Err(error)
            }
            "begin" => {
                self.status = TransactionStatus::InTransaction;
                Ok(Step::Complete("BEGIN".into()))
            }
            "commit" => {
                self.status = TransactionStatus::Idle;
                Ok(Step::Complete("COMMIT".into()))
            }
            "notice" => {
                let error = Error::new(SqlState::WARNING, "look out");
                self.notices.push(Notice {
                    severity: "WARNING",
                    error,
                });
                Ok(Step::Complete("NOTICE".into()))
            }
            "copy in" => Ok(Step::CopyIn(SHAPE)),
            "copy out" => {
                run.at += 1;
                Ok(match run.at {
                    1 => Step::CopyOut(SHAPE),
                    2 => {
                        let mut rows = CopyRows::default();
                        rows.buffer().extend_from_slice(b"1\tone\n");
                        rows.end_row();
                        Step::CopyData(rows)
                    }
                    3 => Step::CopyDone,
                    _ => Step::Complete("COPY 1".into()),
                })
            }
            _ => Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error")),
        }
    }
}

impl SqlSession for MockSession {
    async fn parse(&mut self, name: &str, sql: &str, _types: &[u32]) -> Result<()> {
        self.statements.insert(name.to_owned(), sql.to_owned());
        Ok(())
    }

    async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        parameters: &[Parameter<'_>],
        _result_formats: &[Format],
    ) -> Result<()> {
        let sql = self.statements.get(statement).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{statement}\" does not exist"),
            )
        })?;
        self.portals.insert(portal.to_owned(), Run::new(sql));
        *self.seen.bound.lock() = parameters
            .iter()
            .map(|parameter| parameter.value.map(<[u8]>::to_vec))
            .collect();
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<StatementDescription> {
        let rows = self
            .statements
            .get(name)
            .is_some_and(|sql| Run::new(sql).rows().is_some());
        Ok(StatementDescription {
            parameters: vec![oid::INT4],
            columns: rows.then(columns),
        })
    }

    async fn describe_portal(
        &mut self,
        name: &str,
    ) -> Result<Option<(Arc<[ResultColumn]>, Arc<[Format]>)>> {
        let rows = self
            .portals
            .get(name)
            .is_some_and(|run| run.rows().is_some());
        Ok(rows.then(|| (columns(), Arc::from([Format::Text, Format::Text]))))
    }

    async fn execute(&mut self, portal: &str, max_rows: usize) -> Result<Step> {
        let mut run =
            self.portals.get(portal).cloned().ok_or_else(|| {
                Error::new(SqlState::INVALID_CURSOR_NAME, "portal does not exist")
            })?;
        let step = self.step(&mut run, max_rows).await;
        self.portals.insert(portal.to_owned(), run);
        step
    }

    fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    async fn simple(&mut self, sql: &str) -> Result<()> {
        self.interrupt.clear();
        self.simple = sql.split(';').map(str::to_owned).collect();
        self.running = None;
        Ok(())
    }

    /// Some commands run on a worker, the others on the connection's own thread.
    fn is_brief(&self, ahead: Ahead<'_>) -> bool {
        let sql = match ahead {
            Ahead::Text(_) | Ahead::Sync => return true,
            Ahead::Portal(name) => self.portals.get(name).map(|run| &run.sql),
            Ahead::Simple => self.running.as_ref().map(|run| &run.sql),
        };
        let sql = sql
            .or(self.simple.front())
            .map_or("", String::as_str)
            .trim();
        !["rows", "copy", "panic"]
            .iter()
            .any(|word| sql.starts_with(word))
    }

    async fn next_simple(&mut self) -> Result<Option<Step>> {
        let mut run = match self.running.take() {
            Some(run) => run,
            None => match self.simple.pop_front() {
                Some(sql) => Run::new(&sql),
                None => return Ok(None),
            },
        };
        if run.rows().is_some() && !run.described {
            run.described = true;
            self.running = Some(run);
            return Ok(Some(Step::Describe(columns())));
        }
        let step = self.step(&mut run, 0).await;
        match &step {
            Ok(Step::Complete(_) | Step::Empty | Step::CopyIn(_)) => {}
            Ok(_) => self.running = Some(run),
            Err(_) => self.simple.clear(),
        }
        step.map(Some)
    }

    async fn copy_data(&mut self, data: &[u8]) -> Result<()> {
        if data == b"bad" {
            self.simple.clear();
            return Err(Error::new(
                SqlState::BAD_COPY_FILE_FORMAT,
                "missing data for column",
            ));
        }
        self.seen.copied.lock().extend_from_slice(data);
        Ok(())
    }

    async fn copy_done(&mut self) -> Result<Step> {
        Ok(Step::Complete(format!(
            "COPY {}",
            self.seen.copied.lock().len()
        )))
    }

    async fn copy_fail(&mut self, message: &str) -> Error {
        self.simple.clear();
        Error::new(
            SqlState::QUERY_CANCELED,
            format!("COPY from stdin failed: {message}"),
        )
    }

    async fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn status(&self) -> TransactionStatus {
        self.status
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changes)
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    fn idle_in_transaction_timeout(&self) -> u64 {
        self.idle_limit
    }
}

impl Drop for MockSession {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::SeqCst);
    }
}
