//! Unsealed rows that are kept as columns while others change them. Each statement runs in two databases,
//! one of which keeps nothing: both have to give the same answers, to every client.
//!
//! `OMENDB_KEPT_SEEDS=n` runs n seeds, `OMENDB_KEPT_SEED=s` begins at seed s.

use std::sync::Arc;

use super::pair::assert_same;
use crate::segment;
use crate::segment::tests::timeline::Timeline;
use crate::session::DatabaseOptions;
use crate::session::tests::world::{Answer, Client, Row, Running, World};
use crate::storage::Options;
use crate::storage::fault::{Disk, Random};
use crate::storage::tests::seeds;

const CLIENTS: u64 = 4;
const STEPS: usize = 500;
const KEYS: u64 = 2000;
/// Polls of a seal between two statements of others.
const SEAL_POLLS: u64 = 6;
/// Columns that are added at most.
const MOST_ADDED: usize = 4;

const COLUMNS: &str = "id int PRIMARY KEY, a int, t text, v varchar(20), n numeric(10,2), m numeric, f float8, \
    ts timestamptz, ok bool, u uuid, iv interval, l text[], j jsonb, by bytea";
const NAMES: &[&str] = &[
    "id", "a", "t", "v", "n", "m", "f", "ts", "ok", "u", "iv", "l", "j", "by",
];

pub fn world(column_cache_bytes: usize) -> World {
    let mut segments = segment::Options::default();
    segments.write.rows = 700;
    segments.write.group_rows = 150;
    segments.seal_rows = 200;
    segments.load_rows = 60;
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
    savepoints: u32,
}

struct Twins {
    kept: World,
    plain: World,
    clients: Vec<Pair>,
    random: Random,
    /// Bytes that may be kept.
    limit: usize,
    /// Columns that were added later, of both tables.
    added: Vec<String>,
    /// A seal, with its merges, that is under way in both databases.
    seal: Option<(Running, Running)>,
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
            savepoints: 0,
        });
        let clients = clients.collect();
        let mut twins = Twins {
            kept,
            plain,
            clients,
            random: Random(seed),
            limit,
            added: Vec::new(),
            seal: None,
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
        let is_open = pair.is_open;
        let bytes = self.kept.kept_bytes();
        assert!(bytes <= self.limit, "{sql}\n{bytes} bytes are kept");
        let succeeded = same(sql, kept, plain);
        if !succeeded && is_open {
            self.end(client, "ROLLBACK");
        }
        succeeded
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
        self.both(client, &sql);
    }

    fn end(&mut self, client: usize, sql: &str) {
        let pair = &mut self.clients[client];
        (pair.is_open, pair.savepoints) = (false, 0);
        self.both(client, sql);
    }

    fn begin(&mut self, client: usize) {
        let levels = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
        let level = levels[self.within(3) as usize];
        self.both(client, &format!("BEGIN ISOLATION LEVEL {level}"));
        self.clients[client].is_open = true;
    }

    fn transaction(&mut self, client: usize) {
        if !self.clients[client].is_open {
            return self.begin(client);
        }
        match self.within(5) {
            0 => self.savepoint(client),
            1 | 2 if self.clients[client].savepoints > 0 => self.roll_back(client),
            3 => self.end(client, "ROLLBACK"),
            _ => self.end(client, "COMMIT"),
        }
    }

    fn savepoint(&mut self, client: usize) {
        let depth = self.clients[client].savepoints;
        self.both(client, &format!("SAVEPOINT p{depth}"));
        self.clients[client].savepoints += 1;
    }

    fn roll_back(&mut self, client: usize) {
        let depth = self.clients[client].savepoints;
        let to = self.within(u64::from(depth)) as u32;
        self.both(client, &format!("ROLLBACK TO p{to}"));
        self.clients[client].savepoints = to + 1;
    }

    /// Goes on with a seal, or begins one. Others have transactions open meanwhile.
    fn seal(&mut self) {
        let Some((mut kept, mut plain)) = self.seal.take() else {
            let sql = match self.within(3) {
                0 => "VACUUM s",
                _ => "SELECT omendb_seal('s')",
            };
            let start = |world: &World| world.start(world.client(), sql);
            self.seal = Some((start(&self.kept), start(&self.plain)));
            return;
        };
        let polls = self.within(SEAL_POLLS) as usize;
        let done = (
            self.kept.poll(kept.as_mut(), polls),
            self.plain.poll(plain.as_mut(), polls),
        );
        let answers = match done {
            (None, None) => {
                self.seal = Some((kept, plain));
                return;
            }
            (kept_done, plain_done) => (
                kept_done.unwrap_or_else(|| self.kept.now(kept)).1,
                plain_done.unwrap_or_else(|| self.plain.now(plain)).1,
            ),
        };
        same("seal", answers.0, answers.1);
    }

    /// Ends what changes of tables would wait for.
    fn settle(&mut self) {
        if let Some((kept, plain)) = self.seal.take() {
            let (_, kept) = self.kept.now(kept);
            let (_, plain) = self.plain.now(plain);
            same("seal", kept, plain);
        }
        for client in 0..self.clients.len() {
            if self.clients[client].is_open {
                let sql = if self.one_in(3) { "ROLLBACK" } else { "COMMIT" };
                self.end(client, sql);
            }
        }
    }

    /// Changes tables, mostly in a transaction that is rolled back, in whole or in part.
    fn alter(&mut self, client: usize) {
        self.settle();
        if self.one_in(4) {
            self.alter_once(client);
        } else {
            self.begin(client);
            for _ in 0..self.random.within(2..9) {
                match self.within(8) {
                    0 | 1 => self.alter_once(client),
                    2 => self.change(client),
                    3 if self.clients[client].is_open => self.savepoint(client),
                    4 if self.clients[client].savepoints > 0 => self.roll_back(client),
                    _ => self.query(client),
                }
                self.look(client);
            }
            if self.clients[client].is_open {
                let sql = if self.one_in(4) { "COMMIT" } else { "ROLLBACK" };
                self.end(client, sql);
            }
        }
        self.look(client);
        for _ in 0..4 {
            let client = self.within(CLIENTS) as usize;
            self.query(client);
        }
    }

    fn alter_once(&mut self, client: usize) {
        let table = self.table();
        let salt = self.within(40);
        let change = match self.within(9) {
            0..=3 if self.added.len() < MOST_ADDED => {
                // Often a column that was there before, in a transaction that was rolled back.
                let number = (0..).find(|number| !self.added.contains(&format!("c{number}")));
                let name = format!("c{}", number.unwrap());
                let column = match self.within(4) {
                    0 => format!("{name} int DEFAULT {salt}"),
                    1 => format!("{name} text DEFAULT 'was not there, {salt}'"),
                    2 => format!("{name} numeric(8,3) DEFAULT {salt}.5"),
                    _ => format!("{name} int"),
                };
                for table in ["s", "u"] {
                    self.both(client, &format!("ALTER TABLE {table} ADD COLUMN {column}"));
                }
                return;
            }
            4 if !self.added.is_empty() => {
                let at = self.within(self.added.len() as u64) as usize;
                let name = self.added[at].clone();
                for table in ["s", "u"] {
                    self.both(client, &format!("ALTER TABLE {table} DROP COLUMN {name}"));
                }
                return;
            }
            5 => {
                self.both(client, &format!("TRUNCATE {table}"));
                return;
            }
            6 => format!("v TYPE varchar({})", 20 + salt),
            7 => format!("n TYPE numeric({},2)", 8 + salt % 8),
            8 => format!(
                "a TYPE {}",
                if salt.is_multiple_of(2) {
                    "int"
                } else {
                    "bigint"
                }
            ),
            _ => format!(
                "t TYPE {}",
                if salt.is_multiple_of(2) {
                    "text"
                } else {
                    "varchar"
                }
            ),
        };
        self.both(client, &format!("ALTER TABLE {table} ALTER {change}"));
    }

    /// Looks which columns were added, as far as the client sees.
    fn look(&mut self, client: usize) {
        let sql = format!(
            "SELECT attname FROM pg_attribute
             WHERE attrelid = 's'::regclass AND attnum > {} AND NOT attisdropped",
            NAMES.len()
        );
        let rows = self.plain.sql(&mut self.clients[client].plain, &sql);
        self.added = rows.into_iter().flatten().flatten().collect();
    }

    fn step(&mut self) {
        let client = self.within(CLIENTS) as usize;
        match self.within(30) {
            0..=12 => self.query(client),
            13..=19 => self.change(client),
            20..=24 => self.transaction(client),
            25..=28 => self.seal(),
            _ => self.alter(client),
        }
    }
}

/// Whether a statement succeeded; panics unless it did the same in both databases.
fn same(sql: &str, kept: Answer, plain: Answer) -> bool {
    let sorted = |mut rows: Vec<Row>| {
        if !sql.contains("ORDER BY") {
            rows.sort();
        }
        rows
    };
    match (kept, plain) {
        (Ok(kept), Ok(plain)) => {
            assert_same(&sorted(kept), &sorted(plain), || sql.to_owned());
            true
        }
        (Err(kept), Err(plain)) => {
            assert_eq!(kept.state().code(), plain.state().code(), "{sql}\n{kept}");
            false
        }
        (kept, plain) => panic!("{sql}\n{:?}\n{:?}", kept.err(), plain.err()),
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
