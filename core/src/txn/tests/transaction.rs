//! Write sets, views, savepoints, tables that come and go.

use std::ops::Bound;

use super::support::{T, begin_rc, get, inline, set};
use crate::storage::fault::block_on;
use crate::txn::{Transaction, View};

fn all(view: &View) -> Vec<(Vec<u8>, Vec<u8>)> {
    let range = view.range(T, Bound::Unbounded, Bound::Unbounded).unwrap();
    range
        .map(|entry| {
            let (key, row) = entry.unwrap();
            (key.as_ref().to_vec(), row.as_ref().to_vec())
        })
        .collect()
}

fn put(transaction: &mut Transaction, key: &[u8], row: &[u8]) {
    transaction.put(T, key.to_vec(), row.to_vec()).unwrap();
}

#[test]
fn own_writes_show_in_later_views_only() {
    let manager = inline();
    set(&manager, T, b"b", Some(b"stored"));
    let mut one = begin_rc(&manager);
    let empty = one.view().unwrap();
    put(&mut one, b"a", b"1");
    put(&mut one, b"b", b"2");
    let first = one.view().unwrap();
    put(&mut one, b"a", b"3");
    one.delete(T, b"b".to_vec()).unwrap();
    put(&mut one, b"c", b"4");
    let last = one.view().unwrap();
    let pair = |key: &[u8], row: &[u8]| (key.to_vec(), row.to_vec());
    assert_eq!(all(&empty), [pair(b"b", b"stored")]);
    assert_eq!(all(&first), [pair(b"a", b"1"), pair(b"b", b"2")]);
    assert_eq!(all(&last), [pair(b"a", b"3"), pair(b"c", b"4")]);
    assert_eq!(
        (
            empty.len(T).unwrap(),
            first.len(T).unwrap(),
            last.len(T).unwrap()
        ),
        (1, 2, 2)
    );
    assert_eq!(last.version(T), None);
    assert_eq!(last.version(T + 1), empty.version(T + 1));
    // Nobody else sees any of it.
    assert_eq!(get(&mut begin_rc(&manager), T, b"a"), None);
    block_on(one.commit()).unwrap();
    assert_eq!(get(&mut begin_rc(&manager), T, b"a").unwrap(), b"3");
    assert_eq!(get(&mut begin_rc(&manager), T, b"b"), None);
}

#[test]
fn an_iterator_does_not_see_what_is_written_while_it_runs() {
    let manager = inline();
    let mut one = begin_rc(&manager);
    for number in 0..1000_u32 {
        put(&mut one, &(number * 2).to_be_bytes(), b"x");
    }
    let view = one.view().unwrap();
    let range = view.range(T, Bound::Unbounded, Bound::Unbounded).unwrap();
    let mut seen = 0;
    for entry in range {
        let (key, _) = entry.unwrap();
        let number = u32::from_be_bytes(key.as_ref().try_into().unwrap());
        assert_eq!(number, seen * 2);
        put(&mut one, &(number + 1).to_be_bytes(), b"y");
        seen += 1;
    }
    assert_eq!(seen, 1000);
    assert_eq!(one.view().unwrap().len(T).unwrap(), 2000);
}

#[test]
fn savepoints_nest() {
    let manager = inline();
    let mut one = begin_rc(&manager);
    put(&mut one, b"a", b"1");
    let outer = one.savepoint();
    put(&mut one, b"a", b"2");
    let inner = one.savepoint();
    put(&mut one, b"a", b"3");
    put(&mut one, b"b", b"3");
    one.rollback_to(inner);
    assert_eq!(get(&mut one, T, b"a").unwrap(), b"2");
    assert_eq!(get(&mut one, T, b"b"), None);
    put(&mut one, b"b", b"4");
    one.release(inner);
    assert_eq!(get(&mut one, T, b"b").unwrap(), b"4");
    one.rollback_to(outer);
    assert_eq!(get(&mut one, T, b"a").unwrap(), b"1");
    put(&mut one, b"a", b"5");
    one.rollback_to(outer);
    one.release(outer);
    assert_eq!(get(&mut one, T, b"a").unwrap(), b"1");
    assert!(one.has_writes());
    let again = one.savepoint();
    one.delete(T, b"a".to_vec()).unwrap();
    one.rollback_to(again);
    block_on(one.commit()).unwrap();
    assert_eq!(get(&mut begin_rc(&manager), T, b"a").unwrap(), b"1");
}

#[test]
fn tables_come_and_go_with_the_transaction() {
    let manager = inline();
    set(&manager, T, b"k", Some(b"1"));
    let mut one = begin_rc(&manager);
    let before = one.view().unwrap();
    let savepoint = one.savepoint();
    one.drop_table(T).unwrap();
    assert_eq!(get(&mut one, T, b"k"), None);
    assert_eq!(all(&one.view().unwrap()).len(), 0);
    assert_eq!(one.view().unwrap().len(T).unwrap(), 0);
    assert!(before.get(T, b"k").unwrap().is_some());
    one.rollback_to(savepoint);
    assert!(get(&mut one, T, b"k").is_some());
    one.drop_table(T).unwrap();
    one.create_table(T + 1).unwrap();
    one.put(T + 1, b"k".to_vec(), b"2".to_vec()).unwrap();
    one.create_table(T + 2).unwrap();
    one.drop_table(T + 2).unwrap();
    block_on(one.commit()).unwrap();
    let mut two = begin_rc(&manager);
    assert_eq!(get(&mut two, T, b"k"), None);
    assert_eq!(get(&mut two, T + 1, b"k").unwrap(), b"2");
}

#[test]
fn a_dropped_transaction_leaves_nothing() {
    let manager = inline();
    let mut one = begin_rc(&manager);
    put(&mut one, b"k", b"1");
    one.rollback();
    let stats = manager.store().stats();
    assert_eq!(stats.commits, 0);
    assert_eq!(get(&mut begin_rc(&manager), T, b"k"), None);
}

#[test]
fn nothing_written_commits_nothing() {
    let manager = inline();
    let mut one = begin_rc(&manager);
    let savepoint = one.savepoint();
    put(&mut one, b"k", b"1");
    one.rollback_to(savepoint);
    assert!(!one.has_writes());
    block_on(one.commit()).unwrap();
    assert_eq!(manager.store().stats().commits, 0);
}
