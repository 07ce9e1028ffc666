//! Arithmetic and comparison of single values with PostgreSQL's results and errors, for the
//! statements that never enter DataFusion.

use std::cmp::Ordering;

use super::{Datum, PgType};
use crate::error::Result;

/// A binary operator on values of the types below; see [`result_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Concat,
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// The operands' common types and the result's type, or `None` when PostgreSQL has no such operator.
pub fn result_type(op: BinaryOp, left: PgType, right: PgType) -> Option<(PgType, PgType, PgType)> {
    let _ = (op, left, right);
    todo!()
}

/// Applies `op` to two values that already have the operand types of [`result_type`].
///
/// # Errors
/// 22003 on overflow, 22012 on division by zero, 22008 for dates.
pub fn apply(op: BinaryOp, left: &Datum<'_>, right: &Datum<'_>) -> Result<Datum<'static>> {
    let _ = (op, left, right);
    todo!()
}

/// Compares two values of one type; NULLs last, NaN above all numbers.
pub fn compare(left: &Datum<'_>, right: &Datum<'_>) -> Ordering {
    let _ = (left, right);
    todo!()
}
