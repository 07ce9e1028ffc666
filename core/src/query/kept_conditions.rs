//! Conditions that stay above what they are conditions on.
//!
//! DataFusion pushes a condition that names no column (`now() < …`, a parameter, a sub-query's value)
//! below anything. Two things do not bear it:
//!
//! - An aggregate over all rows gives its row whether there are rows or not: below it, the condition
//!   drops all rows, and the aggregate's own row stays.
//! - Shared rows are computed once for all their readers, and the condition is one reader's own.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule that pushes conditions down, but not past these.
#[derive(Debug)]
pub(super) struct KeepAbove(pub Rule);

impl OptimizerRule for KeepAbove {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> DfResult<Transformed<LogicalPlan>> {
        match is_kept(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
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
