//! Databases and roles.

use super::super::rows::{Rows, Source, int4, text, text_or_null};
use super::grants;
use crate::catalog::{BOOTSTRAP_ROLE, Object, Role};
use crate::types::Datum;

pub(in super::super) use crate::catalog::DATABASE;

const UTF8: i32 = 6;

pub(super) fn databases(source: &Source, rows: &mut Rows) {
    rows.push(vec![
        ("oid", Datum::Oid(DATABASE)),
        ("datname", text(source.info.database.clone())),
        ("datdba", Datum::Oid(BOOTSTRAP_ROLE)),
        ("encoding", int4(UTF8)),
        ("datlocprovider", text("c")),
        ("datallowconn", Datum::Bool(true)),
        ("datconnlimit", int4(-1)),
        ("dattablespace", Datum::Oid(1663)),
        ("datcollate", text("C.UTF-8")),
        ("datctype", text("C.UTF-8")),
        (
            "datacl",
            source
                .catalog
                .stored_acl(DATABASE, 0)
                .map_or(Datum::Null, |acl| grants::text_of(source, acl)),
        ),
    ]);
}

/// Roles in the catalog.
pub(in super::super) fn each(source: &Source) -> impl Iterator<Item = &Role> {
    source.catalog.objects().filter_map(|object| match object {
        Object::Role(role) => Some(role.as_ref()),
        _ => None,
    })
}

pub(super) fn roles(table: &str, source: &Source, rows: &mut Rows) {
    let shows_verifiers = source
        .catalog
        .role(&source.info.user)
        .is_some_and(|role| role.superuser);
    for role in each(source) {
        let flag = Datum::Bool(role.superuser);
        if matches!(table, "pg_user" | "pg_shadow") {
            if !role.login {
                continue;
            }
            let password = match table {
                "pg_user" => Some("********".to_owned()),
                _ => role.verifier.clone().filter(|_| shows_verifiers),
            };
            rows.push(vec![
                ("usename", text(role.name.clone())),
                ("usesysid", Datum::Oid(role.oid)),
                ("usecreatedb", Datum::Bool(role.create_db)),
                ("usesuper", flag.clone()),
                ("userepl", flag.clone()),
                ("usebypassrls", flag),
                ("passwd", text_or_null(password)),
                ("valuntil", valid_until(role)),
            ]);
            continue;
        }
        let password = match table {
            "pg_roles" => Some("********".to_owned()),
            _ => role.verifier.clone().filter(|_| shows_verifiers),
        };
        rows.push(vec![
            ("oid", Datum::Oid(role.oid)),
            ("rolname", text(role.name.clone())),
            ("rolsuper", flag.clone()),
            ("rolinherit", Datum::Bool(role.inherit)),
            ("rolcreaterole", Datum::Bool(role.create_role)),
            ("rolcreatedb", Datum::Bool(role.create_db)),
            ("rolcanlogin", Datum::Bool(role.login)),
            ("rolreplication", flag.clone()),
            ("rolbypassrls", flag),
            ("rolconnlimit", int4(role.connection_limit)),
            ("rolpassword", text_or_null(password)),
            ("rolvaliduntil", valid_until(role)),
        ]);
    }
}

fn valid_until(role: &Role) -> Datum<'static> {
    role.valid_until.map_or(Datum::Null, Datum::Timestamptz)
}

/// Comments on roles.
pub(super) fn descriptions(source: &Source, rows: &mut Rows) {
    for role in each(source) {
        if let Some(comment) = source.catalog.comment(role.oid, 0) {
            rows.push(vec![
                ("objoid", Datum::Oid(role.oid)),
                ("classoid", Datum::Oid(1260)),
                ("description", text(comment)),
            ]);
        }
    }
}
