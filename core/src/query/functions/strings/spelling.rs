//! Text that spells something else: characters by their numbers, names in quotes.

use super::super::registry::Definitions;
use super::super::row::Call;
use super::{Datum, str_at, t, texts};
use crate::error::{Error, Result, SqlState};

pub(super) fn define(all: &mut Definitions) {
    all.add("unistr", "text", "text", |_, a| unistr(str_at(a, 0)));
    all.add("parse_ident", "text", "_text", |c, a| {
        parse_ident(c, str_at(a, 0), true)
    });
    all.add("parse_ident", "text,bool", "_text", |c, a| {
        parse_ident(c, str_at(a, 0), matches!(a.get(1), Some(Datum::Bool(true))))
    });
}

/// `\XXXX`, `\+XXXXXX`, `\uXXXX` and `\UXXXXXXXX` as the characters they name.
fn unistr(text: &str) -> Result<Datum<'static>> {
    let wrong = || {
        Error::new(SqlState::SYNTAX_ERROR, "invalid Unicode escape")
            .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let mut units: Vec<u16> = Vec::new();
    let mut buffer = [0_u16; 2];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        if let Some(after) = rest.strip_prefix('\\') {
            units.push(u16::from(b'\\'));
            rest = after;
            continue;
        }
        let (skip, length) = match rest.chars().next() {
            Some('+') => (1, 6),
            Some('u') => (1, 4),
            Some('U') => (1, 8),
            _ => (0, 4),
        };
        let digits = rest.get(skip..skip + length).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let code = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        match (u16::try_from(code), char::from_u32(code)) {
            (Ok(unit), _) if unit != 0 => units.push(unit),
            (_, Some(c)) if code != 0 => units.extend_from_slice(c.encode_utf16(&mut buffer)),
            _ => {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    format!("invalid Unicode code point: {code:04X}"),
                ));
            }
        }
        rest = rest.get(skip + length..).unwrap_or_default();
    }
    match String::from_utf16(&units) {
        Ok(text) => t(text),
        Err(_) => Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "invalid Unicode surrogate pair",
        )),
    }
}

/// The parts of a qualified name.
fn parse_ident(call: &Call<'_>, text: &str, strict: bool) -> Result<Datum<'static>> {
    let wrong = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("string is not a valid identifier: \"{text}\""),
        )
    };
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut inside = quoted;
            loop {
                let end = inside
                    .find('"')
                    .ok_or_else(|| wrong().detail("String has unclosed double quotes."))?;
                part.push_str(inside.get(..end).unwrap_or_default());
                inside = inside.get(end + 1..).unwrap_or_default();
                match inside.strip_prefix('"') {
                    Some(after) => {
                        part.push('"');
                        inside = after;
                    }
                    None => break,
                }
            }
            if part.is_empty() {
                return Err(wrong().detail("Quoted identifier must not be empty."));
            }
            parts.push(part);
            rest = inside;
        } else {
            let starts = |c: char| c == '_' || c.is_alphabetic();
            let continues = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
            if !rest.chars().next().is_some_and(starts) {
                return Err(match rest.chars().next() {
                    Some('.') => wrong().detail("No valid identifier before \".\"."),
                    None if !parts.is_empty() => wrong().detail("No valid identifier after \".\"."),
                    _ => wrong(),
                });
            }
            let end = rest.find(|c| !continues(c)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            parts.push(part.to_lowercase());
            rest = after;
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => {
                return texts(call, parts.iter().map(String::as_str));
            }
            None => return Err(wrong()),
        }
    }
}
