//! What a page or an edge function lends to the engine: the platform's clock and random numbers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use omendb_core::env::{Clock, Committer, Entropy, Env, Workers};

/// The environment of a host with one thread.
pub fn env() -> Env {
    Env {
        clock: Arc::new(PlatformClock),
        entropy: Arc::new(PlatformEntropy),
        committer: Committer::Inline,
        workers: Workers::Inline,
    }
}

struct PlatformClock;

impl Clock for PlatformClock {
    fn now(&self) -> i64 {
        now()
    }

    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()> {
        Box::pin(Sleep {
            until: now().saturating_add_unsigned(micros),
        })
    }
}

/// A timer for a thread that nobody else can wake: it asks the clock again each time that the work
/// beside it yields. While a statement has nothing but this to wait for, the thread is busy.
struct Sleep {
    /// Microseconds since 1970.
    until: i64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.until {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Microseconds since 1970-01-01 00:00:00 UTC; JavaScript knows milliseconds.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn now() -> i64 {
    (js_sys::Date::now() * 1000.0) as i64
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
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
