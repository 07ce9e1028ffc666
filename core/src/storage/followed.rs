//! Which keys recent commits wrote to, of tables that somebody keeps a copy of: the copy is then brought
//! up to date by those alone. In memory, and bounded: what is forgotten is read anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{TableId, TableWrites};

/// Tables that are followed at once; the copies of others are read anew.
const MAX_TABLES: usize = 1024;
/// Keys that are remembered of all tables together, and their bytes.
const MAX_KEYS: usize = 65_536;
const MAX_BYTES: usize = 8 << 20;
/// One commit with more keys of a table counts as a change of everything.
const MAX_KEYS_OF_COMMIT: usize = 16_384;

/// The keys that a commit wrote to a table, shared by whoever looks at them.
pub(super) type Keys = Arc<[Vec<u8>]>;

/// The keys of some writes; `None` when there are too many to remember.
pub(super) fn keys(writes: &TableWrites) -> Option<Keys> {
    (writes.len() <= MAX_KEYS_OF_COMMIT).then(|| writes.keys().cloned().collect())
}

/// The commits to followed tables.
#[derive(Default)]
pub(super) struct Followed {
    /// All commits to the table after this one are remembered.
    tables: HashMap<TableId, u64>,
    /// In the order of their numbers.
    commits: VecDeque<Commit>,
    keys: usize,
    bytes: usize,
}

struct Commit {
    sequence: u64,
    table: TableId,
    keys: Keys,
    bytes: usize,
}

impl Followed {
    /// Remembers what is written to a table from now on; `last` is the last commit that did so far.
    pub fn follow(&mut self, table: TableId, last: u64) {
        if self.tables.len() >= MAX_TABLES {
            // The one that did not change for longest is missed least.
            let oldest = self.tables.iter().min_by_key(|(_, complete)| **complete);
            if let Some(oldest) = oldest.map(|(table, _)| *table) {
                self.tables.remove(&oldest);
            }
        }
        self.tables.entry(table).or_insert(last);
    }

    pub fn has(&self, table: TableId) -> bool {
        self.tables.contains_key(&table)
    }

    /// Notes what commit `sequence`, or one that became visible with it, writes to a table; `None` is
    /// anything.
    pub fn note(&mut self, sequence: u64, table: TableId, keys: Option<Keys>) {
        let Some(complete) = self.tables.get_mut(&table) else {
            return;
        };
        let Some(keys) = keys else {
            *complete = sequence;
            return;
        };
        if keys.is_empty() {
            return;
        }
        let bytes = keys.iter().map(Vec::len).sum();
        self.keys += keys.len();
        self.bytes += bytes;
        self.commits.push_back(Commit {
            sequence,
            table,
            keys,
            bytes,
        });
        while self.keys > MAX_KEYS || self.bytes > MAX_BYTES {
            self.forget_one();
        }
    }

    /// A table is gone.
    pub fn forget(&mut self, table: TableId) {
        self.tables.remove(&table);
    }

    fn forget_one(&mut self) {
        let Some(commit) = self.commits.pop_front() else {
            return;
        };
        self.keys -= commit.keys.len();
        self.bytes -= commit.bytes;
        if let Some(complete) = self.tables.get_mut(&commit.table) {
            *complete = commit.sequence.max(*complete);
        }
    }

    /// The keys that each commit after `since` and up to `until` wrote to a table; `None` when that is not
    /// known.
    pub fn changed(&self, table: TableId, since: u64, until: u64) -> Option<Vec<Keys>> {
        if since < *self.tables.get(&table)? {
            return None;
        }
        let start = self
            .commits
            .partition_point(|commit| commit.sequence <= since);
        let commits = self.commits.range(start..);
        let keys = commits
            .take_while(|commit| commit.sequence <= until)
            .filter(|commit| commit.table == table)
            .map(|commit| commit.keys.clone());
        Some(keys.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(keys: impl IntoIterator<Item = u32>) -> Option<Keys> {
        let keys = keys.into_iter();
        super::keys(&keys.map(|key| (key.to_be_bytes().to_vec(), None)).collect())
    }

    fn changed(followed: &Followed, since: u64, until: u64) -> Option<Vec<u32>> {
        let keys = followed.changed(7, since, until)?;
        let number = |key: &Vec<u8>| u32::from_be_bytes(key.as_slice().try_into().unwrap());
        let mut keys: Vec<u32> = keys
            .iter()
            .flat_map(|keys| keys.iter().map(number))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Some(keys)
    }

    #[test]
    fn keys_of_the_commits_between() {
        let mut followed = Followed::default();
        followed.note(3, 7, writes([1]));
        assert_eq!(changed(&followed, 3, 9), None);
        followed.follow(7, 3);
        followed.note(5, 7, writes([2, 3]));
        followed.note(5, 7, writes([3, 4]));
        followed.note(5, 8, writes([9]));
        followed.note(6, 7, writes([1]));
        assert_eq!(changed(&followed, 2, 9), None);
        assert_eq!(changed(&followed, 3, 9), Some(vec![1, 2, 3, 4]));
        assert_eq!(changed(&followed, 3, 5), Some(vec![2, 3, 4]));
        assert_eq!(changed(&followed, 4, 4), Some(vec![]));
        assert_eq!(changed(&followed, 5, 6), Some(vec![1]));
        followed.forget(7);
        assert_eq!(changed(&followed, 5, 6), None);
    }

    #[test]
    fn what_is_forgotten_is_not_known() {
        let mut followed = Followed::default();
        followed.follow(7, 1);
        followed.follow(8, 1);
        followed.note(2, 7, writes([1]));
        followed.note(3, 7, writes([2]));
        for sequence in 4..10 {
            let many = 0..MAX_KEYS_OF_COMMIT as u32;
            followed.note(sequence, 8, writes(many));
        }
        assert!(followed.keys <= MAX_KEYS && followed.commits.len() < 6);
        assert_eq!(changed(&followed, 2, 9), None);
        assert_eq!(changed(&followed, 3, 9), Some(vec![]));
        assert_eq!(followed.changed(8, 3, 9), None);
        assert_eq!(
            followed.changed(8, 8, 9).map(|keys| keys.concat().len()),
            Some(MAX_KEYS_OF_COMMIT)
        );
        followed.note(10, 7, writes(0..=MAX_KEYS_OF_COMMIT as u32));
        assert_eq!(changed(&followed, 9, 10), None);
        assert_eq!(changed(&followed, 10, 10), Some(vec![]));
    }
}
