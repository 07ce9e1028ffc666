//! What a host lends to the engine: storage, time and randomness. The engine has none of its own.

mod workers;

use std::sync::Arc;

pub use workers::{Threads, Turn, Workers};

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
    /// For hosts with several threads that run steps, so that one applies commits while another
    /// syncs earlier ones.
    Threads {
        /// As in `Wake`.
        wake: Arc<dyn Fn() + Send + Sync>,
        /// Whether nobody else needs the caller's thread just now. Then it runs the step of a small
        /// batch itself: to hand it to another thread and to be woken again takes as long.
        alone: Arc<dyn Fn() -> bool + Send + Sync>,
        late_sync: Arc<dyn LateSync>,
    },
}

/// A sync of the storage backend in two halves, so that writing goes on during the second.
///
/// What is written in between must not reach the disk before the second half is done: after a crash
/// the disk holds what was there at the first half, or parts of what was written before it, and
/// nothing of what came after.
pub trait LateSync: Send + Sync + 'static {
    /// The next call of the backend's `sync_data` is only the first half: it returns at once.
    fn defer(&self);

    /// The second half, if there was a first. Blocks until what was written before it is durable.
    ///
    /// # Errors
    /// As `sync_data`; then every later write and sync fails as well.
    fn finish(&self) -> std::io::Result<()>;
}

/// Everything a host lends, apart from the storage backend itself.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub committer: Committer,
    pub workers: Workers,
}
