//! The value of a sub-query that may give one row only (21000 for more).

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, SqlState};

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

/// Whether a function is called volatile only to keep it from being folded.
pub(in crate::query) fn only_looks_volatile(name: &str) -> bool {
    matches!(name, "nullable" | "single")
}

/// The value of a sub-query that gave `count` rows: 21000 once a row asks for one of several.
pub(in crate::query) fn single(value: Expr, count: Expr) -> Expr {
    let function = ScalarUDF::new_from_impl(Single {
        signature: Signature::any(2, Volatility::Volatile),
    });
    function.call(vec![value, count])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Single {
    signature: Signature,
}

impl ScalarUDFImpl for Single {
    fn name(&self) -> &str {
        "single"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let mut args = args.args.into_iter();
        let (Some(value), Some(count)) = (args.next(), args.next()) else {
            return Err(Error::internal("no argument").into());
        };
        let several = match &count {
            ColumnarValue::Scalar(ScalarValue::Int64(Some(count))) => *count > 1,
            ColumnarValue::Scalar(_) => false,
            ColumnarValue::Array(counts) => counts
                .as_primitive::<Int64Type>()
                .iter()
                .any(|count| count.is_some_and(|count| count > 1)),
        };
        match several {
            true => Err(more_than_one_row().into()),
            false => Ok(value),
        }
    }
}

/// 21000.
pub(in crate::query) fn more_than_one_row() -> Error {
    Error::new(
        SqlState::CARDINALITY_VIOLATION,
        "more than one row returned by a subquery used as an expression",
    )
}
