//! Numbers.

use bigdecimal::{BigDecimal, ToPrimitive, Zero};

use super::registry::Definitions;
use super::strings::int_at;
use crate::error::{Error, Result, SqlState};
use crate::query::errors::division_by_zero;
use crate::types::Datum;
use crate::types::kinds::numeric;
use crate::types::ops::{self, BinaryOp};

/// Fractional digits of a numeric that is computed by roots and powers.
const FLOAT_DIGITS: i64 = 16;

fn float_at(args: &[Datum<'_>], at: usize) -> f64 {
    match args.get(at) {
        Some(Datum::Float8(value)) => *value,
        Some(Datum::Float4(value)) => f64::from(*value),
        _ => 0.0,
    }
}

fn numeric_at(args: &[Datum<'_>], at: usize) -> BigDecimal {
    match args.get(at) {
        Some(Datum::Numeric(value)) => value.clone(),
        _ => BigDecimal::zero(),
    }
}

fn f8(value: f64) -> Result<Datum<'static>> {
    Ok(Datum::Float8(value))
}

fn num(value: BigDecimal) -> Result<Datum<'static>> {
    Ok(Datum::Numeric(value))
}

fn out_of_range(ty: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{ty} out of range"),
    )
}

fn bad_input() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "input is out of range",
    )
}

/// The negative of a number or an interval; `None` for other values.
pub(in crate::query) fn negated(value: &Datum<'_>) -> Result<Option<Datum<'static>>> {
    Ok(Some(match value {
        Datum::Null => Datum::Null,
        Datum::Int2(value) => Datum::Int2(
            value
                .checked_neg()
                .ok_or_else(|| out_of_range("smallint"))?,
        ),
        Datum::Int4(value) => {
            Datum::Int4(value.checked_neg().ok_or_else(|| out_of_range("integer"))?)
        }
        Datum::Int8(value) => {
            Datum::Int8(value.checked_neg().ok_or_else(|| out_of_range("bigint"))?)
        }
        Datum::Float4(value) => Datum::Float4(-value),
        Datum::Float8(value) => Datum::Float8(-value),
        Datum::Numeric(value) => Datum::Numeric(-value.clone()),
        Datum::Interval(value) => {
            let zero = Datum::Interval(crate::types::Interval::default());
            ops::apply(BinaryOp::Sub, &zero, &Datum::Interval(*value))?
        }
        _ => return Ok(None),
    }))
}

/// PostgreSQL's square root of a numeric: at least 16 significant digits.
pub(super) fn numeric_sqrt(value: &BigDecimal) -> Result<BigDecimal> {
    if value < &BigDecimal::zero() {
        return Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        ));
    }
    let scale = sqrt_scale(value);
    let root = value.sqrt().unwrap_or_default();
    Ok(numeric::round(&root, scale))
}

fn sqrt_scale(value: &BigDecimal) -> i64 {
    // The weight of the result in decimal digits, as `numeric_sqrt` estimates it.
    let weight = (value.digits() as i64 - value.fractional_digit_count() - 1).div_euclid(4);
    let digits = (weight + 1) * 4 / 2 - 1;
    (16 - digits)
        .max(value.fractional_digit_count())
        .clamp(0, 1000)
}

/// The number of the one of `count` equal parts of `low..high` that `value` lies in.
pub(super) fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i32> {
    if count <= 0 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "count must be greater than zero",
        ));
    }
    let part = (value - low) / (high - low);
    Ok(if part < 0.0 {
        0
    } else if part >= 1.0 {
        count as i32 + 1
    } else {
        (part * count as f64) as i32 + 1
    })
}

pub(super) fn define(all: &mut Definitions) {
    for (name, ty) in [
        ("negate_op", "int2"),
        ("negate_op", "int4"),
        ("negate_op", "int8"),
        ("negate_op", "float4"),
        ("negate_op", "float8"),
        ("negate_op", "numeric"),
        ("negate_op", "interval"),
    ] {
        all.add(name, ty, ty, |_, a| {
            match a.first().map(negated).transpose()?.flatten() {
                Some(value) => Ok(value),
                None => Err(Error::internal("no negative")),
            }
        });
    }
    for ty in ["int2", "int4", "int8", "float4", "float8", "numeric"] {
        all.add("abs", ty, ty, |_, a| {
            let value = a.first().cloned().unwrap_or(Datum::Null).into_owned();
            let negative = match &value {
                Datum::Int2(value) => *value < 0,
                Datum::Int4(value) => *value < 0,
                Datum::Int8(value) => *value < 0,
                Datum::Float4(value) => value.is_sign_negative(),
                Datum::Float8(value) => value.is_sign_negative(),
                Datum::Numeric(value) => *value < BigDecimal::zero(),
                _ => false,
            };
            Ok(if negative {
                negated(&value)?.unwrap_or(value)
            } else {
                value
            })
        });
    }
    for ty in ["int2", "int4", "int8", "numeric"] {
        all.add("mod", &format!("{ty},{ty}"), ty, |_, a| match a {
            [left, right] => ops::apply(BinaryOp::Mod, left, right),
            _ => Ok(Datum::Null),
        });
    }
    all.add("round", "float8", "float8", |_, a| {
        f8(float_at(a, 0).round_ties_even())
    });
    all.add("round", "numeric", "numeric", |_, a| {
        num(numeric::round(&numeric_at(a, 0), 0))
    });
    all.add("round", "numeric,int4", "numeric", |_, a| {
        num(round_to(&numeric_at(a, 0), int_at(a, 1)))
    });
    all.add("trunc", "float8", "float8", |_, a| {
        f8(float_at(a, 0).trunc())
    });
    all.add("trunc", "numeric", "numeric", |_, a| {
        num(numeric::truncate(&numeric_at(a, 0), 0))
    });
    all.add("trunc", "numeric,int4", "numeric", |_, a| {
        let scale = int_at(a, 1).clamp(-1000, 1000);
        let cut = numeric::truncate(&numeric_at(a, 0), scale);
        num(if scale < 0 {
            numeric::round(&cut, 0)
        } else {
            cut
        })
    });
    for name in ["ceil", "ceiling"] {
        all.add(name, "float8", "float8", |_, a| f8(float_at(a, 0).ceil()));
        all.add(name, "numeric", "numeric", |_, a| {
            let value = numeric_at(a, 0);
            let cut = numeric::truncate(&value, 0);
            num(if cut < value {
                cut + BigDecimal::from(1)
            } else {
                cut
            })
        });
    }
    all.add("floor", "float8", "float8", |_, a| {
        f8(float_at(a, 0).floor())
    });
    all.add("floor", "numeric", "numeric", |_, a| {
        let value = numeric_at(a, 0);
        let cut = numeric::truncate(&value, 0);
        num(if cut > value {
            cut - BigDecimal::from(1)
        } else {
            cut
        })
    });
    all.add("sign", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        f8(if value > 0.0 {
            1.0
        } else if value < 0.0 {
            -1.0
        } else {
            0.0
        })
    });
    all.add("sign", "numeric", "numeric", |_, a| {
        let value = numeric_at(a, 0);
        num(BigDecimal::from(value.cmp(&BigDecimal::zero()) as i32))
    });
    all.add("sqrt", "float8", "float8", |_, a| {
        if float_at(a, 0) < 0.0 {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            ));
        }
        f8(float_at(a, 0).sqrt())
    });
    all.add("sqrt", "numeric", "numeric", |_, a| {
        num(numeric_sqrt(&numeric_at(a, 0))?)
    });
    all.add("cbrt", "float8", "float8", |_, a| f8(float_at(a, 0).cbrt()));
    for name in ["power", "pow"] {
        all.add(name, "float8,float8", "float8", |_, a| {
            power(float_at(a, 0), float_at(a, 1))
        });
        all.add(name, "numeric,numeric", "numeric", |_, a| {
            numeric_power(&numeric_at(a, 0), &numeric_at(a, 1))
        });
    }
    all.add("exp", "float8", "float8", |_, a| f8(float_at(a, 0).exp()));
    all.add("exp", "numeric", "numeric", |_, a| {
        from_float(approximate(&numeric_at(a, 0)).exp())
    });
    all.add("ln", "float8", "float8", |_, a| {
        f8(logarithm(float_at(a, 0))?.ln())
    });
    all.add("ln", "numeric", "numeric", |_, a| {
        from_float(logarithm(approximate(&numeric_at(a, 0)))?.ln())
    });
    for name in ["log", "log10"] {
        all.add(name, "float8", "float8", |_, a| {
            f8(logarithm(float_at(a, 0))?.log10())
        });
        all.add(name, "numeric", "numeric", |_, a| {
            from_float(logarithm(approximate(&numeric_at(a, 0)))?.log10())
        });
    }
    all.add("log", "numeric,numeric", "numeric", |_, a| {
        let base = logarithm(approximate(&numeric_at(a, 0)))?;
        from_float(logarithm(approximate(&numeric_at(a, 1)))?.ln() / base.ln())
    });
    all.add("div", "numeric,numeric", "numeric", |_, a| {
        let (left, right) = (numeric_at(a, 0), numeric_at(a, 1));
        if right.is_zero() {
            return Err(division_by_zero());
        }
        let rest = ops::apply(
            BinaryOp::Mod,
            &Datum::Numeric(left.clone()),
            &Datum::Numeric(right.clone()),
        )?;
        match rest {
            Datum::Numeric(rest) => num(numeric::round(&((left - rest) / right), 0)),
            _ => Ok(Datum::Null),
        }
    });
    for ty in ["int4", "int8"] {
        all.add("gcd", &format!("{ty},{ty}"), ty, |c, a| {
            let value = gcd(int_at(a, 0).unsigned_abs(), int_at(a, 1).unsigned_abs());
            whole(c.result.oid, value)
        });
        all.add("lcm", &format!("{ty},{ty}"), ty, |c, a| {
            let (l, r) = (int_at(a, 0).unsigned_abs(), int_at(a, 1).unsigned_abs());
            let divisor = gcd(l, r);
            if divisor == 0 {
                return whole(c.result.oid, 0);
            }
            whole(
                c.result.oid,
                (l / divisor)
                    .checked_mul(r)
                    .ok_or_else(|| out_of_range("bigint"))?,
            )
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
        if count > 50 {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "value overflows numeric format",
            ));
        }
        num((1..=count).fold(BigDecimal::from(1), |product, next| {
            product * BigDecimal::from(next)
        }))
    });
    all.add("pi", "", "float8", |_, _| f8(std::f64::consts::PI));
    all.add("degrees", "float8", "float8", |_, a| {
        f8(float_at(a, 0).to_degrees())
    });
    all.add("radians", "float8", "float8", |_, a| {
        f8(float_at(a, 0).to_radians())
    });
    all.add("sin", "float8", "float8", |_, a| f8(float_at(a, 0).sin()));
    all.add("cos", "float8", "float8", |_, a| f8(float_at(a, 0).cos()));
    all.add("tan", "float8", "float8", |_, a| f8(float_at(a, 0).tan()));
    all.add("cot", "float8", "float8", |_, a| {
        f8(1.0 / float_at(a, 0).tan())
    });
    all.add("asin", "float8", "float8", |_, a| {
        in_unit(float_at(a, 0), f64::asin)
    });
    all.add("acos", "float8", "float8", |_, a| {
        in_unit(float_at(a, 0), f64::acos)
    });
    all.add("atan", "float8", "float8", |_, a| f8(float_at(a, 0).atan()));
    all.add("atan2", "float8,float8", "float8", |_, a| {
        f8(float_at(a, 0).atan2(float_at(a, 1)))
    });
    all.add("sinh", "float8", "float8", |_, a| f8(float_at(a, 0).sinh()));
    all.add("cosh", "float8", "float8", |_, a| f8(float_at(a, 0).cosh()));
    all.add("tanh", "float8", "float8", |_, a| f8(float_at(a, 0).tanh()));
    all.add("scale", "numeric", "int4", |_, a| {
        Ok(Datum::Int4(
            numeric_at(a, 0).fractional_digit_count().max(0) as i32,
        ))
    });
    all.add("min_scale", "numeric", "int4", |_, a| {
        Ok(Datum::Int4(
            numeric::trim(numeric_at(a, 0))
                .fractional_digit_count()
                .max(0) as i32,
        ))
    });
    all.add("trim_scale", "numeric", "numeric", |_, a| {
        num(numeric::trim(numeric_at(a, 0)))
    });
    all.add(
        "width_bucket",
        "float8,float8,float8,int4",
        "int4",
        |_, a| {
            bucket(float_at(a, 0), float_at(a, 1), float_at(a, 2), int_at(a, 3)).map(Datum::Int4)
        },
    );
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
    }
    all.add("shift_left_op", "int4,int4", "int4", |_, a| {
        Ok(Datum::Int4(
            (int_at(a, 0) as i32).wrapping_shl(int_at(a, 1) as u32),
        ))
    });
    all.add("shift_right_op", "int4,int4", "int4", |_, a| {
        Ok(Datum::Int4(
            (int_at(a, 0) as i32).wrapping_shr(int_at(a, 1) as u32),
        ))
    });
    all.add("shift_left_op", "int8,int4", "int8", |_, a| {
        Ok(Datum::Int8(int_at(a, 0).wrapping_shl(int_at(a, 1) as u32)))
    });
    all.add("shift_right_op", "int8,int4", "int8", |_, a| {
        Ok(Datum::Int8(int_at(a, 0).wrapping_shr(int_at(a, 1) as u32)))
    });
    all.add("random", "", "float8", |c, _| {
        let bytes = c.info.access.random();
        let (head, _) = bytes.split_at(8);
        let bits = head
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        f8((bits >> 11) as f64 / (1_u64 << 53) as f64)
    })
    .volatile();
}

fn signed(oid: u32, value: i64) -> Result<Datum<'static>> {
    Ok(match oid {
        crate::types::oid::INT2 => Datum::Int2(value as i16),
        crate::types::oid::INT4 => Datum::Int4(value as i32),
        _ => Datum::Int8(value),
    })
}

fn whole(oid: u32, value: u64) -> Result<Datum<'static>> {
    match oid {
        crate::types::oid::INT4 => i32::try_from(value)
            .map(Datum::Int4)
            .map_err(|_| out_of_range("integer")),
        _ => i64::try_from(value)
            .map(Datum::Int8)
            .map_err(|_| out_of_range("bigint")),
    }
}

fn gcd(left: u64, right: u64) -> u64 {
    if right == 0 {
        left
    } else {
        gcd(right, left % right)
    }
}

fn round_to(value: &BigDecimal, scale: i64) -> BigDecimal {
    let rounded = numeric::round(value, scale.clamp(-1000, 1000));
    if scale < 0 {
        numeric::round(&rounded, 0)
    } else {
        rounded
    }
}

fn approximate(value: &BigDecimal) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

/// A numeric from a function that is computed in floating point: about 16 digits.
fn from_float(value: f64) -> Result<Datum<'static>> {
    use std::str::FromStr;
    if !value.is_finite() {
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value overflows numeric format",
        ));
    }
    let value = BigDecimal::from_str(&format!("{value:e}")).unwrap_or_default();
    num(numeric::round(&value, FLOAT_DIGITS))
}

fn logarithm(value: f64) -> Result<f64> {
    if value == 0.0 {
        return Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_LOGARITHM,
            "cannot take logarithm of zero",
        ));
    }
    if value < 0.0 {
        return Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_LOGARITHM,
            "cannot take logarithm of a negative number",
        ));
    }
    Ok(value)
}

fn in_unit(value: f64, function: fn(f64) -> f64) -> Result<Datum<'static>> {
    if (-1.0..=1.0).contains(&value) || value.is_nan() {
        f8(function(value))
    } else {
        Err(bad_input())
    }
}

fn power(base: f64, exponent: f64) -> Result<Datum<'static>> {
    let wrong = |message: &str| Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message);
    if base == 0.0 && exponent < 0.0 {
        return Err(wrong("zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.fract() != 0.0 {
        return Err(wrong(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ));
    }
    f8(result)
}

fn numeric_power(base: &BigDecimal, exponent: &BigDecimal) -> Result<Datum<'static>> {
    let whole = numeric::truncate(exponent, 0);
    if &whole == exponent
        && let Some(count) = whole.to_i64().filter(|count| count.unsigned_abs() <= 1000)
    {
        let mut result = BigDecimal::from(1);
        for _ in 0..count.unsigned_abs() {
            result *= base;
            if result.digits() > 2000 {
                return Err(Error::new(
                    SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                    "value overflows numeric format",
                ));
            }
        }
        if count < 0 {
            return ops::apply(
                BinaryOp::Div,
                &Datum::Numeric(BigDecimal::from(1)),
                &Datum::Numeric(result),
            );
        }
        // As many digits as PostgreSQL shows: 16 significant ones.
        return num(numeric::round(&result, FLOAT_DIGITS));
    }
    match power(approximate(base), approximate(exponent))? {
        Datum::Float8(value) => from_float(value),
        other => Ok(other),
    }
}
