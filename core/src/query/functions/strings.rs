//! Text: PostgreSQL's string functions, patterns and regular expressions.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use datafusion::logical_expr::{ScalarUDF, Volatility};
use sha2::Digest;

use super::registry::Definitions;
use super::row::{Call, RowFunction};
use crate::error::{Error, Result, SqlState};
use crate::types::{Array, Datum, PgType, text};

/// The longest text that a function makes, as in PostgreSQL.
const MAX_TEXT: usize = 0x3fff_ffff;

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

fn too_long() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        "requested length too large",
    )
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
    all.add("length", "bytea", "int4", |_, a| int4(bytes_at(a, 0).len()));
    all.add("octet_length", "text", "int4", |_, a| {
        int4(str_at(a, 0).len())
    });
    all.add("octet_length", "bpchar", "int4", |_, a| {
        int4(str_at(a, 0).len())
    });
    all.add("octet_length", "bytea", "int4", |_, a| {
        int4(bytes_at(a, 0).len())
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
        all.add(name, "bytea,int4", "bytea", |_, a| {
            bytea(sub_bytes(bytes_at(a, 0), int_at(a, 1), None)?)
        });
        all.add(name, "bytea,int4,int4", "bytea", |_, a| {
            bytea(sub_bytes(bytes_at(a, 0), int_at(a, 1), Some(int_at(a, 2)))?)
        });
    }
    all.add("substring", "text,text", "text", |_, a| {
        let regex = regex(str_at(a, 1), "")?;
        Ok(match regex.captures(str_at(a, 0)) {
            Some(found) => match found.get(1).or_else(|| found.get(0)) {
                Some(part) => Datum::text(part.as_str()),
                None => Datum::Null,
            },
            None => Datum::Null,
        })
    });
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
    all.add("lpad", "text,int4", "text", |_, a| {
        t(pad(str_at(a, 0), int_at(a, 1), " ", true)?)
    });
    all.add("rpad", "text,int4", "text", |_, a| {
        t(pad(str_at(a, 0), int_at(a, 1), " ", false)?)
    });
    all.add("lpad", "text,int4,text", "text", |_, a| {
        t(pad(str_at(a, 0), int_at(a, 1), str_at(a, 2), true)?)
    });
    all.add("rpad", "text,int4,text", "text", |_, a| {
        t(pad(str_at(a, 0), int_at(a, 1), str_at(a, 2), false)?)
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
        let skip = if count < 0 { -count } else { length - count };
        t(str_at(a, 0)
            .chars()
            .skip(skip.max(0) as usize)
            .collect::<String>())
    });
    all.add("repeat", "text,int4", "text", |_, a| {
        let count = int_at(a, 1).max(0) as usize;
        if str_at(a, 0).len().saturating_mul(count) > MAX_TEXT {
            return Err(too_long());
        }
        t(str_at(a, 0).repeat(count))
    });
    all.add("reverse", "text", "text", |_, a| {
        t(str_at(a, 0).chars().rev().collect::<String>())
    });
    all.add("replace", "text,text,text", "text", |_, a| {
        if str_at(a, 1).is_empty() {
            return t(str_at(a, 0));
        }
        t(str_at(a, 0).replace(str_at(a, 1), str_at(a, 2)))
    });
    all.add("translate", "text,text,text", "text", |_, a| {
        let to: Vec<char> = str_at(a, 2).chars().collect();
        t(str_at(a, 0)
            .chars()
            .filter_map(|c| match str_at(a, 1).chars().position(|from| from == c) {
                Some(at) => to.get(at).copied(),
                None => Some(c),
            })
            .collect::<String>())
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
        match u32::try_from(int_at(a, 0)).ok() {
            Some(0) => Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "null character not permitted",
            )),
            code => match code.and_then(char::from_u32) {
                Some(c) => t(c.to_string()),
                None => Err(Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "requested character not valid for encoding: UTF8",
                )),
            },
        }
    });
    all.add("concat", "...any", "text", |c, a| {
        let mut out = String::new();
        for (value, ty) in a.iter().zip(c.types) {
            if !value.is_null() {
                out.push_str(&shown(c, value, *ty));
            }
        }
        t(out)
    })
    .takes_null()
    .stable();
    all.add("concat_ws", "text,...any", "text", |c, a| {
        if a.first().is_none_or(Datum::is_null) {
            return Ok(Datum::Null);
        }
        let parts: Vec<String> = a
            .iter()
            .zip(c.types)
            .skip(1)
            .filter(|(value, _)| !value.is_null())
            .map(|(value, ty)| shown(c, value, *ty))
            .collect();
        t(parts.join(str_at(a, 0)))
    })
    .takes_null()
    .stable();
    all.add("format", "text,...any", "text", format)
        .takes_null()
        .stable();
    all.add("format", "text", "text", format)
        .takes_null()
        .stable();
    all.add("quote_ident", "text", "text", |_, a| {
        t(crate::catalog::quote(str_at(a, 0)))
    });
    all.add("quote_literal", "text", "text", |_, a| {
        t(quote_literal(str_at(a, 0)))
    });
    all.add("quote_nullable", "text", "text", |_, a| match a.first() {
        Some(Datum::Text(text)) => t(quote_literal(text)),
        _ => t("NULL"),
    })
    .takes_null();
    all.add("md5", "text", "text", |_, a| {
        t(md5_hex(str_at(a, 0).as_bytes()))
    });
    all.add("md5", "bytea", "text", |_, a| t(md5_hex(bytes_at(a, 0))));
    all.add("sha224", "bytea", "bytea", |_, a| {
        bytea(sha2::Sha224::digest(bytes_at(a, 0)).to_vec())
    });
    all.add("sha256", "bytea", "bytea", |_, a| {
        bytea(sha2::Sha256::digest(bytes_at(a, 0)).to_vec())
    });
    all.add("sha384", "bytea", "bytea", |_, a| {
        bytea(sha2::Sha384::digest(bytes_at(a, 0)).to_vec())
    });
    all.add("sha512", "bytea", "bytea", |_, a| {
        bytea(sha2::Sha512::digest(bytes_at(a, 0)).to_vec())
    });
    all.add("encode", "bytea,text", "text", |_, a| {
        encode(bytes_at(a, 0), str_at(a, 1))
    });
    all.add("decode", "text,text", "bytea", |_, a| {
        decode(str_at(a, 0), str_at(a, 1))
    });
    all.add(
        "convert_from",
        "bytea,text",
        "text",
        |_, a| match std::str::from_utf8(bytes_at(a, 0)) {
            Ok(text) => t(text),
            Err(_) => Err(Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\"",
            )),
        },
    );
    all.add("convert_to", "text,text", "bytea", |_, a| {
        bytea(str_at(a, 0).as_bytes().to_vec())
    });
    all.add("to_hex", "int4", "text", |_, a| {
        t(format!("{:x}", int_at(a, 0) as i32))
    });
    all.add("to_hex", "int8", "text", |_, a| {
        t(format!("{:x}", int_at(a, 0)))
    });
    all.add("concat_op", "bytea,bytea", "bytea", |_, a| {
        bytea([bytes_at(a, 0), bytes_at(a, 1)].concat())
    });
    all.add("like_escape", "text,text", "text", |_, a| {
        t(like_escape(str_at(a, 0), str_at(a, 1))?)
    });
    all.add("similar_to_escape", "text", "text", |_, a| {
        t(similar(str_at(a, 0), Some('\\')))
    });
    all.add("similar_to_escape", "text,text", "text", |_, a| {
        t(similar(str_at(a, 0), str_at(a, 1).chars().next()))
    });
    all.add("textregexeq", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(regex(str_at(a, 1), "")?.is_match(str_at(a, 0))))
    });
    all.add("texticregexeq", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            regex(str_at(a, 1), "i")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("textregexne", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            !regex(str_at(a, 1), "")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("texticregexne", "text,text", "bool", |_, a| {
        Ok(Datum::Bool(
            !regex(str_at(a, 1), "i")?.is_match(str_at(a, 0)),
        ))
    });
    all.add("regexp_replace", "text,text,text", "text", |_, a| {
        regexp_replace(a, "")
    });
    all.add("regexp_replace", "text,text,text,text", "text", |_, a| {
        regexp_replace(a, str_at(a, 3))
    });
    for (name, args) in [
        ("regexp_match", "text,text"),
        ("regexp_match", "text,text,text"),
    ] {
        all.add(name, args, "_text", |_, a| {
            let regex = regex(str_at(a, 1), str_at(a, 2))?;
            Ok(match regex.captures(str_at(a, 0)) {
                Some(found) => Datum::Array(Box::new(groups(&found))),
                None => Datum::Null,
            })
        });
    }
    for args in ["text,text", "text,text,text"] {
        all.add("regexp_split_to_array", args, "_text", |_, a| {
            let regex = regex(str_at(a, 1), str_at(a, 2))?;
            texts(regex.split(str_at(a, 0)))
        });
        all.add("regexp_like", args, "bool", |_, a| {
            Ok(Datum::Bool(
                regex(str_at(a, 1), str_at(a, 2))?.is_match(str_at(a, 0)),
            ))
        });
        all.add("regexp_count", args, "int4", |_, a| {
            int4(
                regex(str_at(a, 1), str_at(a, 2))?
                    .find_iter(str_at(a, 0))
                    .count(),
            )
        });
    }
    all.add("string_to_array", "text,text", "_text", |_, a| {
        string_to_array(a)
    })
    .takes_null();
    all.add("string_to_array", "text,text,text", "_text", |_, a| {
        string_to_array(a)
    })
    .takes_null();
    all.add("unistr", "text", "text", |_, a| t(str_at(a, 0)));
    all.add("char_length_op", "text", "int4", |_, a| {
        int4(str_at(a, 0).chars().count())
    });
}

/// The text form of any value.
pub(super) fn shown(call: &Call<'_>, value: &Datum<'_>, ty: PgType) -> String {
    match value {
        Datum::Text(text) => text.to_string(),
        value => text::to_string(value, ty, call.style()),
    }
}

fn texts<'t>(parts: impl Iterator<Item = &'t str>) -> Result<Datum<'static>> {
    Ok(Datum::Array(Box::new(Array {
        element: PgType::TEXT,
        items: parts.map(Datum::text).collect(),
    })))
}

fn groups(found: &regex::Captures<'_>) -> Array {
    let from = usize::from(found.len() > 1);
    Array {
        element: PgType::TEXT,
        items: (from..found.len())
            .map(|at| {
                found
                    .get(at)
                    .map_or(Datum::Null, |part| Datum::text(part.as_str()))
            })
            .collect(),
    }
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

fn sub_bytes(bytes: &[u8], from: i64, length: Option<i64>) -> Result<Vec<u8>> {
    let (skip, take) = window(from, length)?;
    Ok(bytes.iter().skip(skip).take(take).copied().collect())
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

fn pad(text: &str, length: i64, fill: &str, left: bool) -> Result<String> {
    let length = length.max(0) as usize;
    if length > MAX_TEXT / 4 {
        return Err(too_long());
    }
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

fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

fn md5_hex(bytes: &[u8]) -> String {
    super::session::hex(&super::session::md5(bytes))
}

fn encode(bytes: &[u8], format: &str) -> Result<Datum<'static>> {
    match format {
        "hex" => t(super::session::hex(bytes)),
        "base64" => {
            let plain = base64::engine::general_purpose::STANDARD.encode(bytes);
            let lines: Vec<String> = plain
                .as_bytes()
                .chunks(76)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect();
            t(lines.join("\n"))
        }
        "escape" => {
            let mut out = String::new();
            for byte in bytes {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 0x80..=0xff => out.push_str(&format!("\\{byte:03o}")),
                    byte => out.push(char::from(*byte)),
                }
            }
            t(out)
        }
        other => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("unrecognized encoding: \"{other}\""),
        )),
    }
}

fn decode(text: &str, format: &str) -> Result<Datum<'static>> {
    match format {
        "hex" => match text::parse(PgType::BYTEA, &format!("\\x{text}"), &Default::default())? {
            Datum::Bytea(bytes) => bytea(bytes.into_owned()),
            _ => Ok(Datum::Null),
        },
        "base64" => {
            let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            match base64::engine::general_purpose::STANDARD.decode(plain) {
                Ok(bytes) => bytea(bytes),
                Err(_) => Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "invalid base64 end sequence",
                )),
            }
        }
        "escape" => match text::parse(PgType::BYTEA, text, &Default::default())? {
            Datum::Bytea(bytes) => bytea(bytes.into_owned()),
            _ => Ok(Datum::Null),
        },
        other => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("unrecognized encoding: \"{other}\""),
        )),
    }
}

/// A LIKE pattern with another escape character, rewritten to the backslash.
fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let mut chars = escape.chars();
    let escape = match (chars.next(), chars.next()) {
        (None, _) => None,
        (Some(c), None) => Some(c),
        _ => {
            return Err(
                Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                    .hint("Escape string must be empty or one character."),
            );
        }
    };
    let mut out = String::with_capacity(pattern.len());
    let mut pending = false;
    for c in pattern.chars() {
        if !pending && Some(c) == escape {
            pending = true;
            continue;
        }
        if pending || c == '\\' {
            out.push('\\');
        }
        out.push(c);
        pending = false;
    }
    Ok(out)
}

/// SIMILAR TO's pattern as a regular expression.
fn similar(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut inside = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(next) = chars.next() {
                out.push_str(&regex::escape(&next.to_string()));
            }
            continue;
        }
        match c {
            '[' => {
                inside = true;
                out.push('[');
            }
            ']' => {
                inside = false;
                out.push(']');
            }
            c if inside => out.push(c),
            '%' => out.push_str("(?s:.*)"),
            '_' => out.push_str("(?s:.)"),
            '.' | '^' | '$' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push_str(")$");
    out
}

/// A regular expression with PostgreSQL's flags.
fn regex(pattern: &str, flags: &str) -> Result<regex::Regex> {
    let mut builder = regex::RegexBuilder::new(&translate_regex(pattern));
    // A dot matches line ends, and anchors the whole text, unless flags say otherwise.
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            's' => builder.multi_line(false).dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'g' => &mut builder,
            other => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid regular expression option: \"{other}\""),
                ));
            }
        };
    }
    builder.build().map_err(|error| {
        Error::new(
            SqlState::INVALID_REGULAR_EXPRESSION,
            format!("invalid regular expression: {error}"),
        )
    })
}

/// PostgreSQL's word escapes in the words of the regex crate.
fn translate_regex(pattern: &str) -> Cow<'_, str> {
    if let Some(plain) = pattern.strip_prefix("***=") {
        return Cow::Owned(regex::escape(plain));
    }
    let pattern = pattern.strip_prefix("***:").unwrap_or(pattern);
    if !pattern.contains("\\m")
        && !pattern.contains("\\M")
        && !pattern.contains("\\y")
        && !pattern.contains("\\Y")
        && !pattern.contains("\\Z")
        && !pattern.contains("[[:")
    {
        return Cow::Borrowed(pattern);
    }
    Cow::Owned(
        pattern
            .replace("[[:<:]]", "\\b{start}")
            .replace("[[:>:]]", "\\b{end}")
            .replace("\\m", "\\b{start}")
            .replace("\\M", "\\b{end}")
            .replace("\\y", "\\b")
            .replace("\\Y", "\\B")
            .replace("\\Z", "\\z"),
    )
}

fn regexp_replace(args: &[Datum<'_>], flags: &str) -> Result<Datum<'static>> {
    let regex = regex(str_at(args, 1), flags)?;
    let limit = usize::from(!flags.contains('g'));
    // `\1` and `\&` are PostgreSQL's; `$` is no sign of its own.
    let template = str_at(args, 2);
    let replace = |found: &regex::Captures<'_>| {
        let mut out = String::new();
        let mut chars = template.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('&') => out.push_str(found.get(0).map_or("", |part| part.as_str())),
                Some(digit) if digit.is_ascii_digit() => {
                    let at = digit as usize - '0' as usize;
                    out.push_str(found.get(at).map_or("", |part| part.as_str()));
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            }
        }
        out
    };
    t(regex.replacen(str_at(args, 0), limit, replace).into_owned())
}

fn string_to_array(args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Datum::Text(text)) = args.first() else {
        return Ok(Datum::Null);
    };
    let null = match args.get(2) {
        Some(Datum::Text(null)) => Some(null.as_ref()),
        _ => None,
    };
    let parts: Vec<String> = match args.get(1) {
        _ if text.is_empty() => Vec::new(),
        Some(Datum::Text(delimiter)) if delimiter.is_empty() => vec![text.to_string()],
        Some(Datum::Text(delimiter)) => text.split(delimiter.as_ref()).map(str::to_owned).collect(),
        _ => text.chars().map(String::from).collect(),
    };
    Ok(Datum::Array(Box::new(Array {
        element: PgType::TEXT,
        items: parts
            .into_iter()
            .map(|part| {
                if Some(part.as_str()) == null {
                    Datum::Null
                } else {
                    Datum::text(part)
                }
            })
            .collect(),
    })))
}

/// `format()`: `%s`, `%I`, `%L`, `%%`, with positions and widths.
fn format(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Datum::Text(template)) = args.first() else {
        return Ok(Datum::Null);
    };
    let wrong = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    let mut next = 1;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut number = String::new();
        let mut minus = false;
        let mut width = String::new();
        while let Some(digit) = chars.peek().copied().filter(char::is_ascii_digit) {
            number.push(digit);
            chars.next();
        }
        if chars.peek() == Some(&'$') {
            chars.next();
            next = number.parse().map_err(|_| {
                wrong("format specifies argument 0, but arguments are numbered from 1".to_owned())
            })?;
        } else {
            width = number;
        }
        if chars.peek() == Some(&'-') {
            minus = true;
            chars.next();
        }
        while let Some(digit) = chars.peek().copied().filter(char::is_ascii_digit) {
            width.push(digit);
            chars.next();
        }
        let kind = chars
            .next()
            .ok_or_else(|| wrong("unterminated format() type specifier".to_owned()))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let (Some(value), Some(ty)) = (args.get(next), call.types.get(next)) else {
            return Err(wrong("too few arguments for format()".to_owned()));
        };
        next += 1;
        let text = match (kind, value) {
            ('s', Datum::Null) => String::new(),
            ('s', value) => shown(call, value, *ty),
            ('I', Datum::Null) => {
                return Err(Error::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            ('I', value) => crate::catalog::quote(&shown(call, value, *ty)),
            ('L', Datum::Null) => "NULL".to_owned(),
            ('L', value) => quote_literal(&shown(call, value, *ty)),
            (other, _) => {
                return Err(wrong(format!(
                    "unrecognized format() type specifier \"{other}\""
                )));
            }
        };
        let width = width.parse::<i64>().unwrap_or(0);
        let length = text.chars().count() as i64;
        out.push_str(&if length >= width {
            text
        } else {
            pad(&text, width, " ", !minus)?
        });
    }
    t(out)
}
