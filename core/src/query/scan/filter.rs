//! The conditions on a scan's rows, applied to its batches before anything is copied.
//!
//! Cheap conditions come first. A costly one is asked only of the rows that the others leave, which is
//! also what keeps it from failing on rows that they exclude (`x <> 0 AND 1 / x > 2`). What is left is
//! gathered into full batches of the columns that somebody above the scan wants.
//!
//! A dynamic filter, which a join or a top-k sort made, drops what they would drop. Where it lets
//! nearly all rows through it is let be: the join asks the same of them again.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{BatchCoalescer, FilterBuilder};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;

use super::rows::BATCH_ROWS;
use crate::error::{Error, Result};
use crate::types::columns::string_bytes;

/// What an expression costs that is asked only of the rows that are left: a comparison of numbers
/// costs 1.
const COSTLY: usize = 4;
/// A dynamic filter is judged by so many rows.
const TRIAL_ROWS: usize = 4 * BATCH_ROWS;
/// A batch of more rows is passed on as it is.
const LARGE: usize = BATCH_ROWS / 2;
/// Bytes of strings that are gathered into one batch, however few its rows are: operators hold some
/// batches each, and would not get the memory for many long rows.
const BATCH_BYTES: usize = 2 << 20;
/// It is of use when at most so many of ten rows pass.
const USEFUL_TENTHS: usize = 7;

/// Rows whose columns are taken one by one, as they are needed: one that no condition reads may have to
/// be decoded first, and is not as long as no row matches.
pub(super) trait Rows {
    fn count(&self) -> usize;

    /// A column; its values count only where `selected`.
    fn column(&mut self, at: usize, selected: Option<&BooleanBuffer>) -> Result<ArrayRef>;
}

impl Rows for RecordBatch {
    fn count(&self) -> usize {
        self.num_rows()
    }

    fn column(&mut self, at: usize, _selected: Option<&BooleanBuffer>) -> Result<ArrayRef> {
        let column = self.columns().get(at).cloned();
        column.ok_or_else(|| Error::internal("a condition on a column that is not there"))
    }
}

/// Conditions at work in one partition.
pub(super) struct RowFilter {
    conditions: Vec<Condition>,
    /// The columns that are shown; `None` for all.
    shown: Option<Arc<[usize]>>,
    gathered: BatchCoalescer,
    /// Of strings of rows that are in no full batch yet, at most.
    gathered_bytes: usize,
}

impl RowFilter {
    /// `schema` is the scan's, `output` what it shows.
    pub fn new(
        filters: impl Iterator<Item = Arc<dyn PhysicalExpr>>,
        dynamic: impl Iterator<Item = Arc<dyn PhysicalExpr>>,
        schema: &SchemaRef,
        shown: Option<Arc<[usize]>>,
        output: SchemaRef,
    ) -> Result<RowFilter> {
        let mut conditions = Vec::new();
        for filter in filters {
            conditions.push(Condition::new(filter, schema, None)?);
        }
        conditions.sort_by_key(|condition| condition.cost);
        for filter in dynamic {
            conditions.push(Condition::new(filter, schema, Some(Trial::default()))?);
        }
        // A batch that is large already is passed on as it is.
        let gathered =
            BatchCoalescer::new(output, BATCH_ROWS).with_biggest_coalesce_batch_size(Some(LARGE));
        Ok(RowFilter {
            conditions,
            shown,
            gathered,
            gathered_bytes: 0,
        })
    }

    /// Which of some rows count, of those in `live`; `None` when all do.
    pub fn select(
        &mut self,
        rows: &mut impl Rows,
        live: Option<BooleanBuffer>,
    ) -> Result<Option<BooleanBuffer>> {
        let mut selected = live;
        for condition in &mut self.conditions {
            let left = count(selected.as_ref(), rows.count());
            if left == 0 {
                break;
            }
            selected = condition.narrow(rows, selected, left)?;
        }
        Ok(selected)
    }

    /// Takes the selected ones of some rows.
    pub fn push(&mut self, rows: &mut impl Rows, selected: Option<BooleanBuffer>) -> Result<()> {
        let kept = count(selected.as_ref(), rows.count());
        if kept == 0 {
            return Ok(());
        }
        if kept > LARGE {
            // Else few rows that were gathered would have all that follow copied behind them.
            self.finish()?;
        }
        let schema = self.gathered.schema();
        let batch = match &self.shown {
            Some(shown) => some(rows, shown.iter().copied(), &schema, selected.as_ref())?,
            None => some(rows, 0..schema.fields().len(), &schema, selected.as_ref())?,
        };
        let before = self.gathered.get_buffered_rows();
        let bytes = match kept > LARGE {
            // Passed on at once.
            true => 0,
            false => {
                let strings = batch.columns().iter().map(|column| string_bytes(column));
                strings.sum::<usize>() / rows.count().max(1) * kept
            }
        };
        match selected {
            Some(selected) => {
                let selected = BooleanArray::new(selected, None);
                self.gathered.push_batch_with_filter(batch, &selected)?;
            }
            None => self.gathered.push_batch(batch)?,
        }
        let whole = self.gathered.get_buffered_rows() < before + kept;
        self.gathered_bytes = bytes + if whole { 0 } else { self.gathered_bytes };
        if self.gathered_bytes >= BATCH_BYTES {
            self.finish()?;
        }
        Ok(())
    }

    /// A full batch, if there is one.
    pub fn next(&mut self) -> Option<RecordBatch> {
        self.gathered.next_completed_batch()
    }

    /// Makes a batch of what is left.
    pub fn finish(&mut self) -> Result<()> {
        self.gathered_bytes = 0;
        Ok(self.gathered.finish_buffered_batch()?)
    }
}

pub(super) fn count(selected: Option<&BooleanBuffer>, rows: usize) -> usize {
    selected.map_or(rows, BooleanBuffer::count_set_bits)
}

struct Condition {
    /// Over `columns` alone.
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    schema: SchemaRef,
    cost: usize,
    /// Of a dynamic filter: whether it is worth its time.
    trial: Option<Trial>,
}

/// What a dynamic filter did so far, in its present form.
#[derive(Default)]
struct Trial {
    generation: u64,
    seen: usize,
    passed: usize,
}

impl Trial {
    fn is_useless(&self) -> bool {
        self.seen >= TRIAL_ROWS && self.passed * 10 > self.seen * USEFUL_TENTHS
    }
}

impl Condition {
    fn new(
        expr: Arc<dyn PhysicalExpr>,
        schema: &SchemaRef,
        trial: Option<Trial>,
    ) -> Result<Condition> {
        let mut columns: Vec<usize> = collect_columns(&expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let cost = cost(&expr, schema);
        let narrow = Arc::new(schema.project(&columns)?);
        let expr = moved(expr, &narrow, |index| {
            columns.iter().position(|known| *known == index)
        })?;
        Ok(Condition {
            expr,
            columns,
            schema: narrow,
            cost,
            trial,
        })
    }

    /// Of the selected rows, of which there are `left`, those that match.
    fn narrow(
        &mut self,
        rows: &mut impl Rows,
        selected: Option<BooleanBuffer>,
        left: usize,
    ) -> Result<Option<BooleanBuffer>> {
        if let Some(trial) = &mut self.trial {
            let generation = snapshot_generation(&self.expr);
            if trial.generation != generation {
                *trial = Trial {
                    generation,
                    ..Trial::default()
                };
            }
            if trial.is_useless() {
                return Ok(selected);
            }
        }
        let columns = self.columns.iter().copied();
        let narrow = some(rows, columns, &self.schema, selected.as_ref())?;
        let rows = rows.count();
        let found = match &selected {
            Some(known) if left < rows && self.cost >= COSTLY => {
                let known = BooleanArray::new(known.clone(), None);
                let some = FilterBuilder::new(&known)
                    .optimize()
                    .build()
                    .filter_record_batch(&narrow)?;
                let matching = matching(self.expr.evaluate(&some)?, left)?;
                matching.map(|matching| spread(known.values(), &matching))
            }
            _ => matching(self.expr.evaluate(&narrow)?, rows)?,
        };
        let Some(found) = found else {
            return Ok(selected);
        };
        let found = match &selected {
            Some(selected) => selected & &found,
            None => found,
        };
        if let Some(trial) = &mut self.trial {
            trial.seen = trial.seen.saturating_add(left);
            trial.passed = trial.passed.saturating_add(found.count_set_bits());
        }
        Ok(Some(found))
    }
}

/// Some columns of rows, under their names in another schema.
fn some(
    rows: &mut impl Rows,
    columns: impl Iterator<Item = usize>,
    schema: &SchemaRef,
    selected: Option<&BooleanBuffer>,
) -> Result<RecordBatch> {
    let columns = columns.map(|at| rows.column(at, selected));
    let columns = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.count()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// The rows that a condition is true of; `None` when all are.
fn matching(value: ColumnarValue, rows: usize) -> Result<Option<BooleanBuffer>> {
    Ok(match value {
        ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => None,
        ColumnarValue::Scalar(_) => Some(BooleanBuffer::new_unset(rows)),
        ColumnarValue::Array(array) => {
            let found = array.as_boolean();
            Some(match found.nulls() {
                Some(nulls) => found.values() & nulls.inner(),
                None => found.values().clone(),
            })
        }
    })
}

/// The answers to the selected rows alone, at their places among all rows.
fn spread(selected: &BooleanBuffer, answers: &BooleanBuffer) -> BooleanBuffer {
    let mut all = BooleanBufferBuilder::new(selected.len());
    all.append_n(selected.len(), false);
    for (place, answer) in selected.set_indices().zip(answers) {
        if answer {
            all.set_bit(place, true);
        }
    }
    all.finish()
}

/// The expression over another schema, where `place` says where a column is. Columns that are not there
/// are left as they are.
pub(super) fn moved(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
    place: impl Fn(usize) -> Option<usize>,
) -> DfResult<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else {
            return Ok(Transformed::no(node));
        };
        let found = place(column.index());
        let Some((index, field)) =
            found.and_then(|index| Some((index, schema.fields().get(index)?)))
        else {
            return Ok(Transformed::no(node));
        };
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        Ok(Transformed::yes(column))
    })
    .data()
}

/// What a condition costs for a row, in comparisons of numbers.
fn cost(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> usize {
    let mut cost = 0_usize;
    let _ = expr.apply(|node| {
        cost += if let Some(column) = node.downcast_ref::<Column>() {
            let field = schema.fields().get(column.index());
            match field.map(|field| field.data_type()) {
                Some(data) if data.is_primitive() || *data == DataType::Boolean => 0,
                _ => 3,
            }
        } else if node.downcast_ref::<BinaryExpr>().is_some() {
            1
        } else if node.downcast_ref::<Literal>().is_some() {
            0
        } else if node.downcast_ref::<InListExpr>().is_some() {
            3
        } else if node.downcast_ref::<ScalarFunctionExpr>().is_some() {
            20
        } else {
            5
        };
        Ok(TreeNodeRecursion::Continue)
    });
    cost
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringViewArray};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, binary, lit};

    use super::*;

    fn compare(schema: &Schema, name: &str, op: Operator, value: i32) -> Arc<dyn PhysicalExpr> {
        let column = datafusion::physical_expr::expressions::col(name, schema).unwrap();
        binary(column, op, lit(value), schema).unwrap()
    }

    fn drain(filter: &mut RowFilter) -> Vec<i32> {
        filter.finish().unwrap();
        let mut all = Vec::new();
        while let Some(batch) = filter.next() {
            let column = batch.columns().last().unwrap();
            let values: &Int32Array = column.as_primitive();
            all.extend(values.iter().flatten());
        }
        all
    }

    #[test]
    fn rows_that_match_all_conditions_are_shown_in_order() {
        let a: ArrayRef = Arc::new(Int32Array::from(vec![
            Some(1),
            Some(2),
            None,
            Some(4),
            Some(5),
        ]));
        let b: ArrayRef = Arc::new(Int32Array::from(vec![10, 20, 30, 40, 50]));
        let mut batch = RecordBatch::try_from_iter([("a", a), ("b", b)]).unwrap();
        let schema = batch.schema();
        let filters = vec![
            compare(&schema, "a", Operator::Gt, 1),
            compare(&schema, "b", Operator::Lt, 50),
        ];
        let output = Arc::new(schema.project(&[1]).unwrap());
        let shown: Option<Arc<[usize]>> = Some(Arc::from([1]));
        let none = std::iter::empty();
        let mut filter = RowFilter::new(filters.into_iter(), none, &schema, shown, output).unwrap();
        let live = BooleanBuffer::from(vec![true, false, true, true, true]);
        let selected = filter.select(&mut batch, Some(live)).unwrap();
        filter.push(&mut batch.clone(), selected).unwrap();
        let selected = filter.select(&mut batch, None).unwrap();
        filter.push(&mut batch, selected).unwrap();
        assert_eq!(drain(&mut filter), [40, 20, 40]);
    }

    /// Notes which columns are taken.
    struct Noted(RecordBatch, Vec<usize>);

    impl Rows for Noted {
        fn count(&self) -> usize {
            self.0.num_rows()
        }

        fn column(&mut self, at: usize, selected: Option<&BooleanBuffer>) -> Result<ArrayRef> {
            self.1.push(at);
            Rows::column(&mut self.0, at, selected)
        }
    }

    #[test]
    fn what_no_row_needs_is_not_taken() {
        let a: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let b: ArrayRef = Arc::new(Int32Array::from(vec![10, 20]));
        let batch = RecordBatch::try_from_iter([("a", a), ("b", b)]).unwrap();
        let schema = batch.schema();
        let output = Arc::new(schema.project(&[1]).unwrap());
        for (least, taken) in [(2, vec![0]), (1, vec![0, 1])] {
            let filters = [compare(&schema, "a", Operator::Gt, least)].into_iter();
            let (none, shown) = (std::iter::empty(), Some(Arc::from([1])));
            let mut filter = RowFilter::new(filters, none, &schema, shown, output.clone()).unwrap();
            let mut rows = Noted(batch.clone(), Vec::new());
            let selected = filter.select(&mut rows, None).unwrap();
            filter.push(&mut rows, selected).unwrap();
            assert_eq!(rows.1, taken);
        }
    }

    #[test]
    fn large_batches_are_not_copied_behind_small_ones() {
        let batch = |rows: i32| {
            let values: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
            RecordBatch::try_from_iter([("a", values)]).unwrap()
        };
        let schema = batch(1).schema();
        let none = std::iter::empty;
        let mut filter = RowFilter::new(none(), none(), &schema, None, schema.clone()).unwrap();
        filter.push(&mut batch(3), None).unwrap();
        let mut large = batch(BATCH_ROWS as i32);
        filter.push(&mut large, None).unwrap();
        assert_eq!(filter.next().unwrap().num_rows(), 3);
        let passed = filter.next().unwrap();
        assert!(Arc::ptr_eq(
            passed.column(0),
            large.columns().first().unwrap()
        ));
    }

    #[test]
    fn long_rows_make_small_batches() {
        let long: ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(100_000); 10]));
        let mut batch = RecordBatch::try_from_iter([("t", long)]).unwrap();
        let schema = batch.schema();
        let none = std::iter::empty;
        let mut filter = RowFilter::new(none(), none(), &schema, None, schema.clone()).unwrap();
        let half = BooleanBuffer::from_iter((0..10).map(|row| row % 2 == 0));
        for _ in 0..10 {
            filter.push(&mut batch, None).unwrap();
            filter.push(&mut batch, Some(half.clone())).unwrap();
        }
        filter.finish().unwrap();
        let batches: Vec<usize> = std::iter::from_fn(|| filter.next())
            .map(|batch| batch.num_rows())
            .collect();
        assert_eq!(batches.iter().sum::<usize>(), 150);
        let most = BATCH_BYTES / 100_000 + 10;
        assert!(batches.iter().all(|rows| *rows <= most), "{batches:?}");
        assert!(batches.len() < 11, "{batches:?}");
    }

    #[test]
    fn a_costly_condition_is_asked_of_what_is_left() {
        let t: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "x", "y"]));
        let a: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 3]));
        let mut batch = RecordBatch::try_from_iter([("t", t), ("a", a)]).unwrap();
        let schema = batch.schema();
        let text = datafusion::physical_expr::expressions::col("t", &schema).unwrap();
        let value = lit(ScalarValue::Utf8View(Some("x".into())));
        let costly = binary(text, Operator::Eq, value, &schema).unwrap();
        assert!(cost(&costly, &schema) >= COSTLY);
        let filters = vec![costly, compare(&schema, "a", Operator::Gt, 0)];
        let none = std::iter::empty();
        let mut filter =
            RowFilter::new(filters.into_iter(), none, &schema, None, schema.clone()).unwrap();
        let selected = filter.select(&mut batch, None).unwrap();
        filter.push(&mut batch, selected).unwrap();
        assert_eq!(drain(&mut filter), [2]);
    }

    #[test]
    fn a_dynamic_filter_that_drops_little_is_let_be_until_it_changes() {
        let values: ArrayRef = Arc::new(Int32Array::from_iter_values(0..BATCH_ROWS as i32));
        let mut batch = RecordBatch::try_from_iter([("a", values)]).unwrap();
        let schema = batch.schema();
        let column = datafusion::physical_expr::expressions::col("a", &schema).unwrap();
        let dynamic = Arc::new(DynamicFilterPhysicalExpr::new(vec![column], lit(true)));
        let filters: Vec<Arc<dyn PhysicalExpr>> = vec![dynamic.clone()];
        let none = std::iter::empty();
        let mut filter =
            RowFilter::new(none, filters.into_iter(), &schema, None, schema.clone()).unwrap();
        assert_eq!(filter.select(&mut batch, None).unwrap(), None);
        dynamic
            .update(compare(&schema, "a", Operator::GtEq, 10))
            .unwrap();
        for _ in 0..TRIAL_ROWS / BATCH_ROWS {
            let selected = filter.select(&mut batch, None).unwrap();
            assert_eq!(count(selected.as_ref(), BATCH_ROWS), BATCH_ROWS - 10);
        }
        assert_eq!(filter.select(&mut batch, None).unwrap(), None);
        dynamic
            .update(compare(&schema, "a", Operator::Lt, 5))
            .unwrap();
        let selected = filter.select(&mut batch, None).unwrap();
        assert_eq!(count(selected.as_ref(), BATCH_ROWS), 5);
    }
}
