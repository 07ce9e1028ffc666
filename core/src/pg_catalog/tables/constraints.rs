//! Indexes and constraints, and what depends on what.

use super::super::deparse;
use super::super::rows::{Rows, Source, array, int2, int4, number, numbers, text};
use super::objects::{PG_CLASS, PG_CONSTRAINT, PG_REWRITE, tables};
use super::types::operator_class;
use crate::catalog::{Action, ConstraintKind, Index, Object, Table};
use crate::types::{Datum, PgType, oid};

/// Indexes, with their tables.
pub(super) fn tables_of_indexes(source: &Source) -> impl Iterator<Item = (&Index, &Table)> {
    source.catalog.objects().filter_map(|object| match object {
        Object::Index(index) => {
            let table = source.catalog.table(index.table)?;
            Some((index.as_ref(), table.as_ref()))
        }
        _ => None,
    })
}

pub(super) fn indexes(source: &Source, rows: &mut Rows) {
    for (index, table) in tables_of_indexes(source) {
        let types = || {
            index
                .columns
                .iter()
                .filter_map(|at| Some(table.columns.get(*at)?.ty))
        };
        let collations = types().map(|ty| match ty.oid {
            oid::TEXT | oid::VARCHAR | oid::BPCHAR => Datum::Oid(100),
            oid::NAME => Datum::Oid(950),
            _ => Datum::Oid(0),
        });
        // Bit 0 is DESC, bit 1 is NULLS FIRST, which goes with it.
        let options = index
            .descending
            .iter()
            .map(|desc| Datum::Int2(if *desc { 3 } else { 0 }));
        rows.push(vec![
            ("indexrelid", Datum::Oid(index.oid)),
            ("indrelid", Datum::Oid(index.table)),
            ("indnatts", int2(index.columns.len())),
            ("indnkeyatts", int2(index.columns.len())),
            ("indisunique", Datum::Bool(index.unique)),
            ("indnullsnotdistinct", Datum::Bool(index.nulls_not_distinct)),
            ("indisprimary", Datum::Bool(index.primary)),
            ("indimmediate", Datum::Bool(true)),
            ("indisvalid", Datum::Bool(true)),
            ("indisready", Datum::Bool(true)),
            ("indislive", Datum::Bool(true)),
            ("indkey", numbers(&index.columns)),
            ("indcollation", array(PgType::OID, collations.collect())),
            (
                "indclass",
                array(
                    PgType::OID,
                    types().map(|ty| Datum::Oid(operator_class(ty))).collect(),
                ),
            ),
            ("indoption", array(PgType::INT2, options.collect())),
        ]);
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::NoAction => "a",
        Action::Restrict => "r",
        Action::Cascade => "c",
        Action::SetNull => "n",
        Action::SetDefault => "d",
    }
}

pub(super) fn constraints(source: &Source, rows: &mut Rows) {
    for table in tables(source) {
        for constraint in &table.constraints {
            let mut row = vec![
                ("oid", Datum::Oid(constraint.oid)),
                ("conname", text(constraint.name.clone())),
                ("connamespace", Datum::Oid(table.schema)),
                ("convalidated", Datum::Bool(true)),
                ("conrelid", Datum::Oid(table.oid)),
                ("conislocal", Datum::Bool(true)),
                ("confupdtype", text(" ")),
                ("confdeltype", text(" ")),
                ("confmatchtype", text(" ")),
                (
                    "connoinherit",
                    Datum::Bool(!matches!(constraint.kind, ConstraintKind::Check { .. })),
                ),
            ];
            let columns = match &constraint.kind {
                ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => {
                    let primary = matches!(constraint.kind, ConstraintKind::PrimaryKey { .. });
                    row.push(("contype", text(if primary { "p" } else { "u" })));
                    row.push(("conindid", Datum::Oid(*index)));
                    match source.catalog.object(*index) {
                        Some(Object::Index(index)) => index.columns.clone(),
                        _ => Vec::new(),
                    }
                }
                ConstraintKind::Check { expression } => {
                    row.push(("contype", text("c")));
                    row.push((
                        "conbin",
                        text(deparse::expression_text(table, expression, false)),
                    ));
                    deparse::columns_of(table, expression)
                }
                ConstraintKind::ForeignKey(key) => {
                    row.retain(|(name, _)| !name.starts_with("conf"));
                    row.extend([
                        ("contype", text("f")),
                        ("conindid", Datum::Oid(key.index)),
                        ("confrelid", Datum::Oid(key.table)),
                        ("confupdtype", text(action(key.on_update))),
                        ("confdeltype", text(action(key.on_delete))),
                        (
                            "confmatchtype",
                            text(if key.match_full { "f" } else { "s" }),
                        ),
                        ("confkey", numbers(&key.referenced)),
                    ]);
                    key.columns.clone()
                }
            };
            row.push(("conkey", numbers(&columns)));
            rows.push(row);
        }
    }
}

pub(super) fn depends(source: &Source, rows: &mut Rows) {
    let mut push =
        |class: u32, object: u32, on_class: u32, on: u32, part: i16, kind: &'static str| {
            rows.push(vec![
                ("classid", Datum::Oid(class)),
                ("objid", Datum::Oid(object)),
                ("refclassid", Datum::Oid(on_class)),
                ("refobjid", Datum::Oid(on)),
                ("refobjsubid", int4(i32::from(part))),
                ("deptype", text(kind)),
            ]);
        };
    for object in source.catalog.objects() {
        match object {
            Object::Sequence(sequence) => {
                if let Some((table, at)) = sequence.owned_by {
                    let identity = source
                        .catalog
                        .table(table)
                        .and_then(|table| table.columns.get(at))
                        .is_some_and(|column| column.identity.is_some());
                    let kind = if identity { "i" } else { "a" };
                    push(PG_CLASS, sequence.oid, PG_CLASS, table, number(at), kind);
                }
            }
            Object::View(view) => {
                for on in &view.depends {
                    push(PG_REWRITE, view.oid, PG_CLASS, *on, 0, "n");
                }
                push(PG_REWRITE, view.oid, PG_CLASS, view.oid, 0, "i");
            }
            Object::Index(index) => {
                let behind = source.catalog.table(index.table).and_then(|table| {
                    table.constraints.iter().find(|it| matches!(it.kind,
                        ConstraintKind::PrimaryKey { index: of } | ConstraintKind::Unique { index: of }
                            if of == index.oid))
                });
                match behind {
                    Some(constraint) => {
                        push(PG_CLASS, index.oid, PG_CONSTRAINT, constraint.oid, 0, "i");
                    }
                    None => {
                        for at in &index.columns {
                            push(PG_CLASS, index.oid, PG_CLASS, index.table, number(*at), "a");
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

pub(super) fn rewrites(source: &Source, rows: &mut Rows) {
    for object in source.catalog.objects() {
        if let Object::View(view) = object {
            rows.push(vec![
                ("oid", Datum::Oid(view.oid)),
                ("rulename", text("_RETURN")),
                ("ev_class", Datum::Oid(view.oid)),
                ("ev_type", text("1")),
                ("ev_enabled", text("O")),
                ("is_instead", Datum::Bool(true)),
            ]);
        }
    }
}
