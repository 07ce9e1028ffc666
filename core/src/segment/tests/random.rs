//! Random numbers, values, keys and tables, the same for the same seed.

use bigdecimal::num_bigint::BigInt;

use super::{Table, column};
use crate::segment::{Layout, WriteOptions};
use crate::types::kinds::{Kind, array, calendar};
use crate::types::{Array, Datum, Interval, Numeric, PgType, key, names, oid, row};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

/// The seeds to run: one that was asked for, or some.
pub fn seeds(usual: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("OMENDB_SEGMENT_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("OMENDB_SEGMENT_SEEDS").unwrap_or(usual)).collect(),
    }
}

pub const SCALARS: &[PgType] = &[
    PgType::BOOL,
    PgType::INT2,
    PgType::INT4,
    PgType::INT8,
    PgType::FLOAT4,
    PgType::FLOAT8,
    PgType::NUMERIC,
    PgType::numeric(1, 0),
    PgType::numeric(9, 2),
    PgType::numeric(18, 18),
    PgType::numeric(19, 3),
    PgType::numeric(38, 10),
    PgType::numeric(60, 20),
    PgType::TEXT,
    PgType::VARCHAR,
    PgType::with_typmod(oid::BPCHAR, 4 + 6),
    PgType::NAME,
    PgType::JSON,
    PgType::JSONB,
    PgType::BYTEA,
    PgType::DATE,
    PgType::TIME,
    PgType::TIMESTAMP,
    PgType::TIMESTAMPTZ,
    PgType::INTERVAL,
    PgType::UUID,
    PgType::OID,
    PgType::REGCLASS,
    PgType::CHAR,
];

pub fn any_type(random: &mut Random) -> PgType {
    let element = random.pick(SCALARS);
    if random.one_in(4)
        && let Some(array) = names::array_of(element.oid)
        && array != 0
    {
        return PgType::with_typmod(array, element.typmod);
    }
    element
}

fn numeric(random: &mut Random, ty: PgType) -> Numeric {
    let (precision, scale) = ty.precision_scale().unwrap_or((40, 15));
    if random.one_in(12) {
        return match ty.precision_scale() {
            Some(_) => Numeric::NaN,
            None => random.pick(&[Numeric::NaN, Numeric::Infinity, Numeric::NegativeInfinity]),
        };
    }
    let digits = 1 + random.below(precision.into());
    let digit = match random.one_in(5) {
        true => 9,
        false => 10,
    };
    let text: String = (0..digits)
        .map(|_| match digit {
            9 => '9',
            _ => char::from(b'0' + random.below(10) as u8),
        })
        .collect();
    let mut value = BigInt::parse_bytes(text.as_bytes(), 10).unwrap();
    if random.one_in(2) {
        value = -value;
    }
    let scale = match ty.precision_scale() {
        Some(_) => i64::from(scale),
        None => random.below(16) as i64,
    };
    Numeric::new(value, scale)
}

fn text(random: &mut Random) -> String {
    let length = match random.below(20) {
        0 => 200,
        1..5 => 20,
        _ => 8,
    };
    let length = random.below(length);
    (0..length)
        .map(|_| {
            random.pick(&[
                'a',
                'b',
                'c',
                ' ',
                'é',
                '\u{1}',
                '\u{10ffff}',
                '日',
                '\u{d7ff}',
            ])
        })
        .collect()
}

/// A value that is not NULL.
pub fn value(random: &mut Random, ty: PgType) -> Datum<'static> {
    let bits = match random.below(4) {
        0 => random.next(),
        1 => random.pick(&[0, 1, u64::MAX, 1 << 63, (1 << 63) - 1]),
        _ => random.below(100),
    };
    let timestamp = match random.below(8) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => (bits as i64).clamp(calendar::MIN_TIMESTAMP, calendar::MAX_TIMESTAMP),
    };
    match Kind::of(ty) {
        Kind::Bool => Datum::Bool(bits & 1 == 1),
        Kind::Int2 => Datum::Int2(bits as i16),
        Kind::Int4 => Datum::Int4(bits as i32),
        Kind::Int8 => Datum::Int8(bits as i64),
        Kind::Float4 => Datum::Float4(match random.below(5) {
            0 => random.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]),
            1 => f32::from_bits(bits as u32),
            _ => bits as f32 / 8.0,
        }),
        Kind::Float8 => Datum::Float8(match random.below(5) {
            0 => random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]),
            1 => f64::from_bits(bits),
            _ => bits as f64 / 8.0,
        }),
        Kind::Numeric => Datum::Numeric(numeric(random, ty)),
        Kind::Text if ty.oid == oid::BPCHAR => Datum::text(format!("{:<6}", bits % 1000)),
        Kind::Text => Datum::text(text(random)),
        Kind::Bytea => Datum::Bytea(text(random).into_bytes().into()),
        Kind::Date => Datum::Date(match random.below(8) {
            0 => i32::MIN,
            1 => i32::MAX,
            _ => (bits % 3_000_000) as i32 - 700_000,
        }),
        Kind::Time => Datum::Time((bits % 86_400_000_001) as i64),
        Kind::Timestamp => Datum::Timestamp(timestamp),
        Kind::Timestamptz => Datum::Timestamptz(timestamp),
        Kind::Interval => Datum::Interval(Interval {
            months: bits as i32,
            days: random.next() as i32,
            // What nanoseconds count.
            micros: bits as i64 / 1000,
        }),
        Kind::Uuid => Datum::Uuid(u128::from(bits).wrapping_mul(u128::MAX / 7).to_be_bytes()),
        Kind::Oid => Datum::Oid(bits as u32),
        Kind::Array => {
            let element = array::element(ty).unwrap();
            let items = (0..random.below(5))
                .map(|_| nullable(random, element))
                .collect();
            Datum::Array(Box::new(Array { element, items }))
        }
    }
}

pub fn nullable(random: &mut Random, ty: PgType) -> Datum<'static> {
    match random.one_in(6) {
        true => Datum::Null,
        false => value(random, ty),
    }
}

/// A table of random columns, rows and keys.
pub fn table(random: &mut Random) -> Table {
    let mut layout = Layout::default();
    for at in 0..random.below(10) {
        let ty = any_type(random);
        let mut column = column(&format!("c{at}"), ty);
        column.not_null = random.one_in(4);
        column.dropped = random.one_in(8);
        column.missing = match column.not_null {
            true => value(random, ty),
            false => nullable(random, ty),
        };
        layout.columns.push(column);
    }
    let count = match random.below(8) {
        0 => 1,
        1 => 5000,
        _ => 1 + random.below(1500),
    };
    let mut options = WriteOptions {
        group_rows: random.pick(&[1000, 64, 700]),
        group_bytes: random.pick(&[1 << 20, 20_000]),
        ..WriteOptions::default()
    };
    let key_types: Vec<PgType> = layout.columns.iter().map(|column| column.ty).collect();
    let usable = |at: &usize| key::check(key_types[*at]).is_ok() && !layout.columns[*at].dropped;
    let candidates: Vec<usize> = (0..key_types.len()).filter(usable).collect();
    let made = random.one_in(2) && !candidates.is_empty();
    if made {
        let mut key: Vec<usize> = (0..1 + random.below(3))
            .map(|_| random.pick(&candidates))
            .collect();
        key.dedup();
        options.key = Some(key);
    }
    let bare = !made && random.one_in(10);
    let kind = random.below(5);
    let types: Vec<PgType> = layout.columns.iter().map(|column| column.ty).collect();
    let mut rows = std::collections::BTreeMap::new();
    for at in 0..count {
        let written = match random.one_in(3) {
            true => random.below(types.len() as u64 + 1) as usize,
            false => types.len(),
        };
        let values: Vec<Datum<'static>> = layout
            .columns
            .iter()
            .take(written)
            .map(|column| match column.not_null {
                true => value(random, column.ty),
                false => nullable(random, column.ty),
            })
            .collect();
        let key = match &options.key {
            Some(positions) => {
                let mut key = Vec::new();
                for &position in positions {
                    let missing = &layout.columns[position].missing;
                    let value = values.get(position).unwrap_or(missing);
                    key::encode(value, types[position], &mut key).unwrap();
                }
                key
            }
            None => any_key(random, kind, at),
        };
        let row = match bare {
            true => Vec::new(),
            false => row::encode(&values, &types[..written]).unwrap(),
        };
        rows.insert(key, row);
    }
    Table {
        layout,
        rows: rows.into_iter().collect(),
        options,
    }
}

fn any_key(random: &mut Random, kind: u64, at: u64) -> Vec<u8> {
    match kind {
        // A hidden row number.
        0 => at.to_be_bytes().to_vec(),
        // A short integer column.
        1 => {
            let mut key = vec![1];
            key.extend_from_slice(&(random.next() as u32).to_be_bytes());
            key
        }
        // Two integers.
        2 => {
            let (high, low) = (random.below(3), random.next());
            [&[1][..], &high.to_be_bytes(), &[1], &low.to_be_bytes()].concat()
        }
        // Bytes that share beginnings.
        3 => {
            let length = random.below(20);
            (0..length).map(|_| random.pick(&[0, 1, 255])).collect()
        }
        _ => {
            let mut key = Vec::new();
            key::encode(&Datum::text(text(random)), PgType::TEXT, &mut key).unwrap();
            key
        }
    }
}
