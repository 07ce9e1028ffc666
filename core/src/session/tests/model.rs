//! Random statements of several clients at all isolation levels, while rows are sealed and merged beside
//! them, against a plain model: rows, savepoints, snapshots, and what a crash leaves.
//!
//! Each client writes keys of its own, so nobody ever has a reason to wait for a lock. A wait that a seal
//! causes is a failure, and so is a snapshot that changes.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of the usual number, `OMENDB_TIER_SEED=s` begins at seed s.

mod keys;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::world::{Answer, Client, World, code, small};
use crate::error::Result;
use crate::segment::tests::tiers::{seeds, some_seeds};
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};

const STEPS: usize = 600;
/// Usual number of seeds: what takes some three minutes of one core, unoptimised.
const SEEDS: u64 = 16;
const CRASH_STEPS: usize = 60;
/// Crashes of one seed that are looked at.
const CRASHES: usize = 120;
const CLIENTS: usize = 3;
/// Keys of a client.
const KEYS: u64 = 60;

/// A row besides its key: `n`, and the unique `v`.
type Row = (i64, String);
type Rows = BTreeMap<i64, Row>;

/// An open transaction.
struct Open {
    level: Level,
    /// What it saw first, where that stays.
    snapshot: Option<Rows>,
    /// Number of the commit that it saw then.
    seen: usize,
    /// Own writes, in order.
    writes: Vec<(i64, Option<Row>)>,
    /// Length of `writes` at each savepoint.
    savepoints: Vec<usize>,
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
    committed: Rows,
    commits: usize,
    actors: Vec<Actor>,
    tending: Option<Pin<Box<dyn Future<Output = Result<bool>>>>>,
    /// Makes values unique.
    values: u64,
    indexed: bool,
    /// Operations of the disk after each commit was acknowledged, and the rows then; where crashes are
    /// looked at.
    acknowledged: Option<Vec<(usize, Rows)>>,
    statements: usize,
    sealed: usize,
}

fn apply(rows: &mut Rows, writes: &[(i64, Option<Row>)]) {
    for (key, row) in writes {
        match row {
            Some(row) => rows.insert(*key, row.clone()),
            None => rows.remove(key),
        };
    }
}

fn over(base: &Rows, writes: &[(i64, Option<Row>)]) -> Rows {
    let mut rows = base.clone();
    apply(&mut rows, writes);
    rows
}

fn rows_of(answer: &[Vec<Option<String>>]) -> Rows {
    let rows = answer.iter().map(|row| {
        let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
        (number(0), (number(1), row[2].clone().unwrap()))
    });
    rows.collect()
}

const ALL: &str = "SELECT id, n, v FROM t";

impl Model {
    fn new(seed: u64, logged: bool, crashes: bool) -> Model {
        let world = World::logged(small, logged);
        let mut client = world.client();
        let create = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL, v text UNIQUE)";
        world.sql(&mut client, create);
        let acknowledged = crashes.then(|| vec![(world.disk.op_count(), Rows::new())]);
        drop(client);
        let mut model = Model {
            world,
            random: Random(seed),
            committed: Rows::new(),
            commits: 0,
            actors: Vec::new(),
            tending: None,
            values: 0,
            indexed: false,
            acknowledged,
            statements: 0,
            sealed: 0,
        };
        model.connect();
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
        self.statements += 1;
        let answer = self.world.try_sql(&mut self.actors[at].client, sql);
        assert_eq!(self.world.lock_waits(), 0, "{sql}");
        answer
    }

    fn sql(&mut self, at: usize, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.run(at, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\n{error} {:?}", error.fields().detail),
        }
    }

    /// What a client sees.
    fn view(&self, at: usize) -> Rows {
        match &self.actors[at].open {
            None => self.committed.clone(),
            Some(open) => over(
                open.snapshot.as_ref().unwrap_or(&self.committed),
                &open.writes,
            ),
        }
    }

    fn acknowledge(&mut self) {
        let ops = self.world.disk.op_count();
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.push((ops, self.committed.clone()));
        }
    }

    /// Notes what a statement wrote.
    fn wrote(&mut self, at: usize, writes: Vec<(i64, Option<Row>)>) {
        match &mut self.actors[at].open {
            Some(open) => open.writes.extend(writes),
            None => {
                apply(&mut self.committed, &writes);
                self.commits += usize::from(!writes.is_empty());
                self.acknowledge();
            }
        }
    }

    fn begin(&mut self, at: usize) {
        let (level, name) = match self.random.within(0..3) {
            0 => (Level::ReadCommitted, "READ COMMITTED"),
            1 => (Level::RepeatableRead, "REPEATABLE READ"),
            _ => (Level::Serializable, "SERIALIZABLE"),
        };
        self.sql(at, &format!("BEGIN ISOLATION LEVEL {name}"));
        let rows = rows_of(&self.sql(at, ALL));
        assert!(rows == self.committed);
        self.actors[at].open = Some(Open {
            level,
            snapshot: (level != Level::ReadCommitted).then_some(rows),
            seen: self.commits,
            writes: Vec::new(),
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
            Ok(_) => self.wrote(at, open.writes),
            Err(error) => {
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
                open.writes.truncate(open.savepoints[to]);
                open.savepoints.truncate(to + 1);
                self.sql(at, &format!("ROLLBACK TO s{to}"));
            }
            1 if depth > 0 => {
                let to = self.random.within(0..depth as u64) as usize;
                open.savepoints.truncate(to);
                self.sql(at, &format!("RELEASE s{to}"));
            }
            _ if depth < 4 => {
                open.savepoints.push(open.writes.len());
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
        let view = self.view(at);
        let mut rows = BTreeMap::new();
        for _ in 0..count {
            let key = self.key(at);
            if !view.contains_key(&key) {
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
                self.world
                    .copy(client, "COPY t FROM STDIN", &lines)
                    .unwrap();
            }
        }
        self.wrote(
            at,
            rows.into_iter()
                .map(|(key, row)| (key, Some(row)))
                .collect(),
        );
    }

    fn upsert(&mut self, at: usize) {
        let view = self.view(at);
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
        self.wrote(at, written.collect());
    }

    /// The client's own rows that a condition on `n` or on the key finds.
    fn chosen(&mut self, at: usize) -> (String, Vec<(i64, Row)>) {
        let own = move |key: i64| key as usize % CLIENTS == at;
        let rest = format!("id % {CLIENTS} = {at}");
        let view = self.view(at);
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
        self.wrote(at, written.collect());
    }

    fn delete(&mut self, at: usize) {
        let (condition, found) = self.chosen(at);
        let sql = format!("DELETE FROM t WHERE {condition} RETURNING id");
        assert_eq!(self.sql(at, &sql).len(), found.len(), "{sql}");
        self.wrote(at, found.into_iter().map(|(key, _)| (key, None)).collect());
    }

    /// Many new rows and one that is there: none of them stays.
    fn fail(&mut self, at: usize) {
        let view = self.view(at);
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
        let open = self.actors[at].open.is_some();
        if open {
            self.sql(at, "SAVEPOINT f");
        }
        assert_eq!(code(self.run(at, &sql)), "23505");
        if open {
            self.sql(at, "ROLLBACK TO f");
            self.sql(at, "RELEASE f");
        }
    }

    fn read(&mut self, at: usize) {
        let view = self.view(at);
        assert!(rows_of(&self.sql(at, ALL)) == view, "client {at}");
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

    /// Changes that nobody may be in the middle of, by themselves or with rows.
    fn define(&mut self) {
        if self.actors.iter().any(|actor| actor.open.is_some()) {
            return;
        }
        // Like VACUUM, a seal keeps DDL away.
        if let Some(mut tending) = self.tending.take() {
            self.sealed += usize::from(self.world.now(tending.as_mut()).unwrap());
        }
        match self.random.within(0..6) {
            0 if !self.indexed => {
                self.sql(0, "CREATE INDEX by_n ON t (n)");
                self.indexed = true;
            }
            0 => {
                self.sql(0, "DROP INDEX by_n");
                self.indexed = false;
            }
            1 => {
                self.sql(0, "ALTER TABLE t ADD COLUMN more text DEFAULT 'later'");
                let more = self.sql(0, "SELECT count(*) FROM t WHERE more = 'later'");
                assert!(more == [vec![Some(self.committed.len().to_string())]]);
                self.sql(0, "ALTER TABLE t DROP COLUMN more");
            }
            2 => {
                self.sql(0, "BEGIN");
                self.sql(0, "TRUNCATE t");
                let rows = self.new_rows(0, 0);
                assert!(rows.is_empty());
                self.sql(
                    0,
                    "INSERT INTO t SELECT i, 0, 'gone' || i FROM generate_series(1, 40) i",
                );
                self.sql(0, "ROLLBACK");
            }
            3 if self.random.within(0..8) == 0 => {
                self.sql(0, "TRUNCATE t");
                self.committed.clear();
                self.commits += 1;
            }
            4 => {
                self.sql(0, "CREATE TABLE u AS SELECT * FROM t");
                let same = self.sql(0, "SELECT count(*) FROM u JOIN t USING (id, n, v)");
                assert!(same == [vec![Some(self.committed.len().to_string())]]);
                self.sql(0, "DROP TABLE u");
            }
            _ => {
                self.sql(0, "VACUUM FULL t");
                self.sealed += 1;
            }
        }
        self.acknowledge();
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
            self.sealed += usize::from(done.unwrap());
            self.tending = None;
        }
        assert_eq!(self.world.lock_waits(), 0);
    }

    fn reopen(&mut self) {
        self.tending = None;
        self.actors.clear();
        self.world.reopen();
        self.connect();
    }

    fn step(&mut self) {
        let at = self.random.within(0..CLIENTS as u64) as usize;
        let open = self.actors[at].open.is_some();
        match self.random.within(0..100) {
            0 => self.reopen(),
            1..=4 => self.define(),
            5..=16 => self.tend(),
            17..=30 => match open {
                true => self.end(at),
                false => self.begin(at),
            },
            31..=40 => self.savepoint(at),
            41..=60 => self.insert(at),
            61..=68 => self.upsert(at),
            69..=78 => self.update(at),
            79..=82 => self.delete(at),
            83..=85 => self.fail(at),
            86..=92 => self.read(at),
            _ => self.touch(at),
        }
    }
}

fn owned((key, row): (&i64, &Row)) -> (i64, Row) {
    (*key, row.clone())
}

#[test]
fn statements_see_what_the_model_says() {
    some_seeds(SEEDS, |seed, logged| {
        let mut model = Model::new(seed, logged, false);
        for step in 0..STEPS {
            model.step();
            if step % 100 == 99 {
                assert_eq!(model.world.check(), Vec::<String>::new());
                model.world.disk.forget_ops();
                model.world.objects.forget_events();
            }
        }
        assert!(model.sealed > 0 || STEPS < 100);
        let statements = model.statements;
        eprintln!(
            "seed {seed}: {statements} statements, {} seals",
            model.sealed
        );
    });
}

#[test]
fn a_crash_anywhere_leaves_a_committed_state() {
    seeds(|seed, logged| {
        let mut model = Model::new(seed, logged, true);
        let start = model.world.disk.op_count();
        for _ in 0..CRASH_STEPS {
            model.step();
        }
        let acknowledged = model.acknowledged.take().unwrap();
        let ops = model.world.disk.ops();
        let every = ((ops.len() - start) / CRASHES).max(1) as u64;
        let mut random = Random(seed);
        let mut crashes = Crashes::new(Image::default(), &ops);
        let mut count = 0;
        loop {
            if crashes.at() >= start && random.within(0..every) == 0 {
                let survival = Survival::EVERY[random.within(0..5) as usize];
                let disk = Disk::with_image(crashes.image(survival, &mut random));
                let objects = Arc::new(model.world.objects.at(crashes.at(), &disk));
                let again = World::on(disk, objects, model.world.options.clone(), logged).unwrap();
                let rows = rows_of(&again.sql(&mut again.client(), ALL));
                let sure = acknowledged
                    .iter()
                    .rposition(|(at, _)| *at <= crashes.at())
                    .unwrap_or(0);
                let mut possible = acknowledged[sure..].iter().take(2);
                assert!(
                    possible.any(|(_, state)| *state == rows),
                    "crash at operation {}, {survival:?}: neither state {sure} nor the next",
                    crashes.at()
                );
                assert_eq!(again.check(), Vec::<String>::new());
                count += 1;
            }
            if !crashes.advance() {
                break;
            }
        }
        eprintln!("seed {seed}: {count} crashes");
    });
}
