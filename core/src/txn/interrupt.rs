//! The way to stop a running statement from outside: a cancel request, a time-out, a shutdown.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Tasks that may wait for one interrupt at once; a statement waits in one or two places.
const MAX_WAKERS: usize = 64;

/// Shared between a session and whoever may stop it. Clones are one interrupt.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether `state.error` is set: the one thing that [`Interrupt::check`] reads.
    raised: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    error: Option<Error>,
    wakers: Vec<Waker>,
}

impl Interrupt {
    /// Stops what is running with `error` (57014, 57P01, 25P03, …); the first one wins.
    pub fn raise(&self, error: Error) {
        let wakers = {
            let mut state = self.shared.state.lock();
            state.error.get_or_insert(error);
            self.shared.raised.store(true, Ordering::Release);
            std::mem::take(&mut state.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Forgets what was raised; called when a new statement starts.
    pub fn clear(&self) {
        let mut state = self.shared.state.lock();
        state.error = None;
        state.wakers.clear();
        self.shared.raised.store(false, Ordering::Release);
    }

    /// Fails if the statement was stopped. Cheap: called in loops.
    pub fn check(&self) -> Result<()> {
        if !self.shared.raised.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.shared.state.lock().error {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Resolves with the error once the statement is stopped.
    pub async fn raised(&self) -> Error {
        poll_fn(|cx| {
            let mut state = self.shared.state.lock();
            if let Some(error) = &state.error {
                return Poll::Ready(error.clone());
            }
            if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                // A statement that waits many times leaves stale wakers behind. Waking one too many
                // is harmless, so when the list is full, all of them look again.
                if state.wakers.len() >= MAX_WAKERS {
                    for stale in state.wakers.drain(..) {
                        stale.wake();
                    }
                }
                state.wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use crate::storage::fault::block_on;
    use futures::FutureExt;

    use super::*;
    use crate::error::SqlState;

    #[test]
    fn the_first_error_wins_until_cleared() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check().is_ok());
        interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "first"));
        interrupt
            .clone()
            .raise(Error::new(SqlState::ADMIN_SHUTDOWN, "second"));
        assert_eq!(interrupt.check().unwrap_err().message(), "first");
        assert_eq!(block_on(interrupt.raised()).message(), "first");
        interrupt.clear();
        assert!(interrupt.check().is_ok());
        assert!(interrupt.raised().now_or_never().is_none());
    }

    #[test]
    fn raising_wakes_who_waits() {
        let interrupt = Interrupt::default();
        let other = interrupt.clone();
        let waiting = std::thread::spawn(move || block_on(other.raised()));
        std::thread::sleep(std::time::Duration::from_millis(10));
        interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "stop"));
        assert_eq!(waiting.join().unwrap().message(), "stop");
    }
}
