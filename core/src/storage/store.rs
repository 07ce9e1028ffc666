//! The store: a redb database over the host's backend, and the queue through which all commits go.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::ready;
use parking_lot::{Condvar, Mutex, RwLock};
use redb::{Builder, ReadableDatabase, StorageBackend};

use super::commit::{Step, Writer};
use super::gate::Gate;
use super::modified::Modified;
use super::queue::{
    Drive, Item, MAX_QUEUED, OnVisible, Outcome, Pending, Queue, Relocate, Take, Validate,
};
use super::recorder::{Recorders, Recording};
use super::{Snapshot, TableId, Tiers, WriteBatch, commit, format, recover};
use crate::env::{Committer, Env, LateSync};
use crate::error::{Error, Result, SqlState};

/// The sequence number of the state that was found when the database was opened.
const FIRST_SEQUENCE: u64 = 1;

/// Settings of a [`Store`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions made visible.
    pub commits: u64,
    /// Groups of transactions applied together.
    pub groups: u64,
    /// Syncs, of the log or of redb: each made every group before it durable.
    pub syncs: u64,
    /// Transactions that wait in the queue now.
    pub queued: u64,
}

/// An open database. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub commits: AtomicU64,
    pub groups: AtomicU64,
    pub syncs: AtomicU64,
}

pub(super) struct Inner {
    committer: Committer,
    queue: Mutex<Queue>,
    /// Tells who closes the store that a sync is over.
    synced: Condvar,
    poison: OnceLock<Error>,
    /// Before the rows. Shut once nothing more may be written.
    gate: Gate,
    /// Whether there is a commit log.
    logs: bool,
    /// Steps for which commits are expected to let others go on.
    pub contended: AtomicU32,
    pub modified: Arc<Modified>,
    pub recorders: Arc<Recorders>,
    pub counters: Counters,
    /// The newest visible state, shared by everyone who reads now. `None` once closed.
    current: RwLock<Option<Arc<Snapshot>>>,
    /// Held during a commit step, so that steps do not overlap, but not during its sync. `None` once
    /// closed. Dropped after `current`, which reads from it.
    database: Mutex<Option<Writer>>,
}

impl Store {
    /// Opens the database in `backend`, creating it when the backend is empty and recovering it
    /// when it was not closed.
    ///
    /// # Errors
    /// 58030 when the backend fails; 55000 when it holds something else than a database, 0A000 when
    /// it holds one of an unknown version; XX001 when it is damaged.
    pub fn open(backend: impl StorageBackend, options: &Options, env: Env) -> Result<Store> {
        Store::open_with(backend, None, options, env, |_| Ok(Tiers::default()))
    }

    /// [`Store::open`] with what else a host may lend: a commit log, without which each commit syncs
    /// redb; and for a database with sealed rows, `load`, which reads from the first snapshot where they are.
    /// What an interrupted relocation left behind is removed.
    ///
    /// # Errors
    /// Also 55000 when the database was not closed, and `log` is not the log that it had then.
    pub fn open_with(
        backend: impl StorageBackend,
        log: Option<Arc<dyn StorageBackend>>,
        options: &Options,
        env: Env,
        load: impl FnOnce(&Snapshot) -> Result<Tiers>,
    ) -> Result<Store> {
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache_bytes);
        recover::discard_interrupted_creation(&backend)?;
        let gate = Gate::default();
        let database = builder.create_with_backend(gate.on(backend))?;
        format::check_or_create(&database)?;
        let modified = Arc::new(Modified::new(FIRST_SEQUENCE));
        let tiers = load(&Snapshot::new(
            FIRST_SEQUENCE,
            modified.clone(),
            database.begin_read()?,
            Arc::default(),
        ))?;
        recover::drop_other_generations(&database, &tiers)?;
        let mut tiers = Arc::new(tiers);
        let log = recover::open_log(&database, &mut tiers, log, &env, &gate)?;
        let known = Snapshot::new(
            FIRST_SEQUENCE,
            modified.clone(),
            database.begin_read()?,
            tiers.clone(),
        );
        Arc::make_mut(&mut tiers).know_keys(&known)?;
        drop(known);
        let reader = database.begin_read()?;
        let snapshot = Snapshot::new(FIRST_SEQUENCE, modified.clone(), reader, tiers);
        Ok(Store {
            inner: Arc::new(Inner {
                committer: env.committer,
                queue: Mutex::new(Queue::default()),
                synced: Condvar::new(),
                poison: OnceLock::new(),
                gate,
                logs: log.is_some(),
                contended: AtomicU32::new(0),
                modified,
                recorders: Arc::default(),
                counters: Counters::default(),
                current: RwLock::new(Some(Arc::new(snapshot))),
                database: Mutex::new(Some(Writer::new(database, log))),
            }),
        })
    }

    /// The newest visible state.
    ///
    /// # Errors
    /// 57P03 once the store is closed.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.inner.snapshot()
    }

    /// Fails if the store takes no more writes: 58030 after a storage failure.
    pub fn check_writable(&self) -> Result<()> {
        match self.inner.poisoned() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Hands a write batch to the commit queue. `validate` runs inside the queue, before the batch
    /// is applied, with the sequence number that the batch will have.
    ///
    /// # Errors
    /// 58030 after a storage failure, 57P03 once closed, 53000 when the queue is full.
    pub fn submit(&self, batch: WriteBatch, validate: Option<Validate>) -> Result<Pending> {
        self.submit_with(batch, validate, None)
    }

    /// [`Store::submit`] with a hook that runs as soon as the batch is visible, on the committing
    /// thread: earlier than any task that awaits `visible` could.
    pub fn submit_with(
        &self,
        batch: WriteBatch,
        validate: Option<Validate>,
        on_visible: Option<OnVisible>,
    ) -> Result<Pending> {
        self.check_writable()?;
        if batch.is_empty() && validate.is_none() {
            let sequence = self.snapshot()?.sequence();
            if let Some(hook) = on_visible {
                hook(sequence);
            }
            return Ok(Pending {
                visible: ready(Ok(sequence)).boxed(),
                durable: ready(Ok(())).boxed(),
            });
        }
        self.enqueue(batch, None, validate, on_visible)
    }

    /// Hands a change of where rows are to the commit queue. It fails alone with the error that
    /// `relocate` returns, and then nothing has changed.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn submit_relocation(&self, relocate: Relocate) -> Result<Pending> {
        self.check_writable()?;
        self.enqueue(WriteBatch::default(), Some(relocate), None, None)
    }

    /// [`Store::submit_with`] for a batch some of whose rows are sealed already: `relocate` says where
    /// they are, and is applied before the batch, in the same redb commit. They count as changes of the
    /// tables that the batch names.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn submit_sealed(
        &self,
        batch: WriteBatch,
        relocate: Relocate,
        validate: Option<Validate>,
        on_visible: Option<OnVisible>,
    ) -> Result<Pending> {
        self.check_writable()?;
        self.enqueue(batch, Some(relocate), validate, on_visible)
    }

    /// Records the keys that commits write to `table`, beginning with the first commit that the
    /// returned snapshot does not show. `None` when someone records that table already.
    ///
    /// # Errors
    /// 57P03 once the store is closed.
    pub fn record(&self, table: TableId) -> Result<Option<(Recording, Arc<Snapshot>)>> {
        // No commit is between being applied and being visible while this is held.
        let _between_commits = self.inner.database.lock();
        let snapshot = self.snapshot()?;
        let recording = self.inner.recorders.start(table);
        Ok(recording.map(|recording| (recording, snapshot)))
    }

    fn enqueue(
        &self,
        batch: WriteBatch,
        relocate: Option<Relocate>,
        validate: Option<Validate>,
        on_visible: Option<OnVisible>,
    ) -> Result<Pending> {
        let small = relocate.is_none() && batch.is_small();
        let log_bytes = batch.log_bytes();
        let (visible, visible_receiver) = oneshot::channel();
        let (durable, durable_receiver) = oneshot::channel();
        let first = {
            let mut queue = self.inner.queue.lock();
            if queue.closed {
                return Err(closed());
            }
            if queue.items.len() >= MAX_QUEUED {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_RESOURCES,
                    "too many transactions wait to be committed",
                ));
            }
            queue.items.push_back(Item {
                batch,
                log_bytes,
                relocate,
                validate,
                on_visible,
                visible,
                durable,
            });
            queue.items.len() == 1
        };
        let contended = || self.inner.logs && self.inner.contended.load(Relaxed) > 0;
        let drive = match &self.inner.committer {
            Committer::Inline => Some(Drive::Commit(self.clone())),
            Committer::Threads { alone, .. } if first && small && alone() => {
                Some(Drive::Commit(self.clone()))
            }
            // Others wait for this one's locks: they are let go of sooner than a thread wakes up.
            Committer::Threads { .. } if first && small && contended() => {
                Some(Drive::Show(self.clone()))
            }
            Committer::Wake(wake) | Committer::Threads { wake, .. } => {
                // Whoever made the queue non-empty has woken the host; its step takes us along.
                if first {
                    wake();
                }
                None
            }
        };
        Ok(Pending {
            visible: Outcome {
                receiver: visible_receiver,
                drive: drive.clone(),
            }
            .boxed(),
            durable: Outcome {
                receiver: durable_receiver,
                drive,
            }
            .boxed(),
        })
    }

    /// Whoever ran steps for its own batch runs no more of them.
    pub(super) fn hand_over(&self) {
        if let Committer::Threads { wake, .. } = &self.inner.committer {
            let queued = !self.inner.queue.lock().items.is_empty();
            let left = |writer: &Option<Writer>| writer.as_ref().is_some_and(Writer::has_waiting);
            // Whoever holds the lock runs a step, and the next one if need be.
            if queued || self.inner.database.try_lock().is_some_and(|it| left(&it)) {
                wake();
            }
        }
    }

    /// Makes what is queued visible, unless someone else is at it, without waiting for anything; what
    /// remains to be done is left to the host's threads.
    pub(super) fn show(&self) {
        let done = match self.inner.database.try_lock().as_deref_mut() {
            Some(Some(writer)) => {
                commit::show(&self.inner, writer);
                !writer.has_waiting() && self.inner.queue.lock().items.is_empty()
            }
            _ => false,
        };
        if let (Committer::Threads { wake, .. }, false) = (&self.inner.committer, done) {
            wake();
        }
    }

    /// Commits what is queued. Blocks on the backend. Returns whether there was work: a host calls
    /// it until there is none, then waits for [`Committer::Wake`]. Steps never overlap, apart from
    /// their syncs: a second caller waits for the first.
    pub fn commit_step(&self) -> bool {
        let step = match &mut *self.inner.database.lock() {
            Some(writer) => commit::step(&self.inner, writer),
            None => {
                let left = self.inner.take_queued(usize::MAX, Take::Any);
                let worked = !left.is_empty();
                for item in left {
                    item.fail(&closed());
                }
                match worked {
                    true => Step::Worked,
                    false => Step::Nothing,
                }
            }
        };
        match step {
            Step::Nothing => false,
            Step::Worked => true,
            Step::Sync(unsynced, answers) => {
                let _syncing = Syncing(&self.inner);
                commit::sync(&self.inner, &unsynced, answers);
                true
            }
        }
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        Stats {
            commits: counters.commits.load(Relaxed),
            groups: counters.groups.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            queued: self.inner.queue.lock().items.len() as u64,
        }
    }

    /// Finishes what is queued and closes the database; later calls fail. Snapshots that are still
    /// held can no longer be read.
    ///
    /// # Errors
    /// 58030 when the backend fails; then the next opening recovers.
    pub fn close(&self) -> Result<()> {
        self.inner.queue.lock().closed = true;
        let writer = loop {
            while self.commit_step() {}
            let mut writer = self.inner.database.lock();
            match &*writer {
                Some(now) if now.syncing => self.inner.synced.wait(&mut writer),
                Some(now) if now.has_waiting() => {}
                _ => break writer.take(),
            }
        };
        self.inner.current.write().take();
        match writer {
            Some(writer) => writer.close(),
            None => Ok(()),
        }
    }
}

impl Inner {
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.current.read().clone().ok_or_else(closed)
    }

    pub fn sequence(&self) -> u64 {
        match &*self.current.read() {
            Some(snapshot) => snapshot.sequence(),
            None => FIRST_SEQUENCE,
        }
    }

    /// Makes `snapshot` the one that everyone gets from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let old = self.current.write().replace(snapshot);
        // Freed here, where nobody waits for it.
        drop(old);
    }

    pub fn take_queued(&self, limit: usize, take: Take) -> Vec<Item> {
        self.queue.lock().take(limit, take)
    }

    /// Whether nothing is queued.
    pub fn is_idle(&self) -> bool {
        self.queue.lock().items.is_empty()
    }

    pub fn late_sync(&self) -> Option<&Arc<dyn LateSync>> {
        match &self.committer {
            Committer::Threads { late_sync, .. } => Some(late_sync),
            _ => None,
        }
    }

    /// Stops all writing, for good; returns what writers are told. The first failure is the one
    /// that is reported.
    pub fn poison(&self, cause: &Error) -> Error {
        self.gate.shut();
        self.poison
            .get_or_init(|| {
                tracing::error!(error = %cause, "storage failed; no more writes are taken");
                let (state, first) = match cause.state() {
                    SqlState::DISK_FULL => (SqlState::DISK_FULL, "Free some space where it is stored, and restart it"),
                    _ => (SqlState::IO_ERROR, "Restart it"),
                };
                Error::new(
                    state,
                    format!("the database takes no more writes after a storage failure: {cause}"),
                )
                .hint(format!(
                    "{first}: opening the database recovers every transaction that was acknowledged."
                ))
            })
            .clone()
    }

    pub fn poisoned(&self) -> Option<Error> {
        self.poison.get().cloned()
    }
}

/// The sync of a commit, while it lasts.
struct Syncing<'a>(&'a Inner);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        if let Some(writer) = &mut *self.0.database.lock() {
            writer.settled(self.0);
        }
        self.0.synced.notify_all();
    }
}

fn closed() -> Error {
    Error::new(
        SqlState::CANNOT_CONNECT_NOW,
        "the database system is shutting down",
    )
}
