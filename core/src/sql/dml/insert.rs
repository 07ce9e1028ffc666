//! INSERT: where the rows come from, and how a row of values becomes a row of the table.
//!
//! Values of a VALUES list that compile never enter DataFusion; the others are computed by one
//! query without FROM. Everything else is a query whose result streams into the table: it reads at
//! the statement's snapshot, so it never meets the rows it inserts.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, SelectItem, SetExpr};
use futures::StreamExt;

use super::assign::{default_value, is_default};
use super::begin::begin;
use super::check::generated_always;
use super::compiled::{Compiler, Env, Expr, Row, Scope};
use super::forms::Overriding;
use super::matches;
use super::names::{Verb, parts, refuse_aggregates, undefined_column, writable};
use super::on_conflict::{OnConflict, Resolved};
use super::returning::{Returned, Returning};
use super::target::{Default, Target};
use super::update::merge_parameters;
use super::values::{Conversion, is_open_literal, value};
use super::write::{Changes, Unique};
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{Execution, Plan, PlanContext};
use crate::sql::{Context, Engine, Outcome};
use crate::txn::RelationMode;
use crate::types::Datum;

/// Expressions that one planned SELECT computes for a VALUES list.
const MAX_PLANNED_VALUES: usize = 1000;

/// A prepared INSERT.
pub(super) struct Insert {
    pub target: Arc<Target>,
    source: Source,
    /// How each physical column that is not given gets its value.
    defaults: Vec<(usize, Default)>,
    pub conflict: Option<OnConflict>,
    pub returning: Option<Returning>,
}

enum Source {
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

enum Cell {
    Compiled(Expr),
    Default(Default),
    /// A column of a planned query.
    Planned {
        plan: usize,
        column: usize,
        conversion: Conversion,
    },
}

impl Insert {
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        statement: &ast::Insert,
        with: Option<&ast::With>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<Insert> {
        let overriding = match (statement.overwrite, statement.replace_into) {
            (true, _) => Some(Overriding::System),
            (false, true) => Some(Overriding::User),
            (false, false) => None,
        };
        refuse(statement)?;
        let ast::TableObject::TableName(name) = &statement.table else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT writes a table"));
        };
        let table = writable(name, Verb::Insert, context.catalog, context.info)?;
        let target = Target::new(context.catalog, context.info, &table)?;
        let alias = match &statement.table_alias {
            Some(alias) => fold(&alias.alias),
            None => table.name.clone(),
        };
        let columns = columns(statement, &target)?;
        let named = !statement.columns.is_empty();
        let mut given = Vec::new();
        let source = match &statement.source {
            None => Source::Values {
                rows: vec![Vec::new()],
                planned: Vec::new(),
            },
            Some(query) => match values_of(query) {
                Some(values) if with.is_none() => {
                    let mut build = Values {
                        target: &target,
                        columns: &columns,
                        named,
                        overriding,
                        open: Vec::new(),
                    };
                    let (source, width) = build.prepare(engine, context, compiler, values).await?;
                    given.extend(columns.iter().take(width).copied());
                    source
                }
                _ => {
                    let (source, width) = query_source(
                        engine, context, compiler, &target, &columns, named, overriding, query,
                        with,
                    )
                    .await?;
                    given.extend(columns.iter().take(width).copied());
                    source
                }
            },
        };
        let mut defaults = Vec::new();
        for (at, _) in table.live_columns() {
            let replaced = overriding == Some(Overriding::User)
                && target.column(at)?.identity.is_some()
                && matches!(source, Source::Query { .. });
            if !given.contains(&at) || replaced {
                defaults.push((at, target.default(context.catalog, context.info, at)?));
            }
        }
        let conflict = match &statement.on {
            None => None,
            Some(ast::OnInsert::OnConflict(clause)) => {
                let prepared =
                    OnConflict::prepare(engine, clause, &target, &alias, context, compiler).await?;
                Some(prepared)
            }
            Some(_) => {
                return Err(Error::unsupported(
                    "ON DUPLICATE KEY UPDATE",
                    "Use ON CONFLICT (columns) DO UPDATE SET ….",
                ));
            }
        };
        let returning = match &statement.returning {
            None => None,
            Some(list) => Some(
                Returning::prepare(engine, context, compiler, list, &target, &alias, &[]).await?,
            ),
        };
        Ok(Insert {
            target,
            source,
            defaults,
            conflict,
            returning,
        })
    }

    pub(super) fn is_compiled(&self) -> bool {
        let compiled = |default: &Default| matches!(default, Default::Compiled(_));
        let source = match &self.source {
            Source::Values { rows, planned } => {
                planned.is_empty()
                    && rows.iter().flatten().all(|(_, cell)| match cell {
                        Cell::Compiled(_) => true,
                        Cell::Default(default) => compiled(default),
                        Cell::Planned { .. } => false,
                    })
            }
            Source::Query { .. } => false,
        };
        source
            && self.defaults.iter().all(|(_, default)| compiled(default))
            && self.conflict.as_ref().is_none_or(OnConflict::is_compiled)
            && self.returning.as_ref().is_none_or(Returning::is_compiled)
    }

    /// The plan of the rows to insert, for EXPLAIN.
    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.source {
            Source::Query { plan, .. } => Some(plan),
            Source::Values { .. } => None,
        }
    }

    pub(super) async fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        if !begin(
            context,
            &self.target,
            RelationMode::RowExclusive,
            Verb::Insert,
        )
        .await?
        {
            return Ok(Outcome::Replan);
        }
        let mut state = State {
            changes: Changes::default(),
            returned: Returned::new(context, self.returning.as_ref())?,
            count: 0,
            touched: std::collections::HashSet::new(),
        };
        match &self.source {
            Source::Values { rows, planned } => {
                let computed = run_values(context, planned).await?;
                for row in rows {
                    context.interrupt.check()?;
                    let mut values = self.target.empty_row();
                    for (at, cell) in row {
                        let value = self.cell(context, *at, cell, &computed).await?;
                        if let Some(slot) = values.get_mut(*at) {
                            *slot = value;
                        }
                    }
                    self.complete(context, &mut values).await?;
                    self.write(context, &mut state, values).await?;
                }
            }
            Source::Query { plan, columns } => {
                let execution = context.execution()?;
                let mut stream = context.engine.query.run(plan, execution).await?;
                while let Some(rows) = stream.next().await {
                    let rows = rows?;
                    for row in 0..rows.len() {
                        context.interrupt.check()?;
                        let mut values = self.target.empty_row();
                        for (n, (column, to)) in plan.columns.iter().zip(columns).enumerate() {
                            let Some((at, conversion)) = to else { continue };
                            let value = value(&rows, row, n, column.ty)?;
                            if let Some(slot) = values.get_mut(*at) {
                                *slot = conversion.apply(value, &context.info.style)?;
                            }
                        }
                        self.complete(context, &mut values).await?;
                        self.write(context, &mut state, values).await?;
                    }
                }
            }
        }
        state.changes.finish(context).await?;
        let tag = format!("INSERT 0 {}", state.count);
        Ok(state.returned.finish(tag))
    }

    async fn cell(
        &self,
        context: &mut Context<'_>,
        at: usize,
        cell: &Cell,
        computed: &[Vec<Datum<'static>>],
    ) -> Result<Datum<'static>> {
        match cell {
            Cell::Compiled(expr) => constant(context, expr),
            Cell::Default(default) => self.default(context, at, default).await,
            Cell::Planned {
                plan,
                column,
                conversion,
            } => {
                let value = computed
                    .get(*plan)
                    .and_then(|row| row.get(*column))
                    .ok_or_else(|| Error::internal("a VALUES list lacks a value"))?;
                conversion.apply(value.clone(), &context.info.style)
            }
        }
    }

    async fn default(
        &self,
        context: &mut Context<'_>,
        at: usize,
        default: &Default,
    ) -> Result<Datum<'static>> {
        match default {
            Default::Compiled(expr) => constant(context, expr),
            Default::General(expr) => default_value(context, &self.target, at, expr).await,
        }
    }

    /// Fills in the columns that the statement gives no value.
    async fn complete(
        &self,
        context: &mut Context<'_>,
        values: &mut [Datum<'static>],
    ) -> Result<()> {
        for (at, default) in &self.defaults {
            let value = self.default(context, *at, default).await?;
            if let Some(slot) = values.get_mut(*at) {
                *slot = value;
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        context: &mut Context<'_>,
        state: &mut State<'_>,
        values: Vec<Datum<'static>>,
    ) -> Result<()> {
        let Some(conflict) = &self.conflict else {
            self.target
                .insert(context, &mut state.changes, &values, Unique::Check)
                .await?;
            state.count = state.count.saturating_add(1);
            return state.returned.add(context, &values, &[]).await;
        };
        let resolved = conflict
            .write(
                context,
                &self.target,
                &mut state.changes,
                &mut state.touched,
                &values,
            )
            .await?;
        match resolved {
            Resolved::Inserted => state.returned.add(context, &values, &[]).await?,
            Resolved::Updated(row) => state.returned.add(context, &row, &[]).await?,
            Resolved::Skipped => return Ok(()),
        }
        state.count = state.count.saturating_add(1);
        Ok(())
    }
}

/// What an INSERT keeps while it runs.
struct State<'r> {
    changes: Changes,
    returned: Returned<'r>,
    count: u64,
    /// Keys of the rows that this statement inserted or updated.
    touched: std::collections::HashSet<Vec<u8>>,
}

fn constant(context: &Context<'_>, expr: &Expr) -> Result<Datum<'static>> {
    let env = Env {
        row: Row::None,
        parameters: context.parameters,
        info: &context.info,
    };
    Ok(expr.eval(&env)?.into_owned())
}

fn refuse(statement: &ast::Insert) -> Result<()> {
    if statement.or.is_some()
        || statement.ignore
        || statement.partitioned.is_some()
        || !statement.after_columns.is_empty()
        || statement.has_table_keyword
        || !statement.assignments.is_empty()
        || statement.output.is_some()
        || statement.priority.is_some()
        || statement.insert_alias.is_some()
        || statement.settings.is_some()
        || statement.format_clause.is_some()
        || statement.multi_table_insert_type.is_some()
        || !statement.into
    {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "INSERT takes INTO table, columns, VALUES or a query, ON CONFLICT and RETURNING",
        ));
    }
    Ok(())
}

/// The columns that the source's values go to, in order.
fn columns(statement: &ast::Insert, target: &Target) -> Result<Vec<usize>> {
    if statement.columns.is_empty() {
        return Ok(target.table.live_columns().map(|(at, _)| at).collect());
    }
    let mut columns = Vec::with_capacity(statement.columns.len());
    for name in &statement.columns {
        let parts = parts(name);
        let name = parts.first().map_or("", String::as_str);
        let at = target
            .table
            .column(name)
            .ok_or_else(|| undefined_column(name, &target.table.name))?;
        if columns.contains(&at) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        columns.push(at);
    }
    Ok(columns)
}

/// The rows of a plain VALUES list.
fn values_of(query: &ast::Query) -> Option<&ast::Values> {
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
struct Values<'a> {
    target: &'a Target,
    columns: &'a [usize],
    named: bool,
    overriding: Option<Overriding>,
    /// What does not compile: (row, cell, column, expression).
    open: Vec<(usize, usize, usize, ast::Expr)>,
}

impl Values<'_> {
    /// The source, and how many columns it gives.
    async fn prepare(
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
                refuse_aggregates(expr, "VALUES")?;
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
async fn run_values(
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
async fn query_source(
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
