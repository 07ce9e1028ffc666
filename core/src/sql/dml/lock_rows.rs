//! `SELECT … FOR [NO KEY] UPDATE / [KEY] SHARE [OF …] [NOWAIT | SKIP LOCKED]`.
//!
//! The query also selects the row keys of the tables to lock. Its rows are locked one by one in the
//! order they come, and LIMIT and OFFSET count the rows that were locked, as in PostgreSQL: with
//! SKIP LOCKED, `LIMIT 1` gives the first row that is free. A row that changed while its lock was
//! awaited is looked at again on the newest state.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, Distinct, GroupByExpr, Ident, JoinOperator, LimitClause, SelectItem, SetExpr, TableFactor,
};
use futures::StreamExt;

use super::begin::lock;
use super::compiled::{Compiler, Env, Expr, Row, Scope};
use super::matches::factor_alias;
use super::names::plain_table;
use super::target::Target;
use super::update::merge_parameters;
use super::values::row_values;
use crate::catalog::{Object, QualifiedName};
use crate::error::{Error, Result, SqlState};
use crate::query::{Execution, Plan, PlanContext, ROW_KEY, ResultColumn, Rows};
use crate::sql::{Context, Engine, LockWait, Locking, Outcome, Tag};
use crate::txn::{RelationMode, RowLock, RowMode, Wait, row_not_available};
use crate::types::{Datum, PgType};

/// Rows in one block of the result.
const BLOCK_ROWS: usize = 1024;

/// A prepared locking SELECT.
pub(super) struct LockRows {
    pub plan: Plan,
    pub columns: Arc<[ResultColumn]>,
    /// The tables to lock; their row keys are the plan's last columns, in this order.
    locked: Vec<Locked>,
    limit: Option<Expr>,
    offset: Option<Expr>,
}

struct Locked {
    target: Arc<Target>,
    alias: String,
    mode: RowMode,
    wait: LockWait,
}

impl LockRows {
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        query: &ast::Query,
        locking: &[Locking],
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<LockRows> {
        let words = words(locking);
        let SetExpr::Select(select) = query.body.as_ref() else {
            return Err(not_allowed(
                words,
                match query.body.as_ref() {
                    SetExpr::Values(_) => "cannot be applied to VALUES",
                    _ => "is not allowed with UNION/INTERSECT/EXCEPT",
                },
            ));
        };
        check_shape(select, words)?;
        let locked = tables(select, locking, words, context)?;
        let (limit, offset) = limits(query, compiler)?;
        let mut query = query.clone();
        query.limit_clause = None;
        query.fetch = None;
        query.locks.clear();
        if let SetExpr::Select(select) = query.body.as_mut() {
            for (n, locked) in locked.iter().enumerate() {
                select.projection.push(SelectItem::ExprWithAlias {
                    expr: ast::Expr::CompoundIdentifier(vec![
                        Ident::with_quote('"', locked.alias.as_str()),
                        Ident::with_quote('"', ROW_KEY),
                    ]),
                    alias: Ident::with_quote('"', format!("__row_key_{n}")),
                });
            }
        }
        let row_keys: Vec<String> = locked.iter().map(|locked| locked.alias.clone()).collect();
        let context = PlanContext {
            parameters: &compiler.parameters,
            row_keys: &row_keys,
            ..context.clone()
        };
        let plan = engine.query.plan(&query, &context).await?;
        merge_parameters(compiler, &plan.parameters);
        let shown = plan.columns.len().saturating_sub(locked.len());
        Ok(LockRows {
            columns: plan.columns.iter().take(shown).cloned().collect(),
            plan,
            locked,
            limit,
            offset,
        })
    }

    pub(super) async fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        if context.txn.options().read_only {
            return Err(Error::read_only("SELECT FOR UPDATE"));
        }
        for locked in &self.locked {
            if !lock(context, &locked.target, RelationMode::RowShare).await? {
                return Ok(Outcome::Replan);
            }
        }
        let mut skip = count(context, self.offset.as_ref(), "OFFSET")?.unwrap_or(0);
        let mut left = count(context, self.limit.as_ref(), "LIMIT")?;
        let execution = context.execution()?;
        let mut stream = context.engine.query.run(&self.plan, execution).await?;
        let mut out = Vec::new();
        'rows: while left != Some(0) {
            let Some(rows) = stream.next().await else {
                break;
            };
            let rows = rows?;
            for row in 0..rows.len() {
                context.interrupt.check()?;
                if left == Some(0) {
                    break 'rows;
                }
                let values = row_values(&self.plan, &rows, row)?;
                let Some(mut values) = self.lock_row(context, values).await? else {
                    continue;
                };
                if skip > 0 {
                    skip = skip.saturating_sub(1);
                    continue;
                }
                left = left.map(|left| left.saturating_sub(1));
                values.truncate(self.columns.len());
                let bytes = size_of_val(&values) + Datum::weight_of(&values);
                context.txn.keep(bytes)?;
                out.push(values);
            }
        }
        drop(stream);
        let mut blocks = Vec::new();
        while !out.is_empty() {
            let rest = out.split_off(out.len().min(BLOCK_ROWS));
            blocks.push(Ok(Rows::Datums(std::mem::replace(&mut out, rest))));
        }
        Ok(Outcome::Rows {
            columns: self.columns.clone(),
            rows: Box::pin(futures::stream::iter(blocks)),
            tag: Tag::Counted("SELECT"),
        })
    }

    /// Locks what one row of the result comes from. `None` when it does not belong to the result
    /// (any more).
    async fn lock_row(
        &self,
        context: &mut Context<'_>,
        values: Vec<Datum<'static>>,
    ) -> Result<Option<Vec<Datum<'static>>>> {
        let mut changed = false;
        let mut only = HashMap::new();
        for (n, locked) in self.locked.iter().enumerate() {
            let key = match values.get(self.columns.len().saturating_add(n)) {
                Some(Datum::Bytea(key)) => key.to_vec(),
                // The empty side of an outer join.
                _ => continue,
            };
            let wait = match locked.wait {
                LockWait::Block => context.wait(),
                LockWait::NoWait => Wait::Fail,
                LockWait::SkipLocked => Wait::Skip,
            };
            let storage = locked.target.table.storage;
            let taken = context.txn.lock_row(storage, &key, locked.mode, wait).await;
            let taken = taken.map_err(|error| not_available(error, locked))?;
            match taken {
                RowLock::Unchanged => {}
                RowLock::Changed(Some(_)) => changed = true,
                RowLock::Changed(None) | RowLock::Skipped => return Ok(None),
            }
            only.insert(locked.alias.clone(), Arc::new(vec![key]));
        }
        if !changed {
            return Ok(Some(values));
        }
        let execution = Execution {
            view: context.txn.latest()?,
            info: context.info.clone(),
            parameters: context.parameters.to_vec(),
            interrupt: context.interrupt.clone(),
            only,
        };
        let mut stream = context.engine.query.run(&self.plan, execution).await?;
        while let Some(rows) = stream.next().await {
            let rows = rows?;
            if !rows.is_empty() {
                return row_values(&self.plan, &rows, 0).map(Some);
            }
        }
        Ok(None)
    }
}

/// 55P03 names the table.
fn not_available(error: Error, locked: &Locked) -> Error {
    if error.state() == SqlState::LOCK_NOT_AVAILABLE && locked.wait == LockWait::NoWait {
        return row_not_available(&locked.target.table.name);
    }
    error
}

fn words(locking: &[Locking]) -> &'static str {
    match locking.first().map(|clause| clause.mode) {
        Some(RowMode::NoKeyUpdate) => "FOR NO KEY UPDATE",
        Some(RowMode::Share) => "FOR SHARE",
        Some(RowMode::KeyShare) => "FOR KEY SHARE",
        _ => "FOR UPDATE",
    }
}

fn not_allowed(words: &str, why: &str) -> Error {
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{words} {why}"))
}

fn check_shape(select: &ast::Select, words: &str) -> Result<()> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(items, _) => !items.is_empty(),
        GroupByExpr::All(_) => true,
    };
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
        return Err(not_allowed(words, "is not allowed with DISTINCT clause"));
    }
    if grouped {
        return Err(not_allowed(words, "is not allowed with GROUP BY clause"));
    }
    if select.having.is_some() {
        return Err(not_allowed(words, "is not allowed with HAVING clause"));
    }
    for item in &select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        if let ast::Expr::Function(function) = expr {
            let name = super::names::parts(&function.name)
                .pop()
                .unwrap_or_default();
            if function.over.is_some() {
                return Err(not_allowed(words, "is not allowed with window functions"));
            }
            if matches!(name.as_str(), "count" | "sum" | "avg" | "min" | "max") {
                return Err(not_allowed(
                    words,
                    "is not allowed with aggregate functions",
                ));
            }
        }
    }
    Ok(())
}

/// The items of FROM, each with whether an outer join may leave it without a row.
fn items(from: &ast::TableWithJoins) -> Vec<(&TableFactor, bool)> {
    fn inside(factor: &TableFactor) -> Vec<(&TableFactor, bool)> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => items(table_with_joins),
            other => vec![(other, false)],
        }
    }
    let mut found = inside(&from.relation);
    for join in &from.joins {
        let mut right = inside(&join.relation);
        let (left_nullable, right_nullable) = match join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        for (_, nullable) in &mut found {
            *nullable |= left_nullable;
        }
        for (_, nullable) in &mut right {
            *nullable |= right_nullable;
        }
        found.extend(right);
    }
    found
}

/// Whether an item that is not a table has rows of tables, which its locks would have to reach.
fn reads_tables(item: &TableFactor) -> bool {
    match item {
        TableFactor::Derived { subquery, .. } => !matches!(*subquery.body, SetExpr::Values(_)),
        TableFactor::NestedJoin { .. } => true,
        _ => false,
    }
}

/// The tables that the clauses lock.
fn tables(
    select: &ast::Select,
    locking: &[Locking],
    words: &str,
    context: &PlanContext<'_>,
) -> Result<Vec<Locked>> {
    let items: Vec<(&TableFactor, bool)> = select.from.iter().flat_map(items).collect();
    for name in locking.iter().flat_map(|clause| &clause.of) {
        if !items
            .iter()
            .any(|(item, _)| factor_alias(item).as_ref() == Some(name))
        {
            return Err(Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation \"{name}\" in {words} clause not found in FROM clause"),
            ));
        }
    }
    let mut locked: Vec<Locked> = Vec::new();
    for (item, nullable) in items {
        let Some(alias) = factor_alias(item) else {
            continue;
        };
        for clause in locking {
            let named = clause.of.contains(&alias);
            if !named && !clause.of.is_empty() {
                continue;
            }
            if nullable {
                return Err(not_allowed(
                    words,
                    "cannot be applied to the nullable side of an outer join",
                ));
            }
            let table = match plain_table(item) {
                Some((name, _)) => {
                    let name = QualifiedName::from_ast(name)?;
                    match context.catalog.resolve(&name, &context.info.search_path) {
                        Some(Object::Table(table)) => table.clone(),
                        found if named || matches!(found, Some(Object::View(_))) => {
                            return Err(Error::unsupported(
                                format!("{words} of what is not a table"),
                                "Lock the rows of the tables underneath.",
                            ));
                        }
                        _ => continue,
                    }
                }
                None if named || reads_tables(item) => {
                    return Err(Error::unsupported(
                        format!("{words} of a sub-query"),
                        "Put the locking clause into the sub-query's own statement.",
                    ));
                }
                None => continue,
            };
            match locked.iter_mut().find(|other| other.alias == alias) {
                // Several clauses about one table: the strongest mode counts, and the least patience.
                Some(other) => {
                    other.mode = other.mode.max(clause.mode);
                    other.wait = impatient(other.wait, clause.wait);
                }
                None => locked.push(Locked {
                    target: Target::new(context.catalog, context.info, &table)?,
                    alias: alias.clone(),
                    mode: clause.mode,
                    wait: clause.wait,
                }),
            }
        }
    }
    Ok(locked)
}

fn impatient(one: LockWait, other: LockWait) -> LockWait {
    match (one, other) {
        (LockWait::NoWait, _) | (_, LockWait::NoWait) => LockWait::NoWait,
        (LockWait::SkipLocked, _) | (_, LockWait::SkipLocked) => LockWait::SkipLocked,
        _ => LockWait::Block,
    }
}

/// LIMIT and OFFSET (or FETCH), which are counted here.
fn limits(query: &ast::Query, compiler: &mut Compiler<'_>) -> Result<(Option<Expr>, Option<Expr>)> {
    let (limit, offset) = match &query.limit_clause {
        None => (None, None),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => (limit.as_ref(), offset.as_ref().map(|offset| &offset.value)),
        Some(_) => {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "LIMIT #,# syntax is not supported")
                    .hint("Use separate LIMIT and OFFSET clauses."),
            );
        }
    };
    let limit = match &query.fetch {
        None => limit,
        Some(fetch) if fetch.with_ties || fetch.percent => {
            return Err(not_allowed("FOR UPDATE", "is not supported with WITH TIES"));
        }
        Some(fetch) => fetch.quantity.as_ref(),
    };
    let mut one = |expr: Option<&ast::Expr>| match expr {
        None => Ok(None),
        Some(expr) => compiler
            .assign(expr, Scope::default(), "LIMIT", PgType::INT8)?
            .map(Some)
            .ok_or_else(|| {
                Error::unsupported(
                    "this LIMIT of a locking query",
                    "Use a number or a parameter.",
                )
            }),
    };
    Ok((one(limit)?, one(offset)?))
}

/// A row count; `None` is no limit.
fn count(context: &Context<'_>, expr: Option<&Expr>, clause: &str) -> Result<Option<u64>> {
    let Some(expr) = expr else { return Ok(None) };
    let env = Env {
        row: Row::None,
        parameters: context.parameters,
        info: &context.info,
    };
    match expr.eval(&env)? {
        Datum::Int8(value) => u64::try_from(value).map(Some).map_err(|_| {
            let state = match clause {
                "LIMIT" => SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
                _ => SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE,
            };
            Error::new(state, format!("{clause} must not be negative"))
        }),
        _ => Ok(None),
    }
}
