//! Sums, averages and deviations: what type they have, and what computes them exactly.

use arrow::datatypes::DataType;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::aggregate::{Shape, typed};
use super::coerce::native;
use super::scope::Typed;
use crate::error::{Error, Result};
use crate::query::functions::{self, Arithmetic};
use crate::types::ops::BinaryOp;
use crate::types::{PgType, oid};

impl Binder<'_> {
    pub(super) fn sum(&mut self, arg: Typed, shape: Shape, missing: Error) -> Result<Typed> {
        let sum = |arg: Typed, data: DataType| {
            shape.call(sum_udaf(), vec![native(arg.clone(), arg.ty, data).expr])
        };
        match arg.ty.oid {
            oid::INT2 | oid::INT4 => Ok(typed(sum(arg, DataType::Int64), PgType::INT8)),
            oid::INT8 if !shape.distinct => {
                let arg = native(arg, PgType::NUMERIC, DataType::Decimal128(19, 0));
                Ok(exact_sum(&shape, arg))
            }
            oid::NUMERIC if !shape.distinct => Ok(exact_sum(&shape, arg)),
            oid::INT8 | oid::NUMERIC => {
                let arg = self.implicit(arg, PgType::NUMERIC)?;
                self.collected("sum", vec![arg], PgType::NUMERIC, shape)
            }
            oid::FLOAT4 => {
                let total = Typed {
                    expr: sum(arg, DataType::Float64),
                    ty: PgType::FLOAT8,
                    data: DataType::Float64,
                };
                Ok(native(total, PgType::FLOAT4, DataType::Float32))
            }
            oid::FLOAT8 => Ok(typed(sum(arg, DataType::Float64), PgType::FLOAT8)),
            oid::INTERVAL => self.collected("sum_interval", vec![arg], PgType::INTERVAL, shape),
            _ => Err(missing),
        }
    }

    /// The average of exact numbers is a division of the exact sum, with its digits.
    pub(super) fn avg(&mut self, arg: Typed, shape: Shape, missing: Error) -> Result<Typed> {
        match arg.ty.oid {
            oid::FLOAT4 | oid::FLOAT8 => {
                let arg = native(arg, PgType::FLOAT8, DataType::Float64);
                Ok(typed(
                    shape.call(avg_udaf(), vec![arg.expr]),
                    PgType::FLOAT8,
                ))
            }
            oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC => {
                let count = typed(
                    shape.call(count_udaf(), vec![arg.expr.clone()]),
                    PgType::INT8,
                );
                let total = self.sum(arg, shape, missing)?;
                let total = self.implicit(total, PgType::NUMERIC)?;
                let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
                let nothing = count.expr.clone().eq(zero);
                let null = Expr::Literal(ScalarValue::Int64(None), None);
                // No rows: the sum is NULL, and so is the quotient; the divisor must not be zero.
                let count = Typed {
                    expr: Expr::Case(datafusion::logical_expr::expr::Case::new(
                        None,
                        vec![(Box::new(nothing), Box::new(null))],
                        Some(Box::new(count.expr)),
                    )),
                    ..count
                };
                let count = self.implicit(count, PgType::NUMERIC)?;
                let (function, data) = functions::arithmetic(&Arithmetic {
                    op: BinaryOp::Div,
                    left: (PgType::NUMERIC, total.data.clone()),
                    right: (PgType::NUMERIC, count.data.clone()),
                    result: PgType::NUMERIC,
                });
                Ok(self.call(
                    function,
                    vec![total.expr, count.expr],
                    PgType::NUMERIC,
                    data,
                ))
            }
            oid::INTERVAL => self.collected("avg_interval", vec![arg], PgType::INTERVAL, shape),
            _ => Err(missing),
        }
    }

    pub(super) fn spread(
        &mut self,
        name: &str,
        arg: Typed,
        shape: Shape,
        missing: Error,
    ) -> Result<Typed> {
        let exact = match arg.ty.oid {
            oid::FLOAT4 | oid::FLOAT8 => false,
            oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC => true,
            _ => return Err(missing),
        };
        let Some(function) = functions::spread(name, exact) else {
            return Err(missing);
        };
        let (arg, ty) = match exact {
            true => (self.implicit(arg, PgType::NUMERIC)?, PgType::NUMERIC),
            false => (
                native(arg, PgType::FLOAT8, DataType::Float64),
                PgType::FLOAT8,
            ),
        };
        Ok(typed(shape.call(function, vec![arg.expr]), ty))
    }
}

fn exact_sum(shape: &Shape, arg: Typed) -> Typed {
    let data = functions::sum_layout(&arg.data);
    Typed {
        expr: shape.call(functions::numeric_sum(), vec![arg.expr]),
        ty: PgType::NUMERIC,
        data,
    }
}
