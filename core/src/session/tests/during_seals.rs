//! Readers and writers on threads of their own while rows are sealed and merged: snapshots stay exact,
//! and a seal makes nobody wait for a lock. Waits are counted, not timed.
//!
//! Every few steps, a seal goes no further before every writer has committed once more and every reader has
//! read once more: they do go on meanwhile.
//!
//! `OMENDB_TIER_SEEDS=n` runs n seeds instead of one, `OMENDB_TIER_SEED=s` begins at seed s.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Builder;

use super::world::{Client, Row, World, one, run, small};
use crate::segment::tests::tiers::seeds;
use crate::storage::fault::Random;

const WRITERS: u64 = 2;
const READERS: u64 = 2;
/// Accounts of a writer.
const ACCOUNTS: u64 = 60;
const BALANCE: i64 = 100;
/// Seals and merges that the others live through.
const SEALS: u64 = 6;
/// Steps of a seal between two at which it lets the others go on.
const STEPS: u64 = 4;

/// Looks at the others, some of a millisecond apart, after which they are stuck.
const PATIENCE: usize = 500_000;

/// What the threads know of each other.
struct Progress {
    /// Commits of each writer and snapshots of each reader.
    done: Vec<AtomicU64>,
    over: AtomicBool,
}

impl Progress {
    fn count(&self, who: u64) {
        self.done[who as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> Vec<u64> {
        let done = self.done.iter();
        done.map(|done| done.load(Ordering::Relaxed)).collect()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until everybody has done something more.
    fn wait_for_all(&self) {
        let before = self.counts();
        for _ in 0..PATIENCE {
            let now = self.counts();
            if self.is_over() || now.iter().zip(&before).all(|(now, before)| now > before) {
                return;
            }
            std::thread::park_timeout(Duration::from_micros(200));
        }
        panic!(
            "somebody waits for the seal: {before:?}, {:?}",
            self.counts()
        );
    }
}

/// Ends the others when a thread ends, also when it panics.
struct Ends<'p>(&'p Progress);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Runs the statements of one thread.
struct Thread {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Thread {
    fn new(client: Client) -> Thread {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        Thread { client, runtime }
    }

    fn sql(&mut self, sql: &str) -> Vec<Row> {
        let ran = self.runtime.block_on(run(&mut self.client.0, sql, ""));
        ran.unwrap_or_else(|error| panic!("{sql}\n{error}: {:?}", error.fields().detail))
    }
}

type Balances = BTreeMap<i64, i64>;

fn balances(rows: &[Row]) -> Balances {
    let number = |cell: &Option<String>| cell.as_ref().unwrap().parse().unwrap();
    rows.iter()
        .map(|row| (number(&row[0]), number(&row[1])))
        .collect()
}

/// Moves money between accounts of the writer's own, and its accounts to other keys; returns what is there.
fn write(mut thread: Thread, number: u64, seed: u64, progress: &Progress) -> Balances {
    let mut random = Random(seed * 100 + number);
    let first = (number * ACCOUNTS) as i64;
    let mut own: Balances = (first..first + ACCOUNTS as i64)
        .map(|id| (id, BALANCE))
        .collect();
    let mut next = 1_000_000 * (number as i64 + 1);
    while !progress.is_over() {
        let ids: Vec<i64> = own.keys().copied().collect();
        let mut pick = || ids[random.within(0..ids.len() as u64) as usize];
        let (from, to) = (pick(), pick());
        thread.sql("BEGIN");
        for (id, amount) in [(from, -1), (to, 1)] {
            thread.sql(&format!("UPDATE t SET n = n + {amount} WHERE id = {id}"));
            *own.get_mut(&id).unwrap() += amount;
        }
        match random.within(0..4) {
            0 => {
                next += 1;
                thread.sql(&format!("DELETE FROM t WHERE id = {from}"));
                let n = own.remove(&from).unwrap();
                thread.sql(&format!(
                    "INSERT INTO t VALUES ({next}, {n}, 'moved {next}')"
                ));
                own.insert(next, n);
            }
            1 => {
                let id = to;
                thread.sql(&format!(
                    "INSERT INTO t VALUES ({id}, 0, 'new') ON CONFLICT (id) DO UPDATE SET v = 'old {id}'"
                ));
            }
            _ => {}
        }
        thread.sql("COMMIT");
        progress.count(number);
    }
    own
}

/// Reads snapshots again and again while they get old; all of them show all of the money.
fn read(mut thread: Thread, number: u64, seed: u64, progress: &Progress) {
    let mut random = Random(seed * 100 + WRITERS + number);
    let levels = [
        "REPEATABLE READ",
        "SERIALIZABLE",
        "REPEATABLE READ READ ONLY",
    ];
    let all = "SELECT id, n FROM t";
    while !progress.is_over() {
        let level = levels[random.within(0..3) as usize];
        thread.sql(&format!("BEGIN ISOLATION LEVEL {level}"));
        let seen = balances(&thread.sql(all));
        assert_eq!(seen.len() as u64, WRITERS * ACCOUNTS);
        assert_eq!(
            seen.values().sum::<i64>(),
            (WRITERS * ACCOUNTS) as i64 * BALANCE
        );
        for _ in 0..random.within(1..8) {
            match random.within(0..3) {
                0 => assert!(balances(&thread.sql(all)) == seen, "the snapshot changed"),
                1 => {
                    let ids: Vec<i64> = seen.keys().copied().collect();
                    let id = ids[random.within(0..ids.len() as u64) as usize];
                    let n = thread.sql(&format!("SELECT n FROM t WHERE id = {id}"));
                    assert_eq!(one(&n), seen[&id].to_string());
                }
                _ => {
                    let sums = thread.sql("SELECT count(*), sum(n), min(id), max(id) FROM t");
                    let expected = [
                        seen.len() as i64,
                        seen.values().sum(),
                        *seen.keys().next().unwrap(),
                        *seen.keys().next_back().unwrap(),
                    ];
                    let expected = expected.map(|value| Some(value.to_string()));
                    assert_eq!(sums, [expected.to_vec()]);
                }
            }
            progress.count(WRITERS + number);
        }
        thread.sql("COMMIT");
        progress.count(WRITERS + number);
    }
}

/// Polls a seal to its end, and lets the others go on between its steps.
fn step<T>(future: impl Future<Output = T>, progress: &Progress) -> (T, u64) {
    let mut future = std::pin::pin!(future);
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut steps = 0_u64;
    loop {
        let polled = runtime.block_on(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))));
        if let Poll::Ready(done) = polled {
            return (done, steps / STEPS);
        }
        steps += 1;
        if steps.is_multiple_of(STEPS) {
            progress.wait_for_all();
        }
    }
}

#[test]
fn readers_and_writers_go_on_during_seals() {
    seeds(|seed, logged| {
        let world = World::logged(small, logged);
        let mut client = world.client();
        let create = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL, v text); \
                      CREATE INDEX by_n ON t (n)";
        world.sql(&mut client, create);
        let accounts = WRITERS * ACCOUNTS;
        world.sql(
            &mut client,
            &format!(
                "INSERT INTO t SELECT i, {BALANCE}, 'new' FROM generate_series(0, {}) i",
                accounts - 1
            ),
        );
        let before = world.lock_waits();
        let done = (0..WRITERS + READERS).map(|_| AtomicU64::default());
        let progress = &Progress {
            done: done.collect(),
            over: AtomicBool::new(false),
        };
        let (seals, pauses, balances) = std::thread::scope(|scope| {
            let mut writers = Vec::new();
            for number in 0..WRITERS {
                let client = world.client();
                writers.push(scope.spawn(move || {
                    let _ends = Ends(progress);
                    write(Thread::new(client), number, seed, progress)
                }));
            }
            for number in 0..READERS {
                let client = world.client();
                scope.spawn(move || {
                    let _ends = Ends(progress);
                    read(Thread::new(client), number, seed, progress);
                });
            }
            let ends = Ends(progress);
            let (mut seals, mut pauses) = (0, 0);
            while seals < SEALS && !progress.is_over() {
                let (worked, steps) = step(world.database.tend(), progress);
                seals += u64::from(worked.unwrap());
                pauses += steps;
                progress.wait_for_all();
                // Everything at once, merges too.
                if seals == SEALS / 2 {
                    let mut client = world.client();
                    let (sealed, steps) = step(run(&mut client.0, "VACUUM FULL t", ""), progress);
                    sealed.unwrap();
                    pauses += steps;
                    seals += 1;
                }
            }
            drop(ends);
            let all = writers
                .into_iter()
                .flat_map(|writer| writer.join().unwrap());
            (seals, pauses, all.collect::<Balances>())
        });
        assert!(
            seals >= SEALS && pauses >= SEALS,
            "{seals} seals, {pauses} pauses"
        );
        assert_eq!(world.lock_waits(), before, "somebody waited for a lock");
        let rows = world.sql(&mut client, "SELECT id, n FROM t");
        assert!(self::balances(&rows) == balances);
        assert_eq!(world.check(), Vec::<String>::new());
        eprintln!(
            "seed {seed}: {seals} seals with {pauses} pauses, {:?} commits and reads, no wait",
            progress.counts()
        );
    });
}

/// What the test above relies on.
#[test]
fn waits_for_locks_are_counted() {
    let world = World::new(small);
    let (mut one, two) = (world.client(), world.client());
    world.sql(
        &mut one,
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)",
    );
    let before = world.lock_waits();
    world.sql(&mut one, "BEGIN; UPDATE t SET n = 2 WHERE id = 1");
    assert_eq!(world.lock_waits(), before);
    let mut other = world.start(two, "UPDATE t SET n = 3 WHERE id = 1");
    assert!(world.poll(other.as_mut(), 20).is_none());
    assert_eq!(world.lock_waits(), before + 1);
    world.sql(&mut one, "COMMIT");
    world.now(other.as_mut()).1.unwrap();
    assert_eq!(world.lock_waits(), before + 1);
}
