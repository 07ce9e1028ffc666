//! The interactive prompt.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use omendb_core::session::{SqlSession, TransactionStatus};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::print::OutputFormat;
use super::{run, split};

/// Entries of the history.
const MAX_HISTORY: usize = 1000;
/// The file with the history, in the home directory.
const HISTORY_FILE: &str = ".omendb_history";

/// Reads statements and runs them until `\q` or the end of the input.
///
/// # Errors
/// The terminal cannot be used.
pub async fn prompt<S: SqlSession>(
    session: &mut S,
    format: OutputFormat,
) -> Result<ExitCode, String> {
    let config = rustyline::Config::builder()
        .max_history_size(MAX_HISTORY)
        .map_err(|error| error.to_string())?
        .build();
    let mut editor = DefaultEditor::with_config(config).map_err(|error| error.to_string())?;
    let history = history_file();
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    println!(
        "OmenDB {}. Statements end with a semicolon; \\q quits.",
        env!("CARGO_PKG_VERSION")
    );

    let mut text = String::new();
    loop {
        let mark = match session.status() {
            TransactionStatus::Idle => "",
            TransactionStatus::InTransaction => "*",
            TransactionStatus::Failed => "!",
        };
        let prompt = if text.is_empty() {
            format!("omendb{mark}> ")
        } else {
            "     -> ".into()
        };
        match editor.readline(&prompt) {
            Ok(line) if text.is_empty() && matches!(line.trim(), "\\q" | "exit" | "quit") => break,
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.to_string()),
        }
        if split::statement_end(&text).is_some() {
            let _ = editor.add_history_entry(text.trim_end());
        }
        while let Some(end) = split::statement_end(&text) {
            let statement: String = text.drain(..end).collect();
            execute(session, &statement, format).await;
        }
        if split::is_blank(&text) {
            text.clear();
        }
    }
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    Ok(ExitCode::SUCCESS)
}

async fn execute<S: SqlSession>(session: &mut S, statement: &str, format: OutputFormat) {
    let mut out = std::io::stdout().lock();
    let ran = run::statement_with_data(session, statement, &mut "", format, &mut out).await;
    let _ = out.flush();
    for notice in session.take_notices() {
        eprintln!("{}:  {}", notice.severity, notice.error);
    }
    if let Err(error) = ran {
        run::report(&error, statement);
    }
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(HISTORY_FILE))
}
