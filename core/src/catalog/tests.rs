//! The catalog and its counters over a real store.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{
    Cache, FIRST_USER_OID, Object, PUBLIC_SCHEMA, QualifiedName, SearchPath, Sequence, Sequences,
    bootstrap,
};
use crate::env::{Clock, Committer, Entropy, Env, Workers};
use crate::storage::fault::{Disk, block_on};
use crate::storage::{Options, Store};
use crate::txn::{BeginOptions, Interrupt, Isolation, Transaction, Transactions};
use crate::types::PgType;

struct Still;

impl Clock for Still {
    fn now(&self) -> i64 {
        0
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

impl Entropy for Still {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn open(disk: &Disk) -> Transactions {
    let env = Env {
        clock: Arc::new(Still),
        entropy: Arc::new(Still),
        committer: Committer::Inline,
        workers: Workers::Inline,
    };
    let options = Options {
        cache_bytes: 1 << 20,
    };
    let store = Store::open(disk.backend(), &options, env.clone()).unwrap();
    Transactions::new(store, env)
}

fn begin(transactions: &Transactions) -> Transaction {
    let options = BeginOptions {
        isolation: Isolation::ReadCommitted,
        read_only: false,
    };
    transactions.begin(options, Interrupt::default())
}

fn sequence(oid: u32, name: &str) -> Sequence {
    Sequence {
        oid,
        name: name.to_owned(),
        schema: PUBLIC_SCHEMA,
        owner: 10,
        ty: PgType::INT8,
        start: 1,
        increment: 1,
        minimum: 1,
        maximum: i64::MAX,
        cache: 1,
        cycle: false,
        owned_by: None,
        state: 0,
        restart: None,
    }
}

#[test]
fn a_version_is_read_once_and_own_writes_show() {
    let transactions = open(&Disk::default());
    let mut txn = begin(&transactions);
    bootstrap(&mut txn, "postgres").unwrap();
    block_on(txn.commit()).unwrap();

    let cache = Cache::default();
    let mut txn = begin(&transactions);
    let before = cache.catalog(&txn.view().unwrap()).unwrap();
    let again = cache
        .catalog(&begin(&transactions).view().unwrap())
        .unwrap();
    assert!(Arc::ptr_eq(&before, &again));
    assert!(before.role("postgres").is_some_and(|role| role.superuser));

    let mut changed = before.as_ref().clone();
    let made = Object::Sequence(Arc::new(sequence(20_000, "s")));
    changed.put(&mut txn, made).unwrap();
    changed
        .set_comment(&mut txn, 20_000, 0, Some("counts"))
        .unwrap();
    let path = SearchPath(Arc::from(vec!["public".to_owned()]));
    let name = QualifiedName::new(None, "s");
    let own = cache.catalog(&txn.view().unwrap()).unwrap();
    assert_eq!(own.resolve_sequence(&name, &path).unwrap().oid, 20_000);
    assert_eq!(own.comment(20_000, 0), Some("counts"));
    let twice = cache.catalog(&txn.view().unwrap()).unwrap();
    assert!(
        Arc::ptr_eq(&own, &twice),
        "unchanged own writes are read once"
    );
    let others = cache
        .catalog(&begin(&transactions).view().unwrap())
        .unwrap();
    assert!(Arc::ptr_eq(&before, &others));
    block_on(txn.commit()).unwrap();

    let after = cache
        .catalog(&begin(&transactions).view().unwrap())
        .unwrap();
    assert_eq!(after.resolve_sequence(&name, &path).unwrap().oid, 20_000);
    let error = after.resolve_table(&name, &path).unwrap_err();
    assert_eq!(
        (error.state().code(), error.message()),
        ("42809", "\"s\" is not a table")
    );
}

#[test]
fn counters_never_repeat_after_a_restart() {
    let disk = Disk::default();
    let (mut given, mut oids) = (Vec::new(), Vec::new());
    for clean in [true, false, true, false] {
        let transactions = open(&disk);
        let store = transactions.store().clone();
        let sequences = Sequences::new(store.clone());
        let counted = sequence(20_000, "s");
        for _ in 0..50 {
            given.push(sequences.next_value(&counted).unwrap());
            oids.push(sequences.next_oid().unwrap());
        }
        if clean {
            sequences.flush().unwrap();
        }
        while store.commit_step() {}
        store.close().unwrap();
    }
    assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
    assert!(oids.windows(2).all(|pair| pair[0] < pair[1]), "{oids:?}");
    assert_eq!((given[0], oids[0]), (1, FIRST_USER_OID));
    // After an orderly close nothing is skipped.
    assert_eq!(given[50], 51);
}

#[test]
fn setval_and_the_end() {
    let transactions = open(&Disk::default());
    let sequences = Sequences::new(transactions.store().clone());
    let short = Sequence {
        maximum: 3,
        ..sequence(20_000, "s")
    };
    sequences.set_value(&short, 3, false).unwrap();
    assert_eq!(sequences.last_value(&short).unwrap(), (3, false));
    assert_eq!(sequences.next_value(&short).unwrap(), 3);
    let error = sequences.next_value(&short).unwrap_err();
    assert_eq!(error.state().code(), "2200H");
    assert_eq!(
        error.message(),
        "nextval: reached maximum value of sequence \"s\" (3)"
    );
    assert_eq!(
        sequences
            .set_value(&short, 4, true)
            .unwrap_err()
            .state()
            .code(),
        "22003"
    );
}
