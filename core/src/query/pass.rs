//! A node that gives its input's rows as they are, for rules that change what is known of them or how
//! they come. EXPLAIN does not show it.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
    FilterPushdownPropagation,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    StatisticsArgs,
};
use futures::{Stream, StreamExt};

use super::context::RunContext;
use crate::txn::Interrupt;

pub(super) struct Pass {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    WithoutConstants,
    /// How many rows it gives before it gives way.
    InPieces(usize),
    ByNames,
}

impl Pass {
    /// Says nothing of constants.
    pub fn without_constants(input: Arc<dyn ExecutionPlan>) -> Self {
        let known = input.properties();
        let orders = known.eq_properties.oeq_class().iter().cloned();
        let properties = Arc::new(known.as_ref().clone().with_eq_properties(
            EquivalenceProperties::new_with_orderings(input.schema(), orders),
        ));
        Pass {
            input,
            properties,
            kind: Kind::WithoutConstants,
        }
    }

    /// Cuts batches to so many rows. Before each the task gives way to others, and the statement
    /// may be stopped.
    pub fn in_pieces(input: Arc<dyn ExecutionPlan>, rows: usize) -> Self {
        Pass {
            properties: input.properties().clone(),
            input,
            kind: Kind::InPieces(rows),
        }
    }

    /// Lets no filter by that names a column whose name others have too.
    pub fn by_names(input: Arc<dyn ExecutionPlan>) -> Self {
        Pass {
            properties: input.properties().clone(),
            input,
            kind: Kind::ByNames,
        }
    }

    /// What is behind [`Pass::by_names`].
    pub fn behind_names(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
        let any: &dyn std::any::Any = plan.as_ref();
        let pass = any.downcast_ref::<Pass>()?;
        (pass.kind == Kind::ByNames).then_some(&pass.input)
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl DisplayAs for Pass {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl ExecutionPlan for Pass {
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
            Some(input) => Ok(Arc::new(match self.kind {
                Kind::WithoutConstants => Pass::without_constants(input),
                Kind::InPieces(rows) => Pass::in_pieces(input, rows),
                Kind::ByNames => Pass::by_names(input),
            })),
            None => Err(DataFusionError::Internal("a node without input".to_owned())),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let Kind::InPieces(rows) = self.kind else {
            return Ok(input);
        };
        let run = RunContext::of(context.session_config().options())?;
        Ok(Box::pin(Pieces {
            input,
            interrupt: run.info.interrupt.clone(),
            rows,
            rest: None,
            paused: false,
        }))
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
        if self.kind != Kind::ByNames {
            return FilterDescription::from_children(parent_filters, &self.children());
        }
        let schema = self.input.schema();
        let shared = shared_names(&schema);
        let fields = schema.fields().iter().enumerate();
        let plain = fields.filter(|(_, field)| !shared.contains(field.name().as_str()));
        let child = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            plain.map(|(at, _)| at).collect(),
            &self.input,
        )?;
        Ok(FilterDescription::new().with_child(child))
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

/// The names that several columns have.
pub(super) fn shared_names(schema: &Schema) -> HashSet<&str> {
    let mut names = HashSet::new();
    let fields = schema.fields().iter().map(|field| field.name().as_str());
    fields.filter(|name| !names.insert(*name)).collect()
}

struct Pieces {
    input: SendableRecordBatchStream,
    interrupt: Interrupt,
    rows: usize,
    /// What is left of a batch.
    rest: Option<RecordBatch>,
    /// Whether the pause before the next piece is over.
    paused: bool,
}

impl Stream for Pieces {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.paused {
            self.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Err(error) = self.interrupt.check() {
            return Poll::Ready(Some(Err(error.into())));
        }
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.input.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(batch))) => batch,
                other => return other,
            },
        };
        self.paused = false;
        let rows = batch.num_rows();
        if rows <= self.rows {
            return Poll::Ready(Some(Ok(batch)));
        }
        self.rest = Some(batch.slice(self.rows, rows - self.rows));
        Poll::Ready(Some(Ok(batch.slice(0, self.rows))))
    }
}

impl RecordBatchStream for Pieces {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
