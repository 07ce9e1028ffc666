//! Random statements of several clients at all isolation levels, while rows are sealed and merged beside
//! them, against a plain model: rows of two tables, one of which references the other, savepoints,
//! snapshots, and what a crash leaves.
//!
//! Each client writes keys of its own, so nobody ever has a reason to wait for a lock. A wait that a seal
//! causes is a failure, and so is a snapshot that changes.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of the usual number, `OMENDB_TIER_SEED=s` begins at seed s.

mod children;
mod crash;
mod define;
mod keys;
mod state;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use super::world::{Answer, Client, World, code, small};
use crate::error::Result;
use crate::storage::fault::{Image, Random};
use crate::storage::tests::seeds;
use crash::Acknowledged;
use state::{Row, Rows, State, Writes, children_of, rows_of};

/// Usual number of seeds, each with a log and without one.
const SEEDS: u64 = 6;
/// Statements of one run.
const STATEMENTS: usize = 50_000;
/// Statements, rows written and rows read, for each statement.
const OPERATIONS: usize = 3;
/// Steps between two looks at everything, and crashes or orderly ends.
const STEPS: usize = 40;
const CLIENTS: usize = 3;
/// Keys of a client.
const KEYS: u64 = 60;

// What is promised: with the rows that statements write and read, nearly two million operations.
const _: () = {
    let statements = 2 * SEEDS as usize * STATEMENTS;
    assert!(statements >= 600_000 && OPERATIONS * statements >= 1_800_000);
};

/// An open transaction.
struct Open {
    level: Level,
    /// What it saw first, where that stays.
    snapshot: Option<State>,
    /// Number of the commit that it saw then.
    seen: usize,
    writes: Writes,
    /// What was written at each savepoint.
    savepoints: Vec<Writes>,
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

struct Actor {
    number: usize,
    client: Client,
    open: Option<Open>,
}

struct Model {
    world: World,
    random: Random,
    committed: State,
    commits: usize,
    actors: Vec<Actor>,
    tending: Option<Pin<Box<dyn Future<Output = Result<bool>>>>>,
    /// Makes values unique.
    values: u64,
    indexed: bool,
    acknowledged: Acknowledged,
    counts: Counts,
}

/// What was done.
#[derive(Default)]
struct Counts {
    statements: usize,
    /// Rows that statements wrote or removed, and rows of answers.
    written: usize,
    read: usize,
    seals: usize,
    /// Statements that change the catalog.
    definitions: usize,
    reopened: usize,
    crashes: usize,
    /// Transactions that were committed, by level, and those that failed.
    committed: [usize; 3],
    failed: usize,
}

const ALL: &str = "SELECT id, n, v FROM t";

impl Model {
    fn new(seed: u64, logged: bool) -> Model {
        let world = World::logged(small, logged);
        let mut client = world.client();
        let create = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL, v text UNIQUE)";
        world.sql(&mut client, create);
        let create = "CREATE TABLE c (id bigint PRIMARY KEY, r bigint NOT NULL)";
        world.sql(&mut client, create);
        world.sql(&mut client, "CREATE INDEX by_r ON c (r)");
        world.sql(&mut client, define::REFERENCE);
        drop(client);
        let mut model = Model {
            world,
            random: Random(seed),
            committed: State::default(),
            commits: 0,
            actors: Vec::new(),
            tending: None,
            values: 0,
            indexed: false,
            acknowledged: Acknowledged::new(Image::default(), State::default()),
            counts: Counts::default(),
        };
        model.reopen();
        model
    }

    fn connect(&mut self) {
        let actors = (0..CLIENTS).map(|number| Actor {
            number,
            client: self.world.client(),
            open: None,
        });
        self.actors = actors.collect();
    }

    /// Runs a statement, which may not wait, while a seal may go on.
    fn run(&mut self, at: usize, sql: &str) -> Answer {
        self.counts.statements += 1;
        let answer = self.world.try_sql(&mut self.actors[at].client, sql);
        assert_eq!(self.world.lock_waits(), 0, "{sql}");
        self.counts.read += answer.as_ref().map_or(0, Vec::len);
        answer
    }

    fn sql(&mut self, at: usize, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.run(at, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\n{error} {:?}", error.fields().detail),
        }
    }

    /// What a client sees.
    fn view(&self, at: usize) -> State {
        let Some(open) = &self.actors[at].open else {
            return self.committed.clone();
        };
        let mut state = open.snapshot.as_ref().unwrap_or(&self.committed).clone();
        state.apply(&open.writes);
        state
    }

    /// Notes what a statement wrote.
    fn wrote(&mut self, at: usize, writes: Writes) {
        self.counts.written += writes.len();
        match &mut self.actors[at].open {
            Some(open) => open.writes.extend(writes),
            None => self.commit(writes),
        }
    }

    /// Notes what was committed.
    fn commit(&mut self, writes: Writes) {
        if writes.len() > 0 {
            self.committed.apply(&writes);
            self.commits += 1;
            self.acknowledged.push(self.world.disk.op_count(), writes);
        }
    }

    fn begin(&mut self, at: usize) {
        let (level, name) = match self.random.within(0..3) {
            0 => (Level::ReadCommitted, "READ COMMITTED"),
            1 => (Level::RepeatableRead, "REPEATABLE READ"),
            _ => (Level::Serializable, "SERIALIZABLE"),
        };
        self.sql(at, &format!("BEGIN ISOLATION LEVEL {name}"));
        // Makes the snapshot.
        self.sql(at, "SELECT count(*) FROM t");
        let snapshot = (level != Level::ReadCommitted).then(|| self.committed.clone());
        self.actors[at].open = Some(Open {
            level,
            snapshot,
            seen: self.commits,
            writes: Writes::default(),
            savepoints: Vec::new(),
        });
    }

    fn end(&mut self, at: usize) {
        if self.random.within(0..4) == 0 {
            self.sql(at, "ROLLBACK");
            self.actors[at].open = None;
            return;
        }
        let answer = self.run(at, "COMMIT");
        let open = self.actors[at].open.take().unwrap();
        match answer {
            Ok(_) => {
                self.counts.committed[open.level as usize] += 1;
                self.commit(open.writes);
            }
            Err(error) => {
                self.counts.failed += 1;
                // It read everything, and somebody has changed something since.
                assert_eq!(error.state().code(), "40001");
                assert!(open.level == Level::Serializable && open.seen < self.commits);
            }
        }
    }

    fn savepoint(&mut self, at: usize) {
        let Some(open) = &mut self.actors[at].open else {
            return;
        };
        let depth = open.savepoints.len();
        match self.random.within(0..3) {
            0 if depth > 0 => {
                let to = self.random.within(0..depth as u64) as usize;
                open.savepoints.truncate(to + 1);
                open.writes = open.savepoints[to].clone();
                self.sql(at, &format!("ROLLBACK TO s{to}"));
            }
            1 if depth > 0 => {
                let to = self.random.within(0..depth as u64) as usize;
                open.savepoints.truncate(to);
                self.sql(at, &format!("RELEASE s{to}"));
            }
            _ if depth < 4 => {
                open.savepoints.push(open.writes.clone());
                self.sql(at, &format!("SAVEPOINT s{depth}"));
            }
            _ => {}
        }
    }

    fn key(&mut self, at: usize) -> i64 {
        let number = self.random.within(0..KEYS) as usize;
        (number * CLIENTS + self.actors[at].number) as i64
    }

    fn value(&mut self) -> String {
        self.values += 1;
        let long = "long ".repeat(self.random.within(0..30) as usize);
        format!("v{} {long}", self.values)
    }

    /// New rows under keys that the client does not see.
    fn new_rows(&mut self, at: usize, count: u64) -> BTreeMap<i64, Row> {
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

    fn values_list(&mut self, rows: &BTreeMap<i64, Row>) -> String {
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

    fn insert(&mut self, at: usize) {
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

    fn upsert(&mut self, at: usize) {
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

    fn update(&mut self, at: usize) {
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

    fn delete(&mut self, at: usize) {
        let (condition, found) = self.chosen(at);
        let sql = format!("DELETE FROM t WHERE {condition} RETURNING id");
        assert_eq!(self.sql(at, &sql).len(), found.len(), "{sql}");
        let gone = self.view(at).without(found.into_iter().map(|(key, _)| key));
        self.wrote(at, gone);
    }

    /// Many new rows and one that is there: none of them stays.
    fn fail(&mut self, at: usize) {
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
    fn fails(&mut self, at: usize, sql: &str, state: &str) {
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

    fn read(&mut self, at: usize) {
        let State {
            rows: view,
            children,
        } = self.view(at);
        assert!(rows_of(&self.sql(at, ALL)) == view, "client {at}");
        let found = children_of(&self.sql(at, "SELECT id, r FROM c"));
        assert!(found == children, "client {at}");
        let key = self.key(at);
        let found = rows_of(&self.sql(at, &format!("{ALL} WHERE id = {key}")));
        assert!(found.get(&key) == view.get(&key));
        let n = self.random.within(0..20) as i64;
        let found = rows_of(&self.sql(at, &format!("{ALL} WHERE n = {n}")));
        let expected: Rows = view
            .iter()
            .filter(|(_, row)| row.0 == n)
            .map(owned)
            .collect();
        assert!(found == expected);
        if let Some((key, (_, v))) = view.iter().next_back() {
            let found = rows_of(&self.sql(at, &format!("{ALL} WHERE v = '{v}'")));
            assert!(found.keys().eq([key]));
            let last = self.sql(at, "SELECT id, n, v FROM t ORDER BY id DESC LIMIT 1");
            assert!(rows_of(&last).keys().eq([key]));
        }
        let count = self.sql(at, "SELECT count(*), count(DISTINCT v) FROM t");
        let expected = Some(view.len().to_string());
        assert!(count == [vec![expected.clone(), expected]]);
    }

    fn tend(&mut self) {
        if self.tending.is_none() {
            let database = self.world.database.clone();
            self.tending = Some(Box::pin(async move { database.tend().await }));
        }
        let times = self.random.within(1..8) as usize;
        if let Some(tending) = &mut self.tending
            && let Some(done) = self.world.poll(tending.as_mut(), times)
        {
            self.counts.seals += usize::from(done.unwrap());
            self.tending = None;
        }
        assert_eq!(self.world.lock_waits(), 0);
    }

    /// Closes the database and opens it on a disk that has all of it durably.
    fn reopen(&mut self) {
        self.tending = None;
        self.actors.clear();
        self.world.move_on();
        self.acknowledged = Acknowledged::new(self.world.disk.image(), self.committed.clone());
        self.counts.reopened += 1;
        self.connect();
    }

    fn step(&mut self) {
        let at = self.random.within(0..CLIENTS as u64) as usize;
        let open = self.actors[at].open.is_some();
        match self.random.within(0..100) {
            0..=3 => self.define(),
            4..=13 => self.tend(),
            14..=30 => match open {
                true => self.end(at),
                false => self.begin(at),
            },
            31..=38 => self.savepoint(at),
            39..=52 => self.insert(at),
            53..=58 => self.upsert(at),
            59..=66 => self.update(at),
            67..=70 => self.delete(at),
            71..=77 => self.touch_children(at),
            78..=80 => self.fail(at),
            81..=85 => self.read(at),
            _ => self.touch(at),
        }
    }
}

fn owned((key, row): (&i64, &Row)) -> (i64, Row) {
    (*key, row.clone())
}

/// One seed's statements.
fn run(seed: u64, logged: bool) {
    let mut model = Model::new(seed, logged);
    while model.counts.statements < STATEMENTS {
        for _ in 0..STEPS {
            model.step();
        }
        match model.random.coin() {
            true => model.crash(),
            false => {
                assert_eq!(model.world.check(), Vec::<String>::new());
                model.reopen();
            }
        }
    }
    let counts = &model.counts;
    eprintln!(
        "seed {seed}, {} a log: {} statements, {} rows written, {} read; {} definitions, {} seals and merges, \
         {} times closed, {} crashes; {:?} transactions committed by level, {} failed",
        if logged { "with" } else { "without" },
        counts.statements,
        counts.written,
        counts.read,
        counts.definitions,
        counts.seals,
        counts.reopened,
        counts.crashes,
        counts.committed,
        counts.failed,
    );
    assert!(counts.seals > 0 && counts.definitions > 0);
    assert!(counts.reopened > 0 && counts.crashes > 0);
    let operations = counts.statements + counts.written + counts.read;
    assert!(operations >= OPERATIONS * STATEMENTS && counts.written > STATEMENTS / 4);
    assert!(counts.committed.iter().sum::<usize>() > 0);
}

#[test]
fn statements_see_what_the_model_says() {
    seeds::run("TIER", SEEDS, |seed| run(seed, false));
}

/// Beside the other on another core.
#[test]
fn statements_with_a_log_see_what_the_model_says() {
    seeds::run("TIER", SEEDS, |seed| run(seed, true));
}
