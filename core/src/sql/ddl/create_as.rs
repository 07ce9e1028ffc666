//! CREATE TABLE … AS and SELECT … INTO: a table made of a query's result.

use datafusion::sql::sqlparser::ast::{Query, SetExpr};
use futures::StreamExt;

use super::super::{Context, Outcome};
use super::columns::NewColumn;
use super::rows::physical_types;
use super::table;
use crate::catalog::{Column, QualifiedName, Table, keys};
use crate::error::{Error, Result, SqlState};
use crate::query::{ResultColumn, Rows};
use crate::types::{Datum, PgType, cast, columns, oid, row};

/// Makes the table, and fills it when `with_data`. The tag is `SELECT n`.
pub(super) async fn create(
    context: &mut Context<'_>,
    name: &QualifiedName,
    if_not_exists: bool,
    column_names: &[String],
    query: &Query,
    with_data: bool,
) -> Result<Outcome> {
    let schema = context.creation_schema(name)?;
    if context
        .lock_new_relation(schema, &name.name)
        .await?
        .is_some()
    {
        let message = format!("relation \"{}\" already exists", name.name);
        if if_not_exists {
            context.skipping(SqlState::DUPLICATE_TABLE, message);
            return Ok(Outcome::Command("CREATE TABLE AS".to_owned()));
        }
        return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
    }
    let plan = context
        .engine
        .query
        .plan(query, &context.plan_context())
        .await?;
    let new = new_columns(&plan.columns, column_names)?;
    // The query must not see the table that it fills.
    let execution = context.execution()?;
    let table = table::make(context, schema, &name.name, new).await?;
    if !with_data {
        return Ok(Outcome::Command("CREATE TABLE AS".to_owned()));
    }
    let types = physical_types(&table);
    let mut stream = context.engine.query.run(&plan, execution).await?;
    let mut count = 0_u64;
    context
        .txn
        .begin_load(vec![(table.storage, table.shape()?)])?;
    while let Some(block) = stream.next().await {
        let block = block?;
        context.interrupt.check()?;
        for at in 0..block.len() {
            let values = read_row(&block, at, &plan.columns, &table, context)?;
            let id = context.engine.sequences.next_row_id(table.storage)?;
            let bytes = row::encode(&values, &types)?;
            context
                .txn
                .put_new(table.storage, keys::row_id_key(id)?, bytes)?;
            context.txn.move_on().await?;
            count = count.saturating_add(1);
        }
    }
    context.txn.end_load().await?;
    Ok(Outcome::Command(format!("SELECT {count}")))
}

fn read_row(
    block: &Rows,
    at: usize,
    columns: &[ResultColumn],
    table: &Table,
    context: &Context<'_>,
) -> Result<Vec<Datum<'static>>> {
    let missing = || Error::internal("a result block lacks a column");
    let mut values = Vec::with_capacity(columns.len());
    for (position, (column, target)) in columns.iter().zip(&table.columns).enumerate() {
        let datum = match block {
            Rows::Batch(batch) => {
                let array = batch.columns().get(position).ok_or_else(missing)?;
                columns::get(array.as_ref(), at, column.ty)?.into_owned()
            }
            Rows::Datums(rows) => rows
                .get(at)
                .and_then(|row| row.get(position))
                .cloned()
                .ok_or_else(missing)?,
        };
        values.push(if column.ty.oid == target.ty.oid {
            datum
        } else {
            let style = &context.info.style;
            cast::cast(datum, column.ty, target.ty, cast::Context::Explicit, style)?
        });
    }
    Ok(values)
}

fn new_columns(result: &[ResultColumn], names: &[String]) -> Result<Vec<NewColumn>> {
    if names.len() > result.len() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "too many column names were specified",
        ));
    }
    let mut seen = std::collections::HashSet::new();
    let mut columns = Vec::with_capacity(result.len());
    for (at, column) in result.iter().enumerate() {
        let name = names.get(at).unwrap_or(&column.name).clone();
        if !seen.insert(name.clone()) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        let ty = match column.ty.oid {
            oid::UNKNOWN => PgType::TEXT,
            oid::VOID | oid::RECORD => {
                return Err(Error::new(
                    SqlState::INVALID_TABLE_DEFINITION,
                    format!(
                        "column \"{name}\" has pseudo-type {}",
                        crate::types::names::format_type(column.ty)
                    ),
                ));
            }
            _ => column.ty,
        };
        columns.push(NewColumn {
            column: Column::plain(&name, ty),
            default: None,
            sequence: None,
            constraints: Vec::new(),
        });
    }
    Ok(columns)
}

/// Whether a query is SELECT … INTO.
pub(super) fn is_select_into(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::Select(select) if select.into.is_some())
}

/// Runs SELECT … INTO.
pub(super) async fn select_into(context: &mut Context<'_>, query: &Query) -> Result<Outcome> {
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("not SELECT INTO"));
    };
    let into = select
        .into
        .take()
        .ok_or_else(|| Error::internal("not SELECT INTO"))?;
    if into.temporary {
        return Err(Error::unsupported(
            "a temporary table",
            "Create a plain table in a schema of your own and drop it when you are done.",
        ));
    }
    let name = QualifiedName::from_ast(&into.name)?;
    create(context, &name, false, &[], &query, true).await
}
