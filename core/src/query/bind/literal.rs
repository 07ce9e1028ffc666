//! Constants as they are written.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::sql::sqlparser::ast::Value;

use super::coerce;
use super::scope::Typed;
use super::{Binder, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::types::text::{self, TextStyle};
use crate::types::{Datum, PgType};

/// The most parameters of a statement (the protocol counts them in 16 bits).
const MAX_PARAMETERS: usize = u16::MAX as usize;

impl Binder<'_> {
    pub(super) fn value(&mut self, value: &Value) -> Result<Typed> {
        match value {
            Value::Number(digits, _) => number(digits),
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => Ok(unknown(Some(text.clone()))),
            Value::DollarQuotedString(text) => Ok(unknown(Some(text.value.clone()))),
            Value::Boolean(value) => coerce::literal(&Datum::Bool(*value), PgType::BOOL),
            Value::Null => Ok(unknown(None)),
            Value::Placeholder(id) => self.parameter(id),
            other => unsupported(&format!("the literal {other}"), "Use a string or a number."),
        }
    }

    fn parameter(&mut self, id: &str) -> Result<Typed> {
        let number: Option<usize> = id.strip_prefix('$').and_then(|digits| digits.parse().ok());
        let number = match number {
            Some(number) if (1..=MAX_PARAMETERS).contains(&number) => number,
            _ => {
                return Err(Error::new(
                    SqlState::UNDEFINED_PARAMETER,
                    format!("there is no parameter {id}"),
                ));
            }
        };
        if self.parameters.len() < number {
            self.parameters.resize(number, PgType::UNKNOWN);
        }
        let ty = self
            .parameters
            .get(number - 1)
            .copied()
            .unwrap_or(PgType::UNKNOWN);
        Ok(placeholder(id, ty))
    }

    /// Gives an open parameter its type.
    pub(super) fn infer_parameter(&mut self, id: &str, ty: PgType) -> Result<Typed> {
        let number: usize = id.trim_start_matches('$').parse().unwrap_or(0);
        let slot = number
            .checked_sub(1)
            .and_then(|at| self.parameters.get_mut(at))
            .ok_or_else(|| Error::internal("a parameter without a number"))?;
        let ty = PgType::new(ty.oid);
        if slot.oid == PgType::UNKNOWN.oid {
            *slot = ty;
        }
        let known = *slot;
        if known.oid != ty.oid {
            return Err(Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!("inconsistent types deduced for parameter {id}"),
            )
            .detail(format!(
                "{} versus {}",
                crate::types::names::format_type(known),
                crate::types::names::format_type(ty)
            )));
        }
        Ok(placeholder(id, ty))
    }
}

fn placeholder(id: &str, ty: PgType) -> Typed {
    let data = coerce::arrow_type(ty);
    let field = coerce::plain_field(id, ty);
    Typed {
        expr: Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(field))),
        ty,
        data,
    }
}

/// A string (or NULL) whose type is still open.
pub(super) fn unknown(text: Option<String>) -> Typed {
    Typed {
        expr: Expr::Literal(ScalarValue::Utf8View(text), None),
        ty: PgType::UNKNOWN,
        data: arrow::datatypes::DataType::Utf8View,
    }
}

/// `int4` when it fits, then `int8`, then `numeric`.
fn number(digits: &str) -> Result<Typed> {
    if let Ok(value) = digits.parse::<i32>() {
        return coerce::literal(&Datum::Int4(value), PgType::INT4);
    }
    if let Ok(value) = digits.parse::<i64>() {
        return coerce::literal(&Datum::Int8(value), PgType::INT8);
    }
    let value = text::parse(PgType::NUMERIC, digits, &TextStyle::default())?;
    // What no decimal column holds is at least a float.
    match (
        coerce::literal(&value, PgType::NUMERIC),
        digits.parse::<f64>(),
    ) {
        (Ok(typed), _) => Ok(typed),
        (Err(_), Ok(float)) if float.is_finite() => {
            coerce::literal(&Datum::Float8(float), PgType::FLOAT8)
        }
        (Err(error), _) => Err(error),
    }
}
