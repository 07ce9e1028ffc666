//! Seeds of random tests: `OMENDB_<NAME>_SEED=s` begins at seed s, `OMENDB_<NAME>_SEEDS=n` runs n of them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a test for seed 1 and as many as usual, or for those that are asked for; says how to replay the one
/// that fails.
pub fn run(name: &str, usual: u64, test: impl Fn(u64)) {
    let first = number(&format!("OMENDB_{name}_SEED"), 1);
    for seed in first..first + number(&format!("OMENDB_{name}_SEEDS"), usual) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("replay: OMENDB_{name}_SEED={seed} OMENDB_{name}_SEEDS=1");
            resume_unwind(panic);
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}
