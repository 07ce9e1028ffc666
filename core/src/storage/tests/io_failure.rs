//! Every call to the backend fails: once, or from then on.

use super::support::{Way, Workload, batch, commit};
use crate::error::SqlState;
use crate::storage::fault::{Crashes, Disk, Fault, Image, Random, Survival};

const TRANSACTIONS: usize = 12;

#[test]
fn a_failed_call_loses_nothing_that_was_acknowledged() {
    let seed = 3;
    let workload = Workload::new(seed, TRANSACTIONS);
    for way in Way::BOTH {
        let disk = Disk::default();
        let store = way.open(&disk).unwrap();
        workload.run(&store, &disk, seed);
        store.close().unwrap();
        let calls = disk.calls();
        let mut random = Random(seed);
        for call in 0..calls {
            for fault in [Fault::Once(call), Fault::From(call)] {
                fail(way, &workload, fault, seed, &mut random);
            }
        }
        eprintln!("{way:?}: {} injected failures", calls * 2);
    }
}

fn fail(way: Way, workload: &Workload, fault: Fault, seed: u64, random: &mut Random) {
    let disk = Disk::default();
    disk.set_fault(fault);
    let mut acknowledged = 0;
    if let Ok(store) = way.open(&disk) {
        acknowledged = workload.run(&store, &disk, seed).len();
        if acknowledged < TRANSACTIONS {
            // What failed once takes no more writes, also when the disk works again.
            let error = store.check_writable().unwrap_err();
            assert_eq!(error.state(), SqlState::IO_ERROR, "{fault:?}: {error}");
            let batch = workload.batches[0].clone();
            assert!(store.submit(batch, None).is_err(), "{fault:?}");
            // What is visible can still be read, or fails cleanly.
            drop(store.snapshot().unwrap().get(1, b"last"));
        }
        // Ends like a killed process half of the time, else it is closed, which may fail.
        if random.coin() {
            let _ = store.close();
        }
    }
    let ops = disk.ops();
    let mut crashes = Crashes::new(Image::default(), &ops);
    while crashes.advance() {}
    for survival in [Survival::All, Survival::None, Survival::Torn] {
        let disk = Disk::with_image(crashes.image(survival, random));
        let store = way
            .open(&disk)
            .unwrap_or_else(|e| panic!("{way:?}, {fault:?}, {survival:?}: {e}"));
        workload.check(&store, acknowledged);
    }
}

#[test]
fn a_late_sync_that_fails_poisons_the_store() {
    for way in Way::BOTH {
        let disk = Disk::default();
        let store = way.open(&disk).unwrap();
        let row = |value: &'static [u8]| batch(&[(16384, b"k", Some(value))]);
        commit(&store, row(b"1")).unwrap();
        disk.during_sync(|| Err(std::io::Error::other("no")));
        let error = commit(&store, row(b"2")).unwrap_err();
        assert_eq!(error.state(), SqlState::IO_ERROR);
        assert!(store.submit(row(b"3"), None).is_err());
    }
}
