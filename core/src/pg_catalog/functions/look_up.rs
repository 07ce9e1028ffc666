//! Definitions, descriptions and names of objects, as text.

use super::super::{comments_of, definitions, deparse, full_name_of, parse_name, tables_of};
use super::{Source, int, oid, or_null, string};
use crate::catalog::{Object, quote, undefined_column};
use crate::error::Result;
use crate::types::Datum;

pub(super) fn constraint_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let wanted = oid(args.first());
    let path = &source.info.search_path;
    let pretty = matches!(args.get(1), Some(Datum::Bool(true)));
    or_null(tables_of(source).find_map(|table| {
        let found = table.constraints.iter().find(|it| Some(it.oid) == wanted)?;
        Some(deparse::constraint_definition(
            &source.catalog,
            path,
            table,
            found,
            pretty,
        ))
    }))
}

pub(super) fn index_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Object::Index(index)) = oid(args.first()).and_then(|it| source.catalog.object(it))
    else {
        return Ok(Datum::Null);
    };
    match int(args.get(1)).unwrap_or(0) {
        0 => or_null(deparse::index_definition(&source.catalog, index)),
        column => {
            let at = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
            let name = index.columns.get(at).and_then(|at| {
                Some(quote(
                    &source.catalog.table(index.table)?.columns.get(*at)?.name,
                ))
            });
            Ok(Datum::text(name.unwrap_or_default()))
        }
    }
}

pub(super) fn view_def(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let object = match string(args.first()) {
        Some(name) => Some(relation_by_name(source, name)?),
        None => oid(args.first())
            .and_then(|it| source.catalog.object(it))
            .cloned(),
    };
    Ok(match object {
        Some(Object::View(view)) => Datum::text(deparse::view_text(&view)),
        Some(_) => Datum::text("Not a view"),
        None => Datum::Null,
    })
}

pub(super) fn user_by_id(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(oid) = oid(args.first()) else {
        return Ok(Datum::Null);
    };
    Ok(Datum::text(match source.catalog.object(oid) {
        Some(Object::Role(role)) => role.name.clone(),
        _ => format!("unknown (OID={oid})"),
    }))
}

pub(super) fn table_is_visible(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(oid) = oid(args.first()) else {
        return Ok(Datum::Null);
    };
    if let Some(object) = source.catalog.object(oid) {
        return Ok(Datum::Bool(
            source.catalog.is_visible(object, &source.info.search_path),
        ));
    }
    let system = definitions::all().iter().find(|it| it.oid == oid);
    Ok(system.map_or(Datum::Null, |it| Datum::Bool(it.schema == "pg_catalog")))
}

fn description(source: &Source, object: u32, part: i32) -> Option<String> {
    comments_of(source)
        .into_iter()
        .find(|(_, oid, sub, _)| *oid == object && *sub == part)
        .map(|(_, _, _, text)| text)
}

pub(super) fn obj_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    or_null(oid(args.first()).and_then(|object| description(source, object, 0)))
}

pub(super) fn col_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let part = int(args.get(1))
        .and_then(|it| i32::try_from(it).ok())
        .filter(|it| *it > 0);
    or_null(match (oid(args.first()), part) {
        (Some(object), Some(part)) => description(source, object, part),
        _ => None,
    })
}

pub(super) fn shobj_description(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let role =
        oid(args.first()).filter(|it| matches!(source.catalog.object(*it), Some(Object::Role(_))));
    or_null(
        role.and_then(|it| source.catalog.comment(it, 0))
            .map(str::to_owned),
    )
}

pub(super) fn encoding_to_char(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::text(match int(args.first()) {
        Some(6) => "UTF8",
        Some(0) => "SQL_ASCII",
        _ => "",
    }))
}

pub(super) fn char_to_encoding(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let name = string(args.first()).unwrap_or("").to_ascii_lowercase();
    Ok(Datum::Int4(match name.as_str() {
        "utf8" | "utf-8" | "unicode" => 6,
        "sql_ascii" => 0,
        _ => -1,
    }))
}

/// The relation that text names, in the search path.
pub(super) fn relation_by_name(source: &Source, written: &str) -> Result<Object> {
    let name = parse_name(written)?;
    source
        .catalog
        .resolve_relation(&name, &source.info.search_path)
        .cloned()
}

pub(super) fn serial_sequence(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (Some(table), Some(column)) = (string(args.first()), string(args.get(1))) else {
        return Ok(Datum::Null);
    };
    let object = relation_by_name(source, table)?;
    let Object::Table(table) = object else {
        return Ok(Datum::Null);
    };
    let at = table
        .column(column)
        .ok_or_else(|| undefined_column(column, &table.name))?;
    or_null(source.catalog.objects().find_map(|object| match object {
        Object::Sequence(it) if it.owned_by == Some((table.oid, at)) => {
            Some(full_name_of(source, it.schema, &it.name))
        }
        _ => None,
    }))
}
