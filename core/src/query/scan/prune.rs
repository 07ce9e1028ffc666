//! Which row groups a scan can leave out, because no row of them can match.
//!
//! Filters come from the plan above the scan: conditions of the query, and dynamic ones, which joins
//! and top-k sorts make tighter while they run. They are applied to the rows of what is read as well
//! (`filter`), so where nothing is known a row group is read.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction};
use datafusion::physical_expr_common::physical_expr::{
    snapshot_generation, snapshot_physical_expr,
};
use datafusion::physical_optimizer::pruning::{
    PruningPredicate, PruningPredicateBuilder, PruningStatistics,
};

use super::super::bind::ZONE;
use super::filter::RowFilter;
use super::sealed::{Morsel, SealedScan, Work};
use super::walk::Reading;
use crate::error::Result;
use crate::types::columns;

/// The filters of a scan.
#[derive(Default)]
pub(super) struct Pruning {
    filters: Vec<Arc<dyn PhysicalExpr>>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// What the filters that never change leave of the work.
    kept: OnceLock<Arc<Vec<bool>>>,
}

fn is_dynamic(filter: &Arc<dyn PhysicalExpr>) -> bool {
    let found =
        filter.exists(|expr| Ok(expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()));
    found.unwrap_or(true)
}

impl Pruning {
    /// These filters and some more.
    pub fn with(&self, filters: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>) -> Pruning {
        let mut more = self.anew();
        for filter in filters {
            match is_dynamic(&filter) {
                true => more.dynamic.push(filter),
                false => more.filters.push(filter),
            }
        }
        more
    }

    /// The same filters, for work in another order.
    pub fn anew(&self) -> Pruning {
        Pruning {
            filters: self.filters.clone(),
            dynamic: self.dynamic.clone(),
            kept: OnceLock::new(),
        }
    }

    /// Only the filters that never change: the others belong to one run of a plan.
    pub fn without_dynamic(&self) -> Pruning {
        Pruning {
            filters: self.filters.clone(),
            ..Pruning::default()
        }
    }

    pub fn filters(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.filters.iter().chain(&self.dynamic)
    }

    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.dynamic.is_empty()
    }

    /// The conditions of the query.
    pub fn conditions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.filters
    }

    /// The filters on rows, in one partition: see [`RowFilter::new`].
    pub fn row_filter(
        &self,
        schema: &SchemaRef,
        shown: Option<Arc<[usize]>>,
        output: SchemaRef,
    ) -> Result<RowFilter> {
        let (filters, dynamic) = (self.filters.iter(), self.dynamic.iter());
        RowFilter::new(filters.cloned(), dynamic.cloned(), schema, shown, output)
    }

    /// For each piece of work, whether it may have a row that matches the filters that never change.
    pub fn kept(&self, reading: &Reading, scan: &SealedScan) -> Arc<Vec<bool>> {
        let kept = self.kept.get_or_init(|| {
            let mut kept = vec![true; scan.work.len()];
            let Some(predicate) = predicate(reading, &self.filters) else {
                return Arc::new(kept);
            };
            let (places, morsels): (Vec<usize>, Vec<&Morsel>) = scan
                .work
                .iter()
                .enumerate()
                .filter_map(|(at, work)| match work {
                    Work::Sealed(morsel) => Some((at, morsel)),
                    Work::Unsealed(_) | Work::UnsealedRanges(_) => None,
                })
                .unzip();
            let groups = Groups {
                reading,
                scan,
                morsels,
            };
            if let Ok(may_match) = predicate.prune(&groups) {
                for (at, may_match) in places.into_iter().zip(may_match) {
                    if let Some(kept) = kept.get_mut(at) {
                        *kept = may_match;
                    }
                }
            }
            Arc::new(kept)
        });
        kept.clone()
    }

    /// The filters at work in one partition.
    pub fn start(self: &Arc<Self>, reading: &Arc<Reading>, scan: &Arc<SealedScan>) -> Pruner {
        Pruner {
            kept: self.kept(reading, scan),
            reading: reading.clone(),
            scan: scan.clone(),
            pruning: self.clone(),
            generation: None,
            predicate: None,
        }
    }
}

/// Tells one partition what to leave out.
pub(super) struct Pruner {
    kept: Arc<Vec<bool>>,
    reading: Arc<Reading>,
    scan: Arc<SealedScan>,
    pruning: Arc<Pruning>,
    /// In which state the dynamic filters were when the predicate was made of them.
    generation: Option<u64>,
    predicate: Option<Arc<PruningPredicate>>,
}

impl Pruner {
    /// Whether a piece of work may have a row that matches.
    pub fn keeps(&mut self, at: usize) -> bool {
        if !self.kept.get(at).copied().unwrap_or(true) {
            return false;
        }
        let Some(Work::Sealed(morsel)) = self.scan.work.get(at) else {
            return true;
        };
        if self.pruning.dynamic.is_empty() {
            return true;
        }
        let filters = self.pruning.dynamic.iter();
        let generation = filters.fold(0_u64, |sum, filter| {
            sum.wrapping_add(snapshot_generation(filter))
        });
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.predicate = predicate(&self.reading, &self.pruning.dynamic);
        }
        let Some(predicate) = &self.predicate else {
            return true;
        };
        let groups = Groups {
            reading: &self.reading,
            scan: &self.scan,
            morsels: vec![morsel],
        };
        match predicate.prune(&groups) {
            Ok(may_match) => may_match.first().copied().unwrap_or(true),
            Err(_) => true,
        }
    }
}

/// All of the filters as one that can be asked about bounds; `None` when they say nothing of them.
fn predicate(
    reading: &Reading,
    filters: &[Arc<dyn PhysicalExpr>],
) -> Option<Arc<PruningPredicate>> {
    if filters.is_empty() {
        return None;
    }
    let filters = filters.iter().map(|filter| plain(filter.clone()));
    PruningPredicateBuilder::new()
        .with_file_schema(reading.layout.schema.clone())
        .build(conjunction(filters))
}

/// A filter on floats themselves: their bounds hold for the forms as well that they are compared in.
fn plain(filter: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let Ok(filter) = snapshot_physical_expr(filter.clone()) else {
        return filter;
    };
    let unchanged = filter.clone();
    let plain = filter.transform_up(|expr| {
        let call = expr.downcast_ref::<ScalarFunctionExpr>();
        match call.filter(|call| call.fun().name() == "float_key") {
            Some(call) => match call.args().first() {
                Some(argument) => Ok(Transformed::yes(argument.clone())),
                None => Ok(Transformed::no(expr)),
            },
            None => Ok(Transformed::no(expr)),
        }
    });
    plain.data().unwrap_or(unchanged)
}

/// Types whose values Arrow orders as the bounds of a segment are ordered.
pub(super) fn has_order(data: &DataType) -> bool {
    matches!(
        data,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt32
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Date32
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Utf8View
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

/// Smallest and largest value of a scan's column in a row group.
pub(super) fn bounds(
    reading: &Reading,
    scan: &SealedScan,
    morsel: &Morsel,
    column: usize,
) -> Option<(Option<ScalarValue>, Option<ScalarValue>)> {
    let wanted = reading.layout.schema.fields().get(column)?.data_type();
    let position = (*reading.positions.get(column)?)?;
    let layout = &scan.part(morsel).ok()?.segment.meta().layout;
    let ty = layout.columns.get(position)?.ty;
    if !has_order(wanted) || columns::data_type(ty, ZONE) != *wanted {
        return None;
    }
    scan.group(morsel).ok()?.stats(position)?.scalars(ty).ok()
}

/// What is known of some row groups.
struct Groups<'a> {
    reading: &'a Reading,
    scan: &'a SealedScan,
    morsels: Vec<&'a Morsel>,
}

impl Groups<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.reading.layout.schema
    }

    fn bounds(&self, column: &Column, largest: bool) -> Option<ArrayRef> {
        let at = self.schema().index_of(column.name()).ok()?;
        let none = ScalarValue::try_from(self.schema().field(at).data_type()).ok()?;
        let values = self.morsels.iter().map(|morsel| {
            let (min, max) = bounds(self.reading, self.scan, morsel, at).unwrap_or_default();
            let bound = if largest { max } else { min };
            bound.unwrap_or_else(|| none.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Groups<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, true)
    }

    fn num_containers(&self) -> usize {
        self.morsels.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let at = self.schema().index_of(column.name()).ok()?;
        let position = (*self.reading.positions.get(at)?)?;
        let counts = self.morsels.iter().map(|morsel| {
            let stats = self.scan.group(morsel).ok()?.stats(position)?;
            Some(u64::from(stats.nulls))
        });
        Some(Arc::new(UInt64Array::from_iter(counts)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.morsels.iter().map(|morsel| {
            let group = self.scan.group(morsel).ok()?;
            Some(u64::from(group.rows))
        });
        Some(Arc::new(UInt64Array::from_iter(counts)))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
