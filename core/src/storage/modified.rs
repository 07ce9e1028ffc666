//! Which commit changed which table last. In memory: it starts anew whenever a database is opened.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::TableId;

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
}

impl Modified {
    pub fn new(floor: u64) -> Self {
        Modified {
            state: RwLock::new(State {
                floor,
                tables: HashMap::new(),
            }),
        }
    }

    /// Notes that commit `sequence` changed `tables`. Must happen before that commit becomes visible.
    pub fn record(&self, sequence: u64, tables: impl Iterator<Item = TableId>) {
        let mut state = self.state.write();
        for table in tables {
            if state.tables.len() >= MAX_TRACKED_TABLES && !state.tables.contains_key(&table) {
                state.tables.clear();
                state.floor = sequence;
            }
            state.tables.insert(table, sequence);
        }
    }

    /// The last change of `table` as a snapshot of commit `sequence` sees it.
    ///
    /// A table that changed after the snapshot counts as changed right at the snapshot. So two
    /// snapshots get the same answer only if no change lies between them.
    pub fn last(&self, table: TableId, sequence: u64) -> u64 {
        let state = self.state.read();
        state
            .tables
            .get(&table)
            .copied()
            .unwrap_or(state.floor)
            .min(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_mean_equal_rows() {
        let modified = Modified::new(1);
        assert_eq!(modified.last(7, 1), 1);
        modified.record(3, [7].into_iter());
        assert_eq!(modified.last(7, 2), 2);
        assert_eq!(modified.last(7, 3), 3);
        assert_eq!(modified.last(7, 5), 3);
        assert_eq!(modified.last(8, 5), 1);
    }

    #[test]
    fn a_full_map_forgets_conservatively() {
        let modified = Modified::new(1);
        modified.record(2, 0..MAX_TRACKED_TABLES as u64);
        modified.record(3, [u64::MAX].into_iter());
        assert_eq!(modified.last(0, 9), 3);
        assert_eq!(modified.last(u64::MAX, 9), 3);
    }
}
