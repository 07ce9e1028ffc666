//! Statements of PostgreSQL that this engine does not have: refused by name, with what to do instead.

use datafusion::sql::sqlparser::ast::Statement;

use super::super::cursor::Cursor;
use super::forms::Form;
use crate::error::Error;

const NO_FUNCTIONS: &str = "Keep the logic in the application, or in views.";
const NO_TYPES: &str =
    "Use one of the built-in types, with a CHECK constraint where values are limited.";
const ONE_DATABASE: &str =
    "A data directory holds one database: use schemas, or start another server.";
const NO_EXTENSIONS: &str = "gen_random_uuid() is built in; other extensions have no place here.";
const NO_MATERIALIZED: &str = "Use CREATE TABLE … AS, and fill it again when you want it fresh.";
const NO_REPLICATION: &str = "Copy the data with COPY.";
const NO_FOREIGN: &str = "Load the data with COPY.";
const NONE: &str = "There are no such objects.";

/// Leading words, what they begin, what to do instead. Longer beginnings come first.
const BEGINNINGS: &[(&[&str], &str, &str)] = &[
    (
        &["CREATE", "UNLOGGED"],
        "an unlogged table",
        "Use CREATE TABLE: every table is durable.",
    ),
    (
        &["CREATE", "MATERIALIZED"],
        "a materialized view",
        NO_MATERIALIZED,
    ),
    (
        &["REFRESH", "MATERIALIZED"],
        "a materialized view",
        NO_MATERIALIZED,
    ),
    (
        &["ALTER", "MATERIALIZED"],
        "a materialized view",
        NO_MATERIALIZED,
    ),
    (
        &["CREATE", "RECURSIVE"],
        "CREATE RECURSIVE VIEW",
        "Use CREATE VIEW … AS WITH RECURSIVE ….",
    ),
    (&["CREATE", "DATABASE"], "CREATE DATABASE", ONE_DATABASE),
    (&["ALTER", "DATABASE"], "ALTER DATABASE", ONE_DATABASE),
    (&["DROP", "DATABASE"], "DROP DATABASE", ONE_DATABASE),
    (
        &["CREATE", "TABLESPACE"],
        "a tablespace",
        "All data lies in the one data directory.",
    ),
    (
        &["DROP", "TABLESPACE"],
        "a tablespace",
        "All data lies in the one data directory.",
    ),
    (
        &["ALTER", "TABLESPACE"],
        "a tablespace",
        "All data lies in the one data directory.",
    ),
    (&["CREATE", "EXTENSION"], "CREATE EXTENSION", NO_EXTENSIONS),
    (&["ALTER", "EXTENSION"], "ALTER EXTENSION", NO_EXTENSIONS),
    (&["CREATE", "RULE"], "a rewrite rule", NO_FUNCTIONS),
    (
        &["CREATE", "OR", "REPLACE", "RULE"],
        "a rewrite rule",
        NO_FUNCTIONS,
    ),
    (&["DROP", "RULE"], "a rewrite rule", NONE),
    (&["CREATE", "AGGREGATE"], "CREATE AGGREGATE", NO_FUNCTIONS),
    (&["CREATE", "FUNCTION"], "CREATE FUNCTION", NO_FUNCTIONS),
    (
        &["CREATE", "OR", "REPLACE", "FUNCTION"],
        "CREATE FUNCTION",
        NO_FUNCTIONS,
    ),
    (&["CREATE", "PROCEDURE"], "CREATE PROCEDURE", NO_FUNCTIONS),
    (
        &["CREATE", "OR", "REPLACE", "PROCEDURE"],
        "CREATE PROCEDURE",
        NO_FUNCTIONS,
    ),
    (&["CREATE", "TRIGGER"], "CREATE TRIGGER", NO_FUNCTIONS),
    (
        &["CREATE", "OR", "REPLACE", "TRIGGER"],
        "CREATE TRIGGER",
        NO_FUNCTIONS,
    ),
    (
        &["CREATE", "CONSTRAINT", "TRIGGER"],
        "CREATE TRIGGER",
        NO_FUNCTIONS,
    ),
    (
        &["CREATE", "EVENT", "TRIGGER"],
        "CREATE EVENT TRIGGER",
        NO_FUNCTIONS,
    ),
    (&["DO"], "DO", NO_FUNCTIONS),
    (&["CREATE", "LANGUAGE"], "CREATE LANGUAGE", NO_FUNCTIONS),
    (&["CREATE", "TYPE"], "CREATE TYPE", NO_TYPES),
    (&["ALTER", "TYPE"], "ALTER TYPE", NO_TYPES),
    (&["CREATE", "DOMAIN"], "CREATE DOMAIN", NO_TYPES),
    (&["ALTER", "DOMAIN"], "ALTER DOMAIN", NO_TYPES),
    (&["CREATE", "CAST"], "CREATE CAST", NO_TYPES),
    (
        &["CREATE", "COLLATION"],
        "CREATE COLLATION",
        "Text is ordered by its bytes (COLLATE \"C\").",
    ),
    (
        &["CREATE", "CONVERSION"],
        "CREATE CONVERSION",
        "All text is UTF-8.",
    ),
    (&["CREATE", "OPERATOR"], "CREATE OPERATOR", NO_FUNCTIONS),
    (
        &["CREATE", "ACCESS", "METHOD"],
        "CREATE ACCESS METHOD",
        "Use btree indexes.",
    ),
    (
        &["CREATE", "STATISTICS"],
        "CREATE STATISTICS",
        "Row counts are exact without it.",
    ),
    (
        &["CREATE", "TEXT", "SEARCH"],
        "text search configuration",
        "Use LIKE or regular expressions.",
    ),
    (
        &["CREATE", "POLICY"],
        "row level security",
        "Filter the rows in a view.",
    ),
    (
        &["ALTER", "POLICY"],
        "row level security",
        "Filter the rows in a view.",
    ),
    (
        &["CREATE", "PUBLICATION"],
        "logical replication",
        NO_REPLICATION,
    ),
    (
        &["ALTER", "PUBLICATION"],
        "logical replication",
        NO_REPLICATION,
    ),
    (
        &["CREATE", "SUBSCRIPTION"],
        "logical replication",
        NO_REPLICATION,
    ),
    (
        &["ALTER", "SUBSCRIPTION"],
        "logical replication",
        NO_REPLICATION,
    ),
    (
        &["CREATE", "FOREIGN"],
        "a foreign table or wrapper",
        NO_FOREIGN,
    ),
    (&["CREATE", "SERVER"], "a foreign server", NO_FOREIGN),
    (&["CREATE", "USER", "MAPPING"], "a user mapping", NO_FOREIGN),
    (&["IMPORT", "FOREIGN"], "IMPORT FOREIGN SCHEMA", NO_FOREIGN),
    (&["SECURITY", "LABEL"], "SECURITY LABEL", NONE),
    (
        &["ALTER", "SYSTEM"],
        "ALTER SYSTEM",
        "Change the server's configuration file.",
    ),
    (&["ALTER", "FUNCTION"], "ALTER FUNCTION", NO_FUNCTIONS),
    (
        &["ALTER", "LARGE"],
        "a large object",
        "Store the bytes in a bytea column.",
    ),
    (&["LOAD"], "LOAD", NO_EXTENSIONS),
    (
        &["MERGE"],
        "MERGE",
        "Use INSERT … ON CONFLICT, UPDATE … FROM and DELETE … USING.",
    ),
];

/// Words inside a statement, what they are, what to do instead.
const INSIDE: &[(&str, &[&str], &str, &str)] = &[
    (
        "CREATE",
        &["EXCLUDE", "USING"],
        "an exclusion constraint",
        "Use a unique constraint.",
    ),
    (
        "ALTER",
        &["INHERIT"],
        "table inheritance",
        "Keep the rows in one table.",
    ),
    (
        "ALTER",
        &["NO", "INHERIT"],
        "table inheritance",
        "Keep the rows in one table.",
    ),
    (
        "ALTER",
        &["SET", "TABLESPACE"],
        "a tablespace",
        "All data lies in the one data directory.",
    ),
];

/// Recognizes a statement by its first words.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Option<Form> {
    let mark = cursor.mark();
    for (words, what, hint) in BEGINNINGS {
        if cursor.keywords(words) {
            cursor.rest();
            return Some(Form::Refused {
                what: (*what).to_owned(),
                hint: (*hint).to_owned(),
            });
        }
        cursor.back(mark);
    }
    for (verb, words, what, hint) in INSIDE {
        if !cursor.keywords(&[verb, "TABLE"]) {
            continue;
        }
        while !cursor.is_end() {
            if cursor.keywords(words) {
                cursor.rest();
                return Some(Form::Refused {
                    what: (*what).to_owned(),
                    hint: (*hint).to_owned(),
                });
            }
            cursor.skip();
        }
        cursor.back(mark);
    }
    None
}

/// What messages call a statement that sqlparser reads and nobody runs; `None` for any other.
pub(super) fn verb(statement: &Statement) -> Option<&'static str> {
    Some(describe(statement)?.0)
}

pub(super) fn refuse(statement: &Statement) -> Error {
    let (what, hint) = describe(statement).unwrap_or(("this statement", NONE));
    Error::unsupported(what, hint)
}

fn describe(statement: &Statement) -> Option<(&'static str, &'static str)> {
    Some(match statement {
        Statement::CreateDatabase { .. } => ("CREATE DATABASE", ONE_DATABASE),
        Statement::CreateExtension(_) => ("CREATE EXTENSION", NO_EXTENSIONS),
        Statement::DropExtension(_) => ("DROP EXTENSION", NO_EXTENSIONS),
        Statement::CreateFunction(_) => ("CREATE FUNCTION", NO_FUNCTIONS),
        Statement::DropFunction(_) => ("DROP FUNCTION", NONE),
        Statement::CreateProcedure { .. } => ("CREATE PROCEDURE", NO_FUNCTIONS),
        Statement::DropProcedure { .. } => ("DROP PROCEDURE", NONE),
        Statement::CreateTrigger(_) => ("CREATE TRIGGER", NO_FUNCTIONS),
        Statement::DropTrigger(_) => ("DROP TRIGGER", NONE),
        Statement::CreateType { .. } => ("CREATE TYPE", NO_TYPES),
        Statement::AlterType(_) => ("ALTER TYPE", NO_TYPES),
        Statement::CreateDomain(_) => ("CREATE DOMAIN", NO_TYPES),
        Statement::DropDomain(_) => ("DROP DOMAIN", NONE),
        Statement::CreatePolicy(_) | Statement::AlterPolicy(_) | Statement::DropPolicy(_) => {
            ("row level security", "Filter the rows in a view.")
        }
        Statement::CreateOperator(_)
        | Statement::CreateOperatorClass(_)
        | Statement::CreateOperatorFamily(_)
        | Statement::AlterOperator(_)
        | Statement::AlterOperatorClass(_)
        | Statement::AlterOperatorFamily(_)
        | Statement::DropOperator(_)
        | Statement::DropOperatorClass(_)
        | Statement::DropOperatorFamily(_) => ("a user-defined operator", NO_FUNCTIONS),
        Statement::CreateCollation(_) | Statement::AlterCollation(_) => (
            "a user-defined collation",
            "Text is ordered by its bytes (COLLATE \"C\").",
        ),
        Statement::CreateServer(_) => ("a foreign server", NO_FOREIGN),
        Statement::CreateRole(_)
        | Statement::AlterRole { .. }
        | Statement::CreateUser(_)
        | Statement::AlterUser(_) => (
            "this form of role statement",
            "Use CREATE ROLE name [LOGIN] [PASSWORD '…'].",
        ),
        Statement::AlterView { .. } => ("ALTER VIEW … AS", "Use CREATE OR REPLACE VIEW."),
        Statement::AlterIndex { .. } => {
            ("this form of ALTER INDEX", "Use ALTER INDEX … RENAME TO.")
        }
        Statement::Call(_) => ("CALL", NO_FUNCTIONS),
        Statement::Merge(_) => (
            "MERGE",
            "Use INSERT … ON CONFLICT, UPDATE … FROM and DELETE … USING.",
        ),
        Statement::LISTEN { .. } => ("LISTEN", "Poll a table instead."),
        Statement::NOTIFY { .. } => ("NOTIFY", "Write to a table that others poll."),
        _ => return None,
    })
}
