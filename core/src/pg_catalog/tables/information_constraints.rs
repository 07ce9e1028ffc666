//! The tables of `information_schema` about constraints.

use super::super::deparse;
use super::super::rows::{Rows, Source, int4, number, text, text_or_null, yes};
use super::information::{database, schema, seen_tables};
use crate::catalog::{Action, Constraint, ConstraintKind, Index, Object, Table};
use crate::types::Datum;

/// All constraints with their tables.
fn each_constraint(source: &Source) -> impl Iterator<Item = (&Table, &Constraint)> {
    seen_tables(source).flat_map(|table| table.constraints.iter().map(move |it| (table, it)))
}

fn constraint_place(
    source: &Source,
    table: &Table,
    name: &str,
) -> Vec<(&'static str, Datum<'static>)> {
    vec![
        ("constraint_catalog", database(source)),
        ("constraint_schema", schema(source, table.schema)),
        ("constraint_name", text(name)),
    ]
}

fn table_place(source: &Source, table: &Table) -> Vec<(&'static str, Datum<'static>)> {
    vec![
        ("table_catalog", database(source)),
        ("table_schema", schema(source, table.schema)),
        ("table_name", text(table.name.clone())),
    ]
}

/// The name that PostgreSQL gives the NOT NULL of a column here.
fn not_null_name(table: &Table, at: usize) -> String {
    format!("{}_{}_{}_not_null", table.schema, table.oid, number(at))
}

pub(super) fn table_constraints(source: &Source, rows: &mut Rows) {
    let mut push = |table: &Table, name: &str, kind: &'static str| {
        let mut row = constraint_place(source, table, name);
        row.extend(table_place(source, table));
        row.extend([
            ("constraint_type", text(kind)),
            ("is_deferrable", yes(false)),
            ("initially_deferred", yes(false)),
            ("enforced", yes(true)),
        ]);
        if kind == "UNIQUE" {
            row.push(("nulls_distinct", yes(true)));
        }
        rows.push(row);
    };
    for (table, constraint) in each_constraint(source) {
        let kind = match constraint.kind {
            ConstraintKind::PrimaryKey { .. } => "PRIMARY KEY",
            ConstraintKind::Unique { .. } => "UNIQUE",
            ConstraintKind::Check { .. } => "CHECK",
            ConstraintKind::ForeignKey(_) => "FOREIGN KEY",
        };
        push(table, &constraint.name, kind);
    }
    for table in seen_tables(source) {
        for (at, column) in table.live_columns() {
            if column.not_null {
                push(table, &not_null_name(table, at), "CHECK");
            }
        }
    }
}

fn index_of(source: &Source, oid: u32) -> Option<&Index> {
    match source.catalog.object(oid)? {
        Object::Index(index) => Some(index),
        _ => None,
    }
}

fn column_name(table: &Table, at: usize) -> Datum<'static> {
    text_or_null(table.columns.get(at).map(|column| column.name.clone()))
}

pub(super) fn key_column_usage(source: &Source, rows: &mut Rows) {
    for (table, constraint) in each_constraint(source) {
        let (columns, references): (Vec<usize>, Vec<usize>) = match &constraint.kind {
            ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => {
                match index_of(source, *index) {
                    Some(index) => (index.columns.clone(), Vec::new()),
                    None => continue,
                }
            }
            ConstraintKind::ForeignKey(key) => {
                let index = index_of(source, key.index);
                let place = |at: &usize| {
                    index.and_then(|index| index.columns.iter().position(|it| it == at))
                };
                (
                    key.columns.clone(),
                    key.referenced.iter().filter_map(place).collect(),
                )
            }
            ConstraintKind::Check { .. } => continue,
        };
        for (place, at) in columns.iter().enumerate() {
            let mut row = constraint_place(source, table, &constraint.name);
            row.extend(table_place(source, table));
            row.push(("column_name", column_name(table, *at)));
            row.push(("ordinal_position", int4(i32::from(number(place)))));
            if let Some(reference) = references.get(place) {
                row.push((
                    "position_in_unique_constraint",
                    int4(i32::from(number(*reference))),
                ));
            }
            rows.push(row);
        }
    }
}

pub(super) fn constraint_column_usage(source: &Source, rows: &mut Rows) {
    for (table, constraint) in each_constraint(source) {
        let (on, columns) = match &constraint.kind {
            ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => {
                match index_of(source, *index) {
                    Some(index) => (table, index.columns.clone()),
                    None => continue,
                }
            }
            ConstraintKind::ForeignKey(key) => match source.catalog.table(key.table) {
                Some(parent) => (parent.as_ref(), key.referenced.clone()),
                None => continue,
            },
            ConstraintKind::Check { expression } => (table, deparse::columns_of(table, expression)),
        };
        for at in columns {
            let mut row = constraint_place(source, table, &constraint.name);
            row.extend(table_place(source, on));
            row.push(("column_name", column_name(on, at)));
            rows.push(row);
        }
    }
}

pub(super) fn constraint_table_usage(source: &Source, rows: &mut Rows) {
    for (table, constraint) in each_constraint(source) {
        let on = match &constraint.kind {
            ConstraintKind::ForeignKey(key) => match source.catalog.table(key.table) {
                Some(parent) => parent,
                None => continue,
            },
            ConstraintKind::Check { .. } => continue,
            _ => table,
        };
        let mut row = constraint_place(source, table, &constraint.name);
        row.extend(table_place(source, on));
        rows.push(row);
    }
}

pub(super) fn referential_constraints(source: &Source, rows: &mut Rows) {
    let rule = |action: Action| {
        text(match action {
            Action::NoAction => "NO ACTION",
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        })
    };
    for (table, constraint) in each_constraint(source) {
        let ConstraintKind::ForeignKey(key) = &constraint.kind else {
            continue;
        };
        let mut row = constraint_place(source, table, &constraint.name);
        if let (Some(parent), Some(index)) =
            (source.catalog.table(key.table), index_of(source, key.index))
        {
            row.extend([
                ("unique_constraint_catalog", database(source)),
                ("unique_constraint_schema", schema(source, parent.schema)),
                ("unique_constraint_name", text(index.name.clone())),
            ]);
        }
        row.extend([
            (
                "match_option",
                text(if key.match_full { "FULL" } else { "NONE" }),
            ),
            ("update_rule", rule(key.on_update)),
            ("delete_rule", rule(key.on_delete)),
        ]);
        rows.push(row);
    }
}

pub(super) fn check_constraints(source: &Source, rows: &mut Rows) {
    for (table, constraint) in each_constraint(source) {
        if let ConstraintKind::Check { expression } = &constraint.kind {
            let mut row = constraint_place(source, table, &constraint.name);
            let clause = deparse::expression_text(table, expression, false);
            row.push(("check_clause", text(format!("({clause})"))));
            rows.push(row);
        }
    }
    for table in seen_tables(source) {
        for (at, column) in table.live_columns() {
            if column.not_null {
                let mut row = constraint_place(source, table, &not_null_name(table, at));
                row.push(("check_clause", text(format!("{} IS NOT NULL", column.name))));
                rows.push(row);
            }
        }
    }
}
