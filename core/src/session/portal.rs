//! Portals: bound statements, their running results, and cursors.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::prepared::{Planned, Prepared};
use super::{Format, RowBlock, Session};
use crate::error::{Error, Result, SqlState};
use crate::query::{ResultColumn, Rows};
use crate::sql::{CopySource, Tag};
use crate::types::Datum;
use crate::types::text::TextStyle;

/// Rows that all held cursors of a session may keep in memory together.
const MAX_HELD_ROWS: usize = 10_000_000;

/// A bound statement.
pub(super) struct Portal {
    pub statement: Arc<Prepared>,
    pub planned: Arc<Planned>,
    pub parameters: Arc<[Datum<'static>]>,
    pub columns: Option<Arc<[ResultColumn]>>,
    pub formats: Arc<[Format]>,
    pub state: State,
    pub hold: Hold,
}

/// Whether a portal outlives its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    No,
    /// A cursor WITH HOLD whose transaction is still open.
    Wanted,
    /// A cursor WITH HOLD that has its rows in memory.
    Kept,
}

/// How far a portal has run.
pub(super) enum State {
    Ready,
    Rows(Running),
    CopyOut {
        source: Box<dyn CopySource>,
        announced: bool,
        ended: bool,
    },
    /// The command tag, until it was told.
    Done(String),
}

impl State {
    pub fn told() -> State {
        State::Done(String::new())
    }
}

/// Rows on their way.
pub(super) struct Running {
    pub rows: BoxStream<'static, Result<Rows>>,
    pub tag: Tag,
    /// Rows that the last limit left over.
    pub rest: Option<Rows>,
    sent: u64,
    pub style: Arc<TextStyle>,
}

impl Running {
    pub fn new(rows: BoxStream<'static, Result<Rows>>, tag: Tag, style: Arc<TextStyle>) -> Self {
        Running {
            rows,
            tag,
            rest: None,
            sent: 0,
            style,
        }
    }

    /// At most `limit` rows (0 is no limit); `None` at the end.
    pub async fn next(&mut self, limit: usize) -> Result<Option<Rows>> {
        let rows = self.read(limit).await?;
        let count = rows.as_ref().map_or(0, Rows::len);
        // A command tag counts the rows of the last Execute message.
        self.sent = match limit > 0 && count == limit {
            true => 0,
            false => self.sent.saturating_add(count as u64),
        };
        Ok(rows)
    }

    async fn read(&mut self, limit: usize) -> Result<Option<Rows>> {
        let rows = loop {
            let rows = match self.rest.take() {
                Some(rows) => rows,
                None => match self.rows.next().await {
                    Some(rows) => rows?,
                    None => return Ok(None),
                },
            };
            if !rows.is_empty() {
                break rows;
            }
        };
        let rows = if limit > 0 && rows.len() > limit {
            let (rows, rest) = rows.split(limit);
            self.rest = Some(rest);
            rows
        } else {
            rows
        };
        Ok(Some(rows))
    }

    pub fn tag(&self) -> String {
        match &self.tag {
            Tag::Counted(word) => format!("{word} {}", self.sent),
            Tag::Fixed(tag) => tag.clone(),
        }
    }
}

impl Session {
    pub(super) fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals.get_mut(name).ok_or_else(|| {
            if name.is_empty() {
                Error::new(SqlState::INVALID_CURSOR_NAME, "portal \"\" does not exist")
            } else {
                Error::new(
                    SqlState::INVALID_CURSOR_NAME,
                    format!("portal \"{name}\" does not exist"),
                )
            }
        })
    }

    /// Portals end with their transaction, but for cursors WITH HOLD that were kept.
    pub(super) fn close_transaction_portals(&mut self) {
        if !self.portals.is_empty() {
            self.portals.retain(|_, portal| portal.hold == Hold::Kept);
        }
    }

    /// Whether a commit has to read cursors first.
    pub(super) fn holds_cursors(&self) -> bool {
        let mut portals = self.portals.values();
        portals.any(|portal| portal.hold == Hold::Wanted)
    }

    /// Reads what is left of cursors WITH HOLD into memory, before their snapshot goes.
    pub(super) async fn keep_held_cursors(&mut self) -> Result<()> {
        let mut held = 0;
        for portal in self.portals.values_mut() {
            if portal.hold != Hold::Wanted {
                continue;
            }
            portal.hold = Hold::Kept;
            let State::Rows(running) = &mut portal.state else {
                continue;
            };
            let mut kept = Vec::new();
            while let Some(rows) = running.read(0).await? {
                held += rows.len();
                if held > MAX_HELD_ROWS {
                    return Err(Error::new(
                        SqlState::PROGRAM_LIMIT_EXCEEDED,
                        format!("cursors WITH HOLD may keep at most {MAX_HELD_ROWS} rows"),
                    ));
                }
                kept.push(Ok(rows));
            }
            running.rows = futures::stream::iter(kept).boxed();
        }
        Ok(())
    }
}

/// Formats for every column from what Bind gave: none, one for all, or one each.
pub(super) fn formats(given: &[Format], columns: usize) -> Result<Arc<[Format]>> {
    match given {
        [] => Ok(vec![Format::Text; columns].into()),
        [one] => Ok(vec![*one; columns].into()),
        each if each.len() == columns => Ok(each.into()),
        each => Err(Error::new(
            SqlState::PROTOCOL_VIOLATION,
            format!(
                "bind message has {} result formats but query has {columns} columns",
                each.len()
            ),
        )),
    }
}

/// A block of a portal's rows.
pub(super) fn block(
    columns: &Arc<[ResultColumn]>,
    formats: &Arc<[Format]>,
    style: &Arc<TextStyle>,
    rows: Rows,
) -> RowBlock {
    RowBlock {
        columns: columns.clone(),
        formats: formats.clone(),
        style: style.clone(),
        rows,
    }
}
