//! Statements with many new rows, which go to segments past redb: nobody sees them before the commit,
//! and nobody may write their values; whatever is undone leaves nothing.

use std::sync::Arc;

use super::world::{Client, World, code, one, small};
use crate::segment::SealedTable;
use crate::storage::TableId;
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};

fn world(columns: &str) -> (World, Client) {
    let world = World::new(small);
    let mut client = world.client();
    world.sql(&mut client, &format!("CREATE TABLE t ({columns})"));
    (world, client)
}

/// A database where rows of a statement move on once they are so many.
fn loading(load_rows: usize) -> World {
    World::new(|options| {
        small(options);
        options.write.rows = 1000;
        options.load_rows = load_rows;
    })
}

fn pair(row: &[Option<String>]) -> (i64, i64) {
    let number = |at: usize| row[at].as_ref().unwrap().parse().unwrap();
    (number(0), number(1))
}

fn storages(world: &World) -> Vec<TableId> {
    let snapshot = world.database.engine.segments.store().snapshot().unwrap();
    let mut storages: Vec<TableId> = snapshot.tiers().0.keys().copied().collect();
    storages.sort_unstable();
    storages
}

/// Unsealed entries and segments of every table and index that has segments.
fn tiers(world: &World) -> Vec<(u64, usize)> {
    let snapshot = world.database.engine.segments.store().snapshot().unwrap();
    let tiers = storages(world).into_iter().map(|table| {
        let parts = SealedTable::of(&snapshot, table).map_or(0, |sealed| sealed.parts().len());
        (snapshot.unsealed_len(table).unwrap(), parts)
    });
    tiers.collect()
}

fn count(world: &World, client: &mut Client, what: &str) -> u64 {
    let rows = world.sql(client, &format!("SELECT count(*) FROM {what}"));
    one(&rows).parse().unwrap()
}

#[track_caller]
fn sound(world: &World) {
    assert_eq!(world.check(), Vec::<String>::new());
}

const COLUMNS: &str = "id int PRIMARY KEY, v text UNIQUE, n int";
const ROWS: &str = "INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 200) i";

#[test]
fn many_rows_never_are_unsealed() {
    let (world, mut client) = world(COLUMNS);
    world.sql(&mut client, ROWS);
    let tiers = tiers(&world);
    assert_eq!(tiers.len(), 2, "the table and its unique index");
    assert!(
        tiers
            .iter()
            .all(|(unsealed, parts)| *unsealed == 0 && *parts > 1)
    );
    assert_eq!(count(&world, &mut client, "t"), 200);
    assert_eq!(
        count(&world, &mut client, "t WHERE v = 'v77' AND id = 77"),
        1
    );
    let lines: String = (201..=300).map(|i| format!("{i}\tv{i}\t\\N\n")).collect();
    world
        .copy(&mut client, "COPY t FROM STDIN", &lines)
        .unwrap();
    assert_eq!(count(&world, &mut client, "t WHERE n IS NULL"), 100);
    world.sql(&mut client, "CREATE TABLE u AS SELECT * FROM t");
    assert_eq!(count(&world, &mut client, "u JOIN t USING (id)"), 300);
    assert_eq!(storages(&world).len(), 3);
    // Few rows go to redb.
    world.sql(&mut client, "INSERT INTO t VALUES (301, 'v301', 0)");
    assert_eq!(self::tiers(&world)[0].0, 1);
    sound(&world);
}

#[test]
fn rows_in_any_order_make_few_runs() {
    let (world, mut client) = world(COLUMNS);
    let sql = "INSERT INTO t SELECT (i * 7919) % 1009, 'v' || i, i FROM generate_series(1, 1008) i";
    world.sql(&mut client, sql);
    assert_eq!(count(&world, &mut client, "t"), 1008);
    let rows = world.sql(&mut client, "SELECT id FROM t ORDER BY id");
    assert!(
        rows.iter()
            .map(|row| row[0].clone().unwrap())
            .eq((1..=1008).map(|i| i.to_string()))
    );
    sound(&world);
    world.sql(&mut client, "VACUUM FULL t");
    assert_eq!(count(&world, &mut client, "t WHERE n > 0"), 1008);
    sound(&world);
}

#[test]
fn nobody_sees_rows_before_the_commit() {
    let (world, mut client) = world(COLUMNS);
    let mut other = world.client();
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, ROWS);
    assert_eq!(count(&world, &mut other, "t"), 0);
    assert_eq!(count(&world, &mut client, "t"), 200);
    // Own rows are changed like others.
    world.sql(&mut client, "UPDATE t SET n = 50 WHERE id <= 10");
    world.sql(
        &mut client,
        "UPDATE t SET id = id + 1000, v = v || '!' WHERE id IN (20, 30)",
    );
    world.sql(&mut client, "DELETE FROM t WHERE id > 190 AND id < 1000");
    world.sql(&mut client, "INSERT INTO t VALUES (195, 'v195', 9)");
    let expected = "t WHERE n = 50 AND id <= 10 OR id IN (1020, 1030, 195)";
    assert_eq!(count(&world, &mut client, "t"), 191);
    assert_eq!(count(&world, &mut client, expected), 13);
    assert_eq!(count(&world, &mut client, "t WHERE v = 'v30'"), 0);
    assert_eq!(count(&world, &mut client, "t WHERE v = 'v30!'"), 1);
    world.sql(&mut client, "COMMIT");
    assert_eq!(count(&world, &mut other, "t"), 191);
    assert_eq!(count(&world, &mut other, expected), 13);
    sound(&world);
}

#[test]
fn what_is_undone_leaves_nothing() {
    let (mut world, mut client) = world(COLUMNS);
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, ROWS);
    world.sql(&mut client, "ROLLBACK");
    world.now(world.database.tend()).unwrap();
    assert_eq!(world.objects.count(), 0);

    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, ROWS);
    world.sql(&mut client, "SAVEPOINT s");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'w' || i, 1 FROM generate_series(300, 400) i",
    );
    world.sql(&mut client, "UPDATE t SET n = -1 WHERE id IN (7, 350)");
    world.sql(&mut client, "ROLLBACK TO s");
    assert_eq!(count(&world, &mut client, "t"), 200);
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'x' || i, 2 FROM generate_series(350, 450) i",
    );
    // A statement that fails half way.
    world.sql(&mut client, "SAVEPOINT r");
    let dup = "INSERT INTO t SELECT i % 600, 'y' || i, 2 FROM generate_series(500, 1100) i";
    assert_eq!(code(world.try_sql(&mut client, dup)), "23505");
    world.sql(&mut client, "ROLLBACK TO r");
    world.sql(&mut client, "COMMIT");
    assert_eq!(count(&world, &mut client, "t"), 301);
    assert_eq!(
        count(
            &world,
            &mut client,
            "t WHERE n < 0 OR v LIKE 'y%' OR v LIKE 'w%'"
        ),
        0
    );
    sound(&world);
    world.now(world.database.tend()).unwrap();
    let parts: usize = tiers(&world).iter().map(|(_, parts)| parts).sum();
    assert_eq!(world.objects.count(), 2 * parts);
    // What a session leaves that ends in the middle.
    world.sql(&mut client, "BEGIN");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'z' || i, 2 FROM generate_series(700, 800) i",
    );
    drop(client);
    world.reopen();
    let mut client = world.client();
    assert_eq!(count(&world, &mut client, "t"), 301);
    assert_eq!(world.objects.count(), 2 * parts);
    sound(&world);
}

#[test]
fn taken_values_are_noticed_wherever_they_lie() {
    // Rows move on at once, or some of them are lined up, or all.
    for load_rows in [10, 1500, 10_000] {
        taken_values_are_noticed(&loading(load_rows));
    }
}

fn taken_values_are_noticed(world: &World) {
    let mut client = world.client();
    world.sql(&mut client, &format!("CREATE TABLE t ({COLUMNS})"));
    world.sql(&mut client, ROWS);
    world.sql(&mut client, "INSERT INTO t VALUES (1001, 'one', 0)");
    let mut refused = |sql: &str, detail: &str| {
        let error = world.try_sql(&mut client, sql).unwrap_err();
        assert_eq!(error.state().code(), "23505", "{sql}: {error}");
        assert_eq!(error.fields().detail.as_deref(), Some(detail), "{sql}");
    };
    refused(
        "INSERT INTO t SELECT i, 'a' || i, 0 FROM generate_series(201, 900) i
         UNION ALL SELECT 77, 'b', 0",
        "Key (id)=(77) already exists.",
    );
    refused(
        "INSERT INTO t SELECT i, 'a' || i, 0 FROM generate_series(201, 1100) i",
        "Key (id)=(1001) already exists.",
    );
    refused(
        "INSERT INTO t SELECT i, 'v' || (i - 800), 0 FROM generate_series(801, 1900) i",
        "Key (v)=(v1) already exists.",
    );
    // Within the statement, long after the first has moved on.
    refused(
        "INSERT INTO t SELECT 2000 + i % 3000, 'a' || i, 0 FROM generate_series(1, 3001) i",
        "Key (id)=(2001) already exists.",
    );
    refused(
        "INSERT INTO t SELECT 2000 + i, 'a' || i % 2500, 0 FROM generate_series(1, 2501) i",
        "Key (v)=(a1) already exists.",
    );
    let lines: String = (1..=2000)
        .map(|i| format!("{}\ta{i}\t0\n", if i == 1500 { 2003 } else { 2000 + i }))
        .collect();
    let error = world
        .copy(&mut client, "COPY t FROM STDIN", &lines)
        .unwrap_err();
    assert_eq!(error.state().code(), "23505");
    assert_eq!(error.fields().context.as_deref(), Some("COPY t, line 1500"));
    // The first error counts, though a later line cannot even be read.
    let error = world
        .copy(&mut client, "COPY t FROM STDIN", "77\tx\t0\n78\n")
        .unwrap_err();
    assert_eq!(error.fields().context.as_deref(), Some("COPY t, line 1"));
    assert_eq!(count(world, &mut client, "t"), 201);
    sound(world);
}

#[test]
fn rows_in_line_and_rows_between_them_come_together() {
    for load_rows in [1500, 10_000] {
        let world = loading(load_rows);
        let mut client = world.client();
        world.sql(
            &mut client,
            "CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE)",
        );
        // Each third row steps back, and the index's entries jump.
        let lines: String = (0..6000)
            .map(|i| {
                format!(
                    "{}\t{}\n",
                    if i % 3 == 2 { i - 10_000 } else { i },
                    i * 7 % 6007
                )
            })
            .collect();
        let copied = "id, n FROM t ORDER BY id";
        for end in ["ROLLBACK", "COMMIT"] {
            world.sql(&mut client, "BEGIN");
            world
                .copy(&mut client, "COPY t FROM STDIN", &lines)
                .unwrap();
            assert_eq!(count(&world, &mut client, "t WHERE id < 0"), 2000);
            world.sql(&mut client, "SAVEPOINT s");
            let again = world.copy(&mut client, "COPY t FROM STDIN", &lines);
            assert_eq!(code(again), "23505");
            world.sql(&mut client, "ROLLBACK TO s");
            world.sql(&mut client, end);
        }
        let mut wanted: Vec<(i64, i64)> = (0..6000)
            .map(|i| (if i % 3 == 2 { i - 10_000 } else { i }, i * 7 % 6007))
            .collect();
        wanted.sort_unstable();
        let rows = world.sql(&mut client, &format!("SELECT {copied}"));
        let found: Vec<(i64, i64)> = rows.iter().map(|row| pair(row)).collect();
        assert_eq!(found, wanted);
        assert_eq!(count(&world, &mut client, "t WHERE n = 7 * 5"), 1);
        let few = tiers(&world).iter().all(|(unsealed, _)| *unsealed == 6000);
        assert_eq!(few, load_rows > 6000);
        sound(&world);
    }
}

#[test]
fn keys_that_were_deleted_before_come_again() {
    for load_rows in [10, 1500, 10_000] {
        let world = loading(load_rows);
        let mut client = world.client();
        world.sql(&mut client, &format!("CREATE TABLE t ({COLUMNS})"));
        let old = "INSERT INTO t SELECT i, 'v' || i, -1 FROM generate_series(1, 50) i";
        let new = "INSERT INTO t SELECT i, 'v' || i, 1 FROM generate_series(1, 3000) i";
        for (ends, rows) in [
            (&["ROLLBACK TO s", "COMMIT"][..], 0),
            (&["COMMIT"][..], 3000),
        ] {
            world.sql(&mut client, "DELETE FROM t");
            world.sql(&mut client, old);
            world.sql(&mut client, "BEGIN");
            // Some are gone, one has another key, and one was there in this transaction only.
            world.sql(&mut client, "DELETE FROM t WHERE id > 1");
            world.sql(&mut client, "UPDATE t SET id = -1, v = 'moved'");
            world.sql(&mut client, "INSERT INTO t VALUES (70, 'own', -1)");
            world.sql(&mut client, "DELETE FROM t WHERE id = 70");
            world.sql(&mut client, "SAVEPOINT s");
            world.sql(&mut client, new);
            assert_eq!(count(&world, &mut client, "t WHERE n = 1"), 3000);
            for end in ends {
                world.sql(&mut client, end);
            }
            assert_eq!(count(&world, &mut client, "t WHERE n = 1"), rows);
            assert_eq!(count(&world, &mut client, "t"), rows + 1);
            let found = count(&world, &mut client, "t WHERE v = 'v7' AND id = 7");
            assert_eq!(found, rows.min(1));
            sound(&world);
        }
    }
}

#[test]
fn who_writes_a_loaded_value_waits_for_the_load() {
    for commits in [true, false] {
        let (world, mut client) = world(COLUMNS);
        let (first, second) = (world.client(), world.client());
        world.sql(&mut client, "BEGIN");
        world.sql(&mut client, ROWS);
        let mut key = world.start(first, "INSERT INTO t VALUES (50, 'other', 0)");
        let mut value = world.start(
            second,
            "INSERT INTO t VALUES (5000, 'v60', 0) ON CONFLICT (v) DO UPDATE SET n = -5",
        );
        assert!(world.poll(key.as_mut(), 100).is_none());
        assert!(world.poll(value.as_mut(), 100).is_none());
        // Others are not kept waiting.
        let mut third = world.client();
        world.sql(&mut third, "INSERT INTO t VALUES (9000, 'free', 0)");
        world.sql(&mut client, if commits { "COMMIT" } else { "ROLLBACK" });
        let (_, answer) = world.now(key.as_mut());
        match commits {
            true => assert_eq!(code(answer), "23505"),
            false => assert!(answer.is_ok()),
        }
        let (mut second, answer) = world.now(value.as_mut());
        answer.unwrap();
        let updated = count(&world, &mut second, "t WHERE n = -5 AND id = 60");
        assert_eq!(updated, u64::from(commits));
        let expected = if commits { 201 } else { 3 };
        assert_eq!(count(&world, &mut second, "t"), expected);
        sound(&world);
    }
}

#[test]
fn a_load_and_a_writer_that_wait_for_each_other_are_a_deadlock() {
    let (world, mut client) = world(COLUMNS);
    let mut other = world.client();
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, ROWS);
    world.sql(&mut other, "BEGIN");
    world.sql(&mut other, "INSERT INTO t VALUES (2000, 'mine', 0)");
    let mut waits = world.start(other, "INSERT INTO t VALUES (50, 'other', 0)");
    assert!(world.poll(waits.as_mut(), 100).is_none());
    assert_eq!(world.waiting(), 1);
    let sql = "INSERT INTO t SELECT i, 'x' || i, 0 FROM generate_series(1990, 2010) i";
    assert_eq!(code(world.try_sql(&mut client, sql)), "40P01");
    world.sql(&mut client, "ROLLBACK");
    let (mut other, answer) = world.now(waits.as_mut());
    answer.unwrap();
    world.sql(&mut other, "COMMIT");
    assert_eq!(count(&world, &mut client, "t"), 2);
    sound(&world);
}

#[test]
fn references_are_checked_and_kept() {
    let (world, mut client) = world(COLUMNS);
    world.sql(&mut client, ROWS);
    world.sql(
        &mut client,
        "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t, up int REFERENCES c)",
    );
    // References to rows of the same statement, also to later ones.
    world.sql(&mut client, "BEGIN");
    world.sql(
        &mut client,
        "INSERT INTO c SELECT i, i % 200 + 1, 5001 - i FROM generate_series(1, 5000) i",
    );
    let mut other = world.client();
    let mut removes = world.start(world.client(), "DELETE FROM t WHERE id = 17");
    assert!(world.poll(removes.as_mut(), 100).is_none());
    world.sql(&mut client, "COMMIT");
    assert_eq!(code(world.now(removes.as_mut()).1), "23503");
    let missing = "INSERT INTO c SELECT i, i - 9000, NULL FROM generate_series(9001, 9300) i";
    let error = world.try_sql(&mut client, missing).unwrap_err();
    assert_eq!(error.state().code(), "23503");
    let detail = "Key (t)=(201) is not present in table \"t\".";
    assert_eq!(error.fields().detail.as_deref(), Some(detail));
    let itself = "INSERT INTO c SELECT i, 1, i + 1 FROM generate_series(9001, 9300) i";
    let error = world.try_sql(&mut client, itself).unwrap_err();
    let detail = "Key (up)=(9301) is not present in table \"c\".";
    assert_eq!(error.fields().detail.as_deref(), Some(detail));
    assert_eq!(count(&world, &mut other, "c"), 5000);
    sound(&world);
}

#[test]
fn an_old_snapshot_shows_a_key_once() {
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let (world, mut client) = world(COLUMNS);
        world.sql(&mut client, ROWS);
        let mut old = world.client();
        world.sql(&mut old, &format!("BEGIN ISOLATION LEVEL {level}"));
        assert_eq!(count(&world, &mut old, "t"), 200);
        world.sql(&mut client, "DELETE FROM t WHERE id <= 100");
        world.sql(
            &mut old,
            "INSERT INTO t SELECT i, 'n' || i, -1 FROM generate_series(1, 50) i",
        );
        assert_eq!(count(&world, &mut old, "t"), 200);
        assert_eq!(count(&world, &mut old, "t WHERE n = -1"), 50);
        let committed = world.try_sql(&mut old, "COMMIT");
        assert_eq!(committed.is_ok(), level == "REPEATABLE READ");
        let left = if committed.is_ok() { 150 } else { 100 };
        assert_eq!(count(&world, &mut client, "t"), left);
        sound(&world);
    }
}

#[test]
fn serializable_readers_notice_a_load() {
    let (world, mut client) = world(COLUMNS);
    let mut reader = world.client();
    world.sql(&mut reader, "BEGIN ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(count(&world, &mut reader, "t WHERE id BETWEEN 5 AND 6"), 0);
    world.sql(&mut client, ROWS);
    assert_eq!(count(&world, &mut reader, "t"), 0);
    world.sql(&mut reader, "INSERT INTO t VALUES (999, 'r', 0)");
    assert_eq!(code(world.try_sql(&mut reader, "COMMIT")), "40001");
}

#[test]
fn tables_are_made_and_emptied_around_loads() {
    let (world, mut client) = world(COLUMNS);
    world.sql(&mut client, ROWS);
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, "TRUNCATE t");
    world.sql(&mut client, ROWS);
    world.sql(&mut client, "CREATE INDEX ON t (n)");
    world.sql(
        &mut client,
        "ALTER TABLE t ADD COLUMN later text DEFAULT 'yes'",
    );
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'w' || i, 1, 'no' FROM generate_series(300, 400) i",
    );
    assert_eq!(
        count(&world, &mut client, "t WHERE later = 'yes' AND n < 9"),
        200
    );
    world.sql(&mut client, "CREATE TABLE u (a int, b text)");
    world.sql(&mut client, "INSERT INTO u SELECT id, v FROM t");
    world.sql(&mut client, "COMMIT");
    assert_eq!(count(&world, &mut client, "t"), 301);
    assert_eq!(count(&world, &mut client, "u WHERE b LIKE 'v%'"), 200);
    sound(&world);
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, "CREATE TABLE gone (a int)");
    world.sql(
        &mut client,
        "INSERT INTO gone SELECT * FROM generate_series(1, 100)",
    );
    world.sql(&mut client, "DROP TABLE gone");
    world.sql(&mut client, "COMMIT");
    world.sql(&mut client, "DROP TABLE u");
    world.now(world.database.tend()).unwrap();
    let parts: usize = tiers(&world).iter().map(|(_, parts)| parts).sum();
    assert_eq!(world.objects.count(), 2 * parts);
    sound(&world);
}

/// A cursor sees what was there when it was declared, though the rows move on.
#[test]
fn open_cursors_keep_their_rows() {
    let (world, mut client) = world(COLUMNS);
    world.sql(&mut client, "BEGIN");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'a' || i, 0 FROM generate_series(1, 5) i",
    );
    world.sql(&mut client, "DECLARE before CURSOR FOR SELECT id FROM t");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'b' || i, 0 FROM generate_series(11, 60) i",
    );
    world.sql(&mut client, "DECLARE after CURSOR FOR SELECT id FROM t");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'c' || i, 0 FROM generate_series(71, 120) i",
    );
    assert_eq!(world.sql(&mut client, "FETCH ALL FROM before").len(), 5);
    assert_eq!(world.sql(&mut client, "FETCH ALL FROM after").len(), 55);
    world.sql(&mut client, "COMMIT");
    assert_eq!(count(&world, &mut client, "t"), 105);
    sound(&world);
}

#[test]
fn a_crash_during_a_load_leaves_all_or_nothing() {
    let (world, mut client) = world(COLUMNS);
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'a' || i, 0 FROM generate_series(1, 40) i",
    );
    let before = world.disk.op_count();
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, "UPDATE t SET n = 1 WHERE id = 3");
    world.sql(
        &mut client,
        "INSERT INTO t SELECT i, 'b' || i, 0 FROM generate_series(101, 160) i",
    );
    world.sql(&mut client, "UPDATE t SET n = 2 WHERE id = 120");
    world.sql(&mut client, "COMMIT");
    let acknowledged = world.disk.op_count();
    let ops = world.disk.ops();
    let mut random = Random(7);
    let mut crashes = Crashes::new(Image::default(), &ops);
    let mut seen = [0, 0];
    loop {
        if crashes.at() >= before {
            for survival in Survival::EVERY {
                let disk = Disk::with_image(crashes.image(survival, &mut random));
                let objects = Arc::new(world.objects.at(crashes.at(), &disk));
                let again = World::on(disk, objects, world.options.clone(), false).unwrap();
                let mut client = again.client();
                let rows = count(&again, &mut client, "t");
                let changed = count(&again, &mut client, "t WHERE n > 0");
                assert!(
                    [(40, 0), (100, 2)].contains(&(rows, changed)),
                    "{rows} {changed}"
                );
                assert!(rows == 100 || crashes.at() < acknowledged);
                seen[usize::from(rows == 100)] += 1;
                sound(&again);
                let parts: usize = tiers(&again).iter().map(|(_, parts)| parts).sum();
                assert_eq!(again.objects.count(), 2 * parts);
            }
        }
        if !crashes.advance() {
            break;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}
