//! `+ - * / %` and comparison of numbers.

mod special;

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{Signed, Zero};

use super::{BinaryOp, division_by_zero};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::{numeric, out_of_range};
use crate::types::{Datum, Numeric};

/// `None` when the operands are not two numbers of one type.
pub fn apply(op: BinaryOp, left: &Datum<'_>, right: &Datum<'_>) -> Result<Option<Datum<'static>>> {
    macro_rules! int {
        ($a:expr, $b:expr, $variant:ident, $name:literal) => {{
            let result = match op {
                BinaryOp::Add => $a.checked_add(*$b),
                BinaryOp::Sub => $a.checked_sub(*$b),
                BinaryOp::Mul => $a.checked_mul(*$b),
                BinaryOp::Div | BinaryOp::Mod if *$b == 0 => return Err(division_by_zero()),
                BinaryOp::Div => $a.checked_div(*$b),
                BinaryOp::Mod => Some($a.wrapping_rem(*$b)),
                _ => return Ok(None),
            };
            Datum::$variant(result.ok_or_else(|| out_of_range($name))?)
        }};
    }
    macro_rules! float {
        ($a:expr, $b:expr, $variant:ident) => {{
            let (a, b) = (*$a, *$b);
            let result = match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 && !a.is_nan() => return Err(division_by_zero()),
                BinaryOp::Div => a / b,
                _ => return Ok(None),
            };
            if result.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(float_range("overflow"));
            }
            let vanished = match op {
                BinaryOp::Mul => a != 0.0 && b != 0.0,
                BinaryOp::Div => a != 0.0 && b.is_finite(),
                _ => false,
            };
            if result == 0.0 && vanished {
                return Err(float_range("underflow"));
            }
            Datum::$variant(result)
        }};
    }
    Ok(Some(match (left, right) {
        (Datum::Int4(a), Datum::Int4(b)) => int!(a, b, Int4, "integer"),
        (Datum::Int8(a), Datum::Int8(b)) => int!(a, b, Int8, "bigint"),
        (Datum::Int2(a), Datum::Int2(b)) => int!(a, b, Int2, "smallint"),
        (Datum::Float8(a), Datum::Float8(b)) => float!(a, b, Float8),
        (Datum::Float4(a), Datum::Float4(b)) => float!(a, b, Float4),
        (Datum::Numeric(a), Datum::Numeric(b)) => Datum::Numeric(match op {
            BinaryOp::Add => numeric_add(a, b)?,
            BinaryOp::Sub => numeric_sub(a, b)?,
            BinaryOp::Mul => numeric_mul(a, b)?,
            BinaryOp::Div => numeric_div(a, b)?,
            BinaryOp::Mod => numeric_rem(a, b)?,
            _ => return Ok(None),
        }),
        _ => return Ok(None),
    }))
}

fn float_range(what: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value out of range: {what}"),
    )
}

/// The digits of both at the larger of their scales.
fn aligned(a: &BigDecimal, b: &BigDecimal) -> (BigInt, BigInt, i64) {
    let ((x, x_scale), (y, y_scale)) = (numeric::parts(a), numeric::parts(b));
    let scale = x_scale.max(y_scale);
    let widen =
        |digits: &BigInt, from: i64| digits * numeric::power_of_ten((scale - from).unsigned_abs());
    (widen(&x, x_scale), widen(&y, y_scale), scale)
}

/// # Errors
/// 22003 when the value has more digits before the point than a numeric holds.
pub(crate) fn checked(digits: BigInt, scale: i64) -> Result<Numeric> {
    let value = numeric::normal(digits, scale);
    // 10^131072 has 435,412 bits; only numbers near it need their digits counted.
    const SURELY_FITS: u64 = 400_000;
    let (digits, scale) = numeric::parts(&value);
    if digits.bits() > SURELY_FITS {
        let length = digits.magnitude().to_str_radix(10).len() as i64;
        if length - scale > numeric::MAX_WHOLE_DIGITS {
            return Err(numeric::overflow());
        }
    }
    Ok(Numeric::Finite(value))
}

/// # Errors
/// 22003 when the result has too many digits.
pub fn numeric_add(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(a), Numeric::Finite(b)) = (a, b) else {
        return special::add(a, b);
    };
    let (x, y, scale) = aligned(a, b);
    checked(x + y, scale)
}

/// # Errors
/// 22003 when the result has too many digits.
pub fn numeric_sub(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(a), Numeric::Finite(b)) = (a, b) else {
        return special::sub(a, b);
    };
    let (x, y, scale) = aligned(a, b);
    checked(x - y, scale)
}

/// Exact; the scale is the sum of the operands' scales.
///
/// # Errors
/// 22003 when the result has too many digits.
pub fn numeric_mul(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(a), Numeric::Finite(b)) = (a, b) else {
        return special::mul(a, b);
    };
    let ((x, x_scale), (y, y_scale)) = (numeric::parts(a), numeric::parts(b));
    checked(x.as_ref() * y.as_ref(), x_scale + y_scale)
}

/// The quotient at PostgreSQL's scale (`select_div_scale`): at least 16 significant digits and no
/// fewer fractional digits than either operand.
///
/// # Errors
/// 22012 for a zero divisor, 22003 when the result has too many digits.
pub fn numeric_div(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(a), Numeric::Finite(b)) = (a, b) else {
        return special::div(a, b);
    };
    let ((x, x_scale), (y, y_scale)) = (numeric::parts(a), numeric::parts(b));
    if y.is_zero() {
        return Err(division_by_zero());
    }
    let scale = div_scale(&x, x_scale, &y, y_scale);
    // x / 10^xs divided by y / 10^ys at the scale s is x * 10^(s - xs + ys) / y.
    let shift = scale - x_scale + y_scale;
    let (mut over, mut under) = (x.into_owned(), y.into_owned());
    if shift >= 0 {
        over *= numeric::power_of_ten(shift.unsigned_abs());
    } else {
        under *= numeric::power_of_ten(shift.unsigned_abs());
    }
    if under.is_negative() {
        (over, under) = (-over, -under);
    }
    checked(numeric::divide_rounding(&over, &under), scale)
}

fn div_scale(x: &BigInt, x_scale: i64, y: &BigInt, y_scale: i64) -> i64 {
    const MIN_SIGNIFICANT: i64 = 16;
    const MAX_SCALE: i64 = 1_000;
    let (x_weight, x_first) = leading(x, x_scale);
    let (y_weight, y_first) = leading(y, y_scale);
    let mut weight = x_weight - y_weight;
    if x_first <= y_first {
        weight -= 1;
    }
    (MIN_SIGNIFICANT - weight * 4)
        .max(x_scale)
        .max(y_scale)
        .clamp(0, MAX_SCALE)
}

/// The weight and the value of the first digit in base 10000.
fn leading(digits: &BigInt, scale: i64) -> (i64, i64) {
    if digits.is_zero() {
        return (0, 0);
    }
    let text = digits.magnitude().to_str_radix(10);
    // Decimal digits before the point; may be negative.
    let whole = text.len() as i64 - scale;
    let weight = (whole - 1).div_euclid(4);
    let used = (whole - 1).rem_euclid(4) + 1;
    let first = text
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(used as usize)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    (weight, first)
}

/// The rest of a division cut to an integer; its sign is that of `a`.
///
/// # Errors
/// 22012 for a zero divisor.
pub fn numeric_rem(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(a), Numeric::Finite(b)) = (a, b) else {
        return special::rem(a, b);
    };
    let (x, y, scale) = aligned(a, b);
    if y.is_zero() {
        return Err(division_by_zero());
    }
    checked(x % y, scale)
}

/// Compares two numbers of any types, `None` when one is not a number.
pub fn compare(left: &Datum<'_>, right: &Datum<'_>) -> Option<Ordering> {
    Some(match (left, right) {
        (Datum::Numeric(a), Datum::Numeric(b)) => a.cmp(b),
        (Datum::Float4(_) | Datum::Float8(_), _) | (_, Datum::Float4(_) | Datum::Float8(_)) => {
            let (a, b) = (as_float(left)?, as_float(right)?);
            // NaN is equal to itself and above everything else.
            match (a.is_nan(), b.is_nan()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => a.partial_cmp(&b)?,
            }
        }
        (Datum::Numeric(a), _) => a.cmp(&Numeric::from(as_int(right)?)),
        (_, Datum::Numeric(b)) => Numeric::from(as_int(left)?).cmp(b),
        _ => as_int(left)?.cmp(&as_int(right)?),
    })
}

fn as_int(datum: &Datum<'_>) -> Option<i64> {
    match datum {
        Datum::Int2(value) => Some(i64::from(*value)),
        Datum::Int4(value) => Some(i64::from(*value)),
        Datum::Int8(value) => Some(*value),
        Datum::Oid(value) => Some(i64::from(*value)),
        _ => None,
    }
}

/// A number as the nearest float.
pub fn as_float(datum: &Datum<'_>) -> Option<f64> {
    use bigdecimal::ToPrimitive;
    match datum {
        Datum::Float4(value) => Some(f64::from(*value)),
        Datum::Float8(value) => Some(*value),
        Datum::Numeric(Numeric::Finite(value)) => value.to_f64(),
        Datum::Numeric(Numeric::NaN) => Some(f64::NAN),
        Datum::Numeric(Numeric::Infinity) => Some(f64::INFINITY),
        Datum::Numeric(Numeric::NegativeInfinity) => Some(f64::NEG_INFINITY),
        other => as_int(other).map(|value| value as f64),
    }
}
