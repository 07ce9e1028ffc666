//! A database in memory with one session, driven to the end of each statement.

use futures::executor::block_on;
use omendb_core::query::QueryOptions;
use omendb_core::session::{ConnectOptions, Database, DatabaseOptions, Session, SqlSession, Step};
use omendb_core::storage::Options;
use omendb_core::{Error, Result};
use redb::backends::InMemoryBackend;

use crate::host;

const PAGE_CACHE_BYTES: usize = 64 << 20;
const QUERY_BYTES: usize = 256 << 20;
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
            query: QueryOptions {
                memory_bytes: QUERY_BYTES,
                column_cache_bytes: COLUMN_CACHE_BYTES,
                parallelism: 1,
            },
            owner: "postgres".into(),
        };
        let _entered = runtime.enter();
        let database = block_on(Database::open(
            InMemoryBackend::new(),
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
            Step::Rows(block) => {
                let mut bytes = Vec::new();
                for row in 0..block.rows.len() {
                    let mut cells = Vec::with_capacity(block.columns.len());
                    for column in 0..block.columns.len() {
                        bytes.clear();
                        let present = block.write_cell(row, column, &mut bytes)?;
                        cells.push(present.then(|| String::from_utf8_lossy(&bytes).into_owned()));
                    }
                    current.rows.push(cells);
                }
            }
            Step::Complete(tag) => {
                current.tag = tag;
                results.push(std::mem::take(&mut current));
            }
            Step::Empty | Step::Suspended => {}
            Step::CopyIn(_) => {
                return Err(session.copy_fail("there is no stream of data here").await);
            }
            Step::CopyOut(_) | Step::CopyDone => {}
            Step::CopyData(data) => {
                let text = |row: &[u8]| String::from_utf8_lossy(row).trim_end().to_owned();
                current
                    .rows
                    .extend(data.iter().map(|row| vec![Some(text(row))]));
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
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
}
