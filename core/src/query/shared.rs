//! Rows that several parts of a plan read, computed once for each execution.
//!
//! A plan node stands in several places with the same number; whichever place is asked first runs its
//! input, and all give the rows that came of it. So the parts agree even where the input would not
//! give the same rows twice (LIMIT without an order, random(), …).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::series::SeriesPlanner;

/// A plan whose rows are computed once, wherever a node of this number stands.
pub(super) fn node(number: usize, input: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Extension(Extension {
        node: Arc::new(SharedNode { number, input }),
    })
}

/// The number and the input of such a node.
pub(super) fn parts(extension: &Extension) -> Option<(usize, &LogicalPlan)> {
    let node = extension.node.as_any().downcast_ref::<SharedNode>()?;
    Some((node.number, &node.input))
}

pub(super) fn is_shared(extension: &Extension) -> bool {
    extension.node.as_any().is::<SharedNode>()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
struct SharedNode {
    number: usize,
    input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for SharedNode {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared {}", self.number)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        match inputs.into_iter().next() {
            Some(input) => Ok(SharedNode {
                number: self.number,
                input,
            }),
            None => Err(DataFusionError::Internal("a node without input".to_owned())),
        }
    }
}

/// The physical plan of one execution.
pub(super) async fn physical(
    plan: &LogicalPlan,
    state: &SessionState,
) -> DfResult<Arc<dyn ExecutionPlan>> {
    let shared: Arc<dyn ExtensionPlanner + Send + Sync> = Arc::new(SharedPlanner::default());
    DefaultPhysicalPlanner::with_extension_planners(vec![shared, Arc::new(SeriesPlanner)])
        .create_physical_plan(plan, state)
        .await
}

/// Plans the nodes of one execution.
#[derive(Default)]
pub(super) struct SharedPlanner {
    cells: Mutex<HashMap<usize, Arc<Cell>>>,
}

#[async_trait]
impl ExtensionPlanner for SharedPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(shared), Some(input)) = (
            node.as_any().downcast_ref::<SharedNode>(),
            physical_inputs.first(),
        ) else {
            return Ok(None);
        };
        let cell = self.cells.lock().entry(shared.number).or_default().clone();
        Ok(Some(Arc::new(SharedExec::new(cell, input.clone()))))
    }
}

type Rows = Shared<BoxFuture<'static, Result<Arc<Kept>, Arc<DataFusionError>>>>;

/// The rows, once somebody asked for them.
#[derive(Default)]
struct Cell {
    rows: Mutex<Option<Rows>>,
}

struct Kept {
    batches: Vec<RecordBatch>,
    /// Their memory, as long as somebody may read them.
    _memory: MemoryReservation,
}

struct SharedExec {
    cell: Arc<Cell>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SharedExec {
    fn new(cell: Arc<Cell>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        SharedExec {
            cell,
            input,
            properties,
        }
    }

    fn rows(&self, context: Arc<TaskContext>) -> Rows {
        let mut rows = self.cell.rows.lock();
        if let Some(rows) = rows.as_ref() {
            return rows.clone();
        }
        let input = self.input.clone();
        let future: Rows = async move { collect(input, context).await.map_err(Arc::new) }
            .boxed()
            .shared();
        *rows = Some(future.clone());
        future
    }
}

async fn collect(input: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> DfResult<Arc<Kept>> {
    let memory = MemoryConsumer::new("shared rows").register(context.memory_pool());
    let mut batches = Vec::new();
    let mut rows = input.execute(0, context)?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(Arc::new(Kept {
        batches,
        _memory: memory,
    }))
}

impl fmt::Debug for SharedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Materialize")
    }
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Materialize")
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &str {
        "Materialize"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
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
            Some(input) => Ok(Arc::new(SharedExec::new(self.cell.clone(), input))),
            None => Err(DataFusionError::Internal("a node without input".to_owned())),
        }
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let schema: SchemaRef = self.input.schema();
        let rows = self.rows(context);
        let batches = stream::once(async move {
            let kept = rows.await.map_err(DataFusionError::Shared)?;
            let batches = kept.batches.clone();
            // The memory is given back when the last reader is through.
            Ok::<_, DataFusionError>(stream::iter(batches).map(move |batch| {
                let _ = &kept;
                Ok(batch)
            }))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
