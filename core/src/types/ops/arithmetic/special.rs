//! Arithmetic with NaN and the infinities of `numeric`, at least one of them an operand.

use super::super::division_by_zero;
use crate::error::Result;
use crate::types::Numeric;

fn infinity(sign: i8) -> Numeric {
    match sign {
        0 => Numeric::NaN,
        1 => Numeric::Infinity,
        _ => Numeric::NegativeInfinity,
    }
}

fn is_infinite(value: &Numeric) -> bool {
    matches!(value, Numeric::Infinity | Numeric::NegativeInfinity)
}

pub(super) fn add(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    if a.is_nan() || b.is_nan() || is_infinite(a) && is_infinite(b) && a != b {
        return Ok(Numeric::NaN);
    }
    Ok(if is_infinite(a) { a.clone() } else { b.clone() })
}

pub(super) fn sub(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    add(a, &b.clone().negated())
}

pub(super) fn mul(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    if a.is_nan() || b.is_nan() {
        return Ok(Numeric::NaN);
    }
    // Zero times infinity is no number.
    Ok(infinity(a.sign() * b.sign()))
}

pub(super) fn div(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    if a.is_nan() || b.is_nan() || is_infinite(a) && is_infinite(b) {
        return Ok(Numeric::NaN);
    }
    if is_infinite(b) {
        return Ok(Numeric::from(0));
    }
    if b.sign() == 0 {
        return Err(division_by_zero());
    }
    Ok(infinity(a.sign() * b.sign()))
}

pub(super) fn rem(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    if a.is_nan() || b.is_nan() {
        return Ok(Numeric::NaN);
    }
    if b.sign() == 0 {
        return Err(division_by_zero());
    }
    Ok(if is_infinite(a) {
        Numeric::NaN
    } else {
        a.clone()
    })
}
