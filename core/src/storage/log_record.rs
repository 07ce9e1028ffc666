//! A group of batches as the bytes of one log record, and back.
//!
//! All numbers are LEB128 varints. A record is the number of batches and then, for each: the tables
//! to create, the tables with changes, and the tables to drop, each with its count in front. A
//! changed table is its number, the number of its changes, and for each the key (length, bytes) and
//! the new row (length + 1, bytes; 0 for a removed row).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{TableId, TableWrites, WriteBatch};
use crate::error::{Error, Result, SqlState};

/// The most bytes of a varint.
const MAX_NUMBER: usize = 10;

impl WriteBatch {
    /// The most bytes that this batch takes in a record.
    pub(super) fn log_bytes(&self) -> usize {
        let tables = self.create.len() + self.drop.len() + 3;
        let rows = self.writes.values().map(|writes| {
            let bytes = writes
                .iter()
                .map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len) + 2 * MAX_NUMBER);
            bytes.sum::<usize>() + 2 * MAX_NUMBER
        });
        rows.sum::<usize>() + tables * MAX_NUMBER
    }
}

/// Appends a group to `out`.
pub(super) fn encode<'a>(
    batches: impl ExactSizeIterator<Item = &'a WriteBatch>,
    out: &mut Vec<u8>,
) {
    put_number(out, batches.len() as u64);
    for batch in batches {
        put_tables(out, &batch.create);
        put_number(out, batch.writes.len() as u64);
        for (table, writes) in &batch.writes {
            put_number(out, *table);
            put_number(out, writes.len() as u64);
            for (key, row) in writes.iter() {
                put_number(out, key.len() as u64);
                out.extend_from_slice(key);
                match row {
                    Some(row) => {
                        put_number(out, row.len() as u64 + 1);
                        out.extend_from_slice(row);
                    }
                    None => put_number(out, 0),
                }
            }
        }
        put_tables(out, &batch.drop);
    }
}

/// The group that [`encode`] wrote.
///
/// # Errors
/// XX001 for anything else.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<WriteBatch>> {
    let mut input = Input(bytes);
    let mut batches = Vec::new();
    for _ in 0..input.number()? {
        let create = input.tables()?;
        let mut writes = BTreeMap::new();
        for _ in 0..input.number()? {
            let table = input.number()?;
            let mut rows = TableWrites::new();
            for _ in 0..input.number()? {
                let length = input.number()?;
                let key = input.bytes(length)?.to_vec();
                let row = match input.number()? {
                    0 => None,
                    more => Some(input.bytes(more - 1)?.to_vec()),
                };
                rows.insert(key, row);
            }
            writes.insert(table, Arc::new(rows));
        }
        let drop = input.tables()?;
        batches.push(WriteBatch {
            create,
            drop,
            writes,
        });
    }
    match input.0.is_empty() {
        true => Ok(batches),
        false => Err(damaged()),
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_tables(out: &mut Vec<u8>, tables: &[TableId]) {
    put_number(out, tables.len() as u64);
    for table in tables {
        put_number(out, *table);
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(damaged)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    fn bytes(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).map_err(|_| damaged())?;
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn tables(&mut self) -> Result<Vec<TableId>> {
        (0..self.number()?).map(|_| self.number()).collect()
    }
}

fn damaged() -> Error {
    Error::new(
        SqlState::DATA_CORRUPTED,
        "a record of the commit log is damaged",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = TableWrites> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::btree_map(bytes(), prop::option::of(bytes()), 0..20)
    }

    fn batch() -> impl Strategy<Value = WriteBatch> {
        let tables = || prop::collection::vec(any::<u64>(), 0..3);
        let writes = prop::collection::btree_map(any::<u64>(), rows().prop_map(Arc::new), 0..4);
        (tables(), tables(), writes).prop_map(|(create, drop, writes)| WriteBatch {
            create,
            drop,
            writes,
        })
    }

    proptest! {
        #[test]
        fn groups_round_trip(batches in prop::collection::vec(batch(), 0..5)) {
            let mut bytes = Vec::new();
            encode(batches.iter(), &mut bytes);
            let most: usize = batches.iter().map(WriteBatch::log_bytes).sum();
            prop_assert!(bytes.len() <= most + MAX_NUMBER);
            let found = decode(&bytes).unwrap();
            prop_assert_eq!(format!("{found:?}"), format!("{batches:?}"));
            for end in 0..bytes.len() {
                prop_assert!(decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn rubbish_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
        }
    }
}
