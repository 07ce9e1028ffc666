//! `EXTRACT` and `date_part`: a numeric with the field's scale, or a float.

use super::super::registry::Definitions;
use super::super::row::Call;
use super::super::strings::str_at;
use super::{HOUR, MINUTE, is_infinite, iso_week, local};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{Civil, EPOCH_JULIAN, USECS_PER_DAY, days_from_civil};
use crate::types::ops::{numeric_add, numeric_div};
use crate::types::{Datum, Interval, Numeric, PgType};

pub(super) fn define(all: &mut Definitions) {
    for (name, ty) in [("extract", "numeric"), ("date_part", "float8")] {
        for source in ["timestamp", "date", "time", "interval"] {
            all.add(name, &format!("text,{source}"), ty, part);
        }
        all.add(name, "text,timestamptz", ty, part).stable();
    }
}

pub(in crate::query::functions) fn field_error(field: &str, ty: PgType) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "unit \"{field}\" not recognized for type {}",
            crate::types::names::format_type(PgType::new(ty.oid))
        ),
    )
}

/// 0A000 for a field that exists, but not of this type.
fn unsupported_field(field: &str, ty: PgType) -> Error {
    Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!(
            "unit \"{field}\" not supported for type {}",
            crate::types::names::format_type(PgType::new(ty.oid))
        ),
    )
}

/// Fields of a clock, which a date has not.
const CLOCK: &[&str] = &[
    "hour",
    "hours",
    "minute",
    "minutes",
    "second",
    "seconds",
    "millisecond",
    "milliseconds",
    "microsecond",
    "microseconds",
    "timezone",
    "timezone_hour",
    "timezone_minute",
];
/// Fields of a calendar, which a time has not.
const CALENDAR: &[&str] = &[
    "year",
    "years",
    "month",
    "months",
    "day",
    "days",
    "week",
    "weeks",
    "quarter",
    "decade",
    "decades",
    "century",
    "centuries",
    "millennium",
    "millennia",
    "dow",
    "isodow",
    "doy",
    "isoyear",
    "julian",
    "timezone",
    "timezone_hour",
    "timezone_minute",
];
/// Fields that grow with time without end: infinite for the infinities. The others are NULL.
const GROWING: &[&str] = &[
    "year",
    "years",
    "decade",
    "decades",
    "century",
    "centuries",
    "millennium",
    "millennia",
    "julian",
    "isoyear",
    "epoch",
];

/// Whether [`date_part`] gives a field of a type, so that a whole column may be computed with it.
pub(in crate::query::functions) fn known_in_columns(field: &str, ty: PgType) -> bool {
    field != "julian"
        && !(ty.oid == PgType::DATE.oid && (CLOCK.contains(&field) || field == "epoch"))
}

fn wrong_field(field: &str, ty: PgType) -> Error {
    if CLOCK.contains(&field) || CALENDAR.contains(&field) {
        unsupported_field(field, ty)
    } else {
        field_error(field, ty)
    }
}

fn part(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let ty = call.types.get(1).copied().unwrap_or(PgType::TIMESTAMP);
    let field = str_at(args, 0).to_lowercase();
    let as_float = call.result.oid == PgType::FLOAT8.oid;
    let moment = match args.get(1) {
        Some(Datum::Date(i32::MAX)) => Some(i64::MAX),
        Some(Datum::Date(i32::MIN)) => Some(i64::MIN),
        Some(Datum::Timestamp(micros) | Datum::Timestamptz(micros)) => Some(*micros),
        _ => None,
    };
    if let Some(moment) = moment.filter(|moment| is_infinite(*moment)) {
        return infinite_part(&field, moment, ty, as_float);
    }
    let wrong = || wrong_field(&field, ty);
    let (value, scale) = match args.get(1) {
        Some(Datum::Interval(value)) => interval_part(&field, value).ok_or_else(wrong)?,
        Some(Datum::Time(value)) => time_part(&field, *value).ok_or_else(wrong)?,
        Some(Datum::Date(days)) => {
            // A date is a whole number of days, of seconds too.
            if !as_float && CLOCK.contains(&field.as_str()) {
                return Err(wrong());
            }
            let micros = i128::from(*days) * i128::from(USECS_PER_DAY);
            if field == "epoch" {
                (micros / 1_000_000, 0)
            } else {
                day_part(&field, i64::from(*days))
                    .or_else(|| time_part(&field, 0))
                    .ok_or_else(wrong)?
            }
        }
        Some(Datum::Timestamp(micros)) => {
            if field == "julian" {
                return julian(*micros, as_float);
            }
            date_part(&field, *micros, None).ok_or_else(wrong)?
        }
        Some(Datum::Timestamptz(micros)) => {
            let shown = local(call, *micros)?;
            if field == "julian" {
                return julian(shown, as_float);
            }
            let offset = call.style().time_zone.offset_at(*micros);
            date_part(&field, shown, Some((offset, *micros))).ok_or_else(wrong)?
        }
        _ => return Ok(Datum::Null),
    };
    if as_float {
        return Ok(Datum::Float8(value as f64 / 10_f64.powi(scale)));
    }
    Ok(Datum::Numeric(Numeric::new(value, i64::from(scale))))
}

fn infinite_part(field: &str, moment: i64, ty: PgType, as_float: bool) -> Result<Datum<'static>> {
    let known = CLOCK.contains(&field) || CALENDAR.contains(&field);
    if !GROWING.contains(&field) {
        return if known {
            Ok(Datum::Null)
        } else {
            Err(wrong_field(field, ty))
        };
    }
    Ok(match (as_float, moment > 0) {
        (true, true) => Datum::Float8(f64::INFINITY),
        (true, false) => Datum::Float8(f64::NEG_INFINITY),
        (false, true) => Datum::Numeric(Numeric::Infinity),
        (false, false) => Datum::Numeric(Numeric::NegativeInfinity),
    })
}

/// Julian days with the time as a fraction.
fn julian(micros: i64, as_float: bool) -> Result<Datum<'static>> {
    let days = micros.div_euclid(USECS_PER_DAY) + i64::from(EPOCH_JULIAN);
    let time = micros.rem_euclid(USECS_PER_DAY);
    if as_float {
        return Ok(Datum::Float8(
            days as f64 + time as f64 / USECS_PER_DAY as f64,
        ));
    }
    let fraction = numeric_div(&Numeric::from(time), &Numeric::from(USECS_PER_DAY))?;
    numeric_add(&Numeric::from(days), &fraction).map(Datum::Numeric)
}

/// A field of a moment as an integer and its scale.
pub(in crate::query::functions) fn date_part(
    field: &str,
    micros: i64,
    zone: Option<(i32, i64)>,
) -> Option<(i128, i32)> {
    match field {
        "epoch" => Some((i128::from(zone.map_or(micros, |(_, utc)| utc)), 6)),
        "timezone" => zone.map(|(offset, _)| (i128::from(offset), 0)),
        "timezone_hour" => zone.map(|(offset, _)| (i128::from(offset / 3600), 0)),
        "timezone_minute" => zone.map(|(offset, _)| (i128::from(offset / 60 % 60), 0)),
        field => day_part(field, micros.div_euclid(USECS_PER_DAY))
            .or_else(|| time_part(field, micros.rem_euclid(USECS_PER_DAY))),
    }
}

/// A field of a day.
fn day_part(field: &str, days: i64) -> Option<(i128, i32)> {
    let (year, month, day) = crate::types::kinds::calendar::civil_from_days(days);
    let civil = Civil {
        year,
        month,
        day,
        ..Civil::default()
    };
    let year = i64::from(year);
    let shown_year = if year > 0 { year } else { year - 1 };
    let weekday = (days + 4).rem_euclid(7);
    let whole = |value: i64| Some((i128::from(value), 0));
    match field {
        "year" | "years" => whole(shown_year),
        "month" | "months" => whole(civil.month.into()),
        "day" | "days" => whole(civil.day.into()),
        "quarter" => whole(i64::from((civil.month - 1) / 3 + 1)),
        "decade" | "decades" => whole(year.div_euclid(10)),
        "century" | "centuries" => whole(if year > 0 {
            (year + 99) / 100
        } else {
            -((99 - (year - 1)) / 100)
        }),
        "millennium" | "millennia" => whole(if year > 0 {
            (year + 999) / 1000
        } else {
            -((999 - (year - 1)) / 1000)
        }),
        "dow" => whole(weekday),
        "isodow" => whole(if weekday == 0 { 7 } else { weekday }),
        "doy" => whole(days - days_from_civil(civil.year, 1, 1) + 1),
        "week" | "weeks" => whole(iso_week(days).1),
        "isoyear" => {
            let year = iso_week(days).0;
            whole(if year > 0 { year } else { year - 1 })
        }
        "julian" => whole(days + i64::from(EPOCH_JULIAN)),
        _ => None,
    }
}

fn time_part(field: &str, micros: i64) -> Option<(i128, i32)> {
    let in_minute = i128::from(micros % MINUTE);
    match field {
        "hour" | "hours" => Some((i128::from(micros / HOUR), 0)),
        "minute" | "minutes" => Some((i128::from(micros / MINUTE % 60), 0)),
        "second" | "seconds" => Some((in_minute, 6)),
        "millisecond" | "milliseconds" => Some((in_minute, 3)),
        "microsecond" | "microseconds" => Some((in_minute, 0)),
        "epoch" => Some((i128::from(micros), 6)),
        _ => None,
    }
}

fn interval_part(field: &str, it: &Interval) -> Option<(i128, i32)> {
    let whole = |value: i64| Some((i128::from(value), 0));
    let months = i64::from(it.months);
    match field {
        "year" | "years" => whole(months / 12),
        "month" | "months" => whole(months % 12),
        "quarter" => whole(months % 12 / 3 + 1),
        "decade" => whole(months / 120),
        "century" => whole(months / 1200),
        "millennium" => whole(months / 12000),
        "day" | "days" => whole(it.days.into()),
        "epoch" => {
            let years = i128::from(months / 12) * 31_557_600_000_000;
            let rest = i128::from(months % 12) * 30 * i128::from(USECS_PER_DAY);
            Some((
                years
                    + rest
                    + i128::from(it.days) * i128::from(USECS_PER_DAY)
                    + i128::from(it.micros),
                6,
            ))
        }
        other => time_part(other, it.micros),
    }
}
