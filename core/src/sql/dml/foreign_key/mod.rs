//! Foreign keys, in both directions, at the end of the statement that made a check necessary.
//!
//! A new reference locks the referenced row (FOR KEY SHARE) and then looks for it in the newest
//! state, so nobody can remove it before this transaction ends. A removed or changed key looks for
//! rows that still reference it, through an index on the referencing columns if there is one, and
//! acts as the constraint says. What an action writes is checked in turn.

mod lookup;
mod referenced;
mod referencing;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::target::Target;
use crate::error::Result;
use crate::sql::Context;
use crate::types::{Datum, key};

/// What a noted check takes besides its values, about.
const EVENT_BYTES: usize = 150;
/// References that are checked together while a statement goes on.
const MANY_EVENTS: usize = 4096;
/// References at the end of a statement from which on they are checked together.
const SOME_EVENTS: usize = 64;

/// One thing to check or do.
enum Event {
    /// A row references these values (constraint `key` of `table`).
    Child {
        table: Arc<Target>,
        key: usize,
        values: Vec<Datum<'static>>,
    },
    /// A row that may be referenced (through `key` of `table.referencing`) is gone, or has other
    /// values now.
    Parent {
        table: Arc<Target>,
        key: usize,
        old: Vec<Datum<'static>>,
        new: Option<Vec<Datum<'static>>>,
    },
}

/// What one statement changed, as far as its end must still check it.
#[derive(Default)]
pub(super) struct Changes {
    events: VecDeque<Event>,
    /// Foreign key values that are already noted: (constraint's table and number, key).
    noted: HashSet<(u32, usize, Vec<u8>)>,
    /// How many of the events were looked at before the end.
    looked_at: usize,
    /// Tables that foreign key actions write.
    targets: HashMap<u32, Arc<Target>>,
}

fn pick(row: &[Datum<'_>], columns: &[usize]) -> Vec<Datum<'static>> {
    columns
        .iter()
        .map(|at| {
            row.get(*at)
                .map_or(Datum::Null, |datum| datum.clone().into_owned())
        })
        .collect()
}

impl Changes {
    /// Notes that `row` has to be checked against foreign key number `at` of its table. Returns the bytes that
    /// this takes until the statement ends.
    pub(super) fn note_child(
        &mut self,
        target: &Arc<Target>,
        at: usize,
        row: &[Datum<'_>],
    ) -> Result<usize> {
        let Some(foreign) = target.foreign_keys.get(at) else {
            return Ok(0);
        };
        let values = pick(row, &foreign.columns);
        let nulls = values.iter().filter(|value| value.is_null()).count();
        if !foreign.binds(nulls) {
            return Ok(0);
        }
        let mut encoded = Vec::new();
        for (value, column) in values.iter().zip(&foreign.columns) {
            key::encode(value, target.column(*column)?.ty, &mut encoded)?;
        }
        let bytes = EVENT_BYTES + encoded.len() + Datum::weight_of(&values);
        let new = self.noted.insert((target.table.oid, at, encoded));
        if new {
            self.events.push_back(Event::Child {
                table: target.clone(),
                key: at,
                values,
            });
        }
        Ok(if new { bytes } else { 0 })
    }

    /// Notes that the key which foreign key number `at` references has changed. Returns the bytes that this
    /// takes until the statement ends.
    pub(super) fn note_parent(
        &mut self,
        target: &Arc<Target>,
        at: usize,
        old: &[Datum<'_>],
        new: Option<&[Datum<'_>]>,
    ) -> usize {
        let Some((_, foreign)) = target.referencing.get(at) else {
            return 0;
        };
        let old = pick(old, &foreign.referenced);
        // Nothing references a key with a NULL in it.
        if old.iter().any(Datum::is_null) {
            return 0;
        }
        let new = new.map(|new| pick(new, &foreign.referenced));
        let weight = Datum::weight_of(&old) + new.as_deref().map_or(0, Datum::weight_of);
        self.events.push_back(Event::Parent {
            table: target.clone(),
            key: at,
            old,
            new,
        });
        EVENT_BYTES + weight
    }

    /// Checks references to other tables, if they are many, before the end of the statement: what is
    /// there, and locked, need not be remembered. What is not there may still come.
    ///
    /// # Errors
    /// Those of locks.
    pub(super) async fn check_early(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.events.len() < self.looked_at.saturating_add(MANY_EVENTS) {
            return Ok(());
        }
        Box::pin(self.check_children(context, false)).await?;
        self.noted.clear();
        self.looked_at = self.events.len();
        Ok(())
    }

    /// The end of the statement: checks and does everything that was noted.
    ///
    /// # Errors
    /// 23503.
    pub(super) async fn finish(mut self, context: &mut Context<'_>) -> Result<()> {
        let is_child = |event: &Event| matches!(event, Event::Child { .. });
        if self.events.len() >= SOME_EVENTS && self.events.iter().all(is_child) {
            self.looked_at = 0;
            Box::pin(self.check_children(context, true)).await?;
        }
        while let Some(event) = self.events.pop_front() {
            context.interrupt.check()?;
            match event {
                Event::Child { table, key, values } => {
                    Box::pin(referencing::check_child(context, &table, key, &values)).await?;
                }
                Event::Parent {
                    table,
                    key,
                    old,
                    new,
                } => {
                    Box::pin(self.parent(context, &table, key, &old, new.as_deref())).await?;
                }
            }
            if self.events.is_empty() {
                // What is written from here on is another round: it has to be noted again.
                self.noted.clear();
            }
        }
        Ok(())
    }
}
