//! Forms of queries that sqlparser does not know, rewritten in the tokens into forms that it does.
//!
//! | PostgreSQL | what sqlparser reads |
//! |---|---|
//! | `TABLE t` | `SELECT * FROM t` |
//! | `SELECT` without a list | `SELECT FROM (VALUES (1)) AS "?"` |
//! | `ORDER BY a USING >` | `ORDER BY a DESC` |
//! | `… EXCLUDE NO OTHERS` of a window frame | nothing: it is the default |

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result, SqlState};

/// Rewrites one statement's tokens (which have neither white space nor comments).
///
/// # Errors
/// 0A000 for EXCLUDE in a window frame, 42809 for operators that order nothing.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let mut at = 0;
    while at < tokens.len() {
        match keyword(tokens.get(at)) {
            Keyword::TABLE if starts_query(tokens, at) => {
                let (span, star) = (tokens.get(at).map(|token| token.span), Token::Mul);
                let replacement = [word("SELECT"), star, word("FROM")];
                splice(tokens, at, 1, span, replacement);
            }
            Keyword::SELECT if ends_list(tokens.get(at.saturating_add(1))) => {
                let span = tokens.get(at).map(|token| token.span);
                let nothing = [
                    word("FROM"),
                    Token::LParen,
                    word("VALUES"),
                    Token::LParen,
                    Token::Number("1".to_owned(), false),
                    Token::RParen,
                    Token::RParen,
                    word("AS"),
                    Token::Word(Word {
                        value: "?".to_owned(),
                        quote_style: Some('"'),
                        keyword: Keyword::NoKeyword,
                    }),
                ];
                splice(tokens, at.saturating_add(1), 0, span, nothing);
            }
            Keyword::USING => order_using(tokens, at)?,
            Keyword::EXCLUDE => exclude(tokens, at)?,
            _ => {}
        }
        at = at.saturating_add(1);
    }
    Ok(())
}

fn keyword(token: Option<&TokenWithSpan>) -> Keyword {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn word(name: &str) -> Token {
    Token::make_keyword(name)
}

fn splice<const N: usize>(
    tokens: &mut Vec<TokenWithSpan>,
    at: usize,
    removed: usize,
    span: Option<datafusion::sql::sqlparser::tokenizer::Span>,
    replacement: [Token; N],
) {
    let Some(span) = span else { return };
    let replacement = replacement.map(|token| TokenWithSpan { token, span });
    tokens.splice(at..at.saturating_add(removed), replacement);
}

/// Whether TABLE stands where a query begins.
fn starts_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return true;
    };
    let before = tokens.get(before);
    matches!(before.map(|token| &token.token), Some(Token::LParen))
        || matches!(
            keyword(before),
            Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::ALL
                | Keyword::DISTINCT
                | Keyword::AS
        )
}

/// Whether nothing can stand between SELECT and this.
fn ends_list(token: Option<&TokenWithSpan>) -> bool {
    match token.map(|token| &token.token) {
        None | Some(Token::RParen) => true,
        Some(_) => matches!(
            keyword(token),
            Keyword::WHERE
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
        ),
    }
}

/// `USING <` and `USING >` of ORDER BY; `USING (columns)` of a join stays.
fn order_using(tokens: &mut Vec<TokenWithSpan>, at: usize) -> Result<()> {
    let operator = tokens.get(at.saturating_add(1)).map(|token| &token.token);
    let order = match operator {
        Some(Token::Lt) => "ASC",
        Some(Token::Gt) => "DESC",
        Some(Token::LtEq | Token::GtEq | Token::Eq | Token::Neq) => {
            let shown = operator.map(ToString::to_string).unwrap_or_default();
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("operator {shown} is not a valid ordering operator"),
            )
            .hint(
                "Ordering operators must be \"<\" or \">\" members of btree operator families.",
            ));
        }
        _ => return Ok(()),
    };
    let span = tokens.get(at).map(|token| token.span);
    splice(tokens, at, 2, span, [word(order)]);
    Ok(())
}

/// EXCLUDE of a window frame.
fn exclude(tokens: &mut Vec<TokenWithSpan>, at: usize) -> Result<()> {
    let next = |ahead: usize| match tokens
        .get(at.saturating_add(ahead))
        .map(|token| &token.token)
    {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    match (next(1).as_str(), next(2).as_str()) {
        ("NO", "OTHERS") => {
            tokens.drain(at..at.saturating_add(3));
            Ok(())
        }
        ("CURRENT", "ROW") | ("GROUP" | "TIES", "") => Err(Error::unsupported(
            "EXCLUDE in a window frame",
            "Subtract the row's own value, or join the table to itself.",
        )),
        _ => Ok(()),
    }
}
