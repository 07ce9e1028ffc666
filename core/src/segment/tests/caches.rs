//! Caches that are too small: everything is answered, and their limits hold.

use super::{PLENTY, Table, caches, memory};
use crate::segment::Segment;
use crate::types::Datum;

/// An entry larger than its shard is not kept, so a limit is never passed.
#[test]
fn limits_hold_and_everything_is_answered() {
    let table = Table::plain(9000);
    for bytes in [0, 1000, 60_000, 200_000, PLENTY] {
        let objects = memory();
        let caches = caches(bytes);
        let segment = Segment::new(table.write(&objects), objects, caches.clone());
        table.check_rows(&segment);
        table.check_columns(&segment);
        let wanted = [Datum::text("text of no row")];
        let groups = 0..segment.groups().len();
        let found = groups.filter(|group| segment.may_contain(*group, 1, &wanted).unwrap());
        assert!(found.count() < 5);
        let stats = caches.stats();
        assert!(
            stats.keys_bytes <= bytes && stats.blocks_bytes <= bytes,
            "{stats:?}"
        );
        assert!(stats.columns_bytes <= bytes, "{stats:?}");
        if bytes == PLENTY {
            assert!(
                stats.keys_bytes > 9000 * 8 && stats.blocks_read > 0,
                "{stats:?}"
            );
            assert!(segment.has_column(0, 0) && !segment.has_column(0, 9));
            segment.forget();
            assert_eq!(caches.stats().columns_bytes, 0);
        }
    }
}

#[test]
fn keys_are_read_whole_once_pages_have_cost_as_much() {
    let table = Table::plain(9000);
    let objects = memory();
    let meta = table.write(&objects);
    // Room for the keys of one segment, which another one has.
    let caches = caches(150_000);
    let mut other = meta.clone();
    other.segment = 8;
    for (from, to) in [
        (meta.parquet_path(), other.parquet_path()),
        (meta.side_path(), other.side_path()),
    ] {
        let size = match from.ends_with("side") {
            true => meta.side_bytes,
            false => meta.parquet_bytes,
        };
        let bytes = objects.read(&from, 0..size).unwrap();
        objects.write(&to, bytes).unwrap();
    }
    let first = Segment::new(meta, objects.clone(), caches.clone());
    table.check_rows(&first);
    let second = Segment::new(other, objects, caches);
    // Its sidecar names the first: it is written anew.
    table.check_rows(&second);
    table.check_rows(&first);
}

#[test]
fn bloom_filters_stay_in_memory() {
    let table = Table::plain(3000);
    for bytes in [0, PLENTY] {
        let objects = memory();
        let caches = caches(bytes);
        let segment = Segment::new(table.write(&objects), objects, caches.clone());
        let groups = 0..segment.groups().len();
        let may_contain = |text: &str| {
            let value = [Datum::text(text.to_owned())];
            let answers = groups.clone().map(|at| segment.may_contain(at, 1, &value));
            answers.collect::<Result<Vec<bool>, _>>()
        };
        let before = may_contain("text of no row").unwrap();
        let mut filters = 0;
        for group in segment.groups() {
            let bloom = group.columns[1].as_ref().unwrap().bloom.unwrap();
            filters += bloom.length;
        }
        let stats = caches.stats();
        let (meta, store) = (segment.meta(), &segment.inner.objects);
        store.delete(meta.table, meta.segment).unwrap();
        let after = may_contain("text of no row");
        match bytes {
            0 => assert!(after.is_err() && stats.columns_bytes == 0),
            _ => assert_eq!(after.unwrap(), before),
        }
        // What a filter has besides its bits is less than an entry.
        assert!(bytes == 0 || stats.columns_bytes >= filters, "{stats:?}");
        segment.forget();
        assert_eq!(caches.stats().columns_bytes, 0);
    }
}
