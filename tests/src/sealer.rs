//! A session that seals every table over and over while a test runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::script::SEAL;
use crate::wire::{Address, Client};

/// Between one seal and the next: long enough for others to write in between.
const PAUSE: Duration = Duration::from_millis(3);

/// How long a busy machine may take to seal the tables of a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seals until it is stopped, or until the server is gone.
pub struct Sealer {
    stop: Arc<AtomicBool>,
    sealed: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    pub fn start(address: &Address) -> Sealer {
        let stop = Arc::new(AtomicBool::new(false));
        let sealed = Arc::new(AtomicU64::new(0));
        let (stopped, count, address) = (stop.clone(), sealed.clone(), address.clone());
        let work = move || {
            let Ok(mut client) = Client::connect(&address) else {
                return;
            };
            while !stopped.load(Ordering::Relaxed) {
                // A table may be dropped meanwhile: the next round finds the others.
                let done = client.simple(SEAL).is_ok();
                count.fetch_add(u64::from(done), Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        };
        Sealer {
            stop,
            sealed,
            thread: Some(std::thread::spawn(work)),
        }
    }

    /// How many times all tables were sealed so far.
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// Waits until all tables were sealed once more.
    pub fn wait(&self) -> bool {
        let (before, start) = (self.sealed(), Instant::now());
        while self.sealed() == before {
            if start.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        true
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
