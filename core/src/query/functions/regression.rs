//! `corr`, `covar_*` and `regr_*`, added up as PostgreSQL does (`float8_regr_accum`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result, SqlState};

/// What is made of the sums; `None` is NULL.
type Finish = fn(&Sums) -> Option<f64>;

/// The aggregate of that name over `(y, x)`.
pub(in crate::query) fn regression(name: &str) -> Option<Arc<AggregateUDF>> {
    let (name, finish): (&'static str, Finish) = match name {
        "corr" => ("corr", |s| {
            (s.sxx != 0.0 && s.syy != 0.0).then(|| s.sxy / (s.sxx * s.syy).sqrt())
        }),
        "covar_pop" => ("covar_pop", |s| Some(s.sxy / s.n)),
        "covar_samp" => ("covar_samp", |s| (s.n >= 2.0).then(|| s.sxy / (s.n - 1.0))),
        "regr_avgx" => ("regr_avgx", |s| Some(s.sx / s.n)),
        "regr_avgy" => ("regr_avgy", |s| Some(s.sy / s.n)),
        "regr_sxx" => ("regr_sxx", |s| Some(s.sxx)),
        "regr_syy" => ("regr_syy", |s| Some(s.syy)),
        "regr_sxy" => ("regr_sxy", |s| Some(s.sxy)),
        "regr_slope" => ("regr_slope", |s| (s.sxx != 0.0).then(|| s.sxy / s.sxx)),
        "regr_intercept" => ("regr_intercept", |s| {
            (s.sxx != 0.0).then(|| (s.sy - s.sx * s.sxy / s.sxx) / s.n)
        }),
        "regr_r2" => ("regr_r2", |s| match (s.sxx, s.syy) {
            (0.0, _) => None,
            (_, 0.0) => Some(1.0),
            (sxx, syy) => Some(s.sxy * s.sxy / (sxx * syy)),
        }),
        _ => return None,
    };
    Some(Arc::new(AggregateUDF::new_from_impl(Regression {
        name,
        finish: FinishFn(finish),
        signature: Signature::any(2, Volatility::Immutable),
    })))
}

#[derive(Clone, Copy)]
struct FinishFn(Finish);

impl std::fmt::Debug for FinishFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("finish")
    }
}

#[derive(Debug)]
struct Regression {
    name: &'static str,
    finish: FinishFn,
    signature: Signature,
}

impl PartialEq for Regression {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Regression {}

impl std::hash::Hash for Regression {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Regression {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(["n", "sx", "sxx", "sy", "syy", "sxy"]
            .into_iter()
            .map(|name| Arc::new(Field::new(name, DataType::Float64, true)))
            .collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(Error::unsupported(
                "a regression over DISTINCT values",
                "Select the distinct values in a subquery.",
            )
            .into());
        }
        Ok(Box::new(Sums {
            finish: self.finish,
            n: 0.0,
            sx: 0.0,
            sxx: 0.0,
            sy: 0.0,
            syy: 0.0,
            sxy: 0.0,
        }))
    }
}

#[derive(Debug)]
struct Sums {
    finish: FinishFn,
    n: f64,
    sx: f64,
    sxx: f64,
    sy: f64,
    syy: f64,
    sxy: f64,
}

impl Sums {
    fn add(&mut self, y: f64, x: f64) -> Result<()> {
        self.n += 1.0;
        self.sx += x;
        self.sy += y;
        if self.n > 1.0 {
            let (dx, dy) = (x * self.n - self.sx, y * self.n - self.sy);
            let scale = 1.0 / (self.n * (self.n - 1.0));
            self.sxx += dx * dx * scale;
            self.syy += dy * dy * scale;
            self.sxy += dx * dy * scale;
            let infinite = [self.sx, self.sxx, self.sy, self.syy, self.sxy]
                .iter()
                .any(|sum| sum.is_infinite());
            if infinite {
                if x.is_finite() && y.is_finite() {
                    return Err(Error::new(
                        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                        "value out of range: overflow",
                    ));
                }
                self.spoil(x, y);
            }
        } else {
            self.spoil(x, y);
        }
        Ok(())
    }

    /// Nothing can be said of the distances from an infinite mean.
    fn spoil(&mut self, x: f64, y: f64) {
        if !x.is_finite() {
            (self.sxx, self.sxy) = (f64::NAN, f64::NAN);
        }
        if !y.is_finite() {
            (self.syy, self.sxy) = (f64::NAN, f64::NAN);
        }
    }

    fn merge(&mut self, [n, sx, sxx, sy, syy, sxy]: [f64; 6]) {
        if n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            (self.n, self.sx, self.sxx) = (n, sx, sxx);
            (self.sy, self.syy, self.sxy) = (sy, syy, sxy);
            return;
        }
        let all = self.n + n;
        let dx = self.sx / self.n - sx / n;
        let dy = self.sy / self.n - sy / n;
        self.sxx += sxx + self.n * n * dx * dx / all;
        self.syy += syy + self.n * n * dy * dy / all;
        self.sxy += sxy + self.n * n * dx * dy / all;
        self.sx += sx;
        self.sy += sy;
        self.n = all;
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let [ys, xs] = values else {
            return Err(Error::internal("a regression of two columns").into());
        };
        let (ys, xs) = (
            ys.as_primitive::<Float64Type>(),
            xs.as_primitive::<Float64Type>(),
        );
        for (y, x) in ys.iter().zip(xs.iter()) {
            if let (Some(y), Some(x)) = (y, x) {
                self.add(y, x)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let found = match self.n < 1.0 {
            true => None,
            false => (self.finish.0)(self),
        };
        Ok(ScalarValue::Float64(found))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok([self.n, self.sx, self.sxx, self.sy, self.syy, self.sxy]
            .into_iter()
            .map(|value| ScalarValue::Float64(Some(value)))
            .collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let rows = states.first().map_or(0, |array| array.len());
        for row in 0..rows {
            let mut sums = [0.0; 6];
            for (slot, array) in sums.iter_mut().zip(states) {
                *slot = array.as_primitive::<Float64Type>().value(row);
            }
            self.merge(sums);
        }
        Ok(())
    }
}
