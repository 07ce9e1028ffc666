//! Plain key-value stores.

use std::path::Path;

use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Done, Lookup, Row, Store};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

/// One redb table, with a cache of `cache` bytes.
pub struct Redb(Database);

impl Redb {
    pub fn new(directory: &Path, cache: usize) -> Done<Self> {
        let database = redb::Builder::new()
            .set_cache_size(cache)
            .create(directory.join("rows.redb"))?;
        Ok(Redb(database))
    }
}

impl Store for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn write(&mut self, rows: &[Row]) -> Done<()> {
        let writer = self.0.begin_write()?;
        {
            let mut table = writer.open_table(TABLE)?;
            for (number, payload) in rows {
                table.insert(number, payload.as_bytes())?;
            }
        }
        Ok(writer.commit()?)
    }

    fn read(&mut self, read: &mut dyn FnMut(&Lookup<'_>) -> Done<()>) -> Done<()> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        read(&|number, row| match table.get(number)? {
            Some(found) => {
                row(found.value());
                Ok(true)
            }
            None => Ok(false),
        })
    }

    fn read_newest(&mut self, number: u64, row: &mut dyn FnMut(&[u8])) -> Done<bool> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let found = table.get(number)?;
        Ok(found.map(|found| row(found.value())).is_some())
    }

    fn read_batch(&mut self, numbers: &[u64], row: &mut dyn FnMut(usize, &[u8])) -> Done<()> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        for (at, number) in numbers.iter().enumerate() {
            if let Some(found) = table.get(number)? {
                row(at, found.value());
            }
        }
        Ok(())
    }

    fn range(&mut self, from: u64, count: u64, row: &mut dyn FnMut(&[u8])) -> Done<()> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        for entry in table.range(from..from + count)? {
            row(entry?.1.value());
        }
        Ok(())
    }
}

/// One keyspace of fjall, a log-structured merge tree, with a cache of `cache` bytes; otherwise as it
/// comes: leveled compaction, Bloom filters, LZ4 from the third level on.
pub struct Fjall {
    database: fjall::Database,
    rows: Keyspace,
}

impl Fjall {
    pub fn new(directory: &Path, cache: usize) -> Done<Self> {
        let database = fjall::Database::builder(directory.join("rows.fjall"))
            .cache_size(cache as u64)
            .open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, rows })
    }
}

impl Store for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn write(&mut self, rows: &[Row]) -> Done<()> {
        let batch = self.database.batch();
        let mut batch = batch.durability(Some(PersistMode::SyncData));
        for (number, payload) in rows {
            batch.insert(&self.rows, number.to_be_bytes(), payload.as_bytes());
        }
        Ok(batch.commit()?)
    }

    fn settle(&mut self) -> Done<()> {
        self.rows.rotate_memtable_and_wait()?;
        Ok(self.rows.major_compact()?)
    }

    fn read(&mut self, read: &mut dyn FnMut(&Lookup<'_>) -> Done<()>) -> Done<()> {
        let snapshot = self.database.snapshot();
        read(
            &|number, row| match snapshot.get(&self.rows, number.to_be_bytes())? {
                Some(found) => {
                    row(&found);
                    Ok(true)
                }
                None => Ok(false),
            },
        )
    }

    fn read_newest(&mut self, number: u64, row: &mut dyn FnMut(&[u8])) -> Done<bool> {
        let found = self.rows.get(number.to_be_bytes())?;
        Ok(found.map(|found| row(&found)).is_some())
    }

    fn read_batch(&mut self, numbers: &[u64], row: &mut dyn FnMut(usize, &[u8])) -> Done<()> {
        let snapshot = self.database.snapshot();
        for (at, number) in numbers.iter().enumerate() {
            if let Some(found) = snapshot.get(&self.rows, number.to_be_bytes())? {
                row(at, &found);
            }
        }
        Ok(())
    }

    fn range(&mut self, from: u64, count: u64, row: &mut dyn FnMut(&[u8])) -> Done<()> {
        let snapshot = self.database.snapshot();
        let keys = from.to_be_bytes()..(from + count).to_be_bytes();
        for entry in snapshot.range(&self.rows, keys) {
            row(&entry.value()?);
        }
        Ok(())
    }
}
