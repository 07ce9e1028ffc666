//! DataFusion's optimizer rules, some of them with another in their place, some behind a guard.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::inner_joins::{self, CrossJoins};
use super::{dependencies, kept_conditions};

pub(super) type Rule = Arc<dyn OptimizerRule + Send + Sync>;

pub(super) fn rules() -> Vec<Rule> {
    let own = |rule: Rule| -> Rule {
        let guard: Guard = match rule.name() {
            "eliminate_cross_join" => return Arc::new(CrossJoins),
            "extract_equijoin_predicate" => inner_joins::guard,
            "push_down_filter" => kept_conditions::guard,
            "replace_distinct_aggregate" | "eliminate_join" | "optimize_projections" => {
                dependencies::guard
            }
            _ => return rule,
        };
        Arc::new(Guarded { rule, guard })
    };
    Optimizer::new().rules.into_iter().map(own).collect()
}

/// What a guard says of a plan that a rule is to rewrite.
pub(super) enum Passage {
    /// The rule sees this plan.
    Free(LogicalPlan),
    /// The plan stays as it is.
    Barred(LogicalPlan),
}

/// Whether a node of a plan, or of a sub-query in it, is such a one.
pub(super) fn has_node(plan: &LogicalPlan, such: fn(&LogicalPlan) -> bool) -> DfResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= such(node);
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

type Guard = fn(&Rule, LogicalPlan) -> DfResult<Passage>;

#[derive(Debug)]
struct Guarded {
    rule: Rule,
    guard: Guard,
}

impl OptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> DfResult<Transformed<LogicalPlan>> {
        match (self.guard)(&self.rule, plan)? {
            Passage::Free(plan) => self.rule.rewrite(plan, config),
            Passage::Barred(plan) => Ok(Transformed::no(plan)),
        }
    }
}
