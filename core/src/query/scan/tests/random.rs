//! Random rows, changes and queries.

use super::pair::Pair;
use crate::storage::fault::Random;
use crate::storage::tests::seeds;

const ROUNDS: usize = 40;
const KEYS: u64 = 4000;

const COLUMNS: &str = "id int PRIMARY KEY, a int, b bigint, t text, v varchar(20), n numeric(10,2), \
    m numeric, f float8, d date, ts timestamptz, ok bool, u uuid, iv interval, l int[], j jsonb, by bytea";

struct Test {
    pair: Pair,
    random: Random,
    /// Columns that were added later.
    added: usize,
}

impl Test {
    fn within(&mut self, most: u64) -> u64 {
        self.random.within(0..most)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.within(from.len() as u64) as usize;
        from[at]
    }

    /// Rows for a range of keys, the same on both sides.
    fn insert(&mut self) {
        let from = self.within(KEYS);
        let count = match self.within(3) {
            0 => 1,
            1 => self.within(60),
            _ => self.within(1500),
        };
        let salt = self.within(1000);
        self.pair.both(&format!(
            "INSERT INTO {{t}} (id, a, b, t, v, n, m, f, d, ts, ok, u, iv, l, j, by)
             SELECT i, nullif((i * 7 + {salt}) % 90, 3), i * 1000000007::bigint % 4096,
                CASE WHEN i % 11 = 0 THEN NULL WHEN i % 13 = 0 THEN repeat('long ' || i % 5, 30)
                     ELSE 'text ' || (i * {salt} % 500) END,
                'v' || i % 40, CASE WHEN i % 97 = 0 THEN 'NaN' ELSE i % 300 / 8.0 END, i * 1.50 / (1 + i % 3),
                CASE i % 101 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN '-Infinity' ELSE i - 2000.5 END::float8,
                date '2020-01-01' + i % 700, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 minute',
                CASE i % 5 WHEN 0 THEN NULL ELSE i % 2 = 0 END, md5((i % 50)::text)::uuid,
                make_interval(days => i % 20, mins => i), ARRAY[i, NULL, i % 3],
                jsonb_build_object('k', i % 17), decode(md5(i::text), 'hex')
             FROM generate_series({from}, {from} + {count}) i
             ON CONFLICT (id) DO NOTHING"
        ));
    }

    fn filter(&mut self) -> String {
        let (low, key) = (self.within(90), self.within(KEYS));
        let width = match self.within(3) {
            0 => self.within(10),
            1 => self.within(200),
            _ => self.within(KEYS),
        };
        match self.within(24) {
            0 => format!("a < {low}"),
            1 => format!("a = {low}"),
            2 => "a IS NULL".into(),
            3 => "t IS NOT NULL".into(),
            4 => format!("id BETWEEN {key} AND {}", key + width),
            5 => format!("id > {key}"),
            6 => format!("id IN ({key}, {}, {})", key + 3, key / 2),
            7 => format!("t >= 'text {low}'"),
            8 => "t LIKE 'text 3%'".into(),
            9 => format!("n <= {}", low as f64 / 3.0),
            10 => format!("f < {}", key as f64 - 2000.0),
            11 => format!("f > {}", key as f64 - 2000.0),
            12 => format!("d = date '2020-01-01' + {key} % 700"),
            13 => format!("ts < timestamptz '2024-01-02 00:00:00+00' + interval '{key} minutes'"),
            14 => "ok".into(),
            15 => "ok IS NOT TRUE".into(),
            16 => format!("u = md5('{low}')::uuid"),
            17 => format!("m > {key}"),
            18 => format!("(a > {low} OR b < {key})"),
            19 => format!("NOT (a > {low})"),
            20 => format!("v = 'v{low}'"),
            21 => format!("t <> 'text {low}' AND a BETWEEN {low} AND {}", low + 9),
            22 => format!("n = 'NaN' OR n < {}", low / 9),
            _ => format!("f IN ({}, 'NaN', 0)", key as f64 - 2000.5),
        }
    }

    fn condition(&mut self) -> String {
        match self.within(4) {
            0 => String::new(),
            1 => format!("WHERE {} AND {}", self.filter(), self.filter()),
            _ => format!("WHERE {}", self.filter()),
        }
    }

    fn query(&mut self) -> String {
        let condition = self.condition();
        let limit = self.within(120);
        match self.within(14) {
            0 => format!("SELECT * FROM {{t}} {condition}"),
            1 => format!("SELECT id, t, n FROM {{t}} {condition} ORDER BY id LIMIT {limit}"),
            2 => format!("SELECT id, a FROM {{t}} {condition} ORDER BY id DESC LIMIT {limit}"),
            3 => format!("SELECT ts, id FROM {{t}} {condition} ORDER BY ts DESC, id LIMIT {limit}"),
            4 => format!(
                "SELECT a, id FROM {{t}} {condition} ORDER BY a DESC NULLS LAST, id LIMIT {limit}"
            ),
            5 => format!(
                "SELECT count(*), count(a), sum(b), min(t), max(t), min(n), max(n), min(f), max(f), \
                 min(m), max(m), min(d), max(ts), min(iv), bool_or(ok), max(v) FROM {{t}} {condition}"
            ),
            6 => format!("SELECT a, count(*), sum(n), max(t) FROM {{t}} {condition} GROUP BY a"),
            7 => format!("SELECT count(*) FROM {{t}} {condition}"),
            8 => format!("SELECT count(*) FROM (SELECT 1 FROM {{t}} LIMIT {limit}) x"),
            9 => format!(
                "SELECT x.id, y.b FROM (SELECT * FROM {{t}} {condition}) x JOIN {{t}} y ON x.a = y.id \
                 WHERE x.id % 3 = 0"
            ),
            10 => format!("SELECT t, u, by, l, j FROM {{t}} {condition}"),
            11 => format!("SELECT DISTINCT v, ok FROM {{t}} {condition}"),
            12 => format!("SELECT id FROM {{t}} {condition} ORDER BY id"),
            _ => format!("SELECT id, f FROM {{t}} {condition} ORDER BY f, id LIMIT {limit}"),
        }
    }

    fn change(&mut self) {
        let filter = self.filter();
        match self.within(6) {
            0 | 1 => self.insert(),
            2 => {
                self.pair
                    .both(&format!("DELETE FROM {{t}} WHERE {filter} AND id % 3 = 1"));
            }
            3 => {
                self.pair.both(&format!(
                    "UPDATE {{t}} SET a = a + 1, t = t || '+' WHERE {filter} AND id % 4 = 1"
                ));
            }
            4 => {
                self.pair.both(&format!(
                    "UPDATE {{t}} SET n = -n, f = -f WHERE {filter} AND id % 9 = 1"
                ));
            }
            _ => {
                let key = self.within(KEYS);
                self.pair
                    .both(&format!("UPDATE {{t}} SET b = -1 WHERE id = {key}"));
            }
        }
    }

    fn add_column(&mut self) {
        self.added += 1;
        let kind = self.pick(&[
            "int DEFAULT 7",
            "text",
            "text DEFAULT 'was not there'",
            "numeric(8,3) DEFAULT 1.5",
        ]);
        let name = self.added;
        self.pair
            .both(&format!("ALTER TABLE {{t}} ADD COLUMN c{name} {kind}"));
    }

    fn round(&mut self) {
        let own = self.within(3) == 0;
        if own {
            let level = self.pick(&["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]);
            self.pair.sql(&format!("BEGIN ISOLATION LEVEL {level}"));
        }
        for _ in 0..self.within(4) {
            self.change();
        }
        for _ in 0..6 {
            let sql = self.query();
            self.pair.both(&sql);
        }
        if own {
            let end = self.pick(&["COMMIT", "COMMIT", "ROLLBACK"]);
            self.pair.sql(end);
        }
        if self.added < 3 && self.within(20) == 0 {
            self.add_column();
        }
        if self.within(4) == 0 {
            self.pair.seal();
        }
    }
}

#[test]
fn sealed_tables_answer_as_unsealed_ones() {
    seeds::run("SCAN", 2, |seed| {
        let mut test = Test {
            // Sometimes nearly everything is decoded anew, as far as it is wanted.
            pair: match seed % 2 {
                0 => Pair::within(COLUMNS, 30_000),
                _ => Pair::new(COLUMNS),
            },
            random: Random(seed),
            added: 0,
        };
        test.insert();
        test.insert();
        for _ in 0..ROUNDS {
            test.round();
        }
    });
}
