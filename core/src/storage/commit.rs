//! The commit step: applies what is queued as a group, makes it visible, and makes it durable.
//!
//! A group is durable once the [`Log`] with its record is synced, or else once redb is: without a log,
//! for a change that is too large for one, and when half of the log is full (a checkpoint).
//!
//! With a [`LateSync`] the sync comes after the step, and the next step may run meanwhile. If
//! transactions wait for each other's locks, it makes what is queued visible, for a later sync to make
//! durable; if not, it leaves that to whoever syncs, who then takes all of it at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures::channel::oneshot;
use redb::{Database, Durability, ReadableDatabase, StorageError};

use super::apply::OpenTables;
use super::format::{self, LogState};
use super::log::{Log, LogSync};
use super::queue::{Item, Take};
use super::store::Inner;
use super::{Snapshot, log_record};
use crate::env::LateSync;
use crate::error::{Error, Result};

/// Batches applied together in one redb transaction.
const MAX_GROUP: usize = 1024;
/// Steps for which others are expected to wait for locks, after one whose commits let someone go on.
/// Few in tests, so that short workloads meet both ways and the change between them.
const CONTENDED_STEPS: u32 = if cfg!(test) { 2 } else { 64 };

pub(super) type Answers = Vec<oneshot::Sender<Result<()>>>;

/// The database, as commit steps use it one at a time.
pub(super) struct Writer {
    /// Dropped before redb, which then writes nothing more.
    log: Option<Log>,
    database: Database,
    /// Of commits that are visible and wait for a sync.
    waiting: Answers,
    /// A sync is under way.
    pub syncing: bool,
}

impl Writer {
    pub fn new(database: Database, log: Option<Log>) -> Self {
        Writer {
            database,
            log,
            waiting: Answers::new(),
            syncing: false,
        }
    }

    /// Whether someone waits for a sync that nobody does at the moment.
    pub fn has_waiting(&self) -> bool {
        !self.syncing && !self.waiting.is_empty()
    }

    /// Closes the database; its log is then no longer needed.
    pub fn close(self) -> Result<()> {
        let Some(log) = self.log else {
            return Ok(self.database.close()?);
        };
        let writer = self.database.begin_write()?;
        let state = LogState {
            checkpoint: log.checkpoint(),
            in_use: false,
        };
        format::set_log_state(&writer, &state)?;
        writer.commit()?;
        self.database.close()?;
        log.close()
    }

    /// A sync is done: has the log say so, unless the next record will.
    ///
    /// A mark that cannot be written loses nothing: what it tells of is durable and acknowledged. It poisons the
    /// store all the same. The next record goes to the very place that the file has just refused, so it is
    /// better refused before somebody waits for it; and while the mark is missing, damage to the last
    /// records would pass for a crash.
    pub fn settled(&mut self, inner: &Inner) {
        self.syncing = false;
        if inner.poisoned().is_none()
            && let Some(log) = &mut self.log
            && inner.is_idle()
            && let Err(error) = log.mark()
        {
            inner.poison(&error);
        }
    }

    /// What may be taken from the queue now.
    fn takes(&self) -> Take {
        match &self.log {
            // A checkpoint is one sync after the other.
            Some(log) if self.syncing && log.is_full() => Take::Nothing,
            Some(_) if self.syncing => Take::Logged,
            _ => Take::Any,
        }
    }
}

/// What a step came to.
pub(super) enum Step {
    /// There was nothing to do, or whoever syncs will do it.
    Nothing,
    Worked,
    /// The caller has to sync, and then to give these answers.
    Sync(Unsynced, Answers),
}

/// What a step left to sync.
pub(super) enum Unsynced {
    Log(LogSync),
    /// The second half of redb's.
    Rows(Arc<dyn LateSync>),
}

/// Runs one step.
pub(super) fn step(inner: &Inner, writer: &mut Writer) -> Step {
    if writer.syncing && inner.contended.load(Relaxed) == 0 {
        return Step::Nothing;
    }
    let takes = writer.takes();
    run(inner, writer, takes, commit)
}

/// Makes visible what goes to the log, and leaves it to a later step to sync.
pub(super) fn show(inner: &Inner, writer: &mut Writer) {
    let takes = match &writer.log {
        Some(log) if !log.is_full() => Take::Logged,
        _ => return,
    };
    run(inner, writer, takes, make_visible);
}

/// Commits the next group in some way, which says whether someone waited for it.
fn run(
    inner: &Inner,
    writer: &mut Writer,
    takes: Take,
    commit: impl FnOnce(&Inner, &mut Writer, Vec<Item>) -> Result<(bool, Step)>,
) -> Step {
    let mut poison = PoisonOnPanic { inner, armed: true };
    let group = inner.take_queued(MAX_GROUP, takes);
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
                    false => inner.contended.load(Relaxed).saturating_sub(1),
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
        return make_visible(inner, writer, group);
    }
    let logged = |log: &Log| !log.is_full() && group.iter().all(Item::is_logged);
    match writer.log.as_ref().is_some_and(logged) {
        true => commit_to_log(inner, writer, group),
        false => commit_to_rows(inner, writer, group),
    }
}

/// Commits a group, for a later sync to make durable.
fn make_visible(inner: &Inner, writer: &mut Writer, group: Vec<Item>) -> Result<(bool, Step)> {
    let applied = commit_group(inner, writer, group, Durability::None)?;
    Ok((applied.let_go, Step::Worked))
}

/// Commits a group and has it synced with the log.
fn commit_to_log(inner: &Inner, writer: &mut Writer, group: Vec<Item>) -> Result<(bool, Step)> {
    let applied = commit_group(inner, writer, group, Durability::None)?;
    Ok((applied.let_go, sync_log(inner, writer)?))
}

/// Has everything that is visible synced with the log.
fn sync_log(inner: &Inner, writer: &mut Writer) -> Result<Step> {
    let (Some(log), false) = (&writer.log, writer.waiting.is_empty()) else {
        return Ok(Step::Worked);
    };
    let sync = log.sync();
    let answers = std::mem::take(&mut writer.waiting);
    if inner.late_sync().is_some() {
        writer.syncing = true;
        return Ok(Step::Sync(Unsynced::Log(sync), answers));
    }
    let synced = sync.run().map_err(StorageError::from);
    settle(inner, synced, answers)?;
    writer.settled(inner);
    Ok(Step::Worked)
}

/// Commits a group and makes redb durable: with everything visible, whether the log has it or not.
fn commit_to_rows(inner: &Inner, writer: &mut Writer, group: Vec<Item>) -> Result<(bool, Step)> {
    let late_sync = inner.late_sync();
    if let Some(late_sync) = late_sync {
        late_sync.defer();
    }
    let applied = commit_group(inner, writer, group, Durability::Immediate)?;
    if !applied.committed {
        if writer.waiting.is_empty() || writer.log.is_some() {
            // There was no sync, so there is none to finish: this takes `defer` back.
            if let Some(late_sync) = late_sync {
                late_sync.finish().map_err(StorageError::from)?;
            }
            return Ok((false, sync_log(inner, writer)?));
        }
        // One durable commit takes everything visible with it.
        writer.database.begin_write()?.commit()?;
    }
    let answers = std::mem::take(&mut writer.waiting);
    if let Some(late_sync) = late_sync {
        writer.syncing = true;
        let unsynced = Unsynced::Rows(late_sync.clone());
        return Ok((applied.let_go, Step::Sync(unsynced, answers)));
    }
    settle(inner, Ok(()), answers)?;
    Ok((applied.let_go, Step::Worked))
}

/// Does the sync that a step left to do, and gives the answers.
pub(super) fn sync(inner: &Inner, unsynced: &Unsynced, answers: Answers) {
    let mut poison = PoisonOnPanic { inner, armed: true };
    let synced = match unsynced {
        Unsynced::Log(sync) => sync.run(),
        Unsynced::Rows(late_sync) => late_sync.finish(),
    };
    // The answers tell of a failure.
    let _ = settle(inner, synced.map_err(StorageError::from), answers);
    poison.armed = false;
}

/// Answers after a sync; one that failed poisons the store.
fn settle(
    inner: &Inner,
    synced: std::result::Result<(), StorageError>,
    answers: Answers,
) -> Result<()> {
    let outcome = synced.map_err(|error| inner.poison(&Error::from(error)));
    if outcome.is_ok() {
        inner.counters.syncs.fetch_add(1, Relaxed);
    }
    answer(answers, &outcome);
    outcome
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
    match apply_group(inner, writer, group, durability, &mut accepted) {
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

/// The part of [`commit_group`] that can fail: everything before the new state is visible. Where there
/// is a log, what redb does not make durable is appended to it, and what it does is a checkpoint.
fn apply_group(
    inner: &Inner,
    writer: &mut Writer,
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
    let mut rows = writer.database.begin_write()?;
    rows.set_durability(durability)?;
    let checkpoint = matches!(durability, Durability::Immediate);
    let tiers = {
        let mut tables = OpenTables::new(&rows, current.tiers().clone());
        // Before its batch, which may change rows that it brings.
        if let Some(relocation) = relocation {
            tables.relocate(relocation)?;
        }
        for (item, _) in accepted.iter() {
            for (table, writes) in &item.batch.writes {
                inner.recorders.note(*table, writes);
            }
            tables.apply(&item.batch)?;
        }
        tables.tiers
    };
    if let (Some(log), true) = (&writer.log, checkpoint) {
        let state = LogState {
            checkpoint: log.checkpoint(),
            in_use: true,
        };
        format::set_log_state(&rows, &state)?;
    }
    // redb gets nothing that the log has not.
    if let (Some(log), false) = (&mut writer.log, checkpoint) {
        let batches = accepted.iter().map(|(item, _)| &item.batch);
        log.append(|record| log_record::encode(batches, record))?;
    }
    rows.commit()?;
    if let (Some(log), true) = (&mut writer.log, checkpoint) {
        log.turn();
    }
    let batches = accepted.iter().map(|(item, _)| &item.batch);
    inner.modified.record(sequence, batches);
    let reader = writer.database.begin_read()?;
    Ok(Some(Arc::new(Snapshot::new(
        sequence,
        inner.modified.clone(),
        reader,
        tiers,
    ))))
}
