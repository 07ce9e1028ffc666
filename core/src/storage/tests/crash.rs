//! Crashes at every operation of a workload, under every survival rule; also during recovery. With a
//! commit log, and without.
//!
//! `OMENDB_CRASH_SEEDS=n` runs n seeds instead of one; `OMENDB_CRASH_SEED=s` starts at seed s.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::seeds;
use super::support::{Way, Workload, commit};
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};

const TRANSACTIONS: usize = 30;
/// Of the crashes, every so many crashes again during its recovery.
const RECOVERY_EVERY: usize = 16;

#[test]
fn no_acknowledged_commit_is_lost_in_any_crash() {
    seeds::run("CRASH", 1, |seed| {
        let crashes = Way::BOTH.map(|way| crash_everywhere(way, seed));
        let crashes: usize = crashes.iter().sum();
        eprintln!("seed {seed}: {crashes} simulated crashes");
    });
}

/// Returns how many crashes were simulated.
fn crash_everywhere(way: Way, seed: u64) -> usize {
    let workload = Workload::new(seed, TRANSACTIONS);
    let disk = Disk::default();
    let store = way.open(&disk).unwrap();
    let acknowledged = workload.run(&store, &disk, seed);
    assert_eq!(acknowledged.len(), TRANSACTIONS);
    workload.check(&store, TRANSACTIONS);
    store.close().unwrap();

    let ops = disk.ops();
    let mut random = Random(seed);
    let mut crashes = Crashes::new(Image::default(), &ops);
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
            let context = format!("{way:?}: crash at operation {}, {survival:?}", crashes.at());
            let again = count % RECOVERY_EVERY == 0;
            let crash = Crash {
                way,
                workload: &workload,
                acknowledged,
                image,
            };
            count += crash.recover(again, &mut random, &context);
        }
        if !crashes.advance() {
            return count;
        }
    }
}

/// What a crash left behind, and what has to be in it.
struct Crash<'a> {
    way: Way,
    workload: &'a Workload,
    acknowledged: usize,
    image: Image,
}

impl Crash<'_> {
    /// Opens and checks it; with `again`, also crashes during that. Returns how many crashes that were.
    fn recover(self, again: bool, random: &mut Random, context: &str) -> usize {
        let workload = self.workload;
        let disk = Disk::with_image(self.image.clone());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let store = self.way.open(&disk).unwrap();
            let last = workload.check(&store, self.acknowledged);
            // It goes on from there, and ends like a killed process or is closed.
            if let Some(batch) = workload.batches.get(last) {
                commit(&store, batch.clone()).unwrap();
                workload.check(&store, last + 1);
            }
            if random.coin() {
                store.close().unwrap();
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
        let mut crashes = Crashes::new(self.image, &ops);
        let mut count = 1;
        while crashes.advance() {
            for survival in [Survival::None, Survival::Torn, Survival::Random] {
                let crash = Crash {
                    way: self.way,
                    workload,
                    acknowledged: self.acknowledged,
                    image: crashes.image(survival, random),
                };
                let context = format!("{context}, then at {}, {survival:?}", crashes.at());
                count += crash.recover(false, random, &context);
            }
        }
        count
    }
}
