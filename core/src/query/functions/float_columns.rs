//! Columns of floats as arithmetic looks at them: for zeros to divide by, and for results out of range.

use arrow::array::{Array, ArrayRef, AsArray, Datum as ArrowDatum};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::super::errors::division_by_zero;
use crate::error::Result;

pub(super) fn refuse_zero(right: &dyn ArrowDatum) -> Result<()> {
    let (array, _) = right.get();
    let zero = match array.data_type() {
        DataType::Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .any(|value| value == 0.0),
        DataType::Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .flatten()
            .any(|value| value == 0.0),
        _ => false,
    };
    if zero {
        Err(division_by_zero())
    } else {
        Ok(())
    }
}

/// A column of floats, or one value for all rows.
pub(super) struct Floats<'a> {
    array: &'a dyn Array,
    single: bool,
}

pub(super) fn floats(datum: &dyn ArrowDatum) -> Floats<'_> {
    let (array, single) = datum.get();
    Floats { array, single }
}

pub(super) fn floats_of(array: &dyn Array) -> Floats<'_> {
    Floats {
        array,
        single: false,
    }
}

impl Floats<'_> {
    pub fn value(&self, row: usize) -> Option<f64> {
        let row = if self.single { 0 } else { row };
        if row >= self.array.len() || self.array.is_null(row) {
            return None;
        }
        match self.array.data_type() {
            DataType::Float64 => Some(self.array.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => Some(f64::from(
                self.array.as_primitive::<Float32Type>().value(row),
            )),
            _ => None,
        }
    }
}

pub(super) fn has_zero(array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().values().contains(&0.0),
        DataType::Float32 => array.as_primitive::<Float32Type>().values().contains(&0.0),
        _ => false,
    }
}

pub(super) fn has_infinite(array: &ArrayRef) -> bool {
    infinite(array.as_ref())
}

fn infinite(array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .any(f64::is_infinite),
        DataType::Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .flatten()
            .any(f32::is_infinite),
        _ => false,
    }
}
