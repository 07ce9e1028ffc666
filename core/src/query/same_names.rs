//! Filters and columns of one name.
//!
//! DataFusion's physical rule that pushes filters down looks a filter's columns up in each node by
//! their names. Above a join of two tables with a column of one name, such as an outer join whose sides
//! were exchanged, it found the other table's: the filter went down on the wrong side. So while the rule
//! runs, no filter passes a node by a name that several of its columns have.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::pass::{Pass, shared_names};

pub(super) type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// A rule, guarded if it pushes filters down.
pub(super) fn guarded(rule: Rule) -> Rule {
    match rule.name().starts_with("FilterPushdown") {
        true => Arc::new(Guarded(rule)),
        false => rule,
    }
}

#[derive(Debug)]
struct Guarded(Rule);

impl PhysicalOptimizerRule for Guarded {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let guarded = plan.transform_up(|plan| {
            if shared_names(&plan.schema()).is_empty() {
                return Ok(Transformed::no(plan));
            }
            let guarded: Arc<dyn ExecutionPlan> = Arc::new(Pass::by_names(plan));
            Ok(Transformed::yes(guarded))
        });
        let plan = self.0.optimize(guarded.data()?, config)?;
        plan.transform_up(|plan| {
            Ok(match Pass::behind_names(&plan) {
                Some(input) => Transformed::yes(input.clone()),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
