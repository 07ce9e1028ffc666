//! Schemas and relations: `pg_class` and what hangs on it.

use super::super::definitions;
use super::super::deparse;
use super::super::rows::{Rows, Source, int2, int4, number, text};
use super::grants;
use super::types::{row_type, storage};
use crate::catalog::{
    BOOTSTRAP_ROLE, Column, ConstraintKind, FIRST_USER_OID, INFORMATION_SCHEMA, Identity, Object,
    PG_CATALOG_SCHEMA, Sequence, Table,
};
use crate::types::{Datum, PgType, names, oid};

/// OIDs of the catalogs themselves, as `classoid` columns name them.
pub(super) const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;
pub(super) const PG_CONSTRAINT: u32 = 2606;
pub(super) const PG_REWRITE: u32 = 2618;

const SEQUENCE_COLUMNS: [(&str, PgType); 3] = [
    ("last_value", PgType::INT8),
    ("log_cnt", PgType::INT8),
    ("is_called", PgType::BOOL),
];

pub(super) fn namespaces(source: &Source, rows: &mut Rows) {
    for object in source.catalog.objects() {
        if let Object::Schema(schema) = object {
            rows.push(vec![
                ("oid", Datum::Oid(schema.oid)),
                ("nspname", text(schema.name.clone())),
                ("nspowner", Datum::Oid(schema.owner)),
                ("nspacl", grants::schema(source, object)),
            ]);
        }
    }
}

/// One row of `pg_class`.
struct Class {
    oid: u32,
    name: String,
    schema: u32,
    owner: u32,
    kind: &'static str,
    method: u32,
    file: u32,
    columns: usize,
    checks: usize,
    has_index: bool,
    has_rules: bool,
    has_triggers: bool,
    shared: bool,
}

impl Class {
    fn push(self, source: &Source, rows: &mut Rows) {
        rows.push(vec![
            ("oid", Datum::Oid(self.oid)),
            ("relname", text(self.name)),
            ("relnamespace", Datum::Oid(self.schema)),
            (
                "reltype",
                Datum::Oid(match self.kind {
                    "r" | "v" if self.oid >= FIRST_USER_OID => row_type(self.oid),
                    _ => 0,
                }),
            ),
            ("relowner", Datum::Oid(self.owner)),
            ("relam", Datum::Oid(self.method)),
            ("relfilenode", Datum::Oid(self.file)),
            ("reltuples", Datum::Float4(-1.0)),
            ("relhasindex", Datum::Bool(self.has_index)),
            ("relisshared", Datum::Bool(self.shared)),
            ("relpersistence", text("p")),
            ("relkind", text(self.kind)),
            ("relnatts", int2(self.columns)),
            ("relchecks", int2(self.checks)),
            ("relhasrules", Datum::Bool(self.has_rules)),
            ("relhastriggers", Datum::Bool(self.has_triggers)),
            ("relispopulated", Datum::Bool(true)),
            (
                "relreplident",
                text(if self.kind == "r" { "d" } else { "n" }),
            ),
            ("relacl", grants::stored(source, self.oid, 0)),
        ]);
    }
}

pub(super) fn classes(source: &Source, rows: &mut Rows) {
    for definition in definitions::all() {
        Class {
            oid: definition.oid,
            name: definition.name.to_owned(),
            schema: system_schema(definition.schema),
            owner: BOOTSTRAP_ROLE,
            kind: if definition.kind == 'r' { "r" } else { "v" },
            method: if definition.kind == 'r' { 2 } else { 0 },
            file: 0,
            columns: definition.columns.len(),
            checks: 0,
            has_index: false,
            has_rules: definition.kind == 'v',
            has_triggers: false,
            shared: matches!(
                definition.name,
                "pg_database" | "pg_authid" | "pg_tablespace"
            ),
        }
        .push(source, rows);
    }
    for object in source.catalog.objects() {
        let class = match object {
            Object::Table(table) => {
                let is_check = |kind: &ConstraintKind| matches!(kind, ConstraintKind::Check { .. });
                let is_key = |kind: &ConstraintKind| matches!(kind, ConstraintKind::ForeignKey(_));
                Class {
                    oid: table.oid,
                    name: table.name.clone(),
                    schema: table.schema,
                    owner: table.owner,
                    kind: "r",
                    method: 2,
                    file: u32::try_from(table.storage).unwrap_or(0),
                    columns: table.columns.len(),
                    checks: table
                        .constraints
                        .iter()
                        .filter(|it| is_check(&it.kind))
                        .count(),
                    has_index: !table.indexes.is_empty(),
                    has_rules: false,
                    has_triggers: table.constraints.iter().any(|it| is_key(&it.kind))
                        || !source.catalog.referencing(table.oid).is_empty(),
                    shared: false,
                }
            }
            Object::Index(index) => Class {
                oid: index.oid,
                name: index.name.clone(),
                schema: index.schema,
                owner: source
                    .catalog
                    .table(index.table)
                    .map_or(0, |table| table.owner),
                kind: "i",
                method: 403,
                file: index
                    .storage
                    .and_then(|it| u32::try_from(it).ok())
                    .unwrap_or(0),
                columns: index.columns.len(),
                checks: 0,
                has_index: false,
                has_rules: false,
                has_triggers: false,
                shared: false,
            },
            Object::View(view) => Class {
                oid: view.oid,
                name: view.name.clone(),
                schema: view.schema,
                owner: view.owner,
                kind: "v",
                method: 0,
                file: 0,
                columns: view.columns.len(),
                checks: 0,
                has_index: false,
                has_rules: true,
                has_triggers: false,
                shared: false,
            },
            Object::Sequence(sequence) => Class {
                oid: sequence.oid,
                name: sequence.name.clone(),
                schema: sequence.schema,
                owner: sequence.owner,
                kind: "S",
                method: 0,
                file: sequence.oid,
                columns: SEQUENCE_COLUMNS.len(),
                checks: 0,
                has_index: false,
                has_rules: false,
                has_triggers: false,
                shared: false,
            },
            Object::Schema(_) | Object::Role(_) => continue,
        };
        class.push(source, rows);
    }
}

fn system_schema(name: &str) -> u32 {
    if name == "pg_catalog" {
        PG_CATALOG_SCHEMA
    } else {
        INFORMATION_SCHEMA
    }
}

pub(super) fn attributes(source: &Source, rows: &mut Rows) {
    for definition in definitions::all() {
        for (at, (name, ty)) in definition.columns.iter().enumerate() {
            attribute(source, rows, definition.oid, at, &Column::plain(name, *ty));
        }
    }
    for object in source.catalog.objects() {
        match object {
            Object::Table(table) => {
                for (at, column) in table.columns.iter().enumerate() {
                    attribute(source, rows, table.oid, at, column);
                }
            }
            Object::Index(index) => {
                let Some(table) = source.catalog.table(index.table) else {
                    continue;
                };
                for (at, position) in index.columns.iter().enumerate() {
                    if let Some(column) = table.columns.get(*position) {
                        attribute(
                            source,
                            rows,
                            index.oid,
                            at,
                            &Column::plain(&column.name, column.ty),
                        );
                    }
                }
            }
            Object::View(view) => {
                for (at, column) in view.columns.iter().enumerate() {
                    attribute(
                        source,
                        rows,
                        view.oid,
                        at,
                        &Column::plain(&column.name, column.ty),
                    );
                }
            }
            Object::Sequence(sequence) => {
                for (at, (name, ty)) in SEQUENCE_COLUMNS.iter().enumerate() {
                    let column = Column {
                        not_null: true,
                        ..Column::plain(name, *ty)
                    };
                    attribute(source, rows, sequence.oid, at, &column);
                }
            }
            Object::Schema(_) | Object::Role(_) => {}
        }
    }
}

fn attribute(source: &Source, rows: &mut Rows, relation: u32, at: usize, column: &Column) {
    let (length, _, align, by_value) =
        names::physical(column.ty.oid).unwrap_or((-1, 'U', 'i', false));
    let collation = match column.ty.oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR => 100,
        oid::NAME => 950,
        _ => 0,
    };
    let identity = match column.identity {
        Some(Identity::Always) => "a",
        Some(Identity::ByDefault) => "d",
        None => "",
    };
    rows.push(vec![
        ("attrelid", Datum::Oid(relation)),
        ("attname", text(column.name.clone())),
        (
            "atttypid",
            Datum::Oid(if column.dropped { 0 } else { column.ty.oid }),
        ),
        ("attstattarget", int4(-1)),
        ("attlen", Datum::Int2(length)),
        ("attnum", Datum::Int2(number(at))),
        ("attcacheoff", int4(-1)),
        ("atttypmod", int4(column.ty.typmod)),
        (
            "attndims",
            int4(i32::from(names::element_of(column.ty.oid).is_some())),
        ),
        ("attbyval", Datum::Bool(by_value)),
        ("attalign", text(align.to_string())),
        ("attstorage", text(storage(column.ty.oid, length))),
        ("attcompression", text("")),
        ("attnotnull", Datum::Bool(column.not_null)),
        ("atthasdef", Datum::Bool(column.default.is_some())),
        ("atthasmissing", Datum::Bool(column.missing.is_some())),
        ("attidentity", text(identity)),
        ("attgenerated", text("")),
        ("attisdropped", Datum::Bool(column.dropped)),
        ("attislocal", Datum::Bool(true)),
        ("attcollation", Datum::Oid(collation)),
        (
            "attacl",
            grants::stored(source, relation, u32::from(number(at).unsigned_abs())),
        ),
    ]);
}

/// Tables of the catalog.
pub(in super::super) fn tables(source: &Source) -> impl Iterator<Item = &Table> {
    source.catalog.objects().filter_map(|object| match object {
        Object::Table(table) => Some(table.as_ref()),
        _ => None,
    })
}

pub(super) fn all_sequences(source: &Source) -> impl Iterator<Item = &Sequence> {
    source.catalog.objects().filter_map(|object| match object {
        Object::Sequence(sequence) => Some(sequence.as_ref()),
        _ => None,
    })
}

pub(super) fn defaults(source: &Source, rows: &mut Rows) {
    for table in tables(source) {
        for (at, column) in table.live_columns() {
            if let Some(default) = &column.default {
                let shown = deparse::default_text(&source.catalog, &source.info, default);
                // Nobody refers to a default by its OID; it only has to differ from others.
                let oid = table
                    .oid
                    .wrapping_mul(1601)
                    .wrapping_add(u32::from(number(at).unsigned_abs()));
                rows.push(vec![
                    ("oid", Datum::Oid(oid | 0x8000_0000)),
                    ("adrelid", Datum::Oid(table.oid)),
                    ("adnum", Datum::Int2(number(at))),
                    ("adbin", text(shown)),
                ]);
            }
        }
    }
}

pub(super) fn sequences(source: &Source, rows: &mut Rows) {
    for it in all_sequences(source) {
        rows.push(vec![
            ("seqrelid", Datum::Oid(it.oid)),
            ("seqtypid", Datum::Oid(it.ty.oid)),
            ("seqstart", Datum::Int8(it.start)),
            ("seqincrement", Datum::Int8(it.increment)),
            ("seqmax", Datum::Int8(it.maximum)),
            ("seqmin", Datum::Int8(it.minimum)),
            ("seqcache", Datum::Int8(it.cache)),
            ("seqcycle", Datum::Bool(it.cycle)),
        ]);
    }
}

/// (class, object, part, text) of every comment but those on roles.
pub(in super::super) fn comments(source: &Source) -> Vec<(u32, u32, i32, String)> {
    let mut found = Vec::new();
    for object in source.catalog.objects() {
        match object {
            Object::Table(table) => {
                if let Some(comment) = &table.comment {
                    found.push((PG_CLASS, table.oid, 0, comment.clone()));
                }
                for (at, column) in table.live_columns() {
                    if let Some(comment) = &column.comment {
                        found.push((PG_CLASS, table.oid, i32::from(number(at)), comment.clone()));
                    }
                }
                for constraint in &table.constraints {
                    if let Some(comment) = source.catalog.comment(constraint.oid, 0) {
                        found.push((PG_CONSTRAINT, constraint.oid, 0, comment.to_owned()));
                    }
                }
            }
            Object::View(view) => {
                if let Some(comment) = &view.comment {
                    found.push((PG_CLASS, view.oid, 0, comment.clone()));
                }
                for at in 0..view.columns.len() {
                    let part = number(at);
                    let sub = u32::from(part.unsigned_abs());
                    if let Some(comment) = source.catalog.comment(view.oid, sub) {
                        found.push((PG_CLASS, view.oid, i32::from(part), comment.to_owned()));
                    }
                }
            }
            Object::Schema(schema) => {
                if let Some(comment) = source.catalog.comment(schema.oid, 0) {
                    found.push((PG_NAMESPACE, schema.oid, 0, comment.to_owned()));
                }
            }
            Object::Index(_) | Object::Sequence(_) => {
                if let Some(comment) = source.catalog.comment(object.oid(), 0) {
                    found.push((PG_CLASS, object.oid(), 0, comment.to_owned()));
                }
            }
            Object::Role(_) => {}
        }
    }
    found
}

pub(super) fn descriptions(source: &Source, rows: &mut Rows) {
    for (class, object, part, comment) in comments(source) {
        rows.push(vec![
            ("objoid", Datum::Oid(object)),
            ("classoid", Datum::Oid(class)),
            ("objsubid", int4(part)),
            ("description", text(comment)),
        ]);
    }
}
