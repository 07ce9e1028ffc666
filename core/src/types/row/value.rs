//! The bytes of one value in a row.

use std::borrow::Cow;

use arrow::datatypes::IntervalMonthDayNano;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::ToPrimitive;

use super::{corrupted, wrong_type};
use crate::error::{Error, Result};
use crate::types::columns::ColumnBuilder;
use crate::types::columns::build::{Inner, check128, month_day_nano};
use crate::types::kinds::{Kind, array, numeric};
use crate::types::{Array, Datum, Interval, Numeric, PgType};

/// Appends the bytes of one value that is not NULL.
pub(super) fn encode_value(value: &Datum<'_>, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    match (Kind::of(ty), value) {
        (Kind::Bool, Datum::Bool(value)) => out.push(u8::from(*value)),
        (Kind::Int2, Datum::Int2(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Int4, Datum::Int4(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Int8, Datum::Int8(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Float4, Datum::Float4(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Float8, Datum::Float8(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Numeric, Datum::Numeric(value)) => encode_numeric(value, out),
        (Kind::Text, Datum::Text(value)) => out.extend_from_slice(value.as_bytes()),
        (Kind::Bytea, Datum::Bytea(value)) => out.extend_from_slice(value),
        (Kind::Date, Datum::Date(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Time, Datum::Time(value))
        | (Kind::Timestamp, Datum::Timestamp(value))
        | (Kind::Timestamptz, Datum::Timestamptz(value)) => {
            out.extend_from_slice(&value.to_le_bytes());
        }
        (Kind::Interval, Datum::Interval(value)) => {
            out.extend_from_slice(&value.micros.to_le_bytes());
            out.extend_from_slice(&value.days.to_le_bytes());
            out.extend_from_slice(&value.months.to_le_bytes());
        }
        (Kind::Uuid, Datum::Uuid(value)) => out.extend_from_slice(value),
        (Kind::Oid, Datum::Oid(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Array, Datum::Array(value)) => encode_array(value, ty, out)?,
        _ => return Err(wrong_type(value, ty)),
    }
    Ok(())
}

/// In place of the scale: a value that is no number, which the next byte names.
const NOT_FINITE: u16 = u16::MAX;
const NAN: u8 = 0;
const INFINITY: u8 = 1;
const NEGATIVE_INFINITY: u8 = 2;

fn encode_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let mut special = |byte: u8| {
        out.extend_from_slice(&NOT_FINITE.to_le_bytes());
        out.push(byte);
    };
    let value = match value {
        Numeric::Finite(value) => value,
        Numeric::NaN => return special(NAN),
        Numeric::Infinity => return special(INFINITY),
        Numeric::NegativeInfinity => return special(NEGATIVE_INFINITY),
    };
    let (digits, scale) = numeric::parts(value);
    // A scale is at most numeric::MAX_SCALE.
    out.extend_from_slice(&(scale as u16).to_le_bytes());
    match digits.to_i64() {
        Some(small) => {
            let bytes = small.to_le_bytes();
            let sign = if small < 0 { 0xff } else { 0 };
            let mut used = bytes.len();
            while let [.., below, top] = bytes.get(..used).unwrap_or(&[]) {
                if *top != sign || (below ^ sign) & 0x80 != 0 {
                    break;
                }
                used -= 1;
            }
            out.extend_from_slice(bytes.get(..used).unwrap_or(&bytes));
        }
        None => out.extend_from_slice(&digits.to_signed_bytes_le()),
    }
}

fn encode_array(value: &Array, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    let element = array::element(ty).ok_or_else(|| wrong_type(&Datum::Null, ty))?;
    let count = u32::try_from(value.items.len()).map_err(|_| Error::internal("array length"))?;
    out.extend_from_slice(&count.to_le_bytes());
    for item in &value.items {
        let start = out.len();
        out.extend_from_slice(&NULL_ITEM.to_le_bytes());
        if item.is_null() {
            continue;
        }
        encode_value(item, element, out)?;
        let length = (out.len() - start - 4) as u32;
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(())
}

/// Length of a NULL item in an array.
const NULL_ITEM: u32 = u32::MAX;

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    <[u8; N]>::try_from(bytes)
        .map_err(|_| corrupted(&format!("{} bytes where {N} belong", bytes.len())))
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| corrupted("text is not UTF-8"))
}

fn bool_value(bytes: &[u8]) -> Result<bool> {
    match bytes {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(corrupted("not a bool")),
    }
}

fn interval(bytes: &[u8]) -> Result<Interval> {
    let bytes: [u8; 16] = exact(bytes)?;
    let (micros, rest) = bytes.split_at(8);
    let (days, months) = rest.split_at(4);
    Ok(Interval {
        micros: i64::from_le_bytes(exact(micros)?),
        days: i32::from_le_bytes(exact(days)?),
        months: i32::from_le_bytes(exact(months)?),
    })
}

/// A stored numeric.
enum Stored<'a> {
    /// The scale and the digits' little-endian bytes.
    Finite(u16, &'a [u8]),
    Special(Numeric),
}

fn numeric_parts(bytes: &[u8]) -> Result<Stored<'_>> {
    let (scale, digits) = bytes
        .split_first_chunk()
        .ok_or_else(|| corrupted("numeric"))?;
    let scale = u16::from_le_bytes(*scale);
    if scale == NOT_FINITE {
        return Ok(Stored::Special(match digits {
            [NAN] => Numeric::NaN,
            [INFINITY] => Numeric::Infinity,
            [NEGATIVE_INFINITY] => Numeric::NegativeInfinity,
            _ => return Err(corrupted("numeric")),
        }));
    }
    if i64::from(scale) > numeric::MAX_SCALE || digits.is_empty() {
        return Err(corrupted("numeric"));
    }
    Ok(Stored::Finite(scale, digits))
}

/// Sign-extends up to 16 little-endian bytes.
fn small_digits(digits: &[u8]) -> Option<i128> {
    if digits.len() > 16 {
        return None;
    }
    let fill = if digits.last().is_some_and(|byte| byte & 0x80 != 0) {
        0xff
    } else {
        0
    };
    let mut wide = [fill; 16];
    wide.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i128::from_le_bytes(wide))
}

fn numeric_value(bytes: &[u8]) -> Result<Numeric> {
    let (scale, digits) = match numeric_parts(bytes)? {
        Stored::Finite(scale, digits) => (scale, digits),
        Stored::Special(value) => return Ok(value),
    };
    let digits = match small_digits(digits) {
        Some(small) => BigInt::from(small),
        None => BigInt::from_signed_bytes_le(digits),
    };
    Ok(Numeric::new(digits, i64::from(scale)))
}

/// The items' bytes of a stored array, `None` for NULL.
fn array_items(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Option<&[u8]>>>> {
    let (count, mut rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| corrupted("array"))?;
    let count = u32::from_le_bytes(*count) as usize;
    // Every item takes four bytes at least, so a wrong count ends early.
    if count > rest.len() / 4 {
        return Err(corrupted("array length"));
    }
    Ok((0..count).map(move |_| {
        let (length, tail) = rest
            .split_first_chunk()
            .ok_or_else(|| corrupted("array item"))?;
        let length = u32::from_le_bytes(*length);
        if length == NULL_ITEM {
            rest = tail;
            return Ok(None);
        }
        let (item, tail) = tail
            .split_at_checked(length as usize)
            .ok_or_else(|| corrupted("array item"))?;
        rest = tail;
        Ok(Some(item))
    }))
}

pub(super) fn decode_value(bytes: &[u8], ty: PgType) -> Result<Datum<'_>> {
    Ok(match Kind::of(ty) {
        Kind::Bool => Datum::Bool(bool_value(bytes)?),
        Kind::Int2 => Datum::Int2(i16::from_le_bytes(exact(bytes)?)),
        Kind::Int4 => Datum::Int4(i32::from_le_bytes(exact(bytes)?)),
        Kind::Int8 => Datum::Int8(i64::from_le_bytes(exact(bytes)?)),
        Kind::Float4 => Datum::Float4(f32::from_le_bytes(exact(bytes)?)),
        Kind::Float8 => Datum::Float8(f64::from_le_bytes(exact(bytes)?)),
        Kind::Numeric => Datum::Numeric(numeric_value(bytes)?),
        Kind::Text => Datum::Text(Cow::Borrowed(text(bytes)?)),
        Kind::Bytea => Datum::Bytea(Cow::Borrowed(bytes)),
        Kind::Date => Datum::Date(i32::from_le_bytes(exact(bytes)?)),
        Kind::Time => Datum::Time(i64::from_le_bytes(exact(bytes)?)),
        Kind::Timestamp => Datum::Timestamp(i64::from_le_bytes(exact(bytes)?)),
        Kind::Timestamptz => Datum::Timestamptz(i64::from_le_bytes(exact(bytes)?)),
        Kind::Interval => Datum::Interval(interval(bytes)?),
        Kind::Uuid => Datum::Uuid(exact(bytes)?),
        Kind::Oid => Datum::Oid(u32::from_le_bytes(exact(bytes)?)),
        Kind::Array => {
            let element = array::element(ty).ok_or_else(|| corrupted("array type"))?;
            let items = array_items(bytes)?
                .map(|item| match item? {
                    Some(item) => decode_value(item, element).map(Datum::into_owned),
                    None => Ok(Datum::Null),
                })
                .collect::<Result<_>>()?;
            Datum::Array(Box::new(Array { element, items }))
        }
    })
}

pub(super) fn append_value(bytes: &[u8], ty: PgType, builder: &mut ColumnBuilder) -> Result<()> {
    match &mut builder.inner {
        Inner::Bool(values) => values.append_value(bool_value(bytes)?),
        Inner::Int2(values) => values.append_value(i16::from_le_bytes(exact(bytes)?)),
        Inner::Int4(values) => values.append_value(i32::from_le_bytes(exact(bytes)?)),
        Inner::Int8(values) => values.append_value(i64::from_le_bytes(exact(bytes)?)),
        Inner::Float4(values) => values.append_value(f32::from_le_bytes(exact(bytes)?)),
        Inner::Float8(values) => values.append_value(f64::from_le_bytes(exact(bytes)?)),
        Inner::Decimal128 {
            values,
            precision,
            scale,
        } => {
            if let Stored::Finite(stored_scale, digits) = numeric_parts(bytes)?
                && stored_scale == u16::from(*scale)
                && let Some(digits) = small_digits(digits)
            {
                values.append_value(check128(digits, *precision, *scale)?);
            } else {
                return builder.append(&Datum::Numeric(numeric_value(bytes)?));
            }
        }
        Inner::Numeric(values, packed) => {
            packed.clear();
            if let Stored::Finite(scale, digits) = numeric_parts(bytes)?
                && let Some(digits) = small_digits(digits)
            {
                numeric::packed::pack_small(digits, i64::from(scale), packed);
            } else {
                numeric::packed::pack(&numeric_value(bytes)?, packed);
            }
            values.append_value(packed);
        }
        Inner::Decimal256 { .. } => {
            return builder.append(&Datum::Numeric(numeric_value(bytes)?));
        }
        Inner::Text(values) => {
            values
                .try_append_value(text(bytes)?)
                .map_err(|_| corrupted("text is too long"))?;
        }
        Inner::Bytea(values) => {
            values
                .try_append_value(bytes)
                .map_err(|_| corrupted("bytea is too long"))?;
        }
        Inner::Date(values) => values.append_value(i32::from_le_bytes(exact(bytes)?)),
        Inner::Time(values) => values.append_value(i64::from_le_bytes(exact(bytes)?)),
        Inner::Timestamp(values) => values.append_value(i64::from_le_bytes(exact(bytes)?)),
        Inner::Interval(values) => {
            let value: IntervalMonthDayNano = month_day_nano(&interval(bytes)?)?;
            values.append_value(value);
        }
        Inner::Uuid(values) => {
            let value: [u8; 16] = exact(bytes)?;
            values.append_value(value).map_err(|_| corrupted("uuid"))?;
        }
        Inner::Oid(values) => values.append_value(u32::from_le_bytes(exact(bytes)?)),
        Inner::List(lists) => {
            let element = array::element(ty).ok_or_else(|| corrupted("array type"))?;
            let mut count = 0;
            for item in array_items(bytes)? {
                match item? {
                    Some(item) => append_value(item, element, lists.items())?,
                    None => lists.items().append_null(),
                }
                count += 1;
            }
            lists.end_list(count)?;
        }
    }
    Ok(())
}
