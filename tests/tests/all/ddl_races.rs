//! DDL beside readers, writers and other DDL: whatever the order, the catalog and the rows fit each
//! other, and a statement fails only for reasons that PostgreSQL would give.
//!
//! What the sessions do is drawn from a seed, which a failure names; `OMENDB_SEED` sets it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;
use omendb_tests::wire::{Address, Client, Report};

use crate::races::together;

/// Rounds of what one session repeats.
const ROUNDS: usize = 25;

/// Attempts of a statement that conflicts before the test gives up.
const RETRIES: usize = 500;

type Test = (&'static str, fn(&Target, u64) -> Result<(), Failed>);

const TESTS: &[Test] = &[
    ("one_creator_wins", one_creator_wins),
    ("create_and_drop_under_readers", create_and_drop),
    ("rolled_back_ddl_leaves_nothing", rollback),
    ("open_cursor_keeps_its_table", open_cursor),
    ("foreign_key_beside_inserts", foreign_key),
    ("unique_index_beside_inserts", unique_index),
    ("column_type_beside_updates", column_type),
    ("swapped_names", swapped_names),
    ("truncate_beside_inserts", truncate),
    ("revoked_at_once", revoked),
    ("ordinary_user", ordinary_user),
    ("roles_beside_grants", roles),
    ("readers_beside_ddl", readers),
];

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, test): &Test| {
        Trial::test(format!("ddl_races::{name}"), move || {
            let target = Target::fresh()?;
            let seed = seed();
            test(&target, seed).map_err(|why| {
                let why = why.message().unwrap_or("no message").to_owned();
                Failed::from(format!("OMENDB_SEED={seed}: {why}"))
            })
        })
    };
    TESTS.iter().map(trial).collect()
}

fn seed() -> u64 {
    let given = std::env::var("OMENDB_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    })
}

/// xorshift64*: enough to vary the order of things.
struct Random(u64);

impl Random {
    fn new(seed: u64, session: usize) -> Random {
        let mixed = seed ^ (session as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Random(mixed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// Runs a statement; the codes in `expected` are no failure. Conflicts are tried again.
fn attempt(client: &mut Client, sql: &str, expected: &[&str]) -> Result<bool, Failed> {
    for _ in 0..RETRIES {
        match client.simple(sql) {
            Ok(_) => return Ok(true),
            Err(why) => {
                if client.status != 'I' {
                    client.simple("ROLLBACK")?;
                }
                if expected.contains(&why.code()) {
                    return Ok(false);
                }
                if !matches!(why.code(), "40001" | "40P01") {
                    return Err(format!("{sql}: {why}").into());
                }
            }
        }
    }
    Err(format!("{sql}: too many conflicts").into())
}

fn expect(client: &mut Client, sql: &str, value: &str) -> Result<(), Failed> {
    let got = client.value(sql)?;
    if got == value {
        return Ok(());
    }
    Err(format!("{sql} gives {got} instead of {value}").into())
}

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

fn user(target: &Target, name: &str) -> Address {
    Address {
        user: name.to_owned(),
        ..target.address().clone()
    }
}

/// What was revoked is refused from the next statement on, prepared or not.
fn revoked(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_ann; CREATE ROLE race_ann LOGIN")?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")?;
    let mut ann = Client::connect(&user(target, "race_ann"))?;
    ann.simple("PREPARE by_key AS SELECT n FROM t WHERE id = 1")?;
    ann.simple("PREPARE counted AS SELECT count(*) FROM t")?;
    ann.simple("PREPARE written AS UPDATE t SET n = n + 1 WHERE id = 1")?;
    for round in 0..ROUNDS {
        let given = round % 2 == 1;
        let sql = match given {
            true => "GRANT SELECT, UPDATE ON t TO race_ann",
            false => "REVOKE ALL ON t FROM race_ann",
        };
        own.simple(sql)?;
        for statement in ["EXECUTE by_key", "EXECUTE counted", "EXECUTE written"] {
            let result = ann.simple(statement);
            let refused = matches!(&result, Err(why) if why.code() == "42501");
            if refused == given || (given && result.is_err()) {
                return Err(format!("{sql}, then {statement}: {result:?}").into());
            }
        }
    }
    drop(ann);
    own.simple("DROP OWNED BY race_ann; DROP ROLE race_ann")?;
    Ok(())
}

fn refused(result: Result<impl Sized, Report>, what: &str) -> Result<(), Failed> {
    match result {
        Err(why) if why.code() == "42501" => Ok(()),
        Err(why) => Err(format!("{what}: {why}").into()),
        Ok(_) => Err(format!("{what} was allowed").into()),
    }
}

/// Somebody who logs in with nothing but a name may do next to nothing, in either protocol.
fn ordinary_user(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_bob; CREATE ROLE race_bob LOGIN")?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")?;
    let mut bob = Client::connect(&user(target, "race_bob"))?;
    expect(&mut bob, "SELECT current_user", "race_bob")?;
    for sql in [
        "SELECT * FROM t",
        "SELECT n FROM t WHERE id = 1",
        "INSERT INTO t VALUES (2, 2)",
        "UPDATE t SET n = 2 WHERE id = 1",
        "DELETE FROM t WHERE id = 1",
        "TRUNCATE t",
        "DROP TABLE t",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "CREATE TABLE u (a int)",
        "CREATE ROLE race_eve",
        "GRANT ALL ON t TO race_bob",
        "ALTER ROLE race_bob SUPERUSER",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT * FROM pg_authid",
    ] {
        refused(bob.simple(sql), sql)?;
    }
    refused(
        bob.extended("SELECT n FROM t WHERE id = $1", &[Some("1")]),
        "a parameter",
    )?;
    refused(
        bob.extended("DELETE FROM t WHERE id = $1", &[Some("1")]),
        "a parameter",
    )?;
    expect(&mut bob, "SELECT current_user", "race_bob")?;
    expect(&mut own, "SELECT count(*) FROM t", "1")?;
    own.simple("ALTER ROLE race_bob NOLOGIN")?;
    match Client::connect(&user(target, "race_bob")) {
        Err(why) if why.code() == "28000" => {}
        Err(why) => return Err(why.into()),
        Ok(_) => return Err("a role without LOGIN logged in".into()),
    }
    drop(bob);
    own.simple("DROP OWNED BY race_bob; DROP ROLE race_bob")?;
    Ok(())
}

/// Roles come and go while others grant to them: no list names a role that is gone.
fn roles(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_eve; CREATE TABLE t (a int)")?;
    let over = AtomicBool::new(false);
    together(target, 3, |number, client| {
        if number == 0 {
            for _ in 0..ROUNDS {
                attempt(client, "CREATE ROLE race_eve", &[])?;
                attempt(client, "DROP OWNED BY race_eve", &[])?;
                // Somebody may have granted something in between.
                while !attempt(client, "DROP ROLE race_eve", &["2BP01"])? {
                    attempt(client, "DROP OWNED BY race_eve", &[])?;
                }
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            // Else the role could never be dropped.
            thread::sleep(Duration::from_millis(4));
            // PostgreSQL says XX000 for tuples that two change at once, or roles just gone.
            attempt(client, "GRANT SELECT ON t TO race_eve", &["42704", "XX000"])?;
        }
        Ok(())
    })?;
    let dangling = "SELECT count(*) FROM information_schema.table_privileges
        WHERE table_name = 't' AND grantee IS NULL";
    expect(&mut own, dangling, "0")?;
    expect(
        &mut own,
        "SELECT count(*) FROM pg_class WHERE relname = 't' AND relacl::text LIKE '%=r/%'
            AND relacl::text NOT LIKE '%postgres=%'",
        "0",
    )
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
