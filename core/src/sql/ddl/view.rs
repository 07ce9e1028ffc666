//! CREATE [OR REPLACE] VIEW.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{CreateTableOptions, CreateView, Query};

use super::super::{Context, Outcome};
use super::scope::not_a;
use super::{expressions, view_text};
use crate::catalog::{Object, QualifiedName, View, ViewColumn, fold, quote};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;
use crate::types::{PgType, names, oid};

pub(super) async fn create(context: &mut Context<'_>, statement: &CreateView) -> Result<Outcome> {
    check_clauses(statement)?;
    let name = QualifiedName::from_ast(&statement.name)?;
    let schema = context.creation_schema(&name)?;
    let existing = match context.lock_new_relation(schema, &name.name).await? {
        None => None,
        Some(Object::View(view)) if statement.or_replace => {
            let mode = RelationMode::AccessExclusive;
            match context.lock_by_oid(view.oid, mode).await? {
                Object::View(view) => {
                    context.check_owner(&Object::View(view.clone()))?;
                    Some(view)
                }
                other => return Err(not_a(&other, "a view")),
            }
        }
        Some(other) if statement.or_replace => return Err(not_a(&other, "a view")),
        Some(_) => {
            return Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{}\" already exists", name.name),
            ));
        }
    };
    if !context.parameter_types.is_empty() {
        return Err(Error::new(
            SqlState::UNDEFINED_PARAMETER,
            "there is no parameter $1",
        ));
    }
    let mut written: Vec<String> = Vec::with_capacity(statement.columns.len());
    for column in &statement.columns {
        if column.data_type.is_some() || column.options.is_some() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "a view's columns are plain names",
            ));
        }
        written.push(fold(&column.name));
    }
    let mut query = statement.query.as_ref().clone();
    let plan = context
        .engine
        .query
        .plan(&query, &context.plan_context())
        .await?;
    if written.len() > plan.columns.len() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    let mut columns = Vec::with_capacity(plan.columns.len());
    for (at, column) in plan.columns.iter().enumerate() {
        let name = written.get(at).unwrap_or(&column.name).clone();
        if columns.iter().any(|other: &ViewColumn| other.name == name) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        let ty = if column.ty.oid == oid::UNKNOWN {
            PgType::TEXT
        } else {
            column.ty
        };
        columns.push(ViewColumn { name, ty });
    }
    let depends = view_text::qualify(&mut query, context.catalog, &context.info.search_path)?;
    let renamed = columns
        .iter()
        .zip(plan.columns.iter())
        .any(|(new, old)| new.name != old.name);
    let text = if renamed {
        with_names(&query, &columns)?
    } else {
        query.to_string()
    };
    let known = existing.is_some();
    let view = match existing {
        None => View {
            oid: context.new_oid()?,
            name: name.name,
            schema,
            owner: context.owner()?,
            query: text,
            columns,
            depends: depends.into_iter().collect(),
            comment: None,
        },
        Some(old) => {
            check_replacement(&old, &columns)?;
            if depends.contains(&old.oid) {
                return Err(Error::new(
                    SqlState::INVALID_OBJECT_DEFINITION,
                    format!(
                        "infinite recursion detected in rules for relation \"{}\"",
                        old.name
                    ),
                ));
            }
            View {
                query: text,
                columns,
                depends: depends.into_iter().collect(),
                ..old.as_ref().clone()
            }
        }
    };
    match known {
        true => context.put(Object::View(Arc::new(view)))?,
        false => context.put_new(Object::View(Arc::new(view))).await?,
    }
    Ok(Outcome::Command("CREATE VIEW".to_owned()))
}

/// The query under another list of column names.
fn with_names(query: &Query, columns: &[ViewColumn]) -> Result<String> {
    let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let names = names.join(", ");
    let text = format!("SELECT {names} FROM ({query}) AS __view ({names})");
    expressions::parse_query(&text)?;
    Ok(text)
}

/// OR REPLACE may add columns at the end, no more.
fn check_replacement(old: &View, new: &[ViewColumn]) -> Result<()> {
    let refused = |message: String| Error::new(SqlState::INVALID_TABLE_DEFINITION, message);
    if new.len() < old.columns.len() {
        return Err(refused("cannot drop columns from view".to_owned()));
    }
    for (before, after) in old.columns.iter().zip(new) {
        if before.name != after.name {
            return Err(refused(format!(
                "cannot change name of view column \"{}\" to \"{}\"",
                before.name, after.name
            ))
            .hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead."));
        }
        if before.ty != after.ty {
            return Err(refused(format!(
                "cannot change data type of view column \"{}\" from {} to {}",
                before.name,
                names::format_type(before.ty),
                names::format_type(after.ty)
            )));
        }
    }
    Ok(())
}

fn check_clauses(it: &CreateView) -> Result<()> {
    if it.materialized {
        return Err(Error::unsupported(
            "a materialized view",
            "Use CREATE TABLE … AS, and fill it again when you want it fresh.",
        ));
    }
    if it.temporary {
        return Err(Error::unsupported(
            "a temporary view",
            "Create a plain view.",
        ));
    }
    if it.or_alter
        || it.secure
        || it.if_not_exists
        || it.copy_grants
        || it.with_no_schema_binding
        || it.to.is_some()
        || it.params.is_some()
        || it.comment.is_some()
        || !it.cluster_by.is_empty()
        || !matches!(it.options, CreateTableOptions::None)
    {
        return Err(Error::unsupported(
            "this form of CREATE VIEW",
            "Use CREATE [OR REPLACE] VIEW name [(columns)] AS query.",
        ));
    }
    Ok(())
}
