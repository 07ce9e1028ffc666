//! `numeric` arithmetic in 128 bits, for numbers that it holds: digits and how many of them stand behind
//! the point. What does not fit is `None`, and left to the arithmetic of any length.

use super::BinaryOp;

/// Digits and scale of a number.
pub type Small = (i128, i64);

/// Most digits behind the point that a result has here.
const MOST_SCALE: i64 = 100;
/// Significant digits of a quotient, as PostgreSQL's `select_div_scale` has them at least.
const MIN_SIGNIFICANT: i64 = 16;

/// The result with PostgreSQL's scale. `None` for a zero divisor, too.
pub fn numeric_small(op: BinaryOp, left: Small, right: Small) -> Option<Small> {
    let (digits, scale) = match op {
        BinaryOp::Add | BinaryOp::Sub => {
            let scale = left.1.max(right.1);
            let (l, r) = (scaled(left, scale)?, scaled(right, scale)?);
            let digits = match op {
                BinaryOp::Add => l.checked_add(r)?,
                _ => l.checked_sub(r)?,
            };
            (digits, scale)
        }
        BinaryOp::Mul => (left.0.checked_mul(right.0)?, left.1 + right.1),
        BinaryOp::Div => quotient(left, right)?,
        _ => return None,
    };
    (0..=MOST_SCALE).contains(&scale).then_some((digits, scale))
}

fn power(digits: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(digits).ok()?)
}

fn scaled((digits, from): Small, scale: i64) -> Option<i128> {
    match scale - from {
        0 => Some(digits),
        more => digits.checked_mul(power(more)?),
    }
}

fn quotient(left: Small, right: Small) -> Option<Small> {
    if right.0 == 0 {
        return None;
    }
    let ((x_weight, x_first), (y_weight, y_first)) = (leading(left)?, leading(right)?);
    let smaller = i64::from(x_first <= y_first);
    let scale = MIN_SIGNIFICANT - (x_weight - y_weight - smaller) * 4;
    let scale = scale.max(left.1).max(right.1);
    // x / 10^xs divided by y / 10^ys at the scale s is x * 10^(s - xs + ys) / y.
    let shift = scale - left.1 + right.1;
    let over = left.0.checked_mul(power(shift)?)?;
    let (quotient, rest) = (over.checked_div(right.0)?, over.checked_rem(right.0)?);
    // Halves go away from zero.
    let half = rest.unsigned_abs() >= right.0.unsigned_abs() - rest.unsigned_abs();
    let away = if (over < 0) == (right.0 < 0) { 1 } else { -1 };
    Some((if half { quotient + away } else { quotient }, scale))
}

/// The weight and the value of the first digit in base 10000.
fn leading((digits, scale): Small) -> Option<(i64, i128)> {
    let Some(length) = digits.unsigned_abs().checked_ilog10() else {
        return Some((0, 0));
    };
    // Decimal digits before the point, less one; may be negative.
    let whole = i64::from(length) - scale;
    let used = whole.rem_euclid(4);
    let digits = i128::try_from(digits.unsigned_abs()).ok()?;
    let first = match i64::from(length) - used {
        more if more >= 0 => digits / power(more)?,
        less => digits.checked_mul(power(-less)?)?,
    };
    Some((whole.div_euclid(4), first))
}

#[cfg(test)]
mod tests {
    use bigdecimal::num_bigint::BigInt;

    use super::*;
    use crate::types::Numeric;
    use crate::types::kinds::numeric::{normal, parts};
    use crate::types::ops::{numeric_add, numeric_div, numeric_mul, numeric_sub};

    fn long((digits, scale): Small) -> Numeric {
        Numeric::Finite(normal(BigInt::from(digits), scale))
    }

    proptest::proptest! {
        #[test]
        fn results_are_those_of_any_length(
            a in -1_000_000_000_000_i128..1_000_000_000_000,
            b in -1_000_000_i128..1_000_000,
            cut in 0_u32..12,
            scales in (0_i64..9, 0_i64..9),
        ) {
            let (left, right) = ((a / 10_i128.pow(cut), scales.0), (b, scales.1));
            let (l, r) = (long(left), long(right));
            for (op, whole) in [
                (BinaryOp::Add, numeric_add(&l, &r)),
                (BinaryOp::Sub, numeric_sub(&l, &r)),
                (BinaryOp::Mul, numeric_mul(&l, &r)),
                (BinaryOp::Div, numeric_div(&l, &r)),
            ] {
                let Some((digits, scale)) = numeric_small(op, left, right) else {
                    proptest::prop_assert!(op == BinaryOp::Div, "{op:?}");
                    continue;
                };
                let whole = whole.unwrap();
                let (expected, expected_scale) = parts(whole.finite().unwrap());
                proptest::prop_assert_eq!(expected.into_owned(), BigInt::from(digits));
                proptest::prop_assert_eq!(expected_scale, scale);
            }
        }
    }

    #[test]
    fn quotients_have_their_digits_and_halves_go_away_from_zero() {
        let divide = |left, right| numeric_small(BinaryOp::Div, left, right);
        assert_eq!(
            divide((1, 0), (3, 0)),
            Some((33_333_333_333_333_333_333, 20))
        );
        assert_eq!(
            divide((-2, 0), (3, 0)),
            Some((-66_666_666_666_666_666_667, 20))
        );
        assert_eq!(divide((1, 0), (0, 0)), None);
        assert_eq!(divide((i128::MAX, 0), (3, 2)), None);
    }
}
