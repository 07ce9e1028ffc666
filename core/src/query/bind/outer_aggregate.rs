//! Aggregates in a sub-query that belong to a query around it: those whose arguments are columns of
//! that query alone. It computes them beside its groups, and the sub-query refers to the value.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::apply::outward;
use super::decorrelate::columns_of;
use super::scope::Typed;
use super::{Binder, Clause, unsupported};
use crate::error::{Error, Result, SqlState};

/// An aggregate for a sub-query.
#[derive(Clone, Debug)]
pub(super) struct OuterAggregate {
    pub name: String,
    pub expr: Expr,
}

impl Binder<'_> {
    /// The level of the query that an aggregate with these arguments belongs to, if it is not the
    /// one at hand.
    pub(super) fn aggregate_level(&self, args: &[Typed]) -> Option<usize> {
        let outer = args.iter().any(|arg| arg.expr.contains_outer());
        let inner = args.iter().any(|arg| !arg.expr.column_refs().is_empty());
        if !outer || inner {
            return None;
        }
        let references = self.references.last()?;
        let used = references.iter().filter(|(_, reference)| {
            args.iter().any(|arg| {
                let found = arg.expr.exists(|node| Ok(node == reference));
                found.unwrap_or(true)
            })
        });
        used.map(|(level, _)| *level).max()
    }

    /// An aggregate's arguments as the query of `level` has them.
    pub(super) fn moved_out(&self, args: Vec<Typed>, level: usize) -> Result<Vec<Typed>> {
        let references = self.references.last();
        let further = references.into_iter().flatten().any(|(at, reference)| {
            *at != level
                && args.iter().any(|arg| {
                    let found = arg.expr.exists(|node| Ok(node == reference));
                    found.unwrap_or(true)
                })
        });
        if further {
            return unsupported(
                "an aggregate of columns of two outer queries in a subquery",
                "Compute the aggregate in the outer query.",
            );
        }
        let clause = self.frames.get(level).and_then(|frame| frame.clause);
        match clause {
            Some(Clause::Select | Clause::Having | Clause::OrderBy) => {}
            None => {
                return Err(Error::new(
                    SqlState::GROUPING_ERROR,
                    "aggregate functions are not allowed in FROM clause of their own query level",
                ));
            }
            Some(clause) => {
                return Err(Error::new(
                    SqlState::GROUPING_ERROR,
                    format!("aggregate functions are not allowed in {}", clause.name()),
                ));
            }
        }
        args.into_iter()
            .map(|arg| {
                Ok(Typed {
                    expr: outward(arg.expr, &|_| true)?,
                    ..arg
                })
            })
            .collect()
    }

    /// Leaves an aggregate to the query of `level`; the reference to its value.
    pub(super) fn leave_aggregate(&mut self, aggregate: Typed, level: usize) -> Result<Typed> {
        let name = format!("__outer_aggregate_{}", self.next_number());
        let field = Arc::new(Field::new(&name, aggregate.data.clone(), true));
        let reference = Expr::OuterReferenceColumn(field, Column::new_unqualified(&name));
        let frame = self.frames.get_mut(level);
        let frame = frame.ok_or_else(|| Error::internal("an aggregate of no query"))?;
        frame.aggregates.push(OuterAggregate {
            name,
            expr: aggregate.expr,
        });
        if let Some(references) = self.references.last_mut() {
            references.push((level, reference.clone()));
        }
        Ok(Typed {
            expr: reference,
            ..aggregate
        })
    }
}

/// The rows with the values that sub-queries refer to.
pub(super) fn with_values(
    plan: LogicalPlan,
    aggregates: Vec<OuterAggregate>,
) -> Result<LogicalPlan> {
    if aggregates.is_empty() {
        return Ok(plan);
    }
    let values = aggregates
        .into_iter()
        .map(|aggregate| aggregate.expr.alias(aggregate.name));
    let exprs: Vec<Expr> = columns_of(&plan).into_iter().chain(values).collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}
