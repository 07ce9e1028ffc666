//! What a store refuses to open.

use redb::{Builder, TableDefinition};

use super::support::open;
use crate::error::SqlState;
use crate::storage::fault::Disk;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

#[test]
fn a_closed_database_opens_again() {
    let disk = Disk::default();
    for _ in 0..3 {
        let store = open(&disk).unwrap();
        store.close().unwrap();
        assert_eq!(
            store.snapshot().map(drop).unwrap_err().state(),
            SqlState::CANNOT_CONNECT_NOW
        );
    }
}

#[test]
fn an_unknown_format_version_is_refused() {
    let disk = Disk::default();
    open(&disk).unwrap().close().unwrap();
    let database = Builder::new().create_with_backend(disk.backend()).unwrap();
    let writer = database.begin_write().unwrap();
    let version = 99_u32.to_le_bytes();
    let mut meta = writer.open_table(META).unwrap();
    meta.insert("format_version", version.as_slice()).unwrap();
    drop(meta);
    writer.commit().unwrap();
    drop(database);
    let error = open(&disk).map(drop).unwrap_err();
    assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(
        error.message(),
        "database format version 99 is not supported"
    );
}

#[test]
fn another_programs_database_is_refused() {
    let disk = Disk::default();
    let database = Builder::new().create_with_backend(disk.backend()).unwrap();
    let writer = database.begin_write().unwrap();
    let other: TableDefinition<u64, u64> = TableDefinition::new("other");
    writer.open_table(other).unwrap();
    writer.commit().unwrap();
    drop(database);
    let error = open(&disk).map(drop).unwrap_err();
    assert_eq!(error.state(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let disk = Disk::with_image([
        b"some text, long enough to look like a file".repeat(1000),
        Vec::new(),
    ]);
    assert!(open(&disk).is_err());
}
