//! Many sessions at once, with invariants that must hold whatever the order.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use omendb_tests::sealer::Sealer;
use omendb_tests::server::{ORACLE, Target};
use omendb_tests::wire::{Client, Report};

const SESSIONS: usize = 8;

/// Attempts of one transaction before the test gives up.
const RETRIES: usize = 2_000;

type Test = (&'static str, fn(&Target) -> Result<(), Failed>);

const TESTS: &[Test] = &[
    ("counter_read_committed", |t| counter(t, "READ COMMITTED")),
    ("counter_repeatable_read", |t| counter(t, "REPEATABLE READ")),
    ("counter_serializable", |t| counter(t, "SERIALIZABLE")),
    ("bank_repeatable_read", |t| bank(t, "REPEATABLE READ")),
    ("bank_serializable", |t| bank(t, "SERIALIZABLE")),
    ("bank_for_update", |t| bank(t, "READ COMMITTED")),
    ("unique_insert", unique_insert),
    ("upsert_counter", upsert_counter),
    ("write_skew", write_skew),
    ("deadlock", deadlock),
    ("queue_skip_locked", queue),
    ("sequence", sequence),
    ("foreign_key", foreign_key),
    ("readers_see_whole_transactions", whole),
    ("cancel_while_waiting", cancel_while_waiting),
    ("disconnect_releases_locks", disconnect),
    ("ddl_and_writers", ddl),
];

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, test): &Test| {
        Trial::test(format!("races::{name}"), move || {
            let target = Target::fresh()?;
            test(&target)
        })
    };
    // The same while rows move into segments under the sessions' feet.
    let sealing = |&(name, test): &Test| {
        Trial::test(format!("races::sealing::{name}"), move || {
            let target = Target::fresh()?;
            let sealer = Sealer::start(target.address());
            test(&target)?;
            match sealer.wait() {
                true => Ok(()),
                false => Err("nothing was sealed".into()),
            }
        })
    };
    let plain = TESTS.iter().map(trial);
    // PostgreSQL has nothing to seal.
    match std::env::var_os(ORACLE) {
        Some(_) => plain.collect(),
        None => plain.chain(TESTS.iter().map(sealing)).collect(),
    }
}

/// Runs `work` in every session at once; the first failure fails the test.
pub fn together(
    target: &Target,
    sessions: usize,
    work: impl Fn(usize, &mut Client) -> Result<(), Failed> + Sync,
) -> Result<(), Failed> {
    let barrier = Barrier::new(sessions);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions)
            .map(|number| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || {
                    let client = target.connect();
                    barrier.wait();
                    work(number, &mut client?)
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a session panicked")??;
        }
        Ok(())
    })
}

/// Runs a transaction again while it fails with a conflict.
fn retry(
    client: &mut Client,
    level: &str,
    mut body: impl FnMut(&mut Client) -> Result<(), Report>,
) -> Result<(), Failed> {
    for _ in 0..RETRIES {
        client.simple(&format!("BEGIN ISOLATION LEVEL {level}"))?;
        let done = body(client).and_then(|()| client.simple("COMMIT").map(|_| ()));
        match done {
            Ok(()) => return Ok(()),
            Err(why) if matches!(why.code(), "40001" | "40P01") => {
                if client.status != 'I' {
                    client.simple("ROLLBACK")?;
                }
            }
            Err(why) => return Err(why.into()),
        }
    }
    Err("too many conflicts".into())
}

fn expect(client: &mut Client, sql: &str, value: &str) -> Result<(), Failed> {
    let got = client.value(sql)?;
    if got == value {
        return Ok(());
    }
    Err(format!("{sql} gives {got} instead of {value}").into())
}

fn counter(target: &Target, level: &str) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE c (id int PRIMARY KEY, n int); INSERT INTO c VALUES (1, 0)")?;
    together(target, SESSIONS, |_, client| {
        for _ in 0..25 {
            retry(client, level, |c| {
                c.simple("UPDATE c SET n = n + 1 WHERE id = 1").map(|_| ())
            })?;
        }
        Ok(())
    })?;
    expect(&mut own, "SELECT n FROM c", "200")
}

fn bank(target: &Target, level: &str) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE a (id int PRIMARY KEY, n int NOT NULL CHECK (n >= 0))")?;
    own.simple("INSERT INTO a SELECT g, 100 FROM generate_series(0, 9) g")?;
    let lock = if level == "READ COMMITTED" {
        " FOR UPDATE"
    } else {
        ""
    };
    together(target, SESSIONS, |number, client| {
        for i in 0..25 {
            let from = (number * 7 + i * 3) % 10;
            let to = (from + 1 + (i % 9)) % 10;
            let (first, second) = (from.min(to), from.max(to));
            retry(client, level, |c| {
                let sql =
                    format!("SELECT n FROM a WHERE id IN ({first}, {second}) ORDER BY id{lock}");
                c.simple(&sql)?;
                let sql = format!("SELECT n FROM a WHERE id = {from}");
                let amount = c.value(&sql)?.parse::<i32>().unwrap_or(0).min(17);
                c.simple(&format!("UPDATE a SET n = n - {amount} WHERE id = {from}"))?;
                c.simple(&format!("UPDATE a SET n = n + {amount} WHERE id = {to}"))?;
                if number == 0 {
                    let total = c.value("SELECT sum(n) FROM a")?;
                    assert_eq!(total, "1000", "a transaction sees money made or lost");
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    expect(&mut own, "SELECT sum(n) FROM a", "1000")
}

fn unique_insert(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE u (id serial PRIMARY KEY, k text UNIQUE, who int)")?;
    let won = AtomicUsize::new(0);
    together(target, SESSIONS, |number, client| {
        for i in 0..50 {
            let sql = format!("INSERT INTO u (k, who) VALUES ('k{i}', {number})");
            match client.simple(&sql) {
                Ok(_) => {
                    won.fetch_add(1, Ordering::Relaxed);
                }
                Err(why) if why.code() == "23505" => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    })?;
    if won.load(Ordering::Relaxed) != 50 {
        return Err(format!("{won:?} inserts were acknowledged for 50 keys").into());
    }
    expect(&mut own, "SELECT count(*) FROM u", "50")?;
    expect(&mut own, "SELECT count(DISTINCT k) FROM u", "50")
}

fn upsert_counter(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE c (id int PRIMARY KEY, n int)")?;
    together(target, SESSIONS, |_, client| {
        for i in 0..40 {
            let key = i % 4;
            client.simple(&format!(
                "INSERT INTO c VALUES ({key}, 1) ON CONFLICT (id) DO UPDATE SET n = c.n + 1"
            ))?;
        }
        Ok(())
    })?;
    expect(&mut own, "SELECT sum(n) FROM c", "320")?;
    expect(&mut own, "SELECT count(*) FROM c WHERE n = 80", "4")
}

/// On call: at least one doctor stays, if the level is what it says.
fn write_skew(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE d (id int PRIMARY KEY, on_call bool)")?;
    for _ in 0..10 {
        own.simple("DELETE FROM d; INSERT INTO d VALUES (0, true), (1, true)")?;
        together(target, 2, |number, client| {
            retry(client, "SERIALIZABLE", |c| {
                let others = c.value("SELECT count(*) FROM d WHERE on_call")?;
                if others == "2" {
                    c.simple(&format!("UPDATE d SET on_call = false WHERE id = {number}"))?;
                }
                Ok(())
            })
        })?;
        expect(&mut own, "SELECT count(*) FROM d WHERE on_call", "1")?;
    }
    Ok(())
}

/// Two sessions lock two rows in opposite order: exactly one is the victim, and soon.
fn deadlock(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (0, 0), (1, 0)")?;
    let victims = AtomicUsize::new(0);
    let both = Barrier::new(2);
    let start = Instant::now();
    together(target, 2, |number, client| {
        let other = 1 - number;
        client.simple("BEGIN")?;
        client.simple(&format!("UPDATE t SET n = n + 1 WHERE id = {number}"))?;
        both.wait();
        match client.simple(&format!("UPDATE t SET n = n + 1 WHERE id = {other}")) {
            Ok(_) => {
                client.simple("COMMIT")?;
            }
            Err(why) if why.code() == "40P01" => {
                victims.fetch_add(1, Ordering::Relaxed);
                client.simple("ROLLBACK")?;
            }
            Err(why) => return Err(why.into()),
        }
        Ok(())
    })?;
    if victims.load(Ordering::Relaxed) != 1 {
        return Err(format!("{victims:?} victims").into());
    }
    if start.elapsed() > Duration::from_secs(15) {
        return Err("the deadlock took too long to be noticed".into());
    }
    expect(&mut own, "SELECT sum(n) FROM t", "2")
}

fn queue(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE q (id int PRIMARY KEY); CREATE TABLE done (id int PRIMARY KEY)")?;
    own.simple("INSERT INTO q SELECT g FROM generate_series(1, 100) g")?;
    together(target, SESSIONS, |_, client| {
        loop {
            client.simple("BEGIN")?;
            let id = client.value("SELECT id FROM q ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")?;
            if id == "NULL" {
                client.simple("COMMIT")?;
                // Others may still hold the last rows; what they take they finish.
                return Ok(());
            }
            client.simple(&format!("DELETE FROM q WHERE id = {id}"))?;
            client.simple(&format!("INSERT INTO done VALUES ({id})"))?;
            client.simple("COMMIT")?;
        }
    })?;
    expect(&mut own, "SELECT count(*) FROM q", "0")?;
    expect(&mut own, "SELECT count(*) FROM done", "100")
}

fn sequence(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE s (id bigserial PRIMARY KEY, who int)")?;
    together(target, SESSIONS, |number, client| {
        for _ in 0..50 {
            client.simple(&format!("INSERT INTO s (who) VALUES ({number})"))?;
        }
        Ok(())
    })?;
    expect(&mut own, "SELECT count(DISTINCT id) FROM s", "400")
}

/// Parents are deleted while children arrive: no child is ever without its parent.
fn foreign_key(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE p (id int PRIMARY KEY)")?;
    own.simple("CREATE TABLE c (id serial PRIMARY KEY, p int NOT NULL REFERENCES p)")?;
    own.simple("INSERT INTO p SELECT g FROM generate_series(1, 40) g")?;
    together(target, SESSIONS, |number, client| {
        for id in 1..=40 {
            let sql = if number % 2 == 0 {
                format!("INSERT INTO c (p) VALUES ({id})")
            } else {
                format!("DELETE FROM p WHERE id = {id}")
            };
            match client.simple(&sql) {
                Ok(_) => {}
                Err(why) if matches!(why.code(), "23503" | "40001" | "40P01") => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    })?;
    let orphans = "SELECT count(*) FROM c WHERE NOT EXISTS (SELECT 1 FROM p WHERE p.id = c.p)";
    expect(&mut own, orphans, "0")
}

/// A transaction writes two rows alike; no reader ever sees them differ.
fn whole(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE w (id int PRIMARY KEY, n int); INSERT INTO w VALUES (1, 0), (2, 0)")?;
    together(target, 4, |number, client| {
        for i in 0..100 {
            if number == 0 {
                client.simple("BEGIN")?;
                client.simple(&format!("UPDATE w SET n = {i} WHERE id = 1"))?;
                client.simple(&format!("UPDATE w SET n = {i} WHERE id = 2"))?;
                client.simple(if i % 3 == 0 { "ROLLBACK" } else { "COMMIT" })?;
            } else {
                expect(client, "SELECT count(DISTINCT n) FROM w", "1")?;
            }
        }
        Ok(())
    })
}

fn cancel_while_waiting(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")?;
    own.simple("BEGIN; UPDATE t SET n = 1 WHERE id = 1")?;
    let mut other = target.connect()?;
    other.send_query("UPDATE t SET n = 2 WHERE id = 1")?;
    if other.answers_within(Duration::from_millis(300))? {
        return Err("the update did not wait".into());
    }
    Client::cancel(target.address(), other.process_id, &other.secret)?;
    match other.until_ready() {
        Err(why) if why.code() == "57014" => {}
        answer => return Err(format!("instead of 57014: {answer:?}").into()),
    }
    own.simple("COMMIT")?;
    other.simple("UPDATE t SET n = n + 10 WHERE id = 1")?;
    expect(&mut own, "SELECT n FROM t", "11")
}

fn disconnect(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")?;
    let mut other = target.connect()?;
    other.simple("BEGIN; UPDATE t SET n = 5 WHERE id = 1")?;
    drop(other);
    own.simple("SET lock_timeout = '10s'")?;
    own.simple("UPDATE t SET n = n + 1 WHERE id = 1")?;
    expect(&mut own, "SELECT n FROM t", "1")
}

/// Columns come while rows are written: no statement fails, no row is lost.
fn ddl(target: &Target) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id serial PRIMARY KEY, n int)")?;
    together(target, 4, |number, client| {
        for i in 0..20 {
            let sql = if number == 0 {
                format!("ALTER TABLE t ADD COLUMN c{i} int DEFAULT {i}")
            } else {
                format!("INSERT INTO t (n) VALUES ({i})")
            };
            match client.simple(&sql) {
                Ok(_) => {}
                Err(why) if matches!(why.code(), "40001" | "40P01") => {
                    client.simple(&sql)?;
                }
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    })?;
    expect(&mut own, "SELECT count(*) FROM t", "60")?;
    expect(
        &mut own,
        "SELECT count(*) FROM t WHERE c0 = 0 AND c19 = 19",
        "60",
    )
}
