//! What DataFusion must not take for granted above an outer join.
//!
//! A column that one condition made constant (`WHERE b.x = 5` below a LEFT JOIN, or a literal) is NULL
//! in the rows that the join fills up. DataFusion goes on to hold it for constant there, and leaves
//! out sorts by it. So what is known of such a side's constants ends below the join.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Statistics};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    StatisticsArgs,
};

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
                    Arc::new(Forgetful::new(child.clone())) as Arc<dyn ExecutionPlan>
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

/// Gives its input's rows, and says nothing of their constants.
struct Forgetful {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Forgetful {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let known = input.properties();
        let orders = known.eq_properties.oeq_class().iter().cloned();
        let properties = Arc::new(known.as_ref().clone().with_eq_properties(
            EquivalenceProperties::new_with_orderings(input.schema(), orders),
        ));
        Forgetful { input, properties }
    }
}

impl fmt::Debug for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl DisplayAs for Forgetful {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl ExecutionPlan for Forgetful {
    fn name(&self) -> &str {
        "CooperativeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        match children.into_iter().next() {
            Some(input) => Ok(Arc::new(Forgetful::new(input))),
            None => Err(DataFusionError::Internal("a node without input".to_owned())),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> DfResult<Arc<Statistics>> {
        Ok(match inputs.first() {
            Some(input) => input.clone(),
            None => Arc::new(Statistics::new_unknown(&self.input.schema())),
        })
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DfResult<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DfResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }
}
