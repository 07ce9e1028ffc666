//! Every call to the backend fails: once, or from then on.

use super::support::{Way, Workload, batch, commit};
use crate::error::{Error, SqlState};
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

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let disk = Disk::default();
    let row = |at: u8| batch(&[(16384, &[at], Some(&[at; 1000]))]);
    let says_so = |error: Error| {
        assert_eq!(error.state(), SqlState::DISK_FULL, "{error}");
        let hint = error.fields().hint.as_deref().unwrap_or_default();
        assert!(hint.contains("Free some space"), "{hint}");
    };
    let mut acknowledged = 0;
    let store = Way::Log.open(&disk).unwrap();
    commit(&store, row(0)).unwrap();
    disk.set_fault(Fault::Full);
    let error = loop {
        match commit(&store, row(acknowledged + 1)) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    says_so(error);
    says_so(store.check_writable().unwrap_err());
    drop(store);
    for close in [false, true] {
        disk.set_fault(Fault::None);
        let store = Way::Log.open(&disk).unwrap();
        for at in 0..=acknowledged {
            let found = store.snapshot().unwrap().get(16384, &[at]).unwrap();
            assert_eq!(found.unwrap().as_ref(), [at; 1000]);
        }
        match close {
            true => store.close().unwrap(),
            false => drop(store),
        }
    }
    // There is no room for the log.
    disk.set_fault(Fault::Full);
    says_so(Way::Log.open(&disk).map(drop).unwrap_err());
    disk.set_fault(Fault::None);
    Way::Log.open(&disk).unwrap();
}
