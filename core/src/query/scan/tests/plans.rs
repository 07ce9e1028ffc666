//! What scans of sealed tables leave out, and what is answered without reading.

use super::pair::Pair;

const ROWS: i32 = 5000;

fn filled() -> Pair {
    let mut pair = Pair::new("id int PRIMARY KEY, a int, t text, n numeric(10,2), f float8");
    pair.both(&format!(
        "INSERT INTO {{t}} SELECT i, i / 7, 'text ' || lpad(i::text, 6, '0'), i / 100.0, i * 0.5
         FROM generate_series(1, {ROWS}) i"
    ));
    pair.seal();
    pair
}

/// The number in a line of a plan.
fn number(plan: &str, name: &str) -> usize {
    let found = plan.lines().find_map(|line| {
        let rest = line.split(name).nth(1)?;
        rest.split_whitespace().next()?.parse().ok()
    });
    found.unwrap_or_else(|| panic!("no {name} in\n{plan}"))
}

fn read(pair: &mut Pair, sql: &str) -> usize {
    pair.both(sql);
    number(&pair.plan(sql), "Row Groups Read: ")
}

#[test]
fn filters_leave_out_row_groups() {
    let mut pair = filled();
    let all = read(&mut pair, "SELECT a + 1 FROM {t}");
    assert!(all > 30, "{all}");
    for filter in [
        "a < 50",
        "a = 300",
        "a BETWEEN 300 AND 320",
        "a IN (3, 300)",
        "a IS NULL",
        "t = 'text 000333'",
        "t > 'text 004900'",
        "t LIKE 'text 0001%'",
        "n < 3.5",
        "n BETWEEN 3.00 AND 3.10",
        "f < 20",
        "f = 100.5",
        "a < 20 OR a > 700",
        "a < 20 AND t > 'text 004000'",
    ] {
        let some = read(
            &mut pair,
            &format!("SELECT id, t FROM {{t}} WHERE {filter}"),
        );
        assert!(some < all / 4, "{filter}: {some} of {all}");
    }
}

/// What a query reads when nothing is in memory: row groups, pieces of them, and pieces left out.
fn read_cold(pair: &mut Pair, sql: &str) -> (usize, usize, usize) {
    let plan = pair.plan(sql);
    pair.both(sql);
    (
        number(&plan, "Row Groups Read: "),
        number(&plan, "Pages Read: "),
        pages_pruned(&plan),
    )
}

fn pages_pruned(plan: &str) -> usize {
    let line = plan.lines().find(|line| line.contains("Pages Read: "));
    line.map_or(0, |line| number(line, "Pruned: "))
}

#[test]
fn filters_leave_out_pages_that_are_not_in_memory() {
    let mut pair = filled();
    pair.both("UPDATE {t} SET f = f + 1 WHERE id IN (2100, 2101)");
    for (filter, groups) in [
        ("a = 301", 1),
        ("t = 'text 000333'", 1),
        ("n BETWEEN 3.10 AND 3.12", 1),
        ("a < 3", 1),
        ("a IN (3, 301) AND t LIKE 'text%'", 2),
    ] {
        let sql = format!("SELECT id, t, f FROM {{t}} WHERE {filter}");
        let (read, pages, pruned) = read_cold(&mut pair, &sql);
        assert!(
            read <= groups && pages <= groups,
            "{filter}: {read}, {pages}"
        );
        assert!(pruned >= read, "{filter}: {pruned}");
    }
    // All of it is wanted, and then in memory.
    let all = "SELECT id, t, f, a, n FROM {t} WHERE a >= 0";
    assert_eq!(read_cold(&mut pair, all).2, 0);
    let sql = "SELECT id, t, f FROM {t} WHERE a = 301";
    assert_eq!(read_cold(&mut pair, sql).2, 0);
}

#[test]
fn joins_leave_out_pages_that_are_not_in_memory() {
    let mut pair = filled();
    let sql = "SELECT {t}.t FROM {t} JOIN (VALUES (30), (31)) AS few (a) ON {t}.a = few.a";
    let (_, _, pruned) = read_cold(&mut pair, sql);
    assert!(pruned > 0);
}

#[test]
fn bloom_filters_leave_out_row_groups_that_are_not_in_memory() {
    let mut pair = Pair::new("id int PRIMARY KEY, h text, u uuid, b bigint, v varchar(40)");
    pair.both(
        "INSERT INTO {t} SELECT i, md5(i::text), md5('u' || i)::uuid, i * 7919 % 1000003, md5('v' || i)
         FROM generate_series(1, 5000) i",
    );
    pair.seal();
    for filter in [
        "h = md5('17')",
        "h IN (md5('17'), md5('18'), 'nothing')",
        "u = md5('u1700')::uuid",
        "b = 17 * 7919",
        "v = md5('v99') AND id > 0",
    ] {
        let sql = format!("SELECT id FROM {{t}} WHERE {filter}");
        let (read, ..) = read_cold(&mut pair, &sql);
        assert!(read <= 6, "{filter}: {read}");
    }
    let join =
        "SELECT id FROM {t} JOIN (VALUES (md5('31')), (md5('4031'))) AS few (h) ON {t}.h = few.h";
    let (read, ..) = read_cold(&mut pair, join);
    assert!(read <= 8, "{read}");
    pair.both("UPDATE {t} SET h = 'new' WHERE id = 17");
    pair.both("SELECT id FROM {t} WHERE h IN (md5('17'), 'new')");
}

#[test]
fn joins_and_top_k_leave_out_row_groups() {
    let mut pair = filled();
    let all = read(&mut pair, "SELECT a + 1 FROM {t}");
    for sql in [
        "SELECT a FROM {t} ORDER BY a DESC LIMIT 5",
        "SELECT n, t FROM {t} ORDER BY n, t LIMIT 5",
        "SELECT id, t FROM {t} ORDER BY id DESC LIMIT 5",
        "SELECT {t}.t FROM {t} JOIN (VALUES (30), (33)) AS few (a) ON {t}.a = few.a",
    ] {
        let some = read(&mut pair, sql);
        assert!(some < all / 2, "{sql}: {some} of {all}\n{}", pair.plan(sql));
    }
}

#[test]
fn rows_that_match_nothing_above_are_left_out_by_the_scan() {
    let mut pair = filled();
    for (sql, removed) in [
        ("SELECT id FROM {t} WHERE a = 300", 50),
        ("SELECT t FROM {t} WHERE a % 7 = 3 AND n > 10", 2000),
        (
            "SELECT {t}.t FROM {t} JOIN (VALUES (30), (700)) AS few (a) ON {t}.a = few.a",
            100,
        ),
        (
            "SELECT count(*) FROM {t} x JOIN {t} y ON x.a = y.id WHERE y.t LIKE '%9%'",
            2000,
        ),
    ] {
        pair.both(sql);
        let plan = pair.plan(sql);
        let found = number(&plan, "Rows Removed by Filter: ");
        assert!(found >= removed, "{sql}: {found}\n{plan}");
        assert!(!plan.contains("->  Filter"), "{sql}\n{plan}");
    }
}

#[test]
fn a_limit_counts_rows_before_a_join_drops_them() {
    let mut pair = filled();
    for sql in [
        "SELECT x.id FROM (SELECT id, a FROM {t} ORDER BY id LIMIT 9) x JOIN (VALUES (1), (300)) v (a) ON x.a = v.a",
        "SELECT x.id FROM (SELECT id, a FROM {t} ORDER BY id LIMIT 3000) x JOIN (VALUES (1), (600)) v (a) ON x.a = v.a",
        "SELECT x.id FROM (SELECT id, a FROM {t} WHERE a > 5 ORDER BY id LIMIT 9) x JOIN (VALUES (6), (600)) v (a) ON x.a = v.a",
        "SELECT x.id FROM (SELECT id, a FROM {t} ORDER BY a DESC, id LIMIT 9) x JOIN (VALUES (1), (714)) v (a) ON x.a = v.a",
    ] {
        pair.both(sql);
    }
}

#[test]
fn deleted_and_own_rows_pass_the_same_conditions() {
    let mut pair = filled();
    pair.both("DELETE FROM {t} WHERE id % 5 = 0");
    pair.both("UPDATE {t} SET a = 300 WHERE id BETWEEN 10 AND 12");
    pair.both("INSERT INTO {t} VALUES (90000, 300, 'new', 1, 1), (-3, 299, 'new', 1, 1)");
    for sql in [
        "SELECT * FROM {t} WHERE a = 300",
        "SELECT count(*), sum(n) FROM {t} WHERE a > 290 AND t LIKE 'text%'",
        "UPDATE {t} SET f = 0 WHERE a = 300 AND t <> 'new'",
        "DELETE FROM {t} WHERE a BETWEEN 299 AND 301 AND f < 900",
        "SELECT * FROM {t} WHERE a BETWEEN 295 AND 305",
        "SELECT x.id, y.t FROM {t} x JOIN {t} y ON x.a = y.id WHERE y.n < 3 ORDER BY x.id",
    ] {
        pair.both(sql);
    }
}

#[test]
fn the_first_by_key_are_read_row_by_row() {
    let mut pair = filled();
    let plan = |pair: &mut Pair, sql: &str| {
        pair.both(sql);
        pair.plan(sql)
    };
    let few = plan(&mut pair, "SELECT id, t FROM {t} ORDER BY id LIMIT 5");
    assert!(
        !few.contains("Sort") && !few.contains("Row Groups"),
        "{few}"
    );
    let many = plan(&mut pair, "SELECT id, t FROM {t} ORDER BY id");
    assert!(
        !many.contains("Sort") && many.contains("Row Groups"),
        "{many}"
    );
    pair.both("DELETE FROM {t} WHERE id % 3 = 0");
    pair.both("INSERT INTO {t} VALUES (-4, 1, 'new', 1, 1), (90000, 1, 'new', 1, 1)");
    let few = plan(&mut pair, "SELECT id, t FROM {t} ORDER BY id LIMIT 5");
    assert!(
        !few.contains("Sort") && !few.contains("Row Groups"),
        "{few}"
    );
    plan(&mut pair, "SELECT id, t FROM {t} ORDER BY id");
    plan(
        &mut pair,
        "SELECT id, t FROM {t} WHERE a > 100 ORDER BY id LIMIT 30",
    );
}

#[test]
fn totals_are_known_without_reading() {
    let mut pair = filled();
    let totals =
        "SELECT count(*), count(a), min(a), max(a), min(t), max(t), min(n), max(id) FROM {t}";
    pair.both(totals);
    let plan = pair.plan(totals);
    assert!(!plan.contains("Scan"), "{plan}");
    pair.both("DELETE FROM {t} WHERE id = 5000");
    pair.both(totals);
    pair.both("UPDATE {t} SET a = -1, n = -1 WHERE id = 17");
    pair.both(totals);
    pair.seal();
    pair.both(totals);
}
