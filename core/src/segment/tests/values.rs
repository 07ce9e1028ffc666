//! What goes in comes out: rows as they were pushed, columns as they are built from rows.

use std::ops::Bound;

use arrow::array::{Array, ArrayRef};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::random::{self, Random, seeds};
use super::{PLENTY, Table, caches, column, memory};
use crate::env::Workers;
use crate::error::SqlState;
use crate::segment::{Layout, PIECE_ROWS, Segment, WriteOptions, Writer};
use crate::types::{Datum, Interval, Numeric, PgType, columns, oid, ops, row};

/// Bounds hold for every value, and tell NULLs.
fn check_stats(table: &Table, segment: &Segment) {
    for (at, group) in segment.groups().iter().enumerate() {
        for (position, column) in table.layout.columns.iter().enumerate() {
            let Some(stats) = group.stats(position) else {
                assert!(column.dropped);
                continue;
            };
            let array = table.column(group.range(), position);
            assert_eq!(stats.nulls as usize, array.null_count());
            stats.scalars(column.ty).unwrap();
            for at in 0..array.len() {
                let value = columns::get(array.as_ref(), at, column.ty).unwrap();
                if value.is_null() {
                    continue;
                }
                if let Some(min) = &stats.min {
                    assert!(ops::compare(min, &value).is_le(), "{min:?} {value:?}");
                }
                if let Some(max) = &stats.max {
                    assert!(ops::compare(max, &value).is_ge(), "{max:?} {value:?}");
                }
                assert!(segment.may_contain(0, position, &[value]).is_ok());
            }
            check_pieces(segment, (at, position), column.ty, &array);
            let step = (array.len() / 5).max(1);
            for row in (0..array.len()).step_by(step) {
                let value = columns::get(array.as_ref(), row, column.ty).unwrap();
                assert!(segment.may_contain(at, position, &[value]).unwrap());
            }
        }
    }
}

/// Pieces read alone, and what is known of them.
fn check_pieces(
    segment: &Segment,
    (group, position): (usize, usize),
    ty: PgType,
    array: &ArrayRef,
) {
    let count = array.len().div_ceil(PIECE_ROWS);
    let numbers: Vec<usize> = (0..count).filter(|number| number % 3 != 1).collect();
    segment.forget();
    let some = segment.some_pieces(group, position, &numbers).unwrap();
    let again = segment.some_pieces(group, position, &[numbers[0]]).unwrap();
    let some = some.expect("a column that is there");
    assert_eq!(&again.expect("a column that is there")[0], &some[0]);
    for (number, piece) in numbers.iter().zip(&some) {
        let start = number * PIECE_ROWS;
        let length = PIECE_ROWS.min(array.len() - start);
        assert_eq!(piece, &array.slice(start, length));
    }
    let Some(stats) = segment.piece_stats(group, position).unwrap() else {
        return;
    };
    assert_eq!(stats.len(), count);
    for (number, stats) in stats.iter().enumerate() {
        let start = number * PIECE_ROWS;
        let piece = array.slice(start, PIECE_ROWS.min(array.len() - start));
        let nulls = stats.nulls.expect("pages are pieces");
        assert_eq!(nulls as usize, piece.null_count(), "{ty:?}");
        let bound = |bound: &Option<ScalarValue>| {
            let array = bound.as_ref()?.to_array().unwrap();
            Some(columns::get(array.as_ref(), 0, ty).unwrap().into_owned())
        };
        let (min, max) = (bound(&stats.min), bound(&stats.max));
        let all_null = piece.null_count() == piece.len();
        assert_eq!(min.is_none(), all_null, "{ty:?}");
        for at in 0..piece.len() {
            let value = columns::get(piece.as_ref(), at, ty).unwrap();
            if value.is_null() {
                continue;
            }
            if let Some(min) = &min {
                assert!(ops::compare(min, &value).is_le(), "{min:?} {value:?}");
            }
            if let Some(max) = &max {
                assert!(ops::compare(max, &value).is_ge(), "{max:?} {value:?}");
            }
        }
    }
}

/// Ranges, from keys that are there and keys that are not, against the sorted rows.
fn check_ranges(table: &Table, segment: &Segment, random: &mut Random) {
    let probe = |random: &mut Random| {
        let mut key = random.pick(&table.rows).0;
        match random.below(6) {
            0 => key.push(random.next() as u8),
            1 => drop(key.pop()),
            2 => {
                let at = random.below(key.len() as u64 + 1) as usize;
                if let Some(byte) = key.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            3 => key.truncate(random.below(key.len() as u64 + 1) as usize),
            _ => {}
        }
        key
    };
    for _ in 0..60 {
        let (from, to) = (probe(random), probe(random));
        let bound = |key: &'static [u8], kind| match kind {
            0 => Bound::Included(key),
            1 => Bound::Excluded(key),
            _ => Bound::Unbounded,
        };
        // Leaked: a test.
        let (from, to): (&'static [u8], &'static [u8]) = (from.leak(), to.leak());
        let (from, to) = (bound(from, random.below(3)), bound(to, random.below(3)));
        let start = table.rows.partition_point(|(key, _)| match from {
            Bound::Included(from) => key.as_slice() < from,
            Bound::Excluded(from) => key.as_slice() <= from,
            Bound::Unbounded => false,
        });
        let end = table.rows.partition_point(|(key, _)| match to {
            Bound::Included(to) => key.as_slice() <= to,
            Bound::Excluded(to) => key.as_slice() < to,
            Bound::Unbounded => true,
        });
        let wanted = start as u32..end.max(start) as u32;
        let found = segment.positions(from, to).unwrap();
        assert_eq!(found, wanted, "{from:?} {to:?}");
        if let Bound::Included(key) | Bound::Excluded(key) = from {
            let at = table
                .rows
                .binary_search_by(|(own, _)| own.as_slice().cmp(key));
            assert_eq!(segment.locate(key).unwrap(), at.ok().map(|at| at as u32));
        }
        // From both ends, in any order.
        let mut entries = segment.entries(found.clone());
        let (mut low, mut high) = (found.start, found.end);
        while low < high && high - low < 2000 {
            let at = match random.one_in(2) {
                true => {
                    low += 1;
                    let (row, key, _) = entries.next().unwrap().unwrap();
                    assert_eq!((row, &key[..]), (low - 1, &*table.rows[low as usize - 1].0));
                    row
                }
                false => {
                    high -= 1;
                    let (row, key, _) = entries.next_back().unwrap().unwrap();
                    assert_eq!((row, &key[..]), (high, &*table.rows[high as usize].0));
                    row
                }
            };
            assert!(found.contains(&at));
        }
    }
}

#[test]
fn everything_comes_back() {
    for seed in seeds(60) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let table = random::table(&mut random);
        if table.layout.stored().count() == 0 && table.options.key.is_some() {
            continue;
        }
        let objects = memory();
        let meta = table.write(&objects);
        let bytes = random.pick(&[PLENTY, 100_000, 0]);
        let segment = Segment::new(meta.clone(), objects.clone(), caches(bytes));
        table.check_rows(&segment);
        table.check_columns(&segment);
        check_stats(&table, &segment);
        check_ranges(&table, &segment, &mut random);

        // Without its sidecar.
        objects.delete_object(&meta.side_path()).unwrap();
        let segment = Segment::new(meta.clone(), objects.clone(), caches(bytes));
        table.check_values(&segment);
        check_ranges(&table, &segment, &mut random);
        let again = Segment::new(meta.clone(), objects.clone(), caches(bytes));
        table.check_values(&again);

        segment.delete_objects().unwrap();
        assert!(objects.list().unwrap().is_empty());
    }
}

#[test]
fn any_reader_of_parquet_reads_the_columns() {
    let table = Table::plain(1000);
    let objects = memory();
    let meta = table.write(&objects);
    let bytes = objects
        .read(&meta.parquet_path(), 0..meta.parquet_bytes)
        .unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let groups = builder.metadata().row_groups();
    assert_eq!(groups.len(), 4);
    assert!(
        groups
            .iter()
            .all(|group| group.column(0).statistics().is_some())
    );
    let rows: usize = builder
        .build()
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 1000);
}

#[test]
fn an_object_sorted_by_its_key_columns_says_so() {
    let mut table = Table::plain(500);
    for (key, bytes) in &mut table.rows {
        key.clear();
        let value = row::RowRef::new(bytes)
            .unwrap()
            .get(0, PgType::INT8)
            .unwrap();
        crate::types::key::encode(&value, PgType::INT8, key).unwrap();
    }
    table.options.key = Some(vec![0]);
    let objects = memory();
    let meta = table.write(&objects);
    let bytes = objects
        .read(&meta.parquet_path(), 0..meta.parquet_bytes)
        .unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let group = builder.metadata().row_group(0);
    assert_eq!(group.sorting_columns().unwrap()[0].column_idx, 0);
    assert_eq!(group.num_columns(), 3);

    // A key that is not made of its columns is refused.
    let options = table.options.clone();
    let mut writer = Writer::new(&objects, 1, 1, table.layout.clone(), options, None).unwrap();
    let error = writer.push(&[1, 2, 3], &table.rows[0].1).unwrap_err();
    assert_eq!(error.state(), SqlState::INTERNAL_ERROR);
}

#[test]
fn decimals_hold_nan_at_every_precision() {
    for precision in 1..=38 {
        for ty in [
            PgType::numeric(precision, 0),
            PgType::numeric(precision, precision as i16),
        ] {
            let array = PgType::with_typmod(oid::NUMERIC_ARRAY, ty.typmod);
            let nines: i128 = "9".repeat(precision.into()).parse().unwrap();
            let scale = i64::from(ty.precision_scale().unwrap().1);
            let largest: Numeric = Numeric::new(nines, scale);
            let values = [
                Datum::Numeric(largest),
                Datum::Numeric(Numeric::NaN),
                Datum::Null,
            ];
            let list = Datum::Array(Box::new(crate::types::Array {
                element: ty,
                items: values.to_vec(),
            }));
            let rows = values.iter().zip(1_u8..).map(|(value, at)| {
                let row = row::encode(&[value.clone(), list.clone()], &[ty, array]);
                (vec![at], row.unwrap())
            });
            let table = Table {
                layout: Layout {
                    columns: vec![column("n", ty), column("l", array)],
                },
                rows: rows.collect(),
                options: WriteOptions::default(),
            };
            let objects = memory();
            let segment = Segment::new(table.write(&objects), objects, caches(PLENTY));
            table.check_columns(&segment);
            segment.inner.rebuild().unwrap();
            segment.forget();
            table.check_values(&segment);
        }
    }
}

#[test]
fn an_interval_beyond_arrow_is_stored_and_read_as_a_row() {
    let ty = PgType::INTERVAL;
    let long = Interval {
        months: -5,
        days: 7,
        micros: i64::MAX,
    };
    let table = Table {
        layout: Layout {
            columns: vec![column("i", ty)],
        },
        rows: vec![(
            vec![1],
            row::encode(&[Datum::Interval(long)], &[ty]).unwrap(),
        )],
        options: WriteOptions::default(),
    };
    let objects = memory();
    let segment = Segment::new(table.write(&objects), objects.clone(), caches(PLENTY));
    table.check_rows(&segment);
    let error = segment.column(0, 0).unwrap_err();
    assert_eq!(error.state(), SqlState::DATETIME_FIELD_OVERFLOW);
    objects.delete_object(&segment.meta().side_path()).unwrap();
    segment.forget();
    table.check_values(&segment);
}

#[test]
fn an_empty_segment_is_none() {
    let objects = memory();
    let layout = Table::plain(0).layout;
    let writer = Writer::new(&objects, 1, 1, layout, WriteOptions::default(), None).unwrap();
    assert!(writer.finish(&Workers::Inline).unwrap().is_none());
    assert!(objects.list().unwrap().is_empty());
}

#[test]
fn a_full_segment_says_so_and_disorder_is_refused() {
    let objects = memory();
    let table = Table::plain(10);
    let options = WriteOptions {
        rows: 2,
        ..WriteOptions::default()
    };
    let mut writer = Writer::new(&objects, 1, 1, table.layout.clone(), options, None).unwrap();
    let [first, second, ..] = table.rows.as_slice() else {
        panic!("ten rows")
    };
    writer.push(&second.0, &second.1).unwrap();
    assert!(!writer.is_full());
    assert!(writer.push(&second.0, &second.1).is_err());
    assert!(writer.push(&first.0, &first.1).is_err());
    writer.push(&table.rows[2].0, &table.rows[2].1).unwrap();
    assert!(writer.is_full());
    assert!(writer.push(&table.rows[3].0, &Bytes::new()).is_err());
}
