//! New references: the referenced row is locked (FOR KEY SHARE), then looked for in the newest state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::lookup::{converted, find_parent, prefix};
use super::{Changes, Event};
use crate::catalog::{ForeignKey, Index, Object};
use crate::error::{Error, Result};
use crate::sql::Context;
use crate::sql::dml::target::Target;
use crate::storage::{RowBatch, TableId, Wanted};
use crate::txn::{LockTarget, RowMode, View};
use crate::types::Datum;

/// Tries at locking a referenced row that keeps moving (its key is changed away and back).
const MAX_TRIES: usize = 100;

impl Changes {
    /// Forgets the references that were not looked at yet and are fine; `whole` says that the statement
    /// has written all its rows, so that those to its own table can be told.
    pub(super) async fn check_children(
        &mut self,
        context: &mut Context<'_>,
        whole: bool,
    ) -> Result<()> {
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
pub(super) async fn check_child(
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
