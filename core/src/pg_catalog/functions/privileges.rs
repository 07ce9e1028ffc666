//! `has_table_privilege` and its like, and `pg_has_role`.

use super::{Source, int, look_up, oid, string};
use crate::catalog::{
    Acl, BOOTSTRAP_ROLE, Kind, Object, PUBLIC, Privileges, Rights, column_numbers, kind_and_owner,
    restricted, undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::types::Datum;

/// What a call asks about: privileges of which any is enough, each perhaps with its grant option.
type Asked = Vec<(Privileges, bool)>;

/// The role that a call asks about: its first argument when there is one more than `fixed`, else
/// the current one. With it the other arguments; `None` when the role is gone.
fn rights<'a, 'd>(
    source: &Source,
    args: &'a [Datum<'d>],
    fixed: usize,
) -> Result<(Rights, &'a [Datum<'d>])> {
    let (role, rest) = match args.split_first() {
        Some((role, rest)) if args.len() > fixed => (Some(role), rest),
        _ => (None, args),
    };
    let catalog = &source.catalog;
    let rights = match role {
        None => catalog.rights(&source.info.user),
        Some(Datum::Text(name)) if name.as_ref() == "public" => catalog.rights_of(PUBLIC),
        Some(Datum::Text(name)) => catalog.rights_of(named_role(source, name)?),
        Some(other) => catalog.rights_of(oid(Some(other)).unwrap_or(u32::MAX)),
    };
    Ok((rights, rest))
}

fn named_role(source: &Source, name: &str) -> Result<u32> {
    let role = source.catalog.role(name).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("role \"{name}\" does not exist"),
        )
    })?;
    Ok(role.oid)
}

/// `SELECT, INSERT WITH GRANT OPTION` as privileges of that kind.
fn asked(datum: Option<&Datum<'_>>, kind: Kind) -> Result<Asked> {
    let mut asked = Vec::new();
    for part in string(datum).unwrap_or_default().split(',') {
        let word = part.trim();
        let upper = word.to_ascii_uppercase();
        let (name, option) = match upper.strip_suffix("WITH GRANT OPTION") {
            Some(name) => (name.trim(), true),
            None => (upper.as_str(), false),
        };
        let found = Privileges::named(name).filter(|it| Privileges::all(kind).contains(*it));
        let privilege = found.ok_or_else(|| unrecognized(word))?;
        asked.push((privilege, option));
    }
    Ok(asked)
}

fn unrecognized(word: &str) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unrecognized privilege type: \"{word}\""),
    )
}

/// Whether a list gives any of what is asked.
fn any(rights: &Rights, acl: &Acl, owner: u32, asked: &Asked) -> bool {
    asked.iter().any(|(privilege, option)| {
        let held = rights.held(acl, *privilege) == *privilege;
        held && (!option || rights.options(acl, owner).contains(*privilege))
    })
}

/// The relation that an argument names. `Ok(None)` is an OID that there is none of.
enum Relation {
    Stored(Object),
    /// A system table, and whether only superusers read it.
    System(bool),
}

fn relation(source: &Source, datum: Option<&Datum<'_>>) -> Result<Option<Relation>> {
    let definitions = super::super::definitions::all();
    let system = |it: &super::super::definitions::Definition| {
        Relation::System(it.schema == "pg_catalog" && restricted(it.name).is_some())
    };
    match string(datum) {
        Some(name) => {
            let parsed = super::super::parse_name(name)?;
            let schema = parsed.schema.as_deref().unwrap_or("pg_catalog");
            if let Some(found) = super::super::definitions::find(schema, &parsed.name) {
                return Ok(Some(system(found)));
            }
            let found = look_up::relation_by_name(source, name)?;
            Ok(Some(Relation::Stored(found)))
        }
        None => {
            let wanted = oid(datum).unwrap_or(0);
            if let Some(found) = definitions.iter().find(|it| it.oid == wanted) {
                return Ok(Some(system(found)));
            }
            let found = source.catalog.object(wanted).cloned();
            Ok(found
                .filter(|object| object.schema().is_some())
                .map(Relation::Stored))
        }
    }
}

/// What everybody may do with a system table.
fn on_system(rights: &Rights, only_superusers: bool, asked: &Asked) -> bool {
    let select = |(privilege, option): &(Privileges, bool)| {
        *privilege == Privileges::SELECT && !option && !only_superusers
    };
    rights.superuser || asked.iter().any(select)
}

fn stored(source: &Source, rights: &Rights, object: &Object, asked: &Asked) -> bool {
    let owner = kind_and_owner(object).map_or(0, |(_, owner)| owner);
    any(rights, &source.catalog.acl(object), owner, asked)
}

fn column(source: &Source, rights: &Rights, object: &Object, number: u32, asked: &Asked) -> bool {
    let owner = kind_and_owner(object).map_or(0, |(_, owner)| owner);
    source
        .catalog
        .stored_acl(object.oid(), number)
        .is_some_and(|acl| any(rights, acl, owner, asked))
}

pub(super) fn has_table(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let asked = asked(rest.get(1), Kind::Table)?;
    Ok(match relation(source, rest.first())? {
        None => Datum::Null,
        Some(Relation::System(closed)) => Datum::Bool(on_system(&rights, closed, &asked)),
        Some(Relation::Stored(object)) => Datum::Bool(stored(source, &rights, &object, &asked)),
    })
}

pub(super) fn has_any_column(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let asked = asked(rest.get(1), Kind::Column)?;
    Ok(match relation(source, rest.first())? {
        None => Datum::Null,
        Some(Relation::System(closed)) => Datum::Bool(on_system(&rights, closed, &asked)),
        Some(Relation::Stored(object)) => Datum::Bool(
            stored(source, &rights, &object, &asked)
                || column_numbers(&object)
                    .any(|number| column(source, &rights, &object, number, &asked)),
        ),
    })
}

pub(super) fn has_column(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 3)?;
    let asked = asked(rest.get(2), Kind::Column)?;
    let object = match relation(source, rest.first())? {
        None => return Ok(Datum::Null),
        Some(Relation::System(closed)) => {
            return Ok(Datum::Bool(on_system(&rights, closed, &asked)));
        }
        Some(Relation::Stored(object)) => object,
    };
    let number = match string(rest.get(1)) {
        Some(name) => Some(object.column_number(name)?),
        None => int(rest.get(1)).and_then(|number| u32::try_from(number).ok()),
    };
    let Some(number) = number.filter(|it| column_numbers(&object).any(|known| known == *it)) else {
        return Ok(Datum::Null);
    };
    Ok(Datum::Bool(
        stored(source, &rights, &object, &asked)
            || column(source, &rights, &object, number, &asked),
    ))
}

pub(super) fn has_sequence(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let asked = asked(rest.get(1), Kind::Sequence)?;
    match relation(source, rest.first())? {
        None => Ok(Datum::Null),
        Some(Relation::Stored(object @ Object::Sequence(_))) => {
            Ok(Datum::Bool(stored(source, &rights, &object, &asked)))
        }
        Some(other) => {
            let name = match &other {
                Relation::Stored(object) => object.name(),
                Relation::System(_) => "a system table",
            };
            Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not a sequence"),
            ))
        }
    }
}

pub(super) fn has_schema(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let asked = asked(rest.get(1), Kind::Schema)?;
    let found = match string(rest.first()) {
        Some(name) => {
            let schema = source.catalog.schema(name);
            Some(Object::Schema(
                schema.ok_or_else(|| undefined_schema(name))?.clone(),
            ))
        }
        None => oid(rest.first())
            .and_then(|it| source.catalog.object(it))
            .filter(|object| matches!(object, Object::Schema(_)))
            .cloned(),
    };
    Ok(found.map_or(Datum::Null, |schema| {
        Datum::Bool(stored(source, &rights, &schema, &asked))
    }))
}

pub(super) fn has_database(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let asked = asked(rest.get(1), Kind::Database)?;
    match string(rest.first()) {
        Some(name) if name != source.info.database => {
            return Err(Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            ));
        }
        None if oid(rest.first()) != Some(crate::catalog::DATABASE) => return Ok(Datum::Null),
        _ => {}
    }
    let acl = source.catalog.database_acl();
    Ok(Datum::Bool(any(&rights, &acl, BOOTSTRAP_ROLE, &asked)))
}

/// Privileges on what only a superuser could make.
pub(super) fn has_other(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, _) = rights(source, args, 2)?;
    Ok(Datum::Bool(rights.superuser))
}

/// `pg_has_role`: MEMBER is who could SET ROLE, USAGE who has the privileges anyway.
pub(super) fn has_role(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (rights, rest) = rights(source, args, 2)?;
    let role = match string(rest.first()) {
        Some(name) => Some(named_role(source, name)?),
        None => oid(rest.first()),
    };
    let Some(role) = role.filter(|it| source.catalog.object(*it).is_some()) else {
        return Ok(Datum::Bool(rights.superuser));
    };
    let mut has = false;
    for part in string(rest.get(1)).unwrap_or_default().split(',') {
        has |= match part.trim().to_ascii_uppercase().as_str() {
            "USAGE" => rights.owns(role),
            "MEMBER" | "SET" => source.catalog.is_member(rights.role, role),
            "USAGE WITH GRANT OPTION"
            | "USAGE WITH ADMIN OPTION"
            | "MEMBER WITH GRANT OPTION"
            | "MEMBER WITH ADMIN OPTION" => source.catalog.is_admin(rights.role, role),
            _ => return Err(unrecognized(part.trim())),
        };
    }
    Ok(Datum::Bool(has))
}
