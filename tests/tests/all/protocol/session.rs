//! How a session begins, is told of settings, cancelled and ended.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Failed;
use omendb_tests::server::Target;
use omendb_tests::wire::{Client, read_report};

use super::{MAX_MESSAGES, Test, ensure, equal, letters, until_ready};

pub const TESTS: &[Test] = &[
    ("greeting", greeting),
    ("tls_request_is_answered", tls_request),
    ("unknown_database_or_option", unknown),
    ("parameter_status", parameter_status),
    ("cancel", cancel),
    ("cancel_with_a_wrong_key", wrong_cancel),
    ("terminate", terminate),
];

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
