//! What is known of one column in one row group: smallest and largest value, number of NULLs.

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use datafusion::scalar::ScalarValue;

use super::layout::ZONE;
use crate::error::Result;
use crate::types::columns;
use crate::types::{Datum, PgType};

/// Bytes of a text or bytea bound; longer ones are cut, and the upper one made larger.
pub const BOUND_BYTES: usize = 64;

/// Statistics of a column in a row group.
///
/// No bounds are given where there is no value, for types without an order (interval, arrays), and
/// for floats when there is a NaN among them. Bounds of zero are -0 below and 0 above.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ColumnStats {
    /// No value sorts below it.
    pub min: Option<Datum<'static>>,
    /// No value sorts above it.
    pub max: Option<Datum<'static>>,
    /// Whether the bounds are values of the column, not cut ones.
    pub exact: bool,
    pub nulls: u32,
}

impl ColumnStats {
    /// The bounds as DataFusion has them.
    ///
    /// # Errors
    /// XX000 when `ty` is not the type of the column.
    pub fn scalars(&self, ty: PgType) -> Result<(Option<ScalarValue>, Option<ScalarValue>)> {
        let scalar = |bound: &Option<Datum<'static>>| {
            bound
                .as_ref()
                .map(|datum| columns::scalar(datum, ty, ZONE))
                .transpose()
        };
        Ok((scalar(&self.min)?, scalar(&self.max)?))
    }

    /// Statistics of an array of [`columns::data_type`] of `ty`.
    pub(super) fn of(array: &ArrayRef, ty: PgType) -> Result<ColumnStats> {
        let mut stats = ColumnStats {
            nulls: array.null_count() as u32,
            exact: true,
            ..ColumnStats::default()
        };
        if let Some((low, high)) = extremes(array) {
            let value = |at| columns::get(array.as_ref(), at, ty).map(Datum::into_owned);
            stats.set(value(low)?, value(high)?);
        }
        Ok(stats)
    }

    fn set(&mut self, min: Datum<'static>, max: Datum<'static>) {
        self.min = Some(match min {
            Datum::Float4(0.0) => Datum::Float4(-0.0),
            Datum::Float8(0.0) => Datum::Float8(-0.0),
            Datum::Text(text) if text.len() > BOUND_BYTES => {
                self.exact = false;
                Datum::text(text_start(&text))
            }
            Datum::Bytea(bytes) if bytes.len() > BOUND_BYTES => {
                self.exact = false;
                Datum::Bytea(bytes.get(..BOUND_BYTES).unwrap_or_default().to_vec().into())
            }
            other => other,
        });
        self.max = match max {
            Datum::Float4(-0.0) => Some(Datum::Float4(0.0)),
            Datum::Float8(-0.0) => Some(Datum::Float8(0.0)),
            Datum::Text(text) if text.len() > BOUND_BYTES => {
                self.exact = false;
                text_above(text_start(&text)).map(Datum::text)
            }
            Datum::Bytea(bytes) if bytes.len() > BOUND_BYTES => {
                self.exact = false;
                let start = bytes.get(..BOUND_BYTES).unwrap_or_default();
                crate::types::key::prefix_end(start).map(|end| Datum::Bytea(end.into()))
            }
            other => Some(other),
        };
    }
}

/// As much of a text as a bound may have.
fn text_start(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BOUND_BYTES))
        .unwrap_or_default()
}

/// A text that sorts above everything that starts with `start`; `None` if there is none.
fn text_above(start: &str) -> Option<String> {
    let mut text = start.to_owned();
    while let Some(last) = text.pop() {
        let mut next = u32::from(last) + 1;
        if (0xd800..0xe000).contains(&next) {
            next = 0xe000;
        }
        if let Some(next) = char::from_u32(next) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Where the smallest and the largest value stand.
fn extremes(array: &ArrayRef) -> Option<(usize, usize)> {
    match array.data_type() {
        DataType::Boolean => search(array.as_boolean()),
        DataType::Int16 => search(array.as_primitive::<Int16Type>()),
        DataType::Int32 => search(array.as_primitive::<Int32Type>()),
        DataType::Int64 => search(array.as_primitive::<Int64Type>()),
        DataType::UInt32 => search(array.as_primitive::<UInt32Type>()),
        DataType::Float32 => search(array.as_primitive::<Float32Type>()),
        DataType::Float64 => search(array.as_primitive::<Float64Type>()),
        DataType::Decimal128(..) => search(array.as_primitive::<Decimal128Type>()),
        DataType::Date32 => search(array.as_primitive::<Date32Type>()),
        DataType::Time64(TimeUnit::Microsecond) => {
            search(array.as_primitive::<Time64MicrosecondType>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            search(array.as_primitive::<TimestampMicrosecondType>())
        }
        DataType::Utf8View => search(array.as_string_view()),
        DataType::BinaryView => search(array.as_binary_view()),
        DataType::Binary => search(array.as_binary::<i32>()),
        DataType::FixedSizeBinary(_) => search(array.as_fixed_size_binary()),
        _ => None,
    }
}

/// As [`extremes`]; `None` also when a value has no place in the order.
fn search<A: ArrayAccessor>(array: A) -> Option<(usize, usize)>
where
    A::Item: PartialOrd + Copy,
{
    let mut found: Option<((usize, A::Item), (usize, A::Item))> = None;
    for at in 0..array.len() {
        if array.is_null(at) {
            continue;
        }
        let value = array.value(at);
        // NaN is not even itself.
        value.partial_cmp(&value)?;
        found = Some(match found {
            None => ((at, value), (at, value)),
            Some((low, high)) => (
                if value < low.1 { (at, value) } else { low },
                if value > high.1 { (at, value) } else { high },
            ),
        });
    }
    found.map(|(low, high)| (low.0, high.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringViewArray};

    use super::*;

    #[test]
    fn long_bounds_are_cut_and_stay_bounds() {
        let long = "é".repeat(100);
        let highest = char::MAX.to_string().repeat(40);
        let array: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(), &highest]));
        let stats = ColumnStats::of(&array, PgType::TEXT).unwrap();
        assert!(!stats.exact);
        let Some(Datum::Text(min)) = stats.min else {
            panic!("no lower bound")
        };
        assert!(min.len() <= BOUND_BYTES && *min <= *long);
        assert_eq!(stats.max, None);

        let array: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str()]));
        let Some(Datum::Text(max)) = ColumnStats::of(&array, PgType::TEXT).unwrap().max else {
            panic!("no upper bound")
        };
        assert!(*max > *long && max.len() <= BOUND_BYTES + 4);
        assert_eq!(text_above("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
    }

    #[test]
    fn floats_have_bounds_unless_there_is_a_nan() {
        let stats = |values: Vec<f64>| {
            let array: ArrayRef = Arc::new(Float64Array::from(values));
            ColumnStats::of(&array, PgType::FLOAT8).unwrap()
        };
        assert_eq!(stats(vec![1.0, f64::NAN]).min, None);
        let zeros = stats(vec![0.0]);
        assert!(matches!(zeros.min, Some(Datum::Float8(zero)) if zero.is_sign_negative()));
        assert!(
            matches!(stats(vec![-0.0]).max, Some(Datum::Float8(zero)) if zero.is_sign_positive())
        );
        assert_eq!(
            stats(vec![f64::INFINITY, -2.0]).max,
            Some(Datum::Float8(f64::INFINITY))
        );
    }
}
