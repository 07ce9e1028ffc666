//! `sum(numeric)` of all values: exact, whatever the number of rows; NaN and the infinities count as
//! PostgreSQL counts them.
//!
//! Decimals of up to [`SHORT_INPUT`] digits are summed in 128 bits, which 10^10 rows cannot overflow;
//! wider ones in 256 bits, packed ones one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, Decimal256Type, Field, FieldRef,
};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::decimal::widen;
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
    fn add(&mut self, value: Numeric) -> Result<()> {
        self.count += 1;
        if let Some(finite) = value.finite() {
            *self.scales.entry(numeric::parts(finite).1).or_default() += 1;
            self.finite = numeric_add(&self.finite, &value)?;
            return Ok(());
        }
        match self.specials.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += 1,
            None => self.specials.push((value, 1)),
        }
        Ok(())
    }

    fn remove(&mut self, value: Numeric) -> Result<()> {
        self.count = self.count.saturating_sub(1);
        if let Some(finite) = value.finite() {
            let scale = numeric::parts(finite).1;
            if let Some(count) = self.scales.get_mut(&scale) {
                *count = count.saturating_sub(1);
            }
            self.scales.retain(|_, count| *count > 0);
            self.finite = numeric_sub(&self.finite, &value)?;
            return Ok(());
        }
        if let Some((_, count)) = self.specials.iter_mut().find(|(known, _)| *known == value) {
            *count = count.saturating_sub(1);
        }
        self.specials.retain(|(_, count)| *count > 0);
        Ok(())
    }

    fn each(
        &mut self,
        arrays: &[ArrayRef],
        apply: fn(&mut Total, Numeric) -> Result<()>,
    ) -> DfResult<()> {
        for array in arrays.iter().take(1) {
            for row in 0..array.len() {
                if let Datum::Numeric(value) = columns::get(array.as_ref(), row, PgType::NUMERIC)? {
                    apply(self, value)?;
                }
            }
        }
        Ok(())
    }
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
    sums: Vec<T::Native>,
    seen: Vec<bool>,
}

/// Sums that are kept in this type, over inputs of either width.
trait Summed: Decimal {
    fn of_128(value: i128) -> Self::Native;
}

impl Summed for Decimal128Type {
    fn of_128(value: i128) -> i128 {
        value
    }
}

impl Summed for Decimal256Type {
    fn of_128(value: i128) -> arrow::datatypes::i256 {
        widen(value)
    }
}

impl<T: Summed> Groups<T> {
    fn new(layout: DataType) -> Self {
        Groups {
            layout,
            sums: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn add_all<V: Copy>(
        &mut self,
        values: &[V],
        nulls: Option<&NullBuffer>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
        widen: impl Fn(V) -> T::Native,
    ) -> Result<()> {
        self.sums.resize(count, T::Native::default());
        self.seen.resize(count, false);
        for (row, (value, group)) in values.iter().zip(groups).enumerate() {
            let skipped = nulls.is_some_and(|nulls| nulls.is_null(row))
                || filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row));
            if skipped {
                continue;
            }
            let (Some(sum), Some(seen)) = (self.sums.get_mut(*group), self.seen.get_mut(*group))
            else {
                return Err(Error::internal("a group without a sum"));
            };
            *seen = true;
            *sum = added::<T>(*sum, widen(*value))?;
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> ArrayRef {
        let sums = emit.take_needed(&mut self.sums);
        let seen = emit.take_needed(&mut self.seen);
        let array = PrimitiveArray::<T>::new(sums.into(), Some(NullBuffer::from(seen)));
        Arc::new(array.with_data_type(self.layout.clone()))
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
        let nulls = array.nulls();
        match array.data_type() {
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                self.add_all(values, nulls, groups, filter, count, T::of_128)?;
            }
            _ => {
                let values = array.as_primitive::<T>().values();
                self.add_all(values, nulls, groups, filter, count, |value| value)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> DfResult<ArrayRef> {
        Ok(self.take(emit))
    }

    fn state(&mut self, emit: EmitTo) -> DfResult<Vec<ArrayRef>> {
        Ok(vec![self.take(emit)])
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
        Ok(vec![each.take(EmitTo::All)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}
