//! Exact numbers: rounding, roots and powers, and what there is to know of a value's digits.

use bigdecimal::BigDecimal;
use bigdecimal::num_traits::{ToPrimitive, Zero};

use super::super::registry::Definitions;
use super::super::strings::int_at;
use super::{count_error, out_of_range};
use crate::error::Result;
use crate::types::kinds::numeric::{self, parts};
use crate::types::ops::{self, roots};
use crate::types::{Datum, Numeric};

/// Digits that `round` and `trunc` may name in either direction.
const MAX_ROUND: i64 = 2_000;

fn numeric_at(args: &[Datum<'_>], at: usize) -> Numeric {
    match args.get(at) {
        Some(Datum::Numeric(value)) => value.clone(),
        _ => Numeric::from(0),
    }
}

fn num(value: Numeric) -> Result<Datum<'static>> {
    Ok(Datum::Numeric(value))
}

/// Changes a finite number; NaN and the infinities stay.
fn each(value: Numeric, change: impl Fn(&BigDecimal) -> BigDecimal) -> Result<Datum<'static>> {
    num(match value {
        Numeric::Finite(value) => Numeric::Finite(change(&value)),
        other => other,
    })
}

/// The number of digits after the point that a call names.
fn digits_at(args: &[Datum<'_>]) -> i64 {
    int_at(args, 1).clamp(-MAX_ROUND, MAX_ROUND)
}

pub(super) fn define(all: &mut Definitions) {
    all.add("round", "numeric", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| numeric::round(value, 0))
    });
    all.add("round", "numeric,int4", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| {
            numeric::round(value, digits_at(a))
        })
    });
    all.add("trunc", "numeric", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| numeric::truncate(value, 0))
    });
    all.add("trunc", "numeric,int4", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| {
            numeric::truncate(value, digits_at(a))
        })
    });
    for name in ["ceil", "ceiling"] {
        all.add(name, "numeric", "numeric", |_, a| {
            each(numeric_at(a, 0), |value| {
                let cut = numeric::truncate(value, 0);
                if cut < *value { cut + 1 } else { cut }
            })
        });
    }
    all.add("floor", "numeric", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| {
            let cut = numeric::truncate(value, 0);
            if cut > *value { cut - 1 } else { cut }
        })
    });
    all.add("sign", "numeric", "numeric", |_, a| {
        let value = numeric_at(a, 0);
        num(if value.is_nan() {
            value
        } else {
            Numeric::from(i32::from(value.sign()))
        })
    });
    all.add("sqrt", "numeric", "numeric", |_, a| {
        num(roots::numeric_sqrt(&numeric_at(a, 0))?)
    });
    for name in ["power", "pow"] {
        all.add(name, "numeric,numeric", "numeric", |_, a| {
            num(roots::numeric_power(&numeric_at(a, 0), &numeric_at(a, 1))?)
        });
    }
    all.add("exp", "numeric", "numeric", |_, a| {
        num(roots::numeric_exp(&numeric_at(a, 0))?)
    });
    all.add("ln", "numeric", "numeric", |_, a| {
        num(roots::numeric_ln(&numeric_at(a, 0))?)
    });
    for name in ["log", "log10"] {
        all.add(name, "numeric", "numeric", |_, a| {
            num(roots::numeric_log(&Numeric::from(10), &numeric_at(a, 0))?)
        });
    }
    all.add("log", "numeric,numeric", "numeric", |_, a| {
        num(roots::numeric_log(&numeric_at(a, 0), &numeric_at(a, 1))?)
    });
    all.add("div", "numeric,numeric", "numeric", |_, a| {
        num(roots::numeric_whole_div(
            &numeric_at(a, 0),
            &numeric_at(a, 1),
        )?)
    });
    all.add("gcd", "numeric,numeric", "numeric", |_, a| {
        num(gcd(&numeric_at(a, 0), &numeric_at(a, 1))?)
    });
    all.add("lcm", "numeric,numeric", "numeric", |_, a| {
        num(lcm(&numeric_at(a, 0), &numeric_at(a, 1))?)
    });
    all.add("scale", "numeric", "int4", |_, a| {
        Ok(match numeric_at(a, 0) {
            Numeric::Finite(value) => Datum::Int4(parts(&value).1 as i32),
            _ => Datum::Null,
        })
    });
    all.add("min_scale", "numeric", "int4", |_, a| {
        Ok(match numeric_at(a, 0) {
            Numeric::Finite(value) => Datum::Int4(parts(&numeric::trim(value)).1 as i32),
            _ => Datum::Null,
        })
    });
    all.add("trim_scale", "numeric", "numeric", |_, a| {
        each(numeric_at(a, 0), |value| numeric::trim(value.clone()))
    });
    all.add(
        "width_bucket",
        "numeric,numeric,numeric,int4",
        "int4",
        |_, a| {
            width_bucket(
                &numeric_at(a, 0),
                &numeric_at(a, 1),
                &numeric_at(a, 2),
                int_at(a, 3),
            )
        },
    );
}

fn gcd(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(x), Numeric::Finite(y)) = (a, b) else {
        return Ok(Numeric::NaN);
    };
    let scale = parts(x).1.max(parts(y).1);
    let (mut left, mut right) = (numeric::round(x, scale), numeric::round(y, scale));
    while !right.is_zero() {
        let rest = ops::numeric_rem(&Numeric::Finite(left), &Numeric::Finite(right.clone()))?;
        left = right;
        right = rest.finite().cloned().unwrap_or_default();
    }
    Ok(Numeric::Finite(numeric::round(&left.abs(), scale)))
}

fn lcm(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Numeric::Finite(x), Numeric::Finite(y)) = (a, b) else {
        return Ok(Numeric::NaN);
    };
    let scale = parts(x).1.max(parts(y).1);
    if x.is_zero() || y.is_zero() {
        return Ok(Numeric::new(0, scale));
    }
    let quotient = roots::numeric_whole_div(a, &gcd(a, b)?)?;
    Ok(match ops::numeric_mul(&quotient, b)? {
        Numeric::Finite(value) => Numeric::Finite(numeric::round(&value.abs(), scale)),
        other => other,
    })
}

fn width_bucket(
    value: &Numeric,
    low: &Numeric,
    high: &Numeric,
    count: i64,
) -> Result<Datum<'static>> {
    if count <= 0 {
        return Err(count_error("count must be greater than zero"));
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(count_error(
            "operand, lower bound, and upper bound cannot be NaN",
        ));
    }
    let (Numeric::Finite(_), Numeric::Finite(_)) = (low, high) else {
        return Err(count_error("lower and upper bounds must be finite"));
    };
    if low == high {
        return Err(count_error("lower bound cannot equal upper bound"));
    }
    let (below, above) = if low < high {
        (value < low, value >= high)
    } else {
        (value > low, value <= high)
    };
    let bucket = if below {
        0
    } else if above {
        count + 1
    } else {
        let part = ops::numeric_mul(&ops::numeric_sub(value, low)?, &Numeric::from(count))?;
        let place = roots::numeric_whole_div(&part, &ops::numeric_sub(high, low)?)?;
        place.finite().and_then(ToPrimitive::to_i64).unwrap_or(0) + 1
    };
    i32::try_from(bucket)
        .map(Datum::Int4)
        .map_err(|_| out_of_range("integer"))
}
