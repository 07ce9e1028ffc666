//! ALTER TABLE on a table whose rows are sealed: no row is written anew where PostgreSQL writes none, and
//! a rewrite of many rows keeps few of them in memory.

use super::world::{Client, World, code, one, small};
use crate::segment::SealedTable;
use crate::storage::TableId;

/// More than a load keeps in memory.
const ROWS: u64 = 200;

fn world() -> (World, Client) {
    let world = World::new(small);
    let mut client = world.client();
    let create = "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p SELECT generate_series(0, 6); \
        CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, w varchar(20), x text, m numeric(8,2), \
                        at timestamp(3), gone text); \
        CREATE INDEX t_w ON t (w); CREATE INDEX t_m ON t (m)";
    world.sql(&mut client, create);
    let rows = format!(
        "INSERT INTO t SELECT i, i % 7, 'w' || i, 'x' || i, i / 4.0, \
         timestamp '2024-01-01' + i * interval '1 minute', 'gone' FROM generate_series(1, {ROWS}) i"
    );
    world.sql(&mut client, &rows);
    world.sql(&mut client, "VACUUM FULL t");
    // Some rows are replaced, and some are not sealed.
    world.sql(&mut client, "UPDATE t SET x = x || '!' WHERE id % 50 = 0");
    (world, client)
}

/// The storage of the tables and indexes that have segments, and the numbers of those.
fn segments(world: &World) -> Vec<(TableId, Vec<u64>)> {
    let snapshot = world.database.engine.segments.store().snapshot().unwrap();
    let mut all: Vec<(TableId, Vec<u64>)> = Vec::new();
    for table in snapshot.tiers().0.keys() {
        let parts = SealedTable::of(&snapshot, *table).map_or(&[][..], SealedTable::parts);
        let mut numbers: Vec<u64> = parts
            .iter()
            .map(|part| part.segment.meta().segment)
            .collect();
        numbers.sort_unstable();
        all.push((*table, numbers));
    }
    all.sort_unstable();
    all
}

#[track_caller]
fn sound(world: &World) {
    assert_eq!(world.check(), Vec::<String>::new());
}

/// What keeps rows as they are, and a query whose answer says that it was done.
const WITHOUT_REWRITE: &[(&str, &str, &str)] = &[
    (
        "ADD COLUMN b int",
        "count(*) FILTER (WHERE b IS NULL)",
        "200",
    ),
    (
        "ADD COLUMN c text NOT NULL DEFAULT 'c'",
        "count(*) FILTER (WHERE c = 'c')",
        "200",
    ),
    (
        "ADD COLUMN d timestamptz DEFAULT now()",
        "count(DISTINCT d)",
        "1",
    ),
    ("ADD COLUMN e int CHECK (e > 0) DEFAULT 4", "sum(e)", "800"),
    ("DROP COLUMN gone", "count(*)", "200"),
    ("RENAME COLUMN a TO aa", "sum(aa)", "598"),
    ("RENAME COLUMN aa TO a", "sum(a)", "598"),
    ("ALTER COLUMN x SET NOT NULL", "count(x)", "200"),
    ("ALTER COLUMN x DROP NOT NULL", "count(x)", "200"),
    ("ALTER COLUMN a SET DEFAULT 3", "sum(a)", "598"),
    ("ALTER COLUMN a DROP DEFAULT", "sum(a)", "598"),
    ("ALTER COLUMN w TYPE varchar(30)", "max(length(w))", "4"),
    ("ALTER COLUMN w TYPE varchar", "count(DISTINCT w)", "200"),
    (
        "ALTER COLUMN w TYPE text",
        "count(*) FILTER (WHERE w = 'w77')",
        "1",
    ),
    (
        "ALTER COLUMN x TYPE varchar USING x::varchar",
        "count(*) FILTER (WHERE x = 'x50!')",
        "1",
    ),
    ("ALTER COLUMN m TYPE numeric(12,2)", "sum(m)", "5025.00"),
    (
        "ALTER COLUMN m TYPE numeric",
        "count(*) FILTER (WHERE m = 12.5)",
        "1",
    ),
    (
        "ALTER COLUMN at TYPE timestamp(6)",
        "max(at)",
        "2024-01-01 03:20:00",
    ),
    (
        "ALTER COLUMN at TYPE timestamp",
        "count(*) FILTER (WHERE at >= '2024-01-01 03:00')",
        "21",
    ),
    ("ADD CHECK (a < 7)", "count(*)", "200"),
    ("ADD FOREIGN KEY (a) REFERENCES p", "count(*)", "200"),
];

#[test]
fn rows_stay_where_they_are_unless_postgresql_writes_them() {
    let (world, mut client) = world();
    // Decoded columns of the old types are in the caches.
    world.sql(
        &mut client,
        "SELECT sum(m), count(w), max(at) FROM t WHERE m > 0",
    );
    let before = segments(&world);
    let objects = world.objects.count();
    for (change, question, answer) in WITHOUT_REWRITE {
        world.sql(&mut client, &format!("ALTER TABLE t {change}"));
        assert_eq!(segments(&world), before, "{change}");
        assert_eq!(world.objects.count(), objects, "{change}");
        let found = world.sql(&mut client, &format!("SELECT {question} FROM t"));
        assert_eq!(one(&found), *answer, "{change}");
        sound(&world);
    }
    // The longer and wider values that are possible now, and a merge of both layouts.
    let wide = "UPDATE t SET w = repeat('w', 40), m = 1234567890.25, x = NULL WHERE id = 77";
    world.sql(&mut client, wide);
    world.sql(&mut client, "VACUUM FULL t");
    let found = world.sql(
        &mut client,
        "SELECT count(*), max(m), sum(m), max(length(w)), count(DISTINCT w) FROM t",
    );
    let expected = ["200", "1234567890.25", "1234572896.00", "40", "200"];
    assert_eq!(
        found,
        [expected.map(|value| Some(value.to_owned())).to_vec()]
    );
    let by_index = world.sql(&mut client, "SELECT id FROM t WHERE w = repeat('w', 40)");
    assert_eq!(one(&by_index), "77");
    sound(&world);
}

/// A unique constraint writes entries of its index, and nothing of the table.
#[test]
fn a_unique_constraint_only_reads_the_table() {
    let (world, mut client) = world();
    let before = segments(&world);
    world.sql(&mut client, "ALTER TABLE t ADD UNIQUE (x)");
    let after = segments(&world);
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|known| after.contains(known)));
    let twice = "ALTER TABLE t ADD UNIQUE (a)";
    let error = world.try_sql(&mut client, twice).unwrap_err();
    assert_eq!(error.state().code(), "23505");
    assert_eq!(
        error.fields().detail.as_deref(),
        Some("Key (a)=(0) is duplicated.")
    );
    world.now(world.database.tend()).unwrap();
    assert_eq!(
        world.objects.count(),
        2 * after.iter().map(|(_, parts)| parts.len()).sum::<usize>()
    );
    sound(&world);
}

/// Unsealed entries and segments of what the newest tables and indexes are stored in.
fn newest(world: &World, count: usize) -> Vec<(u64, usize)> {
    let snapshot = world.database.engine.segments.store().snapshot().unwrap();
    let all = segments(world);
    let newest = all.iter().rev().take(count);
    newest
        .map(|(table, parts)| (snapshot.unsealed_len(*table).unwrap(), parts.len()))
        .collect()
}

#[test]
fn indexes_and_rewrites_of_many_rows_go_to_segments() {
    let (mut world, mut client) = world();
    world.sql(&mut client, "CREATE INDEX by_x ON t (x)");
    assert!(matches!(newest(&world, 1)[..], [(0, 2..)]));
    let found = world.sql(&mut client, "SELECT id FROM t WHERE x = 'x100!'");
    assert_eq!(one(&found), "100");
    sound(&world);
    // A rewrite: the table, and the indexes by w, m and x.
    for (change, question, answer) in [
        (
            "ALTER COLUMN a TYPE text USING 'a' || a",
            "count(*) FILTER (WHERE a = 'a3')",
            "29",
        ),
        ("ALTER COLUMN id TYPE bigint", "sum(id)", "20100"),
        ("ADD COLUMN n serial", "count(DISTINCT n)", "200"),
        ("DROP CONSTRAINT t_pkey", "sum(id)", "20100"),
        (
            "ADD PRIMARY KEY (x)",
            "count(*) FILTER (WHERE x = 'x7')",
            "1",
        ),
        (
            "ALTER COLUMN x TYPE text USING reverse(x)",
            "count(*) FILTER (WHERE x = '!051x')",
            "1",
        ),
    ] {
        world.sql(&mut client, &format!("ALTER TABLE t {change}"));
        let newest = newest(&world, 4);
        assert!(
            newest
                .iter()
                .all(|(unsealed, parts)| *unsealed == 0 && *parts > 1),
            "{change}: {newest:?}"
        );
        let found = world.sql(&mut client, &format!("SELECT {question} FROM t"));
        assert_eq!(one(&found), answer, "{change}");
        sound(&world);
    }
    // Two rows that get one key, however far apart they are.
    for change in [
        "ALTER COLUMN x TYPE text USING CASE WHEN id IN (3, 190) THEN 'same' ELSE x END",
        "DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a)",
    ] {
        let answer = world.try_sql(&mut client, &format!("ALTER TABLE t {change}"));
        assert_eq!(code(answer), "23505", "{change}");
    }
    world.sql(
        &mut client,
        "BEGIN; CREATE INDEX gone ON t (a); ALTER TABLE t ALTER COLUMN n TYPE bigint",
    );
    assert_eq!(
        one(&world.sql(&mut client, "SELECT count(DISTINCT n) FROM t")),
        "200"
    );
    world.sql(&mut client, "ROLLBACK");
    sound(&world);
    drop(client);
    world.reopen();
    let mut client = world.client();
    assert_eq!(
        one(&world.sql(&mut client, "SELECT count(DISTINCT n) FROM t")),
        "200"
    );
    world.sql(&mut client, "VACUUM FULL t");
    sound(&world);
}
