//! `omendb sql` and `omendb check`: a data directory without a server.

mod print;
mod prompt;
mod run;
mod split;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Config;
use crate::database::OpenDatabase;
use crate::storage::{DATABASE_FILE, FileBackend};

pub use print::OutputFormat;

/// The largest script.
const MAX_SCRIPT: u64 = 1 << 30;

/// Where the SQL comes from.
pub enum Input {
    Text(String),
    File(PathBuf),
    /// A prompt when it is a terminal, a script otherwise.
    Standard,
}

/// Runs SQL; the exit code is 1 when a statement of a script failed.
///
/// # Errors
/// The database cannot be opened or the input cannot be read, as a text for people.
pub async fn sql(config: &Config, input: Input, format: OutputFormat) -> Result<ExitCode, String> {
    let script = match input {
        Input::Text(sql) => Some(sql),
        Input::File(path) => {
            let file = std::fs::File::open(&path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            Some(read_script(file, &path.display().to_string())?)
        }
        Input::Standard if std::io::stdin().is_terminal() => None,
        Input::Standard => Some(read_script(std::io::stdin().lock(), "standard input")?),
    };
    let open = OpenDatabase::open(config).await?;
    let mut session = open
        .connect_local(&config.superuser)
        .map_err(|error| format!("cannot start a session: {error}"))?;
    let code = match script {
        Some(script) => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            run::script(&mut session, &script, format, &mut out).await
        }
        None => prompt::prompt(&mut session, format).await,
    };
    drop(session);
    open.database
        .close()
        .map_err(|error| format!("cannot close the database: {error}"))?;
    code
}

fn read_script(input: impl Read, name: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = input.take(MAX_SCRIPT).read_to_string(&mut text);
    read.map_err(|error| format!("cannot read {name}: {error}"))?;
    if text.len() as u64 == MAX_SCRIPT {
        return Err(format!(
            "{name} is larger than 1 GB: load data with COPY through the server"
        ));
    }
    Ok(text)
}

/// Verifies a data directory; the exit code is 1 when something is wrong with it.
///
/// # Errors
/// There is no database, or it cannot be opened.
pub async fn check(config: &Config) -> Result<ExitCode, String> {
    if !FileBackend::exists(&config.data_dir) {
        return Err(format!(
            "there is no database in {} ({DATABASE_FILE} is missing)",
            config.data_dir.display()
        ));
    }
    let open = OpenDatabase::open(config).await?;
    let findings = open
        .database
        .check()
        .await
        .map_err(|error| format!("check: {error}"))?;
    for finding in &findings {
        println!("{finding}");
    }
    open.database
        .close()
        .map_err(|error| format!("cannot close the database: {error}"))?;
    if findings.is_empty() {
        println!("{}: no damage found", config.data_dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
