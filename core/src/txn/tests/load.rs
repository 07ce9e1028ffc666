//! Loads that are not ended: their rows are never lost in silence.

use std::sync::Arc;

use object_store::memory::InMemory;

use super::support::{T, begin_rc, get};
use crate::env::Committer;
use crate::segment::tests::tiers::shape;
use crate::segment::{Options, Segments};
use crate::storage;
use crate::storage::fault::{Disk, block_on};
use crate::storage::tests::support::env;
use crate::txn::{Transaction, Transactions};
use crate::types::{Datum, PgType, row};

/// Rows of a load move on once there are three.
fn manager() -> Transactions {
    let env = env(Committer::Inline);
    let segments = Segments::open(
        Disk::default().backend(),
        None,
        Arc::new(InMemory::new()),
        &storage::Options {
            cache_bytes: 256 * 1024,
        },
        &Options {
            load_rows: 3,
            ..Options::default()
        },
        env.clone(),
    );
    Transactions::with_segments(Arc::new(segments.unwrap()), env, 1 << 20)
}

/// A transaction that has begun a load and put some rows.
fn loading(manager: &Transactions, rows: u8) -> Transaction {
    let mut transaction = begin_rc(manager);
    transaction.create_table(T).unwrap();
    transaction.begin_load(vec![(T, shape())]).unwrap();
    for number in 0..rows {
        let bytes = row::encode(&[Datum::Int8(number.into())], &[PgType::INT8]).unwrap();
        transaction.put_new(T, vec![number], bytes).unwrap();
        block_on(transaction.move_on()).unwrap();
    }
    transaction
}

#[test]
fn rows_of_a_load_that_is_not_ended_are_never_forgotten() {
    // None, some that are lined up, and some that have all moved on.
    for (rows, refused) in [(0, false), (2, true), (3, true)] {
        let manager = manager();
        let mut transaction = loading(&manager, rows);
        let again = transaction.begin_load(vec![(T, shape())]);
        assert_eq!(again.is_err(), refused, "{rows} rows");
        let committed = block_on(loading(&manager, rows).commit());
        assert_eq!(committed.is_err(), refused, "{rows} rows");
        for error in again.err().into_iter().chain(committed.err()) {
            assert_eq!(error.state().code(), "XX000");
        }
        // The load is as it was.
        block_on(transaction.end_load()).unwrap();
        transaction.begin_load(vec![(T, shape())]).unwrap();
        for number in 0..rows {
            assert!(get(&mut transaction, T, &[number]).is_some());
        }
    }
}

#[test]
fn a_load_whose_statement_failed_is_forgotten() {
    let manager = manager();
    for rows in [2, 3] {
        let mut transaction = loading(&manager, rows);
        transaction.fail();
        transaction.begin_load(vec![(T, shape())]).unwrap();
        let mut transaction = begin_rc(&manager);
        transaction.create_table(T).unwrap();
        let savepoint = transaction.savepoint();
        transaction.begin_load(vec![(T, shape())]).unwrap();
        let bytes = row::encode(&[Datum::Int8(1)], &[PgType::INT8]).unwrap();
        transaction.put_new(T, vec![1], bytes).unwrap();
        transaction.rollback_to(savepoint);
        transaction.begin_load(vec![(T, shape())]).unwrap();
        assert_eq!(get(&mut transaction, T, &[1]), None);
        block_on(transaction.commit()).unwrap();
        // The next round creates it anew.
        let mut transaction = begin_rc(&manager);
        transaction.drop_table(T).unwrap();
        block_on(transaction.commit()).unwrap();
    }
}
