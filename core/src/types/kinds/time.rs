//! `time`: microseconds since midnight, up to 24:00:00.

use super::calendar::{
    USECS_PER_DAY, USECS_PER_HOUR, USECS_PER_MINUTE, USECS_PER_SEC, round_micros,
};
use super::datetime::{self, Moment, Want};
use super::exact;
use super::int::write_padded;
use crate::error::{Error, Result, SqlState};
use crate::types::text::TextStyle;

pub fn parse(text: &str, typmod: i32, style: &TextStyle) -> Result<i64> {
    let fault = |f: datetime::Fault| f.error("time", text);
    match datetime::decode(text, style, Want::Time).map_err(fault)? {
        Moment::Local { civil, .. } => Ok(fit(civil.time_of_day(), typmod)),
        _ => Err(fault(datetime::Fault::BadFormat)),
    }
}

/// Rounds to the modifier of `time(p)`.
pub fn fit(micros: i64, typmod: i32) -> i64 {
    if typmod < 0 {
        micros
    } else {
        round_micros(micros, typmod)
    }
}

pub fn write(micros: i64, out: &mut Vec<u8>) {
    let micros = micros.unsigned_abs();
    write_padded(micros / USECS_PER_HOUR as u64, 2, out);
    out.push(b':');
    write_padded(micros / USECS_PER_MINUTE as u64 % 60, 2, out);
    out.push(b':');
    write_seconds(micros % USECS_PER_MINUTE as u64, out);
}

/// Appends `ss` or `ss.ffffff` without trailing zeros.
pub fn write_seconds(micros: u64, out: &mut Vec<u8>) {
    write_padded(micros / USECS_PER_SEC as u64, 2, out);
    let mut fraction = micros % USECS_PER_SEC as u64;
    if fraction == 0 {
        return;
    }
    let mut width = 6;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    out.push(b'.');
    write_padded(fraction, width, out);
}

pub fn recv(bytes: &[u8], typmod: i32) -> Result<i64> {
    let micros = i64::from_be_bytes(exact(bytes)?);
    if !(0..=USECS_PER_DAY).contains(&micros) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "time out of range",
        ));
    }
    Ok(fit(micros, typmod))
}
