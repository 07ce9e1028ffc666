//! A database in a directory: opened with everything that this machine lends to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use omendb_core::error::{Error, Result, SqlState};
use omendb_core::query::QueryOptions;
use omendb_core::segment::{self, CacheOptions};
use omendb_core::session::{
    ConnectOptions, DATABASE_NAME, Database, DatabaseOptions, Login, Session, SqlSession, Step,
};
use omendb_core::storage;

use crate::commit_log::LogFile;
use crate::config::Config;
use crate::env::{self, CommitSignal, CommitThreads, Queries};
use crate::objects::{SEGMENT_DIRECTORY, SyncedDirectory};
use crate::storage::{DATABASE_FILE, FileBackend};
use crate::tend::TendThread;
use crate::wire::Backend;

/// An open database and the threads that commit to it.
pub struct OpenDatabase {
    pub database: Database,
    /// Stopped before the thread that its commits need.
    _tending: Option<TendThread>,
    _committer: CommitThreads,
    _queries: Queries,
}

impl OpenDatabase {
    /// Opens the database in the data directory, or creates one.
    ///
    /// # Errors
    /// A text for people: which directory, what is wrong, what to do.
    pub async fn open(config: &Config) -> std::result::Result<OpenDatabase, String> {
        let directory = &config.data_dir;
        let backend = FileBackend::open(directory, config.page_cache)
            .map_err(|error| explain_io(directory, &error))?;
        let log = LogFile::open(directory).map_err(|error| explain_io(directory, &error))?;
        let options = DatabaseOptions {
            storage: storage::Options {
                cache_bytes: config.page_cache,
            },
            segments: segment::Options {
                caches: CacheOptions {
                    keys_bytes: config.segment_cache as u64 / 2,
                    blocks_bytes: config.segment_cache as u64 / 2,
                    columns_bytes: config.column_cache as u64 / 2,
                },
                seal_rows: config.seal_rows,
                load_rows: config.load_rows,
                ..segment::Options::default()
            },
            query: QueryOptions {
                memory_bytes: config.query_memory,
                column_cache_bytes: config.column_cache / 2,
                parallelism: config.worker_threads,
            },
            transaction_memory: config.transaction_memory,
            owner: config.superuser.clone(),
        };
        let objects = SyncedDirectory::open(&directory.join(SEGMENT_DIRECTORY))
            .map_err(|error| explain_io(directory, &error))?;
        let signal = Arc::new(CommitSignal::default());
        let queries = Queries::start(config.worker_threads)
            .map_err(|error| format!("cannot start the threads of queries: {error}"))?;
        let env = env::system(&signal, backend.late_sync(), &queries);
        let database = Database::open(
            backend,
            Some(Arc::new(log)),
            Arc::new(objects),
            &options,
            env,
        )
        .await
        .map_err(|error| explain(directory, &error))?;
        let committer = CommitThreads::start(&database, signal)
            .map_err(|error| format!("cannot start the commit threads: {error}"))?;
        let tending = match config.seal_interval {
            0 => None,
            seconds => {
                let pause = Duration::from_secs(seconds);
                let thread = TendThread::start(database.clone(), pause)
                    .map_err(|error| format!("cannot start the thread that seals: {error}"))?;
                Some(thread)
            }
        };
        Ok(OpenDatabase {
            database,
            _tending: tending,
            _committer: committer,
            _queries: queries,
        })
    }

    /// Gives the superuser the configured password, if it has another or none.
    pub async fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let quoted = user.replace('"', "\"\"");
        let literal = password.replace('\'', "''");
        let mut session = self.connect_local(user)?;
        run(
            &mut session,
            &format!("ALTER ROLE \"{quoted}\" PASSWORD '{literal}'"),
        )
        .await
    }

    /// A session without a client.
    pub fn connect_local(&self, user: &str) -> Result<Session> {
        self.database.connect(ConnectOptions {
            user: user.to_owned(),
            database: DATABASE_NAME.to_owned(),
            parameters: vec![("application_name".into(), "omendb".into())],
            process_id: 0,
        })
    }
}

/// Runs a query string for its effects.
async fn run(session: &mut Session, sql: &str) -> Result<()> {
    session.simple(sql).await?;
    while let Some(step) = session.next_simple().await? {
        if matches!(step, Step::CopyIn(_)) {
            return Err(session.copy_fail("no input").await);
        }
    }
    Ok(())
}

impl Backend for Database {
    type Session = Session;

    fn login(&self, user: &str) -> Result<Login> {
        Database::login(self, user)
    }

    fn connect(&self, options: ConnectOptions) -> Result<Session> {
        Database::connect(self, options)
    }
}

fn explain_io(directory: &Path, error: &std::io::Error) -> String {
    let shown = directory.display();
    match error.kind() {
        std::io::ErrorKind::WouldBlock => format!(
            "the data directory {shown} is in use by another process\n\
             Stop that process, or choose another directory with --data-dir."
        ),
        std::io::ErrorKind::PermissionDenied => {
            format!("no permission to use the data directory {shown}: {error}")
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            format!(
                "no space is left for the data directory {shown}: {error}\nFree some space there."
            )
        }
        _ => format!("cannot use the data directory {shown}: {error}"),
    }
}

fn explain(directory: &Path, error: &Error) -> String {
    let file: PathBuf = directory.join(DATABASE_FILE);
    let mut text = format!("cannot open {}: {error}", file.display());
    let fields = error.fields();
    for more in [&fields.detail, &fields.hint].into_iter().flatten() {
        text.push('\n');
        text.push_str(more);
    }
    if error.state() == SqlState::DATA_CORRUPTED {
        text.push_str("\nRestore the directory from a backup, or examine it with `omendb check`.");
    }
    text
}
