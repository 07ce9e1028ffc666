//! How long the hot paths take; run by hand, optimized:
//! `CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test -p omendb-core --lib types::tests::speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::Instant;

use crate::types::columns::{self, ColumnBuilder};
use crate::types::text::{self, TextStyle};
use crate::types::{Datum, PgType, binary, key, row};

const ROUNDS: u32 = 200_000;

fn measure(what: &str, mut run: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        run();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        run();
    }
    println!(
        "{what:<40} {:>8.1} ns",
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    );
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let types = [
        PgType::INT4,
        PgType::INT8,
        PgType::FLOAT8,
        PgType::numeric(15, 2),
        PgType::NUMERIC,
        PgType::DATE,
        PgType::TIMESTAMP,
        PgType::with_typmod(1042, 4 + 10),
        PgType::with_typmod(1043, 4 + 44),
        PgType::TEXT,
        PgType::BOOL,
    ];
    let style = TextStyle::default();
    let inputs = [
        "42",
        "1234567890123",
        "0.1",
        "12345.67",
        "12345.67",
        "1998-12-01",
        "1998-12-01 12:34:56.789",
        "BUILDING  ",
        "carefully final deposits",
        "a text that is longer than twelve bytes",
        "t",
    ];
    let values: Vec<Datum> = types
        .iter()
        .zip(inputs)
        .map(|(ty, input)| text::parse(*ty, input, &style).unwrap())
        .collect();
    let bytes = row::encode(&values, &types).unwrap();
    measure("encode a row of 11", || {
        black_box(row::encode(black_box(&values), &types).unwrap());
    });
    measure("open a row", || {
        black_box(row::RowRef::new(black_box(&bytes)).unwrap());
    });
    let found = row::RowRef::new(&bytes).unwrap();
    let array: Vec<_> = types
        .iter()
        .zip(&values)
        .map(|(ty, value)| {
            let mut builder = ColumnBuilder::new(*ty, "UTC", 1);
            builder.append(value).unwrap();
            builder.finish()
        })
        .collect();
    for (at, ty) in types.iter().enumerate() {
        let name = crate::types::names::format_type(*ty);
        let (value, ty) = (&values[at], *ty);
        let mut builder = ColumnBuilder::new(ty, "UTC", 8192);
        measure(&format!("{name}: append_to"), || {
            found.append_to(at, ty, &mut builder).unwrap();
        });
        measure(&format!("{name}: row get"), || {
            black_box(found.get(black_box(at), ty).unwrap());
        });
        measure(&format!("{name}: column get"), || {
            black_box(columns::get(array[at].as_ref(), 0, ty).unwrap());
        });
        let mut out = Vec::new();
        measure(&format!("{name}: text write"), || {
            out.clear();
            text::write(value, ty, &style, &mut out);
            black_box(&out);
        });
        measure(&format!("{name}: binary write"), || {
            out.clear();
            binary::write(value, ty, &mut out).unwrap();
            black_box(&out);
        });
        measure(&format!("{name}: text parse"), || {
            black_box(text::parse(ty, black_box(inputs[at]), &style).unwrap());
        });
        measure(&format!("{name}: key encode"), || {
            out.clear();
            key::encode(value, ty, &mut out).unwrap();
            black_box(&out);
        });
    }
}
