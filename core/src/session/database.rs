//! A database that hosts open and connect sessions to.

use std::sync::Arc;

use redb::StorageBackend;

use super::{ConnectOptions, Session};
use crate::env::Env;
use crate::error::Result;
use crate::sql::Engine;
use crate::storage::Options;

/// An open database. Clones are one database.
#[derive(Clone)]
pub struct Database {
    engine: Arc<Engine>,
}

/// What a host needs to let a user in.
#[derive(Clone, Debug)]
pub struct Login {
    /// SCRAM-SHA-256 verifier (PostgreSQL's `SCRAM-SHA-256$…` text); `None` when no password is set.
    pub verifier: Option<String>,
    pub connection_limit: i32,
}

impl Database {
    /// Opens, or creates in an empty backend; `owner` names the first role of a new database.
    pub async fn open(
        backend: impl StorageBackend,
        options: &Options,
        env: Env,
        owner: &str,
    ) -> Result<Database> {
        let _ = (backend, options, env, owner);
        todo!()
    }

    /// Whether `user` may log in; 28000 when the role does not exist or may not.
    pub fn login(&self, user: &str) -> Result<Login> {
        let _ = (user, &self.engine);
        todo!()
    }

    /// Starts a session for an authenticated user.
    pub fn connect(&self, options: ConnectOptions) -> Result<Session> {
        let _ = options;
        todo!()
    }

    /// One step of the commit queue; see [`crate::env::Committer`].
    pub fn commit_step(&self) -> bool {
        todo!()
    }

    /// Verifies every checksum and that indexes and rows agree; one line a finding.
    pub async fn check(&self) -> Result<Vec<String>> {
        todo!()
    }

    /// Finishes queued commits and closes the storage.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}
