//! `sum(numeric)` of all values: exact, whatever the number of rows; NaN and the infinities count as
//! PostgreSQL counts them.
//!
//! Values of 64 bits are summed in 128 bits, whatever their column could hold. Others are summed in
//! what the result has: 128 bits where the input has up to [`SHORT_INPUT`] digits, which 10^10 rows
//! cannot overflow, else 256 bits; packed ones one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, Decimal256Type, Field, FieldRef, i256,
};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::decimal::widen;
use super::short_decimal::is_short;
use super::sum_packed::PackedGroups;
use crate::error::{Error, Result, SqlState};
use crate::types::columns::{self, ColumnBuilder, Decimal};
use crate::types::kinds::numeric;
use crate::types::ops::{numeric_add, numeric_sub};
use crate::types::{Datum, Numeric, PgType};

/// Most digits of an input that is summed in 128 bits.
const SHORT_INPUT: u8 = 28;
/// Digits that a sum has more than its inputs: 10^10 rows.
const MORE_DIGITS: u8 = 10;
/// Most digits of an input that is summed in 256 bits.
const LONG_INPUT: u8 = 66;

/// The aggregate.
pub(in crate::query) fn numeric_sum() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(NumericSum {
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The layout of a sum over a layout.
pub(in crate::query) fn sum_layout(input: &DataType) -> DataType {
    match input {
        DataType::Decimal128(precision, scale) if *precision <= SHORT_INPUT => {
            DataType::Decimal128(precision + MORE_DIGITS, *scale)
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *precision <= LONG_INPUT =>
        {
            DataType::Decimal256(precision + MORE_DIGITS, *scale)
        }
        _ => DataType::Binary,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumericSum {
    signature: Signature,
}

impl AggregateUDFImpl for NumericSum {
    fn name(&self) -> &str {
        "numeric_sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().map_or(DataType::Binary, sum_layout))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}_sum", args.name),
            args.return_field.data_type().clone(),
            true,
        ))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(Total {
            layout: args.return_field.data_type().clone(),
            finite: Numeric::from(0),
            specials: Vec::new(),
            count: 0,
            scales: BTreeMap::new(),
        }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        let layout = args.return_field.data_type().clone();
        Ok(match layout {
            DataType::Decimal128(..) => Box::new(Groups::<Decimal128Type>::new(layout)),
            DataType::Binary => Box::new(PackedGroups::default()),
            _ => Box::new(Groups::<Decimal256Type>::new(layout)),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        self.accumulator(args)
    }
}

fn overflow() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    )
}

/// One sum, value by value.
#[derive(Debug)]
struct Total {
    layout: DataType,
    finite: Numeric,
    /// How often each value that is no number was added.
    specials: Vec<(Numeric, u64)>,
    count: u64,
    /// How many of the finite values have each scale: the sum shows the largest.
    scales: BTreeMap<i64, u64>,
}

impl Total {
    /// Adds the sum of so many values of one scale.
    fn add(&mut self, value: Numeric, count: u64) -> Result<()> {
        self.count += count;
        if let Some(finite) = value.finite() {
            *self.scales.entry(numeric::parts(finite).1).or_default() += count;
            self.finite = numeric_add(&self.finite, &value)?;
            return Ok(());
        }
        match self.specials.iter_mut().find(|(known, _)| *known == value) {
            Some((_, known)) => *known += count,
            None => self.specials.push((value, count)),
        }
        Ok(())
    }

    fn remove(&mut self, value: Numeric, count: u64) -> Result<()> {
        self.count = self.count.saturating_sub(count);
        if let Some(finite) = value.finite() {
            let scale = numeric::parts(finite).1;
            if let Some(known) = self.scales.get_mut(&scale) {
                *known = known.saturating_sub(count);
            }
            self.scales.retain(|_, count| *count > 0);
            self.finite = numeric_sub(&self.finite, &value)?;
            return Ok(());
        }
        if let Some((_, known)) = self.specials.iter_mut().find(|(known, _)| *known == value) {
            *known = known.saturating_sub(count);
        }
        self.specials.retain(|(_, count)| *count > 0);
        Ok(())
    }

    fn each(
        &mut self,
        arrays: &[ArrayRef],
        apply: fn(&mut Total, Numeric, u64) -> Result<()>,
    ) -> DfResult<()> {
        for array in arrays.iter().take(1) {
            if let Some((digits, scale)) = short_total(array) {
                let count = array.len() - array.null_count();
                if count > 0 {
                    apply(self, Numeric::new(digits, scale), count as u64)?;
                }
                continue;
            }
            for row in 0..array.len() {
                if let Datum::Numeric(value) = columns::get(array.as_ref(), row, PgType::NUMERIC)? {
                    apply(self, value, 1)?;
                }
            }
        }
        Ok(())
    }
}

/// Digits and scale of the sum of a decimal column; `None` where a value does not fit 64 bits.
fn short_total(array: &ArrayRef) -> Option<(i128, i64)> {
    fn total<T: Summed>(array: &ArrayRef) -> Option<i128> {
        let values = array.as_primitive::<T>();
        let mut sum = 0_i128;
        if values.null_count() == 0 {
            for value in values.values() {
                sum += i128::from(T::short(*value)?);
            }
        } else {
            for value in values.iter().flatten() {
                sum += i128::from(T::short(value)?);
            }
        }
        Some(sum)
    }
    let (sum, scale) = match array.data_type() {
        DataType::Decimal128(_, scale) => (total::<Decimal128Type>(array)?, *scale),
        DataType::Decimal256(_, scale) => (total::<Decimal256Type>(array)?, *scale),
        _ => return None,
    };
    Some((sum, i64::from(scale)))
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.each(values, Total::add)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.each(values, Total::remove)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let mut builder = ColumnBuilder::numeric(&self.layout, 1);
        if self.count == 0 {
            builder.append_null();
        } else {
            let scale = self.scales.keys().next_back().copied().unwrap_or(0);
            let mut total = match &self.finite {
                Numeric::Finite(sum) => Numeric::Finite(numeric::round(sum, scale)),
                other => other.clone(),
            };
            for (special, _) in &self.specials {
                total = numeric_add(&total, special)?;
            }
            builder.append(&Datum::Numeric(total))?;
        }
        ScalarValue::try_from_array(&builder.finish(), 0)
    }

    fn size(&self) -> usize {
        const VALUE: usize = 64;
        size_of_val(self) + VALUE * 4
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.each(states, Total::add)
    }
}

/// One sum for each group, in decimals of type `T`.
struct Groups<T: Decimal> {
    layout: DataType,
    /// Sums of what fits 64 bits. To overflow, one would need 2^64 rows.
    short: Vec<i128>,
    /// Sums of what does not; empty as long as there is nothing.
    long: Vec<T::Native>,
    seen: Vec<bool>,
}

/// Sums that are kept in this type, over inputs of either width.
trait Summed: Decimal {
    fn of_128(value: i128) -> Self::Native;
    /// A value that fits 64 bits.
    fn short(value: Self::Native) -> Option<i64>;
}

impl Summed for Decimal128Type {
    fn of_128(value: i128) -> i128 {
        value
    }

    fn short(value: i128) -> Option<i64> {
        is_short(value).then_some(value as i64)
    }
}

impl Summed for Decimal256Type {
    fn of_128(value: i128) -> i256 {
        widen(value)
    }

    fn short(value: i256) -> Option<i64> {
        value.to_i128().and_then(Decimal128Type::short)
    }
}

impl<T: Summed> Groups<T> {
    fn new(layout: DataType) -> Self {
        Groups {
            layout,
            short: Vec::new(),
            long: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn add_all<V: Copy>(
        &mut self,
        values: &[V],
        rows: Rows<'_>,
        count: usize,
        short: impl Fn(V) -> Option<i64>,
        widen: impl Fn(V) -> T::Native,
    ) -> Result<()> {
        self.short.resize(count, 0);
        self.seen.resize(count, false);
        if !self.long.is_empty() {
            self.long.resize(count, T::Native::default());
        }
        for (row, (value, group)) in values.iter().zip(rows.groups).enumerate() {
            if rows.skips(row) {
                continue;
            }
            let (Some(sum), Some(seen)) = (self.short.get_mut(*group), self.seen.get_mut(*group))
            else {
                return Err(Error::internal("a group without a sum"));
            };
            *seen = true;
            match short(*value) {
                Some(value) => *sum += i128::from(value),
                None => self.add_long(widen(*value), *group, count)?,
            }
        }
        Ok(())
    }

    #[cold]
    fn add_long(&mut self, value: T::Native, group: usize, count: usize) -> Result<()> {
        self.long.resize(count, T::Native::default());
        if let Some(sum) = self.long.get_mut(group) {
            *sum = added::<T>(*sum, value)?;
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let some_long = !self.long.is_empty();
        if some_long {
            self.long.resize(self.short.len(), T::Native::default());
        }
        let short = emit.take_needed(&mut self.short);
        let seen = emit.take_needed(&mut self.seen);
        let mut sums: Vec<T::Native> = short.into_iter().map(T::of_128).collect();
        if some_long {
            let long = emit.take_needed(&mut self.long);
            for (sum, long) in sums.iter_mut().zip(long) {
                *sum = added::<T>(*sum, long)?;
            }
        }
        let array = PrimitiveArray::<T>::new(sums.into(), Some(NullBuffer::from(seen)));
        Ok(Arc::new(array.with_data_type(self.layout.clone())))
    }
}

/// Which group each row belongs to, and which rows count.
#[derive(Clone, Copy)]
struct Rows<'a> {
    groups: &'a [usize],
    nulls: Option<&'a NullBuffer>,
    filter: Option<&'a BooleanArray>,
}

impl Rows<'_> {
    fn skips(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
            || self
                .filter
                .is_some_and(|filter| filter.is_null(row) || !filter.value(row))
    }
}

fn added<T: Decimal>(left: T::Native, right: T::Native) -> Result<T::Native> {
    if !T::is_special(left) && !T::is_special(right) {
        let sum = left.add_checked(right).map_err(|_| overflow())?;
        if T::is_special(sum) {
            return Err(overflow());
        }
        return Ok(sum);
    }
    Ok(match (T::special(left), T::special(right)) {
        (Some(a), Some(b)) if a != b => T::NAN,
        (Some(_), _) => left,
        _ => right,
    })
}

impl<T: Summed> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> DfResult<()> {
        let [array] = values else {
            return Err(Error::internal("a sum of one column").into());
        };
        let rows = Rows {
            groups,
            nulls: array.nulls().filter(|nulls| nulls.null_count() > 0),
            filter,
        };
        match array.data_type() {
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                self.add_all(values, rows, count, Decimal128Type::short, T::of_128)?;
            }
            _ => {
                let values = array.as_primitive::<T>().values();
                self.add_all(values, rows, count, T::short, |value| value)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> DfResult<ArrayRef> {
        Ok(self.take(emit)?)
    }

    fn state(&mut self, emit: EmitTo) -> DfResult<Vec<ArrayRef>> {
        Ok(vec![self.take(emit)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> DfResult<()> {
        self.update_batch(states, groups, None, count)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let mut each = Groups::<T>::new(self.layout.clone());
        let count = values.first().map_or(0, |array| array.len());
        let groups: Vec<usize> = (0..count).collect();
        each.update_batch(values, &groups, filter, count)?;
        Ok(vec![each.take(EmitTo::All)?])
    }

    fn size(&self) -> usize {
        self.short.capacity() * size_of::<i128>()
            + self.long.capacity() * size_of::<T::Native>()
            + self.seen.capacity()
    }
}
