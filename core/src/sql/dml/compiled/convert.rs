//! Casts and operators of compiled expressions, and what literals mean.

use datafusion::sql::sqlparser::ast::Value;

use super::expr::{Expr, Node};
use crate::error::{Error, Result, SqlState};
use crate::types::cast::{self, Context};
use crate::types::ops::{self, BinaryOp};
use crate::types::{Datum, PgType, names, oid, text};

/// Casts for an assignment to a column.
///
/// # Errors
/// 42804 when there is no such cast.
pub fn assignment(expr: Expr, column: &str, ty: PgType) -> Result<Expr> {
    if !assignable(expr.ty, ty) {
        return Err(not_assignable(expr.ty, column, ty));
    }
    converted(expr, ty, Context::Assignment)
        .ok_or_else(|| Error::internal("an assignment cast is missing"))
}

/// Whether a value of one type may be stored into a column of the other.
pub fn assignable(from: PgType, to: PgType) -> bool {
    from.oid == to.oid || cast::allowed(from, to, Context::Assignment)
}

/// 42804 for a value that a column cannot take.
pub fn not_assignable(from: PgType, column: &str, to: PgType) -> Error {
    Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            names::format_type(PgType::new(to.oid)),
            names::format_type(PgType::new(from.oid)),
        ),
    )
    .hint("You will need to rewrite or cast the expression.")
}

/// `expr` as a value of type `ty`; `None` when there is no such cast.
pub(super) fn converted(expr: Expr, ty: PgType, context: Context) -> Option<Expr> {
    if expr.ty == ty || (expr.ty.oid == ty.oid && ty.typmod < 0) {
        return Some(expr);
    }
    if expr.ty.oid != ty.oid && !cast::allowed(expr.ty, ty, context) {
        return None;
    }
    Some(Expr {
        node: Node::Cast(Box::new(expr), context),
        ty,
    })
}

pub(super) fn operator(op: BinaryOp, left: Expr, right: Expr) -> Option<Expr> {
    let (left_ty, right_ty, ty) = ops::result_type(op, left.ty, right.ty)?;
    let left = converted(left, PgType::new(left_ty.oid), Context::Implicit)?;
    let right = converted(right, PgType::new(right_ty.oid), Context::Implicit)?;
    Some(Expr {
        node: Node::Binary(op, Box::new(left), Box::new(right)),
        ty,
    })
}

/// The type that an open operand takes beside one of type `known`; `None` where PostgreSQL looks
/// further (`timestamp + '1 day'`).
pub(super) fn open_type(op: BinaryOp, known: PgType) -> Option<PgType> {
    let ty = PgType::new(known.oid);
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => {
            is_number(ty).then_some(ty)
        }
        BinaryOp::Concat => Some(PgType::TEXT),
        _ => match ty.oid {
            oid::VARCHAR => Some(PgType::TEXT),
            _ => Some(ty),
        },
    }
}

pub(super) fn boolean(node: Node) -> Expr {
    Expr {
        node,
        ty: PgType::BOOL,
    }
}

pub(super) fn negate(negated: bool, expr: Expr) -> Expr {
    if negated {
        boolean(Node::Not(Box::new(expr)))
    } else {
        expr
    }
}

pub(super) fn parameter(at: usize, ty: PgType) -> Expr {
    Expr {
        node: Node::Parameter(at),
        ty,
    }
}

pub(super) fn is_number(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC
    )
}

/// The type of a number is the smallest of int4, int8 and numeric that holds it.
pub(super) fn number(digits: &str) -> Option<Expr> {
    if let Ok(value) = digits.parse::<i32>() {
        return Some(Expr::constant(Datum::Int4(value), PgType::INT4));
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Some(Expr::constant(Datum::Int8(value), PgType::INT8));
    }
    let datum = text::parse(PgType::NUMERIC, digits, &Default::default()).ok()?;
    Some(Expr::constant(datum, PgType::NUMERIC))
}

/// The text of a string literal of any form.
pub fn string_value(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Some(text),
        Value::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

/// Whether a literal of this type always means the same value.
pub(super) fn is_plain_input(ty: PgType, literal: &str) -> bool {
    match ty.oid {
        oid::DATE | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            // 'now', 'today', 'yesterday', … depend on the moment.
            !literal
                .trim_start()
                .starts_with(|c: char| c.is_ascii_alphabetic())
        }
        oid::REGCLASS | oid::REGTYPE | oid::REGPROC | oid::REGNAMESPACE | oid::REGROLE => false,
        _ => true,
    }
}
