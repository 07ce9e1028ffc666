//! Which row groups, and pieces of them, a scan can leave out, because no row of them can match.
//!
//! Filters come from the plan above the scan: conditions of the query, and dynamic ones, which joins
//! and top-k sorts make tighter while they run. They are applied to the rows of what is read as well
//! (`filter`), so where nothing is known a row group is read.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction};
use datafusion::physical_expr_common::physical_expr::{
    snapshot_generation, snapshot_physical_expr,
};
use datafusion::physical_optimizer::pruning::{
    PruningPredicate, PruningPredicateBuilder, PruningStatistics,
};

use super::super::bind::ZONE;
use super::filter::RowFilter;
use super::rows::BATCH_ROWS;
use super::sealed::{Morsel, SealedScan, Work};
use super::walk::Reading;
use crate::error::Result;
use crate::segment::PieceStats;
use crate::types::{Datum, columns};

/// Bloom filters are asked for so many values; most row groups have one of more.
const MAX_ASKED: usize = 64;

/// The filters of a scan.
#[derive(Default)]
pub(super) struct Pruning {
    filters: Vec<Arc<dyn PhysicalExpr>>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// What is known of the filters that never change.
    known: OnceLock<Arc<Known>>,
}

struct Known {
    predicate: Option<Arc<PruningPredicate>>,
    /// For each piece of work, whether it may have a row that matches, by bounds.
    kept: Vec<bool>,
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
            known: OnceLock::new(),
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
    pub fn kept(&self, reading: &Reading, scan: &SealedScan) -> Vec<bool> {
        self.known(reading, scan).kept.clone()
    }

    fn known(&self, reading: &Reading, scan: &SealedScan) -> Arc<Known> {
        let known = self.known.get_or_init(|| {
            let predicate = predicate(reading, &self.filters);
            let mut kept = vec![true; scan.work.len()];
            if let Some(predicate) = &predicate {
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
            }
            Arc::new(Known { predicate, kept })
        });
        known.clone()
    }

    /// The filters at work in one partition.
    pub fn start(self: &Arc<Self>, reading: &Arc<Reading>, scan: &Arc<SealedScan>) -> Pruner {
        Pruner {
            known: self.known(reading, scan),
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
    known: Arc<Known>,
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
        if !self.known.kept.get(at).copied().unwrap_or(true) {
            return false;
        }
        let scan = self.scan.clone();
        let Some(Work::Sealed(morsel)) = scan.work.get(at) else {
            return true;
        };
        self.see_dynamic();
        let (fixed, dynamic) = (&self.known.predicate, &self.predicate);
        if let Some(predicate) = dynamic {
            let groups = Groups {
                reading: &self.reading,
                scan: &scan,
                morsels: vec![morsel],
            };
            let may_match = predicate.prune(&groups).unwrap_or_default();
            if may_match.first() == Some(&false) {
                return false;
            }
        }
        let predicates = fixed.iter().chain(dynamic);
        let mut conditions = predicates.flat_map(|predicate| predicate.literal_guarantees());
        conditions.all(|condition| may_have(&self.reading, &scan, morsel, condition))
    }

    /// For each piece of a row group whether it may have a row that matches, as far as its pages tell.
    /// `None` for all, also where all that is read is in memory: to look there is as fast.
    pub fn pieces(&self, morsel: &Morsel) -> Option<Vec<bool>> {
        if self.known.predicate.is_none() && self.predicate.is_none() {
            return None;
        }
        let segment = &self.scan.part(morsel).ok()?.segment;
        let group = self.scan.group(morsel).ok()?;
        let unread = |position: &usize| {
            group.stats(*position).is_some() && !segment.has_column(morsel.group, *position)
        };
        if !self.reading.positions.iter().flatten().any(unread) {
            return None;
        }
        let rows = group.rows as usize;
        let pieces = Pieces {
            reading: &self.reading,
            scan: &self.scan,
            morsel,
            rows,
            known: RefCell::default(),
        };
        let mut kept: Option<Vec<bool>> = None;
        for predicate in self.known.predicate.iter().chain(&self.predicate) {
            let Ok(may_match) = predicate.prune(&pieces) else {
                continue;
            };
            kept = Some(match kept {
                None => may_match,
                Some(known) => known.iter().zip(may_match).map(|(a, b)| *a && b).collect(),
            });
        }
        kept.filter(|kept| kept.contains(&false))
    }

    /// Makes the predicate of the dynamic filters as they are now.
    fn see_dynamic(&mut self) {
        if self.pruning.dynamic.is_empty() {
            return;
        }
        let filters = self.pruning.dynamic.iter();
        let generation = filters.fold(0_u64, |sum, filter| {
            sum.wrapping_add(snapshot_generation(filter))
        });
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.predicate = predicate(&self.reading, &self.pruning.dynamic);
        }
    }
}

/// Whether a row group may have one of the values that a condition demands, by the column's bloom filter.
/// Where the column is in memory, looking is as fast as asking.
fn may_have(
    reading: &Reading,
    scan: &SealedScan,
    morsel: &Morsel,
    condition: &LiteralGuarantee,
) -> bool {
    let known = || {
        if condition.guarantee != Guarantee::In || condition.literals.len() > MAX_ASKED {
            return None;
        }
        let schema = &reading.layout.schema;
        let at = schema.index_of(condition.column.name()).ok()?;
        let position = (*reading.positions.get(at)?)?;
        let ty = reading.table.columns.get(position)?.ty;
        let segment = &scan.part(morsel).ok()?.segment;
        let stored = segment.meta().layout.columns.get(position)?;
        if stored.ty != ty || segment.has_column(morsel.group, position) {
            return None;
        }
        let values = condition.literals.iter().map(|literal| {
            let array = literal.to_array().ok()?;
            let same = array.data_type() == schema.field(at).data_type();
            same.then(|| {
                columns::get(array.as_ref(), 0, ty)
                    .map(Datum::into_owned)
                    .ok()
            })?
        });
        let values: Vec<Datum<'static>> = values.collect::<Option<_>>()?;
        segment.may_contain(morsel.group, position, &values).ok()
    };
    known().unwrap_or(true)
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
        let values = self.morsels.iter().map(|morsel| {
            let (min, max) = bounds(self.reading, self.scan, morsel, at).unwrap_or_default();
            if largest { max } else { min }
        });
        array(values, self.schema().field(at).data_type())
    }
}

/// Values of a type; NULL where there is none.
fn array(values: impl Iterator<Item = Option<ScalarValue>>, data: &DataType) -> Option<ArrayRef> {
    let none = ScalarValue::try_from(data).ok()?;
    ScalarValue::iter_to_array(values.map(|value| value.unwrap_or_else(|| none.clone()))).ok()
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

/// What is known of the pieces of one row group.
struct Pieces<'a> {
    reading: &'a Reading,
    scan: &'a SealedScan,
    morsel: &'a Morsel,
    /// Of the row group.
    rows: usize,
    /// By column of the scan.
    known: RefCell<HashMap<usize, Option<Arc<[PieceStats]>>>>,
}

impl Pieces<'_> {
    fn stats(&self, column: &Column) -> Option<(usize, Arc<[PieceStats]>)> {
        let at = self.reading.layout.schema.index_of(column.name()).ok()?;
        let mut known = self.known.borrow_mut();
        let found = known.entry(at).or_insert_with(|| {
            // Nothing is known of a column that has another type now.
            bounds(self.reading, self.scan, self.morsel, at)?;
            let position = (*self.reading.positions.get(at)?)?;
            let segment = &self.scan.part(self.morsel).ok()?.segment;
            let stats = segment.piece_stats(self.morsel.group, position).ok()??;
            (stats.len() == self.num_containers()).then(|| stats.into())
        });
        Some((at, found.clone()?))
    }

    fn bounds(
        &self,
        column: &Column,
        bound: fn(&PieceStats) -> &Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let (at, stats) = self.stats(column)?;
        let data = self.reading.layout.schema.fields().get(at)?.data_type();
        array(stats.iter().map(|stats| bound(stats).clone()), data)
    }
}

impl PruningStatistics for Pieces<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.max)
    }

    fn num_containers(&self) -> usize {
        self.rows.div_ceil(BATCH_ROWS)
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (_, stats) = self.stats(column)?;
        let counts = stats.iter().map(|stats| stats.nulls);
        Some(Arc::new(UInt64Array::from_iter(counts)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let starts = (0..self.rows).step_by(BATCH_ROWS);
        let counts = starts.map(|start| BATCH_ROWS.min(self.rows - start) as u64);
        Some(Arc::new(UInt64Array::from_iter_values(counts)))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
