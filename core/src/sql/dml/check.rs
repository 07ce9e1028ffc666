//! What a row must satisfy by itself: NOT NULL and CHECK; and what GENERATED ALWAYS forbids.

use super::compiled::{Env, Row};
use super::target::{Condition, Target};
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::types::Datum;
use crate::types::text::{self, TextStyle};

/// Bytes of a value that `Failing row contains` shows.
const MAX_SHOWN_BYTES: usize = 64;

impl Target {
    /// Checks NOT NULL and CHECK constraints.
    ///
    /// # Errors
    /// 23502, 23514.
    pub(super) async fn check(&self, context: &mut Context<'_>, row: &[Datum<'_>]) -> Result<()> {
        for (column, datum) in self.table.columns.iter().zip(row) {
            if column.not_null && datum.is_null() && !column.dropped {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, self.table.name
                );
                return Err(context
                    .table_error(&self.table, SqlState::NOT_NULL_VIOLATION, message)
                    .detail(self.failing_row(row, &context.info.style))
                    .column(&column.name));
            }
        }
        for check in &self.checks {
            let value = self.evaluate(context, &check.condition, row).await?;
            let failed = matches!(value, Datum::Bool(false));
            if failed {
                let message = format!(
                    "new row for relation \"{}\" violates check constraint \"{}\"",
                    self.table.name, check.name
                );
                return Err(context
                    .table_error(&self.table, SqlState::CHECK_VIOLATION, message)
                    .detail(self.failing_row(row, &context.info.style))
                    .constraint(&check.name));
            }
        }
        Ok(())
    }

    /// The value of a condition over a row.
    pub(super) async fn evaluate(
        &self,
        context: &mut Context<'_>,
        condition: &Condition,
        row: &[Datum<'_>],
    ) -> Result<Datum<'static>> {
        let expression = match condition {
            Condition::Compiled(condition) => {
                let env = Env {
                    row: Row::Values(row),
                    parameters: &[],
                    info: &context.info,
                };
                return Ok(condition.eval(&env)?.into_owned());
            }
            Condition::General(expression) => expression.as_ref(),
        };
        let values: Vec<_> = self
            .live(row)
            .map(|datum| datum.clone().into_owned())
            .collect();
        let execution = context.execution()?;
        let (expressions, rows) = (std::slice::from_ref(expression), [values]);
        let (table, planning) = (Some(self.table.as_ref()), context.plan_context());
        let query = &context.engine.query;
        let evaluated = query.evaluate(expressions, table, &rows, &planning, &execution);
        let mut results = Box::pin(evaluated).await?;
        let value = results.pop().and_then(|mut row| row.pop());
        Ok(value.map_or(Datum::Null, |(value, _)| value))
    }

    fn failing_row(&self, row: &[Datum<'_>], style: &TextStyle) -> String {
        let mut shown = String::from("Failing row contains (");
        for (n, (at, column)) in self.table.live_columns().enumerate() {
            if n > 0 {
                shown.push_str(", ");
            }
            match row.get(at) {
                None | Some(Datum::Null) => shown.push_str("null"),
                Some(datum) => {
                    let value = text::to_string(datum, column.ty, style);
                    match clipped(&value) {
                        None => shown.push_str(&value),
                        Some(start) => {
                            shown.push_str(start);
                            shown.push_str("...");
                        }
                    }
                }
            }
        }
        shown.push_str(").");
        shown
    }
}

/// The part of a long value that is shown, cut between characters.
fn clipped(value: &str) -> Option<&str> {
    if value.len() <= MAX_SHOWN_BYTES {
        return None;
    }
    let mut end = MAX_SHOWN_BYTES;
    while !value.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    value.get(..end)
}

/// 428C9 for a value given to a GENERATED ALWAYS column.
pub(super) fn generated_always(column: &str, insert: bool) -> Error {
    let detail = format!("Column \"{column}\" is an identity column defined as GENERATED ALWAYS.");
    match insert {
        true => Error::new(
            SqlState::GENERATED_ALWAYS,
            format!("cannot insert a non-DEFAULT value into column \"{column}\""),
        )
        .detail(detail)
        .hint("Use OVERRIDING SYSTEM VALUE to override."),
        false => Error::new(
            SqlState::GENERATED_ALWAYS,
            format!("column \"{column}\" can only be updated to DEFAULT"),
        )
        .detail(detail),
    }
}
