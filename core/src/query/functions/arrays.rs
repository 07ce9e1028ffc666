//! Arrays, and functions that return sets: a set is an array that FROM or the select list unnests.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};

use super::limits;
use super::registry::Definitions;
use super::row::{Call, RowFunction};
use super::strings::{int_at, shown, str_at};
use crate::error::{Error, Result, SqlState};
use crate::types::names::{array_of, element_of};
use crate::types::ops;
use crate::types::{Array, Datum, PgType, oid};

/// `ARRAY[…]` of expressions.
pub(in crate::query) fn array_builder(element: PgType, types: Vec<PgType>) -> Arc<ScalarUDF> {
    let result = array_of(element.oid).map_or(PgType::TEXT_ARRAY, PgType::new);
    RowFunction::new(
        "array",
        types,
        result,
        Volatility::Immutable,
        false,
        |c, a| {
            let element = element_of(c.result.oid).map_or(PgType::TEXT, PgType::new);
            Ok(Datum::Array(Box::new(Array {
                element,
                items: a.iter().map(|item| item.clone().into_owned()).collect(),
            })))
        },
    )
    .into_udf()
}

/// Columns of a set-returning function: their names (empty: the function's own) and the functions
/// that give them as arrays.
pub(in crate::query) fn set_columns(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match name {
        "generate_series" => &[("", "generate_series_op")],
        "generate_subscripts" => &[("", "generate_subscripts_op")],
        "regexp_split_to_table" => &[("", "regexp_split_to_array")],
        "string_to_table" => &[("", "string_to_array")],
        "json_array_elements" => &[("value", "json_array_elements_op")],
        "jsonb_array_elements" => &[("value", "jsonb_array_elements_op")],
        "json_array_elements_text" => &[("value", "json_array_elements_text_op")],
        "jsonb_array_elements_text" => &[("value", "jsonb_array_elements_text_op")],
        "json_object_keys" => &[("", "json_object_keys_op")],
        "jsonb_object_keys" => &[("", "jsonb_object_keys_op")],
        "json_each" => &[
            ("key", "json_object_keys_op"),
            ("value", "json_object_values_op"),
        ],
        "jsonb_each" => &[
            ("key", "jsonb_object_keys_op"),
            ("value", "jsonb_object_values_op"),
        ],
        "json_each_text" => &[
            ("key", "json_object_keys_op"),
            ("value", "json_object_values_text_op"),
        ],
        "jsonb_each_text" => &[
            ("key", "jsonb_object_keys_op"),
            ("value", "jsonb_object_values_text_op"),
        ],
        _ => return None,
    })
}

fn items<'d>(args: &'d [Datum<'_>], at: usize) -> &'d [Datum<'static>] {
    match args.get(at) {
        Some(Datum::Array(array)) => &array.items,
        _ => &[],
    }
}

/// The subscript of the first item: those of the vector types count from 0.
fn first(call: &Call<'_>) -> i64 {
    match call.types.first().map(|ty| ty.oid) {
        Some(oid::INT2VECTOR | oid::OIDVECTOR) => 0,
        _ => 1,
    }
}

pub(super) fn array(element: PgType, items: Vec<Datum<'static>>) -> Result<Datum<'static>> {
    Ok(Datum::Array(Box::new(Array { element, items })))
}

fn append(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let mut all = items(args, 0).to_vec();
    all.push(args.get(1).cloned().unwrap_or(Datum::Null).into_owned());
    array(element(call.result), all)
}

fn prepend(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let mut all = vec![args.first().cloned().unwrap_or(Datum::Null).into_owned()];
    all.extend(items(args, 1).to_vec());
    array(element(call.result), all)
}

pub(super) fn element(result: PgType) -> PgType {
    element_of(result.oid).map_or(PgType::TEXT, PgType::new)
}

pub(super) fn define(all: &mut Definitions) {
    all.add(
        "generate_subscripts_op",
        "anyarray,int4",
        "_int4",
        |c, a| {
            let count = match int_at(a, 1) {
                1 => items(a, 0).len() as i64,
                _ => 0,
            };
            let numbers = (first(c)..).take(count as usize);
            let numbers = numbers.map(|number| Datum::Int4(number as i32));
            array(PgType::INT4, numbers.collect())
        },
    );
    all.add("array_ordinals", "anyarray", "_int8", |_, a| {
        array(
            PgType::INT8,
            (1..=items(a, 0).len() as i64).map(Datum::Int8).collect(),
        )
    });
    all.add("array_length", "anyarray,int4", "int4", |_, a| {
        let count = items(a, 0).len();
        Ok(if int_at(a, 1) == 1 && count > 0 {
            Datum::Int4(count as i32)
        } else {
            Datum::Null
        })
    });
    all.add("array_upper", "anyarray,int4", "int4", |c, a| {
        let count = items(a, 0).len() as i64;
        Ok(if int_at(a, 1) == 1 && count > 0 {
            Datum::Int4((count + first(c) - 1) as i32)
        } else {
            Datum::Null
        })
    });
    all.add("array_lower", "anyarray,int4", "int4", |c, a| {
        Ok(if int_at(a, 1) == 1 && !items(a, 0).is_empty() {
            Datum::Int4(first(c) as i32)
        } else {
            Datum::Null
        })
    });
    all.add("array_ndims", "anyarray", "int4", |_, a| {
        Ok(if items(a, 0).is_empty() {
            Datum::Null
        } else {
            Datum::Int4(1)
        })
    });
    all.add("array_dims", "anyarray", "text", |_, a| {
        Ok(if items(a, 0).is_empty() {
            Datum::Null
        } else {
            Datum::text(format!("[1:{}]", items(a, 0).len()))
        })
    });
    all.add("cardinality", "anyarray", "int4", |_, a| {
        Ok(Datum::Int4(items(a, 0).len() as i32))
    });
    all.add("array_append", "anyarray,anyelement", "anyarray", append)
        .takes_null();
    all.add("array_prepend", "anyelement,anyarray", "anyarray", prepend)
        .takes_null();
    for name in ["array_cat", "array_concat_op"] {
        all.add(name, "anyarray,anyarray", "anyarray", |c, a| {
            if a.iter().all(Datum::is_null) {
                return Ok(Datum::Null);
            }
            array(element(c.result), [items(a, 0), items(a, 1)].concat())
        })
        .takes_null();
    }
    all.add("array_concat_op", "anyarray,anyelement", "anyarray", append)
        .takes_null();
    all.add(
        "array_concat_op",
        "anyelement,anyarray",
        "anyarray",
        prepend,
    )
    .takes_null();
    all.add("array_remove", "anyarray,anyelement", "anyarray", |c, a| {
        let gone = a.get(1).cloned().unwrap_or(Datum::Null);
        let kept = items(a, 0)
            .iter()
            .filter(|item| !same(item, &gone))
            .cloned()
            .collect();
        array(element(c.result), kept)
    })
    .takes_null();
    all.add(
        "array_replace",
        "anyarray,anyelement,anyelement",
        "anyarray",
        |c, a| {
            let from = a.get(1).cloned().unwrap_or(Datum::Null);
            let to = a.get(2).cloned().unwrap_or(Datum::Null).into_owned();
            let new = items(a, 0).iter().map(|item| match same(item, &from) {
                true => to.clone(),
                false => item.clone(),
            });
            array(element(c.result), limits::collect(c.limit, new)?)
        },
    )
    .takes_null();
    all.add("array_position", "anyarray,anyelement", "int4", |_, a| {
        let wanted = a.get(1).cloned().unwrap_or(Datum::Null);
        Ok(items(a, 0)
            .iter()
            .position(|item| same(item, &wanted))
            .map_or(Datum::Null, |at| Datum::Int4(at as i32 + 1)))
    })
    .takes_null();
    all.add("array_positions", "anyarray,anyelement", "_int4", |_, a| {
        let wanted = a.get(1).cloned().unwrap_or(Datum::Null);
        let found = items(a, 0)
            .iter()
            .enumerate()
            .filter(|(_, item)| same(item, &wanted));
        array(
            PgType::INT4,
            found.map(|(at, _)| Datum::Int4(at as i32 + 1)).collect(),
        )
    })
    .takes_null();
    for args in ["anyarray,text", "anyarray,text,text"] {
        all.add("array_to_string", args, "text", |c, a| {
            let ty = c.types.first().map_or(PgType::TEXT, |ty| element(*ty));
            let null = match a.get(2) {
                Some(Datum::Text(null)) => Some(null.to_string()),
                _ => None,
            };
            let mut out = limits::Text::new(c.limit);
            let mut first = true;
            for item in items(a, 0) {
                let shown = match (item.is_null(), &null) {
                    (true, None) => continue,
                    (true, Some(null)) => Cow::Borrowed(null.as_str()),
                    (false, _) => Cow::Owned(shown(c, item, ty)),
                };
                if !first {
                    out.push(str_at(a, 1))?;
                }
                first = false;
                out.push(&shown)?;
            }
            Ok(out.into_datum())
        })
        .stable();
    }
    all.add("array_get_op", "anyarray,int4", "anyelement", |c, a| {
        let at = usize::try_from(int_at(a, 1) - first(c)).ok();
        Ok(at
            .and_then(|at| items(a, 0).get(at))
            .cloned()
            .unwrap_or(Datum::Null))
    });
    all.add(
        "array_slice_op",
        "anyarray,int4,int4",
        "anyarray",
        |c, a| {
            let first = first(c);
            let low = (int_at(a, 1) - first).max(0) as usize;
            let high = ((int_at(a, 2) - first + 1).max(0) as usize).min(items(a, 0).len());
            array(
                element(c.result),
                items(a, 0).get(low..high).unwrap_or_default().to_vec(),
            )
        },
    );
    all.add("trim_array", "anyarray,int4", "anyarray", |c, a| {
        let (count, gone) = (items(a, 0).len(), int_at(a, 1));
        let kept = usize::try_from(gone)
            .ok()
            .and_then(|gone| count.checked_sub(gone))
            .ok_or_else(|| {
                Error::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    format!("number of elements to trim must be between 0 and {count}"),
                )
            })?;
        array(
            element(c.result),
            items(a, 0).get(..kept).unwrap_or_default().to_vec(),
        )
    });
    all.add("array_fill", "anyelement,_int4", "anyarray", |c, a| {
        let length = match items(a, 1) {
            [] => return array(element(c.result), Vec::new()),
            [Datum::Int4(length)] => *length,
            [Datum::Null] => {
                return Err(Error::new(
                    SqlState::NULL_VALUE_NOT_ALLOWED,
                    "dimension values cannot be null",
                ));
            }
            _ => {
                return Err(Error::unsupported(
                    "an array of more than one dimension",
                    "Use a one-dimensional array or jsonb.",
                ));
            }
        };
        let count = usize::try_from(length)
            .ok()
            .filter(|count| *count <= crate::types::kinds::array::MAX_ITEMS)
            .ok_or_else(|| {
                Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!(
                        "array size exceeds the maximum allowed ({})",
                        crate::types::kinds::array::MAX_ITEMS
                    ),
                )
            })?;
        let value = a.first().cloned().unwrap_or(Datum::Null).into_owned();
        let bytes = size_of::<Datum<'static>>().saturating_add(value.weight());
        c.limit.fits(bytes.saturating_mul(count))?;
        array(element(c.result), vec![value; count])
    })
    .takes_null();
    all.add("width_bucket", "anyelement,anyarray", "int4", |_, a| {
        let value = a.first().cloned().unwrap_or(Datum::Null);
        let below = items(a, 1)
            .iter()
            .take_while(|bound| ops::compare(bound, &value).is_le())
            .count();
        Ok(Datum::Int4(below as i32))
    });
    all.add("contains_op", "anyarray,anyarray", "bool", |_, a| {
        Ok(Datum::Bool(items(a, 1).iter().all(|item| {
            items(a, 0)
                .iter()
                .any(|known| !known.is_null() && same(known, item))
        })))
    });
    all.add("overlaps_op", "anyarray,anyarray", "bool", |_, a| {
        Ok(Datum::Bool(items(a, 1).iter().any(|item| {
            items(a, 0)
                .iter()
                .any(|known| !known.is_null() && same(known, item))
        })))
    });
}

fn same(left: &Datum<'_>, right: &Datum<'_>) -> bool {
    match (left.is_null(), right.is_null()) {
        (true, true) => true,
        (false, false) => ops::compare(left, right).is_eq(),
        _ => false,
    }
}
