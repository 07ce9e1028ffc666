//! `interval`: PostgreSQL's verbose and SQL forms and ISO 8601 durations as input, the `postgres`
//! style (`1 year 2 mons 3 days 04:05:06`) as output.

mod iso;

use std::cmp::Ordering;

use super::calendar::{USECS_PER_DAY, USECS_PER_HOUR, USECS_PER_MINUTE, USECS_PER_SEC};
use super::datetime::{self, Fault, FieldKind};
use super::int::{write_i64, write_padded};
use super::time::write_seconds;
use super::{exact, invalid_binary};
use crate::error::{Error, Result, SqlState};
use crate::types::Interval;

pub fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

pub fn parse(text: &str) -> Result<Interval> {
    let read = match decode(text) {
        Err(Fault::BadFormat) => iso::parse(text),
        other => other,
    };
    let total = read.map_err(|fault| {
        let fault = match fault {
            Fault::FieldOverflow => Fault::IntervalOverflow,
            other => other,
        };
        fault.error("interval", text)
    })?;
    total.interval().ok_or_else(out_of_range)
}

/// The fields while they are being summed up.
#[derive(Default)]
struct Total {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

type Fallible = std::result::Result<(), Fault>;

impl Total {
    fn interval(&self) -> Option<Interval> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        Some(Interval {
            months: i32::try_from(months).ok()?,
            days: self.days,
            micros: self.micros,
        })
    }

    fn micros(&mut self, value: i64, fraction: f64, unit: i64) -> Fallible {
        let whole = value.checked_mul(unit).ok_or(Fault::FieldOverflow)?;
        self.micros = self.micros.checked_add(whole).ok_or(Fault::FieldOverflow)?;
        self.fraction_micros(fraction, unit)
    }

    fn fraction_micros(&mut self, fraction: f64, unit: i64) -> Fallible {
        if fraction == 0.0 {
            return Ok(());
        }
        let scaled = fraction * unit as f64;
        let mut whole = scaled as i64;
        let rest = scaled - whole as f64;
        if rest > 0.5 {
            whole = whole.saturating_add(1);
        } else if rest < -0.5 {
            whole = whole.saturating_sub(1);
        }
        self.micros = self.micros.checked_add(whole).ok_or(Fault::FieldOverflow)?;
        Ok(())
    }

    fn days(&mut self, value: i64, unit: i32) -> Fallible {
        let value = i32::try_from(value)
            .ok()
            .and_then(|value| value.checked_mul(unit));
        let sum = value.and_then(|value| self.days.checked_add(value));
        self.days = sum.ok_or(Fault::FieldOverflow)?;
        Ok(())
    }

    fn fraction_days(&mut self, fraction: f64, unit: i32) -> Fallible {
        let scaled = fraction * f64::from(unit);
        let whole = scaled as i32;
        self.days = self.days.checked_add(whole).ok_or(Fault::FieldOverflow)?;
        self.fraction_micros(scaled - f64::from(whole), USECS_PER_DAY)
    }

    fn months(&mut self, value: i64) -> Fallible {
        let sum = i32::try_from(value)
            .ok()
            .and_then(|value| self.months.checked_add(value));
        self.months = sum.ok_or(Fault::FieldOverflow)?;
        Ok(())
    }

    fn years(&mut self, value: i64, fraction: f64, unit: i32) -> Fallible {
        let value = i32::try_from(value)
            .ok()
            .and_then(|value| value.checked_mul(unit));
        let sum = value.and_then(|value| self.years.checked_add(value));
        self.years = sum.ok_or(Fault::FieldOverflow)?;
        self.months((fraction * f64::from(unit) * 12.0).round_ties_even() as i64)
    }

    fn clock(&mut self, hour: i64, minute: i32, second: i32, micros: i32) -> Fallible {
        self.micros = hour
            .checked_mul(USECS_PER_HOUR)
            .and_then(|sum| sum.checked_add(i64::from(minute) * USECS_PER_MINUTE))
            .and_then(|sum| sum.checked_add(i64::from(second) * USECS_PER_SEC))
            .and_then(|sum| sum.checked_add(i64::from(micros)))
            .ok_or(Fault::FieldOverflow)?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

const ALL_SECONDS: u32 = Unit::Microsecond.bit() | Unit::Millisecond.bit() | Unit::Second.bit();
const CLOCK: u32 = ALL_SECONDS | Unit::Minute.bit() | Unit::Hour.bit();

enum Word {
    Unit(Unit),
    Ago,
    Ignore,
}

fn word(text: &str) -> Option<Word> {
    // PostgreSQL compares ten characters.
    let text: String = text.chars().take(10).collect();
    Some(Word::Unit(match text.as_str() {
        "ago" => return Some(Word::Ago),
        "at" | "on" | "@" => return Some(Word::Ignore),
        "us" | "usec" | "usecs" | "useconds" | "microsecon" => Unit::Microsecond,
        "ms" | "msec" | "msecs" | "mseconds" | "millisecon" => Unit::Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
        _ => return None,
    }))
}

fn decode(text: &str) -> std::result::Result<Total, Fault> {
    let fields = datetime::fields(text)?;
    let mut total = Total::default();
    let mut seen = 0;
    let mut unit: Option<Unit> = None;
    let mut ago = false;
    // Backwards, so that a unit is known before its number.
    for (kind, field) in fields.iter().rev() {
        let unsigned = field.strip_prefix(['+', '-']).unwrap_or(field);
        let negative = field.starts_with('-');
        let signed_clock = *kind == FieldKind::Signed && unsigned.contains(':');
        let found = match kind {
            FieldKind::Time => {
                let (hour, minute, second, micros) = datetime::clock(field)?;
                total.clock(hour, minute, second, micros)?;
                unit = Some(Unit::Day);
                CLOCK
            }
            FieldKind::Signed if signed_clock && datetime::clock(unsigned).is_ok() => {
                let (hour, minute, second, micros) = datetime::clock(unsigned)?;
                total.clock(hour, minute, second, micros)?;
                if negative {
                    total.micros = -total.micros;
                }
                unit = Some(Unit::Day);
                CLOCK
            }
            FieldKind::Signed | FieldKind::Date | FieldKind::Number => {
                let (found, next) = number(&mut total, field, unit.unwrap_or(Unit::Second))?;
                unit = Some(next);
                found
            }
            FieldKind::Word | FieldKind::Special => {
                match word(field).ok_or(Fault::BadFormat)? {
                    Word::Unit(found) => unit = Some(found),
                    Word::Ago => {
                        ago = true;
                        unit = None;
                    }
                    Word::Ignore => {}
                }
                0
            }
        };
        if found & seen != 0 {
            return Err(Fault::BadFormat);
        }
        seen |= found;
    }
    if seen == 0 {
        return Err(Fault::BadFormat);
    }
    if ago {
        let negate = |value: i32| value.checked_neg().ok_or(Fault::FieldOverflow);
        total = Total {
            years: negate(total.years)?,
            months: negate(total.months)?,
            days: negate(total.days)?,
            micros: total.micros.checked_neg().ok_or(Fault::FieldOverflow)?,
        };
    }
    Ok(total)
}

/// Adds one number of `unit`; returns the parts it gave and the unit of a bare number before it.
fn number(total: &mut Total, field: &str, unit: Unit) -> std::result::Result<(u32, Unit), Fault> {
    let negative = field.starts_with('-');
    let sign = usize::from(field.starts_with(['+', '-']));
    let end = datetime::digits_end(field, sign);
    let digits = field.get(..end).unwrap_or("");
    let mut value: i64 = match digits.strip_prefix('+').unwrap_or(digits) {
        "" | "-" => 0,
        digits => digits.parse().map_err(|_| Fault::FieldOverflow)?,
    };
    let rest = field.get(end..).unwrap_or("");
    let mut fraction = 0.0;
    let mut unit = unit;
    if let Some(months) = rest.strip_prefix('-') {
        let months = i64::from(datetime::int(months)?);
        if months >= 12 {
            return Err(Fault::FieldOverflow);
        }
        unit = Unit::Month;
        let months = if negative { -months } else { months };
        let sum = value
            .checked_mul(12)
            .and_then(|value| value.checked_add(months));
        value = sum.ok_or(Fault::FieldOverflow)?;
    } else if let Some(digits) = rest.strip_prefix('.') {
        if !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(Fault::BadFormat);
        }
        fraction = format!("0.{digits}0")
            .parse()
            .map_err(|_| Fault::BadFormat)?;
        if negative {
            fraction = -fraction;
        }
    } else if !rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    let mut found = unit.bit();
    match unit {
        Unit::Microsecond => total.micros(value, fraction, 1)?,
        Unit::Millisecond => total.micros(value, fraction, 1_000)?,
        Unit::Second => {
            total.micros(value, fraction, USECS_PER_SEC)?;
            if fraction != 0.0 {
                found = ALL_SECONDS;
            }
        }
        Unit::Minute => total.micros(value, fraction, USECS_PER_MINUTE)?,
        Unit::Hour => {
            total.micros(value, fraction, USECS_PER_HOUR)?;
            unit = Unit::Day;
        }
        Unit::Day => {
            total.days(value, 1)?;
            total.fraction_micros(fraction, USECS_PER_DAY)?;
        }
        Unit::Week => {
            total.days(value, 7)?;
            total.fraction_days(fraction, 7)?;
        }
        Unit::Month => {
            total.months(value)?;
            total.fraction_days(fraction, 30)?;
        }
        Unit::Year => total.years(value, fraction, 1)?,
        Unit::Decade => total.years(value, fraction, 10)?,
        Unit::Century => total.years(value, fraction, 100)?,
        Unit::Millennium => total.years(value, fraction, 1_000)?,
    }
    Ok((found, unit))
}

pub fn write(value: &Interval, out: &mut Vec<u8>) {
    let mut first = true;
    let mut after_negative = false;
    for (amount, unit) in [
        (value.months / 12, "year"),
        (value.months % 12, "mon"),
        (value.days, "day"),
    ] {
        if amount == 0 {
            continue;
        }
        if !first {
            out.push(b' ');
        }
        if after_negative && amount > 0 {
            out.push(b'+');
        }
        write_i64(i64::from(amount), out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if amount != 1 {
            out.push(b's');
        }
        after_negative = amount < 0;
        first = false;
    }
    if first || value.micros != 0 {
        if !first {
            out.push(b' ');
        }
        if value.micros < 0 {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        let micros = value.micros.unsigned_abs();
        write_padded(micros / USECS_PER_HOUR as u64, 2, out);
        out.push(b':');
        write_padded(micros / USECS_PER_MINUTE as u64 % 60, 2, out);
        out.push(b':');
        write_seconds(micros % USECS_PER_MINUTE as u64, out);
    }
}

pub fn recv(bytes: &[u8]) -> Result<Interval> {
    let bytes: [u8; 16] = exact(bytes)?;
    let (micros, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| invalid_binary("interval"))?;
    let (days, rest) = rest
        .split_first_chunk()
        .ok_or_else(|| invalid_binary("interval"))?;
    Ok(Interval {
        micros: i64::from_be_bytes(*micros),
        days: i32::from_be_bytes(*days),
        months: i32::from_be_bytes(exact(rest)?),
    })
}

pub fn send(value: &Interval, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.micros.to_be_bytes());
    out.extend_from_slice(&value.days.to_be_bytes());
    out.extend_from_slice(&value.months.to_be_bytes());
}

/// Microseconds with 30-day months and 24-hour days: what comparison goes by.
pub fn span(value: &Interval) -> i128 {
    let days = i128::from(value.months) * 30 + i128::from(value.days);
    days * i128::from(USECS_PER_DAY) + i128::from(value.micros)
}

pub fn compare(left: &Interval, right: &Interval) -> Ordering {
    span(left).cmp(&span(right))
}
