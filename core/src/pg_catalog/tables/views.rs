//! The views of `pg_catalog` that people read, and what is known of the running system.

use super::super::deparse;
use super::super::rows::{Rows, Source, text, text_or_null};
use super::constraints::tables_of_indexes;
use super::objects::{all_sequences, tables};
use super::roles::DATABASE;
use crate::catalog::{Object, Privileges, Sequence, quote};
use crate::types::Datum;

pub(super) fn fill(name: &str, source: &Source, rows: &mut Rows) {
    match name {
        "pg_tables" => pg_tables(source, rows),
        "pg_views" => pg_views(source, rows),
        "pg_indexes" => pg_indexes(source, rows),
        "pg_sequences" => pg_sequences(source, rows),
        "pg_group" => super::grants::groups(source, rows),
        "pg_settings" | "pg_show_all_settings" => pg_settings(source, rows),
        "pg_get_keywords" => keywords(rows),
        "pg_prepared_statements" => prepared_statements(source, rows),
        "pg_stat_activity" => activity(source, rows),
        "pg_stat_gssapi" => rows.push(vec![
            ("pid", Datum::Int4(source.info.process_id)),
            ("gss_authenticated", Datum::Bool(false)),
            ("encrypted", Datum::Bool(false)),
        ]),
        "pg_stat_user_tables"
        | "pg_stat_all_tables"
        | "pg_statio_user_tables"
        | "pg_statio_all_tables" => {
            table_statistics(source, rows);
        }
        "pg_stat_user_indexes" | "pg_stat_all_indexes" => index_statistics(source, rows),
        "pg_stat_database" => rows.push(vec![
            ("datid", Datum::Oid(DATABASE)),
            ("datname", text(source.info.database.clone())),
        ]),
        _ => {}
    }
}

/// Name of the schema of that OID.
pub(super) fn schema_name(source: &Source, oid: u32) -> Datum<'static> {
    text_or_null(source.catalog.schema_name(oid))
}

/// Name of the role of that OID.
pub(super) fn role_name(source: &Source, oid: u32) -> Datum<'static> {
    match source.catalog.object(oid) {
        Some(Object::Role(role)) => text(role.name.clone()),
        _ => Datum::Null,
    }
}

fn pg_tables(source: &Source, rows: &mut Rows) {
    for table in tables(source) {
        rows.push(vec![
            ("schemaname", schema_name(source, table.schema)),
            ("tablename", text(table.name.clone())),
            ("tableowner", role_name(source, table.owner)),
            ("hasindexes", Datum::Bool(!table.indexes.is_empty())),
            ("hasrules", Datum::Bool(false)),
            ("hastriggers", Datum::Bool(false)),
            ("rowsecurity", Datum::Bool(false)),
        ]);
    }
    for definition in super::super::definitions::all()
        .iter()
        .filter(|it| it.kind == 'r')
    {
        rows.push(vec![
            ("schemaname", text(definition.schema)),
            ("tablename", text(definition.name)),
            (
                "tableowner",
                role_name(source, crate::catalog::BOOTSTRAP_ROLE),
            ),
            ("hasindexes", Datum::Bool(false)),
            ("hasrules", Datum::Bool(false)),
            ("hastriggers", Datum::Bool(false)),
            ("rowsecurity", Datum::Bool(false)),
        ]);
    }
}

fn pg_views(source: &Source, rows: &mut Rows) {
    for object in source.catalog.objects() {
        if let Object::View(view) = object {
            rows.push(vec![
                ("schemaname", schema_name(source, view.schema)),
                ("viewname", text(view.name.clone())),
                ("viewowner", role_name(source, view.owner)),
                ("definition", text(deparse::view_text(view))),
            ]);
        }
    }
}

fn pg_indexes(source: &Source, rows: &mut Rows) {
    for (index, table) in tables_of_indexes(source) {
        rows.push(vec![
            ("schemaname", schema_name(source, index.schema)),
            ("tablename", text(table.name.clone())),
            ("indexname", text(index.name.clone())),
            (
                "indexdef",
                text_or_null(deparse::index_definition(&source.catalog, index)),
            ),
        ]);
    }
}

fn pg_sequences(source: &Source, rows: &mut Rows) {
    for it in all_sequences(source) {
        rows.push(vec![
            ("schemaname", schema_name(source, it.schema)),
            ("sequencename", text(it.name.clone())),
            ("sequenceowner", role_name(source, it.owner)),
            ("data_type", Datum::Oid(it.ty.oid)),
            ("start_value", Datum::Int8(it.start)),
            ("min_value", Datum::Int8(it.minimum)),
            ("max_value", Datum::Int8(it.maximum)),
            ("increment_by", Datum::Int8(it.increment)),
            ("cycle", Datum::Bool(it.cycle)),
            ("cache_size", Datum::Int8(it.cache)),
            ("last_value", last_value(source, it)),
        ]);
    }
}

/// What was last given of a sequence that the current role may use.
fn last_value(source: &Source, sequence: &Sequence) -> Datum<'static> {
    let rights = source.catalog.rights(&source.info.user);
    let wanted = Privileges::USAGE.with(Privileges::SELECT);
    let may = source.catalog.object(sequence.oid).is_some_and(|object| {
        let held = source.catalog.privileges(&rights, object, wanted);
        !held.is_empty()
    });
    match source.info.access.sequence_state(sequence.oid) {
        Ok((value, true)) if may => Datum::Int8(value),
        _ => Datum::Null,
    }
}

fn prepared_statements(source: &Source, rows: &mut Rows) {
    for prepared in source.info.access.prepared_statements() {
        rows.push(vec![
            ("name", text(prepared.name)),
            ("statement", text(prepared.statement)),
            ("prepare_time", Datum::Timestamptz(prepared.prepared_at)),
            ("from_sql", Datum::Bool(prepared.from_sql)),
            ("generic_plans", Datum::Int8(0)),
            ("custom_plans", Datum::Int8(0)),
        ]);
    }
}

fn pg_settings(source: &Source, rows: &mut Rows) {
    for (name, value, description) in source.info.access.settings() {
        let kind = if matches!(value.as_str(), "on" | "off") {
            "bool"
        } else if value.parse::<i64>().is_ok() {
            "integer"
        } else {
            "string"
        };
        rows.push(vec![
            ("name", text(name)),
            ("setting", text(value.clone())),
            ("category", text("Client Connection Defaults")),
            ("short_desc", text(description)),
            ("context", text("user")),
            ("vartype", text(kind)),
            ("source", text("session")),
            ("boot_val", text(value.clone())),
            ("reset_val", text(value)),
            ("pending_restart", Datum::Bool(false)),
        ]);
    }
}

/// The session that asks: others are not seen from here.
fn activity(source: &Source, rows: &mut Rows) {
    let info = &source.info;
    let user = source
        .catalog
        .role(&info.user)
        .map_or(Datum::Null, |role| Datum::Oid(role.oid));
    rows.push(vec![
        ("datid", Datum::Oid(DATABASE)),
        ("datname", text(info.database.clone())),
        ("pid", Datum::Int4(info.process_id)),
        ("usesysid", user),
        ("usename", text(info.user.clone())),
        (
            "application_name",
            text_or_null(info.access.setting("application_name")),
        ),
        ("xact_start", Datum::Timestamptz(info.transaction_start)),
        ("query_start", Datum::Timestamptz(info.statement_start)),
        ("state_change", Datum::Timestamptz(info.statement_start)),
        ("state", text("active")),
        ("backend_type", text("client backend")),
    ]);
}

fn table_statistics(source: &Source, rows: &mut Rows) {
    for table in tables(source) {
        rows.push(vec![
            ("relid", Datum::Oid(table.oid)),
            ("schemaname", schema_name(source, table.schema)),
            ("relname", text(table.name.clone())),
        ]);
    }
}

fn index_statistics(source: &Source, rows: &mut Rows) {
    for (index, table) in tables_of_indexes(source) {
        rows.push(vec![
            ("relid", Datum::Oid(table.oid)),
            ("indexrelid", Datum::Oid(index.oid)),
            ("schemaname", schema_name(source, index.schema)),
            ("relname", text(table.name.clone())),
            ("indexrelname", text(index.name.clone())),
        ]);
    }
}

/// Key words: category, and whether they may be a column's name without AS.
fn keywords(rows: &mut Rows) {
    for line in include_str!("../keywords.txt").lines() {
        let mut parts = line.split(' ');
        let (Some(word), Some(category), Some(bare)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let described = match category {
            "U" => "unreserved",
            "C" => "unreserved (cannot be function or type name)",
            "T" => "reserved (can be function or type name)",
            _ => "reserved",
        };
        let bare = bare == "t";
        rows.push(vec![
            ("word", text(word)),
            ("catcode", text(category)),
            ("barelabel", Datum::Bool(bare)),
            ("catdesc", text(described)),
            (
                "baredesc",
                text(match bare {
                    true => "can be bare label",
                    false => "requires AS",
                }),
            ),
        ]);
    }
}

/// A relation's name with its schema.
pub(in super::super) fn full_name(source: &Source, schema: u32, name: &str) -> String {
    let schema = source.catalog.schema_name(schema).unwrap_or("");
    format!("{}.{}", quote(schema), quote(name))
}
