//! DROP TABLE, VIEW, SEQUENCE, INDEX and SCHEMA, and the removal that ALTER TABLE uses too.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectType, Statement};

use super::super::{Context, Outcome};
use super::depends::{self, Part};
use super::rewrite::{Change, rewrite};
use super::scope::Needed;
use super::{maintenance, schema, sequence};
use crate::catalog::{
    ConstraintKind, Object, QualifiedName, row_id_mark, sequence_mark, undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::storage::SEQUENCE_TABLE;
use crate::txn::RelationMode;

pub(super) async fn drop(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let Statement::Drop {
        object_type,
        if_exists,
        names,
        cascade,
        restrict: _,
        purge,
        temporary,
        table,
    } = statement
    else {
        return Err(Error::internal("not DROP"));
    };
    if *purge || *temporary || table.is_some() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error in DROP"));
    }
    let (tag, kind) = match object_type {
        ObjectType::Table => ("DROP TABLE", "table"),
        ObjectType::View => ("DROP VIEW", "view"),
        ObjectType::Index => ("DROP INDEX", "index"),
        ObjectType::Sequence => ("DROP SEQUENCE", "sequence"),
        ObjectType::Schema => ("DROP SCHEMA", "schema"),
        ObjectType::Role | ObjectType::User => {
            return super::role::drop(context, names, *if_exists).await;
        }
        ObjectType::MaterializedView => {
            return missing_kind(context, names, *if_exists, "materialized view");
        }
        ObjectType::Type => return missing_type(context, names, *if_exists),
        ObjectType::Database => return Err(maintenance::one_database("DROP DATABASE")),
        other => {
            return Err(Error::unsupported(
                format!("DROP {other}"),
                "There are no such objects.",
            ));
        }
    };
    let mut roots = Vec::new();
    for name in names {
        let found = if kind == "schema" {
            find_schema(context, name, *if_exists).await?
        } else {
            find_relation(context, name, kind, *if_exists).await?
        };
        if let Some(part) = found
            && !roots.contains(&part)
        {
            roots.push(part);
        }
    }
    remove(context, &roots, *cascade).await?;
    Ok(Outcome::Command(tag.to_owned()))
}

async fn find_schema(
    context: &mut Context<'_>,
    name: &ObjectName,
    if_exists: bool,
) -> Result<Option<Part>> {
    let name = schema::simple(name)?;
    match context.lock_schema_name(&name).await? {
        Some(found) => {
            if super::scope::is_system_schema(found.oid) {
                return Err(Error::new(
                    SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!(
                        "cannot drop schema {name} because it is required by the database system"
                    ),
                ));
            }
            let object = Object::Schema(found.clone());
            context.check_owner(&object)?;
            context.lock_catalog_row(&object).await?;
            Ok(Some(Part::Schema(found.oid)))
        }
        None if if_exists => {
            context.skipping(
                SqlState::SUCCESSFUL_COMPLETION,
                format!("schema \"{name}\" does not exist"),
            );
            Ok(None)
        }
        None => Err(undefined_schema(&name)),
    }
}

async fn find_relation(
    context: &mut Context<'_>,
    name: &ObjectName,
    kind: &str,
    if_exists: bool,
) -> Result<Option<Part>> {
    let name = QualifiedName::from_ast(name)?;
    let wait = context.wait();
    if let Some(found) = context.catalog.resolve(&name, &context.info.search_path)
        && found.kind() == kind
    {
        check_may_drop(context, found)?;
    }
    // A table goes before its indexes in every lock order.
    if let Some(Object::Index(index)) = context
        .catalog
        .resolve(&name, &context.info.search_path)
        .cloned()
    {
        context
            .lock_by_oid(index.table, RelationMode::AccessExclusive)
            .await?;
    }
    let found = context
        .lock_needed(&name, RelationMode::AccessExclusive, wait, Needed::Nothing)
        .await?;
    let Some(found) = found else {
        if let Some(schema) = &name.schema
            && context.catalog.schema(schema).is_none()
        {
            if if_exists {
                let message = format!("schema \"{schema}\" does not exist");
                context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
                return Ok(None);
            }
            return Err(undefined_schema(schema));
        }
        if if_exists {
            let message = format!("{kind} \"{}\" does not exist", name.name);
            context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(None);
        }
        return Err(Error::new(
            if kind == "index" {
                SqlState::UNDEFINED_OBJECT
            } else {
                SqlState::UNDEFINED_TABLE
            },
            format!("{kind} \"{name}\" does not exist"),
        ));
    };
    if found.kind() != kind {
        let article = if kind == "index" { "an" } else { "a" };
        let verb = found.kind().to_uppercase();
        let object = if found.kind() == "index" {
            "an index"
        } else {
            &format!("a {}", found.kind())
        };
        return Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not {article} {kind}", found.name()),
        )
        .hint(format!("Use DROP {verb} to remove {object}.")));
    }
    check_may_drop(context, &found)?;
    super::scope::check_user_object(found.schema().unwrap_or(0), found.name())?;
    check_required(context, &found)?;
    Ok(Some(Part::Relation(found.oid())))
}

/// A relation is dropped by its owner, or by its schema's.
fn check_may_drop(context: &Context<'_>, object: &Object) -> Result<()> {
    let schema = object.schema().and_then(|oid| context.catalog.object(oid));
    if schema.is_some_and(|schema| context.check_owner(schema).is_ok()) {
        return Ok(());
    }
    context.check_owner(object)
}

/// Refuses to drop what is a part of something else.
fn check_required(context: &Context<'_>, object: &Object) -> Result<()> {
    let refused = |what: String, part: String| {
        Err(Error::new(
            SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
            format!("cannot drop {what} because {part} requires it"),
        )
        .hint(format!("You can drop {part} instead.")))
    };
    let path = &context.info.search_path;
    let what = depends::describe(context.catalog, path, Part::Relation(object.oid()));
    match object {
        Object::Index(index) => {
            if let Some((table, _)) = depends::index_constraint(context.catalog, index) {
                let constraint = table.constraints.iter().find(|it| {
                    depends::constraint_index(context.catalog, table.oid, it.oid) == Some(index.oid)
                });
                if let Some(constraint) = constraint {
                    let part = Part::Constraint(table.oid, constraint.oid);
                    return refused(what, depends::describe(context.catalog, path, part));
                }
            }
            Ok(())
        }
        Object::Sequence(it) if sequence::is_identity(context, it) => {
            let (table, at) = it.owned_by.unwrap_or((0, 0));
            refused(
                what,
                depends::describe(context.catalog, path, Part::Column(table, at)),
            )
        }
        _ => Ok(()),
    }
}

/// Drops parts and what depends on them: with CASCADE all of it, without it nothing may.
pub(super) async fn remove(context: &mut Context<'_>, roots: &[Part], cascade: bool) -> Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    // Each lock may take time in which the catalog changes: go on until nothing new turns up.
    let mut locked = std::collections::BTreeSet::new();
    let found = loop {
        let found = depends::removal(context.catalog, roots);
        let tables: std::collections::BTreeSet<u32> = found
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Relation(oid)
                | Part::Constraint(oid, _)
                | Part::Default(oid, _)
                | Part::Column(oid, _) => Some(*oid),
                Part::Schema(_) => None,
            })
            .collect();
        let Some(next) = tables.difference(&locked).next().copied() else {
            break found;
        };
        // Without CASCADE this fails anyway; do not wait for what stands in the way.
        if !found.cascades.is_empty() && !cascade {
            break found;
        }
        context
            .lock_by_oid(next, RelationMode::AccessExclusive)
            .await?;
        locked.insert(next);
    };
    let path = context.info.search_path.clone();
    if !found.cascades.is_empty() {
        let lines: Vec<(String, String)> = found
            .cascades
            .iter()
            .map(|(part, on)| {
                (
                    depends::describe(context.catalog, &path, *part),
                    depends::describe(context.catalog, &path, *on),
                )
            })
            .collect();
        if !cascade {
            let detail: Vec<String> = lines
                .iter()
                .map(|(part, on)| format!("{part} depends on {on}"))
                .collect();
            let message = match roots {
                [one] => format!(
                    "cannot drop {} because other objects depend on it",
                    depends::describe(context.catalog, &path, *one)
                ),
                _ => {
                    "cannot drop desired object(s) because other objects depend on them".to_owned()
                }
            };
            return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .detail(detail.join("\n"))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let notice = match lines.as_slice() {
            [(part, _)] => Error::new(
                SqlState::SUCCESSFUL_COMPLETION,
                format!("drop cascades to {part}"),
            ),
            lines => {
                let detail: Vec<String> = lines
                    .iter()
                    .map(|(part, _)| format!("drop cascades to {part}"))
                    .collect();
                Error::new(
                    SqlState::SUCCESSFUL_COMPLETION,
                    format!("drop cascades to {} other objects", lines.len()),
                )
                .detail(detail.join("\n"))
            }
        };
        context.notice(notice);
    }
    // Small parts first: a table that goes as a whole needs none of them.
    let gone = |part: &Part| match part {
        Part::Constraint(table, _) | Part::Default(table, _) | Part::Column(table, _) => {
            found.parts.contains(&Part::Relation(*table))
        }
        _ => false,
    };
    for part in &found.parts {
        if !gone(part) && !matches!(part, Part::Relation(_) | Part::Schema(_)) {
            remove_part(context, *part).await?;
        }
    }
    for part in &found.parts {
        if let Part::Relation(oid) = part {
            remove_relation(context, *oid)?;
        }
    }
    for part in &found.parts {
        if let Part::Schema(oid) = part {
            context.remove(*oid)?;
        }
    }
    Ok(())
}

/// Takes a constraint, a default or a column out of its table.
async fn remove_part(context: &mut Context<'_>, part: Part) -> Result<()> {
    let (Part::Constraint(oid, _) | Part::Default(oid, _) | Part::Column(oid, _)) = part else {
        return Ok(());
    };
    let Some(table) = context.catalog.table(oid).cloned() else {
        return Ok(());
    };
    let mut changed = table.as_ref().clone();
    match part {
        Part::Constraint(_, constraint) => {
            let Some(at) = changed
                .constraints
                .iter()
                .position(|it| it.oid == constraint)
            else {
                return Ok(());
            };
            let removed = changed.constraints.remove(at);
            if let ConstraintKind::PrimaryKey { index } = removed.kind {
                // The rows lie under this key: they get row ids instead.
                changed.primary_key.clear();
                changed.indexes.retain(|it| *it != index);
                context.remove(index)?;
                rewrite(context, &table, changed, &Change::Nothing).await?;
                return Ok(());
            }
            if let ConstraintKind::Unique { index } = removed.kind {
                changed.indexes.retain(|it| *it != index);
            }
        }
        Part::Default(_, at) => {
            if let Some(column) = changed.columns.get_mut(at) {
                column.default = None;
                column.sequence = None;
            }
        }
        Part::Column(_, at) => {
            if let Some(column) = changed.columns.get_mut(at) {
                let number = at.saturating_add(1);
                column.name = format!("........pg.dropped.{number}........");
                column.dropped = true;
                column.not_null = false;
                column.default = None;
                column.identity = None;
                column.sequence = None;
                column.missing = None;
                column.comment = None;
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                Arc::make_mut(context.catalog).set_acl(context.txn, oid, number, None)?;
            }
        }
        Part::Schema(_) | Part::Relation(_) => {}
    }
    context.put_table(changed)?;
    Ok(())
}

/// Takes a relation out of the catalog, and its rows out of the storage.
fn remove_relation(context: &mut Context<'_>, oid: u32) -> Result<()> {
    match context.catalog.object(oid).cloned() {
        Some(Object::Table(table)) => {
            context.txn.drop_table(table.storage)?;
            context
                .txn
                .delete(SEQUENCE_TABLE, row_id_mark(table.storage))?;
            for constraint in &table.constraints {
                forget_comment(context, constraint.oid)?;
            }
        }
        Some(Object::Index(index)) => {
            if let Some(storage) = index.storage {
                context.txn.drop_table(storage)?;
            }
            if let Some(table) = context.catalog.table(index.table).cloned()
                && table.indexes.contains(&oid)
            {
                let mut changed = table.as_ref().clone();
                changed.indexes.retain(|it| *it != oid);
                context.put_table(changed)?;
            }
        }
        Some(Object::Sequence(sequence)) => {
            context
                .txn
                .delete(SEQUENCE_TABLE, sequence_mark(&sequence))?;
        }
        Some(_) => {}
        None => return Ok(()),
    }
    context.remove(oid)
}

fn forget_comment(context: &mut Context<'_>, oid: u32) -> Result<()> {
    Arc::make_mut(context.catalog).set_comment(context.txn, oid, 0, None)
}

fn missing_kind(
    context: &mut Context<'_>,
    names: &[ObjectName],
    if_exists: bool,
    kind: &str,
) -> Result<Outcome> {
    for name in names {
        let name = QualifiedName::from_ast(name)?;
        let message = format!("{kind} \"{name}\" does not exist");
        if !if_exists {
            return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
        }
        context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
    }
    Ok(Outcome::Command(format!("DROP {}", kind.to_uppercase())))
}

fn missing_type(
    context: &mut Context<'_>,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<Outcome> {
    for name in names {
        let name = QualifiedName::from_ast(name)?;
        if crate::types::names::from_name(&name.name).is_some() {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop type {name} because it is required by the database system"),
            ));
        }
        let message = format!("type \"{name}\" does not exist");
        if !if_exists {
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
        context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
    }
    Ok(Outcome::Command("DROP TYPE".to_owned()))
}
