//! Neighbouring rows by a range of their keys: what is read without the plan is what the plan reads.

use std::sync::Arc;

use super::world::{Client, Row, World, small};
use crate::session::prepared::{Prepared, Way};
use crate::session::{Format, SqlSession, Step};
use crate::sql::parse;
use crate::storage::fault::Random;

/// A table whose rows are sealed, unsealed, and of the open transaction.
fn world() -> (World, Client) {
    let world = World::new(small);
    let mut client = world.client();
    let insert = |from: u32, to: u32| {
        format!(
            "INSERT INTO t SELECT i % 20, 'b' || i % 3, i * 7 - 300, i / 4.0 FROM generate_series({from}, {to}) i"
        )
    };
    for sql in [
        "CREATE TABLE t (a int, b text, c bigint, v numeric(10,2), PRIMARY KEY (a, b, c))",
        &insert(1, 200),
        "DELETE FROM t WHERE c % 11 = 0",
        "UPDATE t SET v = -v WHERE c % 5 = 0",
        "INSERT INTO t VALUES (3, 'b0', 10000, 1), (-5, '', -1, NULL)",
        "BEGIN",
        &insert(201, 208),
        "DELETE FROM t WHERE a = 4 AND c > 100",
        "UPDATE t SET v = 0 WHERE a = 6",
    ] {
        world.sql(&mut client, sql);
    }
    (world, client)
}

/// Whether few rows of a query are read without its plan.
fn is_near(world: &World, client: &mut Client, sql: &str) -> bool {
    let statement = parse(sql).unwrap().pop().unwrap();
    let prepared = Arc::new(Prepared::new(statement, Vec::new(), false));
    let planned = world.now(client.0.planned(&prepared)).unwrap();
    matches!(&planned.way, Way::Query(_, Some(_)))
}

#[test]
fn ranges_of_the_primary_key_in_its_order_are_near() {
    let (world, mut client) = world();
    for (near, rest) in [
        (true, "WHERE a = 1"),
        (true, "WHERE a = 1 AND b >= 'b1' AND c > 5"),
        (true, "WHERE a BETWEEN 1 AND 3 AND v > 2 ORDER BY a LIMIT 3"),
        (true, "AS x WHERE 5 > x.a ORDER BY x.a DESC, b DESC"),
        (true, "WHERE a = 1 ORDER BY b"),
        (true, "WHERE b = 'b1' AND a = 1 ORDER BY c DESC, a, b"),
        (false, ""),
        (false, "WHERE b = 'b1'"),
        (false, "WHERE a > v"),
        (false, "WHERE a > 1 OR a < 0"),
        (false, "WHERE a > 1 ORDER BY b"),
        (false, "WHERE a > 1 ORDER BY a, b DESC"),
        (false, "WHERE a > 1 ORDER BY a + 1"),
        (false, "WHERE a > 1 ORDER BY 1"),
        (false, "WHERE a > 1 OFFSET 1"),
        (false, "WHERE a > 1 LIMIT 0"),
        (false, "WHERE a > 1 FOR UPDATE"),
    ] {
        let sql = format!("SELECT a, b FROM t {rest}");
        assert_eq!(is_near(&world, &mut client, &sql), near, "{sql}");
    }
    for (near, sql) in [
        (true, "SELECT a AS a, c + 1 FROM t WHERE a > 1 ORDER BY a"),
        // The name of an output column goes before that of a table's.
        (false, "SELECT c AS a FROM t WHERE a > 1 ORDER BY a"),
        (true, "SELECT c AS a FROM t WHERE a > 1 ORDER BY t.a"),
        (false, "SELECT DISTINCT a FROM t WHERE a > 1"),
        (false, "SELECT count(*) FROM t WHERE a > 1"),
        (false, "SELECT a FROM t WHERE a > 1 GROUP BY a"),
    ] {
        assert_eq!(is_near(&world, &mut client, sql), near, "{sql}");
    }
}

/// One of these.
fn pick<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
    of[random.within(0..of.len() as u64) as usize]
}

#[test]
fn rows_are_those_of_the_plan() {
    let (world, mut client) = world();
    let mut random = Random(7);
    let mut near = 0;
    for _ in 0..400 {
        let mut conditions = Vec::new();
        for _ in 0..1 + random.within(0..3) {
            let number = random.within(0..24) as i64 - 2;
            let operator = pick(&mut random, &["=", "<", "<=", ">", ">="]);
            conditions.push(match random.within(0..8) {
                0 => format!("a BETWEEN {number} AND {}", number + 3),
                1 => format!("{number} {operator} a"),
                2 => format!(
                    "b {operator} '{}'",
                    pick(&mut random, &["b0", "b1", "b", "c", ""])
                ),
                3 => format!("c {operator} {}", number * 40),
                4 => format!("v {operator} {number}"),
                5 => format!(
                    "a {operator} {}",
                    pick(&mut random, &["3000000000", "-3000000000", "NULL"])
                ),
                _ => format!("a {operator} {number}"),
            });
        }
        let order = pick(
            &mut random,
            &["", "ORDER BY a, b, c", "ORDER BY a DESC, b DESC, c DESC"],
        );
        let limit = match order {
            "" => "",
            _ => pick(&mut random, &["", "LIMIT 1", "LIMIT 7", "LIMIT 60"]),
        };
        let conditions = conditions.join(" AND ");
        let sql = format!("SELECT v, c, a, b, a * 2 FROM t WHERE {conditions} {order} {limit}");
        near += usize::from(is_near(&world, &mut client, &sql));
        let sorted = |mut rows: Vec<Row>| {
            if order.is_empty() {
                rows.sort();
            }
            rows
        };
        let found = sorted(world.sql(&mut client, &sql));
        // With OFFSET, only the plan reads.
        let expected = sorted(world.sql(&mut client, &format!("{sql} OFFSET 0")));
        assert_eq!(found, expected, "{sql}");
    }
    assert!(near > 150, "{near} of 400");
}

#[test]
fn parameters_bound_the_range_and_execute_takes_some_rows_at_a_time() {
    let (world, mut client) = world();
    let sql = "SELECT c FROM t WHERE a = $1 AND b = 'b1' AND c >= $2 ORDER BY b, c";
    world.now(client.0.parse("s", sql, &[])).unwrap();
    let mut read = |values: [&str; 2], most: usize| {
        let values = values.map(|value| crate::session::Parameter {
            format: Format::Text,
            value: Some(value.as_bytes()),
        });
        world.now(client.0.bind("", "s", &values, &[])).unwrap();
        let (mut blocks, mut rows) = (0, Vec::new());
        loop {
            match world.now(client.0.execute("", most)).unwrap() {
                Step::Rows(block) => {
                    blocks += 1;
                    for row in 0..block.rows.len() {
                        let mut cell = Vec::new();
                        block.write_cell(row, 0, &mut cell).unwrap();
                        rows.push(String::from_utf8(cell).unwrap());
                    }
                }
                Step::Complete(tag) => return (blocks, rows, tag),
                _ => panic!("neither rows nor the end"),
            }
        }
    };
    let (blocks, all, tag) = read(["7", "-400"], 0);
    assert_eq!((blocks, tag.as_str()), (1, "SELECT 4"));
    assert_eq!(all, ["-251", "169", "589", "1009"]);
    let (blocks, some, _) = read(["7", "-400"], 2);
    assert_eq!((blocks, some), (2, all));
    assert_eq!(read(["7", "3000000000"], 0), (0, vec![], "SELECT 0".into()));
    assert_eq!(read(["7", "310"], 0).1, ["589", "1009"]);
}
