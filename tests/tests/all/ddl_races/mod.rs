//! DDL beside readers, writers and other DDL: whatever the order, the catalog and the rows fit each
//! other, and a statement fails only for reasons that PostgreSQL would give.
//!
//! What the sessions do is drawn from a seed, which a failure names; `OMENDB_SEED` sets it.

mod catalog;
mod roles;
mod rows;

use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;
use omendb_tests::wire::Client;

/// Rounds of what one session repeats.
const ROUNDS: usize = 25;

/// Attempts of a statement that conflicts before the test gives up.
const RETRIES: usize = 500;

type Test = (&'static str, fn(&Target, u64) -> Result<(), Failed>);

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, test): &Test| {
        Trial::test(format!("ddl_races::{name}"), move || {
            let target = Target::fresh()?;
            let seed = seed();
            test(&target, seed).map_err(|why| {
                let why = why.message().unwrap_or("no message").to_owned();
                Failed::from(format!("OMENDB_SEED={seed}: {why}"))
            })
        })
    };
    let topics = [catalog::TESTS, rows::TESTS, roles::TESTS];
    topics.into_iter().flatten().map(trial).collect()
}

fn seed() -> u64 {
    let given = std::env::var("OMENDB_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    })
}

/// xorshift64*: enough to vary the order of things.
struct Random(u64);

impl Random {
    fn new(seed: u64, session: usize) -> Random {
        let mixed = seed ^ (session as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Random(mixed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// Runs a statement; the codes in `expected` are no failure. Conflicts are tried again.
fn attempt(client: &mut Client, sql: &str, expected: &[&str]) -> Result<bool, Failed> {
    for _ in 0..RETRIES {
        match client.simple(sql) {
            Ok(_) => return Ok(true),
            Err(why) => {
                if client.status != 'I' {
                    client.simple("ROLLBACK")?;
                }
                if expected.contains(&why.code()) {
                    return Ok(false);
                }
                if !matches!(why.code(), "40001" | "40P01") {
                    return Err(format!("{sql}: {why}").into());
                }
            }
        }
    }
    Err(format!("{sql}: too many conflicts").into())
}

fn expect(client: &mut Client, sql: &str, value: &str) -> Result<(), Failed> {
    let got = client.value(sql)?;
    if got == value {
        return Ok(());
    }
    Err(format!("{sql} gives {got} instead of {value}").into())
}
