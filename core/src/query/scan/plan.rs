//! The physical scan of a table.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    SortOrderPushdownResult, StatisticsArgs,
};
use futures::stream;

use super::cache::ColumnCache;
use super::columns::{ColumnRun, Output};
use super::filter::moved;
use super::metrics::Counters;
use super::order::{by_bounds, ordering, split};
use super::prune::Pruning;
use super::ranges::{Access, EVERYTHING, KeyRange};
use super::rows::Layout;
use super::sealed::{
    Handout, ROWS_ONE_BY_ONE, SealedScan, Work, parts_of, ranges_of, rows_between, weigh,
};
use super::source::TableSource;
use super::statistics;
use super::walk::{Reading, RowBatches};
use crate::error::{Error, Result};
use crate::query::context::ReadContext;

/// Tables with fewer rows are read in one piece.
const MIN_PARTITION_ROWS: u64 = if cfg!(test) { 100 } else { 50_000 };

/// Reads a table of one execution's view.
pub(in crate::query) struct ScanPlan {
    pub(super) reading: Arc<Reading>,
    pub(super) access: Access,
    /// Ranges of a full scan that goes row by row, one for each partition.
    partitions: Vec<KeyRange>,
    /// Sealed rows that are read as columns; without it, all rows are read one by one.
    pub(super) columns: Option<Arc<SealedScan>>,
    handout: Handout,
    pub(super) pruning: Arc<Pruning>,
    output: Output,
    limit: Option<usize>,
    rows: Precision<usize>,
    column_statistics: OnceLock<Vec<ColumnStatistics>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanPlan {
    pub fn new(
        source: &TableSource,
        projection: Vec<usize>,
        access: Access,
        limit: Option<usize>,
        read: Arc<ReadContext>,
        parallelism: usize,
        cache: Option<Arc<ColumnCache>>,
    ) -> Result<ScanPlan> {
        use datafusion::catalog::TableProvider;
        let full = source.schema();
        let mut fields = Vec::with_capacity(projection.len());
        let mut positions = Vec::with_capacity(projection.len());
        for at in projection {
            let field = full
                .fields()
                .get(at)
                .ok_or_else(|| Error::internal("a scan of a column that is not there"))?;
            fields.push(field.clone());
            positions.push(source.positions.get(at).copied());
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let layout = Arc::new(Layout::new(&source.table, &positions, schema)?);
        let access = weigh(&source.table, access, &read)?;
        let reading = Arc::new(Reading {
            table: source.table.clone(),
            layout,
            positions,
            read,
            cache,
        });
        let parallelism = match limit {
            Some(_) => 1,
            None => parallelism,
        };
        let columns = columns(&reading, &access, limit, parallelism)?;
        let view = &reading.read.view;
        let rows = match (&access, &columns) {
            (Access::Full, _) => Precision::Exact(view.len(source.table.storage)? as usize),
            (Access::Nothing, _) => Precision::Exact(0),
            (_, Some(scan)) => Precision::Inexact(scan.sealed_rows() as usize),
            (Access::Keys(keys), None) => Precision::Inexact(keys.len()),
            (Access::Ranges(ranges) | Access::Index(_, ranges), None) => {
                Precision::Inexact(ranges.len().saturating_mul(100))
            }
        };
        let partitions = match (&access, &columns, rows) {
            (Access::Full, None, Precision::Exact(rows))
                if parallelism > 1 && rows as u64 >= MIN_PARTITION_ROWS =>
            {
                cut(&reading, parallelism)?
            }
            _ => vec![EVERYTHING],
        };
        let count = match &columns {
            Some(scan) => {
                let worth = scan
                    .sealed_rows()
                    .max(view.unsealed_at_most(source.table.storage)?);
                let worth = usize::try_from(worth / MIN_PARTITION_ROWS).unwrap_or(usize::MAX);
                parallelism.min(worth).min(scan.work.len()).max(1)
            }
            None => partitions.len(),
        };
        let output = Output {
            schema: reading.layout.schema.clone(),
            columns: None,
        };
        let mut plan = ScanPlan {
            properties: properties(&reading, &access, &output, columns.is_none(), count),
            output,
            reading,
            access,
            partitions,
            columns,
            handout: Handout::default(),
            pruning: Arc::default(),
            limit,
            rows,
            column_statistics: OnceLock::new(),
            metrics: ExecutionPlanMetricsSet::new(),
        };
        plan.rows = plan.limited(plan.rows);
        Ok(plan)
    }

    /// The same scan, to be changed before it runs.
    fn again(&self) -> ScanPlan {
        ScanPlan {
            reading: self.reading.clone(),
            access: self.access.clone(),
            partitions: self.partitions.clone(),
            columns: self.columns.clone(),
            handout: Handout::default(),
            pruning: self.pruning.clone(),
            output: self.output.clone(),
            limit: self.limit,
            rows: self.rows,
            column_statistics: OnceLock::new(),
            properties: self.properties.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn limited(&self, rows: Precision<usize>) -> Precision<usize> {
        match (self.limit, rows) {
            (Some(limit), Precision::Exact(rows)) => Precision::Exact(rows.min(limit)),
            (_, rows) => rows,
        }
    }

    /// The scan in key order: as columns where they come in that order by themselves, else row by row.
    fn in_key_order(&self) -> ScanPlan {
        let mut plan = self.again();
        plan.partitions = vec![EVERYTHING];
        plan.columns = plan.columns.filter(|scan| scan.in_key_order());
        plan.properties = properties(&self.reading, &self.access, &self.output, true, 1);
        plan
    }

    /// An expression over what is shown, over all columns that are read.
    fn inside(&self, expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
        match &self.output.columns {
            None => Ok(expr),
            Some(shown) => moved(expr, &self.reading.layout.schema, |at| {
                shown.get(at).copied()
            }),
        }
    }

    /// Whether an expression over all columns refers to row keys, which are there only of rows that match.
    fn reads_keys(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        let is_key = |column: &Column| {
            let position = self.reading.positions.get(column.index());
            position.copied().flatten().is_none()
        };
        collect_columns(expr).iter().any(is_key)
    }
}

/// What to read as columns, if anything is sealed and enough of it is asked for.
fn columns(
    reading: &Reading,
    access: &Access,
    limit: Option<usize>,
    parallelism: usize,
) -> Result<Option<Arc<SealedScan>>> {
    let (view, table) = (&reading.read.view, &reading.table);
    let (Some(parts), Some(ranges)) = (parts_of(view, table.storage), ranges_of(access)) else {
        return Ok(None);
    };
    if limit.is_some_and(|limit| limit as u64 <= ROWS_ONE_BY_ONE) {
        return Ok(None);
    }
    let full = matches!(access, Access::Full);
    if !full && rows_between(&parts, &ranges)? <= ROWS_ONE_BY_ONE {
        return Ok(None);
    }
    let unsealed = match view.unsealed_at_most(table.storage)? {
        0 => Vec::new(),
        _ if !full => vec![Work::UnsealedRanges(ranges.clone())],
        rows if rows < MIN_PARTITION_ROWS => vec![Work::Unsealed(EVERYTHING)],
        _ => cut(reading, parallelism)?
            .into_iter()
            .map(Work::Unsealed)
            .collect(),
    };
    let scan = SealedScan::new(&parts, ranges, unsealed, parallelism)?;
    Ok(Some(Arc::new(scan)))
}

/// Ranges of unsealed rows, those in which they are kept if they are.
fn cut(reading: &Reading, count: usize) -> Result<Vec<KeyRange>> {
    let (view, table) = (&reading.read.view, &reading.table);
    let make = || split(table, &reading.read, count);
    let Some(cache) = &reading.cache else {
        return make();
    };
    let generation = view.snapshot().tiers().generation(table.storage);
    let rows = view.unsealed_at_most(table.storage)?;
    cache.cuts((table.storage, generation), rows, count, make)
}

fn properties(
    reading: &Reading,
    access: &Access,
    output: &Output,
    ordered: bool,
    partitions: usize,
) -> Arc<PlanProperties> {
    let schema = &output.schema;
    let shown = shown(&reading.positions, output);
    let order = match ordered {
        true => ordering(&reading.table, access, &shown, schema),
        false => EquivalenceProperties::new(schema.clone()),
    };
    Arc::new(PlanProperties::new(
        order,
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// What is shown of something that there is for each column that is read.
fn shown<T: Clone>(all: &[T], output: &Output) -> Vec<T> {
    match &output.columns {
        None => all.to_vec(),
        Some(columns) => {
            let columns = columns.iter().filter_map(|at| all.get(*at));
            columns.cloned().collect()
        }
    }
}

/// A running partition.
enum Batches {
    Rows(RowBatches),
    Columns(ColumnRun),
}

impl Batches {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Batches::Rows(rows) => rows.next(),
            Batches::Columns(columns) => columns.batch(),
        }
    }
}

impl fmt::Debug for ScanPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl DisplayAs for ScanPlan {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl ExecutionPlan for ScanPlan {
    fn name(&self) -> &str {
        "ScanPlan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    /// Joins look here for the filters that they make while they run: one that is not found is not made.
    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        for filter in self.pruning.filters() {
            if visit(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let storage = self.reading.table.storage;
        let view = &self.reading.read.view;
        let counters = Counters::new(&self.metrics, partition, view.sealed(storage).is_some());
        let mut batches = match &self.columns {
            Some(scan) => {
                scan.remember(view, storage);
                Batches::Columns(ColumnRun::new(
                    &self.reading,
                    scan,
                    self.handout.join(partition),
                    self.pruning.clone(),
                    (self.output.clone(), self.limit),
                    counters,
                ))
            }
            None => Batches::Rows(RowBatches::of(
                &self.reading,
                &self.access,
                self.partitions
                    .get(partition)
                    .cloned()
                    .unwrap_or(EVERYTHING),
                self.limit,
                &counters,
            )?),
        };
        let mut failed = false;
        let batches = std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let timer = metrics.elapsed_compute().timer();
            let batch = batches.next().map_err(DataFusionError::from).transpose();
            drop(timer);
            failed = matches!(batch, Some(Err(_)));
            if let Some(Ok(batch)) = &batch {
                metrics.record_output(batch.num_rows());
            }
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.output.schema.clone(),
            stream::iter(batches),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DfResult<Arc<Statistics>> {
        let count = self.properties.partitioning.partition_count().max(1);
        let rows = match args.partition() {
            None => self.rows,
            Some(_) => self.rows.map(|rows| rows / count).to_inexact(),
        };
        let known = self.column_statistics.get_or_init(|| match &self.columns {
            Some(scan) => statistics::columns(&self.reading, scan),
            None => vec![ColumnStatistics::new_unknown(); self.reading.positions.len()],
        });
        let whole = self.limit.is_none() && self.pruning.is_empty();
        let rows = match self.pruning.is_empty() {
            true => rows,
            false => rows.to_inexact(),
        };
        let part = args.partition().is_some() || !whole;
        let columns = shown(known, &self.output)
            .into_iter()
            .map(|column| match part {
                true => column.to_inexact(),
                false => column,
            });
        Ok(Arc::new(Statistics {
            num_rows: rows,
            total_byte_size: Precision::Absent,
            column_statistics: columns.collect(),
        }))
    }

    /// Takes conditions for good. What joins and sorts know is of use, but they go on to look themselves.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DfResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Rows are counted before what stands above a limit leaves some of them out.
        let takes_any = self.columns.is_some() && self.limit.is_none();
        let mut taken = Vec::new();
        let mut answers = Vec::with_capacity(result.parent_filters.len());
        for filter in result.parent_filters {
            let filter = self.inside(filter.filter)?;
            let takes = takes_any && !self.reads_keys(&filter);
            answers.push(match phase {
                FilterPushdownPhase::Pre if takes => PushedDown::Yes,
                _ => PushedDown::No,
            });
            if takes {
                taken.push(filter);
            }
        }
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        if taken.is_empty() {
            return Ok(propagation);
        }
        let mut plan = self.again();
        plan.pruning = Arc::new(self.pruning.with(taken));
        Ok(propagation.with_updated_node(Arc::new(plan)))
    }

    /// Columns that only conditions read are not passed on.
    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        if self.columns.is_none() || self.pruning.is_empty() {
            return Ok(None);
        }
        let known: Vec<usize> = (0..self.reading.positions.len()).collect();
        let known = shown(&known, &self.output);
        let columns = projection.expr().iter().map(|item| {
            let column = item.expr.downcast_ref::<Column>()?;
            known.get(column.index()).copied()
        });
        let Some(columns) = columns.collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let mut plan = self.again();
        plan.output = Output {
            schema: projection.schema(),
            columns: Some(columns.into()),
        };
        let partitions = self.properties.partitioning.partition_count();
        let ordered = self.properties.output_ordering().is_some();
        plan.properties = properties(
            &self.reading,
            &self.access,
            &plan.output,
            ordered,
            partitions,
        );
        Ok(Some(Arc::new(plan)))
    }

    /// Key order where it is asked for; for another order, row groups first that have what comes first.
    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> DfResult<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let Some(scan) = &self.columns else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        if self.pruning.is_empty() && self.limit.is_none() {
            let plan = self.in_key_order();
            let known = &plan.properties.eq_properties;
            if known.ordering_satisfy(order.iter().cloned())? {
                let inner: Arc<dyn ExecutionPlan> = Arc::new(plan);
                return Ok(SortOrderPushdownResult::Exact { inner });
            }
        }
        let Some(first) = order.first() else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let first = PhysicalSortExpr::new(self.inside(first.expr.clone())?, first.options);
        let Some(work) = by_bounds(&self.reading, scan, &first) else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let mut plan = self.again();
        plan.columns = Some(Arc::new(scan.reordered(work)));
        plan.pruning = Arc::new(self.pruning.anew());
        let inner: Arc<dyn ExecutionPlan> = Arc::new(plan);
        Ok(SortOrderPushdownResult::Inexact { inner })
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    /// Only where rows come in an order: else the limit came with the scan, if it is of use.
    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let ordered = self.properties.output_ordering().is_some();
        let sealed = self.reading.read.view.sealed(self.reading.table.storage);
        let filtered = !self.pruning.is_empty();
        if !ordered || filtered || self.partitions.len() != 1 || sealed.is_none() {
            return None;
        }
        let mut plan = self.again();
        plan.limit = match (self.limit, limit) {
            (Some(known), Some(limit)) => Some(known.min(limit)),
            (known, limit) => known.or(limit),
        };
        if plan
            .limit
            .is_some_and(|limit| limit as u64 <= ROWS_ONE_BY_ONE)
        {
            plan.columns = None;
        }
        plan.rows = plan.limited(plan.rows);
        Some(Arc::new(plan))
    }

    /// Ready to run again, as recursive queries do. What joins and sorts told the last run is over.
    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut plan = self.again();
        plan.pruning = Arc::new(self.pruning.without_dynamic());
        Ok(Arc::new(plan))
    }
}
