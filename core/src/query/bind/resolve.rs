//! Column references.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Ident;

use super::scope::{Frame, OutColumn, Typed};
use super::{Binder, fold};
use crate::error::{Error, Result, SqlState};

impl Binder<'_> {
    /// `name`, `table.name` or `schema.table.name`.
    pub(super) fn column(&mut self, parts: &[Ident]) -> Result<Typed> {
        let (column, level) = self.find_column(parts)?;
        Ok(self.reference(&column, level))
    }

    pub(super) fn find_column(&self, parts: &[Ident]) -> Result<(OutColumn, usize)> {
        let names: Vec<String> = parts.iter().map(fold).collect();
        match names.as_slice() {
            [name] => self.unqualified(name),
            [table, name] => self.qualified(table, name),
            [_schema, table, name] => self.qualified(table, name),
            [_database, _schema, table, name] => self.qualified(table, name),
            _ => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "improper qualified name (too many dotted names): {}",
                    names.join(".")
                ),
            )),
        }
    }

    /// Frames from the innermost outwards.
    fn frames_outwards(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.frames.iter().enumerate().rev()
    }

    fn unqualified(&self, name: &str) -> Result<(OutColumn, usize)> {
        for (level, frame) in self.frames_outwards() {
            let mut found = frame.visible.iter().filter(|column| column.name == name);
            if let Some(column) = found.next() {
                if found.next().is_some() {
                    return Err(Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("column reference \"{name}\" is ambiguous"),
                    ));
                }
                return Ok((column.clone(), level));
            }
        }
        Err(no_column(&format!("\"{name}\"")))
    }

    fn qualified(&self, table: &str, name: &str) -> Result<(OutColumn, usize)> {
        for (level, frame) in self.frames_outwards() {
            let mut items = frame.items.iter().filter(|item| item.name == table);
            let Some(item) = items.next() else { continue };
            if items.next().is_some() {
                return Err(Error::new(
                    SqlState::AMBIGUOUS_COLUMN,
                    format!("table reference \"{table}\" is ambiguous"),
                ));
            }
            let mut found = item.columns.iter().filter(|column| column.name == name);
            return match (found.next(), found.next()) {
                (Some(column), None) => Ok((column.clone(), level)),
                (Some(_), Some(_)) => Err(Error::new(
                    SqlState::AMBIGUOUS_COLUMN,
                    format!("column reference \"{name}\" is ambiguous"),
                )),
                (None, _) => Err(no_column(&format!("{table}.{name}"))),
            };
        }
        Err(missing_from(table))
    }

    /// An expression for a column of the frame `level`: an outer reference when it is not the
    /// innermost one.
    pub(super) fn reference(&mut self, column: &OutColumn, level: usize) -> Typed {
        let innermost = self.frames.len().saturating_sub(1);
        let typed = column.typed();
        if level >= innermost || column.merged.is_some() {
            return typed;
        }
        let field = Field::new(column.column.name(), column.data.clone(), true);
        let expr = Expr::OuterReferenceColumn(Arc::new(field), column.column.clone());
        if let Some(references) = self.references.last_mut() {
            references.push((level, expr.clone()));
        }
        Typed { expr, ..typed }
    }
}

pub(super) fn missing_from(table: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_TABLE,
        format!("missing FROM-clause entry for table \"{table}\""),
    )
}

fn no_column(shown: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_COLUMN,
        format!("column {shown} does not exist"),
    )
}
