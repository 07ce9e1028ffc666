//! RENAME TO, SET SCHEMA and OWNER TO for relations, RENAME COLUMN and RENAME CONSTRAINT, and what
//! has to follow a new name: stored texts that spell the old one.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, VisitMut, VisitorMut};

use super::super::Context;
use super::expressions;
use super::scope::with_owner;
use crate::catalog::{
    Acl, ConstraintKind, Index, Object, Privileges, QualifiedName, Schema, Sequence, Table, View,
    kind_and_owner, quote, undefined_schema,
};
use crate::error::{Error, Result, SqlState};

/// Gives a locked relation another name in its schema.
pub(super) async fn relation(
    context: &mut Context<'_>,
    object: &Object,
    new_name: &str,
) -> Result<()> {
    let schema = object.schema().unwrap_or(0);
    context.check_schema(schema, Privileges::CREATE)?;
    context.claim_relation_name(schema, new_name).await?;
    move_relation(context, object, schema, new_name)
}

/// Moves a locked relation, with its indexes and owned sequences, to another schema.
pub(super) async fn set_schema(
    context: &mut Context<'_>,
    object: &Object,
    schema: &str,
) -> Result<()> {
    let target = context
        .catalog
        .schema(schema)
        .ok_or_else(|| undefined_schema(schema))?
        .oid;
    if super::scope::is_system_schema(target) {
        return Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied for schema {schema}"),
        ));
    }
    context.check_schema(target, Privileges::CREATE)?;
    if object.schema() == Some(target) {
        return Ok(());
    }
    let mut moving = vec![object.clone()];
    match object {
        Object::Index(_) => {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot change schema of index \"{}\"", object.name()),
            )
            .hint("Change the schema of the table instead."));
        }
        Object::Sequence(sequence) if sequence.owned_by.is_some() => {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot move an owned sequence into another schema",
            ));
        }
        Object::Table(table) => {
            moving.extend(
                context
                    .catalog
                    .indexes(table)
                    .into_iter()
                    .map(Object::Index),
            );
            moving.extend(context.catalog.objects().filter(|other| {
                matches!(other, Object::Sequence(it) if it.owned_by.is_some_and(|(owner, _)| owner == table.oid))
            }).cloned());
        }
        _ => {}
    }
    for part in moving {
        let wait = context.wait();
        let lock = crate::catalog::relation_name_lock(target, part.name());
        context
            .txn
            .lock_key(lock, crate::txn::RowMode::Update, wait)
            .await?;
        context.refresh()?;
        if context.catalog.relation(target, part.name()).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!(
                    "relation \"{}\" already exists in schema \"{schema}\"",
                    part.name()
                ),
            ));
        }
        let Some(part) = context.catalog.object(part.oid()).cloned() else {
            continue;
        };
        let name = part.name().to_owned();
        move_relation(context, &part, target, &name)?;
    }
    Ok(())
}

/// Gives a relation a schema and a name, and makes the stored texts that name it follow.
fn move_relation(
    context: &mut Context<'_>,
    object: &Object,
    schema: u32,
    name: &str,
) -> Result<()> {
    let old_schema = object
        .schema()
        .and_then(|oid| context.catalog.schema_name(oid))
        .unwrap_or_default()
        .to_owned();
    let new_schema = context
        .catalog
        .schema_name(schema)
        .unwrap_or_default()
        .to_owned();
    let from = (old_schema.as_str(), object.name());
    texts_follow(context, object.oid(), from, (&new_schema, name))?;
    // The object itself may have been one of those that followed.
    let object = context
        .catalog
        .object(object.oid())
        .cloned()
        .unwrap_or_else(|| object.clone());
    let name = name.to_owned();
    let moved = match &object {
        Object::Table(it) => Object::Table(Arc::new(Table {
            name,
            schema,
            ..it.as_ref().clone()
        })),
        Object::View(it) => Object::View(Arc::new(View {
            name,
            schema,
            ..it.as_ref().clone()
        })),
        Object::Sequence(it) => Object::Sequence(Arc::new(Sequence {
            name,
            schema,
            ..it.as_ref().clone()
        })),
        Object::Index(it) => {
            let index = Index {
                name: name.clone(),
                schema,
                ..it.as_ref().clone()
            };
            // The constraint that the index stands behind has the same name.
            if let Some(table) = context.catalog.table(it.table).cloned() {
                let mut changed = table.as_ref().clone();
                for constraint in &mut changed.constraints {
                    match constraint.kind {
                        ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index }
                            if index == it.oid =>
                        {
                            constraint.name = name.clone();
                        }
                        _ => {}
                    }
                }
                context.put_table(changed)?;
            }
            Object::Index(Arc::new(index))
        }
        Object::Schema(_) | Object::Role(_) => return Ok(()),
    };
    context.put(moved)
}

/// A schema gets another name: the texts that spell it follow.
pub(super) fn schema_renamed(context: &mut Context<'_>, schema: &Schema, new: &str) -> Result<()> {
    let members: Vec<Object> = context
        .catalog
        .objects()
        .filter(|object| object.schema() == Some(schema.oid))
        .cloned()
        .collect();
    for object in members {
        let from = (schema.name.as_str(), object.name());
        texts_follow(context, object.oid(), from, (new, object.name()))?;
    }
    Ok(())
}

/// Rewrites views and defaults that name a relation.
fn texts_follow(
    context: &mut Context<'_>,
    oid: u32,
    from: (&str, &str),
    to: (&str, &str),
) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let old_text = format!("{}.{}", quote(from.0), quote(from.1)).replace('\'', "''");
    let new_text = format!("{}.{}", quote(to.0), quote(to.1)).replace('\'', "''");
    let mut changed = Vec::new();
    for object in context.catalog.objects() {
        match object {
            Object::View(view) if view.depends.contains(&oid) => {
                let mut query = expressions::parse_query(&view.query)
                    .map_err(|_| Error::corrupted("the stored query of a view cannot be read"))?;
                rename_in_query(&mut query, from, to);
                let view = View {
                    query: query.to_string(),
                    ..view.as_ref().clone()
                };
                changed.push(Object::View(Arc::new(view)));
            }
            Object::Table(table) => {
                let quoted = format!("'{old_text}'");
                let names_it = |text: &Option<String>| {
                    text.as_deref().is_some_and(|text| text.contains(&quoted))
                };
                if table.columns.iter().any(|column| names_it(&column.default)) {
                    let mut table = table.as_ref().clone();
                    for column in &mut table.columns {
                        if let Some(default) = &mut column.default {
                            *default = default.replace(&quoted, &format!("'{new_text}'"));
                        }
                    }
                    changed.push(Object::Table(Arc::new(table)));
                }
            }
            _ => {}
        }
    }
    for object in changed {
        context.put(object)?;
    }
    Ok(())
}

fn rename_in_query(query: &mut Query, from: (&str, &str), to: (&str, &str)) {
    struct Renamer<'a> {
        from: (&'a str, &'a str),
        to: (&'a str, &'a str),
    }
    impl VisitorMut for Renamer<'_> {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> std::ops::ControlFlow<()> {
            if let Ok(QualifiedName {
                schema: Some(schema),
                name,
            }) = QualifiedName::from_ast(relation)
                && (schema.as_str(), name.as_str()) == self.from
            {
                *relation = ObjectName::from(vec![
                    Ident::with_quote('"', self.to.0),
                    Ident::with_quote('"', self.to.1),
                ]);
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(query, &mut Renamer { from, to });
}

/// Gives a column of a locked table another name.
pub(super) fn column(context: &mut Context<'_>, table: &Table, old: &str, new: &str) -> Result<()> {
    let at = table.column(old).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{old}\" does not exist"),
        )
    })?;
    if table.column(new).is_some() {
        return Err(Error::new(
            SqlState::DUPLICATE_COLUMN,
            format!(
                "column \"{new}\" of relation \"{}\" already exists",
                table.name
            ),
        ));
    }
    if let Some(view) = super::depends::views_on_column(context.catalog, table, at).first() {
        let view = context
            .catalog
            .object(*view)
            .map_or("", |object| object.name());
        return Err(Error::unsupported(
            format!("renaming column \"{old}\", which view \"{view}\" may read,"),
            "Drop the view, rename the column, and create the view again.",
        ));
    }
    let mut changed = table.clone();
    if let Some(column) = changed.columns.get_mut(at) {
        column.name = new.to_owned();
    }
    for constraint in &mut changed.constraints {
        if let ConstraintKind::Check { expression } = &mut constraint.kind {
            let mut expr = expressions::parse(expression)?;
            expressions::rename_column(&mut expr, old, new);
            *expression = expr.to_string();
        }
    }
    context.put_table(changed)?;
    Ok(())
}

/// Gives an output column of a locked view another name.
pub(super) fn view_column(
    context: &mut Context<'_>,
    view: &View,
    old: &str,
    new: &str,
) -> Result<()> {
    let mut changed = view.clone();
    if changed.columns.iter().any(|column| column.name == new) {
        return Err(Error::new(
            SqlState::DUPLICATE_COLUMN,
            format!(
                "column \"{new}\" of relation \"{}\" already exists",
                view.name
            ),
        ));
    }
    let found = changed.columns.iter_mut().find(|column| column.name == old);
    found
        .ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{old}\" does not exist"),
            )
        })?
        .name = new.to_owned();
    let old_names: Vec<String> = view
        .columns
        .iter()
        .map(|column| quote(&column.name))
        .collect();
    let items: Vec<String> = view
        .columns
        .iter()
        .zip(&changed.columns)
        .map(|(from, to)| {
            if from.name == to.name {
                quote(&from.name)
            } else {
                format!("{} AS {}", quote(&from.name), quote(&to.name))
            }
        })
        .collect();
    changed.query = format!(
        "SELECT {} FROM ({}) AS __view ({})",
        items.join(", "),
        view.query,
        old_names.join(", ")
    );
    expressions::parse_query(&changed.query)?;
    context.put(Object::View(Arc::new(changed)))
}

/// Gives a constraint of a locked table another name; its index follows.
pub(super) async fn constraint(
    context: &mut Context<'_>,
    table: &Table,
    old: &str,
    new: &str,
) -> Result<()> {
    let found = table
        .constraints
        .iter()
        .find(|it| it.name == old)
        .ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "constraint \"{old}\" for table \"{}\" does not exist",
                    table.name
                ),
            )
        })?;
    if table.constraints.iter().any(|it| it.name == new) {
        return Err(Error::new(
            SqlState::DUPLICATE_OBJECT,
            format!(
                "constraint \"{new}\" for relation \"{}\" already exists",
                table.name
            ),
        ));
    }
    if let ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } = found.kind {
        let Some(index) = context.catalog.object(index).cloned() else {
            return Err(Error::corrupted(
                "a constraint names an index that does not exist",
            ));
        };
        return relation(context, &index, new).await;
    }
    let oid = found.oid;
    let mut changed = table.clone();
    for constraint in &mut changed.constraints {
        if constraint.oid == oid {
            constraint.name = new.to_owned();
            if let ConstraintKind::ForeignKey(key) = &mut constraint.kind {
                key.name = new.to_owned();
            }
        }
    }
    context.put_table(changed)?;
    Ok(())
}

/// Gives a locked relation, and what belongs to it, another owner.
pub(super) fn owner(context: &mut Context<'_>, object: &Object, owner: u32) -> Result<()> {
    if kind_and_owner(object).is_some_and(|(_, old)| old == owner) {
        return Ok(());
    }
    if !context.rights().superuser {
        context.check_owner(object)?;
        context.check_member(owner)?;
        let new = context.catalog.rights_of(owner);
        let schema = object.schema().unwrap_or(0);
        context
            .catalog
            .check_schema(&new, schema, Privileges::CREATE)?;
    }
    change_owner(context, object, owner)
}

/// As [`owner`], for who may do so anyway.
pub(super) fn change_owner(context: &mut Context<'_>, object: &Object, owner: u32) -> Result<()> {
    let mut changed = vec![with_owner(object, owner)];
    if let Object::Table(table) = object {
        changed.extend(
            context
                .catalog
                .objects()
                .filter(|other| {
                    matches!(other, Object::Sequence(it)
                        if it.owned_by.is_some_and(|(owner, _)| owner == table.oid))
                })
                .map(|sequence| with_owner(sequence, owner)),
        );
    }
    for new in changed {
        let old = context.catalog.object(new.oid()).and_then(kind_and_owner);
        let stored: Vec<(u32, Acl)> = context
            .catalog
            .acls()
            .filter(|(oid, ..)| *oid == new.oid())
            .map(|(_, sub, acl)| (sub, acl.clone()))
            .collect();
        for (sub, acl) in stored {
            if let Some((_, old)) = old {
                let acl = acl.with_owner(old, owner);
                Arc::make_mut(context.catalog).set_acl(context.txn, new.oid(), sub, Some(acl))?;
            }
        }
        context.put(new)?;
    }
    Ok(())
}
