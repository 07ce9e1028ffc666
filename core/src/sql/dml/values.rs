//! Values that DataFusion computes for a write, cast to the columns they go to.

use datafusion::sql::sqlparser::ast;

use super::compiled::{assignable, not_assignable, string_value};
use super::target::Target;
use crate::error::{Error, Result};
use crate::query::{Plan, Rows};
use crate::types::cast::{self, Context as Cast};
use crate::types::text::{self, TextStyle};
use crate::types::{Datum, PgType, columns, oid};

/// How values of a query's column become values of a table's column.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    from: PgType,
    to: PgType,
    /// A literal without a type: read as input of the column's type.
    literal: bool,
}

impl Conversion {
    /// # Errors
    /// 42804 when there is no assignment cast.
    pub(super) fn new(from: PgType, literal: bool, column: &str, to: PgType) -> Result<Self> {
        let literal = literal || from.oid == oid::UNKNOWN;
        if !literal && !assignable(from, to) {
            return Err(not_assignable(from, column, to));
        }
        Ok(Conversion { from, to, literal })
    }

    pub(super) fn apply(&self, datum: Datum<'_>, style: &TextStyle) -> Result<Datum<'static>> {
        if self.literal {
            return match datum {
                Datum::Null => Ok(Datum::Null),
                Datum::Text(text) => text::parse(self.to, &text, style),
                other => cast::cast(other, self.from, self.to, Cast::Assignment, style),
            };
        }
        if self.from == self.to || (self.from.oid == self.to.oid && self.to.typmod < 0) {
            return Ok(datum.into_owned());
        }
        cast::cast(datum, self.from, self.to, Cast::Assignment, style)
    }
}

/// Whether an expression is a literal whose type its use decides.
pub(super) fn is_open_literal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => is_open_literal(inner),
        ast::Expr::Value(value) => {
            matches!(value.value, ast::Value::Null) || string_value(&value.value).is_some()
        }
        _ => false,
    }
}

/// One value of a result row, owned.
pub(super) fn value(rows: &Rows, row: usize, column: usize, ty: PgType) -> Result<Datum<'static>> {
    let missing = || Error::internal("a query gave fewer columns than planned");
    match rows {
        Rows::Batch(batch) => {
            let array = batch.columns().get(column).ok_or_else(missing)?;
            Ok(columns::get(array.as_ref(), row, ty)?.into_owned())
        }
        Rows::Datums(rows) => rows
            .get(row)
            .and_then(|row| row.get(column))
            .cloned()
            .ok_or_else(missing),
    }
}

/// A row of a plan's result, owned.
pub(super) fn row_values(plan: &Plan, rows: &Rows, row: usize) -> Result<Vec<Datum<'static>>> {
    plan.columns
        .iter()
        .enumerate()
        .map(|(at, column)| value(rows, row, at, column.ty))
        .collect()
}

impl Target {
    /// A row of NULLs, one for each physical column.
    pub(super) fn empty_row<'a>(&self) -> Vec<Datum<'a>> {
        vec![Datum::Null; self.table.columns.len()]
    }
}
