//! jsonb taken apart and put together again: `jsonb_set`, `-`, `||`, `@>`.

use serde_json::Value;

use super::super::registry::Definitions;
use super::super::strings::{int_at, str_at};
use super::{out, parsed, steps};
use crate::error::{Error, Result, SqlState};
use crate::types::Datum;
use crate::types::kinds::json::write_string;

pub(super) fn define(all: &mut Definitions) {
    for ty in ["json", "jsonb"] {
        let name = match ty {
            "json" => "json_strip_nulls",
            _ => "jsonb_strip_nulls",
        };
        all.add(name, ty, ty, |c, a| {
            let mut value = parsed(str_at(a, 0))?;
            strip(&mut value);
            out(c, &value)
        });
    }
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
        Ok(Datum::Bool(holds(
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
            _ => return Err(super::wrong("cannot delete from scalar")),
        }
        out(c, &value)
    });
    all.add("jsonb_delete", "jsonb,_text", "jsonb", |c, a| {
        let mut value = parsed(str_at(a, 0))?;
        let gone = |key: &str| {
            let mut keys = steps(a, 1).iter();
            keys.any(|step| matches!(step, Datum::Text(step) if step.as_ref() == key))
        };
        match &mut value {
            Value::Object(map) => map.retain(|key, _| !gone(key)),
            Value::Array(items) => items.retain(|item| !item.as_str().is_some_and(gone)),
            _ => return Err(super::wrong("cannot delete from scalar")),
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
    for args in ["jsonb,_text,jsonb", "jsonb,_text,jsonb,bool"] {
        all.add("jsonb_insert", args, "jsonb", |c, a| {
            let mut value = parsed(str_at(a, 0))?;
            let new = parsed(str_at(a, 2))?;
            let after = matches!(a.get(3), Some(Datum::Bool(true)));
            insert(&mut value, steps(a, 1), new, after)?;
            out(c, &value)
        });
    }
}

/// `jsonb_insert`: beside an item of an array, or under a new key.
fn insert(value: &mut Value, steps: &[Datum<'_>], new: Value, after: bool) -> Result<()> {
    let Some((Datum::Text(step), rest)) = steps.split_first() else {
        return Ok(());
    };
    match value {
        Value::Object(map) if rest.is_empty() => {
            if map.contains_key(step.as_ref()) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "cannot replace existing key",
                )
                .hint("Try using the function jsonb_set to replace key value."));
            }
            map.insert(step.to_string(), new);
        }
        Value::Object(map) => {
            if let Some(inner) = map.get_mut(step.as_ref()) {
                insert(inner, rest, new, after)?;
            }
        }
        Value::Array(items) => {
            let at = place(step, items.len())?;
            match usize::try_from(at) {
                Ok(at) if !rest.is_empty() => {
                    if let Some(inner) = items.get_mut(at) {
                        insert(inner, rest, new, after)?;
                    }
                }
                Ok(at) if at >= items.len() => items.push(new),
                Ok(at) => items.insert(at + usize::from(after), new),
                Err(_) if rest.is_empty() => items.insert(0, new),
                Err(_) => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// The place in an array that a step of a path names; negative: before its start.
fn place(step: &str, length: usize) -> Result<i64> {
    let at: i64 = step.trim().parse().map_err(|_| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("path element at position 1 is not an integer: \"{step}\""),
        )
    })?;
    Ok(if at < 0 {
        (length as i64).saturating_add(at)
    } else {
        at
    })
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

/// `@>`: at the top, and only there, an array contains its plain items too.
fn holds(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), right) if !right.is_array() && !right.is_object() => {
            left.contains(right)
        }
        _ => contains(left, right),
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
