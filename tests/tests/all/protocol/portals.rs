//! Portals that are read in parts.

use libtest_mimic::Failed;
use omendb_tests::server::Target;
use omendb_tests::wire::put_message;

use super::{Test, bind, ensure, equal, exchange, execute, parse, sync, until_ready};

pub const TESTS: &[Test] = &[
    ("portal_row_limit", row_limit),
    ("portal_survives_in_transaction", portal_in_transaction),
];

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
