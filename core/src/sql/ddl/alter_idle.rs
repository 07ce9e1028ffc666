//! Forms of ALTER TABLE, INDEX, VIEW and SEQUENCE that tune what this engine does not have, and those
//! that ask for what there is not.
//!
//! The first kind says nothing about what a table means (how pages are filled, how values are
//! compressed, what the planner samples), so it is checked and has nothing to act on. The second is
//! refused by name. Triggers, rules and generated columns do not exist, which PostgreSQL's own
//! messages say.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::cursor::Cursor;
use super::forms::name;
use crate::error::{Error, Result, SqlState};

/// What is left to check when the statement runs.
#[derive(Clone, Debug)]
pub enum Idle {
    /// Nothing but that the relation is there, and its owner's.
    Nothing,
    /// That the column is there.
    Column(String),
    /// A trigger or a rule, of which there are none.
    Missing { kind: &'static str, name: String },
    /// DROP EXPRESSION: no column is generated.
    Expression { column: String, if_exists: bool },
}

fn refused(what: &str, hint: &str) -> Error {
    Error::unsupported(what, hint)
}

/// Reads such a form; `None`, with the cursor where it was, for any other.
pub(super) fn parse(cursor: &mut Cursor<'_>, kind: &str) -> Result<Option<Idle>> {
    let mark = cursor.mark();
    let found = match kind {
        "table" => table(cursor)?,
        "index" => index(cursor)?,
        "view" => view(cursor)?,
        _ => sequence(cursor),
    };
    // Several actions in one statement are sqlparser's to read.
    if found.is_some() && cursor.is_end() {
        return Ok(found);
    }
    cursor.back(mark);
    Ok(None)
}

fn table(cursor: &mut Cursor<'_>) -> Result<Option<Idle>> {
    const NO_CHILDREN: &str = "Use one plain table, and a view over several where you need one.";
    for (words, what, hint) in [
        (
            &["CLUSTER", "ON"][..],
            "CLUSTER ON",
            "Rows are kept in the order of the primary key: declare the order there.",
        ),
        (
            &["SET", "UNLOGGED"],
            "an unlogged table",
            "Every table is durable.",
        ),
        (&["INHERIT"], "table inheritance", NO_CHILDREN),
        (&["NO", "INHERIT"], "table inheritance", NO_CHILDREN),
        (&["ATTACH", "PARTITION"], "table partitioning", NO_CHILDREN),
        (&["DETACH", "PARTITION"], "table partitioning", NO_CHILDREN),
        (&["OF"], "a typed table", "Name the columns in the table."),
        (
            &["NOT", "OF"],
            "a typed table",
            "Name the columns in the table.",
        ),
        (
            &["REPLICA", "IDENTITY"],
            "REPLICA IDENTITY",
            "There is no logical replication: copy the data with COPY.",
        ),
        (
            &["DISABLE", "TRIGGER", "ALL"],
            "DISABLE TRIGGER ALL",
            "Foreign keys are always checked: load the tables that are referenced first.",
        ),
        (
            &["ALTER", "CONSTRAINT"],
            "ALTER CONSTRAINT",
            "Drop the constraint and add it anew; constraints are checked by each statement.",
        ),
    ] {
        if cursor.keywords(words) {
            return Err(refused(&format!("ALTER TABLE … {what}"), hint));
        }
    }
    for words in [
        &["SET", "WITHOUT", "CLUSTER"][..],
        &["SET", "WITHOUT", "OIDS"],
        &["SET", "LOGGED"],
        &["ENABLE", "TRIGGER", "ALL"],
        &["ENABLE", "TRIGGER", "USER"],
        &["DISABLE", "TRIGGER", "USER"],
    ] {
        if cursor.keywords(words) {
            return Ok(Some(Idle::Nothing));
        }
    }
    if cursor.keywords(&["SET", "ACCESS", "METHOD"]) {
        if name(cursor)? != "heap" {
            return Err(refused("another access method", "Leave it out."));
        }
        return Ok(Some(Idle::Nothing));
    }
    if let Some(idle) = tablespace(cursor)? {
        return Ok(Some(idle));
    }
    if cursor.keyword("RESET") {
        return Ok(names_in_parentheses(cursor).then_some(Idle::Nothing));
    }
    if let Some(missing) = trigger_or_rule(cursor)? {
        return Ok(Some(missing));
    }
    if !cursor.keyword("ALTER") {
        return Ok(None);
    }
    cursor.keyword("COLUMN");
    let column = name(cursor)?;
    if cursor.keywords(&["DROP", "EXPRESSION"]) {
        let if_exists = cursor.keywords(&["IF", "EXISTS"]);
        return Ok(Some(Idle::Expression { column, if_exists }));
    }
    Ok(column_tuning(cursor)?.then_some(Idle::Column(column)))
}

/// How a column's values are stored and sampled.
fn column_tuning(cursor: &mut Cursor<'_>) -> Result<bool> {
    if cursor.keywords(&["SET", "STATISTICS"]) {
        return Ok(cursor.number().is_some());
    }
    for (words, what, known) in [
        (
            &["SET", "STORAGE"],
            "storage type",
            &["plain", "external", "extended", "main", "default"][..],
        ),
        (
            &["SET", "COMPRESSION"],
            "compression method",
            &["pglz", "lz4", "default"],
        ),
    ] {
        if cursor.keywords(words) {
            let value = name(cursor)?;
            if !known.contains(&value.as_str()) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid {what} \"{value}\""),
                ));
            }
            return Ok(true);
        }
    }
    if cursor.keyword("RESET") {
        return Ok(names_in_parentheses(cursor));
    }
    if cursor.keyword("SET") && cursor.token(&Token::LParen) {
        loop {
            let option = name(cursor)?;
            if !["n_distinct", "n_distinct_inherited"].contains(&option.as_str()) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized parameter \"{option}\""),
                ));
            }
            cursor.expect(&Token::Eq)?;
            cursor.number().ok_or_else(|| cursor.unexpected())?;
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        return Ok(cursor.token(&Token::RParen));
    }
    Ok(false)
}

fn trigger_or_rule(cursor: &mut Cursor<'_>) -> Result<Option<Idle>> {
    let mark = cursor.mark();
    if cursor.keyword("ENABLE") {
        let _ = cursor.keyword("REPLICA") || cursor.keyword("ALWAYS");
    } else if !cursor.keyword("DISABLE") {
        return Ok(None);
    }
    for (word, kind) in [("TRIGGER", "trigger"), ("RULE", "rule")] {
        if cursor.keyword(word) {
            let name = name(cursor)?;
            return Ok(Some(Idle::Missing { kind, name }));
        }
    }
    cursor.back(mark);
    Ok(None)
}

/// `SET TABLESPACE`: there is one.
fn tablespace(cursor: &mut Cursor<'_>) -> Result<Option<Idle>> {
    if !cursor.keywords(&["SET", "TABLESPACE"]) {
        return Ok(None);
    }
    if name(cursor)? != "pg_default" {
        return Err(refused(
            "a tablespace",
            "All data lies in the one data directory.",
        ));
    }
    cursor.keyword("NOWAIT");
    Ok(Some(Idle::Nothing))
}

/// `(a, b)`.
fn names_in_parentheses(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.token(&Token::LParen) {
        return false;
    }
    while name(cursor).is_ok() {
        if !cursor.token(&Token::Comma) {
            return cursor.token(&Token::RParen);
        }
    }
    false
}

fn index(cursor: &mut Cursor<'_>) -> Result<Option<Idle>> {
    if let Some(idle) = tablespace(cursor)? {
        return Ok(Some(idle));
    }
    for (words, what) in [
        (&["ATTACH", "PARTITION"][..], "a partition of an index"),
        (&["ALTER"], "statistics of an index's column"),
        (&["DEPENDS"], "an index that depends on an extension"),
        (&["NO", "DEPENDS"], "an index that depends on an extension"),
        (&["SET"], "an option of an index"),
    ] {
        if cursor.keywords(words) {
            return Err(refused(what, "Use ALTER INDEX … RENAME TO."));
        }
    }
    if cursor.keyword("RESET") {
        return Ok(names_in_parentheses(cursor).then_some(Idle::Nothing));
    }
    Ok(None)
}

fn view(cursor: &mut Cursor<'_>) -> Result<Option<Idle>> {
    let hint = "Use CREATE OR REPLACE VIEW.";
    for (words, what) in [
        (&["ALTER"][..], "a default of a view's column"),
        (&["SET"], "an option of a view"),
        (&["RESET"], "an option of a view"),
    ] {
        let mark = cursor.mark();
        if cursor.keywords(words) {
            if cursor.keyword("SCHEMA") {
                cursor.back(mark);
                return Ok(None);
            }
            return Err(refused(what, hint));
        }
    }
    Ok(None)
}

fn sequence(cursor: &mut Cursor<'_>) -> Option<Idle> {
    cursor.keywords(&["SET", "LOGGED"]).then_some(Idle::Nothing)
}
