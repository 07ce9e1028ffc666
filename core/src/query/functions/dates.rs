//! Dates and times.

use bigdecimal::BigDecimal;

use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{
    Civil, USECS_PER_DAY, USECS_PER_SEC, civil_from_days, days_from_civil, days_in_month,
};
use crate::types::ops::{self, BinaryOp};
use crate::types::text::Zone;
use crate::types::{Datum, Interval, PgType};

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

pub(super) fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

pub(super) fn field_error(field: &str, ty: PgType) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "unit \"{field}\" not recognized for type {}",
            crate::types::names::format_type(PgType::new(ty.oid))
        ),
    )
}

fn float_at(args: &[Datum<'_>], at: usize) -> f64 {
    match args.get(at) {
        Some(Datum::Float8(value)) => *value,
        _ => 0.0,
    }
}

pub(super) fn local(call: &Call<'_>, utc: i64) -> Result<i64> {
    call.style()
        .time_zone
        .to_local(utc)
        .ok_or_else(out_of_range)
}

pub(super) fn utc(call: &Call<'_>, local: i64) -> Result<i64> {
    call.style()
        .time_zone
        .to_utc(local)
        .ok_or_else(out_of_range)
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
        Ok(Datum::text(crate::types::text::to_string(
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

    for (name, ty) in [("extract", "numeric"), ("date_part", "float8")] {
        for source in ["timestamp", "date", "time", "interval"] {
            all.add(name, &format!("text,{source}"), ty, part);
        }
        all.add(name, "text,timestamptz", ty, part).stable();
    }
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
                let local = zone.to_local(*value).ok_or_else(out_of_range)?;
                let cut = truncate(str_at(a, 0), local, PgType::TIMESTAMPTZ)?;
                Ok(Datum::Timestamptz(
                    zone.to_utc(cut).ok_or_else(out_of_range)?,
                ))
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
        [Datum::Timestamp(end), Datum::Timestamp(start)] => Ok(Datum::Interval(age(*end, *start))),
        _ => Ok(Datum::Null),
    });
    all.add(
        "age",
        "timestamptz,timestamptz",
        "interval",
        |c, a| match a {
            [Datum::Timestamptz(end), Datum::Timestamptz(start)] => {
                Ok(Datum::Interval(age(local(c, *end)?, local(c, *start)?)))
            }
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add("age", "timestamp", "interval", |c, a| match a {
        [Datum::Timestamp(start)] => {
            let today =
                local(c, c.info.transaction_start)?.div_euclid(USECS_PER_DAY) * USECS_PER_DAY;
            Ok(Datum::Interval(age(today, *start)))
        }
        _ => Ok(Datum::Null),
    })
    .stable();
    all.add("age", "timestamptz", "interval", |c, a| match a {
        [Datum::Timestamptz(start)] => {
            let today =
                local(c, c.info.transaction_start)?.div_euclid(USECS_PER_DAY) * USECS_PER_DAY;
            Ok(Datum::Interval(age(today, local(c, *start)?)))
        }
        _ => Ok(Datum::Null),
    })
    .stable();
    all.add(
        "timezone",
        "text,timestamptz",
        "timestamp",
        |_, a| match a.get(1) {
            Some(Datum::Timestamptz(value)) => Ok(Datum::Timestamp(
                zone(str_at(a, 0))?
                    .to_local(*value)
                    .ok_or_else(out_of_range)?,
            )),
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add(
        "timezone",
        "text,timestamp",
        "timestamptz",
        |_, a| match a.get(1) {
            Some(Datum::Timestamp(value)) => Ok(Datum::Timestamptz(
                zone(str_at(a, 0))?
                    .to_utc(*value)
                    .ok_or_else(out_of_range)?,
            )),
            _ => Ok(Datum::Null),
        },
    )
    .stable();
    all.add("make_date", "int4,int4,int4", "date", |_, a| {
        Ok(Datum::Date(
            civil_days(int_at(a, 0), int_at(a, 1), int_at(a, 2))? as i32,
        ))
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
        |_, a| {
            let days = civil_days(int_at(a, 0), int_at(a, 1), int_at(a, 2))?;
            let time = clock(int_at(a, 3), int_at(a, 4), float_at(a, 5))?;
            Ok(Datum::Timestamp(moment(days, time)?))
        },
    );
    all.add(
        "make_timestamptz",
        "int4,int4,int4,int4,int4,float8",
        "timestamptz",
        |c, a| {
            let days = civil_days(int_at(a, 0), int_at(a, 1), int_at(a, 2))?;
            let time = clock(int_at(a, 3), int_at(a, 4), float_at(a, 5))?;
            let at = moment(days, time)?;
            Ok(Datum::Timestamptz(utc(c, at)?))
        },
    )
    .stable();
    for count in 0..=7 {
        let args = ["int4", "int4", "int4", "int4", "int4", "int4", "float8"];
        let args = args.get(..count).unwrap_or_default().join(",");
        all.add("make_interval", &args, "interval", |_, a| {
            let months = int_at(a, 0) * 12 + int_at(a, 1);
            let days = int_at(a, 2) * 7 + int_at(a, 3);
            let micros =
                int_at(a, 4) * HOUR + int_at(a, 5) * MINUTE + (float_at(a, 6) * 1e6).round() as i64;
            Ok(Datum::Interval(Interval {
                months: months as i32,
                days: days as i32,
                micros,
            }))
        });
    }
    all.add("justify_days", "interval", "interval", |_, a| {
        interval(a, |it| justify(it, true, false))
    });
    all.add("justify_hours", "interval", "interval", |_, a| {
        interval(a, |it| justify(it, false, true))
    });
    all.add("justify_interval", "interval", "interval", |_, a| {
        interval(a, |it| justify(it, true, true))
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
    all.add("to_timestamp", "float8", "timestamptz", |_, a| {
        Ok(Datum::Timestamptz((float_at(a, 0) * 1e6).round() as i64))
    });
    all.add("to_char", "timestamp,text", "text", |_, a| {
        match a.first() {
            Some(Datum::Timestamp(value)) => Ok(Datum::text(to_char(*value, str_at(a, 1), None))),
            _ => Ok(Datum::Null),
        }
    });
    all.add("to_char", "timestamptz,text", "text", |c, a| {
        match a.first() {
            Some(Datum::Timestamptz(value)) => {
                let zone = c.style().time_zone;
                Ok(Datum::text(to_char(
                    local(c, *value)?,
                    str_at(a, 1),
                    Some((zone, *value)),
                )))
            }
            _ => Ok(Datum::Null),
        }
    })
    .stable();
    all.add("to_char", "interval,text", "text", |_, a| match a.first() {
        Some(Datum::Interval(value)) => Ok(Datum::text(to_char(value.micros, str_at(a, 1), None))),
        _ => Ok(Datum::Null),
    });
    for ty in ["int4", "int8", "numeric", "float8"] {
        all.add("to_char", &format!("{ty},text"), "text", |c, a| {
            let Some(value) = a.first() else {
                return Ok(Datum::Null);
            };
            let ty = c.types.first().copied().unwrap_or(PgType::NUMERIC);
            let plain = crate::types::text::to_string(value, ty, c.style());
            Ok(Datum::text(number_to_char(&plain, str_at(a, 1))))
        });
    }
    all.add("to_date", "text,text", "date", |_, a| {
        Ok(Datum::Date(
            from_format(str_at(a, 0), str_at(a, 1))?.div_euclid(USECS_PER_DAY) as i32,
        ))
    });
    all.add("to_timestamp", "text,text", "timestamptz", |c, a| {
        Ok(Datum::Timestamptz(utc(
            c,
            from_format(str_at(a, 0), str_at(a, 1))?,
        )?))
    })
    .stable();
    all.add("to_number", "text,text", "numeric", |c, a| {
        let digits: String = str_at(a, 0)
            .chars()
            .filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
            .collect();
        crate::types::text::parse(PgType::NUMERIC, &digits, c.style())
    });
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
    if matches!(*at, i64::MIN | i64::MAX) {
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
pub(super) fn times(it: &Interval, factor: f64) -> Result<Interval> {
    let bad = || Error::new(SqlState::INTERVAL_FIELD_OVERFLOW, "interval out of range");
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

fn interval(args: &[Datum<'_>], run: impl Fn(Interval) -> Interval) -> Result<Datum<'static>> {
    match args.first() {
        Some(Datum::Interval(value)) => Ok(Datum::Interval(run(*value))),
        _ => Ok(Datum::Null),
    }
}

fn justify(mut it: Interval, days: bool, hours: bool) -> Interval {
    if hours {
        it.days += (it.micros / USECS_PER_DAY) as i32;
        it.micros %= USECS_PER_DAY;
    }
    if days {
        it.months += it.days / 30;
        it.days %= 30;
    }
    if days && it.months > 0 && (it.days < 0 || it.days == 0 && it.micros < 0) {
        it.days += 30;
        it.months -= 1;
    }
    if hours && it.days > 0 && it.micros < 0 {
        it.micros += USECS_PER_DAY;
        it.days -= 1;
    } else if hours && it.days < 0 && it.micros > 0 {
        it.micros -= USECS_PER_DAY;
        it.days += 1;
    }
    it
}

pub(super) fn civil_days(year: i64, month: i64, day: i64) -> Result<i64> {
    let bad = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    };
    let (Ok(year), Ok(month), Ok(day)) = (
        i32::try_from(year),
        i32::try_from(month),
        i32::try_from(day),
    ) else {
        return Err(bad());
    };
    let year = if year < 0 { year + 1 } else { year };
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(bad());
    }
    Ok(days_from_civil(year, month, day))
}

/// A time of a day as µs since 1970.
fn moment(days: i64, time: i64) -> Result<i64> {
    days.checked_mul(USECS_PER_DAY)
        .and_then(|at| at.checked_add(time))
        .ok_or_else(out_of_range)
}

fn clock(hour: i64, minute: i64, second: f64) -> Result<i64> {
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("time field value out of range: {hour}:{minute:02}:{second:02}"),
        ));
    }
    Ok(hour * HOUR + minute * MINUTE + (second * 1e6).round() as i64)
}

/// EXTRACT and date_part: a numeric with a fixed scale, or a float.
fn part(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let ty = call.types.get(1).copied().unwrap_or(PgType::TIMESTAMP);
    let field = str_at(args, 0).to_lowercase();
    if matches!(
        args.get(1),
        Some(
            Datum::Date(i32::MIN | i32::MAX)
                | Datum::Timestamp(i64::MIN | i64::MAX)
                | Datum::Timestamptz(i64::MIN | i64::MAX)
        )
    ) {
        return Ok(Datum::Null);
    }
    let (value, scale) = match args.get(1) {
        Some(Datum::Interval(value)) => {
            interval_part(&field, value).ok_or_else(|| field_error(&field, ty))?
        }
        Some(Datum::Time(value)) => {
            time_part(&field, *value).ok_or_else(|| field_error(&field, ty))?
        }
        Some(Datum::Date(days)) => {
            let micros = i64::from(*days).saturating_mul(USECS_PER_DAY);
            date_part(&field, micros, None).ok_or_else(|| field_error(&field, ty))?
        }
        Some(Datum::Timestamp(micros)) => {
            date_part(&field, *micros, None).ok_or_else(|| field_error(&field, ty))?
        }
        Some(Datum::Timestamptz(micros)) => {
            let shown = local(call, *micros)?;
            let offset = call.style().time_zone.offset_at(*micros);
            date_part(&field, shown, Some((offset, *micros)))
                .ok_or_else(|| field_error(&field, ty))?
        }
        _ => return Ok(Datum::Null),
    };
    if call.result.oid == PgType::FLOAT8.oid {
        return Ok(Datum::Float8(value as f64 / 10_f64.powi(scale)));
    }
    Ok(Datum::Numeric(BigDecimal::new(
        value.into(),
        i64::from(scale),
    )))
}

/// A field as an integer and its scale.
pub(super) fn date_part(field: &str, micros: i64, zone: Option<(i32, i64)>) -> Option<(i128, i32)> {
    let civil = Civil::from_micros(micros);
    let days = micros.div_euclid(USECS_PER_DAY);
    let year = i64::from(civil.year);
    let shown_year = if year > 0 { year } else { year - 1 };
    let weekday = (days + 4).rem_euclid(7);
    let whole = |value: i64| Some((i128::from(value), 0));
    match field {
        "year" | "years" => whole(shown_year),
        "month" | "months" => whole(civil.month.into()),
        "day" | "days" => whole(civil.day.into()),
        "quarter" => whole(i64::from((civil.month - 1) / 3 + 1)),
        "decade" => whole(year.div_euclid(10)),
        "century" => whole(if year > 0 {
            (year + 99) / 100
        } else {
            -((100 - year) / 100)
        }),
        "millennium" | "millenium" => whole(if year > 0 {
            (year + 999) / 1000
        } else {
            -((1000 - year) / 1000)
        }),
        "dow" => whole(weekday),
        "isodow" => whole(if weekday == 0 { 7 } else { weekday }),
        "doy" => whole(days - days_from_civil(civil.year, 1, 1) + 1),
        "week" => whole(iso_week(days).1),
        "isoyear" => whole(iso_week(days).0),
        "julian" => Some((i128::from(days) + 2_440_588, 0)),
        "epoch" => Some((i128::from(zone.map_or(micros, |(_, utc)| utc)), 6)),
        "timezone" => zone.map(|(offset, _)| (i128::from(offset), 0)),
        "timezone_hour" => zone.map(|(offset, _)| (i128::from(offset / 3600), 0)),
        "timezone_minute" => zone.map(|(offset, _)| (i128::from(offset / 60 % 60), 0)),
        other => time_part(other, micros.rem_euclid(USECS_PER_DAY)),
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

/// ISO year and week of a day.
fn iso_week(days: i64) -> (i64, i64) {
    let weekday = (days + 3).rem_euclid(7);
    let thursday = days - weekday + 3;
    let (year, _, _) = civil_from_days(thursday);
    let first = days_from_civil(year, 1, 1);
    (i64::from(year), (thursday - first) / 7 + 1)
}

pub(super) fn truncate(field: &str, micros: i64, ty: PgType) -> Result<i64> {
    let civil = Civil::from_micros(micros);
    let days = micros.div_euclid(USECS_PER_DAY);
    let start = |year: i32, month: i32| days_from_civil(year, month, 1) * USECS_PER_DAY;
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
    let step_micros = moment(i64::from(step.days), step.micros)?;
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
        .and_then(|past| origin.checked_add(past))
        .ok_or_else(out_of_range)
}

/// The calendar's years, months and days between two local times.
fn age(end: i64, start: i64) -> Interval {
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
    Interval {
        months: months * sign,
        days: days * sign,
        micros: micros * i64::from(sign),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Template patterns, longest first; upper case, as they are compared.
const PATTERNS: &[&str] = &[
    "HH24", "HH12", "YYYY", "Y,YYY", "MONTH", "IYYY", "SSSSS", "SSSS", "A.D.", "B.C.", "A.M.",
    "P.M.", "DDD", "DAY", "MON", "YYY", "IYY", "TZH", "TZM", "AD", "BC", "AM", "PM", "CC", "DD",
    "DY", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH", "ID", "IW", "IY", "MI", "MM", "MS", "OF",
    "RM", "SS", "TZ", "US", "WW", "YY", "D", "I", "J", "Q", "W", "Y",
];

fn to_char(micros: i64, template: &str, zone: Option<(Zone, i64)>) -> String {
    let civil = Civil::from_micros(micros);
    let days = micros.div_euclid(USECS_PER_DAY);
    let weekday = (days + 4).rem_euclid(7) as usize;
    let doy = days - days_from_civil(civil.year, 1, 1) + 1;
    let (iso_year, week) = iso_week(days);
    let year = if civil.year > 0 {
        civil.year
    } else {
        1 - civil.year
    };
    let hour12 = if civil.hour % 12 == 0 {
        12
    } else {
        civil.hour % 12
    };
    let month = (civil.month - 1).max(0) as usize;
    let mut out = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(quoted.get(..end).unwrap_or_default());
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        let mut fill = true;
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
        }
        let upper = rest.get(..rest.len().min(8)).map(str::to_uppercase);
        let pattern = upper
            .as_deref()
            .and_then(|upper| PATTERNS.iter().find(|pattern| upper.starts_with(**pattern)));
        let Some(pattern) = pattern else {
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                out.push(c);
            }
            rest = chars.as_str();
            continue;
        };
        let written = rest.get(..pattern.len()).unwrap_or_default();
        rest = rest.get(pattern.len()..).unwrap_or_default();
        let number = |value: i64, width: usize| {
            if fill {
                format!("{value:0width$}")
            } else {
                value.to_string()
            }
        };
        let cased = |name: &str, width: usize| {
            let name = if written.chars().all(char::is_uppercase) {
                name.to_uppercase()
            } else if written.chars().next().is_some_and(char::is_uppercase) {
                name.to_owned()
            } else {
                name.to_lowercase()
            };
            if fill {
                format!("{name:<width$}")
            } else {
                name
            }
        };
        let half = |am: &str, pm: &str| {
            let shown = if civil.hour < 12 { am } else { pm };
            if written.chars().next().is_some_and(char::is_uppercase) {
                shown.to_uppercase()
            } else {
                shown.to_lowercase()
            }
        };
        let offset = zone.map_or(0, |(zone, utc)| zone.offset_at(utc));
        let text = match *pattern {
            "HH24" => number(civil.hour.into(), 2),
            "HH12" | "HH" => number(hour12.into(), 2),
            "MI" => number(civil.minute.into(), 2),
            "SS" => number(civil.second.into(), 2),
            "MS" => number(i64::from(civil.micros / 1000), 3),
            "US" => number(civil.micros.into(), 6),
            "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
                let digits = usize::from(pattern.as_bytes().last().copied().unwrap_or(b'6') - b'0');
                format!("{:06}", civil.micros)
                    .get(..digits)
                    .unwrap_or_default()
                    .to_owned()
            }
            "SSSS" | "SSSSS" => number(civil.time_of_day() / USECS_PER_SEC, 1),
            "YYYY" => number(year.into(), 4),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "YYY" => number(i64::from(year % 1000), 3),
            "YY" => number(i64::from(year % 100), 2),
            "Y" => number(i64::from(year % 10), 1),
            "IYYY" => number(iso_year, 4),
            "IYY" => number(iso_year % 1000, 3),
            "IY" => number(iso_year % 100, 2),
            "I" => number(iso_year % 10, 1),
            "MM" => number(civil.month.into(), 2),
            "MONTH" => cased(MONTHS.get(month).copied().unwrap_or_default(), 9),
            "MON" => cased(
                MONTHS
                    .get(month)
                    .and_then(|name| name.get(..3))
                    .unwrap_or_default(),
                3,
            ),
            "DAY" => cased(DAYS.get(weekday).copied().unwrap_or_default(), 9),
            "DY" => cased(
                DAYS.get(weekday)
                    .and_then(|name| name.get(..3))
                    .unwrap_or_default(),
                3,
            ),
            "DDD" => number(doy, 3),
            "DD" => number(civil.day.into(), 2),
            "D" => number(weekday as i64 + 1, 1),
            "ID" => number(if weekday == 0 { 7 } else { weekday as i64 }, 1),
            "IW" => number(week, 2),
            "WW" => number((doy - 1) / 7 + 1, 2),
            "W" => number(i64::from((civil.day - 1) / 7 + 1), 1),
            "Q" => number(i64::from((civil.month - 1) / 3 + 1), 1),
            "CC" => number(i64::from((year + 99) / 100), 2),
            "J" => number(days + 2_440_588, 1),
            "AM" | "PM" => half("am", "pm"),
            "A.M." | "P.M." => half("a.m.", "p.m."),
            "AD" | "BC" => {
                if civil.year > 0 {
                    "AD".to_owned()
                } else {
                    "BC".to_owned()
                }
            }
            "A.D." | "B.C." => {
                if civil.year > 0 {
                    "A.D.".to_owned()
                } else {
                    "B.C.".to_owned()
                }
            }
            "RM" => {
                let roman = [
                    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
                ];
                cased(roman.get(month).copied().unwrap_or_default(), 4)
            }
            "TZ" => zone
                .map(|(zone, _)| {
                    let name = zone.name();
                    if written == "tz" {
                        name.to_lowercase()
                    } else {
                        name
                    }
                })
                .unwrap_or_default(),
            "TZH" => format!(
                "{}{:02}",
                if offset < 0 { '-' } else { '+' },
                offset.abs() / 3600
            ),
            "TZM" => format!("{:02}", offset.abs() / 60 % 60),
            "OF" => {
                let minutes = offset.abs() / 60 % 60;
                let hours = format!(
                    "{}{:02}",
                    if offset < 0 { '-' } else { '+' },
                    offset.abs() / 3600
                );
                if minutes == 0 {
                    hours
                } else {
                    format!("{hours}:{minutes:02}")
                }
            }
            _ => String::new(),
        };
        out.push_str(&text);
        // Ordinal suffixes.
        for suffix in ["TH", "th"] {
            if let Some(after) = rest.strip_prefix(suffix) {
                if text.chars().last().is_some_and(|c| c.is_ascii_digit()) {
                    let number: i64 = text.parse().unwrap_or(0);
                    let ending = match (number % 100, number % 10) {
                        (11..=13, _) => "th",
                        (_, 1) => "st",
                        (_, 2) => "nd",
                        (_, 3) => "rd",
                        _ => "th",
                    };
                    out.push_str(&if suffix == "TH" {
                        ending.to_uppercase()
                    } else {
                        ending.to_owned()
                    });
                    rest = after;
                }
                break;
            }
        }
    }
    out
}

/// Reads a timestamp by a template: the numeric patterns and names of months.
fn from_format(text: &str, template: &str) -> Result<i64> {
    let (mut year, mut month, mut day) = (1_i64, 1_i64, 1_i64);
    let (mut hour, mut minute, mut second, mut micros) = (0_i64, 0_i64, 0_i64, 0_i64);
    let mut afternoon = None;
    let mut doy = None;
    let mut input = text.trim_start();
    let mut rest = template;
    let bad = |pattern: &str, input: &str| {
        Error::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!(
                "invalid value \"{}\" for \"{pattern}\"",
                input.chars().take(pattern.len()).collect::<String>()
            ),
        )
    };
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            rest = after;
        }
        let upper = rest.get(..rest.len().min(8)).map(str::to_uppercase);
        let pattern = upper
            .as_deref()
            .and_then(|upper| PATTERNS.iter().find(|pattern| upper.starts_with(**pattern)));
        let Some(pattern) = pattern else {
            let mut chars = rest.chars();
            let expected = chars.next();
            rest = chars.as_str();
            let mut given = input.chars();
            if given
                .next()
                .is_some_and(|c| !c.is_alphanumeric() || Some(c) == expected)
            {
                input = given.as_str();
            }
            continue;
        };
        rest = rest.get(pattern.len()..).unwrap_or_default();
        input = input.trim_start();
        if matches!(*pattern, "MONTH" | "MON") {
            let found = MONTHS.iter().position(|name| {
                let name = if *pattern == "MON" {
                    name.get(..3).unwrap_or(name)
                } else {
                    name
                };
                input
                    .get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            });
            let Some(found) = found else {
                return Err(bad(pattern, input));
            };
            month = found as i64 + 1;
            let length = if *pattern == "MON" {
                3
            } else {
                MONTHS.get(found).map_or(3, |name| name.len())
            };
            input = input.get(length..).unwrap_or_default();
            continue;
        }
        if matches!(*pattern, "DAY" | "DY" | "AM" | "PM" | "A.M." | "P.M.") {
            let length = input
                .find(|c: char| !c.is_alphabetic() && c != '.')
                .unwrap_or(input.len());
            if matches!(*pattern, "AM" | "PM" | "A.M." | "P.M.") {
                afternoon = Some(input.to_lowercase().starts_with('p'));
            }
            input = input.get(length..).unwrap_or_default();
            continue;
        }
        let width = match *pattern {
            "YYYY" | "IYYY" | "HH24" | "HH12"
                if pattern.starts_with('Y') || pattern.starts_with('I') =>
            {
                4
            }
            "HH24" | "HH12" => 2,
            "US" => 6,
            "MS" => 3,
            "DDD" => 3,
            other => other.len(),
        };
        let length = input
            .chars()
            .take(width)
            .take_while(char::is_ascii_digit)
            .count();
        let digits = input.get(..length).unwrap_or_default();
        let value: i64 = digits.parse().map_err(|_| bad(pattern, input))?;
        input = input.get(length..).unwrap_or_default();
        match *pattern {
            "YYYY" | "IYYY" => year = value,
            "YY" => {
                year = if value < 70 {
                    2000 + value
                } else {
                    1900 + value
                }
            }
            "MM" => month = value,
            "DD" => day = value,
            "DDD" => doy = Some(value),
            "HH24" | "HH12" | "HH" => hour = value,
            "MI" => minute = value,
            "SS" => second = value,
            "MS" => micros = value * 1000 * 10_i64.pow(3_u32.saturating_sub(length as u32)),
            "US" => micros = value * 10_i64.pow(6_u32.saturating_sub(length as u32)),
            _ => {}
        }
    }
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let days = match doy {
        Some(doy) => civil_days(year, 1, 1)? + doy - 1,
        None => civil_days(year, month, day)?,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ));
    }
    let time = hour * HOUR + minute * MINUTE + second * USECS_PER_SEC;
    moment(days, time.saturating_add(micros))
}

/// `to_char(number, template)`: `9 0 . , D G S MI FM` and the sign's place.
fn number_to_char(plain: &str, template: &str) -> String {
    let fill = !template.to_uppercase().contains("FM");
    let template: String = template.to_uppercase().replace("FM", "");
    let (pattern, decimals) = match template.split_once(['.', 'D']) {
        Some((whole, fraction)) => (
            whole.to_owned(),
            fraction.chars().filter(|c| matches!(c, '9' | '0')).count(),
        ),
        None => (template.clone(), 0),
    };
    let negative = plain.starts_with('-');
    let value: f64 = plain.parse().unwrap_or(0.0);
    let exact = crate::types::text::parse(PgType::NUMERIC, plain, &Default::default());
    let rounded = match exact {
        Ok(Datum::Numeric(value)) => {
            let value = crate::types::kinds::numeric::round(&value, decimals as i64);
            crate::types::text::to_string(
                &Datum::Numeric(value),
                PgType::NUMERIC,
                &Default::default(),
            )
        }
        _ => format!("{value:.decimals$}"),
    };
    let rounded = rounded.trim_start_matches('-');
    let (whole, fraction) = rounded.split_once('.').unwrap_or((rounded, ""));
    let places: Vec<char> = pattern.chars().collect();
    let slots = places.iter().filter(|c| matches!(c, '9' | '0')).count();
    if whole.len() > slots && whole != "0" {
        return "#".repeat(template.len() + 1);
    }
    let first_zero = places
        .iter()
        .filter(|c| matches!(c, '9' | '0'))
        .position(|c| *c == '0')
        .unwrap_or(slots);
    let digits: Vec<char> = format!(
        "{:>slots$}",
        if whole == "0" && decimals > 0 {
            ""
        } else {
            whole
        }
    )
    .chars()
    .collect();
    let mut out = String::new();
    let mut slot = 0;
    let mut started = false;
    for place in places {
        match place {
            '9' | '0' => {
                let digit = digits.get(slot).copied().unwrap_or(' ');
                if digit != ' ' || slot >= first_zero {
                    started = true;
                }
                out.push(match digit {
                    ' ' if started => '0',
                    digit => digit,
                });
                slot += 1;
            }
            ',' | 'G' => out.push(if started { ',' } else { ' ' }),
            'S' | 'M' | 'I' | 'P' | 'R' | 'L' => {}
            other => out.push(other),
        }
    }
    let signed = template.contains('S');
    let body = out.trim_start().to_owned();
    let sign = match (negative, signed) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    let mut shown = format!("{sign}{body}");
    if decimals > 0 {
        let optional = template
            .split_once(['.', 'D'])
            .is_some_and(|(_, places)| places.contains('9'));
        let fraction = if !fill && optional {
            fraction.trim_end_matches('0')
        } else {
            fraction
        };
        shown.push('.');
        shown.push_str(fraction);
    }
    if fill {
        let width = slots
            + template.matches([',', 'G']).count()
            + if decimals > 0 { decimals + 1 } else { 0 }
            + 1;
        format!("{shown:>width$}")
    } else {
        shown
    }
}

/// Interval arithmetic for series.
pub(super) fn add_interval(value: &Datum<'_>, step: &Datum<'_>) -> Result<Datum<'static>> {
    ops::apply(BinaryOp::Add, value, step)
}
