//! Verifies a database: every row is readable, every index has exactly its rows' entries.

use std::ops::Bound;

use crate::catalog::{Catalog, Index, Object, Table, keys};
use crate::error::Result;
use crate::txn::View;
use crate::types::Datum;
use crate::types::row::RowRef;

/// Findings after which the check of one table stops.
const MAX_FINDINGS: usize = 100;

/// One line for each finding; none when all is well.
pub(super) fn check(catalog: &Catalog, view: &View) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for object in catalog.objects() {
        if let Object::Table(table) = object {
            check_table(catalog, table, view, &mut findings)?;
        }
    }
    Ok(findings)
}

fn check_table(
    catalog: &Catalog,
    table: &Table,
    view: &View,
    findings: &mut Vec<String>,
) -> Result<()> {
    let limit = findings.len() + MAX_FINDINGS;
    let indexes = catalog.indexes(table);
    let mut rows = 0_u64;
    for entry in view.range(table.storage, Bound::Unbounded, Bound::Unbounded)? {
        let (key, bytes) = entry?;
        rows += 1;
        let name = || format!("table \"{}\", row {rows}", table.name);
        let row = match read_row(table, bytes.as_ref()) {
            Ok(row) => row,
            Err(error) => {
                findings.push(format!("{}: {error}", name()));
                continue;
            }
        };
        if !table.primary_key.is_empty() && keys::table_key(table, &row)? != key.as_ref() {
            findings.push(format!("{}: its key is not the one of its columns", name()));
        }
        for index in &indexes {
            check_entry(index, table, &row, key.as_ref(), view, findings, &name)?;
        }
        if findings.len() >= limit {
            findings.push(format!(
                "table \"{}\": more findings are not listed",
                table.name
            ));
            return Ok(());
        }
    }
    for index in &indexes {
        if let Some(storage) = index.storage {
            let entries = view.len(storage)?;
            if entries != rows {
                findings.push(format!(
                    "index \"{}\" has {entries} entries, its table {rows} rows",
                    index.name
                ));
            }
        }
    }
    Ok(())
}

fn check_entry(
    index: &Index,
    table: &Table,
    row: &[Datum<'_>],
    key: &[u8],
    view: &View,
    findings: &mut Vec<String>,
    name: &dyn Fn() -> String,
) -> Result<()> {
    let Some(storage) = index.storage else {
        return Ok(());
    };
    let entry = keys::index_key(index, table, row, key)?;
    if view.get(storage, &entry)?.is_none() {
        findings.push(format!("{}: no entry in index \"{}\"", name(), index.name));
    }
    Ok(())
}

fn read_row<'a>(table: &Table, bytes: &'a [u8]) -> Result<Vec<Datum<'a>>> {
    let row = RowRef::new(bytes)?;
    table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            if at < row.columns() && !column.dropped {
                row.get(at, column.ty)
            } else {
                Ok(Datum::Null)
            }
        })
        .collect()
}
