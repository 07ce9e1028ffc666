//! The wire protocol, message by message: what drivers rely on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;
use omendb_tests::wire::{
    Client, Message, bind_body, execute_body, parse_body, put_message, put_string, read_report,
};

/// Messages that one answer may have before a test gives up.
const MAX_MESSAGES: usize = 100_000;

type Test = (&'static str, fn(&Target) -> Result<(), Failed>);

const TESTS: &[Test] = &[
    ("greeting", greeting),
    ("tags", tags),
    ("simple_query_is_one_transaction", simple_transaction),
    ("pipeline", pipeline),
    ("error_skips_to_sync", skip_to_sync),
    ("sync_ends_the_implicit_transaction", implicit_transaction),
    ("portal_row_limit", row_limit),
    ("portal_survives_in_transaction", portal_in_transaction),
    ("describe", describe),
    ("unnamed_and_named", names),
    ("formats", formats),
    ("null_parameters", nulls),
    ("flush", flush),
    ("empty_query", empty),
    ("copy_by_messages", copy),
    ("copy_in_a_pipeline", copy_error),
    ("cancel", cancel),
    ("terminate", terminate),
    ("time_out_while_planning_or_joining", heavy),
    ("cancel_with_a_wrong_key", wrong_cancel),
    ("tls_request_is_answered", tls_request),
    ("notice_and_error_fields", fields),
    ("stream_does_not_wait_for_the_end", stream),
    ("unknown_database_or_option", unknown),
    ("parameter_status", parameter_status),
    ("prepared_notices_schema_change", schema_change),
    ("many_statements_and_portals", many),
];

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, test): &Test| {
        Trial::test(format!("protocol::{name}"), move || {
            let target = Target::fresh()?;
            test(&target)?;
            // Whatever was done to it, the server serves on.
            let one = target.connect()?.value("SELECT 1")?;
            ensure(one == "1", "the server does not serve any more")
        })
    };
    TESTS.iter().map(trial).collect()
}

pub fn ensure(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

pub fn equal<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Result<(), Failed> {
    ensure(got == expected, format!("{got:?} instead of {expected:?}"))
}

/// Everything up to and with `ReadyForQuery`.
pub fn until_ready(client: &mut Client) -> Result<Vec<Message>, Failed> {
    let mut messages = Vec::new();
    for _ in 0..MAX_MESSAGES {
        let message = client.receive()?;
        let last = message.kind == 'Z';
        messages.push(message);
        if last {
            return Ok(messages);
        }
    }
    Err("the answer has no end".into())
}

/// The letters of an answer; runs of rows as one `D`, the status after `Z`.
pub fn letters(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        match message.kind {
            'D' if text.ends_with('D') => {}
            'N' | 'S' => {}
            'E' => text += &format!("E({})", read_report(&message.body).code()),
            'Z' => {
                text.push('Z');
                text.push(message.body.first().map_or('?', |&b| b as char));
            }
            kind => text.push(kind),
        }
    }
    text
}

/// A message to send: its letter and body.
pub type Send = (char, Vec<u8>);

pub fn parse(name: &str, sql: &str) -> Send {
    ('P', parse_body(name, sql, &[]))
}

pub fn bind(portal: &str, statement: &str, values: &[Option<&[u8]>]) -> Send {
    ('B', bind_body(portal, statement, &[], values, &[]))
}

pub fn execute(portal: &str, rows: u32) -> Send {
    ('E', execute_body(portal, rows))
}

fn named(kind: char, what: char, name: &str) -> Send {
    let mut body = vec![what as u8];
    put_string(&mut body, name);
    (kind, body)
}

pub fn sync() -> Send {
    ('S', Vec::new())
}

pub fn exchange(client: &mut Client, messages: &[Send]) -> Result<String, Failed> {
    let mut all = Vec::new();
    for (kind, body) in messages {
        put_message(&mut all, *kind, body);
    }
    client.send_raw(&all)?;
    Ok(letters(&until_ready(client)?))
}

fn greeting(target: &Target) -> Result<(), Failed> {
    let client = target.connect()?;
    equal(client.status, 'I')?;
    ensure(
        client.process_id > 0 && client.secret.len() == 4,
        "no key to cancel with",
    )?;
    let value = |name: &str| {
        let found = client.parameters.iter().find(|(known, _)| known == name);
        found
            .map_or("(missing)", |(_, value)| value.as_str())
            .to_owned()
    };
    ensure(
        value("server_version").starts_with("15."),
        value("server_version"),
    )?;
    for (name, expected) in [
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
        ("session_authorization", "postgres"),
        ("application_name", ""),
        ("default_transaction_read_only", "off"),
        ("in_hot_standby", "off"),
    ] {
        equal(
            format!("{name}={}", value(name)),
            format!("{name}={expected}"),
        )?;
    }
    Ok(())
}

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

fn pipeline(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let mut messages = Vec::new();
    for number in 0..50 {
        messages.push(parse("", "SELECT $1::int + 1"));
        let text = number.to_string();
        messages.push(bind("", "", &[Some(text.as_bytes())]));
        messages.push(execute("", 0));
    }
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "12DC".repeat(50) + "ZI")?;
    let three = [
        parse("", "SELECT 1"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ]
    .concat_times(3);
    let mut all = Vec::new();
    for (kind, body) in &three {
        put_message(&mut all, *kind, body);
    }
    client.send_raw(&all)?;
    for _ in 0..3 {
        equal(letters(&until_ready(&mut client)?), "12DCZI".to_owned())?;
    }
    Ok(())
}

trait Times {
    fn concat_times(self, times: usize) -> Vec<Send>;
}

impl<const N: usize> Times for [Send; N] {
    fn concat_times(self, times: usize) -> Vec<Send> {
        std::iter::repeat_n(self, times).flatten().collect()
    }
}

fn skip_to_sync(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let messages = [
        parse("", "SELECT 1 / g FROM generate_series(0, 1) g"),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT 1"),
        sync(),
    ];
    let got = exchange(&mut client, &messages)?;
    equal(got, "12E(22012)ZI".to_owned())?;
    let messages = [
        parse("", "SELEC"),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    equal(exchange(&mut client, &messages)?, "E(42601)ZI".to_owned())?;
    let messages = [bind("", "nope", &[]), execute("", 0), sync()];
    equal(exchange(&mut client, &messages)?, "E(26000)ZI".to_owned())?;
    let messages = [execute("nope", 0), sync()];
    equal(exchange(&mut client, &messages)?, "E(34000)ZI".to_owned())
}

fn implicit_transaction(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY)")?;
    let insert = |sql: &str| [parse("", sql), bind("", "", &[]), execute("", 0)];
    let mut messages = Vec::new();
    messages.extend(insert("INSERT INTO t VALUES (1)"));
    messages.extend(insert("INSERT INTO t VALUES (2)"));
    messages.extend(insert("INSERT INTO t VALUES (1)"));
    messages.push(sync());
    equal(
        exchange(&mut client, &messages)?,
        "12C12C12E(23505)ZI".to_owned(),
    )?;
    equal(client.value("SELECT count(*) FROM t")?, "0".to_owned())?;
    let mut messages = Vec::new();
    messages.extend(insert("BEGIN"));
    messages.extend(insert("INSERT INTO t VALUES (1)"));
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "12C12CZT".to_owned())?;
    let mut messages = Vec::new();
    messages.extend(insert("SELECT nope"));
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "E(42703)ZE".to_owned())?;
    let mut messages = Vec::new();
    messages.extend(insert("SELECT 1"));
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "E(25P02)ZE".to_owned())?;
    let mut messages = Vec::new();
    messages.extend(insert("ROLLBACK"));
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "12CZI".to_owned())
}

fn row_limit(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let messages = [
        parse("", "SELECT g FROM generate_series(1, 5) g"),
        bind("p", "", &[]),
        execute("p", 2),
        execute("p", 2),
        execute("p", 2),
        execute("p", 2),
        sync(),
    ];
    let mut all = Vec::new();
    for (kind, body) in &messages {
        put_message(&mut all, *kind, body);
    }
    client.send_raw(&all)?;
    let answer = until_ready(&mut client)?;
    let kinds: String = answer.iter().map(|message| message.kind).collect();
    equal(kinds, "12DDsDDsDCCZ".to_owned())?;
    // A tag counts the rows of its own Execute.
    let tags: Vec<&[u8]> = answer
        .iter()
        .filter(|message| message.kind == 'C')
        .map(|message| message.body.as_slice())
        .collect();
    ensure(
        tags == [b"SELECT 1\0".as_slice(), b"SELECT 0\0"],
        format!("{tags:?}"),
    )?;
    // The portal ended with its transaction.
    equal(
        exchange(&mut client, &[execute("p", 0), sync()])?,
        "E(34000)ZI".to_owned(),
    )?;
    // What returns no rows runs once, and is undone with the error.
    client.simple("CREATE TABLE once (a int)")?;
    let twice = [
        parse("", "INSERT INTO once VALUES (1)"),
        bind("", "", &[]),
        execute("", 0),
        execute("", 0),
        sync(),
    ];
    equal(exchange(&mut client, &twice)?, "12CE(55000)ZI".to_owned())?;
    equal(client.value("SELECT count(*) FROM once")?, "0".to_owned())
}

fn portal_in_transaction(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("BEGIN")?;
    let open = [
        parse("", "SELECT g FROM generate_series(1, 1000) g ORDER BY g"),
        bind("a", "", &[]),
        execute("a", 10),
        sync(),
    ];
    equal(exchange(&mut client, &open)?, "12DsZT".to_owned())?;
    let other = [
        parse("", "SELECT 1"),
        bind("b", "", &[]),
        execute("b", 0),
        sync(),
    ];
    equal(exchange(&mut client, &other)?, "12DCZT".to_owned())?;
    equal(
        exchange(&mut client, &[execute("a", 10), sync()])?,
        "DsZT".to_owned(),
    )?;
    let again = [bind("a", "", &[]), sync()];
    equal(exchange(&mut client, &again)?, "E(42P03)ZE".to_owned())?;
    client.simple("ROLLBACK")?;
    equal(
        exchange(&mut client, &[execute("a", 10), sync()])?,
        "E(34000)ZI".to_owned(),
    )
}

fn describe(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int8 PRIMARY KEY, v varchar(9), n numeric(6,2))")?;
    let messages = [
        parse("s", "SELECT id, v, n FROM t WHERE id = $1 AND v = $2"),
        named('D', 'S', "s"),
        bind("p", "s", &[Some(b"1"), None]),
        named('D', 'P', "p"),
        sync(),
    ];
    let mut all = Vec::new();
    for (kind, body) in &messages {
        put_message(&mut all, *kind, body);
    }
    client.send_raw(&all)?;
    let got = until_ready(&mut client)?;
    equal(letters(&got), "1tT2TZI".to_owned())?;
    let types = got
        .iter()
        .find(|message| message.kind == 't')
        .map(|message| message.body.clone());
    let expected = [&[0, 2][..], &20_u32.to_be_bytes(), &25_u32.to_be_bytes()].concat();
    equal(types, Some(expected))?;
    let insert = [
        parse("", "INSERT INTO t VALUES ($1, $2, $3)"),
        named('D', 'S', ""),
        sync(),
    ];
    equal(exchange(&mut client, &insert)?, "1tnZI".to_owned())?;
    let returning = [
        parse("", "DELETE FROM t RETURNING id"),
        named('D', 'S', ""),
        sync(),
    ];
    equal(exchange(&mut client, &returning)?, "1tTZI".to_owned())?;
    equal(
        exchange(&mut client, &[named('D', 'S', "nope"), sync()])?,
        "E(26000)ZI".to_owned(),
    )?;
    equal(
        exchange(&mut client, &[named('D', 'P', "nope"), sync()])?,
        "E(34000)ZI".to_owned(),
    )
}

fn names(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    equal(
        exchange(&mut client, &[parse("s", "SELECT 1"), sync()])?,
        "1ZI".to_owned(),
    )?;
    equal(
        exchange(&mut client, &[parse("s", "SELECT 2"), sync()])?,
        "E(42P05)ZI".to_owned(),
    )?;
    equal(
        exchange(&mut client, &[named('C', 'S', "s"), sync()])?,
        "3ZI".to_owned(),
    )?;
    equal(
        exchange(
            &mut client,
            &[named('C', 'S', "s"), named('C', 'P', "none"), sync()],
        )?,
        "33ZI".to_owned(),
    )?;
    equal(
        exchange(&mut client, &[parse("s", "SELECT 2"), sync()])?,
        "1ZI".to_owned(),
    )?;
    // SQL and protocol know the same statements.
    equal(client.value("EXECUTE s")?, "2".to_owned())?;
    client.simple("PREPARE q AS SELECT 3")?;
    equal(
        exchange(&mut client, &[bind("", "q", &[]), execute("", 0), sync()])?,
        "2DCZI".to_owned(),
    )?;
    equal(
        exchange(&mut client, &[parse("", "SELECT 1; SELECT 2"), sync()])?,
        "E(42601)ZI".to_owned(),
    )?;
    equal(
        exchange(
            &mut client,
            &[parse("", "SELECT $1::int"), bind("", "", &[]), sync()],
        )?,
        "1E(08P01)ZI".to_owned(),
    )
}

fn formats(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let int = 258_i32.to_be_bytes();
    let body = bind_body("", "", &[1, 0], &[Some(&int), Some(b"259")], &[1, 0]);
    let messages = [
        ('P', parse_body("", "SELECT $1, $2", &[23, 23])),
        ('B', body),
        execute("", 0),
        sync(),
    ];
    let mut all = Vec::new();
    for (kind, body) in &messages {
        put_message(&mut all, *kind, body);
    }
    client.send_raw(&all)?;
    let got = until_ready(&mut client)?;
    let row = got
        .iter()
        .find(|message| message.kind == 'D')
        .map(|message| message.body.clone());
    let expected = [
        &[0, 2][..],
        &4_u32.to_be_bytes(),
        &int,
        &3_u32.to_be_bytes(),
        b"259",
    ]
    .concat();
    equal(row, Some(expected))?;
    let body = bind_body("", "", &[0, 1, 0], &[Some(b"1"), Some(b"2")], &[]);
    let messages = [
        ('P', parse_body("", "SELECT $1, $2", &[23, 23])),
        ('B', body),
        sync(),
    ];
    equal(exchange(&mut client, &messages)?, "1E(08P01)ZI".to_owned())?;
    // A value that ends too early, and one that goes on too long.
    for (value, answer) in [
        (&b"\0\0\x01"[..], "1E(08P01)ZI"),
        (&b"\0\0\0\x01\0"[..], "1E(22P03)ZI"),
    ] {
        let messages = [
            ('P', parse_body("", "SELECT $1", &[23])),
            ('B', bind_body("", "", &[1], &[Some(value)], &[])),
            sync(),
        ];
        equal(exchange(&mut client, &messages)?, answer.to_owned())?;
    }
    Ok(())
}

fn nulls(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let outcome = client.extended("SELECT $1::int IS NULL, $2::text", &[None, Some("")])?;
    equal(
        outcome.text(),
        vec![vec![Some("t".to_owned()), Some(String::new())]],
    )
}

fn flush(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let mut all = Vec::new();
    for (kind, body) in [
        parse("", "SELECT 1"),
        bind("", "", &[]),
        execute("", 0),
        ('H', Vec::new()),
    ] {
        put_message(&mut all, kind, &body);
    }
    client.send_raw(&all)?;
    let mut kinds = String::new();
    while kinds.len() < 4 {
        kinds.push(client.receive()?.kind);
    }
    equal(kinds, "12DC".to_owned())?;
    equal(exchange(&mut client, &[sync()])?, "ZI".to_owned())
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

fn copy(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY, v text)")?;
    client.send_query("COPY t FROM STDIN")?;
    equal(client.receive()?.kind, 'G')?;
    // Cut anywhere.
    for part in ["1\tone\n2", "\ttw", "o\n3\t\\", "N\n", "\\.\n"] {
        client.send('d', part.as_bytes())?;
    }
    client.send('c', &[])?;
    let got = until_ready(&mut client)?;
    equal(letters(&got), "CZI".to_owned())?;
    client.send_query("COPY t TO STDOUT")?;
    let got = until_ready(&mut client)?;
    let data: Vec<u8> = got
        .iter()
        .filter(|m| m.kind == 'd')
        .flat_map(|m| m.body.clone())
        .collect();
    equal(
        String::from_utf8_lossy(&data).into_owned(),
        "1\tone\n2\ttwo\n3\t\\N\n".to_owned(),
    )?;
    // The client gives up.
    client.send_query("COPY t FROM STDIN")?;
    client.send('d', b"9\tnine\n")?;
    client.send('f', b"changed my mind\0")?;
    equal(
        letters(&until_ready(&mut client)?),
        "GE(57014)ZI".to_owned(),
    )?;
    equal(client.value("SELECT count(*) FROM t")?, "3".to_owned())
}

fn copy_error(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY)")?;
    let messages = [
        parse("", "COPY t FROM STDIN"),
        bind("", "", &[]),
        execute("", 0),
        ('d', b"1\nx\n".to_vec()),
        ('d', b"2\n".to_vec()),
        ('c', Vec::new()),
        sync(),
    ];
    equal(
        exchange(&mut client, &messages)?,
        "12GE(22P02)ZI".to_owned(),
    )?;
    equal(client.value("SELECT count(*) FROM t")?, "0".to_owned())
}

fn cancel(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    for sql in [
        "SELECT pg_sleep(30)",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE (a + b) % 7 = 8",
    ] {
        client.send_query(sql)?;
        std::thread::sleep(Duration::from_millis(300));
        Client::cancel(target.address(), client.process_id, &client.secret)?;
        equal(
            (sql, letters(&until_ready(&mut client)?).replace('T', "")),
            (sql, "E(57014)ZI".to_owned()),
        )?;
    }
    // A request that comes when nothing runs does no harm.
    Client::cancel(target.address(), client.process_id, &client.secret)?;
    std::thread::sleep(Duration::from_millis(100));
    equal(client.value("SELECT 1")?, "1".to_owned())
}

/// Ends an idle session, one in a transaction, and one that runs a statement; what they held is free.
fn terminate(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")?;
    for sql in ["SELECT 1", "BEGIN; DELETE FROM t", "SELECT pg_sleep(30)"] {
        let mut other = target.connect()?;
        other.send_query(sql)?;
        std::thread::sleep(Duration::from_millis(300));
        let ended = format!("SELECT pg_terminate_backend({})", other.process_id);
        equal((sql, client.value(&ended)?), (sql, "t".to_owned()))?;
        let last = last_message(&mut other)?;
        equal((sql, last), (sql, "FATAL 57P01".to_owned()))?;
        equal(
            (sql, client.value("UPDATE t SET id = 1 RETURNING id")?),
            (sql, "1".to_owned()),
        )?;
    }
    equal(
        client.value("SELECT pg_terminate_backend(0)")?,
        "f".to_owned(),
    )?;
    client.send_query("SELECT pg_terminate_backend(pg_backend_pid())")?;
    equal(last_message(&mut client)?, "FATAL 57P01".to_owned())
}

/// What the server says last before it closes the connection: severity and SQLSTATE.
fn last_message(client: &mut Client) -> Result<String, Failed> {
    let mut last = String::new();
    for _ in 0..MAX_MESSAGES {
        let Ok(message) = client.receive() else {
            return Ok(last);
        };
        last = match message.kind {
            'E' => {
                let report = read_report(&message.body);
                format!("{} {}", report.get('S'), report.code())
            }
            kind => kind.to_string(),
        };
    }
    Err("the answer has no end".into())
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

fn wrong_cancel(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.send_query("SELECT pg_sleep(1)")?;
    let wrong: Vec<u8> = client.secret.iter().map(|byte| byte ^ 0x55).collect();
    Client::cancel(target.address(), client.process_id, &wrong)?;
    equal(letters(&until_ready(&mut client)?), "TDCZI".to_owned())
}

fn tls_request(target: &Target) -> Result<(), Failed> {
    let mut stream = TcpStream::connect(target.address().socket()?)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = [8_i32.to_be_bytes(), 80_877_103_i32.to_be_bytes()].concat();
    stream.write_all(&request)?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    equal(answer, *b"N")?;
    Ok(())
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

fn unknown(target: &Target) -> Result<(), Failed> {
    let mut address = target.address().clone();
    address.database = "there is no such database".to_owned();
    let why = Client::connect(&address)
        .err()
        .ok_or("an unknown database is accepted")?;
    equal((why.get('S'), why.code()), ("FATAL", "3D000"))?;
    let mut address = target.address().clone();
    address.user = "nobody here".to_owned();
    let why = Client::connect(&address)
        .err()
        .ok_or("an unknown user is accepted")?;
    equal((why.get('S'), why.code()), ("FATAL", "28000"))?;
    let with = [
        ("options", "-c statement_timeout=1234"),
        ("application_name", "tester"),
    ];
    let mut client = Client::connect_with(target.address(), &with)?;
    equal(client.value("SHOW statement_timeout")?, "1234ms".to_owned())?;
    equal(client.value("SHOW application_name")?, "tester".to_owned())
}

fn parameter_status(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let get = |client: &Client, name: &str| {
        let found = client.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    client.simple("SET application_name = 'one'")?;
    equal(get(&client, "application_name"), "one".to_owned())?;
    client.simple("BEGIN; SET application_name = 'two'")?;
    equal(get(&client, "application_name"), "two".to_owned())?;
    client.simple("ROLLBACK")?;
    equal(get(&client, "application_name"), "one".to_owned())?;
    client.simple("SET TIME ZONE 'Asia/Tokyo'")?;
    equal(get(&client, "TimeZone"), "Asia/Tokyo".to_owned())
}

fn schema_change(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    client.simple("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10)")?;
    let run = [bind("", "s", &[]), execute("", 0), sync()];
    equal(
        exchange(&mut client, &[parse("s", "SELECT v FROM t"), sync()])?,
        "1ZI".to_owned(),
    )?;
    equal(exchange(&mut client, &run)?, "2DCZI".to_owned())?;
    client.simple("CREATE INDEX ON t (v)")?;
    client.simple("ALTER TABLE t ADD COLUMN w int")?;
    equal(exchange(&mut client, &run)?, "2DCZI".to_owned())?;
    client.simple("ALTER TABLE t ALTER COLUMN v TYPE text")?;
    equal(exchange(&mut client, &run)?, "E(0A000)ZI".to_owned())?;
    client.simple("DROP TABLE t")?;
    equal(exchange(&mut client, &run)?, "E(42P01)ZI".to_owned())
}

fn many(target: &Target) -> Result<(), Failed> {
    let mut client = target.connect()?;
    let mut messages = Vec::new();
    for number in 0..500 {
        let name = format!("s{number}");
        messages.push(parse(&name, &format!("SELECT {number}")));
        messages.push(bind(&name, &name, &[]));
    }
    messages.push(sync());
    equal(exchange(&mut client, &messages)?, "12".repeat(500) + "ZI")?;
    equal(
        client.value("SELECT count(*) FROM pg_prepared_statements")?,
        "500".to_owned(),
    )?;
    client.simple("DISCARD ALL")?;
    equal(
        client.value("SELECT count(*) FROM pg_prepared_statements")?,
        "0".to_owned(),
    )
}
