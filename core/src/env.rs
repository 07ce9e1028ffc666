//! What a host lends to the engine: storage, time and randomness. The engine has none of its own.

mod workers;

use std::sync::Arc;

pub use workers::{Threads, Workers};

use futures::future::BoxFuture;

/// Time, as the host sees it.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    fn now(&self) -> i64;

    /// Resolves once `micros` microseconds have passed. A host without timers may never resolve it:
    /// time-outs then do not fire.
    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()>;
}

/// Cryptographically strong random bytes.
pub trait Entropy: Send + Sync + 'static {
    fn fill(&self, out: &mut [u8]);
}

/// Runs the engine's commit steps ([`crate::storage::Store::commit_step`]) away from the callers.
///
/// A step writes and syncs, so it blocks. A native host wakes a thread of its own; a host with one
/// thread leaves this to the caller ([`Committer::Inline`]).
#[derive(Clone)]
pub enum Committer {
    /// The committing caller runs the step itself.
    Inline,
    /// Called whenever there is something to commit; must lead to a call of `commit_step` soon.
    Wake(Arc<dyn Fn() + Send + Sync>),
    /// As `Wake`; but a caller for whom `alone` holds, because nobody else needs its thread just
    /// now, runs the step of a small batch itself. To hand it to another thread and to be woken
    /// again takes as long as the commit.
    Either {
        wake: Arc<dyn Fn() + Send + Sync>,
        alone: Arc<dyn Fn() -> bool + Send + Sync>,
    },
}

/// Everything a host lends, apart from the storage backend itself.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub committer: Committer,
    pub workers: Workers,
}
