//! tokio-postgres, which speaks binary formats only: every type, pipelines, transactions, COPY,
//! cancel, errors.

use std::time::Duration;

use futures::future::{try_join, try_join_all};
use futures::{SinkExt as _, TryStreamExt as _, pin_mut};
use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, NoTls, SimpleQueryMessage};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("tokio_postgres::types", || run(Case::Types)),
        Trial::test("tokio_postgres::prepared_and_pipelined", || {
            run(Case::Prepared)
        }),
        Trial::test("tokio_postgres::transactions", || run(Case::Transactions)),
        Trial::test("tokio_postgres::copy", || run(Case::Copy)),
        Trial::test("tokio_postgres::cancel", || run(Case::Cancel)),
        Trial::test("tokio_postgres::errors", || run(Case::Errors)),
        Trial::test("tokio_postgres::portals", || run(Case::Portals)),
    ]
}

enum Case {
    Types,
    Prepared,
    Transactions,
    Copy,
    Cancel,
    Errors,
    Portals,
}

fn run(case: Case) -> Result<(), Failed> {
    let target = Target::fresh()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = target.address();
        let config = format!(
            "host={} port={} user={} dbname={}",
            address.host, address.port, address.user, address.database
        );
        let (mut client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        let connection = tokio::spawn(connection);
        let work = async {
            match case {
                Case::Types => types(&client).await,
                Case::Prepared => prepared(&client).await,
                Case::Transactions => transactions(&mut client).await,
                Case::Copy => copy(&client).await,
                Case::Cancel => cancel(&client).await,
                Case::Errors => errors(&client).await,
                Case::Portals => portals(&mut client).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(60), work)
            .await
            .map_err(|_| "it takes too long")??;
        drop(client);
        connection.await??;
        Ok(())
    })
}

/// A value goes in, is stored, comes back, and is found.
async fn trip<T>(client: &Client, name: &str, values: Vec<T>) -> Result<(), Failed>
where
    T: ToSql + FromSqlOwned + PartialEq + std::fmt::Debug + Sync,
{
    client
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS trip; CREATE TABLE trip (id int PRIMARY KEY, v {name})"
        ))
        .await?;
    for (id, value) in (0_i32..).zip(&values) {
        client
            .execute("INSERT INTO trip VALUES ($1, $2)", &[&id, value])
            .await?;
    }
    client
        .execute("INSERT INTO trip VALUES (-1, $1)", &[&None::<T>])
        .await?;
    let rows = client
        .query("SELECT v FROM trip WHERE id >= 0 ORDER BY id", &[])
        .await?;
    let got: Vec<T> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    if got != values {
        return Err(format!("{name}: {got:?} instead of {values:?}").into());
    }
    let none: Option<T> = client
        .query_one("SELECT v FROM trip WHERE id = -1", &[])
        .await?
        .try_get(0)?;
    if none.is_some() {
        return Err(format!("{name}: NULL is {none:?}").into());
    }
    Ok(())
}

async fn types(client: &Client) -> Result<(), Failed> {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    trip(client, "bool", vec![true, false]).await?;
    trip(client, "int2", vec![0, i16::MAX, i16::MIN]).await?;
    trip(client, "int4", vec![0, i32::MAX, i32::MIN]).await?;
    trip(client, "int8", vec![0, i64::MAX, i64::MIN]).await?;
    trip(
        client,
        "float4",
        vec![0.0, f32::MAX, f32::MIN_POSITIVE, f32::NEG_INFINITY],
    )
    .await?;
    trip(
        client,
        "float8",
        vec![0.0, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY],
    )
    .await?;
    let texts = || vec![String::new(), "ünï 日本 🙂".to_owned(), "x".repeat(100_000)];
    trip(client, "text", texts()).await?;
    trip(client, "varchar", texts()).await?;
    trip(client, "char(4)", vec!["ab  ".to_owned()]).await?;
    trip(
        client,
        "bytea",
        vec![Vec::new(), (0..=255).collect::<Vec<u8>>()],
    )
    .await?;
    let date = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).ok_or("date");
    trip(
        client,
        "date",
        vec![date(1, 1, 1)?, date(1999, 12, 31)?, date(2024, 2, 29)?],
    )
    .await?;
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).ok_or("time")?;
    trip(client, "time", vec![NaiveTime::MIN, time]).await?;
    let stamps = vec![
        NaiveDateTime::new(date(1900, 1, 1)?, time),
        NaiveDateTime::new(date(2024, 2, 29)?, time),
    ];
    trip::<NaiveDateTime>(client, "timestamp", stamps.clone()).await?;
    let zoned: Vec<DateTime<Utc>> = stamps.iter().map(NaiveDateTime::and_utc).collect();
    trip(client, "timestamptz", zoned).await?;
    let json = || {
        vec![
            serde_json::json!({"a": [1, null, "x"]}),
            serde_json::Value::Null,
        ]
    };
    trip(client, "json", json()).await?;
    trip(client, "jsonb", json()).await?;
    let row = client
        .query_one(
            "SELECT $1::int[], $2::text[]",
            &[&vec![1, 2], &vec!["a", "b"]],
        )
        .await?;
    let got: (Vec<i32>, Vec<String>) = (row.try_get(0)?, row.try_get(1)?);
    if got != (vec![1, 2], vec!["a".to_owned(), "b".to_owned()]) {
        return Err(format!("arrays: {got:?}").into());
    }
    let row = client
        .query_one(
            "SELECT $1::uuid::text, $2::numeric::text",
            &[&Uuid(7), &Raw(&[0, 2, 0, 0, 0, 0, 0, 1, 0, 5, 0x13, 0x88])],
        )
        .await?;
    let got: (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if got
        != (
            "00000000-0000-0000-0000-000000000007".to_owned(),
            "5.5".to_owned(),
        )
    {
        return Err(format!("uuid and numeric: {got:?}").into());
    }
    Ok(())
}

/// A uuid in its binary format.
#[derive(Debug)]
struct Uuid(u128);

/// Any value in its binary format.
#[derive(Debug)]
struct Raw<'a>(&'a [u8]);

type Written = Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Written {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(tokio_postgres::types::IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
    tokio_postgres::types::to_sql_checked!();
}

impl ToSql for Raw<'_> {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Written {
        out.extend_from_slice(self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    tokio_postgres::types::to_sql_checked!();
}

async fn prepared(client: &Client) -> Result<(), Failed> {
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(8,2))")
        .await?;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2, 1.5)").await?;
    assert_eq!(insert.params(), [Type::INT4, Type::TEXT]);
    let rows = (0..200).map(|id| {
        let insert = &insert;
        async move { client.execute(insert, &[&id, &format!("v{id}")]).await }
    });
    let counts = try_join_all(rows).await?;
    assert_eq!(counts, vec![1; 200]);
    let select = client
        .prepare("SELECT id, v, n FROM t WHERE id = $1")
        .await?;
    let columns: Vec<(&str, &Type)> = select
        .columns()
        .iter()
        .map(|c| (c.name(), c.type_()))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", &Type::INT4),
            ("v", &Type::TEXT),
            ("n", &Type::NUMERIC)
        ]
    );
    let (a, b) = try_join(
        client.query_one(&select, &[&7]),
        client.query_one(&select, &[&8]),
    )
    .await?;
    assert_eq!(
        (a.try_get::<_, i32>(0)?, b.try_get::<_, &str>(1)?),
        (7, "v8")
    );
    assert!(client.query_opt(&select, &[&1000]).await?.is_none());
    let messages = client
        .simple_query("SELECT 1 AS one; UPDATE t SET v = 'x' WHERE id < 10")
        .await?;
    let counts: Vec<u64> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(*count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 10]);
    Ok(())
}

async fn transactions(client: &mut Client) -> Result<(), Failed> {
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await?;
    let mut transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .start()
        .await?;
    transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
    let savepoint = transaction.savepoint("nested").await?;
    let failed = savepoint.execute("INSERT INTO t VALUES (1)", &[]).await;
    assert_eq!(
        failed.err().and_then(|why| why.code().cloned()),
        Some(SqlState::UNIQUE_VIOLATION)
    );
    savepoint.rollback().await?;
    transaction.execute("INSERT INTO t VALUES (2)", &[]).await?;
    transaction.commit().await?;
    let transaction = client.build_transaction().read_only(true).start().await?;
    let failed = transaction.execute("DELETE FROM t", &[]).await;
    assert_eq!(
        failed.err().and_then(|why| why.code().cloned()),
        Some(SqlState::READ_ONLY_SQL_TRANSACTION)
    );
    drop(transaction);
    let count: i64 = client
        .query_one("SELECT count(*) FROM t", &[])
        .await?
        .try_get(0)?;
    assert_eq!(count, 2);
    Ok(())
}

async fn copy(client: &Client) -> Result<(), Failed> {
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        .await?;
    let sink = client
        .copy_in("COPY t FROM STDIN WITH (FORMAT csv)")
        .await?;
    pin_mut!(sink);
    for part in ["1,one\n2,", "\"two, 2\"\n", "3,\n"] {
        sink.send(bytes::Bytes::from_static(part.as_bytes()))
            .await?;
    }
    assert_eq!(sink.finish().await?, 3);
    let stream = client.copy_out("COPY t TO STDOUT").await?;
    let parts: Vec<bytes::Bytes> = stream.try_collect().await?;
    assert_eq!(parts.concat(), b"1\tone\n2\ttwo, 2\n3\t\\N\n");
    let sink = client
        .copy_in::<_, bytes::Bytes>("COPY t FROM STDIN")
        .await?;
    drop(sink);
    let count: i64 = client
        .query_one("SELECT count(*) FROM t", &[])
        .await?
        .try_get(0)?;
    assert_eq!(count, 3);
    Ok(())
}

async fn cancel(client: &Client) -> Result<(), Failed> {
    let token = client.cancel_token();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    };
    let (slept, stopped) = futures::join!(client.query("SELECT pg_sleep(30)", &[]), stop);
    stopped?;
    assert_eq!(
        slept.err().and_then(|why| why.code().cloned()),
        Some(SqlState::QUERY_CANCELED)
    );
    client.query_one("SELECT 1", &[]).await?;
    Ok(())
}

async fn errors(client: &Client) -> Result<(), Failed> {
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n > 0))")
        .await?;
    client.execute("INSERT INTO t VALUES (1, 1)", &[]).await?;
    for (sql, code, constraint) in [
        (
            "INSERT INTO t VALUES (1, 1)",
            SqlState::UNIQUE_VIOLATION,
            Some("t_pkey"),
        ),
        (
            "INSERT INTO t VALUES (2, 0)",
            SqlState::CHECK_VIOLATION,
            Some("t_n_check"),
        ),
        ("SELECT nope", SqlState::UNDEFINED_COLUMN, None),
        ("SELECT * FROM nope", SqlState::UNDEFINED_TABLE, None),
        ("SELEC", SqlState::SYNTAX_ERROR, None),
        ("SELECT 1/0", SqlState::DIVISION_BY_ZERO, None),
    ] {
        let why = client.query(sql, &[]).await.err().ok_or("no error")?;
        let why = why.as_db_error().ok_or("no error of the server")?;
        assert_eq!(
            (sql, why.code(), why.constraint()),
            (sql, &code, constraint)
        );
    }
    Ok(())
}

async fn portals(client: &mut Client) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    let portal = transaction
        .bind("SELECT g FROM generate_series(1, 100) g ORDER BY g", &[])
        .await?;
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 33).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            seen.push(row.try_get::<_, i32>(0)?);
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<i32>>());
    transaction.commit().await?;
    Ok(())
}
