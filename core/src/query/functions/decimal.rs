//! The Arrow layouts of `numeric`: from one to another, and the form that compares.
//!
//! | layout | holds |
//! |---|---|
//! | Decimal128, Decimal256 | values that all have one scale |
//! | Binary | packed values, each with a scale of its own |
//! | LargeBinary | keys: packed values without their scale, for comparing, grouping and joining |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, LargeBinaryBuilder, PrimitiveArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, Float64Type, i256};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::types::columns::{self, ColumnBuilder, Decimal};
use crate::types::kinds::numeric::packed;
use crate::types::{Datum, PgType};

/// The name under which scans find the comparable form.
pub(in crate::query) const KEY: &str = "numeric_key";

/// Whether a column of numerics has this layout.
pub(in crate::query) fn is_numeric(data: &DataType) -> bool {
    matches!(
        data,
        DataType::Decimal128(..)
            | DataType::Decimal256(..)
            | DataType::Binary
            | DataType::LargeBinary
    )
}

/// The expression in another layout. A decimal has to hold all the digits of the layout before.
pub(in crate::query) fn recast(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to {
        return expr;
    }
    if let Expr::Literal(value, _) = &expr
        && let Ok(array) = value.to_array()
        && let Ok(array) = convert(&array, to)
        && let Ok(value) = ScalarValue::try_from_array(&array, 0)
    {
        return Expr::Literal(value, None);
    }
    let function = ScalarUDF::new_from_impl(Recast {
        name: match to {
            DataType::LargeBinary => KEY,
            DataType::Float64 => "numeric_float",
            _ => "numeric_recast",
        },
        to: to.clone(),
        signature: Signature::any(1, Volatility::Immutable),
    });
    function.call(vec![expr])
}

/// The comparable form of an expression of any layout.
pub(in crate::query) fn keyed(expr: Expr, from: &DataType) -> Expr {
    recast(expr, from, &DataType::LargeBinary)
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Recast {
    name: &'static str,
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Recast {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let shown: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(format!("{}({},{})", self.name, shown.join(","), self.to))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.to.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(ColumnarValue::Array(array)) => {
                Ok(ColumnarValue::Array(convert(&array, &self.to)?))
            }
            Some(ColumnarValue::Scalar(value)) => {
                let array = convert(&value.to_array()?, &self.to)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &array, 0,
                )?))
            }
            None => Err(Error::internal("a number without an operand").into()),
        }
    }
}

/// The column in another layout.
pub(super) fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    if array.data_type() == &DataType::Null {
        return Ok(arrow::array::new_null_array(to, array.len()));
    }
    match (array.data_type(), to) {
        (DataType::Decimal128(_, from), DataType::Decimal128(_, scale)) if from <= scale => {
            let power = power_128(*from, *scale)?;
            let values: PrimitiveArray<Decimal128Type> = array
                .as_primitive::<Decimal128Type>()
                .unary(|value| match Decimal128Type::is_special(value) {
                    true => value,
                    false => value.wrapping_mul(power),
                });
            Ok(Arc::new(values.with_data_type(to.clone())))
        }
        (DataType::Decimal128(_, from), DataType::Decimal256(_, scale)) if from <= scale => {
            let power = power_256(*from, *scale)?;
            let values: PrimitiveArray<Decimal256Type> = array
                .as_primitive::<Decimal128Type>()
                .unary(|value| widen(value).wrapping_mul_number(power));
            Ok(Arc::new(values.with_data_type(to.clone())))
        }
        (DataType::Decimal256(_, from), DataType::Decimal256(_, scale)) if from <= scale => {
            let power = power_256(*from, *scale)?;
            let values: PrimitiveArray<Decimal256Type> = array
                .as_primitive::<Decimal256Type>()
                .unary(|value| value.wrapping_mul_number(power));
            Ok(Arc::new(values.with_data_type(to.clone())))
        }
        (DataType::Decimal128(precision, scale), DataType::Float64) if *precision <= 15 => {
            // Both numbers are exact as floats, so that the quotient is the nearest one.
            let divisor = 10_f64.powi(i32::from(*scale));
            let values: PrimitiveArray<Float64Type> =
                array
                    .as_primitive::<Decimal128Type>()
                    .unary(|value| match value {
                        Decimal128Type::NAN => f64::NAN,
                        Decimal128Type::INFINITY => f64::INFINITY,
                        Decimal128Type::NEGATIVE_INFINITY => f64::NEG_INFINITY,
                        value => value as f64 / divisor,
                    });
            Ok(Arc::new(values))
        }
        (DataType::Decimal128(_, scale), DataType::Binary) if *scale >= 0 => {
            let values = array.as_primitive::<Decimal128Type>();
            let mut builder = BinaryBuilder::with_capacity(values.len(), values.len() * 12);
            let mut bytes = Vec::new();
            for value in values {
                bytes.clear();
                match value {
                    None => {
                        builder.append_null();
                        continue;
                    }
                    Some(value) => match Decimal128Type::special(value) {
                        Some(special) => packed::pack(&special, &mut bytes),
                        None => packed::pack_small(value, i64::from(*scale), &mut bytes),
                    },
                }
                builder.append_value(&bytes);
            }
            Ok(Arc::new(builder.finish()))
        }
        (DataType::Binary, DataType::LargeBinary) => Ok(cut(array.as_binary::<i32>())),
        (_, DataType::LargeBinary) => {
            let packed = convert(array, &DataType::Binary)?;
            Ok(cut(packed.as_binary::<i32>()))
        }
        (DataType::LargeBinary, DataType::Binary) => {
            Err(Error::internal("a numeric without its scale"))
        }
        _ => {
            let mut builder = ColumnBuilder::numeric(to, array.len());
            for row in 0..array.len() {
                builder.append(&columns::get(array.as_ref(), row, PgType::NUMERIC)?)?;
            }
            Ok(builder.finish())
        }
    }
}

/// The keys of packed values.
fn cut(array: &BinaryArray) -> ArrayRef {
    let mut builder = LargeBinaryBuilder::with_capacity(array.len(), array.value_data().len());
    for value in array {
        match value {
            Some(value) => builder.append_value(packed::key(value)),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn too_wide() -> Error {
    Error::internal("a decimal of too many digits")
}

fn power_128(from: i8, to: i8) -> Result<i128> {
    10_i128
        .checked_pow(u32::from(to.abs_diff(from)))
        .ok_or_else(too_wide)
}

pub(super) fn power_256(from: i8, to: i8) -> Result<i256> {
    let ten = i256::from_i128(10);
    ten.checked_pow(u32::from(to.abs_diff(from)))
        .ok_or_else(too_wide)
}

/// A value of a Decimal128 in a Decimal256.
pub(super) fn widen(value: i128) -> i256 {
    match value {
        Decimal128Type::NAN => Decimal256Type::NAN,
        Decimal128Type::INFINITY => Decimal256Type::INFINITY,
        Decimal128Type::NEGATIVE_INFINITY => Decimal256Type::NEGATIVE_INFINITY,
        value => i256::from_i128(value),
    }
}

/// Multiplication that leaves NaN and the infinities as they are.
trait Number {
    fn wrapping_mul_number(self, power: Self) -> Self;
}

impl Number for i256 {
    fn wrapping_mul_number(self, power: i256) -> i256 {
        if Decimal256Type::is_special(self) {
            self
        } else {
            self.wrapping_mul(power)
        }
    }
}

/// Whether any value of a decimal column is NaN or infinite.
pub(super) fn has_special(array: &dyn Array) -> bool {
    fn any<T: Decimal + DecimalType>(array: &dyn Array) -> bool {
        let values = array.as_primitive::<T>().values();
        values.iter().any(|value| T::is_special(*value))
    }
    match array.data_type() {
        DataType::Decimal128(..) => any::<Decimal128Type>(array),
        DataType::Decimal256(..) => any::<Decimal256Type>(array),
        _ => false,
    }
}

/// The number that a key stands for.
pub(in crate::query) fn of_key(key: &[u8]) -> Option<Datum<'static>> {
    let mut rest = key;
    packed::decode_key(&mut rest).ok().map(Datum::Numeric)
}
