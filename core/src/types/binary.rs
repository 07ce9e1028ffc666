//! Binary format: PostgreSQL's `*recv` and `*send` functions.

use super::kinds::{
    Kind, array, bool, date, float, int, interval, json, numeric, string, time, timestamp, uuid,
};
use super::{Datum, PgType, oid};
use crate::error::{Error, Result};

/// Reads a binary parameter of type `ty`, its modifier applied.
///
/// # Errors
/// 22P03 when the bytes are not such a value; 0A000 for a type without a binary format here.
pub fn parse(ty: PgType, bytes: &[u8]) -> Result<Datum<'static>> {
    Ok(match Kind::of(ty) {
        Kind::Bool => Datum::Bool(bool::recv(bytes)?),
        Kind::Int2 => Datum::Int2(int::recv_int2(bytes)?),
        Kind::Int4 => Datum::Int4(int::recv_int4(bytes)?),
        Kind::Int8 => Datum::Int8(int::recv_int8(bytes)?),
        Kind::Float4 => Datum::Float4(float::recv_float4(bytes)?),
        Kind::Float8 => Datum::Float8(float::recv_float8(bytes)?),
        Kind::Numeric => Datum::Numeric(numeric::recv(bytes, ty)?),
        Kind::Text => Datum::text(match ty.oid {
            oid::JSON => {
                let text = string::check(bytes)?;
                json::check(text)?;
                text.to_owned()
            }
            oid::JSONB => json::recv_jsonb(bytes)?,
            oid::CHAR => string::recv_char(bytes)?,
            _ => string::parse(ty, string::check(bytes)?)?,
        }),
        Kind::Bytea => Datum::Bytea(bytes.to_vec().into()),
        Kind::Date => Datum::Date(date::recv(bytes)?),
        Kind::Time => Datum::Time(time::recv(bytes, ty.typmod)?),
        Kind::Timestamp => Datum::Timestamp(timestamp::recv(bytes, ty.typmod)?),
        Kind::Timestamptz => Datum::Timestamptz(timestamp::recv(bytes, ty.typmod)?),
        Kind::Interval => Datum::Interval(interval::recv(bytes)?),
        Kind::Uuid => Datum::Uuid(uuid::recv(bytes)?),
        Kind::Oid => Datum::Oid(int::recv_oid(bytes)?),
        Kind::Array => Datum::Array(Box::new(array::recv(ty, bytes)?)),
    })
}

/// Appends the binary form of `datum` (not NULL) of type `ty` to `out`, without a length prefix.
///
/// # Errors
/// 54000 for an array that is too large for the format, 0A000 for a row.
pub fn write(datum: &Datum<'_>, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    match datum {
        Datum::Null => {}
        Datum::Bool(value) => bool::send(*value, out),
        Datum::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Int4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Int8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Float4(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Float8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Numeric(value) => numeric::send(value, out),
        Datum::Text(value) => match ty.oid {
            oid::JSONB => {
                out.push(1);
                out.extend_from_slice(value.as_bytes());
            }
            oid::CHAR => out.push(string::char_byte(value)),
            // The text is all that is left of its fields.
            oid::RECORD => {
                return Err(Error::unsupported(
                    "the binary format of a row",
                    "Ask for the text format, or select the row's columns.",
                ));
            }
            _ => out.extend_from_slice(value.as_bytes()),
        },
        Datum::Bytea(value) => out.extend_from_slice(value),
        Datum::Date(value) => date::send(*value, out),
        Datum::Time(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Timestamp(value) | Datum::Timestamptz(value) => timestamp::send(*value, out),
        Datum::Interval(value) => interval::send(value, out),
        Datum::Uuid(value) => out.extend_from_slice(value),
        Datum::Oid(value) => out.extend_from_slice(&value.to_be_bytes()),
        Datum::Array(value) => array::send(value, ty, out)?,
    }
    Ok(())
}
