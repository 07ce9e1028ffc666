//! What a transaction has written so far, with enough history that views stay as they were and
//! savepoints can be rolled back to.
//!
//! Each row keeps its newest value, stamped with the number of the view that came before it. A view
//! sees only smaller stamps. Older values of a row are kept while some view may still need them.
//! So making a view is cheap, and so is writing while views are alive: nothing is copied.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::segment::load::ROW_BYTES;
use crate::segment::{Part, SealedTable};
use crate::storage::{TableId, TableWrites, WriteBatch};

/// What it takes to be able to undo a write besides the key and the row before, about.
const UNDO_BYTES: usize = 120;

/// Grows whenever a view is made. A view with stamp `s` sees what was written with stamps `≤ s`.
pub(super) type Stamp = u64;

/// A row's value; `None` is deleted.
pub(super) type Row = Option<Bytes>;

/// The rows written to one table. Shared with the views.
pub(super) type SharedRows = Arc<RwLock<Rows>>;

/// Written rows by key.
#[derive(Default)]
pub(super) struct Rows {
    pub map: BTreeMap<Vec<u8>, Versions>,
}

/// The values that one row had in this transaction.
pub(super) struct Versions {
    stamp: Stamp,
    row: Row,
    /// The load that the row is to go into: its key is new, in every state. 0 is none.
    load: u64,
    /// Older values, oldest first.
    older: Vec<(Stamp, Row)>,
}

impl Versions {
    /// The newest value that a view may see; `None` if the row was first written after it.
    pub fn seen_by(&self, stamp: Stamp) -> Option<&Row> {
        if self.stamp <= stamp {
            return Some(&self.row);
        }
        let seen = self.older.iter().rev().find(|(at, _)| *at <= stamp);
        seen.map(|(_, row)| row)
    }
}

/// One table of the write set, as a view or the transaction sees it.
#[derive(Clone, Default)]
pub(super) struct TableState {
    pub rows: SharedRows,
    /// Own new rows that are in segments already. What `rows` says of a key counts more.
    pub loaded: Option<Arc<SealedTable>>,
    pub created: bool,
    pub dropped: bool,
}

impl TableState {
    /// Whether anything was written.
    pub fn has_rows(&self) -> bool {
        self.loaded.is_some() || !self.rows.read().map.is_empty()
    }
}

/// All tables of the write set. Views hold a clone of the `Arc`.
pub(super) type Tables = Arc<BTreeMap<TableId, TableState>>;

enum Undo {
    /// The row's value before; the outer `None` means that the transaction had not written it.
    Row(TableId, Vec<u8>, Option<(Stamp, Row)>),
    Created(TableId),
    Dropped(TableId),
    /// What was loaded before.
    Loaded(TableId, Option<Arc<SealedTable>>),
}

#[derive(Default)]
pub(super) struct WriteSet {
    tables: Tables,
    stamp: Stamp,
    /// What to undo, oldest first. Kept only while there is a savepoint.
    undo: Vec<Undo>,
    keeps_undo: bool,
    /// Bytes that it takes at most: what was counted, and what was written since.
    bytes: usize,
    /// Whether it may take less.
    overcounted: bool,
}

impl WriteSet {
    /// The tables for a new view, and the view's stamp.
    pub fn share(&mut self) -> (Tables, Stamp) {
        let stamp = self.stamp;
        self.stamp += 1;
        (self.tables.clone(), stamp)
    }

    pub fn is_empty(&self) -> bool {
        self.tables
            .values()
            .all(|table| !table.created && !table.dropped && !table.has_rows())
    }

    /// Number of rows in it.
    pub fn len(&self) -> usize {
        let rows = self.tables.values();
        rows.map(|table| table.rows.read().map.len()).sum()
    }

    /// Number of rows written to one table, those in segments left out.
    pub fn len_of(&self, table: TableId) -> usize {
        let state = self.tables.get(&table);
        state.map_or(0, |state| state.rows.read().map.len())
    }

    /// Bytes that it takes at most.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts what it takes, if that may have become less.
    pub fn count(&mut self) {
        if !std::mem::take(&mut self.overcounted) {
            return;
        }
        let length = |row: &Row| row.as_ref().map_or(0, Bytes::len);
        let rows = self.tables.values().map(|state| {
            let rows = state.rows.read();
            let rows = rows.map.iter().map(|(key, versions)| {
                let older = versions.older.iter().map(|(_, row)| length(row));
                ROW_BYTES + key.len() + length(&versions.row) + older.sum::<usize>()
            });
            rows.sum::<usize>()
        });
        let undo = self.undo.iter().map(|undo| match undo {
            Undo::Row(_, key, before) => {
                UNDO_BYTES + key.len() + before.as_ref().map_or(0, |(_, row)| length(row))
            }
            _ => UNDO_BYTES,
        });
        self.bytes = rows.sum::<usize>() + undo.sum::<usize>();
    }

    /// Whether the transaction itself wrote this row (or deleted it).
    pub fn has_written(&self, table: TableId, key: &[u8]) -> bool {
        self.tables
            .get(&table)
            .is_some_and(|state| state.rows.read().map.contains_key(key))
    }

    /// Whether the transaction changed anything in `table`.
    pub fn touches(&self, table: TableId) -> bool {
        self.tables
            .get(&table)
            .is_some_and(|state| state.created || state.dropped || state.has_rows())
    }

    fn state(&mut self, table: TableId) -> &mut TableState {
        Arc::make_mut(&mut self.tables).entry(table).or_default()
    }

    pub fn write(&mut self, table: TableId, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.write_for(table, key, row.map(Bytes::from), 0);
    }

    /// Writes a row; if the transaction has not written its key yet, it is one of a load.
    pub fn write_for(&mut self, table: TableId, key: Vec<u8>, row: Row, load: u64) {
        let stamp = self.stamp;
        let known = self.tables.get(&table).map(|state| state.rows.clone());
        let rows = known.unwrap_or_else(|| self.state(table).rows.clone());
        // A view holds the tables; or, since a table was added or changed, only their rows, which
        // are also held here and by the write set itself.
        let views_alive = Arc::strong_count(&self.tables) > 1 || Arc::strong_count(&rows) > 2;
        let mut rows = rows.write();
        let undo_key = self.keeps_undo.then(|| key.clone());
        self.bytes += ROW_BYTES + key.len() + row.as_ref().map_or(0, Bytes::len);
        self.bytes += undo_key.as_ref().map_or(0, |key| UNDO_BYTES + key.len());
        let before = match rows.map.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Versions {
                    stamp,
                    row,
                    load,
                    older: Vec::new(),
                });
                None
            }
            Entry::Occupied(occupied) => {
                let versions = occupied.into_mut();
                let old = (versions.stamp, std::mem::replace(&mut versions.row, row));
                versions.stamp = stamp;
                self.overcounted = true;
                if !views_alive {
                    versions.older.clear();
                } else if old.0 < stamp {
                    versions.older.push(old.clone());
                }
                Some(old)
            }
        };
        if let Some(key) = undo_key {
            self.undo.push(Undo::Row(table, key, before));
        }
    }

    /// Takes the rows of a load out, in key order. Views that were made before still see them, and what
    /// was written since `mark` can still be undone, but for these rows.
    pub fn take_for(&mut self, table: TableId, load: u64, mark: usize) -> Vec<(Vec<u8>, Bytes)> {
        let Some(state) = self.tables.get(&table) else {
            return Vec::new();
        };
        let shared = Arc::strong_count(&self.tables) > 1 || Arc::strong_count(&state.rows) > 1;
        let mut taken = Vec::new();
        let mut left = Rows::default();
        if shared {
            for (key, versions) in &state.rows.read().map {
                match &versions.row {
                    Some(row) if versions.load == load => taken.push((key.clone(), row.clone())),
                    row => {
                        let versions = Versions {
                            stamp: versions.stamp,
                            row: row.clone(),
                            load: versions.load,
                            older: versions.older.clone(),
                        };
                        left.map.insert(key.clone(), versions);
                    }
                }
            }
        } else {
            let all = std::mem::take(&mut state.rows.write().map);
            for (key, versions) in all {
                match versions.row {
                    Some(row) if versions.load == load => taken.push((key, row)),
                    _ => {
                        left.map.insert(key, versions);
                    }
                }
            }
        }
        let kept = |key: &Vec<u8>| left.map.contains_key(key);
        let mut at = 0;
        self.undo.retain(|undo| {
            at += 1;
            match undo {
                Undo::Row(of, key, None) if at > mark && *of == table => kept(key),
                _ => true,
            }
        });
        self.state(table).rows = Arc::new(RwLock::new(left));
        self.overcounted = true;
        taken
    }

    /// Adds rows that are in segments already.
    pub fn add_loaded(&mut self, table: TableId, parts: &[Part]) {
        let before = self.state(table).loaded.clone();
        let loaded = match &before {
            Some(known) => known.with(parts),
            None => SealedTable::new(table, parts.to_vec()),
        };
        self.state(table).loaded = Some(Arc::new(loaded));
        if self.keeps_undo {
            self.undo.push(Undo::Loaded(table, before));
        }
    }

    /// The rows that are in segments already, of tables that stay.
    pub fn loaded(&self) -> Vec<Arc<SealedTable>> {
        let tables = self.tables.values().filter(|state| !state.dropped);
        tables.filter_map(|state| state.loaded.clone()).collect()
    }

    /// The number of what can be undone.
    pub fn undo_len(&self) -> usize {
        self.undo.len()
    }

    pub fn create_table(&mut self, table: TableId) {
        self.state(table).created = true;
        if self.keeps_undo {
            self.undo.push(Undo::Created(table));
        }
    }

    /// Whether this transaction created the table, behind `mark` if one is given.
    pub fn created_since(&self, table: TableId, mark: Option<usize>) -> bool {
        let created = self.tables.get(&table).is_some_and(|state| state.created);
        let behind = |mark| {
            let mut undo = self.undo.iter().skip(mark);
            undo.any(|undo| matches!(undo, Undo::Created(created) if *created == table))
        };
        created && mark.is_none_or(behind)
    }

    pub fn drop_table(&mut self, table: TableId) {
        self.state(table).dropped = true;
        if self.keeps_undo {
            self.undo.push(Undo::Dropped(table));
        }
    }

    /// From now on, writes can be undone.
    pub fn mark(&mut self) -> usize {
        self.keeps_undo = true;
        self.undo.len()
    }

    /// No mark is needed any more.
    pub fn forget_marks(&mut self) {
        self.keeps_undo = false;
        self.overcounted |= !self.undo.is_empty();
        self.undo = Vec::new();
    }

    /// Undoes everything since the mark.
    pub fn undo_to(&mut self, mark: usize) {
        self.overcounted |= self.undo.len() > mark;
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Row(table, key, before)) => self.undo_row(table, key, before),
                Some(Undo::Created(table)) => self.state(table).created = false,
                Some(Undo::Dropped(table)) => self.state(table).dropped = false,
                Some(Undo::Loaded(table, before)) => self.state(table).loaded = before,
                None => return,
            }
        }
    }

    fn undo_row(&mut self, table: TableId, key: Vec<u8>, before: Option<(Stamp, Row)>) {
        let Some(state) = self.tables.get(&table) else {
            return;
        };
        let mut rows = state.rows.write();
        match (before, rows.map.entry(key)) {
            (Some((stamp, row)), Entry::Occupied(occupied)) => {
                let versions = occupied.into_mut();
                if versions.older.last().is_some_and(|(at, _)| *at == stamp) {
                    versions.older.pop();
                }
                versions.stamp = stamp;
                versions.row = row;
            }
            (None, Entry::Occupied(occupied)) => {
                occupied.remove();
            }
            (_, Entry::Vacant(_)) => {}
        }
    }

    /// What the commit queue applies, and how many bytes the rows of each table have with their keys.
    /// Takes the rows out where no view needs them any more.
    pub fn into_batch(self) -> (WriteBatch, BTreeMap<TableId, usize>) {
        let mut batch = WriteBatch::default();
        let mut sizes = BTreeMap::new();
        let tables = Arc::try_unwrap(self.tables).unwrap_or_else(|shared| (*shared).clone());
        for (table, state) in tables {
            match (state.created, state.dropped) {
                (true, true) => continue,
                (false, true) => {
                    batch.drop.push(table);
                    continue;
                }
                (true, false) => batch.create.push(table),
                (false, false) => {}
            }
            let mut bytes = 0;
            let mut count = |(key, row): (Vec<u8>, Option<Vec<u8>>)| {
                bytes += key.len() + row.as_ref().map_or(0, Vec::len);
                (key, row)
            };
            let writes: TableWrites = match Arc::try_unwrap(state.rows) {
                Ok(rows) => rows
                    .into_inner()
                    .map
                    .into_iter()
                    .map(|(key, versions)| count((key, versions.row.map(Vec::from))))
                    .collect(),
                Err(shared) => shared
                    .read()
                    .map
                    .iter()
                    .map(|(key, versions)| {
                        count((key.clone(), versions.row.as_ref().map(|row| row.to_vec())))
                    })
                    .collect(),
            };
            // A table that was only loaded has changed as well.
            if !writes.is_empty() || state.loaded.is_some() {
                batch.writes.insert(table, Arc::new(writes));
                sizes.insert(table, bytes);
            }
        }
        (batch, sizes)
    }
}
