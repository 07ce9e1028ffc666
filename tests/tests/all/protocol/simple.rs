//! The simple protocol: tags, transactions, fields of reports, rows as they come.

use std::time::Duration;

use libtest_mimic::Failed;
use omendb_tests::server::Target;
use omendb_tests::wire::{Client, read_report};

use super::{Test, bind, equal, exchange, execute, letters, named, parse, sync, until_ready};

pub const TESTS: &[Test] = &[
    ("tags", tags),
    ("simple_query_is_one_transaction", simple_transaction),
    ("empty_query", empty),
    ("notice_and_error_fields", fields),
    ("stream_does_not_wait_for_the_end", stream),
    ("time_out_while_planning_or_joining", heavy),
];

fn tags(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    for (sql, tag) in [
        ("CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE TABLE"),
        ("CREATE INDEX i ON t (v)", "CREATE INDEX"),
        ("CREATE VIEW w AS SELECT 1", "CREATE VIEW"),
        ("CREATE SEQUENCE s", "CREATE SEQUENCE"),
        ("CREATE SCHEMA n", "CREATE SCHEMA"),
        ("INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT 0 2"),
        ("UPDATE t SET v = 3 WHERE id = 1", "UPDATE 1"),
        ("SELECT * FROM t", "SELECT 2"),
        ("VALUES (1), (2), (3)", "SELECT 3"),
        ("DELETE FROM t WHERE id = 9", "DELETE 0"),
        (
            "INSERT INTO t VALUES (1, 1) ON CONFLICT DO NOTHING",
            "INSERT 0 0",
        ),
        (
            "CREATE TABLE c AS SELECT 1 AS a UNION ALL SELECT 2",
            "SELECT 2",
        ),
        ("TRUNCATE t", "TRUNCATE TABLE"),
        ("ALTER TABLE t ADD COLUMN x int", "ALTER TABLE"),
        ("BEGIN", "BEGIN"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("ROLLBACK TO a", "ROLLBACK"),
        ("RELEASE a", "RELEASE"),
        ("COMMIT", "COMMIT"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("ROLLBACK", "ROLLBACK"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "SELECT 1"),
        ("DEALLOCATE p", "DEALLOCATE"),
        ("DEALLOCATE ALL", "DEALLOCATE ALL"),
        ("SET application_name = 'x'", "SET"),
        ("SHOW application_name", "SHOW"),
        ("RESET application_name", "RESET"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("DROP INDEX i", "DROP INDEX"),
        ("DROP VIEW w", "DROP VIEW"),
        ("DROP SEQUENCE s", "DROP SEQUENCE"),
        ("DROP SCHEMA n", "DROP SCHEMA"),
        ("DROP TABLE t, c", "DROP TABLE"),
    ] {
        let outcomes = client.simple(sql)?;
        let got = outcomes
            .last()
            .map(|outcome| outcome.tag.clone())
            .unwrap_or_default();
        equal((sql, got.as_str()), (sql, tag))?;
    }
    Ok(())
}

fn simple_transaction(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY)")?;
    let failed = client
        .simple("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
    equal(
        failed.err().map(|why| why.code().to_owned()),
        Some("23505".to_owned()),
    )?;
    equal(client.value("SELECT count(*) FROM t")?, "0".to_owned())?;
    let failed = client.simple("INSERT INTO t VALUES (3); SELEC");
    equal(
        failed.err().map(|why| why.code().to_owned()),
        Some("42601".to_owned()),
    )?;
    let _ = client.simple("INSERT INTO t VALUES (4); COMMIT; INSERT INTO t VALUES (5); SELECT 1/0");
    equal(
        client.value("SELECT string_agg(id::text, ',') FROM t")?,
        "4".to_owned(),
    )?;
    client.simple("BEGIN; INSERT INTO t VALUES (6)")?;
    equal(client.status, 'T')?;
    let _ = client.simple("SELECT 1/0");
    equal(client.status, 'E')?;
    client.simple("ROLLBACK")?;
    equal(client.status, 'I')
}

fn empty(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    for sql in ["", "  ", ";", "-- nothing\n", "/* nothing */;"] {
        client.send_query(sql)?;
        equal(
            (sql, letters(&until_ready(&mut client)?)),
            (sql, "IZI".to_owned()),
        )?;
    }
    let messages = [
        parse("", ""),
        bind("", "", &[]),
        named('D', 'P', ""),
        execute("", 0),
        sync(),
    ];
    equal(exchange(&mut client, &messages)?, "12nIZI".to_owned())
}

/// A query that takes minutes to plan or to join keeps neither its own time-out from firing nor other
/// connections from being served.
fn heavy(target: &Target) -> Result<(), Failed> {
    const TABLES: usize = 40;
    let mut client = target.connect()?;
    client.set_timeout(Duration::from_secs(60))?;
    client.simple(
        "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 10)",
    )?;
    let tables: Vec<String> = (0..TABLES).map(|n| format!("b b{n}")).collect();
    let joins: Vec<String> = (1..TABLES)
        .map(|n| {
            let last = n - 1;
            format!("b{last}.id = b{n}.id + {n} - (SELECT max(x.id) FROM b x WHERE x.id = b{n}.id)")
        })
        .collect();
    let query = format!(
        "SELECT count(*) FROM {} WHERE {}",
        tables.join(", "),
        joins.join(" AND ")
    );
    client.simple("SET statement_timeout = '500ms'")?;
    client.send('Q', format!("{query}\0").as_bytes())?;
    let mut other = target.connect()?;
    equal(
        other.value("SELECT id FROM b WHERE id = 7")?,
        "7".to_owned(),
    )?;
    equal(other.value("SELECT count(*) FROM b")?, "10".to_owned())?;
    let answer = letters(&until_ready(&mut client)?);
    equal(answer.replace('T', ""), "E(57014)ZI".to_owned())?;
    client.simple("RESET statement_timeout")?;
    equal(client.value("SELECT 1")?, "1".to_owned())
}

fn fields(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY)")?;
    client.simple("DROP TABLE IF EXISTS nope")?;
    let notice = client.notices.last().ok_or("no notice")?;
    equal(
        (notice.get('S'), notice.get('V'), notice.code()),
        ("NOTICE", "NOTICE", "00000"),
    )?;
    client.simple("INSERT INTO t VALUES (1)")?;
    let why = client
        .simple("INSERT INTO t VALUES (1)")
        .err()
        .ok_or("no error")?;
    let got = ['S', 'V', 'C', 'D', 's', 't', 'n'].map(|letter| why.get(letter).to_owned());
    let expected = [
        "ERROR",
        "ERROR",
        "23505",
        "Key (id)=(1) already exists.",
        "public",
        "t",
        "t_pkey",
    ];
    equal(got, expected.map(str::to_owned))?;
    let why = client.simple("SELECT 'é', nope").err().ok_or("no error")?;
    equal((why.code(), why.get('P')), ("42703", "13"))
}

/// The first row of an endless result comes soon, and giving up ends it.
fn stream(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.send_query(
        "SELECT a, b FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
    )?;
    client.set_timeout(Duration::from_secs(20))?;
    let mut rows = 0;
    while rows < 10_000 {
        match client.receive()?.kind {
            'D' => rows += 1,
            'T' => {}
            other => return Err(format!("{other:?} instead of a row").into()),
        }
    }
    Client::cancel(target.address(), client.process_id, &client.secret)?;
    for _ in 0..200_000_000 {
        let message = client.receive()?;
        match message.kind {
            'D' => {}
            'E' => return equal(read_report(&message.body).code(), "57014"),
            other => return Err(format!("{other:?} instead of an error").into()),
        }
    }
    Err("it was not cancelled".into())
}
