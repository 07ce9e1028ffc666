//! Isolation: the Hermitage anomalies (Kleppmann) and what surrounds row locks, at three levels,
//! with PostgreSQL's outcome.
//!
//! `tests/isolation/NAME.spec` has one step a line: `session: statement`. Each session begins with a
//! `BEGIN` at the level under test. `NAME.out` says for each level what PostgreSQL answered to each
//! step, that it `waits`, and which session goes on after whose step. With `OMENDB_RECORD=1`, the
//! answers of the PostgreSQL in `OMENDB_TEST_POSTGRES` are written instead of compared. Where OmenDB
//! differs on purpose, a section `== LEVEL omendb` comes after PostgreSQL's, and the spec says why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::{ORACLE, Target};
use omendb_tests::wire::{Client, Outcome, Report};

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// How long a step that should wait is watched.
const WATCH: Duration = Duration::from_millis(250);

/// The same while recording: nothing is known yet.
const WATCH_RECORDING: Duration = Duration::from_millis(700);

/// How long a step that should be answered may take.
const ANSWER: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Trial> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("isolation");
    let mut specs: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("the specs are readable")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "spec")
        })
        .collect();
    specs.sort();
    assert!(!specs.is_empty(), "there are no specs in {}", dir.display());
    if std::env::var_os("OMENDB_RECORD").is_some() {
        let record = move || {
            specs.iter().try_for_each(|spec| record(spec))?;
            Ok(())
        };
        return vec![Trial::test("isolation::record", record)];
    }
    let mut trials = Vec::new();
    for spec in specs {
        for level in LEVELS {
            let stem = spec.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!(
                "isolation::{stem}::{}",
                level.to_lowercase().replace(' ', "_")
            );
            let spec = spec.clone();
            trials.push(Trial::test(name, move || compare(&spec, level)));
        }
    }
    trials
}

fn record(spec: &Path) -> Result<(), Failed> {
    let old = std::fs::read_to_string(spec.with_extension("out")).unwrap_or_default();
    let mut text = String::new();
    for level in LEVELS {
        let _ = write!(text, "== {level}\n{}\n", run(spec, level, None)?);
        let own = format!("{level} omendb");
        if let Some(own_answers) = section(&old, &own) {
            let _ = write!(text, "== {own}\n{own_answers}\n\n");
        }
    }
    std::fs::write(
        spec.with_extension("out"),
        text.trim_end().to_owned() + "\n",
    )?;
    Ok(())
}

fn compare(spec: &Path, level: &str) -> Result<(), Failed> {
    let all = std::fs::read_to_string(spec.with_extension("out"))?;
    let own = format!("{level} omendb");
    let own = section(&all, &own).filter(|_| std::env::var_os(ORACLE).is_none());
    let expected = own
        .or_else(|| section(&all, level))
        .ok_or("nothing is recorded for this level")?;
    let got = run(spec, level, Some(expected))?;
    if got.trim_end() != expected {
        return Err(format!("expected\n{expected}\n\nbut got\n{got}").into());
    }
    Ok(())
}

/// The part of a recording below `== NAME`.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let part = |part: &'a str| part.strip_prefix(name)?.strip_prefix('\n');
    text.split("== ").find_map(part).map(str::trim_end)
}

/// Runs the steps; what happened, a line for each event.
fn run(spec: &Path, level: &str, expected: Option<&str>) -> Result<String, Failed> {
    let target = Target::fresh()?;
    let mut setup = target.connect()?;
    setup.simple("CREATE TABLE test (id int PRIMARY KEY, value int)")?;
    setup.simple("INSERT INTO test VALUES (1, 10), (2, 20)")?;
    let steps = std::fs::read_to_string(spec)?;
    let steps: Vec<(&str, &str)> = steps
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .collect();
    let mut run = Run {
        sessions: BTreeMap::new(),
        text: String::new(),
        expected,
    };
    for (name, _) in &steps {
        if !run.sessions.contains_key(name) {
            let mut client = target.connect()?;
            client.simple(&format!("BEGIN ISOLATION LEVEL {level}"))?;
            run.sessions.insert(
                name,
                Session {
                    client,
                    waits: false,
                },
            );
        }
    }
    for (name, sql) in steps {
        run.step(name, sql)?;
    }
    Ok(run.text)
}

struct Session {
    client: Client,
    waits: bool,
}

struct Run<'a> {
    sessions: BTreeMap<&'a str, Session>,
    text: String,
    expected: Option<&'a str>,
}

impl<'a> Run<'a> {
    fn step(&mut self, name: &'a str, sql: &str) -> Result<(), Failed> {
        let _ = writeln!(self.text, "{name}: {sql}");
        let watch = self.watch("  waits");
        let session = self.sessions.get_mut(name).ok_or("no such session")?;
        if session.waits {
            return Err(format!("session {name} waits still\n{}", self.text).into());
        }
        session.client.send_query(sql)?;
        if session.client.answers_within(watch)? {
            let line = show(session.client.until_ready());
            self.text += &line;
        } else {
            session.waits = true;
            self.text += "  waits\n";
        }
        let names: Vec<&str> = self.sessions.keys().copied().collect();
        for other in names {
            let line = format!("{other} goes on:");
            let watch = self.watch_other(&line);
            let session = self.sessions.get_mut(other).ok_or("no such session")?;
            if other != name && session.waits && session.client.answers_within(watch)? {
                session.waits = false;
                let answer = show(session.client.until_ready());
                let _ = write!(self.text, "{line}\n{answer}");
            }
        }
        Ok(())
    }

    /// Whether the recording goes on with this line.
    fn next_is(&self, line: &str) -> Option<bool> {
        let rest = self.expected?.strip_prefix(&self.text)?;
        Some(rest.lines().next() == Some(line))
    }

    fn watch(&self, waiting: &str) -> Duration {
        match self.next_is(waiting) {
            None if self.expected.is_none() => WATCH_RECORDING,
            Some(false) => ANSWER,
            _ => WATCH,
        }
    }

    fn watch_other(&self, line: &str) -> Duration {
        match self.next_is(line) {
            None if self.expected.is_none() => WATCH_RECORDING,
            Some(true) => ANSWER,
            _ => WATCH,
        }
    }
}

fn show(answer: Result<Vec<Outcome>, Report>) -> String {
    let outcomes = match answer {
        Ok(outcomes) => outcomes,
        Err(report) => return format!("  {} {}\n", report.code(), report.message()),
    };
    let mut text = String::new();
    for outcome in outcomes {
        for row in outcome.text() {
            let cells: Vec<String> = row
                .into_iter()
                .map(|c| c.unwrap_or("NULL".into()))
                .collect();
            let _ = writeln!(text, "  {}", cells.join(" | "));
        }
        let _ = writeln!(text, "  {}", outcome.tag);
    }
    text
}
