//! Adding constraints to a table: PRIMARY KEY, UNIQUE, CHECK. The rows that are there are checked.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Expr;

use super::super::Context;
use super::columns::{NewConstraint, NewKind};
use super::naming::{Names, joined};
use super::rewrite::{Change, rewrite};
use super::{expressions, foreign_key, rows};
use crate::catalog::{Constraint, ConstraintKind, Index, Table};
use crate::error::{Error, Result, SqlState};
use crate::storage::TableId;
use crate::types::key;

/// Adds a constraint to a table that is in the catalog and locked; gives the table as it then is.
pub(super) async fn add(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    new: &NewConstraint,
) -> Result<Arc<Table>> {
    if let Some(name) = &new.name
        && table
            .constraints
            .iter()
            .any(|constraint| constraint.name == *name)
    {
        return Err(Error::new(
            SqlState::DUPLICATE_OBJECT,
            format!(
                "constraint \"{name}\" for relation \"{}\" already exists",
                table.name
            ),
        ));
    }
    match &new.kind {
        NewKind::PrimaryKey(columns) => {
            if !table.primary_key.is_empty() {
                return Err(multiple_primary_keys(&table.name));
            }
            let columns = key_positions(table, columns, "primary key")?;
            add_primary_key(context, table, columns, new.name.as_deref()).await
        }
        NewKind::Unique(columns) => {
            let columns = key_positions(table, columns, "unique")?;
            let nulls = new.nulls_not_distinct;
            add_unique(context, table, columns, new.name.as_deref(), nulls).await
        }
        NewKind::Check(expr) => add_check(context, table, expr, new.name.as_deref()).await,
        NewKind::ForeignKey {
            columns,
            definition,
        } => foreign_key::add(context, table, columns, definition, new.name.as_deref()).await,
    }
}

pub(super) fn multiple_primary_keys(table: &str) -> Error {
    Error::new(
        SqlState::INVALID_TABLE_DEFINITION,
        format!("multiple primary keys for table \"{table}\" are not allowed"),
    )
}

fn key_positions(table: &Table, columns: &[String], kind: &str) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(columns.len());
    for name in columns {
        let at = table.column(name).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            )
        })?;
        if positions.contains(&at) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in {kind} constraint"),
            ));
        }
        positions.push(at);
    }
    check_orderable(table, &positions)?;
    Ok(positions)
}

/// 42704 for a column whose type has no order, 0A000 for one that cannot be a key here.
pub(super) fn check_orderable(table: &Table, columns: &[usize]) -> Result<()> {
    let mut columns = columns.iter().filter_map(|at| table.columns.get(*at));
    columns.try_for_each(|column| key::check(column.ty))
}

/// The name of a new index, given or made; locked against others that make it.
async fn index_name(
    context: &mut Context<'_>,
    table: &Table,
    given: Option<&str>,
    columns: Option<&str>,
    label: &str,
) -> Result<String> {
    if let Some(name) = given {
        context.claim_relation_name(table.schema, name).await?;
        return Ok(name.to_owned());
    }
    loop {
        let name = {
            let mut names = Names::new(context.catalog, table.schema);
            names.constraint(Some(table), &table.name, columns, label)
        };
        if context
            .lock_new_relation(table.schema, &name)
            .await?
            .is_none()
        {
            return Ok(name);
        }
    }
}

async fn add_primary_key(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    columns: Vec<usize>,
    name: Option<&str>,
) -> Result<Arc<Table>> {
    let name = index_name(context, table, name, None, "pkey").await?;
    let (index, constraint) = (context.new_oid()?, context.new_oid()?);
    let mut changed = table.as_ref().clone();
    for &at in &columns {
        if let Some(column) = changed.columns.get_mut(at) {
            column.not_null = true;
        }
    }
    rows::for_each_row(context, table, |context, _, row| {
        for &at in &columns {
            if row.get(at).is_none_or(|datum| datum.is_null()) {
                return Err(null_in_column(context, table, at));
            }
        }
        Ok(())
    })?;
    changed.indexes.insert(0, index);
    changed.constraints.push(Constraint {
        oid: constraint,
        name: name.clone(),
        kind: ConstraintKind::PrimaryKey { index },
    });
    changed.primary_key = columns.clone();
    let descending = vec![false; columns.len()];
    context.put_index(Index {
        oid: index,
        name,
        schema: table.schema,
        table: table.oid,
        storage: None,
        columns,
        descending,
        unique: true,
        primary: true,
        nulls_not_distinct: false,
    })?;
    // The rows are stored under their primary key, so they have to move.
    if rows::is_empty(context, table.storage)? {
        return context.put_table(changed);
    }
    rewrite(context, table, changed, &Change::Nothing).await
}

/// `column "a" of relation "t" contains null values` (23502).
pub(super) fn null_in_column(context: &Context<'_>, table: &Table, at: usize) -> Error {
    let column = table
        .columns
        .get(at)
        .map_or("", |column| column.name.as_str());
    let message = format!(
        "column \"{column}\" of relation \"{}\" contains null values",
        table.name
    );
    context
        .table_error(table, SqlState::NOT_NULL_VIOLATION, message)
        .column(column)
}

async fn add_unique(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    columns: Vec<usize>,
    name: Option<&str>,
    nulls_not_distinct: bool,
) -> Result<Arc<Table>> {
    let label = joined(
        columns
            .iter()
            .filter_map(|at| Some(table.columns.get(*at)?.name.as_str())),
    );
    let name = index_name(context, table, name, Some(&label), "key").await?;
    let (oid, constraint) = (context.new_oid()?, context.new_oid()?);
    let descending = vec![false; columns.len()];
    let index = Index {
        oid,
        name: name.clone(),
        schema: table.schema,
        table: table.oid,
        storage: Some(TableId::from(context.new_oid()?)),
        columns,
        descending,
        unique: true,
        primary: false,
        nulls_not_distinct,
    };
    rows::build_index(context, table, &index).await?;
    context.put_index(index)?;
    let mut changed = table.as_ref().clone();
    changed.indexes.push(oid);
    changed.constraints.push(Constraint {
        oid: constraint,
        name,
        kind: ConstraintKind::Unique { index: oid },
    });
    context.put_table(changed)
}

async fn add_check(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    expr: &Expr,
    name: Option<&str>,
) -> Result<Arc<Table>> {
    let mut expr = expr.clone();
    expressions::qualify_sequences(context, &mut expr)?;
    expressions::check_condition(context, table, &expr).await?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let used = expressions::columns_of(&expr, table);
            let column = match used.iter().next() {
                Some(at) if used.len() == 1 => table.columns.get(*at),
                _ => None,
            };
            Names::new(context.catalog, table.schema).constraint(
                Some(table),
                &table.name,
                column.map(|column| column.name.as_str()),
                "check",
            )
        }
    };
    check_condition_holds(context, table, &expr, &name).await?;
    let mut changed = table.as_ref().clone();
    changed.constraints.push(Constraint {
        oid: context.new_oid()?,
        name,
        kind: ConstraintKind::Check {
            expression: expr.to_string(),
        },
    });
    context.put_table(changed)
}

/// 23514 when some row makes the condition of a CHECK constraint false.
pub(super) async fn check_condition_holds(
    context: &mut Context<'_>,
    table: &Table,
    expr: &Expr,
    name: &str,
) -> Result<()> {
    if rows::is_empty(context, table.storage)? || !violates(context, table, expr).await? {
        return Ok(());
    }
    let message = format!(
        "check constraint \"{name}\" of relation \"{}\" is violated by some row",
        table.name
    );
    Err(context
        .table_error(table, SqlState::CHECK_VIOLATION, message)
        .constraint(name))
}

/// Whether some row makes the condition false.
async fn violates(context: &mut Context<'_>, table: &Table, expr: &Expr) -> Result<bool> {
    use futures::StreamExt;

    let from = expressions::qualified(context, table);
    let sql = format!("SELECT 1 FROM {from} WHERE NOT ({expr}) LIMIT 1");
    let plan = expressions::plan(context, &sql).await?;
    let mut execution = context.execution()?;
    execution.parameters = Vec::new();
    let mut found = context.engine.query.run(&plan, execution).await?;
    while let Some(rows) = found.next().await {
        if !rows?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
