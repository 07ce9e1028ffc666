//! Damaged and missing objects, and a store that fails: the right rows or an error, never other rows.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::random::{Random, seeds};
use super::store::Failing;
use super::{PLENTY, Table, caches, memory};
use crate::env::Workers;
use crate::error::{Error, Result, SqlState};
use crate::segment::{Objects, Segment, SegmentMeta};

fn object(objects: &Objects, path: &str, size: u64) -> Vec<u8> {
    objects.read(path, 0..size).unwrap().to_vec()
}

fn side_size(objects: &Objects, meta: &SegmentMeta) -> u64 {
    let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
    segment.inner.head().unwrap().object_size()
}

/// Reads everything once. Errors are passed on; what is read has to be right.
fn read_all(table: &Table, segment: &Segment) -> Result<()> {
    let mut count = 0;
    for (entry, (key, row)) in segment.entries(0..u32::MAX).zip(&table.rows) {
        let (at, found_key, found_row) = entry?;
        assert_eq!((&found_key[..], &found_row[..]), (&key[..], &row[..]));
        assert_eq!(at, count);
        count += 1;
    }
    assert_eq!(count as usize, table.rows.len());
    for (key, row) in table.rows.iter().step_by(37) {
        let at = segment.locate(key)?.expect("a key that is there");
        assert_eq!(segment.row(at)?, row);
        assert_eq!(segment.key(at)?, key);
    }
    Ok(())
}

fn read_columns(table: &Table, segment: &Segment) -> Result<()> {
    for (at, group) in segment.groups().iter().enumerate() {
        for position in 0..table.layout.columns.len() {
            let found = segment
                .column(at, position)?
                .expect("a column that is there");
            assert_eq!(&found, &table.column(group.range(), position));
            let value = crate::types::Datum::text("absent");
            segment.may_contain(at, 1, &[value])?;
        }
    }
    Ok(())
}

/// Damaged forms of an object: each byte of its ends, some in between, and cut to some lengths.
fn damages(random: &mut Random, object: &[u8], some: u64) -> Vec<(String, Bytes)> {
    let size = object.len();
    let mut places: Vec<usize> = (0..size.min(200)).step_by(3).collect();
    places.extend((size.saturating_sub(200)..size).step_by(3));
    places.extend((0..some).map(|_| random.below(size as u64) as usize));
    let mut damaged: Vec<(String, Bytes)> = places
        .into_iter()
        .map(|place| {
            let mut bytes = object.to_vec();
            bytes[place] ^= 1 << random.below(8);
            (format!("bit flipped in byte {place}"), bytes.into())
        })
        .collect();
    for _ in 0..some / 4 {
        let length = random.below(size as u64) as usize;
        let cut = Bytes::copy_from_slice(&object[..length]);
        damaged.push((format!("cut to {length}"), cut));
        let start = random.below(size as u64) as usize;
        let mut zeros = object.to_vec();
        zeros[start..(start + 4096).min(size)].fill(0);
        damaged.push((format!("zeros from {start}"), zeros.into()));
    }
    damaged.push(("empty".to_owned(), Bytes::new()));
    damaged
}

#[test]
fn a_damaged_sidecar_is_written_anew() {
    for seed in seeds(1) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let table = Table::plain(700);
        let objects = memory();
        let meta = table.write(&objects);
        let side = object(&objects, &meta.side_path(), side_size(&objects, &meta));
        for (how, damaged) in damages(&mut random, &side, 120) {
            println!("sidecar: {how}");
            objects.write(&meta.side_path(), damaged).unwrap();
            let bytes = random.pick(&[PLENTY, 0]);
            let segment = Segment::new(meta.clone(), objects.clone(), caches(bytes));
            read_all(&table, &segment).unwrap();
            let again = Segment::new(meta.clone(), objects.clone(), caches(bytes));
            if bytes > 0 {
                // Everything was read, so what is there now is whole.
                let size = again.inner.head().unwrap().object_size();
                assert!(object(&objects, &meta.side_path(), size) == side);
            }
            read_all(&table, &again).unwrap();
        }
    }
}

#[test]
fn a_sidecar_of_another_segment_is_not_taken() {
    let objects = memory();
    let meta = Table::plain(700).write(&objects);
    let side = object(&objects, &meta.side_path(), side_size(&objects, &meta));
    // The same name and as many rows, but others.
    let mut table = Table::plain(700);
    for (key, _) in &mut table.rows {
        key[0] = 1;
    }
    let meta = table.write(&objects);
    objects.write(&meta.side_path(), Bytes::from(side)).unwrap();
    let segment = Segment::new(meta, objects, caches(PLENTY));
    read_all(&table, &segment).unwrap();
}

fn names_the_object(error: &Error, meta: &SegmentMeta) {
    assert_eq!(error.state(), SqlState::DATA_CORRUPTED, "{error}");
    assert!(error.message().contains(&meta.parquet_path()), "{error}");
}

#[test]
fn a_damaged_parquet_object_is_never_served() {
    for seed in seeds(1) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let table = Table::plain(700);
        let objects = memory();
        let meta = table.write(&objects);
        let parquet = object(&objects, &meta.parquet_path(), meta.parquet_bytes);
        let mut refused = 0;
        for (how, damaged) in damages(&mut random, &parquet, 120) {
            println!("parquet: {how}");
            objects.write(&meta.parquet_path(), damaged).unwrap();
            let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
            if let Err(error) = read_columns(&table, &segment) {
                refused += 1;
                names_the_object(&error, &meta);
            }
            // Rows are in the sidecar.
            read_all(&table, &segment).unwrap();
        }
        assert!(refused > 100, "{refused}");

        // With neither, nothing is served.
        objects
            .write(&meta.parquet_path(), Bytes::from_static(b"PAR1"))
            .unwrap();
        objects.delete_object(&meta.side_path()).unwrap();
        let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
        names_the_object(&read_all(&table, &segment).unwrap_err(), &meta);
        names_the_object(&segment.locate(&table.rows[5].0).unwrap_err(), &meta);
    }
}

#[test]
fn a_rebuild_notices_other_rows() {
    let objects = memory();
    let table = Table::plain(700);
    let meta = table.write(&objects);
    let mut other = meta.clone();
    other.last_key = vec![0xff; 8];
    objects.delete_object(&meta.side_path()).unwrap();
    let segment = Segment::new(other, objects, caches(PLENTY));
    names_the_object(&segment.row(0).unwrap_err(), &meta);
}

/// Every damage of either object is found, and the object named; nothing is mended.
#[test]
fn a_verification_names_what_is_damaged() {
    for seed in seeds(1) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let table = Table::plain(700);
        let objects = memory();
        let meta = table.write(&objects);
        let side = side_size(&objects, &meta);
        let whole = [
            (meta.parquet_path(), meta.parquet_bytes),
            (meta.side_path(), side),
        ];
        for (path, size) in whole {
            let object = object(&objects, &path, size);
            let mut damaged = damages(&mut random, &object, 120);
            let mut longer = object.clone();
            longer.push(0);
            damaged.push(("a byte more".to_owned(), longer.into()));
            for (how, damaged) in damaged {
                let changed = damaged != object;
                let length = damaged.len() as u64;
                objects.write(&path, damaged.clone()).unwrap();
                let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
                let findings = segment.verify().unwrap();
                let named = findings.iter().any(|finding| finding.contains(&path));
                assert_eq!(named, changed, "{path}: {how}: {findings:?}");
                assert_eq!(self::object(&objects, &path, length), damaged);
            }
            objects.delete_object(&path).unwrap();
            let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
            let findings = segment.verify().unwrap();
            assert_eq!(findings, [format!("object {path} is missing")]);
            objects.write(&path, Bytes::from(object)).unwrap();
        }
        // Whole, and yet not what the manifest is about.
        let mut wrong = meta.clone();
        wrong.last_key.push(0);
        wrong.groups[0].columns[0].as_mut().unwrap().stats.nulls += 1;
        let findings = Segment::new(wrong, objects.clone(), caches(PLENTY)).verify();
        assert_eq!(findings.unwrap().len(), 2);
    }
}

#[test]
fn a_damaged_manifest_entry_is_refused() {
    let meta = Table::plain(300).write(&memory());
    let bytes = meta.encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let error = SegmentMeta::decode(&damaged).unwrap_err();
        assert_eq!(error.state(), SqlState::DATA_CORRUPTED);
        assert!(SegmentMeta::decode(&bytes[..at]).is_err());
    }
    // The version before.
    let mut old = meta;
    old.rest = None;
    assert_eq!(old.encode()[4], 1);
    assert!(SegmentMeta::decode(&old.encode()).unwrap() == old);
}

#[test]
fn other_versions_are_refused() {
    let objects = memory();
    let meta = Table::plain(300).write(&objects);
    let reseal = |mut bytes: Vec<u8>| {
        let end = bytes.len() - 4;
        let sum = crate::index::checksum::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    let mut entry = meta.encode();
    entry[4] = 9;
    let error = SegmentMeta::decode(&reseal(entry)).unwrap_err();
    assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);

    let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
    let head = segment.inner.head().unwrap();
    let mut side = object(&objects, &meta.side_path(), head.object_size());
    let mut start = side[..head.length as usize].to_vec();
    start[4] = 9;
    side[..head.length as usize].copy_from_slice(&reseal(start));
    objects
        .write(&meta.side_path(), Bytes::from(side.clone()))
        .unwrap();
    let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
    let error = segment.row(0).unwrap_err();
    assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    // It is left to the release that wrote it.
    assert_eq!(object(&objects, &meta.side_path(), side.len() as u64), side);
}

#[test]
fn failures_of_the_store_surface_and_pass() {
    let store = Failing::new();
    let objects = Objects::new(store.clone());
    let table = Table::plain(700);
    let meta = table.write(&objects);
    let fails = |result: Result<()>| match result {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.state(), SqlState::IO_ERROR, "{error}");
            true
        }
    };
    let mut operations = 0;
    loop {
        let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
        store.fail_after(operations);
        let failed = fails(read_all(&table, &segment).and(read_columns(&table, &segment)));
        store.fail_after(i64::MAX);
        // The same segment goes on once the store does.
        read_all(&table, &segment).unwrap();
        if !failed {
            break;
        }
        operations += 1;
    }
    assert!(operations > 10);
    // A rebuild that fails changes nothing; the next one succeeds.
    for operations in 0..5 {
        objects.delete_object(&meta.side_path()).unwrap();
        let segment = Segment::new(meta.clone(), objects.clone(), caches(PLENTY));
        store.fail_after(operations);
        assert!(fails(read_all(&table, &segment)));
        store.fail_after(i64::MAX);
        read_all(&table, &segment).unwrap();
    }
    // Writing.
    let mut operations = 0;
    loop {
        store.fail_after(operations);
        let mut writer = crate::segment::Writer::new(
            &objects,
            16384,
            8,
            table.layout.clone(),
            table.options.clone(),
            None,
        )
        .unwrap();
        for (key, row) in &table.rows {
            writer.push(key, row).unwrap();
        }
        let written = writer
            .finish(&Workers::Inline)
            .map(|meta| assert!(meta.is_some()));
        let failed = fails(written);
        store.fail_after(i64::MAX);
        if !failed {
            break;
        }
        operations += 1;
    }
    assert_eq!(operations, 2);
    store.fail_after(0);
    assert!(fails(objects.delete(16384, 8)) && fails(objects.list().map(drop)));
}

/// Readers of all kinds meet a sidecar that is damaged while they read: it is written anew once for all of
/// them, and every one of them gets the right rows.
#[test]
fn readers_go_on_while_a_sidecar_is_written_anew() {
    const READERS: usize = 4;
    const ROUNDS: usize = 12;
    let table = Table::plain(700);
    let objects = memory();
    let meta = table.write(&objects);
    let side = object(&objects, &meta.side_path(), side_size(&objects, &meta));
    for cached in [PLENTY, 0] {
        let segment = Segment::new(meta.clone(), objects.clone(), caches(cached));
        let rounds: [AtomicUsize; READERS] = Default::default();
        std::thread::scope(|scope| {
            for (reader, done) in rounds.iter().enumerate() {
                let (segment, table) = (segment.clone(), &table);
                scope.spawn(move || {
                    // Whoever waits for this reader goes on when it fails, too.
                    let _ended = Ended(done);
                    for round in 0..ROUNDS {
                        match (reader + round) % 3 {
                            0 => read_all(table, &segment).unwrap(),
                            1 => read_columns(table, &segment).unwrap(),
                            _ => table.check_keys(&segment),
                        }
                        done.fetch_add(1, Ordering::AcqRel);
                    }
                });
            }
            let mut random = Random(cached);
            // A read gives up when it meets damage again and again, however often it is mended: so
            // every reader ends a round between one damage and the next.
            let rounds = || rounds.each_ref().map(|done| done.load(Ordering::Acquire));
            let running = |done: usize| done != usize::MAX;
            while rounds().into_iter().any(running) {
                let before = rounds();
                let mut damaged = side.clone();
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] ^= 1 << random.below(8);
                objects
                    .write(&meta.side_path(), Bytes::from(damaged))
                    .unwrap();
                segment.forget();
                let same = |(before, after): (usize, usize)| running(before) && before == after;
                while before.into_iter().zip(rounds()).any(same) {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                }
            }
        });
        read_all(&table, &segment).unwrap();
    }
}

/// Counts a reader's rounds as done when it ends.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::Release);
    }
}
