//! The commit step: applies what is queued in groups, makes each visible, and makes all durable.
//!
//! Where transactions wait for each other's locks, groups become visible first and share a sync;
//! where none does, a group is written once, durable from the start, for half of the work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::channel::oneshot;
use redb::{CursorError, Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::format::{Bytes, Table};
use super::queue::Item;
use super::store::Inner;
use super::{Snapshot, TableId, TableWrites, WriteBatch};
use crate::error::{Error, Result};

/// Batches applied together in one redb transaction.
const MAX_GROUP: usize = 1024;
/// Groups made visible before one sync makes them all durable. Bounds how long the first waits.
const MAX_ROUNDS: usize = 32;
/// How long a step waits before it syncs, for a transaction that its commits let go on (it waited
/// for a lock). On a row that everyone updates, many commits then share a sync, which takes longer.
const LINGER: Duration = Duration::from_micros(100);
/// Steps for which groups go on being made visible first, after one whose commits let someone go on.
/// Few in tests, so that short workloads meet both orders and the change between them.
const CONTENDED_STEPS: u32 = if cfg!(test) { 2 } else { 64 };
/// From this many changes of one table on, looking for a run to append pays.
const MIN_BULK: usize = 16;

type Answers = Vec<oneshot::Sender<Result<()>>>;

/// Runs one step over `database`. Returns whether there was work.
pub(super) fn step(inner: &Inner, database: &Database) -> bool {
    let mut poison = PoisonOnPanic { inner, armed: true };
    let mut answers = Answers::new();
    let mut worked = false;
    let contended = inner.contended.load(Relaxed);
    let (order, rounds) = match contended {
        0 => (Order::AtOnce, 1),
        _ => (Order::VisibleFirst, MAX_ROUNDS),
    };
    let mut let_go = false;
    for _ in 0..rounds {
        let group = inner.take_queued(MAX_GROUP);
        if group.is_empty() {
            break;
        }
        worked = true;
        if let Some(error) = inner.poisoned() {
            fail(group, &error);
            continue;
        }
        match commit_group(inner, database, group, order, &mut answers) {
            Ok(true) => {
                let_go = true;
                if order == Order::VisibleFirst {
                    inner.linger(LINGER);
                }
            }
            Ok(false) => {}
            Err(error) => {
                inner.poison(&error);
            }
        }
    }
    if worked {
        let contended = match let_go {
            true => CONTENDED_STEPS,
            false => contended.saturating_sub(1),
        };
        inner.contended.store(contended, Relaxed);
    }
    if !answers.is_empty() {
        let outcome = match inner.poisoned() {
            Some(error) => Err(error),
            None => make_durable(inner, database).map_err(|error| inner.poison(&error)),
        };
        for answer in answers {
            // A session that is gone does not need the answer.
            let _ = answer.send(outcome.clone());
        }
    }
    poison.armed = false;
    worked
}

/// A panic inside redb leaves an unknown state behind: nothing may be written on top of it.
struct PoisonOnPanic<'a> {
    inner: &'a Inner,
    armed: bool,
}

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.inner
                .poison(&Error::internal("the commit step panicked"));
        }
    }
}

fn fail(group: Vec<Item>, error: &Error) {
    for item in group {
        item.fail(error);
    }
}

/// When a group becomes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// After it is visible, with a later commit, whose caller then gives the answers.
    VisibleFirst,
    /// When it becomes visible.
    AtOnce,
}

/// Applies a group in one redb transaction and makes it visible. A batch that does not pass its
/// validation fails alone; an `Err` means that storage failed, and then the whole group has. Returns
/// whether someone waited for it.
fn commit_group(
    inner: &Inner,
    database: &Database,
    group: Vec<Item>,
    order: Order,
    answers: &mut Answers,
) -> Result<bool> {
    let mut accepted = Vec::with_capacity(group.len());
    match apply_group(inner, database, group, order, &mut accepted) {
        Ok(None) => Ok(false),
        Ok(Some(snapshot)) => {
            inner.publish(snapshot);
            inner.counters.groups.fetch_add(1, Relaxed);
            inner
                .counters
                .commits
                .fetch_add(accepted.len() as u64, Relaxed);
            let mut let_go = false;
            for (mut item, sequence) in accepted {
                if let Some(hook) = item.on_visible.take() {
                    let_go |= hook(sequence);
                }
                // A session that is gone does not need the answer, here and above.
                let _ = item.visible.send(Ok(sequence));
                answers.push(item.durable);
            }
            if order == Order::AtOnce {
                inner.counters.syncs.fetch_add(1, Relaxed);
                for answer in answers.drain(..) {
                    let _ = answer.send(Ok(()));
                }
            }
            Ok(let_go)
        }
        Err(error) => {
            let error = inner.poison(&error);
            fail(accepted.into_iter().map(|(item, _)| item).collect(), &error);
            Err(error)
        }
    }
}

/// The part of [`commit_group`] that can fail: everything before the new state is visible.
fn apply_group(
    inner: &Inner,
    database: &Database,
    group: Vec<Item>,
    order: Order,
    accepted: &mut Vec<(Item, u64)>,
) -> Result<Option<Arc<Snapshot>>> {
    let base = inner.sequence();
    // Whatever fails below fails the whole group, so every item is kept in `accepted` until its
    // fate is known.
    let mut sequence = base;
    let mut validated = Vec::with_capacity(group.len());
    for mut item in group {
        let verdict = match item.validate.take() {
            Some(validate) => validate(sequence + 1),
            None => Ok(()),
        };
        match verdict {
            Ok(()) => {
                sequence += 1;
                validated.push((item, sequence));
            }
            Err(error) => item.fail(&error),
        }
    }
    accepted.append(&mut validated);
    if accepted.is_empty() {
        return Ok(None);
    }
    let mut writer = database.begin_write()?;
    writer.set_durability(match order {
        Order::VisibleFirst => Durability::None,
        Order::AtOnce => Durability::Immediate,
    })?;
    {
        let mut tables = OpenTables::new(&writer);
        for (item, _) in accepted.iter() {
            tables.apply(&item.batch)?;
        }
    }
    writer.commit()?;
    let changed = accepted.iter().flat_map(|(item, _)| item.batch.tables());
    inner.modified.record(sequence, changed);
    let reader = database.begin_read()?;
    Ok(Some(Arc::new(Snapshot::new(
        sequence,
        inner.modified.clone(),
        reader,
    ))))
}

/// One durable commit, which takes everything visible with it.
fn make_durable(inner: &Inner, database: &Database) -> Result<()> {
    let writer = database.begin_write()?;
    writer.commit()?;
    inner.counters.syncs.fetch_add(1, Relaxed);
    Ok(())
}

/// The tables that one redb transaction writes to; each is opened once for the whole group.
struct OpenTables<'txn> {
    writer: &'txn WriteTransaction,
    tables: BTreeMap<TableId, redb::Table<'txn, Bytes, Bytes>>,
}

impl<'txn> OpenTables<'txn> {
    fn new(writer: &'txn WriteTransaction) -> Self {
        OpenTables {
            writer,
            tables: BTreeMap::new(),
        }
    }

    fn open(&mut self, table: TableId) -> Result<&mut redb::Table<'txn, Bytes, Bytes>> {
        match self.tables.entry(table) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let open = self.writer.open_table(Table::of(table).definition())?;
                Ok(vacant.insert(open))
            }
        }
    }

    fn apply(&mut self, batch: &WriteBatch) -> Result<()> {
        for table in &batch.create {
            self.open(*table)?;
        }
        for (table, writes) in &batch.writes {
            write_rows(self.open(*table)?, writes)?;
        }
        for table in &batch.drop {
            // redb refuses to delete a table that is open.
            self.tables.remove(table);
            self.writer.delete_table(Table::of(*table).definition())?;
        }
        Ok(())
    }
}

/// Applies changes in key order. The run beyond the table's last key (all of them, when the table
/// is new) goes in through a cursor, which fills whole pages.
fn write_rows(table: &mut redb::Table<'_, Bytes, Bytes>, writes: &TableWrites) -> Result<()> {
    if writes.len() < MIN_BULK {
        return write_each(table, writes.iter());
    }
    let last = table.last()?.map(|(key, _)| key.value().to_vec());
    let Some(last) = last else {
        return append(table, writes.iter());
    };
    write_each(
        table,
        writes.range::<[u8], _>((Bound::Unbounded, Bound::Included(last.as_slice()))),
    )?;
    append(
        table,
        writes.range::<[u8], _>((Bound::Excluded(last.as_slice()), Bound::Unbounded)),
    )
}

fn write_each<'a>(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    writes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
) -> Result<()> {
    for (key, row) in writes {
        match row {
            Some(row) => table.insert(key.as_slice(), row.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}

/// Writes keys that are all greater than any in the table.
fn append<'a>(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    writes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
) -> Result<()> {
    let mut cursor = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
    for (key, row) in writes {
        if let Some(row) = row {
            cursor
                .insert_before(key.as_slice(), row.as_slice())
                .map_err(|error| match error {
                    CursorError::Storage(error) => error.into(),
                    other => Error::internal(format!("appending rows: {other}")),
                })?;
        }
    }
    Ok(cursor.close()?)
}
