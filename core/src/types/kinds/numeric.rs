//! `numeric`: exact decimal numbers with a display scale, NaN and the infinities. A finite value is
//! an integer and a scale ≥ 0.

pub mod packed;
mod wire;

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use super::{invalid_syntax, is_space};
use crate::error::{Error, Result, SqlState};
use crate::types::{Numeric, PgType};

pub use wire::{recv, send};

/// Digits before the decimal point, as in PostgreSQL.
pub const MAX_WHOLE_DIGITS: i64 = 131_072;
/// Digits after the decimal point, as in PostgreSQL.
pub const MAX_SCALE: i64 = 16_383;

pub fn parse(text: &str, ty: PgType) -> Result<Numeric> {
    match plain(text, ty) {
        Some(value) => Ok(Numeric::Finite(value)),
        None => fit(read(text)?, ty),
    }
}

/// The common case, in one pass: up to 18 digits, perhaps a sign and a point, that the type takes
/// as they are. `None` says nothing about the text.
fn plain(text: &str, ty: PgType) -> Option<BigDecimal> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if unsigned.len() > 19 {
        return None;
    }
    let (mut value, mut digits, mut scale) = (0_i64, 0_u32, None);
    for byte in unsigned.bytes() {
        match byte {
            b'0'..=b'9' if digits < 18 => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
                scale = scale.map(|scale: u32| scale + 1);
            }
            b'.' if scale.is_none() => scale = Some(0),
            _ => return None,
        }
    }
    if digits == 0 {
        return None;
    }
    let mut scale = scale.unwrap_or(0);
    if let Some((precision, wanted)) = ty.precision_scale() {
        let wanted = u32::try_from(wanted).ok()?;
        let missing = wanted.checked_sub(scale)?;
        value = value.checked_mul(10_i64.checked_pow(missing)?)?;
        scale = wanted;
        // A larger precision cannot be exceeded by what fits an i64.
        let limit = 10_i64.checked_pow(u32::from(precision));
        if limit.is_some_and(|limit| value >= limit) {
            return None;
        }
    }
    let value = if negative { -value } else { value };
    Some(BigDecimal::new(BigInt::from(value), i64::from(scale)))
}

fn read(text: &str) -> Result<Numeric> {
    let invalid = || invalid_syntax("numeric", text);
    let body = text.trim_matches(is_space);
    let unsigned = body.strip_prefix(['+', '-']).unwrap_or(body);
    match unsigned.to_ascii_lowercase().as_str() {
        "nan" if unsigned.len() == body.len() => return Ok(Numeric::NaN),
        "inf" | "infinity" if body.starts_with('-') => return Ok(Numeric::NegativeInfinity),
        "inf" | "infinity" => return Ok(Numeric::Infinity),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => {
            let (mantissa, exponent) = unsigned.split_at(at);
            let exponent = exponent.get(1..).unwrap_or("");
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
                return Err(invalid());
            }
            let exponent: i64 = exponent.parse().map_err(|_| overflow())?;
            if exponent.abs() >= i64::from(i32::MAX / 2) {
                return Err(overflow());
            }
            (mantissa, exponent)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(invalid());
    }
    let scale = fraction.len() as i64 - exponent;
    let significant = format!("{whole}{fraction}");
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(Numeric::new(0, scale.clamp(0, MAX_SCALE)));
    }
    if significant.len() as i64 - scale > MAX_WHOLE_DIGITS {
        return Err(overflow());
    }
    let negative = body.starts_with('-');
    let value = if significant.len() <= 18 {
        let value: i64 = significant.parse().map_err(|_| invalid())?;
        BigInt::from(if negative { -value } else { value })
    } else {
        let value = BigInt::parse_bytes(significant.as_bytes(), 10).ok_or_else(invalid)?;
        if negative { -value } else { value }
    };
    Ok(Numeric::Finite(normal(value, scale)))
}

/// A number from digits and a scale that may be negative or beyond [`MAX_SCALE`].
pub fn normal(value: BigInt, scale: i64) -> BigDecimal {
    if scale < 0 {
        BigDecimal::new(value * power_of_ten(scale.unsigned_abs()), 0)
    } else if scale > MAX_SCALE {
        // Digits are fewer than bits; what has none within the scale is zero, and dividing by a
        // power of ten that large would take for ever.
        let digits = i64::try_from(value.bits()).unwrap_or(i64::MAX);
        if scale.saturating_sub(MAX_SCALE) > digits.saturating_add(1) {
            return BigDecimal::new(BigInt::zero(), MAX_SCALE);
        }
        round(&BigDecimal::new(value, scale), MAX_SCALE)
    } else {
        BigDecimal::new(value, scale)
    }
}

pub fn overflow() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    )
}

pub fn power_of_ten(exponent: u64) -> BigInt {
    match u32::try_from(exponent) {
        Ok(small @ 0..=18) => BigInt::from(10_u64.pow(small)),
        Ok(exponent) => BigInt::from(10_u8).pow(exponent),
        // Scales and weights are bounded far below this.
        Err(_) => BigInt::zero(),
    }
}

/// The digits and their scale, which is never negative.
pub fn parts(value: &BigDecimal) -> (Cow<'_, BigInt>, i64) {
    let (digits, scale) = value.as_bigint_and_scale();
    if scale >= 0 {
        (digits, scale)
    } else {
        (
            Cow::Owned(digits.as_ref() * power_of_ten(scale.unsigned_abs())),
            0,
        )
    }
}

/// Rounds to `scale` fractional digits (negative: before the point), halves away from zero; pads
/// with zeros when the value has fewer.
pub fn round(value: &BigDecimal, scale: i64) -> BigDecimal {
    let (digits, from) = parts(value);
    let target = scale.max(0);
    let digits = if scale >= from {
        digits.as_ref() * power_of_ten((scale - from).unsigned_abs())
    } else {
        divide_rounding(
            digits.as_ref(),
            &power_of_ten((from - scale).unsigned_abs()),
        ) * power_of_ten((target - scale).unsigned_abs())
    };
    BigDecimal::new(digits, target)
}

/// `value / by`, halves away from zero; `by` > 0.
pub fn divide_rounding(value: &BigInt, by: &BigInt) -> BigInt {
    let quotient = value / by;
    let rest = value - &quotient * by;
    if (rest.abs() * 2_u8) >= *by {
        if value.is_negative() {
            quotient - 1_u8
        } else {
            quotient + 1_u8
        }
    } else {
        quotient
    }
}

/// Cuts to `scale` fractional digits, towards zero.
pub fn truncate(value: &BigDecimal, scale: i64) -> BigDecimal {
    let (digits, from) = parts(value);
    if scale >= from {
        return round(value, scale);
    }
    let target = scale.max(0);
    let digits = digits.as_ref() / power_of_ten((from - scale).unsigned_abs())
        * power_of_ten((target - scale).unsigned_abs());
    BigDecimal::new(digits, target)
}

/// Applies the modifier of `numeric(p, s)`. NaN fits every modifier.
///
/// # Errors
/// 22003 when the value has more than p - s digits before the point, or is infinite.
pub fn fit(value: Numeric, ty: PgType) -> Result<Numeric> {
    let Some((precision, scale)) = ty.precision_scale() else {
        return Ok(value);
    };
    let value = match value {
        Numeric::Finite(value) => value,
        Numeric::NaN => return Ok(Numeric::NaN),
        Numeric::Infinity | Numeric::NegativeInfinity => {
            return Err(numeric_field_overflow(format!(
                "A field with precision {precision}, scale {scale} cannot hold an infinite value."
            )));
        }
    };
    let rounded = round(&value, i64::from(scale));
    let (digits, shown) = parts(&rounded);
    // Digits at the type's scale, which may be negative, have to be fewer than the precision.
    let limit = i64::from(precision) - i64::from(scale) + shown;
    if !digits.is_zero()
        && (limit <= 0 || digits.magnitude() >= power_of_ten(limit.unsigned_abs()).magnitude())
    {
        return Err(field_overflow(precision, scale));
    }
    Ok(Numeric::Finite(rounded))
}

pub fn field_overflow(precision: u16, scale: i16) -> Error {
    let whole = i32::from(precision) - i32::from(scale);
    let limit = if whole == 0 {
        "1".to_owned()
    } else {
        format!("10^{whole}")
    };
    numeric_field_overflow(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
}

fn numeric_field_overflow(detail: String) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "numeric field overflow",
    )
    .detail(detail)
}

/// Without trailing zeros after the point.
pub fn trim(value: BigDecimal) -> BigDecimal {
    let (mut digits, mut scale) = value.into_bigint_and_scale();
    if digits.is_zero() {
        return BigDecimal::new(digits, 0);
    }
    if let Some(mut small) = digits.to_i128() {
        for (step, power) in [(8, 100_000_000), (4, 10_000), (2, 100), (1, 10)] {
            while scale >= step && small % power == 0 {
                small /= power;
                scale -= step;
            }
        }
        return normal(BigInt::from(small), scale);
    }
    while scale > 0 {
        let quotient = &digits / 10_u8;
        if &quotient * 10_u8 != digits {
            break;
        }
        digits = quotient;
        scale -= 1;
    }
    normal(digits, scale)
}

pub fn write(value: &Numeric, out: &mut Vec<u8>) {
    match value {
        Numeric::Finite(value) => write_finite(value, out),
        Numeric::NaN => out.extend_from_slice(b"NaN"),
        Numeric::Infinity => out.extend_from_slice(b"Infinity"),
        Numeric::NegativeInfinity => out.extend_from_slice(b"-Infinity"),
    }
}

pub fn write_finite(value: &BigDecimal, out: &mut Vec<u8>) {
    let (digits, scale) = parts(value);
    if digits.sign() == Sign::Minus {
        out.push(b'-');
    }
    let mut text = Vec::new();
    match digits.magnitude().to_u64() {
        Some(small) => super::int::write_u64(small, &mut text),
        None => text = digits.magnitude().to_str_radix(10).into_bytes(),
    }
    write_scaled(&text, scale as usize, out);
}

/// Appends decimal digits with a point before the last `scale` of them.
pub fn write_scaled(digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    if scale == 0 {
        return out.extend_from_slice(digits);
    }
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => {
            let (whole, fraction) = digits.split_at(whole);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
            out.extend_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::oid;

    #[test]
    fn the_short_way_reads_what_the_long_way_reads() {
        let numeric = |precision: i32, scale: i32| PgType {
            oid: oid::NUMERIC,
            typmod: (precision << 16 | scale) + 4,
        };
        let free = PgType {
            oid: oid::NUMERIC,
            typmod: -1,
        };
        let texts = [
            "0",
            "-0",
            "-0.00",
            "7",
            "007",
            "1.50",
            "-12.345",
            ".5",
            "5.",
            "-.5",
            "-",
            ".",
            "",
            "1.2.3",
            "99999.99",
            "100000",
            "-99999.995",
            "123456789012345678",
            "1234567890123456789",
            "12345678901234.5678",
            " 1",
            "1 ",
            "+1",
            "1e3",
            "0.000000000000000001",
        ];
        for text in texts {
            for ty in [
                free,
                numeric(7, 2),
                numeric(18, 0),
                numeric(38, 10),
                numeric(30, 20),
            ] {
                let long = read(text).and_then(|value| fit(value, ty));
                match (plain(text, ty), long) {
                    (Some(short), Ok(long)) => {
                        let long = long.finite().unwrap();
                        assert_eq!(parts(&short), parts(long), "{text} as {ty:?}");
                    }
                    (Some(short), Err(error)) => panic!("{text}: {short} instead of {error}"),
                    (None, _) => {}
                }
            }
        }
        assert!(plain("-12.34", numeric(7, 2)).is_some());
    }
}
