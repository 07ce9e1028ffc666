//! RETURNING: rows made of the rows that a statement wrote.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, visit_expressions_mut};

use super::compiled::{
    Compiler, Env, Expr, Node, Row, Scope, SecondColumn, column_name, projection,
};
use super::target::Target;
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{ResultColumn, Rows};
use crate::sql::{Context, Outcome, Tag};
use crate::types::{Datum, PgType};

/// A RETURNING list.
pub(super) struct Returning {
    pub columns: Arc<[ResultColumn]>,
    items: Vec<Item>,
}

enum Item {
    Compiled(Expr),
    /// Left to DataFusion; columns of the second row are parameters after the statement's own.
    General(Box<ast::Expr>),
}

/// An item of the list that does not compile: its type has to be asked of the planner.
pub(super) struct Open {
    /// As written, for the planner.
    pub expr: ast::Expr,
    name: String,
    at: usize,
}

impl Returning {
    pub(super) fn is_compiled(&self) -> bool {
        self.items
            .iter()
            .all(|item| matches!(item, Item::Compiled(_)))
    }

    /// Compiles a list. The second value holds what is left to the planner; [`Returning::settle`]
    /// takes the types it found.
    ///
    /// # Errors
    /// 42703 for columns and 42P01 for tables that the list cannot name.
    pub(super) fn compile(
        compiler: &mut Compiler<'_>,
        list: &[SelectItem],
        scope: Scope<'_>,
    ) -> Result<(Returning, Vec<Open>)> {
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
            open.push(Open {
                expr: expr.clone(),
                name,
                at: items.len(),
            });
            columns.push(ResultColumn {
                name: String::new(),
                ty: PgType::TEXT,
                table: 0,
                attribute: 0,
            });
            let mut rewritten = expr.clone();
            rewrite(&mut rewritten, scope, compiler.parameters.len());
            items.push(Item::General(Box::new(rewritten)));
        }
        let returning = Returning {
            columns: columns.into(),
            items,
        };
        Ok((returning, open))
    }

    /// Sets the types of the items that did not compile, in their order.
    pub(super) fn settle(&mut self, open: &[Open], types: &[PgType]) {
        let mut columns = self.columns.to_vec();
        for (open, ty) in open.iter().zip(types) {
            if let Some(column) = columns.get_mut(open.at) {
                column.name = open.name.clone();
                column.ty = *ty;
            }
        }
        self.columns = columns.into();
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

/// Makes an expression one over the table's plain column names, its second row's columns
/// parameters from `parameters` on.
pub(super) fn rewrite(expr: &mut ast::Expr, scope: Scope<'_>, parameters: usize) {
    let _ = visit_expressions_mut(expr, |expr| {
        let (qualifier, name) = match &*expr {
            ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => (Some(fold(qualifier)), name.clone()),
                _ => return ControlFlow::<()>::Continue(()),
            },
            ast::Expr::Identifier(name) => (None, name.clone()),
            _ => return ControlFlow::Continue(()),
        };
        let folded = fold(&name);
        if let Some((table, alias)) = scope.table {
            let own = qualifier
                .as_deref()
                .is_none_or(|qualifier| qualifier == alias);
            if own && table.column(&folded).is_some() {
                *expr = ast::Expr::Identifier(name);
                return ControlFlow::Continue(());
            }
        }
        if qualifier.is_none() && !scope.plain_second {
            return ControlFlow::Continue(());
        }
        let found = scope.second.iter().position(|column| {
            column.name == folded
                && qualifier
                    .as_deref()
                    .is_none_or(|qualifier| qualifier == column.qualifier)
        });
        if let Some(at) = found {
            let number = parameters.saturating_add(at).saturating_add(1);
            *expr = ast::Expr::Value(ast::Value::Placeholder(format!("${number}")).into());
        }
        ControlFlow::Continue(())
    });
}

/// Collects the rows of a RETURNING list while the statement writes.
pub(super) struct Returned<'r> {
    returning: Option<&'r Returning>,
    rows: Vec<Vec<Datum<'static>>>,
    /// Rows whose items are not all compiled: evaluated at the end.
    waiting: Vec<(Vec<Datum<'static>>, Vec<Datum<'static>>)>,
}

impl<'r> Returned<'r> {
    pub(super) fn new(returning: Option<&'r Returning>) -> Self {
        Returned {
            returning,
            rows: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes a written row, and values of the other FROM items.
    pub(super) fn add(
        &mut self,
        context: &Context<'_>,
        row: &[Datum<'_>],
        second: &[Datum<'_>],
    ) -> Result<()> {
        let Some(returning) = self.returning else {
            return Ok(());
        };
        if !returning.is_compiled() {
            self.waiting.push((own(row), own(second)));
            return Ok(());
        }
        let env = Env {
            row: Row::Two(row, second),
            parameters: context.parameters,
            info: &context.info,
        };
        let mut values = Vec::with_capacity(returning.items.len());
        for item in &returning.items {
            if let Item::Compiled(expr) = item {
                values.push(expr.eval(&env)?.into_owned());
            }
        }
        self.rows.push(values);
        Ok(())
    }

    /// The statement's outcome: its rows, or its tag alone.
    pub(super) async fn finish(
        mut self,
        context: &mut Context<'_>,
        target: &Target,
        second: &[SecondColumn],
        tag: String,
    ) -> Result<Outcome> {
        let Some(returning) = self.returning else {
            return Ok(Outcome::Command(tag));
        };
        for (row, values) in std::mem::take(&mut self.waiting) {
            let row = evaluate(context, target, returning, second, &row, &values).await?;
            self.rows.push(row);
        }
        Ok(Outcome::Rows {
            columns: returning.columns.clone(),
            rows: Box::pin(futures::stream::iter([Ok(Rows::Datums(self.rows))])),
            tag: Tag::Fixed(tag),
        })
    }
}

fn own(row: &[Datum<'_>]) -> Vec<Datum<'static>> {
    row.iter().map(|datum| datum.clone().into_owned()).collect()
}

async fn evaluate(
    context: &mut Context<'_>,
    target: &Target,
    returning: &Returning,
    second: &[SecondColumn],
    row: &[Datum<'static>],
    values: &[Datum<'static>],
) -> Result<Vec<Datum<'static>>> {
    let general: Vec<ast::Expr> = returning
        .items
        .iter()
        .filter_map(|item| match item {
            Item::General(expr) => Some(expr.as_ref().clone()),
            Item::Compiled(_) => None,
        })
        .collect();
    let results = evaluate_over(context, target, &general, second, row, values).await?;
    let mut results = results.into_iter();
    let mut out = Vec::with_capacity(returning.items.len());
    for item in &returning.items {
        match item {
            Item::Compiled(expr) => {
                let env = Env {
                    row: Row::Two(row, values),
                    parameters: context.parameters,
                    info: &context.info,
                };
                out.push(expr.eval(&env)?.into_owned());
            }
            Item::General(_) => {
                let (value, _) = results
                    .next()
                    .ok_or_else(|| Error::internal("an expression gave no value"))?;
                out.push(value);
            }
        }
    }
    Ok(out)
}

/// Evaluates expressions that [`rewrite`] prepared over one row and its second row.
pub(super) async fn evaluate_over(
    context: &mut Context<'_>,
    target: &Target,
    expressions: &[ast::Expr],
    second: &[SecondColumn],
    row: &[Datum<'_>],
    values: &[Datum<'_>],
) -> Result<Vec<(Datum<'static>, PgType)>> {
    let mut execution = context.execution()?;
    execution.parameters.extend(own(values));
    let mut types = context.parameter_types.to_vec();
    types.extend(second.iter().map(|column| column.ty));
    let live: Vec<Datum<'static>> = target
        .live(row)
        .map(|datum| datum.clone().into_owned())
        .collect();
    let mut plan = context.plan_context();
    plan.parameters = &types;
    let results = context
        .engine
        .query
        .evaluate(expressions, Some(&target.table), &[live], &plan, &execution)
        .await?;
    results
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal("expressions gave no row"))
}

/// Puts `alias` before the plain names of a table's columns.
pub(super) fn qualify(expr: &mut ast::Expr, table: &crate::catalog::Table, alias: &str) {
    let _ = visit_expressions_mut(expr, |expr| {
        if let ast::Expr::Identifier(name) = &*expr {
            if table.column(&fold(name)).is_some() {
                *expr = ast::Expr::CompoundIdentifier(vec![
                    Ident::with_quote('"', alias),
                    name.clone(),
                ]);
            }
        }
        ControlFlow::<()>::Continue(())
    });
}
