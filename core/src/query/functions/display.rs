//! Numeric results with the digits that PostgreSQL shows.
//!
//! A `numeric` column in Arrow has one scale for all its rows; PostgreSQL's quotients and averages
//! have one for each value. So where such a value goes straight to the client it is computed once
//! more precisely and handed over as text.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::ScalarUDF;

use super::super::bind::Typed;
use super::arithmetic::ArithmeticFunction;
use super::row::RowFunction;
use crate::types::oid;

/// The expression to show instead; `None` when the column already shows what it should.
pub(in crate::query) fn display(typed: &Typed) -> Option<Typed> {
    if typed.ty.oid != oid::NUMERIC || !matches!(typed.data, DataType::Decimal256(..)) {
        return None;
    }
    Some(Typed {
        expr: text_form(&typed.expr)?,
        ty: typed.ty,
        data: DataType::Utf8View,
    })
}

fn text_form(expr: &Expr) -> Option<Expr> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let inner = call.func.inner();
    let any: &dyn std::any::Any = inner.as_ref();
    let function = if let Some(arithmetic) = any.downcast_ref::<ArithmeticFunction>() {
        arithmetic.with_text()?
    } else if let Some(row) = any.downcast_ref::<RowFunction>() {
        if row.result.oid != oid::NUMERIC || row.built.typmod >= 0 {
            return None;
        }
        ScalarUDF::new_from_impl(RowFunction { as_text: true, ..row.clone() })
    } else {
        return None;
    };
    // Numeric operands that are computed the same way keep their digits too.
    let args = call.args.iter().map(|arg| text_form(arg).unwrap_or_else(|| arg.clone())).collect();
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(std::sync::Arc::new(function), args)))
}
