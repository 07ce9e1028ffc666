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
