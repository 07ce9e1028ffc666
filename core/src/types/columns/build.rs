//! Builds Arrow columns from datums and from stored row bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Decimal256Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, StringViewBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, IntervalMonthDayNano, i256,
};
use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::ToPrimitive;

use super::{Decimal, data_type, interval_overflow};
use crate::error::{Error, Result, SqlState};
use crate::types::kinds::{Kind, array, numeric};
use crate::types::{Datum, Interval, Numeric, PgType, names};

/// Builds a column of type `ty` value by value.
pub struct ColumnBuilder {
    pub(crate) inner: Inner,
    ty: PgType,
}

/// One Arrow builder for each layout of [`super::data_type`].
pub(crate) enum Inner {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Decimal128 {
        values: Decimal128Builder,
        precision: u8,
        scale: u8,
    },
    Decimal256 {
        values: Decimal256Builder,
        precision: u8,
        scale: u8,
    },
    /// Numbers with a scale of their own, and the bytes of one of them.
    Numeric(BinaryBuilder, Vec<u8>),
    Text(StringViewBuilder),
    Bytea(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Oid(UInt32Builder),
    List(Box<ListBuilder>),
}

/// Lists of one column builder's items.
pub(crate) struct ListBuilder {
    items: ColumnBuilder,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    length: i32,
    zone: String,
}

impl ColumnBuilder {
    pub fn new(ty: PgType, zone: &str, capacity: usize) -> Self {
        let inner = match Kind::of(ty) {
            Kind::Bool => Inner::Bool(BooleanBuilder::with_capacity(capacity)),
            Kind::Int2 => Inner::Int2(Int16Builder::with_capacity(capacity)),
            Kind::Int4 => Inner::Int4(Int32Builder::with_capacity(capacity)),
            Kind::Int8 => Inner::Int8(Int64Builder::with_capacity(capacity)),
            Kind::Float4 => Inner::Float4(Float32Builder::with_capacity(capacity)),
            Kind::Float8 => Inner::Float8(Float64Builder::with_capacity(capacity)),
            Kind::Numeric => decimals(&data_type(ty, zone), capacity),
            Kind::Text => Inner::Text(StringViewBuilder::with_capacity(capacity)),
            Kind::Bytea => Inner::Bytea(BinaryViewBuilder::with_capacity(capacity)),
            Kind::Date => Inner::Date(Date32Builder::with_capacity(capacity)),
            Kind::Time => Inner::Time(Time64MicrosecondBuilder::with_capacity(capacity)),
            Kind::Timestamp | Kind::Timestamptz => Inner::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(capacity)
                    .with_data_type(data_type(ty, zone)),
            ),
            Kind::Interval => Inner::Interval(IntervalMonthDayNanoBuilder::with_capacity(capacity)),
            Kind::Uuid => Inner::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, 16)),
            Kind::Oid => Inner::Oid(UInt32Builder::with_capacity(capacity)),
            Kind::Array => {
                let element = array::element(ty).unwrap_or(PgType::TEXT);
                let mut offsets = Vec::with_capacity(capacity + 1);
                offsets.push(0);
                Inner::List(Box::new(ListBuilder {
                    items: ColumnBuilder::new(element, zone, capacity),
                    offsets,
                    valid: Vec::with_capacity(capacity),
                    length: 0,
                    zone: zone.to_owned(),
                }))
            }
        };
        ColumnBuilder { inner, ty }
    }

    /// A builder of numerics in the given Arrow layout: a decimal, or packed ones.
    pub fn numeric(data: &DataType, capacity: usize) -> Self {
        ColumnBuilder {
            inner: decimals(data, capacity),
            ty: PgType::NUMERIC,
        }
    }

    pub fn append_null(&mut self) {
        match &mut self.inner {
            Inner::Bool(values) => values.append_null(),
            Inner::Int2(values) => values.append_null(),
            Inner::Int4(values) => values.append_null(),
            Inner::Int8(values) => values.append_null(),
            Inner::Float4(values) => values.append_null(),
            Inner::Float8(values) => values.append_null(),
            Inner::Decimal128 { values, .. } => values.append_null(),
            Inner::Decimal256 { values, .. } => values.append_null(),
            Inner::Numeric(values, _) => values.append_null(),
            Inner::Text(values) => values.append_null(),
            Inner::Bytea(values) => values.append_null(),
            Inner::Date(values) => values.append_null(),
            Inner::Time(values) => values.append_null(),
            Inner::Timestamp(values) => values.append_null(),
            Inner::Interval(values) => values.append_null(),
            Inner::Uuid(values) => values.append_null(),
            Inner::Oid(values) => values.append_null(),
            Inner::List(lists) => {
                lists.offsets.push(lists.length);
                lists.valid.push(false);
            }
        }
    }

    /// # Errors
    /// 22003 when a numeric has more digits than the column's Arrow type holds, 22008 when an
    /// interval does, XX000 when the datum is not of the column's type.
    pub fn append(&mut self, datum: &Datum<'_>) -> Result<()> {
        match (&mut self.inner, datum) {
            (_, Datum::Null) => self.append_null(),
            (Inner::Bool(values), Datum::Bool(value)) => values.append_value(*value),
            (Inner::Int2(values), Datum::Int2(value)) => values.append_value(*value),
            (Inner::Int4(values), Datum::Int4(value)) => values.append_value(*value),
            (Inner::Int8(values), Datum::Int8(value)) => values.append_value(*value),
            (Inner::Float4(values), Datum::Float4(value)) => values.append_value(*value),
            (Inner::Float8(values), Datum::Float8(value)) => values.append_value(*value),
            (
                Inner::Decimal128 {
                    values,
                    precision,
                    scale,
                },
                Datum::Numeric(value),
            ) => {
                values.append_value(to_decimal128(value, *precision, *scale)?);
            }
            (
                Inner::Decimal256 {
                    values,
                    precision,
                    scale,
                },
                Datum::Numeric(value),
            ) => {
                values.append_value(to_decimal256(value, *precision, *scale)?);
            }
            (Inner::Numeric(values, bytes), Datum::Numeric(value)) => {
                bytes.clear();
                numeric::packed::pack(value, bytes);
                values.append_value(bytes);
            }
            (Inner::Text(values), Datum::Text(value)) => {
                values.try_append_value(value).map_err(too_long)?;
            }
            (Inner::Bytea(values), Datum::Bytea(value)) => {
                values.try_append_value(value).map_err(too_long)?;
            }
            (Inner::Date(values), Datum::Date(value)) => values.append_value(*value),
            (Inner::Time(values), Datum::Time(value)) => values.append_value(*value),
            (Inner::Timestamp(values), Datum::Timestamp(value) | Datum::Timestamptz(value)) => {
                values.append_value(*value);
            }
            (Inner::Interval(values), Datum::Interval(value)) => {
                values.append_value(month_day_nano(value)?);
            }
            (Inner::Uuid(values), Datum::Uuid(value)) => {
                values.append_value(value).map_err(too_long)?;
            }
            (Inner::Oid(values), Datum::Oid(value)) => values.append_value(*value),
            (Inner::List(lists), Datum::Array(value)) => {
                for item in &value.items {
                    lists.items.append(item)?;
                }
                lists.end_list(value.items.len())?;
            }
            (_, datum) => {
                return Err(Error::internal(format!(
                    "{datum:?} is not of type {}",
                    names::format_type(self.ty)
                )));
            }
        }
        Ok(())
    }

    /// Number of values appended since the last [`ColumnBuilder::finish`].
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match &self.inner {
            Inner::Bool(values) => values.len(),
            Inner::Int2(values) => values.len(),
            Inner::Int4(values) => values.len(),
            Inner::Int8(values) => values.len(),
            Inner::Float4(values) => values.len(),
            Inner::Float8(values) => values.len(),
            Inner::Decimal128 { values, .. } => values.len(),
            Inner::Decimal256 { values, .. } => values.len(),
            Inner::Numeric(values, _) => values.len(),
            Inner::Text(values) => values.len(),
            Inner::Bytea(values) => values.len(),
            Inner::Date(values) => values.len(),
            Inner::Time(values) => values.len(),
            Inner::Timestamp(values) => values.len(),
            Inner::Interval(values) => values.len(),
            Inner::Uuid(values) => values.len(),
            Inner::Oid(values) => values.len(),
            Inner::List(lists) => lists.valid.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column so far; the builder starts again.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.inner {
            Inner::Bool(values) => Arc::new(values.finish()),
            Inner::Int2(values) => Arc::new(values.finish()),
            Inner::Int4(values) => Arc::new(values.finish()),
            Inner::Int8(values) => Arc::new(values.finish()),
            Inner::Float4(values) => Arc::new(values.finish()),
            Inner::Float8(values) => Arc::new(values.finish()),
            Inner::Decimal128 { values, .. } => Arc::new(values.finish()),
            Inner::Decimal256 { values, .. } => Arc::new(values.finish()),
            Inner::Numeric(values, _) => Arc::new(values.finish()),
            Inner::Text(values) => Arc::new(values.finish()),
            Inner::Bytea(values) => Arc::new(values.finish()),
            Inner::Date(values) => Arc::new(values.finish()),
            Inner::Time(values) => Arc::new(values.finish()),
            Inner::Timestamp(values) => Arc::new(values.finish()),
            Inner::Interval(values) => Arc::new(values.finish()),
            Inner::Uuid(values) => Arc::new(values.finish()),
            Inner::Oid(values) => Arc::new(values.finish()),
            Inner::List(lists) => Arc::new(lists.finish()),
        }
    }
}

impl ListBuilder {
    pub(crate) fn items(&mut self) -> &mut ColumnBuilder {
        &mut self.items
    }

    /// Ends a list whose `count` items were just appended.
    pub(crate) fn end_list(&mut self, count: usize) -> Result<()> {
        self.length = i32::try_from(count)
            .ok()
            .and_then(|count| self.length.checked_add(count))
            .ok_or_else(|| {
                Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    "too many array items in one batch",
                )
            })?;
        self.offsets.push(self.length);
        self.valid.push(true);
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
        let field = Field::new_list_field(data_type(self.items.ty, &self.zone), true);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(
            &mut self.offsets,
            vec![0],
        )));
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        self.length = 0;
        ListArray::new(Arc::new(field), offsets, self.items.finish(), Some(valid))
    }
}

fn too_long(error: arrow::error::ArrowError) -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("value too long for a column: {error}"),
    )
}

/// # Errors
/// 22008 when the microseconds do not fit nanoseconds.
pub(crate) fn month_day_nano(value: &Interval) -> Result<IntervalMonthDayNano> {
    let nanos = value
        .micros
        .checked_mul(1_000)
        .ok_or_else(interval_overflow)?;
    Ok(IntervalMonthDayNano::new(value.months, value.days, nanos))
}

/// The builder of a numeric column's Arrow layout.
fn decimals(data: &DataType, capacity: usize) -> Inner {
    match data {
        DataType::Decimal128(precision, scale) => Inner::Decimal128 {
            values: Decimal128Builder::with_capacity(capacity).with_data_type(data.clone()),
            precision: *precision,
            scale: scale.unsigned_abs(),
        },
        DataType::Decimal256(precision, scale) => Inner::Decimal256 {
            values: Decimal256Builder::with_capacity(capacity).with_data_type(data.clone()),
            precision: *precision,
            scale: scale.unsigned_abs(),
        },
        _ => Inner::Numeric(
            BinaryBuilder::with_capacity(capacity, capacity * 8),
            Vec::new(),
        ),
    }
}

pub(crate) fn decimal_overflow(precision: u8, scale: u8) -> Error {
    numeric::field_overflow(u16::from(precision), i16::from(scale))
}

fn to_decimal128(value: &Numeric, precision: u8, scale: u8) -> Result<i128> {
    if let Some(stand_in) = Decimal128Type::stand_in(value) {
        return Ok(stand_in);
    }
    let digits = unscaled(value, scale)?;
    let digits = digits
        .to_i128()
        .ok_or_else(|| decimal_overflow(precision, scale))?;
    check128(digits, precision, scale)
}

/// A stored or converted value whose digits fit the precision.
pub(crate) fn check128(digits: i128, precision: u8, scale: u8) -> Result<i128> {
    match 10_u128.checked_pow(u32::from(precision)) {
        Some(limit) if digits.unsigned_abs() >= limit => Err(decimal_overflow(precision, scale)),
        _ => Ok(digits),
    }
}

fn to_decimal256(value: &Numeric, precision: u8, scale: u8) -> Result<i256> {
    if let Some(stand_in) = Decimal256Type::stand_in(value) {
        return Ok(stand_in);
    }
    let digits = unscaled(value, scale)?;
    if digits.magnitude() >= numeric::power_of_ten(u64::from(precision)).magnitude() {
        return Err(decimal_overflow(precision, scale));
    }
    let bytes = digits.to_signed_bytes_le();
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
        0xff
    } else {
        0
    };
    let mut wide = [fill; 32];
    for (slot, byte) in wide.iter_mut().zip(&bytes) {
        *slot = *byte;
    }
    Ok(i256::from_le_bytes(wide))
}

/// The digits at `scale`: a column's values have at most that scale.
fn unscaled(value: &Numeric, scale: u8) -> Result<BigInt> {
    let Numeric::Finite(value) = value else {
        return Err(Error::internal("digits of a value that is no number"));
    };
    let scale = i64::from(scale);
    let trimmed;
    let mut value = value;
    if numeric::parts(value).1 > scale {
        trimmed = numeric::trim(value.clone());
        value = &trimmed;
        if numeric::parts(value).1 > scale {
            return Err(Error::internal(format!(
                "a numeric with more than {scale} fractional digits"
            )));
        }
    }
    let (digits, from) = numeric::parts(value);
    Ok(digits.as_ref() * numeric::power_of_ten((scale - from).unsigned_abs()))
}
