//! The simple protocol: a query string of any number of statements.

use std::collections::VecDeque;
use std::sync::Arc;

use super::point::is_near;
use super::portal::{Hold, Portal, State, formats};
use super::prepared::Prepared;
use super::session::{ends_transaction, placed};
use super::template::{Bound, Shape};
use super::{Session, Step};
use crate::error::{Error, Result, SqlState};

/// A simple query under way.
#[derive(Default)]
pub(super) struct Simple {
    /// Its one statement, if it was found by its template.
    pub bound: Option<Bound>,
    /// What the first statement's template would be.
    pub shape: Option<Shape>,
    pub statements: VecDeque<Arc<Prepared>>,
    pub running: Option<Box<Portal>>,
    pub described: bool,
    /// Whether the query string had no statement at all.
    pub empty: bool,
}

impl Session {
    /// Makes the next statement's portal, unless one is under way or none is left.
    pub(super) async fn do_plan_simple(&mut self) -> Result<()> {
        let Some(simple) = &mut self.simple else {
            return Ok(());
        };
        if simple.running.is_some() {
            return Ok(());
        }
        let bound = match simple.bound.take() {
            Some(bound) => {
                self.begin_statement();
                self.refuse_if_failed()?;
                bound
            }
            None => {
                let (next, shape) = (simple.statements.pop_front(), simple.shape.take());
                let Some(prepared) = next else {
                    return Ok(());
                };
                self.plan_whole(prepared, shape).await?
            }
        };
        let Bound {
            prepared,
            planned,
            values,
        } = bound;
        let columns = planned.columns.clone();
        let count = columns.as_ref().map_or(0, |columns| columns.len());
        let portal = Portal {
            statement: prepared,
            planned,
            parameters: values,
            columns,
            formats: formats(&[], count)?,
            state: State::Ready,
            hold: Hold::No,
        };
        if let Some(simple) = &mut self.simple {
            simple.running = Some(Box::new(portal));
            simple.described = false;
        }
        Ok(())
    }

    /// Plans a statement that was read whole, and so has its values in it.
    async fn plan_whole(&mut self, prepared: Arc<Prepared>, shape: Option<Shape>) -> Result<Bound> {
        self.begin_statement();
        if !ends_transaction(&prepared.statement) {
            self.refuse_if_failed()?;
        }
        let planned = match self.kept_plan(&prepared)? {
            Some(kept) => Ok(kept),
            None => {
                if !self.is_current(&prepared)? {
                    prepared.forget_plan();
                }
                self.planned(&prepared).await
            }
        };
        let planned = planned.map_err(|error| placed(error, &prepared))?;
        if let Some(missing) = planned.parameters.len().checked_sub(1) {
            return Err(Error::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter ${}", missing + 1),
            ));
        }
        if let Some(shape) = shape {
            Box::pin(self.learn_template(shape, &planned)).await;
        }
        Ok(Bound {
            prepared,
            planned,
            values: Arc::from([]),
        })
    }

    pub(super) async fn do_next_simple(&mut self) -> Result<Option<Step>> {
        self.do_plan_simple().await?;
        let Some(simple) = &mut self.simple else {
            return Ok(None);
        };
        let Some(mut portal) = simple.running.take() else {
            let empty = simple.empty;
            self.simple = None;
            return Ok(empty.then_some(Step::Empty));
        };
        let described = simple.described;
        simple.described = true;
        if !described && let Some(columns) = portal.columns.clone() {
            simple.running = Some(portal);
            return Ok(Some(Step::Describe(columns)));
        }
        let step = match is_near(&portal) {
            true => self.read_near(&mut portal)?,
            false => None,
        };
        let step = match step {
            Some(step) => step,
            None => Box::pin(self.advance(&mut portal, 0)).await?,
        };
        match &step {
            // The last statement is answered once its transaction is durable.
            Step::Complete(_) | Step::Empty => self.end_simple_statement().await?,
            _ => {
                if let Some(simple) = &mut self.simple {
                    simple.running = Some(portal);
                }
            }
        }
        Ok(Some(step))
    }

    /// Commits the implicit transaction of a query string behind its last statement.
    async fn end_simple_statement(&mut self) -> Result<()> {
        let last = self
            .simple
            .as_ref()
            .is_none_or(|simple| simple.statements.is_empty());
        let implicit = self.open.as_ref().is_some_and(|open| !open.block);
        if last && implicit {
            Box::pin(self.commit()).await?;
        }
        self.end_statement();
        Ok(())
    }

    /// The COPY of a query string is over.
    pub(super) async fn end_copy(&mut self, tag: String) -> Result<Step> {
        self.copy = None;
        if let Some(simple) = &mut self.simple {
            simple.running = None;
            self.end_simple_statement().await?;
        } else {
            for portal in self.portals.values_mut() {
                if matches!(portal.state, State::Ready) && portal.is_copy() {
                    portal.state = State::told();
                }
            }
        }
        Ok(Step::Complete(tag))
    }
}
