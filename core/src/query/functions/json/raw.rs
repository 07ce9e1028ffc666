//! JSON text taken apart without reading it whole: the parts keep their own spelling.
//!
//! The text is valid: it comes from a `json` or `jsonb` value.

use crate::types::Datum;

/// What a JSON text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

pub(super) fn kind(text: &str) -> Kind {
    match text.trim_start().bytes().next() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// The first value of a text and what follows it.
fn value(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return text.split_at(at + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return scalar(text, at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return text.split_at(at + 1);
                }
            }
            b',' | b':' if depth == 0 => return scalar(text, at),
            _ => {}
        }
    }
    scalar(text, text.len())
}

fn scalar(text: &str, end: usize) -> (&str, &str) {
    let (found, rest) = text.split_at(end);
    (found.trim_end(), rest)
}

/// The items of an array; `None` for anything else.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let mut rest = text.trim_start().strip_prefix('[')?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(']') {
            return Some(items);
        }
        let (item, after) = value(rest);
        items.push(item);
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// The keys and values of an object, in their order; `None` for anything else.
pub(super) fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = text.trim_start().strip_prefix('{')?;
    let mut members = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('}') {
            return Some(members);
        }
        let (key, after) = value(rest);
        let after = after.trim_start();
        let (member, after) = value(after.strip_prefix(':').unwrap_or(after));
        members.push((unquoted(key), member));
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// The text of a JSON string.
pub(super) fn unquoted(text: &str) -> String {
    serde_json::from_str(text.trim()).unwrap_or_default()
}

/// The value under a key; of several the last.
pub(super) fn member<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut members = members(text)?;
    let at = members.iter().rposition(|(known, _)| known == key)?;
    Some(members.swap_remove(at).1)
}

/// An item of an array; a negative place counts from the end.
pub(super) fn item(text: &str, at: i64) -> Option<&str> {
    let items = elements(text)?;
    let at = if at < 0 {
        (items.len() as i64).checked_add(at)?
    } else {
        at
    };
    items.get(usize::try_from(at).ok()?).copied()
}

/// The value at the end of a path.
pub(super) fn path<'t>(text: &'t str, steps: &[Datum<'_>]) -> Option<&'t str> {
    steps.iter().try_fold(text, |text, step| match step {
        Datum::Text(step) if kind(text) == Kind::Array => item(text, step.trim().parse().ok()?),
        Datum::Text(step) => member(text, step),
        _ => None,
    })
}

/// A JSON value as text: strings without quotes, NULL for null.
pub(super) fn as_text(text: &str) -> Datum<'static> {
    match kind(text) {
        Kind::Null => Datum::Null,
        Kind::String => Datum::text(unquoted(text)),
        _ => Datum::text(text.trim()),
    }
}
