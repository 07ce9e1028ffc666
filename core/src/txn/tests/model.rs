//! Random operations on a transaction, against a model made of ordered maps.
//!
//! `OMENDB_MODEL_SEED=s` starts at seed s; `OMENDB_MODEL_SEEDS=n` runs n of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::support::{T, begin_rc, inline};
use crate::storage::fault::{Random, block_on};
use crate::storage::tests::seeds;
use crate::txn::{Savepoint, View};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[test]
fn transactions_behave_like_ordered_maps() {
    seeds::run("MODEL", 60, run);
}

fn key(random: &mut Random) -> Vec<u8> {
    let length = random.within(1..3);
    (0..length).map(|_| random.within(0..12) as u8).collect()
}

fn bound(random: &mut Random) -> Bound<Vec<u8>> {
    match random.within(0..3) {
        0 => Bound::Unbounded,
        1 => Bound::Included(key(random)),
        _ => Bound::Excluded(key(random)),
    }
}

/// Reads random things in the view and in the model.
fn compare(view: &View, model: &Rows, random: &mut Random) {
    let probe = key(random);
    let found = view.get(T, &probe).unwrap();
    assert_eq!(
        found.as_ref().map(AsRef::as_ref),
        model.get(&probe).map(Vec::as_slice)
    );
    assert_eq!(view.len(T).unwrap(), model.len() as u64);
    let (from, to) = (bound(random), bound(random));
    let inside = |key: &Vec<u8>| {
        let after = match &from {
            Bound::Unbounded => true,
            Bound::Included(from) => key >= from,
            Bound::Excluded(from) => key > from,
        };
        after
            && match &to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            }
    };
    let mut expected: std::collections::VecDeque<_> =
        model.iter().filter(|(key, _)| inside(key)).collect();
    let (from, to) = (
        from.as_ref().map(Vec::as_slice),
        to.as_ref().map(Vec::as_slice),
    );
    let mut range = view.range(T, from, to).unwrap();
    // From both ends, in a random mixture.
    loop {
        let (found, expected) = match random.coin() {
            true => (range.next(), expected.pop_front()),
            false => (range.next_back(), expected.pop_back()),
        };
        let found = found.map(Result::unwrap);
        let found = found
            .as_ref()
            .map(|(key, row)| (key.as_ref(), row.as_ref()));
        let expected = expected.map(|(key, row)| (key.as_slice(), row.as_slice()));
        assert_eq!(found, expected);
        if found.is_none() {
            break;
        }
    }
    assert!(range.next().is_none() && range.next_back().is_none());
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let manager = inline();
    let mut committed = Rows::new();
    for _ in 0..6 {
        let mut transaction = begin_rc(&manager);
        let mut rows = committed.clone();
        let mut savepoints: Vec<(Savepoint, Rows)> = Vec::new();
        // Old views must stay as they were, except across a rollback of what they saw.
        let mut views: Vec<(View, Rows)> = Vec::new();
        for _ in 0..random.within(1..120) {
            match random.within(0..14) {
                0..5 => {
                    let (key, row) = (key(&mut random), vec![random.number() as u8; 3]);
                    transaction.put(T, key.clone(), row.clone()).unwrap();
                    rows.insert(key, row);
                }
                5..8 => {
                    let key = key(&mut random);
                    transaction.delete(T, key.clone()).unwrap();
                    rows.remove(&key);
                }
                8 => savepoints.push((transaction.savepoint(), rows.clone())),
                9 if !savepoints.is_empty() => {
                    let at = random.within(0..savepoints.len() as u64) as usize;
                    transaction.rollback_to(savepoints[at].0);
                    savepoints.truncate(at + 1);
                    rows = savepoints[at].1.clone();
                    views.clear();
                }
                10 if !savepoints.is_empty() => {
                    let at = random.within(0..savepoints.len() as u64) as usize;
                    transaction.release(savepoints[at].0);
                    savepoints.truncate(at);
                }
                11 => {
                    transaction.start_statement().unwrap();
                    views.push((transaction.view().unwrap(), rows.clone()));
                }
                12 if !views.is_empty() => {
                    let at = random.within(0..views.len() as u64) as usize;
                    drop(views.swap_remove(at));
                }
                _ => compare(&transaction.view().unwrap(), &rows, &mut random),
            }
            for (view, rows) in &views {
                compare(view, rows, &mut random);
            }
        }
        if random.within(0..4) == 0 {
            transaction.rollback();
        } else {
            block_on(transaction.commit()).unwrap();
            committed = rows;
        }
        for (view, rows) in &views {
            compare(view, rows, &mut random);
        }
        let mut reader = begin_rc(&manager);
        compare(&reader.view().unwrap(), &committed, &mut random);
    }
}
