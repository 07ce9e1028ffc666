//! RETURNING: rows made of the rows that a statement wrote.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem};

use super::compiled::{Compiler, Env, Expr, Node, Row, Scope, SecondColumn, projection};
use super::general::General;
use super::names::refuse_over_rows;
use super::target::Target;
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{PlanContext, ResultColumn, Rows, column_name};
use crate::sql::{Context, Engine, Outcome, Tag};
use crate::txn::View;
use crate::types::{Datum, PgType};

/// A RETURNING list.
pub(super) struct Returning {
    pub columns: Arc<[ResultColumn]>,
    items: Vec<Item>,
    /// What does not compile.
    general: Option<General>,
}

enum Item {
    Compiled(Expr),
    /// The next column of the planned expressions.
    General,
}

impl Returning {
    pub(super) fn is_compiled(&self) -> bool {
        self.general.is_none()
    }

    /// Prepares a list over the target's row and the columns of other FROM items.
    ///
    /// # Errors
    /// 42703 for columns and 42P01 for tables that the list cannot name.
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
        list: &[SelectItem],
        target: &Target,
        alias: &str,
        second_columns: &[SecondColumn],
    ) -> Result<Returning> {
        let scope = Scope {
            table: Some((&target.table, alias)),
            second: second_columns,
            plain_second: true,
        };
        let mut columns = Vec::with_capacity(list.len());
        let mut items = Vec::with_capacity(list.len());
        let mut open = Vec::new();
        for item in list {
            if let SelectItem::Wildcard(options) = item {
                let plain = SelectItem::QualifiedWildcard(
                    ast::SelectItemQualifiedWildcardKind::ObjectName(
                        vec![Ident::with_quote(
                            '"',
                            scope.table.map_or("", |(_, alias)| alias),
                        )]
                        .into(),
                    ),
                    options.clone(),
                );
                let own = projection(compiler, &[plain], scope).ok_or_else(wildcard)?;
                let second = scope
                    .second
                    .iter()
                    .enumerate()
                    .map(|(at, column)| second(at, column));
                for (column, expr) in own.into_iter().chain(second) {
                    columns.push(column);
                    items.push(Item::Compiled(expr));
                }
                continue;
            }
            if let SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) = item
            {
                let parts = super::names::parts(name);
                let of_second: Vec<_> = scope
                    .second
                    .iter()
                    .enumerate()
                    .filter(|(_, column)| parts.last() == Some(&column.qualifier))
                    .map(|(at, column)| second(at, column))
                    .collect();
                if !of_second.is_empty() {
                    for (column, expr) in of_second {
                        columns.push(column);
                        items.push(Item::Compiled(expr));
                    }
                    continue;
                }
            }
            if let Some(compiled) = projection(compiler, std::slice::from_ref(item), scope) {
                for (column, expr) in compiled {
                    columns.push(column);
                    items.push(Item::Compiled(expr));
                }
                continue;
            }
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, column_name(expr)),
                SelectItem::ExprWithAlias { expr, alias } => (expr, fold(alias)),
                _ => return Err(wildcard()),
            };
            refuse_over_rows(expr, "RETURNING")?;
            open.push(expr.clone());
            columns.push(ResultColumn {
                name,
                ty: PgType::TEXT,
                table: 0,
                attribute: 0,
            });
            items.push(Item::General);
        }
        let mut general = None;
        if !open.is_empty() {
            let planned = General::plan(
                engine,
                context,
                compiler,
                target,
                alias,
                second_columns,
                open,
            )
            .await?;
            let mut types = planned.types();
            for (item, column) in items.iter().zip(&mut columns) {
                if let Item::General = item {
                    column.ty = types.next().unwrap_or(PgType::TEXT);
                }
            }
            drop(types);
            general = Some(planned);
        }
        Ok(Returning {
            columns: columns.into(),
            items,
            general,
        })
    }
}

fn wildcard() -> Error {
    Error::new(
        SqlState::UNDEFINED_TABLE,
        "RETURNING names a table that is not part of the statement",
    )
}

fn second(at: usize, column: &SecondColumn) -> (ResultColumn, Expr) {
    let expr = Expr {
        node: Node::Column(Row::SECOND.saturating_add(at)),
        ty: column.ty,
    };
    let column = ResultColumn {
        name: column.name.clone(),
        ty: column.ty,
        table: 0,
        attribute: 0,
    };
    (column, expr)
}

/// Collects the rows of a RETURNING list while the statement writes.
pub(super) struct Returned<'r> {
    returning: Option<&'r Returning>,
    rows: Vec<Vec<Datum<'static>>>,
    /// What sub-queries in the list read: the state before the statement's writes.
    view: Option<View>,
}

impl<'r> Returned<'r> {
    pub(super) fn new(context: &mut Context<'_>, returning: Option<&'r Returning>) -> Result<Self> {
        let view = match returning {
            Some(list) if !list.is_compiled() => Some(context.txn.view()?),
            _ => None,
        };
        Ok(Returned {
            returning,
            rows: Vec::new(),
            view,
        })
    }

    /// Takes a written row, and values of the other FROM items.
    pub(super) async fn add(
        &mut self,
        context: &mut Context<'_>,
        row: &[Datum<'_>],
        second: &[Datum<'_>],
    ) -> Result<()> {
        let Some(returning) = self.returning else {
            return Ok(());
        };
        let general = match (&returning.general, &self.view) {
            (Some(general), Some(view)) => {
                Box::pin(general.eval(context, view.clone(), row, second)).await?
            }
            _ => Vec::new(),
        };
        let mut general = general.into_iter();
        let env = Env {
            row: Row::Two(row, second),
            parameters: context.parameters,
            info: &context.info,
        };
        let mut values = Vec::with_capacity(returning.items.len());
        for item in &returning.items {
            values.push(match item {
                Item::Compiled(expr) => expr.eval(&env)?.into_owned(),
                Item::General => general
                    .next()
                    .ok_or_else(|| Error::internal("an expression gave no value"))?,
            });
        }
        let bytes = size_of_val(&values) + Datum::weight_of(&values);
        self.rows.push(values);
        context.txn.keep(bytes)
    }

    /// The statement's outcome: its rows, or its tag alone.
    pub(super) fn finish(self, tag: String) -> Outcome {
        let Some(returning) = self.returning else {
            return Outcome::Command(tag);
        };
        Outcome::Rows {
            columns: returning.columns.clone(),
            rows: Box::pin(futures::stream::iter([Ok(Rows::Datums(self.rows))])),
            tag: Tag::Fixed(tag),
        }
    }
}
