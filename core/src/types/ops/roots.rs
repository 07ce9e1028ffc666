//! Roots, powers and logarithms of `numeric`, to the digits that PostgreSQL gives: at least 16
//! significant ones, and no fewer fractional ones than the operands have.

mod series;

use std::f64::consts::{LN_10, LOG10_E};

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{Signed, ToPrimitive, Zero};

use super::arithmetic::checked;
use super::{division_by_zero, numeric_div, numeric_mul};
use crate::error::{Error, Result, SqlState};
use crate::types::Numeric;
use crate::types::kinds::numeric::{self, parts, power_of_ten};

/// `NUMERIC_MIN_SIG_DIGITS`.
const SIGNIFICANT: i64 = 16;
/// `NUMERIC_MAX_DISPLAY_SCALE`.
const MAX_SHOWN: i64 = 1_000;
/// `NUMERIC_MAX_RESULT_SCALE`.
const MAX_RESULT: f64 = 2_000.0;

fn of_power(message: &str) -> Error {
    Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message)
}

fn of_logarithm(message: &str) -> Error {
    Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message)
}

/// The value's digits in base 10000 and the weight of the first, without zeros at either end.
fn base_10000(value: &BigDecimal) -> (i64, Vec<i64>) {
    let (digits, scale) = parts(value);
    if digits.is_zero() {
        return (0, Vec::new());
    }
    let mut text = digits.magnitude().to_str_radix(10).into_bytes();
    // Whole groups of four after the point, then before it.
    let after = (4 - scale.rem_euclid(4)) % 4;
    text.extend(std::iter::repeat_n(b'0', after as usize));
    let before = (4 - text.len() % 4) % 4;
    let mut padded = vec![b'0'; before];
    padded.extend_from_slice(&text);
    let mut groups: Vec<i64> = padded
        .chunks(4)
        .map(|group| {
            group
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
        })
        .collect();
    let weight = groups.len() as i64 - (scale + after) / 4 - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    (weight, groups)
}

fn shown(scale: i64) -> i64 {
    scale.clamp(0, MAX_SHOWN)
}

fn to_float(value: &BigDecimal) -> f64 {
    value.to_f64().unwrap_or(f64::INFINITY)
}

/// # Errors
/// 2201F for a negative number.
pub fn numeric_sqrt(value: &Numeric) -> Result<Numeric> {
    let negative = || of_power("cannot take square root of a negative number");
    let finite = match value {
        Numeric::Finite(finite) if finite.is_negative() => return Err(negative()),
        Numeric::Finite(finite) => finite,
        Numeric::NegativeInfinity => return Err(negative()),
        other => return Ok(other.clone()),
    };
    let (weight, _) = base_10000(finite);
    let whole = (weight + 1) * 4 / 2 - 1;
    let scale = shown((SIGNIFICANT - whole).max(parts(finite).1));
    sqrt_at(value, scale)
}

/// The square root of a number that is not negative, with `scale` fractional digits.
pub fn sqrt_at(value: &Numeric, scale: i64) -> Result<Numeric> {
    const GUARD: i64 = 4;
    let Numeric::Finite(value) = value else {
        return Ok(value.clone());
    };
    let (digits, from) = parts(value);
    let inner = scale.max(from) + GUARD;
    let wide = digits.magnitude() * power_of_ten((2 * inner - from).unsigned_abs()).magnitude();
    let root = BigDecimal::new(BigInt::from(wide.sqrt()), inner);
    Ok(Numeric::Finite(numeric::round(&root, scale)))
}

/// # Errors
/// 22003 when the result is too large.
pub fn numeric_exp(value: &Numeric) -> Result<Numeric> {
    let finite = match value {
        Numeric::Finite(finite) => finite,
        Numeric::NegativeInfinity => return Ok(Numeric::from(0)),
        other => return Ok(other.clone()),
    };
    let float = to_float(finite);
    let weight = (float * LOG10_E).clamp(-MAX_RESULT, MAX_RESULT);
    let scale = shown((SIGNIFICANT - weight as i64).max(parts(finite).1));
    exp_at(finite, float, scale)
}

fn exp_at(value: &BigDecimal, float: f64, scale: i64) -> Result<Numeric> {
    if float.abs() >= MAX_RESULT * 3.0 {
        if float > 0.0 {
            return Err(numeric::overflow());
        }
        return Ok(Numeric::new(0, scale));
    }
    Ok(Numeric::Finite(series::exp(value, scale)))
}

/// A rough decimal weight of the natural logarithm (`estimate_ln_dweight`).
fn ln_weight(value: &BigDecimal) -> i64 {
    if !value.is_positive() {
        return 0;
    }
    let (low, high) = (BigDecimal::new(9.into(), 1), BigDecimal::new(11.into(), 1));
    if *value >= low && *value <= high {
        let (weight, digits) = base_10000(&(value - BigDecimal::from(1)));
        return match digits.first() {
            Some(first) => weight * 4 + (*first as f64).log10() as i64,
            None => 0,
        };
    }
    let (weight, digits) = base_10000(value);
    let (mut leading, mut place) = match digits.first() {
        Some(first) => (*first, weight * 4),
        None => return 0,
    };
    if let Some(second) = digits.get(1) {
        leading = leading * 10_000 + second;
        place -= 4;
    }
    let ln = (leading as f64).ln() + place as f64 * LN_10;
    ln.abs().log10() as i64
}

/// The value, if a logarithm of it exists; `Err(value)` for NaN and infinity.
fn logarithmic(value: &Numeric) -> Result<()> {
    match value.sign() {
        _ if value.is_nan() => Ok(()),
        -1 => Err(of_logarithm("cannot take logarithm of a negative number")),
        0 => Err(of_logarithm("cannot take logarithm of zero")),
        _ => Ok(()),
    }
}

/// # Errors
/// 2201E unless the number is positive.
pub fn numeric_ln(value: &Numeric) -> Result<Numeric> {
    logarithmic(value)?;
    let Numeric::Finite(finite) = value else {
        return Ok(value.clone());
    };
    let scale = shown((SIGNIFICANT - ln_weight(finite)).max(parts(finite).1));
    Ok(Numeric::Finite(series::ln(finite, scale)))
}

/// The logarithm of `value` to a base.
///
/// # Errors
/// 2201E unless both are positive, 22012 for base 1.
pub fn numeric_log(base: &Numeric, value: &Numeric) -> Result<Numeric> {
    const GUARD: i64 = 12;
    if base.is_nan() || value.is_nan() {
        return Ok(Numeric::NaN);
    }
    logarithmic_pair(base, value)?;
    let (b, v) = match (base, value) {
        (Numeric::Finite(b), Numeric::Finite(v)) => (b, v),
        (Numeric::Infinity, Numeric::Infinity) => return Ok(Numeric::NaN),
        (Numeric::Infinity, _) => return Ok(Numeric::from(0)),
        _ => return Ok(Numeric::Infinity),
    };
    let (b_weight, v_weight) = (ln_weight(b), ln_weight(v));
    let scale = shown(
        (SIGNIFICANT - (v_weight - b_weight))
            .max(parts(b).1)
            .max(parts(v).1),
    );
    // The quotient's error is that of its parts, as large as they are beside the base's logarithm.
    let inner = scale + (v_weight - 2 * b_weight).max(0) + (-b_weight).max(0) + GUARD;
    let (over, under) = (series::ln(v, inner), series::ln(b, inner));
    let ((over, _), (under, _)) = (parts(&over), parts(&under));
    if under.is_zero() {
        return Err(division_by_zero());
    }
    let wide = over.as_ref() * power_of_ten(scale.unsigned_abs());
    let (wide, under) = if under.is_negative() {
        (-wide, -under.into_owned())
    } else {
        (wide, under.into_owned())
    };
    checked(numeric::divide_rounding(&wide, &under), scale)
}

fn logarithmic_pair(base: &Numeric, value: &Numeric) -> Result<()> {
    match (base.sign(), value.sign()) {
        (-1, _) | (_, -1) => Err(of_logarithm("cannot take logarithm of a negative number")),
        (0, _) | (_, 0) => Err(of_logarithm("cannot take logarithm of zero")),
        _ => Ok(()),
    }
}

fn is_whole(value: &BigDecimal) -> bool {
    let (digits, scale) = parts(value);
    scale == 0 || (digits.as_ref() % power_of_ten(scale.unsigned_abs())).is_zero()
}

fn is_odd(value: &BigDecimal) -> bool {
    let (digits, scale) = parts(value);
    let whole = digits.as_ref() / power_of_ten(scale.unsigned_abs());
    is_whole(value) && whole.bit(0)
}

/// # Errors
/// 2201F for a negative power of zero and a broken power of a negative number, 22003 when the result
/// is too large.
pub fn numeric_power(base: &Numeric, exponent: &Numeric) -> Result<Numeric> {
    let one = Numeric::from(1);
    match (base, exponent) {
        (Numeric::NaN, _) if exponent.finite().is_some_and(Zero::is_zero) => return Ok(one),
        (_, Numeric::NaN) if *base == one => return Ok(one),
        (Numeric::NaN, _) | (_, Numeric::NaN) => return Ok(Numeric::NaN),
        _ => {}
    }
    if base.sign() == 0 && exponent.sign() < 0 {
        return Err(of_power("zero raised to a negative power is undefined"));
    }
    if base.sign() < 0 && exponent.finite().is_some_and(|value| !is_whole(value)) {
        return Err(of_power(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    match (base, exponent) {
        (Numeric::Finite(base), Numeric::Finite(exponent)) => power(base, exponent),
        _ => infinite_power(base, exponent),
    }
}

/// One of the two is infinite.
fn infinite_power(base: &Numeric, exponent: &Numeric) -> Result<Numeric> {
    let one = Numeric::from(1);
    if *base == one || exponent.sign() == 0 {
        return Ok(one);
    }
    if base.sign() == 0 {
        return Ok(Numeric::from(0));
    }
    let Numeric::Finite(exponent) = exponent else {
        let above = match base {
            Numeric::Finite(value) if value.abs() == 1 => return Ok(one),
            Numeric::Finite(value) => value.abs() > 1,
            _ => true,
        };
        return Ok(if above == (exponent.sign() > 0) {
            Numeric::Infinity
        } else {
            Numeric::from(0)
        });
    };
    Ok(if exponent.is_negative() {
        Numeric::from(0)
    } else if base.sign() < 0 && is_odd(exponent) {
        Numeric::NegativeInfinity
    } else {
        Numeric::Infinity
    })
}

fn power(base: &BigDecimal, exponent: &BigDecimal) -> Result<Numeric> {
    if is_whole(exponent) {
        let whole = numeric::truncate(exponent, 0);
        if let Some(count) = parts(&whole).0.to_i32() {
            return whole_power(base, count);
        }
    }
    if base.is_zero() {
        return Ok(Numeric::new(0, SIGNIFICANT));
    }
    let negative = base.is_negative() && is_odd(exponent);
    let base = base.abs();
    // A rough result first, for its size.
    let rough = (8 - ln_weight(&base)).max(0);
    let rough = series::ln(&base, rough);
    let float = to_float(&rough) * to_float(exponent);
    if float.abs() > MAX_RESULT * 3.01 {
        if float > 0.0 {
            return Err(numeric::overflow());
        }
        return Ok(Numeric::new(0, MAX_SHOWN));
    }
    let weight = (float * LOG10_E) as i64;
    let scale = shown(
        (SIGNIFICANT - weight)
            .max(parts(&base).1)
            .max(parts(exponent).1),
    );
    const GUARD: i64 = 12;
    let digits = parts(exponent).0.magnitude().to_str_radix(10).len() as i64;
    let whole_digits = (digits - parts(exponent).1).max(0);
    let inner = scale + weight.max(0) + whole_digits + GUARD;
    let product = numeric::round(&(series::ln(&base, inner) * exponent), inner);
    let result = exp_at(&product, float, scale)?;
    Ok(if negative { result.negated() } else { result })
}

/// A power by an integer (`power_var_int`).
fn whole_power(base: &BigDecimal, count: i32) -> Result<Numeric> {
    let scale = shown(SIGNIFICANT.max(parts(base).1));
    match count {
        0 => return Ok(Numeric::Finite(numeric::round(&BigDecimal::from(1), scale))),
        1 => return Ok(Numeric::Finite(numeric::round(base, scale))),
        2 => {
            let value = Numeric::Finite(base.clone());
            return rounded(numeric_mul(&value, &value)?, scale);
        }
        _ => {}
    }
    if base.is_zero() {
        return if count < 0 {
            Err(division_by_zero())
        } else {
            Ok(Numeric::new(0, scale))
        };
    }
    let (weight, digits) = base_10000(base);
    let mut leading = 0.0;
    let mut place = (weight + 1) * 4;
    for digit in digits.iter().take(4) {
        leading = leading * 10_000.0 + *digit as f64;
        place -= 4;
    }
    let size = f64::from(count) * (leading.log10() + place as f64);
    const MOST: f64 = 3.0 * 32_767.0 * 4.0;
    if size > MOST {
        return Err(numeric::overflow());
    }
    if size + 1.0 < -(scale as f64) || size + 1.0 < -(MAX_SHOWN as f64) {
        return Ok(Numeric::new(0, scale));
    }
    const GUARD: i64 = 12;
    let significant = scale + (size.max(0.0) as i64) + 10 + GUARD;
    // A negative power is divided out of a positive one with as many significant digits.
    let significant = significant + (-size).max(0.0) as i64;
    let (digits, shift) = series::power(base, count.unsigned_abs(), significant);
    if count > 0 {
        return rounded(checked_shift(digits, shift)?, scale);
    }
    // 10^shift / digits.
    let (mut over, mut under) = (power_of_ten((scale + shift).max(0).unsigned_abs()), digits);
    if scale + shift < 0 {
        under *= power_of_ten((scale + shift).unsigned_abs());
    }
    if under.is_negative() {
        (over, under) = (-over, -under);
    }
    checked(numeric::divide_rounding(&over, &under), scale)
}

/// `digits / 10^shift`, refused when it is too large.
fn checked_shift(digits: BigInt, shift: i64) -> Result<Numeric> {
    if -shift > numeric::MAX_WHOLE_DIGITS {
        return Err(numeric::overflow());
    }
    if shift < 0 {
        return checked(digits * power_of_ten(shift.unsigned_abs()), 0);
    }
    Ok(Numeric::Finite(BigDecimal::new(digits, shift)))
}

fn rounded(value: Numeric, scale: i64) -> Result<Numeric> {
    match value {
        Numeric::Finite(value) => {
            let (digits, scale) = numeric::round(&value, scale).into_bigint_and_scale();
            checked(digits, scale)
        }
        other => Ok(other),
    }
}

/// The quotient cut to an integer (`div`).
///
/// # Errors
/// 22012 for a zero divisor.
pub fn numeric_whole_div(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(x), Numeric::Finite(y)) = (a, b) else {
        return numeric_div(a, b);
    };
    let ((x, x_scale), (y, y_scale)) = (parts(x), parts(y));
    if y.is_zero() {
        return Err(division_by_zero());
    }
    let shift = y_scale - x_scale;
    let (mut over, mut under) = (x.into_owned(), y.into_owned());
    if shift >= 0 {
        over *= power_of_ten(shift.unsigned_abs());
    } else {
        under *= power_of_ten(shift.unsigned_abs());
    }
    checked(over / under, 0)
}
