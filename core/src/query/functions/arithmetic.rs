//! `+ - * / %`: on columns where Arrow computes as PostgreSQL does, else value by value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum as ArrowDatum, Scalar};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::bind::{ZONE, arrow_type};
use super::super::errors::division_by_zero;
use crate::error::{Error, Result, SqlState};
use crate::types::columns::{self, ColumnBuilder};
use crate::types::names::format_type;
use crate::types::ops::{self, BinaryOp};
use crate::types::{PgType, oid, text};

/// Digits of a 128 bit decimal.
const SHORT_DIGITS: u8 = 38;
/// Scales up to this many digits stay in 128 bits, with the whole digits cut to what is left.
const SHORT_SCALE: i8 = 18;

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
    as_text: bool,
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
            as_text: false,
        }
    }

    /// The same operator with its numeric result as text, all digits shown.
    pub fn with_text(&self) -> Option<ScalarUDF> {
        if self.call.result.oid != oid::NUMERIC || self.columnar {
            return None;
        }
        Some(ScalarUDF::new_from_impl(ArithmeticFunction {
            data: DataType::Utf8View,
            as_text: true,
            ..self.clone()
        }))
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
        if *result.data_type() != self.data {
            return Ok(arrow::compute::cast(&result, &self.data)?);
        }
        Ok(result)
    }

    fn out_of_range(&self) -> Error {
        let message = match self.call.result.oid {
            oid::NUMERIC => "value overflows numeric format".to_owned(),
            _ => format!("{} out of range", format_type(self.call.result)),
        };
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
    }

    /// An infinite result of finite operands is an overflow.
    fn check_floats(
        &self,
        result: &ArrayRef,
        left: &dyn ArrowDatum,
        right: &dyn ArrowDatum,
    ) -> Result<()> {
        if !has_infinite(result) || has_infinite_datum(left) || has_infinite_datum(right) {
            return Ok(());
        }
        Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ))
    }

    fn by_value(&self, left: &ArrayRef, right: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let built = if self.as_text {
            PgType::TEXT
        } else {
            built_type(self.call.result, &self.data)
        };
        let mut builder = ColumnBuilder::new(built, ZONE, rows);
        let style = text::TextStyle::default();
        let at = |array: &ArrayRef, row: usize| if array.len() == 1 { 0 } else { row };
        for row in 0..rows {
            let l = columns::get(left.as_ref(), at(left, row), self.call.left.0)?;
            let r = columns::get(right.as_ref(), at(right, row), self.call.right.0)?;
            if l.is_null() || r.is_null() {
                builder.append_null();
                continue;
            }
            let value = ops::apply(self.call.op, &l, &r)?;
            if self.as_text {
                builder.append(&crate::types::Datum::text(text::to_string(
                    &value,
                    self.call.result,
                    &style,
                )))?;
            } else {
                builder.append(&fit_scale(value, &self.data))?;
            }
        }
        Ok(builder.finish())
    }
}

/// A numeric rounded to what its column keeps.
pub(super) fn fit_scale(
    value: crate::types::Datum<'static>,
    data: &DataType,
) -> crate::types::Datum<'static> {
    match (value, data) {
        (
            crate::types::Datum::Numeric(value),
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale),
        ) => {
            let scale = i64::from(*scale);
            if value.fractional_digit_count() > scale {
                crate::types::Datum::Numeric(crate::types::kinds::numeric::round(&value, scale))
            } else {
                crate::types::Datum::Numeric(value)
            }
        }
        (value, _) => value,
    }
}

/// The type to build a column of an Arrow type with.
pub(super) fn built_type(ty: PgType, data: &DataType) -> PgType {
    match data {
        DataType::Decimal128(precision, scale) => PgType::numeric(*precision, scale.unsigned_abs()),
        DataType::Decimal256(..) => PgType::NUMERIC,
        _ => ty,
    }
}

/// What an operator yields, and whether Arrow computes it.
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
            let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) =
                (&call.left.1, &call.right.1)
            else {
                return (arrow_type(PgType::NUMERIC), false);
            };
            let whole = |p: &u8, s: &i8| i16::from(*p) - i16::from(*s);
            let (precision, scale) = match call.op {
                BinaryOp::Add | BinaryOp::Sub => {
                    let scale = (*s1).max(*s2);
                    (
                        whole(p1, s1).max(whole(p2, s2)) + i16::from(scale) + 1,
                        scale,
                    )
                }
                BinaryOp::Mul => (i16::from(*p1) + i16::from(*p2) + 1, s1.saturating_add(*s2)),
                _ => return (arrow_type(PgType::NUMERIC), false),
            };
            if precision <= i16::from(SHORT_DIGITS) {
                return (DataType::Decimal128(precision.max(1) as u8, scale), true);
            }
            if scale <= SHORT_SCALE {
                return (DataType::Decimal128(SHORT_DIGITS, scale), true);
            }
            (arrow_type(PgType::NUMERIC), false)
        }
        _ => (arrow_type(call.result), false),
    }
}

fn refuse_zero(right: &dyn ArrowDatum) -> Result<()> {
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

fn has_infinite_datum(datum: &dyn ArrowDatum) -> bool {
    infinite(datum.get().0)
}

fn has_infinite(array: &ArrayRef) -> bool {
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
        let result = if self.columnar {
            let is_scalar = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
            match (is_scalar(left), is_scalar(right)) {
                (true, true) | (false, false) => self.kernel(&l, &r)?,
                (true, false) => self.kernel(&Scalar::new(l), &r)?,
                (false, true) => self.kernel(&l, &Scalar::new(r))?,
            }
        } else {
            self.by_value(&l, &r, if constant { 1 } else { args.number_rows })?
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
