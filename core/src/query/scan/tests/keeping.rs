//! What keeping unsealed rows as columns costs: memory, and the time of whoever brings them up to date.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::kept::world;
use super::pair::Pair;
use crate::env::Clock;
use crate::session::tests::world::{code, one};

/// A microsecond passes whenever somebody looks.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

#[test]
fn pieces_that_are_cut_share_no_memory() {
    let world = world(16 << 20);
    let mut client = world.client();
    let create = "CREATE TABLE t (id int PRIMARY KEY, v text, l text[], b bytea)";
    world.sql(&mut client, create);
    // So few at once that they are not loaded past the unsealed rows.
    for from in (0..2000).step_by(50) {
        let insert = format!(
            "INSERT INTO t SELECT i, 'a text of some length ' || i, ARRAY['another text, number ' || i],
                decode(md5(i::text), 'hex') FROM generate_series({from}, {from} + 49) i"
        );
        world.sql(&mut client, &insert);
    }
    world.sql(&mut client, "SELECT * FROM t");
    let before = world.kept_bytes();
    // A row of each piece.
    world.sql(&mut client, "UPDATE t SET v = v || '+' WHERE id % 40 = 0");
    world.sql(&mut client, "SELECT * FROM t");
    let after = world.kept_bytes();
    assert!(
        before > 0 && after < before * 3 / 2,
        "{after} instead of {before} bytes"
    );
}

#[test]
fn a_change_of_one_row_costs_no_more_than_the_row() {
    let world = world(16 << 20);
    let mut client = world.client();
    for sql in [
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('a long text, ', 500) || i FROM generate_series(1, 10) i",
        "SELECT * FROM t",
    ] {
        world.sql(&mut client, sql);
    }
    let before = world.kept_bytes();
    for _ in 0..2 {
        let sql = "UPDATE t SET v = 'a text of some length' WHERE id = 5; SELECT * FROM t";
        world.sql(&mut client, sql);
    }
    let after = world.kept_bytes();
    assert!(
        before > 0 && after < before + 1000,
        "{after} instead of {before} bytes"
    );
}

#[test]
fn bringing_rows_up_to_date_can_be_interrupted() {
    let mut pair = Pair::with("id int PRIMARY KEY, a int", |_, env| {
        env.clock = Arc::new(Ticking(AtomicI64::new(0)));
    });
    let sum = "SELECT sum(a) FROM u";
    let mut answer = |sql: &str| pair.try_sql(sql);
    answer("INSERT INTO u SELECT i, i FROM generate_series(1, 6000) i").unwrap();
    assert_eq!(one(&answer(sum).unwrap()), "18003000");
    // So few that they are merged into what is kept, and more than there is time for.
    answer("UPDATE u SET a = a + 1 WHERE id % 5 = 0").unwrap();
    answer("SET statement_timeout = '1ms'").unwrap();
    assert_eq!(code(answer(sum)), "57014");
    // What only the transaction sees is laid over the rows of each query anew.
    answer("SET statement_timeout = 0").unwrap();
    assert_eq!(one(&answer(sum).unwrap()), "18004200");
    answer("BEGIN; UPDATE u SET a = a + 1 WHERE id % 5 = 1; SET statement_timeout = '1ms'")
        .unwrap();
    assert_eq!(code(answer(sum)), "57014");
    answer("ROLLBACK").unwrap();
    // Nothing is left to do: there is time enough.
    answer("SET statement_timeout = '1ms'").unwrap();
    assert_eq!(one(&answer(sum).unwrap()), "18004200");
}

#[test]
fn what_is_rolled_back_or_truncated_is_not_kept() {
    let world = world(16 << 20);
    let mut client = world.client();
    let mut sum = |sql: &str| one(&world.sql(&mut client, sql)).to_owned();
    let rows = "CREATE TABLE t (id int PRIMARY KEY);
        INSERT INTO t SELECT generate_series(1, 50); SELECT sum(id) FROM t";
    assert_eq!(sum(rows), "1275");
    for value in [7, 9] {
        let add = format!("ALTER TABLE t ADD COLUMN c int DEFAULT {value}");
        let whole = format!("BEGIN; {add}; SELECT sum(c) FROM t");
        assert_eq!(sum(&whole), (50 * value).to_string());
        let part = format!("ROLLBACK; BEGIN; SAVEPOINT p; {add}; SELECT sum(c) + 0 FROM t");
        assert_eq!(sum(&part), (50 * value).to_string());
        assert_eq!(sum("ROLLBACK TO p; SELECT sum(id) FROM t"), "1275");
        assert_eq!(sum("COMMIT; SELECT sum(id) FROM t"), "1275");
    }
    let add = "ALTER TABLE t ADD COLUMN c int DEFAULT 3; SELECT sum(c) FROM t";
    assert_eq!(sum(add), "150");
    assert_eq!(
        sum("UPDATE t SET c = 0 WHERE id = 1; SELECT sum(c) FROM t"),
        "147"
    );
    assert_eq!(sum("BEGIN; TRUNCATE t; SELECT count(c) FROM t"), "0");
    assert_eq!(sum("ROLLBACK; SELECT sum(c) FROM t"), "147");
    assert_eq!(sum("TRUNCATE t; SELECT count(c) FROM t"), "0");
    assert_eq!(
        sum("INSERT INTO t VALUES (1, 2); SELECT sum(c) FROM t"),
        "2"
    );
}
