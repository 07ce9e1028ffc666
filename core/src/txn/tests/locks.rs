//! Locks: who excludes whom, who comes first, and how a wait ends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::support::{FOREVER, T, begin_rc, get, inline, set, threaded};
use crate::error::{Error, SqlState};
use crate::storage::fault::block_on;
use crate::txn::{
    BeginOptions, Interrupt, Isolation, LockScope, LockTarget, LockedObject, RelationMode, RowLock,
    RowMode, SessionLocks, Transaction, Wait,
};

const ROW_MODES: [RowMode; 4] = [
    RowMode::KeyShare,
    RowMode::Share,
    RowMode::NoKeyUpdate,
    RowMode::Update,
];

const RELATION_MODES: [RelationMode; 8] = [
    RelationMode::AccessShare,
    RelationMode::RowShare,
    RelationMode::RowExclusive,
    RelationMode::ShareUpdateExclusive,
    RelationMode::Share,
    RelationMode::ShareRowExclusive,
    RelationMode::Exclusive,
    RelationMode::AccessExclusive,
];

fn row(key: &[u8]) -> LockTarget {
    LockTarget::Row(T, key.to_vec())
}

fn lock(transaction: &mut Transaction, key: &[u8], mode: RowMode) -> Result<(), Error> {
    block_on(transaction.lock_key(row(key), mode, Wait::Fail))
}

fn poll<T>(future: &mut Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn row_modes_exclude_each_other_as_documented() {
    // PostgreSQL documentation, table 13.3: X where they conflict.
    let expected = ["...X", "..XX", ".XXX", "XXXX"];
    let manager = inline();
    for (held, line) in ROW_MODES.into_iter().zip(expected) {
        for (wanted, cell) in ROW_MODES.into_iter().zip(line.chars()) {
            let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
            lock(&mut one, b"k", held).unwrap();
            let busy = lock(&mut two, b"k", wanted).is_err();
            assert_eq!(busy, cell == 'X', "{held:?} {wanted:?}");
        }
    }
}

#[test]
fn relation_modes_exclude_each_other_as_documented() {
    // PostgreSQL documentation, table 13.2.
    let expected = [
        ".......X", "......XX", "....XXXX", "...XXXXX", "..XX.XXX", "..XXXXXX", ".XXXXXXX",
        "XXXXXXXX",
    ];
    let manager = inline();
    for (held, line) in RELATION_MODES.into_iter().zip(expected) {
        for (wanted, cell) in RELATION_MODES.into_iter().zip(line.chars()) {
            let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
            block_on(one.lock_relation(9, held, Wait::Fail)).unwrap();
            let busy = block_on(two.lock_relation(9, wanted, Wait::Fail)).is_err();
            assert_eq!(busy, cell == 'X', "{held:?} {wanted:?}");
        }
    }
}

/// Locks of neighbouring rows share their place in the table; they must not share anything else.
#[test]
fn neighbouring_rows_exclude_each_other_one_by_one() {
    let conflicts: [u8; 4] = [0b1000, 0b1100, 0b1110, 0b1111];
    let seed = 0x0BAD_5EED_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let manager = inline();
    let mut transactions: Vec<Transaction> = (0..3).map(|_| begin_rc(&manager)).collect();
    // The modes that each holds, a bit each.
    let mut held = vec![[0_u8; 256]; transactions.len()];
    for step in 0..30_000 {
        let who = random() % transactions.len();
        if random() % 200 == 0 {
            transactions[who] = begin_rc(&manager);
            held[who] = [0; 256];
            continue;
        }
        let (at, mode) = (random() % 256, random() % 4);
        let free = held
            .iter()
            .enumerate()
            .all(|(other, held)| other == who || held[at] & conflicts[mode] == 0);
        let taken = lock(&mut transactions[who], &[7, at as u8], ROW_MODES[mode]).is_ok();
        assert_eq!(taken, free, "step {step}: row {at}, {:?}", ROW_MODES[mode]);
        if taken {
            held[who][at] |= 1 << mode;
        }
    }
    drop(transactions);
    let mut last = begin_rc(&manager);
    for at in 0..=255 {
        lock(&mut last, &[7, at], RowMode::Update).unwrap();
    }
}

#[test]
fn a_line_is_served_in_order() {
    let manager = inline();
    let mut holder = begin_rc(&manager);
    lock(&mut holder, b"k", RowMode::Share).unwrap();
    let (mut one, mut two, mut three) =
        (begin_rc(&manager), begin_rc(&manager), begin_rc(&manager));
    {
        let mut exclusive = pin!(one.lock_key(row(b"k"), RowMode::Update, FOREVER));
        assert!(poll(&mut exclusive).is_pending());
        // Compatible with the holder, but someone who is not is in line before.
        let mut shared = pin!(two.lock_key(row(b"k"), RowMode::Share, FOREVER));
        assert!(poll(&mut shared).is_pending());
        let mut also_shared = pin!(three.lock_key(row(b"k"), RowMode::Share, FOREVER));
        assert!(poll(&mut also_shared).is_pending());
        drop(holder);
        assert!(poll(&mut shared).is_pending());
        assert!(poll(&mut exclusive).is_ready());
        assert!(poll(&mut also_shared).is_pending());
    }
    drop(one);
    // Both shared ones at once.
    lock(&mut two, b"other", RowMode::Update).unwrap();
    let mut four = begin_rc(&manager);
    assert!(lock(&mut four, b"k", RowMode::Share).is_ok());
}

#[test]
fn a_wait_that_is_given_up_lets_others_pass() {
    let manager = inline();
    let mut holder = begin_rc(&manager);
    lock(&mut holder, b"k", RowMode::Share).unwrap();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    let mut shared = pin!(two.lock_key(row(b"k"), RowMode::Share, FOREVER));
    {
        let mut exclusive = pin!(one.lock_key(row(b"k"), RowMode::Update, FOREVER));
        assert!(poll(&mut exclusive).is_pending());
        assert!(poll(&mut shared).is_pending());
    }
    assert!(poll(&mut shared).is_ready());
}

#[test]
fn a_grant_that_nobody_collects_is_handed_on() {
    let manager = inline();
    let mut holder = begin_rc(&manager);
    lock(&mut holder, b"k", RowMode::Update).unwrap();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    let mut second = pin!(two.lock_key(row(b"k"), RowMode::Update, FOREVER));
    {
        let mut first = pin!(one.lock_key(row(b"k"), RowMode::Update, FOREVER));
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        drop(holder);
        assert!(poll(&mut second).is_pending());
    }
    assert!(poll(&mut second).is_ready());
}

#[test]
fn an_upgrade_goes_before_those_in_line() {
    let manager = inline();
    let (mut one, mut two, mut three) =
        (begin_rc(&manager), begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"k", RowMode::KeyShare).unwrap();
    lock(&mut three, b"k", RowMode::KeyShare).unwrap();
    let mut waiting = pin!(two.lock_key(row(b"k"), RowMode::Update, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    // Needs no wait: nobody who holds the lock minds.
    lock(&mut one, b"k", RowMode::NoKeyUpdate).unwrap();
    {
        let mut upgrade = pin!(one.lock_key(row(b"k"), RowMode::Update, FOREVER));
        assert!(poll(&mut upgrade).is_pending());
        drop(three);
        assert!(poll(&mut waiting).is_pending());
        assert!(poll(&mut upgrade).is_ready());
    }
    drop(one);
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn rolling_back_to_a_savepoint_releases_later_locks() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"before", RowMode::Update).unwrap();
    lock(&mut one, b"stronger", RowMode::KeyShare).unwrap();
    let savepoint = one.savepoint();
    lock(&mut one, b"before", RowMode::Update).unwrap();
    lock(&mut one, b"stronger", RowMode::Update).unwrap();
    lock(&mut one, b"after", RowMode::Update).unwrap();
    one.rollback_to(savepoint);
    assert!(lock(&mut two, b"before", RowMode::KeyShare).is_err());
    assert!(lock(&mut two, b"after", RowMode::Update).is_ok());
    assert!(lock(&mut two, b"stronger", RowMode::NoKeyUpdate).is_ok());
    assert!(lock(&mut two, b"stronger", RowMode::Update).is_err());
    drop(one);
    assert!(lock(&mut two, b"stronger", RowMode::Update).is_ok());
}

#[test]
fn two_that_wait_for_each_other_are_a_deadlock() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"a", RowMode::Update).unwrap();
    lock(&mut two, b"b", RowMode::Update).unwrap();
    let (first, second) = (one.id(), two.id());
    let mut waiting = pin!(one.lock_key(row(b"b"), RowMode::Update, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    let error = block_on(two.lock_key(row(b"a"), RowMode::Update, FOREVER)).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    assert_eq!(error.message(), "deadlock detected");
    let expected = format!(
        "Process {second} waits for ShareLock on transaction {first}; blocked by process {first}.\n\
         Process {first} waits for ShareLock on transaction {second}; blocked by process {second}."
    );
    assert_eq!(error.fields().detail.as_deref(), Some(expected.as_str()));
    assert!(poll(&mut waiting).is_pending());
    drop(two);
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn three_in_a_ring_over_rows_and_relations_are_a_deadlock() {
    let manager = inline();
    let (mut one, mut two, mut three) =
        (begin_rc(&manager), begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"a", RowMode::Update).unwrap();
    block_on(two.lock_relation(9, RelationMode::RowExclusive, FOREVER)).unwrap();
    block_on(three.lock_key(LockTarget::Advisory(5), RowMode::Update, FOREVER)).unwrap();
    let mut first = pin!(one.lock_relation(9, RelationMode::AccessExclusive, FOREVER));
    assert!(poll(&mut first).is_pending());
    let mut second = pin!(two.lock_key(LockTarget::Advisory(5), RowMode::Share, FOREVER));
    assert!(poll(&mut second).is_pending());
    let error = block_on(three.lock_key(row(b"a"), RowMode::KeyShare, FOREVER)).unwrap_err();
    let detail = error.fields().detail.clone().unwrap();
    assert!(
        detail.contains("waits for AccessExclusiveLock on relation 9;"),
        "{detail}"
    );
    assert!(
        detail.contains("waits for ShareLock on advisory lock [0,5,1];"),
        "{detail}"
    );
}

#[test]
fn a_deadlock_over_a_session_lock_is_found() {
    let manager = inline();
    let options = BeginOptions {
        isolation: Isolation::ReadCommitted,
        read_only: false,
    };
    let interrupt = Interrupt::default();
    let (here, there) = (manager.session(1), manager.session(2));
    let advisory = LockTarget::Advisory(7);
    block_on(here.lock(
        LockScope::Session,
        &advisory,
        RowMode::Update,
        FOREVER,
        &interrupt,
    ))
    .unwrap();
    let mut one = manager.begin_in(&here, options, interrupt.clone());
    let mut two = manager.begin_in(&there, options, interrupt.clone());
    lock(&mut two, b"k", RowMode::Update).unwrap();
    let mut waiting = pin!(two.lock_key(advisory, RowMode::Update, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    let error = block_on(one.lock_key(row(b"k"), RowMode::Update, FOREVER)).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    let detail = error.fields().detail.clone().unwrap();
    assert!(
        detail.contains("Process 1 waits for ShareLock on transaction"),
        "{detail}"
    );
    assert!(detail.contains("blocked by process 2."), "{detail}");
}

#[test]
fn two_upgrades_of_one_lock_are_a_deadlock() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"k", RowMode::Share).unwrap();
    lock(&mut two, b"k", RowMode::Share).unwrap();
    let mut waiting = pin!(one.lock_key(row(b"k"), RowMode::Update, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    let error = block_on(two.lock_key(row(b"k"), RowMode::Update, FOREVER)).unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
}

#[test]
fn waiting_in_one_line_is_no_deadlock() {
    let manager = inline();
    let mut holder = begin_rc(&manager);
    lock(&mut holder, b"k", RowMode::Update).unwrap();
    let mut waiters: Vec<Transaction> = (0..20).map(|_| begin_rc(&manager)).collect();
    for (number, waiter) in waiters.iter_mut().enumerate() {
        lock(waiter, &[number as u8], RowMode::Update).unwrap();
    }
    let mut waits: Vec<_> = waiters
        .iter_mut()
        .map(|waiter| Box::pin(waiter.lock_key(row(b"k"), RowMode::Update, FOREVER)))
        .collect();
    for wait in &mut waits {
        assert!(poll(&mut wait.as_mut()).is_pending());
    }
}

#[test]
fn locks_can_be_listed() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    block_on(one.lock_relation(9, RelationMode::RowExclusive, FOREVER)).unwrap();
    lock(&mut one, b"k", RowMode::Update).unwrap();
    let mut waiting = pin!(two.lock_relation(9, RelationMode::AccessExclusive, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    let listed = manager.locks();
    let mut found: Vec<_> = listed
        .iter()
        .map(|lock| (lock.mode, lock.granted))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [("AccessExclusiveLock", false), ("RowExclusiveLock", true)]
    );
    assert!(
        listed
            .iter()
            .all(|lock| lock.object == LockedObject::Relation(9))
    );
}

#[tokio::test]
async fn a_wait_ends_at_its_time_limit() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"k", RowMode::Update).unwrap();
    let limited = two.lock_row(T, b"k", RowMode::Update, Wait::Queue(Some(5_000)));
    let error = limited.await.unwrap_err();
    assert_eq!(error.state(), SqlState::LOCK_NOT_AVAILABLE);
    assert_eq!(error.message(), "canceling statement due to lock timeout");
    drop(one);
    let limited = two.lock_row(T, b"k", RowMode::Update, Wait::Queue(Some(5_000)));
    assert_eq!(limited.await.unwrap(), RowLock::Unchanged);
}

#[test]
fn a_wait_ends_when_interrupted() {
    let manager = inline();
    let mut one = begin_rc(&manager);
    lock(&mut one, b"k", RowMode::Update).unwrap();
    let interrupt = Interrupt::default();
    let options = BeginOptions {
        isolation: Isolation::ReadCommitted,
        read_only: false,
    };
    let mut two = manager.begin(options, interrupt.clone());
    let mut waiting = pin!(two.lock_key(row(b"k"), RowMode::Update, FOREVER));
    assert!(poll(&mut waiting).is_pending());
    interrupt.raise(Error::new(SqlState::QUERY_CANCELED, "cancel"));
    let Poll::Ready(Err(error)) = poll(&mut waiting) else {
        panic!("still waits");
    };
    assert_eq!(error.state(), SqlState::QUERY_CANCELED);
}

#[test]
fn nowait_fails_and_skip_locked_skips() {
    let manager = inline();
    let (mut one, mut two) = (begin_rc(&manager), begin_rc(&manager));
    lock(&mut one, b"k", RowMode::Update).unwrap();
    let error = block_on(two.lock_row(T, b"k", RowMode::Update, Wait::Fail)).unwrap_err();
    assert_eq!(error.state(), SqlState::LOCK_NOT_AVAILABLE);
    let skipped = block_on(two.lock_row(T, b"k", RowMode::Update, Wait::Skip)).unwrap();
    assert_eq!(skipped, RowLock::Skipped);
}

#[test]
fn session_locks_outlive_transactions_and_are_counted() {
    let manager = inline();
    let options = BeginOptions {
        isolation: Isolation::ReadCommitted,
        read_only: false,
    };
    let interrupt = Interrupt::default();
    let (here, there) = (manager.session(1), manager.session(2));
    let target = LockTarget::Advisory(7);
    let exclusive = RowMode::Update;
    for _ in 0..2 {
        assert!(
            block_on(here.lock(LockScope::Session, &target, exclusive, FOREVER, &interrupt))
                .unwrap()
        );
    }
    // The session's own transaction is not kept out; another session is.
    let mut own = manager.begin_in(&here, options, interrupt.clone());
    assert!(block_on(own.try_lock_key(&target, exclusive)).unwrap());
    let mut other = manager.begin_in(&there, options, interrupt.clone());
    assert!(!block_on(other.try_lock_key(&target, exclusive)).unwrap());
    own.rollback();
    assert!(here.unlock(&target, exclusive));
    assert!(
        !block_on(there.lock(
            LockScope::Session,
            &target,
            exclusive,
            Wait::Skip,
            &interrupt
        ))
        .unwrap()
    );
    assert!(here.unlock(&target, exclusive));
    assert!(!here.unlock(&target, exclusive));
    assert!(
        block_on(there.lock(
            LockScope::Session,
            &target,
            exclusive,
            Wait::Skip,
            &interrupt
        ))
        .unwrap()
    );
    there.unlock_all();
    assert!(
        block_on(here.lock(
            LockScope::Session,
            &target,
            RowMode::Share,
            Wait::Skip,
            &interrupt
        ))
        .unwrap()
    );
    drop(here);
    assert!(block_on(other.try_lock_key(&target, exclusive)).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_sees_what_the_committer_wrote() {
    let manager = threaded();
    set(&manager, T, b"k", Some(b"0"));
    for round in 1..50_u8 {
        let mut one = begin_rc(&manager);
        one.lock_row(T, b"k", RowMode::Update, FOREVER)
            .await
            .unwrap();
        one.put(T, b"k".to_vec(), vec![round]).unwrap();
        let mut two = begin_rc(&manager);
        two.start_statement().unwrap();
        let waiter = tokio::spawn(async move {
            let found = two
                .lock_row(T, b"k", RowMode::Update, FOREVER)
                .await
                .unwrap();
            let latest = two.latest().unwrap().get(T, b"k").unwrap().unwrap();
            (found, latest.as_ref().to_vec(), get(&mut two, T, b"k"))
        });
        tokio::task::yield_now().await;
        one.commit().await.unwrap();
        let (found, latest, read) = waiter.await.unwrap();
        assert_eq!(found, RowLock::Changed(Some(vec![round])));
        assert_eq!(latest, [round]);
        assert_eq!(read, Some(vec![round]));
    }
}

#[test]
fn transaction_locks_of_a_session_end_with_their_mark() {
    let manager = inline();
    let interrupt = Interrupt::default();
    let (here, there) = (manager.session(1), manager.session(2));
    let (first, second) = (LockTarget::Advisory(1), LockTarget::AdvisoryPair(0, 1));
    let take = |target: &LockTarget| {
        let locked = here.lock(
            LockScope::Transaction,
            target,
            RowMode::Update,
            FOREVER,
            &interrupt,
        );
        assert!(block_on(locked).unwrap());
    };
    let is_free = |target: &LockTarget| {
        let free = there.try_lock(LockScope::Session, target, RowMode::Share);
        there.unlock_all();
        free.unwrap()
    };
    take(&first);
    let mark = here.mark();
    take(&second);
    // One's own level does not keep the other out, and session locks stay.
    assert!(
        here.try_lock(LockScope::Session, &first, RowMode::Update)
            .unwrap()
    );
    here.release_since(mark);
    assert!(is_free(&second));
    here.release_since(0);
    assert!(!is_free(&first));
    here.unlock_all();
    assert!(is_free(&first));
}

#[test]
fn sessions_that_wait_for_each_other_are_a_deadlock() {
    let manager = inline();
    let interrupt = Interrupt::default();
    let (here, there) = (manager.session(1), manager.session(2));
    let (first, second) = (LockTarget::Advisory(1), LockTarget::Advisory(2));
    let take = |session: &SessionLocks, target: &LockTarget| {
        let taken = session.try_lock(LockScope::Transaction, target, RowMode::Update);
        assert!(taken.unwrap());
    };
    take(&here, &first);
    take(&there, &second);
    let exclusive = RowMode::Update;
    let mut waiting = pin!(here.lock(LockScope::Session, &second, exclusive, FOREVER, &interrupt));
    assert!(poll(&mut waiting).is_pending());
    let error = block_on(there.lock(
        LockScope::Transaction,
        &first,
        exclusive,
        FOREVER,
        &interrupt,
    ));
    let error = error.unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    let detail = error.fields().detail.clone().unwrap();
    let line = "Process 2 waits for ExclusiveLock on advisory lock [0,1,1]; blocked by process 1.";
    assert!(detail.contains(line), "{detail}");
    there.release_since(0);
    assert!(poll(&mut waiting).is_ready());
}
