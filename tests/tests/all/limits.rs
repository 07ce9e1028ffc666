//! Statements that are too large, or that would make too much: each is answered or refused by a limit
//! (54000, 54001, 53200, 57014) in good time, and others are served meanwhile.

use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use omendb_tests::server::Target;

use crate::protocol::ensure;

/// How long one statement may take: far more than any needs, far less than what grows with the square
/// or the cube of a statement's size takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// What stops a statement that asks for too much.
const LIMITS: &[&str] = &[
    "53200", "54000", "54001", "54011", "57014", "0A000", "42601",
];

type Test = (&'static str, fn(&Target) -> Result<(), Failed>);

const TESTS: &[Test] = &[
    ("long_chains", long_chains),
    ("deep_nesting", deep_nesting),
    ("wide_statements", wide_statements),
    ("many_joins", many_joins),
    ("large_values", large_values),
    ("time_outs", time_outs),
    ("long_joins", long_joins),
    ("waiting_queries", waiting_queries),
];

pub fn trials() -> Vec<Trial> {
    let trial = |&(name, test): &Test| {
        Trial::test(format!("limits::{name}"), move || {
            let target = Target::fresh()?;
            if matches!(target, Target::Omendb(_)) {
                test(&target)?;
            }
            let one = target.connect()?.value("SELECT 1")?;
            ensure(one == "1", "the server does not serve any more")
        })
    };
    TESTS.iter().map(trial).collect()
}

/// Runs a statement on a connection of its own: it is answered or meets a limit.
fn runs(target: &Target, what: &str, sql: &str) -> Result<(), Failed> {
    answer(target, what, sql).map(drop)
}

/// As [`runs`]; the first value of the answer (none: empty), or the code of the limit.
fn answer(target: &Target, what: &str, sql: &str) -> Result<Result<String, String>, Failed> {
    let mut client = target.connect()?;
    client.set_timeout(PATIENCE)?;
    let start = Instant::now();
    let answer = match client.simple(sql) {
        Ok(outcomes) => {
            let rows = outcomes.iter().flat_map(|outcome| outcome.text());
            Ok(rows.flatten().flatten().next().unwrap_or_default())
        }
        Err(report) => {
            let code = report.code().to_owned();
            ensure(
                LIMITS.contains(&code.as_str()),
                format!("{what}: {code} {}", report.message()),
            )?;
            Err(code)
        }
    };
    let took = start.elapsed();
    ensure(took < PATIENCE, format!("{what} took {took:?}"))?;
    Ok(answer)
}

fn joined(operator: &str, count: usize, operand: impl Fn(usize) -> String) -> String {
    let operands: Vec<String> = (0..count).map(operand).collect();
    operands.join(operator)
}

fn long_chains(target: &Target) -> Result<(), Failed> {
    for count in [100, 1_000, 3_900, 20_000] {
        let text = joined("||", count, |_| "x".to_owned());
        let sql = format!("SELECT length({text}) FROM (VALUES ('ab')) v (x)");
        if let Ok(length) = answer(target, "||", &sql)? {
            ensure(length == (count * 2).to_string(), "a || misses an operand")?;
        }
        let sum = joined(" + ", count, |_| "x".to_owned());
        let sql = format!("SELECT {sum} FROM (VALUES (1)) v (x)");
        if let Ok(value) = answer(target, "+", &sql)? {
            ensure(value == count.to_string(), "a + misses an operand")?;
        }
        let mixed = joined("", count, |at| {
            let operator = ["+", "-", "*"].get(at % 3).copied().unwrap_or("+");
            format!(" {operator} 1.0")
        });
        let sql = format!("SELECT (x {mixed}) > 0 FROM (VALUES (100000)) v (x)");
        runs(target, "+ - *", &sql)?;
        let either = joined(" OR ", count, |at| format!("x = {at}"));
        let sql = format!("SELECT count(*) FROM (VALUES (7), (-7)) v (x) WHERE {either}");
        if let Ok(found) = answer(target, "OR", &sql)? {
            ensure(found == "1", "an OR misses an operand")?;
        }
        let all = joined(" AND ", count, |at| format!("x + {at} <> 5"));
        let sql = format!("SELECT count(*) FROM (VALUES (7), (5)) v (x) WHERE {all}");
        if let Ok(found) = answer(target, "AND", &sql)? {
            ensure(found == "1", "an AND misses an operand")?;
        }
        let text = joined("||", count, |_| "'a'".to_owned());
        let view = format!("CREATE VIEW chain_{count} AS SELECT {text} AS a");
        if answer(target, "CREATE VIEW", &view)?.is_ok() {
            let sql = format!("SELECT length(a) FROM chain_{count}");
            let length = answer(target, "the view", &sql)?;
            ensure(length == Ok(count.to_string()), "a view misses an operand")?;
        }
        let path = joined("", count, |_| "->'a'".to_owned());
        runs(target, "->", &format!("SELECT '{{}}'::jsonb{path}"))?;
    }
    Ok(())
}

fn deep_nesting(target: &Target) -> Result<(), Failed> {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for depth in [30, 110, 119, 500, 5_000] {
        for (what, open, inner, close) in [
            ("parentheses", "(", "1", ")"),
            ("arrays", "array[", "1", "]"),
            ("signs", "- ", "1", ""),
            ("NOT", "NOT ", "true", ""),
            ("CASE", "CASE WHEN true THEN ", "1", " END"),
            ("casts", "CAST(", "1", " AS int)"),
            // Errors inside: whoever parses must not try all the ways to read what stands around.
            ("broken casts", "CAST(", "1 1", " AS int)"),
            ("broken arrays", "array[", "1 1", "]"),
            ("broken calls", "coalesce(", "1 1", ")"),
            ("calls", "abs(", "1", ")"),
            ("sub-queries", "(SELECT ", "1", ")"),
        ] {
            let sql = format!("SELECT {}", nested(open, inner, close, depth));
            runs(target, &format!("{depth} {what}"), &sql)?;
        }
        let from = nested("(SELECT * FROM ", "(VALUES (1)) v", ") v", depth);
        runs(target, "derived tables", &format!("SELECT * FROM {from}"))?;
    }
    Ok(())
}

fn wide_statements(target: &Target) -> Result<(), Failed> {
    let columns = |count: usize| joined(", ", count, |at| at.to_string());
    let widest = answer(
        target,
        "1664 columns",
        &format!("SELECT {}", columns(1_664)),
    )?;
    ensure(widest == Ok("0".to_owned()), "1664 columns were refused")?;
    let wider = answer(
        target,
        "1665 columns",
        &format!("SELECT {}", columns(1_665)),
    )?;
    ensure(wider == Err("54011".to_owned()), "1665 columns were taken")?;
    let queries: Vec<String> = (1..24)
        .map(|at| format!("a{at} AS (SELECT a.x FROM a{0} a, a{0} b)", at - 1))
        .collect();
    let sql = format!(
        "WITH a0 AS (SELECT 1 AS x), {} SELECT count(*) FROM a23",
        queries.join(", ")
    );
    runs(target, "squared WITH queries", &sql)
}

/// The conditions of each join are looked at once, not again in every join around it.
fn many_joins(target: &Target) -> Result<(), Failed> {
    target
        .connect()?
        .simple("CREATE TABLE chained (a int); INSERT INTO chained VALUES (1)")?;
    let joins = joined("", 300, |at| {
        format!(" JOIN chained t{} ON t{}.a = t{at}.a", at + 1, at + 1)
    });
    let lists = joined(", ", 100, |at| format!("chained t{at}"));
    let equal = joined(" AND ", 99, |at| format!("t{at}.a = t{}.a", at + 1));
    for (what, sql) in [
        ("JOIN", format!("SELECT count(*) FROM chained t0{joins}")),
        (
            "FROM",
            format!("SELECT count(*) FROM {lists} WHERE {equal}"),
        ),
    ] {
        if let Ok(count) = answer(target, what, &sql)? {
            ensure(count == "1", format!("{what} loses or repeats rows"))?;
        }
    }
    Ok(())
}

/// Values beyond a gigabyte are refused, whichever way they are made. Those below it are not copied and
/// printed with the plan until nobody waits any more: constants stay calls, and parameters are held.
fn large_values(target: &Target) -> Result<(), Failed> {
    for (what, sql) in [
        (
            "||",
            "SELECT length(repeat('x', 540000000) || repeat('x', 540000000))",
        ),
        (
            "concat",
            "SELECT length(concat(repeat('x', 540000000), repeat('x', 540000000)))",
        ),
        (
            "format",
            "SELECT length(format('%1$s%1$s', repeat('x', 540000000)))",
        ),
        (
            "string_agg",
            "SELECT length(string_agg(repeat('x' || g, 30000000), '')) FROM generate_series(1, 20) g",
        ),
        (
            "array_fill",
            "SELECT cardinality(array_fill(repeat('x', 1000000), ARRAY[10000]))",
        ),
        (
            "repeat",
            "SELECT length(repeat(repeat('x', 100000), 100000))",
        ),
        (
            "a constant of many rows",
            "SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 5000)",
        ),
    ] {
        let answer = answer(target, what, sql)?;
        ensure(
            matches!(&answer, Err(code) if code == "53200" || code == "54000"),
            format!("{what}: {answer:?}"),
        )?;
    }
    for (what, sql, length) in [
        (
            "a large constant",
            "SELECT length(repeat('x', 200000000) || 'y')",
            "200000001",
        ),
        (
            "a constant of the session",
            "SELECT length(concat(repeat('x', 200000000), current_user))",
            "200000008",
        ),
    ] {
        let answer = answer(target, what, sql)?;
        ensure(
            answer == Ok(length.to_owned()),
            format!("{what}: {answer:?}"),
        )?;
    }
    Ok(())
}

fn time_outs(target: &Target) -> Result<(), Failed> {
    for sql in [
        "SELECT count(DISTINCT md5(g::text)) FROM generate_series(1, 100000000) g",
        "SELECT md5(g::text) FROM generate_series(1, 100000000) g ORDER BY 1 LIMIT 1",
        "SELECT sum(length(translate(repeat('x', 10000), 'x', g::text))) FROM generate_series(1, 100000000) g",
        // Frames that are aggregated anew for each row.
        "SELECT count(DISTINCT s) FROM (SELECT sum(g::float8) OVER (ORDER BY g ROWS BETWEEN 300000 PRECEDING AND CURRENT ROW) s
            FROM generate_series(1, 1000000) g) framed",
    ] {
        let mut client = target.connect()?;
        client.set_timeout(PATIENCE)?;
        client.simple("SET statement_timeout = '300ms'")?;
        let start = Instant::now();
        let code = match client.value(sql) {
            Ok(_) => String::new(),
            Err(report) => report.code().to_owned(),
        };
        let took = start.elapsed();
        ensure(code == "57014", format!("{sql}: \"{code}\""))?;
        ensure(
            took < Duration::from_secs(10),
            format!("{sql}: stopped after {took:?}"),
        )?;
    }
    Ok(())
}

/// Whoever compares all pairs of rows leaves room for others.
fn long_joins(target: &Target) -> Result<(), Failed> {
    let busy =
        "SELECT count(*) FROM generate_series(1, 300000) a (x), generate_series(1, 300000) b (y)
        WHERE x + y < 0";
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let mut client = target.connect()?;
            client.set_timeout(PATIENCE)?;
            client.simple("SET statement_timeout = '20s'")?;
            scope.spawn(move || client.simple(busy).map(drop));
        }
        std::thread::sleep(Duration::from_secs(2));
        let mut client = target.connect()?;
        client.set_timeout(PATIENCE)?;
        for sql in ["SELECT 1", "SELECT count(*) FROM generate_series(1, 10)"] {
            let start = Instant::now();
            client.value(sql)?;
            let took = start.elapsed();
            ensure(
                took < Duration::from_secs(60),
                format!("{sql} waited for {took:?}"),
            )?;
        }
        Ok(())
    })
}

/// Queries that wait for what others hold do not keep those from the query that gives it back.
fn waiting_queries(target: &Target) -> Result<(), Failed> {
    const WAITING: usize = 24;
    let mut holder = target.connect()?;
    holder.set_timeout(PATIENCE)?;
    holder.simple("SELECT pg_advisory_lock(1)")?;
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            let mut client = target.connect()?;
            client.set_timeout(PATIENCE)?;
            let both = "SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)";
            waiting.push(scope.spawn(move || client.simple(both).map(drop)));
        }
        let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let start = Instant::now();
        while holder.value(count)? != WAITING.to_string() {
            ensure(start.elapsed() < PATIENCE, "not all queries wait")?;
        }
        let unlocked = holder.value("SELECT pg_advisory_unlock(1)")?;
        ensure(unlocked == "t", "the lock was not held")?;
        for one in waiting {
            one.join().map_err(|_| "a client panicked")??;
        }
        Ok(())
    })
}
