//! Integers: divisors, bits, factorials.

use super::super::registry::Definitions;
use super::super::strings::int_at;
use super::out_of_range;
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, Numeric, oid};

/// The last number whose factorial is a numeric.
const MAX_FACTORIAL: i64 = 32_177;

pub(super) fn define(all: &mut Definitions) {
    for ty in ["int4", "int8"] {
        all.add("gcd", &format!("{ty},{ty}"), ty, |c, a| {
            let value = gcd(int_at(a, 0).unsigned_abs(), int_at(a, 1).unsigned_abs());
            whole(c.result.oid, u128::from(value))
        });
        all.add("lcm", &format!("{ty},{ty}"), ty, |c, a| {
            let (l, r) = (int_at(a, 0).unsigned_abs(), int_at(a, 1).unsigned_abs());
            let divisor = gcd(l, r).max(1);
            whole(c.result.oid, u128::from(l / divisor) * u128::from(r))
        });
    }
    all.add("factorial", "int8", "numeric", |_, a| {
        let count = int_at(a, 0);
        if count < 0 {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "factorial of a negative number is undefined",
            ));
        }
        if count > MAX_FACTORIAL {
            return Err(crate::types::kinds::numeric::overflow());
        }
        let mut product = bigdecimal::num_bigint::BigInt::from(1);
        for next in 2..=count {
            product *= next;
        }
        Ok(Datum::Numeric(Numeric::new(product, 0)))
    });
    for ty in ["int2", "int4", "int8"] {
        let two = format!("{ty},{ty}");
        all.add("bit_and_op", &two, ty, |c, a| {
            signed(c.result.oid, int_at(a, 0) & int_at(a, 1))
        });
        all.add("bit_or_op", &two, ty, |c, a| {
            signed(c.result.oid, int_at(a, 0) | int_at(a, 1))
        });
        all.add("bit_xor_op", &two, ty, |c, a| {
            signed(c.result.oid, int_at(a, 0) ^ int_at(a, 1))
        });
        all.add("bit_not_op", ty, ty, |c, a| {
            signed(c.result.oid, !int_at(a, 0))
        });
        let shift = format!("{ty},int4");
        // The count is taken modulo the width that the machine computes in.
        all.add("shift_left_op", &shift, ty, |c, a| {
            let count = int_at(a, 1) as u32;
            match c.result.oid {
                oid::INT8 => Ok(Datum::Int8(int_at(a, 0).wrapping_shl(count))),
                other => signed(other, i64::from((int_at(a, 0) as i32).wrapping_shl(count))),
            }
        });
        all.add("shift_right_op", &shift, ty, |c, a| {
            let count = int_at(a, 1) as u32;
            match c.result.oid {
                oid::INT8 => Ok(Datum::Int8(int_at(a, 0).wrapping_shr(count))),
                other => signed(other, i64::from((int_at(a, 0) as i32).wrapping_shr(count))),
            }
        });
    }
}

/// The low bits as an integer of the type.
fn signed(ty: u32, value: i64) -> Result<Datum<'static>> {
    Ok(match ty {
        oid::INT2 => Datum::Int2(value as i16),
        oid::INT4 => Datum::Int4(value as i32),
        _ => Datum::Int8(value),
    })
}

fn whole(ty: u32, value: u128) -> Result<Datum<'static>> {
    match ty {
        oid::INT4 => i32::try_from(value)
            .map(Datum::Int4)
            .map_err(|_| out_of_range("integer")),
        _ => i64::try_from(value)
            .map(Datum::Int8)
            .map_err(|_| out_of_range("bigint")),
    }
}

fn gcd(left: u64, right: u64) -> u64 {
    let (mut left, mut right) = (left, right);
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
