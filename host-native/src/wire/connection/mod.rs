//! The life of one session: messages in, answers out.
//!
//! All messages that are there are handled before anything is sent, so that a batch of pipelined
//! messages costs one read and one write. After an error in the extended protocol messages are
//! discarded until Sync, as PostgreSQL does.
//!
//! A connection lives on a thread that it shares with others (see [`crate::lanes`]). For a
//! statement that takes long it moves to the runtime's workers as a whole, and returns afterwards.

mod messages;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use omendb_core::error::{Error, SqlState};
use omendb_core::session::{Ahead, Format, SqlSession, TransactionStatus};
use omendb_core::txn::Interrupt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::consume_budget;

use super::backend;
use super::control::{self, Control};
use super::io::{Frame, Gone, Wake, Wire};
use crate::lanes;

/// Why a session ended.
pub enum End {
    /// The client is gone, or said good-bye.
    Gone,
    /// The client is told why.
    Fatal(Error),
}

/// What stops a message from being handled to its end.
enum Stop {
    Error(Error),
    End(End),
    Long,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Stop::End(End::Gone)
    }
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        End::Gone
    }
}

/// Which protocol a statement came by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Simple,
    Extended,
}

/// Which threads a connection is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// One that it shares with other connections.
    Lane,
    Worker,
}

/// Why handling messages stopped.
enum Pause {
    /// All whole messages that were there are answered.
    Drained,
    /// What comes next takes long, so it must not run on a lane. `paused` says where it goes on.
    Long,
}

/// Where the message at hand goes on after [`Pause::Long`].
enum Paused {
    /// At its beginning.
    Message,
    /// The simple query has begun.
    Simple,
}

pub struct Connection<T, S> {
    wire: Wire<T>,
    session: S,
    interrupt: Interrupt,
    control: Arc<Control>,
    process_id: i32,
    thread: Thread,
    paused: Option<Paused>,
    /// Messages are discarded until Sync.
    skipping: bool,
    /// COPY input is under way; the protocol tells what follows its end.
    copy: Option<Protocol>,
    // Kept between messages, so that a message need not allocate.
    name: String,
    types: Vec<u32>,
    formats: Vec<Format>,
}

impl<T, S> Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: SqlSession + 'static,
{
    pub fn new(wire: Wire<T>, session: S, control: Arc<Control>, process_id: i32) -> Self {
        Connection {
            interrupt: session.interrupt(),
            wire,
            session,
            control,
            process_id,
            thread: Thread::Lane,
            paused: None,
            skipping: false,
            copy: None,
            name: String::new(),
            types: Vec::new(),
            formats: Vec::new(),
        }
    }

    /// Serves the session until it ends, on this thread and, where it takes long, on `workers`. The
    /// caller has authenticated the user. Gives the wire back once the session is gone; `None` when
    /// the server went first.
    pub async fn serve(mut self, secret: i32, workers: &Handle) -> Option<(Wire<T>, End)> {
        for (name, value) in self.session.take_parameter_changes() {
            backend::parameter_status(&mut self.wire.output, &name, &value);
        }
        backend::backend_key_data(&mut self.wire.output, self.process_id, secret);
        self.ready();
        let mut connection = Box::new(self);
        let end = loop {
            if let Err(end) = connection.run_until_long().await {
                break end;
            }
            connection.thread = Thread::Worker;
            let away = workers.spawn(async move {
                let done = connection.run_long().await;
                (connection, done)
            });
            // Only a runtime that is shutting down loses its tasks.
            let (back, done) = away.await.ok()?;
            connection = back;
            connection.thread = Thread::Lane;
            if let Err(end) = done {
                break end;
            }
        };
        let process_id = connection.process_id;
        let Connection { wire, session, .. } = *connection;
        // What the session held is free before the client learns of the end.
        let dropped = std::panic::catch_unwind(AssertUnwindSafe(move || drop(session)));
        let end = dropped.map_or_else(|_| panicked(process_id), |()| end);
        Some((wire, end))
    }

    /// Serves until something takes long.
    async fn run_until_long(&mut self) -> Result<(), End> {
        let process_id = self.process_id;
        let served = async {
            loop {
                match self.work().await? {
                    Pause::Drained => self.turn().await?,
                    Pause::Long => return Ok(()),
                }
            }
        };
        let served = AssertUnwindSafe(served).catch_unwind().await;
        served.unwrap_or_else(|_| Err(panicked(process_id)))
    }

    /// Serves what takes long, and what came in meanwhile. COPY input counts as a whole.
    async fn run_long(&mut self) -> Result<(), End> {
        let process_id = self.process_id;
        let served = async {
            loop {
                self.work().await?;
                if self.copy.is_none() {
                    return Ok(());
                }
                self.turn().await?;
            }
        };
        let served = AssertUnwindSafe(served).catch_unwind().await;
        served.unwrap_or_else(|_| Err(panicked(process_id)))
    }

    /// Handles all whole messages that are there and answers.
    async fn work(&mut self) -> Result<Pause, End> {
        loop {
            if let Some(paused) = self.paused.take() {
                let handled = match paused {
                    Paused::Message => None,
                    Paused::Simple => Some(self.run_simple().await),
                };
                if let Some(handled) = handled {
                    match self.finish_message(handled)? {
                        Pause::Long => return Ok(Pause::Long),
                        Pause::Drained => {}
                    }
                }
            }
            match self.wire.frame() {
                // More may come in while the answers go out.
                Frame::Incomplete if self.wire.wants_flush(true) => {
                    self.wire.flush().await?;
                    continue;
                }
                Frame::Incomplete => return Ok(Pause::Drained),
                Frame::Message(tag) => {
                    let handled = self.message(tag).await;
                    match self.finish_message(handled)? {
                        Pause::Long => return Ok(Pause::Long),
                        Pause::Drained => {}
                    }
                }
                Frame::UnknownType(tag) => {
                    return Err(fatal_violation(format!(
                        "invalid frontend message type {tag}"
                    )));
                }
                Frame::InvalidLength => {
                    return Err(fatal_violation("invalid message length".into()));
                }
            }
            if self.interrupt.is_terminated() {
                return Err(End::Fatal(control::shutting_down()));
            }
            if self.wire.wants_flush(false) {
                self.wire.flush().await?;
            }
            // However much a client sends at once, after some messages others on this thread are served.
            consume_budget().await;
        }
    }

    /// Waits for more input.
    async fn turn(&mut self) -> Result<(), End> {
        match self.wait().await? {
            Wake::Input => {
                lanes::heard(self.process_id);
                Ok(())
            }
            Wake::Closed => Err(End::Gone),
            Wake::Terminated => Err(End::Fatal(control::shutting_down())),
        }
    }

    async fn wait(&mut self) -> Result<Wake, End> {
        let idle_limit = match self.session.status() {
            TransactionStatus::Idle => 0,
            _ if self.copy.is_some() => 0,
            _ => self.session.idle_in_transaction_timeout(),
        };
        let waiting = self.wire.wait(&self.control);
        if idle_limit == 0 {
            return Ok(waiting.await);
        }
        tokio::time::timeout(Duration::from_millis(idle_limit), waiting)
            .await
            .map_err(|_| {
                End::Fatal(Error::new(
                    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                    "terminating connection due to idle-in-transaction timeout",
                ))
            })
    }

    /// A message was handled, unless it has to go on elsewhere.
    fn finish_message(&mut self, handled: Result<(), Stop>) -> Result<Pause, End> {
        match handled {
            Ok(()) => {
                self.wire.consume_frame();
                Ok(Pause::Drained)
            }
            Err(Stop::Long) => Ok(Pause::Long),
            Err(Stop::End(end)) => Err(end),
            Err(Stop::Error(error)) => Err(End::Fatal(error)),
        }
    }

    /// Whether what comes next must not run here.
    fn is_long(&self, ahead: Ahead<'_>) -> bool {
        self.thread == Thread::Lane && !self.session.is_brief(ahead)
    }

    fn pause(&mut self, paused: Paused) -> Stop {
        self.paused = Some(paused);
        Stop::Long
    }

    fn error(&mut self, error: &Error) {
        if self.interrupt.is_terminated() {
            // The connection says so when it ends.
            return;
        }
        backend::error(&mut self.wire.output, "ERROR", error);
        self.wire.set_due();
    }

    fn notices(&mut self) {
        for notice in self.session.take_notices() {
            backend::notice(&mut self.wire.output, &notice);
        }
    }

    fn ready(&mut self) {
        self.notices();
        if self.interrupt.is_terminated() {
            return;
        }
        for (name, value) in self.session.take_parameter_changes() {
            backend::parameter_status(&mut self.wire.output, &name, &value);
        }
        backend::ready_for_query(&mut self.wire.output, self.session.status());
        self.wire.set_due();
    }
}

/// Nobody waits for the statement's result any more.
fn lost(interrupt: &Interrupt) {
    interrupt.raise(Error::new(
        SqlState::CONNECTION_FAILURE,
        "connection to client lost",
    ));
}

fn panicked(process_id: i32) -> End {
    tracing::error!(process_id, "a statement panicked");
    End::Fatal(Error::internal(
        "the server failed while it ran the statement",
    ))
}

fn fatal_violation(message: String) -> End {
    End::Fatal(Error::new(SqlState::PROTOCOL_VIOLATION, message))
}
