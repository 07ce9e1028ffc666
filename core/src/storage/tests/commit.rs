//! The commit queue: groups, order, validation, hooks, and what readers see when.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::storage::fault::block_on;
use futures::FutureExt;
use parking_lot::Mutex;

use super::support::{Way, batch, env, open};
use crate::env::Committer;
use crate::error::{Error, SqlState};
use crate::storage::fault::Disk;
use crate::storage::{Options, Store, WriteBatch};

const T: u64 = 16384;

fn get(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    let found = store.snapshot().unwrap().get(T, key).unwrap();
    found.map(|row| row.as_ref().to_vec())
}

#[test]
fn a_group_becomes_visible_together_and_in_order() {
    let store = open(&Disk::default()).unwrap();
    let before = store.snapshot().unwrap();
    let one = store.submit(batch(&[(T, b"k", Some(b"1"))]), None).unwrap();
    let two = store.submit(batch(&[(T, b"k", Some(b"2"))]), None).unwrap();
    assert_eq!(get(&store, b"k"), None);
    let first = block_on(one.visible).unwrap();
    assert_eq!(block_on(two.visible).unwrap(), first + 1);
    assert_eq!(get(&store, b"k"), Some(b"2".to_vec()));
    assert!(before.get(T, b"k").unwrap().is_none());
    block_on(one.durable).unwrap();
    block_on(two.durable).unwrap();
    let stats = store.stats();
    assert_eq!((stats.commits, stats.groups, stats.syncs), (2, 1, 1));
}

#[test]
fn a_batch_that_fails_validation_fails_alone() {
    let store = open(&Disk::default()).unwrap();
    let hooks = Arc::new(AtomicUsize::new(0));
    let submit = |key: &[u8], fails: bool| {
        let hooks = hooks.clone();
        let validate = move |_| match fails {
            true => Err(Error::new(SqlState::SERIALIZATION_FAILURE, "no")),
            false => Ok(()),
        };
        let hook = move |_| {
            hooks.fetch_add(1, Ordering::Relaxed);
            false
        };
        let batch = batch(&[(T, key, Some(b"x"))]);
        store
            .submit_with(batch, Some(Box::new(validate)), Some(Box::new(hook)))
            .unwrap()
    };
    let (a, b, c) = (submit(b"a", false), submit(b"b", true), submit(b"c", false));
    block_on(a.durable).unwrap();
    let error = block_on(b.durable).unwrap_err();
    assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE);
    block_on(c.durable).unwrap();
    assert!(get(&store, b"a").is_some() && get(&store, b"c").is_some());
    assert_eq!(get(&store, b"b"), None);
    assert_eq!(hooks.load(Ordering::Relaxed), 2);
}

#[test]
fn rows_written_in_bulk_are_all_there() {
    let store = open(&Disk::default()).unwrap();
    let key = |n: u32| n.to_be_bytes().to_vec();
    let write = |numbers: &mut dyn Iterator<Item = u32>, row: Option<&[u8]>| {
        let rows = numbers.map(|n| (key(n), row.map(<[u8]>::to_vec))).collect();
        let batch = WriteBatch {
            writes: [(T, Arc::new(rows))].into(),
            ..WriteBatch::default()
        };
        block_on(store.submit(batch, None).unwrap().durable).unwrap();
    };
    // Into an empty table; then half between the old rows and half beyond them; then removals.
    write(&mut (0..5000).map(|n| n * 2), Some(b"even"));
    write(&mut (0..8000).map(|n| n * 2 + 1), Some(b"odd"));
    write(&mut (0..20_000).filter(|n| n % 3 == 0), None);
    let snapshot = store.snapshot().unwrap();
    let rows = snapshot.range(T, Bound::Unbounded, Bound::Unbounded);
    let found: Vec<Vec<u8>> = rows
        .unwrap()
        .map(|entry| entry.unwrap().0.as_ref().to_vec())
        .collect();
    let expected = (0..16_000).filter(|n| n % 3 != 0 && (n % 2 == 1 || *n < 10_000));
    assert_eq!(found, expected.map(key).collect::<Vec<_>>());
    assert_eq!(snapshot.len(T).unwrap(), found.len() as u64);
}

#[test]
fn a_dropped_table_is_empty() {
    let store = open(&Disk::default()).unwrap();
    block_on(
        store
            .submit(batch(&[(T, b"k", Some(b"1"))]), None)
            .unwrap()
            .durable,
    )
    .unwrap();
    let drop = WriteBatch {
        drop: vec![T],
        ..WriteBatch::default()
    };
    block_on(store.submit(drop, None).unwrap().durable).unwrap();
    assert_eq!(get(&store, b"k"), None);
    assert_eq!(store.snapshot().unwrap().len(T).unwrap(), 0);
}

#[test]
fn ranges_without_keys_are_empty() {
    let store = open(&Disk::default()).unwrap();
    block_on(
        store
            .submit(batch(&[(T, b"k", Some(b"1"))]), None)
            .unwrap()
            .durable,
    )
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    let count = |from: Bound<&[u8]>, to: Bound<&[u8]>| snapshot.range(T, from, to).unwrap().count();
    assert_eq!(count(Bound::Included(b"z"), Bound::Included(b"a")), 0);
    assert_eq!(count(Bound::Excluded(b"k"), Bound::Excluded(b"k")), 0);
    assert_eq!(count(Bound::Included(b"k"), Bound::Included(b"k")), 1);
    assert_eq!(count(Bound::Unbounded, Bound::Excluded(b"k")), 0);
}

#[test]
fn the_last_change_of_a_table_is_known() {
    let store = open(&Disk::default()).unwrap();
    let start = store.snapshot().unwrap();
    let one = store.submit(batch(&[(T, b"k", Some(b"1"))]), None).unwrap();
    let first = block_on(one.visible).unwrap();
    let two = store
        .submit(batch(&[(T + 1, b"k", Some(b"1"))]), None)
        .unwrap();
    block_on(two.visible).unwrap();
    let end = store.snapshot().unwrap();
    assert_eq!(end.last_modified(T), first);
    assert!(start.last_modified(T) < first);
    assert_eq!(end.last_modified(T + 2), start.sequence());
}

#[test]
fn an_empty_batch_needs_no_step() {
    let store = open(&Disk::default()).unwrap();
    let pending = store.submit(WriteBatch::default(), None).unwrap();
    assert!(pending.durable.now_or_never().unwrap().is_ok());
    assert!(!store.commit_step());
}

#[test]
fn the_host_is_woken_once_for_a_group() {
    let woken = Arc::new(AtomicUsize::new(0));
    let wake = woken.clone();
    let committer = Committer::Wake(Arc::new(move || {
        wake.fetch_add(1, Ordering::Relaxed);
    }));
    let options = Options {
        cache_bytes: 1 << 20,
    };
    let store = Store::open(Disk::default().backend(), &options, env(committer)).unwrap();
    let one = store.submit(batch(&[(T, b"a", Some(b"1"))]), None).unwrap();
    let two = store.submit(batch(&[(T, b"b", Some(b"1"))]), None).unwrap();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(store.commit_step());
    assert!(!store.commit_step());
    assert!(one.durable.now_or_never().unwrap().is_ok());
    assert!(two.durable.now_or_never().unwrap().is_ok());
}

#[test]
fn commits_go_on_during_a_sync_where_others_wait_for_them() {
    for way in Way::BOTH {
        let disk = Disk::default();
        let store = way.open(&disk).unwrap();
        // Nobody waits: what comes during the sync is committed after it, at once durably.
        let second = Arc::new(Mutex::new(None));
        let (stepper, late) = (store.clone(), second.clone());
        disk.during_sync(move || {
            let row = batch(&[(T, b"k", Some(b"2"))]);
            *late.lock() = Some(stepper.submit(row, None).unwrap());
            assert!(!stepper.commit_step());
            Ok(())
        });
        let first = store.submit(batch(&[(T, b"k", Some(b"1"))]), None).unwrap();
        assert!(store.commit_step());
        assert!(first.durable.now_or_never().unwrap().is_ok());
        assert_eq!(get(&store, b"k"), Some(b"1".to_vec()));
        assert!(store.commit_step());
        assert!(!store.commit_step());
        let second = second.lock().take().unwrap();
        assert!(second.durable.now_or_never().unwrap().is_ok());
        assert_eq!(store.stats().syncs, 2);
    }
}

#[test]
fn a_commit_during_a_sync_is_visible_but_not_acknowledged() {
    for way in Way::BOTH {
        let disk = Disk::default();
        let store = way.open(&disk).unwrap();
        let hooked = |value: &'static [u8]| {
            let row = batch(&[(T, b"k", Some(value))]);
            store
                .submit_with(row, None, Some(Box::new(|_| true)))
                .unwrap()
        };
        // From here on, others are expected to wait for locks.
        let before = hooked(b"0");
        while store.commit_step() {}
        assert!(before.durable.now_or_never().unwrap().is_ok());
        let stepper = store.clone();
        let second = Arc::new(Mutex::new(None));
        let late = second.clone();
        disk.during_sync(move || {
            let row = batch(&[(T, b"k", Some(b"2"))]);
            let mut pending = stepper.submit(row, None).unwrap();
            assert!(stepper.commit_step());
            assert!(!stepper.commit_step());
            assert_eq!(get(&stepper, b"k"), Some(b"2".to_vec()));
            assert!((&mut pending.durable).now_or_never().is_none());
            *late.lock() = Some(pending);
            Ok(())
        });
        let first = hooked(b"1");
        assert!(store.commit_step());
        assert!(first.durable.now_or_never().unwrap().is_ok());
        assert!(store.commit_step());
        assert!(!store.commit_step());
        let second = second.lock().take().unwrap();
        assert!(second.durable.now_or_never().unwrap().is_ok());
    }
}

#[test]
fn closing_finishes_what_is_queued() {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let one = store.submit(batch(&[(T, b"k", Some(b"1"))]), None).unwrap();
    store.close().unwrap();
    block_on(one.durable).unwrap();
    let error = store
        .submit(batch(&[(T, b"k", Some(b"2"))]), None)
        .map(drop);
    assert_eq!(error.unwrap_err().state(), SqlState::CANNOT_CONNECT_NOW);
    assert_eq!(get(&open(&disk).unwrap(), b"k"), Some(b"1".to_vec()));
}

#[test]
fn readers_never_see_half_a_group() {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let committer = Committer::Wake(Arc::new(move || {
        let _ = sender.try_send(());
    }));
    let options = Options {
        cache_bytes: 1 << 20,
    };
    let store = Store::open(Disk::default().backend(), &options, env(committer)).unwrap();
    let stepper = store.clone();
    std::thread::spawn(move || {
        while receiver.recv().is_ok() {
            while stepper.commit_step() {}
        }
    });
    let last = Arc::new(Mutex::new(0_u64));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (store, last) = (store.clone(), last.clone());
            scope.spawn(move || {
                for _ in 0..200 {
                    let pending = {
                        let mut last = last.lock();
                        *last += 1;
                        let row = last.to_be_bytes();
                        let both = batch(&[(T, b"k", Some(&row)), (T + 1, b"k", Some(&row))]);
                        store.submit(both, None).unwrap()
                    };
                    let sequence = block_on(pending.visible).unwrap();
                    assert!(store.snapshot().unwrap().sequence() >= sequence);
                }
            });
        }
        let mut sequence = 0;
        while sequence < 400 {
            let snapshot = store.snapshot().unwrap();
            assert!(snapshot.sequence() >= sequence);
            sequence = snapshot.sequence();
            let one = snapshot.get(T, b"k").unwrap();
            let two = snapshot.get(T + 1, b"k").unwrap();
            assert_eq!(
                one.as_ref().map(AsRef::as_ref),
                two.as_ref().map(AsRef::as_ref)
            );
        }
    });
}

#[test]
fn a_busy_row_does_not_grow_the_file() {
    for way in Way::BOTH {
        let disk = Disk::default();
        let store = way.open(&disk).unwrap();
        let mut sizes = Vec::new();
        for round in 0..600_u32 {
            let row = round.to_be_bytes().repeat(100);
            let one = store.submit(batch(&[(T, b"k", Some(&row))]), None);
            let two = store.submit(batch(&[(T + 1, b"k", Some(&row))]), None);
            while store.commit_step() {}
            block_on(one.unwrap().durable).unwrap();
            block_on(two.unwrap().durable).unwrap();
            sizes.push(disk.size());
        }
        assert_eq!(sizes[100], sizes[599], "freed pages are used again");
    }
}
