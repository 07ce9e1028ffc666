//! Dates, times and intervals made of numbers.

use super::super::registry::Definitions;
use super::super::strings::{int_at, str_at};
use super::{HOUR, MINUTE, float_at, from_zone, out_of_range, utc, zone};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{
    USECS_PER_DAY, date_in_range, days_from_civil, days_in_month, timestamp_in_range,
};
use crate::types::kinds::interval;
use crate::types::{Datum, Interval};

/// Years whose days a date could count at all.
const YEARS: std::ops::RangeInclusive<i64> = -4_714..=5_874_898;

pub(super) fn define(all: &mut Definitions) {
    all.add("make_date", "int4,int4,int4", "date", |_, a| {
        date_of(int_at(a, 0), int_at(a, 1), int_at(a, 2)).map(Datum::Date)
    });
    all.add("make_time", "int4,int4,float8", "time", |_, a| {
        Ok(Datum::Time(clock(
            int_at(a, 0),
            int_at(a, 1),
            float_at(a, 2),
        )?))
    });
    all.add(
        "make_timestamp",
        "int4,int4,int4,int4,int4,float8",
        "timestamp",
        |_, a| Ok(Datum::Timestamp(moment(a)?)),
    );
    all.add(
        "make_timestamptz",
        "int4,int4,int4,int4,int4,float8",
        "timestamptz",
        |c, a| Ok(Datum::Timestamptz(utc(c, moment(a)?)?)),
    )
    .stable();
    all.add(
        "make_timestamptz",
        "int4,int4,int4,int4,int4,float8,text",
        "timestamptz",
        |_, a| {
            let zone = zone(str_at(a, 6))?;
            Ok(Datum::Timestamptz(from_zone(&zone, moment(a)?)?))
        },
    )
    .stable();
    for count in 0..=7 {
        let args = ["int4", "int4", "int4", "int4", "int4", "int4", "float8"];
        let args = args.get(..count).unwrap_or_default().join(",");
        all.add("make_interval", &args, "interval", |_, a| {
            make_interval(a)
                .map(Datum::Interval)
                .ok_or_else(interval::out_of_range)
        });
    }
    all.add("to_timestamp", "float8", "timestamptz", |_, a| {
        to_timestamp(float_at(a, 0)).map(Datum::Timestamptz)
    });
}

/// A date of its fields.
pub(in crate::query::functions) fn date_of(year: i64, month: i64, day: i64) -> Result<i32> {
    let days = civil_days(year, month, day)?;
    i32::try_from(days)
        .ok()
        .filter(|days| date_in_range(i64::from(*days)))
        .ok_or_else(|| {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date out of range: {year}-{month:02}-{day:02}"),
            )
        })
}

fn make_interval(args: &[Datum<'_>]) -> Option<Interval> {
    let months = int_at(args, 0) * 12 + int_at(args, 1);
    let days = int_at(args, 2) * 7 + int_at(args, 3);
    let seconds = (float_at(args, 6) * 1e6).round();
    if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
        return None;
    }
    let micros = int_at(args, 4)
        .checked_mul(HOUR)?
        .checked_add(int_at(args, 5).checked_mul(MINUTE)?)?
        .checked_add(seconds as i64)?;
    Some(Interval {
        months: i32::try_from(months).ok()?,
        days: i32::try_from(days).ok()?,
        micros,
    })
}

/// Seconds since 1970.
fn to_timestamp(seconds: f64) -> Result<i64> {
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    if seconds.is_nan() {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "timestamp cannot be NaN",
        ));
    }
    // Counted from 2000, as PostgreSQL does, for the same rounding.
    const TO_2000: i64 = 946_684_800;
    let micros = ((seconds - TO_2000 as f64) * 1e6).round_ties_even();
    let micros = if micros.abs() < i64::MAX as f64 {
        (micros as i64).checked_add(TO_2000 * 1_000_000)
    } else {
        None
    };
    micros
        .filter(|micros| timestamp_in_range(*micros))
        .ok_or_else(|| {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("timestamp out of range: \"{}\"", short(seconds)),
            )
        })
}

/// The six fields of a timestamp.
fn moment(args: &[Datum<'_>]) -> Result<i64> {
    let days = civil_days(int_at(args, 0), int_at(args, 1), int_at(args, 2))?;
    let time = clock(int_at(args, 3), int_at(args, 4), float_at(args, 5))?;
    days.checked_mul(USECS_PER_DAY)
        .and_then(|micros| micros.checked_add(time))
        .filter(|micros| timestamp_in_range(*micros))
        .ok_or_else(out_of_range)
}

/// Days since 1970; a negative year is one before Christ.
pub(in crate::query::functions) fn civil_days(year: i64, month: i64, day: i64) -> Result<i64> {
    let bad = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    };
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(bad());
    }
    if !YEARS.contains(&year) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date out of range: {year}-{month:02}-{day:02}"),
        ));
    }
    let astronomical = if year < 0 { year + 1 } else { year } as i32;
    let (month, day) = (month as i32, day as i32);
    if day > days_in_month(astronomical, month) {
        return Err(bad());
    }
    Ok(days_from_civil(astronomical, month, day))
}

fn clock(hour: i64, minute: i64, second: f64) -> Result<i64> {
    let micros = (second * 1e6).round();
    let fits = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60.0).contains(&second)
        && hour * HOUR + minute * MINUTE + micros as i64 <= 24 * HOUR;
    if !fits {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("time field value out of range: {hour}:{minute:02}:{second:02}"),
        ));
    }
    Ok(hour * HOUR + minute * MINUTE + micros as i64)
}

/// C's `%g`.
fn short(value: f64) -> String {
    let exponent = value.abs().log10().floor();
    if (-4.0..6.0).contains(&exponent) {
        return format!("{value}");
    }
    let text = format!("{value:.5e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
