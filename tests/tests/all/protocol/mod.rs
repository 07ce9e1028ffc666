//! The wire protocol, message by message: what drivers rely on.

mod copy;
mod extended;
mod portals;
mod session;
mod simple;

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;
use omendb_tests::wire::{
    Client, Message, bind_body, execute_body, parse_body, put_message, put_string, read_report,
};

/// Messages that one answer may have before a test gives up.
const MAX_MESSAGES: usize = 100_000;

type Test = (&'static str, fn(&Target) -> Result<(), Failed>);

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
    let topics = [
        session::TESTS,
        simple::TESTS,
        extended::TESTS,
        portals::TESTS,
        copy::TESTS,
    ];
    topics.into_iter().flatten().map(trial).collect()
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
