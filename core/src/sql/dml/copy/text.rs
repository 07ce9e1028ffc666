//! Text format: fields divided by a delimiter, special characters behind backslashes.

use std::borrow::Cow;

use memchr::memchr2;

use super::lines::{bad, split};
use super::options::Options;
use crate::error::{Error, Result, SqlState};

/// Splits a record into its fields; `None` is NULL.
///
/// # Errors
/// 22P04 for a carriage return that is not escaped, 22021 when an escape makes invalid UTF-8.
pub(super) fn fields<'a>(
    line: &'a str,
    options: &Options,
    out: &mut Vec<Option<Cow<'a, str>>>,
) -> Result<()> {
    if memchr2(b'\\', b'\r', line.as_bytes()).is_none() {
        let fields = split(line, options.delimiter);
        out.extend(fields.map(|field| (field != options.null).then_some(Cow::Borrowed(field))));
        return Ok(());
    }
    if has_bare_return(line.as_bytes()) {
        return Err(bad("literal carriage return found in data")
            .hint("Use \"\\r\" to represent carriage return."));
    }
    for field in split_escaped(line, options.delimiter) {
        out.push(match field == options.null {
            true => None,
            false => Some(unescape(field)?),
        });
    }
    Ok(())
}

fn has_bare_return(line: &[u8]) -> bool {
    let mut escaped = false;
    for byte in line {
        match byte {
            b'\r' if !escaped => return true,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    false
}

/// The parts of a record between delimiters that have no backslash before them.
fn split_escaped(line: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut escaped = false;
        for (at, byte) in text.bytes().enumerate() {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == delimiter {
                rest = text.get(at.saturating_add(1)..);
                return text.get(..at);
            }
        }
        rest = None;
        Some(text)
    })
}

fn unescape(field: &str) -> Result<Cow<'_, str>> {
    if !field.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(field));
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(byte) = bytes.next() else {
            out.push(b'\\');
            break;
        };
        out.push(match byte {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    match bytes.peek() {
                        Some(digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            bytes.next();
                        }
                        _ => break,
                    }
                }
                (value & 0xff) as u8
            }
            b'x' => {
                let mut value = None;
                for _ in 0..2 {
                    match bytes
                        .peek()
                        .and_then(|digit| char::from(*digit).to_digit(16))
                    {
                        Some(digit) => {
                            value = Some(value.unwrap_or(0) * 16 + digit);
                            bytes.next();
                        }
                        None => break,
                    }
                }
                match value {
                    Some(value) => (value & 0xff) as u8,
                    None => b'x',
                }
            }
            other => other,
        });
    }
    if let Some(at) = out.iter().position(|byte| *byte == 0) {
        return Err(invalid_utf8(&out, at));
    }
    match String::from_utf8(out) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) => Err(invalid_utf8(
            error.as_bytes(),
            error.utf8_error().valid_up_to(),
        )),
    }
}

/// 22021, naming the bytes from `at` on.
pub(super) fn invalid_utf8(bytes: &[u8], at: usize) -> Error {
    let width = match bytes.get(at) {
        Some(0xf0..=0xf7) => 4,
        Some(0xe0..=0xef) => 3,
        Some(0xc0..=0xdf) => 2,
        _ => 1,
    };
    let shown: Vec<String> = bytes
        .iter()
        .skip(at)
        .take(width)
        .map(|byte| format!("0x{byte:02x}"))
        .collect();
    Error::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            shown.join(" ")
        ),
    )
}

/// Appends a value's text, its special characters escaped.
pub(super) fn write(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if byte == delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<Option<String>> {
        let options = Options::new(&[], &[], true).unwrap();
        let mut out = Vec::new();
        fields(line, &options, &mut out).unwrap();
        out.into_iter()
            .map(|field| field.map(Cow::into_owned))
            .collect()
    }

    #[test]
    fn fields_and_escapes() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(split("1\t\\N\tx"), [some("1"), None, some("x")]);
        assert_eq!(split(""), [some("")]);
        assert_eq!(split("a\\tb\t\\x41\\101\\\\"), [some("a\tb"), some("AA\\")]);
        assert_eq!(split("a\\\tb\\N"), [some("a\tbN")]);
    }

    #[test]
    fn written_text_reads_back() {
        let mut out = Vec::new();
        write("a\tb\\c\nd".as_bytes(), b'\t', &mut out);
        assert_eq!(out, b"a\\tb\\\\c\\nd");
    }
}
