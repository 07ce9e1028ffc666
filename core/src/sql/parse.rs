//! From text to statements.
//!
//! sqlparser reads queries, writes and DDL. What only concerns the session is read here token by
//! token (see [`super::session_verbs`]), which also covers the forms that sqlparser does not know;
//! so are the locking clauses that it cannot represent.

use crate::query::{SqlDialect, within_steps};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, Whitespace,
};

use super::cursor::Cursor;
use super::session_verbs;
use super::source::{Source, lexical_error, near, syntax_error};
use super::statement::{Body, LockWait, Locking, Statement};
use super::unread;
use crate::error::{Error, Result, SqlState};
use crate::txn::RowMode;

/// Levels of nesting (parentheses, operators, sub-queries) that a statement may have.
pub(super) const MAX_DEPTH: usize = 120;

/// Operators that may follow each other in one expression.
const MAX_CHAIN: usize = 4_000;

/// Expressions that the parser may begin to read for each token, and for any statement: most tokens
/// begin one, and are read a second time where the parser has to try.
const STEPS_PER_TOKEN: usize = 20;
const MIN_STEPS: usize = 5_000;

/// Statements that one query string may hold.
const MAX_STATEMENTS: usize = 100_000;

/// Reads a query string of any number of statements; empty ones are left out.
///
/// # Errors
/// 42601 with the position of the offending token.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let source = Source::new(sql);
    let dialect = SqlDialect;
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| lexical_error(&source, &error.message, error.location))?;
    let mut statements = Vec::new();
    for tokens in split(&source, &tokens)? {
        if statements.len() == MAX_STATEMENTS {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a query string may hold at most {MAX_STATEMENTS} statements"),
            ));
        }
        statements.push(parse_one(&source, tokens)?);
    }
    Ok(statements)
}

/// The statements' tokens, without white space and comments. Strings that only a line break parts
/// are one.
fn split(source: &Source<'_>, tokens: &[TokenWithSpan]) -> Result<Vec<Vec<TokenWithSpan>>> {
    let mut statements = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    let mut new_line = false;
    for token in tokens {
        match &token.token {
            Token::SemiColon => {
                if !current.is_empty() {
                    statements.push(std::mem::take(&mut current));
                }
            }
            Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }) => {
                new_line = true;
                continue;
            }
            Token::Whitespace(_) => continue,
            Token::EOF => {}
            Token::SingleQuotedString(more) => match current.last_mut() {
                Some(TokenWithSpan {
                    token:
                        Token::SingleQuotedString(text)
                        | Token::EscapedStringLiteral(text)
                        | Token::NationalStringLiteral(text),
                    span,
                }) => {
                    if !new_line {
                        return Err(near(source, token));
                    }
                    text.push_str(more);
                    span.end = token.span.end;
                }
                _ => current.push(token.clone()),
            },
            _ => current.push(token.clone()),
        }
        new_line = false;
    }
    if !current.is_empty() {
        statements.push(current);
    }
    Ok(statements)
}

/// Reads the tokens of one statement. Also called for statements inside others (EXPLAIN, PREPARE).
pub(super) fn parse_one(source: &Source<'_>, tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    let text = match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => {
            let (from, to) = (
                source.offset(first.span.start),
                source.offset(last.span.end),
            );
            source.text.get(from..to).unwrap_or(source.text).to_owned()
        }
        _ => String::new(),
    };
    let start = tokens
        .first()
        .map_or(Location::new(1, 1), |first| first.span.start);
    let offset = source.position(start).saturating_sub(1);
    let body = parse_body(source, tokens)?;
    Ok(Statement {
        body,
        text,
        offset,
        start,
    })
}

/// Refuses operators in a row beyond [`MAX_CHAIN`]: the parser makes a tree as deep as they are many,
/// and whoever walks it needs as much stack.
fn refuse_long_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut counts = vec![0_usize];
    for token in tokens {
        let chained = match &token.token {
            Token::LParen | Token::LBracket => {
                counts.push(0);
                continue;
            }
            Token::RParen | Token::RBracket => {
                if counts.len() > 1 {
                    counts.pop();
                }
                continue;
            }
            Token::Comma => {
                if let Some(count) = counts.last_mut() {
                    *count = 0;
                }
                continue;
            }
            Token::Word(word) => matches!(
                word.keyword,
                Keyword::AND
                    | Keyword::OR
                    | Keyword::IS
                    | Keyword::NOTNULL
                    | Keyword::COLLATE
                    | Keyword::AT
                    | Keyword::LIKE
                    | Keyword::ILIKE
                    | Keyword::UNION
                    | Keyword::EXCEPT
                    | Keyword::INTERSECT
                    | Keyword::JOIN
            ),
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::EOF => false,
            _ => true,
        };
        if let Some(count) = counts.last_mut()
            && chained
        {
            *count += 1;
            if *count > MAX_CHAIN {
                return Err(Error::new(
                    SqlState::STATEMENT_TOO_COMPLEX,
                    "stack depth limit exceeded",
                )
                .hint(format!(
                    "An expression may have {MAX_CHAIN} operators in a row: use IN (…) or = ANY (…) for long lists."
                )));
            }
        }
    }
    Ok(())
}

fn parse_body(source: &Source<'_>, mut tokens: Vec<TokenWithSpan>) -> Result<Body> {
    refuse_long_chains(&tokens)?;
    super::query_forms::rewrite(&mut tokens)?;
    let mut cursor = Cursor::new(source, &tokens);
    if let Some(verb) = session_verbs::parse(&mut cursor)? {
        return Ok(Body::Session(verb));
    }
    if let Some(form) = super::ddl::parse(&mut cursor)? {
        return Ok(Body::Ddl(Box::new(form)));
    }
    let (mut tokens, locking) = take_locking(source, tokens)?;
    let forms = super::dml::take_forms(&mut tokens)?;
    let mut tokens = super::ddl::normalize_tokens(tokens);
    super::trim_form::rewrite(&mut tokens);
    let dialect = SqlDialect;
    let steps = tokens
        .len()
        .saturating_mul(STEPS_PER_TOKEN)
        .saturating_add(MIN_STEPS);
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens);
    let read = within_steps(steps, || parser.parse_statement());
    let mut statement = match read {
        Ok(statement) => statement,
        Err(error) => {
            let error = syntax_error(source, &error);
            let unread = match error.state() == SqlState::SYNTAX_ERROR {
                true => unread::refused(&parser.into_tokens()),
                false => None,
            };
            return Err(unread.unwrap_or(error));
        }
    };
    forms.apply(&mut statement)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let error = near(source, &next);
        return Err(unread::refused(&parser.into_tokens()).unwrap_or(error));
    }
    if !locking.is_empty() && !matches!(statement, ast::Statement::Query(_)) {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "a locking clause belongs to a SELECT statement",
        ));
    }
    Ok(Body::Sql(Box::new(statement), locking))
}

/// Splits the locking clauses off the end of a statement's tokens.
fn take_locking(
    source: &Source<'_>,
    mut tokens: Vec<TokenWithSpan>,
) -> Result<(Vec<TokenWithSpan>, Vec<Locking>)> {
    let starts_query = tokens.first().is_some_and(|token| match &token.token {
        Token::Word(word) => {
            matches!(
                word.value.to_ascii_uppercase().as_str(),
                "SELECT" | "WITH" | "VALUES" | "TABLE"
            )
        }
        Token::LParen => true,
        _ => false,
    });
    if !starts_query {
        return Ok((tokens, Vec::new()));
    }
    let mut depth = 0_i64;
    let mut start = None;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Word(word)
                if depth == 0
                    && start.is_none()
                    && word.quote_style.is_none()
                    && word.value.eq_ignore_ascii_case("for")
                    && is_lock_strength(tokens.get(at + 1)) =>
            {
                start = Some(at);
            }
            _ => {}
        }
    }
    let Some(start) = start else {
        return Ok((tokens, Vec::new()));
    };
    let tail = tokens.split_off(start);
    let mut cursor = Cursor::new(source, &tail);
    let mut clauses = Vec::new();
    while cursor.keyword("FOR") {
        let mode = if cursor.keyword("UPDATE") {
            RowMode::Update
        } else if cursor.keywords(&["NO", "KEY", "UPDATE"]) {
            RowMode::NoKeyUpdate
        } else if cursor.keyword("SHARE") {
            RowMode::Share
        } else if cursor.keywords(&["KEY", "SHARE"]) {
            RowMode::KeyShare
        } else {
            return Err(cursor.unexpected());
        };
        let mut of = Vec::new();
        if cursor.keyword("OF") {
            of.push(cursor.identifier()?);
            while cursor.token(&Token::Comma) {
                of.push(cursor.identifier()?);
            }
        }
        let wait = if cursor.keyword("NOWAIT") {
            LockWait::NoWait
        } else if cursor.keywords(&["SKIP", "LOCKED"]) {
            LockWait::SkipLocked
        } else {
            LockWait::Block
        };
        clauses.push(Locking { mode, of, wait });
    }
    // PostgreSQL takes LIMIT and OFFSET behind the locking clause too.
    tokens.extend(cursor.rest());
    Ok((tokens, clauses))
}

fn is_lock_strength(token: Option<&TokenWithSpan>) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(word))
        if matches!(word.value.to_ascii_uppercase().as_str(), "UPDATE" | "NO" | "SHARE" | "KEY"))
}
