//! What the commit log gives back, and what it must not be taken for.

use std::sync::Arc;

use futures::FutureExt;
use parking_lot::Mutex;
use redb::{Builder, TableDefinition};

use super::seeds;
use super::support::{Way, batch, commit, open};
use crate::error::SqlState;
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};
use crate::storage::{Pending, Store, TableId};

const T: TableId = 16384;
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

fn put(store: &Store, key: &[u8], row: &[u8]) {
    commit(store, batch(&[(T, key, Some(row))])).unwrap();
}

fn get(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    let row = store.snapshot().unwrap().get(T, key).unwrap();
    row.map(|row| row.as_ref().to_vec())
}

/// What is on the disk now.
fn image(disk: &Disk) -> Image {
    crashed(disk, Survival::All)
}

/// What a crash now would leave on the disk.
fn crashed(disk: &Disk, survival: Survival) -> Image {
    let ops = disk.ops();
    let mut crashes = Crashes::new(Image::default(), &ops);
    while crashes.advance() {}
    crashes.image(survival, &mut Random(1))
}

#[test]
fn what_the_log_alone_has_is_recovered() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    put(&store, b"a", b"1");
    let [rows, _] = image(&disk);
    put(&store, b"a", b"2");
    put(&store, b"b", b"1");
    // Neither a commit nor what redb does when it is dropped touches the rows.
    drop(store);
    let [rows_after, log] = image(&disk);
    assert!(rows == rows_after);
    let store = Way::Log.open(&Disk::with_image([rows, log])).unwrap();
    assert_eq!(get(&store, b"a"), Some(b"2".to_vec()));
    assert_eq!(get(&store, b"b"), Some(b"1".to_vec()));
}

#[test]
fn records_of_an_earlier_life_are_none() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    put(&store, b"k", b"1");
    put(&store, b"k", b"2");
    drop(store);
    let disk = Disk::with_image(image(&disk));
    let store = Way::Log.open(&disk).unwrap();
    // Stands where the first record did, with the second one right behind it.
    put(&store, b"k", b"3");
    drop(store);
    let ops = disk.ops();
    assert!(!ops.is_empty());
    let store = Way::Log.open(&disk).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"3".to_vec()));
}

#[test]
fn a_closed_database_needs_no_log() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    put(&store, b"k", b"1");
    store.close().unwrap();
    let [rows, _] = image(&disk);
    let disk = Disk::with_image([rows.clone(), Vec::new()]);
    assert_eq!(get(&open(&disk).unwrap(), b"k"), Some(b"1".to_vec()));
    // It gets another one, for another life.
    let disk = Disk::with_image([rows, Vec::new()]);
    let store = Way::Log.open(&disk).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"1".to_vec()));
    put(&store, b"k", b"2");
}

#[test]
fn a_database_that_was_not_closed_wants_its_own_log() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    put(&store, b"k", b"1");
    let [rows, log] = image(&disk);
    let other = Disk::default();
    let _other = Way::Log.open(&other).unwrap();
    let mut of_other = image(&other);
    let refused = |store: crate::Result<Store>| {
        let error = store.map(drop).unwrap_err();
        assert_eq!(error.state(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert!(error.to_string().contains("commit log"), "{error}");
    };
    // The test's source of randomness gives every database the same identity.
    of_other[1][20] ^= 1;
    refused(Way::Log.open(&Disk::with_image([rows.clone(), of_other[1].clone()])));
    refused(Way::Log.open(&Disk::with_image([rows.clone(), Vec::new()])));
    refused(open(&Disk::with_image([rows.clone(), log.clone()])));
    let store = Way::Log.open(&Disk::with_image([rows, log])).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"1".to_vec()));
}

#[test]
fn a_record_that_was_durable_is_missed() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    let mut ends = Vec::new();
    for row in [b"first", b"other", b"third"] {
        put(&store, row, row);
        let [_, log] = image(&disk);
        let place = log.windows(5).rposition(|bytes| bytes == row).unwrap();
        ends.push(place + 4);
    }
    let [rows, log] = image(&disk);
    let opened = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut log = log.clone();
        damage(&mut log);
        Way::Log.open(&Disk::with_image([rows.clone(), log]))
    };
    for (at, end) in ends.iter().enumerate() {
        let error = opened(&|log| log[*end] ^= 1).map(drop).unwrap_err();
        assert_eq!(error.state(), SqlState::DATA_CORRUPTED);
        // It says from where on to clear the log, to do without.
        let message = error.to_string();
        let place = message.split("at byte ").nth(1).unwrap();
        let place: usize = place.split(':').next().unwrap().parse().unwrap();
        assert!(place < *end);
        let store = opened(&|log| log[place..].fill(0)).unwrap();
        for (other, row) in [b"first", b"other", b"third"].iter().enumerate() {
            assert_eq!(get(&store, *row).is_some(), other < at);
        }
    }
    // A crash may have torn the last one, before anything said that it was durable.
    let torn = |log: &mut Vec<u8>| log[ends[2]..ends[2] + 40].fill(0);
    let store = opened(&torn).unwrap();
    assert_eq!(get(&store, b"other"), Some(b"other".to_vec()));
    assert_eq!(get(&store, b"third"), None);
}

#[test]
fn a_log_that_was_cut_off_is_noticed() {
    for large in [false, true] {
        let disk = Disk::default();
        let store = Way::Log.open(&disk).unwrap();
        put(&store, b"k", b"1");
        // Makes a checkpoint, which knows how long the log is by then.
        for number in 0..40_u8 {
            if large {
                put(&store, &[number], &[number; 1000]);
            }
        }
        let [rows, log] = image(&disk);
        let least = 4096 + if large { 20_000 } else { 4096 };
        for len in (4096..least).step_by(100) {
            let image = [rows.clone(), log[..len].to_vec()];
            let error = Way::Log.open(&Disk::with_image(image)).map(drop);
            let error = error.unwrap_err();
            assert_eq!(error.state(), SqlState::DATA_CORRUPTED, "{len} bytes");
            assert!(error.to_string().contains("cut off"), "{error}");
        }
        // It was closed since: nothing of it is needed.
        store.close().unwrap();
        let [rows, _] = image(&disk);
        Way::Log
            .open(&Disk::with_image([rows, Vec::new()]))
            .unwrap();
    }
}

/// Damage of a sector or a byte, anywhere: all commits are there, or the database is refused. Only where
/// the last record and its mark are both gone, that record is missing.
#[test]
fn damage_is_noticed_or_does_no_harm() {
    seeds::run("LOG", 4, |seed| {
        let mut random = Random(seed);
        let disk = Disk::default();
        let store = Way::Log.open(&disk).unwrap();
        let count = random.within(2..40);
        for number in 0..count {
            let row = vec![number as u8; random.within(520..900) as usize];
            put(&store, &number.to_be_bytes(), &row);
        }
        let [rows, log] = image(&disk);
        let (mut refused, mut whole, mut less) = (0, 0, 0);
        for _ in 0..500 {
            let mut log = log.clone();
            let at = random.within(0..log.len() as u64) as usize;
            match random.within(0..3) {
                0 => log[at] ^= 1 << random.within(0..8),
                zeros => {
                    let sector = at / 512 * 512;
                    let end = log.len().min(sector + 512);
                    for byte in &mut log[sector..end] {
                        *byte = if zeros == 1 { 0 } else { random.number() as u8 };
                    }
                }
            }
            let Ok(store) = Way::Log.open(&Disk::with_image([rows.clone(), log])) else {
                refused += 1;
                continue;
            };
            let there = |number: &u64| get(&store, &number.to_be_bytes()).is_some();
            match (0..count).filter(there).count() as u64 {
                found if found == count => whole += 1,
                found => {
                    assert!(found + 1 == count && there(&(count - 2)), "damage at {at}");
                    less += 1;
                }
            }
        }
        assert!(refused > 0 && whole > 0);
        eprintln!("seed {seed}: {refused} refused, {whole} whole, {less} without the last commit");
    });
}

#[test]
fn a_database_of_the_version_without_a_log_gets_one() {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    put(&store, b"k", b"1");
    store.close().unwrap();
    let database = Builder::new().create_with_backend(disk.backend()).unwrap();
    let writer = database.begin_write().unwrap();
    let mut meta = writer.open_table(META).unwrap();
    let version = 1_u32.to_le_bytes();
    meta.insert("format_version", version.as_slice()).unwrap();
    drop(meta);
    writer.commit().unwrap();
    drop(database);
    let store = Way::Log.open(&disk).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"1".to_vec()));
    put(&store, b"k", b"2");
    drop(store);
    let store = Way::Log.open(&disk).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"2".to_vec()));
}

#[test]
fn the_log_is_used_again_and_stays_small() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    for round in 0..2000_u32 {
        put(&store, &(round % 10).to_be_bytes(), &round.to_be_bytes());
    }
    let [_, log] = image(&disk);
    assert!(log.len() <= 40 << 10, "{} bytes", log.len());
    drop(store);
    let store = Way::Log.open(&disk).unwrap();
    for round in 1990..2000_u32 {
        let row = get(&store, &(round % 10).to_be_bytes());
        assert_eq!(row, Some(round.to_be_bytes().to_vec()));
    }
}

/// Submits a row whose commit lets someone go on who waited for it.
fn awaited(store: &Store, key: &[u8], row: &[u8]) -> Pending {
    let batch = batch(&[(T, key, Some(row))]);
    let hook = Box::new(|_| true);
    store.submit_with(batch, None, Some(hook)).unwrap()
}

#[test]
fn a_checkpoint_leaves_alone_what_the_one_before_needs() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    // The file has to have room: a late sync is finished before a file grows.
    put(&store, b"room", &[7; 100_000]);
    commit(&store, batch(&[(T, b"room", None)])).unwrap();
    put(&store, b"large", &[6; 5000]);
    for row in [b"1", b"2"] {
        let pending = awaited(&store, b"k", row);
        while store.commit_step() {}
        assert!(pending.durable.now_or_never().unwrap().is_ok());
    }
    // While the checkpoint's sync is under way, a record is written; and then the machine stops.
    let stopped = Arc::new(Mutex::new(None));
    let (stepper, during, then) = (store.clone(), disk.clone(), stopped.clone());
    disk.during_sync(move || {
        let pending = awaited(&stepper, b"k", b"3");
        assert!(stepper.commit_step());
        assert_eq!(get(&stepper, b"k"), Some(b"3".to_vec()));
        let [rows, _] = crashed(&during, Survival::None);
        let [_, log] = crashed(&during, Survival::All);
        *then.lock() = Some([rows, log]);
        assert!(pending.durable.now_or_never().is_none());
        Ok(())
    });
    put(&store, b"large", &[7; 5000]);
    let stopped = stopped.lock().take().unwrap();
    let store = Way::Log.open(&Disk::with_image(stopped)).unwrap();
    assert_eq!(get(&store, b"k"), Some(b"2".to_vec()));
    assert_eq!(get(&store, b"large"), Some(vec![6; 5000]));
}

#[test]
fn what_is_shown_at_once_is_not_yet_acknowledged() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    drop(awaited(&store, b"k", b"1"));
    while store.commit_step() {}
    let mut second = awaited(&store, b"k", b"2");
    assert!((&mut second.durable).now_or_never().is_none());
    assert_eq!(get(&store, b"k"), Some(b"2".to_vec()));
    assert_eq!(store.stats().syncs, 1);
    while store.commit_step() {}
    assert!(second.durable.now_or_never().unwrap().is_ok());
    assert_eq!(store.stats().syncs, 2);
}

#[test]
fn a_log_that_fills_up_during_a_sync_waits_for_its_end() {
    let disk = Disk::default();
    let store = Way::Log.open(&disk).unwrap();
    drop(awaited(&store, b"k", b"1"));
    while store.commit_step() {}
    let pending = Arc::new(Mutex::new(Vec::new()));
    let (stepper, during) = (store.clone(), pending.clone());
    disk.during_sync(move || {
        for number in 0..40_u8 {
            during
                .lock()
                .push(awaited(&stepper, &[number], &[number; 1000]));
            while stepper.commit_step() {}
        }
        Ok(())
    });
    put(&store, b"k", b"2");
    while store.commit_step() {}
    for pending in pending.lock().drain(..) {
        assert!(pending.durable.now_or_never().unwrap().is_ok());
    }
    store.check_writable().unwrap();
    drop(store);
    let store = Way::Log.open(&disk).unwrap();
    assert_eq!(get(&store, &[39]), Some(vec![39; 1000]));
}
