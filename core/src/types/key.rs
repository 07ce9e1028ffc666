//! Order-preserving keys: the bytes of two keys compare as the values do.
//!
//! NULLs sort last. Text compares by its bytes (the C collation). `numeric` keeps value equality:
//! `1.0` and `1.00` are one key, so a key alone does not give back the display scale.

use std::borrow::Cow;
use std::ops::Bound;

use super::kinds::{Kind, numeric, string};
use super::{Datum, Numeric, PgType, names, oid};
use crate::error::{Error, Result, SqlState};

/// First byte of a value that is not NULL.
const VALUE: u8 = 0x01;
/// The one byte of NULL: above [`VALUE`], so that NULLs sort last.
const NULL: u8 = 0x02;

/// Ends text and bytea; a zero byte inside is written as `00 ff`, which sorts after every end.
const TERMINATOR: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: u8 = 0xff;

/// Whether values of a type can be a key.
///
/// # Errors
/// 42704 for json, as in PostgreSQL; 0A000 for types that PostgreSQL can order and we do not.
pub fn check(ty: PgType) -> Result<()> {
    let name = || names::sql_name(ty.oid);
    match (Kind::of(ty), ty.oid) {
        (Kind::Oid, oid::XID)
        | (Kind::Text, oid::JSON | oid::PG_NODE_TREE | oid::ACLITEM | oid::RECORD | oid::VOID) => {
            Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "data type {} has no default operator class for access method \"btree\"",
                    name()
                ),
            )
            .hint("You must specify an operator class for the index or define a default operator class for the data type."))
        }
        (Kind::Text, oid::JSONB) | (Kind::Interval | Kind::Array, _) => Err(Error::unsupported(
            format!("a key of type {}", name()),
            "Use a column of a scalar type as the key.",
        )),
        _ => Ok(()),
    }
}

/// Appends one value of a key.
///
/// # Errors
/// As [`check`]; XX000 when the datum is not of the type.
pub fn encode(datum: &Datum<'_>, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    if datum.is_null() {
        out.push(NULL);
        return Ok(());
    }
    out.push(VALUE);
    match (Kind::of(ty), datum) {
        (Kind::Bool, Datum::Bool(value)) => out.push(u8::from(*value)),
        (Kind::Int2, Datum::Int2(value)) => {
            out.extend_from_slice(&(*value as u16 ^ 1 << 15).to_be_bytes());
        }
        (Kind::Int4, Datum::Int4(value)) | (Kind::Date, Datum::Date(value)) => {
            out.extend_from_slice(&flip32(*value).to_be_bytes());
        }
        (Kind::Int8, Datum::Int8(value))
        | (Kind::Time, Datum::Time(value))
        | (Kind::Timestamp, Datum::Timestamp(value))
        | (Kind::Timestamptz, Datum::Timestamptz(value)) => {
            out.extend_from_slice(&flip64(*value).to_be_bytes());
        }
        (Kind::Float4, Datum::Float4(value)) => {
            let value = if value.is_nan() {
                f32::NAN
            } else {
                *value + 0.0
            };
            let bits = value.to_bits();
            let mask = if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
            out.extend_from_slice(&(bits ^ mask).to_be_bytes());
        }
        (Kind::Float8, Datum::Float8(value)) => {
            let value = if value.is_nan() {
                f64::NAN
            } else {
                *value + 0.0
            };
            let bits = value.to_bits();
            let mask = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
            out.extend_from_slice(&(bits ^ mask).to_be_bytes());
        }
        (Kind::Numeric, Datum::Numeric(value)) => numeric::packed::encode_key(value, out),
        (Kind::Text, Datum::Text(value)) => {
            check(ty)?;
            // Trailing spaces do not count in char(n).
            let text = match ty.oid {
                oid::BPCHAR => string::without_padding(value),
                _ => value,
            };
            encode_bytes(text.as_bytes(), out);
        }
        (Kind::Bytea, Datum::Bytea(value)) => encode_bytes(value, out),
        (Kind::Uuid, Datum::Uuid(value)) => out.extend_from_slice(value),
        (Kind::Oid, Datum::Oid(value)) => out.extend_from_slice(&value.to_be_bytes()),
        _ => {
            check(ty)?;
            return Err(Error::internal(format!(
                "{datum:?} is not of type {}",
                names::format_type(ty)
            )));
        }
    }
    Ok(())
}

/// Appends the start of the key of every text that starts with `prefix`.
pub fn encode_text_prefix(prefix: &str, out: &mut Vec<u8>) {
    out.push(VALUE);
    encode_bytes(prefix.as_bytes(), out);
    out.truncate(out.len() - TERMINATOR.len());
}

fn flip32(value: i32) -> u32 {
    value as u32 ^ 1 << 31
}

fn flip64(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(0, rest) {
        let (before, after) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        out.push(ESCAPED_ZERO);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&TERMINATOR);
}

fn corrupted() -> Error {
    Error::corrupted("key: the bytes are not a value of this type")
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(corrupted)?;
    *bytes = rest;
    Ok(*taken)
}

/// Reads one value off the front of `bytes`.
///
/// # Errors
/// XX001 when they do not start with a value of this type.
pub fn decode(bytes: &mut &[u8], ty: PgType) -> Result<Datum<'static>> {
    match take::<1>(bytes)? {
        [NULL] => return Ok(Datum::Null),
        [VALUE] => {}
        _ => return Err(corrupted()),
    }
    let int4 = |raw: [u8; 4]| (u32::from_be_bytes(raw) ^ 1 << 31) as i32;
    let int8 = |raw: [u8; 8]| (u64::from_be_bytes(raw) ^ 1 << 63) as i64;
    Ok(match Kind::of(ty) {
        Kind::Bool => match take(bytes)? {
            [0] => Datum::Bool(false),
            [1] => Datum::Bool(true),
            _ => return Err(corrupted()),
        },
        Kind::Int2 => Datum::Int2((u16::from_be_bytes(take(bytes)?) ^ 1 << 15) as i16),
        Kind::Int4 => Datum::Int4(int4(take(bytes)?)),
        Kind::Int8 => Datum::Int8(int8(take(bytes)?)),
        Kind::Date => Datum::Date(int4(take(bytes)?)),
        Kind::Time => Datum::Time(int8(take(bytes)?)),
        Kind::Timestamp => Datum::Timestamp(int8(take(bytes)?)),
        Kind::Timestamptz => Datum::Timestamptz(int8(take(bytes)?)),
        Kind::Float4 => {
            let bits = u32::from_be_bytes(take(bytes)?);
            let mask = if bits >> 31 == 1 { 1 << 31 } else { u32::MAX };
            Datum::Float4(f32::from_bits(bits ^ mask))
        }
        Kind::Float8 => {
            let bits = u64::from_be_bytes(take(bytes)?);
            let mask = if bits >> 63 == 1 { 1 << 63 } else { u64::MAX };
            Datum::Float8(f64::from_bits(bits ^ mask))
        }
        Kind::Numeric => Datum::Numeric(decode_numeric(bytes, ty)?),
        Kind::Text => {
            let text = String::from_utf8(decode_bytes(bytes)?).map_err(|_| corrupted())?;
            Datum::Text(match ty.oid {
                oid::BPCHAR => string::fit(ty, Cow::Owned(text), true)?,
                _ => Cow::Owned(text),
            })
        }
        Kind::Bytea => Datum::Bytea(decode_bytes(bytes)?.into()),
        Kind::Uuid => Datum::Uuid(take(bytes)?),
        Kind::Oid => Datum::Oid(u32::from_be_bytes(take(bytes)?)),
        Kind::Interval | Kind::Array => {
            check(ty)?;
            return Err(corrupted());
        }
    })
}

fn decode_bytes(bytes: &mut &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let at = memchr::memchr(0, bytes).ok_or_else(corrupted)?;
        let (before, after) = bytes.split_at(at);
        out.extend_from_slice(before);
        match after {
            [0, ESCAPED_ZERO, rest @ ..] => {
                out.push(0);
                *bytes = rest;
            }
            [0, 1, rest @ ..] => {
                *bytes = rest;
                return Ok(out);
            }
            _ => return Err(corrupted()),
        }
    }
}

/// The value at its smallest scale, or at the scale of the type's modifier.
fn decode_numeric(bytes: &mut &[u8], ty: PgType) -> Result<Numeric> {
    let value = numeric::packed::decode_key(bytes)?;
    Ok(match (value, ty.precision_scale()) {
        (Numeric::Finite(value), Some((_, scale))) => {
            Numeric::Finite(numeric::round(&value, i64::from(scale)))
        }
        (value, _) => value,
    })
}

/// The keys that start with `prefix`, where what follows lies within bounds: the bytes of a value, and
/// whether it counts. `None` when there can be none.
pub fn range(
    prefix: &[u8],
    low: Option<&(Vec<u8>, bool)>,
    high: Option<&(Vec<u8>, bool)>,
) -> Option<(Bound<Vec<u8>>, Bound<Vec<u8>>)> {
    let with = |bytes: &[u8]| [prefix, bytes].concat();
    let low = match low {
        None => prefix.to_vec(),
        Some((bytes, true)) => with(bytes),
        Some((bytes, false)) => prefix_end(&with(bytes))?,
    };
    let end = match high {
        None => prefix_end(prefix),
        Some((bytes, true)) => prefix_end(&with(bytes)),
        Some((bytes, false)) => Some(with(bytes)),
    };
    match end {
        Some(end) if low >= end => None,
        Some(end) => Some((Bound::Included(low), Bound::Excluded(end))),
        None => Some((Bound::Included(low), Bound::Unbounded)),
    }
}

/// The smallest key that sorts after every key that starts with `prefix`; `None` if there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}
