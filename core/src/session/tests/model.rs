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
mod rows;
mod state;

use std::future::Future;
use std::pin::Pin;

use super::world::{Answer, Client, World, small};
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
