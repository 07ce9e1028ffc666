//! Row groups of many pieces, of which some are left out by the page index, some have no row left, and the
//! others are decoded alone: compared with a plain model of the rows.
//!
//! `OMENDB_PIECES_SEEDS=n` runs n seeds, `OMENDB_PIECES_SEED=s` begins at seed s.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::pair::{Pair, Row};
use crate::segment::PIECE_ROWS;
use crate::storage::fault::Random;
use crate::storage::tests::seeds;

const KEYS: i64 = 3000;
/// Pieces of a row group, and some rows: the last piece is a short one.
const GROUP_ROWS: usize = 8 * PIECE_ROWS + 40;
/// Rows whose `a` lie close together.
const BLOCK: i64 = PIECE_ROWS as i64;
const ROUNDS: usize = 60;
/// Room for a few pieces.
const SOME_BYTES: u64 = 20_000;

/// `a`, `n` and `t` of a row.
type Values = (i64, Option<i64>, Option<String>);

struct Test {
    pair: Pair,
    random: Random,
    rows: BTreeMap<i64, Values>,
    /// Queries that read several pieces of a row group, and at least as many were left out.
    partly: usize,
    /// Bytes of columns that stay decoded.
    columns_bytes: u64,
}

/// Blocks of keys have values far apart, in no order.
fn a(id: i64) -> i64 {
    let block = id / BLOCK;
    (block * 7919 % 61) * 100 + id % BLOCK
}

/// Some blocks have none at all.
fn n(id: i64) -> Option<i64> {
    (id / BLOCK % 5 != 3 && id % 7 != 0).then_some(id * 31 % 1000)
}

fn t(id: i64) -> Option<String> {
    (id % 11 != 0).then(|| format!("a text of some length {}", id * 17 % 499))
}

impl Test {
    fn new(seed: u64) -> Test {
        // Nothing stays decoded, or a few pieces, or all.
        let columns_bytes = [0, SOME_BYTES, 1 << 20][(seed % 3) as usize];
        let columns = "id int PRIMARY KEY, a int, n int, t text";
        let pair = Pair::with(columns, |options, _| {
            options.segments.write.rows = 2 * GROUP_ROWS as u32 + 100;
            options.segments.write.group_rows = GROUP_ROWS;
            options.segments.caches.columns_bytes = columns_bytes;
            options.query.parallelism = 1 + (seed % 2) as usize;
        });
        let mut test = Test {
            pair,
            random: Random(seed),
            rows: BTreeMap::new(),
            partly: 0,
            columns_bytes,
        };
        test.insert(0..=KEYS);
        test.pair.seal();
        test
    }

    fn within(&mut self, most: i64) -> i64 {
        self.random.within(0..most as u64) as i64
    }

    fn insert(&mut self, ids: RangeInclusive<i64>) {
        let mut values = Vec::new();
        for id in ids {
            if self.rows.contains_key(&id) {
                continue;
            }
            let (n, t) = (n(id), t(id));
            let shown = |text: Option<String>| text.unwrap_or("NULL".into());
            values.push(format!(
                "({id}, {}, {}, {})",
                a(id),
                shown(n.map(|n| n.to_string())),
                shown(t.as_ref().map(|t| format!("'{t}'")))
            ));
            self.rows.insert(id, (a(id), n, t));
        }
        if !values.is_empty() {
            let values = values.join(", ");
            self.pair.sql(&format!("INSERT INTO s VALUES {values}"));
        }
    }

    /// Some keys, among them whole pieces.
    fn range(&mut self) -> RangeInclusive<i64> {
        let from = self.within(KEYS);
        let length = match self.within(3) {
            0 => 0,
            1 => self.within(40),
            _ => BLOCK + self.within(2 * BLOCK),
        };
        from..=from + length
    }

    fn change(&mut self) {
        let ids = self.range();
        let (from, to, rest) = (*ids.start(), *ids.end(), self.within(5));
        let chosen = format!("id BETWEEN {from} AND {to} AND (id % 5 = {rest} OR id % 2 = 1)");
        let is_chosen = |id: i64| ids.contains(&id) && (id % 5 == rest || id % 2 == 1);
        match self.within(5) {
            0 => self.insert(ids),
            1 => {
                self.pair.sql(&format!("DELETE FROM s WHERE {chosen}"));
                self.rows.retain(|id, _| !is_chosen(*id));
            }
            2 => {
                let sql = format!("DELETE FROM s WHERE id BETWEEN {from} AND {to}");
                self.pair.sql(&sql);
                self.rows.retain(|id, _| !ids.contains(id));
            }
            3 => {
                self.pair
                    .sql(&format!("UPDATE s SET a = a + 300 WHERE {chosen}"));
                let rows = self.rows.iter_mut().filter(|(id, _)| is_chosen(**id));
                rows.for_each(|(_, (a, ..))| *a += 300);
            }
            _ => {
                self.pair
                    .sql(&format!("UPDATE s SET t = NULL, n = 5 WHERE {chosen}"));
                let rows = self.rows.iter_mut().filter(|(id, _)| is_chosen(**id));
                rows.for_each(|(_, (_, n, t))| (*n, *t) = (Some(5), None));
            }
        }
    }

    /// A condition that some blocks match, and what it says.
    fn condition(&mut self) -> (String, Box<dyn Fn(i64, &Values) -> bool>) {
        let (low, id) = (self.within(6100), self.within(KEYS));
        let high = low + self.within(1500);
        match self.within(6) {
            0 => (
                format!("a BETWEEN {low} AND {high} AND id + 0 > {id}"),
                Box::new(move |key, row| (low..=high).contains(&row.0) && key > id),
            ),
            1 => (
                format!("a < {low} AND a > {}", low - 900),
                Box::new(move |_, row| row.0 < low && row.0 > low - 900),
            ),
            2 => (
                format!("n IS NULL AND a >= {low}"),
                Box::new(move |_, row| row.1.is_none() && row.0 >= low),
            ),
            3 => (
                format!("(a < 500 OR a > 5600) AND t LIKE '%{}'", low % 10),
                Box::new(move |_, row| {
                    let last = (low % 10).to_string();
                    let t = row.2.as_ref();
                    (row.0 < 500 || row.0 > 5600) && t.is_some_and(|t| t.ends_with(&last))
                }),
            ),
            4 => (
                format!("a IN ({low}, {high}, 117, 4242) OR a = {}", low + 1),
                Box::new(move |_, row| [low, high, 117, 4242, low + 1].contains(&row.0)),
            ),
            _ => (
                format!(
                    "a BETWEEN {low} AND {high} AND id BETWEEN {id} AND {}",
                    id + 900
                ),
                Box::new(move |key, row| {
                    (low..=high).contains(&row.0) && (id..=id + 900).contains(&key)
                }),
            ),
        }
    }

    fn query(&mut self) {
        let (condition, matches) = self.condition();
        let expected = self.rows.iter().filter(|(id, row)| matches(**id, row));
        let expected = expected.map(|(id, (a, n, t))| {
            let n = n.map(|n| n.to_string());
            vec![Some(id.to_string()), t.clone(), n, Some(a.to_string())]
        });
        let expected: Vec<Row> = expected.collect();
        let sql = format!("SELECT id, t, n, a FROM s WHERE {condition}");
        // It is cold for whichever comes first.
        if self.within(2) == 0 {
            self.explain(&sql);
        }
        let mut found = self.pair.sql(&sql);
        found.sort_by_key(|row| row[0].as_ref().map(|id| id.parse::<i64>().unwrap()));
        let mut places = found.iter().zip(&expected);
        let differ = places.position(|(found, expected)| found != expected);
        let differ = differ.map(|at| (&found[at], &expected[at]));
        assert_eq!(differ, None, "{sql}");
        assert_eq!(found.len(), expected.len(), "{sql}");
    }

    fn explain(&mut self, sql: &str) {
        let plan = self.pair.plan(sql);
        let line = |name: &str| {
            let line = plan.lines().find(|line| line.contains(name))?;
            let numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
            Some(numbers.collect::<Vec<usize>>())
        };
        let (Some(groups), Some(pieces)) = (line("Row Groups Read: "), line("Pages Read: ")) else {
            return;
        };
        // On average.
        if groups[0] > 0 && pieces[0] >= 2 * groups[0] && pieces[1] >= pieces[0] {
            self.partly += 1;
        }
    }

    fn round(&mut self) {
        let own = self.within(4) == 0;
        let before = own.then(|| self.rows.clone());
        if own {
            self.pair.sql("BEGIN");
        }
        for _ in 0..self.within(3) {
            self.change();
        }
        for _ in 0..5 {
            self.query();
        }
        match before {
            Some(before) if self.within(2) == 0 => {
                self.pair.sql("ROLLBACK");
                self.rows = before;
            }
            Some(_) => drop(self.pair.sql("COMMIT")),
            None => {}
        }
        match self.within(12) {
            0 => self.pair.seal(),
            1 => drop(self.pair.sql("VACUUM FULL s")),
            _ => {}
        }
    }
}

#[test]
fn pieces_that_are_decoded_alone_are_the_right_ones() {
    seeds::run("PIECES", 3, |seed| {
        let mut test = Test::new(seed);
        for _ in 0..ROUNDS {
            test.round();
        }
        // Where all stays decoded, nothing is left out after the first queries.
        let partly = test.partly;
        assert!(partly > 5 || test.columns_bytes > SOME_BYTES, "{partly}");
    });
}
