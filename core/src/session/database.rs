//! A database that hosts open and connect sessions to.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use object_store::ObjectStore;
use parking_lot::Mutex;
use redb::StorageBackend;

use super::{ConnectOptions, Session};
use crate::catalog::{self, Cache, Catalog, Object, Privileges, Sequences};
use crate::env::Env;
use crate::error::{Error, Result, SqlState};
use crate::pg_catalog::PgCatalog;
use crate::query::{QueryEngine, QueryOptions};
use crate::segment::{self, Effort, Segments};
use crate::sql::{self, Engine};
use crate::storage::Options;
use crate::txn::{BeginOptions, Interrupt, Isolation, RelationMode, Transactions, Wait};

/// The name under which clients connect to the one database of a directory.
pub const DATABASE_NAME: &str = "postgres";

/// An open database. Clones are one database.
#[derive(Clone)]
pub struct Database {
    pub(super) engine: Arc<Engine>,
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    pub storage: Options,
    pub segments: segment::Options,
    pub query: QueryOptions,
    /// Bytes that the changes of all transactions may take together until they are committed, and the
    /// segments that loads write. A segment has at most a quarter of it in rows.
    pub transaction_memory: usize,
    /// Name of the first role of a new database: a superuser without a password.
    pub owner: String,
}

/// What a host needs to let a user in.
#[derive(Clone, Debug)]
pub struct Login {
    /// SCRAM-SHA-256 verifier (PostgreSQL's `SCRAM-SHA-256$…` text); `None` when no password is set.
    pub verifier: Option<String>,
    pub connection_limit: i32,
}

impl Database {
    /// Opens the database in `backend`, or creates one when the backend is empty.
    ///
    /// `log` takes commits until the next checkpoint of `backend`: without one, each commit writes all
    /// that it changed to `backend` itself. `objects` holds the sealed rows. It has to make an object durable before it says that it is written.
    pub async fn open(
        backend: impl StorageBackend,
        log: Option<Arc<dyn StorageBackend>>,
        objects: Arc<dyn ObjectStore>,
        options: &DatabaseOptions,
        env: Env,
    ) -> Result<Database> {
        let mut sealed = options.segments.clone();
        sealed.write = sealed.write.within(options.transaction_memory);
        let segments = Segments::open(
            backend,
            log,
            objects,
            &options.storage,
            &sealed,
            env.clone(),
        )?;
        let segments = Arc::new(segments);
        let store = segments.store().clone();
        let transactions =
            Transactions::with_segments(segments.clone(), env.clone(), options.transaction_memory);
        let engine = Engine {
            started: env.clock.now(),
            query: QueryEngine::new(&options.query, Arc::new(PgCatalog), env.workers.clone())?,
            env,
            transactions,
            catalog: Cache::default(),
            sequences: Sequences::new(store),
            segments,
            sessions: Mutex::default(),
        };
        let database = Database {
            engine: Arc::new(engine),
        };
        let mut txn = database.begin(false);
        catalog::bootstrap(&mut txn, &options.owner)?;
        // No host can step the queue before it has the database.
        let mut commit = pin!(txn.commit());
        poll_fn(|cx| {
            let polled = commit.as_mut().poll(cx);
            if polled.is_pending() && database.commit_step() {
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await?;
        Ok(database)
    }

    fn begin(&self, read_only: bool) -> crate::txn::Transaction {
        let options = BeginOptions {
            isolation: Isolation::ReadCommitted,
            read_only,
        };
        self.engine
            .transactions
            .begin(options, Interrupt::default())
    }

    /// The newest committed catalog.
    pub(super) fn catalog(&self) -> Result<Arc<Catalog>> {
        let view = self.begin(true).view()?;
        self.engine.catalog.catalog(&view)
    }

    /// Whether `user` may log in.
    ///
    /// # Errors
    /// 28000 when there is no such role, or it has no LOGIN; 42501 when it may not CONNECT.
    pub fn login(&self, user: &str) -> Result<Login> {
        let catalog = self.catalog()?;
        let role = catalog.role(user).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" does not exist"),
            )
        })?;
        if !role.login {
            return Err(Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" is not permitted to log in"),
            ));
        }
        let connect = Privileges::CONNECT;
        if catalog
            .rights_of(role.oid)
            .held(&catalog.database_acl(), connect)
            != connect
        {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for database \"{DATABASE_NAME}\""),
            )
            .detail("User does not have CONNECT privilege."));
        }
        // A password that has ended lets nobody in.
        let now = self.engine.env.clock.now();
        let valid = role.valid_until.is_none_or(|until| now < until);
        Ok(Login {
            verifier: role.verifier.clone().filter(|_| valid),
            connection_limit: role.connection_limit,
        })
    }

    /// Starts a session for an authenticated user.
    ///
    /// # Errors
    /// 22023 or 42704 when a setting of the start-up message is wrong.
    pub fn connect(&self, options: ConnectOptions) -> Result<Session> {
        if options.database != DATABASE_NAME {
            return Err(Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", options.database),
            )
            .hint(format!(
                "The one database of a server is called \"{DATABASE_NAME}\"."
            )));
        }
        Session::new(self.engine.clone(), options)
    }

    /// One step of the commit queue; see [`crate::env::Committer`].
    pub fn commit_step(&self) -> bool {
        self.engine.transactions.store().commit_step()
    }

    /// Seals rows and merges segments wherever that is due, one table after the other. Each poll does a
    /// bounded part of it; readers and writers go on meanwhile. Returns whether something was done.
    ///
    /// # Errors
    /// 58030 when storage fails; nothing has changed then, and the next call tries again.
    pub async fn tend(&self) -> Result<bool> {
        let segments = &self.engine.segments;
        let mut worked = false;
        let catalog = self.catalog()?;
        for object in catalog.objects() {
            let Object::Table(table) = object else {
                continue;
            };
            let mut due = false;
            for (storage, _) in sql::shapes(&catalog, table)? {
                due |= segments.is_due(storage)?;
            }
            if !due {
                continue;
            }
            // DDL has it: its turn comes again.
            let mut txn = self.begin(true);
            let mode = RelationMode::ShareUpdateExclusive;
            if txn
                .lock_relation(table.oid, mode, Wait::Fail)
                .await
                .is_err()
            {
                continue;
            }
            match sql::tend(segments, &catalog, table, Effort::Due).await {
                Ok(moved) => worked |= moved,
                // Dropped since the catalog was read.
                Err(error) if error.state() == SqlState::OBJECT_IN_USE => {}
                Err(error) => return Err(error),
            }
        }
        worked |= segments.sweep().await? > 0;
        Ok(worked)
    }

    /// Verifies that every object of the sealed tier is what was written, that every row lies in one tier
    /// and can be read, and that every index has exactly the entries of its table's rows; one line a
    /// finding.
    pub async fn check(&self) -> Result<Vec<String>> {
        let mut txn = self.begin(true);
        let view = txn.view()?;
        let catalog = self.engine.catalog.catalog(&view)?;
        super::check::check(&catalog, &view)
    }

    /// Finishes queued commits and closes the storage.
    pub fn close(&self) -> Result<()> {
        self.engine.sequences.flush()?;
        self.engine.transactions.store().close()
    }
}
