//! One value of an Arrow array straight to its wire form. The commonest layouts never become a
//! [`Datum`](crate::types::Datum).

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type};

use super::{Decimal, get};
use crate::error::{Error, Result};
use crate::types::kinds::{int, numeric};
use crate::types::text::{self, TextStyle};
use crate::types::{PgType, binary, oid};

/// Appends the text form of the value at `row` of an array that holds values of type `ty`; `false`
/// for NULL, which appends nothing.
///
/// # Errors
/// As [`get`].
pub fn write_text(
    array: &dyn Array,
    row: usize,
    ty: PgType,
    style: &TextStyle,
    out: &mut Vec<u8>,
) -> Result<bool> {
    if !is_there(array, row)? {
        return Ok(false);
    }
    match (array.data_type(), ty.oid) {
        (DataType::Int32, oid::INT4) => {
            int::write_i64(array.as_primitive::<Int32Type>().value(row).into(), out);
        }
        (DataType::Int64, oid::INT8) => {
            int::write_i64(array.as_primitive::<Int64Type>().value(row), out);
        }
        (DataType::Int16, oid::INT2) => {
            int::write_i64(array.as_primitive::<Int16Type>().value(row).into(), out);
        }
        (DataType::Utf8View, oid::TEXT | oid::VARCHAR) => {
            out.extend_from_slice(array.as_string_view().value(row).as_bytes());
        }
        (DataType::Boolean, oid::BOOL) => out.push(match array.as_boolean().value(row) {
            true => b't',
            false => b'f',
        }),
        // NaN and the infinities take the long way.
        (DataType::Decimal128(_, scale @ 0..), oid::NUMERIC)
            if !Decimal128Type::is_special(array.as_primitive::<Decimal128Type>().value(row)) =>
        {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            decimal(value, scale.unsigned_abs().into(), out);
        }
        _ => text::write(&get(array, row, ty)?, ty, style, out),
    }
    Ok(true)
}

/// Appends the binary form of the value at `row`, without a length; `false` for NULL.
///
/// # Errors
/// As [`get`]; 54000 for what is too large for the format.
pub fn write_binary(array: &dyn Array, row: usize, ty: PgType, out: &mut Vec<u8>) -> Result<bool> {
    if !is_there(array, row)? {
        return Ok(false);
    }
    match (array.data_type(), ty.oid) {
        (DataType::Int32, oid::INT4) => {
            let value = array.as_primitive::<Int32Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        (DataType::Int64, oid::INT8) => {
            let value = array.as_primitive::<Int64Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        (DataType::Int16, oid::INT2) => {
            let value = array.as_primitive::<Int16Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        (DataType::Float64, oid::FLOAT8) => {
            let value = array.as_primitive::<Float64Type>().value(row);
            out.extend_from_slice(&value.to_be_bytes());
        }
        (DataType::Utf8View, oid::TEXT | oid::VARCHAR) => {
            out.extend_from_slice(array.as_string_view().value(row).as_bytes());
        }
        (DataType::Boolean, oid::BOOL) => out.push(array.as_boolean().value(row).into()),
        _ => binary::write(&get(array, row, ty)?, ty, out)?,
    }
    Ok(true)
}

fn is_there(array: &dyn Array, row: usize) -> Result<bool> {
    if row >= array.len() {
        return Err(Error::internal(format!(
            "row {row} of an array of {}",
            array.len()
        )));
    }
    Ok(!array.is_null(row))
}

fn decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    /// Digits of `u128::MAX`.
    const LONGEST: usize = 39;
    if value < 0 {
        out.push(b'-');
    }
    let mut rest = value.unsigned_abs();
    let mut digits = [0_u8; LONGEST];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // Small numbers need no division of 128 bits.
        let (quotient, digit) = match u64::try_from(rest) {
            Ok(small) => (u128::from(small / 10), (small % 10) as u8),
            Err(_) => (rest / 10, (rest % 10) as u8),
        };
        *slot = b'0' + digit;
        rest = quotient;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    numeric::write_scaled(digits.get(LONGEST - used..).unwrap_or(&[]), scale, out);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int32Array,
        Int64Array, StringViewArray,
    };

    use super::*;

    /// Every layout with a way of its own gives what the general way gives.
    #[test]
    fn the_short_way_is_the_long_way() {
        let decimals = vec![
            Some(0),
            Some(-5),
            Some(12345),
            None,
            Some(i128::MAX / 7),
            Some(-100),
        ];
        let decimal = |scale| {
            let array = Decimal128Array::from(decimals.clone());
            let array = array.with_precision_and_scale(38, scale).unwrap();
            Arc::new(array) as ArrayRef
        };
        let arrays: Vec<(ArrayRef, PgType)> = vec![
            (
                Arc::new(Int32Array::from(vec![Some(0), None, Some(i32::MIN)])),
                PgType::INT4,
            ),
            (
                Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])),
                PgType::INT8,
            ),
            (
                Arc::new(Int16Array::from(vec![Some(-1), None])),
                PgType::INT2,
            ),
            (
                Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), None])),
                PgType::FLOAT8,
            ),
            (
                Arc::new(StringViewArray::from(vec![Some("ü"), Some(""), None])),
                PgType::TEXT,
            ),
            (
                Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
                PgType::BOOL,
            ),
            (
                Arc::new(Date32Array::from(vec![Some(1), None])),
                PgType::DATE,
            ),
            (decimal(0), PgType::NUMERIC),
            (decimal(2), PgType::NUMERIC),
            (decimal(37), PgType::NUMERIC),
        ];
        let style = TextStyle::default();
        for (array, ty) in arrays {
            for row in 0..array.len() {
                let datum = get(array.as_ref(), row, ty).unwrap();
                let (mut short, mut long) = (Vec::new(), Vec::new());
                let there = write_text(array.as_ref(), row, ty, &style, &mut short).unwrap();
                text::write(&datum, ty, &style, &mut long);
                assert_eq!((there, &short), (!datum.is_null(), &long), "{datum:?}");
                let (mut short, mut long) = (Vec::new(), Vec::new());
                let there = write_binary(array.as_ref(), row, ty, &mut short).unwrap();
                if there {
                    binary::write(&datum, ty, &mut long).unwrap();
                }
                assert_eq!((there, &short), (!datum.is_null(), &long), "{datum:?}");
            }
            assert!(write_text(array.as_ref(), array.len(), ty, &style, &mut Vec::new()).is_err());
        }
    }
}
