//! The engine: rows in redb with a commit log, sealed into segments once they are cold.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use omendb::commit_log::LogFile;
use omendb::objects::SyncedDirectory;
use omendb::storage::FileBackend;
use omendb_core::env::{Clock, Committer, Entropy, Env, Workers};
use omendb_core::segment::{CacheOptions, Effort, Layout, LayoutColumn, Options, Segments, Shape};
use omendb_core::storage::{self, RowBatch, Snapshot, TableId, Wanted};
use omendb_core::txn::{BeginOptions, Interrupt, Isolation, Transactions};
use omendb_core::types::{Datum, PgType, key, row};
use pollster::block_on;

use super::{Done, Lookup, Row, Store};

const TABLE: TableId = 16_384;
const TYPES: [PgType; 2] = [PgType::INT8, PgType::TEXT];

struct Host(Instant);

impl Clock for Host {
    fn now(&self) -> i64 {
        self.0.elapsed().as_micros() as i64
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

impl Entropy for Host {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0x5a);
    }
}

/// A database of one table `(number int8 PRIMARY KEY, payload text)`.
pub struct Engine {
    segments: Segments,
    transactions: Transactions,
    key: Vec<u8>,
}

impl Engine {
    /// With caches of `cache` bytes: a quarter for pages of redb, the rest for segments.
    pub fn new(directory: &Path, cache: usize) -> Done<Self> {
        let host = Arc::new(Host(Instant::now()));
        let env = Env {
            clock: host.clone(),
            entropy: host,
            committer: Committer::Inline,
            workers: Workers::Inline,
        };
        let quarter = cache as u64 / 4;
        let options = Options {
            caches: CacheOptions {
                keys_bytes: quarter,
                blocks_bytes: 2 * quarter,
                columns_bytes: 1 << 20,
            },
            ..Options::default()
        };
        let storage = storage::Options {
            cache_bytes: cache / 4,
        };
        let segments = Segments::open(
            FileBackend::open(directory, cache / 4)?,
            Some(Arc::new(LogFile::open(directory)?)),
            Arc::new(SyncedDirectory::open(&directory.join("segments"))?),
            &storage,
            &options,
            env.clone(),
        )?;
        let transactions = Transactions::new(segments.store().clone(), env);
        Ok(Engine {
            segments,
            transactions,
            key: Vec::new(),
        })
    }
}

fn key_of(number: u64) -> Done<Vec<u8>> {
    let mut bytes = Vec::with_capacity(9);
    key::encode(&Datum::Int8(number as i64), PgType::INT8, &mut bytes)?;
    Ok(bytes)
}

fn shape() -> Shape {
    let column = |(name, ty): (&str, PgType)| LayoutColumn {
        name: name.to_owned(),
        ty,
        not_null: true,
        missing: Datum::Null,
        dropped: false,
    };
    let columns = ["number", "payload"].into_iter().zip(TYPES).map(column);
    Shape {
        layout: Layout {
            columns: columns.collect(),
        },
        key: vec![0],
    }
}

impl Store for Engine {
    fn name(&self) -> &'static str {
        "OmenDB"
    }

    fn write(&mut self, rows: &[Row]) -> Done<()> {
        let options = BeginOptions {
            isolation: Isolation::ReadCommitted,
            read_only: false,
        };
        let mut transaction = self.transactions.begin(options, Interrupt::default());
        for (number, payload) in rows {
            let payload = Datum::Text(Cow::Borrowed(payload));
            let values = [Datum::Int8(*number as i64), payload];
            transaction.put(TABLE, key_of(*number)?, row::encode(&values, &TYPES)?)?;
        }
        Ok(block_on(transaction.commit())?)
    }

    fn settle(&mut self) -> Done<()> {
        block_on(self.segments.tend(TABLE, shape(), Effort::All))?;
        block_on(self.segments.sweep())?;
        Ok(())
    }

    fn read(&mut self, read: &mut dyn FnMut(&Lookup<'_>) -> Done<()>) -> Done<()> {
        let snapshot = self.segments.store().snapshot()?;
        let key = RefCell::new(Vec::new());
        read(&|number, pass| look_up(&snapshot, number, &mut key.borrow_mut(), pass))
    }

    fn read_newest(&mut self, number: u64, pass: &mut dyn FnMut(&[u8])) -> Done<bool> {
        let snapshot = self.segments.store().snapshot()?;
        look_up(&snapshot, number, &mut self.key, pass)
    }

    fn read_batch(&mut self, numbers: &[u64], pass: &mut dyn FnMut(usize, &[u8])) -> Done<()> {
        let snapshot = self.segments.store().snapshot()?;
        let mut keys = Vec::with_capacity(9 * numbers.len());
        for number in numbers {
            key::encode(&Datum::Int8(*number as i64), PgType::INT8, &mut keys)?;
        }
        let keys: Vec<&[u8]> = keys.chunks(9).collect();
        let mut rows = RowBatch::new(keys.len(), Wanted::Rows);
        snapshot.get_batch(TABLE, &keys, &mut rows)?;
        for (at, row) in rows.iter().enumerate() {
            if let Some(row) = row {
                pass(at, payload_of(row)?);
            }
        }
        Ok(())
    }

    fn range(&mut self, from: u64, count: u64, pass: &mut dyn FnMut(&[u8])) -> Done<()> {
        let snapshot = self.segments.store().snapshot()?;
        let (from, to) = (key_of(from)?, key_of(from + count)?);
        let bounds = (
            Bound::Included(from.as_slice()),
            Bound::Excluded(to.as_slice()),
        );
        let mut odd = None;
        snapshot.visit(TABLE, bounds.0, bounds.1, &mut |_, row| {
            match payload_of(row) {
                Ok(payload) => pass(payload),
                Err(error) => odd = Some(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        odd.map_or(Ok(()), Err)
    }
}

/// Passes the payload of a row on, if there is one. `key` is for its key.
fn look_up(
    snapshot: &Snapshot,
    number: u64,
    key: &mut Vec<u8>,
    pass: &mut dyn FnMut(&[u8]),
) -> Done<bool> {
    key.clear();
    key::encode(&Datum::Int8(number as i64), PgType::INT8, key)?;
    let Some(found) = snapshot.get(TABLE, key)? else {
        return Ok(false);
    };
    pass(payload_of(found.as_ref())?);
    Ok(true)
}

/// The bytes of the second column.
fn payload_of(bytes: &[u8]) -> Done<&[u8]> {
    match row::RowRef::new(bytes)?.get(1, PgType::TEXT)? {
        Datum::Text(Cow::Borrowed(text)) => Ok(text.as_bytes()),
        other => Err(format!("a payload is {other:?}").into()),
    }
}
