//! One value out of an Arrow array of any layout.

use std::borrow::Cow;

use arrow::array::{Array as ArrowArray, ArrayRef, AsArray};
use arrow::datatypes::{
    self as arrow_types, ArrowNativeType, DataType, IntervalUnit, TimeUnit, i256,
};
use bigdecimal::num_bigint::BigInt;

use super::{Decimal, natural};
use crate::error::{Error, Result};
use crate::types::kinds::calendar::{USECS_PER_DAY, USECS_PER_SEC};
use crate::types::kinds::{Kind, array, numeric, out_of_range};
use crate::types::{Array, Datum, Interval, Numeric, PgType, names};

/// The value at `row` of an array that holds values of type `ty`. Takes every Arrow layout that a
/// function may return for the type (Utf8, LargeUtf8, Utf8View, Dictionary, …).
///
/// # Errors
/// 0A000 for layouts without a PostgreSQL type (structs, maps, unions); XX000 when the array does
/// not hold such values at all, or `row` is past its end.
pub fn get<'a>(array: &'a dyn ArrowArray, row: usize, ty: PgType) -> Result<Datum<'a>> {
    if row >= array.len() {
        return Err(Error::internal(format!(
            "row {row} of an array of {}",
            array.len()
        )));
    }
    if array.is_null(row) {
        return Ok(Datum::Null);
    }
    // The layouts that `columns::data_type` gives come first: they are nearly all there is.
    let found = match array.data_type() {
        DataType::Int32 => integer(
            array.as_primitive::<arrow_types::Int32Type>().value(row),
            ty,
        )?,
        DataType::Int64 => integer(
            array.as_primitive::<arrow_types::Int64Type>().value(row),
            ty,
        )?,
        DataType::Int16 => integer(
            array.as_primitive::<arrow_types::Int16Type>().value(row),
            ty,
        )?,
        DataType::Utf8View => Datum::Text(Cow::Borrowed(array.as_string_view().value(row))),
        DataType::Float64 => float(
            array.as_primitive::<arrow_types::Float64Type>().value(row),
            ty,
        ),
        DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
        DataType::Timestamp(unit, zone) => timestamp(array, row, *unit, zone.is_some())?,
        DataType::Date32 => Datum::Date(array.as_primitive::<arrow_types::Date32Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let value = array
                .as_primitive::<arrow_types::Decimal128Type>()
                .value(row);
            match arrow_types::Decimal128Type::special(value) {
                Some(special) => Datum::Numeric(special),
                None => decimal(BigInt::from(value), *scale),
            }
        }
        DataType::Binary => Datum::Numeric(numeric::packed::unpack(
            array.as_binary::<i32>().value(row),
        )?),
        DataType::Decimal256(_, scale) => {
            let value = array
                .as_primitive::<arrow_types::Decimal256Type>()
                .value(row);
            match arrow_types::Decimal256Type::special(value) {
                Some(special) => Datum::Numeric(special),
                None => decimal(big_int(value), *scale),
            }
        }
        DataType::UInt32 => integer(
            array.as_primitive::<arrow_types::UInt32Type>().value(row),
            ty,
        )?,
        _ => return uncommon(array, row, ty),
    };
    conform(found, array.data_type(), ty)
}

/// The layouts that only functions return.
fn uncommon<'a>(array: &'a dyn ArrowArray, row: usize, ty: PgType) -> Result<Datum<'a>> {
    let refuse = || {
        Error::unsupported(
            format!("a value of Arrow type {}", array.data_type()),
            "Select its parts one by one.",
        )
    };
    let found = match array.data_type() {
        DataType::Null => return Ok(Datum::Null),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary_opt().ok_or_else(refuse)?;
            let at = dictionary_key(dictionary.keys(), row).ok_or_else(refuse)?;
            return get(dictionary.values().as_ref(), at, ty);
        }
        DataType::Int8 => integer(array.as_primitive::<arrow_types::Int8Type>().value(row), ty)?,
        DataType::UInt8 => integer(
            array.as_primitive::<arrow_types::UInt8Type>().value(row),
            ty,
        )?,
        DataType::UInt16 => integer(
            array.as_primitive::<arrow_types::UInt16Type>().value(row),
            ty,
        )?,
        DataType::UInt64 => {
            let value = array.as_primitive::<arrow_types::UInt64Type>().value(row);
            match Kind::of(ty) {
                Kind::Numeric => Datum::Numeric(Numeric::from(value)),
                _ => integer(
                    i64::try_from(value).map_err(|_| out_of_range("bigint"))?,
                    ty,
                )?,
            }
        }
        DataType::Float16 => float(
            f64::from(
                array
                    .as_primitive::<arrow_types::Float16Type>()
                    .value(row)
                    .to_f32(),
            ),
            ty,
        ),
        DataType::Float32 => match Kind::of(ty) {
            Kind::Float8 => Datum::Float8(f64::from(
                array.as_primitive::<arrow_types::Float32Type>().value(row),
            )),
            _ => Datum::Float4(array.as_primitive::<arrow_types::Float32Type>().value(row)),
        },
        DataType::Decimal32(_, scale) => {
            let value = array
                .as_primitive::<arrow_types::Decimal32Type>()
                .value(row);
            decimal(BigInt::from(value), *scale)
        }
        DataType::Decimal64(_, scale) => {
            let value = array
                .as_primitive::<arrow_types::Decimal64Type>()
                .value(row);
            decimal(BigInt::from(value), *scale)
        }
        DataType::Utf8 => Datum::Text(Cow::Borrowed(array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Datum::Text(Cow::Borrowed(array.as_string::<i64>().value(row))),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row), ty),
        DataType::BinaryView => bytes(array.as_binary_view().value(row), ty),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row), ty),
        DataType::Date64 => {
            let millis = array.as_primitive::<arrow_types::Date64Type>().value(row);
            let days = millis.div_euclid(USECS_PER_DAY / 1_000);
            Datum::Date(i32::try_from(days).map_err(|_| out_of_range("date"))?)
        }
        DataType::Time32(TimeUnit::Second) => {
            let value = array
                .as_primitive::<arrow_types::Time32SecondType>()
                .value(row);
            Datum::Time(i64::from(value) * USECS_PER_SEC)
        }
        DataType::Time32(_) => {
            let value = array
                .as_primitive::<arrow_types::Time32MillisecondType>()
                .value(row);
            Datum::Time(i64::from(value) * 1_000)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let value = array
                .as_primitive::<arrow_types::Time64NanosecondType>()
                .value(row);
            Datum::Time(value / 1_000)
        }
        DataType::Time64(_) => Datum::Time(
            array
                .as_primitive::<arrow_types::Time64MicrosecondType>()
                .value(row),
        ),
        DataType::Duration(unit) => {
            let value = match unit {
                TimeUnit::Second => array
                    .as_primitive::<arrow_types::DurationSecondType>()
                    .value(row),
                TimeUnit::Millisecond => array
                    .as_primitive::<arrow_types::DurationMillisecondType>()
                    .value(row),
                TimeUnit::Microsecond => array
                    .as_primitive::<arrow_types::DurationMicrosecondType>()
                    .value(row),
                TimeUnit::Nanosecond => array
                    .as_primitive::<arrow_types::DurationNanosecondType>()
                    .value(row),
            };
            let micros = to_micros(value, *unit).ok_or_else(|| out_of_range("interval"))?;
            // PostgreSQL's difference of timestamps counts whole days apart.
            Datum::Interval(Interval {
                months: 0,
                days: (micros / USECS_PER_DAY) as i32,
                micros: micros % USECS_PER_DAY,
            })
        }
        DataType::Interval(unit) => interval(array, row, *unit),
        DataType::List(_) => list(&array.as_list::<i32>().value(row), ty)?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), ty)?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row), ty)?,
        DataType::ListView(_) => list(&array.as_list_view::<i32>().value(row), ty)?,
        _ => return Err(refuse()),
    };
    conform(found, array.data_type(), ty)
}

fn dictionary_key(keys: &dyn ArrowArray, row: usize) -> Option<usize> {
    macro_rules! key {
        ($($arrow:ident => $ty:ident,)*) => {
            match keys.data_type() {
                $(DataType::$arrow => {
                    Some(keys.as_primitive::<arrow_types::$ty>().value(row).as_usize())
                })*
                _ => None,
            }
        };
    }
    key! {
        Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
        UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type,
    }
}

/// An integer as the kind of integer that `ty` is.
fn integer<'a>(value: impl Into<i64>, ty: PgType) -> Result<Datum<'a>> {
    let value: i64 = value.into();
    Ok(match Kind::of(ty) {
        Kind::Int4 => Datum::Int4(i32::try_from(value).map_err(|_| out_of_range("integer"))?),
        Kind::Int2 => Datum::Int2(i16::try_from(value).map_err(|_| out_of_range("smallint"))?),
        Kind::Oid => Datum::Oid(u32::try_from(value).map_err(|_| out_of_range("oid"))?),
        Kind::Numeric => Datum::Numeric(Numeric::from(value)),
        _ => Datum::Int8(value),
    })
}

fn float<'a>(value: f64, ty: PgType) -> Datum<'a> {
    match Kind::of(ty) {
        Kind::Float4 => Datum::Float4(value as f32),
        _ => Datum::Float8(value),
    }
}

fn decimal<'a>(value: BigInt, scale: i8) -> Datum<'a> {
    Datum::Numeric(Numeric::Finite(numeric::normal(value, i64::from(scale))))
}

fn big_int(value: i256) -> BigInt {
    match value.to_i128() {
        Some(small) => BigInt::from(small),
        None => BigInt::from_signed_bytes_le(&value.to_le_bytes()),
    }
}

fn bytes(value: &[u8], ty: PgType) -> Datum<'_> {
    match (Kind::of(ty), <[u8; 16]>::try_from(value)) {
        (Kind::Uuid, Ok(uuid)) => Datum::Uuid(uuid),
        _ => Datum::Bytea(Cow::Borrowed(value)),
    }
}

/// Microseconds; the infinities stay, finer parts are cut.
fn to_micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        _ if value == i64::MIN || value == i64::MAX => Some(value),
        TimeUnit::Second => value.checked_mul(USECS_PER_SEC),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
}

fn timestamp<'a>(
    array: &dyn ArrowArray,
    row: usize,
    unit: TimeUnit,
    zoned: bool,
) -> Result<Datum<'a>> {
    let value = match unit {
        TimeUnit::Microsecond => array
            .as_primitive::<arrow_types::TimestampMicrosecondType>()
            .value(row),
        TimeUnit::Nanosecond => array
            .as_primitive::<arrow_types::TimestampNanosecondType>()
            .value(row),
        TimeUnit::Millisecond => array
            .as_primitive::<arrow_types::TimestampMillisecondType>()
            .value(row),
        TimeUnit::Second => array
            .as_primitive::<arrow_types::TimestampSecondType>()
            .value(row),
    };
    let micros = to_micros(value, unit).ok_or_else(|| out_of_range("timestamp"))?;
    Ok(if zoned {
        Datum::Timestamptz(micros)
    } else {
        Datum::Timestamp(micros)
    })
}

fn interval<'a>(array: &dyn ArrowArray, row: usize, unit: IntervalUnit) -> Datum<'a> {
    Datum::Interval(match unit {
        IntervalUnit::MonthDayNano => {
            let value = array
                .as_primitive::<arrow_types::IntervalMonthDayNanoType>()
                .value(row);
            Interval {
                months: value.months,
                days: value.days,
                micros: value.nanoseconds / 1_000,
            }
        }
        IntervalUnit::DayTime => {
            let value = array
                .as_primitive::<arrow_types::IntervalDayTimeType>()
                .value(row);
            Interval {
                months: 0,
                days: value.days,
                micros: i64::from(value.milliseconds) * 1_000,
            }
        }
        IntervalUnit::YearMonth => {
            let value = array
                .as_primitive::<arrow_types::IntervalYearMonthType>()
                .value(row);
            Interval {
                months: value,
                days: 0,
                micros: 0,
            }
        }
    })
}

fn list<'a>(values: &ArrayRef, ty: PgType) -> Result<Datum<'a>> {
    let element = match array::element(ty) {
        Some(element) => element,
        None => natural(values.data_type()),
    };
    if names::array_of(element.oid).is_none() {
        return Err(Error::unsupported(
            "an array of more than one dimension",
            "Use a one-dimensional array or jsonb.",
        ));
    }
    let items = (0..values.len())
        .map(|at| get(values.as_ref(), at, element).map(Datum::into_owned))
        .collect::<Result<_>>()?;
    Ok(Datum::Array(Box::new(Array { element, items })))
}

/// Makes sure that the value is one of type `ty`.
fn conform<'a>(found: Datum<'a>, data_type: &DataType, ty: PgType) -> Result<Datum<'a>> {
    let same = matches!(
        (&found, Kind::of(ty)),
        (Datum::Int4(_), Kind::Int4)
            | (Datum::Int8(_), Kind::Int8)
            | (Datum::Int2(_), Kind::Int2)
            | (Datum::Text(_), Kind::Text)
            | (Datum::Bool(_), Kind::Bool)
            | (Datum::Float4(_), Kind::Float4)
            | (Datum::Float8(_), Kind::Float8)
            | (Datum::Numeric(_), Kind::Numeric)
            | (Datum::Bytea(_), Kind::Bytea)
            | (Datum::Date(_), Kind::Date)
            | (Datum::Time(_), Kind::Time)
            | (Datum::Timestamp(_), Kind::Timestamp)
            | (Datum::Timestamptz(_), Kind::Timestamptz)
            | (Datum::Interval(_), Kind::Interval)
            | (Datum::Uuid(_), Kind::Uuid)
            | (Datum::Oid(_), Kind::Oid)
            | (Datum::Array(_), Kind::Array)
    );
    if same {
        return Ok(found);
    }
    match (found, Kind::of(ty)) {
        // A clock without a zone counts as UTC, and back.
        (Datum::Timestamp(value), Kind::Timestamptz) => Ok(Datum::Timestamptz(value)),
        (Datum::Timestamptz(value), Kind::Timestamp) => Ok(Datum::Timestamp(value)),
        // The name of a relation, a type, a role.
        (Datum::Text(text), Kind::Oid) => Ok(Datum::Text(text)),
        _ => Err(Error::internal(format!(
            "an Arrow array of {data_type} does not hold values of type {}",
            names::format_type(ty)
        ))),
    }
}
