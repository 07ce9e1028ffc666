//! What keeping unsealed rows as columns costs.

use super::kept::world;

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
