//! A session that seals every table over and over while a test runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::script::SEAL;
use crate::wire::{Address, Client};

/// Between one seal and the next: long enough for others to write in between.
const PAUSE: Duration = Duration::from_millis(3);

/// Seals until it is stopped, or until the server is gone.
pub struct Sealer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Sealer {
    pub fn start(address: &Address) -> Sealer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (stop.clone(), address.clone());
        let work = move || {
            let mut sealed = 0;
            let Ok(mut client) = Client::connect(&address) else {
                return sealed;
            };
            while !stopped.load(Ordering::Relaxed) {
                // A table may be dropped meanwhile: the next round finds the others.
                sealed += u64::from(client.simple(SEAL).is_ok());
                std::thread::sleep(PAUSE);
            }
            sealed
        };
        Sealer {
            stop,
            thread: Some(std::thread::spawn(work)),
        }
    }

    /// How many times all tables were sealed.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .map_or(0, |thread| thread.join().unwrap_or(0))
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
