//! `timestamp` and `timestamptz`: microseconds since 1970 here, since 2000 on the wire.

use super::calendar::{self, USECS_PER_DAY, USECS_PER_SEC, round_micros};
use super::date::write_civil;
use super::datetime::{self, Moment, Want};
use super::exact;
use super::int::write_padded;
use super::time;
use crate::error::{Error, Result, SqlState};
use crate::types::text::{TextStyle, Zone};

/// Microseconds from 1970-01-01 to 2000-01-01, where the wire counts from.
pub const WIRE_EPOCH: i64 = 946_684_800 * USECS_PER_SEC;

pub fn parse(text: &str, typmod: i32, style: &TextStyle) -> Result<i64> {
    read(text, typmod, style, "timestamp", false)
}

pub fn parse_tz(text: &str, typmod: i32, style: &TextStyle) -> Result<i64> {
    read(text, typmod, style, "timestamp with time zone", true)
}

fn read(text: &str, typmod: i32, style: &TextStyle, name: &str, zoned: bool) -> Result<i64> {
    if let Some(civil) = datetime::plain(text) {
        let offset = if zoned {
            style.time_zone.offset_of_local(civil)
        } else {
            0
        };
        let shift = i64::from(offset) * USECS_PER_SEC;
        let micros = civil.to_micros().and_then(|local| local.checked_sub(shift));
        return finite(micros).map(|micros| fit(micros, typmod));
    }
    let moment = datetime::decode(text, style, Want::Date).map_err(|f| f.error(name, text))?;
    let micros = match moment {
        Moment::Late => return Ok(i64::MAX),
        Moment::Early => return Ok(i64::MIN),
        Moment::Epoch => Some(0),
        Moment::Local { civil, offset, .. } => {
            let shift = if zoned {
                i64::from(offset) * USECS_PER_SEC
            } else {
                0
            };
            civil.to_micros().and_then(|local| local.checked_sub(shift))
        }
    };
    let range = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("timestamp out of range: \"{text}\""),
        )
    };
    let micros = micros
        .filter(|m| calendar::timestamp_in_range(*m))
        .ok_or_else(range)?;
    Ok(fit(micros, typmod))
}

pub fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// `micros` if it is a finite timestamp.
///
/// # Errors
/// 22008 otherwise.
pub fn finite(micros: Option<i64>) -> Result<i64> {
    micros
        .filter(|m| calendar::timestamp_in_range(*m))
        .ok_or_else(out_of_range)
}

/// Rounds to the modifier of `timestamp(p)`.
pub fn fit(micros: i64, typmod: i32) -> i64 {
    match micros {
        i64::MIN | i64::MAX => micros,
        _ if typmod < 0 => micros,
        // PostgreSQL rounds its count from 2000: halves go away from that year.
        _ => round_micros(micros.saturating_sub(WIRE_EPOCH), typmod).saturating_add(WIRE_EPOCH),
    }
}

pub fn write(micros: i64, out: &mut Vec<u8>) {
    write_shifted(micros, None, out);
}

pub fn write_tz(micros: i64, zone: &Zone, out: &mut Vec<u8>) {
    write_shifted(micros, Some(zone), out);
}

fn write_shifted(micros: i64, zone: Option<&Zone>, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map_or(0, |zone| zone.offset_at(micros));
    let local = micros.saturating_add(i64::from(offset) * USECS_PER_SEC);
    let year = write_civil(local.div_euclid(USECS_PER_DAY), out);
    out.push(b' ');
    time::write(local.rem_euclid(USECS_PER_DAY), out);
    if zone.is_some() {
        write_offset(offset, out);
    }
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Appends `+hh`, `+hh:mm` or `+hh:mm:ss`.
fn write_offset(offset: i32, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = u64::from(offset.unsigned_abs());
    write_padded(seconds / 3600, 2, out);
    let (minute, second) = (seconds / 60 % 60, seconds % 60);
    if minute != 0 || second != 0 {
        out.push(b':');
        write_padded(minute, 2, out);
    }
    if second != 0 {
        out.push(b':');
        write_padded(second, 2, out);
    }
}

pub fn recv(bytes: &[u8], typmod: i32) -> Result<i64> {
    let wire = i64::from_be_bytes(exact(bytes)?);
    match wire {
        i64::MIN | i64::MAX => Ok(wire),
        _ => finite(wire.checked_add(WIRE_EPOCH)).map(|micros| fit(micros, typmod)),
    }
}

pub fn send(micros: i64, out: &mut Vec<u8>) {
    let wire = match micros {
        i64::MIN | i64::MAX => micros,
        _ => micros.saturating_sub(WIRE_EPOCH),
    };
    out.extend_from_slice(&wire.to_be_bytes());
}
