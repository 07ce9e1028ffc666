//! Aggregates that see all their values at once: JSON, percentiles, sums of distinct values.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::bind::{ZONE, arrow_type};
use super::{json, limits};
use crate::error::{Error, Result};
use crate::types::ops::{self, BinaryOp};
use crate::types::text::TextStyle;
use crate::types::{Datum, Interval, PgType, columns};

type Finish = fn(&[PgType], &[Vec<Datum<'static>>]) -> Result<Datum<'static>>;

/// The aggregate of that name over arguments of these types.
pub(in crate::query) fn collecting(
    name: &str,
    types: Vec<PgType>,
    result: PgType,
) -> Option<Arc<AggregateUDF>> {
    let finish: Finish = match name {
        "json_agg" => |types, rows| json::array(types, rows, false),
        "jsonb_agg" => |types, rows| json::array(types, rows, true),
        "json_object_agg" => |types, rows| json::object(types, rows, false),
        "jsonb_object_agg" => |types, rows| json::object(types, rows, true),
        "string_agg" => |_, rows| string_agg(rows),
        "mode" => |_, rows| Ok(mode(rows)),
        "percentile_disc" => |_, rows| percentile_disc(rows),
        "percentile_cont" => |_, rows| percentile_cont(rows),
        "sum" => |_, rows| sum(rows),
        "sum_interval" => |_, rows| sum_interval(rows, false),
        "min_value" => |_, rows| Ok(extreme(rows, Ordering::Less)),
        "max_value" => |_, rows| Ok(extreme(rows, Ordering::Greater)),
        "avg_interval" => |_, rows| sum_interval(rows, true),
        _ => return None,
    };
    let signature = Signature::any(types.len(), Volatility::Immutable);
    Some(Arc::new(AggregateUDF::new_from_impl(Collect {
        name: name.to_owned(),
        types,
        result,
        signature,
        finish: FinishFn(finish),
    })))
}

#[derive(Clone, Copy)]
struct FinishFn(Finish);

impl std::fmt::Debug for FinishFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("finish")
    }
}

#[derive(Debug)]
struct Collect {
    name: String,
    types: Vec<PgType>,
    result: PgType,
    signature: Signature,
    finish: FinishFn,
}

impl PartialEq for Collect {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.types == other.types && self.result == other.result
    }
}

impl Eq for Collect {}

impl std::hash::Hash for Collect {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.types.hash(state);
    }
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(arrow_type(self.result))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(args
            .input_fields
            .iter()
            .chain(args.ordering_fields)
            .enumerate()
            .map(|(at, field)| {
                let item = Field::new_list_field(field.data_type().clone(), true);
                Arc::new(Field::new(
                    format!("values_{at}"),
                    DataType::List(Arc::new(item)),
                    true,
                ))
            })
            .collect())
    }

    /// The values are put in order here: two aggregates of one query may want two orders.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _beneficial_ordering: bool,
    ) -> DfResult<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        let mut layouts: Vec<DataType> = args
            .expr_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        for key in args.order_bys {
            layouts.push(key.expr.data_type(args.schema)?);
        }
        let floats = self.types.first().is_some_and(|ty| *ty == PgType::FLOAT8);
        Ok(Box::new(Values {
            percentile: floats && self.name == "percentile_cont",
            types: self.types.clone(),
            result: self.result,
            finish: self.finish,
            arrays: layouts.iter().map(|_| Vec::new()).collect(),
            layouts,
            order: args.order_bys.iter().map(|key| key.options).collect(),
            distinct: args.is_distinct,
        }))
    }
}

#[derive(Debug)]
struct Values {
    types: Vec<PgType>,
    result: PgType,
    finish: FinishFn,
    /// The pieces of each argument's column, then of each column of ORDER BY.
    arrays: Vec<Vec<ArrayRef>>,
    layouts: Vec<DataType>,
    /// How the values are ordered.
    order: Vec<SortOptions>,
    /// Whether equal rows count once.
    distinct: bool,
    /// `percentile_cont` of floats, which needs no datums.
    percentile: bool,
}

fn compare_rows(left: &[Datum<'static>], right: &[Datum<'static>]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| ops::compare(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl Values {
    /// A column in one piece.
    fn whole(&self, column: &[ArrayRef], layout: &DataType) -> DfResult<ArrayRef> {
        let pieces: Vec<&dyn Array> = column.iter().map(|array| array.as_ref()).collect();
        Ok(match pieces.is_empty() {
            true => arrow::array::new_empty_array(layout),
            false => arrow::compute::concat(&pieces)?,
        })
    }

    /// The place of each row in the order that ORDER BY asks for; among equals, as they came.
    fn ranks(&self) -> DfResult<Option<Vec<usize>>> {
        if self.order.is_empty() {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(self.order.len() + 1);
        let columns = self.arrays.iter().zip(&self.layouts).skip(self.types.len());
        for ((column, layout), options) in columns.zip(&self.order) {
            keys.push(SortColumn {
                values: self.whole(column, layout)?,
                options: Some(*options),
            });
        }
        let count = keys.first().map_or(0, |key| key.values.len());
        keys.push(SortColumn {
            values: Arc::new(UInt32Array::from_iter_values(
                (0..count).filter_map(|at| u32::try_from(at).ok()),
            )),
            options: None,
        });
        let mut ranks = vec![0; count];
        for (rank, row) in lexsort_to_indices(&keys, None)?.values().iter().enumerate() {
            if let Some(place) = ranks.get_mut(*row as usize) {
                *place = rank;
            }
        }
        Ok(Some(ranks))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for (column, array) in self.arrays.iter_mut().zip(values) {
            if !array.is_empty() {
                column.push(array.clone());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.percentile
            && let [values, fractions] = self.arrays.as_slice()
            && let Some(found) = float_percentile(values, fractions)?
        {
            return Ok(ScalarValue::Float64(found));
        }
        let count = self.arrays.first().into_iter().flatten();
        let count = count
            .map(|array| array.len())
            .fold(0, usize::saturating_add);
        limits::fits_collected(count, self.types.len())?;
        let mut rows: Vec<Vec<Datum<'static>>> = Vec::with_capacity(count);
        for (column, ty) in self.arrays.iter().zip(&self.types) {
            let mut at = 0;
            for array in column {
                for row in 0..array.len() {
                    let value = columns::get(array.as_ref(), row, *ty)?.into_owned();
                    match rows.get_mut(at) {
                        Some(known) => known.push(value),
                        None => rows.push(vec![value]),
                    }
                    at += 1;
                }
            }
        }
        let mut ranked: Vec<(usize, Vec<Datum<'static>>)> = match self.ranks()? {
            Some(ranks) => ranks.into_iter().zip(rows).collect(),
            None => rows.into_iter().enumerate().collect(),
        };
        if self.distinct {
            ranked.sort_by(|(_, left), (_, right)| compare_rows(left, right));
            ranked.dedup_by(|(_, left), (_, right)| compare_rows(left, right).is_eq());
        }
        if !self.order.is_empty() {
            ranked.sort_unstable_by_key(|(rank, _)| *rank);
        }
        let rows: Vec<_> = ranked.into_iter().map(|(_, row)| row).collect();
        let value = (self.finish.0)(&self.types, &rows)?;
        Ok(columns::scalar(&value, self.result, ZONE)?)
    }

    fn size(&self) -> usize {
        let held: usize = self
            .arrays
            .iter()
            .flatten()
            .map(|array| array.get_array_memory_size())
            .sum();
        size_of_val(self) + held
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let mut state = Vec::with_capacity(self.arrays.len());
        for (column, layout) in self.arrays.iter().zip(&self.layouts) {
            let all = self.whole(column, layout)?;
            let list = datafusion::common::utils::SingleRowListArrayBuilder::new(all);
            state.push(list.build_list_scalar());
        }
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        for (column, lists) in self.arrays.iter_mut().zip(states) {
            for list in lists.as_list::<i32>().iter().flatten() {
                if !list.is_empty() {
                    column.push(list);
                }
            }
        }
        Ok(())
    }
}

/// The values of the first argument that are not NULL.
fn values(rows: &[Vec<Datum<'static>>]) -> Vec<Datum<'static>> {
    rows.iter()
        .filter_map(|row| row.first())
        .filter(|value| !value.is_null())
        .cloned()
        .collect()
}

fn string_agg(rows: &[Vec<Datum<'static>>]) -> Result<Datum<'static>> {
    let mut joined: Option<limits::Text> = None;
    for row in rows {
        let Some(Datum::Text(text)) = row.first() else {
            continue;
        };
        match &mut joined {
            None => joined
                .insert(limits::Text::new(limits::ValueLimit::RUN))
                .push(text)?,
            Some(joined) => {
                if let Some(Datum::Text(delimiter)) = row.get(1) {
                    joined.push(delimiter)?;
                }
                joined.push(text)?;
            }
        }
    }
    Ok(joined.map_or(Datum::Null, limits::Text::into_datum))
}

fn mode(rows: &[Vec<Datum<'static>>]) -> Datum<'static> {
    let mut sorted = values(rows);
    sorted.sort_by(ops::compare);
    let mut best: (usize, Datum<'static>) = (0, Datum::Null);
    let mut run = 0;
    let mut last: Option<Datum<'static>> = None;
    for value in sorted {
        run = if last.as_ref() == Some(&value) {
            run + 1
        } else {
            1
        };
        if run > best.0 {
            best = (run, value.clone());
        }
        last = Some(value);
    }
    best.1
}

/// The fraction, the same in all rows.
fn fraction(rows: &[Vec<Datum<'static>>]) -> Result<Option<f64>> {
    match rows.first().and_then(|row| row.get(1)) {
        Some(Datum::Float8(fraction)) if (0.0..=1.0).contains(fraction) => Ok(Some(*fraction)),
        Some(Datum::Float8(fraction)) => Err(Error::new(
            crate::error::SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("percentile value {fraction} is not between 0 and 1"),
        )),
        _ => Ok(None),
    }
}

fn percentile_disc(rows: &[Vec<Datum<'static>>]) -> Result<Datum<'static>> {
    let Some(fraction) = fraction(rows)? else {
        return Ok(Datum::Null);
    };
    let mut sorted = values(rows);
    sorted.sort_by(ops::compare);
    let at = (fraction * sorted.len() as f64).ceil().max(1.0) as usize - 1;
    Ok(sorted.get(at).cloned().unwrap_or(Datum::Null))
}

fn percentile_cont(rows: &[Vec<Datum<'static>>]) -> Result<Datum<'static>> {
    let Some(fraction) = fraction(rows)? else {
        return Ok(Datum::Null);
    };
    let mut sorted = values(rows);
    sorted.sort_by(ops::compare);
    let at = fraction * (sorted.len().max(1) - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(Datum::Float8(low)), Some(Datum::Float8(high))) => {
            Ok(Datum::Float8(low + (high - low) * (at - at.floor())))
        }
        (Some(low), _) => Ok(low.clone()),
        _ => Ok(Datum::Null),
    }
}

/// The value that compares so with all others; NULL when there is none.
fn extreme(rows: &[Vec<Datum<'static>>], wanted: Ordering) -> Datum<'static> {
    let values = rows.iter().filter_map(|row| row.first());
    let found = values
        .filter(|value| !value.is_null())
        .reduce(|best, value| match ops::compare(value, best) == wanted {
            true => value,
            false => best,
        });
    found.cloned().unwrap_or(Datum::Null)
}

/// `percentile_cont` over columns: selection in linear time. `None` when the columns are of other
/// types than expected, or the fraction has to be complained about.
fn float_percentile(values: &[ArrayRef], fractions: &[ArrayRef]) -> DfResult<Option<Option<f64>>> {
    let mut all: Vec<f64> = Vec::with_capacity(values.iter().map(|array| array.len()).sum());
    for array in values {
        let Some(array) = array.as_primitive_opt::<Float64Type>() else {
            return Ok(None);
        };
        all.extend(array.iter().flatten());
    }
    let fraction = fractions
        .first()
        .and_then(|array| array.as_primitive_opt::<Float64Type>())
        .and_then(|array| array.iter().next().flatten());
    let Some(fraction) = fraction.filter(|fraction| (0.0..=1.0).contains(fraction)) else {
        return Ok(None);
    };
    // NaN is greater than everything.
    let order = |a: &f64, b: &f64| {
        a.partial_cmp(b)
            .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    };
    let at = fraction * (all.len().max(1) - 1) as f64;
    let low_at = at.floor() as usize;
    if low_at >= all.len() {
        return Ok(Some(None));
    }
    let (_, low, above) = all.select_nth_unstable_by(low_at, order);
    let low = *low;
    if at.ceil() as usize == low_at {
        return Ok(Some(Some(low)));
    }
    let high = above.iter().copied().min_by(order).unwrap_or(low);
    Ok(Some(Some(low + (high - low) * (at - at.floor()))))
}

fn sum_interval(rows: &[Vec<Datum<'static>>], average: bool) -> Result<Datum<'static>> {
    let values = values(rows);
    if values.is_empty() {
        return Ok(Datum::Null);
    }
    let mut total = Datum::Interval(Interval::default());
    for value in &values {
        total = ops::apply(BinaryOp::Add, &total, value)?;
    }
    if average {
        return match &total {
            Datum::Interval(total) => {
                super::dates::times(total, 1.0 / values.len() as f64).map(Datum::Interval)
            }
            _ => Ok(Datum::Null),
        };
    }
    Ok(total)
}

/// The exact sum of numerics.
fn sum(rows: &[Vec<Datum<'static>>]) -> Result<Datum<'static>> {
    let mut total: Option<Datum<'static>> = None;
    for value in values(rows) {
        total = Some(match total {
            Some(total) => ops::apply(BinaryOp::Add, &total, &value)?,
            None => value,
        });
    }
    Ok(total.unwrap_or(Datum::Null))
}

/// The style of values inside JSON.
pub(super) fn style() -> TextStyle {
    TextStyle::default()
}
