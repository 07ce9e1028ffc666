//! `generate_series` of integers in FROM: rows that are made as they are asked for.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::scalar::ScalarValue;
use futures::stream;

use super::scan::BATCH_ROWS;
use crate::error::{Error, Result, SqlState};

/// A series from `args` (start, end and perhaps step, of type int4 or int8, without columns) as a
/// plan with one column of that name.
pub(super) fn node(name: &str, data: &DataType, args: Vec<Expr>) -> Result<LogicalPlan> {
    let field = Field::new(name, data.clone(), true);
    let schema = DFSchema::from_unqualified_fields(vec![field].into(), Default::default())?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(SeriesNode {
            args,
            schema: Arc::new(schema),
        }),
    }))
}

pub(super) fn is_series(extension: &Extension) -> bool {
    extension.node.as_any().is::<SeriesNode>()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SeriesNode {
    args: Vec<Expr>,
    schema: DFSchemaRef,
}

impl Hash for SeriesNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.args.hash(state);
    }
}

impl PartialOrd for SeriesNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.args
            .partial_cmp(&other.args)
            .filter(|order| order.is_ne() || self == other)
    }
}

impl UserDefinedLogicalNodeCore for SeriesNode {
    fn name(&self) -> &str {
        "Series"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.args.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function Scan on generate_series")
    }

    fn with_exprs_and_inputs(&self, args: Vec<Expr>, _: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(SeriesNode {
            args,
            schema: self.schema.clone(),
        })
    }
}

/// Plans the series of one execution: their ends are values by now.
pub(super) struct SeriesPlanner;

#[async_trait]
impl ExtensionPlanner for SeriesPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(series) = node.as_any().downcast_ref::<SeriesNode>() else {
            return Ok(None);
        };
        let nothing = DFSchema::empty();
        let row = super::evaluate::one_row();
        let mut numbers = Vec::with_capacity(series.args.len());
        for arg in &series.args {
            let expr = planner.create_physical_expr(arg, &nothing, session, planning)?;
            let value = match expr.evaluate(&row)? {
                ColumnarValue::Scalar(value) => value,
                ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
            };
            numbers.push(match value {
                ScalarValue::Int32(number) => number.map(i64::from),
                ScalarValue::Int64(number) => number,
                other if other.is_null() => None,
                other => {
                    let message = format!("a series of {}", other.data_type());
                    return Err(Error::internal(message).into());
                }
            });
        }
        let series_of = Series::new(&numbers)?;
        let schema: SchemaRef = Arc::new(series.schema.as_arrow().clone());
        Ok(Some(Arc::new(SeriesExec::new(series_of, schema))))
    }
}

/// The values that are left.
#[derive(Clone, Copy, Debug)]
struct Series {
    next: i64,
    step: i64,
    left: u64,
}

impl Series {
    /// # Errors
    /// 22023 for a step of zero.
    fn new(numbers: &[Option<i64>]) -> Result<Series> {
        let nothing = Series {
            next: 0,
            step: 1,
            left: 0,
        };
        let (start, end, step) = match *numbers {
            [Some(start), Some(end)] => (start, end, 1),
            [Some(start), Some(end), Some(step)] => (start, end, step),
            _ => return Ok(nothing),
        };
        if step == 0 {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "step size cannot equal zero",
            ));
        }
        let span = i128::from(end) - i128::from(start);
        let steps = span.checked_div(i128::from(step)).unwrap_or(0);
        if span != 0 && (span < 0) != (step < 0) {
            return Ok(nothing);
        }
        Ok(Series {
            next: start,
            step,
            // All of int8 in steps of one are u64::MAX + 1 values, which nobody will count.
            left: u64::try_from(steps.saturating_add(1)).unwrap_or(u64::MAX),
        })
    }

    /// The next values; empty when there are none.
    fn take(&mut self, most: usize) -> Vec<i64> {
        let count = usize::try_from(self.left).map_or(most, |left| left.min(most));
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.next);
            // Only behind the last one there may be no next one.
            self.next = self.next.saturating_add(self.step);
            self.left = self.left.saturating_sub(1);
        }
        values
    }
}

struct SeriesExec {
    series: Series,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SeriesExec {
    fn new(series: Series, schema: SchemaRef) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        SeriesExec {
            series,
            schema,
            properties,
        }
    }
}

fn batch(schema: &SchemaRef, values: Vec<i64>) -> DfResult<RecordBatch> {
    let long = schema
        .fields()
        .first()
        .is_some_and(|field| field.data_type() == &DataType::Int64);
    let column: ArrayRef = match long {
        true => Arc::new(Int64Array::from(values)),
        false => {
            let short: std::result::Result<Vec<i32>, _> =
                values.into_iter().map(i32::try_from).collect();
            let short = short.map_err(|_| Error::internal("a series beyond its type"))?;
            Arc::new(Int32Array::from(short))
        }
    };
    Ok(RecordBatch::try_new(schema.clone(), vec![column])?)
}

impl fmt::Debug for SeriesExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function Scan on generate_series")
    }
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function Scan on generate_series")
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &str {
        "Series"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let (mut series, schema) = (self.series, self.schema.clone());
        let batches = std::iter::from_fn(move || {
            let values = series.take(BATCH_ROWS);
            (!values.is_empty()).then(|| batch(&schema, values))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream::iter(batches),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(numbers: &[Option<i64>]) -> Vec<i64> {
        Series::new(numbers).unwrap().take(100)
    }

    #[test]
    fn series_go_both_ways_and_end_with_their_type() {
        assert_eq!(all(&[Some(1), Some(3)]), [1, 2, 3]);
        assert!(all(&[Some(3), Some(1)]).is_empty());
        assert_eq!(all(&[Some(3), Some(0), Some(-2)]), [3, 1]);
        assert_eq!(all(&[Some(5), Some(5), Some(-1)]), [5]);
        assert!(all(&[Some(1), None]).is_empty());
        assert_eq!(
            all(&[Some(i64::MAX - 1), Some(i64::MAX)]),
            [i64::MAX - 1, i64::MAX]
        );
        assert_eq!(
            all(&[Some(i64::MIN), Some(i64::MAX), Some(i64::MAX)]).len(),
            3
        );
        assert!(Series::new(&[Some(1), Some(2), Some(0)]).is_err());
    }

    #[test]
    fn batches_go_on_where_the_last_one_ended() {
        let mut series = Series::new(&[Some(1), Some(5)]).unwrap();
        assert_eq!(series.take(2), [1, 2]);
        assert_eq!(series.take(2), [3, 4]);
        assert_eq!(series.take(2), [5]);
        assert!(series.take(2).is_empty());
    }
}
