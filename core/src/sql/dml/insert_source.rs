//! What an INSERT inserts: a VALUES list, or a query.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, SelectItem, SetExpr};
use futures::StreamExt;

use super::assign::is_default;
use super::check::generated_always;
use super::compiled::{Compiler, Expr, Scope};
use super::forms::Overriding;
use super::matches;
use super::names::{parts, positions, refuse_over_rows};
use super::target::{Default, Target};
use super::update::merge_parameters;
use super::values::{Conversion, is_open_literal};
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{Execution, Plan, PlanContext};
use crate::sql::{Context, Engine};
use crate::types::Datum;

/// Expressions that one planned SELECT computes for a VALUES list.
const MAX_PLANNED_VALUES: usize = 1000;

/// Where the rows of an INSERT come from.
pub(super) enum Source {
    Values {
        rows: Vec<Vec<(usize, Cell)>>,
        /// What does not compile, in chunks, each one query of one row.
        planned: Vec<Plan>,
    },
    Query {
        plan: Box<Plan>,
        /// Which column each result column goes to, if it is used.
        columns: Vec<Option<(usize, Conversion)>>,
    },
}

/// A value of a VALUES list.
pub(super) enum Cell {
    Compiled(Expr),
    Default(Default),
    /// A column of a planned query.
    Planned {
        plan: usize,
        column: usize,
        conversion: Conversion,
    },
}

/// The columns that the source's values go to, in order.
pub(super) fn columns(statement: &ast::Insert, target: &Target) -> Result<Vec<usize>> {
    if statement.columns.is_empty() {
        return Ok(target.table.live_columns().map(|(at, _)| at).collect());
    }
    let names = statement.columns.iter();
    let names = names.map(|name| parts(name).into_iter().next().unwrap_or_default());
    positions(&target.table, names)
}

/// The rows of a plain VALUES list.
pub(super) fn values_of(query: &ast::Query) -> Option<&ast::Values> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain => Some(values),
        _ => None,
    }
}

/// 42601 for a source that is wider or narrower than the column list.
fn check_width(width: usize, columns: usize, named: bool) -> Result<()> {
    let message = if width > columns {
        "INSERT has more expressions than target columns"
    } else if width < columns && named {
        "INSERT has more target columns than expressions"
    } else {
        return Ok(());
    };
    Err(Error::new(SqlState::SYNTAX_ERROR, message))
}

/// Prepares a VALUES list.
pub(super) struct Values<'a> {
    pub target: &'a Target,
    pub columns: &'a [usize],
    pub named: bool,
    pub overriding: Option<Overriding>,
    /// What does not compile: (row, cell, column, expression).
    pub open: Vec<(usize, usize, usize, ast::Expr)>,
}

impl Values<'_> {
    /// The source, and how many columns it gives.
    pub(super) async fn prepare(
        &mut self,
        engine: &Arc<Engine>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
        values: &ast::Values,
    ) -> Result<(Source, usize)> {
        let width = values.rows.first().map_or(0, |row| row.len());
        if values.rows.iter().any(|row| row.len() != width) {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "VALUES lists must all be the same length",
            ));
        }
        check_width(width, self.columns.len(), self.named)?;
        let mut rows = Vec::with_capacity(values.rows.len());
        for (n, row) in values.rows.iter().enumerate() {
            let mut cells = Vec::with_capacity(width);
            for (at, expr) in self.columns.iter().zip(row.iter()) {
                cells.push((*at, self.cell(compiler, n, cells.len(), *at, expr)?));
            }
            rows.push(cells);
        }
        let mut planned: Vec<Plan> = Vec::new();
        for chunk in self.open.chunks(MAX_PLANNED_VALUES) {
            let items = chunk
                .iter()
                .enumerate()
                .map(|(n, (_, _, _, expr))| SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: ast::Ident::with_quote('"', format!("__value_{n}")),
                })
                .collect();
            let query = matches::query(None, items, Vec::new(), None)?;
            let context = PlanContext {
                parameters: &compiler.parameters,
                row_keys: &[],
                ..context.clone()
            };
            let plan = engine.query.plan(&query, &context).await?;
            merge_parameters(compiler, &plan.parameters);
            for (n, (row, cell, at, expr)) in chunk.iter().enumerate() {
                let from = plan
                    .columns
                    .get(n)
                    .ok_or_else(|| Error::internal("a VALUES list lacks a column"))?;
                let column = self.target.column(*at)?;
                let conversion =
                    Conversion::new(from.ty, is_open_literal(expr), &column.name, column.ty)?;
                if let Some((_, slot)) = rows.get_mut(*row).and_then(|row| row.get_mut(*cell)) {
                    *slot = Cell::Planned {
                        plan: planned.len(),
                        column: n,
                        conversion,
                    };
                }
            }
            planned.push(plan);
        }
        Ok((Source::Values { rows, planned }, width))
    }

    fn cell(
        &mut self,
        compiler: &mut Compiler<'_>,
        row: usize,
        cell: usize,
        at: usize,
        expr: &ast::Expr,
    ) -> Result<Cell> {
        let column = self.target.column(at)?;
        let replaced = self.overriding == Some(Overriding::User) && column.identity.is_some();
        if is_default(expr) || replaced {
            let default = self.target.default(compiler.catalog, compiler.info, at)?;
            return Ok(Cell::Default(default));
        }
        if self.target.is_always_identity(at) && self.overriding != Some(Overriding::System) {
            return Err(generated_always(&column.name, true));
        }
        match compiler.assign(expr, Scope::default(), &column.name, column.ty)? {
            Some(expr) => Ok(Cell::Compiled(expr)),
            None => {
                refuse_over_rows(expr, "VALUES")?;
                self.open.push((row, cell, at, expr.clone()));
                Ok(Cell::Default(Default::Compiled(Expr::constant(
                    Datum::Null,
                    column.ty,
                ))))
            }
        }
    }
}

/// Computes what did not compile of a VALUES list.
pub(super) async fn run_values(
    context: &mut Context<'_>,
    planned: &[Plan],
) -> Result<Vec<Vec<Datum<'static>>>> {
    let mut computed = Vec::with_capacity(planned.len());
    for plan in planned {
        let execution: Execution = context.execution()?;
        let mut stream = context.engine.query.run(plan, execution).await?;
        let mut row = None;
        while let Some(rows) = stream.next().await {
            let rows = rows?;
            if row.is_none() && !rows.is_empty() {
                row = Some(super::values::row_values(plan, &rows, 0)?);
            }
        }
        computed.push(row.ok_or_else(|| Error::internal("a VALUES list gave no row"))?);
    }
    Ok(computed)
}

/// Prepares a query as the source. Returns how many columns it gives too.
#[expect(clippy::too_many_arguments, reason = "the parts of one clause")]
pub(super) async fn query_source(
    engine: &Arc<Engine>,
    context: &PlanContext<'_>,
    compiler: &mut Compiler<'_>,
    target: &Target,
    columns: &[usize],
    named: bool,
    overriding: Option<Overriding>,
    query: &ast::Query,
    with: Option<&ast::With>,
) -> Result<(Source, usize)> {
    let mut query = query.clone();
    if let Some(outer) = with {
        query.with = Some(match query.with.take() {
            None => outer.clone(),
            Some(inner) => {
                let mut both = outer.clone();
                both.recursive |= inner.recursive;
                // The inner names hide the outer ones.
                both.cte_tables.retain(|cte| {
                    !inner
                        .cte_tables
                        .iter()
                        .any(|other| fold(&other.alias.name) == fold(&cte.alias.name))
                });
                both.cte_tables.extend(inner.cte_tables);
                both
            }
        });
    }
    let literals: Vec<bool> = match query.body.as_ref() {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    is_open_literal(expr)
                }
                _ => false,
            })
            .collect(),
        _ => Vec::new(),
    };
    let plan_context = PlanContext {
        parameters: &compiler.parameters,
        row_keys: &[],
        ..context.clone()
    };
    let plan = engine.query.plan(&query, &plan_context).await?;
    merge_parameters(compiler, &plan.parameters);
    check_width(plan.columns.len(), columns.len(), named)?;
    // A wildcard moves the positions, and then nothing is known of literals.
    let aligned = literals.len() == plan.columns.len();
    let mut to = Vec::with_capacity(plan.columns.len());
    for (n, (from, at)) in plan.columns.iter().zip(columns).enumerate() {
        let column = target.column(*at)?;
        if overriding == Some(Overriding::User) && column.identity.is_some() {
            to.push(None);
            continue;
        }
        if target.is_always_identity(*at) && overriding != Some(Overriding::System) {
            return Err(generated_always(&column.name, true));
        }
        let literal = aligned && literals.get(n).copied().unwrap_or(false);
        to.push(Some((
            *at,
            Conversion::new(from.ty, literal, &column.name, column.ty)?,
        )));
    }
    let width = plan.columns.len();
    Ok((
        Source::Query {
            plan: Box::new(plan),
            columns: to,
        },
        width,
    ))
}
