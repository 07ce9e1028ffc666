//! PostgreSQL types as Arrow columns.
//!
//! | PostgreSQL | Arrow |
//! |---|---|
//! | bool, int2, int4, int8, float4, float8 | Boolean, Int16, Int32, Int64, Float32, Float64 |
//! | numeric(p ≤ 38, s) | Decimal128(p, s) |
//! | numeric | Decimal256(76, [`NUMERIC_SCALE`]) |
//! | text, varchar, char, name, json, jsonb | Utf8View |
//! | bytea | BinaryView |
//! | date, time, timestamp, timestamptz | Date32, Time64(µs), Timestamp(µs), Timestamp(µs, zone) |
//! | interval | Interval(MonthDayNano) |
//! | uuid | FixedSizeBinary(16) |
//! | oid, reg* | UInt32 |
//! | T[] | List(T) |
//!
//! The exact type travels in the field's metadata under [`METADATA_KEY`].

use arrow::array::{ArrayBuilder, ArrayRef};
use arrow::datatypes::{DataType, Field};

use super::{Datum, PgType};
use crate::error::Result;

/// Key of the field metadata that holds `oid:typmod`.
pub const METADATA_KEY: &str = "pg_type";

/// Fractional digits that a `numeric` without a modifier keeps as a column.
pub const NUMERIC_SCALE: i8 = 20;

/// The Arrow type of a column of type `ty`; `zone` is the session's time zone name.
pub fn data_type(ty: PgType, zone: &str) -> DataType {
    let _ = (ty, zone);
    todo!()
}

/// A field with the type's metadata.
pub fn field(name: &str, ty: PgType, nullable: bool, zone: &str) -> Field {
    let _ = (name, ty, nullable, zone);
    todo!()
}

/// The PostgreSQL type of a field: from its metadata, else the natural one of its Arrow type.
pub fn pg_type(field: &Field) -> PgType {
    let _ = field;
    todo!()
}

/// The value at `row` of an array that holds values of type `ty`. Takes every Arrow layout that a
/// function may return for the type (Utf8, LargeUtf8, Utf8View, Dictionary, …).
pub fn get<'a>(array: &'a dyn arrow::array::Array, row: usize, ty: PgType) -> Result<Datum<'a>> {
    let _ = (array, row, ty);
    todo!()
}

/// Builds a column of type `ty` value by value.
pub struct ColumnBuilder {
    #[expect(dead_code)]
    inner: Box<dyn ArrayBuilder>,
}

impl ColumnBuilder {
    pub fn new(ty: PgType, zone: &str, capacity: usize) -> Self {
        let _ = (ty, zone, capacity);
        todo!()
    }

    /// # Errors
    /// 22003 when a numeric has more digits than the column's Arrow type holds.
    pub fn append(&mut self, datum: &Datum<'_>) -> Result<()> {
        let _ = datum;
        todo!()
    }

    pub fn finish(&mut self) -> ArrayRef {
        todo!()
    }
}

/// A scalar of DataFusion for a datum (a parameter, a literal).
pub fn scalar(
    datum: &Datum<'_>,
    ty: PgType,
    zone: &str,
) -> Result<datafusion::scalar::ScalarValue> {
    let _ = (datum, ty, zone);
    todo!()
}
