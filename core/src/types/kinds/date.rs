//! `date`: days since 1970-01-01 here, since 2000-01-01 on the wire.

use super::calendar::{self, USECS_PER_DAY};
use super::datetime::{self, Moment, Want};
use super::exact;
use super::int::{write_padded, write_u64};
use crate::error::{Error, Result, SqlState};
use crate::types::text::TextStyle;

/// Days from 1970-01-01 to 2000-01-01, where the wire counts from.
pub const WIRE_EPOCH: i32 = 10_957;

pub fn parse(text: &str, style: &TextStyle) -> Result<i32> {
    if let Some(civil) = datetime::plain(text) {
        let days = calendar::days_from_civil(civil.year, civil.month, civil.day);
        return finite(days).ok_or_else(out_of_range);
    }
    let moment = datetime::decode(text, style, Want::Date).map_err(|f| f.error("date", text))?;
    match moment {
        Moment::Late => Ok(i32::MAX),
        Moment::Early => Ok(i32::MIN),
        Moment::Epoch => Ok(0),
        Moment::Local { civil, .. } => {
            let days = calendar::days_from_civil(civil.year, civil.month, civil.day);
            finite(days).ok_or_else(|| {
                Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    format!("date out of range: \"{text}\""),
                )
            })
        }
    }
}

/// `days` as a date, if it is one.
pub fn finite(days: i64) -> Option<i32> {
    calendar::date_in_range(days).then_some(days as i32)
}

pub fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range")
}

pub fn write(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = write_civil(i64::from(days), out);
            if year <= 0 {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Appends `yyyy-mm-dd` and returns the astronomical year, of which a BC suffix may follow.
pub fn write_civil(days: i64, out: &mut Vec<u8>) -> i32 {
    let (year, month, day) = calendar::civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year };
    if shown > 9999 {
        write_u64(shown as u64, out);
    } else {
        write_padded(shown as u64, 4, out);
    }
    out.push(b'-');
    write_padded(month as u64, 2, out);
    out.push(b'-');
    write_padded(day as u64, 2, out);
    year
}

pub fn recv(bytes: &[u8]) -> Result<i32> {
    let days = i32::from_be_bytes(exact(bytes)?);
    match days {
        i32::MIN | i32::MAX => Ok(days),
        _ => finite(i64::from(days) + i64::from(WIRE_EPOCH)).ok_or_else(out_of_range),
    }
}

pub fn send(days: i32, out: &mut Vec<u8>) {
    let wire = match days {
        i32::MIN | i32::MAX => days,
        _ => days.saturating_sub(WIRE_EPOCH),
    };
    out.extend_from_slice(&wire.to_be_bytes());
}

/// Midnight of the day, microseconds since 1970; infinities stay.
///
/// # Errors
/// 22008 when a timestamp does not reach that far.
pub fn to_timestamp(days: i32) -> Result<i64> {
    match days {
        i32::MAX => Ok(i64::MAX),
        i32::MIN => Ok(i64::MIN),
        _ => i64::from(days)
            .checked_mul(USECS_PER_DAY)
            .filter(|micros| calendar::timestamp_in_range(*micros))
            .ok_or_else(|| {
                Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "date out of range for timestamp",
                )
            }),
    }
}
