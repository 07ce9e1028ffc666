//! COMMENT ON.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{CommentObject, ObjectName, Statement};

use super::super::{Context, Outcome};
use super::schema::simple;
use super::scope::{Needed, find_role};
use super::{maintenance, role};
use crate::catalog::{
    Object, QualifiedName, Table, View, not_owner, undefined_column, undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;

pub(super) async fn comment(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let Statement::Comment {
        object_type,
        object_name,
        comment,
        if_exists,
    } = statement
    else {
        return Err(Error::internal("not COMMENT"));
    };
    if *if_exists {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "syntax error at or near \"IF\"",
        ));
    }
    // An empty comment is none.
    let text = comment.as_deref().filter(|text| !text.is_empty());
    match object_type {
        CommentObject::Table => on_relation(context, object_name, "table", text).await?,
        CommentObject::View => on_relation(context, object_name, "view", text).await?,
        CommentObject::Index => on_relation(context, object_name, "index", text).await?,
        CommentObject::Sequence => on_relation(context, object_name, "sequence", text).await?,
        CommentObject::Column => on_column(context, object_name, text).await?,
        CommentObject::Schema => {
            let name = simple(object_name)?;
            let found = context.lock_schema_name(&name).await?;
            let found = found.ok_or_else(|| undefined_schema(&name))?;
            context.check_owner(&Object::Schema(found.clone()))?;
            set(context, found.oid, 0, text)?;
        }
        CommentObject::Role | CommentObject::User => {
            let name = simple(object_name)?;
            context.lock_role_name(&name).await?;
            let found = find_role(context.catalog, &name)?.clone();
            role::check_may_change(
                context,
                &found,
                "must be superuser to comment on superuser role",
                "must have CREATEROLE privilege",
            )?;
            set(context, found.oid, 0, text)?;
        }
        CommentObject::Database => return Err(maintenance::one_database("COMMENT ON DATABASE")),
        other => {
            return Err(Error::unsupported(
                format!("COMMENT ON {other}"),
                "Comments go on tables, columns, views, indexes, sequences, constraints, schemas and roles.",
            ));
        }
    }
    Ok(Outcome::Command("COMMENT".to_owned()))
}

/// COMMENT ON CONSTRAINT, which only the token parser reads.
pub(super) async fn on_constraint(
    context: &mut Context<'_>,
    name: &str,
    table: &QualifiedName,
    text: Option<&str>,
) -> Result<Outcome> {
    let table = context
        .lock_table(table, RelationMode::ShareUpdateExclusive)
        .await?;
    let found = table.constraints.iter().find(|it| it.name == name);
    let oid = found
        .ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "constraint \"{name}\" for table \"{}\" does not exist",
                    table.name
                ),
            )
        })?
        .oid;
    set(context, oid, 0, text.filter(|text| !text.is_empty()))?;
    Ok(Outcome::Command("COMMENT".to_owned()))
}

fn set(context: &mut Context<'_>, oid: u32, sub: u32, text: Option<&str>) -> Result<()> {
    Arc::make_mut(context.catalog).set_comment(context.txn, oid, sub, text)
}

async fn on_relation(
    context: &mut Context<'_>,
    name: &ObjectName,
    kind: &str,
    text: Option<&str>,
) -> Result<()> {
    let name = QualifiedName::from_ast(name)?;
    let wait = context.wait();
    let mode = RelationMode::ShareUpdateExclusive;
    let Some(found) = context.lock_by_name(&name, mode, wait).await? else {
        return Err(context.missing_relation(&name));
    };
    if found.kind() != kind {
        let article = if kind == "index" { "an" } else { "a" };
        return Err(super::scope::not_a(&found, &format!("{article} {kind}")));
    }
    let owned = text.map(str::to_owned);
    match found {
        Object::Table(table) => {
            context.put_table(Table {
                comment: owned,
                ..table.as_ref().clone()
            })?;
        }
        Object::View(view) => {
            let view = View {
                comment: owned,
                ..view.as_ref().clone()
            };
            context.put(Object::View(Arc::new(view)))?;
        }
        other => set(context, other.oid(), 0, text)?,
    }
    Ok(())
}

async fn on_column(context: &mut Context<'_>, name: &ObjectName, text: Option<&str>) -> Result<()> {
    let mut parts = name.0.clone();
    let column = match (parts.pop(), parts.is_empty()) {
        (Some(column), false) => column,
        _ => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "column name must be qualified",
            ));
        }
    };
    let column = column
        .as_ident()
        .map(crate::catalog::fold)
        .unwrap_or_default();
    let relation = QualifiedName::from_ast(&ObjectName(parts))?;
    let wait = context.wait();
    let mode = RelationMode::ShareUpdateExclusive;
    let undefined = |relation: &str| undefined_column(&column, relation);
    let needed = Needed::Nothing;
    let found = context.lock_needed(&relation, mode, wait, needed).await?;
    if let Some(object) = &found
        && context.check_owner(object).is_err()
    {
        return Err(not_owner("relation", object.name()));
    }
    match found {
        Some(Object::Table(table)) => {
            let at = table
                .column(&column)
                .ok_or_else(|| undefined(&table.name))?;
            let mut changed = table.as_ref().clone();
            if let Some(column) = changed.columns.get_mut(at) {
                column.comment = text.map(str::to_owned);
            }
            context.put_table(changed)?;
            Ok(())
        }
        Some(Object::View(view)) => {
            let at = view.columns.iter().position(|it| it.name == column);
            let at = at.ok_or_else(|| undefined(&view.name))?;
            let number = u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX);
            set(context, view.oid, number, text)
        }
        Some(other) => Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("cannot set comment on relation \"{}\"", other.name()),
        )),
        None => Err(context.missing_relation(&relation)),
    }
}
