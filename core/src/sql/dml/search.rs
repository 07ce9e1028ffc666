//! The rows that an UPDATE or DELETE writes: found, locked, and read in their newest version.

use super::compiled::{Access, Env, Row};
use super::matches::{Match, Matches};
use super::target::Target;
use crate::error::Result;
use crate::sql::Context;
use crate::storage::{RowBatch, TableId, Wanted};
use crate::txn::{RowLock, RowMode};
use crate::types::Datum;

/// Rows that are read together, in their newest version.
const READ_AT_ONCE: usize = 1024;

/// How the rows are found.
pub(super) enum Search {
    /// One row by its key, without DataFusion.
    Key(Box<Access>),
    Query(Box<Matches>),
}

/// A locked row.
pub(super) struct Found {
    pub row_key: Vec<u8>,
    /// Its newest version.
    pub bytes: Vec<u8>,
    /// What else the search selected for it.
    pub values: Vec<Datum<'static>>,
}

/// Rows that are locked, but not yet written.
pub(super) enum LockedRows {
    Key(Option<Found>),
    Query(Matched),
}

/// Rows that a query found, read many at a time.
pub(super) struct Matched {
    rest: std::vec::IntoIter<Match>,
    /// With their newest versions.
    read: std::vec::IntoIter<(Match, Option<Vec<u8>>)>,
}

impl Matched {
    fn read(&mut self, context: &mut Context<'_>, storage: TableId) -> Result<()> {
        let matches: Vec<Match> = self.rest.by_ref().take(READ_AT_ONCE).collect();
        let mut order: Vec<usize> = (0..matches.len()).collect();
        let key = |at: &usize| matches.get(*at).map_or(&[][..], |found| &found.row_key);
        order.sort_unstable_by_key(key);
        let keys: Vec<&[u8]> = order.iter().map(key).collect();
        let mut rows = RowBatch::new(keys.len(), Wanted::Rows);
        context.txn.latest()?.get_batch(storage, &keys, &mut rows)?;
        let mut versions = vec![None; matches.len()];
        for (at, row) in order.iter().zip(rows.iter()) {
            if let Some(slot) = versions.get_mut(*at) {
                *slot = row.map(<[u8]>::to_vec);
            }
        }
        let read: Vec<_> = matches.into_iter().zip(versions).collect();
        self.read = read.into_iter();
        Ok(())
    }
}

impl Search {
    pub(super) fn is_compiled(&self) -> bool {
        matches!(self, Search::Key(_))
    }

    /// Finds the rows at the statement's snapshot and locks them.
    pub(super) async fn lock(
        &self,
        context: &mut Context<'_>,
        target: &Target,
        mode: RowMode,
    ) -> Result<LockedRows> {
        Ok(match self {
            Search::Key(access) => {
                LockedRows::Key(locked_by_key(context, target, access, mode).await?)
            }
            Search::Query(search) => {
                // Boxed, as all that is large and seldom: statements by key are many and small.
                let locked = Box::pin(search.locked(context, target, mode));
                LockedRows::Query(Matched {
                    rest: locked.await?.into_iter(),
                    read: Vec::new().into_iter(),
                })
            }
        })
    }
}

impl LockedRows {
    /// The next row. What the statement itself did meanwhile is seen: a row that it removed is left
    /// out.
    pub(super) fn next(
        &mut self,
        context: &mut Context<'_>,
        target: &Target,
    ) -> Result<Option<Found>> {
        let rows = match self {
            LockedRows::Key(found) => return Ok(found.take()),
            LockedRows::Query(rows) => rows,
        };
        let storage = target.table.storage;
        loop {
            let Some((Match { row_key, values }, mut bytes)) = rows.read.next() else {
                if rows.rest.len() == 0 {
                    return Ok(None);
                }
                rows.read(context, storage)?;
                continue;
            };
            context.interrupt.check()?;
            // Perhaps since it was read.
            if context.txn.has_written(storage, &row_key) {
                let newest = context.txn.latest()?.get(storage, &row_key)?;
                bytes = newest.map(|entry| entry.as_ref().to_vec());
            }
            if let Some(bytes) = bytes {
                return Ok(Some(Found {
                    bytes,
                    row_key,
                    values,
                }));
            }
        }
    }
}

/// Finds a row by its key, locks it, and looks again if it changed meanwhile.
async fn locked_by_key(
    context: &mut Context<'_>,
    target: &Target,
    access: &Access,
    mode: RowMode,
) -> Result<Option<Found>> {
    let info = context.info.clone();
    let env = Env {
        row: Row::None,
        parameters: context.parameters,
        info: &info,
    };
    let Some(key) = access.key(&env)? else {
        return Ok(None);
    };
    let view = context.txn.view()?;
    let Some(row_key) = access.row_key(&view, target, key)? else {
        return Ok(None);
    };
    let Some(entry) = view.get(target.table.storage, &row_key)? else {
        return Ok(None);
    };
    let mut bytes = entry.as_ref().to_vec();
    drop((entry, view));
    if !access.matches(target, &env, target.stored(&bytes)?)? {
        return Ok(None);
    }
    let wait = context.wait();
    match context
        .txn
        .lock_row(target.table.storage, &row_key, mode, wait)
        .await?
    {
        // An earlier part of the statement may have written the row.
        RowLock::Unchanged if context.txn.holds_view() => {
            match context.txn.latest()?.get(target.table.storage, &row_key)? {
                Some(entry) => bytes = entry.as_ref().to_vec(),
                None => return Ok(None),
            }
        }
        RowLock::Unchanged => {}
        RowLock::Changed(None) | RowLock::Skipped => return Ok(None),
        RowLock::Changed(Some(newest)) => {
            bytes = newest;
            if !access.matches(target, &env, target.stored(&bytes)?)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(Found {
        row_key,
        bytes,
        values: Vec::new(),
    }))
}
