//! Sums of packed numbers, one for each group: in 128 bits as long as those hold them.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::decimal::convert;
use crate::error::{Error, Result};
use crate::types::columns::ColumnBuilder;
use crate::types::kinds::numeric::packed;
use crate::types::ops::numeric_add;
use crate::types::{Datum, Numeric};

/// One sum of packed numbers for each group.
#[derive(Default)]
pub(super) struct PackedGroups {
    sums: Vec<PackedSum>,
}

/// A sum, in 128 bits as long as they hold it.
#[derive(Clone, Default)]
struct PackedSum {
    seen: bool,
    digits: i128,
    scale: i64,
    /// The sum of what did not fit.
    rest: Option<Numeric>,
}

impl PackedSum {
    fn add(&mut self, packed: &[u8]) -> Result<()> {
        self.seen = true;
        if let Some((digits, scale)) = packed::unpack_small(packed)
            && let Some((sum, scale)) = aligned_sum((self.digits, self.scale), (digits, scale))
        {
            (self.digits, self.scale) = (sum, scale);
            return Ok(());
        }
        let value = packed::unpack(packed)?;
        self.rest = Some(match self.rest.take() {
            Some(rest) => numeric_add(&rest, &value)?,
            None => value,
        });
        Ok(())
    }

    fn total(&self) -> Result<Numeric> {
        let small = Numeric::new(self.digits, self.scale);
        match &self.rest {
            Some(rest) => numeric_add(&small, rest),
            None => Ok(small),
        }
    }
}

/// The sum of two numbers of any scales, `None` when 128 bits do not hold it.
fn aligned_sum(left: (i128, i64), right: (i128, i64)) -> Option<(i128, i64)> {
    let scale = left.1.max(right.1);
    let widen = |(digits, from): (i128, i64)| {
        if from == scale {
            return Some(digits);
        }
        digits.checked_mul(10_i128.checked_pow(u32::try_from(scale - from).ok()?)?)
    };
    Some((widen(left)?.checked_add(widen(right)?)?, scale))
}

impl PackedGroups {
    fn take(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let mut builder = ColumnBuilder::numeric(&DataType::Binary, sums.len());
        for sum in sums {
            match sum.seen {
                true => builder.append(&Datum::Numeric(sum.total()?))?,
                false => builder.append_null(),
            }
        }
        Ok(builder.finish())
    }
}

impl GroupsAccumulator for PackedGroups {
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
        self.sums.resize(count, PackedSum::default());
        let array = convert(array, &DataType::Binary)?;
        for (row, (value, group)) in array.as_binary::<i32>().iter().zip(groups).enumerate() {
            let skipped = filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row));
            let (Some(value), false) = (value, skipped) else {
                continue;
            };
            match self.sums.get_mut(*group) {
                Some(sum) => sum.add(value)?,
                None => return Err(Error::internal("a group without a sum").into()),
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
        let mut each = PackedGroups::default();
        let count = values.first().map_or(0, |array| array.len());
        let groups: Vec<usize> = (0..count).collect();
        each.update_batch(values, &groups, filter, count)?;
        Ok(vec![each.take(EmitTo::All)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<PackedSum>()
    }
}
