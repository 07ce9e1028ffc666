//! Where in a statement an error is: the planner names what it did not find, but not its place. The
//! parser remembers where each name stood.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Ident, visit_expressions, visit_relations};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::catalog::fold;
use crate::error::{Error, SqlState};
use crate::sql::{Body, Statement};

/// Adds the position of the name that an error is about: of the first one of that name, if the
/// statement has one query; with several, only if the name stands once.
pub(super) fn locate(error: Error, statement: &Statement) -> Error {
    let about_a_name = [
        SqlState::UNDEFINED_COLUMN,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::AMBIGUOUS_COLUMN,
    ];
    if error.fields().position.is_some() || !about_a_name.contains(&error.state()) {
        return error;
    }
    let Some(name) = subject(error.message()) else {
        return error;
    };
    let found = match &statement.body {
        Body::Sql(body, _) => parsed(body, error.state(), &name)
            .iter()
            .map(|place| characters(statement, *place))
            .collect(),
        _ => Vec::new(),
    };
    let several_queries = statement
        .text
        .to_ascii_lowercase()
        .matches("select")
        .nth(1)
        .is_some();
    let at = match found.as_slice() {
        [Some(first)] => Some(*first),
        [Some(first), ..] if !several_queries => Some(*first),
        // Targets of INSERT and UPDATE are no expressions.
        [] => name
            .last()
            .and_then(|name| written_once(&statement.text, name)),
        _ => None,
    };
    match at {
        Some(at) => error.position(statement.offset.saturating_add(at).saturating_add(1)),
        None => error,
    }
}

/// The name in a message, in its parts: `column "b" …`, `column t.b …`, `function f(integer) …`.
fn subject(message: &str) -> Option<Vec<String>> {
    if let Some(quoted) = message.split('"').nth(1) {
        return match message.starts_with("relation ") {
            true => Some(quoted.split('.').map(str::to_owned).collect()),
            false => Some(vec![quoted.to_owned()]),
        };
    }
    let rest = message
        .strip_prefix("column ")
        .or_else(|| message.strip_prefix("function "))?;
    let name = rest.split([' ', '(']).next()?;
    Some(name.split('.').map(str::to_owned).collect())
}

/// Where the parser read names that end so.
fn parsed(statement: &ast::Statement, state: SqlState, name: &[String]) -> Vec<Location> {
    let mut places = Vec::new();
    let mut note = |idents: &[&Ident]| {
        let start = idents.len().checked_sub(name.len());
        let tail = start.and_then(|start| idents.get(start..));
        let same = |tail: &&[&Ident]| {
            tail.iter()
                .zip(name)
                .all(|(ident, name)| fold(ident) == *name)
        };
        if tail.is_some_and(|tail| same(&tail))
            && let Some(first) = idents.first()
        {
            places.push(first.span.start);
        }
    };
    let go_on = ControlFlow::<()>::Continue(());
    let _ = match state {
        SqlState::UNDEFINED_TABLE => visit_relations(statement, |relation| {
            let idents: Vec<&Ident> = relation
                .0
                .iter()
                .filter_map(|part| part.as_ident())
                .collect();
            note(&idents);
            go_on
        }),
        SqlState::UNDEFINED_FUNCTION => visit_expressions(statement, |expr| {
            if let ast::Expr::Function(call) = expr {
                let parts = call.name.0.iter();
                let idents: Vec<&Ident> = parts.filter_map(|part| part.as_ident()).collect();
                note(&idents);
            }
            go_on
        }),
        _ => visit_expressions(statement, |expr| {
            match expr {
                ast::Expr::Identifier(ident) => note(&[ident]),
                ast::Expr::CompoundIdentifier(idents) => {
                    let idents: Vec<&Ident> = idents.iter().collect();
                    note(&idents);
                }
                _ => {}
            }
            go_on
        }),
    };
    // `missing FROM-clause entry for table "x"` is about the qualifier of a column.
    if state == SqlState::UNDEFINED_TABLE && places.is_empty() {
        let _ = visit_expressions(statement, |expr| {
            if let ast::Expr::CompoundIdentifier(idents) = expr
                && let [.., table, _] = idents.as_slice()
                && name == [fold(table)]
                && let Some(first) = idents.first()
            {
                places.push(first.span.start);
            }
            go_on
        });
    }
    places
}

/// Characters of the statement's text before a place of its query string.
fn characters(statement: &Statement, place: Location) -> Option<usize> {
    let lines = place.line.checked_sub(statement.start.line)?;
    let mut before = 0_usize;
    let mut rest = statement.text.as_str();
    for _ in 0..lines {
        let (line, next) = rest.split_once('\n')?;
        before = before
            .saturating_add(line.chars().count())
            .saturating_add(1);
        rest = next;
    }
    let first = if lines == 0 {
        statement.start.column
    } else {
        1
    };
    let column = usize::try_from(place.column.checked_sub(first)?).ok()?;
    Some(before.saturating_add(column))
}

/// Characters before a word that the text has exactly once.
fn written_once(text: &str, name: &str) -> Option<usize> {
    let mut places = text.match_indices(name).filter(|(at, _)| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text
            .get(at.saturating_add(name.len())..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    });
    match (places.next(), places.next()) {
        (Some((at, _)), None) => text.get(..at).map(|text| text.chars().count()),
        _ => None,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    fn place(state: SqlState, message: &str, sql: &str) -> Option<usize> {
        let statement = parse(sql).unwrap().pop().unwrap();
        locate(Error::new(state, message), &statement)
            .fields()
            .position
    }

    #[test]
    fn names_are_found_where_they_were_read() {
        let column = |message, sql| place(SqlState::UNDEFINED_COLUMN, message, sql);
        let b = "column \"b\" does not exist";
        assert_eq!(column(b, "SELECT 'b', ab, b FROM t"), Some(17));
        assert_eq!(column(b, "SELECT 1;\nSELECT 'ü',\n  b, b FROM t"), Some(25));
        assert_eq!(column(b, "SELECT b FROM t WHERE EXISTS (SELECT b)"), None);
        assert_eq!(column(b, "SELECT 1"), None);
        assert_eq!(
            column("column t.b does not exist", "SELECT b, t.b FROM t"),
            Some(11)
        );
        let of = "column \"b\" of relation \"t\" does not exist";
        assert_eq!(column(of, "UPDATE t SET b = 1"), Some(14));
        let table = |message, sql| place(SqlState::UNDEFINED_TABLE, message, sql);
        let s_t = "relation \"s.t\" does not exist";
        assert_eq!(table(s_t, "SELECT 's.t' FROM s.t"), Some(19));
        let from = "missing FROM-clause entry for table \"x\"";
        assert_eq!(table(from, "SELECT x.a FROM t"), Some(8));
        let function = |message, sql| place(SqlState::UNDEFINED_FUNCTION, message, sql);
        let f = "function f(integer) does not exist";
        assert_eq!(function(f, "SELECT f, f(1)"), Some(11));
    }
}
