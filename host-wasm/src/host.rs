//! What a page or an edge function lends to the engine: the platform's clock and random numbers.

use std::sync::Arc;

use futures::future::BoxFuture;
use omendb_core::env::{Clock, Committer, Entropy, Env};

/// The environment of a host with one thread.
pub fn env() -> Env {
    Env {
        clock: Arc::new(PlatformClock),
        entropy: Arc::new(PlatformEntropy),
        committer: Committer::Inline,
    }
}

struct PlatformClock;

impl Clock for PlatformClock {
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    fn now(&self) -> i64 {
        (js_sys::Date::now() * 1000.0) as i64
    }

    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        })
    }

    /// One thread cannot wait and work: time-outs do not fire.
    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

struct PlatformEntropy;

impl Entropy for PlatformEntropy {
    fn fill(&self, out: &mut [u8]) {
        assert!(
            getrandom::fill(out).is_ok(),
            "this platform has no random numbers"
        );
    }
}
