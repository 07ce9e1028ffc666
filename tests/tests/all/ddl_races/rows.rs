//! Constraints, types and rows of a table that others write to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use omendb_tests::server::Target;

use super::{ROUNDS, Random, Test, attempt, expect};
use crate::races::together;

pub const TESTS: &[Test] = &[
    ("foreign_key_beside_inserts", foreign_key),
    ("unique_index_beside_inserts", unique_index),
    ("column_type_beside_updates", column_type),
    ("truncate_beside_inserts", truncate),
];

/// While a foreign key is there, no row lacks its parent, however the key came.
fn foreign_key(target: &Target, seed: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple(
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id serial PRIMARY KEY, p int);
         INSERT INTO parent SELECT generate_series(1, 20)",
    )?;
    let over = AtomicBool::new(false);
    let made = AtomicUsize::new(0);
    together(target, 5, |number, client| {
        let mut random = Random::new(seed, number);
        if number == 0 {
            for _ in 0..ROUNDS {
                attempt(
                    client,
                    "DELETE FROM child WHERE NOT EXISTS
                        (SELECT 1 FROM parent WHERE parent.id = child.p)",
                    &[],
                )?;
                let add = "ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES parent";
                if !attempt(client, add, &["23503"])? {
                    continue;
                }
                made.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(random.below(10)));
                expect(client, ORPHANS, "0")?;
                attempt(client, "ALTER TABLE child DROP CONSTRAINT fk", &[])?;
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            let id = 1 + random.below(20);
            let sql = match random.below(4) {
                0 => format!("DELETE FROM parent WHERE id = {id}"),
                1 => format!("INSERT INTO parent VALUES ({id}) ON CONFLICT DO NOTHING"),
                _ => format!("INSERT INTO child (p) VALUES ({id})"),
            };
            attempt(client, &sql, &["23503"])?;
        }
        Ok(())
    })?;
    own.simple("DELETE FROM child WHERE NOT EXISTS (SELECT 1 FROM parent WHERE id = p)")?;
    own.simple("ALTER TABLE child ADD FOREIGN KEY (p) REFERENCES parent")?;
    expect(&mut own, ORPHANS, "0")
}

const ORPHANS: &str =
    "SELECT count(*) FROM child WHERE NOT EXISTS (SELECT 1 FROM parent WHERE id = p)";

/// A unique index is made of distinct values or not at all, and holds from then on.
fn unique_index(target: &Target, seed: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id serial PRIMARY KEY, k int)")?;
    let over = AtomicBool::new(false);
    together(target, 5, |number, client| {
        let mut random = Random::new(seed, number);
        if number == 0 {
            for _ in 0..ROUNDS {
                let dedup = "DELETE FROM t a USING t b WHERE a.k = b.k AND a.id > b.id";
                attempt(client, dedup, &[])?;
                if !attempt(client, "CREATE UNIQUE INDEX t_k ON t (k)", &["23505"])? {
                    continue;
                }
                thread::sleep(Duration::from_millis(random.below(10)));
                expect(client, "SELECT count(*) - count(DISTINCT k) FROM t", "0")?;
                attempt(client, "DROP INDEX t_k", &[])?;
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            let k = random.below(40);
            let sql = match random.below(5) {
                0 => format!("DELETE FROM t WHERE k = {k}"),
                1 => format!("UPDATE t SET k = {k} WHERE k = {}", random.below(40)),
                _ => format!("INSERT INTO t (k) VALUES ({k})"),
            };
            attempt(client, &sql, &["23505"])?;
        }
        Ok(())
    })?;
    own.simple("DELETE FROM t a USING t b WHERE a.k = b.k AND a.id > b.id")?;
    own.simple("CREATE UNIQUE INDEX t_k ON t (k)")?;
    let rows = own.value("SELECT count(*) FROM t")?;
    expect(&mut own, "SELECT count(DISTINCT k) FROM t", &rows)
}

/// A column's type goes back and forth while its values change: no change is lost.
fn column_type(target: &Target, seed: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")?;
    own.simple("INSERT INTO t SELECT g, 0 FROM generate_series(0, 9) g")?;
    let done = AtomicUsize::new(0);
    together(target, 4, |number, client| {
        let mut random = Random::new(seed, number);
        for round in 0..ROUNDS {
            if number == 0 {
                let ty = if round % 2 == 0 { "bigint" } else { "int" };
                attempt(
                    client,
                    &format!("ALTER TABLE t ALTER COLUMN n TYPE {ty}"),
                    &[],
                )?;
                continue;
            }
            let id = random.below(10);
            attempt(
                client,
                &format!("UPDATE t SET n = n + 1 WHERE id = {id}"),
                &[],
            )?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    let done = done.load(Ordering::Relaxed).to_string();
    expect(&mut own, "SELECT sum(n) FROM t", &done)
}

/// TRUNCATE takes what was there; what is written afterwards stays, with its index entries.
fn truncate(target: &Target, seed: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, k int); CREATE INDEX ON t (k)")?;
    together(target, 4, |number, client| {
        let mut random = Random::new(seed, number);
        for round in 0..ROUNDS {
            if number == 0 {
                attempt(client, "TRUNCATE t", &[])?;
                continue;
            }
            let id = number * 1000 + round;
            let sql = format!("INSERT INTO t VALUES ({id}, {})", random.below(5));
            attempt(client, &sql, &[])?;
        }
        Ok(())
    })?;
    own.simple("TRUNCATE t; INSERT INTO t SELECT g, g % 5 FROM generate_series(1, 50) g")?;
    expect(&mut own, "SELECT count(*) FROM t", "50")?;
    expect(&mut own, "SELECT count(*) FROM t WHERE k = 3", "10")
}
