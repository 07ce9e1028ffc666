//! UPDATE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, SelectItem, TableWithJoins, UpdateTableFromKind};

use super::assign::{Assigned, Set, SetValue, Written, assigned};
use super::begin::begin;
use super::compiled::{Access, Compiler, Scope, SecondColumn};
use super::foreign_key::Changes;
use super::matches::{self, Matches};
use super::names::{Verb, plain_table, refuse_over_rows, writable};
use super::returning::{Returned, Returning};
use super::search::{Found, Search};
use super::target::Target;
use super::values::{Conversion, is_open_literal};
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::PlanContext;
use crate::sql::{Context, Engine, Outcome};
use crate::txn::{RelationMode, RowMode};
use crate::types::PgType;

/// A prepared UPDATE.
pub(super) struct Update {
    pub target: Arc<Target>,
    pub search: Search,
    sets: Vec<Set>,
    changed: Vec<bool>,
    mode: RowMode,
    pub returning: Option<Returning>,
    /// Columns of the FROM items, if RETURNING may name them; the search selects their values from
    /// this position on.
    second: Vec<SecondColumn>,
    second_start: usize,
}

/// The target of UPDATE or DELETE: its name and its alias.
pub(super) fn target_of(
    item: &TableWithJoins,
    verb: Verb,
    context: &PlanContext<'_>,
) -> Result<(Arc<Target>, String)> {
    let Some((name, alias)) = plain_table(&item.relation).filter(|_| item.joins.is_empty()) else {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!("the target of {} must be a table", verb.word()),
        ));
    };
    let table = writable(name, verb, context.catalog, context.info)?;
    let alias = match alias {
        Some(alias) if !alias.columns.is_empty() => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "the target's alias takes no column names",
            ));
        }
        Some(alias) => fold(&alias.name),
        None => table.name.clone(),
    };
    let target = Target::new(context.catalog, context.info, &table)?;
    Ok((target, alias))
}

impl Update {
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        statement: &ast::Update,
        with: Option<&ast::With>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<Update> {
        if statement.or.is_some()
            || statement.output.is_some()
            || !statement.order_by.is_empty()
            || statement.limit.is_some()
            || matches!(statement.from, Some(UpdateTableFromKind::BeforeSet(_)))
        {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "UPDATE takes FROM, WHERE and RETURNING after its SET list",
            ));
        }
        let (target, alias) = target_of(&statement.table, Verb::Update, context)?;
        let from = match &statement.from {
            Some(UpdateTableFromKind::AfterSet(items)) => items.as_slice(),
            _ => &[],
        };
        let list = assigned(&target.table, &statement.assignments)?;
        let mut changed = vec![false; target.table.columns.len()];
        for assigned in &list {
            if let Some(flag) = changed.get_mut(assigned.column) {
                *flag = true;
            }
        }
        let mut update = Update {
            mode: target.update_mode(&changed),
            sets: Vec::with_capacity(list.len()),
            changed,
            returning: None,
            second: Vec::new(),
            second_start: 0,
            search: Search::Key(Box::new(Access::none())),
            target: target.clone(),
        };
        let simple = from.is_empty() && with.is_none();
        // With FROM, a plain name may be another item's: only what names no column compiles.
        let scope = match simple {
            true => Scope::table(&target.table, &alias),
            false => Scope::default(),
        };
        let mut planned = Vec::new();
        for Assigned { column, value } in list {
            update.set(compiler, scope, &target, column, value, &mut planned)?;
        }
        if simple
            && planned.is_empty()
            && let Some(access) =
                Access::compile(compiler, &target, &alias, statement.selection.as_ref())
        {
            update.search = Search::Key(Box::new(access));
            if let Some(list) = &statement.returning {
                let list =
                    Returning::prepare(engine, context, compiler, list, &target, &alias, &[]);
                update.returning = Some(list.await?);
            }
            return Ok(update);
        }
        if let (Some(_), false) = (&statement.returning, from.is_empty()) {
            update.second =
                matches::columns_of(engine, context, &compiler.parameters, with, from).await?;
        }
        if let Some(list) = &statement.returning {
            let second = &update.second;
            let list = Returning::prepare(engine, context, compiler, list, &target, &alias, second)
                .await?;
            update.returning = Some(list);
        }
        let values: Vec<SelectItem> = planned
            .iter()
            .enumerate()
            .map(|(n, (_, expr))| SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: ast::Ident::with_quote('"', format!("__new_{n}")),
            })
            .chain(matches::second_items(&update.second))
            .collect();
        update.second_start = planned.len();
        let mut all = vec![statement.table.clone()];
        all.extend_from_slice(from);
        let search = Matches::plan(
            engine,
            context,
            &compiler.parameters,
            &alias,
            with.cloned(),
            values,
            all,
            statement.selection.clone(),
        )
        .await?;
        merge_parameters(compiler, &search.plan.parameters);
        for (n, (column, expr)) in planned.iter().enumerate() {
            let found = search
                .plan
                .columns
                .get(n.saturating_add(1))
                .ok_or_else(|| Error::internal("a search gave fewer columns than planned"))?;
            let described = target.column(*column)?;
            let conversion = Conversion::new(
                found.ty,
                is_open_literal(expr),
                &described.name,
                described.ty,
            )?;
            update.sets.push(Set {
                column: *column,
                value: SetValue::Planned(n, conversion),
            });
        }
        update.search = Search::Query(Box::new(search));
        Ok(update)
    }

    fn set(
        &mut self,
        compiler: &mut Compiler<'_>,
        scope: Scope<'_>,
        target: &Target,
        column: usize,
        value: Written,
        planned: &mut Vec<(usize, ast::Expr)>,
    ) -> Result<()> {
        let described = target.column(column)?;
        let value = match value {
            Written::Default => {
                let default = target.default(compiler.catalog, compiler.info, column)?;
                SetValue::from_default(default)
            }
            Written::Expr(expr) => {
                match compiler.assign(&expr, scope, &described.name, described.ty)? {
                    Some(expr) => SetValue::Compiled(expr),
                    None => {
                        refuse_over_rows(&expr, "UPDATE")?;
                        planned.push((column, expr));
                        return Ok(());
                    }
                }
            }
        };
        self.sets.push(Set { column, value });
        Ok(())
    }

    pub(super) fn is_compiled(&self) -> bool {
        self.search.is_compiled()
            && self.returning.as_ref().is_none_or(Returning::is_compiled)
            && self
                .sets
                .iter()
                .all(|set| matches!(set.value, SetValue::Compiled(_)))
    }

    /// Whether it may change a key that other rows reference.
    pub(super) fn may_cascade(&self) -> bool {
        self.mode == RowMode::Update && !self.target.referencing.is_empty()
    }

    pub(super) async fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        if !begin(
            context,
            &self.target,
            RelationMode::RowExclusive,
            Verb::Update,
        )
        .await?
        {
            return Ok(Outcome::Replan);
        }
        let mut changes = Changes::default();
        let mut returned = Returned::new(context, self.returning.as_ref())?;
        let mut count = 0_u64;
        let mut rows = self.search.lock(context, &self.target, self.mode).await?;
        while let Some(row) = rows.next(context, &self.target)? {
            self.write(context, &mut changes, &mut returned, &row)
                .await?;
            count = count.saturating_add(1);
        }
        changes.finish(context).await?;
        Ok(returned.finish(format!("UPDATE {count}")))
    }

    /// Writes the new version of one locked row.
    async fn write(
        &self,
        context: &mut Context<'_>,
        changes: &mut Changes,
        returned: &mut Returned<'_>,
        row: &Found,
    ) -> Result<()> {
        let planned = row.values.as_slice();
        let old = self.target.decode(&row.bytes)?;
        let mut new = old.clone();
        for set in &self.sets {
            let value = set
                .value
                .eval(context, &self.target, set.column, &old, planned)
                .await?;
            if let Some(slot) = new.get_mut(set.column) {
                *slot = value;
            }
        }
        self.target
            .update(context, changes, &row.row_key, &old, &new, &self.changed)
            .await?;
        let second = planned.get(self.second_start..).unwrap_or(&[]);
        returned.add(context, &new, second).await
    }
}

/// Takes the types that the planner inferred for parameters that were still open.
pub(super) fn merge_parameters(compiler: &mut Compiler<'_>, inferred: &[PgType]) {
    for (at, ty) in inferred.iter().enumerate() {
        match compiler.parameters.get_mut(at) {
            Some(slot) if slot.oid == PgType::UNKNOWN.oid => *slot = *ty,
            Some(_) => {}
            None => compiler.parameters.push(*ty),
        }
    }
}
