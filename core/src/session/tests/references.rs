//! Foreign keys while the rows at one of their ends move to other storage: whoever checks a reference must
//! not look where they were.

use super::world::{Client, World, code, small};

fn world() -> (World, Client, Client) {
    let world = World::new(small);
    let (mut client, other) = (world.client(), world.client());
    world.sql(&mut client, "CREATE TABLE p (id int PRIMARY KEY, n int)");
    world.sql(&mut client, "CREATE TABLE c (r int REFERENCES p)");
    world.sql(&mut client, "INSERT INTO p VALUES (1, 1), (2, 2)");
    world.sql(&mut client, "BEGIN");
    (world, client, other)
}

/// Runs a statement that waits for the end of the client's transaction, and then fails with 23503.
fn waits_and_fails(world: &World, client: &mut Client, other: Client, sql: &str) {
    let mut running = world.start(other, sql);
    assert!(world.poll(running.as_mut(), 1000).is_none(), "{sql}");
    world.sql(client, "COMMIT");
    let (_, answer) = world.now(running);
    assert_eq!(code(answer), "23503", "{sql}");
    let lost = "SELECT count(*) FROM c WHERE r NOT IN (SELECT id FROM p)";
    assert_eq!(world.sql(client, lost), [[Some("0".to_owned())]]);
}

#[test]
fn a_reference_waits_for_who_rewrites_the_referenced_table() {
    let (world, mut client, other) = world();
    let rewrite = "ALTER TABLE p ALTER COLUMN n TYPE text";
    world.sql(&mut client, rewrite);
    world.sql(&mut client, "DELETE FROM p WHERE id = 1");
    waits_and_fails(&world, &mut client, other, "INSERT INTO c VALUES (1)");
}

#[test]
fn a_referenced_row_waits_for_who_rewrites_the_referencing_table() {
    let (world, mut client, other) = world();
    world.sql(
        &mut client,
        "ALTER TABLE c ADD COLUMN x text DEFAULT random()::text",
    );
    world.sql(&mut client, "INSERT INTO c VALUES (1)");
    waits_and_fails(&world, &mut client, other, "DELETE FROM p WHERE id = 1");
}

#[test]
fn a_referenced_row_waits_for_who_truncates_the_referencing_table() {
    let (world, mut client, other) = world();
    world.sql(&mut client, "TRUNCATE c");
    world.sql(&mut client, "INSERT INTO c VALUES (1)");
    waits_and_fails(&world, &mut client, other, "DELETE FROM p WHERE id = 1");
}
