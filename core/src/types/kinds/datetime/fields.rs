//! Cuts a date, time or interval into fields, and reads the numbers in them.

use super::Fault;
use super::token::token;

/// Fields of one input, as in PostgreSQL.
const MAX_FIELDS: usize = 25;

/// What a field looks like before its meaning is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldKind {
    Number,
    Date,
    Time,
    /// A signed number: a zone offset, or part of an interval.
    Signed,
    Word,
    /// A sign and a word: `-infinity`.
    Special,
}

/// Cuts `text` into fields, lower-cased where words are.
pub fn fields(text: &str) -> Result<Vec<(FieldKind, String)>, Fault> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let digit = |i: usize| at(i).is_ascii_digit();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        let first = at(i);
        if is_space(first) {
            i += 1;
            continue;
        }
        if found.len() >= MAX_FIELDS {
            return Err(Fault::BadFormat);
        }
        let run = |mut i: usize, keep: &dyn Fn(u8) -> bool| {
            while i < bytes.len() && keep(at(i)) {
                i += 1;
            }
            i
        };
        let digits = |c: u8| c.is_ascii_digit();
        let kind = if first.is_ascii_digit() {
            i = run(i, &digits);
            match at(i) {
                b':' => {
                    i = run(i, &|c| c.is_ascii_digit() || c == b':' || c == b'.');
                    FieldKind::Time
                }
                delimiter @ (b'-' | b'/' | b'.') => {
                    i += 1;
                    if digit(i) {
                        i = run(i, &digits);
                        if at(i) == delimiter {
                            i = run(i, &|c| c.is_ascii_digit() || c == delimiter);
                            FieldKind::Date
                        } else if delimiter == b'.' {
                            FieldKind::Number
                        } else {
                            FieldKind::Date
                        }
                    } else {
                        i = run(i, &|c| c.is_ascii_alphanumeric() || c == delimiter);
                        FieldKind::Date
                    }
                }
                _ => FieldKind::Number,
            }
        } else if first == b'.' {
            i = run(i + 1, &digits);
            FieldKind::Number
        } else if first.is_ascii_alphabetic() {
            i = run(i, &|c| c.is_ascii_alphabetic());
            let next = at(i);
            let word = text.get(start..i).unwrap_or("").to_ascii_lowercase();
            let is_date = match next {
                b'-' | b'/' | b'.' => true,
                b'+' | b'0'..=b'9' => token(&word).is_none(),
                _ => false,
            };
            if is_date {
                i = run(i, &|c| {
                    c.is_ascii_alphanumeric()
                        || matches!(c, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
                });
                FieldKind::Date
            } else {
                FieldKind::Word
            }
        } else if first == b'+' || first == b'-' {
            i += 1;
            while is_space(at(i)) && i < bytes.len() {
                i += 1;
            }
            let body = i;
            let kind = if digit(i) {
                i = run(i, &|c| {
                    c.is_ascii_digit() || matches!(c, b':' | b'.' | b'-')
                });
                FieldKind::Signed
            } else if at(i).is_ascii_alphabetic() {
                i = run(i, &|c| c.is_ascii_alphabetic());
                FieldKind::Special
            } else {
                return Err(Fault::BadFormat);
            };
            let body = text.get(body..i).unwrap_or("").to_ascii_lowercase();
            found.push((kind, format!("{}{body}", first as char)));
            continue;
        } else if first.is_ascii_punctuation() {
            i += 1;
            continue;
        } else {
            return Err(Fault::BadFormat);
        };
        let field = text.get(start..i).unwrap_or("").to_ascii_lowercase();
        found.push((kind, field));
    }
    Ok(found)
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Index after the digits that start at `from`.
pub fn digits_end(text: &str, from: usize) -> usize {
    text.bytes()
        .enumerate()
        .skip(from)
        .find(|(_, c)| !c.is_ascii_digit())
        .map_or(text.len(), |(at, _)| at)
}

/// Unsigned digits as an `i32`.
pub fn int(digits: &str) -> Result<i32, Fault> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Fault::BadFormat);
    }
    digits.parse().map_err(|_| Fault::FieldOverflow)
}

/// `.123456` in microseconds, rounded.
pub fn fraction(text: &str) -> Result<i32, Fault> {
    let digits = text.strip_prefix('.').ok_or(Fault::BadFormat)?;
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Fault::BadFormat);
    }
    let value: f64 = format!("0.{digits}0")
        .parse()
        .map_err(|_| Fault::BadFormat)?;
    Ok((value * 1e6).round_ties_even() as i32)
}

/// Hours, minutes, seconds, microseconds of `hh:mm[:ss[.f]]` or `mm:ss.f`.
pub fn clock(field: &str) -> Result<(i64, i32, i32, i32), Fault> {
    let end = digits_end(field, 0);
    let mut hour: i64 = field
        .get(..end)
        .unwrap_or("")
        .parse()
        .map_err(|_| Fault::FieldOverflow)?;
    let rest = field
        .get(end..)
        .unwrap_or("")
        .strip_prefix(':')
        .ok_or(Fault::BadFormat)?;
    let end = digits_end(rest, 0);
    let digits = rest.get(..end).unwrap_or("");
    let mut minute = if digits.is_empty() { 0 } else { int(digits)? };
    let rest = rest.get(end..).unwrap_or("");
    let (mut second, mut micros) = (0, 0);
    if rest.starts_with('.') {
        micros = fraction(rest)?;
        second = minute;
        minute = i32::try_from(hour).map_err(|_| Fault::FieldOverflow)?;
        hour = 0;
    } else if let Some(rest) = rest.strip_prefix(':') {
        let end = digits_end(rest, 0);
        let digits = rest.get(..end).unwrap_or("");
        second = if digits.is_empty() { 0 } else { int(digits)? };
        let rest = rest.get(end..).unwrap_or("");
        if !rest.is_empty() {
            micros = fraction(rest)?;
        }
    } else if !rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    if minute > 59 || second > 60 {
        return Err(Fault::FieldOverflow);
    }
    Ok((hour, minute, second, micros))
}

/// `+hh`, `-hhmm`, `+hh:mm[:ss]` in seconds east of UTC.
pub fn zone_offset(text: &str) -> Result<i32, Fault> {
    const MAX_HOUR: i32 = 15;
    let negative = match text.as_bytes().first() {
        Some(b'-') => true,
        Some(b'+') => false,
        _ => return Err(Fault::BadFormat),
    };
    let body = text.get(1..).unwrap_or("");
    let zone_int = |digits: &str| match int(digits) {
        Err(Fault::FieldOverflow) => Err(Fault::ZoneOverflow),
        other => other,
    };
    let end = digits_end(body, 0);
    let mut hour = zone_int(body.get(..end).unwrap_or(""))?;
    let (mut minute, mut second) = (0, 0);
    let mut rest = body.get(end..).unwrap_or("");
    if let Some(tail) = rest.strip_prefix(':') {
        let end = digits_end(tail, 0);
        minute = zone_int(tail.get(..end).unwrap_or(""))?;
        rest = tail.get(end..).unwrap_or("");
        if let Some(tail) = rest.strip_prefix(':') {
            let end = digits_end(tail, 0);
            second = zone_int(tail.get(..end).unwrap_or(""))?;
            rest = tail.get(end..).unwrap_or("");
        }
    } else if rest.is_empty() && text.len() > 3 {
        minute = hour % 100;
        hour /= 100;
    }
    if hour > MAX_HOUR || minute >= 60 || second >= 60 {
        return Err(Fault::ZoneOverflow);
    }
    if !rest.is_empty() {
        return Err(Fault::BadFormat);
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Ok(if negative { -seconds } else { seconds })
}
