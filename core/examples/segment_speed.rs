//! How fast a segment is, and how large: writing, look-ups, rows, ranges, columns; and what a row
//! costs when it is put together from decoded columns instead of read from its block.
//!
//! `cargo run --release -p omendb-core --example segment_speed [rows]`

#![allow(clippy::disallowed_methods)] // An example is a host: it has a clock.

use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use omendb_core::Result;
use omendb_core::env::{Clock, Workers};
use omendb_core::segment::{
    CacheOptions, Caches, Layout, LayoutColumn, Objects, PIECE_ROWS, Segment, WriteOptions, Writer,
};
use omendb_core::types::{Datum, Numeric, PgType, columns, key, oid, row};

const PROBES: usize = 1_000_000;

struct Host(Instant);

impl Clock for Host {
    fn now(&self) -> i64 {
        self.0.elapsed().as_micros() as i64
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

fn report(what: &str, count: usize, took: Duration) {
    let each = took.as_nanos() as f64 / count as f64;
    let rate = count as f64 / took.as_secs_f64();
    println!("  {what:<44} {each:>10.0} ns each {rate:>13.0} a second");
}

fn random(at: u64) -> u64 {
    let z = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A table: its columns, the positions of its key, and its rows by number.
struct Table {
    name: &'static str,
    types: Vec<PgType>,
    key: Vec<usize>,
    row: fn(u64) -> Vec<Datum<'static>>,
}

/// pgbench_accounts.
fn account(at: u64) -> Vec<Datum<'static>> {
    vec![
        Datum::Int4(at as i32 + 1),
        Datum::Int4((at / 100_000) as i32 + 1),
        Datum::Int4((random(at) % 10_000) as i32 - 5000),
        Datum::text(" ".repeat(84)),
    ]
}

/// lineitem of TPC-H.
fn lineitem(at: u64) -> Vec<Datum<'static>> {
    const WORDS: [&str; 16] = [
        "carefully",
        "final",
        "deposits",
        "sleep",
        "furiously",
        "ironic",
        "packages",
        "haggle",
        "quickly",
        "regular",
        "accounts",
        "above",
        "the",
        "blithely",
        "express",
        "requests",
    ];
    let r = random(at);
    let decimal = |value: u64| Datum::Numeric(Numeric::new(value as i64, 2));
    let date = |from: u64| Datum::Date(8035 + (from % 2500) as i32);
    let mut comment = String::new();
    for word in 0..2 + (r >> 60) % 4 {
        comment.push_str(WORDS[(random(at * 7 + word) % 16) as usize]);
        comment.push(' ');
    }
    vec![
        Datum::Int8((at / 4) as i64 * 4 + 1),
        Datum::Int8((r % 200_000) as i64),
        Datum::Int8((r >> 20) as i64 % 10_000),
        Datum::Int4((at % 4) as i32 + 1),
        decimal((r % 50 + 1) * 100),
        decimal(r % 10_000_000),
        decimal(r >> 8 & 7),
        decimal(r >> 12 & 7),
        Datum::text(["A", "N", "R"][(r >> 16) as usize % 3]),
        Datum::text(["F", "O"][(r >> 18) as usize % 2]),
        date(r >> 4),
        date(r >> 5),
        date(r >> 6),
        Datum::text(
            [
                "NONE",
                "COLLECT COD",
                "DELIVER IN PERSON",
                "TAKE BACK RETURN",
            ][(r >> 24) as usize % 4],
        ),
        Datum::text(
            ["AIR", "MAIL", "SHIP", "RAIL", "TRUCK", "FOB", "REG AIR"][(r >> 28) as usize % 7],
        ),
        Datum::text(comment),
    ]
}

/// Events with a random key.
fn event(at: u64) -> Vec<Datum<'static>> {
    let r = random(at);
    let sorted = u128::from(at) << 96 | u128::from(r);
    vec![
        Datum::Uuid(sorted.to_be_bytes()),
        Datum::Timestamptz(1_700_000_000_000_000 + (at * 1000 + r % 1000) as i64),
        Datum::Int8((r % 1_000_000) as i64),
        Datum::text(format!(
            "https://example.com/{}/{}",
            r % 1000,
            (r >> 20) % 100_000
        )),
        Datum::text(format!("Mozilla/5.0 (X11; Linux) {}", r % 50)),
        Datum::Float8((r >> 40) as f64 / 100.0),
    ]
}

fn tables() -> [Table; 3] {
    let money = PgType::numeric(15, 2);
    [
        Table {
            name: "pgbench_accounts",
            types: vec![
                PgType::INT4,
                PgType::INT4,
                PgType::INT4,
                PgType::with_typmod(oid::BPCHAR, 88),
            ],
            key: vec![0],
            row: account,
        },
        Table {
            name: "lineitem",
            types: vec![
                PgType::INT8,
                PgType::INT8,
                PgType::INT8,
                PgType::INT4,
                money,
                money,
                money,
                money,
                PgType::TEXT,
                PgType::TEXT,
                PgType::DATE,
                PgType::DATE,
                PgType::DATE,
                PgType::TEXT,
                PgType::TEXT,
                PgType::VARCHAR,
            ],
            key: vec![0, 3],
            row: lineitem,
        },
        Table {
            name: "events",
            types: vec![
                PgType::UUID,
                PgType::TIMESTAMPTZ,
                PgType::INT8,
                PgType::TEXT,
                PgType::TEXT,
                PgType::FLOAT8,
            ],
            key: vec![0],
            row: event,
        },
    ]
}

fn measure(table: &Table, count: u64, clock: &Arc<dyn Clock>) -> Result<()> {
    println!("{}, {count} rows", table.name);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
        .map(|at| {
            let values = (table.row)(at);
            let mut bytes = Vec::new();
            for &position in &table.key {
                key::encode(&values[position], table.types[position], &mut bytes)?;
            }
            Ok((bytes, row::encode(&values, &table.types)?))
        })
        .collect::<Result<_>>()?;
    let columns = table
        .types
        .iter()
        .enumerate()
        .map(|(at, &ty)| LayoutColumn {
            name: format!("c{at}"),
            ty,
            not_null: true,
            missing: Datum::Null,
            dropped: false,
        });
    let layout = Layout {
        columns: columns.collect(),
    };
    let objects = Objects::new(Arc::new(InMemory::new()));
    let options = WriteOptions {
        rows: u32::MAX,
        bytes: u64::MAX,
        key: Some(table.key.clone()),
        ..WriteOptions::default()
    };
    let start = Instant::now();
    let mut writer = Writer::new(&objects, 1, 1, layout, options, Some(clock.clone()))?;
    for (key, row) in &rows {
        writer.push(key, row)?;
    }
    let Some(meta) = writer.finish(&Workers::Inline)? else {
        return Ok(());
    };
    report("write", rows.len(), start.elapsed());
    let each = |bytes: u64| bytes as f64 / count as f64;
    let keys = rows.iter().map(|(key, _)| key.len() as u64).sum();
    println!(
        "  bytes a row: {:.1} rows, {:.1} keys; {:.1} Parquet, {:.1} sidecar; manifest {} in all",
        each(meta.row_bytes),
        each(keys),
        each(meta.parquet_bytes),
        each(meta.side_bytes),
        meta.encode().len()
    );
    let caches = Arc::new(Caches::new(&CacheOptions {
        keys_bytes: 1 << 30,
        blocks_bytes: 4 << 30,
        columns_bytes: 4 << 30,
    }));
    let segment = Segment::new(meta, objects.clone(), caches);
    let start = Instant::now();
    segment.locate(&rows[0].0)?;
    println!(
        "  first look-up, keys and index read: {:?}",
        start.elapsed()
    );

    let start = Instant::now();
    let scanned = segment.entries(0..u32::MAX).count();
    report("range read, cold", scanned, start.elapsed());
    let start = Instant::now();
    let mut bytes = 0;
    for entry in segment.entries(0..u32::MAX) {
        let (_, key, row) = entry?;
        bytes += key.len() + row.len();
    }
    black_box(bytes);
    report("range read, warm", scanned, start.elapsed());

    let probes: Vec<u32> = (0..PROBES as u64)
        .map(|at| (random(at) % count) as u32)
        .collect();
    let keys: Vec<&[u8]> = probes
        .iter()
        .map(|&at| rows[at as usize].0.as_slice())
        .collect();
    let start = Instant::now();
    for key in &keys {
        black_box(segment.locate(key)?);
    }
    report("locate", PROBES, start.elapsed());
    let start = Instant::now();
    let mut found = Vec::new();
    for keys in keys.chunks(64) {
        segment.locate_batch(keys, &mut found)?;
        black_box(&found);
    }
    report("locate, 64 at once", PROBES, start.elapsed());
    let start = Instant::now();
    for (key, &probe) in keys.iter().zip(&probes) {
        let at = segment.locate(key)?;
        assert_eq!(at, Some(probe));
        black_box(segment.row(probe)?);
    }
    report("locate and row", PROBES, start.elapsed());
    let start = Instant::now();
    for key in keys.iter().take(PROBES / 10) {
        black_box(segment.positions(Bound::Included(key), Bound::Unbounded)?);
    }
    report("positions", PROBES / 10, start.elapsed());

    let start = Instant::now();
    for group in 0..segment.groups().len() {
        for position in 0..table.types.len() {
            segment.pieces(group, position)?;
        }
    }
    report(
        "decode a value",
        rows.len() * table.types.len(),
        start.elapsed(),
    );
    let group_rows = segment.groups()[0].rows;
    let start = Instant::now();
    for &probe in probes.iter().take(PROBES / 10) {
        let (group, at) = ((probe / group_rows) as usize, (probe % group_rows) as usize);
        let arrays = (0..table.types.len())
            .map(|position| {
                Ok(segment
                    .pieces(group, position)?
                    .unwrap_or_else(|| unreachable!()))
            })
            .collect::<Result<Vec<_>>>()?;
        let values = arrays
            .iter()
            .zip(&table.types)
            .map(|(pieces, ty)| {
                columns::get(pieces[at / PIECE_ROWS].as_ref(), at % PIECE_ROWS, *ty)
            })
            .collect::<Result<Vec<_>>>()?;
        black_box(row::encode(&values, &table.types)?);
    }
    report("row from decoded columns", PROBES / 10, start.elapsed());

    let no_blocks = Arc::new(Caches::new(&CacheOptions {
        keys_bytes: 1 << 30,
        blocks_bytes: 0,
        columns_bytes: 0,
    }));
    let segment = Segment::new(segment.meta().clone(), objects, no_blocks);
    segment.row(0)?;
    let start = Instant::now();
    for &probe in probes.iter().take(PROBES / 100) {
        black_box(segment.row(probe)?);
    }
    report(
        "row, its block uncompressed first",
        PROBES / 100,
        start.elapsed(),
    );
    Ok(())
}

fn main() -> Result<()> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok());
    let clock: Arc<dyn Clock> = Arc::new(Host(Instant::now()));
    for table in tables() {
        measure(&table, rows.unwrap_or(1_000_000), &clock)?;
    }
    Ok(())
}
