//! Text: one file for each family of functions.

mod bytes;
mod compose;
mod like;
mod patterns;
mod regexp;
mod regexp_compile;
mod spelling;

pub(in crate::query) use like::like_pieces;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};

use super::limits;
use super::registry::Definitions;
use super::row::{Call, RowFunction};
use crate::error::{Error, Result, SqlState};
use crate::types::{Array, Datum, PgType, text};

/// A function that operators use.
pub(super) fn internal(name: &'static str) -> Arc<ScalarUDF> {
    RowFunction::new(
        name,
        vec![PgType::TEXT, PgType::TEXT],
        PgType::TEXT,
        Volatility::Immutable,
        true,
        |_, a| Ok(Datum::text(format!("{}{}", str_at(a, 0), str_at(a, 1)))),
    )
    .into_udf()
}

/// The text argument at `at`.
pub(super) fn str_at<'d>(args: &'d [Datum<'_>], at: usize) -> &'d str {
    match args.get(at) {
        Some(Datum::Text(text)) => text,
        _ => "",
    }
}

/// The integer argument at `at`.
pub(super) fn int_at(args: &[Datum<'_>], at: usize) -> i64 {
    match args.get(at) {
        Some(Datum::Int2(value)) => i64::from(*value),
        Some(Datum::Int4(value)) => i64::from(*value),
        Some(Datum::Int8(value)) => *value,
        Some(Datum::Oid(value)) => i64::from(*value),
        _ => 0,
    }
}

fn bytes_at<'d>(args: &'d [Datum<'_>], at: usize) -> &'d [u8] {
    match args.get(at) {
        Some(Datum::Bytea(bytes)) => bytes,
        _ => &[],
    }
}

fn t(text: impl Into<String>) -> Result<Datum<'static>> {
    Ok(Datum::text(text))
}

fn bytea(bytes: Vec<u8>) -> Result<Datum<'static>> {
    Ok(Datum::Bytea(Cow::Owned(bytes)))
}

fn int4(value: usize) -> Result<Datum<'static>> {
    Ok(Datum::Int4(i32::try_from(value).unwrap_or(i32::MAX)))
}

fn negative_length() -> Error {
    Error::new(
        SqlState::SUBSTRING_ERROR,
        "negative substring length not allowed",
    )
}

pub(super) fn define(all: &mut Definitions) {
    all.add("upper", "text", "text", |_, a| {
        t(str_at(a, 0).to_uppercase())
    });
    all.add("lower", "text", "text", |_, a| {
        t(str_at(a, 0).to_lowercase())
    });
    all.add("initcap", "text", "text", |_, a| t(initcap(str_at(a, 0))));
    for name in ["length", "char_length", "character_length"] {
        all.add(name, "text", "int4", |_, a| {
            int4(str_at(a, 0).chars().count())
        });
        all.add(name, "bpchar", "int4", |_, a| {
            int4(str_at(a, 0).trim_end_matches(' ').chars().count())
        });
    }
    all.add("octet_length", "text", "int4", |_, a| {
        int4(str_at(a, 0).len())
    });
    all.add("octet_length", "bpchar", "int4", |_, a| {
        int4(str_at(a, 0).len())
    });
    all.add("bit_length", "text", "int4", |_, a| {
        int4(str_at(a, 0).len() * 8)
    });
    for name in ["substring", "substr"] {
        all.add(name, "text,int4", "text", |_, a| {
            t(substring(str_at(a, 0), int_at(a, 1), None)?)
        });
        all.add(name, "text,int4,int4", "text", |_, a| {
            t(substring(str_at(a, 0), int_at(a, 1), Some(int_at(a, 2)))?)
        });
    }
    all.add("position", "text,text", "int4", |_, a| {
        int4(position(str_at(a, 0), str_at(a, 1)))
    });
    all.add("strpos", "text,text", "int4", |_, a| {
        int4(position(str_at(a, 0), str_at(a, 1)))
    });
    all.add("overlay", "text,text,int4", "text", |_, a| {
        let length = str_at(a, 1).chars().count() as i64;
        t(overlay(str_at(a, 0), str_at(a, 1), int_at(a, 2), length)?)
    });
    all.add("overlay", "text,text,int4,int4", "text", |_, a| {
        t(overlay(
            str_at(a, 0),
            str_at(a, 1),
            int_at(a, 2),
            int_at(a, 3),
        )?)
    });
    all.add("btrim", "text", "text", |_, a| {
        t(str_at(a, 0).trim_matches(' '))
    });
    all.add("ltrim", "text", "text", |_, a| {
        t(str_at(a, 0).trim_start_matches(' '))
    });
    all.add("rtrim", "text", "text", |_, a| {
        t(str_at(a, 0).trim_end_matches(' '))
    });
    all.add("btrim", "text,text", "text", |_, a| {
        t(str_at(a, 0).trim_matches(|c| str_at(a, 1).contains(c)))
    });
    all.add("ltrim", "text,text", "text", |_, a| {
        t(str_at(a, 0).trim_start_matches(|c| str_at(a, 1).contains(c)))
    });
    all.add("rtrim", "text,text", "text", |_, a| {
        t(str_at(a, 0).trim_end_matches(|c| str_at(a, 1).contains(c)))
    });
    all.add("lpad", "text,int4", "text", |c, a| {
        t(pad(c, str_at(a, 0), int_at(a, 1), " ", true)?)
    });
    all.add("rpad", "text,int4", "text", |c, a| {
        t(pad(c, str_at(a, 0), int_at(a, 1), " ", false)?)
    });
    all.add("lpad", "text,int4,text", "text", |c, a| {
        t(pad(c, str_at(a, 0), int_at(a, 1), str_at(a, 2), true)?)
    });
    all.add("rpad", "text,int4,text", "text", |c, a| {
        t(pad(c, str_at(a, 0), int_at(a, 1), str_at(a, 2), false)?)
    });
    all.add("left", "text,int4", "text", |_, a| {
        let count = int_at(a, 1);
        let length = str_at(a, 0).chars().count() as i64;
        let keep = if count < 0 { length + count } else { count };
        t(str_at(a, 0)
            .chars()
            .take(keep.max(0) as usize)
            .collect::<String>())
    });
    all.add("right", "text,int4", "text", |_, a| {
        let count = int_at(a, 1);
        let length = str_at(a, 0).chars().count() as i64;
        let skip = if count < 0 {
            count.saturating_neg()
        } else {
            length - count
        };
        t(str_at(a, 0)
            .chars()
            .skip(skip.max(0) as usize)
            .collect::<String>())
    });
    all.add("repeat", "text,int4", "text", |c, a| {
        let count = int_at(a, 1).max(0) as usize;
        c.limit.fits(str_at(a, 0).len().saturating_mul(count))?;
        t(str_at(a, 0).repeat(count))
    });
    all.add("reverse", "text", "text", |_, a| {
        t(str_at(a, 0).chars().rev().collect::<String>())
    });
    all.add("replace", "text,text,text", "text", |c, a| {
        if str_at(a, 1).is_empty() {
            return t(str_at(a, 0));
        }
        replace_all(c, str_at(a, 0), str_at(a, 1), str_at(a, 2))
    });
    all.add("translate", "text,text,text", "text", |_, a| {
        t(translate(str_at(a, 0), str_at(a, 1), str_at(a, 2)))
    });
    all.add("split_part", "text,text,int4", "text", |_, a| {
        split_part(str_at(a, 0), str_at(a, 1), int_at(a, 2))
    });
    all.add("starts_with", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(str_at(a, 0).starts_with(str_at(a, 1))))
    });
    all.add("ascii", "text", "int4", |_, a| {
        Ok(Datum::Int4(
            str_at(a, 0).chars().next().map_or(0, |c| c as i32),
        ))
    });
    all.add("chr", "int4", "text", |_, a| {
        let code = int_at(a, 0);
        let refused = |message: String| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
        match u32::try_from(code) {
            Err(_) => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "character number must be positive",
            )),
            Ok(0) => Err(refused("null character not permitted".to_owned())),
            Ok(code) => match char::from_u32(code) {
                Some(c) => t(c.to_string()),
                None if code > u32::from(char::MAX) => Err(refused(format!(
                    "requested character too large for encoding: {code}"
                ))),
                None => Err(refused(format!(
                    "requested character not valid for encoding: {code}"
                ))),
            },
        }
    });
    all.add("to_hex", "int4", "text", |_, a| {
        t(format!("{:x}", int_at(a, 0) as i32))
    });
    all.add("to_hex", "int8", "text", |_, a| {
        t(format!("{:x}", int_at(a, 0)))
    });
    all.add("string_to_array", "text,text", "_text", |c, a| {
        string_to_array(c, a)
    })
    .takes_null();
    all.add("string_to_array", "text,text,text", "_text", |c, a| {
        string_to_array(c, a)
    })
    .takes_null();
    bytes::define(all);
    compose::define(all);
    patterns::define(all);
    regexp::define(all);
    spelling::define(all);
}

/// The text form of any value.
pub(super) fn shown(call: &Call<'_>, value: &Datum<'_>, ty: PgType) -> String {
    match value {
        Datum::Text(text) => text.to_string(),
        value => text::to_string(value, ty, call.style()),
    }
}

fn texts<'t>(call: &Call<'_>, parts: impl Iterator<Item = &'t str>) -> Result<Datum<'static>> {
    Ok(Datum::Array(Box::new(Array {
        element: PgType::TEXT,
        items: limits::collect(call.limit, parts.map(Datum::text))?,
    })))
}

/// Each character of `from` as the one at its place in `to`, or left out when there is none.
fn translate(text: &str, from: &str, to: &str) -> String {
    let mut to = to.chars();
    let mut map = HashMap::new();
    for c in from.chars() {
        let new = to.next();
        map.entry(c).or_insert(new);
    }
    text.chars()
        .filter_map(|c| match map.get(&c) {
            Some(new) => *new,
            None => Some(c),
        })
        .collect()
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .flat_map(|c| {
            let mapped: Vec<char> = if inside {
                c.to_lowercase().collect()
            } else {
                c.to_uppercase().collect()
            };
            inside = c.is_alphanumeric();
            mapped
        })
        .collect()
}

/// Characters `from … from + length`, counted from 1, cut to what is there.
fn substring(text: &str, from: i64, length: Option<i64>) -> Result<String> {
    let (skip, take) = window(from, length)?;
    Ok(text.chars().skip(skip).take(take).collect())
}

fn window(from: i64, length: Option<i64>) -> Result<(usize, usize)> {
    let end = match length {
        Some(length) if length < 0 => return Err(negative_length()),
        Some(length) => from.saturating_add(length),
        None => i64::MAX,
    };
    let start = from.max(1);
    Ok(((start - 1) as usize, (end - start).max(0) as usize))
}

fn position(text: &str, needle: &str) -> usize {
    match text.find(needle) {
        Some(at) => text.get(..at).map_or(0, |before| before.chars().count()) + 1,
        None => 0,
    }
}

fn overlay(text: &str, new: &str, from: i64, length: i64) -> Result<String> {
    if from <= 0 {
        return Err(negative_length());
    }
    let before = substring(text, 1, Some(from - 1))?;
    let after = substring(text, from.saturating_add(length), None)?;
    Ok(format!("{before}{new}{after}"))
}

fn pad(call: &Call<'_>, text: &str, length: i64, fill: &str, left: bool) -> Result<String> {
    let length = length.max(0) as usize;
    // Four bytes a character, at most.
    call.limit.fits(length.saturating_mul(4))?;
    let count = text.chars().count();
    if count >= length {
        return Ok(text.chars().take(length).collect());
    }
    let filling: String = fill
        .chars()
        .cycle()
        .take(if fill.is_empty() { 0 } else { length - count })
        .collect();
    Ok(if left {
        format!("{filling}{text}")
    } else {
        format!("{text}{filling}")
    })
}

fn split_part(text: &str, delimiter: &str, at: i64) -> Result<Datum<'static>> {
    if at == 0 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "field position must not be zero",
        ));
    }
    if delimiter.is_empty() {
        return t(if at == 1 || at == -1 { text } else { "" });
    }
    let parts: Vec<&str> = text.split(delimiter).collect();
    let index = if at > 0 {
        at - 1
    } else {
        parts.len() as i64 + at
    };
    t(usize::try_from(index)
        .ok()
        .and_then(|at| parts.get(at).copied())
        .unwrap_or(""))
}

/// `replace`, refused before it grows beyond what a text may be.
fn replace_all(call: &Call<'_>, text: &str, from: &str, to: &str) -> Result<Datum<'static>> {
    let grown = to.len().saturating_sub(from.len());
    if grown > 0 {
        let count = text.matches(from).count();
        call.limit
            .fits(text.len().saturating_add(grown.saturating_mul(count)))?;
    }
    t(text.replace(from, to))
}

fn string_to_array(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Datum::Text(text)) = args.first() else {
        return Ok(Datum::Null);
    };
    let null = match args.get(2) {
        Some(Datum::Text(null)) => Some(null.as_ref()),
        _ => None,
    };
    let item = |part: &str| match Some(part) == null {
        true => Datum::Null,
        false => Datum::text(part),
    };
    let items = match args.get(1) {
        _ if text.is_empty() => Vec::new(),
        Some(Datum::Text(delimiter)) if delimiter.is_empty() => vec![item(text)],
        Some(Datum::Text(delimiter)) => {
            limits::collect(call.limit, text.split(delimiter.as_ref()).map(item))?
        }
        _ => {
            let mut buffer = [0; 4];
            limits::collect(
                call.limit,
                text.chars().map(|c| item(c.encode_utf8(&mut buffer))),
            )?
        }
    };
    Ok(Datum::Array(Box::new(Array {
        element: PgType::TEXT,
        items,
    })))
}
