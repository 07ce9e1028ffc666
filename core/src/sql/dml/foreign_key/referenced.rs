//! Keys that are gone or have other values: who still references them, and what is done about it.

use std::ops::Bound;
use std::sync::Arc;

use super::Changes;
use super::lookup::{converted, find_parent, prefix};
use crate::catalog::{Action, ForeignKey, Index, Table, keys};
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::sql::dml::assign::default_of;
use crate::sql::dml::target::Target;
use crate::txn::{RowMode, View};
use crate::types::cast::{self, Context as Cast};
use crate::types::{Datum, PgType, key, names, ops};

impl Changes {
    async fn target(&mut self, context: &Context<'_>, table: &Arc<Table>) -> Result<Arc<Target>> {
        if let Some(target) = self.targets.get(&table.oid) {
            return Ok(target.clone());
        }
        let target = Target::new(context.catalog, &context.info, table)?;
        self.targets.insert(table.oid, target.clone());
        Ok(target)
    }

    /// Acts on a key that is gone or has other values, as its foreign key says.
    pub(super) async fn parent(
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
        let default = child.default(context.catalog, &context.info, at)?;
        values.push(default_of(context, child, at, &default).await?);
    }
    Ok(values)
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
