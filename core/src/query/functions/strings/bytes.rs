//! bytea: bytes and bits, encodings, digests.

use base64::Engine;
use sha2::Digest;

use super::super::registry::Definitions;
use super::super::session;
use super::{bytea, bytes_at, int_at, int4, negative_length, str_at, t, window};
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, PgType, text};

pub(super) fn define(all: &mut Definitions) {
    all.add("length", "bytea", "int4", |_, a| int4(bytes_at(a, 0).len()));
    all.add("octet_length", "bytea", "int4", |_, a| {
        int4(bytes_at(a, 0).len())
    });
    all.add("bit_length", "bytea", "int4", |_, a| {
        int4(bytes_at(a, 0).len() * 8)
    });
    for name in ["substring", "substr"] {
        all.add(name, "bytea,int4", "bytea", |_, a| {
            bytea(sub_bytes(bytes_at(a, 0), int_at(a, 1), None)?)
        });
        all.add(name, "bytea,int4,int4", "bytea", |_, a| {
            bytea(sub_bytes(bytes_at(a, 0), int_at(a, 1), Some(int_at(a, 2)))?)
        });
    }
    all.add("position", "bytea,bytea", "int4", |_, a| {
        int4(position(bytes_at(a, 0), bytes_at(a, 1)))
    });
    all.add("overlay", "bytea,bytea,int4", "bytea", |_, a| {
        let length = bytes_at(a, 1).len() as i64;
        overlay(bytes_at(a, 0), bytes_at(a, 1), int_at(a, 2), length)
    });
    all.add("overlay", "bytea,bytea,int4,int4", "bytea", |_, a| {
        overlay(bytes_at(a, 0), bytes_at(a, 1), int_at(a, 2), int_at(a, 3))
    });
    all.add("btrim", "bytea,bytea", "bytea", |_, a| {
        bytea(trim(bytes_at(a, 0), bytes_at(a, 1), true, true))
    });
    all.add("ltrim", "bytea,bytea", "bytea", |_, a| {
        bytea(trim(bytes_at(a, 0), bytes_at(a, 1), true, false))
    });
    all.add("rtrim", "bytea,bytea", "bytea", |_, a| {
        bytea(trim(bytes_at(a, 0), bytes_at(a, 1), false, true))
    });
    all.add("get_byte", "bytea,int4", "int4", |_, a| {
        let bytes = bytes_at(a, 0);
        usize::try_from(int_at(a, 1))
            .ok()
            .and_then(|at| bytes.get(at))
            .map(|byte| Datum::Int4(i32::from(*byte)))
            .ok_or_else(|| outside(int_at(a, 1), bytes.len() as i64))
    });
    all.add("set_byte", "bytea,int4,int4", "bytea", |_, a| {
        let mut bytes = bytes_at(a, 0).to_vec();
        let count = bytes.len() as i64;
        match usize::try_from(int_at(a, 1))
            .ok()
            .and_then(|at| bytes.get_mut(at))
        {
            Some(byte) => *byte = int_at(a, 2) as u8,
            None => return Err(outside(int_at(a, 1), count)),
        }
        bytea(bytes)
    });
    all.add("get_bit", "bytea,int8", "int4", |_, a| {
        let bytes = bytes_at(a, 0);
        let bit = int_at(a, 1);
        usize::try_from(bit.div_euclid(8))
            .ok()
            .and_then(|at| bytes.get(at))
            .map(|byte| Datum::Int4(i32::from(byte >> bit.rem_euclid(8) & 1)))
            .ok_or_else(|| outside(bit, bytes.len() as i64 * 8))
    });
    all.add("set_bit", "bytea,int8,int4", "bytea", |_, a| {
        let mut bytes = bytes_at(a, 0).to_vec();
        let count = bytes.len() as i64 * 8;
        let (bit, new) = (int_at(a, 1), int_at(a, 2));
        let Some(byte) = usize::try_from(bit.div_euclid(8))
            .ok()
            .and_then(|at| bytes.get_mut(at))
        else {
            return Err(outside(bit, count));
        };
        let mask = 1_u8 << bit.rem_euclid(8);
        match new {
            0 => *byte &= !mask,
            1 => *byte |= mask,
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "new bit must be 0 or 1",
                ));
            }
        }
        bytea(bytes)
    });
    all.add("bit_count", "bytea", "int8", |_, a| {
        let ones: u64 = bytes_at(a, 0)
            .iter()
            .map(|byte| u64::from(byte.count_ones()))
            .sum();
        Ok(Datum::Int8(ones as i64))
    });
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
    all.add("convert_from", "bytea,text", "text", |_, a| {
        convert_from(bytes_at(a, 0), str_at(a, 1))
    });
    all.add("convert_to", "text,text", "bytea", |_, a| {
        convert_to(str_at(a, 0), str_at(a, 1))
    });
    all.add("concat_op", "bytea,bytea", "bytea", |_, a| {
        bytea([bytes_at(a, 0), bytes_at(a, 1)].concat())
    });
}

fn outside(at: i64, count: i64) -> Error {
    Error::new(
        SqlState::ARRAY_SUBSCRIPT_ERROR,
        format!("index {at} out of valid range, 0..{}", count - 1),
    )
}

fn sub_bytes(bytes: &[u8], from: i64, length: Option<i64>) -> Result<Vec<u8>> {
    let (skip, take) = window(from, length)?;
    Ok(bytes.iter().skip(skip).take(take).copied().collect())
}

fn position(bytes: &[u8], needle: &[u8]) -> usize {
    memchr::memmem::find(bytes, needle).map_or(0, |at| at + 1)
}

fn overlay(bytes: &[u8], new: &[u8], from: i64, length: i64) -> Result<Datum<'static>> {
    if from <= 0 {
        return Err(negative_length());
    }
    let before = sub_bytes(bytes, 1, Some(from - 1))?;
    let after = sub_bytes(bytes, from.saturating_add(length), None)?;
    bytea([before.as_slice(), new, after.as_slice()].concat())
}

fn trim(bytes: &[u8], set: &[u8], start: bool, end: bool) -> Vec<u8> {
    let mut rest = bytes;
    while let [first, after @ ..] = rest
        && start
        && set.contains(first)
    {
        rest = after;
    }
    while let [before @ .., last] = rest
        && end
        && set.contains(last)
    {
        rest = before;
    }
    rest.to_vec()
}

/// An encoding that we can read and write.
enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

fn encoding(name: &str, what: &str) -> Result<Encoding> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    Ok(match plain.as_str() {
        "utf8" | "unicode" => Encoding::Utf8,
        "latin1" | "iso88591" => Encoding::Latin1,
        "sqlascii" => Encoding::Ascii,
        "latin2" | "latin3" | "latin4" | "latin5" | "latin9" | "win1250" | "win1251"
        | "win1252" | "win1253" | "win1254" | "koi8r" | "euckr" | "eucjp" | "euccn" | "sjis"
        | "big5" | "gbk" | "gb18030" => {
            return Err(Error::unsupported(
                format!("the encoding {name}"),
                "Use UTF8 or LATIN1.",
            ));
        }
        _ => {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid {what} encoding name \"{name}\""),
            ));
        }
    })
}

fn convert_from(bytes: &[u8], name: &str) -> Result<Datum<'static>> {
    match encoding(name, "source")? {
        Encoding::Latin1 => t(bytes
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()),
        Encoding::Utf8 | Encoding::Ascii => t(utf8(bytes)?),
    }
}

fn convert_to(text: &str, name: &str) -> Result<Datum<'static>> {
    match encoding(name, "destination")? {
        Encoding::Utf8 | Encoding::Ascii => bytea(text.as_bytes().to_vec()),
        Encoding::Latin1 => {
            let mut out = Vec::with_capacity(text.len());
            for c in text.chars() {
                out.push(u8::try_from(u32::from(c)).map_err(|_| {
                    let mut buffer = [0; 4];
                    Error::new(
                        SqlState::UNTRANSLATABLE_CHARACTER,
                        format!(
                            "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
                            hex_list(c.encode_utf8(&mut buffer).as_bytes())
                        ),
                    )
                })?);
            }
            bytea(out)
        }
    }
}

fn hex_list(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    shown.join(" ")
}

/// Text, or 22021 that shows the bytes where it ends.
fn utf8(bytes: &[u8]) -> Result<&str> {
    let zero = memchr::memchr(0, bytes);
    let (end, error) = match (std::str::from_utf8(bytes), zero) {
        (Ok(text), None) => return Ok(text),
        (Ok(_), Some(zero)) => (zero, 1),
        (Err(error), zero) => match zero {
            Some(zero) if zero < error.valid_up_to() => (zero, 1),
            _ => (error.valid_up_to(), 0),
        },
    };
    let rest = bytes.get(end..).unwrap_or_default();
    // As many bytes as the first one announces.
    let announced = match rest.first() {
        _ if error == 1 => 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    Err(Error::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            hex_list(rest.get(..announced).unwrap_or(rest))
        ),
    ))
}

fn md5_hex(bytes: &[u8]) -> String {
    session::hex(&session::md5(bytes))
}

fn encode(bytes: &[u8], format: &str) -> Result<Datum<'static>> {
    match format {
        "hex" => t(session::hex(bytes)),
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
