//! Tests of segments: what goes in comes out, whatever it is and however the objects are damaged.
//!
//! Random tests print their seed; `OMENDB_SEGMENT_SEED=<seed> cargo test --workspace --lib segment::`
//! repeats one, `OMENDB_SEGMENT_SEEDS=<count>` runs more.

mod caches;
mod compact;
mod damage;
mod load;
mod random;
mod store;
pub mod tiers;
pub mod timeline;
mod values;

use std::sync::Arc;

use arrow::array::ArrayRef;
use bytes::Bytes;
use object_store::memory::InMemory;

use super::{CacheOptions, Caches, Layout, LayoutColumn, Objects, Segment, SegmentMeta};
use super::{WriteOptions, Writer};
use crate::env::Workers;
use crate::types::columns::ColumnBuilder;
use crate::types::row::{self, RowRef};
use crate::types::{Datum, PgType};

/// Rows as they were pushed, and the layout they have.
struct Table {
    layout: Layout,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    options: WriteOptions,
}

fn column(name: &str, ty: PgType) -> LayoutColumn {
    LayoutColumn {
        name: name.to_owned(),
        ty,
        not_null: false,
        missing: Datum::Null,
        dropped: false,
    }
}

fn memory() -> Objects {
    Objects::new(Arc::new(InMemory::new()))
}

fn caches(bytes: u64) -> Arc<Caches> {
    Arc::new(Caches::new(&CacheOptions {
        keys_bytes: bytes,
        blocks_bytes: bytes,
        columns_bytes: bytes,
    }))
}

const PLENTY: u64 = 64 << 20;

impl Table {
    /// Rows of an int8, a text and a nullable float8, by hidden row numbers.
    fn plain(rows: usize) -> Table {
        let layout = Layout {
            columns: vec![
                column("a", PgType::INT8),
                column("b", PgType::TEXT),
                column("c", PgType::FLOAT8),
            ],
        };
        let types: Vec<PgType> = layout.columns.iter().map(|column| column.ty).collect();
        let rows = (0..rows as u64).map(|at| {
            let c = match at % 7 {
                0 => Datum::Null,
                _ => Datum::Float8(at as f64 / 3.0),
            };
            let text = format!(
                "text of row {at}, {}",
                at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
            let values = [Datum::Int8(at as i64 * 3), Datum::text(text), c];
            (
                (at * 5).to_be_bytes().to_vec(),
                row::encode(&values, &types).unwrap(),
            )
        });
        Table {
            rows: rows.collect(),
            layout,
            options: WriteOptions {
                group_rows: 300,
                ..WriteOptions::default()
            },
        }
    }

    fn write(&self, objects: &Objects) -> SegmentMeta {
        let options = self.options.clone();
        let mut writer =
            Writer::new(objects, 16384, 7, self.layout.clone(), options, None).unwrap();
        for (key, row) in &self.rows {
            writer.push(key, row).unwrap();
        }
        let meta = writer.finish(&Workers::Inline).unwrap().unwrap();
        // Compared as they are encoded: NaN is not itself.
        let again = SegmentMeta::decode(&meta.encode()).unwrap();
        assert!(again.encode() == meta.encode());
        meta
    }

    /// The column of a row group, built from the rows.
    fn column(&self, rows: std::ops::Range<u32>, position: usize) -> ArrayRef {
        let column = &self.layout.columns[position];
        let mut builder = ColumnBuilder::new(column.ty, "UTC", rows.len());
        for (_, row) in &self.rows[rows.start as usize..rows.end as usize] {
            let row = (!row.is_empty()).then(|| RowRef::new(row).unwrap());
            match row {
                Some(row) if position < row.columns() => {
                    row.append_to(position, column.ty, &mut builder).unwrap();
                }
                _ => builder.append(&column.missing).unwrap(),
            }
        }
        builder.finish()
    }

    /// That a segment has exactly these rows, as they were pushed.
    fn check_rows(&self, segment: &Segment) {
        let count = self.rows.len() as u32;
        let found: Vec<(u32, Bytes, Bytes)> =
            segment.entries(0..u32::MAX).map(Result::unwrap).collect();
        assert_eq!(found.len(), self.rows.len());
        for (at, ((row, found_key, found_row), (key, bytes))) in
            found.iter().zip(&self.rows).enumerate()
        {
            assert_eq!(*row, at as u32);
            assert_eq!(found_key, key);
            assert_eq!(found_row, bytes, "row {at}");
            assert_eq!(segment.locate(key).unwrap(), Some(*row));
            assert_eq!(segment.row(*row).unwrap(), bytes);
            assert_eq!(segment.key(*row).unwrap(), key);
        }
        assert!(segment.row(count).is_err() && segment.key(count).is_err());
        self.check_keys(segment);
        let rows: Vec<u32> = (0..count).step_by(3).collect();
        let mut next = 0;
        let check = |at: usize, bytes: &[u8]| {
            assert_eq!(at, next);
            assert_eq!(bytes, self.rows[rows[at] as usize].1);
            next += 1;
        };
        segment.rows(&rows, check).unwrap();
        assert_eq!(next, rows.len());
        assert_eq!(segment.verify().unwrap(), Vec::<String>::new());
    }

    /// That a segment finds all keys together.
    fn check_keys(&self, segment: &Segment) {
        let keys: Vec<&[u8]> = self.rows.iter().map(|(key, _)| key.as_slice()).collect();
        let mut located = Vec::new();
        segment.locate_batch(&keys, &mut located).unwrap();
        assert!(located.iter().copied().eq((0..keys.len() as u32).map(Some)));
    }

    /// That a segment has these columns.
    fn check_columns(&self, segment: &Segment) {
        for (at, group) in segment.groups().iter().enumerate() {
            for (position, column) in self.layout.columns.iter().enumerate() {
                let found = segment.column(at, position).unwrap();
                if column.dropped {
                    assert!(found.is_none());
                    continue;
                }
                let wanted = self.column(group.range(), position);
                assert_eq!(&found.unwrap(), &wanted, "{:?}", column.ty);
            }
            assert!(
                segment
                    .column(at, self.layout.columns.len())
                    .unwrap()
                    .is_none()
            );
        }
    }

    /// That a rebuilt segment has the same keys, and rows with the same values.
    fn check_values(&self, segment: &Segment) {
        let found: Vec<(u32, Bytes, Bytes)> =
            segment.entries(0..u32::MAX).map(Result::unwrap).collect();
        assert_eq!(found.len(), self.rows.len());
        for ((_, found_key, found_row), (key, bytes)) in found.iter().zip(&self.rows) {
            assert_eq!(found_key, key);
            assert_eq!(found_row.is_empty(), bytes.is_empty());
            if bytes.is_empty() {
                continue;
            }
            let (found_row, row) = (RowRef::new(found_row).unwrap(), RowRef::new(bytes).unwrap());
            assert_eq!(found_row.columns(), self.layout.columns.len());
            for (position, column) in self.layout.columns.iter().enumerate() {
                // Compared as they are encoded: NaN is not itself.
                let encoded = |value: &Datum<'_>| {
                    row::encode(std::slice::from_ref(value), &[column.ty]).unwrap()
                };
                let found = found_row.get(position, column.ty).unwrap();
                let wanted = match position < row.columns() {
                    _ if column.dropped => Datum::Null,
                    true => row.get(position, column.ty).unwrap(),
                    false => column.missing.clone(),
                };
                assert_eq!(encoded(&found), encoded(&wanted), "{:?}", column.ty);
            }
        }
        assert_eq!(segment.verify().unwrap(), Vec::<String>::new());
    }
}
