//! INSERT: where the rows come from, and how a row of values becomes a row of the table.
//!
//! Values of a VALUES list that compile never enter DataFusion; the others are computed by one
//! query without FROM. Everything else is a query whose result streams into the table: it reads at
//! the statement's snapshot, so it never meets the rows it inserts.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use super::assign::{constant, default_of};
use super::begin::begin;
use super::bulk::Bulk;
use super::compiled::Compiler;
use super::foreign_key::Changes;
use super::forms::Overriding;
use super::insert_source::{Cell, Source, Values, columns, query_source, run_values, values_of};
use super::names::{Verb, writable};
use super::on_conflict::{OnConflict, Resolved};
use super::returning::{Returned, Returning};
use super::target::{Default, Target};
use super::values::value;
use super::write::Unique;
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{Plan, PlanContext};
use crate::sql::{Context, Engine, Outcome};
use crate::txn::RelationMode;
use crate::types::Datum;

/// Rows of a VALUES list from which on they are written together.
const MANY_ROWS: usize = 64;

/// A prepared INSERT.
pub(super) struct Insert {
    pub target: Arc<Target>,
    source: Source,
    /// How each physical column that is not given gets its value.
    defaults: Vec<(usize, Default)>,
    pub conflict: Option<OnConflict>,
    pub returning: Option<Returning>,
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
            bulk: match self.is_bulk() {
                true => Some(Bulk::begin(context, &self.target)?),
                false => None,
            },
        };
        let written = self.write_all(context, &mut state).await;
        if let Some(bulk) = &mut state.bulk {
            match written.is_err() {
                // A row that comes before the error may be one, too.
                true => bulk.write(context).await?,
                false => bulk.finish(context).await?,
            }
        }
        written?;
        state.changes.finish(context).await?;
        let tag = format!("INSERT 0 {}", state.count);
        Ok(state.returned.finish(tag))
    }

    pub(super) fn has_many_rows(&self) -> bool {
        match &self.source {
            Source::Values { rows, .. } => rows.len() >= MANY_ROWS,
            Source::Query { .. } => true,
        }
    }

    /// Whether there may be many rows, of which nothing needs to be known one by one.
    fn is_bulk(&self) -> bool {
        self.has_many_rows() && self.conflict.is_none() && self.returning.is_none()
    }

    async fn write_all(&self, context: &mut Context<'_>, state: &mut State<'_>) -> Result<()> {
        match &self.source {
            Source::Values { rows, planned } => {
                let computed = match planned.as_slice() {
                    [] => Vec::new(),
                    planned => Box::pin(run_values(context, planned)).await?,
                };
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
                    self.write(context, state, values).await?;
                }
            }
            Source::Query { plan, columns } => {
                let execution = context.execution()?;
                let mut stream = Box::pin(context.engine.query.run(plan, execution)).await?;
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
                        self.write(context, state, values).await?;
                    }
                }
            }
        }
        Ok(())
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
            Cell::Default(default) => default_of(context, &self.target, at, default).await,
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

    /// Fills in the columns that the statement gives no value.
    async fn complete(
        &self,
        context: &mut Context<'_>,
        values: &mut [Datum<'static>],
    ) -> Result<()> {
        for (at, default) in &self.defaults {
            let value = default_of(context, &self.target, *at, default).await?;
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
        if let Some(bulk) = &mut state.bulk {
            let added = bulk.add(context, &mut state.changes, &values, None);
            Box::pin(added).await?;
            state.count = state.count.saturating_add(1);
            return Ok(());
        }
        let Some(conflict) = &self.conflict else {
            self.target
                .insert(context, &mut state.changes, &values, Unique::Check)
                .await?;
            state.count = state.count.saturating_add(1);
            return state.returned.add(context, &values, &[]).await;
        };
        let resolved = conflict.write(
            context,
            &self.target,
            &mut state.changes,
            &mut state.touched,
            &values,
        );
        let resolved = Box::pin(resolved).await?;
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
    /// Rows that are written many at a time.
    bulk: Option<Bulk>,
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
