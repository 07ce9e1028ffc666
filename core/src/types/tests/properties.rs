//! Properties that hold for every value: key order is value order, rows, columns, text and binary
//! forms give back what went in, and no garbage makes a reader panic. A failing run prints the
//! seed; `PROPTEST_RNG_SEED=<seed> cargo test -p omendb-core --lib types::` repeats it.

use std::cmp::Ordering;

use bigdecimal::num_bigint::BigInt;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::types::columns::{self, ColumnBuilder};
use crate::types::kinds::calendar::{MAX_TIMESTAMP, MIN_TIMESTAMP, USECS_PER_DAY};
use crate::types::kinds::{array, date, numeric};
use crate::types::ops::{self, BinaryOp};
use crate::types::text::{self, TextStyle, Zone};
use crate::types::{Array, Datum, Interval, Numeric, PgType, binary, key, names, oid, row};

/// The types that values are drawn from.
const SCALARS: &[PgType] = &[
    PgType::BOOL,
    PgType::INT2,
    PgType::INT4,
    PgType::INT8,
    PgType::FLOAT4,
    PgType::FLOAT8,
    PgType::NUMERIC,
    PgType::numeric(12, 3),
    PgType::numeric(38, 10),
    PgType::numeric(60, 20),
    PgType::TEXT,
    PgType::VARCHAR,
    PgType::with_typmod(oid::BPCHAR, 4 + 6),
    PgType::NAME,
    PgType::BYTEA,
    PgType::DATE,
    PgType::TIME,
    PgType::TIMESTAMP,
    PgType::TIMESTAMPTZ,
    PgType::INTERVAL,
    PgType::UUID,
    PgType::OID,
];

fn any_type() -> impl Strategy<Value = PgType> {
    prop_oneof![
        4 => (0..SCALARS.len()).prop_map(|at| SCALARS[at]),
        1 => (0..SCALARS.len()).prop_map(|at| {
            let element = SCALARS[at];
            PgType::with_typmod(names::array_of(element.oid).unwrap(), element.typmod)
        }),
    ]
}

fn key_type() -> impl Strategy<Value = PgType> {
    any_type().prop_filter("no key", |ty| key::check(*ty).is_ok())
}

fn small_or_any<T: Arbitrary + Clone + 'static>(small: Vec<T>) -> BoxedStrategy<T> {
    prop_oneof![any::<T>(), proptest::sample::select(small)].boxed()
}

fn numeric_value(ty: PgType) -> BoxedStrategy<Numeric> {
    let (precision, scale) = ty.precision_scale().unwrap_or((40, 15));
    let digits = vec(0..10_u8, 1..=usize::from(precision));
    let finite = (digits, any::<bool>(), 0..=i64::from(scale)).prop_map(
        move |(digits, negative, fraction)| {
            let text: String = digits
                .iter()
                .map(|digit| char::from(b'0' + digit))
                .collect();
            let mut value = BigInt::parse_bytes(text.as_bytes(), 10).unwrap();
            if negative {
                value = -value;
            }
            match ty.precision_scale() {
                Some((_, scale)) => Numeric::new(value, i64::from(scale)),
                None => Numeric::new(value, fraction),
            }
        },
    );
    if ty.precision_scale().is_some() {
        return prop_oneof![20 => finite, 1 => Just(Numeric::NaN)].boxed();
    }
    prop_oneof![
        20 => finite,
        1 => Just(Numeric::NaN),
        1 => Just(Numeric::Infinity),
        1 => Just(Numeric::NegativeInfinity),
    ]
    .boxed()
}

fn value(ty: PgType) -> BoxedStrategy<Datum<'static>> {
    let time_range = MIN_TIMESTAMP..=MAX_TIMESTAMP;
    let timestamp = prop_oneof![
        time_range,
        Just(i64::MIN),
        Just(i64::MAX),
        -1_000_000..1_000_000_i64
    ];
    if let Some(element) = array::element(ty) {
        return vec(nullable(element), 0..5)
            .prop_map(move |items| Datum::Array(Box::new(Array { element, items })))
            .boxed();
    }
    match ty.oid {
        oid::BOOL => any::<bool>().prop_map(Datum::Bool).boxed(),
        oid::INT2 => small_or_any(vec![0, -1, i16::MIN, i16::MAX])
            .prop_map(Datum::Int2)
            .boxed(),
        oid::INT4 => small_or_any(vec![0, -1, i32::MIN, i32::MAX])
            .prop_map(Datum::Int4)
            .boxed(),
        oid::INT8 => small_or_any(vec![0, -1, i64::MIN, i64::MAX])
            .prop_map(Datum::Int8)
            .boxed(),
        oid::FLOAT4 => prop_oneof![
            any::<f32>(),
            Just(0.0),
            Just(-0.0),
            Just(f32::NAN),
            Just(f32::INFINITY),
            any::<u32>().prop_map(f32::from_bits)
        ]
        .prop_map(Datum::Float4)
        .boxed(),
        oid::FLOAT8 => prop_oneof![
            any::<f64>(),
            Just(0.0),
            Just(-0.0),
            Just(f64::NAN),
            Just(f64::NEG_INFINITY),
            any::<u64>().prop_map(f64::from_bits)
        ]
        .prop_map(Datum::Float8)
        .boxed(),
        oid::NUMERIC => numeric_value(ty).prop_map(Datum::Numeric).boxed(),
        oid::BPCHAR => "[a-c ]{0,6}"
            .prop_map(|text| Datum::text(format!("{text:<6}")))
            .boxed(),
        oid::NAME => "[a-zé]{0,20}".prop_map(Datum::text).boxed(),
        oid::BYTEA => vec(
            prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()],
            0..12,
        )
        .prop_map(|bytes| Datum::Bytea(bytes.into()))
        .boxed(),
        oid::DATE => prop_oneof![
            any::<i32>().prop_filter("range", |days| date::finite((*days).into()).is_some()),
            Just(i32::MIN),
            Just(i32::MAX),
            -1000..1000
        ]
        .prop_map(Datum::Date)
        .boxed(),
        oid::TIME => (0..=USECS_PER_DAY).prop_map(Datum::Time).boxed(),
        oid::TIMESTAMP => timestamp.prop_map(Datum::Timestamp).boxed(),
        oid::TIMESTAMPTZ => timestamp.prop_map(Datum::Timestamptz).boxed(),
        oid::INTERVAL => (
            any::<i32>(),
            any::<i32>(),
            -9_000_000_000_000_000..9_000_000_000_000_000_i64,
        )
            .prop_map(|(months, days, micros)| {
                Datum::Interval(Interval {
                    months,
                    days,
                    micros,
                })
            })
            .boxed(),
        oid::UUID => any::<[u8; 16]>().prop_map(Datum::Uuid).boxed(),
        oid::OID => any::<u32>().prop_map(Datum::Oid).boxed(),
        _ => prop_oneof!["[ab\u{1}\u{7f}é ]{0,6}", "\\PC{0,12}"]
            .prop_map(Datum::text)
            .boxed(),
    }
}

fn nullable(ty: PgType) -> BoxedStrategy<Datum<'static>> {
    prop_oneof![1 => Just(Datum::Null), 6 => value(ty)].boxed()
}

fn typed() -> impl Strategy<Value = (PgType, Datum<'static>)> {
    any_type().prop_flat_map(|ty| (Just(ty), nullable(ty)))
}

fn typed_value() -> impl Strategy<Value = (PgType, Datum<'static>)> {
    any_type().prop_flat_map(|ty| (Just(ty), value(ty)))
}

/// A row's types with two rows of values.
fn two_keys() -> impl Strategy<Value = Vec<(PgType, Datum<'static>, Datum<'static>)>> {
    let column = key_type().prop_flat_map(|ty| {
        let pair = (nullable(ty), nullable(ty));
        // Equal columns let the next one decide.
        let same = nullable(ty).prop_map(|value| (value.clone(), value));
        (Just(ty), prop_oneof![2 => pair, 1 => same]).prop_map(|(ty, (a, b))| (ty, a, b))
    });
    vec(column, 1..4)
}

/// Equality in which NaN is NaN, and all NaNs are one.
fn same(a: &Datum<'_>, b: &Datum<'_>) -> bool {
    match (a, b) {
        (Datum::Float4(a), Datum::Float4(b)) => a == b || a.is_nan() && b.is_nan(),
        (Datum::Float8(a), Datum::Float8(b)) => a == b || a.is_nan() && b.is_nan(),
        (Datum::Array(a), Datum::Array(b)) => {
            a.element == b.element
                && a.items.len() == b.items.len()
                && a.items.iter().zip(&b.items).all(|(a, b)| same(a, b))
        }
        (Datum::Numeric(a), Datum::Numeric(b)) => {
            let scale = |value: &Numeric| value.finite().map(|value| numeric::parts(value).1);
            a == b && scale(a) == scale(b)
        }
        (a, b) => a == b,
    }
}

fn value_order(ty: PgType, a: &Datum<'_>, b: &Datum<'_>) -> Ordering {
    match (ty.oid, a, b) {
        (oid::BPCHAR, Datum::Text(a), Datum::Text(b)) => {
            a.trim_end_matches(' ').cmp(b.trim_end_matches(' '))
        }
        _ => ops::compare(a, b),
    }
}

proptest! {
    #[test]
    fn key_order_is_value_order(columns in two_keys()) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut order = Ordering::Equal;
        for (ty, a, b) in &columns {
            key::encode(a, *ty, &mut left).unwrap();
            key::encode(b, *ty, &mut right).unwrap();
            order = order.then_with(|| value_order(*ty, a, b));
        }
        prop_assert_eq!(left.cmp(&right), order);
        // Neither is the start of the other, so keys can be joined.
        if order != Ordering::Equal {
            prop_assert!(!left.starts_with(&right) && !right.starts_with(&left));
        }
        let mut rest = left.as_slice();
        for (ty, a, _) in &columns {
            let back = key::decode(&mut rest, *ty).unwrap();
            prop_assert!(value_order(*ty, a, &back) == Ordering::Equal, "{:?} {:?}", a, back);
        }
        prop_assert!(rest.is_empty());
        if let Some(end) = key::prefix_end(&left) {
            prop_assert!(end > left);
        }
    }

    #[test]
    fn rows_give_back_their_values(columns in vec(typed(), 0..20)) {
        let (types, values): (Vec<PgType>, Vec<Datum>) = columns.into_iter().unzip();
        let bytes = row::encode(&values, &types).unwrap();
        let found = row::RowRef::new(&bytes).unwrap();
        prop_assert_eq!(found.columns(), types.len());
        for (at, (ty, value)) in types.iter().zip(&values).enumerate() {
            let read = found.get(at, *ty).unwrap();
            prop_assert!(same(&read, value), "{:?} {:?}", value, read);
            let mut builder = ColumnBuilder::new(*ty, "UTC", 2);
            found.append_to(at, *ty, &mut builder).unwrap();
            builder.append(value).unwrap();
            let array = builder.finish();
            prop_assert_eq!(array.data_type(), &columns::data_type(*ty, "UTC"));
            for index in 0..2 {
                let read = columns::get(array.as_ref(), index, *ty).unwrap();
                prop_assert!(same(&read, value), "{:?} {:?}", value, read);
            }
            let scalar = columns::scalar(value, *ty, "UTC").unwrap();
            prop_assert_eq!(scalar.data_type(), columns::data_type(*ty, "UTC"));
            let array = scalar.to_array().unwrap();
            prop_assert!(same(&columns::get(array.as_ref(), 0, *ty).unwrap(), value));
        }
        prop_assert!(found.get(types.len(), PgType::INT4).is_err());
    }

    #[test]
    fn garbage_rows_are_refused(bytes in vec(any::<u8>(), 0..80), ty in any_type()) {
        if let Ok(found) = row::RowRef::new(&bytes) {
            for at in 0..found.columns().min(40) + 1 {
                let _ = found.get(at, ty);
                let mut builder = ColumnBuilder::new(ty, "UTC", 1);
                let _ = found.append_to(at, ty, &mut builder);
            }
        }
    }

    #[test]
    fn damaged_rows_are_refused(
        columns in vec(typed(), 1..8),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let (types, values): (Vec<PgType>, Vec<Datum>) = columns.into_iter().unzip();
        let mut bytes = row::encode(&values, &types).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        for damaged in [bytes.as_slice(), &bytes[..cut.index(bytes.len())]] {
            let Ok(found) = row::RowRef::new(damaged) else { continue };
            for (at, ty) in types.iter().enumerate() {
                let _ = found.get(at, *ty);
                let mut builder = ColumnBuilder::new(*ty, "UTC", 1);
                let _ = found.append_to(at, *ty, &mut builder);
                let _ = builder.finish();
            }
        }
    }

    #[test]
    fn garbage_keys_are_refused(bytes in vec(any::<u8>(), 0..40), ty in any_type()) {
        let _ = key::decode(&mut bytes.as_slice(), ty);
    }

    #[test]
    fn text_gives_back_its_value((ty, value) in typed_value(), zone in 0..4_usize) {
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "-03:30"][zone];
        let style = TextStyle { time_zone: Zone::parse(zone).unwrap(), ..TextStyle::default() };
        let text = text::to_string(&value, ty, &style);
        let read = text::parse(ty, &text, &style);
        // The hour that clocks pass twice is the only text with two meanings; it has its offset.
        prop_assert!(read.as_ref().is_ok_and(|read| same(read, &value)), "{} {:?} {:?}", text, value, read);
    }

    #[test]
    fn binary_gives_back_its_value((ty, value) in typed_value()) {
        let mut bytes = Vec::new();
        binary::write(&value, ty, &mut bytes).unwrap();
        let read = binary::parse(ty, &bytes);
        prop_assert!(read.as_ref().is_ok_and(|read| same(read, &value)), "{:?} {:?}", value, read);
    }

    #[test]
    fn garbage_input_is_refused(text in "\\PC{0,24}", ty in any_type()) {
        let _ = text::parse(ty, &text, &TextStyle::default());
        let _ = text::parse(PgType::JSONB, &text, &TextStyle::default());
    }

    #[test]
    fn date_like_garbage_is_refused(
        text in "([0-9]{1,5}|[-+/:. TZ]|jan|bc|pm|now|epoch|infinity|day|mon|P|j|utc|y|m|ago){0,9}",
        ty in any_type(),
    ) {
        let _ = text::parse(ty, &text, &TextStyle::default());
        let _ = text::parse(PgType::INTERVAL, &text, &TextStyle::default());
        let _ = text::parse(PgType::TIME, &text, &TextStyle::default());
        let _ = text::parse(PgType::TIMESTAMPTZ, &text, &TextStyle::default());
        let _ = Zone::parse(&text);
    }

    #[test]
    fn json_like_garbage_is_refused(text in "([0-9]{1,3}|[-+{}\\[\\]:,.\"\\\\eu ]|true|null|\"a\"|\\\\u00|d83d){0,14}") {
        let checked = text::parse(PgType::JSON, &text, &TextStyle::default());
        let normal = text::parse(PgType::JSONB, &text, &TextStyle::default());
        if let Ok(normal) = normal {
            prop_assert!(checked.is_ok());
            let text = text::to_string(&normal, PgType::JSONB, &TextStyle::default());
            let again = text::parse(PgType::JSONB, &text, &TextStyle::default()).unwrap();
            prop_assert_eq!(again, normal);
        }
    }

    #[test]
    fn garbage_binary_is_refused(bytes in vec(any::<u8>(), 0..40), ty in any_type()) {
        let _ = binary::parse(ty, &bytes);
        let _ = binary::parse(PgType::JSONB, &bytes);
    }

    #[test]
    fn arithmetic_never_panics((a_ty, a) in typed(), (b_ty, b) in typed()) {
        use BinaryOp::*;
        for op in [Add, Sub, Mul, Div, Mod, Concat, Eq, Lt] {
            let _ = ops::apply(op, &a, &b);
            let _ = ops::result_type(op, a_ty, b_ty);
        }
        prop_assert_eq!(ops::compare(&a, &b), ops::compare(&b, &a).reverse());
    }
}
