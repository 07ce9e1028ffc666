//! Long chains of calls (`a || b || c || …`, `a + b + c + …`) as one call.
//!
//! Each operator of a chain is a call whose first argument is the chain before it. Whoever walks such
//! an expression asks each call for its type and its name, which ask the calls inside theirs, so the
//! work grows with the cube of the chain's length. As one function over all the operands it grows with
//! the length.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::arithmetic::ArithmeticFunction;
use super::casts::CastFunction;
use super::decimal::Recast;
use super::row::RowFunction;
use crate::error::Error;

/// Calls that may stand one in the other's first argument before they become one.
pub(in crate::query) const LONG: usize = 32;

/// The expression with the calls in its first arguments made one, if there are more than one.
pub(in crate::query) fn flattened(expr: Expr) -> Expr {
    // From the last call to the first, each with its operands but the chain before it.
    let mut calls: Vec<(Arc<ScalarUDF>, Vec<Expr>)> = Vec::new();
    let mut first = expr;
    loop {
        let Expr::ScalarFunction(mut call) = first else {
            break;
        };
        if call.args.is_empty() || !joins(&call.func) {
            first = Expr::ScalarFunction(call);
            break;
        }
        first = call.args.remove(0);
        calls.push((call.func, call.args));
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut args = vec![first];
    for (function, operands) in calls.into_iter().rev() {
        match function.inner().downcast_ref::<Chain>() {
            // A chain that was made one before: its first operand is what came so far.
            Some(known) => steps.extend(known.steps.iter().cloned()),
            None => steps.push(Step {
                operands: operands.len(),
                function,
            }),
        }
        args.extend(operands);
    }
    if let [only] = steps.as_slice() {
        let func = only.function.clone();
        return Expr::ScalarFunction(ScalarFunction::new_udf(func, args));
    }
    if steps.is_empty() {
        return args.pop().unwrap_or_default();
    }
    let func = Arc::new(ScalarUDF::new_from_impl(Chain::new(steps, args.len())));
    Expr::ScalarFunction(ScalarFunction::new_udf(func, args))
}

/// Whether a function computes each row's value from all its arguments, and nothing else depends on
/// where it stands: the operators and casts of this module.
fn joins(function: &ScalarUDF) -> bool {
    let inner = function.inner();
    let own = inner.downcast_ref::<RowFunction>().is_some()
        || inner.downcast_ref::<ArithmeticFunction>().is_some()
        || inner.downcast_ref::<CastFunction>().is_some()
        || inner.downcast_ref::<Recast>().is_some()
        || inner.downcast_ref::<Chain>().is_some();
    own && function.signature().volatility != Volatility::Volatile
}

/// One call: over the value before it, and so many operands more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    function: Arc<ScalarUDF>,
    operands: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Chain {
    steps: Vec<Step>,
    /// All the functions: what tells two chains over the same operands apart.
    name: String,
    signature: Signature,
}

impl Chain {
    fn new(steps: Vec<Step>, operands: usize) -> Self {
        let stable = steps
            .iter()
            .any(|step| step.function.signature().volatility != Volatility::Immutable);
        let volatility = match stable {
            true => Volatility::Stable,
            false => Volatility::Immutable,
        };
        let names: Vec<&str> = steps.iter().map(|step| step.function.name()).collect();
        Chain {
            name: names.join(" "),
            signature: Signature::any(operands, volatility),
            steps,
        }
    }

    /// The type of each step's value.
    fn fields(&self, operands: &[FieldRef]) -> DfResult<Vec<FieldRef>> {
        let mut rest = operands.iter();
        let mut value = rest.next().cloned().ok_or_else(no_operand)?;
        let mut fields = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut args = vec![value];
            args.extend(rest.by_ref().take(step.operands).cloned());
            let constants = vec![None; args.len()];
            value = step.function.return_field_from_args(ReturnFieldArgs {
                arg_fields: &args,
                scalar_arguments: &constants,
            })?;
            fields.push(value.clone());
        }
        Ok(fields)
    }
}

fn no_operand() -> datafusion::error::DataFusionError {
    Error::internal("a chain of calls lacks an operand").into()
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DfResult<DataType> {
        let operands: Vec<FieldRef> = types
            .iter()
            .map(|data| Arc::new(Field::new("operand", data.clone(), true)))
            .collect();
        let last = self.fields(&operands)?.pop().ok_or_else(no_operand)?;
        Ok(last.data_type().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let fields = self.fields(&args.arg_fields)?;
        let mut operands = args.args.into_iter().zip(args.arg_fields);
        let (mut value, mut field) = operands.next().ok_or_else(no_operand)?;
        for (step, result) in self.steps.iter().zip(fields) {
            let mut values = vec![value];
            let mut types = vec![field];
            for (operand, ty) in operands.by_ref().take(step.operands) {
                values.push(operand);
                types.push(ty);
            }
            value = step.function.invoke_with_args(ScalarFunctionArgs {
                args: values,
                arg_fields: types,
                number_rows: args.number_rows,
                return_field: result.clone(),
                config_options: args.config_options.clone(),
            })?;
            field = result;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::*;
    use crate::query::functions::native;

    fn chain(first: Expr, operands: usize) -> Expr {
        (0..operands).fold(first, |chain, at| {
            let args = vec![chain, lit(at as i64)];
            Expr::ScalarFunction(ScalarFunction::new_udf(native("text_concat"), args))
        })
    }

    fn arguments(expr: &Expr) -> usize {
        match expr {
            Expr::ScalarFunction(call) => call.args.len(),
            _ => 0,
        }
    }

    #[test]
    fn a_chain_becomes_one_call_however_it_grows() {
        let whole = flattened(chain(lit("x"), 100));
        assert_eq!(arguments(&whole), 101);
        let first = flattened(chain(lit("x"), 50));
        let mut grown = chain(first, 0);
        for at in 50..100_i64 {
            let args = vec![grown, lit(at)];
            grown = Expr::ScalarFunction(ScalarFunction::new_udf(native("text_concat"), args));
        }
        assert_eq!(flattened(grown), whole);
    }

    #[test]
    fn short_ones_stay_as_they_are() {
        assert_eq!(flattened(lit(1)), lit(1));
        assert_eq!(flattened(chain(lit("x"), 1)), chain(lit("x"), 1));
    }
}
