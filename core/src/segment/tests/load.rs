//! Loads whose rows wait to be written: they are found all the same, and an error comes to who waits.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use parking_lot::Mutex;

use super::tiers::shape;
use crate::env::{Committer, Env, Threads, Workers};
use crate::segment::{Load, Options, Segments};
use crate::storage::fault::{Disk, block_on};
use crate::storage::tests::support::env;
use crate::storage::{self, TableId};
use crate::types::{Datum, PgType, row};

const TABLE: TableId = 16_384;

/// Threads that do nothing until they are told to.
#[derive(Default)]
struct Waiting(Mutex<Vec<BoxFuture<'static, ()>>>);

impl Threads for Waiting {
    fn run(&self, work: BoxFuture<'static, ()>) {
        self.0.lock().push(work);
    }

    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.run(work);
    }
}

impl Waiting {
    fn work(&self) -> usize {
        let work = std::mem::take(&mut *self.0.lock());
        let count = work.len();
        work.into_iter().for_each(block_on);
        count
    }
}

fn load(threads: &Arc<Waiting>) -> Arc<Load> {
    let env = Env {
        workers: Workers::Threads(threads.clone()),
        ..env(Committer::Inline)
    };
    let segments = Segments::open(
        Disk::default().backend(),
        None,
        Arc::new(InMemory::new()),
        &storage::Options {
            cache_bytes: 256 * 1024,
        },
        &Options::default(),
        env,
    );
    Arc::new(Arc::new(segments.unwrap()).load(TABLE, shape()))
}

fn rows(numbers: impl Iterator<Item = u32>) -> Vec<(Vec<u8>, Bytes)> {
    let types = [PgType::INT8, PgType::TEXT];
    let row = |number: u32| {
        let values = [Datum::Int8(number.into()), Datum::text("word")];
        let bytes = row::encode(&values, &types).unwrap();
        (number.to_be_bytes().to_vec(), Bytes::from(bytes))
    };
    numbers.map(row).collect()
}

fn has(load: &Load, number: u32) -> bool {
    load.has_prefix(&number.to_be_bytes()).unwrap()
}

#[test]
fn rows_are_found_before_they_are_written() {
    let threads = Arc::<Waiting>::default();
    let load = load(&threads);
    let go_on = || Ok(());
    block_on(load.push(rows((0..100).step_by(2)), &go_on)).unwrap();
    for written in [false, true] {
        for number in 0..110 {
            assert_eq!(
                has(&load, number),
                number < 100 && number % 2 == 0,
                "{number}"
            );
        }
        if !written {
            assert_eq!(threads.work(), 1);
        }
    }
    // Below what was written already: another run.
    let mut push = Box::pin(load.push(rows((1..50).step_by(2)), &go_on));
    block_on(&mut push).unwrap();
    drop(push);
    assert!(has(&load, 1) && has(&load, 49) && !has(&load, 51) && has(&load, 98));
    assert_eq!(threads.work(), 1);
    let finished = std::thread::scope(|scope| {
        let finishing = scope.spawn(|| block_on(load.finish()).unwrap());
        while !finishing.is_finished() {
            threads.work();
            std::thread::yield_now();
        }
        finishing.join().unwrap()
    });
    let live: u64 = finished.iter().map(|part| part.live_rows()).sum();
    assert_eq!((finished.len(), live), (2, 75));
    assert!(has(&load, 1) && has(&load, 98) && !has(&load, 99));
}
