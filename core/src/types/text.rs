//! Text format: PostgreSQL's input and output syntax of every type.

use super::kinds::{
    self, Kind, array, bool, bytea, date, float, int, interval, json, numeric, string, time,
    timestamp, uuid,
};
use super::{Datum, PgType, oid};
use crate::error::Result;

/// What input and output of text depends on: the session's `TimeZone`, `bytea_output`, ….
#[derive(Clone, Debug)]
pub struct TextStyle {
    /// Time zone of timestamptz input without an offset, and of all timestamptz output.
    pub time_zone: Zone,
    pub bytea_escape: bool,
    pub extra_float_digits: i32,
    /// How `01/02/03` is read: the second part of `DateStyle`.
    pub date_order: DateOrder,
    /// Microseconds since 1970 UTC that 'now', 'today', … stand for.
    pub now: i64,
}

/// The order of day, month and year in a date that is all numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    #[default]
    MonthDayYear,
    DayMonthYear,
    YearMonthDay,
}

/// A time zone: a name of the IANA database, or a fixed offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zone {
    Named(chrono_tz::Tz),
    Fixed(chrono::FixedOffset),
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle {
            time_zone: Zone::Named(chrono_tz::UTC),
            bytea_escape: false,
            extra_float_digits: 1,
            date_order: DateOrder::default(),
            now: 0,
        }
    }
}

/// Reads `text` as a value of type `ty`, its modifier applied.
///
/// # Errors
/// 22P02, 22007, 22008, 22003, 22001 as PostgreSQL's input functions raise them, with its messages.
pub fn parse(ty: PgType, text: &str, style: &TextStyle) -> Result<Datum<'static>> {
    Ok(match Kind::of(ty) {
        Kind::Bool => Datum::Bool(bool::parse(text)?),
        Kind::Int2 => Datum::Int2(int::parse_int2(text)?),
        Kind::Int4 => Datum::Int4(int::parse_int4(text)?),
        Kind::Int8 => Datum::Int8(int::parse_int8(text)?),
        Kind::Float4 => Datum::Float4(float::parse_float4(text)?),
        Kind::Float8 => Datum::Float8(float::parse_float8(text)?),
        Kind::Numeric => Datum::Numeric(numeric::parse(text, ty)?),
        Kind::Text => Datum::text(match ty.oid {
            oid::JSON => {
                json::check(text)?;
                text.to_owned()
            }
            oid::JSONB => json::normalize(text)?,
            _ => string::parse(ty, text)?,
        }),
        Kind::Bytea => Datum::Bytea(bytea::parse(text)?.into()),
        Kind::Date => Datum::Date(date::parse(text, style)?),
        Kind::Time => Datum::Time(time::parse(text, ty.typmod, style)?),
        Kind::Timestamp => Datum::Timestamp(timestamp::parse(text, ty.typmod, style)?),
        Kind::Timestamptz => Datum::Timestamptz(timestamp::parse_tz(text, ty.typmod, style)?),
        Kind::Interval => Datum::Interval(interval::parse(text)?),
        Kind::Uuid => Datum::Uuid(uuid::parse(text)?),
        Kind::Oid if kinds::is_reg(ty.oid) => Datum::Oid(int::parse_reg(ty, text)?),
        Kind::Oid => Datum::Oid(int::parse_oid(text)?),
        Kind::Array => Datum::Array(Box::new(array::parse(ty, text, style)?)),
    })
}

/// Appends the text form of `datum` (not NULL) of type `ty` to `out`.
pub fn write(datum: &Datum<'_>, ty: PgType, style: &TextStyle, out: &mut Vec<u8>) {
    match datum {
        Datum::Null => {}
        Datum::Bool(value) => bool::write(*value, out),
        Datum::Int2(value) => int::write_i64(i64::from(*value), out),
        Datum::Int4(value) => int::write_i64(i64::from(*value), out),
        Datum::Int8(value) => int::write_i64(*value, out),
        Datum::Float4(value) => float::write_float4(*value, style.extra_float_digits, out),
        Datum::Float8(value) => float::write_float8(*value, style.extra_float_digits, out),
        Datum::Numeric(value) => numeric::write(value, out),
        Datum::Text(value) => out.extend_from_slice(value.as_bytes()),
        Datum::Bytea(value) => bytea::write(value, style.bytea_escape, out),
        Datum::Date(value) => date::write(*value, out),
        Datum::Time(value) => time::write(*value, out),
        Datum::Timestamp(value) => timestamp::write(*value, out),
        Datum::Timestamptz(value) => timestamp::write_tz(*value, &style.time_zone, out),
        Datum::Interval(value) => interval::write(value, out),
        Datum::Uuid(value) => uuid::write(value, out),
        Datum::Oid(value) if kinds::is_reg(ty.oid) => int::write_reg(ty, *value, out),
        Datum::Oid(value) => int::write_u64(u64::from(*value), out),
        Datum::Array(value) => array::write(value, ty, style, out),
    }
}

/// [`write`] into a string of its own.
pub fn to_string(datum: &Datum<'_>, ty: PgType, style: &TextStyle) -> String {
    let mut out = Vec::new();
    write(datum, ty, style, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
