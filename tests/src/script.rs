//! SQL scripts in sqllogictest format: how they run and how they are compared.
//!
//! Each script starts in an empty database. It runs twice, so that both protocols answer alike: as
//! simple queries (label `simple`) and through Parse, Bind, Describe, Execute (label `extended`).
//! A record is conditional with `onlyif`/`skipif` and one of these labels or an engine's name
//! (`omendb`, `postgres`).
//!
//! - A query's types are one letter a column, see [`Type`]; they are compared by type OID.
//! - Values are the server's text, columns joined by ` | `. NULL is `NULL`, an empty string is
//!   `(empty)`, and text that would be mistaken for either, or has spaces at its ends or control
//!   characters, is quoted as Rust does.
//! - An expected error is a regular expression over `SQLSTATE: message`, with the detail in
//!   brackets for constraint violations.

use std::path::Path;

use sqllogictest::{ColumnType, DB, DBOutput, Record, Runner};

use crate::server::Target;
use crate::wire::{Client, Outcome, Report};

/// The protocol that a script's statements go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Simple,
    Extended,
}

impl Protocol {
    pub fn label(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        }
    }
}

/// Where rows are while a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// As the server decides: short scripts leave all of them in redb.
    Unsealed,
    /// In segments, after every statement.
    Sealed,
    /// In both: every third statement seals what is there.
    Mixed,
}

impl Tier {
    fn every(self) -> Option<usize> {
        match self {
            Tier::Unsealed => None,
            Tier::Sealed => Some(1),
            Tier::Mixed => Some(3),
        }
    }

    /// Where rows are sealed, statements with queries write them to segments at once.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Tier::Unsealed => &[],
            Tier::Sealed | Tier::Mixed => &["--load-rows", "1"],
        }
    }
}

/// Seals the rows of every table. Other sessions, and transactions that are open, notice nothing.
pub const SEAL: &str = "SELECT omendb_seal(oid) FROM pg_class WHERE relkind = 'r' AND oid >= 16384";

/// A result column's type, as one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(char);

/// Letters and OIDs; anything else is `?`.
const TYPES: &[(char, u32)] = &[
    ('b', 16),   // bool
    ('y', 17),   // bytea
    ('N', 19),   // name
    ('c', 18),   // "char"
    ('l', 20),   // int8
    ('s', 21),   // int2
    ('i', 23),   // int4
    ('t', 25),   // text
    ('o', 26),   // oid
    ('j', 114),  // json
    ('f', 700),  // float4
    ('d', 701),  // float8
    ('C', 1042), // char(n)
    ('v', 1043), // varchar
    ('D', 1082), // date
    ('h', 1083), // time
    ('T', 1114), // timestamp
    ('Z', 1184), // timestamptz
    ('I', 1186), // interval
    ('n', 1700), // numeric
    ('u', 2950), // uuid
    ('J', 3802), // jsonb
];

impl ColumnType for Type {
    fn from_char(letter: char) -> Option<Self> {
        let known = letter == '?' || TYPES.iter().any(|&(known, _)| known == letter);
        known.then_some(Type(letter))
    }

    fn to_char(&self) -> char {
        self.0
    }
}

impl Type {
    fn from_oid(oid: u32) -> Type {
        let found = TYPES.iter().find(|&&(_, known)| known == oid);
        Type(found.map_or('?', |&(letter, _)| letter))
    }
}

/// One connection of a script.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    protocol: Protocol,
    engine: &'static str,
    /// A session beside, with the number of statements between two seals.
    sealer: Option<(Client, usize)>,
    statements: usize,
}

impl Connection {
    pub fn open(target: &Target, protocol: Protocol, tier: Tier) -> Result<Connection, Report> {
        let sealer = match tier.every() {
            Some(every) => Some((Client::connect(target.address())?, every)),
            None => None,
        };
        Ok(Connection {
            client: Client::connect(target.address())?,
            protocol,
            engine: target.engine(),
            sealer,
            statements: 0,
        })
    }

    fn seal(&mut self) -> Result<(), Report> {
        self.statements += 1;
        if let Some((sealer, every)) = &mut self.sealer
            && self.statements.is_multiple_of(*every)
        {
            sealer.simple(SEAL)?;
        }
        Ok(())
    }
}

impl DB for Connection {
    type Error = Report;
    type ColumnType = Type;

    fn run(&mut self, sql: &str) -> Result<DBOutput<Type>, Report> {
        let outcome = match self.protocol {
            Protocol::Simple => self.client.simple(sql)?.pop().unwrap_or_default(),
            Protocol::Extended => self.client.extended(sql, &[])?,
        };
        if outcome.columns.is_none() {
            self.seal()?;
        }
        Ok(output(&outcome))
    }

    fn shutdown(&mut self) {
        self.client.terminate();
        if let Some((mut sealer, _)) = self.sealer.take() {
            sealer.terminate();
        }
    }

    fn engine_name(&self) -> &str {
        self.engine
    }

    fn error_sql_state(error: &Report) -> Option<String> {
        Some(error.code().to_owned())
    }
}

fn output(outcome: &Outcome) -> DBOutput<Type> {
    let Some(columns) = &outcome.columns else {
        return DBOutput::StatementComplete(outcome.count());
    };
    let rows = outcome.text();
    DBOutput::Rows {
        types: columns.iter().map(|c| Type::from_oid(c.oid)).collect(),
        rows: rows
            .iter()
            .map(|row| row.iter().map(|cell| show(cell.as_deref())).collect())
            .collect(),
    }
}

/// A value on one line, unmistakable.
fn show(cell: Option<&str>) -> String {
    let Some(text) = cell else {
        return "NULL".to_owned();
    };
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let plain = !matches!(text, "NULL" | "(empty)" | "----")
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if plain {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// A result row as it stands in a script.
pub fn line(row: &[String]) -> String {
    if row.is_empty() {
        return "(no columns)".to_owned();
    }
    row.join(" | ")
}

/// Prepares a runner to compare as this format does.
pub fn configure<M>(runner: &mut Runner<Connection, M>, protocol: Protocol)
where
    M: sqllogictest::MakeConnection<Conn = Connection>,
{
    runner.add_label(protocol.label());
    runner.with_column_validator(|actual, expected| actual == expected);
    runner.with_validator(|_, actual, expected| {
        actual.len() == expected.len()
            && actual
                .iter()
                .zip(expected)
                .all(|(row, text)| line(row) == *text)
    });
}

/// What came of a script.
#[derive(Debug, Default)]
pub struct Verdict {
    pub passed: usize,
    pub failures: Vec<String>,
}

/// Runs every record of a script, also after a failure, in an empty database.
pub fn run(
    path: &Path,
    protocol: Protocol,
    tier: Tier,
) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
    let records: Vec<Record<Type>> = sqllogictest::parse_file(path)?;
    let target = Target::with(tier.flags())?;
    let mut runner = Runner::new(|| {
        let connection = Connection::open(&target, protocol, tier);
        async move { connection }
    });
    configure(&mut runner, protocol);
    let mut report = Verdict::default();
    for record in records {
        let counts = is_counted(&record);
        let last = matches!(record, Record::Halt { .. });
        match runner.run(record) {
            Ok(sqllogictest::RecordOutput::Nothing) => {}
            Ok(_) => report.passed += usize::from(counts),
            Err(failure) => report.failures.push(failure.display(false).to_string()),
        }
        if last {
            break;
        }
    }
    runner.shutdown();
    Ok(report)
}

fn is_counted(record: &Record<Type>) -> bool {
    matches!(record, Record::Statement { .. } | Record::Query { .. })
}
