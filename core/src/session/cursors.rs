//! Cursors: DECLARE, FETCH and MOVE.

use std::sync::Arc;

use futures::StreamExt;

use super::portal::{Hold, Portal, Running, State, formats};
use super::prepared::{Prepared, no_cursor};
use super::session::placed;
use super::{Format, Session};
use crate::error::{Error, Result, SqlState};
use crate::query::Rows;
use crate::sql::{Direction, Statement, Tag};
use crate::types::Datum;

impl Session {
    pub(super) async fn declare(
        &mut self,
        name: &str,
        hold: bool,
        query: &Statement,
        parameters: &Arc<[Datum<'static>]>,
    ) -> Result<()> {
        if !hold && !self.in_block() {
            return Err(Error::new(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "DECLARE CURSOR can only be used in transaction blocks",
            ));
        }
        if self.portals.contains_key(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        let prepared = Arc::new(Prepared::new(query.clone(), Vec::new(), false));
        let planned = Box::pin(self.planned(&prepared)).await;
        let mut planned = planned.map_err(|error| placed(error, &prepared))?;
        let Some(columns) = planned.columns.clone() else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "a cursor needs a query"));
        };
        let outcome = Box::pin(self.run(&prepared, &mut planned, parameters)).await?;
        let state = self.row_state(outcome)?;
        let portal = Portal {
            statement: prepared,
            planned,
            parameters: parameters.clone(),
            formats: formats(&[Format::Text], columns.len())?,
            columns: Some(columns),
            state,
            hold: if hold { Hold::Wanted } else { Hold::No },
        };
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    pub(super) async fn fetch(&mut self, direction: Direction, name: &str) -> Result<State> {
        let (blocks, _) = self.pull(direction, name).await?;
        let style = self.shared.settings().typed.style.clone();
        let rows = futures::stream::iter(blocks.into_iter().map(Ok)).boxed();
        Ok(State::Rows(Running::new(
            rows,
            Tag::Counted("FETCH"),
            style,
        )))
    }

    /// Takes rows from a cursor.
    pub(super) async fn pull(
        &mut self,
        direction: Direction,
        name: &str,
    ) -> Result<(Vec<Rows>, u64)> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_cursor(name))?;
        let mut left = match direction {
            Direction::All => u64::MAX,
            Direction::Forward(count) => count,
        };
        let mut blocks = Vec::new();
        let mut taken = 0;
        if let State::Rows(running) = &mut portal.state {
            while left > 0 {
                let limit = usize::try_from(left).unwrap_or(usize::MAX);
                let Some(rows) = self.limits().guard(running.next(limit)).await? else {
                    break;
                };
                taken += rows.len() as u64;
                left -= rows.len() as u64;
                blocks.push(rows);
            }
        }
        self.portals.insert(name.to_owned(), portal);
        Ok((blocks, taken))
    }
}
