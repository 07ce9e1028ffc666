//! PostgreSQL's regular expressions in the words of the regex crate, compiled and kept.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::error::{Error, Result, SqlState};

/// Compiled expressions that a thread keeps.
const CACHED: usize = 32;

thread_local! {
    static COMPILED: RefCell<Vec<(String, String, regex::Regex)>> = const { RefCell::new(Vec::new()) };
}

/// A regular expression with PostgreSQL's flags.
pub(super) fn regex(pattern: &str, flags: &str) -> Result<regex::Regex> {
    let known = COMPILED.with_borrow(|compiled| {
        compiled
            .iter()
            .find(|(p, f, _)| p == pattern && f == flags)
            .map(|(_, _, regex)| regex.clone())
    });
    if let Some(regex) = known {
        return Ok(regex);
    }
    let regex = compile(pattern, flags)?;
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() >= CACHED {
            compiled.remove(0);
        }
        compiled.push((pattern.to_owned(), flags.to_owned(), regex.clone()));
    });
    Ok(regex)
}

fn compile(pattern: &str, flags: &str) -> Result<regex::Regex> {
    let mut literal = false;
    let mut builder_flags: Vec<char> = Vec::new();
    for flag in flags.chars() {
        match flag {
            'i' | 'c' | 'n' | 'm' | 's' | 'x' | 'g' | 'p' | 'w' | 'b' | 'e' | 't' => {
                builder_flags.push(flag);
            }
            'q' => literal = true,
            other => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid regular expression option: \"{other}\""),
                ));
            }
        }
    }
    let translated = if literal {
        Cow::Owned(regex::escape(pattern))
    } else {
        translate_regex(pattern)
    };
    let mut builder = regex::RegexBuilder::new(&translated);
    // A dot matches line ends, and anchors the whole text, unless flags say otherwise.
    builder.dot_matches_new_line(true);
    for flag in builder_flags {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'n' | 'm' => builder.multi_line(true).dot_matches_new_line(false),
            'p' => builder.dot_matches_new_line(false),
            'w' => builder.multi_line(true),
            's' => builder.multi_line(false).dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            _ => &mut builder,
        };
    }
    builder.build().map_err(|error| refusal(&error.to_string()))
}

/// What PostgreSQL says of a broken expression.
fn refusal(message: &str) -> Error {
    let has = |part: &str| message.contains(part);
    if has("backreferences are not supported") || has("look-around") {
        return Error::unsupported(
            "a back reference or look-around in a regular expression",
            "Write the expression without it.",
        );
    }
    let what = if has("unclosed group") || has("unopened group") {
        "parentheses () not balanced"
    } else if has("unclosed character class") {
        "brackets [] not balanced"
    } else if has("repetition operator missing expression") {
        "quantifier operand invalid"
    } else if has("invalid character class range") {
        "invalid character range"
    } else if has("unclosed counted repetition") {
        "braces {} not balanced"
    } else if has("repetition") {
        "invalid repetition count(s)"
    } else if has("escape") || has("incomplete escape") {
        "invalid escape \\ sequence"
    } else if has("size limit") {
        "regular expression is too complex"
    } else if has("character class") {
        "invalid character class"
    } else {
        "quantifier operand invalid"
    };
    Error::new(
        SqlState::INVALID_REGULAR_EXPRESSION,
        format!("invalid regular expression: {what}"),
    )
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
