//! Runs statements and prints what they answer.

use std::io::Write;
use std::process::ExitCode;

use omendb_core::error::Error;
use omendb_core::session::{SqlSession, Step};

use super::print::{OutputFormat, Printer};
use super::split;

/// Runs a script statement by statement; the data of `COPY … FROM STDIN` stand behind their
/// statement and end with a line `\.`, as in a dump. Stops at the first error.
///
/// # Errors
/// The output cannot be written.
pub async fn script<S: SqlSession>(
    session: &mut S,
    script: &str,
    format: OutputFormat,
    out: &mut impl Write,
) -> Result<ExitCode, String> {
    let mut rest = script;
    let mut code = ExitCode::SUCCESS;
    while !split::is_blank(rest) {
        let end = split::statement_end(rest).unwrap_or(rest.len());
        let (statement, after) = rest.split_at(end);
        let mut data = after;
        let ran = statement_with_data(session, statement, &mut data, format, out).await;
        rest = data;
        out.flush().map_err(|error| error.to_string())?;
        for notice in session.take_notices() {
            eprintln!("{}:  {}", notice.severity, notice.error);
        }
        if let Err(error) = ran {
            report(&error, statement);
            code = ExitCode::FAILURE;
            break;
        }
    }
    Ok(code)
}

/// Runs one statement; COPY takes its data from the front of `data`.
pub async fn statement_with_data<S: SqlSession>(
    session: &mut S,
    sql: &str,
    data: &mut &str,
    format: OutputFormat,
    out: &mut impl Write,
) -> Result<(), Error> {
    session.simple(sql).await?;
    let mut printer = Printer::new(format);
    while let Some(step) = session.next_simple().await? {
        if matches!(step, Step::CopyIn(_)) {
            let lines = take_copy_data(data);
            session.copy_data(lines.as_bytes()).await?;
            let done = session.copy_done().await?;
            printer.step(done, out)?;
        } else {
            printer.step(step, out)?;
        }
    }
    Ok(())
}

/// The lines behind the statement's own, up to `\.` or the end.
fn take_copy_data<'a>(data: &mut &'a str) -> &'a str {
    let start = data.find('\n').map_or(data.len(), |at| at + 1);
    let lines = data.get(start..).unwrap_or_default();
    let mut length = 0;
    for line in lines.split_inclusive('\n') {
        if line.trim_end_matches(['\r', '\n']) == "\\." {
            *data = lines.get(length + line.len()..).unwrap_or_default();
            return lines.get(..length).unwrap_or_default();
        }
        length += line.len();
    }
    *data = "";
    lines
}

/// Prints an error as psql does, with the place in the statement.
pub fn report(error: &Error, sql: &str) {
    let fields = error.fields();
    eprintln!("ERROR:  {}: {}", fields.state.code(), fields.message);
    if let Some((line, number, column)) = fields.position.and_then(|at| place(sql, at)) {
        let label = format!("LINE {number}: ");
        eprintln!("{label}{line}");
        eprintln!("{}^", " ".repeat(label.chars().count() + column));
    }
    let more = [
        ("DETAIL", &fields.detail),
        ("HINT", &fields.hint),
        ("CONTEXT", &fields.context),
    ];
    for (label, text) in more {
        if let Some(text) = text {
            eprintln!("{label}:  {text}");
        }
    }
}

/// The line that holds the character `position` (from 1), its number, and the column in it.
fn place(sql: &str, position: usize) -> Option<(&str, usize, usize)> {
    let mut left = position.checked_sub(1)?;
    for (number, line) in sql.split('\n').enumerate() {
        let length = line.chars().count();
        if left <= length {
            return Some((line, number + 1, left));
        }
        left -= length + 1;
    }
    None
}
