//! The threads that connections live on.
//!
//! A connection stays on one thread, its lane, with an event loop of its own: what comes in on a
//! socket is answered where it was read, without waking or asking another thread. Statements that
//! take long give themselves to the runtime's workers ([`omendb_core::env::Workers`]), so that a
//! lane is free for its other connections.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

/// Inputs in a row from one connection, after which it counts as alone on its lane.
const ALONE_AFTER: u32 = 16;
/// Inputs that a lane answers, some 0.3 ms, before it lets other threads have the processor. A busy
/// lane never sleeps, and a kernel that does not preempt looks at it only when its clock ticks, every
/// 4 ms: as long, the clients of other lanes would wait.
const YIELD_AFTER: u32 = 32;

type Start = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The running lanes. Dropping them ends their connections.
pub struct Lanes {
    lanes: Vec<Lane>,
    next: usize,
}

struct Lane {
    /// Never holds more than there may be sockets.
    starts: Option<mpsc::UnboundedSender<Start>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Lanes {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system gives no thread or no event loop.
    pub fn start(count: usize, stack: usize) -> std::io::Result<Lanes> {
        let lanes = (0..count.max(1)).map(|number| Lane::start(number, stack));
        Ok(Lanes {
            lanes: lanes.collect::<std::io::Result<_>>()?,
            next: 0,
        })
    }

    /// Runs what `start` makes on the next lane, in turn. `start` is called there, so that what it
    /// registers belongs to that lane's event loop.
    pub fn spawn<F>(&mut self, start: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let start: Start = Box::new(|| Box::pin(start()));
        let at = self.next;
        self.next = (at + 1) % self.lanes.len().max(1);
        if let Some(starts) = self.lanes.get(at).and_then(|lane| lane.starts.as_ref()) {
            // A lane ends only when it is dropped.
            let _ = starts.send(start);
        }
    }
}

impl Lane {
    fn start(number: usize, stack: usize) -> std::io::Result<Lane> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (starts, mut started) = mpsc::unbounded_channel::<Start>();
        let work = move || {
            runtime.block_on(async {
                while let Some(start) = started.recv().await {
                    tokio::spawn(start());
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name(format!("lane-{number}"))
            .stack_size(stack)
            .spawn(work)?;
        Ok(Lane {
            starts: Some(starts),
            thread: Some(thread),
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.starts = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

thread_local! {
    /// The connection that input came from last, and how many inputs in a row came from it.
    static HEARD: Cell<(i32, u32)> = const { Cell::new((0, 0)) };
    /// Inputs since this thread yielded last.
    static SINCE_YIELD: Cell<u32> = const { Cell::new(0) };
}

/// Input came from a connection of this thread, which now and then lets others run first.
pub fn heard(process_id: i32) {
    HEARD.with(|heard| {
        let (last, inputs) = heard.get();
        let inputs = match last == process_id {
            true => inputs.saturating_add(1),
            false => 0,
        };
        heard.set((process_id, inputs));
    });
    SINCE_YIELD.with(|since| {
        since.set(since.get() + 1);
        if since.get() == YIELD_AFTER {
            since.set(0);
            std::thread::yield_now();
        }
    });
}

/// Whether one connection has had this thread for itself of late, so that it may block it for as
/// long as a sync takes.
pub fn alone() -> bool {
    HEARD.with(|heard| heard.get().1 >= ALONE_AFTER)
}
