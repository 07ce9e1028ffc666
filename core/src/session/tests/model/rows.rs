//! Statements that write rows of the first table.

use std::collections::BTreeMap;

use super::super::world::code;
use super::state::{Row, Writes};
use super::{CLIENTS, KEYS, Model};

impl Model {
    pub(super) fn key(&mut self, at: usize) -> i64 {
        let number = self.random.within(0..KEYS) as usize;
        (number * CLIENTS + self.actors[at].number) as i64
    }

    pub(super) fn value(&mut self) -> String {
        self.values += 1;
        let long = "long ".repeat(self.random.within(0..30) as usize);
        format!("v{} {long}", self.values)
    }

    /// New rows under keys that the client does not see.
    pub(super) fn new_rows(&mut self, at: usize, count: u64) -> BTreeMap<i64, Row> {
        let mut rows = BTreeMap::new();
        for _ in 0..count {
            let key = self.key(at);
            if self.seen(at, key).is_none() {
                let row = (self.random.within(0..20) as i64, self.value());
                rows.insert(key, row);
            }
        }
        rows
    }

    pub(super) fn values_list(&mut self, rows: &BTreeMap<i64, Row>) -> String {
        let mut list: Vec<String> = rows
            .iter()
            .map(|(key, (n, v))| format!("({key}, {n}, '{v}')"))
            .collect();
        // In any order.
        for at in (1..list.len()).rev() {
            list.swap(at, self.random.within(0..at as u64 + 1) as usize);
        }
        list.join(", ")
    }

    pub(super) fn insert(&mut self, at: usize) {
        let count = match self.random.within(0..3) {
            0 => 50,
            _ => self.random.within(1..6),
        };
        let rows = self.new_rows(at, count);
        if rows.is_empty() {
            return;
        }
        let list = self.values_list(&rows);
        match self.random.within(0..3) {
            0 => {
                self.sql(at, &format!("INSERT INTO t VALUES {list}"));
            }
            1 => {
                // As a query: many rows go to segments.
                let sql = format!("INSERT INTO t SELECT * FROM (VALUES {list}) AS r (a, b, c)");
                self.sql(at, &sql);
            }
            _ => {
                let lines: String = rows
                    .iter()
                    .map(|(key, (n, v))| format!("{key}\t{n}\t{v}\n"))
                    .collect();
                let client = &mut self.actors[at].client;
                self.counts.statements += 1;
                let copied = self.world.copy(client, "COPY t FROM STDIN", &lines);
                copied.unwrap();
            }
        }
        let rows = rows.into_iter().map(|(key, row)| (key, Some(row)));
        self.wrote(at, Writes::rows(rows));
    }

    pub(super) fn upsert(&mut self, at: usize) {
        let view = self.view(at).rows;
        let mut rows = self.new_rows(at, 3);
        for _ in 0..3 {
            let key = self.key(at);
            if view.contains_key(&key) {
                rows.insert(key, (1000, self.value()));
            }
        }
        if rows.is_empty() {
            return;
        }
        let list = self.values_list(&rows);
        let nothing = self.random.within(0..3) == 0;
        let action = match nothing {
            true => "NOTHING",
            false => "UPDATE SET n = t.n + excluded.n, v = excluded.v",
        };
        self.sql(
            at,
            &format!("INSERT INTO t VALUES {list} ON CONFLICT (id) DO {action}"),
        );
        let written = rows
            .into_iter()
            .filter_map(|(key, (n, v))| match view.get(&key) {
                Some(_) if nothing => None,
                Some((old, _)) => Some((key, Some((old + n, v)))),
                None => Some((key, Some((n, v)))),
            });
        self.wrote(at, Writes::rows(written));
    }

    /// The client's own rows that a condition on `n` or on the key finds.
    fn chosen(&mut self, at: usize) -> (String, Vec<(i64, Row)>) {
        let own = move |key: i64| key as usize % CLIENTS == at;
        let rest = format!("id % {CLIENTS} = {at}");
        let view = self.view(at).rows;
        let (condition, test): (String, Box<dyn Fn(i64, &Row) -> bool>) =
            match self.random.within(0..4) {
                0 => {
                    let key = self.key(at);
                    (
                        format!("id = {key}"),
                        Box::new(move |id, _: &Row| id == key),
                    )
                }
                1 => {
                    let keys: Vec<i64> = (0..20).map(|_| self.key(at)).collect();
                    let list: Vec<String> = keys.iter().map(i64::to_string).collect();
                    let condition = format!("id IN ({})", list.join(", "));
                    (condition, Box::new(move |id, _: &Row| keys.contains(&id)))
                }
                2 => {
                    let from = self.key(at);
                    let condition = format!("id BETWEEN {from} AND {} AND {rest}", from + 40);
                    let within = from..=from + 40;
                    (
                        condition,
                        Box::new(move |id, _: &Row| within.contains(&id) && own(id)),
                    )
                }
                _ => {
                    let n = self.random.within(0..20) as i64;
                    let condition = format!("n = {n} AND {rest}");
                    (
                        condition,
                        Box::new(move |id, row: &Row| row.0 == n && own(id)),
                    )
                }
            };
        let found = view.into_iter().filter(|(key, row)| test(*key, row));
        (condition, found.collect())
    }

    pub(super) fn update(&mut self, at: usize) {
        let (condition, found) = self.chosen(at);
        self.sql(
            at,
            &format!("UPDATE t SET n = n + 1, v = v || '+' WHERE {condition}"),
        );
        let written = found
            .into_iter()
            .map(|(key, (n, v))| (key, Some((n + 1, format!("{v}+")))));
        self.wrote(at, Writes::rows(written));
    }

    pub(super) fn delete(&mut self, at: usize) {
        let (condition, found) = self.chosen(at);
        let sql = format!("DELETE FROM t WHERE {condition} RETURNING id");
        assert_eq!(self.sql(at, &sql).len(), found.len(), "{sql}");
        let gone = self.view(at).without(found.into_iter().map(|(key, _)| key));
        self.wrote(at, gone);
    }

    /// Many new rows and one that is there: none of them stays.
    pub(super) fn fail(&mut self, at: usize) {
        let view = self.view(at).rows;
        let own = view.keys().filter(|key| **key as usize % CLIENTS == at);
        let own: Vec<i64> = own.copied().collect();
        if own.is_empty() {
            return;
        }
        let taken = own[self.random.within(0..own.len() as u64) as usize];
        let rows = self.new_rows(at, 40);
        let mut lists: Vec<String> = rows
            .iter()
            .map(|(key, (n, v))| format!("({key}, {n}, '{v}')"))
            .collect();
        let place = self.random.within(0..lists.len() as u64 + 1) as usize;
        lists.insert(place, format!("({taken}, 0, 'twice')"));
        let sql = format!(
            "INSERT INTO t SELECT * FROM (VALUES {}) AS r (a, b, c)",
            lists.join(", ")
        );
        self.fails(at, &sql, "23505");
    }

    /// Runs a statement that fails, and leaves nothing behind.
    pub(super) fn fails(&mut self, at: usize, sql: &str, state: &str) {
        let open = self.actors[at].open.is_some();
        if open {
            self.sql(at, "SAVEPOINT f");
        }
        assert_eq!(code(self.run(at, sql)), state, "{sql}");
        if open {
            self.sql(at, "ROLLBACK TO f");
            self.sql(at, "RELEASE f");
        }
    }
}
