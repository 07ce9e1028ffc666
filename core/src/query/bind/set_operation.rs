//! UNION, INTERSECT and EXCEPT.

use datafusion::common::{Column, JoinType};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

use super::query::{Place, Tail, positions};
use super::scope::{OutColumn, Typed};
use super::{Binder, Bound, syntax};
use crate::error::{Error, Result};
use crate::types::PgType;

impl Binder<'_> {
    pub(super) fn set_operation(&mut self, body: &SetExpr) -> Result<Bound> {
        let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = body
        else {
            return self.body(body, Tail::default(), Place::Arm);
        };
        let all = match set_quantifier {
            SetQuantifier::All => true,
            SetQuantifier::Distinct | SetQuantifier::None => false,
            _ => return syntax("syntax error at or near \"BY\""),
        };
        let name = match op {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
            SetOperator::Minus => return syntax("syntax error at or near \"MINUS\""),
        };
        let left = self.deeper(|binder| binder.arm(left))?;
        let right = self.deeper(|binder| binder.arm(right))?;
        if left.columns.len() != right.columns.len() {
            return syntax(format!(
                "each {name} query must have the same number of columns"
            ));
        }
        let mut lefts = Vec::with_capacity(left.columns.len());
        let mut rights = Vec::with_capacity(left.columns.len());
        for (l, r) in left.columns.iter().zip(&right.columns) {
            let (mut pair, _, _) =
                self.unify(vec![open(l, &left.plan), open(r, &right.plan)], name)?;
            let (Some(second), Some(first)) = (pair.pop(), pair.pop()) else {
                return Err(Error::internal("a set operation lost a column"));
            };
            lefts.push((l.name.clone(), first));
            rights.push((l.name.clone(), second));
        }
        let left = self.project(left.plan, lefts)?;
        let right = self.project(right.plan, rights)?;
        let columns = left.columns.clone();
        match (op, all) {
            (SetOperator::Union, _) => {
                let plan = LogicalPlanBuilder::from(left.plan)
                    .union(right.plan)?
                    .build()?;
                let items = positions(&plan, &columns);
                let bound = self.project(plan, items)?;
                match all {
                    true => Ok(bound),
                    false => self.distinct_rows(bound),
                }
            }
            (SetOperator::Intersect | SetOperator::Except, _) => {
                let kept = match op {
                    SetOperator::Intersect => JoinType::LeftSemi,
                    _ => JoinType::LeftAnti,
                };
                if !all {
                    return self.set_difference(left, right, kept);
                }
                // As many rows as the multiset has: number equal rows, and operate on the pairs.
                let left = self.numbered_rows(left)?;
                let right = self.numbered_rows(right)?;
                let mut bound = self.set_difference(left, right, kept)?;
                bound.columns.pop();
                let items = bound.columns.iter();
                let items = items
                    .map(|column| (column.name.clone(), column.typed()))
                    .collect();
                self.project(bound.plan, items)
            }
            _ => Err(Error::internal("an unknown set operation")),
        }
    }

    /// A further, last column: the number of each row among the rows equal to it.
    fn numbered_rows(&mut self, bound: Bound) -> Result<Bound> {
        let mut partition = Vec::with_capacity(bound.columns.len());
        for column in &bound.columns {
            partition.push(self.order_expr(column.typed())?);
        }
        let name = format!("__number_{}", self.next_number());
        let number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())))
                .partition_by(partition)
                .build()?
                .alias(&name);
        let plan = LogicalPlanBuilder::from(bound.plan)
            .window(vec![number])?
            .build()?;
        let mut columns = bound.columns;
        columns.push(OutColumn {
            name: name.clone(),
            column: Column::new_unqualified(name),
            ty: PgType::NUMERIC,
            data: arrow::datatypes::DataType::UInt64,
            table: 0,
            attribute: 0,
            hidden: true,
            merged: None,
        });
        Ok(Bound { plan, columns })
    }

    pub(super) fn arm(&mut self, body: &SetExpr) -> Result<Bound> {
        match body {
            SetExpr::SetOperation { .. } => self.set_operation(body),
            _ => self.body(body, Tail::default(), Place::Arm),
        }
    }
}

/// An arm's column; a constant string in it is still open.
pub(super) fn open(column: &OutColumn, plan: &LogicalPlan) -> Typed {
    if column.ty.oid == PgType::UNKNOWN.oid
        && let LogicalPlan::Projection(projection) = plan
    {
        for expr in &projection.expr {
            if let Expr::Alias(alias) = expr
                && alias.name == column.column.name()
            {
                let expr = alias.expr.as_ref();
                if matches!(expr, Expr::Literal(..) | Expr::Placeholder(_)) {
                    return Typed {
                        expr: expr.clone(),
                        ..column.typed()
                    };
                }
            }
        }
    }
    column.typed()
}
