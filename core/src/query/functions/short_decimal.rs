//! Arithmetic on decimals whose digits fit 64 bits, as those of nearly all columns do. Products of such
//! numbers fit 128 bits, and so do sums of them in a common scale: nothing has to be checked on the
//! way but that they fit. NaN and the infinities do not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};

use crate::types::ops::BinaryOp;

/// Most digits by which an operand may be scaled: their power of ten fits 64 bits.
const MOST_DIGITS: u32 = 18;

/// Whether a value fits 64 bits.
pub(super) fn is_short(value: i128) -> bool {
    value == i128::from(value as i64)
}

/// A value for each row, or one for all.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Rows(&'a [i128]),
    One(i128),
}

impl<'a> Operand<'a> {
    fn of(array: &'a ArrayRef, rows: usize) -> Option<(Operand<'a>, i8)> {
        let DataType::Decimal128(_, scale) = array.data_type() else {
            return None;
        };
        let values = array.as_primitive::<Decimal128Type>().values().as_ref();
        let operand = match values {
            [value] if rows != 1 => Operand::One(*value),
            values if values.len() == rows => Operand::Rows(values),
            _ => return None,
        };
        Some((operand, *scale))
    }
}

/// The NULLs of a result: `left` and `right` have a value for each row, or one for all.
pub(super) fn nulls_of(left: &dyn Array, right: &dyn Array, rows: usize) -> Option<NullBuffer> {
    let of = |array: &dyn Array| match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        // A single NULL makes all results NULL.
        Some(_) if array.len() == 1 => Some(NullBuffer::new_null(rows)),
        nulls => nulls.cloned(),
    };
    NullBuffer::union(of(left).as_ref(), of(right).as_ref())
}

/// Sum, difference or product of decimals of up to 128 bits as one of type `to`, which has room for all
/// its digits. `None` when a value does not fit 64 bits.
pub(super) fn compute(
    op: BinaryOp,
    left: &ArrayRef,
    right: &ArrayRef,
    rows: usize,
    to: &DataType,
) -> Option<ArrayRef> {
    let ((l, l_scale), (r, r_scale)) = (Operand::of(left, rows)?, Operand::of(right, rows)?);
    let nulls = nulls_of(left.as_ref(), right.as_ref(), rows);
    match to {
        DataType::Decimal128(_, scale) => {
            let values = values(op, (l, l_scale), (r, r_scale), rows, *scale, |value| value)?;
            let array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
            Some(Arc::new(array.with_data_type(to.clone())))
        }
        DataType::Decimal256(_, scale) => {
            let wide = i256::from_i128;
            let values = values(op, (l, l_scale), (r, r_scale), rows, *scale, wide)?;
            let array = PrimitiveArray::<Decimal256Type>::new(values.into(), nulls);
            Some(Arc::new(array.with_data_type(to.clone())))
        }
        _ => None,
    }
}

fn values<N>(
    op: BinaryOp,
    (left, l_scale): (Operand<'_>, i8),
    (right, r_scale): (Operand<'_>, i8),
    rows: usize,
    scale: i8,
    result: impl Fn(i128) -> N,
) -> Option<Vec<N>> {
    let power = |from: i8| {
        let digits = u32::try_from(i16::from(scale) - i16::from(from)).ok()?;
        (digits <= MOST_DIGITS).then(|| 10_i64.pow(digits))
    };
    let product = |left: i64, right: i64| i128::from(left) * i128::from(right);
    match op {
        BinaryOp::Mul => each(left, right, rows, |l, r| result(product(l, r))),
        BinaryOp::Add | BinaryOp::Sub => {
            let (l_power, r_power) = (power(l_scale)?, power(r_scale)?);
            match op {
                BinaryOp::Add => each(left, right, rows, |l, r| {
                    result(product(l, l_power) + product(r, r_power))
                }),
                _ => each(left, right, rows, |l, r| {
                    result(product(l, l_power) - product(r, r_power))
                }),
            }
        }
        _ => None,
    }
}

fn each<N>(
    left: Operand<'_>,
    right: Operand<'_>,
    rows: usize,
    compute: impl Fn(i64, i64) -> N,
) -> Option<Vec<N>> {
    // Computed of all, and thrown away if they do not fit: so the loop has no branches.
    let mut fit = true;
    let mut one = |l: i128, r: i128| {
        fit &= is_short(l) & is_short(r);
        compute(l as i64, r as i64)
    };
    let values = match (left, right) {
        (Operand::Rows(left), Operand::Rows(right)) => {
            let pairs = left.iter().zip(right);
            pairs.map(|(l, r)| one(*l, *r)).collect()
        }
        (Operand::One(l), Operand::Rows(right)) => right.iter().map(|r| one(l, *r)).collect(),
        (Operand::Rows(left), Operand::One(r)) => left.iter().map(|l| one(*l, r)).collect(),
        (Operand::One(l), Operand::One(r)) => (0..rows).map(|_| one(l, r)).collect(),
    };
    fit.then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
        let array = PrimitiveArray::<Decimal128Type>::from(values);
        Arc::new(array.with_data_type(DataType::Decimal128(precision, scale)))
    }

    #[test]
    fn values_of_64_bits_are_computed_with_their_scales() {
        let left = decimals(vec![Some(150), None, Some(-i128::from(i64::MAX))], 19, 2);
        let right = decimals(vec![Some(2), Some(3), Some(i128::from(i64::MIN))], 19, 0);
        let to = DataType::Decimal128(38, 2);
        let sum = compute(BinaryOp::Add, &left, &right, 3, &to).unwrap();
        let largest = -i128::from(i64::MAX) + i128::from(i64::MIN) * 100;
        assert_eq!(&sum, &decimals(vec![Some(350), None, Some(largest)], 38, 2));
        let difference = compute(BinaryOp::Sub, &left, &right, 3, &to).unwrap();
        assert_eq!(difference.as_primitive::<Decimal128Type>().value(0), -50);
        let product = compute(BinaryOp::Mul, &left, &right, 3, &to).unwrap();
        let largest = -i128::from(i64::MAX) * i128::from(i64::MIN);
        assert_eq!(product.as_primitive::<Decimal128Type>().value(2), largest);
        let wide = DataType::Decimal256(57, 2);
        let product = compute(BinaryOp::Mul, &left, &right, 3, &wide).unwrap();
        assert_eq!(
            product.as_primitive::<Decimal256Type>().value(2),
            i256::from_i128(largest)
        );
    }

    #[test]
    fn one_value_stands_for_all_rows() {
        let one = decimals(vec![Some(1)], 1, 0);
        let many = decimals(vec![Some(4), None, Some(100)], 15, 2);
        let to = DataType::Decimal128(16, 2);
        let left = compute(BinaryOp::Sub, &one, &many, 3, &to).unwrap();
        assert_eq!(&left, &decimals(vec![Some(96), None, Some(0)], 16, 2));
        let null = decimals(vec![None], 1, 0);
        let nothing = compute(BinaryOp::Sub, &many, &null, 3, &to).unwrap();
        assert_eq!(nothing.null_count(), 3);
    }

    #[test]
    fn what_does_not_fit_is_left_to_others() {
        let long = decimals(vec![Some(i128::from(i64::MAX) + 1)], 38, 0);
        let short = decimals(vec![Some(1)], 38, 0);
        let to = DataType::Decimal128(38, 0);
        assert!(compute(BinaryOp::Add, &long, &short, 1, &to).is_none());
        assert!(compute(BinaryOp::Mul, &short, &long, 1, &to).is_none());
        let finer = DataType::Decimal128(38, 30);
        assert!(compute(BinaryOp::Add, &short, &short, 1, &finer).is_none());
        let special = decimals(vec![Some(i128::MAX)], 38, 0);
        assert!(compute(BinaryOp::Add, &special, &short, 1, &to).is_none());
    }
}
