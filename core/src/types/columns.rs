//! PostgreSQL types as Arrow columns.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | bool, int2, int4, int8, float4, float8 | Boolean, Int16, Int32, Int64, Float32, Float64 |
//! | numeric(p ≤ 38, 0 ≤ s ≤ p) | Decimal128(p, s); [`Decimal`] for NaN and the infinities |
//! | other numeric | Binary: [`packed`](super::kinds::numeric::packed), which compare as the numbers do |
//! | text, varchar, char, name, json, jsonb | Utf8View |
//! | bytea | BinaryView |
//! | date, time, timestamp, timestamptz | Date32, Time64(µs), Timestamp(µs), Timestamp(µs, zone) |
//! | interval | Interval(MonthDayNano) |
//! | uuid | FixedSizeBinary(16) |
//! | oid, reg* | UInt32 |
//! | T[] | List(T) |
//!
//! The exact type travels in the field's metadata under [`METADATA_KEY`].

pub(super) mod build;
mod compact;
mod decimal;
mod read;
mod write;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::scalar::ScalarValue;

use super::kinds::{Kind, array, interval};
use super::{Datum, PgType, names, oid};
use crate::error::Result;

pub use build::ColumnBuilder;
pub use compact::{compact, own, string_bytes};
pub use decimal::Decimal;
pub use read::get;
pub use write::{write_binary, write_text};

/// Key of the field metadata that holds `oid:typmod`.
pub const METADATA_KEY: &str = "pg_type";

/// Largest precision that a Decimal128 holds.
const DECIMAL128_PRECISION: u16 = 38;

/// The Arrow type of a column of type `ty`; `zone` is the session's time zone name.
pub fn data_type(ty: PgType, zone: &str) -> DataType {
    match Kind::of(ty) {
        Kind::Bool => DataType::Boolean,
        Kind::Int2 => DataType::Int16,
        Kind::Int4 => DataType::Int32,
        Kind::Int8 => DataType::Int64,
        Kind::Float4 => DataType::Float32,
        Kind::Float8 => DataType::Float64,
        Kind::Numeric => match ty.precision_scale() {
            Some((precision, scale))
                if precision <= DECIMAL128_PRECISION && (0..=precision as i16).contains(&scale) =>
            {
                DataType::Decimal128(precision as u8, scale as i8)
            }
            _ => DataType::Binary,
        },
        Kind::Text => DataType::Utf8View,
        Kind::Bytea => DataType::BinaryView,
        Kind::Date => DataType::Date32,
        Kind::Time => DataType::Time64(TimeUnit::Microsecond),
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())),
        Kind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        Kind::Uuid => DataType::FixedSizeBinary(16),
        Kind::Oid => DataType::UInt32,
        Kind::Array => {
            let element = array::element(ty).unwrap_or(PgType::TEXT);
            DataType::List(Arc::new(Field::new_list_field(
                data_type(element, zone),
                true,
            )))
        }
    }
}

/// A field with the type's metadata.
pub fn field(name: &str, ty: PgType, nullable: bool, zone: &str) -> Field {
    let metadata = [(METADATA_KEY.to_owned(), format!("{}:{}", ty.oid, ty.typmod))];
    Field::new(name, data_type(ty, zone), nullable).with_metadata(metadata.into())
}

/// The PostgreSQL type of a field: from its metadata while its Arrow type still fits it, else the
/// natural one of its Arrow type.
pub fn pg_type(field: &Field) -> PgType {
    let named = field.metadata().get(METADATA_KEY).and_then(|text| {
        let (oid, typmod) = text.split_once(':')?;
        Some(PgType::with_typmod(oid.parse().ok()?, typmod.parse().ok()?))
    });
    match named {
        Some(ty) => compatible(ty, field.data_type()).unwrap_or_else(|| natural(field.data_type())),
        None => natural(field.data_type()),
    }
}

/// `ty` if arrays of the Arrow type hold its values; without its modifier where that does not fit.
fn compatible(ty: PgType, data_type: &DataType) -> Option<PgType> {
    use DataType::*;
    if let Dictionary(_, values) = data_type {
        return compatible(ty, values);
    }
    let fits = match Kind::of(ty) {
        Kind::Bool => matches!(data_type, Boolean),
        Kind::Int2 => matches!(data_type, Int16 | Int8 | UInt8),
        Kind::Int4 => matches!(data_type, Int32 | UInt16),
        Kind::Int8 => matches!(data_type, Int64 | UInt32),
        Kind::Float4 => matches!(data_type, Float32 | Float16),
        Kind::Float8 => matches!(data_type, Float64),
        Kind::Numeric => {
            let found = match data_type {
                Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => (*p, *s),
                UInt64 => return Some(PgType::NUMERIC),
                Binary => return Some(ty),
                _ => return None,
            };
            let same = ty
                .precision_scale()
                .is_some_and(|(p, s)| (p, s) == (u16::from(found.0), i16::from(found.1)));
            return Some(if same { ty } else { PgType::NUMERIC });
        }
        Kind::Text => matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Null),
        Kind::Bytea => {
            matches!(data_type, LargeBinary | BinaryView | FixedSizeBinary(_))
        }
        Kind::Date => matches!(data_type, Date32 | Date64),
        Kind::Time => matches!(data_type, Time32(_) | Time64(_)),
        Kind::Timestamp => matches!(data_type, Timestamp(_, None)),
        Kind::Timestamptz => matches!(data_type, Timestamp(_, Some(_))),
        Kind::Interval => matches!(data_type, Interval(_) | Duration(_)),
        Kind::Uuid => matches!(data_type, FixedSizeBinary(16)),
        Kind::Oid => matches!(data_type, UInt32 | Int64 | Int32),
        Kind::Array => match data_type {
            List(item) | LargeList(item) | FixedSizeList(item, _) | ListView(item) => {
                let element = array::element(ty)?;
                let found = compatible(element, item.data_type())?;
                return Some(PgType::with_typmod(ty.oid, found.typmod));
            }
            _ => false,
        },
    };
    // A NULL literal keeps the type that the statement gave it.
    (fits || matches!(data_type, Null)).then_some(ty)
}

/// The PostgreSQL type that suits an Arrow type best.
fn natural(data_type: &DataType) -> PgType {
    match data_type {
        DataType::Boolean => PgType::BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => PgType::INT2,
        DataType::Int32 | DataType::UInt16 => PgType::INT4,
        DataType::Int64 | DataType::UInt32 => PgType::INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Binary => PgType::NUMERIC,
        DataType::Float16 | DataType::Float32 => PgType::FLOAT4,
        DataType::Float64 => PgType::FLOAT8,
        DataType::LargeBinary | DataType::BinaryView => PgType::BYTEA,
        DataType::FixedSizeBinary(16) => PgType::UUID,
        DataType::FixedSizeBinary(_) => PgType::BYTEA,
        DataType::Date32 | DataType::Date64 => PgType::DATE,
        DataType::Time32(_) | DataType::Time64(_) => PgType::TIME,
        DataType::Timestamp(_, None) => PgType::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => PgType::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => PgType::INTERVAL,
        DataType::Dictionary(_, values) => natural(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            let element = pg_type(item);
            let array = names::array_of(element.oid).unwrap_or(oid::TEXT_ARRAY);
            PgType::with_typmod(array, element.typmod)
        }
        DataType::Struct(_) => PgType::RECORD,
        _ => PgType::TEXT,
    }
}

/// A scalar of DataFusion for a datum (a parameter, a literal).
///
/// # Errors
/// 22008 when an interval has more digits than its Arrow type holds.
pub fn scalar(datum: &Datum<'_>, ty: PgType, zone: &str) -> Result<ScalarValue> {
    Ok(match (datum, Kind::of(ty)) {
        (Datum::Bool(value), Kind::Bool) => ScalarValue::Boolean(Some(*value)),
        (Datum::Int2(value), Kind::Int2) => ScalarValue::Int16(Some(*value)),
        (Datum::Int4(value), Kind::Int4) => ScalarValue::Int32(Some(*value)),
        (Datum::Int8(value), Kind::Int8) => ScalarValue::Int64(Some(*value)),
        (Datum::Float4(value), Kind::Float4) => ScalarValue::Float32(Some(*value)),
        (Datum::Float8(value), Kind::Float8) => ScalarValue::Float64(Some(*value)),
        (Datum::Text(value), Kind::Text) => ScalarValue::Utf8View(Some(value.to_string())),
        (Datum::Bytea(value), Kind::Bytea) => ScalarValue::BinaryView(Some(value.to_vec())),
        (Datum::Date(value), Kind::Date) => ScalarValue::Date32(Some(*value)),
        (Datum::Time(value), Kind::Time) => ScalarValue::Time64Microsecond(Some(*value)),
        (Datum::Timestamp(value), Kind::Timestamp) => {
            ScalarValue::TimestampMicrosecond(Some(*value), None)
        }
        (Datum::Timestamptz(value), Kind::Timestamptz) => {
            ScalarValue::TimestampMicrosecond(Some(*value), Some(zone.into()))
        }
        (Datum::Interval(value), Kind::Interval) => {
            ScalarValue::IntervalMonthDayNano(Some(build::month_day_nano(value)?))
        }
        (Datum::Uuid(value), Kind::Uuid) => ScalarValue::FixedSizeBinary(16, Some(value.to_vec())),
        (Datum::Oid(value), Kind::Oid) => ScalarValue::UInt32(Some(*value)),
        _ => {
            let mut builder = ColumnBuilder::new(ty, zone, 1);
            builder.append(datum)?;
            ScalarValue::try_from_array(&builder.finish(), 0).map_err(|error| {
                crate::error::Error::internal(format!("scalar of an array: {error}"))
            })?
        }
    })
}

/// An interval beyond what nanoseconds count.
fn interval_overflow() -> crate::error::Error {
    interval::out_of_range()
        .hint("The time part of an interval may span 292 years in either direction.")
}
