//! `text`, `varchar(n)`, `char(n)`, `name` and `"char"`.

use std::borrow::Cow;

use crate::error::{Error, Result, SqlState};
use crate::types::pg_type::{PgType, oid};

/// Bytes of a `name`, as in PostgreSQL (`NAMEDATALEN - 1`).
pub const NAME_BYTES: usize = 63;
/// Bytes of one text value: what PostgreSQL's 1 GB field limit leaves.
pub const MAX_BYTES: usize = 0x3fff_ffff;

/// Applies the type's length rules to an input text.
///
/// # Errors
/// 22021 for a NUL character, 22001 when `varchar(n)` or `char(n)` is too short for it.
pub fn parse(ty: PgType, text: &str) -> Result<String> {
    check(text.as_bytes())?;
    Ok(fit(ty, Cow::Borrowed(text), false)?.into_owned())
}

/// Checks bytes from a client: UTF-8 without NUL.
pub fn check(bytes: &[u8]) -> Result<&str> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("string is too long: {} bytes", bytes.len()),
        ));
    }
    let bad = |bytes: &[u8]| {
        let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                shown.join(" ")
            ),
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let rest = bytes.get(error.valid_up_to()..).unwrap_or(&[]);
        // PostgreSQL shows as many bytes as the first one announces.
        let announced = match rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf7) => 4,
            _ => 1,
        };
        bad(rest.get(..announced.min(rest.len())).unwrap_or(rest))
    })?;
    match memchr::memchr(0, bytes) {
        Some(_) => Err(bad(&[0])),
        None => Ok(text),
    }
}

/// Pads or cuts `text` to what `ty` holds. Only spaces are cut, unless `explicit` (a `CAST`).
///
/// # Errors
/// 22001 when characters other than spaces do not fit.
pub fn fit(ty: PgType, text: Cow<'_, str>, explicit: bool) -> Result<Cow<'_, str>> {
    match ty.oid {
        oid::NAME => Ok(cut(text, NAME_BYTES)),
        oid::CHAR => Ok(first_char(text)),
        oid::VARCHAR | oid::BPCHAR => match ty.max_length() {
            Some(limit) => fit_length(ty, text, limit, explicit),
            None => Ok(text),
        },
        _ => Ok(text),
    }
}

fn fit_length(
    ty: PgType,
    text: Cow<'_, str>,
    limit: usize,
    explicit: bool,
) -> Result<Cow<'_, str>> {
    let fixed = ty.oid == oid::BPCHAR;
    // Characters are at most as many as bytes, so most texts need no counting.
    if text.len() <= limit && !fixed {
        return Ok(text);
    }
    match text.char_indices().nth(limit).map(|(at, _)| at) {
        None if fixed => {
            let missing = limit - text.chars().count().min(limit);
            if missing == 0 {
                return Ok(text);
            }
            let mut padded = text.into_owned();
            padded.extend(std::iter::repeat_n(' ', missing));
            Ok(Cow::Owned(padded))
        }
        None => Ok(text),
        Some(end) => {
            let (kept, rest) = text.split_at(end);
            if !explicit && rest.bytes().any(|byte| byte != b' ') {
                let name = if fixed {
                    "character"
                } else {
                    "character varying"
                };
                return Err(Error::new(
                    SqlState::STRING_DATA_RIGHT_TRUNCATION,
                    format!("value too long for type {name}({limit})"),
                ));
            }
            Ok(Cow::Owned(kept.to_owned()))
        }
    }
}

/// At most `limit` bytes, cut between characters.
fn cut(text: Cow<'_, str>, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(text.get(..end).unwrap_or("").to_owned())
}

/// The one byte of a `"char"`; a byte above 127 keeps its octal form as text.
fn first_char(text: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    match bytes {
        [] => text,
        [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7'] => {
            let code = bytes
                .iter()
                .skip(1)
                .fold(0_u32, |code, digit| code << 3 | u32::from(digit - b'0'));
            match char::from_u32(code) {
                Some('\0') => Cow::Borrowed(""),
                Some(c) if c.is_ascii() => Cow::Owned(c.to_string()),
                _ => text,
            }
        }
        [first, ..] if first.is_ascii() => Cow::Owned(char::from(*first).to_string()),
        [first, ..] => Cow::Owned(format!("\\{first:03o}")),
    }
}

/// `char(n)` without its padding, as in comparisons and casts to text.
pub fn without_padding(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// A binary `"char"`: one byte.
pub fn recv_char(bytes: &[u8]) -> Result<String> {
    let [byte] = super::exact::<1>(bytes)?;
    Ok(match byte {
        0 => String::new(),
        1..=127 => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    })
}

/// The byte that a `"char"` stands for.
pub fn char_byte(text: &str) -> u8 {
    match text.as_bytes() {
        [] => 0,
        [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
            (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
        }
        [first, ..] => *first,
    }
}
