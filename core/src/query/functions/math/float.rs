//! Floating point functions with PostgreSQL's range checks.

use super::super::registry::Definitions;
use super::super::strings::int_at;
use super::{bad_input, count_error, out_of_range};
use crate::error::{Error, Result, SqlState};
use crate::types::Datum;

/// Degrees to radians, as PostgreSQL rounds it.
pub(super) const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

pub(super) fn float_at(args: &[Datum<'_>], at: usize) -> f64 {
    match args.get(at) {
        Some(Datum::Float8(value)) => *value,
        Some(Datum::Float4(value)) => f64::from(*value),
        _ => 0.0,
    }
}

pub(super) fn f8(value: f64) -> Result<Datum<'static>> {
    Ok(Datum::Float8(value))
}

fn range(what: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value out of range: {what}"),
    )
}

/// A result that finite operands must not turn infinite, nor other ones zero.
fn checked(value: f64, infinite: bool, zero: bool) -> Result<Datum<'static>> {
    if value.is_infinite() && !infinite {
        return Err(range("overflow"));
    }
    if value == 0.0 && !zero {
        return Err(range("underflow"));
    }
    f8(value)
}

/// A function that takes every finite value.
fn finite(value: f64, function: fn(f64) -> f64) -> Result<Datum<'static>> {
    if value.is_infinite() {
        return Err(bad_input());
    }
    f8(function(value))
}

pub(super) fn define(all: &mut Definitions) {
    all.add("round", "float8", "float8", |_, a| {
        f8(float_at(a, 0).round_ties_even())
    });
    all.add("trunc", "float8", "float8", |_, a| {
        f8(float_at(a, 0).trunc())
    });
    for name in ["ceil", "ceiling"] {
        all.add(name, "float8", "float8", |_, a| f8(float_at(a, 0).ceil()));
    }
    all.add("floor", "float8", "float8", |_, a| {
        f8(float_at(a, 0).floor())
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
    all.add("sqrt", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        if value < 0.0 {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            ));
        }
        f8(value.sqrt())
    });
    all.add("cbrt", "float8", "float8", |_, a| f8(cbrt(float_at(a, 0))));
    for name in ["power", "pow"] {
        all.add(name, "float8,float8", "float8", |_, a| {
            power(float_at(a, 0), float_at(a, 1))
        });
    }
    all.add("exp", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        checked(
            value.exp(),
            value.is_infinite(),
            value.is_infinite() || value.is_nan(),
        )
    });
    all.add("ln", "float8", "float8", |_, a| {
        f8(logarithm(float_at(a, 0))?.ln())
    });
    for name in ["log", "log10"] {
        all.add(name, "float8", "float8", |_, a| {
            f8(logarithm(float_at(a, 0))?.log10())
        });
    }
    all.add("pi", "", "float8", |_, _| f8(std::f64::consts::PI));
    all.add("degrees", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        checked(value / RADIANS_PER_DEGREE, value.is_infinite(), true)
    });
    all.add("radians", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        checked(
            value * RADIANS_PER_DEGREE,
            value.is_infinite(),
            value == 0.0,
        )
    });
    all.add("sin", "float8", "float8", |_, a| {
        finite(float_at(a, 0), f64::sin)
    });
    all.add("cos", "float8", "float8", |_, a| {
        finite(float_at(a, 0), f64::cos)
    });
    all.add("tan", "float8", "float8", |_, a| {
        finite(float_at(a, 0), f64::tan)
    });
    all.add("cot", "float8", "float8", |_, a| {
        finite(float_at(a, 0), |value| 1.0 / value.tan())
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
    all.add("asinh", "float8", "float8", |_, a| {
        f8(float_at(a, 0).asinh())
    });
    all.add("acosh", "float8", "float8", |_, a| {
        let value = float_at(a, 0);
        if value < 1.0 {
            return Err(bad_input());
        }
        f8(value.acosh())
    });
    all.add("atanh", "float8", "float8", |_, a| {
        in_unit(float_at(a, 0), f64::atanh)
    });
    all.add(
        "width_bucket",
        "float8,float8,float8,int4",
        "int4",
        |_, a| {
            bucket(float_at(a, 0), float_at(a, 1), float_at(a, 2), int_at(a, 3)).map(Datum::Int4)
        },
    );
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

/// The number of the one of `count` equal parts of `low..high` that `value` lies in: 0 before the
/// first, `count` + 1 behind the last.
pub(in super::super) fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<i32> {
    if count <= 0 {
        return Err(count_error("count must be greater than zero"));
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(count_error(
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(count_error("lower and upper bounds must be finite"));
    }
    if low == high {
        return Err(count_error("lower bound cannot equal upper bound"));
    }
    let below = if low < high { value < low } else { value > low };
    let above = if low < high {
        value >= high
    } else {
        value <= high
    };
    let bucket = if below {
        0
    } else if above {
        count + 1
    } else {
        // Halved, the difference of two bounds cannot overflow.
        let span = high / 2.0 - low / 2.0;
        let part = (value / 2.0 - low / 2.0) / span;
        ((part * count as f64) as i64).min(count - 1) + 1
    };
    i32::try_from(bucket).map_err(|_| out_of_range("integer"))
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

pub(super) fn in_unit(value: f64, function: fn(f64) -> f64) -> Result<Datum<'static>> {
    if (-1.0..=1.0).contains(&value) || value.is_nan() {
        f8(function(value))
    } else {
        Err(bad_input())
    }
}

fn power(base: f64, exponent: f64) -> Result<Datum<'static>> {
    let wrong = |message: &str| Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message);
    // NaN ^ 0 and 1 ^ NaN are 1, as in POSIX; powf knows that.
    if base.is_nan() || exponent.is_nan() {
        return f8(base.powf(exponent));
    }
    if base == 0.0 && exponent < 0.0 {
        return Err(wrong("zero raised to a negative power is undefined"));
    }
    if base < 0.0 && exponent.floor() != exponent {
        return Err(wrong(
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let infinite = base.is_infinite() || exponent.is_infinite();
    checked(base.powf(exponent), infinite, infinite || base == 0.0)
}

/// The cube root to the last bit as the C library below PostgreSQL computes it.
fn cbrt(value: f64) -> f64 {
    const CBRT_2: f64 = 1.259_921_049_894_873_2;
    const CBRT_4: f64 = 1.587_401_051_968_199_6;
    const FACTORS: [f64; 5] = [1.0 / CBRT_4, 1.0 / CBRT_2, 1.0, CBRT_2, CBRT_4];
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // |value| = mantissa * 2^exponent with a mantissa of at least a half.
    let scaled = if value.abs() < f64::MIN_POSITIVE {
        (value.abs() * 2.0_f64.powi(54), -54)
    } else {
        (value.abs(), 0)
    };
    let bits = scaled.0.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022 + scaled.1;
    let x = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    let u = 0.354_895_765_043_919_84
        + ((1.508_191_937_815_849
            - ((2.114_994_941_673_713
                - ((2.446_931_225_635_344_4
                    - ((1.834_692_774_836_130_8
                        - (0.784_932_344_976_639_2 - 0.145_263_899_385_486_37 * x) * x)
                        * x))
                    * x))
                * x))
            * x);
    let cube = u * u * u;
    let factor = FACTORS
        .get((2 + exponent % 3) as usize)
        .copied()
        .unwrap_or(1.0);
    let root = u * (cube + 2.0 * x) / (2.0 * cube + x) * factor;
    let root = root * 2.0_f64.powi(exponent / 3);
    if value > 0.0 { root } else { -root }
}
