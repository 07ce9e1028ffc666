//! Foreign keys, in both directions, at the end of the statement that made a check necessary.
//!
//! A new reference locks the referenced row (FOR KEY SHARE) and then looks for it in the newest
//! state, so nobody can remove it before this transaction ends. A removed or changed key looks for
//! rows that still reference it, through an index on the referencing columns if there is one, and
//! acts as the constraint says. What an action writes is checked in turn.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use super::compiled::{Env, Row};
use super::target::{Default, Target};
use super::write::Changes;
use crate::catalog::{Action, ForeignKey, Index, Object, Table, keys};
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::sql::unique_index::holder;
use crate::storage::{RowBatch, TableId, Wanted};
use crate::txn::{LockTarget, RowMode, View};
use crate::types::cast::{self, Context as Cast};
use crate::types::{Datum, PgType, key, names, ops};

/// Tries at locking a referenced row that keeps moving (its key is changed away and back).
const MAX_TRIES: usize = 100;
/// What a noted check takes besides its values, about.
const EVENT_BYTES: usize = 150;
/// References that are checked together while a statement goes on.
const MANY_EVENTS: usize = 4096;
/// References at the end of a statement from which on they are checked together.
const SOME_EVENTS: usize = 64;

/// One thing to check or do.
pub(super) enum Event {
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

    /// Forgets the references that were not looked at yet and are fine; `whole` says that the statement
    /// has written all its rows, so that those to its own table can be told.
    async fn check_children(&mut self, context: &mut Context<'_>, whole: bool) -> Result<()> {
        let mut kinds: HashMap<(u32, usize), Vec<usize>> = HashMap::new();
        for (n, event) in self.events.iter().enumerate().skip(self.looked_at) {
            let Event::Child { table, key, values } = event else {
                continue;
            };
            let foreign = table.foreign_keys.get(*key);
            let others = foreign.is_some_and(|foreign| foreign.table != table.table.oid);
            if (others || whole) && !values.iter().any(Datum::is_null) {
                kinds.entry((table.table.oid, *key)).or_default().push(n);
            }
        }
        let mut kinds: Vec<Vec<usize>> = kinds.into_values().collect();
        kinds.sort_unstable();
        let mut fine = HashSet::new();
        for places in kinds {
            fine.extend(self.with_parents(context, &places).await?);
        }
        let mut n = 0;
        self.events.retain(|_| {
            n += 1;
            !fine.contains(&(n - 1))
        });
        Ok(())
    }

    /// Which of some references by one foreign key have their row, which is locked then.
    async fn with_parents(
        &self,
        context: &mut Context<'_>,
        places: &[usize],
    ) -> Result<Vec<usize>> {
        let first = places.first().and_then(|n| self.events.get(*n));
        let Some(Event::Child {
            table: child, key, ..
        }) = first
        else {
            return Ok(Vec::new());
        };
        let Some(foreign) = child.foreign_keys.get(*key) else {
            return Ok(Vec::new());
        };
        let Some((parent, index)) = referenced(context, child, foreign)? else {
            return Ok(Vec::new());
        };
        // Through another index than the primary key's, one by one.
        if index.storage.is_some() {
            return Ok(Vec::new());
        }
        let mut wanted: Vec<(Vec<u8>, usize)> = Vec::with_capacity(places.len());
        for n in places {
            let Some(Event::Child { values, .. }) = self.events.get(*n) else {
                continue;
            };
            let (columns, others) = (&foreign.columns, &foreign.referenced);
            let Some(there) = converted(context, values, child, columns, &parent, others) else {
                continue;
            };
            if let Some(prefix) = prefix(&parent, &index.columns, others, &there)? {
                wanted.push((prefix, *n));
            }
        }
        wanted.sort_unstable();
        let storage = parent.table.storage;
        let latest = context.txn.latest()?;
        retain_present(&latest, storage, &mut wanted)?;
        for (row_key, _) in &wanted {
            context.interrupt.check()?;
            let wait = context.wait();
            let lock = LockTarget::Row(storage, row_key.clone());
            context.txn.lock_key(lock, RowMode::KeyShare, wait).await?;
        }
        // Somebody may have removed some before they were locked.
        let newest = context.txn.latest()?;
        if newest.snapshot().sequence() != latest.snapshot().sequence() {
            retain_present(&newest, storage, &mut wanted)?;
        }
        Ok(wanted.into_iter().map(|(_, n)| n).collect())
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
                    Box::pin(check_child(context, &table, key, &values)).await?;
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

    async fn target(&mut self, context: &Context<'_>, table: &Arc<Table>) -> Result<Arc<Target>> {
        if let Some(target) = self.targets.get(&table.oid) {
            return Ok(target.clone());
        }
        let target = Target::new(context.catalog, &context.info, table)?;
        self.targets.insert(table.oid, target.clone());
        Ok(target)
    }

    async fn parent(
        &mut self,
        context: &mut Context<'_>,
        parent: &Arc<Target>,
        at: usize,
        old: &[Datum<'static>],
        new: Option<&[Datum<'static>]>,
    ) -> Result<()> {
        let Some((child, foreign)) = parent.referencing.get(at) else {
            return Ok(());
        };
        let child = self.target(context, child).await?;
        let action = match new {
            None => foreign.on_delete,
            Some(_) => foreign.on_update,
        };
        let view = context.txn.latest()?;
        if action == Action::NoAction
            && find_parent(context, &view, parent, foreign, old)?.is_some()
        {
            return Ok(());
        }
        let Some(values) = converted(
            context,
            old,
            parent,
            &foreign.referenced,
            &child,
            &foreign.columns,
        ) else {
            return Ok(());
        };
        let only_one = matches!(action, Action::NoAction | Action::Restrict);
        let found = children(context, &view, &child, foreign, &values, only_one)?;
        drop(view);
        if found.is_empty() {
            return Ok(());
        }
        if only_one {
            return Err(still_referenced(context, parent, &child, foreign, old));
        }
        let mut changed = vec![false; child.table.columns.len()];
        for at in &foreign.columns {
            if let Some(flag) = changed.get_mut(*at) {
                *flag = true;
            }
        }
        let replacement = match (action, new) {
            (Action::Cascade, None) => None,
            (Action::Cascade, Some(new)) => {
                let values = converted(
                    context,
                    new,
                    parent,
                    &foreign.referenced,
                    &child,
                    &foreign.columns,
                )
                .ok_or_else(|| out_of_range(&child, foreign))?;
                Some(fitted(context, values, &child, &foreign.columns)?)
            }
            (Action::SetDefault, _) => Some(defaults(context, &child, foreign).await?),
            _ => Some(vec![Datum::Null; foreign.columns.len()]),
        };
        let mode = match replacement {
            None => RowMode::Update,
            Some(_) => child.update_mode(&changed),
        };
        for row_key in found {
            context.interrupt.check()?;
            let wait = context.wait();
            context
                .txn
                .lock_row(child.table.storage, &row_key, mode, wait)
                .await?;
            // Whatever happened while the lock was awaited: the newest version counts.
            let bytes = match context.txn.latest()?.get(child.table.storage, &row_key)? {
                Some(entry) => entry.as_ref().to_vec(),
                None => continue,
            };
            let row = child.decode(&bytes)?;
            if !equal(&row, &foreign.columns, &values) {
                continue;
            }
            match &replacement {
                None => child.delete(context, self, &row_key, &row)?,
                Some(values) => {
                    let mut new = row.clone();
                    for (at, value) in foreign.columns.iter().zip(values) {
                        if let Some(slot) = new.get_mut(*at) {
                            *slot = value.clone();
                        }
                    }
                    child
                        .update(context, self, &row_key, &row, &new, &changed)
                        .await?;
                }
            }
        }
        // The default may be the key that has just gone: then a row keeps its reference.
        let view = context.txn.latest()?;
        if action == Action::SetDefault
            && find_parent(context, &view, parent, foreign, old)?.is_none()
            && !children(context, &view, &child, foreign, &values, true)?.is_empty()
        {
            return Err(still_referenced(context, parent, &child, foreign, old));
        }
        Ok(())
    }
}

/// Default values of the referencing columns.
async fn defaults(
    context: &mut Context<'_>,
    child: &Target,
    foreign: &ForeignKey,
) -> Result<Vec<Datum<'static>>> {
    let mut values = Vec::with_capacity(foreign.columns.len());
    for &at in &foreign.columns {
        let column = child.column(at)?;
        values.push(match child.default(context.catalog, &context.info, at)? {
            Default::Compiled(expr) => {
                let env = Env {
                    row: Row::None,
                    parameters: &[],
                    info: &context.info,
                };
                expr.eval(&env)?.into_owned()
            }
            Default::General(expr) => {
                let (value, ty) = super::values::evaluate_one(context, &expr).await?;
                cast::cast(value, ty, column.ty, Cast::Assignment, &context.info.style)?
            }
        });
    }
    Ok(values)
}

/// The table that a foreign key references, and the index that has the key.
fn referenced(
    context: &Context<'_>,
    child: &Arc<Target>,
    foreign: &ForeignKey,
) -> Result<Option<(Arc<Target>, Arc<Index>)>> {
    let table = context.catalog.table(foreign.table);
    let (Some(parent), Some(Object::Index(index))) = (table, context.catalog.object(foreign.index))
    else {
        return Ok(None);
    };
    let parent = match parent.oid == child.table.oid {
        true => child.clone(),
        false => Target::new(context.catalog, &context.info, parent)?,
    };
    Ok(Some((parent, index.clone())))
}

/// Leaves the keys, which are in order, of rows that are there.
fn retain_present(view: &View, storage: TableId, wanted: &mut Vec<(Vec<u8>, usize)>) -> Result<()> {
    let mut keys: Vec<&[u8]> = wanted.iter().map(|(key, _)| key.as_slice()).collect();
    keys.dedup();
    let mut found = RowBatch::new(keys.len(), Wanted::Presence);
    view.get_batch(storage, &keys, &mut found)?;
    let there: HashSet<Vec<u8>> = keys
        .into_iter()
        .zip(found.iter())
        .filter_map(|(key, found)| found.map(|_| key.to_vec()))
        .collect();
    wanted.retain(|(key, _)| there.contains(key));
    Ok(())
}

/// Checks that a referenced row exists, and keeps it.
async fn check_child(
    context: &mut Context<'_>,
    child: &Arc<Target>,
    at: usize,
    values: &[Datum<'static>],
) -> Result<()> {
    let Some(foreign) = child.foreign_keys.get(at) else {
        return Ok(());
    };
    if values.iter().any(Datum::is_null) {
        return Err(context.mixed_nulls(&child.table, foreign));
    }
    let Some((parent, _)) = referenced(context, child, foreign)? else {
        return Err(Error::internal("a foreign key references no table"));
    };
    if let Some(wanted) = converted(
        context,
        values,
        child,
        &foreign.columns,
        &parent,
        &foreign.referenced,
    ) {
        for _ in 0..MAX_TRIES {
            let view = context.txn.latest()?;
            let Some(row_key) = find_parent(context, &view, &parent, foreign, &wanted)? else {
                break;
            };
            drop(view);
            let wait = context.wait();
            let lock = LockTarget::Row(parent.table.storage, row_key.clone());
            context.txn.lock_key(lock, RowMode::KeyShare, wait).await?;
            let view = context.txn.latest()?;
            if find_parent(context, &view, &parent, foreign, &wanted)? == Some(row_key) {
                return Ok(());
            }
        }
    }
    Err(context.not_referenced(&child.table, foreign, values, &parent.table))
}

fn still_referenced(
    context: &Context<'_>,
    parent: &Target,
    child: &Target,
    foreign: &ForeignKey,
    old: &[Datum<'_>],
) -> Error {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.table.name, foreign.name, child.table.name
    );
    let shown = context.shown_key(&parent.table, &foreign.referenced, old);
    context
        .table_error(&child.table, SqlState::FOREIGN_KEY_VIOLATION, message)
        .detail(format!(
            "Key {shown} is still referenced from table \"{}\".",
            child.table.name
        ))
        .constraint(&foreign.name)
}

fn out_of_range(child: &Target, foreign: &ForeignKey) -> Error {
    let ty = foreign.columns.first().and_then(|at| child.types.get(*at));
    let name = ty.map(|ty| names::format_type(*ty)).unwrap_or_default();
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{name} out of range"),
    )
}

/// Values of one table's columns as values of the other's; `None` when one has no such value there
/// (so that nothing can equal it).
fn converted(
    context: &Context<'_>,
    values: &[Datum<'static>],
    from: &Target,
    from_columns: &[usize],
    to: &Target,
    to_columns: &[usize],
) -> Option<Vec<Datum<'static>>> {
    let mut out = Vec::with_capacity(values.len());
    for (value, (from_at, to_at)) in values.iter().zip(from_columns.iter().zip(to_columns)) {
        let (from, to) = (*from.types.get(*from_at)?, *to.types.get(*to_at)?);
        out.push(cast::exactly(value, from, to, &context.info.style)?);
    }
    Some(out)
}

/// Values as their columns take them: 22001 and the like where they are too long.
fn fitted(
    context: &Context<'_>,
    values: Vec<Datum<'static>>,
    table: &Target,
    columns: &[usize],
) -> Result<Vec<Datum<'static>>> {
    let fit = |(value, at): (Datum<'static>, &usize)| {
        let ty = table.column(*at)?.ty;
        let style = &context.info.style;
        cast::cast(value, PgType::new(ty.oid), ty, Cast::Assignment, style)
    };
    values.into_iter().zip(columns).map(fit).collect()
}

/// Key of the row that has `values` in the columns a foreign key references.
fn find_parent(
    context: &Context<'_>,
    view: &View,
    parent: &Target,
    foreign: &ForeignKey,
    values: &[Datum<'_>],
) -> Result<Option<Vec<u8>>> {
    let index = match context.catalog.object(foreign.index) {
        Some(Object::Index(index)) => index.clone(),
        _ => return Err(Error::internal("a foreign key's index does not exist")),
    };
    let Some(prefix) = prefix(parent, &index.columns, &foreign.referenced, values)? else {
        return Err(Error::internal("a foreign key's index has other columns"));
    };
    holder(view, &parent.table, &index, &prefix)
}

/// Encodes `values` (of `columns`) in the order of an index whose first columns are those.
fn prefix(
    target: &Target,
    order: &[usize],
    columns: &[usize],
    values: &[Datum<'_>],
) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    if order.len() < columns.len() {
        return Ok(None);
    }
    for at in order.iter().take(columns.len()) {
        let Some(n) = columns.iter().position(|column| column == at) else {
            return Ok(None);
        };
        let Some(value) = values.get(n) else {
            return Ok(None);
        };
        key::encode(value, target.column(*at)?.ty, &mut out)?;
    }
    Ok(Some(out))
}

fn equal(row: &[Datum<'_>], columns: &[usize], values: &[Datum<'_>]) -> bool {
    columns.iter().zip(values).all(|(at, value)| {
        row.get(*at)
            .is_some_and(|datum| !datum.is_null() && ops::compare(datum, value).is_eq())
    })
}

/// Keys of the rows that reference `values`; at most one if `only_one`.
fn children(
    context: &Context<'_>,
    view: &View,
    child: &Target,
    foreign: &ForeignKey,
    values: &[Datum<'_>],
    only_one: bool,
) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let usable = child.indexes.iter().find_map(|index| {
        match prefix(child, &index.columns, &foreign.columns, values) {
            Ok(Some(prefix)) => Some((index, prefix)),
            _ => None,
        }
    });
    let (index, from): (Option<&Arc<Index>>, Vec<u8>) = match usable {
        Some((index, prefix)) => (Some(index), prefix),
        None => (None, Vec::new()),
    };
    let storage = index
        .and_then(|index| index.storage)
        .unwrap_or(child.table.storage);
    let end = key::prefix_end(&from);
    let to = match &end {
        Some(end) => Bound::Excluded(end.as_slice()),
        None => Bound::Unbounded,
    };
    for entry in view.range(storage, Bound::Included(from.as_slice()), to)? {
        context.interrupt.check()?;
        let (entry_key, bytes) = entry?;
        match index {
            Some(index) => {
                let row_key = keys::row_key_of(index, &child.table, entry_key.as_ref())?;
                found.push(row_key.to_vec());
            }
            None => {
                let row = child.stored(bytes.as_ref())?;
                let mut same = true;
                for (at, value) in foreign.columns.iter().zip(values) {
                    let datum = row.get(*at)?;
                    same &= !datum.is_null() && ops::compare(&datum, value).is_eq();
                }
                if same {
                    found.push(entry_key.as_ref().to_vec());
                }
            }
        }
        if only_one && !found.is_empty() {
            break;
        }
    }
    Ok(found)
}
