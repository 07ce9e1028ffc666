//! A database with a sealed table `s` and an unsealed table `u`.

use std::sync::Arc;

use object_store::memory::InMemory;
use redb::backends::InMemoryBackend;
use tokio::runtime::{Builder, Runtime};

use crate::env::{Committer, Env};
use crate::query::QueryOptions;
use crate::segment;
pub use crate::session::tests::world::Row;
use crate::session::tests::world::{Answer, run};
use crate::session::{ConnectOptions, Database, DatabaseOptions, Session};
use crate::storage::Options;
use crate::storage::tests::support::env;

pub struct Pair {
    runtime: Runtime,
    /// Kept open.
    _database: Database,
    session: Session,
}

impl Pair {
    /// Both tables with these columns, and no rows.
    pub fn new(columns: &str) -> Pair {
        Pair::with(columns, |_, _| {})
    }

    /// The same, where so many bytes of decoded columns of sealed rows stay in memory.
    pub fn within(columns: &str, columns_bytes: u64) -> Pair {
        Pair::with(columns, |options, _| {
            options.segments.caches.columns_bytes = columns_bytes;
        })
    }

    /// The same, with other options.
    pub fn with(columns: &str, change: impl FnOnce(&mut DatabaseOptions, &mut Env)) -> Pair {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let mut segments = segment::Options::default();
        segments.write.rows = 700;
        segments.write.group_rows = 150;
        let mut options = DatabaseOptions {
            storage: Options {
                cache_bytes: 8 << 20,
            },
            segments,
            query: QueryOptions {
                memory_bytes: 256 << 20,
                column_cache_bytes: 8 << 20,
                parallelism: 3,
            },
            transaction_memory: 64 << 20,
            owner: "postgres".into(),
        };
        let mut env = env(Committer::Inline);
        change(&mut options, &mut env);
        let opened = Database::open(
            InMemoryBackend::new(),
            None,
            Arc::new(InMemory::new()),
            &options,
            env,
        );
        let database = runtime.block_on(opened).unwrap();
        let session = database
            .connect(ConnectOptions {
                user: "postgres".into(),
                database: "postgres".into(),
                parameters: Vec::new(),
                process_id: 1,
            })
            .unwrap();
        let mut pair = Pair {
            runtime,
            _database: database,
            session,
        };
        pair.both(&format!("CREATE TABLE {{t}} ({columns})"));
        pair
    }

    pub fn try_sql(&mut self, sql: &str) -> Answer {
        self.runtime.block_on(run(&mut self.session, sql, ""))
    }

    #[track_caller]
    pub fn sql(&mut self, sql: &str) -> Vec<Row> {
        match self.try_sql(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\n{error}"),
        }
    }

    /// Runs a statement on both tables: `{t}` is the table. Both have to give the same rows, in the
    /// same order when one is asked for.
    #[track_caller]
    pub fn both(&mut self, sql: &str) -> Vec<Row> {
        let mut sealed = self.sql(&sql.replace("{t}", "s"));
        let mut plain = self.sql(&sql.replace("{t}", "u"));
        if !sql.contains("ORDER BY") {
            sealed.sort();
            plain.sort();
        }
        assert_same(&sealed, &plain, || format!("{sql}\n{}", self.plan(sql)));
        sealed
    }

    /// The plan for the sealed table.
    pub fn plan(&mut self, sql: &str) -> String {
        let rows = self.sql(&format!("EXPLAIN ANALYZE {}", sql.replace("{t}", "s")));
        let lines = rows.into_iter().flatten().flatten();
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn seal(&mut self) {
        self.sql("SELECT omendb_seal('s')");
    }
}

/// Panics, with some of the rows that make the difference, unless both answers are the same.
#[track_caller]
pub fn assert_same(found: &[Row], wanted: &[Row], what: impl FnOnce() -> String) {
    if found == wanted {
        return;
    }
    let missing = wanted.iter().filter(|row| !found.contains(row)).take(3);
    let added = found.iter().filter(|row| !wanted.contains(row)).take(3);
    panic!(
        "{}\n{} rows instead of {}\nmissing {:?}\nadded {:?}",
        what(),
        found.len(),
        wanted.len(),
        missing.collect::<Vec<_>>(),
        added.collect::<Vec<_>>(),
    );
}
