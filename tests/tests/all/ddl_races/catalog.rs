//! Tables and names that come, change and go.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use omendb_tests::server::Target;

use super::{ROUNDS, Random, Test, attempt, expect};
use crate::races::together;

pub const TESTS: &[Test] = &[
    ("one_creator_wins", one_creator_wins),
    ("create_and_drop_under_readers", create_and_drop),
    ("rolled_back_ddl_leaves_nothing", rollback),
    ("open_cursor_keeps_its_table", open_cursor),
    ("swapped_names", swapped_names),
    ("readers_beside_ddl", readers),
];

/// Of many that make the same thing, one does, and the others are told that it is there.
fn one_creator_wins(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE base (a int)")?;
    // PostgreSQL may notice by its catalogs' unique indexes.
    let there = ["42P07", "42P06", "42710", "42701", "23505"];
    for statement in [
        "CREATE TABLE same (a int)",
        "CREATE SEQUENCE same_s",
        "CREATE VIEW same_v AS SELECT 1 AS a",
        "CREATE INDEX same_i ON base (a)",
        "CREATE SCHEMA same_n",
        "CREATE TABLE same_as AS SELECT 1 AS a",
        "ALTER TABLE base ADD COLUMN b int",
        "ALTER TABLE base ADD CONSTRAINT c CHECK (a > 0)",
        "BEGIN; CREATE TABLE same_t (a int); INSERT INTO same_t VALUES (1); COMMIT",
    ] {
        let won = AtomicUsize::new(0);
        together(target, 6, |_, client| {
            if attempt(client, statement, &there)? {
                won.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })?;
        if won.load(Ordering::Relaxed) != 1 {
            return Err(format!("{statement}: {won:?} sessions did it").into());
        }
    }
    expect(&mut own, "SELECT count(*) FROM same_t", "1")?;
    expect(
        &mut own,
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'same%'",
        "6",
    )
}

/// A table that comes and goes: others find it or do not, and never half of it.
fn create_and_drop(target: &Target, seed: u64) -> Result<(), Failed> {
    let over = AtomicBool::new(false);
    // PostgreSQL says XX000 where it found the name and then no relation.
    let gone = ["42P01", "XX000"];
    together(target, 5, |number, client| {
        let mut random = Random::new(seed, number);
        if number == 0 {
            for _ in 0..ROUNDS {
                let made = "BEGIN; CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 100));
                            CREATE INDEX t_n ON t (n);
                            INSERT INTO t SELECT g, g FROM generate_series(1, 5) g; COMMIT";
                attempt(client, made, &[])?;
                thread::sleep(Duration::from_millis(random.below(5)));
                attempt(client, "DROP TABLE t", &[])?;
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            let id = 100 + random.below(1_000_000);
            match random.below(4) {
                0 => {
                    let sql = format!("INSERT INTO t VALUES ({id}, {number})");
                    attempt(client, &sql, &["42P01", "XX000", "23505"])?;
                }
                1 => {
                    attempt(client, "UPDATE t SET n = n + 1 WHERE n < 50", &gone)?;
                }
                _ => match client.value("SELECT count(*) FROM t WHERE id <= 5") {
                    Ok(count) if count == "5" => {}
                    Ok(count) => return Err(format!("{count} of 5 rows").into()),
                    Err(why) if gone.contains(&why.code()) => {}
                    Err(why) => return Err(why.into()),
                },
            }
        }
        Ok(())
    })
}

/// Everything that the system tables tell about user objects, as one text.
const DIGEST: &str = "SELECT coalesce(string_agg(line, ';' ORDER BY line), '') FROM (
    SELECT relname || relkind::text || relnatts || coalesce(relacl::text, '') AS line
        FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT attrelid || attname::text || atttypid || attnotnull::text
        FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
    UNION ALL SELECT conname || contype::text FROM pg_constraint WHERE conrelid >= 16384
    UNION ALL SELECT nspname::text FROM pg_namespace WHERE oid >= 16384) s";

/// DDL that is rolled back, whole or to a savepoint, leaves catalog and rows as they were.
fn rollback(target: &Target, seed: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text DEFAULT 'x');
         CREATE INDEX t_a ON t (a);
         INSERT INTO t SELECT g, g * 2, 'row' || g FROM generate_series(1, 50) g",
    )?;
    let before = own.value(DIGEST)?;
    let rows = own.value("SELECT sum(id + a) || string_agg(b, ',' ORDER BY id) FROM t")?;
    let steps = [
        "ALTER TABLE t ADD COLUMN c int DEFAULT 7",
        "ALTER TABLE t DROP COLUMN b CASCADE",
        "ALTER TABLE t ALTER COLUMN a TYPE text",
        "ALTER TABLE t ADD CONSTRAINT big CHECK (id < 1000)",
        "CREATE UNIQUE INDEX t_u ON t (id, a)",
        "DROP INDEX t_a",
        "TRUNCATE t",
        "DROP TABLE t CASCADE",
        "ALTER TABLE t RENAME TO r",
        "CREATE TABLE u (id int REFERENCES t)",
        "CREATE VIEW v AS SELECT id FROM t",
        "CREATE SCHEMA n",
        "GRANT SELECT ON t TO PUBLIC",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "UPDATE t SET id = id + 1000",
        "DELETE FROM t",
        "INSERT INTO t VALUES (5000, 1)",
    ];
    together(target, 3, |number, client| {
        let mut random = Random::new(seed, number);
        for _ in 0..ROUNDS {
            client.simple("BEGIN; SET LOCAL lock_timeout = '20s'; SAVEPOINT s")?;
            for _ in 0..1 + random.below(4) {
                let step = steps[random.below(steps.len() as u64) as usize];
                // A step may not fit what is left: back to the savepoint, as an application would.
                if client.simple(step).is_err() {
                    client.simple("ROLLBACK TO s")?;
                }
            }
            client.simple("ROLLBACK")?;
        }
        Ok(())
    })?;
    expect(&mut own, DIGEST, &before)?;
    expect(
        &mut own,
        "SELECT sum(id + a) || string_agg(b, ',' ORDER BY id) FROM t",
        &rows,
    )?;
    expect(&mut own, "SELECT id FROM t WHERE a = 20", "10")
}

/// A cursor keeps reading what it began with. PostgreSQL makes DDL wait for it; here the snapshot
/// holds the rows, and DDL goes on. A prepared statement notices either way.
fn open_cursor(target: &Target, _: u64) -> Result<(), Failed> {
    let mut reader = target.connect()?;
    let mut other = target.connect()?;
    reader.simple("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)")?;
    reader.simple("PREPARE p AS SELECT count(*) FROM t")?;
    reader.simple("BEGIN; DECLARE c CURSOR FOR SELECT a FROM t ORDER BY a; FETCH 10 FROM c")?;
    other.simple("SET lock_timeout = '200ms'")?;
    for statement in [
        "ALTER TABLE t ADD COLUMN b int",
        "TRUNCATE t; INSERT INTO t SELECT generate_series(1, 100)",
        "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t",
    ] {
        match other.simple(statement) {
            Err(why) if why.code() == "55P03" && target.engine() == "postgres" => {}
            Ok(_) if target.engine() == "omendb" => {}
            other => return Err(format!("{statement} beside a cursor: {other:?}").into()),
        }
    }
    let rest = reader.simple("FETCH ALL FROM c")?;
    if rest.last().map(|outcome| outcome.rows.len()) != Some(90) {
        return Err("the cursor lost rows".into());
    }
    reader.simple("COMMIT")?;
    expect(&mut reader, "EXECUTE p", "100")?;
    other.simple("DROP TABLE t")?;
    match reader.simple("EXECUTE p") {
        Err(why) if why.code() == "42P01" => {}
        other => return Err(format!("a statement on a dropped table: {other:?}").into()),
    }
    other.simple("CREATE TABLE t (a int)")?;
    expect(&mut reader, "EXECUTE p", "0")
}

/// Two tables change their names in one transaction: a reader always finds one of them.
fn swapped_names(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")?;
    own.simple("CREATE TABLE u (n int); INSERT INTO u VALUES (2)")?;
    let over = AtomicBool::new(false);
    together(target, 4, |number, client| {
        if number == 0 {
            for _ in 0..ROUNDS {
                let swap = "BEGIN; ALTER TABLE t RENAME TO x; ALTER TABLE u RENAME TO t;
                            ALTER TABLE x RENAME TO u; COMMIT";
                attempt(client, swap, &[])?;
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            let found = client.value("SELECT n FROM t")?;
            if !matches!(found.as_str(), "1" | "2") {
                return Err(format!("a table in between: {found}").into());
            }
        }
        Ok(())
    })
}

/// A reader that comes while a table is being changed sees it as it was or as it became. PostgreSQL
/// makes it wait; here it reads its snapshot.
fn readers(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")?;
    own.simple("BEGIN; ALTER TABLE t ADD COLUMN b int DEFAULT 5")?;
    let mut reader = target.connect()?;
    reader.send_query("SELECT count(*) FROM t")?;
    let waited = !reader.answers_within(Duration::from_millis(300))?;
    if waited == (target.engine() == "omendb") {
        return Err(format!("whether the reader waited: {waited}").into());
    }
    own.simple("INSERT INTO t VALUES (2, 3); COMMIT")?;
    let outcome = reader.until_ready()?;
    let count = outcome.first().map(|outcome| outcome.text());
    let right = if waited { "2" } else { "1" };
    if count != Some(vec![vec![Some(right.to_owned())]]) {
        return Err(format!("the reader saw {count:?}").into());
    }
    expect(
        &mut reader,
        "SELECT count(*) FROM t WHERE b IS NOT NULL",
        "2",
    )
}
