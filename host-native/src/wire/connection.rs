//! The life of one session: messages in, answers out.
//!
//! All messages that are there are handled before anything is sent, so that a batch of pipelined
//! messages costs one read and one write. After an error in the extended protocol messages are
//! discarded until Sync, as PostgreSQL does.
//!
//! A connection lives on a thread that it shares with others (see [`crate::lanes`]). For a
//! statement that takes long it moves to the runtime's workers as a whole, and returns afterwards.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use omendb_core::error::{Error, SqlState};
use omendb_core::session::{Ahead, Format, SqlSession, Step, TransactionStatus};
use omendb_core::txn::Interrupt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::consume_budget;

use super::backend;
use super::control::{self, Control};
use super::frontend::{self, Target};
use super::io::{Frame, Gone, Wake, Wire};
use crate::lanes;

/// Names longer than this are not kept between messages.
const KEEP_NAME: usize = 1024;

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

/// What follows a step.
enum Next {
    /// Rows or data came: there are more steps.
    Step,
    /// The statement is done.
    Done,
    /// The client sends data now.
    CopyIn,
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

    /// Handles one message, or says that it takes long: then it is still at the front of the input.
    async fn message(&mut self, tag: u8) -> Result<(), Stop> {
        if let Some(protocol) = self.copy {
            if self.thread == Thread::Lane {
                return Err(self.pause(Paused::Message));
            }
            return self.copy_message(tag, protocol).await;
        }
        if self.skipping && !matches!(tag, b'S' | b'X') {
            return Ok(());
        }
        let handled = match tag {
            b'B' => self.bind().await,
            b'E' => self.execute().await,
            b'D' => self.describe().await,
            b'P' => self.parse().await,
            b'C' => self.close(),
            b'H' => {
                self.wire.set_due();
                Ok(())
            }
            b'S' => return self.sync().await,
            b'Q' => return self.query().await,
            b'X' => return Err(Stop::End(End::Gone)),
            b'F' => {
                self.error(&Error::unsupported(
                    "the function call message",
                    "Call the function in a SELECT.",
                ));
                self.ready();
                return Ok(());
            }
            // The client may still be sending COPY data after an error stopped it.
            _ => Ok(()),
        };
        self.settle(handled)
    }

    /// Reports an error of the extended protocol; from there on messages are discarded.
    fn settle(&mut self, handled: Result<(), Stop>) -> Result<(), Stop> {
        if let Err(Stop::Error(error)) = handled {
            self.notices();
            self.error(&error);
            self.skipping = true;
            return Ok(());
        }
        handled
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

    async fn parse(&mut self) -> Result<(), Stop> {
        let (name, sql) = frontend::parse(self.wire.body(), &mut self.types)?;
        if self.is_long(Ahead::Text(sql)) {
            return Err(self.pause(Paused::Message));
        }
        self.session.parse(name, sql, &self.types).await?;
        backend::bare(&mut self.wire.output, backend::PARSE_COMPLETE);
        Ok(())
    }

    async fn bind(&mut self) -> Result<(), Stop> {
        let bind = frontend::bind(self.wire.body(), &mut self.formats)?;
        self.session
            .bind(bind.portal, bind.statement, &bind.parameters, &self.formats)
            .await?;
        backend::bare(&mut self.wire.output, backend::BIND_COMPLETE);
        Ok(())
    }

    async fn describe(&mut self) -> Result<(), Stop> {
        match frontend::target(self.wire.body(), "DESCRIBE")? {
            (Target::Statement, name) => {
                let described = self.session.describe_statement(name).await?;
                let out = &mut self.wire.output;
                backend::parameter_description(out, &described.parameters);
                match described.columns {
                    Some(columns) => backend::row_description(out, &columns, &[]),
                    None => backend::bare(out, backend::NO_DATA),
                }
            }
            (Target::Portal, name) => {
                let described = self.session.describe_portal(name).await?;
                let out = &mut self.wire.output;
                match described {
                    Some((columns, formats)) => backend::row_description(out, &columns, &formats),
                    None => backend::bare(out, backend::NO_DATA),
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        match frontend::target(self.wire.body(), "CLOSE")? {
            (Target::Statement, name) => self.session.close_statement(name),
            (Target::Portal, name) => self.session.close_portal(name),
        }
        backend::bare(&mut self.wire.output, backend::CLOSE_COMPLETE);
        Ok(())
    }

    async fn execute(&mut self) -> Result<(), Stop> {
        let (portal, limit) = frontend::execute(self.wire.body())?;
        if self.is_long(Ahead::Portal(portal)) {
            return Err(self.pause(Paused::Message));
        }
        // Input is read while the portal runs, so its name cannot stay there.
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        name.push_str(portal);
        let done = self.run_portal(&name, limit).await;
        if name.capacity() <= KEEP_NAME {
            self.name = name;
        }
        done
    }

    async fn run_portal(&mut self, portal: &str, limit: usize) -> Result<(), Stop> {
        let mut left = limit;
        loop {
            let step = self
                .wire
                .drive(self.session.execute(portal, left), || lost(&self.interrupt))
                .await?;
            if let Step::Rows(block) = &step
                && limit > 0
            {
                left = left.saturating_sub(block.rows.len());
            }
            match self.emit(step).await {
                Ok(Next::Step) if limit > 0 && left == 0 => {
                    backend::bare(&mut self.wire.output, backend::PORTAL_SUSPENDED);
                    return Ok(());
                }
                Ok(Next::Step) => {}
                Ok(Next::Done) => return Ok(()),
                Ok(Next::CopyIn) => {
                    self.copy = Some(Protocol::Extended);
                    return Ok(());
                }
                Err(Stop::Error(error)) => {
                    self.fail_portal(portal, &error).await;
                    return Err(Stop::Error(error));
                }
                Err(end) => return Err(end),
            }
        }
    }

    /// A result could not be written: the session has to fail the statement too, so that its
    /// transaction does not commit.
    async fn fail_portal(&mut self, portal: &str, error: &Error) {
        self.interrupt.raise(error.clone());
        while let Ok(Step::Rows(_) | Step::CopyData(_)) = self.session.execute(portal, 0).await {}
    }

    async fn sync(&mut self) -> Result<(), Stop> {
        if self.is_long(Ahead::Sync) {
            return Err(self.pause(Paused::Message));
        }
        self.skipping = false;
        let done = self.wire.drive(self.session.sync(), || ()).await;
        if let Err(error) = done {
            self.notices();
            self.error(&error);
        }
        self.ready();
        Ok(())
    }

    async fn query(&mut self) -> Result<(), Stop> {
        let started = match frontend::query(self.wire.body()) {
            Ok(sql) if self.is_long(Ahead::Text(sql)) => {
                return Err(self.pause(Paused::Message));
            }
            Ok(sql) => self.session.simple(sql).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => self.run_simple().await,
            Err(error) => {
                self.notices();
                self.error(&error);
                self.ready();
                Ok(())
            }
        }
    }

    /// Runs the simple query to its end, or to the point where the client has to send data.
    async fn run_simple(&mut self) -> Result<(), Stop> {
        loop {
            let planned = self
                .wire
                .drive(self.session.plan_simple(), || lost(&self.interrupt))
                .await;
            let step = match planned {
                Ok(()) if self.is_long(Ahead::Simple) => {
                    return Err(self.pause(Paused::Simple));
                }
                Ok(()) => {
                    self.wire
                        .drive(self.session.next_simple(), || lost(&self.interrupt))
                        .await
                }
                Err(error) => Err(error),
            };
            match step {
                Ok(Some(step)) => match self.emit(step).await {
                    Ok(Next::Step | Next::Done) => {}
                    Ok(Next::CopyIn) => {
                        self.copy = Some(Protocol::Simple);
                        return Ok(());
                    }
                    // The rest of the query must not run, and only its end can prevent that.
                    Err(Stop::Error(error)) => return Err(Stop::End(End::Fatal(error))),
                    Err(end) => return Err(end),
                },
                Ok(None) => break,
                Err(error) => {
                    self.notices();
                    self.error(&error);
                    break;
                }
            }
        }
        self.ready();
        Ok(())
    }

    /// Sends one step.
    async fn emit(&mut self, step: Step) -> Result<Next, Stop> {
        if !matches!(step, Step::Rows(_) | Step::CopyData(_)) {
            self.notices();
        }
        let out = &mut self.wire.output;
        match step {
            Step::Describe(columns) => backend::row_description(out, &columns, &[]),
            Step::Rows(block) => {
                for row in 0..block.rows.len() {
                    backend::data_row(&mut self.wire.output, &block, row)?;
                    if self.wire.wants_flush(false) {
                        self.wire.flush().await?;
                    }
                }
            }
            Step::CopyOut(shape) => backend::copy_response(out, b'H', shape),
            Step::CopyData(data) => {
                for row in data.iter() {
                    backend::copy_data(out, row)?;
                }
                if self.wire.wants_flush(false) {
                    self.wire.flush().await?;
                }
            }
            Step::CopyDone => backend::bare(out, backend::COPY_DONE),
            Step::Complete(tag) => {
                backend::command_complete(out, &tag);
                return Ok(Next::Done);
            }
            Step::Empty => {
                backend::bare(out, backend::EMPTY_QUERY);
                return Ok(Next::Done);
            }
            Step::Suspended => {
                backend::bare(out, backend::PORTAL_SUSPENDED);
                return Ok(Next::Done);
            }
            Step::CopyIn(shape) => {
                backend::copy_response(out, b'G', shape);
                self.wire.set_due();
                return Ok(Next::CopyIn);
            }
        }
        Ok(Next::Step)
    }

    /// A message while COPY input is under way.
    async fn copy_message(&mut self, tag: u8, protocol: Protocol) -> Result<(), Stop> {
        let ended = match tag {
            b'd' => match self.session.copy_data(self.wire.body()).await {
                Ok(()) => return Ok(()),
                Err(error) => Err(Stop::Error(error)),
            },
            // Client libraries send these without noticing that a COPY began.
            b'H' | b'S' => return Ok(()),
            b'c' => {
                let done = self
                    .wire
                    .drive(self.session.copy_done(), || lost(&self.interrupt))
                    .await;
                match done {
                    Ok(step) => self.emit(step).await.map(|_| ()),
                    Err(error) => Err(Stop::Error(error)),
                }
            }
            b'f' => match frontend::query(self.wire.body()) {
                Ok(reason) => Err(Stop::Error(self.session.copy_fail(reason).await)),
                Err(error) => {
                    let _ = self.session.copy_fail("").await;
                    Err(Stop::Error(error))
                }
            },
            b'X' => return Err(Stop::End(End::Gone)),
            _ => {
                let message = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
                let _ = self.session.copy_fail(&message).await;
                Err(Stop::Error(Error::new(
                    SqlState::PROTOCOL_VIOLATION,
                    message,
                )))
            }
        };
        self.copy = None;
        match (protocol, ended) {
            (_, Err(Stop::End(end))) => Err(Stop::End(end)),
            (Protocol::Extended, ended) => self.settle(ended),
            (Protocol::Simple, Ok(())) => self.run_simple().await,
            (_, Err(Stop::Long)) => Err(Stop::Long),
            (Protocol::Simple, Err(Stop::Error(error))) => {
                self.notices();
                self.error(&error);
                self.ready();
                Ok(())
            }
        }
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
