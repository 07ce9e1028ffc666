//! `+` and `-` of dates, times and intervals that do not depend on a time zone.

use super::{BinaryOp, date_to_timestamp, is_infinite, timestamp_finite};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::calendar::{self, Civil, USECS_PER_DAY};
use crate::types::kinds::{date, interval, out_of_range};
use crate::types::text::Zone;
use crate::types::{Datum, Interval};

/// `None` when there is no such operator for these operands.
pub fn apply(op: BinaryOp, left: &Datum<'_>, right: &Datum<'_>) -> Result<Option<Datum<'static>>> {
    use BinaryOp::{Add, Sub};
    Ok(Some(match (op, left, right) {
        (Add, Datum::Date(days), Datum::Int4(by)) | (Add, Datum::Int4(by), Datum::Date(days)) => {
            Datum::Date(date_plus(*days, i64::from(*by))?)
        }
        (Sub, Datum::Date(days), Datum::Int4(by)) => {
            Datum::Date(date_plus(*days, -i64::from(*by))?)
        }
        (Sub, Datum::Date(a), Datum::Date(b)) => {
            if [a, b]
                .iter()
                .any(|days| matches!(**days, i32::MIN | i32::MAX))
            {
                return Err(Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "cannot subtract infinite dates",
                ));
            }
            Datum::Int4(a.checked_sub(*b).ok_or_else(|| out_of_range("integer"))?)
        }
        (Add, Datum::Timestamp(at), Datum::Interval(by))
        | (Add, Datum::Interval(by), Datum::Timestamp(at)) => {
            Datum::Timestamp(timestamp_plus(*at, by)?)
        }
        (Sub, Datum::Timestamp(at), Datum::Interval(by)) => {
            Datum::Timestamp(timestamp_plus(*at, &negate(by)?)?)
        }
        (Sub, Datum::Timestamp(a), Datum::Timestamp(b))
        | (Sub, Datum::Timestamptz(a), Datum::Timestamptz(b)) => {
            if is_infinite(*a) || is_infinite(*b) {
                return Err(Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "cannot subtract infinite timestamps",
                ));
            }
            let micros = a.checked_sub(*b).ok_or_else(interval::out_of_range)?;
            Datum::Interval(Interval {
                months: 0,
                days: (micros / USECS_PER_DAY) as i32,
                micros: micros % USECS_PER_DAY,
            })
        }
        (Add, Datum::Interval(a), Datum::Interval(b)) => Datum::Interval(plus(a, b)?),
        (Sub, Datum::Interval(a), Datum::Interval(b)) => Datum::Interval(plus(a, &negate(b)?)?),
        (Add, Datum::Time(at), Datum::Interval(by))
        | (Add, Datum::Interval(by), Datum::Time(at)) => {
            Datum::Time((at + by.micros % USECS_PER_DAY).rem_euclid(USECS_PER_DAY))
        }
        (Sub, Datum::Time(at), Datum::Interval(by)) => {
            Datum::Time((at - by.micros % USECS_PER_DAY).rem_euclid(USECS_PER_DAY))
        }
        (Sub, Datum::Time(a), Datum::Time(b)) => Datum::Interval(Interval {
            months: 0,
            days: 0,
            micros: a - b,
        }),
        (Add, Datum::Date(days), Datum::Time(time))
        | (Add, Datum::Time(time), Datum::Date(days)) => {
            let midnight = date_to_timestamp(*days)?;
            Datum::Timestamp(if is_infinite(midnight) {
                midnight
            } else {
                timestamp_finite(midnight.checked_add(*time))?
            })
        }
        _ => return Ok(None),
    }))
}

fn date_plus(days: i32, by: i64) -> Result<i32> {
    match days {
        i32::MIN | i32::MAX => Ok(days),
        _ => date::finite(i64::from(days) + by).ok_or_else(date::out_of_range),
    }
}

/// # Errors
/// 22008 when a field has no opposite.
pub fn negate(value: &Interval) -> Result<Interval> {
    let negated = || {
        Some(Interval {
            months: value.months.checked_neg()?,
            days: value.days.checked_neg()?,
            micros: value.micros.checked_neg()?,
        })
    };
    negated().ok_or_else(interval::out_of_range)
}

fn plus(a: &Interval, b: &Interval) -> Result<Interval> {
    let sum = || {
        Some(Interval {
            months: a.months.checked_add(b.months)?,
            days: a.days.checked_add(b.days)?,
            micros: a.micros.checked_add(b.micros)?,
        })
    };
    sum().ok_or_else(interval::out_of_range)
}

/// See [`super::timestamp_plus`].
pub fn timestamp_plus(micros: i64, by: &Interval) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let at = plus_months_and_days(micros, by);
    timestamp_finite(at.and_then(|at| at.checked_add(by.micros)))
}

/// See [`super::timestamptz_plus`].
pub fn timestamptz_plus(micros: i64, by: &Interval, zone: &Zone) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    let at = match by {
        Interval {
            months: 0, days: 0, ..
        } => Some(micros),
        _ => zone
            .to_local(micros)
            .and_then(|local| plus_months_and_days(local, by))
            .and_then(|local| zone.to_utc(local)),
    };
    timestamp_finite(at.and_then(|at| at.checked_add(by.micros)))
}

fn plus_months_and_days(micros: i64, by: &Interval) -> Option<i64> {
    let mut at = micros;
    if by.months != 0 {
        let mut civil = Civil::from_micros(micros);
        let months = i64::from(civil.year) * 12 + i64::from(civil.month) - 1 + i64::from(by.months);
        civil.year = months.div_euclid(12) as i32;
        civil.month = months.rem_euclid(12) as i32 + 1;
        civil.day = civil
            .day
            .min(calendar::days_in_month(civil.year, civil.month));
        at = civil.to_micros()?;
    }
    at.checked_add(i64::from(by.days).checked_mul(USECS_PER_DAY)?)
}
