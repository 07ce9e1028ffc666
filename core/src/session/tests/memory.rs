//! Transactions that change more than fits into their memory, and those that only seem to.

use super::world::{Client, World, one, small};
use crate::session::{SqlSession, Step};
use crate::storage::fault::Random;

const ROWS: usize = 12_000;
/// Less than half of what it takes to change all rows.
const MEMORY: usize = 1 << 20;

fn world() -> (World, Client) {
    let mut world = World::new(|options| {
        small(options);
        options.write.rows = 2000;
        options.load_rows = 500;
    });
    world.options.transaction_memory = MEMORY;
    world.reopen();
    let mut client = world.client();
    world.sql(
        &mut client,
        "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, v text)",
    );
    let rows = format!("INSERT INTO t SELECT i, 0, 'some text' FROM generate_series(1, {ROWS}) i");
    world.sql(&mut client, &rows);
    (world, client)
}

fn reserved(world: &World) -> usize {
    world.database.engine.transactions.memory()
}

#[test]
fn changes_that_do_not_fit_are_refused_and_leave_nothing() {
    let (world, mut client) = world();
    world.sql(&mut client, "CREATE TABLE c (r int REFERENCES t)");
    for sql in [
        "UPDATE t SET n = n + 1",
        "UPDATE t SET n = n + 1 WHERE id > 10 RETURNING v",
        "DELETE FROM t",
        "SELECT * FROM t FOR UPDATE",
        "UPDATE t SET id = -id",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT count(*) FROM gone",
    ] {
        let error = world.try_sql(&mut client, sql).expect_err(sql);
        assert_eq!(error.state().code(), "53200", "{sql}");
        let fields = error.fields();
        assert!(
            fields
                .detail
                .as_ref()
                .is_some_and(|it| it.contains("transaction_memory"))
        );
        assert!(fields.hint.is_some());
        assert_eq!(reserved(&world), 0, "{sql}");
        let left = world.sql(&mut client, "SELECT count(*) FROM t WHERE n = 0 AND id > 0");
        assert_eq!(one(&left), ROWS.to_string());
    }
    // What the hint says: one range of keys after the other.
    for from in (1..=ROWS).step_by(1000) {
        let sql = format!(
            "UPDATE t SET n = 1 WHERE id BETWEEN {from} AND {}",
            from + 999
        );
        world.sql(&mut client, &sql);
    }
    let sum = world.sql(&mut client, "SELECT sum(n) FROM t");
    assert_eq!(one(&sum), ROWS.to_string());
    assert_eq!(world.check(), Vec::<String>::new());
}

#[test]
fn an_open_transaction_says_so_and_goes_on_from_a_savepoint() {
    let (world, mut client) = world();
    world.sql(&mut client, "BEGIN");
    world.sql(&mut client, "UPDATE t SET n = 1 WHERE id <= 500");
    world.sql(&mut client, "SAVEPOINT s");
    let update = "UPDATE t SET n = 2 WHERE id > 500";
    let error = world.try_sql(&mut client, update).expect_err(update);
    assert_eq!(error.state().code(), "53200");
    assert!(reserved(&world) <= MEMORY);
    world.sql(&mut client, "ROLLBACK TO s");
    // What is undone counts no more, however often.
    for _ in 0..20 {
        world.sql(
            &mut client,
            "UPDATE t SET n = 3 WHERE id BETWEEN 600 AND 900",
        );
        world.sql(&mut client, "ROLLBACK TO s");
    }
    // Nor do older values of a row, once nothing can go back to them.
    world.sql(&mut client, "RELEASE s");
    for _ in 0..20 {
        world.sql(&mut client, "UPDATE t SET n = 1 WHERE id <= 300");
    }
    world.sql(&mut client, "COMMIT");
    assert_eq!(reserved(&world), 0);
    let sum = world.sql(&mut client, "SELECT sum(n) FROM t");
    assert_eq!(one(&sum), "500");
}

#[test]
fn transactions_share_what_there_is() {
    let (world, mut one_client) = world();
    let mut other = world.client();
    let half = |client: &mut Client, from: usize| {
        let to = from + 1500;
        let sql = format!("UPDATE t SET n = 1 WHERE id BETWEEN {from} AND {to}");
        world
            .try_sql(client, &sql)
            .map_err(|error| error.state().code().to_owned())
    };
    world.sql(&mut one_client, "BEGIN");
    half(&mut one_client, 1).unwrap();
    world.sql(&mut other, "BEGIN");
    half(&mut other, 2000).unwrap_err();
    world.sql(&mut other, "ROLLBACK");
    // Others have what is left, and all of it later.
    world.sql(&mut other, "UPDATE t SET n = 1 WHERE id > 11990");
    world.sql(&mut one_client, "ROLLBACK");
    half(&mut other, 2000).unwrap();
    assert_eq!(reserved(&world), 0);
}

#[test]
fn new_rows_move_on_before_they_fill_it() {
    let (world, mut client) = world();
    world.sql(&mut client, "CREATE TABLE u (LIKE t)");
    world.sql(&mut client, "CREATE INDEX by_n ON u (n)");
    world.sql(&mut client, "BEGIN");
    world.sql(
        &mut client,
        "INSERT INTO u SELECT i, i % 7, repeat('long', 50) FROM generate_series(1, 20000) i",
    );
    assert!(reserved(&world) <= MEMORY);
    let lines: String = (0..20_000)
        .map(|id| format!("{}\t0\tcopied\n", id + 50_000))
        .collect();
    world
        .copy(&mut client, "COPY u FROM STDIN", &lines)
        .unwrap();
    world.sql(&mut client, "COMMIT");
    let count = world.sql(&mut client, "SELECT count(*) FROM u");
    assert_eq!(one(&count), "40000");
    world.sql(&mut client, "ALTER TABLE u ALTER COLUMN n TYPE bigint");
    assert_eq!(reserved(&world), 0);
    assert_eq!(world.check(), Vec::<String>::new());
}

/// Rows so short that what is needed beside them counts most, and hardly any memory that others have left.
#[test]
fn loads_of_short_rows_fit_into_what_others_leave() {
    /// Several times as many as a transaction may have without asking.
    const SHORT_ROWS: usize = 1500;
    let mut world = World::new(|options| {
        small(options);
        options.write.rows = 2000;
        // It is memory that makes rows move on.
        options.load_rows = usize::MAX;
    });
    world.options.transaction_memory = MEMORY;
    world.reopen();
    let mut client = world.client();
    let lines = |factor: usize| -> String {
        let number = |i: usize| i * factor % (SHORT_ROWS + 1);
        (1..=SHORT_ROWS)
            .map(|i| format!("{}\n", number(i)))
            .collect()
    };
    let query = |factor: usize| {
        format!(
            "SELECT i * {factor} % {} FROM generate_series(1, {SHORT_ROWS}::bigint) i",
            SHORT_ROWS + 1
        )
    };
    let expected = format!("{SHORT_ROWS} {}", SHORT_ROWS * (SHORT_ROWS + 1) / 2);
    let summed = |client: &mut Client, table: &str| {
        let sql = format!("SELECT count(*) || ' ' || sum(a) FROM {table}");
        assert_eq!(one(&world.sql(client, &sql)), expected);
    };
    for (free, column) in [
        (0, "a bigint"),
        (0, "a bigint PRIMARY KEY, CHECK (a > 0)"),
        (0, "a bigint UNIQUE"),
        (100_000, "a bigint PRIMARY KEY, UNIQUE (a)"),
    ] {
        let taken = world.database.engine.transactions.take_memory(free);
        // Keys ascend, or jump.
        for factor in [1, 999] {
            world.sql(&mut client, &format!("CREATE TABLE s ({column})"));
            world
                .copy(&mut client, "COPY s FROM STDIN", &lines(factor))
                .unwrap();
            summed(&mut client, "s");
            world.sql(&mut client, "TRUNCATE s");
            world.sql(&mut client, "BEGIN");
            world.sql(&mut client, "SAVEPOINT one");
            world.sql(&mut client, &format!("INSERT INTO s {}", query(factor)));
            world.sql(&mut client, "COMMIT");
            summed(&mut client, "s");
            if free == 0 {
                world.sql(&mut client, "CREATE INDEX ON s (a DESC)");
                world.sql(&mut client, "ALTER TABLE s ALTER a TYPE numeric");
                world.sql(&mut client, "CREATE TABLE c AS SELECT * FROM s");
                summed(&mut client, "c");
                world.sql(&mut client, "DROP TABLE c");
            }
            summed(&mut client, "s");
            assert_eq!(world.check(), Vec::<String>::new());
            world.sql(&mut client, "DROP TABLE s");
        }
        // What they took is there again.
        drop(taken);
        assert_eq!(reserved(&world), 0);
    }
}

#[test]
fn many_loads_at_once_share_what_there_is() {
    const LOADS: usize = 16;
    /// What each transaction has without asking.
    const FREE: usize = 64 << 10;
    let (world, mut client) = world();
    world.sql(
        &mut client,
        "CREATE TABLE u (id int PRIMARY KEY, n int, v text)",
    );
    let mut clients: Vec<Client> = (0..LOADS).map(|_| world.client()).collect();
    for Client(session) in &mut clients {
        world.now(session.simple("COPY u FROM STDIN")).unwrap();
        while !matches!(
            world.now(session.next_simple()).unwrap(),
            Some(Step::CopyIn(_))
        ) {}
    }
    let mut random = Random(1);
    let (mut rows, mut most) = (0, 0);
    for _ in 0..30 {
        for (at, Client(session)) in clients.iter_mut().enumerate() {
            let mut lines = String::new();
            for _ in 0..10 {
                // It does not compress to less than half.
                let text = (0..200).map(|_| format!("{:016x}", random.number()));
                let id = at * 1_000_000 + rows;
                lines += &format!("{id}\t0\t{}\n", text.collect::<String>());
                rows += 1;
            }
            world.now(session.copy_data(lines.as_bytes())).unwrap();
            most = most.max(world.database.engine.transactions.loading());
            assert!(reserved(&world) <= MEMORY);
        }
    }
    assert!(most > MEMORY / 2, "{most} bytes in segments");
    assert!(most <= MEMORY + LOADS * FREE, "{most} bytes in segments");
    for Client(session) in &mut clients {
        world.now(session.copy_done()).unwrap();
        while world.now(session.next_simple()).unwrap().is_some() {}
    }
    assert_eq!(reserved(&world), 0);
    let count = world.sql(
        &mut client,
        "SELECT count(*) || ' ' || count(DISTINCT v) FROM u",
    );
    assert_eq!(one(&count), format!("{rows} {rows}"));
    assert_eq!(world.check(), Vec::<String>::new());
}
