//! The tables of `information_schema` (SQL:2016, part 11), as PostgreSQL fills them.

use super::super::deparse;
use super::super::rows::{Rows, Source, int4, number, text, text_or_null, yes};
use super::grants::{self, Sight};
use super::information_constraints::{
    check_constraints, constraint_column_usage, constraint_table_usage, key_column_usage,
    referential_constraints, table_constraints,
};
use super::objects::{all_sequences, tables};
use super::roles;
use super::views::role_name;
use crate::catalog::{Column, Identity, Kind, Object, Privileges, Table};
use crate::types::{Datum, PgType, names, oid};

pub(super) fn fill(name: &str, source: &Source, rows: &mut Rows) {
    match name {
        "information_schema_catalog_name" => {
            rows.push(vec![("catalog_name", database(source))]);
        }
        "schemata" => schemata(source, rows),
        "tables" => all_tables(source, rows),
        "columns" => columns(source, rows),
        "views" => views(source, rows),
        "sequences" => sequences(source, rows),
        "table_constraints" => table_constraints(source, rows),
        "key_column_usage" => key_column_usage(source, rows),
        "constraint_column_usage" => constraint_column_usage(source, rows),
        "constraint_table_usage" => constraint_table_usage(source, rows),
        "referential_constraints" => referential_constraints(source, rows),
        "check_constraints" => check_constraints(source, rows),
        "character_sets" => rows.push(vec![
            ("character_set_name", text("UTF8")),
            ("character_repertoire", text("UCS")),
            ("form_of_use", text("UTF8")),
            ("default_collate_catalog", database(source)),
            ("default_collate_schema", text("pg_catalog")),
            ("default_collate_name", text("C")),
        ]),
        "enabled_roles" => {
            let sight = Sight::new(source);
            for role in roles::each(source).filter(|role| sight.is(role.oid)) {
                rows.push(vec![("role_name", text(role.name.clone()))]);
            }
        }
        "table_privileges" => grants::table_privileges(source, rows, true),
        "role_table_grants" => grants::table_privileges(source, rows, false),
        "column_privileges" => grants::column_privileges(source, rows),
        "usage_privileges" => grants::usage_privileges(source, rows),
        "applicable_roles" => grants::applicable_roles(source, rows, false),
        "administrable_role_authorizations" => grants::applicable_roles(source, rows, true),
        _ => {}
    }
}

pub(super) fn database(source: &Source) -> Datum<'static> {
    text(source.info.database.clone())
}

pub(super) fn schema(source: &Source, oid: u32) -> Datum<'static> {
    text_or_null(source.catalog.schema_name(oid))
}

fn schemata(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        if let Object::Schema(schema) = object
            && sight.has(object, Privileges::all(Kind::Schema))
        {
            rows.push(vec![
                ("catalog_name", database(source)),
                ("schema_name", text(schema.name.clone())),
                ("schema_owner", role_name(source, schema.owner)),
            ]);
        }
    }
}

fn all_tables(source: &Source, rows: &mut Rows) {
    let mut push = |schema_name: Datum<'static>, name: &str, kind: &'static str| {
        rows.push(vec![
            ("table_catalog", database(source)),
            ("table_schema", schema_name),
            ("table_name", text(name)),
            ("table_type", text(kind)),
            ("is_insertable_into", yes(kind == "BASE TABLE")),
            ("is_typed", yes(false)),
        ]);
    };
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        match object {
            it if !sight.has_any(it) => {}
            Object::Table(it) => push(schema(source, it.schema), &it.name, "BASE TABLE"),
            Object::View(it) => push(schema(source, it.schema), &it.name, "VIEW"),
            _ => {}
        }
    }
    for it in super::super::definitions::all() {
        let kind = if it.kind == 'r' { "BASE TABLE" } else { "VIEW" };
        push(text(it.schema), it.name, kind);
    }
}

fn columns(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        match object {
            Object::Table(table) => {
                let seen = table
                    .live_columns()
                    .filter(|(at, _)| sight.column(object, *at));
                for (at, column) in seen {
                    let default = column
                        .default
                        .as_ref()
                        .map(|it| deparse::default_text(&source.catalog, &source.info, it));
                    let place = (table.schema, table.name.as_str(), at);
                    push_column(source, rows, place, column, default, true);
                }
            }
            Object::View(view) => {
                for (at, it) in view.columns.iter().enumerate() {
                    if !sight.column(object, at) {
                        continue;
                    }
                    let column = Column::plain(&it.name, it.ty);
                    let place = (view.schema, view.name.as_str(), at);
                    push_column(source, rows, place, &column, None, false);
                }
            }
            _ => {}
        }
    }
}

fn push_column(
    source: &Source,
    rows: &mut Rows,
    (in_schema, relation, at): (u32, &str, usize),
    column: &Column,
    default: Option<String>,
    updatable: bool,
) {
    let ty = column.ty;
    let array = names::element_of(ty.oid).is_some() && ty.oid != oid::NAME;
    let shown = if array {
        "ARRAY".to_owned()
    } else {
        match ty.oid {
            oid::BPCHAR => "character".to_owned(),
            oid => names::format_type(PgType::new(oid)),
        }
    };
    let length = ty
        .max_length()
        .and_then(|length| i32::try_from(length).ok());
    let octets = match ty.oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR => {
            Some(length.map_or(1 << 30, |length| length.saturating_mul(4)))
        }
        _ => None,
    };
    let (precision, radix, scale) = match ty.oid {
        oid::INT2 => (Some(16), Some(2), Some(0)),
        oid::INT4 => (Some(32), Some(2), Some(0)),
        oid::INT8 => (Some(64), Some(2), Some(0)),
        oid::FLOAT4 => (Some(24), Some(2), None),
        oid::FLOAT8 => (Some(53), Some(2), None),
        oid::NUMERIC => {
            let given = ty.precision_scale();
            (
                given.map(|(precision, _)| i32::from(precision)),
                Some(10),
                given.map(|(_, scale)| i32::from(scale)),
            )
        }
        _ => (None, None, None),
    };
    let datetime = match ty.oid {
        oid::DATE => Some(0),
        oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL => {
            Some(if ty.typmod >= 0 { ty.typmod } else { 6 })
        }
        _ => None,
    };
    let or_null = |value: Option<i32>| value.map_or(Datum::Null, int4);
    let sequence = column.sequence.filter(|_| column.identity.is_some());
    let sequence = sequence.and_then(|oid| match source.catalog.object(oid) {
        Some(Object::Sequence(sequence)) => Some(sequence),
        _ => None,
    });
    let mut row = vec![
        ("table_catalog", database(source)),
        ("table_schema", schema(source, in_schema)),
        ("table_name", text(relation)),
        ("column_name", text(column.name.clone())),
        ("ordinal_position", int4(i32::from(number(at)))),
        ("column_default", text_or_null(default)),
        ("is_nullable", yes(!column.not_null)),
        ("data_type", text(shown)),
        ("character_maximum_length", or_null(length)),
        ("character_octet_length", or_null(octets)),
        ("numeric_precision", or_null(precision)),
        ("numeric_precision_radix", or_null(radix)),
        ("numeric_scale", or_null(scale)),
        ("datetime_precision", or_null(datetime)),
        ("udt_catalog", database(source)),
        ("udt_schema", text("pg_catalog")),
        ("udt_name", text_or_null(names::internal_name(ty.oid))),
        ("dtd_identifier", text(number(at).to_string())),
        ("is_self_referencing", yes(false)),
        ("is_identity", yes(column.identity.is_some())),
        ("is_generated", text("NEVER")),
        ("is_updatable", yes(updatable)),
        ("identity_cycle", yes(sequence.is_some_and(|it| it.cycle))),
    ];
    if let Some(it) = sequence {
        let generation = if column.identity == Some(Identity::Always) {
            "ALWAYS"
        } else {
            "BY DEFAULT"
        };
        row.extend([
            ("identity_generation", text(generation)),
            ("identity_start", text(it.start.to_string())),
            ("identity_increment", text(it.increment.to_string())),
            ("identity_maximum", text(it.maximum.to_string())),
            ("identity_minimum", text(it.minimum.to_string())),
        ]);
    }
    rows.push(row);
}

fn views(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for object in source.catalog.objects() {
        if let Object::View(view) = object
            && sight.has_any(object)
        {
            let text_of = sight.owns(object).then(|| deparse::view_text(view));
            rows.push(vec![
                ("table_catalog", database(source)),
                ("table_schema", schema(source, view.schema)),
                ("table_name", text(view.name.clone())),
                ("view_definition", text_or_null(text_of)),
                ("check_option", text("NONE")),
                ("is_updatable", yes(false)),
                ("is_insertable_into", yes(false)),
                ("is_trigger_updatable", yes(false)),
                ("is_trigger_deletable", yes(false)),
                ("is_trigger_insertable_into", yes(false)),
            ]);
        }
    }
}

fn sequences(source: &Source, rows: &mut Rows) {
    let sight = Sight::new(source);
    for it in all_sequences(source) {
        let identity = it
            .owned_by
            .and_then(|(table, at)| source.catalog.table(table)?.columns.get(at))
            .is_some_and(|column| column.identity.is_some());
        let seen = source.catalog.object(it.oid);
        if identity || !seen.is_some_and(|object| sight.has_any(object)) {
            continue;
        }
        let precision = match it.ty.oid {
            oid::INT2 => 16,
            oid::INT4 => 32,
            _ => 64,
        };
        rows.push(vec![
            ("sequence_catalog", database(source)),
            ("sequence_schema", schema(source, it.schema)),
            ("sequence_name", text(it.name.clone())),
            ("data_type", text(names::format_type(it.ty))),
            ("numeric_precision", int4(precision)),
            ("numeric_precision_radix", int4(2)),
            ("numeric_scale", int4(0)),
            ("start_value", text(it.start.to_string())),
            ("minimum_value", text(it.minimum.to_string())),
            ("maximum_value", text(it.maximum.to_string())),
            ("increment", text(it.increment.to_string())),
            ("cycle_option", yes(it.cycle)),
        ]);
    }
}

/// Tables that the current role may do more with than read.
pub(super) fn seen_tables(source: &Source) -> impl Iterator<Item = &Table> {
    let sight = Sight::new(source);
    let any = Privileges::all(Kind::Table).without(Privileges::SELECT);
    tables(source).filter(move |table| {
        let object = source.catalog.object(table.oid);
        object.is_some_and(|object| sight.has(object, any))
    })
}
