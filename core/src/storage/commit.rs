//! The commit step: applies what is queued as a group, makes it visible, and makes it durable.
//!
//! With a [`LateSync`] a durable commit returns before its sync is done, and the next step may run
//! during the sync. If transactions wait for each other's locks, it makes what is queued visible,
//! for a later commit to make durable; if not, it leaves that to whoever syncs, who then takes all of
//! it in one commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures::channel::oneshot;
use redb::{
    CursorError, Database, Durability, ReadableDatabase, ReadableTable, StorageError,
    WriteTransaction,
};

use super::format::{Bytes, Table};
use super::queue::Item;
use super::store::Inner;
use super::{
    DELETED_TABLE, Generation, Relocation, SEGMENT_TABLE, Snapshot, TableId, TableWrites, Tiers,
    WriteBatch,
};
use crate::env::LateSync;
use crate::error::{Error, Result};

/// Batches applied together in one redb transaction.
const MAX_GROUP: usize = 1024;
/// Steps for which others are expected to wait for locks, after one whose commits let someone go on.
/// Few in tests, so that short workloads meet both ways and the change between them.
const CONTENDED_STEPS: u32 = if cfg!(test) { 2 } else { 64 };
/// From this many changes of one table on, looking for a run to append pays.
const MIN_BULK: usize = 16;

pub(super) type Answers = Vec<oneshot::Sender<Result<()>>>;

/// The database, as commit steps use it one at a time.
pub(super) struct Writer {
    pub database: Database,
    /// Of commits that are visible and wait for a durable one.
    waiting: Answers,
    /// The sync of a durable commit is under way.
    pub syncing: bool,
}

impl Writer {
    pub fn new(database: Database) -> Self {
        Writer {
            database,
            waiting: Answers::new(),
            syncing: false,
        }
    }

    /// Whether someone waits for a durable commit that nobody makes at the moment.
    pub fn has_waiting(&self) -> bool {
        !self.syncing && !self.waiting.is_empty()
    }
}

/// What a step came to.
pub(super) enum Step {
    /// There was nothing to do, or whoever syncs will do it.
    Nothing,
    Worked,
    /// The caller has to sync, and then to give these answers.
    Sync(Answers),
}

/// Runs one step.
pub(super) fn step(inner: &Inner, writer: &mut Writer) -> Step {
    let contended = inner.contended.load(Relaxed);
    if writer.syncing && contended == 0 {
        return Step::Nothing;
    }
    let mut poison = PoisonOnPanic { inner, armed: true };
    let group = inner.take_queued(MAX_GROUP);
    let idle = group.is_empty() && (writer.syncing || writer.waiting.is_empty());
    let step = match (idle, inner.poisoned()) {
        (true, _) => Step::Nothing,
        (false, Some(error)) => {
            fail(group, &error);
            give_up(writer, &error);
            Step::Worked
        }
        (false, None) => match commit(inner, writer, group) {
            Ok((let_go, step)) => {
                let contended = match let_go {
                    true => CONTENDED_STEPS,
                    false => contended.saturating_sub(1),
                };
                inner.contended.store(contended, Relaxed);
                step
            }
            Err(error) => {
                let error = inner.poison(&error);
                give_up(writer, &error);
                Step::Worked
            }
        },
    };
    poison.armed = false;
    step
}

/// Commits a group: durably, unless a sync is under way. Returns whether someone waited for it.
fn commit(inner: &Inner, writer: &mut Writer, group: Vec<Item>) -> Result<(bool, Step)> {
    if writer.syncing {
        let applied = commit_group(inner, writer, group, Durability::None)?;
        return Ok((applied.let_go, Step::Worked));
    }
    let late_sync = inner.late_sync();
    if let Some(late_sync) = late_sync {
        late_sync.defer();
    }
    let applied = commit_group(inner, writer, group, Durability::Immediate)?;
    if !applied.committed {
        if writer.waiting.is_empty() {
            // There was no sync, so there is none to finish: this takes `defer` back.
            if let Some(late_sync) = late_sync {
                late_sync.finish().map_err(StorageError::from)?;
            }
            return Ok((false, Step::Worked));
        }
        // One durable commit takes everything visible with it.
        writer.database.begin_write()?.commit()?;
    }
    let answers = std::mem::take(&mut writer.waiting);
    if late_sync.is_some() {
        writer.syncing = true;
        return Ok((applied.let_go, Step::Sync(answers)));
    }
    inner.counters.syncs.fetch_add(1, Relaxed);
    answer(answers, &Ok(()));
    Ok((applied.let_go, Step::Worked))
}

/// Does the sync that a step left to do, and gives the answers.
pub(super) fn sync(inner: &Inner, late_sync: &dyn LateSync, answers: Answers) {
    let mut poison = PoisonOnPanic { inner, armed: true };
    let outcome = match late_sync.finish() {
        Ok(()) => {
            inner.counters.syncs.fetch_add(1, Relaxed);
            Ok(())
        }
        Err(error) => Err(inner.poison(&Error::from(StorageError::from(error)))),
    };
    answer(answers, &outcome);
    poison.armed = false;
}

fn answer(answers: Answers, outcome: &Result<()>) {
    for answer in answers {
        // A session that is gone does not need the answer.
        let _ = answer.send(outcome.clone());
    }
}

/// Nothing more becomes durable.
fn give_up(writer: &mut Writer, error: &Error) {
    answer(std::mem::take(&mut writer.waiting), &Err(error.clone()));
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

/// What [`commit_group`] did.
struct Applied {
    /// Whether there was a redb commit at all.
    committed: bool,
    /// Whether someone waited for a transaction of the group.
    let_go: bool,
}

/// Applies a group in one redb transaction and makes it visible. A batch that does not pass its
/// validation fails alone; an `Err` means that storage failed, and then the whole group has.
fn commit_group(
    inner: &Inner,
    writer: &mut Writer,
    group: Vec<Item>,
    durability: Durability,
) -> Result<Applied> {
    let mut accepted = Vec::with_capacity(group.len());
    match apply_group(inner, &writer.database, group, durability, &mut accepted) {
        Ok(None) => Ok(Applied {
            committed: false,
            let_go: false,
        }),
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
                let _ = item.visible.send(Ok(sequence));
                writer.waiting.push(item.durable);
            }
            Ok(Applied {
                committed: true,
                let_go,
            })
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
    durability: Durability,
    accepted: &mut Vec<(Item, u64)>,
) -> Result<Option<Arc<Snapshot>>> {
    let base = inner.sequence();
    // Whatever fails below fails the whole group, so every item is kept in `accepted` until its
    // fate is known.
    let mut sequence = base;
    let mut validated = Vec::with_capacity(group.len());
    let current = inner.snapshot()?;
    let mut relocation = None;
    for mut item in group {
        if let Some(relocate) = item.relocate.take() {
            match relocate(&current) {
                Ok(found) => relocation = Some(found),
                Err(error) => {
                    item.fail(&error);
                    continue;
                }
            }
        }
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
    writer.set_durability(durability)?;
    let tiers = {
        let mut tables = OpenTables::new(&writer, current.tiers().clone());
        for (item, _) in accepted.iter() {
            for (table, writes) in &item.batch.writes {
                inner.recorders.note(*table, writes);
            }
            tables.apply(&item.batch)?;
        }
        if let Some(relocation) = relocation {
            tables.relocate(relocation)?;
        }
        tables.tiers
    };
    writer.commit()?;
    let changed = accepted.iter().flat_map(|(item, _)| item.batch.tables());
    inner.modified.record(sequence, changed);
    let reader = database.begin_read()?;
    Ok(Some(Arc::new(Snapshot::new(
        sequence,
        inner.modified.clone(),
        reader,
        tiers,
    ))))
}

/// The tables that one redb transaction writes to; each is opened once for the whole group.
struct OpenTables<'txn> {
    writer: &'txn WriteTransaction,
    tables: BTreeMap<(TableId, Generation), redb::Table<'txn, Bytes, Bytes>>,
    /// Where rows are after what was applied so far.
    tiers: Arc<Tiers>,
}

impl<'txn> OpenTables<'txn> {
    fn new(writer: &'txn WriteTransaction, tiers: Arc<Tiers>) -> Self {
        OpenTables {
            writer,
            tables: BTreeMap::new(),
            tiers,
        }
    }

    fn open(
        &mut self,
        table: TableId,
        generation: Generation,
    ) -> Result<&mut redb::Table<'txn, Bytes, Bytes>> {
        match self.tables.entry((table, generation)) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let name = Table::of(table, generation);
                Ok(vacant.insert(self.writer.open_table(name.definition())?))
            }
        }
    }

    fn delete(&mut self, table: TableId, generation: Generation) -> Result<()> {
        // redb refuses to delete a table that is open.
        self.tables.remove(&(table, generation));
        let name = Table::of(table, generation);
        self.writer.delete_table(name.definition())?;
        Ok(())
    }

    fn apply(&mut self, batch: &WriteBatch) -> Result<()> {
        for table in &batch.create {
            self.open(*table, self.tiers.generation(*table))?;
        }
        for (table, writes) in &batch.writes {
            self.unseal(*table, writes)?;
            let generation = self.tiers.generation(*table);
            write_rows(self.open(*table, generation)?, writes)?;
        }
        for table in &batch.drop {
            self.delete(*table, self.tiers.generation(*table))?;
            if let Some(tier) = Arc::make_mut(&mut self.tiers).0.remove(table) {
                self.forget(*table)?;
                if let Some(sealed) = tier.sealed {
                    sealed.dropped();
                }
            }
        }
        Ok(())
    }

    /// Takes what is written out of the sealed tier: a key has one row.
    fn unseal(&mut self, table: TableId, writes: &TableWrites) -> Result<()> {
        let Some(sealed) = self.tiers.sealed(table) else {
            return Ok(());
        };
        let mut beside = WriteBatch::default();
        if let Some(left) = sealed.without(writes, &mut beside)? {
            if let Some(tier) = Arc::make_mut(&mut self.tiers).0.get_mut(&table) {
                tier.sealed = Some(left);
            }
            self.apply(&beside)?;
        }
        Ok(())
    }

    /// Removes what the tier remembers of a dropped table; its keys begin with the table.
    fn forget(&mut self, table: TableId) -> Result<()> {
        let (from, to) = (table.to_be_bytes(), table.saturating_add(1).to_be_bytes());
        for reserved in [SEGMENT_TABLE, DELETED_TABLE] {
            self.open(reserved, 0)?
                .retain_in::<&[u8], _>(from.as_slice()..to.as_slice(), |_, _| false)?;
        }
        Ok(())
    }

    fn relocate(&mut self, relocation: Relocation) -> Result<()> {
        for (table, generation, writes) in &relocation.rows {
            write_rows(self.open(*table, *generation)?, writes)?;
        }
        self.apply(&relocation.beside)?;
        for (table, generation) in relocation.drop {
            self.delete(table, generation)?;
        }
        for (table, tier) in relocation.tiers {
            Arc::make_mut(&mut self.tiers).0.insert(table, tier);
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
