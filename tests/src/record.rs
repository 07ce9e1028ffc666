//! Records what a real PostgreSQL answers into SQL scripts.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use sqllogictest::{
    ColumnType as _, QueryExpect, Record, RecordOutput, Runner, SortMode, StatementExpect,
};

use crate::script::{Connection, Protocol, Tier, Type, configure, line};
use crate::server::Target;

type Failure = Box<dyn Error + Send + Sync>;

/// Turns plain SQL into a script whose every expectation is still to be recorded.
///
/// A statement ends with a `;` at the end of a line. `#` lines are comments; `connection`, `skipif`
/// and `onlyif` lines are kept.
pub fn import(sql: &str) -> String {
    let mut script = String::new();
    let mut statement = String::new();
    for text in sql.lines() {
        let directive = ["#", "connection ", "skipif ", "onlyif ", "sleep "]
            .iter()
            .any(|start| text.starts_with(start));
        if statement.is_empty() && directive {
            script += text;
            script.push('\n');
            continue;
        }
        if text.trim().is_empty() {
            if statement.is_empty() && !script.ends_with("\n\n") {
                script.push('\n');
            }
            continue;
        }
        statement += text.trim_end();
        if let Some(whole) = statement.strip_suffix(';') {
            let _ = write!(script, "statement ok\n{whole}\n\n");
            statement.clear();
        } else {
            statement.push('\n');
        }
    }
    script
}

/// Runs a script in an empty database of the PostgreSQL at `place` and gives it back with what
/// that answered. Records for OmenDB or for the extended protocol alone stay as they are.
pub fn record(path: &Path, script: &str, place: &str) -> Result<String, Failure> {
    let name = path.display().to_string();
    let records: Vec<Record<Type>> = sqllogictest::parser::parse_with_name(script, name)?;
    let target = Target::postgres(place)?;
    let mut runner = Runner::new(|| {
        let connection = Connection::open(&target, Protocol::Simple, Tier::Unsealed);
        async move { connection }
    });
    configure(&mut runner, Protocol::Simple);
    let mut out = String::new();
    for record in records {
        let answer = futures::executor::block_on(runner.apply_record(record.clone()));
        out += &unparse(&record, &answer);
        if matches!(record, Record::Statement { .. } | Record::Query { .. }) {
            out.push('\n');
        }
    }
    runner.shutdown();
    while out.ends_with("\n\n") {
        out.pop();
    }
    Ok(out)
}

fn unparse(record: &Record<Type>, answer: &RecordOutput<Type>) -> String {
    let (sql, keep_count, sort) = match record {
        Record::Statement { sql, expected, .. } => {
            (sql, matches!(expected, StatementExpect::Count(_)), None)
        }
        Record::Query { sql, expected, .. } => match expected {
            QueryExpect::Results { sort_mode, .. } => (sql, false, *sort_mode),
            QueryExpect::Error(_) => (sql, false, None),
        },
        // Newlines are part of what precedes them.
        Record::Newline => return "\n".to_owned(),
        other => return format!("{other}\n"),
    };
    match answer {
        RecordOutput::Nothing => format!("{record}\n"),
        RecordOutput::Statement {
            error: Some(error), ..
        }
        | RecordOutput::Query {
            error: Some(error), ..
        } => format!("statement error {}\n{sql}\n", pattern(&error.to_string())),
        RecordOutput::Statement { count, .. } => {
            let changes_rows = ["insert", "update", "delete", "with", "copy"]
                .iter()
                .any(|verb| sql.trim_start().to_lowercase().starts_with(verb));
            if keep_count || changes_rows {
                format!("statement count {count}\n{sql}\n")
            } else {
                format!("statement ok\n{sql}\n")
            }
        }
        RecordOutput::Query { types, rows, .. } => {
            let letters: String = types.iter().map(Type::to_char).collect();
            let ordered = sql.to_lowercase().contains("order by") || rows.len() < 2;
            let sort = sort.or((!ordered).then_some(SortMode::RowSort));
            let mut lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
            let mode = match sort {
                Some(SortMode::RowSort) => {
                    let mut sorted = rows.clone();
                    sorted.sort_unstable();
                    lines = sorted.iter().map(|row| line(row)).collect();
                    " rowsort"
                }
                _ => "",
            };
            let mut text = format!("query {letters}{mode}\n{sql}\n----\n");
            for line in lines {
                text += &line;
                text.push('\n');
            }
            text
        }
        _ => format!("{record}\n"),
    }
}

/// A regular expression that matches this error alone. The format joins words by one space.
fn pattern(error: &str) -> String {
    let mut words = String::new();
    for (number, text) in error.split('\n').enumerate() {
        if number > 0 {
            words += r"\n";
        }
        let escaped = regex::escape(text);
        let spaced = escaped.split(' ').collect::<Vec<_>>();
        let mut blank = false;
        for (at, word) in spaced.iter().enumerate() {
            if word.is_empty() {
                blank = true;
                continue;
            }
            if at > 0 {
                words += if blank { r"\s+" } else { " " };
            }
            blank = false;
            words += word;
        }
    }
    format!("^{words}$")
}
