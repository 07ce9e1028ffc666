//! What PostgreSQL has from the start: types, access methods, operator classes, collations, ….

use super::super::rows::{Rows, Source, array, int4, text};
use crate::catalog::{BOOTSTRAP_ROLE, Object, PG_CATALOG_SCHEMA};
use crate::types::io_functions::{self, Io};
use crate::types::{Datum, PgType, names, oid};

pub(super) fn types(source: &Source, rows: &mut Rows) {
    for info in names::TYPES {
        row(rows, info.oid, 0, info.array);
        if info.array != 0 {
            row(rows, info.array, info.oid, 0);
        }
    }
    for object in source.catalog.objects() {
        let (relation, name, schema, owner) = match object {
            Object::Table(it) => (it.oid, &it.name, it.schema, it.owner),
            Object::View(it) => (it.oid, &it.name, it.schema, it.owner),
            _ => continue,
        };
        let [input, output, receive, send] = io_functions::oids_of(oid::RECORD);
        rows.push(vec![
            ("oid", Datum::Oid(row_type(relation))),
            ("typname", text(name.clone())),
            ("typnamespace", Datum::Oid(schema)),
            ("typowner", Datum::Oid(owner)),
            ("typlen", Datum::Int2(-1)),
            ("typtype", text("c")),
            ("typcategory", text("C")),
            ("typisdefined", Datum::Bool(true)),
            ("typdelim", text(",")),
            ("typrelid", Datum::Oid(relation)),
            ("typinput", Datum::Oid(input)),
            ("typoutput", Datum::Oid(output)),
            ("typreceive", Datum::Oid(receive)),
            ("typsend", Datum::Oid(send)),
            ("typalign", text("d")),
            ("typstorage", text("x")),
            ("typtypmod", int4(-1)),
        ]);
    }
}

/// The OID of the type of a table's or a view's rows. Objects count from 16384 and do not get there.
pub(super) fn row_type(relation: u32) -> u32 {
    relation | 1 << 31
}

/// The functions that read and write values; others are in no list.
pub(super) fn functions(rows: &mut Rows) {
    const CSTRING: u32 = 2275;
    const INTERNAL: u32 = 2281;
    for function in io_functions::all() {
        let (takes, gives) = match function.io {
            Io::Input => (CSTRING, function.ty),
            Io::Output => (function.ty, CSTRING),
            Io::Receive => (INTERNAL, function.ty),
            Io::Send => (function.ty, oid::BYTEA),
        };
        rows.push(vec![
            ("oid", Datum::Oid(function.oid)),
            ("proname", text(function.name.clone())),
            ("pronamespace", Datum::Oid(PG_CATALOG_SCHEMA)),
            ("proowner", Datum::Oid(BOOTSTRAP_ROLE)),
            ("prolang", Datum::Oid(INTERNAL_LANGUAGE)),
            ("procost", Datum::Float4(1.0)),
            ("prokind", text("f")),
            ("proisstrict", Datum::Bool(true)),
            ("provolatile", text("i")),
            ("proparallel", text("s")),
            ("pronargs", Datum::Int2(1)),
            ("prorettype", Datum::Oid(gives)),
            ("proargtypes", array(PgType::OID, vec![Datum::Oid(takes)])),
            ("prosrc", text(function.name)),
        ]);
    }
}

fn row(rows: &mut Rows, oid: u32, element: u32, array: u32) {
    let (Some(name), Some((length, category, align, by_value))) =
        (names::internal_name(oid), names::physical(oid))
    else {
        return;
    };
    let element = match oid {
        oid::INT2VECTOR => oid::INT2,
        oid::OIDVECTOR => oid::OID,
        oid::NAME => oid::CHAR,
        _ => element,
    };
    let pseudo = matches!(oid, oid::VOID | oid::RECORD | oid::UNKNOWN);
    let collation = match oid {
        oid::NAME | oid::NAME_ARRAY => 950,
        oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::TEXT_ARRAY
        | oid::VARCHAR_ARRAY
        | oid::BPCHAR_ARRAY => 100,
        _ => 0,
    };
    let preferred = matches!(
        oid,
        oid::BOOL | oid::TEXT | oid::FLOAT8 | oid::TIMESTAMPTZ | oid::INTERVAL | oid::OID
    );
    let [input, output, receive, send] = io_functions::oids_of(oid);
    rows.push(vec![
        ("oid", Datum::Oid(oid)),
        ("typname", text(name)),
        ("typnamespace", Datum::Oid(PG_CATALOG_SCHEMA)),
        ("typowner", Datum::Oid(BOOTSTRAP_ROLE)),
        ("typlen", Datum::Int2(length)),
        ("typbyval", Datum::Bool(by_value)),
        ("typtype", text(if pseudo { "p" } else { "b" })),
        ("typcategory", text(category.to_string())),
        ("typispreferred", Datum::Bool(preferred)),
        ("typisdefined", Datum::Bool(true)),
        ("typdelim", text(",")),
        ("typelem", Datum::Oid(element)),
        ("typarray", Datum::Oid(array)),
        ("typinput", Datum::Oid(input)),
        ("typoutput", Datum::Oid(output)),
        ("typreceive", Datum::Oid(receive)),
        ("typsend", Datum::Oid(send)),
        ("typalign", text(align.to_string())),
        ("typstorage", text(storage(oid, length))),
        ("typtypmod", int4(-1)),
        ("typcollation", Datum::Oid(collation)),
    ]);
}

/// PostgreSQL's TOAST strategy of a type.
pub(super) fn storage(oid: u32, length: i16) -> &'static str {
    match oid {
        oid::NUMERIC => "m",
        oid::INT2VECTOR | oid::OIDVECTOR => "p",
        _ if length == -1 => "x",
        _ => "p",
    }
}

pub(super) fn access_methods(rows: &mut Rows) {
    for (oid, name, kind) in [(2, "heap", "t"), (403, "btree", "i")] {
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("amname", text(name)),
            ("amtype", text(kind)),
        ]);
    }
}

/// The btree operator class of each type; OIDs as in PostgreSQL.
const CLASSES: [(u32, &str, u32, u32); 18] = [
    (10003, "bool_ops", 424, oid::BOOL),
    (10004, "bpchar_ops", 426, oid::BPCHAR),
    (10006, "bytea_ops", 428, oid::BYTEA),
    (10007, "char_ops", 429, oid::CHAR),
    (3122, "date_ops", 434, oid::DATE),
    (10012, "float4_ops", 1970, oid::FLOAT4),
    (3123, "float8_ops", 1970, oid::FLOAT8),
    (1979, "int2_ops", 1976, oid::INT2),
    (1978, "int4_ops", 1976, oid::INT4),
    (3124, "int8_ops", 1976, oid::INT8),
    (10022, "interval_ops", 1982, oid::INTERVAL),
    (3125, "numeric_ops", 1988, oid::NUMERIC),
    (1981, "oid_ops", 1989, oid::OID),
    (3126, "text_ops", 1994, oid::TEXT),
    (10038, "time_ops", 1996, oid::TIME),
    (3127, "timestamptz_ops", 434, oid::TIMESTAMPTZ),
    (3128, "timestamp_ops", 434, oid::TIMESTAMP),
    (10065, "uuid_ops", 2968, oid::UUID),
];

/// OID of the operator class that indexes a type.
pub(super) fn operator_class(ty: PgType) -> u32 {
    let oid = match ty.oid {
        oid::VARCHAR | oid::NAME => oid::TEXT,
        other => other,
    };
    CLASSES
        .iter()
        .find(|class| class.3 == oid)
        .map_or(0, |class| class.0)
}

pub(super) fn operator_classes(rows: &mut Rows) {
    for (oid, name, family, ty) in CLASSES {
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("opcmethod", Datum::Oid(403)),
            ("opcname", text(name)),
            ("opcnamespace", Datum::Oid(PG_CATALOG_SCHEMA)),
            ("opcowner", Datum::Oid(BOOTSTRAP_ROLE)),
            ("opcfamily", Datum::Oid(family)),
            ("opcintype", Datum::Oid(ty)),
            ("opcdefault", Datum::Bool(true)),
        ]);
    }
}

pub(super) fn collations(rows: &mut Rows) {
    for (oid, name, provider) in [(100, "default", "d"), (950, "C", "c"), (951, "POSIX", "c")] {
        let locale = if provider == "d" {
            Datum::Null
        } else {
            text(name)
        };
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("collname", text(name)),
            ("collnamespace", Datum::Oid(PG_CATALOG_SCHEMA)),
            ("collowner", Datum::Oid(BOOTSTRAP_ROLE)),
            ("collprovider", text(provider)),
            ("collisdeterministic", Datum::Bool(true)),
            ("collencoding", int4(-1)),
            ("collcollate", locale.clone()),
            ("collctype", locale),
        ]);
    }
}

const INTERNAL_LANGUAGE: u32 = 12;

pub(super) fn languages(rows: &mut Rows) {
    for (oid, name) in [(INTERNAL_LANGUAGE, "internal"), (14, "sql")] {
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("lanname", text(name)),
            ("lanowner", Datum::Oid(BOOTSTRAP_ROLE)),
            ("lanpltrusted", Datum::Bool(name == "sql")),
        ]);
    }
}

pub(super) fn tablespaces(rows: &mut Rows) {
    for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] {
        rows.push(vec![
            ("oid", Datum::Oid(oid)),
            ("spcname", text(name)),
            ("spcowner", Datum::Oid(BOOTSTRAP_ROLE)),
        ]);
    }
}
