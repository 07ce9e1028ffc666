//! Variances and standard deviations, in one pass: of floats as PostgreSQL adds them up
//! (Youngs and Cramer), of exact numbers from exact sums.

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
use crate::types::columns::{self, ColumnBuilder};
use crate::types::kinds::numeric;
use crate::types::ops::{numeric_add, numeric_div, numeric_mul, numeric_sub, roots};
use crate::types::{Datum, Numeric, PgType};

/// Which of the four: of a sample or of all there is, the variance or its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    sample: bool,
    root: bool,
}

/// The aggregate of that name over floats or numerics.
pub(in crate::query) fn spread(name: &str, exact: bool) -> Option<Arc<AggregateUDF>> {
    let kind = match name {
        "variance" | "var_samp" => Kind {
            sample: true,
            root: false,
        },
        "var_pop" => Kind {
            sample: false,
            root: false,
        },
        "stddev" | "stddev_samp" => Kind {
            sample: true,
            root: true,
        },
        "stddev_pop" => Kind {
            sample: false,
            root: true,
        },
        _ => return None,
    };
    Some(Arc::new(AggregateUDF::new_from_impl(Spread {
        kind,
        exact,
        signature: Signature::any(1, Volatility::Immutable),
    })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    kind: Kind,
    exact: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Spread {
    fn name(&self) -> &str {
        match (self.kind.root, self.kind.sample) {
            (true, true) => "stddev_samp",
            (true, false) => "stddev_pop",
            (false, true) => "var_samp",
            (false, false) => "var_pop",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(if self.exact {
            DataType::Binary
        } else {
            DataType::Float64
        })
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let of = if self.exact {
            DataType::Binary
        } else {
            DataType::Float64
        };
        Ok(["count", "sum", "squares"]
            .into_iter()
            .map(|name| Arc::new(Field::new(name, of.clone(), true)))
            .collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> DfResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(Error::unsupported(
                "a variance or standard deviation of DISTINCT values",
                "Select the distinct values in a subquery.",
            )
            .into());
        }
        Ok(if self.exact {
            Box::new(Exact {
                kind: self.kind,
                count: Numeric::from(0),
                sum: Numeric::from(0),
                squares: Numeric::from(0),
            })
        } else {
            Box::new(Floats {
                kind: self.kind,
                count: 0.0,
                sum: 0.0,
                squares: 0.0,
            })
        })
    }
}

#[derive(Debug)]
struct Floats {
    kind: Kind,
    count: f64,
    sum: f64,
    /// The squared distances from the mean.
    squares: f64,
}

fn overflow() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}

impl Floats {
    fn add(&mut self, value: f64) -> Result<()> {
        let before = (self.sum, self.squares);
        self.count += 1.0;
        self.sum += value;
        if self.count > 1.0 {
            let distance = value * self.count - self.sum;
            self.squares += distance * distance / (self.count * (self.count - 1.0));
            if self.sum.is_infinite() || self.squares.is_infinite() {
                if before.0.is_finite() && before.1.is_finite() && value.is_finite() {
                    return Err(overflow());
                }
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
        Ok(())
    }

    fn merge(&mut self, count: f64, sum: f64, squares: f64) -> Result<()> {
        if count == 0.0 {
            return Ok(());
        }
        if self.count == 0.0 {
            (self.count, self.sum, self.squares) = (count, sum, squares);
            return Ok(());
        }
        let all = self.count + count;
        let apart = self.sum / self.count - sum / count;
        let joined = self.squares + squares + self.count * count * apart * apart / all;
        if joined.is_infinite() && self.squares.is_finite() && squares.is_finite() {
            return Err(overflow());
        }
        self.squares = joined;
        self.sum += sum;
        self.count = all;
        Ok(())
    }
}

impl Accumulator for Floats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for array in values.iter().take(1) {
            for value in array.as_primitive::<Float64Type>().iter().flatten() {
                self.add(value)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let by = if self.kind.sample {
            self.count - 1.0
        } else {
            self.count
        };
        if by < 1.0 {
            return Ok(ScalarValue::Float64(None));
        }
        let variance = self.squares / by;
        Ok(ScalarValue::Float64(Some(if self.kind.root {
            variance.sqrt()
        } else {
            variance
        })))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok([self.count, self.sum, self.squares]
            .into_iter()
            .map(|value| ScalarValue::Float64(Some(value)))
            .collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let [counts, sums, squares] = states else {
            return Err(Error::internal("a broken aggregate state").into());
        };
        let at = |array: &ArrayRef, row: usize| array.as_primitive::<Float64Type>().value(row);
        for row in 0..counts.len() {
            self.merge(at(counts, row), at(sums, row), at(squares, row))?;
        }
        Ok(())
    }
}

/// PostgreSQL's `numeric_stddev_internal`: exact sums, one division, one square root.
#[derive(Debug)]
struct Exact {
    kind: Kind,
    count: Numeric,
    sum: Numeric,
    squares: Numeric,
}

impl Exact {
    fn add(&mut self, value: &Numeric) -> Result<()> {
        self.count = numeric_add(&self.count, &Numeric::from(1))?;
        self.sum = numeric_add(&self.sum, value)?;
        self.squares = numeric_add(&self.squares, &numeric_mul(value, value)?)?;
        Ok(())
    }

    fn result(&self) -> Result<Option<Numeric>> {
        let one = Numeric::from(1);
        if self.count.sign() == 0 || self.kind.sample && self.count == one {
            return Ok(None);
        }
        if self.sum.finite().is_none() || self.squares.finite().is_none() {
            return Ok(Some(Numeric::NaN));
        }
        let top = numeric_sub(
            &numeric_mul(&self.count, &self.squares)?,
            &numeric_mul(&self.sum, &self.sum)?,
        )?;
        if top.sign() <= 0 {
            return Ok(Some(Numeric::from(0)));
        }
        let less = if self.kind.sample {
            numeric_sub(&self.count, &one)?
        } else {
            self.count.clone()
        };
        let variance = numeric_div(&top, &numeric_mul(&self.count, &less)?)?;
        if !self.kind.root {
            return Ok(Some(variance));
        }
        // The root has as many digits as the variance.
        let scale = variance.finite().map_or(0, |value| numeric::parts(value).1);
        roots::sqrt_at(&variance, scale).map(Some)
    }
}

fn packed(value: Option<Numeric>) -> DfResult<ScalarValue> {
    let mut builder = ColumnBuilder::numeric(&DataType::Binary, 1);
    match value {
        Some(value) => builder.append(&Datum::Numeric(value))?,
        None => builder.append_null(),
    }
    ScalarValue::try_from_array(&builder.finish(), 0)
}

fn number_at(array: &ArrayRef, row: usize) -> Result<Option<Numeric>> {
    Ok(match columns::get(array.as_ref(), row, PgType::NUMERIC)? {
        Datum::Numeric(value) => Some(value),
        _ => None,
    })
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for array in values.iter().take(1) {
            for row in 0..array.len() {
                if let Some(value) = number_at(array, row)? {
                    self.add(&value)?;
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        packed(self.result()?)
    }

    fn size(&self) -> usize {
        const DIGITS: usize = 64;
        size_of_val(self) + 3 * DIGITS
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        [&self.count, &self.sum, &self.squares]
            .into_iter()
            .map(|value| packed(Some(value.clone())))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let [counts, sums, squares] = states else {
            return Err(Error::internal("a broken aggregate state").into());
        };
        for row in 0..counts.len() {
            let parts = (
                number_at(counts, row)?,
                number_at(sums, row)?,
                number_at(squares, row)?,
            );
            if let (Some(count), Some(sum), Some(square)) = parts {
                self.count = numeric_add(&self.count, &count)?;
                self.sum = numeric_add(&self.sum, &sum)?;
                self.squares = numeric_add(&self.squares, &square)?;
            }
        }
        Ok(())
    }
}
