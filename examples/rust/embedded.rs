//! The engine inside a program: a database in a directory, without a server or a socket.
//!
//! The same session that the server's connections use: `simple` runs SQL text; `parse`, `bind` and
//! `execute` run prepared statements with parameters. Results are pulled block by block.
//!
//! Run:    cargo run --example embedded [DIR]
//! Prints:
//!         Ada has 70.00
//!         Grace has 80.00
//!         refused: 23514 new row for relation "account" violates check constraint "account_balance_check"
//!         2 accounts, 150.00 in all

use std::error::Error;
use std::path::PathBuf;

use omendb::config::{Config, Flags};
use omendb::database::OpenDatabase;
use omendb_core::session::{Format, Parameter, RowBlock, Session, SqlSession, Step};

type Row = Vec<Option<String>>;

/// The rows of a block in PostgreSQL's text format.
fn rows(block: &RowBlock) -> omendb_core::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for row in 0..block.rows.len() {
        let mut cells = Vec::new();
        for column in 0..block.columns.len() {
            let mut bytes = Vec::new();
            let present = block.write_cell(row, column, &mut bytes)?;
            cells.push(present.then(|| String::from_utf8_lossy(&bytes).into_owned()));
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// Runs SQL text of any number of statements; all rows that it gives.
async fn query(session: &mut Session, sql: &str) -> omendb_core::Result<Vec<Row>> {
    session.simple(sql).await?;
    let mut all = Vec::new();
    while let Some(step) = session.next_simple().await? {
        if let Step::Rows(block) = step {
            all.extend(rows(&block)?);
        }
    }
    Ok(all)
}

/// Runs a prepared statement with parameters as text.
async fn execute(session: &mut Session, name: &str, values: &[&str]) -> omendb_core::Result<()> {
    let parameters: Vec<Parameter<'_>> = values
        .iter()
        .map(|value| Parameter {
            format: Format::Text,
            value: Some(value.as_bytes()),
        })
        .collect();
    session.bind("", name, &parameters, &[]).await?;
    while !matches!(session.execute("", 0).await?, Step::Complete(_)) {}
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scratch = std::env::temp_dir().join(format!("omendb-embedded-{}", std::process::id()));
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    let flags = Flags {
        data_dir: Some(named.clone().unwrap_or_else(|| scratch.clone())),
        ..Flags::default()
    };
    let config = Config::load(None, [], &flags)?;
    let database = OpenDatabase::open(&config).await?;
    let mut session = database.connect_local("postgres")?;

    query(
        &mut session,
        "DROP TABLE IF EXISTS account;
         CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) CHECK (balance >= 0));
         INSERT INTO account VALUES (1, 'Ada', 100), (2, 'Grace', 50)",
    )
    .await?;
    session
        .parse(
            "add",
            "UPDATE account SET balance = balance + $1 WHERE id = $2",
            &[],
        )
        .await?;
    session.sync().await?;

    // Both or neither.
    query(&mut session, "BEGIN").await?;
    execute(&mut session, "add", &["-30", "1"]).await?;
    execute(&mut session, "add", &["30", "2"]).await?;
    query(&mut session, "COMMIT").await?;
    for row in query(
        &mut session,
        "SELECT owner, balance FROM account ORDER BY id",
    )
    .await?
    {
        if let [Some(owner), Some(balance)] = row.as_slice() {
            println!("{owner} has {balance}");
        }
    }

    if let Err(error) = execute(&mut session, "add", &["-1000", "1"]).await {
        println!("refused: {} {}", error.state().code(), error.message());
    }
    // Ends the failed implicit transaction, as a server does at Sync.
    session.sync().await?;

    let sums = query(&mut session, "SELECT count(*), sum(balance) FROM account").await?;
    if let Some([Some(count), Some(sum)]) = sums.first().map(Vec::as_slice) {
        println!("{count} accounts, {sum} in all");
    }
    drop((session, database));
    if named.is_none() {
        std::fs::remove_dir_all(scratch)?;
    }
    Ok(())
}
