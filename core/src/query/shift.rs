//! `lag` and `lead` whose offset or default is no constant: DataFusion takes literals only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

use crate::error::Error;

/// The function of a value, the number of rows between (bigint) and the default, which may be missing.
pub(super) fn shifted(name: &str) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(Shift {
        forward: name == "lead",
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    forward: bool,
    signature: Signature,
}

impl WindowUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.forward { "lead" } else { "lag" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> DfResult<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            forward: self.forward,
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> DfResult<FieldRef> {
        match args.input_fields().first() {
            Some(value) => Ok(Arc::new(
                value
                    .as_ref()
                    .clone()
                    .with_name(args.name())
                    .with_nullable(true),
            )),
            None => Err(Error::internal("a window function of nothing").into()),
        }
    }
}

#[derive(Debug)]
struct Evaluator {
    forward: bool,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> DfResult<ArrayRef> {
        let [value, offsets, more @ ..] = values else {
            return Err(Error::internal("a window function of nothing").into());
        };
        let offsets = match offsets.data_type() {
            DataType::Int64 => offsets.as_primitive::<Int64Type>(),
            _ => return Err(Error::internal("an offset that is no bigint").into()),
        };
        let none = new_null_array(value.data_type(), 1);
        let default = more.first();
        let sources = [value.as_ref(), default.unwrap_or(&none).as_ref(), &none];
        let places: Vec<(usize, usize)> = (0..rows)
            .map(|row| {
                if offsets.is_null(row) {
                    return (2, 0);
                }
                let offset = offsets.value(row);
                let target = i64::try_from(row).ok().and_then(|row| match self.forward {
                    true => row.checked_add(offset),
                    false => row.checked_sub(offset),
                });
                match target.and_then(|target| usize::try_from(target).ok()) {
                    Some(target) if target < rows => (0, target),
                    _ if default.is_some() => (1, row),
                    _ => (2, 0),
                }
            })
            .collect();
        Ok(interleave(&sources, &places)?)
    }
}
