//! Dates and times: one file for each thing to do with them.

mod construct;
mod fields;
mod spans;
mod truncate;

use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{
    USECS_PER_DAY, USECS_PER_SEC, civil_from_days, days_from_civil,
};
use crate::types::ops::{self, BinaryOp};
use crate::types::text::{self, Zone};
use crate::types::{Datum, PgType};

pub(in crate::query::functions) use construct::{civil_days, date_of};
pub(in crate::query::functions) use fields::{date_part, field_error, known_in_columns};
pub(in crate::query::functions) use spans::times;
pub(in crate::query::functions) use truncate::truncate;

const HOUR: i64 = 3_600 * USECS_PER_SEC;
const MINUTE: i64 = 60 * USECS_PER_SEC;

pub(super) fn zone(name: &str) -> Result<Zone> {
    Zone::parse(name).map_err(|_| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("time zone \"{name}\" not recognized"),
        )
    })
}

fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// Whether a moment is one of the infinities.
fn is_infinite(micros: i64) -> bool {
    matches!(micros, i64::MIN | i64::MAX)
}

fn float_at(args: &[Datum<'_>], at: usize) -> f64 {
    match args.get(at) {
        Some(Datum::Float8(value)) => *value,
        _ => 0.0,
    }
}

pub(super) fn local(call: &Call<'_>, utc: i64) -> Result<i64> {
    in_zone(&call.style().time_zone, utc)
}

pub(super) fn utc(call: &Call<'_>, local: i64) -> Result<i64> {
    from_zone(&call.style().time_zone, local)
}

/// The clock of a zone at a moment; the infinities stay.
pub(super) fn in_zone(zone: &Zone, utc: i64) -> Result<i64> {
    if is_infinite(utc) {
        return Ok(utc);
    }
    zone.to_local(utc).ok_or_else(out_of_range)
}

/// A moment's clock in a zone that is so far from UTC (`sign` 1), or the moment of its clock (-1).
fn shifted(args: &[Datum<'_>], value: i64, sign: i64) -> Result<i64> {
    let Some(Datum::Interval(span)) = args.first() else {
        return Err(Error::internal("no interval"));
    };
    if span.months != 0 || span.days != 0 {
        let shown = text::to_string(
            &Datum::Interval(*span),
            PgType::INTERVAL,
            &text::TextStyle::default(),
        );
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    if is_infinite(value) {
        return Ok(value);
    }
    let by = span.micros.saturating_mul(sign);
    value.checked_add(by).ok_or_else(out_of_range)
}

/// The moment of a zone's clock.
pub(super) fn from_zone(zone: &Zone, local: i64) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    zone.to_utc(local).ok_or_else(out_of_range)
}

fn rounded(micros: i64, precision: i64) -> i64 {
    crate::types::kinds::calendar::round_micros(micros, precision.clamp(0, 6) as i32)
}

pub(super) fn define(all: &mut Definitions) {
    for name in ["now", "transaction_timestamp", "current_timestamp"] {
        all.add(name, "", "timestamptz", |c, _| {
            Ok(Datum::Timestamptz(c.info.transaction_start))
        })
        .stable();
    }
    all.add("current_timestamp", "int4", "timestamptz", |c, a| {
        Ok(Datum::Timestamptz(rounded(
            c.info.transaction_start,
            int_at(a, 0),
        )))
    })
    .stable();
    all.add("statement_timestamp", "", "timestamptz", |c, _| {
        Ok(Datum::Timestamptz(c.info.statement_start))
    })
    .stable();
    all.add("clock_timestamp", "", "timestamptz", |c, _| {
        Ok(Datum::Timestamptz(c.info.access.clock()))
    })
    .volatile();
    all.add("timeofday", "", "text", |c, _| {
        let now = Datum::Timestamptz(c.info.access.clock());
        Ok(Datum::text(text::to_string(
            &now,
            PgType::TIMESTAMPTZ,
            c.style(),
        )))
    })
    .volatile();
    all.add("current_date", "", "date", |c, _| {
        Ok(Datum::Date(
            local(c, c.info.transaction_start)?.div_euclid(USECS_PER_DAY) as i32,
        ))
    })
    .stable();
    for name in ["current_time", "localtime"] {
        all.add(name, "", "time", |c, _| {
            Ok(Datum::Time(
                local(c, c.info.transaction_start)?.rem_euclid(USECS_PER_DAY),
            ))
        })
        .stable();
    }
    all.add("localtimestamp", "", "timestamp", |c, _| {
        Ok(Datum::Timestamp(local(c, c.info.transaction_start)?))
    })
    .stable();
    all.add("localtimestamp", "int4", "timestamp", |c, a| {
        Ok(Datum::Timestamp(rounded(
            local(c, c.info.transaction_start)?,
            int_at(a, 0),
        )))
    })
    .stable();

    all.add(
        "timezone",
        "text,timestamptz",
        "timestamp",
        |_, a| match a.get(1) {
            Some(Datum::Timestamptz(value)) => {
                Ok(Datum::Timestamp(in_zone(&zone(str_at(a, 0))?, *value)?))
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add(
        "timezone",
        "text,timestamp",
        "timestamptz",
        |_, a| match a.get(1) {
            Some(Datum::Timestamp(value)) => {
                Ok(Datum::Timestamptz(from_zone(&zone(str_at(a, 0))?, *value)?))
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add(
        "timezone",
        "interval,timestamptz",
        "timestamp",
        |_, a| match a.get(1) {
            Some(Datum::Timestamptz(value)) => shifted(a, *value, 1).map(Datum::Timestamp),
            _ => Ok(Datum::Null),
        },
    );
    all.add(
        "timezone",
        "interval,timestamp",
        "timestamptz",
        |_, a| match a.get(1) {
            Some(Datum::Timestamp(value)) => shifted(a, *value, -1).map(Datum::Timestamptz),
            _ => Ok(Datum::Null),
        },
    );
    for ty in ["timestamp", "timestamptz", "date", "time"] {
        all.add(
            "overlaps",
            &format!("{ty},{ty},{ty},{ty}"),
            "bool",
            |_, a| match a {
                [s1, e1, s2, e2] => Ok(Datum::Bool(
                    ops::compare(s1, e2).is_lt() && ops::compare(s2, e1).is_lt(),
                )),
                _ => Ok(Datum::Null),
            },
        );
    }
    fields::define(all);
    truncate::define(all);
    construct::define(all);
    spans::define(all);
}

/// ISO year and week of a day.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let weekday = (days + 3).rem_euclid(7);
    let thursday = days - weekday + 3;
    let (year, _, _) = civil_from_days(thursday);
    let first = days_from_civil(year, 1, 1);
    (i64::from(year), (thursday - first) / 7 + 1)
}

/// The next value of a series.
pub(super) fn add_interval(value: &Datum<'_>, step: &Datum<'_>) -> Result<Datum<'static>> {
    ops::apply(BinaryOp::Add, value, step)
}
