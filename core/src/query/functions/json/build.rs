//! JSON made of values: `to_json`, `json_build_object`, `json_agg`.

use super::super::limits::ValueLimit;
use super::super::registry::Definitions;
use super::super::row::Call;
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::json::{normalize, write_string};
use crate::types::names::element_of;
use crate::types::{Datum, PgType, oid, text};

pub(super) fn define(all: &mut Definitions) {
    for ty in ["json", "jsonb"] {
        let (object, array) = match ty {
            "json" => ("json_build_object", "json_build_array"),
            _ => ("jsonb_build_object", "jsonb_build_array"),
        };
        for args in ["", "...any"] {
            all.add(object, args, ty, build_object)
                .takes_null()
                .stable();
            all.add(array, args, ty, build_array).takes_null().stable();
        }
        let name = match ty {
            "json" => "json_object",
            _ => "jsonb_object",
        };
        all.add(name, "_text", ty, |c, a| {
            let items = texts(a.first());
            if items.len() % 2 == 1 {
                return Err(Error::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    "array must have even number of elements",
                ));
            }
            let (keys, values) = (
                items.iter().step_by(2).copied(),
                items.iter().skip(1).step_by(2).copied(),
            );
            object_of(c, keys.zip(values))
        });
        all.add(name, "_text,_text", ty, |c, a| {
            let (keys, values) = (texts(a.first()), texts(a.get(1)));
            if keys.len() != values.len() {
                return Err(Error::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    "mismatched array dimensions",
                ));
            }
            object_of(c, keys.into_iter().zip(values))
        });
    }
    all.add("to_json", "any", "json", to_json).stable();
    all.add("to_jsonb", "any", "jsonb", to_json).stable();
    all.add("array_to_json", "anyarray", "json", to_json)
        .stable();
}

fn texts<'d>(array: Option<&'d Datum<'_>>) -> Vec<Option<&'d str>> {
    match array {
        Some(Datum::Array(array)) => array
            .items
            .iter()
            .map(|item| match item {
                Datum::Text(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn object_of<'d>(
    call: &Call<'_>,
    pairs: impl Iterator<Item = (Option<&'d str>, Option<&'d str>)>,
) -> Result<Datum<'static>> {
    let mut out = String::from("{");
    for (at, (key, value)) in pairs.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        let key = key.ok_or_else(|| {
            Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "null value not allowed for object key",
            )
        })?;
        write_string(key, &mut out);
        out.push_str(" : ");
        match value {
            Some(value) => write_string(value, &mut out),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    json_of(call, out)
}

/// The JSON of any value, as `to_json` writes it.
fn write(value: &Datum<'_>, ty: PgType, style: &text::TextStyle, out: &mut String) {
    match value {
        Datum::Null => out.push_str("null"),
        Datum::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // A row comes as the JSON that was made of it.
        Datum::Text(text) if matches!(ty.oid, oid::JSON | oid::JSONB | oid::RECORD) => {
            out.push_str(text)
        }
        Datum::Int2(_)
        | Datum::Int4(_)
        | Datum::Int8(_)
        | Datum::Numeric(_)
        | Datum::Float4(_)
        | Datum::Float8(_) => {
            let shown = text::to_string(value, ty, style);
            if shown.chars().any(char::is_alphabetic) && !shown.contains('e') {
                write_string(&shown, out);
            } else {
                out.push_str(&shown);
            }
        }
        Datum::Array(array) => {
            out.push('[');
            for (at, item) in array.items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, array.element, style, out);
            }
            out.push(']');
        }
        Datum::Timestamp(_) | Datum::Timestamptz(_) => {
            write_string(
                &text::to_string(value, ty, style).replacen(' ', "T", 1),
                out,
            );
        }
        other => write_string(&text::to_string(other, ty, style), out),
    }
}

/// A row's fields, name after value after name, as one object.
pub(in crate::query::functions) fn fields(
    fields: &[(&Datum<'_>, &PgType)],
    style: &text::TextStyle,
) -> String {
    let mut out = String::from("{");
    for (at, field) in fields.chunks(2).enumerate() {
        if at > 0 {
            out.push(',');
        }
        if let [(Datum::Text(name), _), (value, ty)] = field {
            write_string(name, &mut out);
            out.push(':');
            write(value, **ty, style, &mut out);
        }
    }
    out.push('}');
    out
}

fn json_of(call: &Call<'_>, text: String) -> Result<Datum<'static>> {
    if call.result.oid == oid::JSONB {
        return normalize(&text).map(Datum::text);
    }
    Ok(Datum::text(text))
}

fn to_json(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (Some(value), Some(ty)) = (args.first(), call.types.first()) else {
        return Ok(Datum::Null);
    };
    let mut out = String::new();
    write(value, *ty, call.style(), &mut out);
    json_of(call, out)
}

fn build_array(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let mut out = String::from("[");
    for (at, (value, ty)) in args.iter().zip(call.types).enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write(value, *ty, call.style(), &mut out);
    }
    out.push(']');
    json_of(call, out)
}

fn build_object(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    if args.len() % 2 == 1 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        )
        .hint(
            "The arguments of json_build_object() must consist of alternating keys and values.",
        ));
    }
    let mut out = String::from("{");
    for (at, (pair, types)) in args.chunks(2).zip(call.types.chunks(2)).enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        pair_of(pair, types, call.style(), &mut out)?;
    }
    out.push('}');
    json_of(call, out)
}

fn pair_of(
    pair: &[Datum<'_>],
    types: &[PgType],
    style: &text::TextStyle,
    out: &mut String,
) -> Result<()> {
    let ([key, value], [key_type, value_type]) = (pair, types) else {
        return Ok(());
    };
    if key.is_null() {
        return Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "field name must not be null",
        ));
    }
    let key = match key {
        Datum::Text(text) => text.to_string(),
        other => text::to_string(other, *key_type, style),
    };
    write_string(&key, out);
    out.push_str(" : ");
    write(value, *value_type, style, out);
    Ok(())
}

/// `json_agg`, `jsonb_agg`.
pub(in crate::query::functions) fn array(
    types: &[PgType],
    rows: &[Vec<Datum<'static>>],
    binary: bool,
) -> Result<Datum<'static>> {
    if rows.is_empty() {
        return Ok(Datum::Null);
    }
    let style = super::super::collect::style();
    let ty = types.first().copied().unwrap_or(PgType::TEXT);
    let nested = ty.oid == oid::RECORD || element_of(ty.oid).is_some();
    let mut out = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
            if nested && row.first().is_some_and(|value| !value.is_null()) {
                out.push_str("\n ");
            }
        }
        write(row.first().unwrap_or(&Datum::Null), ty, &style, &mut out);
        ValueLimit::RUN.fits(out.len())?;
    }
    out.push(']');
    if binary {
        normalize(&out).map(Datum::text)
    } else {
        Ok(Datum::text(out))
    }
}

/// `json_object_agg`, `jsonb_object_agg`.
pub(in crate::query::functions) fn object(
    types: &[PgType],
    rows: &[Vec<Datum<'static>>],
    binary: bool,
) -> Result<Datum<'static>> {
    if rows.is_empty() {
        return Ok(Datum::Null);
    }
    let style = super::super::collect::style();
    let mut out = String::from("{ ");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        pair_of(row, types, &style, &mut out)?;
        ValueLimit::RUN.fits(out.len())?;
    }
    out.push_str(" }");
    if binary {
        normalize(&out).map(Datum::text)
    } else {
        Ok(Datum::text(out))
    }
}
