//! Caches that are too small: everything is answered, and their limits hold.

use super::{PLENTY, Table, caches, memory};
use crate::segment::Segment;

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
