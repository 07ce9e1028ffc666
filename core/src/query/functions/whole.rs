//! Functions over whole columns: what analytics lean on, without a value in between.
//!
//! Each stands in for a function of single values and gives the same answers. It may decline
//! (`None`), for instance when an argument is no constant; then that function runs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, TimestampMicrosecondType,
};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;

use super::row::Call;
use super::{dates, math};
use crate::error::{Error, Result};
use crate::types::kinds::calendar::USECS_PER_DAY;
use crate::types::{PgType, oid};

/// Arguments, and the Arrow type of the result. At least one argument is a column.
pub(in crate::query) type WholeFn =
    fn(&Call<'_>, &[ColumnarValue], &DataType) -> Result<Option<ArrayRef>>;

/// The whole-column form of a function, if it has one.
pub(super) fn find(name: &str, types: &[PgType]) -> Option<WholeFn> {
    let oids: Vec<u32> = types.iter().map(|ty| ty.oid).collect();
    match (name, oids.as_slice()) {
        ("make_date", [oid::INT4, oid::INT4, oid::INT4]) => Some(make_date),
        ("timezone", [oid::TEXT, oid::TIMESTAMPTZ | oid::TIMESTAMP]) => Some(timezone),
        ("date_trunc", [oid::TEXT, oid::TIMESTAMPTZ | oid::TIMESTAMP]) => Some(date_trunc),
        ("extract" | "date_part", [oid::TEXT, oid::TIMESTAMPTZ | oid::TIMESTAMP | oid::DATE]) => {
            Some(part)
        }
        ("width_bucket", [oid::FLOAT8, oid::FLOAT8, oid::FLOAT8, oid::INT4]) => Some(width_bucket),
        _ => None,
    }
}

fn text(value: Option<&ColumnarValue>) -> Option<&str> {
    match value? {
        ColumnarValue::Scalar(
            ScalarValue::Utf8View(text) | ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text),
        ) => text.as_deref(),
        _ => None,
    }
}

fn column<T: ArrowPrimitiveType>(value: Option<&ColumnarValue>) -> Option<&PrimitiveArray<T>> {
    match value? {
        ColumnarValue::Array(array) => array.as_primitive_opt::<T>(),
        ColumnarValue::Scalar(_) => None,
    }
}

/// Calls `each` for every value that is not NULL and not the one before it: columns are often in
/// some order, and what a calendar computes is dear.
fn mapped<T: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    mut each: impl FnMut(T::Native) -> Result<Option<O::Native>>,
) -> Result<PrimitiveArray<O>> {
    let mut out = PrimitiveBuilder::<O>::with_capacity(array.len());
    let mut last: Option<(T::Native, Option<O::Native>)> = None;
    for value in array.iter() {
        let Some(value) = value else {
            out.append_null();
            continue;
        };
        let result = match last {
            Some((known, result)) if known == value => result,
            _ => each(value)?,
        };
        last = Some((value, result));
        out.append_option(result);
    }
    Ok(out.finish())
}

/// An int4 argument, as a column or a constant.
enum Ints<'a> {
    Column(&'a PrimitiveArray<Int32Type>),
    Constant(i32),
}

impl<'a> Ints<'a> {
    fn new(value: &'a ColumnarValue) -> Option<Ints<'a>> {
        match value {
            ColumnarValue::Array(array) => array.as_primitive_opt().map(Ints::Column),
            ColumnarValue::Scalar(ScalarValue::Int32(Some(value))) => Some(Ints::Constant(*value)),
            ColumnarValue::Scalar(_) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Ints::Column(array) => array.len(),
            Ints::Constant(_) => 0,
        }
    }

    fn get(&self, row: usize) -> Option<i32> {
        match self {
            Ints::Column(array) if array.is_null(row) => None,
            Ints::Column(array) => array.values().get(row).copied(),
            Ints::Constant(value) => Some(*value),
        }
    }
}

fn make_date(_: &Call<'_>, args: &[ColumnarValue], _: &DataType) -> Result<Option<ArrayRef>> {
    let [year, month, day] = args else {
        return Ok(None);
    };
    let (Some(year), Some(month), Some(day)) = (Ints::new(year), Ints::new(month), Ints::new(day))
    else {
        return Ok(None);
    };
    let rows = year.len().max(month.len()).max(day.len());
    let mut out = PrimitiveBuilder::<Date32Type>::with_capacity(rows);
    let mut last = None;
    for row in 0..rows {
        let (Some(year), Some(month), Some(day)) = (year.get(row), month.get(row), day.get(row))
        else {
            out.append_null();
            continue;
        };
        let days = match last {
            Some((known, days)) if known == (year, month, day) => days,
            _ => dates::date_of(year.into(), month.into(), day.into())?,
        };
        last = Some(((year, month, day), days));
        out.append_value(days);
    }
    Ok(Some(Arc::new(out.finish())))
}

/// Of a column of floats between constants.
fn width_bucket(_: &Call<'_>, args: &[ColumnarValue], _: &DataType) -> Result<Option<ArrayRef>> {
    let [
        value,
        ColumnarValue::Scalar(ScalarValue::Float64(Some(low))),
        ColumnarValue::Scalar(ScalarValue::Float64(Some(high))),
        ColumnarValue::Scalar(ScalarValue::Int32(Some(count))),
    ] = args
    else {
        return Ok(None);
    };
    let Some(column) = column::<Float64Type>(Some(value)) else {
        return Ok(None);
    };
    let found: PrimitiveArray<Int32Type> = mapped(column, |value| {
        math::bucket(value, *low, *high, i64::from(*count)).map(Some)
    })?;
    Ok(Some(Arc::new(found)))
}

/// `AT TIME ZONE` with a constant zone.
fn timezone(
    call: &Call<'_>,
    args: &[ColumnarValue],
    result: &DataType,
) -> Result<Option<ArrayRef>> {
    let (Some(zone), Some(column)) = (
        text(args.first()),
        column::<TimestampMicrosecondType>(args.get(1)),
    ) else {
        return Ok(None);
    };
    let zone = dates::zone(zone)?;
    let zoned = call
        .types
        .get(1)
        .is_some_and(|ty| ty.oid == oid::TIMESTAMPTZ);
    let moved: PrimitiveArray<TimestampMicrosecondType> = mapped(column, |micros| {
        Ok(Some(match zoned {
            true => dates::in_zone(&zone, micros)?,
            false => dates::from_zone(&zone, micros)?,
        }))
    })?;
    typed(moved, result)
}

fn date_trunc(
    call: &Call<'_>,
    args: &[ColumnarValue],
    result: &DataType,
) -> Result<Option<ArrayRef>> {
    let (Some(field), Some(column)) = (
        text(args.first()),
        column::<TimestampMicrosecondType>(args.get(1)),
    ) else {
        return Ok(None);
    };
    let ty = call.types.get(1).copied().unwrap_or(PgType::TIMESTAMP);
    let zoned = ty.oid == oid::TIMESTAMPTZ;
    let cut: PrimitiveArray<TimestampMicrosecondType> = mapped(column, |micros| {
        Ok(Some(match zoned {
            true => {
                let local = dates::local(call, micros)?;
                dates::utc(call, dates::truncate(field, local, ty)?)?
            }
            false => dates::truncate(field, micros, ty)?,
        }))
    })?;
    typed(cut, result)
}

fn typed(
    array: PrimitiveArray<TimestampMicrosecondType>,
    result: &DataType,
) -> Result<Option<ArrayRef>> {
    match result {
        DataType::Timestamp(_, zone) => Ok(Some(Arc::new(array.with_timezone_opt(zone.clone())))),
        _ => Ok(None),
    }
}

/// EXTRACT and date_part of a constant field.
fn part(call: &Call<'_>, args: &[ColumnarValue], result: &DataType) -> Result<Option<ArrayRef>> {
    let Some(field) = text(args.first()) else {
        return Ok(None);
    };
    let field = field.to_lowercase();
    let ty = call.types.get(1).copied().unwrap_or(PgType::TIMESTAMP);
    if !dates::known_in_columns(&field, ty) || has_infinite(args) {
        return Ok(None);
    }
    let zoned = ty.oid == oid::TIMESTAMPTZ;
    let needs_offset = field.starts_with("timezone");
    let parts = |micros: i64| -> Result<(i128, i32)> {
        let found = if zoned {
            let shown = dates::local(call, micros)?;
            let offset = match needs_offset {
                true => call.style().time_zone.offset_at(micros),
                false => 0,
            };
            dates::date_part(&field, shown, Some((offset, micros)))
        } else {
            dates::date_part(&field, micros, None)
        };
        found.ok_or_else(|| dates::field_error(&field, ty))
    };
    match result {
        DataType::Float64 => {
            let float = |micros| {
                let (value, scale) = parts(micros)?;
                Ok(Some(value as f64 / 10_f64.powi(scale)))
            };
            let Some(array) = of_moments::<Float64Type>(args, float)? else {
                return Ok(None);
            };
            Ok(Some(Arc::new(array)))
        }
        DataType::Decimal128(precision, wanted) => {
            let limit = 10_i128.checked_pow(u32::from(*precision));
            let mut fits = true;
            let decimal = |micros| {
                let (value, scale) = parts(micros)?;
                let scaled = u32::try_from(i32::from(*wanted) - scale)
                    .ok()
                    .and_then(|missing| 10_i128.checked_pow(missing))
                    .and_then(|factor| value.checked_mul(factor))
                    .filter(|scaled| limit.is_none_or(|limit| scaled.abs() < limit));
                fits &= scaled.is_some();
                Ok(scaled)
            };
            let found = of_moments::<Decimal128Type>(args, decimal)?;
            // The function of single values knows how to round, or what to say.
            let Some(array) = found.filter(|_| fits) else {
                return Ok(None);
            };
            let array = array
                .with_precision_and_scale(*precision, *wanted)
                .map_err(|error| Error::internal(format!("a part of a date: {error}")))?;
            Ok(Some(Arc::new(array)))
        }
        _ => Ok(None),
    }
}

/// Whether a moment is infinite: its parts are infinite too, or NULL.
fn has_infinite(args: &[ColumnarValue]) -> bool {
    if let Some(column) = column::<TimestampMicrosecondType>(args.get(1)) {
        return column
            .values()
            .iter()
            .any(|micros| matches!(*micros, i64::MIN | i64::MAX));
    }
    column::<Date32Type>(args.get(1)).is_some_and(|column| {
        column
            .values()
            .iter()
            .any(|days| matches!(*days, i32::MIN | i32::MAX))
    })
}

/// Maps a column of timestamps or dates; infinite ones have no parts.
fn of_moments<O: ArrowPrimitiveType>(
    args: &[ColumnarValue],
    mut each: impl FnMut(i64) -> Result<Option<O::Native>>,
) -> Result<Option<PrimitiveArray<O>>> {
    if let Some(column) = column::<TimestampMicrosecondType>(args.get(1)) {
        return mapped(column, |micros| match micros {
            i64::MIN | i64::MAX => Ok(None),
            micros => each(micros),
        })
        .map(Some);
    }
    let Some(column) = column::<Date32Type>(args.get(1)) else {
        return Ok(None);
    };
    mapped(column, |days| match days {
        i32::MIN | i32::MAX => Ok(None),
        days => each(i64::from(days).saturating_mul(USECS_PER_DAY)),
    })
    .map(Some)
}
