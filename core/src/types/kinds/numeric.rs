//! `numeric`: exact decimal numbers with a display scale. A value is an integer and a scale ≥ 0;
//! NaN and the infinities are refused.

use std::borrow::Cow;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use super::{invalid_binary, invalid_syntax, is_space};
use crate::error::{Error, Result, SqlState};
use crate::types::PgType;

/// Digits before the decimal point, as in PostgreSQL.
pub const MAX_WHOLE_DIGITS: i64 = 131_072;
/// Digits after the decimal point, as in PostgreSQL.
pub const MAX_SCALE: i64 = 16_383;

pub fn parse(text: &str, ty: PgType) -> Result<BigDecimal> {
    match plain(text, ty) {
        Some(value) => Ok(value),
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
        let missing = u32::from(wanted).checked_sub(scale)?;
        value = value.checked_mul(10_i64.checked_pow(missing)?)?;
        scale = u32::from(wanted);
        // A larger precision cannot be exceeded by what fits an i64.
        let limit = 10_i64.checked_pow(u32::from(precision));
        if limit.is_some_and(|limit| value >= limit) {
            return None;
        }
    }
    let value = if negative { -value } else { value };
    Some(BigDecimal::new(BigInt::from(value), i64::from(scale)))
}

fn read(text: &str) -> Result<BigDecimal> {
    let invalid = || invalid_syntax("numeric", text);
    let body = text.trim_matches(is_space);
    let unsigned = body.strip_prefix(['+', '-']).unwrap_or(body);
    match unsigned.to_ascii_lowercase().as_str() {
        "nan" if unsigned.len() == body.len() => return Err(not_finite("NaN")),
        "inf" | "infinity" => return Err(not_finite("Infinity")),
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
        return Ok(BigDecimal::new(BigInt::zero(), scale.clamp(0, MAX_SCALE)));
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
    Ok(normal(value, scale))
}

/// A number from digits and a scale that may be negative or beyond [`MAX_SCALE`].
pub fn normal(value: BigInt, scale: i64) -> BigDecimal {
    if scale < 0 {
        BigDecimal::new(value * power_of_ten(scale.unsigned_abs()), 0)
    } else if scale > MAX_SCALE {
        round(&BigDecimal::new(value, scale), MAX_SCALE)
    } else {
        BigDecimal::new(value, scale)
    }
}

pub fn not_finite(what: &str) -> Error {
    Error::unsupported(
        format!("the numeric value {what}"),
        "Use double precision for values that are not finite.",
    )
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

/// Applies the modifier of `numeric(p, s)`.
///
/// # Errors
/// 22003 when the value has more than p - s digits before the point.
pub fn fit(value: BigDecimal, ty: PgType) -> Result<BigDecimal> {
    let Some((precision, scale)) = ty.precision_scale() else {
        return Ok(value);
    };
    let rounded = round(&value, i64::from(scale));
    let (digits, _) = parts(&rounded);
    if digits.magnitude() >= power_of_ten(u64::from(precision)).magnitude() {
        return Err(field_overflow(precision, scale));
    }
    Ok(rounded)
}

pub fn field_overflow(precision: u8, scale: u8) -> Error {
    let whole = i32::from(precision) - i32::from(scale);
    let limit = if whole == 0 {
        "1".to_owned()
    } else {
        format!("10^{whole}")
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    ))
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

pub fn write(value: &BigDecimal, out: &mut Vec<u8>) {
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

const WIRE_POSITIVE: u16 = 0x0000;
const WIRE_NEGATIVE: u16 = 0x4000;
const WIRE_NAN: u16 = 0xc000;
const WIRE_INFINITY: u16 = 0xd000;
const WIRE_MINUS_INFINITY: u16 = 0xf000;

/// Header (digit count, weight, sign, scale) and base-10000 digits.
pub fn recv(bytes: &[u8], ty: PgType) -> Result<BigDecimal> {
    let short = || invalid_binary("insufficient data left in message");
    let words: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| <[u8; 2]>::try_from(pair).map(u16::from_be_bytes))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| short())?;
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else {
        return Err(short());
    };
    if digits.len() < usize::from(*count) {
        return Err(short());
    }
    if digits.len() > usize::from(*count) {
        return Err(invalid_binary("incorrect binary data format"));
    }
    let negative = match *sign {
        WIRE_POSITIVE => false,
        WIRE_NEGATIVE => true,
        WIRE_NAN => return Err(not_finite("NaN")),
        WIRE_INFINITY | WIRE_MINUS_INFINITY => return Err(not_finite("Infinity")),
        _ => return Err(invalid_binary("invalid sign in external \"numeric\" value")),
    };
    if i64::from(*scale) > MAX_SCALE {
        return Err(invalid_binary(
            "invalid scale in external \"numeric\" value",
        ));
    }
    let mut text = Vec::with_capacity(digits.len() * 4);
    for digit in digits {
        if *digit > 9999 {
            return Err(invalid_binary(
                "invalid digit in external \"numeric\" value",
            ));
        }
        super::int::write_padded(u64::from(*digit), 4, &mut text);
    }
    let weight = i64::from(*weight as i16);
    // The last digit's place: its weight in base 10000 is weight - count + 1.
    let place = (i64::from(*count) - 1 - weight) * 4;
    let value = if text.is_empty() {
        BigInt::zero()
    } else {
        BigInt::parse_bytes(&text, 10).ok_or_else(|| invalid_binary("numeric"))?
    };
    let value = if negative { -value } else { value };
    // PostgreSQL cuts digits that the scale hides.
    let value = truncate(&normal(value, place), i64::from(*scale));
    fit(value, ty)
}

pub fn send(value: &BigDecimal, out: &mut Vec<u8>) {
    let (digits, scale) = parts(value);
    // Pad so that the point falls between two base-10000 digits.
    let pad = (4 - scale.rem_euclid(4)) % 4;
    let places_after = (scale + pad) / 4;
    let mut groups = Vec::new();
    let small = digits.magnitude().to_u128();
    match small.and_then(|small| small.checked_mul(10_u128.pow(pad as u32))) {
        Some(mut rest) => {
            while rest > 0 {
                groups.push((rest % 10_000) as u16);
                rest /= 10_000;
            }
            groups.reverse();
        }
        None => {
            let text = digits.magnitude().to_str_radix(10) + &"0".repeat(pad as usize);
            let lead = (4 - text.len() % 4) % 4;
            let padded = "0".repeat(lead) + &text;
            groups.extend(padded.as_bytes().chunks(4).map(|group| {
                group
                    .iter()
                    .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
            }));
        }
    }
    let weight = groups.len() as i64 - places_after - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = if groups.is_empty() { 0 } else { weight };
    let sign = if digits.is_negative() {
        WIRE_NEGATIVE
    } else {
        WIRE_POSITIVE
    };
    for word in [
        groups.len() as u16,
        weight as i16 as u16,
        sign,
        scale as u16,
    ] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
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
                        assert_eq!(parts(&short), parts(&long), "{text} as {ty:?}");
                    }
                    (Some(short), Err(error)) => panic!("{text}: {short} instead of {error}"),
                    (None, _) => {}
                }
            }
        }
        assert!(plain("-12.34", numeric(7, 2)).is_some());
    }
}
