//! The physical scan of a table.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    StatisticsArgs,
};
use futures::stream;

use super::cache::{ColumnCache, ColumnKey, Pieces};
use super::ranges::{Access, KeyRange};
use super::rows::{BATCH_ROWS, Layout, SharedLayout};
use super::source::TableSource;
use crate::catalog::{Index, Table, keys};
use crate::error::{Error, Result};
use crate::query::context::ReadContext;
use crate::storage::TableId;
use crate::txn::ViewIter;
use crate::types::{Datum, PgType, key, oid};

/// Tables with fewer rows are read in one piece.
const MIN_PARTITION_ROWS: u64 = 50_000;

/// Reads a table of one execution's view.
pub(in crate::query) struct ScanPlan {
    table: Arc<Table>,
    access: Access,
    /// Ranges of a full scan, one for each partition.
    partitions: Vec<KeyRange>,
    layout: SharedLayout,
    /// The table's column of each of the scan's columns; `None` is the row key.
    positions: Vec<Option<usize>>,
    limit: Option<usize>,
    read: Arc<ReadContext>,
    cache: Option<Arc<ColumnCache>>,
    rows: Option<u64>,
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
        let layout = Arc::new(Layout::new(&source.table, &positions, schema.clone())?);
        let storage = source.table.storage;
        let rows = match &access {
            Access::Full => Some(read.view.len(storage)?),
            Access::Nothing => Some(0),
            _ => None,
        };
        let partitions = match (&access, rows) {
            (Access::Full, Some(rows))
                if limit.is_none() && parallelism > 1 && rows >= MIN_PARTITION_ROWS =>
            {
                split(&source.table, &read, parallelism)?
            }
            _ => vec![(Bound::Unbounded, Bound::Unbounded)],
        };
        let equivalence = ordering(&source.table, &access, &positions, &schema);
        let properties = Arc::new(PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(ScanPlan {
            table: source.table.clone(),
            access,
            partitions,
            layout,
            positions,
            limit,
            read,
            cache,
            rows,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The way taken, in the words of PostgreSQL's EXPLAIN.
    pub fn describe(&self) -> String {
        let name = &self.table.name;
        match &self.access {
            Access::Full => format!("Seq Scan on {name}"),
            Access::Ranges(_) | Access::Keys(_) => format!("Key Scan on {name}"),
            Access::Index(index, _) => format!("Index Scan using {} on {name}", index.name),
            Access::Nothing => format!("Empty Scan on {name}"),
        }
    }

    fn cached(&self, range: &KeyRange) -> Option<CacheUse> {
        let cache = self.cache.as_ref()?;
        if cache.limit() == 0 || !matches!(self.access, Access::Full) || self.limit.is_some() {
            return None;
        }
        let version = self.read.view.version(self.table.storage)?;
        let columns: Option<Vec<usize>> = self.positions.iter().copied().collect();
        let columns = columns.filter(|columns| !columns.is_empty())?;
        let keys: Vec<ColumnKey> = columns
            .into_iter()
            .map(|column| ColumnKey {
                table: self.table.storage,
                version,
                range: range.clone(),
                column,
            })
            .collect();
        Some(CacheUse {
            cache: cache.clone(),
            keys,
        })
    }

    fn walk(&self, partition: usize) -> Result<Walk> {
        let full = || (Bound::Unbounded, Bound::Unbounded);
        let (index, ranges) = match &self.access {
            Access::Full => (
                None,
                vec![self.partitions.get(partition).cloned().unwrap_or_else(full)],
            ),
            Access::Ranges(ranges) => (None, ranges.clone()),
            Access::Index(index, ranges) => (Some(index.clone()), ranges.clone()),
            Access::Nothing => (None, Vec::new()),
            Access::Keys(keys) => {
                return Ok(Walk::Keys {
                    keys: keys.clone(),
                    at: 0,
                });
            }
        };
        Ok(Walk::Ranges {
            index,
            ranges,
            next: 0,
            iter: None,
        })
    }
}

/// How a full scan uses the cache.
struct CacheUse {
    cache: Arc<ColumnCache>,
    keys: Vec<ColumnKey>,
}

impl CacheUse {
    fn all(&self) -> Option<Vec<Pieces>> {
        let pieces: Option<Vec<Pieces>> = self.keys.iter().map(|key| self.cache.get(key)).collect();
        let pieces = pieces?;
        let length = pieces.first()?.len();
        pieces
            .iter()
            .all(|column| column.len() == length)
            .then_some(pieces)
    }
}

/// Where a scan stands.
enum Walk {
    Keys {
        keys: Vec<Vec<u8>>,
        at: usize,
    },
    Ranges {
        index: Option<Arc<Index>>,
        ranges: Vec<KeyRange>,
        next: usize,
        iter: Option<ViewIter>,
    },
}

/// A running scan.
struct Run {
    table: Arc<Table>,
    storage: TableId,
    layout: SharedLayout,
    read: Arc<ReadContext>,
    walk: Walk,
    left: usize,
    fill: Option<(CacheUse, Vec<Vec<ArrayRef>>, usize)>,
}

impl Run {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        self.read.interrupt.check()?;
        let layout = self.layout.clone();
        let wanted = BATCH_ROWS.min(self.left);
        if wanted == 0 {
            return Ok(None);
        }
        let mut builders = layout.builders(wanted.min(1024));
        while builders.rows < wanted {
            match &mut self.walk {
                Walk::Keys { keys, at } => {
                    let Some(key) = keys.get(*at) else { break };
                    *at += 1;
                    if let Some(row) = self.read.view.get(self.storage, key)? {
                        builders.append(key, row.as_ref())?;
                    }
                }
                Walk::Ranges {
                    index,
                    ranges,
                    next,
                    iter,
                } => {
                    let Some(entries) = iter else {
                        let Some((from, to)) = ranges.get(*next) else {
                            break;
                        };
                        *next += 1;
                        let table = match index {
                            Some(index) => index
                                .storage
                                .ok_or_else(|| Error::internal("an index without entries"))?,
                            None => self.storage,
                        };
                        *iter = Some(self.read.view.range(table, as_slice(from), as_slice(to))?);
                        continue;
                    };
                    match entries.next() {
                        None => *iter = None,
                        Some(entry) => {
                            let (key, value) = entry?;
                            match index {
                                None => builders.append(key.as_ref(), value.as_ref())?,
                                Some(index) => {
                                    let row_key =
                                        keys::row_key_of(index, &self.table, key.as_ref())?;
                                    let row =
                                        self.read.view.get(self.storage, row_key)?.ok_or_else(
                                            || {
                                                Error::corrupted(format!(
                                                    "index \"{}\" has an entry without a row",
                                                    index.name
                                                ))
                                            },
                                        )?;
                                    builders.append(row_key, row.as_ref())?;
                                }
                            }
                        }
                    }
                }
            }
        }
        if builders.rows == 0 {
            self.keep();
            return Ok(None);
        }
        self.left -= builders.rows;
        let batch = builders.finish()?;
        self.remember(&batch);
        Ok(Some(batch))
    }

    fn remember(&mut self, batch: &RecordBatch) {
        let Some((use_, columns, bytes)) = &mut self.fill else {
            return;
        };
        *bytes += batch.get_array_memory_size();
        if *bytes > use_.cache.limit() {
            self.fill = None;
            return;
        }
        for (column, array) in columns.iter_mut().zip(batch.columns()) {
            column.push(array.clone());
        }
    }

    /// The scan came to its end: its columns are whole.
    fn keep(&mut self) {
        if let Some((use_, columns, _)) = self.fill.take() {
            for (key, pieces) in use_.keys.into_iter().zip(columns) {
                use_.cache.put(key, pieces);
            }
        }
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(bytes) => Bound::Included(bytes),
        Bound::Excluded(bytes) => Bound::Excluded(bytes),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Rows come in the order of their key, as far as the scan has its columns.
fn ordering(
    table: &Table,
    access: &Access,
    positions: &[Option<usize>],
    schema: &SchemaRef,
) -> EquivalenceProperties {
    let mut properties = EquivalenceProperties::new(schema.clone());
    let columns: &[usize] = match access {
        Access::Full | Access::Ranges(_) | Access::Keys(_) | Access::Nothing => &table.primary_key,
        Access::Index(..) => &[],
    };
    let mut sort: Vec<PhysicalSortExpr> = Vec::new();
    for at in columns {
        let ordered = table
            .columns
            .get(*at)
            .is_some_and(|column| same_order(column.ty));
        let Some(place) = positions
            .iter()
            .position(|known| *known == Some(*at))
            .filter(|_| ordered)
        else {
            break;
        };
        let Some(field) = schema.fields().get(place) else {
            break;
        };
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
        // PostgreSQL's default order; a key has no NULLs, so both places of them are right.
        sort.push(PhysicalSortExpr::new(
            expr,
            SortOptions {
                descending: false,
                nulls_first: false,
            },
        ));
    }
    if !sort.is_empty() {
        properties.add_ordering(sort);
    }
    properties
}

/// Whether Arrow orders values of a type as their keys do.
fn same_order(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::BOOL
            | oid::INT2
            | oid::INT4
            | oid::INT8
            | oid::TEXT
            | oid::VARCHAR
            | oid::NAME
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::NUMERIC
            | oid::UUID
            | oid::BYTEA
            | oid::OID
    )
}

/// Key ranges of about equal size, where the first key column (or the row id) is an integer.
fn split(table: &Table, read: &ReadContext, count: usize) -> Result<Vec<KeyRange>> {
    let whole = || vec![(Bound::Unbounded, Bound::Unbounded)];
    let ty = match table.primary_key.first() {
        None => PgType::INT8,
        Some(at) => match table.columns.get(*at).map(|column| column.ty) {
            Some(ty) if matches!(ty.oid, oid::INT2 | oid::INT4 | oid::INT8) => ty,
            _ => return Ok(whole()),
        },
    };
    let mut entries = read
        .view
        .range(table.storage, Bound::Unbounded, Bound::Unbounded)?;
    let (Some(first), Some(last)) = (entries.next(), entries.next_back()) else {
        return Ok(whole());
    };
    let number = |bytes: &[u8]| -> Result<Option<i64>> {
        let mut rest = bytes;
        Ok(match key::decode(&mut rest, ty)? {
            Datum::Int2(value) => Some(i64::from(value)),
            Datum::Int4(value) => Some(i64::from(value)),
            Datum::Int8(value) => Some(value),
            _ => None,
        })
    };
    let (Some(low), Some(high)) = (number(first?.0.as_ref())?, number(last?.0.as_ref())?) else {
        return Ok(whole());
    };
    let width = i128::from(high) - i128::from(low);
    if width < count as i128 {
        return Ok(whole());
    }
    let mut ranges = Vec::with_capacity(count);
    let mut from: Bound<Vec<u8>> = Bound::Unbounded;
    for part in 1..count {
        let at = i128::from(low) + width * part as i128 / count as i128;
        let datum = match ty.oid {
            oid::INT2 => Datum::Int2(at as i16),
            oid::INT4 => Datum::Int4(at as i32),
            _ => Datum::Int8(at as i64),
        };
        let mut bytes = Vec::new();
        key::encode(&datum, ty, &mut bytes)?;
        ranges.push((from, Bound::Excluded(bytes.clone())));
        from = Bound::Included(bytes);
    }
    ranges.push((from, Bound::Unbounded));
    Ok(ranges)
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
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.layout.schema.clone();
        let range = self
            .partitions
            .get(partition)
            .cloned()
            .unwrap_or((Bound::Unbounded, Bound::Unbounded));
        let caching = self.cached(&range);
        if let Some(pieces) = caching.as_ref().and_then(CacheUse::all) {
            let layout = self.layout.clone();
            let read = self.read.clone();
            let count = pieces.first().map_or(0, |column| column.len());
            let batches = (0..count).map(move |at| {
                read.interrupt.check()?;
                let columns: Vec<ArrayRef> = pieces
                    .iter()
                    .filter_map(|column| column.get(at).cloned())
                    .collect();
                let rows = columns.first().map_or(0, |column| column.len());
                metrics.record_output(rows);
                Ok(layout.batch(columns, rows)?)
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(
                schema,
                stream::iter(batches),
            )));
        }
        let width = self.positions.len();
        let mut run = Run {
            table: self.table.clone(),
            storage: self.table.storage,
            layout: self.layout.clone(),
            read: self.read.clone(),
            walk: self.walk(partition)?,
            left: self.limit.unwrap_or(usize::MAX),
            fill: caching.map(|use_| (use_, vec![Vec::new(); width], 0)),
        };
        let batches = std::iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = run.batch().map_err(DataFusionError::from).transpose();
            drop(timer);
            if let Some(Ok(batch)) = &batch {
                metrics.record_output(batch.num_rows());
            }
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
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
        let rows = match (self.rows, args.partition()) {
            (Some(rows), None) => Precision::Exact(rows as usize),
            (Some(rows), Some(_)) => {
                Precision::Inexact(rows as usize / self.partitions.len().max(1))
            }
            (None, _) => Precision::Inexact(match &self.access {
                Access::Keys(keys) => keys.len(),
                Access::Ranges(ranges) | Access::Index(_, ranges) => {
                    ranges.len().saturating_mul(100)
                }
                _ => 0,
            }),
        };
        let rows = match self.limit {
            Some(limit) => match rows {
                Precision::Exact(rows) => Precision::Exact(rows.min(limit)),
                other => other,
            },
            None => rows,
        };
        Ok(Arc::new(Statistics {
            num_rows: rows,
            total_byte_size: Precision::Absent,
            column_statistics: self
                .layout
                .schema
                .fields()
                .iter()
                .map(|_| ColumnStatistics::new_unknown())
                .collect(),
        }))
    }
}
