//! The way to stop a running statement from outside: a cancel request, a time-out, the session's end.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::env::Clock;
use crate::error::{Error, Result, SqlState};

/// Tasks that may wait for one interrupt at once; a statement waits in one or two places.
const MAX_WAKERS: usize = 64;

/// The deadline of a statement that has none.
const NEVER: i64 = i64::MAX;

/// Shared between a session and whoever may stop it. Clones are one interrupt.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether `state.error` is set: the one thing that [`Interrupt::check`] reads.
    raised: AtomicBool,
    /// Whether the session is to end.
    terminated: AtomicBool,
    /// When the statement's time is over, µs since 1970 UTC.
    deadline: Deadline,
    state: Mutex<State>,
}

struct Deadline(AtomicI64);

impl Default for Deadline {
    fn default() -> Self {
        Deadline(AtomicI64::new(NEVER))
    }
}

#[derive(Default)]
struct State {
    error: Option<Error>,
    wakers: Vec<Waker>,
    /// What tells the time while there is a deadline.
    clock: Option<Arc<dyn Clock>>,
    /// Told when the session is to end.
    on_terminate: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupt")
    }
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

    /// Stops what is running with 57P01, and whatever would come after it: the session is to end.
    pub fn terminate(&self) {
        let told = {
            let mut state = self.shared.state.lock();
            self.shared.terminated.store(true, Ordering::Release);
            state.error = Some(shutting_down());
            state.on_terminate.clone()
        };
        self.raise(shutting_down());
        if let Some(told) = told {
            told();
        }
    }

    pub fn is_terminated(&self) -> bool {
        self.shared.terminated.load(Ordering::Acquire)
    }

    /// Has whoever serves the session told when it is to end: nothing may be running then.
    pub fn on_terminate(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.shared.state.lock().on_terminate = Some(Arc::new(tell));
    }

    /// Forgets what was raised; called when a new statement starts.
    pub fn clear(&self) {
        let mut state = self.shared.state.lock();
        let terminated = self.is_terminated();
        state.error = terminated.then(shutting_down);
        state.wakers.clear();
        state.clock = None;
        self.shared.deadline.0.store(NEVER, Ordering::Release);
        self.shared.raised.store(terminated, Ordering::Release);
    }

    /// From `deadline` (µs since 1970 UTC) on, [`Interrupt::check`] stops the statement itself: it
    /// may compute for long without giving a timer a chance. [`Interrupt::clear`] takes it back.
    pub fn stop_at(&self, deadline: i64, clock: Arc<dyn Clock>) {
        self.shared.state.lock().clock = Some(clock);
        self.shared.deadline.0.store(deadline, Ordering::Release);
    }

    /// Fails if the statement was stopped, or its time is over. Cheap: called in loops.
    pub fn check(&self) -> Result<()> {
        if !self.shared.raised.load(Ordering::Acquire) {
            let deadline = self.shared.deadline.0.load(Ordering::Acquire);
            if deadline == NEVER {
                return Ok(());
            }
            let clock = self.shared.state.lock().clock.clone();
            if clock.is_none_or(|clock| clock.now() < deadline) {
                return Ok(());
            }
            self.raise(statement_timeout());
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

/// What `statement_timeout` stops a statement with.
pub fn statement_timeout() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to statement timeout",
    )
}

/// What the end of a session or of the server stops a statement with.
pub fn shutting_down() -> Error {
    Error::new(
        SqlState::ADMIN_SHUTDOWN,
        "terminating connection due to administrator command",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use futures::future::BoxFuture;

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
    fn a_terminated_session_runs_nothing_more() {
        let interrupt = Interrupt::default();
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        interrupt.on_terminate(move || tell.store(true, Ordering::Relaxed));
        interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "first"));
        interrupt.terminate();
        assert!(told.load(Ordering::Relaxed));
        interrupt.clear();
        assert_eq!(interrupt.check().unwrap_err().state().code(), "57P01");
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

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn a_deadline_stops_who_looks() {
        let clock = Arc::new(Hand(AtomicI64::new(10)));
        let interrupt = Interrupt::default();
        interrupt.stop_at(20, clock.clone());
        assert!(interrupt.check().is_ok());
        clock.0.store(20, Ordering::Relaxed);
        assert_eq!(
            interrupt.check().unwrap_err().message(),
            statement_timeout().message()
        );
        interrupt.clear();
        assert!(interrupt.check().is_ok());
    }
}
