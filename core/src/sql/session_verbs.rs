//! The statements that the session runs itself, read token by token.

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::parse::parse_one;
use super::setting_verbs::{reset, set, set_value, show};
use super::statement::{Body, Direction, ExplainOptions, IsolationLevel, Modes, Statement, Verb};
use crate::error::{Error, Result, SqlState};
use crate::types::{PgType, names};

/// Reads a session statement; `None` when the statement is not one.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<Verb>> {
    let mark = cursor.mark();
    let verb = read(cursor)?;
    match &verb {
        Some(_) => cursor.end()?,
        None => cursor.back(mark),
    }
    Ok(verb)
}

fn read(cursor: &mut Cursor<'_>) -> Result<Option<Verb>> {
    let verb = if cursor.keyword("BEGIN") {
        work(cursor);
        Verb::Begin {
            modes: modes(cursor)?,
            start: false,
        }
    } else if cursor.keywords(&["START", "TRANSACTION"]) {
        Verb::Begin {
            modes: modes(cursor)?,
            start: true,
        }
    } else if cursor.keyword("COMMIT") || cursor.keyword("END") {
        refuse_prepared(cursor)?;
        work(cursor);
        Verb::Commit {
            chain: chain(cursor)?,
        }
    } else if cursor.keyword("ROLLBACK") || cursor.keyword("ABORT") {
        refuse_prepared(cursor)?;
        work(cursor);
        if cursor.keyword("TO") {
            cursor.keyword("SAVEPOINT");
            Verb::RollbackTo(cursor.identifier()?)
        } else {
            Verb::Rollback {
                chain: chain(cursor)?,
            }
        }
    } else if cursor.keyword("SAVEPOINT") {
        Verb::Savepoint(cursor.identifier()?)
    } else if cursor.keyword("RELEASE") {
        cursor.keyword("SAVEPOINT");
        Verb::Release(cursor.identifier()?)
    } else if cursor.keyword("SET") {
        set(cursor)?
    } else if cursor.keyword("RESET") {
        reset(cursor)?
    } else if cursor.keyword("SHOW") {
        show(cursor)?
    } else if cursor.keyword("DISCARD") {
        discard(cursor)?
    } else if cursor.keyword("PREPARE") {
        prepare(cursor)?
    } else if cursor.keyword("EXECUTE") {
        let name = cursor.identifier()?;
        Verb::Execute {
            name,
            arguments: arguments(cursor)?,
        }
    } else if cursor.keyword("DEALLOCATE") {
        cursor.keyword("PREPARE");
        Verb::Deallocate(name_or_all(cursor)?)
    } else if cursor.keyword("EXPLAIN") {
        explain(cursor)?
    } else if cursor.keyword("DECLARE") {
        declare(cursor)?
    } else if cursor.keyword("FETCH") {
        let (direction, cursor) = fetch(cursor)?;
        Verb::Fetch { direction, cursor }
    } else if cursor.keyword("MOVE") {
        let (direction, cursor) = fetch(cursor)?;
        Verb::Move { direction, cursor }
    } else if cursor.keyword("CLOSE") {
        Verb::Close(name_or_all(cursor)?)
    } else if cursor.keyword("UNLISTEN") {
        if !cursor.token(&Token::Mul) {
            cursor.identifier()?;
        }
        Verb::Unlisten
    } else if cursor.keyword("LISTEN") || cursor.keyword("NOTIFY") {
        return Err(Error::unsupported(
            "LISTEN and NOTIFY",
            "Poll a table, or use a message broker beside the database.",
        ));
    } else {
        return Ok(None);
    };
    Ok(Some(verb))
}

fn work(cursor: &mut Cursor<'_>) {
    let _ = cursor.keyword("WORK") || cursor.keyword("TRANSACTION");
}

fn refuse_prepared(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.keyword("PREPARED") {
        return Err(two_phase());
    }
    Ok(())
}

fn two_phase() -> Error {
    Error::unsupported(
        "two-phase commit",
        "Commit the transaction in one step, with COMMIT.",
    )
}

/// `AND [NO] CHAIN`.
fn chain(cursor: &mut Cursor<'_>) -> Result<bool> {
    if !cursor.keyword("AND") {
        return Ok(false);
    }
    let chain = !cursor.keyword("NO");
    cursor.expect_keyword("CHAIN")?;
    Ok(chain)
}

/// Transaction modes, with or without commas between them.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Result<Modes> {
    let mut modes = Modes::default();
    loop {
        if cursor.keywords(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.keywords(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if cursor.keywords(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if cursor.keyword("DEFERRABLE") {
            modes.deferrable = Some(true);
        } else if cursor.keywords(&["NOT", "DEFERRABLE"]) {
            modes.deferrable = Some(false);
        } else {
            return Ok(modes);
        }
        cursor.token(&Token::Comma);
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<IsolationLevel> {
    if cursor.keyword("SERIALIZABLE") {
        Ok(IsolationLevel::Serializable)
    } else if cursor.keywords(&["REPEATABLE", "READ"]) {
        Ok(IsolationLevel::RepeatableRead)
    } else if cursor.keywords(&["READ", "COMMITTED"]) {
        Ok(IsolationLevel::ReadCommitted)
    } else if cursor.keywords(&["READ", "UNCOMMITTED"]) {
        Ok(IsolationLevel::ReadUncommitted)
    } else {
        Err(cursor.unexpected())
    }
}

fn discard(cursor: &mut Cursor<'_>) -> Result<Verb> {
    if cursor.keyword("ALL") {
        Ok(Verb::DiscardAll)
    } else if cursor.keyword("PLANS") {
        Ok(Verb::DiscardPlans)
    } else if cursor.keyword("SEQUENCES") {
        Ok(Verb::DiscardSequences)
    } else if cursor.keyword("TEMP") || cursor.keyword("TEMPORARY") {
        Ok(Verb::DiscardTemp)
    } else {
        Err(cursor.unexpected())
    }
}

/// A name, or `None` for ALL.
fn name_or_all(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.keyword("ALL") {
        Ok(None)
    } else {
        cursor.identifier().map(Some)
    }
}

fn prepare(cursor: &mut Cursor<'_>) -> Result<Verb> {
    if cursor.keyword("TRANSACTION") {
        return Err(two_phase());
    }
    let name = cursor.identifier()?;
    let mut types = Vec::new();
    if cursor.token(&Token::LParen) {
        let mark = cursor.mark();
        let mut depth = 1;
        let mut piece = Vec::new();
        let tokens = cursor.rest();
        let mut used = 0;
        for token in &tokens {
            used += 1;
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && token.token == Token::Comma) {
                types.push(data_type(cursor, std::mem::take(&mut piece))?);
            } else {
                piece.push(token.clone());
            }
            if depth == 0 {
                break;
            }
        }
        cursor.back(mark + used);
    }
    cursor.expect_keyword("AS")?;
    let statement = inner(cursor, PREPARABLE)?;
    Ok(Verb::Prepare {
        name,
        types,
        statement: Box::new(statement),
    })
}

fn data_type(cursor: &Cursor<'_>, tokens: Vec<TokenWithSpan>) -> Result<PgType> {
    let dialect = SqlDialect;
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let ty = parser.parse_data_type().map_err(|_| cursor.unexpected())?;
    if parser.peek_token().token != Token::EOF {
        return Err(cursor.unexpected());
    }
    names::from_sql(&ty)
}

/// The statement inside another, which begins with one of these words or a parenthesis: all tokens
/// that are left.
fn inner(cursor: &mut Cursor<'_>, starts: &[&str]) -> Result<Statement> {
    let fits = match cursor.peek() {
        Some(Token::LParen) => true,
        Some(Token::Word(word)) => {
            let mut starts = starts.iter();
            word.quote_style.is_none() && starts.any(|it| word.value.eq_ignore_ascii_case(it))
        }
        _ => false,
    };
    if !fits {
        return Err(cursor.unexpected());
    }
    parse_one(cursor.source, cursor.rest())
}

/// How statements begin that PREPARE and DECLARE take.
const PREPARABLE: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "VALUES", "WITH", "TABLE", "MERGE",
];
/// How statements begin that EXPLAIN takes.
const EXPLAINABLE: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "VALUES", "WITH", "TABLE", "MERGE", "EXECUTE",
    "DECLARE", "CREATE", "REFRESH",
];
/// How queries begin.
const QUERIES: &[&str] = &["SELECT", "VALUES", "WITH", "TABLE"];

/// `(expression, …)` to the end.
fn arguments(cursor: &mut Cursor<'_>) -> Result<Vec<datafusion::sql::sqlparser::ast::Expr>> {
    if cursor.is_end() {
        return Ok(Vec::new());
    }
    cursor.expect(&Token::LParen)?;
    let mut tokens = cursor.rest();
    match tokens.pop() {
        Some(last) if last.token == Token::RParen => {}
        _ => return Err(cursor.unexpected()),
    }
    let dialect = SqlDialect;
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let arguments = parser
        .parse_comma_separated(Parser::parse_expr)
        .map_err(|error| Error::new(SqlState::SYNTAX_ERROR, format!("syntax error: {error}")))?;
    if parser.peek_token().token != Token::EOF {
        return Err(cursor.unexpected());
    }
    Ok(arguments)
}

fn explain(cursor: &mut Cursor<'_>) -> Result<Verb> {
    let mut options = ExplainOptions::default();
    let mark = cursor.mark();
    if cursor.token(&Token::LParen) && !is_query_start(cursor) {
        loop {
            let name = cursor.identifier()?;
            let value = if matches!(cursor.peek(), Some(Token::Comma | Token::RParen)) {
                "true".to_owned()
            } else {
                set_value(cursor)?.to_lowercase()
            };
            let on = matches!(value.as_str(), "true" | "on" | "1");
            match name.as_str() {
                "analyze" => options.analyze = on,
                "verbose" => options.verbose = on,
                // They only choose which figures are shown.
                "costs" | "timing" | "summary" | "buffers" | "settings" | "wal" => {}
                "format" if value == "text" => {}
                "format" => {
                    return Err(Error::unsupported(
                        format!("EXPLAIN (FORMAT {})", value.to_uppercase()),
                        "Use the text format.",
                    ));
                }
                _ => {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!("unrecognized EXPLAIN option \"{name}\""),
                    ));
                }
            }
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
    } else {
        cursor.back(mark);
        options.analyze = cursor.keyword("ANALYZE");
        options.verbose = cursor.keyword("VERBOSE");
    }
    Ok(Verb::Explain {
        options,
        statement: Box::new(inner(cursor, EXPLAINABLE)?),
    })
}

/// `EXPLAIN (SELECT …)` has a parenthesis that belongs to the query.
fn is_query_start(cursor: &mut Cursor<'_>) -> bool {
    let mark = cursor.mark();
    let found = cursor.keyword("SELECT")
        || cursor.keyword("WITH")
        || cursor.keyword("VALUES")
        || cursor.peek() == Some(&Token::LParen);
    cursor.back(mark);
    found
}

fn declare(cursor: &mut Cursor<'_>) -> Result<Verb> {
    let name = cursor.identifier()?;
    loop {
        if cursor.keyword("BINARY") {
            return Err(Error::unsupported(
                "DECLARE … BINARY CURSOR",
                "Fetch through the extended protocol with binary result formats.",
            ));
        }
        if cursor.keyword("SCROLL") {
            return Err(Error::unsupported(
                "a SCROLL cursor",
                "Declare the cursor without SCROLL and fetch forward.",
            ));
        }
        let skipped = cursor.keywords(&["NO", "SCROLL"])
            || cursor.keyword("INSENSITIVE")
            || cursor.keyword("ASENSITIVE");
        if !skipped {
            break;
        }
    }
    cursor.expect_keyword("CURSOR")?;
    let hold = cursor.keywords(&["WITH", "HOLD"]);
    if !hold {
        cursor.keywords(&["WITHOUT", "HOLD"]);
    }
    cursor.expect_keyword("FOR")?;
    let query = inner(cursor, QUERIES)?;
    if !matches!(query.body, Body::Sql(..)) {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "a cursor needs a query"));
    }
    Ok(Verb::Declare {
        name,
        hold,
        query: Box::new(query),
    })
}

fn fetch(cursor: &mut Cursor<'_>) -> Result<(Direction, String)> {
    let forward = cursor.keyword("FORWARD");
    let direction = if cursor.keyword("ALL") {
        Direction::All
    } else if let Some(count) = cursor.number() {
        let count = count.parse().map_err(|_| backward())?;
        Direction::Forward(count)
    } else if !forward && cursor.keyword("NEXT") {
        Direction::Forward(1)
    } else if ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"]
        .iter()
        .any(|word| cursor.keyword(word))
    {
        return Err(backward());
    } else {
        Direction::Forward(1)
    };
    let _ = cursor.keyword("FROM") || cursor.keyword("IN");
    Ok((direction, cursor.identifier()?))
}

fn backward() -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "cursor can only scan forward",
    )
    .hint("Fetch with NEXT, a count, FORWARD or ALL.")
}
