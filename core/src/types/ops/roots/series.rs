//! Exponentials, logarithms and powers in fixed point, right to the digits asked for.

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::{One, Signed, ToPrimitive, Zero};

use crate::types::kinds::numeric::{divide_rounding, parts, power_of_ten, round};

/// Digits that are computed beyond those asked for.
const GUARD: i64 = 12;

fn ten(exponent: i64) -> BigInt {
    power_of_ten(exponent.max(0).unsigned_abs())
}

/// The digits of a value at a scale, cut.
fn fixed(value: &BigDecimal, scale: i64) -> BigInt {
    let (digits, from) = parts(value);
    if scale >= from {
        digits.as_ref() * ten(scale - from)
    } else {
        digits.as_ref() / ten(from - scale)
    }
}

/// e to the power of a value of less than 10^4, with `scale` fractional digits.
pub(super) fn exp(value: &BigDecimal, scale: i64) -> BigDecimal {
    let size = value.abs().to_f64().unwrap_or(0.0);
    let whole_digits = (size * super::LOG10_E).ceil() as i64 + 1;
    // Halve the argument until the series is short; each squaring doubles the error.
    let halvings = (size.max(1e-9).log2().ceil() as i64 + 8).max(0);
    let inner = scale + whole_digits + halvings / 3 + 1 + GUARD;
    let one = ten(inner);
    let argument = fixed(&value.abs(), inner) >> halvings.unsigned_abs() as usize;
    let mut sum = one.clone();
    let mut term = one.clone();
    let mut count = 1_u32;
    while !term.is_zero() {
        term = term * &argument / &one / count;
        sum += &term;
        count += 1;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &one;
    }
    if value.is_negative() {
        sum = &one * &one / sum;
    }
    round(&BigDecimal::new(sum, inner), scale)
}

/// The natural logarithm of a positive value with `scale` fractional digits.
pub(super) fn ln(value: &BigDecimal, scale: i64) -> BigDecimal {
    let (digits, from) = parts(value);
    let length = digits.magnitude().to_str_radix(10).len() as i64;
    // value = mantissa · 10^place with a mantissa between 0.1 and 1; near 1 it stays as it is.
    let place = length - from;
    let inner = scale + GUARD + 6;
    let near_one = place == 0 || place == 1;
    if near_one {
        let result = ln_fixed(&fixed(value, inner + length), inner + length);
        return round(&BigDecimal::new(result, inner + length), scale);
    }
    let mantissa = BigDecimal::new(digits.into_owned(), length);
    let inner = inner + 6;
    let small = ln_fixed(&fixed(&mantissa, inner), inner);
    let ln_ten = ln_fixed(&(ten(inner) * 10), inner);
    round(&BigDecimal::new(small + ln_ten * place, inner), scale)
}

/// The logarithm of a fixed point number between 0.1 and 10, by Halley's method.
fn ln_fixed(value: &BigInt, scale: i64) -> BigInt {
    /// Digits that the first guess has for certain.
    const FIRST: i64 = 12;
    if value.is_zero() {
        return BigInt::zero();
    }
    let one = ten(scale);
    let shift = (scale - 17).max(0);
    let guess = (value / ten(shift)).to_f64().unwrap_or(1.0) / 10_f64.powi((scale - shift) as i32);
    let guess = (guess.max(1e-17).ln() * 1e15) as i64;
    let mut result = if scale >= 15 {
        BigInt::from(guess) * ten(scale - 15)
    } else {
        BigInt::from(guess) / ten(15 - scale)
    };
    let mut right = FIRST;
    loop {
        let power = exp(&BigDecimal::new(result.clone(), scale), scale);
        let power = fixed(&power, scale);
        let step = (value - &power) * 2 * &one / (value + &power);
        result += step;
        right *= 3;
        if right > scale * 3 {
            return result;
        }
    }
}

/// `base^count` as digits and their scale, to `significant` digits.
pub(super) fn power(base: &BigDecimal, count: u32, significant: i64) -> (BigInt, i64) {
    let (digits, scale) = parts(base);
    let mut square = cut(digits.into_owned(), scale, significant);
    let mut result = (BigInt::one(), 0_i64);
    let mut rest = count;
    loop {
        if rest & 1 == 1 {
            result = cut(&result.0 * &square.0, result.1 + square.1, significant);
        }
        rest >>= 1;
        if rest == 0 {
            return result;
        }
        square = cut(&square.0 * &square.0, square.1 * 2, significant);
    }
}

/// Leaves so many digits.
fn cut(digits: BigInt, scale: i64, significant: i64) -> (BigInt, i64) {
    // 2^10 > 10^3: more bits than that surely means more digits.
    let surely_fewer = digits.bits() as i64 * 3 / 10 <= significant;
    if surely_fewer {
        return (digits, scale);
    }
    let length = digits.magnitude().to_str_radix(10).len() as i64;
    if length <= significant {
        return (digits, scale);
    }
    let gone = length - significant;
    (divide_rounding(&digits, &ten(gone)), scale - gone)
}
