//! Functions that wait: `pg_sleep` and its like, and locks that others hold.
//!
//! DataFusion runs them as asynchronous functions: in select lists and conditions, not inside joins,
//! groupings and orders. Whoever drops the running query ends the wait.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::async_udf::AsyncScalarUDFImpl;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::super::bind::ZONE;
use super::super::context::RunContext;
use super::registry::Definitions;
use super::row::{Call, RowFunction};
use crate::error::Result;
use crate::query::SessionInfo;
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Datum, PgType};

/// What one call waits for.
pub(in crate::query) type WaitFn =
    fn(Arc<SessionInfo>, Vec<Datum<'static>>) -> BoxFuture<'static, Result<()>>;

/// A result of type void.
pub(super) fn void(_: &Call<'_>, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::text(""))
}

pub(super) fn define(all: &mut Definitions) {
    all.add("pg_sleep", "float8", "void", void)
        .waits(|info, args| match args.first() {
            Some(Datum::Float8(seconds)) => sleep(info, *seconds * 1e6),
            _ => futures::future::ready(Ok(())).boxed(),
        });
    all.add("pg_sleep_for", "interval", "void", void)
        .waits(|info, args| match args.first() {
            Some(Datum::Interval(span)) => {
                let days = f64::from(span.months) * 30.0 + f64::from(span.days);
                sleep(info, days * 86_400e6 + span.micros as f64)
            }
            _ => futures::future::ready(Ok(())).boxed(),
        });
    all.add("pg_sleep_until", "timestamptz", "void", void)
        .waits(|info, args| match args.first() {
            Some(Datum::Timestamptz(until)) => {
                let left = until.saturating_sub(info.access.clock());
                sleep(info, left as f64)
            }
            _ => futures::future::ready(Ok(())).boxed(),
        });
}

/// Waits for so many microseconds; a negative number or NaN is no wait.
fn sleep(info: Arc<SessionInfo>, micros: f64) -> BoxFuture<'static, Result<()>> {
    // Such a cast saturates, and gives 0 for NaN.
    let pause = info.access.sleep(micros as u64);
    async move {
        pause.await;
        Ok(())
    }
    .boxed()
}

#[async_trait]
impl AsyncScalarUDFImpl for RowFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let context = RunContext::of(&args.config_options)?.clone();
        let rows = args.number_rows;
        let mut arrays = Vec::with_capacity(args.args.len());
        for arg in args.args {
            arrays.push(arg.into_array(rows)?);
        }
        let call = self.call(&context);
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut values = Vec::with_capacity(arrays.len());
            for (array, ty) in arrays.iter().zip(&self.types) {
                values.push(columns::get(array.as_ref(), row, *ty)?.into_owned());
            }
            if self.strict && values.iter().any(Datum::is_null) {
                results.push(Datum::Null);
                continue;
            }
            if let Some(wait) = self.wait {
                if let Some(read) = &context.read {
                    read.turn.end();
                }
                wait(context.info.clone(), values.clone()).await?;
            }
            results.push((self.run)(&call, &values)?);
        }
        let mut builder = ColumnBuilder::new(PgType::new(self.built.oid), ZONE, rows);
        for value in &results {
            builder.append(value)?;
        }
        Ok(ColumnarValue::Array(builder.finish()))
    }
}
