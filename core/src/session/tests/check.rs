//! `omendb check` finds what is wrong, and says where.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::{World, small};
use crate::segment::{Objects, SealedTable};
use crate::storage::{DELETED_TABLE, Snapshot, TableId, TableWrites, WriteBatch};

/// A table with rows in several segments and in redb, some of them updated and some deleted.
fn world() -> World {
    let world = World::new(small);
    let mut client = world.client();
    let mut sql = |sql: &str| world.sql(&mut client, sql);
    sql("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE, n int)");
    sql("INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 200) i");
    sql("CREATE INDEX t_n ON t (n)");
    sql("SELECT omendb_seal('t')");
    sql("UPDATE t SET n = 100 WHERE id IN (5, 50, 150)");
    sql("DELETE FROM t WHERE id IN (6, 60, 160)");
    sql("INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1000, 1005) i");
    world
}

fn snapshot(world: &World) -> Arc<Snapshot> {
    world.database.engine.segments.store().snapshot().unwrap()
}

/// The storage of the table, which is the only one.
fn table(world: &World) -> TableId {
    let catalog = world.database.catalog().unwrap();
    let mut tables = catalog.objects().filter_map(|object| match object {
        crate::catalog::Object::Table(table) => Some(table.storage),
        _ => None,
    });
    tables.next().unwrap()
}

#[test]
fn a_sound_database_has_no_findings() {
    let mut world = world();
    assert_eq!(world.check(), Vec::<String>::new());
    world.reopen();
    assert_eq!(world.check(), Vec::<String>::new());
}

#[test]
fn damaged_objects_are_named() {
    let world = world();
    let objects = Objects::new(world.objects.clone());
    let snapshot = snapshot(&world);
    let mut kinds = BTreeMap::new();
    let tables: Vec<TableId> = snapshot.tiers().0.keys().copied().collect();
    assert!(tables.len() >= 3, "the table and its indexes are sealed");
    for table in tables {
        for part in SealedTable::of(&snapshot, table).unwrap().parts() {
            let meta = part.segment.meta();
            for path in [meta.parquet_path(), meta.side_path()] {
                let whole = objects
                    .read(&path, 0..objects.size(&path).unwrap())
                    .unwrap();
                let mut damaged = whole.to_vec();
                let middle = damaged.len() / 2;
                damaged[middle] ^= 0x10;
                objects.write(&path, bytes::Bytes::from(damaged)).unwrap();
                part.segment.forget();
                let findings = world.check();
                let named = findings.iter().any(|finding| finding.contains(&path));
                assert!(named, "{path}: {findings:?}");
                // Only Parquet objects are for ever.
                let again = world.check();
                let is_side = path.ends_with(".side");
                assert_eq!(again.is_empty(), is_side, "{path}: {again:?}");
                objects.write(&path, whole).unwrap();
                part.segment.forget();
                *kinds.entry(is_side).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(kinds.len(), 2);
    assert_eq!(world.check(), Vec::<String>::new());
}

/// Stores other bitmaps, and opens the database with them.
fn with_bitmaps(mut world: World, changed: TableWrites) -> World {
    let mut batch = WriteBatch::default();
    batch.writes.insert(DELETED_TABLE, Arc::new(changed));
    let pending = world
        .database
        .engine
        .segments
        .store()
        .submit(batch, None)
        .unwrap();
    world.now(pending.durable).unwrap();
    world.reopen();
    world
}

fn bitmaps(world: &World) -> TableWrites {
    let snapshot = snapshot(world);
    let first = table(world).to_be_bytes();
    let unbounded = std::ops::Bound::Unbounded;
    let all = snapshot.range(DELETED_TABLE, unbounded, unbounded).unwrap();
    let all = all.map(|entry| {
        let (key, value) = entry.unwrap();
        (key.as_ref().to_vec(), Some(value.as_ref().to_vec()))
    });
    all.filter(|(key, _)| key.starts_with(&first)).collect()
}

#[test]
fn rows_in_both_tiers_are_found() {
    let world = world();
    let mut changed = bitmaps(&world);
    assert!(!changed.is_empty());
    changed.values_mut().for_each(|bitmap| *bitmap = None);
    let findings = with_bitmaps(world, changed).check();
    let both = findings
        .iter()
        .filter(|finding| finding.contains("is in both tiers"));
    assert_eq!(both.count(), 3, "{findings:?}");
    // Those that were deleted are back, without their entries.
    let entries = findings
        .iter()
        .filter(|finding| finding.contains("no entry in index"));
    assert!(entries.count() >= 6, "{findings:?}");
}

#[test]
fn rows_in_no_tier_are_found() {
    let world = world();
    let mut changed = TableWrites::new();
    for (key, bitmap) in bitmaps(&world) {
        let chunk = u16::from_be_bytes(*key.last_chunk().unwrap());
        let mut deleted = crate::segment::Deleted::default();
        deleted.decode_chunk(chunk, &bitmap.unwrap()).unwrap();
        let free = (0..).find(|row| !deleted.contains(*row)).unwrap();
        deleted.insert(free);
        changed.insert(key, Some(deleted.encode_chunk(chunk).unwrap()));
    }
    let lost = changed.len();
    let findings = with_bitmaps(world, changed).check();
    let in_none = findings
        .iter()
        .filter(|finding| finding.contains("in any tier"));
    // Both indexes know of them.
    assert_eq!(in_none.count(), 2 * lost, "{findings:?}");
}
