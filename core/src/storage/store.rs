//! The store: a redb database over the host's backend, and the queue through which all commits go.

use std::sync::Arc;

use futures::future::BoxFuture;
use redb::StorageBackend;

use super::{Snapshot, WriteBatch};
use crate::env::Env;
use crate::error::Result;

/// Settings of a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
}

/// An open database. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<()>,
}

/// A commit under way. `visible` resolves once other snapshots see it, `durable` once it would
/// survive a crash; only then may a client be answered.
pub struct Pending {
    pub visible: BoxFuture<'static, Result<u64>>,
    pub durable: BoxFuture<'static, Result<()>>,
}

impl Store {
    /// Opens the database in `backend`, creating it when the backend is empty and recovering it
    /// when it was not closed.
    pub fn open(backend: impl StorageBackend, options: &Options, env: Env) -> Result<Store> {
        let _ = (backend, options, env);
        todo!()
    }

    /// The newest visible state.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let _ = &self.inner;
        todo!()
    }

    /// Hands a write batch to the commit queue. `validate` runs inside the queue, before the batch
    /// is applied, with the sequence number of the state it would apply to.
    pub fn submit(
        &self,
        batch: WriteBatch,
        validate: Option<Box<dyn FnOnce() -> Result<()> + Send>>,
    ) -> Result<Pending> {
        let _ = (batch, validate);
        todo!()
    }

    /// Commits what is queued: one group. Blocks on the backend. Returns whether there was work.
    pub fn commit_step(&self) -> bool {
        todo!()
    }

    /// Finishes what is queued and closes the database; later calls fail.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}
