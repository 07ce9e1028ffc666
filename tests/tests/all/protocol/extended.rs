//! The extended protocol: pipelines, statements and their parameters.

use libtest_mimic::Failed;
use omendb_tests::server::Target;
use omendb_tests::wire::{bind_body, parse_body, put_message};

use super::{Send, Test, bind, equal, exchange, execute, letters, named, parse, sync, until_ready};

pub const TESTS: &[Test] = &[
    ("pipeline", pipeline),
    ("error_skips_to_sync", skip_to_sync),
    ("sync_ends_the_implicit_transaction", implicit_transaction),
    ("describe", describe),
    ("unnamed_and_named", names),
    ("formats", formats),
    ("null_parameters", nulls),
    ("flush", flush),
    ("prepared_notices_schema_change", schema_change),
    ("many_statements_and_portals", many),
];

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
