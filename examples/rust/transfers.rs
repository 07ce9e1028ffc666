//! Bank transfers from eight tasks, each a SERIALIZABLE transaction.
//!
//! Two transactions that would not fit any order of their own are not both let through: one fails
//! with SQLSTATE 40001 (or 40P01, a deadlock), and is simply run again.
//!
//! Run:    cargo run --example transfers
//! Prints:
//!         200 transfers done
//!         sum of all balances: 1000000
//!         no balance below zero: true

use std::error::Error;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, NoTls};

const ACCOUNTS: i32 = 10;
const TASKS: i32 = 8;
/// By each task.
const TRANSFERS: i32 = 25;
const ATTEMPTS: u32 = 50;

type Failure = Box<dyn Error + Send + Sync>;

async fn connect() -> Result<Client, Failure> {
    let get = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let server = format!(
        "host={} port={} user={} dbname=postgres",
        get("PGHOST", "127.0.0.1"),
        get("PGPORT", "5432"),
        get("PGUSER", "postgres"),
    );
    let (client, connection) = tokio_postgres::connect(&server, NoTls).await?;
    // The connection does the talking; it ends when the client is dropped.
    tokio::spawn(connection);
    Ok(client)
}

/// Moves money (in cents), if it is there, in one transaction.
async fn transfer(
    client: &mut Client,
    source: i32,
    target: i32,
    amount: i64,
) -> Result<(), tokio_postgres::Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .start()
        .await?;
    let row = transaction
        .query_one("SELECT balance FROM rs_account WHERE id = $1", &[&source])
        .await?;
    let amount = amount.min(row.try_get(0)?);
    let take = "UPDATE rs_account SET balance = balance - $1 WHERE id = $2";
    transaction.execute(take, &[&amount, &source]).await?;
    let give = "UPDATE rs_account SET balance = balance + $1 WHERE id = $2";
    transaction.execute(give, &[&amount, &target]).await?;
    transaction.commit().await
}

/// The same, again while it loses against others.
async fn transfer_retrying(
    client: &mut Client,
    source: i32,
    target: i32,
    amount: i64,
) -> Result<(), Failure> {
    let lost = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    for attempt in 0..ATTEMPTS {
        match transfer(client, source, target, amount).await {
            Ok(()) => return Ok(()),
            Err(error) if error.code().is_some_and(|code| lost.contains(code)) => {
                // Each waits another while, and longer each time.
                let wait = (7 * source as u64 + 3 * target as u64) << attempt.min(6);
                tokio::time::sleep(Duration::from_micros(wait * 10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(format!("no success in {ATTEMPTS} attempts").into())
}

async fn work(task: i32) -> Result<i32, Failure> {
    let mut client = connect().await?;
    for number in 0..TRANSFERS {
        let source = (task + number) % ACCOUNTS;
        let target = (source + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = i64::from(100 * (1 + (task * number) % 300));
        transfer_retrying(&mut client, source, target, amount).await?;
    }
    Ok(TRANSFERS)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let client = connect().await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS rs_account;
             CREATE TABLE rs_account (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
             INSERT INTO rs_account SELECT i, 100000 FROM generate_series(0, 9) AS g(i)",
        )
        .await?;
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(task))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    println!("{done} transfers done");
    let row = client
        .query_one(
            "SELECT sum(balance)::bigint, min(balance) FROM rs_account",
            &[],
        )
        .await?;
    println!("sum of all balances: {}", row.try_get::<_, i64>(0)?);
    println!("no balance below zero: {}", row.try_get::<_, i64>(1)? >= 0);
    Ok(())
}
