//! Moments cut to a unit, sorted into bins, and counted apart in years, months and days.

use super::super::registry::Definitions;
use super::super::strings::str_at;
use super::fields::field_error;
use super::{HOUR, MINUTE, from_zone, in_zone, is_infinite, local, out_of_range, utc, zone};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{
    Civil, USECS_PER_DAY, USECS_PER_SEC, days_from_civil, days_in_month,
};
use crate::types::{Datum, Interval, PgType};

pub(super) fn define(all: &mut Definitions) {
    all.add(
        "date_trunc",
        "text,timestamp",
        "timestamp",
        |_, a| match a.get(1) {
            Some(Datum::Timestamp(value)) => Ok(Datum::Timestamp(truncate(
                str_at(a, 0),
                *value,
                PgType::TIMESTAMP,
            )?)),
            _ => Ok(Datum::Null),
        },
    );
    all.add(
        "date_trunc",
        "text,timestamptz",
        "timestamptz",
        |c, a| match a.get(1) {
            Some(Datum::Timestamptz(value)) => {
                let cut = truncate(str_at(a, 0), local(c, *value)?, PgType::TIMESTAMPTZ)?;
                Ok(Datum::Timestamptz(utc(c, cut)?))
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add(
        "date_trunc",
        "text,timestamptz,text",
        "timestamptz",
        |_, a| match a.get(1) {
            Some(Datum::Timestamptz(value)) => {
                let zone = zone(str_at(a, 2))?;
                let local = in_zone(&zone, *value)?;
                let cut = truncate(str_at(a, 0), local, PgType::TIMESTAMPTZ)?;
                Ok(Datum::Timestamptz(from_zone(&zone, cut)?))
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add("date_trunc", "text,interval", "interval", |_, a| {
        match a.get(1) {
            Some(Datum::Interval(value)) => {
                truncate_interval(str_at(a, 0), *value).map(Datum::Interval)
            }
            _ => Ok(Datum::Null),
        }
    });
    all.add(
        "date_bin",
        "interval,timestamp,timestamp",
        "timestamp",
        |_, a| match a {
            [
                Datum::Interval(step),
                Datum::Timestamp(value),
                Datum::Timestamp(origin),
            ] => Ok(Datum::Timestamp(bin(step, *value, *origin)?)),
            _ => Ok(Datum::Null),
        },
    );
    all.add(
        "date_bin",
        "interval,timestamptz,timestamptz",
        "timestamptz",
        |_, a| match a {
            [
                Datum::Interval(step),
                Datum::Timestamptz(value),
                Datum::Timestamptz(origin),
            ] => Ok(Datum::Timestamptz(bin(step, *value, *origin)?)),
            _ => Ok(Datum::Null),
        },
    );
    all.add("age", "timestamp,timestamp", "interval", |_, a| match a {
        [Datum::Timestamp(end), Datum::Timestamp(start)] => age(*end, *start).map(Datum::Interval),
        _ => Ok(Datum::Null),
    });
    all.add(
        "age",
        "timestamptz,timestamptz",
        "interval",
        |c, a| match a {
            [Datum::Timestamptz(end), Datum::Timestamptz(start)] => {
                age(local(c, *end)?, local(c, *start)?).map(Datum::Interval)
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add("age", "timestamp", "interval", |c, a| match a {
        [Datum::Timestamp(start)] => {
            let today =
                local(c, c.info.transaction_start)?.div_euclid(USECS_PER_DAY) * USECS_PER_DAY;
            age(today, *start).map(Datum::Interval)
        }
        _ => Ok(Datum::Null),
    })
    .stable();
    all.add("age", "timestamptz", "interval", |c, a| match a {
        [Datum::Timestamptz(start)] => {
            let today =
                local(c, c.info.transaction_start)?.div_euclid(USECS_PER_DAY) * USECS_PER_DAY;
            age(today, local(c, *start)?).map(Datum::Interval)
        }
        _ => Ok(Datum::Null),
    })
    .stable();
}

pub(in crate::query::functions) fn truncate(field: &str, micros: i64, ty: PgType) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let civil = Civil::from_micros(micros);
    let days = micros.div_euclid(USECS_PER_DAY);
    let start =
        |year: i32, month: i32| days_from_civil(year, month, 1).saturating_mul(USECS_PER_DAY);
    Ok(match field.to_lowercase().as_str() {
        "microsecond" | "microseconds" => micros,
        "millisecond" | "milliseconds" => micros - micros.rem_euclid(1000),
        "second" | "seconds" => micros - micros.rem_euclid(USECS_PER_SEC),
        "minute" | "minutes" => micros - micros.rem_euclid(MINUTE),
        "hour" | "hours" => micros - micros.rem_euclid(HOUR),
        "day" | "days" => days * USECS_PER_DAY,
        "week" | "weeks" => (days - (days + 3).rem_euclid(7)) * USECS_PER_DAY,
        "month" | "months" => start(civil.year, civil.month),
        "quarter" => start(civil.year, (civil.month - 1) / 3 * 3 + 1),
        "year" | "years" => start(civil.year, 1),
        "decade" => start(civil.year.div_euclid(10) * 10, 1),
        "century" => start((civil.year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" => start((civil.year - 1).div_euclid(1000) * 1000 + 1, 1),
        other => return Err(field_error(other, ty)),
    })
}

fn truncate_interval(field: &str, it: Interval) -> Result<Interval> {
    let cut = |unit: i64| Interval {
        micros: it.micros - it.micros % unit,
        ..it
    };
    let months = |unit: i32| Interval {
        months: it.months - it.months % unit,
        days: 0,
        micros: 0,
    };
    Ok(match field.to_lowercase().as_str() {
        "microsecond" | "microseconds" => it,
        "millisecond" | "milliseconds" => cut(1000),
        "second" | "seconds" => cut(USECS_PER_SEC),
        "minute" | "minutes" => cut(MINUTE),
        "hour" | "hours" => cut(HOUR),
        "day" | "days" => Interval { micros: 0, ..it },
        "month" | "months" => months(1),
        "quarter" => months(3),
        "year" | "years" => months(12),
        "decade" => months(120),
        "century" => months(1200),
        "millennium" => months(12000),
        other => return Err(field_error(other, PgType::INTERVAL)),
    })
}

fn bin(step: &Interval, value: i64, origin: i64) -> Result<i64> {
    if is_infinite(value) {
        return Ok(value);
    }
    if is_infinite(origin) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "origin out of range",
        ));
    }
    let step_micros = i64::from(step.days)
        .checked_mul(USECS_PER_DAY)
        .and_then(|days| days.checked_add(step.micros))
        .ok_or_else(crate::types::kinds::interval::out_of_range)?;
    if step.months != 0 {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    if step_micros <= 0 {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "stride must be greater than zero",
        ));
    }
    let past = value.checked_sub(origin).ok_or_else(out_of_range)?;
    past.div_euclid(step_micros)
        .checked_mul(step_micros)
        .and_then(|past| past.checked_add(origin))
        .ok_or_else(out_of_range)
}

/// The calendar's years, months and days between two local times.
fn age(end: i64, start: i64) -> Result<Interval> {
    if is_infinite(end) || is_infinite(start) {
        return Err(out_of_range());
    }
    let negative = end < start;
    let (late, early) = if negative { (start, end) } else { (end, start) };
    let (l, e) = (Civil::from_micros(late), Civil::from_micros(early));
    let mut micros = l.time_of_day() - e.time_of_day();
    let mut days = l.day - e.day;
    let mut months = (l.year - e.year) * 12 + l.month - e.month;
    if micros < 0 {
        micros += USECS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // Borrowed days are those of the earlier date's month.
        days += days_in_month(e.year, e.month);
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    Ok(Interval {
        months: months * sign,
        days: days * sign,
        micros: micros * i64::from(sign),
    })
}
