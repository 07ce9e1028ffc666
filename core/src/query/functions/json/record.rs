//! Objects as rows: what `json_to_record`, `json_to_recordset` and their `jsonb` kin are made of.

use super::super::arrays::{array, element};
use super::super::registry::Definitions;
use super::super::row::Call;
use super::raw::{self, Kind};
use super::{document, wrong};
use crate::error::{Error, Result, SqlState};
use crate::types::Datum;

pub(super) fn define(all: &mut Definitions, ty: &'static str, list: &str) {
    let binary = ty == "jsonb";
    all.add("json_record_op", ty, ty, |_, a| object(document(a)?));
    all.add(
        match binary {
            true => "jsonb_recordset_op",
            false => "json_recordset_op",
        },
        ty,
        list,
        match binary {
            true => |c, a| objects(c, document(a)?, true),
            false => |c, a| objects(c, document(a)?, false),
        },
    );
    all.add("json_array_literal_op", ty, "text", |_, a| {
        array_literal(document(a)?)
    });
}

/// The JSON text of a row.
fn object(text: &str) -> Result<Datum<'static>> {
    match raw::kind(text) {
        Kind::Object => Ok(Datum::text(text)),
        Kind::Array => Err(wrong("cannot call populate_composite on an array")),
        _ => Err(wrong("cannot call populate_composite on a scalar")),
    }
}

/// The JSON texts of rows.
fn objects(call: &Call<'_>, text: &str, binary: bool) -> Result<Datum<'static>> {
    let name = match binary {
        true => "jsonb_to_recordset",
        false => "json_to_recordset",
    };
    let Some(items) = raw::elements(text) else {
        return Err(wrong(&match (binary, raw::kind(text)) {
            (true, _) => format!("cannot call {name} on a non-array"),
            (false, Kind::Object) => format!("cannot call {name} on an object"),
            (false, _) => format!("cannot call {name} on a scalar"),
        }));
    };
    if items.iter().any(|item| raw::kind(item) != Kind::Object) {
        return Err(wrong(&format!(
            "argument of {name} must be an array of objects"
        )));
    }
    let items = items.into_iter().map(Datum::text).collect();
    array(element(call.result), items)
}

/// A JSON array in the spelling of PostgreSQL's arrays; a JSON string already is in it.
fn array_literal(text: &str) -> Result<Datum<'static>> {
    let mut out = String::new();
    match raw::kind(text) {
        Kind::Null => return Ok(Datum::Null),
        Kind::String => return Ok(raw::as_text(text)),
        Kind::Array => write_array(text, &mut out),
        _ => {
            return Err(Error::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                "expected JSON array",
            ));
        }
    }
    Ok(Datum::text(out))
}

fn write_array(text: &str, out: &mut String) {
    out.push('{');
    for (at, item) in raw::elements(text).unwrap_or_default().iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if raw::kind(item) == Kind::Array {
            write_array(item, out);
            continue;
        }
        let Datum::Text(shown) = raw::as_text(item) else {
            out.push_str("NULL");
            continue;
        };
        out.push('"');
        for c in shown.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
}
