//! `generate_series` as an array: in select lists, and of types other than integers.

use super::arrays::{array, element};
use super::registry::Definitions;
use super::row::Call;
use super::strings::int_at;
use crate::error::{Error, Result, SqlState};
use crate::types::ops;
use crate::types::{Datum, Numeric};

pub(super) fn define(all: &mut Definitions) {
    for ty in ["int4", "int8", "numeric"] {
        let list = format!("_{ty}");
        for args in [format!("{ty},{ty}"), format!("{ty},{ty},{ty}")] {
            all.add("generate_series_op", &args, &list, |c, a| {
                let step = match a.get(2) {
                    Some(step) => step.clone().into_owned(),
                    None => match a.first() {
                        Some(Datum::Int4(_)) => Datum::Int4(1),
                        Some(Datum::Int8(_)) => Datum::Int8(1),
                        _ => Datum::Numeric(1.into()),
                    },
                };
                series(c, a, &step)
            });
        }
    }
    for ty in ["timestamp", "timestamptz"] {
        all.add(
            "generate_series_op",
            &format!("{ty},{ty},interval"),
            &format!("_{ty}"),
            |c, a| {
                let step = a.get(2).cloned().unwrap_or(Datum::Null).into_owned();
                series(c, a, &step)
            },
        )
        .stable();
    }
}

/// The most values of a series that is an array.
const MAX_SERIES: usize = 10_000_000;

/// How many of them are made between two looks at the interrupt.
const SERIES_STEPS: usize = 65_536;

/// A series of numerics has finite ends and steps.
fn refuse_endless(args: &[Datum<'_>], step: &Datum<'_>) -> Result<()> {
    let ends = args.iter().zip(["start value", "stop value"]);
    for (value, what) in ends.chain([(step, "step size")]) {
        let wrong = match value {
            Datum::Numeric(Numeric::NaN) => "NaN",
            Datum::Numeric(Numeric::Infinity | Numeric::NegativeInfinity) => "infinity",
            _ => continue,
        };
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{what} cannot be {wrong}"),
        ));
    }
    Ok(())
}

/// `start, start + step, … end`.
fn series(call: &Call<'_>, args: &[Datum<'_>], step: &Datum<'static>) -> Result<Datum<'static>> {
    let (Some(start), Some(end)) = (args.first(), args.get(1)) else {
        return Ok(Datum::Null);
    };
    let zero = match step {
        Datum::Int4(_) => Datum::Int4(0),
        Datum::Int8(_) => Datum::Int8(0),
        Datum::Interval(_) => Datum::Interval(Default::default()),
        _ => Datum::Numeric(0.into()),
    };
    refuse_endless(args, step)?;
    let direction = ops::compare(step, &zero);
    if direction.is_eq() {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "step size cannot equal zero",
        ));
    }
    let too_many = || {
        Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "a series has too many values",
        )
    };
    // A series of integers tells its length before it takes memory.
    if !matches!(step, Datum::Interval(_) | Datum::Numeric(_)) {
        let span = i128::from(int_at(args, 1)) - i128::from(int_at(args, 0));
        let by = i128::from(int_at(std::slice::from_ref(step), 0));
        if span / by >= MAX_SERIES as i128 {
            return Err(too_many());
        }
    }
    let mut values = Vec::new();
    let mut value = start.clone().into_owned();
    loop {
        let place = ops::compare(&value, end);
        if place.is_gt() && direction.is_gt() || place.is_lt() && direction.is_lt() {
            break;
        }
        if values.len() >= MAX_SERIES {
            return Err(too_many());
        }
        if values.len() % SERIES_STEPS == 0 {
            call.info.interrupt.check()?;
        }
        values.push(value.clone());
        let next = match (&value, step) {
            (Datum::Timestamptz(at), Datum::Interval(by)) => {
                ops::timestamptz_plus(*at, by, &call.style().time_zone).map(Datum::Timestamptz)
            }
            _ => super::dates::add_interval(&value, step),
        };
        match next {
            Ok(next) => value = next,
            // The series ends where its type does.
            Err(_) => break,
        }
    }
    array(element(call.result), values)
}
