//! Numbers: one file for each family of types.

mod degrees;
mod float;
mod integer;
mod numeric;

pub(super) use float::bucket;

use super::registry::Definitions;
use crate::error::{Error, Result, SqlState};
use crate::types::ops::{self, BinaryOp};
use crate::types::{Datum, Numeric};

pub(super) fn define(all: &mut Definitions) {
    for ty in [
        "int2", "int4", "int8", "float4", "float8", "numeric", "interval",
    ] {
        all.add("negate_op", ty, ty, |_, a| {
            match a.first().map(negated).transpose()?.flatten() {
                Some(value) => Ok(value),
                None => Err(Error::internal("no negative")),
            }
        });
    }
    for ty in ["int2", "int4", "int8", "float4", "float8", "numeric"] {
        all.add("abs", ty, ty, |_, a| {
            let value = a.first().cloned().unwrap_or(Datum::Null).into_owned();
            let negative = match &value {
                Datum::Int2(value) => *value < 0,
                Datum::Int4(value) => *value < 0,
                Datum::Int8(value) => *value < 0,
                Datum::Float4(value) => value.is_sign_negative(),
                Datum::Float8(value) => value.is_sign_negative(),
                Datum::Numeric(value) => value.sign() < 0,
                _ => false,
            };
            Ok(if negative {
                negated(&value)?.unwrap_or(value)
            } else {
                value
            })
        });
    }
    for ty in ["int2", "int4", "int8", "numeric"] {
        all.add("mod", &format!("{ty},{ty}"), ty, |_, a| match a {
            [left, right] => ops::apply(BinaryOp::Mod, left, right),
            _ => Ok(Datum::Null),
        });
    }
    integer::define(all);
    float::define(all);
    degrees::define(all);
    numeric::define(all);
}

fn out_of_range(ty: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{ty} out of range"),
    )
}

fn bad_input() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "input is out of range",
    )
}

fn count_error(message: &str) -> Error {
    Error::new(
        SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION,
        message,
    )
}

/// The negative of a number or an interval; `None` for other values.
pub(in crate::query) fn negated(value: &Datum<'_>) -> Result<Option<Datum<'static>>> {
    Ok(Some(match value {
        Datum::Null => Datum::Null,
        Datum::Int2(value) => Datum::Int2(
            value
                .checked_neg()
                .ok_or_else(|| out_of_range("smallint"))?,
        ),
        Datum::Int4(value) => {
            Datum::Int4(value.checked_neg().ok_or_else(|| out_of_range("integer"))?)
        }
        Datum::Int8(value) => {
            Datum::Int8(value.checked_neg().ok_or_else(|| out_of_range("bigint"))?)
        }
        Datum::Float4(value) => Datum::Float4(-value),
        Datum::Float8(value) => Datum::Float8(-value),
        Datum::Numeric(value) => Datum::Numeric(Numeric::negated(value.clone())),
        Datum::Interval(value) => {
            let zero = Datum::Interval(crate::types::Interval::default());
            ops::apply(BinaryOp::Sub, &zero, &Datum::Interval(*value))?
        }
        _ => return Ok(None),
    }))
}
