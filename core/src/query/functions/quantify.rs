//! `x op ANY (array)`, `x op ALL (array)`.

use std::sync::Arc;

use arrow::array::BooleanBuilder;
use arrow::datatypes::DataType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::decimal::{is_numeric, keyed};
use crate::error::{Error, Result};
use crate::types::names::array_of;
use crate::types::{Datum, PgType, columns, ops};

/// The function that compares a value with every item of an array.
pub(in crate::query) fn quantified(
    op: Operator,
    all: bool,
    value: PgType,
    element: PgType,
) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Quantified {
        op,
        all,
        value,
        element,
        signature: Signature::any(2, Volatility::Immutable),
    }))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Quantified {
    op: Operator,
    all: bool,
    value: PgType,
    element: PgType,
    signature: Signature,
}

impl Quantified {
    fn holds(&self, left: &Datum<'_>, right: &Datum<'_>) -> Option<bool> {
        if left.is_null() || right.is_null() {
            return None;
        }
        let order = ops::compare(left, right);
        Some(match self.op {
            Operator::Eq => order.is_eq(),
            Operator::NotEq => order.is_ne(),
            Operator::Lt => order.is_lt(),
            Operator::LtEq => order.is_le(),
            Operator::Gt => order.is_gt(),
            _ => order.is_ge(),
        })
    }

    fn row(&self, value: &Datum<'_>, array: &Datum<'_>) -> Result<Option<bool>> {
        let Datum::Array(array) = array else {
            return Ok(None);
        };
        let mut unknown = false;
        for item in &array.items {
            match self.holds(value, item) {
                None => unknown = true,
                Some(holds) if holds != self.all => return Ok(Some(holds)),
                Some(_) => {}
            }
        }
        Ok(if unknown { None } else { Some(self.all) })
    }
}

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &str {
        if self.all { "all" } else { "any" }
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let shown: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(format!("{} {}({})", self.op, self.name(), shown.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let array_type = array_of(self.element.oid).map_or(PgType::TEXT_ARRAY, PgType::new);
        let [value, array] = args.args.as_slice() else {
            return Err(Error::internal("a quantified comparison takes two values").into());
        };
        let constant = matches!(
            (value, array),
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
        );
        let rows = if constant { 1 } else { args.number_rows };
        let one = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => Ok((array.clone(), true)),
            ColumnarValue::Scalar(value) => value.to_array().map(|array| (array, false)),
        };
        let (values, wide) = one(value)?;
        let (arrays, wide_arrays) = one(array)?;
        let fixed = if wide_arrays {
            None
        } else {
            Some(columns::get(arrays.as_ref(), 0, array_type)?)
        };
        let mut builder = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let value = columns::get(values.as_ref(), if wide { row } else { 0 }, self.value)?;
            let result = match &fixed {
                Some(array) => self.row(&value, array)?,
                None => self.row(&value, &columns::get(arrays.as_ref(), row, array_type)?)?,
            };
            builder.append_option(result);
        }
        let result = builder.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(Arc::new(result)))
    }

    /// `x = ANY (constant array)` is `x IN (…)`, which scans know how to use.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> DfResult<ExprSimplifyResult> {
        let (Operator::Eq, false, [value, Expr::Literal(ScalarValue::List(list), _)]) =
            (self.op, self.all, args.as_slice())
        else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let array = list.as_ref();
        if arrow::array::Array::is_null(array, 0) {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let items = array.value(0);
        let layout = items.data_type().clone();
        let mut list = Vec::with_capacity(items.len());
        for at in 0..items.len() {
            let item = Expr::Literal(ScalarValue::try_from_array(&items, at)?, None);
            list.push(if is_numeric(&layout) {
                keyed(item, &layout)
            } else {
                item
            });
        }
        // Numbers are compared without their display scale.
        let value = if is_numeric(&layout) {
            keyed(value.clone(), &DataType::Binary)
        } else {
            value.clone()
        };
        Ok(ExprSimplifyResult::Simplified(Expr::InList(InList::new(
            Box::new(value),
            list,
            false,
        ))))
    }
}
