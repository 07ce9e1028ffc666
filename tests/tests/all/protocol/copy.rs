//! COPY in messages.

use libtest_mimic::Failed;
use omendb_tests::server::Target;

use super::{Test, bind, equal, exchange, execute, letters, parse, sync, until_ready};

pub const TESTS: &[Test] = &[
    ("copy_by_messages", copy),
    ("copy_in_a_pipeline", copy_error),
];

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
