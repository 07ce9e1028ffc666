//! ISO 8601 durations.

use super::{Fallible, Total};
use crate::types::kinds::calendar::{
    USECS_PER_DAY, USECS_PER_HOUR, USECS_PER_MINUTE, USECS_PER_SEC,
};
use crate::types::kinds::datetime::{self, Fault};

/// `P1Y2M3DT4H5M6S`, and the alternative forms `P0001-02-03T04:05:06` and `P00010203T040506`.
pub(super) fn parse(text: &str) -> Result<Total, Fault> {
    let mut rest = text.strip_prefix('P').ok_or(Fault::BadFormat)?;
    if rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    let mut total = Total::default();
    let mut date_part = true;
    let mut have_field = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            date_part = false;
            have_field = false;
            rest = tail;
            continue;
        }
        let (whole, fraction, tail) = iso_number(rest)?;
        let digits = digits_of_whole(rest);
        let unit = tail.chars().next();
        let after = tail.get(1..).unwrap_or("");
        match (date_part, unit) {
            (true, Some('Y')) => total.years(whole, fraction, 1)?,
            (true, Some('M')) => {
                total.months(whole)?;
                total.fraction_days(fraction, 30)?;
            }
            (true, Some('W')) => {
                total.days(whole, 7)?;
                total.fraction_days(fraction, 7)?;
            }
            (true, Some('D')) => {
                total.days(whole, 1)?;
                total.fraction_micros(fraction, USECS_PER_DAY)?;
            }
            (false, Some('H')) => total.micros(whole, fraction, USECS_PER_HOUR)?,
            (false, Some('M')) => total.micros(whole, fraction, USECS_PER_MINUTE)?,
            (false, Some('S')) => total.micros(whole, fraction, USECS_PER_SEC)?,
            _ if have_field => return Err(Fault::BadFormat),
            (true, None | Some('T')) if digits == 8 => {
                total.years(whole / 10_000, 0.0, 1)?;
                total.months(whole / 100 % 100)?;
                total.days(whole % 100, 1)?;
                total.fraction_micros(fraction, USECS_PER_DAY)?;
                rest = tail;
                continue;
            }
            (true, None | Some('T')) => {
                total.years(whole, fraction, 1)?;
                rest = tail;
                continue;
            }
            (true, Some('-')) => {
                total.years(whole, fraction, 1)?;
                rest = iso_month_day(&mut total, after)?;
                continue;
            }
            (false, None) if digits == 6 => {
                total.micros(whole / 10_000, 0.0, USECS_PER_HOUR)?;
                total.micros(whole / 100 % 100, 0.0, USECS_PER_MINUTE)?;
                total.micros(whole % 100, fraction, USECS_PER_SEC)?;
                return Ok(total);
            }
            (false, None) => {
                total.micros(whole, fraction, USECS_PER_HOUR)?;
                return Ok(total);
            }
            (false, Some(':')) => {
                total.micros(whole, fraction, USECS_PER_HOUR)?;
                iso_minute_second(&mut total, after)?;
                return Ok(total);
            }
            _ => return Err(Fault::BadFormat),
        }
        have_field = true;
        rest = after;
    }
    Ok(total)
}

/// `mm` or `mm-dd`; returns what follows, which is nothing or the time part.
fn iso_month_day<'a>(total: &mut Total, text: &'a str) -> Result<&'a str, Fault> {
    let (months, fraction, tail) = iso_number(text)?;
    total.months(months)?;
    total.fraction_days(fraction, 30)?;
    let tail = match tail.strip_prefix('-') {
        Some(text) => {
            let (days, fraction, tail) = iso_number(text)?;
            total.days(days, 1)?;
            total.fraction_micros(fraction, USECS_PER_DAY)?;
            tail
        }
        None => tail,
    };
    if tail.is_empty() || tail.starts_with('T') {
        Ok(tail)
    } else {
        Err(Fault::BadFormat)
    }
}

/// `mm` or `mm:ss` to the end of the text.
fn iso_minute_second(total: &mut Total, text: &str) -> Fallible {
    let (minutes, fraction, tail) = iso_number(text)?;
    total.micros(minutes, fraction, USECS_PER_MINUTE)?;
    if tail.is_empty() {
        return Ok(());
    }
    let (seconds, fraction, tail) = iso_number(tail.strip_prefix(':').ok_or(Fault::BadFormat)?)?;
    total.micros(seconds, fraction, USECS_PER_SEC)?;
    if tail.is_empty() {
        Ok(())
    } else {
        Err(Fault::BadFormat)
    }
}

/// Number of digits before the point of the number at the start of `text`.
fn digits_of_whole(text: &str) -> usize {
    let sign = usize::from(text.starts_with('-'));
    datetime::digits_end(text, sign) - sign
}

/// A signed number with an optional fraction off the front of `text`.
fn iso_number(text: &str) -> Result<(i64, f64, &str), Fault> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let whole_end = datetime::digits_end(text, sign);
    let mut end = whole_end;
    if text.get(end..).is_some_and(|rest| rest.starts_with('.')) {
        end = datetime::digits_end(text, end + 1);
    }
    let number = text.get(..end).unwrap_or("");
    if !number.bytes().any(|c| c.is_ascii_digit()) {
        return Err(Fault::BadFormat);
    }
    let whole = text.get(..whole_end).unwrap_or("");
    let whole: i64 = match whole.strip_prefix('+').unwrap_or(whole) {
        "" | "-" => 0,
        digits => digits.parse().map_err(|_| Fault::FieldOverflow)?,
    };
    let fraction = text.get(whole_end..end).unwrap_or("");
    let mut fraction: f64 = format!("0{fraction}0").parse().unwrap_or(0.0);
    if end == whole_end {
        fraction = 0.0;
    }
    if number.starts_with('-') {
        fraction = -fraction;
    }
    Ok((whole, fraction, text.get(end..).unwrap_or("")))
}
