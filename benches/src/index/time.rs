//! Time of this thread's own work: neighbours on the machine do not count.

use std::time::Instant;

use futures::future::BoxFuture;
use omendb_core::env::Clock;

/// Nanoseconds that this thread has run on a processor (Linux).
///
/// # Panics
/// Where `/proc/thread-self/schedstat` cannot be read.
pub fn busy() -> u64 {
    // The kernel brings the account up to date when a thread gives its turn away.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = account
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok());
    nanos.expect("nanoseconds first")
}

/// What `work` takes.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = busy();
    let result = work();
    (result, busy() - start)
}

/// Nanoseconds by the clock on the wall, for what is too short to be interrupted.
pub fn short<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_nanos() as u64)
}

/// [`busy`], for the index to choose by.
pub struct BusyClock;

impl Clock for BusyClock {
    fn now(&self) -> i64 {
        (busy() / 1000) as i64
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::pending())
    }
}
