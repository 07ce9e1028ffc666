//! What the tests of transactions share.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::env::{Clock, Committer, Entropy, Env, Workers};
use crate::storage::fault::{Disk, block_on};
use crate::storage::{Options, Store, TableId};
use crate::txn::{BeginOptions, Interrupt, Isolation, Transaction, Transactions, Wait};

pub const T: TableId = 16384;
pub const FOREVER: Wait = Wait::Queue(None);

struct Host;

impl Clock for Host {
    fn now(&self) -> i64 {
        0
    }

    fn sleep(&self, micros: u64) -> BoxFuture<'static, ()> {
        tokio::time::sleep(Duration::from_micros(micros)).boxed()
    }
}

impl Entropy for Host {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0xA5);
    }
}

fn transactions(committer: Committer) -> Transactions {
    let env = Env {
        clock: Arc::new(Host),
        entropy: Arc::new(Host),
        committer,
        workers: Workers::Inline,
    };
    let options = Options {
        cache_bytes: 8 << 20,
    };
    let store = Store::open(Disk::default().backend(), &options, env.clone()).unwrap();
    Transactions::new(store, env)
}

/// Commits in the caller.
pub fn inline() -> Transactions {
    transactions(Committer::Inline)
}

/// Commits when the test calls `commit_step`.
pub fn by_hand() -> Transactions {
    transactions(Committer::Wake(Arc::new(|| {})))
}

/// Commits on a thread of its own, as a native host does.
pub fn threaded() -> Transactions {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let manager = transactions(Committer::Wake(Arc::new(move || {
        // Full means that the thread has not looked since the last call: it will.
        let _ = sender.try_send(());
    })));
    let store = manager.store().clone();
    std::thread::spawn(move || {
        while receiver.recv().is_ok() {
            while store.commit_step() {}
        }
    });
    manager
}

pub fn begin(manager: &Transactions, isolation: Isolation) -> Transaction {
    let options = BeginOptions {
        isolation,
        read_only: false,
    };
    manager.begin(options, Interrupt::default())
}

pub fn begin_rc(manager: &Transactions) -> Transaction {
    begin(manager, Isolation::ReadCommitted)
}

/// Writes and commits one row.
pub fn set(manager: &Transactions, table: TableId, key: &[u8], row: Option<&[u8]>) {
    let mut transaction = begin_rc(manager);
    match row {
        Some(row) => transaction.put(table, key.to_vec(), row.to_vec()).unwrap(),
        None => transaction.delete(table, key.to_vec()).unwrap(),
    }
    block_on(transaction.commit()).unwrap();
}

/// Reads one row in a new statement.
pub fn get(transaction: &mut Transaction, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
    transaction.start_statement().unwrap();
    let found = transaction.view().unwrap().get(table, key).unwrap();
    found.map(|row| row.as_ref().to_vec())
}
