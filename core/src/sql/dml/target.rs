//! The table that a statement writes, with all that a write must maintain and check.

use std::sync::Arc;

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;

use super::compiled::{Compiler, Expr, Node, Row, Scope};
use crate::catalog::{Catalog, Column, ConstraintKind, ForeignKey, Identity, Index, Table};
use crate::error::{Error, Result};
use crate::query::SessionInfo;
use crate::types::row::RowRef;
use crate::types::text::{self, TextStyle};
use crate::types::{Datum, PgType};

/// A table prepared for writing. Built once for each prepared statement.
pub(super) struct Target {
    pub table: Arc<Table>,
    /// Types of the physical columns.
    pub types: Vec<PgType>,
    /// What columns added after a row was written have in it.
    pub missing: Vec<Datum<'static>>,
    /// Unique indexes first, else in the order of creation.
    pub indexes: Vec<Arc<Index>>,
    /// In the order of their names, in which PostgreSQL evaluates them.
    pub checks: Vec<Check>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of any table (this one too) that reference it.
    pub referencing: Vec<(Arc<Table>, ForeignKey)>,
    /// Columns of a unique index: to change one takes the stronger row lock.
    pub key_columns: Vec<bool>,
}

pub(super) struct Check {
    pub name: String,
    pub condition: Condition,
}

/// An expression over the table's row.
pub(super) enum Condition {
    Compiled(Expr),
    /// Left to DataFusion.
    General(Box<ast::Expr>),
}

impl Target {
    pub(super) fn new(
        catalog: &Catalog,
        info: &SessionInfo,
        table: &Arc<Table>,
    ) -> Result<Arc<Target>> {
        let style = TextStyle::default();
        let mut missing = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            missing.push(match &column.missing {
                Some(text) if !column.dropped => text::parse(column.ty, text, &style)?,
                _ => Datum::Null,
            });
        }
        let mut indexes = catalog.indexes(table);
        indexes.sort_by_key(|index| (!index.primary, !index.unique, index.oid));
        let mut key_columns = vec![false; table.columns.len()];
        let unique = indexes.iter().filter(|index| index.unique);
        for &at in unique.flat_map(|index| &index.columns) {
            if let Some(flag) = key_columns.get_mut(at) {
                *flag = true;
            }
        }
        let mut checks = Vec::new();
        let mut foreign_keys = Vec::new();
        for constraint in &table.constraints {
            match &constraint.kind {
                ConstraintKind::Check { expression } => {
                    let expression = parse_expression(expression)?;
                    checks.push(Check {
                        name: constraint.name.clone(),
                        condition: Condition::new(catalog, info, table, expression),
                    });
                }
                ConstraintKind::ForeignKey(key) => foreign_keys.push(key.clone()),
                ConstraintKind::PrimaryKey { .. } | ConstraintKind::Unique { .. } => {}
            }
        }
        checks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Arc::new(Target {
            table: table.clone(),
            types: table.columns.iter().map(|column| column.ty).collect(),
            missing,
            indexes,
            checks,
            foreign_keys,
            referencing: catalog.referencing(table.oid),
            key_columns,
        }))
    }

    pub(super) fn column(&self, at: usize) -> Result<&Column> {
        self.table
            .columns
            .get(at)
            .ok_or_else(|| Error::internal(format!("column {at} does not exist")))
    }

    /// The unique indexes, with their positions among all.
    pub(super) fn unique(&self) -> impl Iterator<Item = (usize, &Index)> {
        let indexes = self.indexes.iter().enumerate();
        indexes
            .filter(|(_, index)| index.unique)
            .map(|(at, index)| (at, index.as_ref()))
    }

    /// A stored row, read in place.
    pub(super) fn stored<'a>(&'a self, bytes: &'a [u8]) -> Result<Row<'a>> {
        Ok(Row::Stored(RowRef::new(bytes)?, &self.types, &self.missing))
    }

    /// All physical columns of a stored row; dropped ones are NULL.
    pub(super) fn decode<'a>(&'a self, bytes: &'a [u8]) -> Result<Vec<Datum<'a>>> {
        let row = self.stored(bytes)?;
        let columns = self.table.columns.iter().enumerate();
        columns
            .map(|(at, column)| match column.dropped {
                true => Ok(Datum::Null),
                false => row.get(at),
            })
            .collect()
    }

    /// The live columns of a row.
    pub(super) fn live<'a>(&'a self, row: &'a [Datum<'a>]) -> impl Iterator<Item = &'a Datum<'a>> {
        self.table.live_columns().filter_map(|(at, _)| row.get(at))
    }

    /// What a column gets when a statement gives it no value.
    pub(super) fn default(
        &self,
        catalog: &Catalog,
        info: &SessionInfo,
        at: usize,
    ) -> Result<Default> {
        let column = self.column(at)?;
        if column.identity.is_some()
            && let Some(sequence) = column.sequence
        {
            let value = Expr {
                node: Node::NextIdentity(sequence),
                ty: PgType::INT8,
            };
            let value = super::compiled::assignment(value, &column.name, column.ty)?;
            return Ok(Default::Compiled(value));
        }
        let Some(sql) = &column.default else {
            return Ok(Default::Compiled(Expr::constant(Datum::Null, column.ty)));
        };
        let expr = parse_expression(sql)?;
        let mut compiler = Compiler::new(catalog, info, &[]);
        Ok(
            match compiler.assign(&expr, Scope::default(), &column.name, column.ty)? {
                Some(expr) => Default::Compiled(expr),
                None => Default::General(Box::new(expr)),
            },
        )
    }

    pub(super) fn is_always_identity(&self, at: usize) -> bool {
        matches!(
            self.table.columns.get(at),
            Some(Column {
                identity: Some(Identity::Always),
                ..
            })
        )
    }
}

/// A default expression.
pub(super) enum Default {
    Compiled(Expr),
    General(Box<ast::Expr>),
}

impl Condition {
    pub(super) fn new(
        catalog: &Catalog,
        info: &SessionInfo,
        table: &Table,
        expr: ast::Expr,
    ) -> Condition {
        let mut compiler = Compiler::new(catalog, info, &[]);
        match compiler.condition(&expr, Scope::table(table, &table.name)) {
            Some(expr) => Condition::Compiled(expr),
            None => Condition::General(Box::new(expr)),
        }
    }
}

/// Reads an expression that the catalog keeps as SQL.
pub(super) fn parse_expression(sql: &str) -> Result<ast::Expr> {
    Parser::new(&SqlDialect)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| Error::corrupted(format!("stored expression \"{sql}\": {error}")))
}
