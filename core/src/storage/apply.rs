//! Applies batches to the redb tables of one write transaction.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use redb::{CursorError, ReadableTable, WriteTransaction};

use super::format::{Bytes, Table};
use super::{
    DELETED_TABLE, Generation, Relocation, SEGMENT_TABLE, TableId, TableWrites, Tiers, WriteBatch,
};
use crate::error::{Error, Result};

/// From this many changes of one table on, looking for a run to append pays.
const MIN_BULK: usize = 16;

/// The tables that one redb transaction writes to; each is opened once for the whole group.
pub(super) struct OpenTables<'txn> {
    writer: &'txn WriteTransaction,
    tables: BTreeMap<(TableId, Generation), redb::Table<'txn, Bytes, Bytes>>,
    /// Where rows are after what was applied so far.
    pub tiers: Arc<Tiers>,
}

impl<'txn> OpenTables<'txn> {
    pub fn new(writer: &'txn WriteTransaction, tiers: Arc<Tiers>) -> Self {
        OpenTables {
            writer,
            tables: BTreeMap::new(),
            tiers,
        }
    }

    fn open(
        &mut self,
        table: TableId,
        generation: Generation,
    ) -> Result<&mut redb::Table<'txn, Bytes, Bytes>> {
        match self.tables.entry((table, generation)) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let name = Table::of(table, generation);
                Ok(vacant.insert(self.writer.open_table(name.definition())?))
            }
        }
    }

    fn delete(&mut self, table: TableId, generation: Generation) -> Result<()> {
        // redb refuses to delete a table that is open.
        self.tables.remove(&(table, generation));
        let name = Table::of(table, generation);
        self.writer.delete_table(name.definition())?;
        Ok(())
    }

    pub fn apply(&mut self, batch: &WriteBatch) -> Result<()> {
        for table in &batch.create {
            self.open(*table, self.tiers.generation(*table))?;
        }
        for (table, writes) in &batch.writes {
            self.unseal(*table, writes)?;
            let generation = self.tiers.generation(*table);
            write_rows(self.open(*table, generation)?, writes)?;
        }
        for table in &batch.drop {
            self.delete(*table, self.tiers.generation(*table))?;
            if let Some(tier) = Arc::make_mut(&mut self.tiers).0.remove(table) {
                self.forget(*table)?;
                if let Some(sealed) = tier.sealed {
                    sealed.dropped();
                }
            }
        }
        Ok(())
    }

    /// Takes what is written out of the sealed tier: a key has one row.
    fn unseal(&mut self, table: TableId, writes: &TableWrites) -> Result<()> {
        if let Some(keys) = self.tiers.keys(table) {
            for (key, row) in writes {
                if row.is_some() {
                    keys.add(key);
                }
            }
        }
        let Some(sealed) = self.tiers.sealed(table) else {
            return Ok(());
        };
        let mut beside = WriteBatch::default();
        if let Some(left) = sealed.without(writes, &mut beside)? {
            if let Some(tier) = Arc::make_mut(&mut self.tiers).0.get_mut(&table) {
                tier.sealed = Some(left);
            }
            self.apply(&beside)?;
        }
        Ok(())
    }

    /// Removes what the tier remembers of a dropped table; its keys begin with the table.
    fn forget(&mut self, table: TableId) -> Result<()> {
        let (from, to) = (table.to_be_bytes(), table.saturating_add(1).to_be_bytes());
        for reserved in [SEGMENT_TABLE, DELETED_TABLE] {
            self.open(reserved, 0)?
                .retain_in::<&[u8], _>(from.as_slice()..to.as_slice(), |_, _| false)?;
        }
        Ok(())
    }

    pub fn relocate(&mut self, relocation: Relocation) -> Result<()> {
        for (table, generation, writes) in &relocation.rows {
            write_rows(self.open(*table, *generation)?, writes)?;
        }
        self.apply(&relocation.beside)?;
        for (table, generation) in relocation.drop {
            self.delete(table, generation)?;
        }
        for (table, tier) in relocation.tiers {
            Arc::make_mut(&mut self.tiers).0.insert(table, tier);
        }
        Ok(())
    }
}

/// Applies changes in key order. The run beyond the table's last key (all of them, when the table
/// is new) goes in through a cursor, which fills whole pages.
fn write_rows(table: &mut redb::Table<'_, Bytes, Bytes>, writes: &TableWrites) -> Result<()> {
    if writes.len() < MIN_BULK {
        return write_each(table, writes.iter());
    }
    let last = table.last()?.map(|(key, _)| key.value().to_vec());
    let Some(last) = last else {
        return append(table, writes.iter());
    };
    write_each(
        table,
        writes.range::<[u8], _>((Bound::Unbounded, Bound::Included(last.as_slice()))),
    )?;
    append(
        table,
        writes.range::<[u8], _>((Bound::Excluded(last.as_slice()), Bound::Unbounded)),
    )
}

fn write_each<'a>(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    writes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
) -> Result<()> {
    for (key, row) in writes {
        match row {
            Some(row) => table.insert(key.as_slice(), row.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}

/// Writes keys that are all greater than any in the table.
fn append<'a>(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    writes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
) -> Result<()> {
    let mut cursor = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
    for (key, row) in writes {
        if let Some(row) = row {
            cursor
                .insert_before(key.as_slice(), row.as_slice())
                .map_err(|error| match error {
                    CursorError::Storage(error) => error.into(),
                    other => Error::internal(format!("appending rows: {other}")),
                })?;
        }
    }
    Ok(cursor.close()?)
}
