//! `+ - * / %`: on columns where Arrow computes as PostgreSQL does, else value by value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Datum as ArrowDatum, PrimitiveArray, Scalar,
};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};
use arrow::error::ArrowError;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::bind::{ZONE, arrow_type};
use super::super::errors::division_by_zero;
use super::decimal::{has_special, power_256};
use super::float_columns::{floats, floats_of, has_infinite, has_zero, refuse_zero};
use super::short_decimal;
use crate::error::{Error, Result, SqlState};
use crate::types::columns::{self, ColumnBuilder, Decimal};
use crate::types::kinds::numeric::packed;
use crate::types::names::format_type;
use crate::types::ops::{self, BinaryOp, Small};
use crate::types::{Datum, PgType, oid};

/// Digits of a 128 bit decimal.
const SHORT_DIGITS: i16 = 38;
/// Digits of a 256 bit decimal.
const LONG_DIGITS: i16 = 76;

/// An operator and the types of its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct Arithmetic {
    pub op: BinaryOp,
    pub left: (PgType, DataType),
    pub right: (PgType, DataType),
    pub result: PgType,
}

/// The function for an operator, and what it yields.
pub(in crate::query) fn arithmetic(call: &Arithmetic) -> (Arc<ScalarUDF>, DataType) {
    let function = ArithmeticFunction::new(call.clone());
    let data = function.data.clone();
    (Arc::new(ScalarUDF::new_from_impl(function)), data)
}

/// See [`arithmetic`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ArithmeticFunction {
    call: Arithmetic,
    signature: Signature,
    data: DataType,
    /// Whether Arrow's kernels do it.
    columnar: bool,
}

impl ArithmeticFunction {
    fn new(call: Arithmetic) -> Self {
        let (data, columnar) = result(&call);
        let zoned = call.left.0.oid == oid::TIMESTAMPTZ || call.right.0.oid == oid::TIMESTAMPTZ;
        let volatility = if zoned {
            Volatility::Stable
        } else {
            Volatility::Immutable
        };
        ArithmeticFunction {
            call,
            signature: Signature::any(2, volatility),
            data,
            columnar,
        }
    }

    fn symbol(&self) -> &'static str {
        match self.call.op {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            _ => "%",
        }
    }

    fn kernel(&self, left: &dyn ArrowDatum, right: &dyn ArrowDatum) -> Result<ArrayRef> {
        if matches!(self.call.op, BinaryOp::Div)
            && matches!(self.data, DataType::Float32 | DataType::Float64)
        {
            refuse_zero(right)?;
        }
        let result = match self.call.op {
            BinaryOp::Add => numeric::add(left, right),
            BinaryOp::Sub => numeric::sub(left, right),
            BinaryOp::Mul => numeric::mul(left, right),
            BinaryOp::Div => numeric::div(left, right),
            _ => numeric::rem(left, right),
        };
        let result = result.map_err(|error| match error {
            ArrowError::DivideByZero => division_by_zero(),
            ArrowError::ArithmeticOverflow(_) => self.out_of_range(),
            other => other.into(),
        })?;
        if matches!(self.data, DataType::Float32 | DataType::Float64) {
            self.check_floats(&result, left, right)?;
        }
        if *result.data_type() == self.data {
            return Ok(result);
        }
        if let DataType::Decimal128(..) = self.data {
            // The same digits under a tighter precision.
            let values = result.as_primitive::<Decimal128Type>().clone();
            return Ok(Arc::new(values.with_data_type(self.data.clone())));
        }
        Ok(arrow::compute::cast(&result, &self.data)?)
    }

    fn out_of_range(&self) -> Error {
        let message = match self.call.result.oid {
            oid::NUMERIC => "value overflows numeric format".to_owned(),
            _ => format!("{} out of range", format_type(self.call.result)),
        };
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
    }

    /// An infinite result of finite operands is an overflow, a zero one of others than zeros an
    /// underflow.
    fn check_floats(
        &self,
        result: &ArrayRef,
        left: &dyn ArrowDatum,
        right: &dyn ArrowDatum,
    ) -> Result<()> {
        let range = |what: &str| {
            Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("value out of range: {what}"),
            )
        };
        let vanishes = matches!(self.call.op, BinaryOp::Mul | BinaryOp::Div);
        let suspicious = has_infinite(result) || vanishes && has_zero(result.as_ref());
        if !suspicious {
            return Ok(());
        }
        let rows = result.len();
        let (left, right) = (floats(left), floats(right));
        let result = floats_of(result.as_ref());
        for row in 0..rows {
            let (Some(l), Some(r), Some(value)) =
                (left.value(row), right.value(row), result.value(row))
            else {
                continue;
            };
            if value.is_infinite() && l.is_finite() && r.is_finite() {
                return Err(range("overflow"));
            }
            let from = match self.call.op {
                BinaryOp::Mul => l != 0.0 && r != 0.0,
                BinaryOp::Div => l != 0.0 && r.is_finite(),
                _ => false,
            };
            if value == 0.0 && from {
                return Err(range("underflow"));
            }
        }
        Ok(())
    }

    /// Packed numbers, in 128 bits where those hold them.
    fn packed(&self, left: &ArrayRef, right: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let mut builder = BinaryBuilder::with_capacity(rows, rows * 16);
        let mut bytes = Vec::new();
        let at = |array: &ArrayRef, row: usize| if array.len() == 1 { 0 } else { row };
        for row in 0..rows {
            let (l, r) = (at(left, row), at(right, row));
            if left.is_null(l) || right.is_null(r) {
                builder.append_null();
                continue;
            }
            bytes.clear();
            let small = small_at(left, l).zip(small_at(right, r));
            let small = small.and_then(|(l, r)| ops::numeric_small(self.call.op, l, r));
            match small {
                Some((digits, scale)) => packed::pack_small(digits, scale, &mut bytes),
                None => {
                    let l = columns::get(left.as_ref(), l, self.call.left.0)?;
                    let r = columns::get(right.as_ref(), r, self.call.right.0)?;
                    if l.is_null() || r.is_null() {
                        builder.append_null();
                        continue;
                    }
                    let Datum::Numeric(value) = ops::apply(self.call.op, &l, &r)? else {
                        return Err(Error::internal("arithmetic on numbers yields no number"));
                    };
                    packed::pack(&value, &mut bytes);
                }
            }
            builder.append_value(&bytes);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn by_value(&self, left: &ArrayRef, right: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        if self.call.result.oid == oid::NUMERIC && self.data == DataType::Binary {
            return self.packed(left, right, rows);
        }
        let mut builder = match self.call.result.oid {
            oid::NUMERIC => ColumnBuilder::numeric(&self.data, rows),
            _ => ColumnBuilder::new(self.call.result, ZONE, rows),
        };
        let at = |array: &ArrayRef, row: usize| if array.len() == 1 { 0 } else { row };
        for row in 0..rows {
            let l = columns::get(left.as_ref(), at(left, row), self.call.left.0)?;
            let r = columns::get(right.as_ref(), at(right, row), self.call.right.0)?;
            if l.is_null() || r.is_null() {
                builder.append_null();
                continue;
            }
            builder.append(&ops::apply(self.call.op, &l, &r)?)?;
        }
        Ok(builder.finish())
    }

    /// Decimals of more than 128 bits: the result has room for every digit.
    fn wide(&self, left: &ArrayRef, right: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let nulls = short_decimal::nulls_of(left.as_ref(), right.as_ref(), rows);
        let (DataType::Decimal256(_, scale), Some(left), Some(right)) =
            (&self.data, Wide::of(left), Wide::of(right))
        else {
            return Err(Error::internal("a wide number of another type"));
        };
        let multiply = matches!(self.call.op, BinaryOp::Mul);
        let subtract = matches!(self.call.op, BinaryOp::Sub);
        let (l_power, r_power) = (
            power_256(left.scale, *scale)?,
            power_256(right.scale, *scale)?,
        );
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let (l, r) = (left.value(row), right.value(row));
            values.push(if multiply {
                l.wrapping_mul(r)
            } else {
                let (l, r) = (l.wrapping_mul(l_power), r.wrapping_mul(r_power));
                if subtract {
                    l.wrapping_sub(r)
                } else {
                    l.wrapping_add(r)
                }
            });
        }
        let array = PrimitiveArray::<Decimal256Type>::new(values.into(), nulls);
        Ok(Arc::new(array.with_data_type(self.data.clone())))
    }
}

/// A number of a column, if 128 bits hold it.
fn small_at(array: &ArrayRef, row: usize) -> Option<Small> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            (!Decimal128Type::is_special(value)).then_some((value, i64::from(*scale)))
        }
        DataType::Binary => packed::unpack_small(array.as_binary::<i32>().value(row)),
        _ => None,
    }
}

/// A decimal column of either width, or one value for all rows.
struct Wide<'a> {
    short: Option<&'a [i128]>,
    long: Option<&'a [i256]>,
    len: usize,
    scale: i8,
}

impl<'a> Wide<'a> {
    fn of(array: &'a ArrayRef) -> Option<Wide<'a>> {
        let (short, long, scale): (_, Option<&[i256]>, _) = match array.data_type() {
            DataType::Decimal128(_, scale) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                (Some(values.as_ref()), None, *scale)
            }
            DataType::Decimal256(_, scale) => {
                let values = array.as_primitive::<Decimal256Type>().values();
                (None, Some(values.as_ref()), *scale)
            }
            _ => return None,
        };
        Some(Wide {
            short,
            long,
            len: array.len(),
            scale,
        })
    }

    fn value(&self, row: usize) -> i256 {
        let at = if self.len == 1 { 0 } else { row };
        match (self.short, self.long) {
            (Some(values), _) => values.get(at).map_or(i256::ZERO, |v| i256::from_i128(*v)),
            (_, Some(values)) => values.get(at).copied().unwrap_or(i256::ZERO),
            _ => i256::ZERO,
        }
    }
}

/// What an operator yields, and whether it is computed column by column.
fn result(call: &Arithmetic) -> (DataType, bool) {
    let number = |ty: PgType| {
        matches!(
            ty.oid,
            oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8
        )
    };
    match call.result.oid {
        _ if number(call.left.0) && number(call.right.0) && number(call.result) => {
            (arrow_type(call.result), true)
        }
        oid::NUMERIC => {
            let packed = (DataType::Binary, false);
            let (Some((p1, s1)), Some((p2, s2))) = (decimal(&call.left.1), decimal(&call.right.1))
            else {
                return packed;
            };
            let (precision, scale) = match call.op {
                BinaryOp::Add | BinaryOp::Sub => {
                    let scale = s1.max(s2);
                    ((p1 - s1).max(p2 - s2) + scale + 1, scale)
                }
                BinaryOp::Mul => (p1 + p2, s1 + s2),
                _ => return packed,
            };
            let short = |data: &DataType| matches!(data, DataType::Decimal128(..));
            if precision <= SHORT_DIGITS && short(&call.left.1) && short(&call.right.1) {
                return (
                    DataType::Decimal128(precision.max(1) as u8, scale as i8),
                    true,
                );
            }
            if precision <= LONG_DIGITS {
                return (DataType::Decimal256(precision as u8, scale as i8), true);
            }
            packed
        }
        _ => (arrow_type(call.result), false),
    }
}

/// Precision and scale.
fn decimal(data: &DataType) -> Option<(i16, i16)> {
    match data {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision), i16::from(*scale)))
        }
        _ => None,
    }
}

impl ScalarUDFImpl for ArithmeticFunction {
    fn name(&self) -> &str {
        self.symbol()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.data.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(Error::internal("an operator without two operands").into());
        };
        let constant = matches!(
            (left, right),
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
        );
        let (l, r) = (one_or_all(left)?, one_or_all(right)?);
        let rows = if constant { 1 } else { args.number_rows };
        let short = match self.call.result.oid {
            oid::NUMERIC if self.columnar => {
                short_decimal::compute(self.call.op, &l, &r, rows, &self.data)
            }
            _ => None,
        };
        let columnar = short.is_none() && self.columnar && !has_special(&l) && !has_special(&r);
        let result = if let Some(short) = short {
            short
        } else if columnar && matches!(self.data, DataType::Decimal256(..)) {
            self.wide(&l, &r, rows)?
        } else if columnar {
            let is_scalar = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
            match (is_scalar(left), is_scalar(right)) {
                (true, true) | (false, false) => self.kernel(&l, &r)?,
                (true, false) => self.kernel(&Scalar::new(l), &r)?,
                (false, true) => self.kernel(&l, &Scalar::new(r))?,
            }
        } else {
            self.by_value(&l, &r, rows)?
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn one_or_all(value: &ColumnarValue) -> DfResult<ArrayRef> {
    match value {
        ColumnarValue::Array(array) => Ok(array.clone()),
        ColumnarValue::Scalar(value) => value.to_array(),
    }
}
