//! Comparisons: of values, in the type that PostgreSQL compares them in, and of rows, column by column.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::coerce::{self, is_oid, with_data};
use super::expr::boolean;
use super::operator::no_operator;
use super::scope::Typed;
use super::{Binder, unsupported};
use crate::error::Result;
use crate::types::names::{array_of, element_of};
use crate::types::{PgType, oid};

impl Binder<'_> {
    pub(super) fn row<'e>(&self, expr: &'e ast::Expr) -> Option<Vec<&'e ast::Expr>> {
        match expr {
            ast::Expr::Tuple(items) => Some(items.iter().collect()),
            ast::Expr::Nested(inner) => match inner.as_ref() {
                ast::Expr::Tuple(_) => self.row(inner),
                _ => None,
            },
            ast::Expr::Function(function)
                if function.name.to_string().eq_ignore_ascii_case("row") =>
            {
                match &function.args {
                    ast::FunctionArguments::List(list) => list
                        .args
                        .iter()
                        .map(|arg| match arg {
                            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => {
                                Some(expr)
                            }
                            _ => None,
                        })
                        .collect(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// `(a, b) < (c, d)`, column by column.
    pub(super) fn compare_rows(
        &mut self,
        op: &BinaryOperator,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<Typed> {
        if lefts.len() != rights.len() {
            return super::syntax("unequal number of entries in row expressions");
        }
        let Some(operator) = comparison_of(op) else {
            return unsupported(
                &format!("the operator {op} on rows"),
                "Compare the columns one by one.",
            );
        };
        let mut result: Option<Expr> = None;
        for (left, right) in lefts.into_iter().zip(rights).rev() {
            let equal = self
                .compare(Operator::Eq, left.clone(), right.clone())?
                .expr;
            result = Some(match operator {
                Operator::Eq => match result {
                    Some(rest) => equal.and(rest),
                    None => equal,
                },
                Operator::NotEq => {
                    let differs = self.compare(Operator::NotEq, left, right)?.expr;
                    match result {
                        Some(rest) => differs.or(rest),
                        None => differs,
                    }
                }
                _ => {
                    let strict = match operator {
                        Operator::LtEq => Operator::Lt,
                        Operator::GtEq => Operator::Gt,
                        other => other,
                    };
                    match result {
                        Some(rest) => {
                            let before = self.compare(strict, left, right)?.expr;
                            before.or(equal.and(rest))
                        }
                        None => self.compare(operator, left, right)?.expr,
                    }
                }
            });
        }
        match result {
            Some(expr) => Ok(boolean(expr)),
            None => super::syntax("cannot compare rows of zero length"),
        }
    }

    /// `(a, b) IS DISTINCT FROM (c, d)`: any of the columns is.
    pub(super) fn distinct_rows_from(
        &mut self,
        op: Operator,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<Typed> {
        if lefts.len() != rights.len() {
            return super::syntax("unequal number of entries in row expressions");
        }
        let mut result: Option<Expr> = None;
        for (left, right) in lefts.into_iter().zip(rights) {
            let compared = self.compare(op, left, right)?.expr;
            result = Some(match (result, op) {
                (None, _) => compared,
                (Some(result), Operator::IsDistinctFrom) => result.or(compared),
                (Some(result), _) => result.and(compared),
            });
        }
        match result {
            Some(expr) => Ok(boolean(expr)),
            None => super::syntax("cannot compare rows of zero length"),
        }
    }

    /// A comparison, both sides cast to the type that PostgreSQL compares them in.
    pub(super) fn compare(&mut self, op: Operator, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.comparands(op, left, right)?;
        Ok(boolean(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left.expr),
            op,
            Box::new(right.expr),
        ))))
    }

    pub(super) fn comparands(
        &mut self,
        op: Operator,
        left: Typed,
        right: Typed,
    ) -> Result<(Typed, Typed)> {
        let name = match op {
            Operator::NotEq => "<>".to_owned(),
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".to_owned(),
            other => other.to_string(),
        };
        let missing = no_operator(&name, Some(left.ty), right.ty);
        let ty = match (left.is_unknown(), right.is_unknown()) {
            (true, true) => Some(PgType::TEXT),
            (true, false) => comparable(right.ty, right.ty),
            (false, true) => comparable(left.ty, left.ty),
            (false, false) => comparable(left.ty, right.ty),
        };
        let Some(ty) = ty else { return Err(missing) };
        let left = self.comparand(left, ty)?;
        let right = self.comparand(right, ty)?;
        if ty.oid == oid::NUMERIC {
            let data = coerce::comparable_layout(&left.data, &right.data);
            return Ok((with_data(left, ty, &data), with_data(right, ty, &data)));
        }
        Ok((left, right))
    }

    /// One side of a comparison: `char(n)` compares without its padding.
    fn comparand(&mut self, typed: Typed, ty: PgType) -> Result<Typed> {
        if ty.oid == oid::BPCHAR && typed.ty.oid == oid::BPCHAR {
            return self.coerce(typed, PgType::TEXT, crate::types::cast::Context::Implicit);
        }
        if ty.oid == oid::BPCHAR {
            let text = self.implicit(typed, PgType::BPCHAR)?;
            return self.coerce(text, PgType::TEXT, crate::types::cast::Context::Implicit);
        }
        if ty.oid == oid::INTERVAL {
            // A month is 30 days, and a day 24 hours, when intervals are compared.
            let span = self.coerce(
                typed,
                PgType::INTERVAL,
                crate::types::cast::Context::Implicit,
            )?;
            return self.call_named("interval_span_op", vec![span]);
        }
        let explicit = typed.ty.oid == oid::XID || ty.oid == oid::INT8;
        let context = if explicit {
            crate::types::cast::Context::Explicit
        } else {
            crate::types::cast::Context::Implicit
        };
        let typed = self.coerce(typed, ty, context)?;
        let key = self.key_of(&typed)?;
        Ok(key.unwrap_or(typed))
    }
}

pub(super) fn comparison_of(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

pub(super) fn rank(ty: PgType) -> Option<u8> {
    Some(match ty.oid {
        oid::INT2 => 1,
        oid::INT4 => 2,
        oid::INT8 => 3,
        oid::NUMERIC => 4,
        oid::FLOAT4 => 5,
        oid::FLOAT8 => 6,
        _ => return None,
    })
}

fn is_integer(ty: PgType) -> bool {
    matches!(ty.oid, oid::INT2 | oid::INT4 | oid::INT8)
}

fn is_text(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::BPCHAR | oid::CHAR
    )
}

/// The type in which two types are compared.
pub(super) fn comparable(left: PgType, right: PgType) -> Option<PgType> {
    let plain = |oid| Some(PgType::new(oid));
    if left.oid == right.oid {
        return match left.oid {
            oid::JSON | oid::RECORD | oid::VOID => None,
            oid::VARCHAR | oid::NAME => plain(oid::TEXT),
            same => plain(same),
        };
    }
    if let (Some(l), Some(r)) = (rank(left), rank(right)) {
        let (low, high) = (l.min(r), l.max(r));
        return plain(match (low, high) {
            (5, 6) | (_, 5) | (_, 6) if low != high => oid::FLOAT8,
            (_, 4) => oid::NUMERIC,
            (_, 3) => oid::INT8,
            (_, 2) => oid::INT4,
            _ => left.oid,
        });
    }
    if is_text(left) && is_text(right) {
        let fixed = |ty: PgType| ty.oid == oid::BPCHAR;
        return plain(
            if fixed(left) && !matches!(right.oid, oid::TEXT | oid::NAME)
                || fixed(right) && !matches!(left.oid, oid::TEXT | oid::NAME)
            {
                oid::BPCHAR
            } else {
                oid::TEXT
            },
        );
    }
    let time = |ty: PgType| match ty.oid {
        oid::DATE => Some(1),
        oid::TIMESTAMP => Some(2),
        oid::TIMESTAMPTZ => Some(3),
        _ => None,
    };
    if let (Some(l), Some(r)) = (time(left), time(right)) {
        return plain(if l.max(r) == 3 {
            oid::TIMESTAMPTZ
        } else {
            oid::TIMESTAMP
        });
    }
    let oids = |ty: PgType| is_oid(ty) || ty.oid == oid::XID;
    if oids(left) && oids(right) {
        return plain(oid::OID);
    }
    if oids(left) && is_integer(right) || is_integer(left) && oids(right) {
        return plain(oid::INT8);
    }
    if let (Some(l), Some(r)) = (element_of(left.oid), element_of(right.oid)) {
        let element = comparable(PgType::new(l), PgType::new(r))?;
        return plain(array_of(element.oid)?);
    }
    None
}
