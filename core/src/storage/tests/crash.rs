//! Crashes at every operation of a workload, under every survival rule; also during recovery.
//!
//! `OMENDB_CRASH_SEEDS=n` runs n seeds instead of one; `OMENDB_CRASH_SEED=s` starts at seed s.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::support::{Workload, commit, open_late as open};
use crate::storage::fault::{Crashes, Disk, Random, Survival};

const TRANSACTIONS: usize = 30;
/// Of the crashes, every so many crashes again during its recovery.
const RECOVERY_EVERY: usize = 16;

fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_acknowledged_commit_is_lost_in_any_crash() {
    let first = number("OMENDB_CRASH_SEED", 1);
    let seeds = number("OMENDB_CRASH_SEEDS", 1);
    let mut crashes = 0;
    for seed in first..first + seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| crash_everywhere(seed)));
        match outcome {
            Ok(count) => crashes += count,
            Err(panic) => {
                eprintln!(
                    "replay: OMENDB_CRASH_SEED={seed} cargo test -p omendb-core --lib storage::tests::crash"
                );
                resume_unwind(panic);
            }
        }
    }
    eprintln!(
        "{crashes} simulated crashes, seeds {first}..{}",
        first + seeds
    );
}

/// Returns how many crashes were simulated.
fn crash_everywhere(seed: u64) -> usize {
    let workload = Workload::new(seed, TRANSACTIONS);
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let acknowledged = workload.run(&store, &disk, seed);
    assert_eq!(acknowledged.len(), TRANSACTIONS);
    workload.check(&store, TRANSACTIONS);
    store.close().unwrap();

    let ops = disk.ops();
    let mut random = Random(seed);
    let mut crashes = Crashes::new(Vec::new(), &ops);
    let mut count = 0;
    loop {
        let acknowledged = acknowledged
            .iter()
            .filter(|at| **at <= crashes.at())
            .count();
        for survival in Survival::EVERY {
            if survival != Survival::All && !crashes.has_unsynced() {
                continue;
            }
            let image = crashes.image(survival, &mut random);
            let context = format!("crash at operation {}, {survival:?}", crashes.at());
            let again = count % RECOVERY_EVERY == 0;
            count += recover(&workload, image, acknowledged, again, &mut random, &context);
        }
        if !crashes.advance() {
            return count;
        }
    }
}

/// Opens what a crash left behind and checks it; with `again`, also crashes during that.
fn recover(
    workload: &Workload,
    image: Vec<u8>,
    acknowledged: usize,
    again: bool,
    random: &mut Random,
    context: &str,
) -> usize {
    let disk = Disk::with_image(image.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let store = open(&disk).unwrap();
        let last = workload.check(&store, acknowledged);
        // It goes on from there.
        if let Some(batch) = workload.batches.get(last) {
            commit(&store, batch.clone()).unwrap();
            workload.check(&store, last + 1);
        }
    }));
    if let Err(panic) = outcome {
        eprintln!("{context}");
        resume_unwind(panic);
    }
    if !again {
        return 1;
    }
    // What was recorded is recovery, one commit, and the close. All of it may crash, too.
    let ops = disk.ops();
    let mut crashes = Crashes::new(image, &ops);
    let mut count = 1;
    while crashes.advance() {
        for survival in [Survival::None, Survival::Torn, Survival::Random] {
            let image = crashes.image(survival, random);
            let context = format!("{context}, then at {}, {survival:?}", crashes.at());
            count += recover(workload, image, acknowledged, false, random, &context);
        }
    }
    count
}
