//! One SQL value.

use std::borrow::Cow;

use super::{Numeric, PgType};

/// One value of any PostgreSQL type, or NULL.
///
/// varchar, char(n), name, json and jsonb all are `Text`: the [`PgType`] beside a datum tells them
/// apart. `Datum<'static>` owns its bytes; a shorter lifetime borrows them from a row or an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    Text(Cow<'a, str>),
    Bytea(Cow<'a, [u8]>),
    /// Days since 1970-01-01; `i32::MIN` and `i32::MAX` are the infinities.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, no time zone; `i64::MIN`/`MAX` are the infinities.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC; `i64::MIN`/`MAX` are the infinities.
    Timestamptz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    /// oid and the reg* types.
    Oid(u32),
    Array(Box<Array>),
}

/// A span of time in PostgreSQL's three independent fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// A one-dimensional array; its lower bound is 1 (0 for the vector types).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub element: PgType,
    pub items: Vec<Datum<'static>>,
}

impl Datum<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The bytes of a value beyond its place.
    pub fn weight(&self) -> usize {
        match self {
            Datum::Text(text) => text.len(),
            Datum::Bytea(bytes) => bytes.len(),
            Datum::Array(array) => Datum::weight_of(&array.items),
            _ => 0,
        }
    }

    /// The bytes of some values, with their places.
    pub fn weight_of(values: &[Datum<'_>]) -> usize {
        let value = |value: &Datum<'_>| size_of::<Datum<'static>>().saturating_add(value.weight());
        values.iter().map(value).fold(0, usize::saturating_add)
    }

    /// The same value with its own copy of any bytes.
    pub fn into_owned(self) -> Datum<'static> {
        match self {
            Datum::Null => Datum::Null,
            Datum::Bool(v) => Datum::Bool(v),
            Datum::Int2(v) => Datum::Int2(v),
            Datum::Int4(v) => Datum::Int4(v),
            Datum::Int8(v) => Datum::Int8(v),
            Datum::Float4(v) => Datum::Float4(v),
            Datum::Float8(v) => Datum::Float8(v),
            Datum::Numeric(v) => Datum::Numeric(v),
            Datum::Text(v) => Datum::Text(Cow::Owned(v.into_owned())),
            Datum::Bytea(v) => Datum::Bytea(Cow::Owned(v.into_owned())),
            Datum::Date(v) => Datum::Date(v),
            Datum::Time(v) => Datum::Time(v),
            Datum::Timestamp(v) => Datum::Timestamp(v),
            Datum::Timestamptz(v) => Datum::Timestamptz(v),
            Datum::Interval(v) => Datum::Interval(v),
            Datum::Uuid(v) => Datum::Uuid(v),
            Datum::Oid(v) => Datum::Oid(v),
            Datum::Array(v) => Datum::Array(v),
        }
    }

    /// An owned text value.
    pub fn text(text: impl Into<String>) -> Datum<'static> {
        Datum::Text(Cow::Owned(text.into()))
    }
}
