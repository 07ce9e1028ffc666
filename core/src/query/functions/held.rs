//! A value that is too large to stand in a plan.
//!
//! Literals are copied and printed each time a plan is rewritten. A parameter, or a session's value,
//! beyond [`ValueLimit::FOLD`] is held by a call instead, which gives it when the plan runs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::context::RunContext;
use super::limits::ValueLimit;
use crate::error::Result;

/// The call that gives `value`, if it is too large for a literal. `number` tells the values of one
/// plan apart.
pub(in crate::query) fn held(value: &ScalarValue, number: usize) -> Option<Expr> {
    ValueLimit::FOLD.fits(value.size()).err()?;
    let function = ScalarUDF::new_from_impl(Held {
        value: Arc::new(value.clone()),
        name: format!("held{number}"),
        signature: Signature::nullary(Volatility::Stable),
    });
    Some(function.call(Vec::new()))
}

struct Held {
    value: Arc<ScalarValue>,
    name: String,
    signature: Signature,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Held {
    fn value(&self, args: &ScalarFunctionArgs) -> Result<ScalarValue> {
        // Constants are folded with a limit that this value does not keep.
        let context = RunContext::of(&args.config_options)?;
        context.limit.fits(self.value.size())?;
        Ok(self.value.as_ref().clone())
    }
}

impl ScalarUDFImpl for Held {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value(&args)?))
    }
}
