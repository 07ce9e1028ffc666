//! Column references.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Ident;

use super::scope::{Frame, OutColumn, Typed};
use super::select::rewrite;
use super::{Binder, fold};
use crate::error::{Error, Result, SqlState};

impl Binder<'_> {
    /// `name`, `table.name` or `schema.table.name`.
    pub(super) fn column(&mut self, parts: &[Ident]) -> Result<Typed> {
        match (self.find_column(parts), parts) {
            (Ok((column, level)), _) => Ok(self.reference(&column, level)),
            // A FROM item by its name is its row.
            (Err(error), [name]) if error.state() == SqlState::UNDEFINED_COLUMN => {
                let plain = name.quote_style.is_none();
                let called = fold(name);
                if plain && matches!(called.as_str(), "current_schema" | "current_role") {
                    return self.call_named(&called, Vec::new());
                }
                self.whole_row(&fold(name)).unwrap_or(Err(error))
            }
            (Err(error), _) => Err(error),
        }
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
    pub(super) fn frames_outwards(&self) -> impl Iterator<Item = (usize, &Frame)> {
        let frames = self.frames.iter().enumerate().rev();
        frames.filter(|(_, frame)| !frame.hidden)
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
        Err(self.no_item(table))
    }

    /// Hides the FROM items on the left of the SELECT at hand.
    pub(super) fn hide_lateral(&mut self) -> Vec<usize> {
        let here = Some(self.selects);
        let mut hidden = Vec::new();
        for (level, frame) in self.frames.iter_mut().enumerate() {
            if frame.lateral == here && !frame.hidden {
                frame.hidden = true;
                hidden.push(level);
            }
        }
        hidden
    }

    pub(super) fn show_lateral(&mut self, hidden: Vec<usize>) {
        for level in hidden {
            if let Some(frame) = self.frames.get_mut(level) {
                frame.hidden = false;
            }
        }
    }

    /// 42P01 for a qualifier that nothing in scope has.
    pub(super) fn no_item(&self, table: &str) -> Error {
        let mut items = self.frames.iter().rev().flat_map(|frame| &frame.items);
        let aliased = items
            .clone()
            .find(|item| item.relation.as_deref() == Some(table));
        if let Some(item) = aliased {
            return invalid_reference(table).hint(format!(
                "Perhaps you meant to reference the table alias \"{}\".",
                item.name
            ));
        }
        if items.any(|item| item.name == table) {
            return invalid_reference(table).detail(format!(
                "There is an entry for table \"{table}\", but it cannot be referenced from this part of the query."
            ));
        }
        missing_from(table)
    }

    /// An expression for a column of the frame `level`: an outer reference when it is not the
    /// innermost one.
    pub(super) fn reference(&mut self, column: &OutColumn, level: usize) -> Typed {
        let innermost = self.frames.len().saturating_sub(1);
        let typed = column.typed();
        if level >= innermost {
            return typed;
        }
        // A merged column is made of several.
        let parts: Vec<(Column, DataType)> = match self.frames.get(level) {
            Some(frame) if column.merged.is_some() => frame
                .items
                .iter()
                .flat_map(|item| &item.columns)
                .map(|part| (part.column.clone(), part.data.clone()))
                .collect(),
            _ => vec![(column.column.clone(), column.data.clone())],
        };
        let mut found = Vec::new();
        let expr = rewrite(typed.expr.clone(), &mut |node| {
            let Expr::Column(known) = node else {
                return None;
            };
            let (place, data) = parts.iter().find(|(place, _)| place == known)?;
            let field = Field::new(place.name(), data.clone(), true);
            let reference = Expr::OuterReferenceColumn(Arc::new(field), place.clone());
            found.push((level, reference.clone()));
            Some(reference)
        });
        if let Some(references) = self.references.last_mut() {
            references.extend(found);
        }
        match expr {
            Ok(expr) => Typed { expr, ..typed },
            Err(_) => typed,
        }
    }
}

pub(super) fn invalid_reference(table: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_TABLE,
        format!("invalid reference to FROM-clause entry for table \"{table}\""),
    )
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
