//! ALTER TABLE: one pass over its operations, each on the table as the one before left it.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, DropBehavior, GeneratedAs,
    RenameTableNameKind,
};

use super::super::{Context, Outcome};
use super::depends::Part;
use super::{alter_column, columns, constraint, drop, foreign_key, rename, schema, table};
use crate::catalog::{Identity, Object, QualifiedName, Table, fold, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;

pub(super) async fn alter(context: &mut Context<'_>, statement: &AlterTable) -> Result<Outcome> {
    let tag = Outcome::Command("ALTER TABLE".to_owned());
    if statement.location.is_some()
        || statement.on_cluster.is_some()
        || statement.table_type.is_some()
    {
        return Err(Error::unsupported(
            "this form of ALTER TABLE",
            "Use PostgreSQL's forms.",
        ));
    }
    let name = QualifiedName::from_ast(&statement.name)?;
    let wait = context.wait();
    let found = context
        .lock_by_name(&name, RelationMode::AccessExclusive, wait)
        .await?;
    let Some(found) = found else {
        if statement.if_exists {
            let message = format!("relation \"{}\" does not exist", name.name);
            context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(tag);
        }
        return Err(context.missing_relation(&name));
    };
    super::scope::check_user_object(found.schema().unwrap_or(0), found.name())?;
    let before = match &found {
        Object::Table(table) => Some(table.clone()),
        _ => None,
    };
    let mut retyped = BTreeSet::new();
    for operation in &statement.operations {
        // What a plain relation can do, PostgreSQL lets ALTER TABLE do for every kind.
        match operation {
            AlterTableOperation::RenameTable { table_name } => {
                let new = match table_name {
                    RenameTableNameKind::To(name) | RenameTableNameKind::As(name) => {
                        schema::simple(name)?
                    }
                };
                rename::relation(context, &found, &new).await?;
                continue;
            }
            AlterTableOperation::OwnerTo { new_owner } => {
                let owner = schema::owner_oid(context, new_owner)?;
                let now = context
                    .catalog
                    .object(found.oid())
                    .cloned()
                    .unwrap_or(found.clone());
                context.hold_role(owner).await?;
                rename::owner(context, &now, owner)?;
                continue;
            }
            _ => {}
        }
        let table = match context.catalog.object(found.oid()).cloned() {
            Some(Object::Table(table)) => table,
            Some(Object::View(view)) => {
                if let AlterTableOperation::RenameColumn {
                    old_column_name,
                    new_column_name,
                } = operation
                {
                    let (old, new) = (fold(old_column_name), fold(new_column_name));
                    rename::view_column(context, &view, &old, &new)?;
                    continue;
                }
                return Err(wrong_kind(operation, &view.name, "views"));
            }
            Some(other) => {
                let kind = if other.kind() == "index" {
                    "indexes"
                } else {
                    "sequences"
                };
                return Err(wrong_kind(operation, other.name(), kind));
            }
            None => return Err(context.missing_relation(&name)),
        };
        if let AlterTableOperation::AlterColumn {
            column_name,
            op: AlterColumnOperation::SetDataType { .. },
        } = operation
        {
            retyped.extend(table.column(&fold(column_name)));
        }
        run(context, &table, operation).await?;
    }
    // Both ends of a foreign key may have changed in this statement.
    if let Some(before) = before {
        foreign_key::check_again(context, &before, &retyped)?;
    }
    Ok(tag)
}

fn wrong_kind(operation: &AlterTableOperation, name: &str, kind: &str) -> Error {
    let action = match operation {
        AlterTableOperation::AddColumn { .. } => "ADD COLUMN",
        AlterTableOperation::DropColumn { .. } => "DROP COLUMN",
        AlterTableOperation::AddConstraint { .. } => "ADD CONSTRAINT",
        AlterTableOperation::DropConstraint { .. } => "DROP CONSTRAINT",
        AlterTableOperation::AlterColumn { .. } => "ALTER COLUMN",
        _ => "this action",
    };
    Error::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("ALTER action {action} cannot be performed on relation \"{name}\""),
    )
    .detail(format!("This operation is not supported for {kind}."))
}

async fn run(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    operation: &AlterTableOperation,
) -> Result<()> {
    match operation {
        AlterTableOperation::AddColumn {
            column_def,
            if_not_exists,
            column_position: None,
            column_keyword: _,
        } => add_column(context, table, column_def, *if_not_exists).await,
        AlterTableOperation::DropColumn {
            column_names,
            if_exists,
            drop_behavior,
            has_column_keyword: _,
        } => {
            for name in column_names {
                let name = fold(name);
                drop_column(
                    context,
                    table.oid,
                    &name,
                    *if_exists,
                    is_cascade(drop_behavior),
                )
                .await?;
            }
            Ok(())
        }
        AlterTableOperation::AddConstraint {
            constraint: definition,
            not_valid,
        } => {
            if *not_valid {
                return Err(Error::unsupported(
                    "a constraint that is NOT VALID",
                    "Leave NOT VALID out: the rows are checked at once.",
                ));
            }
            let new = columns::read_constraint(definition)?;
            constraint::add(context, table, &new).await.map(|_| ())
        }
        AlterTableOperation::DropConstraint {
            name,
            if_exists,
            drop_behavior,
        } => {
            let name = fold(name);
            let found = table.constraints.iter().find(|it| it.name == name);
            match found {
                Some(found) => {
                    let part = Part::Constraint(table.oid, found.oid);
                    drop::remove(context, &[part], is_cascade(drop_behavior)).await
                }
                None => {
                    let message = format!(
                        "constraint \"{name}\" of relation \"{}\" does not exist",
                        table.name
                    );
                    if *if_exists {
                        context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
                        return Ok(());
                    }
                    Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
                }
            }
        }
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => rename::column(
            context,
            table,
            &fold(old_column_name),
            &fold(new_column_name),
        ),
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            rename::constraint(context, table, &fold(old_name), &fold(new_name)).await
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            alter_column_operation(context, table, &fold(column_name), op).await
        }
        AlterTableOperation::ValidateConstraint { name } => {
            let name = fold(name);
            // Every constraint is valid: rows are checked when it is added.
            if table.constraints.iter().any(|it| it.name == name) {
                return Ok(());
            }
            Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "constraint \"{name}\" of relation \"{}\" does not exist",
                    table.name
                ),
            ))
        }
        AlterTableOperation::SetOptionsParens { options } => {
            table::check_storage_parameters(options)
        }
        AlterTableOperation::DisableRowLevelSecurity
        | AlterTableOperation::NoForceRowLevelSecurity => Ok(()),
        other => Err(Error::unsupported(
            format!("ALTER TABLE … {other}"),
            "Use ADD, DROP, ALTER or RENAME of columns and constraints.",
        )),
    }
}

pub(super) fn is_cascade(behavior: &Option<DropBehavior>) -> bool {
    matches!(behavior, Some(DropBehavior::Cascade))
}

async fn add_column(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    definition: &datafusion::sql::sqlparser::ast::ColumnDef,
    if_not_exists: bool,
) -> Result<()> {
    let mut new = columns::read(&table.name, definition)?;
    if table.column(&new.column.name).is_some() {
        let message = format!(
            "column \"{}\" of relation \"{}\" already exists",
            new.column.name, table.name
        );
        if if_not_exists {
            context.skipping(SqlState::DUPLICATE_COLUMN, message);
            return Ok(());
        }
        return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
    }
    let constraints = std::mem::take(&mut new.constraints);
    let mut table = alter_column::add(context, table, new).await?;
    for new in &constraints {
        table = constraint::add(context, &table, new).await?;
    }
    Ok(())
}

async fn drop_column(
    context: &mut Context<'_>,
    table: u32,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<()> {
    let Some(table) = context.catalog.table(table).cloned() else {
        return Ok(());
    };
    match table.column(name) {
        Some(at) => drop::remove(context, &[Part::Column(table.oid, at)], cascade).await,
        None => {
            let error = undefined_column(name, &table.name);
            if if_exists {
                context.skipping(SqlState::SUCCESSFUL_COMPLETION, error.message().to_owned());
                return Ok(());
            }
            Err(error)
        }
    }
}

async fn alter_column_operation(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    name: &str,
    operation: &AlterColumnOperation,
) -> Result<()> {
    let at = table
        .column(name)
        .ok_or_else(|| undefined_column(name, &table.name))?;
    match operation {
        AlterColumnOperation::SetNotNull => alter_column::set_not_null(context, table, at),
        AlterColumnOperation::DropNotNull => alter_column::drop_not_null(context, table, at),
        AlterColumnOperation::SetDefault { value } => {
            alter_column::set_default(context, table, at, Some(value)).await
        }
        AlterColumnOperation::DropDefault => {
            alter_column::set_default(context, table, at, None).await
        }
        AlterColumnOperation::SetDataType {
            data_type,
            using,
            had_set: _,
        } => alter_column::set_type(context, table, at, data_type, using.as_ref()).await,
        AlterColumnOperation::AddGenerated {
            generated_as,
            sequence_options,
        } => {
            let identity = match generated_as {
                Some(GeneratedAs::Always) | None => Identity::Always,
                Some(GeneratedAs::ByDefault) => Identity::ByDefault,
                Some(GeneratedAs::ExpStored) => {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "syntax error in ALTER COLUMN",
                    ));
                }
            };
            let options = sequence_options.as_deref().unwrap_or(&[]);
            alter_column::add_identity(context, table, at, identity, options).await
        }
    }
}
