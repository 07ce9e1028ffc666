//! Numeric results with the digits that PostgreSQL shows.
//!
//! A `numeric` column in Arrow has one scale for all its rows; PostgreSQL's quotients and averages
//! have one for each value. So where such a value goes straight to the client it is computed once
//! more precisely and handed over as text.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::scalar::ScalarValue;

use super::super::bind::Typed;
use super::arithmetic::ArithmeticFunction;
use super::casts::{cast_function, names_function};
use super::row::RowFunction;
use crate::types::cast::Context;
use crate::types::{PgType, oid};

/// The expression to show instead; `None` when the column already shows what it should.
pub(in crate::query) fn display(typed: &Typed) -> Option<Typed> {
    let expr = match typed.ty.oid {
        oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE => named(typed),
        oid::NUMERIC if typed.ty.typmod < 0 => text_form(&typed.expr)?,
        _ => return None,
    };
    Some(Typed {
        expr,
        ty: typed.ty,
        data: DataType::Utf8View,
    })
}

/// The name that an OID stands for.
fn named(typed: &Typed) -> Expr {
    let function = names_function(typed.ty, PgType::TEXT);
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![typed.expr.clone()]))
}

/// The expression as text where that shows other digits than its column would.
fn text_form(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::ScalarFunction(call) => {
            let inner = call.func.inner();
            let any: &dyn std::any::Any = inner.as_ref();
            if call.func.name() == "coalesce" {
                let changed = call.args.iter().any(|arg| text_form(arg).is_some());
                let args = call.args.iter().map(as_text).collect();
                return changed.then(|| {
                    Expr::ScalarFunction(ScalarFunction::new_udf(call.func.clone(), args))
                });
            }
            let function = if let Some(arithmetic) = any.downcast_ref::<ArithmeticFunction>() {
                arithmetic.with_text()?
            } else if let Some(row) = any.downcast_ref::<RowFunction>() {
                if row.result.oid != oid::NUMERIC || row.built.typmod >= 0 {
                    return None;
                }
                ScalarUDF::new_from_impl(RowFunction {
                    as_text: true,
                    ..row.clone()
                })
            } else {
                return None;
            };
            // Numeric operands that are computed the same way keep their digits too.
            let args = call
                .args
                .iter()
                .map(|arg| text_form(arg).unwrap_or_else(|| arg.clone()))
                .collect();
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(
                Arc::new(function),
                args,
            )))
        }
        // A value that was only widened to fit its neighbours.
        Expr::Cast(cast) if is_decimal(cast.field.data_type()) => match cast.expr.as_ref() {
            Expr::Cast(inner) if is_decimal(inner.field.data_type()) => Some(as_text(&cast.expr)),
            Expr::Literal(value, _) if is_decimal(&value.data_type()) => Some(as_text(&cast.expr)),
            inner => text_form(inner),
        },
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let changed = branches
                .chain(case.else_expr.as_deref())
                .any(|branch| text_form(branch).is_some());
            if !changed {
                return None;
            }
            let pairs = case
                .when_then_expr
                .iter()
                .map(|(when, then)| (when.clone(), Box::new(as_text(then))))
                .collect();
            let otherwise = case
                .else_expr
                .as_ref()
                .map(|otherwise| Box::new(as_text(otherwise)));
            Some(Expr::Case(Case::new(case.expr.clone(), pairs, otherwise)))
        }
        _ => None,
    }
}

fn is_decimal(data: &DataType) -> bool {
    matches!(data, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// A numeric expression as text, with its own digits.
fn as_text(expr: &Expr) -> Expr {
    if let Some(text) = text_form(expr) {
        return text;
    }
    if let Expr::Literal(value, _) = expr
        && value.is_null()
    {
        return Expr::Literal(ScalarValue::Utf8View(None), None);
    }
    let function = cast_function(PgType::NUMERIC, PgType::TEXT, Context::Explicit);
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr.clone()]))
}
