//! `int2`, `int4`, `int8`, `oid` and the `reg*` types.

use super::{exact, invalid_syntax, is_space, value_out_of_range};
use crate::error::Result;
use crate::types::names;
use crate::types::pg_type::{PgType, oid};

pub fn parse_int2(text: &str) -> Result<i16> {
    let value = parse(text, "smallint")?;
    i16::try_from(value).map_err(|_| value_out_of_range("smallint", text))
}

pub fn parse_int4(text: &str) -> Result<i32> {
    let value = parse(text, "integer")?;
    i32::try_from(value).map_err(|_| value_out_of_range("integer", text))
}

pub fn parse_int8(text: &str) -> Result<i64> {
    parse(text, "bigint")
}

/// Optional spaces, a sign, decimal digits, optional spaces.
fn parse(text: &str, type_name: &str) -> Result<i64> {
    let body = text.trim_matches(is_space);
    let digits = body.strip_prefix(['+', '-']).unwrap_or(body);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(invalid_syntax(type_name, text));
    }
    body.parse()
        .map_err(|_| value_out_of_range(type_name, text))
}

/// An oid: decimal; negative numbers wrap around, as PostgreSQL's `oidin` has it.
pub fn parse_oid(text: &str) -> Result<u32> {
    let body = text.trim_matches(is_space);
    let digits = body.strip_prefix(['+', '-']).unwrap_or(body);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(invalid_syntax("oid", text));
    }
    let value: i64 = body.parse().map_err(|_| value_out_of_range("oid", text))?;
    u32::try_from(value)
        .or_else(|_| i32::try_from(value).map(|value| value as u32))
        .map_err(|_| value_out_of_range("oid", text))
}

/// A `reg*` value: a number or `-`; a type's name too for `regtype`. Names of other objects are
/// looked up in the catalog, above this module.
pub fn parse_reg(ty: PgType, text: &str) -> Result<u32> {
    let body = text.trim_matches(is_space);
    if body == "-" {
        return Ok(0);
    }
    if ty.oid == oid::REGTYPE && !body.starts_with(|c: char| c.is_ascii_digit()) {
        return names::from_name(body)
            .map(|ty| ty.oid)
            .ok_or_else(|| names::no_such_type(body));
    }
    parse_oid(text)
}

/// Writes a `reg*` value: `-` for none, a type's name for `regtype`, else the number.
pub fn write_reg(ty: PgType, value: u32, out: &mut Vec<u8>) {
    if value == 0 {
        out.push(b'-');
    } else if ty.oid == oid::REGTYPE && names::is_known(value) {
        out.extend_from_slice(names::sql_name(value).as_bytes());
    } else {
        write_u64(u64::from(value), out);
    }
}

/// Appends decimal digits.
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs(), out);
}

/// Appends decimal digits.
pub fn write_u64(mut value: u64, out: &mut Vec<u8>) {
    const LONGEST: usize = 20;
    let mut digits = [0_u8; LONGEST];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(LONGEST - used..).unwrap_or(&[]));
}

/// Appends decimal digits, with zeros in front up to `width`.
pub fn write_padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut limit = 10_u64;
    for _ in 1..width {
        if value < limit {
            let missing = width - value.max(1).ilog10() as usize - 1;
            out.extend(std::iter::repeat_n(b'0', missing));
            break;
        }
        limit = limit.saturating_mul(10);
    }
    write_u64(value, out);
}

pub fn recv_int2(bytes: &[u8]) -> Result<i16> {
    exact(bytes).map(i16::from_be_bytes)
}

pub fn recv_int4(bytes: &[u8]) -> Result<i32> {
    exact(bytes).map(i32::from_be_bytes)
}

pub fn recv_int8(bytes: &[u8]) -> Result<i64> {
    exact(bytes).map(i64::from_be_bytes)
}

pub fn recv_oid(bytes: &[u8]) -> Result<u32> {
    exact(bytes).map(u32::from_be_bytes)
}
