//! Unsealed rows that are kept as columns while others change them. Each statement runs in two databases,
//! one of which keeps nothing: both have to give the same answers, to every client.
//!
//! `OMENDB_KEPT_SEEDS=n` runs n seeds, `OMENDB_KEPT_SEED=s` begins at seed s.

use std::sync::Arc;

use crate::segment;
use crate::segment::tests::timeline::Timeline;
use crate::session::DatabaseOptions;
use crate::session::tests::world::{Client, Row, World};
use crate::storage::Options;
use crate::storage::fault::{Disk, Random};
use crate::storage::tests::seeds;

const CLIENTS: u64 = 4;
const STEPS: usize = 500;
const KEYS: u64 = 2000;

const COLUMNS: &str = "id int PRIMARY KEY, a int, t text, v varchar(20), n numeric(10,2), m numeric, f float8, \
    ts timestamptz, ok bool, u uuid, iv interval, l text[], j jsonb, by bytea";
const NAMES: &[&str] = &[
    "id", "a", "t", "v", "n", "m", "f", "ts", "ok", "u", "iv", "l", "j", "by",
];

pub fn world(column_cache_bytes: usize) -> World {
    let mut segments = segment::Options::default();
    segments.write.rows = 700;
    segments.write.group_rows = 150;
    let options = DatabaseOptions {
        storage: Options {
            cache_bytes: 8 << 20,
        },
        segments,
        query: crate::query::QueryOptions {
            memory_bytes: 256 << 20,
            column_cache_bytes,
            parallelism: 3,
        },
        transaction_memory: 64 << 20,
        owner: "postgres".into(),
    };
    let disk = Disk::default();
    let objects = Arc::new(Timeline::new(&disk));
    World::on(disk, objects, options, false).unwrap()
}

/// One client of each database, and what it is at.
struct Pair {
    kept: Client,
    plain: Client,
    is_open: bool,
    has_written: bool,
    savepoints: u32,
}

struct Twins {
    kept: World,
    plain: World,
    clients: Vec<Pair>,
    random: Random,
    /// Columns that were added later, of both tables.
    added: Vec<String>,
}

impl Twins {
    fn new(seed: u64) -> Twins {
        // Sometimes so little that not all columns fit.
        let limit = if seed.is_multiple_of(3) {
            200_000
        } else {
            16 << 20
        };
        let (kept, plain) = (world(limit), world(0));
        let clients = (0..CLIENTS).map(|_| Pair {
            kept: kept.client(),
            plain: plain.client(),
            is_open: false,
            has_written: false,
            savepoints: 0,
        });
        let clients = clients.collect();
        let mut twins = Twins {
            kept,
            plain,
            clients,
            random: Random(seed),
            added: Vec::new(),
        };
        for table in ["s", "u"] {
            twins.both(0, &format!("CREATE TABLE {table} ({COLUMNS})"));
        }
        twins
    }

    fn within(&mut self, most: u64) -> u64 {
        self.random.within(0..most)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.within(count) == 0
    }

    /// Runs a statement in both databases. Returns whether it succeeded.
    fn both(&mut self, client: usize, sql: &str) -> bool {
        let pair = &mut self.clients[client];
        let kept = self.kept.try_sql(&mut pair.kept, sql);
        let plain = self.plain.try_sql(&mut pair.plain, sql);
        let sorted = |mut rows: Vec<Row>| {
            if !sql.contains("ORDER BY") {
                rows.sort();
            }
            rows
        };
        match (kept, plain) {
            (Ok(kept), Ok(plain)) => {
                let (kept, plain) = (sorted(kept), sorted(plain));
                if kept != plain {
                    let missing: Vec<_> = plain.iter().filter(|row| !kept.contains(row)).collect();
                    let added: Vec<_> = kept.iter().filter(|row| !plain.contains(row)).collect();
                    let (few, some) = (missing.iter().take(3), added.iter().take(3));
                    panic!(
                        "{sql}\n{} rows instead of {}\nmissing {:?}\nadded {:?}",
                        kept.len(),
                        plain.len(),
                        few.collect::<Vec<_>>(),
                        some.collect::<Vec<_>>(),
                    );
                }
                true
            }
            (Err(kept), Err(plain)) => {
                assert_eq!(kept.state().code(), plain.state().code(), "{sql}\n{kept}");
                if pair.is_open {
                    self.end(client, "ROLLBACK");
                }
                false
            }
            (kept, plain) => panic!("{sql}\n{:?}\n{:?}", kept.err(), plain.err()),
        }
    }

    fn table(&mut self) -> &'static str {
        if self.one_in(2) { "s" } else { "u" }
    }

    fn filter(&mut self) -> String {
        let (low, key) = (self.within(90), self.within(KEYS));
        let width = if self.one_in(2) {
            self.within(20)
        } else {
            self.within(KEYS)
        };
        match self.within(9) {
            0 => format!("a < {low}"),
            1 => format!("id % 89 = {}", low % 89),
            2 => "t LIKE '%4%'".into(),
            3 => format!("n <= {}", low as f64 / 3.0),
            4 => format!("f < {}", key as f64 - 1000.0),
            5 => "ok IS NOT TRUE".into(),
            6 => format!("id > {key} AND a + 0 < {}", key + width),
            7 => "m IS NULL".into(),
            _ => format!("id + 0 BETWEEN {key} AND {}", key + width),
        }
    }

    fn query(&mut self, client: usize) {
        let table = self.table();
        let condition = match self.within(3) {
            0 => String::new(),
            _ => format!("WHERE {}", self.filter()),
        };
        let mut columns: Vec<String> = Vec::new();
        for _ in 0..=self.within(4) {
            let all = NAMES.len() + self.added.len();
            let at = self.within(all as u64) as usize;
            let name = NAMES
                .get(at)
                .map(|name| (*name).to_owned())
                .unwrap_or_else(|| self.added[at - NAMES.len()].clone());
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        let columns = columns.join(", ");
        let sql = match self.within(8) {
            0 => format!("SELECT count(*) FROM {table} {condition}"),
            1 => format!("SELECT * FROM {table} {condition}"),
            2 => format!("SELECT id, {columns} FROM {table} {condition} ORDER BY id"),
            3 => format!(
                "SELECT count(a), sum(n), min(t), max(ts), max(id) FROM {table} {condition}"
            ),
            4 => format!("SELECT v, count(*), max(l[1]) FROM {table} {condition} GROUP BY v"),
            5 => format!(
                "SELECT x.id, y.t FROM (SELECT id, a FROM {table} {condition}) x JOIN s y ON x.a = y.id"
            ),
            _ => format!("SELECT {columns} FROM {table} {condition}"),
        };
        self.both(client, &sql);
    }

    /// A client changes rows of its own: none waits for another.
    fn change(&mut self, client: usize) {
        let table = self.table();
        let filter = self.filter();
        let mine = format!("id % {CLIENTS} = {client}");
        let sql = match self.within(8) {
            0..=3 => {
                let from = match self.within(3) {
                    0 => KEYS + self.within(10 * KEYS),
                    _ => self.within(KEYS),
                };
                let count = match self.within(4) {
                    0 => self.within(300),
                    _ => self.within(8),
                };
                let salt = self.within(1000);
                format!(
                    "INSERT INTO {table} (id, a, t, v, n, m, f, ts, ok, u, iv, l, j, by)
                     SELECT i, nullif((i * 7 + {salt}) % 90, 3),
                        CASE WHEN i % 11 = 0 THEN NULL WHEN i % 13 = 0 THEN repeat('long ' || i % 5, 30)
                             ELSE 'a text of some length ' || (i * {salt} % 500) END,
                        'v' || i % 40, CASE WHEN i % 97 = 0 THEN 'NaN' ELSE i % 300 / 8.0 END,
                        CASE WHEN i % 5 > 0 THEN i * 1.50 / (1 + i % 3) END,
                        CASE i % 101 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' ELSE i - 1000.5 END::float8,
                        timestamptz '2024-01-01 00:00:00+00' + i * interval '1 minute',
                        CASE i % 5 WHEN 0 THEN NULL ELSE i % 2 = 0 END, md5((i % 50)::text)::uuid,
                        make_interval(days => i % 20, mins => i), ARRAY['of ' || i, NULL, 'a longer text ' || {salt}],
                        jsonb_build_object('k', i % 17), decode(md5(i::text), 'hex')
                     FROM generate_series({from}, {from} + {count}) i WHERE i % {CLIENTS} = {client}
                     ON CONFLICT (id) DO NOTHING"
                )
            }
            4 => format!("DELETE FROM {table} WHERE {filter} AND {mine}"),
            5 => {
                let key = self.within(KEYS);
                format!(
                    "UPDATE {table} SET t = t || '+', l = l || 'x'::text WHERE id = {key} AND {mine}"
                )
            }
            6 => format!(
                "UPDATE {table} SET n = -n, m = m + 1 WHERE {filter} AND {mine} AND id % 3 = 0"
            ),
            _ => format!(
                "UPDATE {table} SET a = a + 1, f = -f WHERE {filter} AND {mine} AND id % 5 = 0"
            ),
        };
        if self.both(client, &sql) {
            self.clients[client].has_written = true;
        }
    }

    fn end(&mut self, client: usize, sql: &str) {
        let pair = &mut self.clients[client];
        (pair.is_open, pair.has_written, pair.savepoints) = (false, false, 0);
        self.both(client, sql);
    }

    fn transaction(&mut self, client: usize) {
        if !self.clients[client].is_open {
            let levels = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
            let level = levels[self.within(3) as usize];
            self.both(client, &format!("BEGIN ISOLATION LEVEL {level}"));
            self.clients[client].is_open = true;
            return;
        }
        let depth = self.clients[client].savepoints;
        match self.within(5) {
            0 => {
                self.both(client, &format!("SAVEPOINT p{depth}"));
                self.clients[client].savepoints += 1;
            }
            1 | 2 if depth > 0 => {
                let to = self.within(u64::from(depth)) as u32;
                self.both(client, &format!("ROLLBACK TO p{to}"));
                self.clients[client].savepoints = to + 1;
            }
            3 => self.end(client, "ROLLBACK"),
            _ => self.end(client, "COMMIT"),
        }
    }

    /// Changes of tables that would wait for whoever writes to them.
    fn alter(&mut self, client: usize) {
        if self.clients.iter().any(|pair| pair.is_open) {
            return;
        }
        let table = self.table();
        match self.within(6) {
            0 if self.added.len() < 4 => {
                let kinds = ["int DEFAULT 7", "text", "numeric(8,3) DEFAULT 1.5"];
                let kind = kinds[self.within(3) as usize];
                let name = format!("c{}", self.added.len());
                for table in ["s", "u"] {
                    self.both(
                        client,
                        &format!("ALTER TABLE {table} ADD COLUMN {name} {kind}"),
                    );
                }
                self.added.push(name);
            }
            1 => {
                let length = 20 + self.within(40);
                self.both(
                    client,
                    &format!("ALTER TABLE {table} ALTER v TYPE varchar({length})"),
                );
            }
            2 if self.one_in(3) => {
                self.both(client, &format!("TRUNCATE {table}"));
            }
            _ => {
                self.both(client, "SELECT omendb_seal('s')");
            }
        }
    }

    fn step(&mut self) {
        let client = self.within(CLIENTS) as usize;
        match self.within(20) {
            0..=10 => self.query(client),
            11..=15 => self.change(client),
            16..=18 => self.transaction(client),
            _ => self.alter(client),
        }
    }
}

#[test]
fn kept_rows_are_those_of_the_view() {
    seeds::run("KEPT", 3, |seed| {
        let mut twins = Twins::new(seed);
        for _ in 0..STEPS {
            twins.step();
        }
        assert!(twins.kept.kept_bytes() > 0, "nothing was kept");
        assert_eq!(twins.plain.kept_bytes(), 0);
    });
}
