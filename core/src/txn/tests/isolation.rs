//! The classic anomalies at three isolation levels, with PostgreSQL's outcome.

use std::future::Future;
use std::ops::Bound;
use std::task::{Context, Waker};

use super::support::{FOREVER, T, begin, begin_rc, by_hand, get, inline, set};
use crate::error::SqlState;
use crate::storage::fault::block_on;
use crate::txn::{BeginOptions, Interrupt, Isolation, RowLock, RowMode, Transaction};

const RC: Isolation = Isolation::ReadCommitted;
const RR: Isolation = Isolation::RepeatableRead;
const SER: Isolation = Isolation::Serializable;

fn count(transaction: &mut Transaction, from: &[u8], to: &[u8]) -> usize {
    transaction.start_statement().unwrap();
    let view = transaction.view().unwrap();
    let range = view.range(T, Bound::Included(from), Bound::Excluded(to));
    range.unwrap().count()
}

fn update(transaction: &mut Transaction, key: &[u8], row: &[u8]) -> Result<RowLock, SqlState> {
    let locked = block_on(transaction.lock_row(T, key, RowMode::NoKeyUpdate, FOREVER));
    let locked = locked.map_err(|error| error.state())?;
    transaction.put(T, key.to_vec(), row.to_vec()).unwrap();
    Ok(locked)
}

fn commit(transaction: Transaction) -> Result<(), SqlState> {
    block_on(transaction.commit()).map_err(|error| error.state())
}

#[test]
fn a_snapshot_lasts_a_statement_or_a_transaction() {
    for (isolation, expected) in [(RC, b"2"), (RR, b"1"), (SER, b"1")] {
        let manager = inline();
        set(&manager, T, b"k", Some(b"1"));
        let mut reader = begin(&manager, isolation);
        assert!(!reader.has_snapshot());
        assert_eq!(get(&mut reader, T, b"k").unwrap(), b"1");
        assert!(reader.has_snapshot());
        let view = reader.view().unwrap();
        set(&manager, T, b"k", Some(b"2"));
        assert_eq!(view.get(T, b"k").unwrap().unwrap().as_ref(), b"1");
        assert_eq!(get(&mut reader, T, b"k").unwrap(), expected);
        let latest = reader.latest().unwrap();
        assert_eq!(latest.get(T, b"k").unwrap().unwrap().as_ref(), b"2");
        reader.end_statement();
        assert_eq!(commit(reader), Ok(()));
    }
}

#[test]
fn a_lost_update_is_seen_or_refused() {
    for isolation in [RC, RR, SER] {
        let manager = inline();
        set(&manager, T, b"k", Some(b"1"));
        let mut one = begin(&manager, isolation);
        assert_eq!(get(&mut one, T, b"k").unwrap(), b"1");
        set(&manager, T, b"k", Some(b"2"));
        let outcome = block_on(one.lock_row(T, b"k", RowMode::NoKeyUpdate, FOREVER));
        if isolation == RC {
            assert_eq!(outcome.unwrap(), RowLock::Changed(Some(b"2".to_vec())));
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE);
            assert_eq!(
                error.message(),
                "could not serialize access due to concurrent update"
            );
        }
    }
}

#[test]
fn a_deleted_row_is_seen_or_refused() {
    for isolation in [RC, RR, SER] {
        let manager = inline();
        set(&manager, T, b"k", Some(b"1"));
        let mut one = begin(&manager, isolation);
        assert!(get(&mut one, T, b"k").is_some());
        set(&manager, T, b"k", None);
        let outcome = block_on(one.lock_row(T, b"k", RowMode::Update, FOREVER));
        if isolation == RC {
            assert_eq!(outcome.unwrap(), RowLock::Changed(None));
        } else {
            assert_eq!(
                outcome.unwrap_err().message(),
                "could not serialize access due to concurrent delete"
            );
        }
    }
}

#[test]
fn other_rows_do_not_matter() {
    for isolation in [RC, RR, SER] {
        let manager = inline();
        set(&manager, T, b"k", Some(b"1"));
        let mut one = begin(&manager, isolation);
        assert!(get(&mut one, T, b"k").is_some());
        set(&manager, T, b"other", Some(b"2"));
        assert_eq!(update(&mut one, b"k", b"3"), Ok(RowLock::Unchanged));
        // Its own write is its own.
        one.start_statement().unwrap();
        assert_eq!(update(&mut one, b"k", b"4"), Ok(RowLock::Unchanged));
        assert_eq!(commit(one), Ok(()));
    }
}

/// Two doctors go off call, each seeing that the other is on.
#[test]
fn write_skew_is_refused_by_serializable_only() {
    for (isolation, refused) in [(RC, false), (RR, false), (SER, true)] {
        let manager = inline();
        set(&manager, T, b"a", Some(b"on"));
        set(&manager, T, b"b", Some(b"on"));
        let (mut one, mut two) = (begin(&manager, isolation), begin(&manager, isolation));
        for transaction in [&mut one, &mut two] {
            assert!(get(transaction, T, b"a").is_some());
            assert!(get(transaction, T, b"b").is_some());
        }
        update(&mut one, b"a", b"off").unwrap();
        update(&mut two, b"b", b"off").unwrap();
        assert_eq!(commit(one), Ok(()));
        let second = commit(two);
        assert_eq!(second.is_err(), refused, "{isolation:?}");
        if refused {
            assert_eq!(second, Err(SqlState::SERIALIZATION_FAILURE));
        }
    }
}

/// Both are in the queue before either is validated, so both are in one group.
#[test]
fn write_skew_within_one_group_is_refused() {
    let manager = by_hand();
    let mut setup = begin_rc(&manager);
    setup.put(T, b"a".to_vec(), b"on".to_vec()).unwrap();
    setup.put(T, b"b".to_vec(), b"on".to_vec()).unwrap();
    let (mut one, mut two) = (begin(&manager, SER), begin(&manager, SER));
    let mut commits = vec![Box::pin(setup.commit())];
    let mut context = Context::from_waker(Waker::noop());
    assert!(commits[0].as_mut().poll(&mut context).is_pending());
    assert!(manager.store().commit_step());
    commits.clear();
    for transaction in [&mut one, &mut two] {
        assert_eq!(count(transaction, b"a", b"c"), 2);
    }
    update(&mut one, b"a", b"off").unwrap();
    update(&mut two, b"b", b"off").unwrap();
    for transaction in [one, two] {
        let mut commit = Box::pin(transaction.commit());
        assert!(commit.as_mut().poll(&mut context).is_pending());
        commits.push(commit);
    }
    assert!(manager.store().commit_step());
    assert_eq!(manager.store().stats().groups, 2);
    let outcomes: Vec<_> = commits.into_iter().map(block_on).collect();
    assert!(outcomes[0].is_ok());
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE);
}

#[test]
fn phantoms_are_refused_by_serializable_only() {
    for (isolation, refused) in [(RC, false), (RR, false), (SER, true)] {
        let manager = inline();
        let (mut one, mut two) = (begin(&manager, isolation), begin(&manager, isolation));
        assert_eq!(count(&mut one, b"a", b"m"), 0);
        assert_eq!(count(&mut two, b"a", b"m"), 0);
        one.put(T, b"b".to_vec(), b"1".to_vec()).unwrap();
        two.put(T, b"c".to_vec(), b"1".to_vec()).unwrap();
        assert_eq!(commit(one), Ok(()));
        assert_eq!(commit(two).is_err(), refused, "{isolation:?}");
    }
}

#[test]
fn serializable_lets_independent_transactions_commit() {
    let manager = inline();
    set(&manager, T, b"a", Some(b"1"));
    set(&manager, T, b"n", Some(b"1"));
    let (mut one, mut two) = (begin(&manager, SER), begin(&manager, SER));
    assert_eq!(count(&mut one, b"a", b"m"), 1);
    assert_eq!(count(&mut two, b"m", b"z"), 1);
    one.put(T, b"b".to_vec(), b"1".to_vec()).unwrap();
    two.put(T, b"o".to_vec(), b"1".to_vec()).unwrap();
    assert_eq!(commit(one), Ok(()));
    assert_eq!(commit(two), Ok(()));
}

#[test]
fn a_key_that_was_not_there_counts_as_read() {
    let manager = inline();
    let mut one = begin(&manager, SER);
    assert!(get(&mut one, T, b"k").is_none());
    set(&manager, T, b"k", Some(b"1"));
    one.put(T, b"other".to_vec(), b"1".to_vec()).unwrap();
    let error = block_on(one.commit()).unwrap_err();
    assert_eq!(
        error.message(),
        "could not serialize access due to read/write dependencies among transactions"
    );
}

#[test]
fn a_read_only_serializable_transaction_never_fails() {
    let manager = inline();
    let options = BeginOptions {
        isolation: SER,
        read_only: true,
    };
    let mut one = manager.begin(options, Interrupt::default());
    assert_eq!(count(&mut one, b"a", b"z"), 0);
    set(&manager, T, b"k", Some(b"1"));
    assert_eq!(count(&mut one, b"a", b"z"), 0);
    let error = one.put(T, b"k".to_vec(), vec![]).unwrap_err();
    assert_eq!(error.state(), SqlState::READ_ONLY_SQL_TRANSACTION);
    assert_eq!(commit(one), Ok(()));
}

#[test]
fn many_reads_coarsen_to_the_whole_table() {
    let manager = inline();
    let mut one = begin(&manager, SER);
    for number in 0..10_000_u32 {
        assert!(get(&mut one, T, &number.to_be_bytes()).is_none());
    }
    set(&manager, T, b"never read", Some(b"1"));
    one.put(T + 1, b"k".to_vec(), b"1".to_vec()).unwrap();
    assert_eq!(commit(one), Err(SqlState::SERIALIZATION_FAILURE));
}

#[test]
fn commits_that_take_too_much_memory_are_forgotten() {
    // Less than what is remembered, and more.
    for (rows, refused) in [(5, false), (12, true)] {
        let manager = inline();
        let mut one = begin(&manager, SER);
        assert!(get(&mut one, T, b"k").is_none());
        for number in 0..rows {
            set(&manager, T + 1, &[number], Some(&[0; 100_000]));
        }
        one.put(T, b"k".to_vec(), b"1".to_vec()).unwrap();
        assert_eq!(commit(one).is_err(), refused, "{rows} rows");
    }
}

#[test]
fn own_reads_and_writes_do_not_conflict() {
    let manager = inline();
    let mut one = begin(&manager, SER);
    assert_eq!(count(&mut one, b"a", b"z"), 0);
    one.put(T, b"k".to_vec(), b"1".to_vec()).unwrap();
    assert_eq!(count(&mut one, b"a", b"z"), 1);
    assert_eq!(commit(one), Ok(()));
    // The log is empty again: nobody needs it.
    let mut two = begin_rc(&manager);
    assert_eq!(count(&mut two, b"a", b"z"), 1);
}
