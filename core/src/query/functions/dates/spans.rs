//! Intervals: added to moments, multiplied, and brought into their usual form.

use super::super::registry::Definitions;
use super::super::row::Call;
use super::{float_at, is_infinite, local, out_of_range, utc};
use crate::error::Result;
use crate::types::kinds::calendar::USECS_PER_DAY;
use crate::types::kinds::interval as kind;
use crate::types::ops::{self, BinaryOp};
use crate::types::{Datum, Interval};

pub(super) fn define(all: &mut Definitions) {
    all.add("justify_days", "interval", "interval", |_, a| {
        interval(a, justify_days)
    });
    all.add("justify_hours", "interval", "interval", |_, a| {
        interval(a, justify_hours)
    });
    all.add("justify_interval", "interval", "interval", |_, a| {
        interval(a, justify_all)
    });
    all.add("isfinite", "date", "bool", |_, a| {
        Ok(Datum::Bool(!matches!(
            a,
            [Datum::Date(i32::MIN | i32::MAX)]
        )))
    });
    all.add("isfinite", "timestamp", "bool", |_, a| {
        Ok(Datum::Bool(!matches!(
            a,
            [Datum::Timestamp(i64::MIN | i64::MAX)]
        )))
    });
    all.add("isfinite", "timestamptz", "bool", |_, a| {
        Ok(Datum::Bool(!matches!(
            a,
            [Datum::Timestamptz(i64::MIN | i64::MAX)]
        )))
    });
    all.add("isfinite", "interval", "bool", |_, _| Ok(Datum::Bool(true)));
    all.add(
        "timestamptz_add_op",
        "timestamptz,interval",
        "timestamptz",
        |c, a| shifted(c, a, 1),
    )
    .stable();
    all.add(
        "timestamptz_sub_op",
        "timestamptz,interval",
        "timestamptz",
        |c, a| shifted(c, a, -1),
    )
    .stable();
    all.add("interval_mul_op", "interval,float8", "interval", |_, a| {
        interval_times(a, float_at(a, 1))
    });
    all.add("interval_div_op", "interval,float8", "interval", |_, a| {
        if float_at(a, 1) == 0.0 {
            return Err(crate::query::errors::division_by_zero());
        }
        interval_times(a, 1.0 / float_at(a, 1))
    });
    all.add("interval_span_op", "interval", "int8", |_, a| {
        match a.first() {
            Some(Datum::Interval(it)) => {
                let days = i64::from(it.months) * 30 + i64::from(it.days);
                Ok(Datum::Int8(
                    days.saturating_mul(USECS_PER_DAY).saturating_add(it.micros),
                ))
            }
            _ => Ok(Datum::Null),
        }
    });
}

/// A moment moved by an interval on the session's clocks.
fn shifted(call: &Call<'_>, args: &[Datum<'_>], sign: i32) -> Result<Datum<'static>> {
    let (Some(Datum::Timestamptz(at)), Some(Datum::Interval(by))) = (args.first(), args.get(1))
    else {
        return Ok(Datum::Null);
    };
    if is_infinite(*at) {
        return Ok(Datum::Timestamptz(*at));
    }
    let calendar = Datum::Interval(Interval { micros: 0, ..*by });
    let op = if sign > 0 {
        BinaryOp::Add
    } else {
        BinaryOp::Sub
    };
    let mut moment = *at;
    if by.months != 0 || by.days != 0 {
        let shown = Datum::Timestamp(local(call, *at)?);
        match ops::apply(op, &shown, &calendar)? {
            Datum::Timestamp(moved) => moment = utc(call, moved)?,
            _ => return Err(out_of_range()),
        }
    }
    let micros = by
        .micros
        .checked_mul(i64::from(sign))
        .ok_or_else(out_of_range)?;
    Ok(Datum::Timestamptz(
        moment.checked_add(micros).ok_or_else(out_of_range)?,
    ))
}

/// PostgreSQL's `interval_mul`: fractions of months become days, of days time.
fn interval_times(args: &[Datum<'_>], factor: f64) -> Result<Datum<'static>> {
    let Some(Datum::Interval(it)) = args.first() else {
        return Ok(Datum::Null);
    };
    times(it, factor).map(Datum::Interval)
}

/// See [`interval_times`].
pub(in crate::query::functions) fn times(it: &Interval, factor: f64) -> Result<Interval> {
    let bad = kind::out_of_range;
    let months = f64::from(it.months) * factor;
    let days = f64::from(it.days) * factor;
    if !months.is_finite()
        || !days.is_finite()
        || months.abs() > f64::from(i32::MAX)
        || days.abs() > f64::from(i32::MAX)
    {
        return Err(bad());
    }
    let round = |value: f64| (value * 1e6).round() / 1e6;
    let month_days = round((months - months.trunc()) * 30.0);
    let mut seconds = round((days - days.trunc() + month_days - month_days.trunc()) * 86_400.0);
    let mut whole_days = days.trunc() + month_days.trunc();
    if seconds.abs() >= 86_400.0 {
        whole_days += (seconds / 86_400.0).trunc();
        seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
    }
    let micros = (it.micros as f64 * factor + seconds * 1e6).round();
    if micros.abs() > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(Interval {
        months: months.trunc() as i32,
        days: whole_days as i32,
        micros: micros as i64,
    })
}

fn interval(
    args: &[Datum<'_>],
    run: impl Fn(Interval) -> Option<Interval>,
) -> Result<Datum<'static>> {
    match args.first() {
        Some(Datum::Interval(value)) => run(*value)
            .map(Datum::Interval)
            .ok_or_else(kind::out_of_range),
        _ => Ok(Datum::Null),
    }
}

/// Thirty days become a month; all fields have one sign then.
fn justify_days(mut it: Interval) -> Option<Interval> {
    it.months = it.months.checked_add(it.days / 30)?;
    it.days %= 30;
    if it.months > 0 && it.days < 0 {
        it.days += 30;
        it.months -= 1;
    } else if it.months < 0 && it.days > 0 {
        it.days -= 30;
        it.months += 1;
    }
    Some(it)
}

/// Twenty-four hours become a day.
/// Gives the time the sign of the days.
fn same_sign(it: &mut Interval) {
    if it.days > 0 && it.micros < 0 {
        it.micros += USECS_PER_DAY;
        it.days -= 1;
    } else if it.days < 0 && it.micros > 0 {
        it.micros -= USECS_PER_DAY;
        it.days += 1;
    }
}

fn justify_hours(mut it: Interval) -> Option<Interval> {
    let days = i32::try_from(it.micros / USECS_PER_DAY).ok()?;
    it.days = it.days.checked_add(days)?;
    it.micros %= USECS_PER_DAY;
    same_sign(&mut it);
    Some(it)
}

fn justify_all(mut it: Interval) -> Option<Interval> {
    // Days of the same sign as the time could overflow: make months of them first.
    if it.days > 0 && it.micros > 0 || it.days < 0 && it.micros < 0 {
        it.months = it.months.checked_add(it.days / 30)?;
        it.days %= 30;
    }
    let days = i32::try_from(it.micros / USECS_PER_DAY).ok()?;
    it.days = it.days.checked_add(days)?;
    it.micros %= USECS_PER_DAY;
    it.months = it.months.checked_add(it.days / 30)?;
    it.days %= 30;
    if it.months > 0 && (it.days < 0 || it.days == 0 && it.micros < 0) {
        it.days += 30;
        it.months -= 1;
    } else if it.months < 0 && (it.days > 0 || it.days == 0 && it.micros > 0) {
        it.days -= 30;
        it.months += 1;
    }
    same_sign(&mut it);
    Some(it)
}
