//! The value of a sub-query that may give one row only (21000 for more).

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, SqlState};

/// The aggregate that refuses a second row.
pub(in crate::query) fn single_value() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(SingleValue {
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// The same value, of which nothing says that it is not NULL.
pub(in crate::query) fn nullable(args: Vec<Expr>) -> Expr {
    let function = ScalarUDF::new_from_impl(Nullable {
        signature: Signature::any(1, Volatility::Volatile),
    });
    function.call(args)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nullable {
    signature: Signature,
}

impl ScalarUDFImpl for Nullable {
    fn name(&self) -> &str {
        "nullable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => Err(Error::internal("no argument").into()),
        }
    }
}

/// A value that cannot be computed: 0A000 once a row asks for it.
pub(in crate::query) fn refused(args: Vec<Expr>, data: DataType) -> Expr {
    let function = ScalarUDF::new_from_impl(Refused {
        signature: Signature::any(args.len(), Volatility::Volatile),
        data,
    });
    function.call(args)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Refused {
    signature: Signature,
    data: DataType,
}

impl ScalarUDFImpl for Refused {
    fn name(&self) -> &str {
        "correlated_subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.data.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(
                &self.data,
            )));
        }
        Err(Error::unsupported(
            "a subquery with a set-returning function of the outer row",
            "Join the function with CROSS JOIN LATERAL instead.",
        )
        .into())
    }
}

/// 21000.
pub(in crate::query) fn more_than_one_row() -> Error {
    Error::new(
        SqlState::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new(
                "value",
                args.return_field.data_type().clone(),
                true,
            )),
            Arc::new(Field::new("found", DataType::Boolean, false)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(Value {
            value: ScalarValue::try_from(args.return_field.data_type())?,
            found: false,
        }))
    }
}

#[derive(Debug)]
struct Value {
    value: ScalarValue,
    found: bool,
}

impl Value {
    fn take(&mut self, array: &ArrayRef, at: usize) -> DfResult<()> {
        if self.found {
            return Err(more_than_one_row().into());
        }
        self.value = ScalarValue::try_from_array(array, at)?;
        self.found = true;
        Ok(())
    }
}

impl Accumulator for Value {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for array in values {
            for at in 0..array.len() {
                self.take(array, at)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![
            self.value.clone(),
            ScalarValue::Boolean(Some(self.found)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let [values, found] = states else {
            return Err(Error::internal("a broken aggregate state").into());
        };
        for at in 0..values.len() {
            if ScalarValue::try_from_array(found, at)? == ScalarValue::Boolean(Some(true)) {
                self.take(values, at)?;
            }
        }
        Ok(())
    }
}
