//! Records the expectations of SQL scripts from PostgreSQL.
//!
//! ```text
//! slt-record HOST:PORT FILE.slt …     records each script anew, in place
//! slt-record HOST:PORT FILE.sql …     makes FILE.slt next to it from plain SQL
//! ```

use std::path::Path;
use std::process::ExitCode;

use omendb_tests::record;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(place) = arguments.next() else {
        eprintln!("usage: slt-record HOST:PORT FILE…");
        return ExitCode::from(2);
    };
    let mut failed = false;
    for file in arguments {
        match one(Path::new(&file), &place) {
            Ok(count) => println!("{file}: {count} records"),
            Err(why) => {
                eprintln!("{file}: {why}");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

fn one(path: &Path, place: &str) -> Result<usize, Failure> {
    let text = std::fs::read_to_string(path)?;
    let plain = path.extension().is_some_and(|extension| extension == "sql");
    let script = if plain { record::import(&text) } else { text };
    let recorded = record::record(path, &script, place)?;
    let starts = |line: &&str| line.starts_with("statement ") || line.starts_with("query ");
    let count = recorded.lines().filter(starts).count();
    std::fs::write(path.with_extension("slt"), recorded)?;
    Ok(count)
}
