//! What DataFusion must not take for granted above an outer join.
//!
//! A column that one condition made constant (`WHERE b.x = 5` below a LEFT JOIN, or a literal) is NULL
//! in the rows that the join fills up. DataFusion goes on to hold it for constant there, and leaves
//! out sorts by it. So what is known of such a side's constants ends below the join.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};

use super::pass::Pass;

/// The rule that ends constants below outer joins. It comes before all that sort or distribute.
#[derive(Debug, Default)]
pub(super) struct ForgetConstants;

impl PhysicalOptimizerRule for ForgetConstants {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(kind) = kind_of(&plan) else {
                return Ok(Transformed::no(plan));
            };
            let filled = match kind {
                JoinType::Left => [false, true],
                JoinType::Right => [true, false],
                JoinType::Full => [true, true],
                _ => return Ok(Transformed::no(plan)),
            };
            let mut changed = false;
            let children: Vec<Arc<dyn ExecutionPlan>> = plan
                .children()
                .into_iter()
                .zip(filled)
                .map(|(child, filled)| {
                    let known = &child.properties().eq_properties;
                    if !filled || known.constants().is_empty() {
                        return child.clone();
                    }
                    changed = true;
                    Arc::new(Pass::without_constants(child.clone())) as Arc<dyn ExecutionPlan>
                })
                .collect();
            match changed {
                true => Ok(Transformed::yes(
                    datafusion::physical_plan::execution_plan::replace_children_if_necessary(
                        plan, children,
                    )?,
                )),
                false => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "forget_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn kind_of(plan: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    let any: &dyn std::any::Any = plan.as_ref();
    if let Some(join) = any.downcast_ref::<HashJoinExec>() {
        return Some(*join.join_type());
    }
    if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
        return Some(*join.join_type());
    }
    let join = any.downcast_ref::<SortMergeJoinExec>()?;
    Some(join.join_type())
}
