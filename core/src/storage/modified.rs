//! Which commit changed which table last. In memory: it starts anew whenever a database is opened.

use std::collections::{BTreeSet, HashMap};

use parking_lot::RwLock;

use super::followed::{Followed, Keys, keys};
use super::{TableId, WriteBatch};

/// Above this many tables the map is emptied, and every table counts as changed just then.
const MAX_TRACKED_TABLES: usize = 65_536;

/// Shared by the store and all of its snapshots.
pub(super) struct Modified {
    state: RwLock<State>,
}

struct State {
    /// What holds for a table that is not in the map.
    floor: u64,
    tables: HashMap<TableId, u64>,
    followed: Followed,
}

impl Modified {
    pub fn new(floor: u64) -> Self {
        Modified {
            state: RwLock::new(State {
                floor,
                tables: HashMap::new(),
                followed: Followed::default(),
            }),
        }
    }

    /// Notes what commits change of which `sequence` is the last. Must happen before they become visible,
    /// which is together.
    pub fn record<'a>(&self, sequence: u64, batches: impl Iterator<Item = &'a WriteBatch> + Clone) {
        let writes = batches.clone().flat_map(|batch| &batch.writes);
        let followed: Vec<bool> = {
            let state = self.state.read();
            let tables = writes.clone().map(|(table, _)| table);
            tables.map(|table| state.followed.has(*table)).collect()
        };
        // They may be many: nobody waits for the state while they are copied. A table that is followed
        // meanwhile changes in an unknown way.
        let known = writes.clone().zip(followed);
        let keys = known.map(|((_, writes), followed)| followed.then(|| keys(writes))?);
        let keys: Vec<Option<Keys>> = keys.collect();
        let mut state = self.state.write();
        for ((table, _), keys) in writes.zip(keys) {
            state.followed.note(sequence, *table, keys);
        }
        for batch in batches {
            for table in batch.tables() {
                state.record(sequence, table);
            }
            for table in &batch.drop {
                state.followed.forget(*table);
            }
        }
    }

    /// See [`super::Snapshot::changed_since`].
    pub fn changed(&self, table: TableId, since: u64, until: u64) -> Option<BTreeSet<Vec<u8>>> {
        let commits = self.state.read().followed.changed(table, since, until)?;
        let keys = commits.iter().flat_map(|keys| keys.iter());
        Some(keys.cloned().collect())
    }

    /// See [`super::Snapshot::follow`].
    pub fn follow(&self, table: TableId) {
        if self.state.read().followed.has(table) {
            return;
        }
        let mut state = self.state.write();
        let last = state.last(table);
        state.followed.follow(table, last);
    }

    /// The last change of `table` as a snapshot of commit `sequence` sees it.
    ///
    /// A table that changed after the snapshot counts as changed right at the snapshot. So two
    /// snapshots get the same answer only if no change lies between them.
    pub fn last(&self, table: TableId, sequence: u64) -> u64 {
        self.state.read().last(table).min(sequence)
    }
}

impl State {
    fn record(&mut self, sequence: u64, table: TableId) {
        if self.tables.len() >= MAX_TRACKED_TABLES && !self.tables.contains_key(&table) {
            self.tables.clear();
            self.floor = sequence;
        }
        self.tables.insert(table, sequence);
    }

    fn last(&self, table: TableId) -> u64 {
        self.tables.get(&table).copied().unwrap_or(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn batch(tables: impl IntoIterator<Item = TableId>) -> WriteBatch {
        WriteBatch {
            create: tables.into_iter().collect(),
            ..WriteBatch::default()
        }
    }

    #[test]
    fn equal_answers_mean_equal_rows() {
        let modified = Modified::new(1);
        assert_eq!(modified.last(7, 1), 1);
        modified.record(3, [batch([7])].iter());
        assert_eq!(modified.last(7, 2), 2);
        assert_eq!(modified.last(7, 3), 3);
        assert_eq!(modified.last(7, 5), 3);
        assert_eq!(modified.last(8, 5), 1);
    }

    #[test]
    fn a_full_map_forgets_conservatively() {
        let modified = Modified::new(1);
        modified.record(2, [batch(0..MAX_TRACKED_TABLES as u64)].iter());
        modified.record(3, [batch([u64::MAX])].iter());
        assert_eq!(modified.last(0, 9), 3);
        assert_eq!(modified.last(u64::MAX, 9), 3);
    }

    #[test]
    fn keys_of_followed_tables_are_known() {
        let modified = Modified::new(1);
        let write = |table: TableId, key: u8| WriteBatch {
            writes: [(table, Arc::new([(vec![key], None)].into()))].into(),
            ..WriteBatch::default()
        };
        modified.record(2, [write(7, 1)].iter());
        modified.follow(7);
        modified.record(3, [write(8, 2), write(7, 3), write(7, 4)].iter());
        let changed = |table, since| modified.changed(table, since, 3);
        assert_eq!(changed(7, 2), Some([vec![3], vec![4]].into()));
        assert_eq!((changed(7, 1), changed(8, 2)), (None, None));
    }
}
