//! Statements about single keys and short ranges: the ones that never meet a planner, and so can be run by
//! the thousand.

use super::{Model, Row, Rows, rows_of};

/// Statements in a row.
const TOUCHES: usize = 250;
/// Keys of a short range.
const RANGE: i64 = 12;

impl Model {
    /// What a client sees under a key.
    fn seen(&self, at: usize, key: i64) -> Option<&Row> {
        let Some(open) = &self.actors[at].open else {
            return self.committed.get(&key);
        };
        let own = open.writes.iter().rev().find(|(own, _)| *own == key);
        match own {
            Some((_, row)) => row.as_ref(),
            None => open.snapshot.as_ref().unwrap_or(&self.committed).get(&key),
        }
    }

    pub(super) fn touch(&mut self, at: usize) {
        for _ in 0..TOUCHES {
            let key = self.key(at);
            match self.random.within(0..10) {
                0..=3 => self.look_up(at, key),
                4..=5 => self.look_around(at, key),
                6..=7 => self.increment(at, key),
                _ => self.put_or_remove(at, key),
            }
        }
    }

    fn look_up(&mut self, at: usize, key: i64) {
        let found = self.sql(at, &format!("SELECT id, n, v FROM t WHERE id = {key}"));
        let found = rows_of(&found);
        assert!(
            found.get(&key) == self.seen(at, key),
            "key {key} of client {at}"
        );
    }

    fn look_around(&mut self, at: usize, key: i64) {
        let to = key + RANGE;
        let sql = format!("SELECT id, n, v FROM t WHERE id >= {key} AND id <= {to}");
        let found = rows_of(&self.sql(at, &sql));
        let seen = |key| Some((key, self.seen(at, key)?.clone()));
        let expected: Rows = (key..=to).filter_map(seen).collect();
        assert!(found == expected, "keys from {key} on of client {at}");
    }

    fn increment(&mut self, at: usize, key: i64) {
        self.sql(at, &format!("UPDATE t SET n = n + 1 WHERE id = {key}"));
        if let Some((n, v)) = self.seen(at, key).cloned() {
            self.wrote(at, vec![(key, Some((n + 1, v)))]);
        }
    }

    fn put_or_remove(&mut self, at: usize, key: i64) {
        if self.seen(at, key).is_some() {
            self.sql(at, &format!("DELETE FROM t WHERE id = {key}"));
            self.wrote(at, vec![(key, None)]);
            return;
        }
        let (n, v) = (self.random.within(0..20) as i64, self.value());
        self.sql(at, &format!("INSERT INTO t VALUES ({key}, {n}, '{v}')"));
        self.wrote(at, vec![(key, Some((n, v)))]);
    }
}
