//! Joins that compare many pairs of rows give way to other queries.
//!
//! A join by a condition compares a batch of one side with all rows of the other before it looks up, and
//! if few pairs match it goes on without a pause. All threads of a host may be busy with such joins.
//! So the batches that come in on that side are cut to pieces, and between two of them the task gives
//! way, and looks whether its statement was stopped.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::statistics::StatisticsContext;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs};

use super::pass::Pass;
use super::scan::BATCH_ROWS;

/// Pairs of rows that are compared between two pauses: a few hundredths of a second.
const PAIRS: usize = 4_000_000;

/// Rows between two pauses when nobody knows how many the other side has.
const UNKNOWN: usize = 64;

/// The rule that paces joins. It comes last: other rules exchange a join's sides.
#[derive(Debug, Default)]
pub(super) struct PaceJoins;

impl PhysicalOptimizerRule for PaceJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(rows) = pace_of(&plan)? else {
                return Ok(Transformed::no(plan));
            };
            let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
            if let Some(probe) = children.get_mut(1) {
                *probe = Arc::new(Pass::in_pieces(probe.clone(), rows));
            }
            Ok(Transformed::yes(replace_children_if_necessary(
                plan, children,
            )?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "pace_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// How many rows a join may take at once, if it has to be held back.
fn pace_of(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<usize>> {
    let any: &dyn std::any::Any = plan.as_ref();
    if let Some(join) = any.downcast_ref::<HashJoinExec>() {
        // How many pairs have equal keys is not known; mostly it is few.
        return Ok(join.filter().is_some().then_some(BATCH_ROWS));
    }
    let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() else {
        return Ok(None);
    };
    let known = StatisticsContext::new().compute(join.left().as_ref(), &StatisticsArgs::new())?;
    Ok(Some(match known.num_rows.get_value() {
        Some(rows) => (PAIRS / (*rows).max(1)).clamp(1, BATCH_ROWS),
        None => UNKNOWN,
    }))
}
