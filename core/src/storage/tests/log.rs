//! What the commit log gives back, and what it must not be taken for.

use redb::{Builder, TableDefinition};

use super::support::{Way, batch, commit, open};
use crate::error::SqlState;
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};
use crate::storage::{Store, TableId};

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
    let ops = disk.ops();
    let mut crashes = Crashes::new(Image::default(), &ops);
    while crashes.advance() {}
    crashes.image(Survival::All, &mut Random(1))
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
