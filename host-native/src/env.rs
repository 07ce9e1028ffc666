//! What this machine lends to the engine: time, randomness, and threads that commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lanes;
use crate::serve;
use crate::turns::Turns;
use futures::FutureExt;
use futures::future::BoxFuture;
use omendb_core::env::{Clock, Committer, Entropy, Env, LateSync, Threads, Turn, Workers};
use omendb_core::session::Database;
use parking_lot::{Condvar, Mutex};
use tokio_rustls::rustls::crypto::{SecureRandom, ring};

/// Stack of a committing thread.
const COMMITTER_STACK: usize = 8 << 20;

/// The system's clock, and tokio's timers.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()> {
        // Made when it is first polled: there is a runtime then.
        async move { tokio::time::sleep(Duration::from_micros(micros)).await }.boxed()
    }
}

/// The operating system's random numbers.
pub struct SystemEntropy(&'static dyn SecureRandom);

impl SystemEntropy {
    pub fn new() -> Self {
        SystemEntropy(ring::default_provider().secure_random)
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if self.0.fill(out).is_err() {
            // Without randomness no secret is one: going on would be worse than ending.
            tracing::error!("the operating system gives no random numbers");
            std::process::abort();
        }
    }
}

/// Wakes a committing thread. Many wakes before one looks are one.
#[derive(Default)]
pub struct CommitSignal {
    state: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Signal {
    #[default]
    Quiet,
    Work,
    Stop,
}

impl CommitSignal {
    fn wake(&self) {
        let mut state = self.state.lock();
        if *state == Signal::Quiet {
            *state = Signal::Work;
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        *self.state.lock() = Signal::Stop;
        self.changed.notify_all();
    }

    fn wait(&self) -> Signal {
        let mut state = self.state.lock();
        while *state == Signal::Quiet {
            self.changed.wait(&mut state);
        }
        let signal = *state;
        if signal == Signal::Work {
            *state = Signal::Quiet;
        }
        signal
    }
}

/// Threads of a query runtime for each core. Operators may go on for long without giving way; those of
/// one query shall not keep all others from running.
const QUERY_THREADS_PER_CORE: usize = 2;

/// The runtime that plans and runs queries. It is not the one that connections wait in, so that they
/// can be stopped while a query gives way to nobody.
pub struct Queries {
    runtime: Option<tokio::runtime::Runtime>,
    turns: Arc<Turns>,
}

impl Queries {
    /// # Errors
    /// When the system gives no threads.
    pub fn start(cores: usize) -> std::io::Result<Queries> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.saturating_mul(QUERY_THREADS_PER_CORE).max(1))
            .thread_name("query")
            .thread_stack_size(serve::THREAD_STACK)
            .enable_all()
            .build()?;
        Ok(Queries {
            runtime: Some(runtime),
            turns: Arc::new(Turns::new(cores)),
        })
    }

    pub fn threads(&self) -> Workers {
        match &self.runtime {
            Some(runtime) => Workers::Threads(Arc::new(QueryThreads {
                runtime: runtime.handle().clone(),
                turns: self.turns.clone(),
            })),
            None => Workers::Inline,
        }
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        // A query that does not end does not keep the process from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A runtime's threads: its pool for what may not give way, its workers for the rest.
struct QueryThreads {
    runtime: tokio::runtime::Handle,
    turns: Arc<Turns>,
}

impl Threads for QueryThreads {
    fn run(&self, work: BoxFuture<'static, ()>) {
        let runtime = self.runtime.clone();
        drop(self.runtime.spawn_blocking(move || runtime.block_on(work)));
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        drop(self.runtime.spawn(work));
    }

    fn turn(&self) -> BoxFuture<'static, Turn> {
        self.turns.next().boxed()
    }
}

/// An environment whose commits wake `signal` (see [`CommitThreads::start`]).
pub fn system(signal: &Arc<CommitSignal>, late_sync: Arc<dyn LateSync>, queries: &Queries) -> Env {
    let signal = signal.clone();
    let wake = Arc::new(move || signal.wake());
    Env {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy::new()),
        committer: Committer::Threads {
            wake,
            alone: Arc::new(lanes::alone),
            late_sync,
        },
        workers: queries.threads(),
    }
}

/// Threads that commit: while one syncs, the other makes commits visible.
const COMMIT_THREADS: usize = 2;

/// The threads that commit. They end when dropped.
pub struct CommitThreads {
    signal: Arc<CommitSignal>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl CommitThreads {
    pub fn start(database: &Database, signal: Arc<CommitSignal>) -> std::io::Result<CommitThreads> {
        let mut started = CommitThreads {
            signal,
            threads: Vec::new(),
        };
        for number in 0..COMMIT_THREADS {
            let (database, signal) = (database.clone(), started.signal.clone());
            let work = move || {
                while signal.wait() == Signal::Work {
                    let step = std::panic::AssertUnwindSafe(|| while database.commit_step() {});
                    if std::panic::catch_unwind(step).is_err() {
                        // Half a commit cannot be undone in memory. Recovery, on the next start, can.
                        tracing::error!("a commit thread panicked; ending the process");
                        std::process::abort();
                    }
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("commit-{number}"))
                .stack_size(COMMITTER_STACK)
                .spawn(work)?;
            started.threads.push(thread);
        }
        Ok(started)
    }
}

impl Drop for CommitThreads {
    fn drop(&mut self) {
        self.signal.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
