//! SIGKILL of the server under load: it opens again, every acknowledged commit is there, no
//! transaction is half there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use omendb_tests::sealer::Sealer;
use omendb_tests::server::{ORACLE, Process};
use omendb_tests::wire::Client;

const SESSIONS: usize = 8;
const ROUNDS: usize = 5;

/// How long each round's load runs before the kill.
const LOAD: Duration = Duration::from_millis(700);

pub fn trials() -> Vec<Trial> {
    // PostgreSQL's own crashes are not ours to test.
    if std::env::var_os(ORACLE).is_some() {
        return Vec::new();
    }
    vec![
        Trial::test("crash::kill_under_load", || kill_under_load(false)),
        Trial::test("crash::kill_while_sealing", || kill_under_load(true)),
        Trial::test("crash::kill_while_loading", kill_while_loading),
        Trial::test("crash::kill_right_after_ddl", kill_after_ddl),
    ]
}

/// Like pgbench: three balances and a ledger change together; each session counts what was
/// acknowledged to it. `sealing` moves rows into segments meanwhile.
fn kill_under_load(sealing: bool) -> Result<(), Failed> {
    let mut server = Process::start(&[])?;
    let mut own = Client::connect(&server.address)?;
    own.simple("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)")?;
    own.simple("CREATE TABLE branches (id int PRIMARY KEY, balance bigint NOT NULL)")?;
    own.simple(
        "CREATE TABLE ledger (session int, number bigint, delta int, PRIMARY KEY (session, number))",
    )?;
    own.simple("CREATE INDEX ledger_delta ON ledger (delta)")?;
    own.simple("INSERT INTO accounts SELECT g, 0 FROM generate_series(0, 99) g")?;
    own.simple("INSERT INTO branches VALUES (0, 0)")?;
    drop(own);
    let acknowledged: Vec<AtomicU64> = (0..SESSIONS).map(|_| AtomicU64::new(0)).collect();
    let mut next: Vec<u64> = vec![1; SESSIONS];
    for round in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let address = server.address.clone();
        let sealer = sealing.then(|| Sealer::start(&address));
        let mut sealed = true;
        thread::scope(|scope| {
            for (session, (acknowledged, next)) in
                acknowledged.iter().zip(next.iter_mut()).enumerate()
            {
                let (stop, address) = (&stop, &address);
                scope.spawn(move || {
                    let Ok(mut client) = Client::connect(address) else {
                        return;
                    };
                    while !stop.load(Ordering::Relaxed) {
                        let number = *next;
                        *next += 1;
                        let delta = i64::try_from(number % 101).unwrap_or(0) - 50;
                        let account = (number * 31 + session as u64) % 100;
                        let sql = format!(
                            "BEGIN; UPDATE accounts SET balance = balance + {delta} WHERE id = {account}; \
                             UPDATE branches SET balance = balance + {delta} WHERE id = 0; \
                             INSERT INTO ledger VALUES ({session}, {number}, {delta}); COMMIT"
                        );
                        match client.simple(&sql) {
                            Ok(_) => acknowledged.store(number, Ordering::Relaxed),
                            Err(_) => return,
                        }
                    }
                });
            }
            thread::sleep(LOAD);
            sealed = sealer.as_ref().is_none_or(Sealer::wait);
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        drop(sealer);
        if !sealed {
            return Err(format!("round {round}: nothing was sealed before the kill").into());
        }
        let start = Instant::now();
        server.restart()?;
        let took = start.elapsed();
        let mut own = Client::connect(&server.address)?;
        let sums = own.value(
            "SELECT count(DISTINCT s) FROM (SELECT sum(balance) AS s FROM accounts \
             UNION ALL SELECT sum(balance) FROM branches \
             UNION ALL SELECT coalesce(sum(delta), 0) FROM ledger) x",
        )?;
        if sums != "1" {
            return Err(format!("round {round}: a transaction is half there").into());
        }
        let mut total = 0;
        for (session, number) in acknowledged.iter().enumerate() {
            let number = number.load(Ordering::Relaxed);
            total += number;
            if number == 0 {
                continue;
            }
            let sql = format!(
                "SELECT count(*) FROM ledger WHERE session = {session} AND number = {number}"
            );
            if own.value(&sql)? != "1" {
                let what =
                    format!("commit {number} of session {session} was acknowledged and is lost");
                return Err(format!("round {round}: {what}").into());
            }
        }
        if total == 0 {
            return Err("nothing was committed before the kill".into());
        }
        let by_index = own.value("SELECT count(*) FROM ledger WHERE delta BETWEEN -50 AND 50")?;
        let by_table = own.value("SELECT count(*) FROM ledger")?;
        if by_index != by_table {
            return Err(format!("round {round}: index {by_index}, table {by_table} rows").into());
        }
        println!("round {round}: {total} acknowledged, open again after {took:.2?}");
    }
    Ok(())
}

/// A bulk load that is cut off leaves nothing.
fn kill_while_loading() -> Result<(), Failed> {
    let mut server = Process::start(&[])?;
    let mut own = Client::connect(&server.address)?;
    own.simple("CREATE TABLE big (id int PRIMARY KEY, v text)")?;
    own.simple("INSERT INTO big VALUES (0, 'first')")?;
    own.send_query(
        "INSERT INTO big SELECT g, repeat('x', 100) FROM generate_series(1, 2000000) g",
    )?;
    thread::sleep(Duration::from_millis(800));
    server.kill();
    server.restart()?;
    let mut own = Client::connect(&server.address)?;
    let rows = own.value("SELECT count(*) FROM big")?;
    if rows != "1" && rows != "2000001" {
        return Err(format!("{rows} rows of one statement are there").into());
    }
    Ok(())
}

/// Acknowledged schema changes survive as a whole.
fn kill_after_ddl() -> Result<(), Failed> {
    let mut server = Process::start(&[])?;
    let mut own = Client::connect(&server.address)?;
    own.simple("CREATE TABLE a (id serial PRIMARY KEY, v int)")?;
    own.simple("INSERT INTO a (v) VALUES (1), (2)")?;
    own.simple(
        "BEGIN; ALTER TABLE a ADD COLUMN w int DEFAULT 7; CREATE INDEX a_w ON a (w); COMMIT",
    )?;
    own.simple("CREATE VIEW b AS SELECT sum(w) AS s FROM a")?;
    own.simple("BEGIN; DROP TABLE a CASCADE")?;
    server.kill();
    server.restart()?;
    let mut own = Client::connect(&server.address)?;
    let sum = own.value("SELECT s FROM b")?;
    if sum != "14" {
        return Err(format!("the view gives {sum} instead of 14").into());
    }
    // A sequence never gives a number twice.
    let id = own.value("INSERT INTO a (v) VALUES (3) RETURNING id")?;
    if id.parse::<i64>().unwrap_or(0) < 3 {
        return Err(format!("the sequence went back to {id}").into());
    }
    Ok(())
}
