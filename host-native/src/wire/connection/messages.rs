//! What each message does.

use omendb_core::error::{Error, SqlState};
use omendb_core::session::{Ahead, SqlSession, Step};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::backend;
use super::super::frontend::{self, Target};
use super::{Connection, End, Paused, Protocol, Stop, Thread, lost};

/// Names longer than this are not kept between messages.
const KEEP_NAME: usize = 1024;

/// What follows a step.
enum Next {
    /// Rows or data came: there are more steps.
    Step,
    /// The statement is done.
    Done,
    /// The client sends data now.
    CopyIn,
}

impl<T, S> Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: SqlSession + 'static,
{
    /// Handles one message, or says that it takes long: then it is still at the front of the input.
    pub(super) async fn message(&mut self, tag: u8) -> Result<(), Stop> {
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
    pub(super) async fn run_simple(&mut self) -> Result<(), Stop> {
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
}
