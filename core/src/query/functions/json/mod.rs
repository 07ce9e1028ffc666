//! `json` and `jsonb`.

mod build;
mod change;
mod raw;
mod record;

use serde_json::Value;

use super::limits;
use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::json::normalize;
use crate::types::names::element_of;
use crate::types::{Array, Datum, PgType, oid};
use raw::Kind;

pub(super) use build::{array, fields, object};

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type json",
        )
    })
}

/// A JSON value as a value of the call's type.
fn out(call: &Call<'_>, value: &Value) -> Result<Datum<'static>> {
    let plain = value.to_string();
    if call.result.oid == oid::JSONB {
        return normalize(&plain).map(Datum::text);
    }
    Ok(Datum::text(plain))
}

fn steps<'d>(args: &'d [Datum<'_>], at: usize) -> &'d [Datum<'static>] {
    match args.get(at) {
        Some(Datum::Array(array)) => &array.items,
        _ => &[],
    }
}

fn found(part: Option<&str>) -> Result<Datum<'static>> {
    Ok(part.map_or(Datum::Null, Datum::text))
}

fn found_text(part: Option<&str>) -> Result<Datum<'static>> {
    Ok(part.map_or(Datum::Null, raw::as_text))
}

/// The JSON argument of a function that reads its strings.
///
/// # Errors
/// 22P05 when one of them has a character that no text may have; only `json` keeps such a string.
fn document<'d>(args: &'d [Datum<'_>]) -> Result<&'d str> {
    let text = str_at(args, 0);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u0000") {
        // An even number of backslashes before it are characters of their own.
        let escapes = before.len() - before.trim_end_matches('\\').len();
        if escapes % 2 == 0 {
            return Err(Error::new(
                SqlState::UNTRANSLATABLE_CHARACTER,
                "unsupported Unicode escape sequence",
            )
            .detail("\\u0000 cannot be converted to text."));
        }
        rest = after;
    }
    Ok(text)
}

fn wrong(message: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

pub(super) fn define(all: &mut Definitions) {
    for ty in ["json", "jsonb"] {
        all.add("json_get_op", &format!("{ty},text"), ty, |_, a| {
            found(raw::member(document(a)?, str_at(a, 1)))
        });
        all.add("json_get_op", &format!("{ty},int4"), ty, |_, a| {
            found(raw::item(document(a)?, int_at(a, 1)))
        });
        all.add("json_get_text_op", &format!("{ty},text"), "text", |_, a| {
            found_text(raw::member(document(a)?, str_at(a, 1)))
        });
        all.add("json_get_text_op", &format!("{ty},int4"), "text", |_, a| {
            found_text(raw::item(document(a)?, int_at(a, 1)))
        });
        let path = format!("{ty},_text");
        all.add("json_path_op", &path, ty, |_, a| {
            found(raw::path(document(a)?, steps(a, 1)))
        });
        all.add("json_path_text_op", &path, "text", |_, a| {
            found_text(raw::path(document(a)?, steps(a, 1)))
        });
    }
    for (ty, list) in [("json", "_json"), ("jsonb", "_jsonb")] {
        parts(all, ty, list);
        record::define(all, ty, list);
    }
    build::define(all);
    change::define(all);
}

/// The functions of both types whose names start with the type's.
fn parts(all: &mut Definitions, ty: &'static str, list: &str) {
    let binary = ty == "jsonb";
    let name = |json: &'static str, jsonb: &'static str| if binary { jsonb } else { json };
    all.add(name("json_typeof", "jsonb_typeof"), ty, "text", |_, a| {
        Ok(Datum::text(match raw::kind(str_at(a, 0)) {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }))
    });
    all.add(
        name("json_array_length", "jsonb_array_length"),
        ty,
        "int4",
        |_, a| match (raw::elements(str_at(a, 0)), raw::kind(str_at(a, 0))) {
            (Some(items), _) => Ok(Datum::Int4(items.len() as i32)),
            (None, Kind::Object) => Err(wrong("cannot get array length of a non-array")),
            _ => Err(wrong("cannot get array length of a scalar")),
        },
    );
    all.add(
        name("json_array_elements_op", "jsonb_array_elements_op"),
        ty,
        list,
        |c, a| elements(c, str_at(a, 0), |item| Datum::text(item)),
    );
    all.add(
        name(
            "json_array_elements_text_op",
            "jsonb_array_elements_text_op",
        ),
        ty,
        "_text",
        |c, a| elements(c, document(a)?, raw::as_text),
    );
    all.add(
        name("json_object_keys_op", "jsonb_object_keys_op"),
        ty,
        "_text",
        |c, a| {
            let members = members(c, document(a)?, "object_keys")?;
            collected(
                c,
                PgType::TEXT,
                members.into_iter().map(|(key, _)| Datum::text(key)),
            )
        },
    );
    all.add(
        name("json_object_values_op", "jsonb_object_values_op"),
        ty,
        list,
        |c, a| {
            let element = element_of(c.result.oid).map_or(PgType::TEXT, PgType::new);
            let members = members(c, document(a)?, "each")?;
            collected(
                c,
                element,
                members.into_iter().map(|(_, value)| Datum::text(value)),
            )
        },
    );
    all.add(
        name("json_object_values_text_op", "jsonb_object_values_text_op"),
        ty,
        "_text",
        |c, a| {
            let members = members(c, document(a)?, "each_text")?;
            collected(
                c,
                PgType::TEXT,
                members.into_iter().map(|(_, value)| raw::as_text(value)),
            )
        },
    );
    let path = format!("{ty},...text");
    all.add(
        name("json_extract_path", "jsonb_extract_path"),
        &path,
        ty,
        |_, a| found(raw::path(document(a)?, a.get(1..).unwrap_or_default())),
    );
    all.add(
        name("json_extract_path_text", "jsonb_extract_path_text"),
        &path,
        "text",
        |_, a| found_text(raw::path(document(a)?, a.get(1..).unwrap_or_default())),
    );
}

fn collected(
    call: &Call<'_>,
    element: PgType,
    items: impl Iterator<Item = Datum<'static>>,
) -> Result<Datum<'static>> {
    Ok(Datum::Array(Box::new(Array {
        element,
        items: limits::collect(call.limit, items)?,
    })))
}

fn elements(
    call: &Call<'_>,
    text: &str,
    show: fn(&str) -> Datum<'static>,
) -> Result<Datum<'static>> {
    let element = element_of(call.result.oid).map_or(PgType::TEXT, PgType::new);
    match (raw::elements(text), raw::kind(text)) {
        (Some(items), _) => collected(call, element, items.into_iter().map(show)),
        (None, Kind::Object) => Err(wrong("cannot extract elements from an object")),
        _ => Err(wrong("cannot extract elements from a scalar")),
    }
}

fn members<'t>(call: &Call<'_>, text: &'t str, what: &str) -> Result<Vec<(String, &'t str)>> {
    let binary = call.types.first().is_some_and(|ty| ty.oid == oid::JSONB);
    let name = match binary {
        true => format!("jsonb_{what}"),
        false => format!("json_{what}"),
    };
    raw::members(text).ok_or_else(|| match (raw::kind(text), what) {
        (Kind::Array, "object_keys") => wrong(&format!("cannot call {name} on an array")),
        (_, "object_keys") => wrong(&format!("cannot call {name} on a scalar")),
        _ if binary => wrong(&format!("cannot call {name} on a non-object")),
        (Kind::Array, _) => wrong("cannot deconstruct an array as an object"),
        _ => wrong("cannot deconstruct a scalar"),
    })
}
