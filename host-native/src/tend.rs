//! The thread that seals rows and merges segments.

use std::sync::Arc;
use std::time::Duration;

use omendb_core::session::Database;
use parking_lot::{Condvar, Mutex};

/// Looks for something to seal from time to time. Ends when dropped, after what it is doing.
pub struct TendThread {
    stop: Arc<Stop>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl TendThread {
    /// `pause` lies between the end of one look and the next.
    pub fn start(database: Database, pause: Duration) -> std::io::Result<TendThread> {
        let stop = Arc::new(Stop::default());
        let stopped = stop.clone();
        let work = move || {
            while !stopped.wait(pause) {
                if let Err(error) = pollster::block_on(database.tend()) {
                    tracing::warn!(%error, "sealing rows failed; trying again later");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("seal".into())
            .spawn(work)?;
        Ok(TendThread {
            stop,
            thread: Some(thread),
        })
    }
}

impl Stop {
    /// Waits; returns whether to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, pause);
        }
        *stopped
    }
}

impl Drop for TendThread {
    fn drop(&mut self) {
        *self.stop.stopped.lock() = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
