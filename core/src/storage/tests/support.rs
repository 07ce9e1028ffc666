//! What the store's tests share: an environment, and a workload whose every state is known.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::env::{Clock, Committer, Entropy, Env, Workers};
use crate::error::Result;
use crate::storage::fault::{Disk, Random, block_on};
use crate::storage::{Options, Store, TableId, TableWrites, Tiers, WriteBatch};

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

pub fn env(committer: Committer) -> Env {
    Env {
        clock: Arc::new(Still),
        entropy: Arc::new(Still),
        committer,
        workers: Workers::Inline,
    }
}

fn options() -> Options {
    Options {
        cache_bytes: 256 * 1024,
    }
}

pub fn open(disk: &Disk) -> Result<Store> {
    Store::open(disk.backend(), &options(), env(Committer::Inline))
}

/// How a store is opened whose steps are run by hand, with syncs that are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every commit syncs redb.
    Rows,
    /// With a commit log.
    Log,
}

impl Way {
    pub const BOTH: [Way; 2] = [Way::Rows, Way::Log];

    pub fn open(self, disk: &Disk) -> Result<Store> {
        let committer = Committer::Threads {
            wake: Arc::new(|| {}),
            alone: Arc::new(|| false),
            late_sync: disk.late_sync(),
        };
        let log = (self == Way::Log).then(|| disk.log());
        Store::open_with(disk.backend(), log, &options(), env(committer), |_| {
            Ok(Tiers::default())
        })
    }
}

/// Commits a batch; resolves once it is durable.
pub fn commit(store: &Store, batch: WriteBatch) -> Result<()> {
    let commit = store.submit(batch, None)?;
    while store.commit_step() {}
    block_on(commit.durable)
}

/// Table, key, and the new row or `None`.
type Change<'a> = (TableId, &'a [u8], Option<&'a [u8]>);

pub fn batch(writes: &[Change<'_>]) -> WriteBatch {
    let mut tables: BTreeMap<TableId, TableWrites> = BTreeMap::new();
    for (table, key, row) in writes {
        let rows = tables.entry(*table).or_default();
        rows.insert(key.to_vec(), row.map(<[u8]>::to_vec));
    }
    let writes = tables.into_iter().map(|(id, rows)| (id, Arc::new(rows)));
    WriteBatch {
        writes: writes.collect(),
        ..WriteBatch::default()
    }
}

/// All rows of all tables.
pub type State = BTreeMap<TableId, BTreeMap<Vec<u8>, Vec<u8>>>;

const ACCOUNTS: u64 = 12;
const CHECKING: TableId = 16384;
const SAVINGS: TableId = 16385;
/// (balance, account) of CHECKING.
const BY_BALANCE: TableId = 16386;
const JOURNAL: TableId = 16387;
const FIRST_SCRATCH: TableId = 20000;
/// One row: the number of the last transaction.
const LAST: TableId = 1;

/// Transactions and the state after each; `states[0]` is empty.
pub struct Workload {
    pub batches: Vec<WriteBatch>,
    pub states: Vec<State>,
}

fn read(state: &State, table: TableId, account: u64) -> i64 {
    let row = state
        .get(&table)
        .and_then(|t| t.get(&account.to_be_bytes()[..]));
    row.map_or(0, |row| {
        i64::from_be_bytes(row.as_slice().try_into().unwrap())
    })
}

fn put(batch: &mut WriteBatch, table: TableId, key: &[u8], row: Option<Vec<u8>>) {
    let rows = batch.writes.entry(table).or_default();
    Arc::make_mut(rows).insert(key.to_vec(), row);
}

/// Sets a balance and keeps the secondary table in step.
fn set(batch: &mut WriteBatch, state: &State, table: TableId, account: u64, balance: i64) {
    if table == CHECKING {
        let index = |balance: i64| [balance.to_be_bytes(), account.to_be_bytes()].concat();
        let old = read(state, table, account);
        put(batch, BY_BALANCE, &index(old), None);
        put(batch, BY_BALANCE, &index(balance), Some(Vec::new()));
    }
    let row = balance.to_be_bytes().to_vec();
    put(batch, table, &account.to_be_bytes(), Some(row));
}

impl Workload {
    /// Transfers between accounts in two tables, with a secondary table, a journal of rows of very
    /// different lengths, and tables that are created, filled and dropped.
    pub fn new(seed: u64, transactions: usize) -> Self {
        let mut random = Random(seed);
        let mut workload = Workload {
            batches: Vec::new(),
            states: vec![State::new()],
        };
        for number in 1..=transactions as u64 {
            let state = workload.states.last().unwrap();
            let mut batch = WriteBatch::default();
            if number == 1 {
                for account in 0..ACCOUNTS {
                    set(&mut batch, state, CHECKING, account, 100);
                    set(&mut batch, state, SAVINGS, account, 100);
                }
            } else {
                let from = random.within(0..ACCOUNTS);
                let to = random.within(0..ACCOUNTS);
                let amount = random.within(1..50) as i64;
                let (less, more) = match random.coin() {
                    true => (CHECKING, SAVINGS),
                    false => (SAVINGS, CHECKING),
                };
                let balance = read(state, less, from) - amount;
                set(&mut batch, state, less, from, balance);
                let balance = read(state, more, to) + amount;
                set(&mut batch, state, more, to, balance);
            }
            let length = [3, 40, 400, 5000][random.within(0..4) as usize];
            let fill = random.number() as u8;
            put(
                &mut batch,
                JOURNAL,
                &number.to_be_bytes(),
                Some(vec![fill; length]),
            );
            if number > 6 && random.coin() {
                let old = random.within(1..number - 1).to_be_bytes();
                put(&mut batch, JOURNAL, &old, None);
            }
            if number % 5 == 2 {
                let table = FIRST_SCRATCH + number;
                batch.create.push(table);
                for key in 0..random.within(0..60) {
                    put(&mut batch, table, &key.to_be_bytes(), Some(vec![1; 100]));
                }
            }
            if number % 5 == 0 && number > 4 {
                batch.drop.push(FIRST_SCRATCH + number - 3);
            }
            put(
                &mut batch,
                LAST,
                b"last",
                Some(number.to_be_bytes().to_vec()),
            );
            let state = after(state, &batch);
            workload.states.push(state);
            workload.batches.push(batch);
        }
        workload
    }

    /// Runs all transactions in groups. Returns how many recorded operations there were when each
    /// was acknowledged; fewer entries when the store failed.
    pub fn run(&self, store: &Store, disk: &Disk, seed: u64) -> Vec<usize> {
        let mut random = Random(seed);
        let mut acknowledged = Vec::new();
        let mut batches = self.batches.iter().cloned();
        loop {
            let group = random.within(1..5) as usize;
            let chained = random.coin();
            // Half of the time, steps are run while the sync of another is under way.
            if random.coin() {
                let store = store.clone();
                disk.during_sync(move || {
                    while store.commit_step() {}
                    Ok(())
                });
            }
            let first: Vec<WriteBatch> = batches.by_ref().take(group).collect();
            if first.is_empty() {
                return acknowledged;
            }
            // One more becomes ready only when the last of the group is visible, as after a wait
            // for a lock: the commit step then applies it in a second round.
            let next = Arc::new(Mutex::new(if chained { batches.next() } else { None }));
            let pending = Arc::new(Mutex::new(Vec::new()));
            let last = first.len() - 1;
            for (number, batch) in first.into_iter().enumerate() {
                let (store2, next, pending2) = (store.clone(), next.clone(), pending.clone());
                let hook = move |_| {
                    if number == last
                        && let Some(batch) = next.lock().take()
                        && let Ok(commit) = store2.submit(batch, None)
                    {
                        pending2.lock().push(commit.durable);
                    }
                    chained
                };
                let Ok(mut commit) = store.submit_with(batch, None, Some(Box::new(hook))) else {
                    return acknowledged;
                };
                // Whoever waits may make it visible at once.
                if random.coin() {
                    let _ = (&mut commit.visible).now_or_never();
                }
                pending.lock().push(commit.durable);
            }
            loop {
                let commits = std::mem::take(&mut *pending.lock());
                if commits.is_empty() {
                    break;
                }
                while store.commit_step() {}
                for durable in commits {
                    if block_on(durable).is_err() {
                        return acknowledged;
                    }
                    acknowledged.push(disk.op_count());
                }
            }
        }
    }

    /// Checks that the store holds the state after some transaction, and not before the first
    /// `acknowledged` ones. Returns that transaction's number.
    pub fn check(&self, store: &Store, acknowledged: usize) -> usize {
        let snapshot = store.snapshot().unwrap();
        let last = snapshot.get(LAST, b"last").unwrap();
        let last = last.map_or(0, |row| {
            u64::from_be_bytes(row.as_ref().try_into().unwrap()) as usize
        });
        assert!(
            last >= acknowledged,
            "transaction {acknowledged} was acknowledged, but the last one found is {last}"
        );
        let expected = &self.states[last];
        let tables = self.states.iter().flat_map(|state| state.keys());
        for table in tables.collect::<std::collections::BTreeSet<_>>() {
            let rows = snapshot
                .range(*table, Bound::Unbounded, Bound::Unbounded)
                .unwrap();
            let found: BTreeMap<Vec<u8>, Vec<u8>> = rows
                .map(|entry| {
                    let (key, row) = entry.unwrap();
                    (key.as_ref().to_vec(), row.as_ref().to_vec())
                })
                .collect();
            let empty = BTreeMap::new();
            let expected = expected.get(table).unwrap_or(&empty);
            assert!(found == *expected, "table {table} after transaction {last}");
            assert_eq!(snapshot.len(*table).unwrap(), found.len() as u64);
        }
        let total: i64 = [CHECKING, SAVINGS]
            .iter()
            .flat_map(|table| (0..ACCOUNTS).map(|account| read(expected, *table, account)))
            .sum();
        assert!(last == 0 || total == ACCOUNTS as i64 * 200);
        last
    }
}

/// The state after a batch.
fn after(state: &State, batch: &WriteBatch) -> State {
    let mut state = state.clone();
    for (table, writes) in &batch.writes {
        let rows = state.entry(*table).or_default();
        for (key, row) in writes.iter() {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
    }
    for table in &batch.drop {
        state.remove(table);
    }
    state
}
