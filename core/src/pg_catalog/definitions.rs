//! What the system tables look like: names, OIDs and columns, as PostgreSQL 15 has them. Types that
//! the engine lacks (inet, pg_lsn, …) are text.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::types::{PgType, names};

/// One line a table: `schema.name oid relkind: column type, column type, …`.
const TEXT: &str = include_str!("definitions.txt");

/// Functions that give such rows, in the same form. They are no relations: only `find` knows them, in
/// the schema [`SYSTEM_FUNCTIONS`](crate::query::SYSTEM_FUNCTIONS).
const FUNCTION_TEXT: &str = "\
().pg_get_keywords 0 f: word text, catcode char, barelabel bool, catdesc text, baredesc text
().pg_show_all_settings 0 f: name text, setting text, unit text, category text, short_desc text, extra_desc text, context text, vartype text, source text, min_val text, max_val text, enumvals _text, boot_val text, reset_val text, sourcefile text, sourceline int4, pending_restart bool
";

/// A system table.
#[derive(Debug)]
pub(super) struct Definition {
    pub schema: &'static str,
    pub name: &'static str,
    pub oid: u32,
    /// `r` for a table, `v` for a view, `f` for a function.
    pub kind: char,
    pub columns: Vec<(&'static str, PgType)>,
}

/// All system tables, in the order of the text.
pub(super) fn all() -> &'static [Definition] {
    static ALL: OnceLock<Vec<Definition>> = OnceLock::new();
    ALL.get_or_init(|| TEXT.lines().filter_map(parse).collect())
}

pub(super) fn find(schema: &str, name: &str) -> Option<&'static Definition> {
    static BY_NAME: OnceLock<HashMap<(&'static str, &'static str), &'static Definition>> =
        OnceLock::new();
    static CALLED: OnceLock<Vec<Definition>> = OnceLock::new();
    let called = CALLED.get_or_init(|| FUNCTION_TEXT.lines().filter_map(parse).collect());
    let by_name = BY_NAME.get_or_init(|| {
        let all = all().iter().chain(called);
        all.map(|it| ((it.schema, it.name), it)).collect()
    });
    by_name.get(&(schema, name)).copied()
}

fn parse(line: &'static str) -> Option<Definition> {
    let (head, columns) = line.split_once(": ")?;
    let mut head = head.split(' ');
    let (schema, name) = head.next()?.split_once('.')?;
    let oid = head.next()?.parse().ok()?;
    let kind = head.next()?.chars().next()?;
    let columns = columns
        .split(", ")
        .filter_map(|column| {
            let (name, ty) = column.split_once(' ')?;
            // In the catalogs `char` is the one-byte type.
            let ty = match ty {
                "char" => PgType::CHAR,
                ty => names::from_name(ty)?,
            };
            Some((name, ty))
        })
        .collect();
    Some(Definition {
        schema,
        name,
        oid,
        kind,
        columns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_column_is_read() {
        assert_eq!(all().len(), TEXT.lines().count());
        for (definition, line) in all().iter().zip(TEXT.lines()) {
            let commas = line.matches(", ").count();
            assert_eq!(definition.columns.len(), commas + 1, "{}", definition.name);
        }
        assert!(find("pg_catalog", "pg_class").is_some());
        assert!(find("()", "pg_get_keywords").is_some());
    }
}
