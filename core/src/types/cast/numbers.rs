//! Casts between numbers: rounding, ranges, NaN and the infinities.

use crate::error::{Error, Result, SqlState};
use crate::types::kinds::{Kind, float, numeric, out_of_range};
use crate::types::{Datum, Numeric, PgType, oid};

/// Casts among numbers, oid included.
pub(super) fn to_number(
    datum: &Datum<'_>,
    from: PgType,
    to: PgType,
) -> Result<Option<Datum<'static>>> {
    let kind = Kind::of(to);
    let integer = match datum {
        Datum::Int2(value) => i64::from(*value),
        Datum::Int4(value) => i64::from(*value),
        Datum::Int8(value) => *value,
        Datum::Oid(value) => match kind {
            Kind::Int8 => i64::from(*value),
            // The same four bytes.
            Kind::Int4 => i64::from(*value as i32),
            _ => return Ok(None),
        },
        Datum::Float4(value) => {
            return from_float(f64::from(*value), FloatSource::Float4(*value), to);
        }
        Datum::Float8(value) => return from_float(*value, FloatSource::Float8, to),
        Datum::Numeric(value) => return from_numeric(value, to),
        _ => return Ok(None),
    };
    Ok(Some(match kind {
        Kind::Int2 => Datum::Int2(i16::try_from(integer).map_err(|_| out_of_range("smallint"))?),
        Kind::Int4 => Datum::Int4(i32::try_from(integer).map_err(|_| out_of_range("integer"))?),
        Kind::Int8 => Datum::Int8(integer),
        Kind::Float4 => Datum::Float4(integer as f32),
        Kind::Float8 => Datum::Float8(integer as f64),
        Kind::Numeric => Datum::Numeric(numeric::fit(integer.into(), to)?),
        Kind::Oid if to.oid == oid::XID => return Ok(None),
        Kind::Oid if from.oid == oid::INT8 => {
            Datum::Oid(u32::try_from(integer).map_err(|_| out_of_range("OID"))?)
        }
        Kind::Oid => Datum::Oid(integer as i32 as u32),
        _ => return Ok(None),
    }))
}

#[derive(Clone, Copy)]
enum FloatSource {
    Float4(f32),
    Float8,
}

fn from_float(value: f64, source: FloatSource, to: PgType) -> Result<Option<Datum<'static>>> {
    let rounded = value.round_ties_even();
    // The bounds are exact as f64; the upper one is the first value beyond the type.
    let within = |low: f64, beyond: f64| rounded >= low && rounded < beyond;
    Ok(Some(match Kind::of(to) {
        Kind::Int2 if within(-32_768.0, 32_768.0) => Datum::Int2(rounded as i16),
        Kind::Int2 => return Err(out_of_range("smallint")),
        Kind::Int4 if within(-2_147_483_648.0, 2_147_483_648.0) => Datum::Int4(rounded as i32),
        Kind::Int4 => return Err(out_of_range("integer")),
        Kind::Int8 if within(-(2.0_f64.powi(63)), 2.0_f64.powi(63)) => Datum::Int8(rounded as i64),
        Kind::Int8 => return Err(out_of_range("bigint")),
        Kind::Float8 => Datum::Float8(value),
        Kind::Float4 => {
            let narrow = value as f32;
            let range = |what: &str| {
                Error::new(
                    SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                    format!("value out of range: {what}"),
                )
            };
            if narrow.is_infinite() && value.is_finite() {
                return Err(range("overflow"));
            }
            if narrow == 0.0 && value != 0.0 {
                return Err(range("underflow"));
            }
            Datum::Float4(narrow)
        }
        Kind::Numeric if !value.is_finite() => {
            let value = if value.is_nan() {
                Numeric::NaN
            } else if value > 0.0 {
                Numeric::Infinity
            } else {
                Numeric::NegativeInfinity
            };
            Datum::Numeric(numeric::fit(value, to)?)
        }
        Kind::Numeric => {
            // PostgreSQL goes through 15 (6) significant digits.
            let mut text = Vec::new();
            match source {
                FloatSource::Float4(value) => float::write_float4(value, 0, &mut text),
                FloatSource::Float8 => float::write_float8(value, 0, &mut text),
            }
            Datum::Numeric(numeric::parse(&String::from_utf8_lossy(&text), to)?)
        }
        _ => return Ok(None),
    }))
}

fn from_numeric(value: &Numeric, to: PgType) -> Result<Option<Datum<'static>>> {
    use bigdecimal::num_traits::ToPrimitive;
    let kind = Kind::of(to);
    let Numeric::Finite(value) = value else {
        return from_special(value, to);
    };
    let integer = |name: &str| {
        let rounded = numeric::round(value, 0);
        numeric::parts(&rounded)
            .0
            .to_i64()
            .ok_or_else(|| out_of_range(name))
    };
    let as_text = || {
        let mut text = Vec::new();
        numeric::write_finite(value, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    Ok(Some(match kind {
        Kind::Int2 => {
            let name = "smallint";
            Datum::Int2(i16::try_from(integer(name)?).map_err(|_| out_of_range(name))?)
        }
        Kind::Int4 => {
            let name = "integer";
            Datum::Int4(i32::try_from(integer(name)?).map_err(|_| out_of_range(name))?)
        }
        Kind::Int8 => Datum::Int8(integer("bigint")?),
        Kind::Float8 => Datum::Float8(float::parse_float8(&as_text())?),
        Kind::Float4 => Datum::Float4(float::parse_float4(&as_text())?),
        _ => return Ok(None),
    }))
}

/// NaN and the infinities: floats have them, integers do not.
fn from_special(value: &Numeric, to: PgType) -> Result<Option<Datum<'static>>> {
    let float = match value {
        Numeric::Infinity => f64::INFINITY,
        Numeric::NegativeInfinity => f64::NEG_INFINITY,
        _ => f64::NAN,
    };
    let name = match Kind::of(to) {
        Kind::Float8 => return Ok(Some(Datum::Float8(float))),
        Kind::Float4 => return Ok(Some(Datum::Float4(float as f32))),
        Kind::Int2 => "smallint",
        Kind::Int4 => "integer",
        Kind::Int8 => "bigint",
        _ => return Ok(None),
    };
    let what = if value.is_nan() { "NaN" } else { "infinity" };
    Err(Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("cannot convert {what} to {name}"),
    ))
}
