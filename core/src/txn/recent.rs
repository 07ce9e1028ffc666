//! The keys of recent commits, against which SERIALIZABLE transactions validate what they read.
//!
//! A transaction that commits at point `c` and read from snapshot `s` is as if it had run wholly at
//! `c`, if no commit between `s` and `c` changed anything it read. Reads are keys and ranges, so this
//! holds for rows that were not there as well (phantoms). Validation runs inside the commit queue,
//! one batch after the other, so no commit can slip in between; and a batch is in the log before
//! the next one is validated, also if both end up in one group.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::read_set::ReadSet;
use crate::error::{Error, Result, SqlState};
use crate::storage::{Snapshot, Store, TableId, TableWrites, WriteBatch};

/// Keys that the log remembers. When there are more, the oldest commits are forgotten, and
/// transactions whose snapshot is older than those can no longer be validated.
const MAX_KEYS: usize = 1_000_000;
/// Bytes of what it remembers, likewise: it shares rows with their keys.
const MAX_BYTES: usize = if cfg!(test) { 1 << 20 } else { 256 << 20 };
/// Commits that the log remembers, likewise.
const MAX_COMMITS: usize = 65_536;
/// A table of which one commit changed more keys than this counts as changed as a whole.
const MAX_KEYS_OF_TABLE: usize = 65_536;

/// Shared by all transactions of a store.
#[derive(Default)]
pub(super) struct RecentCommits {
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// In order of their sequence numbers.
    commits: VecDeque<Commit>,
    keys: usize,
    bytes: usize,
    /// Commits up to this one may be missing though someone needs them.
    forgotten: u64,
    /// Commits up to this one are visible.
    visible: u64,
    /// The sequence numbers of the snapshots of running SERIALIZABLE transactions, counted.
    needed: BTreeMap<u64, usize>,
}

struct Commit {
    sequence: u64,
    keys: usize,
    bytes: usize,
    changes: Vec<Change>,
}

/// What a commit changes of one table.
pub(super) struct Change {
    table: TableId,
    /// The rows; `None` is anything.
    rows: Option<Arc<TableWrites>>,
    /// Of these rows and their keys.
    bytes: usize,
}

/// A running SERIALIZABLE transaction's claim on the log since its snapshot.
pub(super) struct Claim {
    recent: Arc<RecentCommits>,
    sequence: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut log = self.recent.log.lock();
        if let Some(count) = log.needed.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                log.needed.remove(&self.sequence);
            }
        }
        log.prune();
    }
}

impl RecentCommits {
    /// Takes a snapshot, and makes sure that every commit it does not see will be in the log.
    pub fn claim(self: &Arc<Self>, store: &Store) -> Result<(Arc<Snapshot>, Claim)> {
        // Under the log's lock: what the log drops meanwhile is visible in any later snapshot.
        let mut log = self.log.lock();
        let snapshot = store.snapshot()?;
        let sequence = snapshot.sequence();
        *log.needed.entry(sequence).or_default() += 1;
        let claim = Claim {
            recent: self.clone(),
            sequence,
        };
        Ok((snapshot, claim))
    }

    /// Called inside the commit queue for a batch that gets number `sequence`: validates what its
    /// transaction read, if it is SERIALIZABLE, then remembers what it writes.
    pub fn admit(
        &self,
        sequence: u64,
        changes: Vec<Change>,
        reads: Option<(&ReadSet, &Claim)>,
    ) -> Result<()> {
        let mut log = self.log.lock();
        if let Some((reads, claim)) = reads {
            log.validate(reads, claim.sequence)?;
        }
        let keys = |change: &Change| change.rows.as_ref().map_or(1, |rows| rows.len());
        let keys = changes.iter().map(keys).sum();
        let bytes = changes.iter().map(|change| change.bytes).sum();
        log.keys += keys;
        log.bytes += bytes;
        log.commits.push_back(Commit {
            sequence,
            keys,
            bytes,
            changes,
        });
        log.bound();
        Ok(())
    }

    /// Forgets what nobody needs, now that commits up to `visible` are visible.
    pub fn prune(&self, visible: u64) {
        let mut log = self.log.lock();
        log.visible = log.visible.max(visible);
        log.prune();
    }
}

impl Log {
    fn validate(&self, reads: &ReadSet, since: u64) -> Result<()> {
        let unknown = since < self.forgotten;
        let start = self
            .commits
            .partition_point(|commit| commit.sequence <= since);
        let changed = self.commits.range(start..).any(|commit| {
            let mut changes = commit.changes.iter();
            changes.any(|change| reads.conflicts(change.table, change.rows.as_deref()))
        });
        if unknown || changed {
            return Err(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to read/write dependencies among transactions",
            )
            .detail("Reason code: Canceled on identification as a pivot, during commit attempt.")
            .hint("The transaction might succeed if retried."));
        }
        Ok(())
    }

    fn bound(&mut self) {
        // The newest stays: it is not visible yet, and the next batch may depend on it.
        let full = |log: &Log| {
            log.keys > MAX_KEYS || log.bytes > MAX_BYTES || log.commits.len() > MAX_COMMITS
        };
        while self.commits.len() > 1 && full(self) {
            if let Some(sequence) = self.pop() {
                self.forgotten = sequence;
            }
        }
    }

    fn prune(&mut self) {
        let oldest = self.needed.keys().next().copied().unwrap_or(u64::MAX);
        while let Some(commit) = self.commits.front()
            && commit.sequence <= self.visible.min(oldest)
        {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let commit = self.commits.pop_front()?;
        self.keys -= commit.keys;
        self.bytes -= commit.bytes;
        Some(commit.sequence)
    }
}

/// What a batch changes. `size` is how many bytes the rows of a table have with their keys; `None` when it
/// changes more than those.
pub(super) fn changes(batch: &WriteBatch, size: impl Fn(TableId) -> Option<usize>) -> Vec<Change> {
    let anything = |table| Change {
        table,
        rows: None,
        bytes: 0,
    };
    let written = batch.writes.iter().map(|(table, writes)| {
        match size(*table).filter(|_| writes.len() <= MAX_KEYS_OF_TABLE) {
            Some(bytes) => Change {
                table: *table,
                rows: Some(writes.clone()),
                bytes,
            },
            None => anything(*table),
        }
    });
    let dropped = batch.drop.iter().map(|table| anything(*table));
    written.chain(dropped).collect()
}
