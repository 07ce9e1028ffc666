//! A database in memory with one session, driven to the end of each statement.

use std::sync::Arc;

use futures::executor::block_on;
use object_store::memory::InMemory;
use omendb_core::query::QueryOptions;
use omendb_core::segment;
use omendb_core::session::{
    ConnectOptions, CopyRows, Database, DatabaseOptions, Parameter, RowBlock, Session, SqlSession,
    Step,
};
use omendb_core::storage::Options;
use omendb_core::{Error, Result};
use redb::backends::InMemoryBackend;

use crate::host;

const PAGE_CACHE_BYTES: usize = 64 << 20;
const QUERY_BYTES: usize = 256 << 20;
const TRANSACTION_BYTES: usize = 256 << 20;
const COLUMN_CACHE_BYTES: usize = 64 << 20;

/// A connection to a database that lives as long as it does.
pub struct Connection {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

/// What one statement gave: its columns and rows in PostgreSQL's text format, and its command tag.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementResult {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    pub tag: String,
}

impl Connection {
    /// Opens an empty database in memory.
    pub fn memory() -> Result<Connection> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::internal(format!("no runtime: {error}")))?;
        let options = DatabaseOptions {
            storage: Options {
                cache_bytes: PAGE_CACHE_BYTES,
            },
            segments: segment::Options::default(),
            query: QueryOptions {
                memory_bytes: QUERY_BYTES,
                column_cache_bytes: COLUMN_CACHE_BYTES,
                parallelism: 1,
            },
            transaction_memory: TRANSACTION_BYTES,
            owner: "postgres".into(),
        };
        let _entered = runtime.enter();
        let database = block_on(Database::open(
            InMemoryBackend::new(),
            None,
            Arc::new(InMemory::new()),
            &options,
            host::env(),
        ))?;
        let session = database.connect(ConnectOptions {
            user: "postgres".into(),
            database: "postgres".into(),
            parameters: Vec::new(),
            process_id: 1,
        })?;
        drop(_entered);
        Ok(Connection { runtime, session })
    }

    /// Runs a query string; one result for each of its statements.
    pub fn query(&mut self, sql: &str) -> Result<Vec<StatementResult>> {
        let Connection { runtime, session } = self;
        runtime.block_on(run(session, sql))
    }

    /// Prepares one statement with parameters `$1`, `$2` …; the empty name is the one that the next
    /// `prepare` of it replaces.
    pub fn prepare(&mut self, name: &str, sql: &str) -> Result<()> {
        let Connection { runtime, session } = self;
        runtime.block_on(async {
            let parsed = session.parse(name, sql, &[]).await;
            // An error leaves the implicit transaction to be rolled back.
            let synced = session.sync().await;
            parsed.and(synced)
        })
    }

    /// Runs a prepared statement to its end.
    pub fn execute(&mut self, name: &str, parameters: &[Parameter<'_>]) -> Result<StatementResult> {
        let Connection { runtime, session } = self;
        runtime.block_on(async {
            let result = execute(session, name, parameters).await;
            let synced = session.sync().await;
            result.and_then(|result| synced.map(|()| result))
        })
    }
}

async fn execute(
    session: &mut Session,
    name: &str,
    parameters: &[Parameter<'_>],
) -> Result<StatementResult> {
    let mut result = StatementResult::default();
    session.bind("", name, parameters, &[]).await?;
    if let Some((columns, _)) = session.describe_portal("").await? {
        result.columns = columns.iter().map(|column| column.name.clone()).collect();
    }
    loop {
        match session.execute("", 0).await? {
            Step::Rows(block) => add_rows(&mut result, &block)?,
            Step::CopyData(data) => add_copied(&mut result, &data),
            Step::Complete(tag) => {
                result.tag = tag;
                return Ok(result);
            }
            Step::Empty => return Ok(result),
            Step::CopyIn(_) => return Err(no_input(session).await),
            Step::Describe(_) | Step::Suspended | Step::CopyOut(_) | Step::CopyDone => {}
        }
    }
}

async fn run(session: &mut Session, sql: &str) -> Result<Vec<StatementResult>> {
    let mut results = Vec::new();
    let mut current = StatementResult::default();
    session.simple(sql).await?;
    while let Some(step) = session.next_simple().await? {
        match step {
            Step::Describe(columns) => {
                current.columns = columns.iter().map(|column| column.name.clone()).collect();
            }
            Step::Rows(block) => add_rows(&mut current, &block)?,
            Step::Complete(tag) => {
                current.tag = tag;
                results.push(std::mem::take(&mut current));
            }
            Step::Empty | Step::Suspended => {}
            Step::CopyIn(_) => return Err(no_input(session).await),
            Step::CopyOut(_) | Step::CopyDone => {}
            Step::CopyData(data) => add_copied(&mut current, &data),
        }
    }
    Ok(results)
}

fn add_rows(result: &mut StatementResult, block: &RowBlock) -> Result<()> {
    let mut bytes = Vec::new();
    for row in 0..block.rows.len() {
        let mut cells = Vec::with_capacity(block.columns.len());
        for column in 0..block.columns.len() {
            bytes.clear();
            let present = block.write_cell(row, column, &mut bytes)?;
            cells.push(present.then(|| String::from_utf8_lossy(&bytes).into_owned()));
        }
        result.rows.push(cells);
    }
    Ok(())
}

/// The lines of `COPY … TO STDOUT`, as rows of one column.
fn add_copied(result: &mut StatementResult, data: &CopyRows) {
    let text = |row: &[u8]| String::from_utf8_lossy(row).trim_end().to_owned();
    let lines = data.iter().map(|row| vec![Some(text(row))]);
    result.rows.extend(lines);
}

async fn no_input(session: &mut Session) -> Error {
    session.copy_fail("there is no stream of data here").await
}

#[cfg(test)]
mod tests {
    use omendb_core::session::Format;

    use super::*;

    #[test]
    fn writes_in_a_transaction_and_reads_back() {
        let mut connection = Connection::memory().unwrap();
        connection
            .query("CREATE TABLE t (id int PRIMARY KEY, name text)")
            .unwrap();
        connection
            .query("BEGIN; INSERT INTO t VALUES (1, 'one'), (2, NULL); COMMIT")
            .unwrap();
        let results = connection
            .query("SELECT count(*), max(name) FROM t")
            .unwrap();
        assert_eq!(
            results[0].rows,
            [[Some("2".to_owned()), Some("one".to_owned())]]
        );
        let error = connection
            .query("INSERT INTO t VALUES (1, 'again')")
            .unwrap_err();
        assert_eq!(error.state().code(), "23505");
    }

    #[test]
    fn prepared_statements_take_parameters() {
        let mut connection = Connection::memory().unwrap();
        connection
            .query("CREATE TABLE t (id int PRIMARY KEY, name text)")
            .unwrap();
        connection
            .prepare("add", "INSERT INTO t VALUES ($1, $2)")
            .unwrap();
        let text = |value| Parameter {
            format: Format::Text,
            value,
        };
        for (id, name) in [("1", Some("one")), ("2", None)] {
            let parameters = [text(Some(id.as_bytes())), text(name.map(str::as_bytes))];
            let result = connection.execute("add", &parameters).unwrap();
            assert_eq!(result.tag, "INSERT 0 1");
        }
        let again = [text(Some(b"1".as_slice())), text(None)];
        let error = connection.execute("add", &again).unwrap_err();
        assert_eq!(error.state().code(), "23505");
        connection
            .prepare("", "SELECT id, name FROM t WHERE id >= $1 ORDER BY id")
            .unwrap();
        let result = connection.execute("", &[text(Some(b"1"))]).unwrap();
        assert_eq!(result.columns, ["id", "name"]);
        let cell = |text: &str| Some(text.to_owned());
        assert_eq!(result.rows, [[cell("1"), cell("one")], [cell("2"), None]]);
    }

    #[test]
    fn a_time_out_stops_a_statement() {
        let mut connection = Connection::memory().unwrap();
        connection.query("SET statement_timeout = 50").unwrap();
        let error = connection.query("SELECT pg_sleep(60)").unwrap_err();
        assert_eq!(error.state().code(), "57014");
        assert_eq!(connection.query("SELECT 1").unwrap()[0].tag, "SELECT 1");
    }
}
