//! Verifies a database: every object is what was written, every row lies in one tier and can be read,
//! every index has exactly its rows' entries.

use std::collections::HashSet;
use std::ops::Bound::Unbounded;

use super::check_tiers;
use crate::catalog::{Catalog, Index, Object, Table, keys};
use crate::error::{Result, SqlState};
use crate::storage::TableId;
use crate::txn::View;
use crate::types::Datum;
use crate::types::row::RowRef;

/// Findings after which the check of one table or index stops.
const MAX_FINDINGS: usize = 100;

/// What was found, one line each.
#[derive(Default)]
pub(super) struct Findings {
    lines: Vec<String>,
    /// Lines before the table or index that is looked at.
    before: usize,
}

impl Findings {
    pub fn add(&mut self, line: String) {
        if !self.full() {
            self.lines.push(line);
        }
    }

    /// Looks at the next table or index.
    fn next(&mut self) {
        self.before = self.lines.len();
    }

    /// Whether enough was found; the last line says so then.
    fn full_of(&mut self, what: &str) -> bool {
        if self.full() {
            self.lines
                .push(format!("{what}: more findings are not listed"));
            return true;
        }
        false
    }

    fn full(&self) -> bool {
        self.lines.len() >= self.before + MAX_FINDINGS
    }

    /// What came of looking at something. Damage is a finding; any other failure ends the check.
    fn damage(&mut self, what: &str, looked: Result<()>) -> Result<()> {
        match looked {
            Err(error) if error.state() == SqlState::DATA_CORRUPTED => {
                self.lines.push(format!("{what}: {error}"));
                Ok(())
            }
            other => other,
        }
    }
}

/// One line for each finding; none when all is well.
///
/// # Errors
/// 58030 when storage fails.
pub(super) fn check(catalog: &Catalog, view: &View) -> Result<Vec<String>> {
    let mut findings = Findings::default();
    let mut known: HashSet<TableId> = HashSet::new();
    for object in catalog.objects() {
        let Object::Table(table) = object else {
            continue;
        };
        let name = format!("table \"{}\"", table.name);
        let indexes = catalog.indexes(table);
        let entries = indexes.iter().filter_map(|index| {
            let name = format!("index \"{}\"", index.name);
            Some((index.storage?, name))
        });
        // Before anything is read, which mends sidecars.
        for (storage, name) in std::iter::once((table.storage, name.clone())).chain(entries) {
            known.insert(storage);
            findings.next();
            let tiers = check_tiers::check(view.snapshot(), storage, &name, &mut findings);
            findings.damage(&name, tiers)?;
        }
        findings.next();
        let rows = match check_table(catalog, table, view, &mut findings) {
            Ok(rows) => rows,
            Err(error) => {
                findings.damage(&name, Err(error))?;
                None
            }
        };
        for index in &indexes {
            if let Some(storage) = index.storage {
                findings.next();
                let entries = check_index(index, storage, table, rows, view, &mut findings);
                findings.damage(&format!("index \"{}\"", index.name), entries)?;
            }
        }
    }
    let sealed = view.snapshot().tiers().0.keys();
    let mut strangers: Vec<TableId> = sealed.filter(|id| !known.contains(*id)).copied().collect();
    strangers.sort_unstable();
    for stranger in strangers {
        let line = format!("there are segments of a table {stranger} that does not exist");
        findings.lines.push(line);
    }
    Ok(findings.lines)
}

/// Reads every row. Returns how many there are, unless it gave up counting.
fn check_table(
    catalog: &Catalog,
    table: &Table,
    view: &View,
    findings: &mut Findings,
) -> Result<Option<u64>> {
    let indexes = catalog.indexes(table);
    let mut rows = 0_u64;
    for entry in view.range(table.storage, Unbounded, Unbounded)? {
        let (key, bytes) = entry?;
        rows += 1;
        let name = || format!("table \"{}\", row {rows}", table.name);
        let row = match read_row(table, bytes.as_ref()) {
            Ok(row) => row,
            Err(error) => {
                findings.add(format!("{}: {error}", name()));
                continue;
            }
        };
        if !table.primary_key.is_empty() && keys::table_key(table, &row)? != key.as_ref() {
            findings.add(format!("{}: its key is not the one of its columns", name()));
        }
        for index in &indexes {
            check_entry(index, table, &row, key.as_ref(), view, findings, &name)?;
        }
        if findings.full_of(&format!("table \"{}\"", table.name)) {
            return Ok(None);
        }
    }
    let counted = view.len(table.storage)?;
    if counted != rows {
        findings.add(format!(
            "table \"{}\" has {rows} rows, but counts {counted}",
            table.name
        ));
    }
    Ok(Some(rows))
}

fn check_entry(
    index: &Index,
    table: &Table,
    row: &[Datum<'_>],
    key: &[u8],
    view: &View,
    findings: &mut Findings,
    name: &dyn Fn() -> String,
) -> Result<()> {
    let Some(storage) = index.storage else {
        return Ok(());
    };
    let entry = keys::index_key(index, table, row, key)?;
    if view.get(storage, &entry)?.is_none() {
        findings.add(format!("{}: no entry in index \"{}\"", name(), index.name));
    }
    Ok(())
}

/// That every entry of an index has its row, which is gone from both tiers otherwise.
fn check_index(
    index: &Index,
    storage: TableId,
    table: &Table,
    rows: Option<u64>,
    view: &View,
    findings: &mut Findings,
) -> Result<()> {
    let mut entries = 0_u64;
    for entry in view.range(storage, Unbounded, Unbounded)? {
        let (entry, _) = entry?;
        entries += 1;
        let row_key = keys::row_key_of(index, table, entry.as_ref())?;
        let found = match view.get(table.storage, row_key) {
            Ok(found) => found.is_some(),
            // Named already.
            Err(error) if error.state() == SqlState::DATA_CORRUPTED => true,
            Err(error) => return Err(error),
        };
        if !found {
            findings.add(format!(
                "index \"{}\", entry {entries}: table \"{}\" has no row {} in any tier",
                index.name,
                table.name,
                shown_key(row_key)
            ));
        }
        if findings.full_of(&format!("index \"{}\"", index.name)) {
            return Ok(());
        }
    }
    if let Some(rows) = rows.filter(|rows| *rows != entries) {
        findings.add(format!(
            "index \"{}\" has {entries} entries, its table {rows} rows",
            index.name
        ));
    }
    Ok(())
}

/// A key as findings show it.
pub(super) fn shown_key(key: &[u8]) -> String {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{hex}")
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
