//! Running a planned statement: its context, its time limit, its outcome.

use std::future::Future;
use std::sync::Arc;

use futures::future::{Either, select};

use super::portal::{Portal, State, block};
use super::prepared::{Planned, Prepared, Way};
use super::session::{CopyState, running};
use super::{CopyShape, Format, Session, Step};
use crate::env::Clock;
use crate::error::{Error, Result, SqlState};
use crate::query::Execution;
use crate::sql::{Body, Context, Outcome, Tag, ddl, dml};
use crate::txn::{Interrupt, statement_timeout};
use crate::types::{Datum, PgType};

/// How often a statement is planned anew because the catalog changed under it.
const MAX_REPLANS: usize = 100;

impl Portal {
    pub(super) fn is_copy(&self) -> bool {
        matches!(self.planned.way, Way::Copy)
    }
}

impl Session {
    /// The next step of a portal.
    pub(super) async fn advance(&mut self, portal: &mut Portal, limit: usize) -> Result<Step> {
        if matches!(portal.state, State::Ready) {
            self.begin_statement();
            if matches!(portal.statement.statement.body, Body::Empty) {
                portal.state = State::told();
                return Ok(Step::Empty);
            }
            if let Some(shape) = self.start(portal).await? {
                return Ok(Step::CopyIn(shape));
            }
        }
        match &mut portal.state {
            State::Ready => Err(Error::internal("a portal did not start")),
            State::Done(tag) => Ok(Step::Complete(std::mem::take(tag))),
            State::Rows(running) => {
                let rows = self.limits().guard(running.next(limit)).await?;
                match rows {
                    Some(rows) => {
                        let columns = portal.columns.clone().unwrap_or_else(|| Arc::from([]));
                        Ok(Step::Rows(block(
                            &columns,
                            &portal.formats,
                            &running.style,
                            rows,
                        )))
                    }
                    None => {
                        let tag = running.tag();
                        portal.state = State::told();
                        Ok(Step::Complete(tag))
                    }
                }
            }
            State::CopyOut {
                source,
                announced,
                ended,
            } => {
                let format = if source.binary() {
                    Format::Binary
                } else {
                    Format::Text
                };
                if !*announced {
                    *announced = true;
                    return Ok(Step::CopyOut(CopyShape {
                        columns: source.columns(),
                        format,
                    }));
                }
                if *ended {
                    let tag = source.tag();
                    portal.state = State::told();
                    return Ok(Step::Complete(tag));
                }
                match self.limits().guard(source.next()).await? {
                    Some(data) => Ok(Step::CopyData(data)),
                    None => {
                        *ended = true;
                        Ok(Step::CopyDone)
                    }
                }
            }
        }
    }

    /// Starts a portal. Gives the shape of the data when it is a COPY that takes some.
    pub(super) async fn start(&mut self, portal: &mut Portal) -> Result<Option<CopyShape>> {
        if let Way::Verb(verb) = &portal.planned.way {
            let verb = verb.clone();
            portal.state = {
                let statement = portal.statement.clone();
                let text = &statement.statement.text;
                Box::pin(self.run_verb(&verb, &portal.parameters, text)).await?
            };
            return Ok(None);
        }
        let parameters = portal.parameters.clone();
        let statement = portal.statement.clone();
        let outcome = self
            .run(&statement, &mut portal.planned, &parameters)
            .await?;
        let style = self.shared.settings().typed.style.clone();
        portal.state = match outcome {
            Outcome::Command(tag) => State::Done(tag),
            Outcome::Rows { columns, rows, tag } => {
                if portal.columns.is_none() {
                    portal.columns = Some(columns);
                }
                running(rows, tag, style)
            }
            Outcome::CopyOut(source) => State::CopyOut {
                source,
                announced: false,
                ended: false,
            },
            Outcome::CopyIn(sink) => {
                let format = if sink.binary() {
                    Format::Binary
                } else {
                    Format::Text
                };
                let shape = CopyShape {
                    columns: sink.columns(),
                    format,
                };
                self.copy = Some(CopyState { sink });
                return Ok(Some(shape));
            }
            Outcome::Replan => {
                return Err(Error::internal("a statement asked to be planned for ever"));
            }
        };
        Ok(None)
    }

    /// Runs a planned statement, planning again as often as the catalog changes under it.
    pub(super) async fn run(
        &mut self,
        prepared: &Arc<Prepared>,
        planned: &mut Arc<Planned>,
        parameters: &[Datum<'static>],
    ) -> Result<Outcome> {
        for _ in 0..MAX_REPLANS {
            self.open()?.txn.start_statement()?;
            *planned = self.planned(prepared).await?;
            planned.allowed()?;
            let outcome = self.run_once(prepared, planned, parameters).await?;
            if !matches!(outcome, Outcome::Replan) {
                return Ok(outcome);
            }
        }
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not run the statement because the tables it uses keep changing",
        )
        .hint("Try again."))
    }

    async fn run_once(
        &mut self,
        prepared: &Prepared,
        planned: &Planned,
        parameters: &[Datum<'static>],
    ) -> Result<Outcome> {
        // Compiled statements look at the interrupt themselves wherever they wait.
        let limits = self.limits();
        if let Way::Dml(plan) = &planned.way
            && plan.is_compiled()
            && limits.deadline.is_none()
        {
            let work = async |context: &mut Context<'_>| dml::execute(context, plan).await;
            let types = &planned.parameters;
            return self.with_context(parameters, types, work).await;
        }
        // Boxed as in `planned`.
        let work = self.with_context(parameters, &planned.parameters, async |context| {
            match (&planned.way, &prepared.statement.body) {
                (Way::Query(plan, _), _) => {
                    let execution = context.execution()?;
                    let rows = context.engine.query.run(plan, execution).await?;
                    Ok(Outcome::Rows {
                        columns: plan.columns.clone(),
                        rows,
                        tag: Tag::Counted("SELECT"),
                    })
                }
                (Way::Dml(plan), _) => dml::execute(context, plan).await,
                (Way::Copy, Body::Sql(statement, _)) => dml::copy(context, statement).await,
                (Way::Ddl, Body::Sql(statement, _)) => ddl::execute(context, statement).await,
                (Way::Ddl, Body::Ddl(form)) => ddl::execute_form(context, form).await,
                _ => Err(Error::internal("a statement was planned for another way")),
            }
        });
        limits.guard(Box::pin(work)).await
    }

    /// Gives `work` the surroundings of a statement.
    pub(super) async fn with_context<T>(
        &mut self,
        parameters: &[Datum<'static>],
        parameter_types: &[PgType],
        work: impl AsyncFnOnce(&mut Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let in_block = self.in_block();
        let mut catalog = self.catalog()?;
        let info = self.info()?;
        let lock_timeout = self.shared.settings().typed.lock_timeout;
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| Error::internal("no transaction is open"))?;
        let mut context = Context {
            engine: &self.engine,
            txn: &mut open.txn,
            catalog: &mut catalog,
            info,
            parameters,
            parameter_types,
            notices: &mut self.notices,
            interrupt: self.interrupt.clone(),
            lock_timeout,
            in_block,
        };
        let before = context.catalog.clone();
        let result = work(&mut context).await;
        if !Arc::ptr_eq(&before, &catalog) {
            open.own_catalog = None;
            self.catalog_at = None;
            self.shared.set_catalog(catalog);
        }
        result
    }

    /// A statement begins: what stopped the last one is over, and its time runs.
    pub(super) fn begin_statement(&mut self) {
        self.interrupt.clear();
        self.statement_start = self.engine.env.clock.now();
        self.deadline = self
            .shared
            .settings()
            .typed
            .statement_timeout
            .map(|micros| {
                let micros = i64::try_from(micros).unwrap_or(i64::MAX);
                self.statement_start.saturating_add(micros)
            });
        if let Some(deadline) = self.deadline {
            self.interrupt
                .stop_at(deadline, self.engine.env.clock.clone());
        }
    }

    /// What stops a running statement.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            interrupt: self.interrupt.clone(),
            clock: self.engine.env.clock.clone(),
            deadline: self.deadline,
        }
    }

    pub(super) async fn feed_copy(&mut self, data: &[u8]) -> Result<()> {
        let mut copy = self.copy.take().ok_or_else(no_copy)?;
        let limits = self.limits();
        let work = self.with_context(&[], &[], async |context| {
            copy.sink.data(context, data).await
        });
        limits.guard(work).await?;
        self.copy = Some(copy);
        Ok(())
    }

    pub(super) async fn finish_copy(&mut self) -> Result<String> {
        let mut copy = self.copy.take().ok_or_else(no_copy)?;
        let limits = self.limits();
        let work = self.with_context(&[], &[], async |context| copy.sink.finish(context).await);
        limits.guard(work).await
    }

    /// What a query of the session itself (EXPLAIN, EXECUTE's arguments) runs with.
    pub(super) fn execution(&mut self, parameters: &[Datum<'static>]) -> Result<Execution> {
        let info = self.info()?;
        let interrupt = self.interrupt.clone();
        Ok(Execution {
            view: self.open()?.txn.view()?,
            info,
            parameters: parameters.to_vec(),
            interrupt,
            only: Default::default(),
        })
    }
}

fn no_copy() -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "no COPY is in progress")
}

/// What stops a running statement: a cancel request, `statement_timeout`.
pub(super) struct Limits {
    interrupt: Interrupt,
    clock: Arc<dyn Clock>,
    /// When `statement_timeout` is over, µs since 1970 UTC.
    deadline: Option<i64>,
}

impl Limits {
    /// Waits for `work`, but not beyond a cancel request or the time-out.
    pub async fn guard<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.interrupt.check()?;
        let raised = std::pin::pin!(self.interrupt.raised());
        let work = std::pin::pin!(work);
        let work = select(work, raised);
        let Some(deadline) = self.deadline else {
            return match work.await {
                Either::Left((result, _)) => result,
                Either::Right((error, _)) => Err(error),
            };
        };
        let left = deadline.saturating_sub(self.clock.now());
        let left = u64::try_from(left).unwrap_or(0);
        match select(work, self.clock.sleep(left)).await {
            Either::Left((Either::Left((result, _)), _)) => result,
            Either::Left((Either::Right((error, _)), _)) => Err(error),
            Either::Right(_) => Err(statement_timeout()),
        }
    }
}
