//! Conditions that stay above what they are conditions on.
//!
//! DataFusion pushes a condition that names no column (`now() < …`, a parameter, a sub-query's value)
//! below anything. Two things do not bear it:
//!
//! - An aggregate over all rows gives its row whether there are rows or not: below it, the condition
//!   drops all rows, and the aggregate's own row stays.
//! - Shared rows are computed once for all their readers, and the condition is one reader's own.

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::rules::{Passage, Rule};

/// For the rule that pushes conditions down: not past these.
pub(super) fn guard(_: &Rule, plan: LogicalPlan) -> DfResult<Passage> {
    Ok(match is_kept(&plan) {
        true => Passage::Barred(plan),
        false => Passage::Free(plan),
    })
}

/// Whether a plan is a condition, or several, on the rows of one of these.
fn is_kept(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else {
        return false;
    };
    match filter.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => {
            let groups = &aggregate.group_expr;
            groups.is_empty() || groups.iter().any(|it| matches!(it, Expr::GroupingSet(_)))
        }
        LogicalPlan::Extension(_) => true,
        inner => is_kept(inner),
    }
}
