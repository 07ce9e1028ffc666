//! `json` and `jsonb`.

use serde_json::Value;

use super::registry::Definitions;
use super::row::Call;
use super::strings::{int_at, str_at};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::json::{normalize, write_string};
use crate::types::names::element_of;
use crate::types::{Array, Datum, PgType, oid, text};

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

fn as_text(value: &Value) -> Result<Datum<'static>> {
    Ok(match value {
        Value::Null => Datum::Null,
        Value::String(text) => Datum::text(text.clone()),
        other => Datum::text(normalize(&other.to_string())?),
    })
}

fn member<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    value.as_object()?.get(key)
}

fn item(value: &Value, at: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let at = if at < 0 { items.len() as i64 + at } else { at };
    items.get(usize::try_from(at).ok()?)
}

fn path<'v>(value: &'v Value, steps: &[Datum<'_>]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Datum::Text(step) if value.is_array() => item(value, step.parse().ok()?),
        Datum::Text(step) => member(value, step),
        _ => None,
    })
}

fn steps<'d>(args: &'d [Datum<'_>], at: usize) -> &'d [Datum<'static>] {
    match args.get(at) {
        Some(Datum::Array(array)) => &array.items,
        _ => &[],
    }
}

pub(super) fn define(all: &mut Definitions) {
    for ty in ["json", "jsonb"] {
        all.add("json_get_op", &format!("{ty},text"), ty, |c, a| {
            let value = parsed(str_at(a, 0))?;
            member(&value, str_at(a, 1)).map_or(Ok(Datum::Null), |value| out(c, value))
        });
        all.add("json_get_op", &format!("{ty},int4"), ty, |c, a| {
            let value = parsed(str_at(a, 0))?;
            item(&value, int_at(a, 1)).map_or(Ok(Datum::Null), |value| out(c, value))
        });
        all.add("json_get_text_op", &format!("{ty},text"), "text", |_, a| {
            let value = parsed(str_at(a, 0))?;
            member(&value, str_at(a, 1)).map_or(Ok(Datum::Null), as_text)
        });
        all.add("json_get_text_op", &format!("{ty},int4"), "text", |_, a| {
            let value = parsed(str_at(a, 0))?;
            item(&value, int_at(a, 1)).map_or(Ok(Datum::Null), as_text)
        });
        all.add("json_path_op", &format!("{ty},_text"), ty, |c, a| {
            let value = parsed(str_at(a, 0))?;
            path(&value, steps(a, 1)).map_or(Ok(Datum::Null), |value| out(c, value))
        });
        all.add(
            "json_path_text_op",
            &format!("{ty},_text"),
            "text",
            |_, a| {
                let value = parsed(str_at(a, 0))?;
                path(&value, steps(a, 1)).map_or(Ok(Datum::Null), as_text)
            },
        );
    }
    for (prefix, ty) in [("json", "json"), ("jsonb", "jsonb")] {
        let name = |suffix: &str| -> &'static str {
            match (prefix, suffix) {
                ("json", "typeof") => "json_typeof",
                ("jsonb", "typeof") => "jsonb_typeof",
                ("json", "array_length") => "json_array_length",
                ("jsonb", "array_length") => "jsonb_array_length",
                ("json", "elements") => "json_array_elements_op",
                ("jsonb", "elements") => "jsonb_array_elements_op",
                ("json", "elements_text") => "json_array_elements_text_op",
                ("jsonb", "elements_text") => "jsonb_array_elements_text_op",
                ("json", "keys") => "json_object_keys_op",
                ("jsonb", "keys") => "jsonb_object_keys_op",
                ("json", "values") => "json_object_values_op",
                ("jsonb", "values") => "jsonb_object_values_op",
                ("json", "values_text") => "json_object_values_text_op",
                ("jsonb", "values_text") => "jsonb_object_values_text_op",
                ("json", "strip") => "json_strip_nulls",
                ("jsonb", "strip") => "jsonb_strip_nulls",
                ("json", "extract") => "json_extract_path",
                ("jsonb", "extract") => "jsonb_extract_path",
                ("json", "extract_text") => "json_extract_path_text",
                ("jsonb", "extract_text") => "jsonb_extract_path_text",
                ("json", "build_object") => "json_build_object",
                ("jsonb", "build_object") => "jsonb_build_object",
                ("json", "build_array") => "json_build_array",
                _ => "jsonb_build_array",
            }
        };
        all.add(name("typeof"), ty, "text", |_, a| {
            Ok(Datum::text(match parsed(str_at(a, 0))? {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            }))
        });
        all.add(name("array_length"), ty, "int4", |_, a| {
            match parsed(str_at(a, 0))? {
                Value::Array(items) => Ok(Datum::Int4(items.len() as i32)),
                Value::Object(_) => Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "cannot get array length of a non-array",
                )),
                _ => Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "cannot get array length of a scalar",
                )),
            }
        });
        let list = if ty == "json" { "_json" } else { "_jsonb" };
        all.add(name("elements"), ty, list, |c, a| {
            items(c, str_at(a, 0), false)
        });
        all.add(name("elements_text"), ty, "_text", |c, a| {
            items(c, str_at(a, 0), true)
        });
        all.add(name("keys"), ty, "_text", |_, a| {
            let value = parsed(&normalized(str_at(a, 0))?)?;
            let keys = value
                .as_object()
                .map(|map| map.keys().map(|key| Datum::text(key.clone())).collect());
            match keys {
                Some(items) => Ok(Datum::Array(Box::new(Array {
                    element: PgType::TEXT,
                    items,
                }))),
                None => Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "cannot call jsonb_object_keys on a scalar",
                )),
            }
        });
        all.add(name("values"), ty, list, |c, a| {
            members(c, str_at(a, 0), false)
        });
        all.add(name("values_text"), ty, "_text", |c, a| {
            members(c, str_at(a, 0), true)
        });
        all.add(name("strip"), ty, ty, |c, a| {
            let mut value = parsed(str_at(a, 0))?;
            strip(&mut value);
            out(c, &value)
        });
        all.add(name("extract"), &format!("{ty},...text"), ty, |c, a| {
            let value = parsed(str_at(a, 0))?;
            path(&value, a.get(1..).unwrap_or_default())
                .map_or(Ok(Datum::Null), |value| out(c, value))
        });
        all.add(
            name("extract_text"),
            &format!("{ty},...text"),
            "text",
            |_, a| {
                let value = parsed(str_at(a, 0))?;
                path(&value, a.get(1..).unwrap_or_default()).map_or(Ok(Datum::Null), as_text)
            },
        );
        all.add(name("build_object"), "...any", ty, |c, a| {
            build_object(c, a)
        })
        .takes_null()
        .stable();
        all.add(name("build_array"), "...any", ty, build_array)
            .takes_null()
            .stable();
    }
    all.add("to_json", "any", "json", to_json).stable();
    all.add("to_jsonb", "any", "jsonb", to_json).stable();
    all.add("array_to_json", "anyarray", "json", to_json)
        .stable();
    all.add("jsonb_pretty", "jsonb", "text", |_, a| {
        let value = parsed(str_at(a, 0))?;
        let mut out = String::new();
        pretty(&value, 0, &mut out);
        Ok(Datum::text(out))
    });
    all.add("jsonb_exists", "jsonb,text", "bool", |_, a| {
        Ok(Datum::Bool(exists(&parsed(str_at(a, 0))?, str_at(a, 1))))
    });
    all.add("jsonb_exists_any", "jsonb,_text", "bool", |_, a| {
        let value = parsed(str_at(a, 0))?;
        Ok(Datum::Bool(steps(a, 1).iter().any(
            |key| matches!(key, Datum::Text(key) if exists(&value, key)),
        )))
    });
    all.add("jsonb_exists_all", "jsonb,_text", "bool", |_, a| {
        let value = parsed(str_at(a, 0))?;
        Ok(Datum::Bool(steps(a, 1).iter().all(
            |key| matches!(key, Datum::Text(key) if exists(&value, key)),
        )))
    });
    all.add("contains_op", "jsonb,jsonb", "bool", |_, a| {
        Ok(Datum::Bool(contains(
            &parsed(str_at(a, 0))?,
            &parsed(str_at(a, 1))?,
        )))
    });
    all.add("concat_op", "jsonb,jsonb", "jsonb", |c, a| {
        let joined = match (parsed(str_at(a, 0))?, parsed(str_at(a, 1))?) {
            (Value::Object(mut left), Value::Object(right)) => {
                left.extend(right);
                Value::Object(left)
            }
            (left, right) => {
                let list = |value| match value {
                    Value::Array(items) => items,
                    other => vec![other],
                };
                Value::Array(list(left).into_iter().chain(list(right)).collect())
            }
        };
        out(c, &joined)
    });
    all.add("jsonb_delete", "jsonb,text", "jsonb", |c, a| {
        let mut value = parsed(str_at(a, 0))?;
        match &mut value {
            Value::Object(map) => {
                map.shift_remove(str_at(a, 1));
            }
            Value::Array(items) => items.retain(|item| item.as_str() != Some(str_at(a, 1))),
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "cannot delete from scalar",
                ));
            }
        }
        out(c, &value)
    });
    all.add("jsonb_delete", "jsonb,int4", "jsonb", |c, a| {
        let mut value = parsed(str_at(a, 0))?;
        if let Value::Array(items) = &mut value {
            let at = int_at(a, 1);
            let at = if at < 0 { items.len() as i64 + at } else { at };
            if let Some(at) = usize::try_from(at).ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        out(c, &value)
    });
    all.add("jsonb_delete_path", "jsonb,_text", "jsonb", |c, a| {
        let mut value = parsed(str_at(a, 0))?;
        change(&mut value, steps(a, 1), None, false);
        out(c, &value)
    });
    for args in ["jsonb,_text,jsonb", "jsonb,_text,jsonb,bool"] {
        all.add("jsonb_set", args, "jsonb", |c, a| {
            let mut value = parsed(str_at(a, 0))?;
            let new = parsed(str_at(a, 2))?;
            let create = !matches!(a.get(3), Some(Datum::Bool(false)));
            change(&mut value, steps(a, 1), Some(new), create);
            out(c, &value)
        });
    }
}

fn normalized(text: &str) -> Result<String> {
    normalize(text)
}

fn items(call: &Call<'_>, text: &str, plain: bool) -> Result<Datum<'static>> {
    let Value::Array(values) = parsed(text)? else {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "cannot extract elements from an object",
        ));
    };
    list(call, values.iter(), plain)
}

fn members(call: &Call<'_>, text: &str, plain: bool) -> Result<Datum<'static>> {
    let Value::Object(map) = parsed(&normalize(text)?)? else {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "cannot call jsonb_each on a non-object",
        ));
    };
    list(call, map.values(), plain)
}

fn list<'v>(
    call: &Call<'_>,
    values: impl Iterator<Item = &'v Value>,
    plain: bool,
) -> Result<Datum<'static>> {
    let element = element_of(call.result.oid).map_or(PgType::TEXT, PgType::new);
    let items = values
        .map(|value| {
            if plain {
                return as_text(value);
            }
            let shown = value.to_string();
            if element.oid == oid::JSONB {
                normalize(&shown).map(Datum::text)
            } else {
                Ok(Datum::text(shown))
            }
        })
        .collect::<Result<_>>()?;
    Ok(Datum::Array(Box::new(Array { element, items })))
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn exists(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.contains_key(key),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
        Value::String(text) => text == key,
        _ => false,
    }
}

fn contains(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => right
            .iter()
            .all(|(key, value)| left.get(key).is_some_and(|known| contains(known, value))),
        (Value::Array(left), Value::Array(right)) => right
            .iter()
            .all(|value| left.iter().any(|known| contains(known, value))),
        (Value::Array(left), scalar) if !scalar.is_object() => left.contains(scalar),
        (left, right) => left == right,
    }
}

fn change(value: &mut Value, steps: &[Datum<'_>], new: Option<Value>, create: bool) {
    let Some((Datum::Text(step), rest)) = steps.split_first() else {
        return;
    };
    match value {
        Value::Object(map) => {
            if rest.is_empty() {
                match new {
                    Some(new) if create || map.contains_key(step.as_ref()) => {
                        map.insert(step.to_string(), new);
                    }
                    Some(_) => {}
                    None => {
                        map.shift_remove(step.as_ref());
                    }
                }
            } else if let Some(inner) = map.get_mut(step.as_ref()) {
                change(inner, rest, new, create);
            }
        }
        Value::Array(items) => {
            let Ok(at) = step.parse::<i64>() else { return };
            let length = items.len() as i64;
            let place = if at < 0 { length + at } else { at };
            let found = usize::try_from(place)
                .ok()
                .filter(|place| *place < items.len());
            match (found, rest.is_empty(), new) {
                (Some(place), true, Some(new)) => {
                    if let Some(slot) = items.get_mut(place) {
                        *slot = new;
                    }
                }
                (Some(place), true, None) => {
                    items.remove(place);
                }
                (Some(place), false, new) => {
                    if let Some(inner) = items.get_mut(place) {
                        change(inner, rest, new, create);
                    }
                }
                (None, true, Some(new)) if create => {
                    if at < 0 {
                        items.insert(0, new)
                    } else {
                        items.push(new)
                    }
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn pretty(value: &Value, depth: usize, out: &mut String) {
    let indent = |depth: usize| "    ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str("{\n");
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(&indent(depth + 1));
                write_string(key, out);
                out.push_str(": ");
                pretty(value, depth + 1, out);
                out.push_str(if at + 1 < map.len() { ",\n" } else { "\n" });
            }
            out.push_str(&indent(depth));
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (at, value) in items.iter().enumerate() {
                out.push_str(&indent(depth + 1));
                pretty(value, depth + 1, out);
                out.push_str(if at + 1 < items.len() { ",\n" } else { "\n" });
            }
            out.push_str(&indent(depth));
            out.push(']');
        }
        Value::Object(_) => out.push_str("{\n}"),
        Value::Array(_) => out.push_str("[\n]"),
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The JSON of any value, as `to_json` writes it.
fn write(value: &Datum<'_>, ty: PgType, style: &text::TextStyle, out: &mut String) {
    match value {
        Datum::Null => out.push_str("null"),
        Datum::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Datum::Text(text) if matches!(ty.oid, oid::JSON | oid::JSONB) => out.push_str(text),
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
pub(super) fn array(
    types: &[PgType],
    rows: &[Vec<Datum<'static>>],
    binary: bool,
) -> Result<Datum<'static>> {
    if rows.is_empty() {
        return Ok(Datum::Null);
    }
    let style = super::collect::style();
    let ty = types.first().copied().unwrap_or(PgType::TEXT);
    let mut out = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write(row.first().unwrap_or(&Datum::Null), ty, &style, &mut out);
    }
    out.push(']');
    if binary {
        normalize(&out).map(Datum::text)
    } else {
        Ok(Datum::text(out))
    }
}

/// `json_object_agg`, `jsonb_object_agg`.
pub(super) fn object(
    types: &[PgType],
    rows: &[Vec<Datum<'static>>],
    binary: bool,
) -> Result<Datum<'static>> {
    if rows.is_empty() {
        return Ok(Datum::Null);
    }
    let style = super::collect::style();
    let mut out = String::from("{ ");
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        pair_of(row, types, &style, &mut out)?;
    }
    out.push_str(" }");
    if binary {
        normalize(&out).map(Datum::text)
    } else {
        Ok(Datum::text(out))
    }
}
