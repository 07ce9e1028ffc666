//! GRANT and REVOKE of privileges on objects.

use std::sync::Arc;

use super::super::{Context, Outcome};
use super::grant_forms::{Grant, Grantee, Target, Wanted, invalid};
use super::scope::{Needed, find_role, is_system_schema};
use crate::catalog::{
    Acl, BOOTSTRAP_ROLE, Change, DATABASE, Kind, Object, PUBLIC, Privileges, Table, denied,
    kind_and_owner, undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::txn::{RelationMode, RowMode};

/// An object whose list changes.
struct Place {
    oid: u32,
    /// A column's number, or 0.
    sub: u32,
    kind: Kind,
    owner: u32,
    /// What messages call it.
    word: &'static str,
    name: String,
    /// The table that a column is of.
    relation: Option<String>,
}

pub(super) async fn execute(context: &mut Context<'_>, statement: &Grant) -> Result<Outcome> {
    let grantees = grantees(context, &statement.grantees).await?;
    if let Some(by) = &statement.granted_by {
        let by = find_role(context.catalog, &context.role_name(by))?.oid;
        if by != context.rights().role {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "grantor must be current user",
            ));
        }
    }
    match &statement.target {
        Target::Tables(names) => {
            for name in names {
                let object = relation(context, name).await?;
                on_relation(context, statement, &grantees, object, false)?;
            }
        }
        Target::Sequences(names) => {
            for name in names {
                let object = relation(context, name).await?;
                if !matches!(object, Object::Sequence(_)) {
                    return Err(super::scope::not_a(&object, "a sequence"));
                }
                on_relation(context, statement, &grantees, object, true)?;
            }
        }
        Target::AllIn(kind, schemas) => {
            // The words are checked even where there is no object.
            statement.privileges.resolve(*kind)?;
            for object in all_in(context, *kind, schemas)? {
                context.lock_catalog_row(&object).await?;
                context.refresh()?;
                if let Some(object) = context.catalog.object(object.oid()).cloned() {
                    on_relation(
                        context,
                        statement,
                        &grantees,
                        object,
                        *kind == Kind::Sequence,
                    )?;
                }
            }
        }
        Target::Schemas(names) => {
            let (wanted, _) = statement.privileges.resolve(Kind::Schema)?;
            for name in names {
                let found = context.lock_schema_name(name).await?;
                let schema = found.ok_or_else(|| undefined_schema(name))?;
                let object = Object::Schema(schema.clone());
                context.lock_catalog_row(&object).await?;
                let place = Place {
                    oid: schema.oid,
                    sub: 0,
                    kind: Kind::Schema,
                    owner: schema.owner,
                    word: "schema",
                    name: schema.name.clone(),
                    relation: None,
                };
                change(context, statement, &grantees, &place, wanted)?;
            }
        }
        Target::Databases(names) => {
            let (wanted, _) = statement.privileges.resolve(Kind::Database)?;
            for name in names {
                on_database(context, statement, &grantees, name, wanted).await?;
            }
        }
    }
    let tag = if statement.revoke { "REVOKE" } else { "GRANT" };
    Ok(Outcome::Command(tag.to_owned()))
}

/// The roles that a list means. They stay until the transaction ends.
pub(super) async fn grantees(context: &mut Context<'_>, list: &[Grantee]) -> Result<Vec<u32>> {
    let mut roles = Vec::with_capacity(list.len());
    for grantee in list {
        roles.push(match grantee {
            Grantee::Public => PUBLIC,
            Grantee::Role(name) => {
                let role = find_role(context.catalog, &context.role_name(name))?.oid;
                context.hold_role(role).await?;
                role
            }
        });
    }
    Ok(roles)
}

/// A relation, its catalog row locked: privileges change beside readers and writers.
async fn relation(
    context: &mut Context<'_>,
    name: &crate::catalog::QualifiedName,
) -> Result<Object> {
    let wait = context.wait();
    let found = context
        .lock_needed(name, RelationMode::AccessShare, wait, Needed::Nothing)
        .await?;
    let Some(found) = found else {
        return Err(context.missing_relation(name));
    };
    if let Object::Index(index) = &found {
        return Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{}\" is an index", index.name),
        ));
    }
    context.lock_catalog_row(&found).await?;
    context.refresh()?;
    let found = context.catalog.object(found.oid()).cloned();
    found.ok_or_else(|| context.missing_relation(name))
}

fn all_in(context: &Context<'_>, kind: Kind, schemas: &[String]) -> Result<Vec<Object>> {
    let mut oids = Vec::with_capacity(schemas.len());
    for name in schemas {
        let schema = context.catalog.schema(name);
        let schema = schema.ok_or_else(|| undefined_schema(name))?;
        context.check_schema(schema.oid, Privileges::USAGE)?;
        oids.push(schema.oid);
    }
    let objects = context.catalog.objects().filter(|object| {
        object.schema().is_some_and(|schema| oids.contains(&schema))
            && kind_and_owner(object).is_some_and(|(of, _)| of == kind)
    });
    Ok(objects.cloned().collect())
}

fn on_relation(
    context: &mut Context<'_>,
    statement: &Grant,
    grantees: &[u32],
    object: Object,
    as_sequence: bool,
) -> Result<()> {
    let Some((kind, owner)) = kind_and_owner(&object) else {
        return Ok(());
    };
    if object.schema().is_some_and(is_system_schema) {
        return Err(denied(object.kind(), object.name()));
    }
    let asked = if as_sequence || (kind == Kind::Sequence && has_usage(&statement.privileges)) {
        Kind::Sequence
    } else {
        Kind::Table
    };
    // GRANT ON TABLE knows USAGE, for the sequences among its relations.
    if asked == Kind::Table && has_usage(&statement.privileges) {
        return Err(invalid("usage", "table"));
    }
    let (mut wanted, columns) = statement.privileges.resolve(asked)?;
    if kind == Kind::Sequence && asked == Kind::Table {
        // GRANT ON TABLE takes a sequence too, for what sequences have.
        let fitting = wanted.among(Privileges::all(Kind::Sequence));
        if fitting != wanted && !matches!(statement.privileges, Wanted::All(_)) {
            let message = format!(
                "sequence \"{}\" only supports USAGE, SELECT, and UPDATE privileges",
                object.name()
            );
            context.warning(Error::new(SqlState::INVALID_GRANT_OPERATION, message));
        }
        wanted = match &statement.privileges {
            Wanted::All(_) => Privileges::all(Kind::Sequence),
            Wanted::These(_) => fitting,
        };
        if !columns.is_empty() {
            return Err(Error::new(
                SqlState::INVALID_GRANT_OPERATION,
                format!(
                    "sequence \"{}\" only supports SELECT column privileges",
                    object.name()
                ),
            ));
        }
    }
    let mut by_column: Vec<(u32, String, Privileges)> = Vec::new();
    for (privileges, name) in &columns {
        let number = object.column_number(name)?;
        match by_column.iter_mut().find(|(it, ..)| *it == number) {
            Some((.., all)) => *all = all.with(*privileges),
            None => by_column.push((number, (*name).to_owned(), *privileges)),
        }
    }
    // What is taken from a table is taken from its columns, too.
    if statement.revoke
        && let Object::Table(table) = &object
    {
        let of_columns = wanted.among(Privileges::all(Kind::Column));
        for (number, name) in granted_columns(context, table) {
            match by_column.iter_mut().find(|(it, ..)| *it == number) {
                Some((.., all)) => *all = all.with(of_columns),
                None => by_column.push((number, name, of_columns)),
            }
        }
    }
    let place = Place {
        oid: object.oid(),
        sub: 0,
        kind,
        owner,
        word: object.kind(),
        name: object.name().to_owned(),
        relation: None,
    };
    if !wanted.is_empty() {
        change(context, statement, grantees, &place, wanted)?;
    }
    for (sub, name, privileges) in by_column {
        if privileges.is_empty() {
            continue;
        }
        let place = Place {
            sub,
            kind: Kind::Column,
            name,
            relation: Some(place.name.clone()),
            ..Place {
                name: String::new(),
                relation: None,
                ..place
            }
        };
        change(context, statement, grantees, &place, privileges)?;
    }
    Ok(())
}

fn has_usage(wanted: &Wanted) -> bool {
    let is_usage = |(word, columns): &(String, Vec<String>)| word == "usage" && columns.is_empty();
    matches!(wanted, Wanted::These(list) if list.iter().any(is_usage))
}

/// The columns of a table that have lists of their own.
fn granted_columns(context: &Context<'_>, table: &Table) -> Vec<(u32, String)> {
    table
        .live_columns()
        .filter_map(|(at, column)| {
            let number = u32::try_from(at.saturating_add(1)).ok()?;
            context.catalog.stored_acl(table.oid, number)?;
            Some((number, column.name.clone()))
        })
        .collect()
}

async fn on_database(
    context: &mut Context<'_>,
    statement: &Grant,
    grantees: &[u32],
    name: &str,
    wanted: Privileges,
) -> Result<()> {
    if name != context.info.database {
        return Err(Error::new(
            SqlState::INVALID_CATALOG_NAME,
            format!("database \"{name}\" does not exist"),
        ));
    }
    // The database has no row of its own to lock: its name stands for it.
    let wait = context.wait();
    let lock = crate::catalog::schema_name_lock("\0database");
    context.txn.lock_key(lock, RowMode::Update, wait).await?;
    context.refresh()?;
    let place = Place {
        oid: DATABASE,
        sub: 0,
        kind: Kind::Database,
        owner: BOOTSTRAP_ROLE,
        word: "database",
        name: name.to_owned(),
        relation: None,
    };
    change(context, statement, grantees, &place, wanted)
}

/// Changes one list.
fn change(
    context: &mut Context<'_>,
    statement: &Grant,
    grantees: &[u32],
    place: &Place,
    wanted: Privileges,
) -> Result<()> {
    let mut acl = current(context, place);
    let (grantor, allowed) = grantor(context, &acl, place, wanted)?;
    let given = wanted.among(allowed);
    let all = matches!(&statement.privileges, Wanted::All(_));
    if given.is_empty() || (given != wanted && !all) {
        warn(context, statement.revoke, place, given.is_empty());
    }
    if given.is_empty() {
        return Ok(());
    }
    for grantee in grantees {
        let none = Privileges::NONE;
        let (privileges, options) = match (statement.revoke, statement.option) {
            (false, false) => (given, none),
            (false, true) => (given, given),
            (true, false) => (given, given),
            (true, true) => (none, given),
        };
        let change = Change {
            grantee: *grantee,
            grantor,
            privileges,
            options,
            revoke: statement.revoke,
            cascade: statement.cascade,
        };
        acl.change(&change, place.owner)?;
    }
    let stored = match place.kind {
        Kind::Column if acl.0.is_empty() => None,
        _ => Some(acl),
    };
    Arc::make_mut(context.catalog).set_acl(context.txn, place.oid, place.sub, stored)
}

fn current(context: &Context<'_>, place: &Place) -> Acl {
    if let Some(acl) = context.catalog.stored_acl(place.oid, place.sub) {
        return acl.clone();
    }
    match (place.kind, context.catalog.object(place.oid)) {
        (Kind::Column, _) => Acl::default(),
        (Kind::Database, _) => context.catalog.database_acl(),
        (_, Some(object)) => context.catalog.acl(object),
        (kind, None) => Acl::default_of(kind, place.owner),
    }
}

/// Who gives: the owner when the current role is one of its members, else the role that may pass on
/// most. With it what it may pass on.
fn grantor(
    context: &Context<'_>,
    acl: &Acl,
    place: &Place,
    wanted: Privileges,
) -> Result<(u32, Privileges)> {
    let rights = context.rights();
    if rights.owns(place.owner) {
        return Ok((place.owner, wanted));
    }
    // On a column, what the table lets pass on counts as well.
    let table = match place.kind {
        Kind::Column => context.catalog.stored_acl(place.oid, 0),
        _ => None,
    };
    let options = |roles: &[u32]| {
        let of_table = table.map_or(Privileges::NONE, |acl| acl.options(roles));
        acl.options(roles).with(of_table).among(wanted)
    };
    let mut best = (rights.role, Privileges::NONE);
    for role in rights.roles() {
        let may = options(&[*role]);
        if may.0.count_ones() > best.1.0.count_ones() {
            best = (*role, may);
        }
    }
    if !best.1.is_empty() {
        return Ok(best);
    }
    // Who has no part in it at all is refused; others are told that nothing happened.
    let held = rights.held(acl, Privileges(u16::MAX));
    let of_table = table.map_or(Privileges::NONE, |acl| {
        rights.held(acl, Privileges(u16::MAX))
    });
    if !held.with(of_table).is_empty() {
        return Ok(best);
    }
    Err(match &place.relation {
        Some(relation) => Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!(
                "permission denied for column \"{}\" of relation \"{relation}\"",
                place.name
            ),
        ),
        None => denied(place.word, &place.name),
    })
}

fn warn(context: &mut Context<'_>, revoke: bool, place: &Place, none: bool) {
    let name = match &place.relation {
        Some(relation) => format!("column \"{}\" of relation \"{relation}\"", place.name),
        None => format!("\"{}\"", place.name),
    };
    let (state, what) = match (revoke, none) {
        (false, true) => (
            SqlState::PRIVILEGE_NOT_GRANTED,
            "no privileges were granted",
        ),
        (false, false) => (
            SqlState::PRIVILEGE_NOT_GRANTED,
            "not all privileges were granted",
        ),
        (true, true) => (
            SqlState::PRIVILEGE_NOT_REVOKED,
            "no privileges could be revoked",
        ),
        (true, false) => (
            SqlState::PRIVILEGE_NOT_REVOKED,
            "not all privileges could be revoked",
        ),
    };
    context.warning(Error::new(state, format!("{what} for {name}")));
}
