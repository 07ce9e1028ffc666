//! How a table's rows become Parquet columns, and the few types that Parquet does not hold as Arrow
//! has them.
//!
//! | type | in the Parquet object |
//! |---|---|
//! | interval | 16 bytes as in a row (microseconds, days, months): Parquet has no interval that fits, and Arrow's counts nanoseconds, which not every interval can be counted in |
//! | numeric(p, s) with NaN | the largest integer of the column's width: Arrow's stand-in does not fit it |

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, Decimal128Array, ListArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema};

use super::codec::{Reader, put_bytes, small};
use crate::error::{Error, Result};
use crate::types::columns::{self, ColumnBuilder, Decimal, METADATA_KEY};
use crate::types::kinds::{Kind, array};
use crate::types::{Array, Datum, Interval, PgType, names, row};

/// The zone of `timestamptz` columns as they are stored and read.
pub const ZONE: &str = "UTC";

/// The columns of a table as rows are written with them; one entry a physical column, in order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Layout {
    pub columns: Vec<LayoutColumn>,
}

/// One physical column.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutColumn {
    pub name: String,
    pub ty: PgType,
    pub not_null: bool,
    /// What rows have that were written before the column existed.
    pub missing: Datum<'static>,
    /// A dropped column is not written.
    pub dropped: bool,
}

impl Layout {
    /// Physical positions of the columns that are written, in the order of the Parquet columns.
    pub fn stored(&self) -> impl Iterator<Item = (usize, &LayoutColumn)> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.dropped)
    }

    /// The types in which the values of all physical columns are stored.
    pub(super) fn stored_types(&self) -> Vec<PgType> {
        let columns = self.columns.iter();
        columns.map(|column| stored_type(column.ty)).collect()
    }

    /// Which Parquet column a physical column is; `None` when this segment does not have it.
    pub(super) fn leaf(&self, position: usize) -> Option<usize> {
        self.stored().position(|(at, _)| at == position)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&small(self.columns.len(), "columns")?.to_le_bytes());
        for column in &self.columns {
            put_bytes(out, column.name.as_bytes())?;
            out.extend_from_slice(&column.ty.oid.to_le_bytes());
            out.extend_from_slice(&column.ty.typmod.to_le_bytes());
            out.push(u8::from(column.not_null));
            out.push(u8::from(column.dropped));
            let missing = std::slice::from_ref(&column.missing);
            put_bytes(out, &row::encode(missing, &[column.ty])?)?;
        }
        Ok(())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Layout> {
        let count = reader.count(COLUMN_BYTES)?;
        let columns = (0..count)
            .map(|_| {
                let name = std::str::from_utf8(reader.bytes()?)
                    .map_err(|_| reader.damaged("a name that is not UTF-8"))?
                    .to_owned();
                let ty = PgType::with_typmod(reader.u32()?, reader.i32()?);
                let not_null = reader.flag()?;
                let dropped = reader.flag()?;
                let missing = row::RowRef::new(reader.bytes()?)?.get(0, ty)?.into_owned();
                Ok(LayoutColumn {
                    name,
                    ty,
                    not_null,
                    missing,
                    dropped,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Layout { columns })
    }
}

/// Bytes that a column takes at least: name, type, two flags, a row of one value.
const COLUMN_BYTES: usize = 22;

/// The type whose rows and arrays have the same bytes, for a type that Parquet does not hold.
pub(super) fn stored_type(ty: PgType) -> PgType {
    match Kind::of(ty) {
        Kind::Interval => PgType::UUID,
        Kind::Array => match array::element(ty).map(Kind::of) {
            Some(Kind::Interval) => PgType::UUID_ARRAY,
            _ => ty,
        },
        _ => ty,
    }
}

/// A value of a type as one of [`stored_type`].
pub(super) fn stored_datum(datum: Datum<'static>) -> Datum<'static> {
    match datum {
        Datum::Interval(value) => Datum::Uuid(interval_bytes(&value)),
        Datum::Array(value) if Kind::of(value.element) == Kind::Interval => {
            Datum::Array(Box::new(Array {
                element: PgType::UUID,
                items: value.items.into_iter().map(stored_datum).collect(),
            }))
        }
        other => other,
    }
}

/// As in a row: microseconds, days, months.
fn interval_bytes(value: &Interval) -> [u8; 16] {
    let mut bytes = [0; 16];
    let fields = value
        .micros
        .to_le_bytes()
        .into_iter()
        .chain(value.days.to_le_bytes())
        .chain(value.months.to_le_bytes());
    for (to, from) in bytes.iter_mut().zip(fields) {
        *to = from;
    }
    bytes
}

fn interval(bytes: &[u8]) -> Result<Interval> {
    let mut reader = Reader::new(bytes, "interval");
    let value = Interval {
        micros: i64::from_le_bytes(reader.take()?),
        days: reader.i32()?,
        months: reader.i32()?,
    };
    reader.end()?;
    Ok(value)
}

/// The Arrow schema that the columns are written with; `key` names a column for the row keys.
pub(super) fn schema(layout: &Layout, key: Option<&str>) -> Schema {
    let mut fields: Vec<Field> = layout
        .stored()
        .map(|(_, column)| {
            let stored = stored_type(column.ty);
            let metadata = [(
                METADATA_KEY.to_owned(),
                format!("{}:{}", column.ty.oid, column.ty.typmod),
            )];
            columns::field(&column.name, stored, !column.not_null, ZONE)
                .with_metadata(metadata.into())
        })
        .collect();
    if let Some(key) = key {
        fields.push(Field::new(key, DataType::Binary, false));
    }
    Schema::new(fields)
}

/// A name for the key column that no column has.
pub(super) fn key_column_name(layout: &Layout) -> String {
    let mut name = "__key".to_owned();
    while layout.stored().any(|(_, column)| column.name == name) {
        name.insert(0, '_');
    }
    name
}

/// Bytes that Parquet holds a decimal in, and so the integers that no number of the precision is.
fn decimal_limits(precision: u8) -> (i128, i128) {
    let bits = match precision {
        0..=9 => 32,
        10..=18 => 64,
        _ => {
            // As many bytes as hold 10^precision - 1 and a sign.
            let largest = 10_u128
                .checked_pow(u32::from(precision))
                .map_or(u128::MAX, |limit| limit - 1);
            let used = u128::BITS - largest.leading_zeros() + 1;
            used.div_ceil(8) * 8
        }
    };
    match bits {
        128.. => (i128::MIN, i128::MAX),
        bits => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    }
}

/// An array as Parquet holds it: the stand-ins of decimals for NaN and the infinities made narrow.
pub(super) fn narrow(array: ArrayRef) -> Result<ArrayRef> {
    map_decimals(array, |value, (low, high)| match value {
        <Decimal128Type as Decimal>::NAN => high,
        <Decimal128Type as Decimal>::INFINITY => high - 1,
        <Decimal128Type as Decimal>::NEGATIVE_INFINITY => low,
        number => number,
    })
}

fn widen(array: ArrayRef) -> Result<ArrayRef> {
    map_decimals(array, |value, (low, high)| {
        if value == high {
            <Decimal128Type as Decimal>::NAN
        } else if value == high - 1 {
            <Decimal128Type as Decimal>::INFINITY
        } else if value == low {
            <Decimal128Type as Decimal>::NEGATIVE_INFINITY
        } else {
            value
        }
    })
}

/// Replaces values of a decimal array, or of the items of a list of them.
fn map_decimals(array: ArrayRef, map: impl Fn(i128, (i128, i128)) -> i128) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let limits = decimal_limits(precision);
            let values = array.as_primitive::<Decimal128Type>();
            if values
                .values()
                .iter()
                .all(|&value| map(value, limits) == value)
            {
                return Ok(array);
            }
            let mapped: Decimal128Array = values.unary(|value| map(value, limits));
            Ok(Arc::new(
                mapped
                    .with_precision_and_scale(precision, scale)
                    .map_err(|error| Error::internal(format!("decimals: {error}")))?,
            ))
        }
        DataType::List(item) if matches!(item.data_type(), DataType::Decimal128(..)) => {
            let list = array.as_list::<i32>();
            let items = map_decimals(Arc::clone(list.values()), map)?;
            Ok(Arc::new(ListArray::new(
                Arc::clone(item),
                list.offsets().clone(),
                items,
                list.nulls().cloned(),
            )))
        }
        _ => Ok(array),
    }
}

/// An array that Parquet held, as [`columns::data_type`] has it for the type.
///
/// # Errors
/// 22008 when an interval has more digits than its Arrow type holds.
pub(super) fn restore(array: ArrayRef, ty: PgType) -> Result<ArrayRef> {
    let array = match (Kind::of(ty), array::element(ty).map(Kind::of)) {
        (Kind::Interval, _) => intervals(&array)?,
        (Kind::Array, Some(Kind::Interval)) => {
            let list = array
                .as_list_opt::<i32>()
                .ok_or_else(|| wrong(&array, ty))?;
            let items = intervals(list.values())?;
            let field = Field::new_list_field(items.data_type().clone(), true);
            Arc::new(ListArray::new(
                Arc::new(field),
                list.offsets().clone(),
                items,
                list.nulls().cloned(),
            ))
        }
        _ => widen(array)?,
    };
    if *array.data_type() != columns::data_type(ty, ZONE) {
        return Err(wrong(&array, ty));
    }
    Ok(array)
}

fn wrong(array: &ArrayRef, ty: PgType) -> Error {
    Error::corrupted(format!(
        "a column of type {} holds {}",
        names::format_type(ty),
        array.data_type()
    ))
}

fn intervals(array: &ArrayRef) -> Result<ArrayRef> {
    let bytes = array
        .as_fixed_size_binary_opt()
        .ok_or_else(|| wrong(array, PgType::INTERVAL))?;
    let mut builder = ColumnBuilder::new(PgType::INTERVAL, ZONE, bytes.len());
    for value in bytes {
        match value {
            Some(value) => builder.append(&Datum::Interval(interval(value)?))?,
            None => builder.append_null(),
        }
    }
    Ok(builder.finish())
}
