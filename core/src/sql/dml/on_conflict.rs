//! ON CONFLICT: what becomes of a row whose unique value is taken.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ConflictTarget, OnConflictAction};

use super::assign::{Assigned, Written, assigned, default_value};
use super::compiled::{Compiler, Env, Expr, Row, Scope, SecondColumn};
use super::foreign_key::Changes;
use super::general::General;
use super::target::{Default, Target};
use super::values::{Conversion, is_open_literal};
use super::write::Unique;
use crate::catalog::{ConstraintKind, fold};
use crate::error::{Error, Result, SqlState};
use crate::query::PlanContext;
use crate::sql::{Context, Engine};
use crate::txn::{Isolation, RowMode};
use crate::types::{Datum, PgType, names};

/// Tries at a row that others insert and delete between our look and our lock.
const MAX_TRIES: usize = 1000;

/// A prepared ON CONFLICT clause.
pub(super) struct OnConflict {
    /// Positions in the target's indexes.
    arbiters: Vec<usize>,
    update: Option<DoUpdate>,
}

struct DoUpdate {
    sets: Vec<(usize, Value)>,
    condition: Option<Value>,
    changed: Vec<bool>,
    mode: RowMode,
}

enum Value {
    Compiled(Expr),
    /// Planned over the existing row and `excluded`.
    General {
        expr: Box<General>,
        literal: bool,
    },
    Default(Default),
}

/// What became of a proposed row.
pub(super) enum Resolved {
    Inserted,
    Updated(Vec<Datum<'static>>),
    Skipped,
}

impl OnConflict {
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        clause: &ast::OnConflict,
        target: &Target,
        alias: &str,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<OnConflict> {
        let arbiters = arbiters(clause.conflict_target.as_ref(), target)?;
        let OnConflictAction::DoUpdate(action) = &clause.action else {
            return Ok(OnConflict {
                arbiters,
                update: None,
            });
        };
        if clause.conflict_target.is_none() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name)."));
        }
        let excluded: Vec<SecondColumn> = target
            .table
            .columns
            .iter()
            .map(|column| SecondColumn {
                qualifier: "excluded".to_owned(),
                // No name can be empty, so nothing finds a dropped column.
                name: if column.dropped {
                    String::new()
                } else {
                    column.name.clone()
                },
                ty: column.ty,
            })
            .collect();
        let list = assigned(&target.table, &action.assignments)?;
        let mut changed = vec![false; target.table.columns.len()];
        let prepare = Prepare {
            engine,
            context,
            target,
            alias,
            excluded: &excluded,
        };
        let mut sets = Vec::with_capacity(list.len());
        for Assigned { column, value } in list {
            if let Some(flag) = changed.get_mut(column) {
                *flag = true;
            }
            sets.push((column, prepare.value(compiler, column, value).await?));
        }
        let condition = match &action.selection {
            None => None,
            Some(expr) => Some(prepare.condition(compiler, expr).await?),
        };
        Ok(OnConflict {
            arbiters,
            update: Some(DoUpdate {
                sets,
                condition,
                mode: target.update_mode(&changed),
                changed,
            }),
        })
    }

    pub(super) fn is_compiled(&self) -> bool {
        let compiled = |value: &Value| {
            matches!(
                value,
                Value::Compiled(_) | Value::Default(Default::Compiled(_))
            )
        };
        self.update.as_ref().is_none_or(|update| {
            update.sets.iter().all(|(_, value)| compiled(value))
                && update.condition.as_ref().is_none_or(compiled)
        })
    }

    /// Inserts a row, or does what the clause says.
    pub(super) async fn write(
        &self,
        context: &mut Context<'_>,
        target: &Arc<Target>,
        changes: &mut Changes,
        touched: &mut HashSet<Vec<u8>>,
        values: &[Datum<'static>],
    ) -> Result<Resolved> {
        target.check(context, values).await?;
        for _ in 0..MAX_TRIES {
            let Some(conflict) = target
                .find_conflict(context, values, &self.arbiters)
                .await?
            else {
                target
                    .check_other_unique(context, values, &self.arbiters)
                    .await?;
                let row_key = target
                    .insert(context, changes, values, Unique::Checked)
                    .await?;
                if self.update.is_some() {
                    touched.insert(row_key);
                }
                return Ok(Resolved::Inserted);
            };
            let row_key = conflict.row_key;
            let Some(update) = &self.update else {
                check_visible(context, target, &row_key)?;
                return Ok(Resolved::Skipped);
            };
            if touched.contains(&row_key) {
                return Err(Error::new(
                    SqlState::CARDINALITY_VIOLATION,
                    "ON CONFLICT DO UPDATE command cannot affect row a second time",
                )
                .hint(
                    "Ensure that no rows proposed for insertion within the same command have \
                     duplicate constrained values.",
                ));
            }
            let wait = context.wait();
            context
                .txn
                .lock_row(target.table.storage, &row_key, update.mode, wait)
                .await?;
            let newest = context.txn.latest()?;
            let Some(entry) = newest.get(target.table.storage, &row_key)? else {
                continue;
            };
            let bytes = entry.as_ref().to_vec();
            drop((entry, newest));
            let old = target.decode(&bytes)?;
            if !same_key(target, conflict.index, &old, values) {
                // Its value changed before the lock was granted: it is no conflict any more.
                continue;
            }
            return update
                .apply(context, target, changes, touched, &row_key, &old, values)
                .await;
        }
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not insert because the conflicting row keeps changing",
        )
        .hint("Retry the transaction."))
    }
}

/// REPEATABLE READ may not ignore a row because of one that it cannot see.
fn check_visible(context: &mut Context<'_>, target: &Target, row_key: &[u8]) -> Result<()> {
    if context.txn.options().isolation == Isolation::ReadCommitted
        || context
            .txn
            .view()?
            .get(target.table.storage, row_key)?
            .is_some()
    {
        return Ok(());
    }
    Err(Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent update",
    ))
}

fn same_key(target: &Target, index: usize, old: &[Datum<'_>], new: &[Datum<'_>]) -> bool {
    let Some(index) = target.indexes.get(index) else {
        return false;
    };
    index
        .columns
        .iter()
        .all(|at| match (old.get(*at), new.get(*at)) {
            (Some(old), Some(new)) => crate::types::ops::compare(old, new).is_eq(),
            _ => false,
        })
}

impl DoUpdate {
    #[expect(
        clippy::too_many_arguments,
        reason = "the row, its replacement and the statement"
    )]
    async fn apply(
        &self,
        context: &mut Context<'_>,
        target: &Arc<Target>,
        changes: &mut Changes,
        touched: &mut HashSet<Vec<u8>>,
        row_key: &[u8],
        old: &[Datum<'_>],
        excluded: &[Datum<'static>],
    ) -> Result<Resolved> {
        if let Some(condition) = &self.condition {
            let value = self
                .eval(context, target, None, condition, old, excluded)
                .await?;
            if value != Datum::Bool(true) {
                return Ok(Resolved::Skipped);
            }
        }
        let mut new: Vec<Datum<'static>> =
            old.iter().map(|datum| datum.clone().into_owned()).collect();
        for (column, value) in &self.sets {
            let value = self
                .eval(context, target, Some(*column), value, old, excluded)
                .await?;
            if let Some(slot) = new.get_mut(*column) {
                *slot = value;
            }
        }
        let key = target
            .update(context, changes, row_key, old, &new, &self.changed)
            .await?;
        touched.insert(key);
        Ok(Resolved::Updated(new))
    }

    async fn eval(
        &self,
        context: &mut Context<'_>,
        target: &Target,
        column: Option<usize>,
        value: &Value,
        old: &[Datum<'_>],
        excluded: &[Datum<'static>],
    ) -> Result<Datum<'static>> {
        match value {
            Value::Compiled(expr) | Value::Default(Default::Compiled(expr)) => {
                let env = Env {
                    row: Row::Two(old, excluded),
                    parameters: context.parameters,
                    info: &context.info,
                };
                Ok(expr.eval(&env)?.into_owned())
            }
            Value::Default(Default::General(expr)) => {
                default_value(context, target, column.unwrap_or(0), expr).await
            }
            Value::General { expr, literal } => {
                let view = context.txn.view()?;
                let value = expr.eval(context, view, old, excluded).await?.pop();
                let value = value.ok_or_else(|| Error::internal("an expression gave no value"))?;
                let ty = expr.types().next().unwrap_or(PgType::TEXT);
                let Some(column) = column else {
                    return Ok(value);
                };
                let column = target.column(column)?;
                Conversion::new(ty, *literal, &column.name, column.ty)?
                    .apply(value, &context.info.style)
            }
        }
    }
}

/// Prepares the expressions of DO UPDATE.
struct Prepare<'a> {
    engine: &'a Arc<Engine>,
    context: &'a PlanContext<'a>,
    target: &'a Target,
    alias: &'a str,
    excluded: &'a [SecondColumn],
}

impl Prepare<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope {
            table: Some((&self.target.table, self.alias)),
            second: self.excluded,
            // Both rows have every column: a plain name is ambiguous.
            plain_second: true,
        }
    }

    async fn value(&self, compiler: &mut Compiler<'_>, at: usize, value: Written) -> Result<Value> {
        let column = self.target.column(at)?;
        let expr = match value {
            Written::Default => {
                let default = self.target.default(compiler.catalog, compiler.info, at)?;
                return Ok(Value::Default(default));
            }
            Written::Expr(expr) => expr,
        };
        if let Some(expr) = compiler.assign(&expr, self.scope(), &column.name, column.ty)? {
            return Ok(Value::Compiled(expr));
        }
        let literal = is_open_literal(&expr);
        let (expr, ty) = self.general(compiler, expr).await?;
        Conversion::new(ty, literal, &column.name, column.ty)?;
        Ok(Value::General { expr, literal })
    }

    async fn condition(&self, compiler: &mut Compiler<'_>, expr: &ast::Expr) -> Result<Value> {
        if let Some(expr) = compiler.condition(expr, self.scope()) {
            return Ok(Value::Compiled(expr));
        }
        let (expr, ty) = self.general(compiler, expr.clone()).await?;
        if ty != PgType::BOOL {
            return Err(Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "argument of WHERE must be type boolean, not type {}",
                    names::format_type(ty)
                ),
            ));
        }
        Ok(Value::General {
            expr,
            literal: false,
        })
    }

    /// Leaves an expression to the planner.
    async fn general(
        &self,
        compiler: &mut Compiler<'_>,
        expr: ast::Expr,
    ) -> Result<(Box<General>, PgType)> {
        let general = General::plan(
            self.engine,
            self.context,
            compiler,
            self.target,
            self.alias,
            self.excluded,
            vec![expr],
        )
        .await?;
        let ty = general.types().next();
        let ty = ty.ok_or_else(|| Error::internal("an expression has no type"))?;
        Ok((Box::new(general), ty))
    }
}

/// The unique indexes that a conflict target means.
///
/// # Errors
/// 42P10 when there is none, 42704 for an unknown constraint, 42703 for an unknown column.
fn arbiters(wanted: Option<&ConflictTarget>, target: &Target) -> Result<Vec<usize>> {
    let unique = || {
        target
            .indexes
            .iter()
            .enumerate()
            .filter(|(_, index)| index.unique)
    };
    match wanted {
        None => Ok(unique().map(|(at, _)| at).collect()),
        Some(ConflictTarget::Columns(names)) => {
            let mut columns = Vec::with_capacity(names.len());
            for name in names {
                let name = fold(name);
                columns.push(target.table.column(&name).ok_or_else(|| {
                    Error::new(
                        SqlState::UNDEFINED_COLUMN,
                        format!("column \"{name}\" does not exist"),
                    )
                })?);
            }
            let found: Vec<usize> = unique()
                .filter(|(_, index)| {
                    index.columns.iter().all(|at| columns.contains(at))
                        && columns.iter().all(|at| index.columns.contains(at))
                })
                .map(|(at, _)| at)
                .collect();
            if found.is_empty() {
                return Err(Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "there is no unique or exclusion constraint matching the ON CONFLICT \
                     specification",
                ));
            }
            Ok(found)
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            let name = super::names::parts(name).pop().unwrap_or_default();
            let constraint = target
                .table
                .constraints
                .iter()
                .find(|found| found.name == name);
            let index = match constraint.map(|constraint| &constraint.kind) {
                Some(ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index }) => {
                    *index
                }
                Some(_) => {
                    return Err(Error::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        "constraint in ON CONFLICT clause has no associated index",
                    ));
                }
                None => {
                    return Err(Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{name}\" for table \"{}\" does not exist",
                            target.table.name
                        ),
                    ));
                }
            };
            let found = unique().find(|(_, found)| found.oid == index);
            found
                .map(|(at, _)| vec![at])
                .ok_or_else(|| Error::internal("a constraint has no index"))
        }
    }
}
