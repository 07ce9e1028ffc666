//! CSV format: fields divided by a delimiter, quoted where they hold special characters.

use std::borrow::Cow;

use super::lines::{bad, split};
use super::options::Options;
use super::text::invalid_utf8;
use crate::error::Result;

/// A field, and whether any part of it was quoted (then it is never NULL by itself).
pub(super) type Field<'a> = (Cow<'a, str>, bool);

/// Splits a record into its fields.
///
/// # Errors
/// 22P04 for a quote without an end, and for a carriage return outside of quotes.
pub(super) fn fields<'a>(line: &'a str, options: &Options, out: &mut Vec<Field<'a>>) -> Result<()> {
    let bytes = line.as_bytes();
    if !bytes.contains(&options.quote) {
        if bytes.contains(&b'\r') {
            return Err(bare_return());
        }
        out.extend(split(line, options.delimiter).map(|field| (field.into(), false)));
        return Ok(());
    }
    let mut field = Vec::new();
    let (mut in_quote, mut saw_quote) = (false, false);
    let mut at = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        at = at.saturating_add(1);
        if !in_quote {
            if byte == options.delimiter {
                out.push((text(std::mem::take(&mut field))?, saw_quote));
                saw_quote = false;
            } else if byte == options.quote {
                in_quote = true;
                saw_quote = true;
            } else if byte == b'\r' {
                return Err(bare_return());
            } else {
                field.push(byte);
            }
            continue;
        }
        let next = bytes.get(at).copied();
        if byte == options.escape && next.is_some_and(|n| n == options.escape || n == options.quote)
        {
            field.extend(next);
            at = at.saturating_add(1);
        } else if byte == options.quote {
            in_quote = false;
        } else {
            field.push(byte);
        }
    }
    if in_quote {
        return Err(bad("unterminated CSV quoted field"));
    }
    out.push((text(field)?, saw_quote));
    Ok(())
}

fn bare_return() -> crate::error::Error {
    bad("unquoted carriage return found in data")
        .hint("Use quoted CSV field to represent carriage return.")
}

fn text(bytes: Vec<u8>) -> Result<Cow<'static, str>> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) => Err(invalid_utf8(
            error.as_bytes(),
            error.utf8_error().valid_up_to(),
        )),
    }
}

/// Appends a value's text, quoted if it must be, or if `force` says so. `only` says that it is the
/// record's only field, which must not look like the end marker.
pub(super) fn write(value: &[u8], options: &Options, force: bool, only: bool, out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        *byte == options.delimiter || *byte == options.quote || matches!(*byte, b'\n' | b'\r')
    };
    let quote = force
        || value == options.null.as_bytes()
        || (only && value == b"\\.")
        || value.iter().any(special);
    if !quote {
        out.extend_from_slice(value);
        return;
    }
    out.push(options.quote);
    for &byte in value {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::{CopyOption, Ident};

    fn options() -> Options {
        Options::new(&[CopyOption::Format(Ident::new("csv"))], &[], true).unwrap()
    }

    #[test]
    fn fields_and_quotes() {
        let options = options();
        let mut out = Vec::new();
        fields("1,,\"\",\"a\"\"b,c\",x\"y\"z", &options, &mut out).unwrap();
        let shown: Vec<(&str, bool)> = out
            .iter()
            .map(|(text, quoted)| (text.as_ref(), *quoted))
            .collect();
        assert_eq!(
            shown,
            [
                ("1", false),
                ("", false),
                ("", true),
                ("a\"b,c", true),
                ("xyz", true)
            ]
        );
        let error = fields("\"a", &options, &mut Vec::new()).unwrap_err();
        assert_eq!(error.message(), "unterminated CSV quoted field");
    }

    #[test]
    fn quotes_only_where_needed() {
        let options = options();
        for (value, only, expected) in [
            ("a", false, "a"),
            ("", false, "\"\""),
            ("a,b", false, "\"a,b\""),
            ("say \"x\"", false, "\"say \"\"x\"\"\""),
            ("\\.", true, "\"\\.\""),
            ("\\.", false, "\\."),
        ] {
            let mut out = Vec::new();
            write(value.as_bytes(), &options, false, only, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
