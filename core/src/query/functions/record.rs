//! Rows as values: their text and their JSON.
//!
//! The arguments are whether the row is missing when all its values are NULL (an outer join's side
//! without a match), then the name and the value of each field.

use super::json;
use super::registry::Definitions;
use super::row::Call;
use crate::error::Result;
use crate::types::{Datum, text};

pub(super) fn define(all: &mut Definitions) {
    all.add("record_op", "...any", "record", record)
        .takes_null()
        .stable();
    all.add("record_json_op", "...any", "json", object)
        .takes_null()
        .stable();
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
