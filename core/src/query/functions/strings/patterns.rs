//! LIKE and SIMILAR TO: other escape characters, and regular expressions made of patterns.

use super::super::registry::Definitions;
use super::{str_at, t};
use crate::error::{Error, Result, SqlState};

pub(super) fn define(all: &mut Definitions) {
    all.add("like_escape", "text,text", "text", |_, a| {
        t(like_escape(str_at(a, 0), str_at(a, 1))?)
    });
    all.add("similar_to_escape", "text", "text", |_, a| {
        t(similar(str_at(a, 0), Some('\\')))
    });
    all.add("similar_to_escape", "text,text", "text", |_, a| {
        t(similar(str_at(a, 0), str_at(a, 1).chars().next()))
    });
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
