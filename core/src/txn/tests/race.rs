//! Many transactions at once on several threads, with invariants that any mistake breaks.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::support::{FOREVER, T, begin, begin_rc, set, threaded};
use crate::error::{Error, Result, SqlState};
use crate::storage::fault::Random;
use crate::txn::{Isolation, LockTarget, RowLock, RowMode, Transaction, Transactions};

const TASKS: u64 = 8;
const ROUNDS: u64 = 60;
const ACCOUNTS: u64 = 6;
const LEVELS: [Isolation; 3] = [
    Isolation::ReadCommitted,
    Isolation::RepeatableRead,
    Isolation::Serializable,
];

fn number(row: &[u8]) -> i64 {
    i64::from_be_bytes(row.try_into().unwrap())
}

/// `UPDATE … SET v = v + amount WHERE k = key`, as the verb layer does it.
async fn add(transaction: &mut Transaction, key: &[u8], amount: i64) -> Result<()> {
    transaction.start_statement()?;
    let view = transaction.view()?;
    let row = view.get(T, key)?.map(|row| row.as_ref().to_vec());
    let locked = transaction
        .lock_row(T, key, RowMode::NoKeyUpdate, FOREVER)
        .await?;
    let row = match locked {
        RowLock::Unchanged => row,
        RowLock::Changed(row) => row,
        RowLock::Skipped => return Err(Error::internal("skipped")),
    };
    let value = row.map_or(0, |row| number(&row)) + amount;
    transaction.put(T, key.to_vec(), value.to_be_bytes().to_vec())
}

fn is_retryable(error: &Error) -> bool {
    let state = error.state();
    state == SqlState::SERIALIZATION_FAILURE || state == SqlState::DEADLOCK_DETECTED
}

fn sum(manager: &Transactions) -> i64 {
    let snapshot = manager.store().snapshot().unwrap();
    let rows = snapshot
        .range(T, Bound::Unbounded, Bound::Unbounded)
        .unwrap();
    rows.map(|entry| number(entry.unwrap().1.as_ref())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_increment_of_a_counter_is_lost() {
    for isolation in LEVELS {
        let manager = threaded();
        set(&manager, T, b"counter", Some(&0_i64.to_be_bytes()));
        let tasks = (0..TASKS).map(|_| {
            let manager = manager.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < ROUNDS {
                    let mut one = begin(&manager, isolation);
                    let outcome = match add(&mut one, b"counter", 1).await {
                        Ok(()) => one.commit().await,
                        Err(error) => Err(error),
                    };
                    match outcome {
                        Ok(()) => done += 1,
                        Err(error) => assert!(is_retryable(&error), "{error:?}"),
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(sum(&manager), (TASKS * ROUNDS) as i64, "{isolation:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn transfers_keep_the_sum() {
    for isolation in LEVELS {
        let manager = threaded();
        for account in 0..ACCOUNTS {
            set(
                &manager,
                T,
                &account.to_be_bytes(),
                Some(&100_i64.to_be_bytes()),
            );
        }
        let deadlocks = Arc::new(AtomicU64::new(0));
        let tasks = (0..TASKS).map(|task| {
            let (manager, deadlocks) = (manager.clone(), deadlocks.clone());
            tokio::spawn(async move {
                let mut random = Random(task);
                for _ in 0..ROUNDS {
                    let from = random.within(0..ACCOUNTS).to_be_bytes();
                    let to = random.within(0..ACCOUNTS).to_be_bytes();
                    let mut one = begin(&manager, isolation);
                    let outcome = async {
                        add(&mut one, &from, -5).await?;
                        // A step of another transaction in between makes cycles likely.
                        tokio::task::yield_now().await;
                        add(&mut one, &to, 5).await
                    }
                    .await;
                    let outcome = match outcome {
                        Ok(()) if random.within(0..8) > 0 => one.commit().await,
                        other => other,
                    };
                    if let Err(error) = outcome {
                        assert!(is_retryable(&error), "{error:?}");
                        if error.state() == SqlState::DEADLOCK_DETECTED {
                            deadlocks.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    assert_eq!(sum(&manager), ACCOUNTS as i64 * 100);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(sum(&manager), ACCOUNTS as i64 * 100, "{isolation:?}");
    }
}

/// Each transaction reads two rows and writes one: `sum ≤ 1` holds for any serial order.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn serializable_transactions_have_a_serial_order() {
    let manager = threaded();
    for key in [b"a", b"b"] {
        set(&manager, T, key, Some(&0_i64.to_be_bytes()));
    }
    let tasks = (0..TASKS).map(|task| {
        let manager = manager.clone();
        tokio::spawn(async move {
            let mut random = Random(task);
            for _ in 0..ROUNDS {
                let mut one = begin(&manager, Isolation::Serializable);
                let view = one.view().unwrap();
                let read = |key: &[u8]| number(view.get(T, key).unwrap().unwrap().as_ref());
                let total = read(b"a") + read(b"b");
                assert!(total <= 1, "both were set");
                let key: &[u8] = if random.coin() { b"a" } else { b"b" };
                let value = i64::from(total == 0);
                let locked = one.lock_row(T, key, RowMode::NoKeyUpdate, FOREVER).await;
                if let Err(error) = locked {
                    assert!(is_retryable(&error));
                    continue;
                }
                one.put(T, key.to_vec(), value.to_be_bytes().to_vec())
                    .unwrap();
                if let Err(error) = one.commit().await {
                    assert!(is_retryable(&error));
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(sum(&manager) <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_unique_key_is_inserted_once() {
    let manager = threaded();
    for round in 0..30_u64 {
        let key = round.to_be_bytes();
        let tasks = (0..TASKS).map(|task| {
            let manager = manager.clone();
            tokio::spawn(async move {
                let mut one = begin_rc(&manager);
                let target = LockTarget::Row(T, key.to_vec());
                one.lock_key(target, RowMode::Update, FOREVER)
                    .await
                    .unwrap();
                if one.latest().unwrap().get(T, &key).unwrap().is_some() {
                    return false;
                }
                one.put(T, key.to_vec(), task.to_be_bytes().to_vec())
                    .unwrap();
                one.commit().await.unwrap();
                true
            })
        });
        let mut winners = 0;
        for task in tasks.collect::<Vec<_>>() {
            winners += u64::from(task.await.unwrap());
        }
        assert_eq!(winners, 1);
    }
}
