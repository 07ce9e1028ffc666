//! `engine [millions of rows [store]]`: see `omendb_benches::engine`. Writes a section of RESULTS.md.

use std::process::ExitCode;

use omendb_benches::engine::peers::{Fjall, Redb};
use omendb_benches::engine::sealed::Engine;
use omendb_benches::engine::{Done, Measured, Size, Store, measure};

/// The system's allocator is not the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Memory that each store may use, in bytes for a row.
const CACHE: usize = 400;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let millions = arguments.next().map_or(Ok(10.0), |text| text.parse());
    let outcome = match (millions, arguments.next()) {
        (Ok(millions), only) if millions >= 0.1 => run(millions, only.as_deref()),
        _ => Err("usage: engine [millions of rows, at least 0.1 [store]]".into()),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} wrong answers");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every store, or the one of a name. Returns the number of wrong answers.
fn run(millions: f64, only: Option<&str>) -> Done<u64> {
    let rows = (millions * 1e6) as u64;
    let size = Size {
        rows,
        lookups: rows.min(2_000_000),
        ranges: 300,
        inserts: 1_000_000.min(rows),
        transactions: 3_000,
    };
    let cache = rows as usize * CACHE;
    let mut wrong = 0;
    println!("{rows} rows of 118 bytes, {cache} bytes of cache for each\n");
    println!(
        "| | load, rows/s | bytes a row | look-up, cold, ns | warm, ns | p99, ns | each in the newest state, ns | 1024 together, ns each | range, rows/s | durable insert, rows/s | 70 look-ups + 30 updates, operations/s | wrong |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for make in [
        |directory, cache| Ok(Box::new(Redb::new(directory, cache)?) as Box<dyn Store>),
        |directory, cache| Ok(Box::new(Fjall::new(directory, cache)?) as Box<dyn Store>),
        |directory, cache| Ok(Box::new(Engine::new(directory, cache)?) as Box<dyn Store>),
    ] as [fn(&std::path::Path, usize) -> Done<Box<dyn Store>>; 3]
    {
        let directory = std::env::temp_dir().join(format!("omendb-engine-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let measured = make(&directory, cache).and_then(|mut store| {
            let name = store.name();
            match only.is_none_or(|only| only.eq_ignore_ascii_case(name)) {
                true => Ok(Some((name, measure(&mut *store, &directory, size)?))),
                false => Ok(None),
            }
        });
        std::fs::remove_dir_all(&directory)?;
        if let Some((name, measured)) = measured? {
            print(name, rows, &measured);
            wrong += measured.wrong;
        }
    }
    Ok(wrong)
}

fn print(name: &str, rows: u64, measured: &Measured) {
    println!(
        "| {name} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
        measured.load_rows,
        measured.bytes as f64 / rows as f64,
        measured.cold_ns,
        measured.lookup_ns,
        measured.lookup_p99,
        measured.newest_ns,
        measured.batched_ns,
        measured.range_rows,
        measured.insert_rows,
        measured.mix,
        measured.wrong,
    );
}
