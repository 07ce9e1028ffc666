//! How fast the store and the transactions are: point reads, scans, locks, commits, bulk loads.
//!
//! `cargo run --release -p omendb-core --example storage_speed [file]`; without a file, in memory.

#![allow(clippy::disallowed_methods)] // An example is a host: it has files, threads and a clock.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use omendb_core::Result;
use omendb_core::env::{Clock, Committer, Entropy, Env, Workers};
use omendb_core::storage::{Options, Store};
use omendb_core::txn::{
    BeginOptions, Interrupt, Isolation, LockTarget, RowMode, Transaction, Transactions, Wait,
};
use redb::backends::{FileBackend, InMemoryBackend};

const T: u64 = 16384;
const ROWS: u64 = 1_000_000;
const FOREVER: Wait = Wait::Queue(None);

struct Host;

impl Clock for Host {
    fn now(&self) -> i64 {
        0
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

impl Entropy for Host {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0x5A);
    }
}

fn report(what: &str, count: u64, took: Duration) {
    let each = took.as_nanos() as f64 / count as f64;
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<44} {each:>10.0} ns each {rate:>12.0} a second");
}

fn begin(manager: &Transactions) -> Transaction {
    let options = BeginOptions {
        isolation: Isolation::ReadCommitted,
        read_only: false,
    };
    manager.begin(options, Interrupt::default())
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// Numbers below `ROWS` in an order that caches do not like.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ROWS
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let (sender, receiver) = sync_channel(1);
    let env = Env {
        clock: Arc::new(Host),
        entropy: Arc::new(Host),
        committer: Committer::Wake(Arc::new(move || {
            let _ = sender.try_send(());
        })),
        workers: Workers::Inline,
    };
    let options = Options {
        cache_bytes: 512 << 20,
    };
    let store = match std::env::args().nth(1) {
        Some(path) => {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .expect("the file can be created");
            let backend = FileBackend::new(file).expect("the file can be locked");
            Store::open(backend, &options, env.clone())?
        }
        None => Store::open(InMemoryBackend::new(), &options, env.clone())?,
    };
    let stepper = store.clone();
    std::thread::spawn(move || {
        while receiver.recv().is_ok() {
            while stepper.commit_step() {}
        }
    });
    let manager = Transactions::new(store, env);
    load(&manager).await?;
    read(&manager)?;
    lock(&manager).await?;
    for (what, clients, hot) in [
        ("commit, 1 client", 1, false),
        ("commit, 32 clients", 32, false),
        ("commit, 32 clients, one hot row", 32, true),
    ] {
        commit(&manager, what, clients, hot).await?;
    }
    Ok(())
}

async fn load(manager: &Transactions) -> Result<()> {
    let start = Instant::now();
    let mut transaction = begin(manager);
    for number in 0..ROWS {
        transaction.put(T, key(number), vec![number as u8; 100])?;
    }
    report("put into the write set", ROWS, start.elapsed());
    transaction.commit().await?;
    report("load in key order, durable", ROWS, start.elapsed());
    let start = Instant::now();
    let mut transaction = begin(manager);
    for number in 0..ROWS / 10 {
        transaction.put(T, key(scattered(number)), vec![1; 100])?;
    }
    transaction.commit().await?;
    report(
        "overwrite a tenth, scattered, durable",
        ROWS / 10,
        start.elapsed(),
    );
    Ok(())
}

fn read(manager: &Transactions) -> Result<()> {
    let snapshot = manager.store().snapshot()?;
    let start = Instant::now();
    let mut bytes = 0;
    for number in 0..ROWS {
        let row = snapshot.get(T, &scattered(number).to_be_bytes())?;
        bytes += row.map_or(0, |row| row.as_ref().len());
    }
    report("point read, one snapshot", ROWS, start.elapsed());
    let start = Instant::now();
    for number in 0..ROWS {
        let mut transaction = begin(manager);
        transaction.start_statement()?;
        let row = transaction
            .view()?
            .get(T, &scattered(number).to_be_bytes())?;
        bytes += row.map_or(0, |row| row.as_ref().len());
    }
    report("point read, a transaction each", ROWS, start.elapsed());
    let start = Instant::now();
    let view = begin(manager).view()?;
    for entry in view.range(T, Bound::Unbounded, Bound::Unbounded)? {
        bytes += entry?.1.as_ref().len();
    }
    report("range read", ROWS, start.elapsed());
    println!("{bytes} bytes read");
    Ok(())
}

async fn lock(manager: &Transactions) -> Result<()> {
    let start = Instant::now();
    let mut transaction = begin(manager);
    for number in 0..ROWS {
        let target = LockTarget::Row(T, key(number));
        transaction
            .lock_key(target, RowMode::Update, FOREVER)
            .await?;
    }
    report("lock a row", ROWS, start.elapsed());
    let start = Instant::now();
    transaction.rollback();
    report("unlock it", ROWS, start.elapsed());
    let start = Instant::now();
    for _ in 0..ROWS {
        let mut transaction = begin(manager);
        transaction
            .lock_row(T, b"k", RowMode::Update, FOREVER)
            .await?;
    }
    report("begin, lock a row, roll back", ROWS, start.elapsed());
    Ok(())
}

async fn commit(manager: &Transactions, what: &str, clients: u64, hot: bool) -> Result<()> {
    let rounds = 400;
    let before = manager.store().stats();
    let start = Instant::now();
    let tasks = (0..clients).map(|client| {
        let manager = manager.clone();
        tokio::spawn(async move {
            for round in 0..rounds {
                let mut transaction = begin(&manager);
                let number = if hot {
                    7
                } else {
                    scattered(client * rounds + round)
                };
                transaction
                    .lock_row(T, &key(number), RowMode::Update, FOREVER)
                    .await?;
                transaction.put(T, key(number), vec![round as u8; 100])?;
                transaction.commit().await?;
            }
            Ok::<(), omendb_core::Error>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("the task does not panic")?;
    }
    report(what, clients * rounds, start.elapsed());
    let after = manager.store().stats();
    println!(
        "    {} groups, {} syncs",
        after.groups - before.groups,
        after.syncs - before.syncs
    );
    Ok(())
}
