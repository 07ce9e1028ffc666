//! `float4` and `float8`: the shortest text that reads back as the same value, laid out as
//! PostgreSQL does (`1e+20`, `1e-05`, `0.1`).

use std::fmt::{LowerExp, Write};

use bigdecimal::num_bigint::BigInt;

use super::{exact, invalid_syntax, is_space};
use crate::error::{Error, Result, SqlState};

pub fn parse_float8(text: &str) -> Result<f64> {
    let (body, special) = prepare(text, "double precision")?;
    if let Some(value) = special {
        return Ok(value);
    }
    let value: f64 = body
        .parse()
        .map_err(|_| invalid_syntax("double precision", text))?;
    if value.is_infinite() || value == 0.0 && has_nonzero_digit(body) {
        return Err(out_of_range(body, "double precision"));
    }
    Ok(value)
}

pub fn parse_float4(text: &str) -> Result<f32> {
    let (body, special) = prepare(text, "real")?;
    if let Some(value) = special {
        return Ok(value as f32);
    }
    let value: f32 = body.parse().map_err(|_| invalid_syntax("real", text))?;
    if value.is_infinite() || value == 0.0 && has_nonzero_digit(body) {
        return Err(out_of_range(body, "real"));
    }
    Ok(value)
}

fn out_of_range(text: &str, type_name: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("\"{text}\" is out of range for type {type_name}"),
    )
}

/// The number without spaces around it, or the special value that it names.
fn prepare<'a>(text: &'a str, type_name: &str) -> Result<(&'a str, Option<f64>)> {
    let body = text.trim_matches(is_space);
    let special = match body.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    let number = body.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && body
            .bytes()
            .all(|c| c.is_ascii_digit() || matches!(c, b'+' | b'-' | b'.' | b'e' | b'E'));
    if special.is_none() && !number {
        return Err(invalid_syntax(type_name, text));
    }
    Ok((body, special))
}

fn has_nonzero_digit(text: &str) -> bool {
    text.split(['e', 'E'])
        .next()
        .unwrap_or("")
        .bytes()
        .any(|c| matches!(c, b'1'..=b'9'))
}

/// `extra` is the setting `extra_float_digits`: above 0 the shortest exact form, else `15 + extra`
/// significant digits.
pub fn write_float8(value: f64, extra: i32, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    if extra > 0 {
        write_number(value, digits_off_tie(value, Width::Float8), 15, out);
    } else {
        let digits = (15 + extra).max(1);
        write_number(value, Some(digits), digits, out);
    }
}

/// As [`write_float8`] with 6 digits.
pub fn write_float4(value: f32, extra: i32, out: &mut Vec<u8>) {
    if write_special(f64::from(value), out) {
        return;
    }
    if extra > 0 {
        let digits = digits_off_tie(f64::from(value), Width::Float4);
        write_number(value, digits, 6, out);
    } else {
        let digits = (6 + extra).max(1);
        write_number(f64::from(value), Some(digits), digits, out);
    }
}

fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

#[derive(Clone, Copy, PartialEq)]
enum Width {
    Float4,
    Float8,
}

impl Width {
    /// The shortest digits in scientific form.
    fn shortest(self, value: f64) -> String {
        match self {
            Width::Float4 => format!("{:e}", value as f32),
            Width::Float8 => format!("{value:e}"),
        }
    }

    fn mantissa_bits(self) -> i32 {
        match self {
            Width::Float4 => 24,
            Width::Float8 => 53,
        }
    }
}

/// The shortest decimal may lie exactly between two floats and read back by the rule for ties.
/// PostgreSQL does not rely on that rule: it takes a longer decimal then. Returns how many digits
/// that needs, `None` in all other cases.
fn digits_off_tie(value: f64, width: Width) -> Option<i32> {
    const MOST_DIGITS: usize = 17;
    const FRACTION_BITS: i32 = 52;
    const EXPONENT_BIAS: i32 = 1023;
    // A decimal of at most 17 digits is a tie only where floats are one apart or more, and its
    // power of ten is at most 10^23: further up, 5^k alone has more bits than a tie.
    const TIES_BELOW: f64 = 1e41;
    let value = value.abs();
    if !(2.0_f64.powi(width.mantissa_bits() - 1)..TIES_BELOW).contains(&value) {
        return None;
    }
    let exponent = (value.to_bits() >> FRACTION_BITS) as i32 - EXPONENT_BIAS;
    let fraction = value.to_bits() & ((1 << FRACTION_BITS) - 1);
    let mantissa = BigInt::from(fraction | 1 << FRACTION_BITS);
    let exact = match exponent - FRACTION_BITS {
        shift @ 0.. => mantissa << shift,
        shift => mantissa >> -shift,
    };
    let shortest = width.shortest(value);
    let tie = whole_number(&shortest)?;
    let distance = (&tie - exact) * 4_u8;
    // Four times the distance to a tie: half the distance to the next float.
    let spacing = BigInt::from(1_u8) << (exponent + 1 - width.mantissa_bits());
    let half_below_power_of_two = fraction == 0 && distance == -spacing.clone();
    if distance.magnitude() != (spacing * 2_u8).magnitude() && !half_below_power_of_two {
        return None;
    }
    let used = shortest
        .bytes()
        .take_while(|c| *c != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    let reads_back = |digits: &usize| {
        let text = format!("{value:.*e}", digits - 1);
        if whole_number(&text).is_some_and(|number| number == tie) {
            return false;
        }
        match width {
            Width::Float4 => text.parse() == Ok(value as f32),
            Width::Float8 => text.parse() == Ok(value),
        }
    };
    (used + 1..=MOST_DIGITS)
        .find(reads_back)
        .map(|digits| digits as i32)
}

/// The integer that a decimal in scientific form is, if it is one.
fn whole_number(text: &str) -> Option<BigInt> {
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: usize = exponent.parse().ok()?;
    let zeros = exponent.checked_sub(fraction.len())?;
    BigInt::parse_bytes(
        format!("{whole}{fraction}{}", "0".repeat(zeros)).as_bytes(),
        10,
    )
}

/// Writes a finite number with `digits` significant digits (`None`: the shortest exact ones), in
/// plain form when -4 <= its exponent < `plain_below`.
fn write_number<F: LowerExp>(value: F, digits: Option<i32>, plain_below: i32, out: &mut Vec<u8>) {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match digits {
        None => write!(text, "{value:e}"),
        Some(digits) => write!(text, "{value:.*e}", (digits - 1) as usize),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let mut significant: String = mantissa.chars().filter(|c| *c != '.').collect();
    let kept = significant.trim_end_matches('0').len().max(1);
    significant.truncate(kept);
    out.extend_from_slice(sign.as_bytes());
    if exponent < -4 || exponent >= plain_below {
        let (first, rest) = significant.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        super::int::write_padded(u64::from(exponent.unsigned_abs()), 2, out);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(
            b'0',
            exponent.unsigned_abs() as usize - 1,
        ));
        out.extend_from_slice(significant.as_bytes());
    } else {
        let whole = exponent as usize + 1;
        if significant.len() > whole {
            let (whole, rest) = significant.split_at(whole);
            out.extend_from_slice(whole.as_bytes());
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        } else {
            out.extend_from_slice(significant.as_bytes());
            out.extend(std::iter::repeat_n(b'0', whole - significant.len()));
        }
    }
}

pub fn recv_float4(bytes: &[u8]) -> Result<f32> {
    exact(bytes).map(f32::from_be_bytes)
}

pub fn recv_float8(bytes: &[u8]) -> Result<f64> {
    exact(bytes).map(f64::from_be_bytes)
}
