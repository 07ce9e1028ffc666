//! Roles and their rights.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use omendb_tests::server::Target;
use omendb_tests::wire::{Address, Client, Report};

use super::{ROUNDS, Test, attempt, expect};
use crate::races::together;

pub const TESTS: &[Test] = &[
    ("revoked_at_once", revoked),
    ("ordinary_user", ordinary_user),
    ("roles_beside_grants", roles),
];

fn user(target: &Target, name: &str) -> Address {
    Address {
        user: name.to_owned(),
        ..target.address().clone()
    }
}

/// What was revoked is refused from the next statement on, prepared or not.
fn revoked(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_ann; CREATE ROLE race_ann LOGIN")?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")?;
    let mut ann = Client::connect(&user(target, "race_ann"))?;
    ann.simple("PREPARE by_key AS SELECT n FROM t WHERE id = 1")?;
    ann.simple("PREPARE counted AS SELECT count(*) FROM t")?;
    ann.simple("PREPARE written AS UPDATE t SET n = n + 1 WHERE id = 1")?;
    for round in 0..ROUNDS {
        let given = round % 2 == 1;
        let sql = match given {
            true => "GRANT SELECT, UPDATE ON t TO race_ann",
            false => "REVOKE ALL ON t FROM race_ann",
        };
        own.simple(sql)?;
        for statement in ["EXECUTE by_key", "EXECUTE counted", "EXECUTE written"] {
            let result = ann.simple(statement);
            let refused = matches!(&result, Err(why) if why.code() == "42501");
            if refused == given || (given && result.is_err()) {
                return Err(format!("{sql}, then {statement}: {result:?}").into());
            }
        }
    }
    drop(ann);
    own.simple("DROP OWNED BY race_ann; DROP ROLE race_ann")?;
    Ok(())
}

fn refused(result: Result<impl Sized, Report>, what: &str) -> Result<(), Failed> {
    match result {
        Err(why) if why.code() == "42501" => Ok(()),
        Err(why) => Err(format!("{what}: {why}").into()),
        Ok(_) => Err(format!("{what} was allowed").into()),
    }
}

/// Somebody who logs in with nothing but a name may do next to nothing, in either protocol.
fn ordinary_user(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_bob; CREATE ROLE race_bob LOGIN")?;
    own.simple("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")?;
    let mut bob = Client::connect(&user(target, "race_bob"))?;
    expect(&mut bob, "SELECT current_user", "race_bob")?;
    for sql in [
        "SELECT * FROM t",
        "SELECT n FROM t WHERE id = 1",
        "INSERT INTO t VALUES (2, 2)",
        "UPDATE t SET n = 2 WHERE id = 1",
        "DELETE FROM t WHERE id = 1",
        "TRUNCATE t",
        "DROP TABLE t",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "CREATE TABLE u (a int)",
        "CREATE ROLE race_eve",
        "GRANT ALL ON t TO race_bob",
        "ALTER ROLE race_bob SUPERUSER",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT * FROM pg_authid",
    ] {
        refused(bob.simple(sql), sql)?;
    }
    refused(
        bob.extended("SELECT n FROM t WHERE id = $1", &[Some("1")]),
        "a parameter",
    )?;
    refused(
        bob.extended("DELETE FROM t WHERE id = $1", &[Some("1")]),
        "a parameter",
    )?;
    expect(&mut bob, "SELECT current_user", "race_bob")?;
    expect(&mut own, "SELECT count(*) FROM t", "1")?;
    own.simple("ALTER ROLE race_bob NOLOGIN")?;
    match Client::connect(&user(target, "race_bob")) {
        Err(why) if why.code() == "28000" => {}
        Err(why) => return Err(why.into()),
        Ok(_) => return Err("a role without LOGIN logged in".into()),
    }
    drop(bob);
    own.simple("DROP OWNED BY race_bob; DROP ROLE race_bob")?;
    Ok(())
}

/// Roles come and go while others grant to them: no list names a role that is gone.
fn roles(target: &Target, _: u64) -> Result<(), Failed> {
    let mut own = target.connect()?;
    own.simple("DROP ROLE IF EXISTS race_eve; CREATE TABLE t (a int)")?;
    let over = AtomicBool::new(false);
    together(target, 3, |number, client| {
        if number == 0 {
            for _ in 0..ROUNDS {
                attempt(client, "CREATE ROLE race_eve", &[])?;
                attempt(client, "DROP OWNED BY race_eve", &[])?;
                // Somebody may have granted something in between.
                while !attempt(client, "DROP ROLE race_eve", &["2BP01"])? {
                    attempt(client, "DROP OWNED BY race_eve", &[])?;
                }
            }
            over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        while !over.load(Ordering::Relaxed) {
            // Else the role could never be dropped.
            thread::sleep(Duration::from_millis(4));
            // PostgreSQL says XX000 for tuples that two change at once, or roles just gone.
            attempt(client, "GRANT SELECT ON t TO race_eve", &["42704", "XX000"])?;
        }
        Ok(())
    })?;
    let dangling = "SELECT count(*) FROM information_schema.table_privileges
        WHERE table_name = 't' AND grantee IS NULL";
    expect(&mut own, dangling, "0")?;
    expect(
        &mut own,
        "SELECT count(*) FROM pg_class WHERE relname = 't' AND relacl::text LIKE '%=r/%'
            AND relacl::text NOT LIKE '%postgres=%'",
        "0",
    )
}
