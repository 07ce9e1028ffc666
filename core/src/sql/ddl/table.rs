//! CREATE TABLE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, CreateTable, CreateTableLikeDefaults, CreateTableLikeKind, CreateTableOptions, Expr,
    HiveDistributionStyle, SqlOption,
};

use super::super::{Context, Outcome};
use super::columns::{self, NewColumn, NewConstraint, NewKind};
use super::naming::Names;
use super::{constraint, create_as, expressions, sequence};
use crate::catalog::{Column, Object, Privileges, QualifiedName, Table, quote};
use crate::error::{Error, Result, SqlState};
use crate::storage::TableId;
use crate::txn::RelationMode;

/// Columns of a table, as in PostgreSQL.
const MAX_COLUMNS: usize = 1600;

pub(super) async fn create(context: &mut Context<'_>, statement: &CreateTable) -> Result<Outcome> {
    check_clauses(statement)?;
    let name = QualifiedName::from_ast(&statement.name)?;
    if statement.query.is_some() {
        return create_from(context, statement, &column_names(statement)?, true).await;
    }
    let tag = Outcome::Command("CREATE TABLE".to_owned());
    let schema = context.creation_schema(&name)?;
    if context
        .lock_new_relation(schema, &name.name)
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
    let mut columns = Vec::with_capacity(statement.columns.len());
    if let Some(like) = &statement.like {
        columns = like_columns(context, like).await?;
    }
    for definition in &statement.columns {
        columns.push(columns::read(&name.name, definition)?);
    }
    check_columns(&columns)?;
    let mut constraints = Vec::new();
    for column in &mut columns {
        constraints.append(&mut column.constraints);
    }
    for definition in &statement.constraints {
        constraints.push(columns::read_constraint(definition)?);
    }
    let table = make(context, schema, &name.name, columns).await?;
    add_constraints(context, table, constraints).await?;
    Ok(tag)
}

/// CREATE TABLE … AS.
pub(super) async fn create_from(
    context: &mut Context<'_>,
    statement: &CreateTable,
    columns: &[String],
    with_data: bool,
) -> Result<Outcome> {
    check_clauses(statement)?;
    let name = QualifiedName::from_ast(&statement.name)?;
    let query = statement
        .query
        .as_ref()
        .ok_or_else(|| Error::internal("no query"))?;
    create_as::create(
        context,
        &name,
        statement.if_not_exists,
        columns,
        query,
        with_data,
    )
    .await
}

/// Puts a table with its columns, defaults and sequences into the catalog; no constraints yet.
pub(super) async fn make(
    context: &mut Context<'_>,
    schema: u32,
    name: &str,
    columns: Vec<NewColumn>,
) -> Result<Arc<Table>> {
    let oid = context.new_oid()?;
    let storage = TableId::from(context.new_oid()?);
    let mut table = Table {
        oid,
        name: name.to_owned(),
        schema,
        owner: context.owner()?,
        storage,
        columns: Vec::with_capacity(columns.len()),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        comment: None,
    };
    for (at, new) in columns.into_iter().enumerate() {
        let column = make_column(context, &table, at, new).await?;
        table.columns.push(column);
    }
    context.txn.create_table(storage)?;
    let table = Arc::new(table);
    context.put_new(Object::Table(table.clone())).await?;
    Ok(table)
}

/// A column with its default checked and its sequence made.
pub(super) async fn make_column(
    context: &mut Context<'_>,
    table: &Table,
    at: usize,
    new: NewColumn,
) -> Result<Column> {
    let mut column = new.column;
    if let Some(options) = &new.sequence {
        let (schema, name) = match options.name.as_deref() {
            Some([name]) => (table.schema, name.clone()),
            Some([schema, name]) => {
                let name = QualifiedName::new(Some(schema), name);
                (context.creation_schema(&name)?, name.name)
            }
            Some(_) => {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "improper qualified name",
                ));
            }
            None => {
                let mut names = Names::new(context.catalog, table.schema);
                names.take(&table.name);
                (
                    table.schema,
                    names.relation(&table.name, Some(&column.name), "seq"),
                )
            }
        };
        context.claim_relation_name(schema, &name).await?;
        let mut made = sequence::blank(context, schema, &name)?;
        options.apply(&mut made, true)?;
        made.owned_by = Some((table.oid, at));
        column.sequence = Some(made.oid);
        if column.identity.is_none() {
            let schema = context.catalog.schema_name(schema).unwrap_or("public");
            let target = format!("{}.{}", quote(schema), quote(&name)).replace('\'', "''");
            column.default = Some(format!("nextval('{target}'::regclass)"));
        }
        context.put_new(Object::Sequence(Arc::new(made))).await?;
    }
    if let Some(expr) = &new.default {
        column.default = expressions::default_for(context, &column, expr).await?;
    }
    Ok(column)
}

/// Adds what a new table's definition lists: keys first, for foreign keys may mean them.
async fn add_constraints(
    context: &mut Context<'_>,
    mut table: Arc<Table>,
    constraints: Vec<NewConstraint>,
) -> Result<()> {
    let primary = |new: &NewConstraint| matches!(new.kind, NewKind::PrimaryKey(_));
    if constraints.iter().filter(|new| primary(new)).count() > 1 {
        return Err(constraint::multiple_primary_keys(&table.name));
    }
    for (at, new) in constraints.iter().enumerate() {
        let same = |other: &&NewConstraint| {
            matches!(other.kind, NewKind::Check(_)) && other.name == new.name
        };
        if let (NewKind::Check(_), Some(name)) = (&new.kind, &new.name)
            && constraints.iter().take(at).any(|other| same(&other))
        {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("check constraint \"{name}\" already exists"),
            ));
        }
    }
    let mut keys: Vec<Vec<String>> = Vec::new();
    for step in 0..4 {
        for new in &constraints {
            let order = match &new.kind {
                NewKind::Check(_) => 0,
                NewKind::PrimaryKey(_) => 1,
                NewKind::Unique(_) => 2,
                NewKind::ForeignKey { .. } => 3,
            };
            if order != step {
                continue;
            }
            // A key that another one already is makes no second index.
            if let NewKind::PrimaryKey(columns) | NewKind::Unique(columns) = &new.kind {
                if new.name.is_none() && keys.contains(columns) {
                    continue;
                }
                keys.push(columns.clone());
            }
            table = constraint::add(context, &table, new).await?;
        }
    }
    Ok(())
}

fn check_columns(columns: &[NewColumn]) -> Result<()> {
    if columns.len() > MAX_COLUMNS {
        return Err(Error::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("tables can have at most {MAX_COLUMNS} columns"),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for column in columns {
        if !seen.insert(column.column.name.as_str()) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{}\" specified more than once", column.column.name),
            ));
        }
    }
    Ok(())
}

/// The columns of `LIKE table [INCLUDING DEFAULTS]`.
async fn like_columns(
    context: &mut Context<'_>,
    like: &CreateTableLikeKind,
) -> Result<Vec<NewColumn>> {
    let (CreateTableLikeKind::Parenthesized(like) | CreateTableLikeKind::Plain(like)) = like;
    let name = QualifiedName::from_ast(&like.name)?;
    let source = context
        .lock_table_for(&name, RelationMode::AccessShare, Privileges::SELECT)
        .await?;
    let defaults = like.defaults == Some(CreateTableLikeDefaults::Including);
    let mut columns = Vec::new();
    for (_, column) in source.live_columns() {
        columns.push(NewColumn {
            column: Column {
                default: column.default.clone().filter(|_| defaults),
                identity: None,
                sequence: None,
                missing: None,
                comment: None,
                ..column.clone()
            },
            default: None,
            sequence: None,
            constraints: Vec::new(),
        });
    }
    Ok(columns)
}

/// Column names of `CREATE TABLE t (a, b) AS …`.
fn column_names(statement: &CreateTable) -> Result<Vec<String>> {
    if !statement.constraints.is_empty() || statement.like.is_some() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "CREATE TABLE AS takes column names only",
        ));
    }
    statement
        .columns
        .iter()
        .map(
            |column| match (&column.data_type, column.options.is_empty()) {
                (ast::DataType::Unspecified, true) => Ok(crate::catalog::fold(&column.name)),
                _ => Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "CREATE TABLE AS takes column names only",
                )),
            },
        )
        .collect()
}

fn check_clauses(it: &CreateTable) -> Result<()> {
    let refuse = |what: &str, hint: &str| Err(Error::unsupported(what, hint));
    if it.temporary || it.global.is_some() || it.on_commit.is_some() {
        return refuse(
            "a temporary table",
            "Create a plain table in a schema of your own and drop it when you are done.",
        );
    }
    if it.inherits.is_some() {
        return refuse(
            "table inheritance (INHERITS)",
            "Repeat the columns in each table.",
        );
    }
    if it.partition_by.is_some() || it.partition_of.is_some() || it.for_values.is_some() {
        return refuse("table partitioning", "Use one plain table.");
    }
    if it.or_replace {
        return refuse(
            "CREATE OR REPLACE TABLE",
            "Use DROP TABLE IF EXISTS, then CREATE TABLE.",
        );
    }
    if it.external
        || it.dynamic
        || it.transient
        || it.volatile
        || it.iceberg
        || it.snapshot
        || it.without_rowid
        || it.strict
        || it.clone.is_some()
        || it.version.is_some()
        || it.comment.is_some()
        || it.on_cluster.is_some()
        || it.primary_key.is_some()
        || it.order_by.is_some()
        || it.cluster_by.is_some()
        || it.clustered_by.is_some()
        || it.file_format.is_some()
        || it.location.is_some()
        || it.hive_distribution != HiveDistributionStyle::NONE
        || it
            .hive_formats
            .as_ref()
            .is_some_and(|formats| *formats != ast::HiveFormat::default())
    {
        return refuse(
            "this form of CREATE TABLE",
            "Use CREATE TABLE name (columns and constraints).",
        );
    }
    match &it.table_options {
        CreateTableOptions::None => Ok(()),
        CreateTableOptions::With(options) => check_storage_parameters(options),
        CreateTableOptions::Options(_)
        | CreateTableOptions::Plain(_)
        | CreateTableOptions::TableProperties(_) => refuse("a table option", "Leave it out."),
    }
}

/// PostgreSQL's storage parameters tune its pages and its autovacuum. They say nothing about what a
/// table means, so the known ones are taken, their values checked, and have nothing to act on here.
pub(super) fn check_storage_parameters(options: &[SqlOption]) -> Result<()> {
    for option in options {
        let (name, value) = match option {
            SqlOption::KeyValue { key, value } => (crate::catalog::fold(key), Some(value)),
            SqlOption::Ident(key) => (crate::catalog::fold(key), None),
            other => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized parameter \"{other}\""),
                ));
            }
        };
        if name == "fillfactor" {
            check_fillfactor(value)?;
        } else if !(name.starts_with("autovacuum_")
            || matches!(
                name.as_str(),
                "parallel_workers"
                    | "toast_tuple_target"
                    | "vacuum_truncate"
                    | "log_autovacuum_min_duration"
            ))
        {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unrecognized parameter \"{name}\""),
            ));
        }
    }
    Ok(())
}

fn check_fillfactor(value: Option<&Expr>) -> Result<()> {
    let written = value.map(ToString::to_string).unwrap_or_default();
    let written = written.trim_matches('\'');
    match written.parse::<i64>() {
        Ok(10..=100) => Ok(()),
        Ok(_) => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("value {written} out of bounds for option \"fillfactor\""),
        )
        .detail("Valid values are between \"10\" and \"100\".")),
        Err(_) => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for integer option \"fillfactor\": {written}"),
        )),
    }
}
