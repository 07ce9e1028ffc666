//! The learned index against plain structures, on five distributions of keys.
//!
//! All contenders answer the same look-ups in one process, in turns, several rounds; the fastest
//! round of each counts. Every answer is checked first. The output is Markdown.

pub mod contenders;
pub mod keys;
pub mod time;

use std::hint::black_box;

use contenders::{Contender, Extra};
use keys::{Distribution, Random};

/// Look-ups in one round, unless `--lookups` says otherwise.
const LOOKUPS: usize = 1 << 20;
/// Keys in one call of a batch.
const BATCH: usize = 1024;
/// Rounds of each measurement.
const ROUNDS: usize = 3;
/// Look-ups that are timed one by one.
const TIMED_ALONE: usize = 1 << 17;

/// Look-ups and what they have to answer; [`ABSENT`] for misses.
pub struct Queries {
    keys: Vec<u64>,
    expected: Vec<u32>,
}

/// The answer for a key that is not there.
pub const ABSENT: u32 = u32::MAX;

/// What one contender did.
#[derive(Clone, Default)]
struct Row {
    name: String,
    /// Nanoseconds a look-up: hits alone, hits in batches, half misses alone and in batches.
    ns: [f64; 4],
    p99: u64,
    bytes: f64,
    build: f64,
    wrong: usize,
}

/// What to measure.
pub struct Options {
    pub counts: Vec<usize>,
    pub only: Option<String>,
    pub redb: bool,
    /// The adaptive radix tree, which takes up to 200 bytes a key.
    pub radix: bool,
    pub lookups: usize,
}

impl Options {
    /// From arguments: numbers are millions of keys; `--only <distribution>`; `--without-redb`; `--without-art`; `--lookups <a round>`.
    pub fn from_arguments() -> Options {
        let mut options = Options {
            counts: Vec::new(),
            only: None,
            redb: true,
            radix: true,
            lookups: LOOKUPS,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--only" => options.only = arguments.next(),
                "--without-redb" => options.redb = false,
                "--without-art" => options.radix = false,
                "--lookups" => {
                    let given = arguments.next().and_then(|number| number.parse().ok());
                    options.lookups = given.unwrap_or(LOOKUPS);
                }
                number => match number.parse::<f64>() {
                    Ok(millions) => options.counts.push((millions * 1e6) as usize),
                    Err(_) => {
                        eprintln!(
                            "index [millions of keys …] [--only <distribution>] [--without-redb] [--without-art] [--lookups <a round>]"
                        );
                        std::process::exit(2);
                    }
                },
            }
        }
        if options.counts.is_empty() {
            options.counts = vec![1_000_000, 20_000_000];
        }
        options
    }
}

/// Measures everything and prints it.
pub fn run(options: &Options, extra: &[Extra]) {
    for &count in &options.counts {
        println!("### {} M keys\n", count as f64 / 1e6);
        let mut ratios = Vec::new();
        for distribution in Distribution::ALL {
            if options
                .only
                .as_ref()
                .is_none_or(|only| only == distribution.name())
            {
                ratios.push(one(distribution, count, options, extra));
            }
        }
        summary(&ratios);
    }
}

/// `BTreeMap` and the best plain structure against the learned index, by kind of measurement.
struct Ratios {
    name: &'static str,
    over_btree: [f64; 4],
    over_plain: [f64; 4],
}

fn one(distribution: Distribution, count: usize, options: &Options, extra: &[Extra]) -> Ratios {
    let keys = distribution.keys(count);
    let hits = queries(&keys, options.lookups, 0);
    let mixed = queries(&keys, options.lookups, 2);
    let mut contenders = contenders::all(&keys, options, extra);
    let mut rows: Vec<_> = contenders
        .iter()
        .map(|built| Row {
            name: built.contender.name(),
            ns: [f64::INFINITY; 4],
            p99: u64::MAX,
            bytes: built.bytes as f64 / keys.len() as f64,
            build: built.nanos as f64 / keys.len() as f64,
            wrong: wrong(&*built.contender, &hits) + wrong(&*built.contender, &mixed),
        })
        .collect();
    for _ in 0..ROUNDS {
        for (built, row) in contenders.iter_mut().zip(&mut rows) {
            let contender = &*built.contender;
            let ns = [
                contender.time_alone(&hits.keys),
                time_batches(contender, &hits.keys),
                contender.time_alone(&mixed.keys),
                time_batches(contender, &mixed.keys),
            ];
            for (best, ns) in row.ns.iter_mut().zip(ns) {
                *best = best.min(ns as f64 / options.lookups as f64);
            }
            row.p99 = row.p99.min(p99(contender, &hits.keys));
        }
    }
    print(distribution.name(), &rows);
    ratios(distribution.name(), &rows)
}

/// Random keys; with `misses` every so-manieth is replaced by one that is not there.
fn queries(keys: &[u64], lookups: usize, misses: usize) -> Queries {
    let mut random = Random::new(42 + misses as u64);
    let mut queries = Queries {
        keys: Vec::with_capacity(lookups),
        expected: Vec::with_capacity(lookups),
    };
    for turn in 0..lookups {
        let at = random.below(keys.len() as u64) as usize;
        let mut key = keys[at];
        let mut expected = at as u32;
        // Somewhere in the gap behind a key, where there is a gap.
        if misses > 0 && turn % misses == 0 {
            let gap = keys.get(at + 1).map_or(1, |next| next - key);
            if gap > 1 {
                key += 1 + random.below(gap - 1);
                expected = ABSENT;
            }
        }
        queries.keys.push(key);
        queries.expected.push(expected);
    }
    queries
}

fn wrong(contender: &dyn Contender, queries: &Queries) -> usize {
    let mut answers = Vec::new();
    let mut wrong = 0;
    for (keys, expected) in queries
        .keys
        .chunks(BATCH)
        .zip(queries.expected.chunks(BATCH))
    {
        contender.get_batch(keys, &mut answers);
        wrong += answers.iter().zip(expected).filter(|(a, b)| a != b).count();
        let alone = keys.iter().map(|&key| contender.get(key));
        wrong += alone.zip(expected).filter(|(a, b)| a != *b).count();
    }
    wrong
}

fn time_batches(contender: &dyn Contender, keys: &[u64]) -> u64 {
    let mut answers = Vec::with_capacity(BATCH);
    let batches = || {
        for keys in keys.chunks(BATCH) {
            contender.get_batch(keys, &mut answers);
            black_box(&answers);
        }
    };
    time::of(batches).1
}

/// The 99th percentile of single look-ups, without what reading the clock takes.
fn p99(contender: &dyn Contender, keys: &[u64]) -> u64 {
    let percentile = |times: &mut Vec<u64>, percent: usize| {
        times.sort_unstable();
        times[times.len() * percent / 100]
    };
    let time = |ask: &dyn Fn(u64) -> u32| {
        let mut times: Vec<_> = keys
            .iter()
            .take(TIMED_ALONE)
            .map(|&key| time::short(|| black_box(ask(key))).1)
            .collect();
        times.sort_unstable();
        times
    };
    let clock = percentile(&mut time(&|_| 0), 50);
    percentile(&mut time(&|key| contender.get(key)), 99).saturating_sub(clock)
}

fn print(name: &str, rows: &[Row]) {
    println!("**{name}**\n");
    println!(
        "| | single | batched | single, ½ misses | batched, ½ misses | p99 | bytes/key | build ns/key | wrong |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let [single, batched, single_mixed, batched_mixed] = row.ns;
        println!(
            "| {} | {single:.1} | {batched:.1} | {single_mixed:.1} | {batched_mixed:.1} | {} | {:.2} | {:.1} | {} |",
            row.name, row.p99, row.bytes, row.build, row.wrong
        );
    }
    println!();
}

fn ratios(name: &'static str, rows: &[Row]) -> Ratios {
    let find = |start: &str| rows.iter().find(|row| row.name.starts_with(start));
    let learned = find("learned").map_or([1.0; 4], |row| row.ns);
    let over = |others: &[&str], kind: usize| {
        others
            .iter()
            .filter_map(|other| find(other))
            .map(|row| row.ns[kind] / learned[kind])
            .fold(f64::INFINITY, f64::min)
    };
    let each = |others: &[&str]| [0, 1, 2, 3].map(|kind| over(others, kind));
    Ratios {
        name,
        over_btree: each(&["BTreeMap"]),
        over_plain: each(&["sorted vector", "Eytzinger", "static search tree"]),
    }
}

fn summary(all: &[Ratios]) {
    println!("Times as fast as `BTreeMap`, and as the best plain structure:\n");
    println!(
        "| | single | batched | single, ½ misses | batched, ½ misses | plain: single | batched | single, ½ | batched, ½ |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let line = |name: &str, values: Vec<f64>| {
        let cells: Vec<_> = values.iter().map(|value| format!("{value:.2}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    let mut sums = vec![0.0; 8];
    for ratios in all {
        let values: Vec<_> = [ratios.over_btree, ratios.over_plain].concat();
        for (sum, value) in sums.iter_mut().zip(&values) {
            *sum += value / all.len() as f64;
        }
        line(ratios.name, values);
    }
    line("**mean**", sums);
    println!();
}
