//! Arithmetic operators: of numbers, times and spans; and the sign.

use datafusion::sql::sqlparser::ast;

use super::Binder;
use super::coerce;
use super::comparison::rank;
use super::operator::no_operator;
use super::scope::Typed;
use crate::error::{Error, Result, SqlState};
use crate::query::functions::{self, Arithmetic};
use crate::types::ops::{self, BinaryOp};
use crate::types::{PgType, oid};

impl Binder<'_> {
    pub(super) fn arithmetic(
        &mut self,
        op: BinaryOp,
        name: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        if left.is_unknown() && right.is_unknown() {
            return Err(Error::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("operator is not unique: unknown {name} unknown"),
            )
            .hint("Could not choose a best candidate operator. You might need to add explicit type casts."));
        }
        let missing = no_operator(name, Some(left.ty), right.ty);
        let (l, r) = open_operands(op, left.ty, right.ty);
        if let Some(function) = span_function(op, l, r) {
            // The span of time comes second, except before a factor.
            let swapped = match op {
                BinaryOp::Add => l.oid == oid::INTERVAL,
                BinaryOp::Mul => l.oid != oid::INTERVAL,
                _ => false,
            };
            let (left, right) = self.operands((left, l), (right, r))?;
            let args = if swapped {
                vec![right, left]
            } else {
                vec![left, right]
            };
            return self.call_named(function, args);
        }
        let Some((lt, rt, ty)) = ops::result_type(op, l, r) else {
            if matches!(op, BinaryOp::Sub) && left.ty.oid == oid::JSONB {
                return self.named_operator("-", "jsonb_delete", left, right);
            }
            return Err(missing);
        };
        let (left, right) = self.operands((left, lt), (right, rt))?;
        if let (Some(l), Some(r)) = (coerce::constant(&left), coerce::constant(&right))
            && !l.is_null()
            && !r.is_null()
            && rank(ty).is_some()
        {
            // A failing constant may stand where it is never computed.
            if let Ok(value) = ops::apply(op, &l, &r)
                && let Ok(folded) = coerce::literal(&value, ty)
            {
                return Ok(folded);
            }
        }
        let (function, data) = functions::arithmetic(&Arithmetic {
            op,
            left: (left.ty, left.data.clone()),
            right: (right.ty, right.data.clone()),
            result: PgType::new(ty.oid),
        });
        Ok(self.call(
            function,
            vec![left.expr, right.expr],
            PgType::new(ty.oid),
            data,
        ))
    }

    /// Both operands as values of the types that an operator takes, whatever their modifiers.
    fn operands(
        &mut self,
        (left, left_type): (Typed, PgType),
        (right, right_type): (Typed, PgType),
    ) -> Result<(Typed, Typed)> {
        let left = self.implicit(left, PgType::new(left_type.oid))?;
        let right = self.implicit(right, PgType::new(right_type.oid))?;
        Ok((left, right))
    }

    pub(super) fn negate(&mut self, operand: &ast::Expr) -> Result<Typed> {
        // The least integer has no positive form: the sign belongs to the literal.
        if let ast::Expr::Value(value) = operand
            && let ast::Value::Number(digits, long) = &value.value
        {
            let signed = ast::Value::Number(format!("-{digits}"), *long);
            return self.value(&signed);
        }
        let typed = self.expr(operand)?;
        let typed = if typed.is_unknown() {
            self.implicit(typed, PgType::FLOAT8)?
        } else {
            typed
        };
        if let Some(value) = coerce::constant(&typed)
            && let Some(value) = functions::negated(&value)?
        {
            return coerce::literal(&value, typed.ty);
        }
        let missing = no_operator("-", None, typed.ty);
        match self.call_named("negate_op", vec![typed]) {
            Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => Err(missing),
            other => other,
        }
    }
}

/// Operand types of an arithmetic operator with open ones filled in.
fn open_operands(op: BinaryOp, left: PgType, right: PgType) -> (PgType, PgType) {
    let fill = |known: PgType| match (op, known.oid) {
        (BinaryOp::Add | BinaryOp::Sub, oid::TIMESTAMP | oid::TIMESTAMPTZ)
            if matches!(op, BinaryOp::Add) =>
        {
            PgType::INTERVAL
        }
        (BinaryOp::Add, oid::DATE) => PgType::INT4,
        (BinaryOp::Mul | BinaryOp::Div, oid::INTERVAL) => PgType::FLOAT8,
        _ => PgType::new(known.oid),
    };
    match (left.oid == oid::UNKNOWN, right.oid == oid::UNKNOWN) {
        (true, false) => (fill(right), right),
        (false, true) => (left, fill(left)),
        _ => (left, right),
    }
}

/// The function for spans of time with time zones and factors.
fn span_function(op: BinaryOp, left: PgType, right: PgType) -> Option<&'static str> {
    let number = |ty: PgType| rank(ty).is_some();
    Some(match (op, left.oid, right.oid) {
        (BinaryOp::Add, oid::TIMESTAMPTZ, oid::INTERVAL)
        | (BinaryOp::Add, oid::INTERVAL, oid::TIMESTAMPTZ) => "timestamptz_add_op",
        (BinaryOp::Sub, oid::TIMESTAMPTZ, oid::INTERVAL) => "timestamptz_sub_op",
        (BinaryOp::Mul, oid::INTERVAL, _) if number(right) => "interval_mul_op",
        (BinaryOp::Mul, _, oid::INTERVAL) if number(left) => "interval_mul_op",
        (BinaryOp::Div, oid::INTERVAL, _) if number(right) => "interval_div_op",
        _ => return None,
    })
}
