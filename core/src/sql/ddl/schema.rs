//! CREATE SCHEMA, and ALTER SCHEMA … RENAME TO / OWNER TO.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    AlterSchema, AlterSchemaOperation, ObjectName, ObjectNamePart, Owner, SchemaName, Statement,
};

use super::super::{Context, Outcome};
use super::scope::find_role;
use crate::catalog::{Object, Privileges, Schema, denied, fold, undefined_schema};
use crate::error::{Error, Result, SqlState};

pub(super) async fn create(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let Statement::CreateSchema {
        schema_name,
        if_not_exists,
        with,
        options,
        default_collate_spec,
        clone,
    } = statement
    else {
        return Err(Error::internal("not CREATE SCHEMA"));
    };
    if with.is_some() || options.is_some() || default_collate_spec.is_some() || clone.is_some() {
        return Err(Error::unsupported(
            "CREATE SCHEMA with options",
            "Use CREATE SCHEMA name [AUTHORIZATION role].",
        ));
    }
    let (name, owner) = match schema_name {
        SchemaName::Simple(name) => (simple(name)?, context.owner()?),
        SchemaName::UnnamedAuthorization(role) => {
            let role = find_role(context.catalog, &role_name(context, &fold(role)))?;
            (role.name.clone(), role.oid)
        }
        SchemaName::NamedAuthorization(name, role) => {
            let role = find_role(context.catalog, &role_name(context, &fold(role)))?;
            (simple(name)?, role.oid)
        }
    };
    context.check_create_schema()?;
    if owner != context.owner()? {
        context.check_member(owner)?;
    }
    check_name(&name)?;
    let tag = Outcome::Command("CREATE SCHEMA".to_owned());
    if context.lock_schema_name(&name).await?.is_some() {
        let message = format!("schema \"{name}\" already exists");
        if *if_not_exists {
            context.skipping(SqlState::DUPLICATE_SCHEMA, message);
            return Ok(tag);
        }
        return Err(Error::new(SqlState::DUPLICATE_SCHEMA, message));
    }
    let oid = context.new_oid()?;
    context
        .put_new(Object::Schema(Arc::new(Schema { oid, name, owner })))
        .await?;
    Ok(tag)
}

pub(super) async fn alter(context: &mut Context<'_>, statement: &AlterSchema) -> Result<Outcome> {
    let name = simple(&statement.name)?;
    for operation in &statement.operations {
        let Some(schema) = context.lock_schema_name(&name).await? else {
            return Err(undefined_schema(&name));
        };
        let object = Object::Schema(schema.clone());
        context.check_owner(&object)?;
        context.lock_catalog_row(&object).await?;
        let changed = match operation {
            AlterSchemaOperation::Rename { name: new } => {
                let new = simple(new)?;
                context.check_create_schema()?;
                check_name(&name)?;
                check_name(&new)?;
                if context.lock_schema_name(&new).await?.is_some() {
                    return Err(Error::new(
                        SqlState::DUPLICATE_SCHEMA,
                        format!("schema \"{new}\" already exists"),
                    ));
                }
                super::rename::schema_renamed(context, &schema, &new)?;
                Schema {
                    name: new,
                    ..schema.as_ref().clone()
                }
            }
            AlterSchemaOperation::OwnerTo { owner } => {
                let owner = owner_oid(context, owner)?;
                if owner != schema.owner {
                    context.check_member(owner)?;
                    context.check_create_schema()?;
                    context.hold_role(owner).await?;
                    super::rename::change_owner(context, &object, owner)?;
                }
                continue;
            }
            other => {
                return Err(Error::unsupported(
                    format!("ALTER SCHEMA {other}"),
                    "Use RENAME TO or OWNER TO.",
                ));
            }
        };
        context.put(Object::Schema(Arc::new(changed)))?;
    }
    Ok(Outcome::Command("ALTER SCHEMA".to_owned()))
}

impl Context<'_> {
    /// Schemas are made by who has CREATE on the database.
    pub(super) fn check_create_schema(&self) -> Result<()> {
        let wanted = Privileges::CREATE;
        if self.rights().held(&self.catalog.database_acl(), wanted) == wanted {
            return Ok(());
        }
        Err(denied("database", &self.info.database))
    }
}

/// A name that may not be qualified.
pub(super) fn simple(name: &ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(fold(ident)),
        _ => Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {name}"),
        )),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.starts_with("pg_") {
        return Err(Error::new(
            SqlState::RESERVED_NAME,
            format!("unacceptable schema name \"{name}\""),
        )
        .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}

/// CURRENT_USER and its like, as identifiers spell them.
fn role_name(context: &Context<'_>, name: &str) -> String {
    match name {
        "current_user" | "current_role" => context.info.user.clone(),
        "session_user" => context.info.session_user.clone(),
        name => name.to_owned(),
    }
}

/// The role that OWNER TO names.
pub(super) fn owner_oid(context: &Context<'_>, owner: &Owner) -> Result<u32> {
    let name = match owner {
        Owner::Ident(ident) => role_name(context, &fold(ident)),
        Owner::CurrentRole | Owner::CurrentUser => context.info.user.clone(),
        Owner::SessionUser => context.info.session_user.clone(),
    };
    Ok(find_role(context.catalog, &name)?.oid)
}
