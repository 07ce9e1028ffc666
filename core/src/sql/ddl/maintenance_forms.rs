//! VACUUM, ANALYZE and REINDEX, from tokens.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::cursor::Cursor;
use super::forms::{name, qualified};
use super::index::Reindex;
use super::maintenance::Target;
use crate::error::{Error, Result, SqlState};

pub(super) fn reindex(cursor: &mut Cursor<'_>) -> Result<Reindex> {
    options_in_parentheses(cursor)?;
    let index = cursor.keyword("INDEX");
    if !index && !cursor.keyword("TABLE") {
        for word in ["SCHEMA", "DATABASE", "SYSTEM"] {
            if cursor.keyword(word) {
                cursor.rest();
                return Ok(Reindex::All);
            }
        }
        return Err(cursor.unexpected());
    }
    cursor.keyword("CONCURRENTLY");
    let name = qualified(cursor)?;
    Ok(if index {
        Reindex::Index(name)
    } else {
        Reindex::Table(name)
    })
}

/// Options and tables of VACUUM and ANALYZE: whether FULL is among the former, and the latter.
pub(super) fn targets(cursor: &mut Cursor<'_>) -> Result<(bool, Vec<Target>)> {
    let mut full = options_in_parentheses(cursor)?;
    loop {
        if cursor.keyword("FULL") {
            full = true;
        } else if !["FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"]
            .iter()
            .any(|word| cursor.keyword(word))
        {
            break;
        }
    }
    let mut targets = Vec::new();
    if cursor.is_end() {
        return Ok((full, targets));
    }
    loop {
        let name = qualified(cursor)?;
        let mut columns = Vec::new();
        if cursor.token(&Token::LParen) {
            loop {
                columns.push(self::name(cursor)?);
                if !cursor.token(&Token::Comma) {
                    break;
                }
            }
            cursor.expect(&Token::RParen)?;
        }
        targets.push(Target { name, columns });
        if !cursor.token(&Token::Comma) {
            return Ok((full, targets));
        }
    }
}

/// `(VERBOSE, PARALLEL 2, …)`: all but FULL say how to do what needs no doing. Returns whether that is
/// asked for.
fn options_in_parentheses(cursor: &mut Cursor<'_>) -> Result<bool> {
    const KNOWN: [&str; 16] = [
        "full",
        "freeze",
        "verbose",
        "analyze",
        "disable_page_skipping",
        "skip_locked",
        "index_cleanup",
        "process_main",
        "process_toast",
        "truncate",
        "parallel",
        "concurrently",
        "tablespace",
        "buffer_usage_limit",
        "skip_database_stats",
        "only_database_stats",
    ];
    let mut full = false;
    if !cursor.token(&Token::LParen) {
        return Ok(full);
    }
    loop {
        let option = cursor.identifier()?;
        if !KNOWN.contains(&option.as_str()) {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("unrecognized option \"{option}\""),
            ));
        }
        let mut on = true;
        if let Some(number) = cursor.number() {
            on = number != "0";
        } else if let Some(text) = cursor.string() {
            on = is_on(&text);
        } else if matches!(cursor.peek(), Some(Token::Word(_))) {
            on = is_on(&cursor.identifier()?);
        }
        full |= option == "full" && on;
        if !cursor.token(&Token::Comma) {
            cursor.expect(&Token::RParen)?;
            return Ok(full);
        }
    }
}

fn is_on(value: &str) -> bool {
    !["off", "false", "0", "no"].contains(&value.to_lowercase().as_str())
}
