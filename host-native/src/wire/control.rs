//! Who is connected: what cancel requests, limits and the shutdown need to know.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;
use omendb_core::error::{Error, SqlState};
use omendb_core::txn::Interrupt;
pub use omendb_core::txn::shutting_down;
use parking_lot::Mutex;

/// Says to one connection from outside that it shall end.
#[derive(Default)]
pub struct Control {
    terminated: AtomicBool,
    waker: AtomicWaker,
}

impl Control {
    /// The connection ends as soon as it is idle.
    pub fn terminate(&self) {
        self.terminated.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    /// `waker` is woken when the connection shall end. Cheap when it is the same as before.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

struct Entry {
    user: String,
    secret: i32,
    /// None until the session is there.
    interrupt: Option<Interrupt>,
    control: Arc<Control>,
}

/// All connections that got past the start-up packet, at most `limit`.
pub struct Registry {
    limit: usize,
    next: AtomicI32,
    entries: Mutex<HashMap<i32, Entry>>,
    stopping: AtomicBool,
}

/// A place among the connections; given back when dropped.
pub struct Place {
    registry: Arc<Registry>,
    pub process_id: i32,
    pub secret: i32,
    pub control: Arc<Control>,
}

impl Registry {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Registry {
            limit,
            next: AtomicI32::new(1),
            entries: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Takes a place for a connection whose cancel requests will carry `secret`.
    ///
    /// # Errors
    /// 53300 when there is none left, 57P03 when the server is stopping.
    pub fn enter(self: &Arc<Self>, user: &str, secret: i32) -> Result<Place, Error> {
        let control = Arc::new(Control::default());
        let mut entries = self.entries.lock();
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::new(
                SqlState::CANNOT_CONNECT_NOW,
                "the database system is shutting down",
            ));
        }
        if entries.len() >= self.limit {
            return Err(Error::new(
                SqlState::TOO_MANY_CONNECTIONS,
                "sorry, too many clients already",
            ));
        }
        let process_id = loop {
            let id = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if id != 0 && !entries.contains_key(&id) {
                break id;
            }
        };
        entries.insert(
            process_id,
            Entry {
                user: user.to_owned(),
                secret,
                interrupt: None,
                control: control.clone(),
            },
        );
        Ok(Place {
            registry: self.clone(),
            process_id,
            secret,
            control,
        })
    }

    /// A cancel request. A wrong number or secret does nothing, silently, as in PostgreSQL.
    pub fn cancel(&self, process_id: i32, secret: i32) {
        let interrupt = {
            let entries = self.entries.lock();
            entries
                .get(&process_id)
                .filter(|entry| entry.secret == secret)
                .and_then(|entry| entry.interrupt.clone())
        };
        if let Some(interrupt) = interrupt {
            interrupt.raise(canceled());
        }
    }

    /// Lets no one in any more and ends every connection as soon as it is idle.
    pub fn stop(&self) {
        let entries = self.entries.lock();
        self.stopping.store(true, Ordering::Release);
        for entry in entries.values() {
            entry.control.terminate();
        }
    }

    /// Stops the statements that still run.
    pub fn interrupt_all(&self) {
        let interrupts: Vec<Interrupt> = self
            .entries
            .lock()
            .values()
            .filter_map(|entry| entry.interrupt.clone())
            .collect();
        for interrupt in interrupts {
            interrupt.terminate();
        }
    }

    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Place {
    /// The session is there: cancel requests reach it, and what ends it ends the connection.
    pub fn set_interrupt(&self, interrupt: Interrupt) {
        let control = self.control.clone();
        interrupt.on_terminate(move || control.terminate());
        if let Some(entry) = self.registry.entries.lock().get_mut(&self.process_id) {
            entry.interrupt = Some(interrupt);
        }
    }

    /// # Errors
    /// 53300 when `user` has more than `limit` connections; a negative limit is none.
    pub fn check_role_limit(&self, user: &str, limit: i32) -> Result<(), Error> {
        let Ok(limit) = usize::try_from(limit) else {
            return Ok(());
        };
        let entries = self.registry.entries.lock();
        if entries.values().filter(|entry| entry.user == user).count() > limit {
            return Err(Error::new(
                SqlState::TOO_MANY_CONNECTIONS,
                format!("too many connections for role \"{user}\""),
            ));
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.entries.lock().remove(&self.process_id);
    }
}

/// 57014, as a cancel request raises it.
pub fn canceled() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}
