//! `(start, end) OVERLAPS (start, end)`: whether two periods have a point in common.

use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::expr::boolean;
use super::scope::Typed;
use super::{Binder, syntax};
use crate::error::{Error, Result};
use crate::types::ops::BinaryOp;
use crate::types::{PgType, oid};

/// A period with its ends in order; NULL for an end that is not known.
struct Period {
    start: Typed,
    end: Typed,
}

impl Binder<'_> {
    pub(super) fn overlaps(&mut self, lefts: Vec<Typed>, rights: Vec<Typed>) -> Result<Typed> {
        let ([_, _], [_, _]) = (lefts.as_slice(), rights.as_slice()) else {
            return syntax("wrong number of parameters on either side of OVERLAPS expression");
        };
        let mut ends = self.ends(lefts)?;
        ends.extend(self.ends(rights)?);
        let (ends, ty, _) = self.unify(ends, "OVERLAPS")?;
        let known = [oid::DATE, oid::TIME, oid::TIMESTAMP, oid::TIMESTAMPTZ];
        if !known.contains(&ty.oid) {
            return Err(super::call::no_function("pg_catalog.overlaps", &[ty; 4]));
        }
        let mut ends = ends.into_iter();
        let mut next = || {
            ends.next()
                .ok_or_else(|| Error::internal("a period without ends"))
        };
        let (a, b, c, d) = (next()?, next()?, next()?, next()?);
        let left = self.period(a, b)?;
        let right = self.period(c, d)?;
        let later = self.meets(&left, &right)?;
        let earlier = self.meets(&right, &left)?;
        let unknown = left
            .end
            .expr
            .clone()
            .is_null()
            .or(right.end.expr.clone().is_null());
        let together = case(vec![(unknown, answer(None))], answer(Some(true)));
        let no_start = left.start.expr.clone().is_null();
        let no_start = no_start.or(right.start.expr.clone().is_null());
        let greater = |op| (left.start.clone(), op, right.start.clone());
        let (l, op, r) = greater(Operator::Gt);
        let after = self.compare(op, l, r)?.expr;
        let (l, op, r) = greater(Operator::Lt);
        let before = self.compare(op, l, r)?.expr;
        Ok(boolean(case(
            vec![(no_start, answer(None)), (after, later), (before, earlier)],
            together,
        )))
    }

    /// Start and end as they are written: the end may be a length.
    fn ends(&mut self, pair: Vec<Typed>) -> Result<Vec<Typed>> {
        let mut pair = pair.into_iter();
        let (Some(start), Some(end)) = (pair.next(), pair.next()) else {
            return Err(Error::internal("a period without ends"));
        };
        if end.ty.oid != oid::INTERVAL {
            return Ok(vec![start, end]);
        }
        let start = match start.is_unknown() {
            true => self.implicit(start, PgType::TIMESTAMPTZ)?,
            false => start,
        };
        let end = self.arithmetic(BinaryOp::Add, "+", start.clone(), end)?;
        Ok(vec![start, end])
    }

    fn period(&mut self, first: Typed, second: Typed) -> Result<Period> {
        let open = first
            .expr
            .clone()
            .is_null()
            .or(second.expr.clone().is_null());
        let both = vec![first, second];
        // One of them alone is the start.
        let start = self.call_by_name("least", both.clone())?;
        let end = self.call_by_name("greatest", both)?;
        let null = Expr::Literal(ScalarValue::try_from(&end.data)?, None);
        Ok(Period {
            start,
            end: Typed {
                expr: case(vec![(open, null)], end.expr),
                ..end
            },
        })
    }

    /// Whether the period that starts later starts before the end of the other.
    fn meets(&mut self, later: &Period, earlier: &Period) -> Result<Expr> {
        let within = self.compare(Operator::Lt, later.start.clone(), earlier.end.clone())?;
        Ok(case(
            vec![
                (earlier.end.expr.clone().is_null(), answer(None)),
                (within.expr, answer(Some(true))),
                (later.end.expr.clone().is_null(), answer(None)),
            ],
            answer(Some(false)),
        ))
    }
}

fn case(whens: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let whens = whens
        .into_iter()
        .map(|(when, then)| (Box::new(when), Box::new(then)))
        .collect();
    Expr::Case(Case::new(None, whens, Some(Box::new(otherwise))))
}

fn answer(value: Option<bool>) -> Expr {
    Expr::Literal(ScalarValue::Boolean(value), None)
}
