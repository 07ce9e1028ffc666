//! Rows as values: their text and their JSON.
//!
//! The arguments are whether the row is missing when all its values are NULL (an outer join's side
//! without a match), then the name and the value of each field.

use super::json;
use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::error::Result;
use crate::types::{Datum, text};

pub(super) fn define(all: &mut Definitions) {
    all.add("record_op", "...any", "record", record)
        .takes_null()
        .stable();
    all.add("record_json_op", "...any", "json", object)
        .takes_null()
        .stable();
    all.add("record_field_op", "record,int4", "text", |_, a| {
        Ok(field(str_at(a, 0), int_at(a, 1)))
    });
}

/// The n-th value of a composite value's text.
fn field(row: &str, number: i64) -> Datum<'static> {
    let inner = row.strip_prefix('(').and_then(|row| row.strip_suffix(')'));
    let mut values: Vec<Option<String>> = vec![None];
    let mut quoted = false;
    let mut chars = inner.unwrap_or_default().chars().peekable();
    while let Some(c) = chars.next() {
        let Some(last) = values.last_mut() else { break };
        match c {
            ',' if !quoted => values.push(None),
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.get_or_insert_default().push('"');
            }
            '"' => {
                quoted = !quoted;
                last.get_or_insert_default();
            }
            '\\' => last.get_or_insert_default().extend(chars.next()),
            c => last.get_or_insert_default().push(c),
        }
    }
    let at = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    match values.into_iter().nth(at).flatten() {
        Some(value) => Datum::text(value),
        None => Datum::Null,
    }
}

fn is_missing(args: &[Datum<'_>]) -> bool {
    let values = args.iter().skip(2).step_by(2);
    args.first() == Some(&Datum::Bool(true)) && values.clone().all(Datum::is_null)
}

/// `(1,"a b",)`, as PostgreSQL writes composite values.
fn record(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    if is_missing(args) {
        return Ok(Datum::Null);
    }
    let mut out = String::from("(");
    let values = args.iter().zip(call.types).skip(2).step_by(2);
    for (at, (value, ty)) in values.enumerate() {
        if at > 0 {
            out.push(',');
        }
        if value.is_null() {
            continue;
        }
        let shown = text::to_string(value, *ty, call.style());
        let special =
            |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace();
        if !shown.is_empty() && !shown.contains(special) && !shown.contains('\u{b}') {
            out.push_str(&shown);
            continue;
        }
        out.push('"');
        for c in shown.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
    Ok(Datum::text(out))
}

/// `{"a":1,"b":null}`.
fn object(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    if is_missing(args) {
        return Ok(Datum::Null);
    }
    let fields = args.iter().skip(1).zip(call.types.iter().skip(1));
    Ok(Datum::text(json::fields(
        &fields.collect::<Vec<_>>(),
        call.style(),
    )))
}
