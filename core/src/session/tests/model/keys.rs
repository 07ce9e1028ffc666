//! Statements about single keys and short ranges: the ones that never meet a planner, and so can be run by
//! the thousand.

use super::{Model, Row, Rows, State, Writes, rows_of};

/// Statements in a row.
const TOUCHES: usize = 250;
/// Keys of a short range.
const RANGE: i64 = 12;

impl Model {
    /// What a client sees under a key.
    pub(super) fn seen(&self, at: usize, key: i64) -> Option<&Row> {
        let Some(open) = &self.actors[at].open else {
            return self.committed.rows.get(&key);
        };
        match open.writes.rows.get(&key) {
            Some(row) => row.as_ref(),
            None => {
                let state = open.snapshot.as_ref().unwrap_or(&self.committed);
                state.rows.get(&key)
            }
        }
    }

    pub(super) fn touch(&mut self, at: usize) {
        for _ in 0..TOUCHES {
            let key = self.key(at);
            match self.random.within(0..10) {
                0..=3 => self.look_up(at, key),
                4..=5 => self.look_around(at, key),
                6..=7 => self.increment(at, key),
                8 => self.put(at, key),
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
            self.wrote(at, Writes::row(key, Some((n + 1, v))));
        }
    }

    fn put_or_remove(&mut self, at: usize, key: i64) {
        if self.seen(at, key).is_some() {
            self.sql(at, &format!("DELETE FROM t WHERE id = {key}"));
            let children = |state: &State| state.without([key]);
            let gone = match &self.actors[at].open {
                None => children(&self.committed),
                Some(_) => children(&self.view(at)),
            };
            self.wrote(at, gone);
            return;
        }
        let rows = self.new_rows(at, 3);
        let list = self.values_list(&rows);
        if !rows.is_empty() {
            self.sql(at, &format!("INSERT INTO t VALUES {list}"));
            let rows = rows.into_iter().map(|(key, row)| (key, Some(row)));
            self.wrote(at, Writes::rows(rows));
        }
    }

    fn put(&mut self, at: usize, key: i64) {
        let (n, v) = (self.random.within(0..20) as i64, self.value());
        self.sql(
            at,
            &format!(
                "INSERT INTO t VALUES ({key}, {n}, '{v}') \
                 ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v"
            ),
        );
        self.wrote(at, Writes::row(key, Some((n, v))));
    }
}
