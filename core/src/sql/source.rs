//! The text of a query string: places in it, and what is wrong there, in PostgreSQL's words.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::parse::MAX_DEPTH;
use crate::error::{Error, SqlState};

/// The text of a query string, for positions and slices.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    /// Byte offset of each line's start.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, b)| *b == b'\n')
                    .map(|(at, _)| at + 1),
            )
            .collect();
        Source { text, lines }
    }

    /// Byte offset of a location (lines and columns count characters from 1).
    pub(super) fn offset(&self, location: Location) -> usize {
        let line = (location.line as usize).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or("");
        let column = (location.column as usize).saturating_sub(1);
        rest.char_indices()
            .nth(column)
            .map_or(self.text.len(), |(at, _)| start + at)
    }

    /// Position in characters from 1, as error messages count.
    pub(super) fn position(&self, location: Location) -> usize {
        let offset = self.offset(location);
        self.text
            .get(..offset)
            .map_or(1, |before| before.chars().count() + 1)
    }
}

/// `syntax error at or near "…"`, as PostgreSQL words it.
pub(super) fn near(source: &Source<'_>, token: &TokenWithSpan) -> Error {
    if token.token == Token::EOF {
        return Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input")
            .position(source.text.chars().count() + 1);
    }
    let (from, to) = (
        source.offset(token.span.start),
        source.offset(token.span.end),
    );
    let text = source.text.get(from..to).filter(|text| !text.is_empty());
    let text = text.map_or_else(|| token.token.to_string(), str::to_owned);
    Error::new(
        SqlState::SYNTAX_ERROR,
        format!("syntax error at or near \"{text}\""),
    )
    .position(source.position(token.span.start))
}

pub(super) fn lexical_error(source: &Source<'_>, message: &str, location: Location) -> Error {
    let lower = message.to_ascii_lowercase();
    if lower.contains("encoded string literal")
        && let Some(error) = bad_escape(source, source.offset(location))
    {
        return error;
    }
    let what = if lower.contains("string literal") {
        "unterminated quoted string"
    } else if lower.contains("comment") {
        "unterminated /* comment"
    } else if lower.contains("identifier") || lower.contains("expected close delimiter") {
        "unterminated quoted identifier"
    } else if lower.contains("dollar") {
        "unterminated dollar-quoted string"
    } else {
        message
    };
    let offset = source.offset(location);
    let rest = source.text.get(offset..).unwrap_or("");
    Error::new(
        SqlState::SYNTAX_ERROR,
        format!("{what} at or near \"{rest}\""),
    )
    .position(source.position(location))
}

/// What is wrong with an escape of the string `E'…'` at this offset, if one is.
fn bad_escape(source: &Source<'_>, offset: usize) -> Option<Error> {
    let literal = source.text.get(offset..)?;
    let start = literal.find('\'')? + 1;
    let mut rest = literal.get(start..)?;
    loop {
        let at = rest.find(['\\', '\''])?;
        let found = rest.get(at..)?;
        if let Some(after) = found.strip_prefix('\'') {
            // Two quotes are one; one ends the string.
            rest = after.strip_prefix('\'')?;
            continue;
        }
        let escape = found.get(1..)?;
        let kind = escape.chars().next()?;
        let after = escape.get(kind.len_utf8()..)?;
        let digits = |radix: u32, most: usize| {
            let count = after
                .chars()
                .take(most)
                .take_while(|c| c.is_digit(radix))
                .count();
            after.get(..count).unwrap_or_default()
        };
        match kind {
            'u' | 'U' => {
                let wanted = if kind == 'u' { 4 } else { 8 };
                let digits = digits(16, wanted);
                let code = u32::from_str_radix(digits, 16).unwrap_or(0);
                let position = source.text.len().checked_sub(found.len())?;
                let position = source.text.get(..position)?.chars().count() + 1;
                if digits.len() < wanted {
                    return Some(
                        Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid Unicode escape")
                            .hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.")
                            .position(position),
                    );
                }
                if code == 0 || code > u32::from(char::MAX) {
                    let shown = found.get(..wanted + 2).unwrap_or(found);
                    return Some(
                        Error::new(
                            SqlState::SYNTAX_ERROR,
                            format!("invalid Unicode escape value at or near \"{shown}\""),
                        )
                        .position(position),
                    );
                }
            }
            'x' if !digits(16, 2).is_empty() && digits(16, 2).bytes().all(|b| b == b'0') => {
                return Some(null_byte());
            }
            '0'..='7' => {
                let code = u32::from_str_radix(escape.get(..digits(8, 2).len() + 1)?, 8);
                if code.is_ok_and(|code| code % 256 == 0) {
                    return Some(null_byte());
                }
            }
            _ => {}
        }
        rest = after;
    }
}

/// 22021 for the byte that no text has.
fn null_byte() -> Error {
    Error::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        "invalid byte sequence for encoding \"UTF8\": 0x00",
    )
}

/// A parser error of sqlparser in PostgreSQL's words. Its message ends with the token it met and
/// where: `Expected: x, found: y at Line: 1, Column: 8`.
pub(super) fn syntax_error(source: &Source<'_>, error: &ParserError) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            )
            .hint(format!(
                "Statements may be nested at most {MAX_DEPTH} levels deep."
            ));
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let Some((_, found)) = message.rsplit_once("found: ") else {
        return Error::new(SqlState::SYNTAX_ERROR, format!("syntax error: {message}"));
    };
    let Some((token, place)) = found.rsplit_once(" at Line: ") else {
        return Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input")
            .position(source.text.chars().count() + 1);
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location {
            line: line.trim().parse().ok()?,
            column: column.trim().parse().ok()?,
        })
    });
    let error = Error::new(
        SqlState::SYNTAX_ERROR,
        format!("syntax error at or near \"{token}\""),
    );
    match location {
        Some(location) => error.position(source.position(location)),
        None => error,
    }
}
