//! CREATE INDEX and REINDEX.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{CreateIndex, Expr, IndexType, ObjectName};

use super::super::{Context, Outcome};
use super::naming::{Names, joined};
use super::scope::not_a;
use super::{columns, constraint, rows};
use crate::catalog::{Index, Object, Privileges, QualifiedName, Table, fold, undefined_schema};
use crate::error::{Error, Result, SqlState};
use crate::storage::TableId;
use crate::txn::RelationMode;
use crate::types::oid;

/// Columns of an index, as in PostgreSQL.
const MAX_INDEX_COLUMNS: usize = 32;

pub(super) async fn create(context: &mut Context<'_>, statement: &CreateIndex) -> Result<Outcome> {
    check_clauses(statement)?;
    if statement.concurrently && context.in_block {
        return Err(Error::new(
            SqlState::ACTIVE_SQL_TRANSACTION,
            "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
        ));
    }
    let tag = Outcome::Command("CREATE INDEX".to_owned());
    let table_name = QualifiedName::from_ast(&statement.table_name)?;
    let wait = context.wait();
    let table = match context
        .lock_by_name(&table_name, RelationMode::Share, wait)
        .await?
    {
        Some(Object::Table(table)) => table,
        Some(Object::View(view)) => {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot create index on relation \"{}\"", view.name),
            )
            .detail("This operation is not supported for views."));
        }
        Some(other) => return Err(not_a(&other, "a table")),
        None => return Err(context.missing_relation(&table_name)),
    };
    super::scope::check_user_object(table.schema, &table.name)?;
    context.check_schema(table.schema, Privileges::CREATE)?;
    let (positions, descending) = index_columns(&table, statement)?;
    let name = match &statement.name {
        Some(name) => {
            let name = QualifiedName::from_ast(name)?;
            // PostgreSQL takes no schema here; one that names the table's own does no harm.
            if let Some(schema) = &name.schema {
                let found = context.catalog.schema(schema);
                if found.ok_or_else(|| undefined_schema(schema))?.oid != table.schema {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "an index is always in the schema of its table",
                    ));
                }
            }
            if context
                .lock_new_relation(table.schema, &name.name)
                .await?
                .is_some()
            {
                let message = format!("relation \"{}\" already exists", name.name);
                if statement.if_not_exists {
                    context.skipping(SqlState::DUPLICATE_TABLE, message);
                    return Ok(tag);
                }
                return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
            }
            name.name
        }
        None => free_name(context, &table, &positions).await?,
    };
    let index = Index {
        oid: context.new_oid()?,
        name,
        schema: table.schema,
        table: table.oid,
        storage: Some(TableId::from(context.new_oid()?)),
        columns: positions,
        descending,
        unique: statement.unique,
        primary: false,
        nulls_not_distinct: statement.unique && statement.nulls_distinct == Some(false),
    };
    rows::build_index(context, &table, &index).await?;
    let mut changed = table.as_ref().clone();
    changed.indexes.push(index.oid);
    context.put_index(index)?;
    context.put_table(changed)?;
    Ok(tag)
}

async fn free_name(
    context: &mut Context<'_>,
    table: &Table,
    positions: &[usize],
) -> Result<String> {
    let columns = positions
        .iter()
        .filter_map(|at| Some(table.columns.get(*at)?.name.as_str()));
    let label = joined(columns);
    loop {
        let name =
            Names::new(context.catalog, table.schema).relation(&table.name, Some(&label), "idx");
        if context
            .lock_new_relation(table.schema, &name)
            .await?
            .is_none()
        {
            return Ok(name);
        }
    }
}

/// Whether an operator class orders strings by their bytes, as every index does here.
fn orders_as_here(class: &ObjectName, table: &Table, at: usize) -> bool {
    let class = class.0.last().and_then(|part| part.as_ident()).map(fold);
    let class = class.unwrap_or_default();
    let kind = class
        .strip_suffix("_pattern_ops")
        .or_else(|| class.strip_suffix("_ops"));
    let ty = table.columns.get(at).map(|column| column.ty.oid);
    match ty {
        Some(oid::TEXT | oid::VARCHAR) => matches!(kind, Some("text" | "varchar")),
        Some(oid::BPCHAR) => kind == Some("bpchar"),
        _ => false,
    }
}

fn index_columns(table: &Table, statement: &CreateIndex) -> Result<(Vec<usize>, Vec<bool>)> {
    if statement.columns.len() > MAX_INDEX_COLUMNS {
        return Err(Error::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("cannot use more than {MAX_INDEX_COLUMNS} columns in an index"),
        ));
    }
    let mut positions = Vec::new();
    let mut descending = Vec::new();
    for column in &statement.columns {
        let name = match &column.column.expr {
            Expr::Identifier(ident) => fold(ident),
            Expr::Collate { expr, collation } => match expr.as_ref() {
                Expr::Identifier(ident) => {
                    let name = fold(ident);
                    let at = position(table, &name)?;
                    let ty = table.columns.get(at).map(|column| column.ty);
                    columns::check_collation(collation, ty.unwrap_or(crate::types::PgType::TEXT))?;
                    name
                }
                _ => return Err(expression_index()),
            },
            _ => return Err(expression_index()),
        };
        let at = position(table, &name)?;
        if let Some(class) = &column.operator_class
            && !orders_as_here(class, table, at)
        {
            return Err(Error::unsupported(
                format!("operator class \"{class}\""),
                "Leave it out: a plain index also serves LIKE 'prefix%' here.",
            ));
        }
        let options = &column.column.options;
        let desc = options.asc == Some(false);
        // NULLs sort last, so they come first in descending order.
        if options.nulls_first.is_some_and(|first| first != desc) {
            return Err(Error::unsupported(
                "an index with this place of NULLs",
                "Use ASC NULLS LAST or DESC NULLS FIRST, which are the defaults.",
            ));
        }
        if column.column.with_fill.is_some() {
            return Err(Error::unsupported("WITH FILL", "Leave it out."));
        }
        positions.push(at);
        descending.push(desc);
    }
    constraint::check_orderable(table, &positions)?;
    Ok((positions, descending))
}

fn position(table: &Table, name: &str) -> Result<usize> {
    table.column(name).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" does not exist"),
        )
    })
}

fn expression_index() -> Error {
    Error::unsupported(
        "an index on an expression",
        "Store the value in a column of its own and index that.",
    )
}

fn check_clauses(it: &CreateIndex) -> Result<()> {
    match &it.using {
        None | Some(IndexType::BTree) => {}
        Some(IndexType::Custom(name)) if fold(name) == "btree" => {}
        Some(other) => {
            return Err(Error::unsupported(
                format!("index method {}", other.to_string().to_lowercase()),
                "Use btree (or leave USING out).",
            ));
        }
    }
    if it.predicate.is_some() {
        return Err(Error::unsupported(
            "a partial index (CREATE INDEX … WHERE)",
            "Index the column without a condition.",
        ));
    }
    if !it.include.is_empty() {
        return Err(Error::unsupported(
            "an index with INCLUDE",
            "Add the columns to the key, or leave them out.",
        ));
    }
    if !it.with.is_empty() || !it.index_options.is_empty() || !it.alter_options.is_empty() {
        return Err(Error::unsupported("an index option", "Leave WITH out."));
    }
    Ok(())
}

/// What REINDEX is asked to build anew.
#[derive(Clone, Debug, PartialEq)]
pub enum Reindex {
    Index(QualifiedName),
    Table(QualifiedName),
    /// SCHEMA, DATABASE or SYSTEM.
    All,
}

/// REINDEX: builds indexes anew from their tables' rows.
pub(super) async fn reindex(context: &mut Context<'_>, target: &Reindex) -> Result<Outcome> {
    match target {
        Reindex::Table(name) => {
            let table = context.lock_table(name, RelationMode::Share).await?;
            for index in context.catalog.indexes(&table) {
                rebuild(context, &table, &index).await?;
            }
        }
        Reindex::Index(name) => {
            let wait = context.wait();
            let index = match context
                .lock_by_name(name, RelationMode::AccessExclusive, wait)
                .await?
            {
                Some(Object::Index(index)) => index,
                Some(other) => return Err(not_a(&other, "an index")),
                None => return Err(context.missing_relation(name)),
            };
            match context
                .lock_by_oid(index.table, RelationMode::Share)
                .await?
            {
                Object::Table(table) => rebuild(context, &table, &index).await?,
                other => return Err(not_a(&other, "a table")),
            }
        }
        Reindex::All => {
            return Err(Error::unsupported(
                "REINDEX of a schema or database",
                "Use REINDEX TABLE for each table.",
            ));
        }
    }
    Ok(Outcome::Command("REINDEX".to_owned()))
}

async fn rebuild(context: &mut Context<'_>, table: &Arc<Table>, index: &Index) -> Result<()> {
    let Some(storage) = index.storage else {
        return Ok(());
    };
    let rebuilt = Index {
        storage: Some(TableId::from(context.new_oid()?)),
        ..index.clone()
    };
    rows::build_index(context, table, &rebuilt).await?;
    context.txn.drop_table(storage)?;
    context.put_index(rebuilt)
}
