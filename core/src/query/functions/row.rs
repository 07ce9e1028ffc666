//! Functions of single values, run over columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::async_udf::AsyncScalarUDF;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::bind::{ZONE, arrow_type};
use super::super::context::RunContext;
use super::limits::{Budget, ValueLimit};
use super::waiting::WaitFn;
use super::whole::{self, WholeFn};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::query::SessionInfo;
use crate::types::columns::{self, ColumnBuilder};
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType};

/// What a function may look at besides its arguments.
pub(in crate::query) struct Call<'a> {
    pub info: &'a Arc<SessionInfo>,
    pub catalog: &'a Arc<Catalog>,
    /// Types of the arguments.
    pub types: &'a [PgType],
    pub result: PgType,
    pub limit: ValueLimit,
}

impl Call<'_> {
    pub fn style(&self) -> &TextStyle {
        &self.info.style
    }
}

/// A function of one row's arguments.
pub(in crate::query) type RowFn = fn(&Call<'_>, &[Datum<'_>]) -> Result<Datum<'static>>;

/// A function over columns that calls a [`RowFn`] for each row.
#[derive(Clone)]
pub(in crate::query) struct RowFunction {
    pub name: String,
    pub signature: Signature,
    pub types: Vec<PgType>,
    pub result: PgType,
    /// The type of the column that is built: `result` with precision and scale.
    pub built: PgType,
    /// NULL for any NULL argument.
    pub strict: bool,
    pub run: RowFn,
    /// What each row waits for; then DataFusion awaits the function between two steps of the plan.
    pub wait: Option<WaitFn>,
    /// The same over whole columns.
    pub whole: Option<WholeFn>,
}

impl RowFunction {
    pub fn new(
        name: &str,
        types: Vec<PgType>,
        result: PgType,
        volatility: Volatility,
        strict: bool,
        run: RowFn,
    ) -> Self {
        let signature = match types.len() {
            0 => Signature::nullary(volatility),
            count => Signature::any(count, volatility),
        };
        RowFunction {
            whole: whole::find(name, &types),
            name: name.to_owned(),
            signature,
            types,
            result,
            built: result,
            strict,
            run,
            wait: None,
        }
    }

    pub fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(match self.wait {
            Some(_) => AsyncScalarUDF::new(Arc::new(self)).into_scalar_udf(),
            None => ScalarUDF::new_from_impl(self),
        })
    }

    fn data_type(&self) -> DataType {
        arrow_type(self.built)
    }

    pub(super) fn call<'a>(&'a self, context: &'a RunContext) -> Call<'a> {
        Call {
            info: &context.info,
            catalog: &context.catalog,
            types: &self.types,
            result: self.result,
            limit: context.limit,
        }
    }

    fn column(
        &self,
        context: &RunContext,
        args: &[ArrayRef],
        wide: &[bool],
        rows: usize,
    ) -> Result<ArrayRef> {
        let call = self.call(context);
        let mut builder = ColumnBuilder::new(self.built, ZONE, rows);
        let mut values: Vec<Datum<'_>> = Vec::with_capacity(args.len());
        let mut budget = Budget::new(&context.info.interrupt, context.limit);
        // Constant arguments are read once.
        let mut fixed: Vec<Option<Datum<'_>>> = Vec::with_capacity(args.len());
        for ((array, ty), wide) in args.iter().zip(&self.types).zip(wide) {
            fixed.push(if *wide {
                None
            } else {
                Some(columns::get(array.as_ref(), 0, *ty)?)
            });
        }
        let fixed_weight = fixed
            .iter()
            .flatten()
            .map(Datum::weight)
            .fold(0, usize::saturating_add);
        'rows: for row in 0..rows {
            values.clear();
            let mut bytes = fixed_weight;
            for ((array, ty), fixed) in args.iter().zip(&self.types).zip(&fixed) {
                let value = match fixed {
                    Some(value) => value.clone(),
                    None => {
                        let value = columns::get(array.as_ref(), row, *ty)?;
                        bytes = bytes.saturating_add(value.weight());
                        value
                    }
                };
                if self.strict && value.is_null() {
                    builder.append(&Datum::Null)?;
                    continue 'rows;
                }
                values.push(value);
            }
            budget.call(bytes)?;
            let result = (self.run)(&call, &values)?;
            budget.result(&result)?;
            builder.append(&result)?;
        }
        Ok(builder.finish())
    }
}

impl std::fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.types == other.types
            && self.result == other.result
            && self.built == other.built
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.types.hash(state);
        self.result.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let context = RunContext::of(&args.config_options)?;
        let constant = self.signature.volatility != Volatility::Volatile
            && args
                .args
                .iter()
                .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        if let Some(whole) = self.whole.filter(|_| !constant && self.strict) {
            let call = self.call(context);
            if let Some(array) = whole(&call, &args.args, &self.data_type())? {
                return Ok(ColumnarValue::Array(array));
            }
        }
        let rows = if constant { 1 } else { args.number_rows };
        let mut arrays = Vec::with_capacity(args.args.len());
        let mut wide = Vec::with_capacity(args.args.len());
        for arg in &args.args {
            match arg {
                ColumnarValue::Array(array) => {
                    arrays.push(array.clone());
                    wide.push(true);
                }
                ColumnarValue::Scalar(value) => {
                    arrays.push(value.to_array()?);
                    wide.push(false);
                }
            }
        }
        let array = self.column(context, &arrays, &wide, rows)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
