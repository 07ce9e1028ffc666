//! Forms of queries that sqlparser does not know, rewritten in the tokens into forms that it does.
//!
//! | PostgreSQL | what sqlparser reads |
//! |---|---|
//! | `TABLE t` | `SELECT * FROM t` |
//! | `SELECT` without a list | `SELECT FROM (VALUES (1)) AS "?"` |
//! | `(t).*` in a list | `t.*` |
//! | `ORDER BY a USING >` | `ORDER BY a DESC` |
//! | `… EXCLUDE NO OTHERS` of a window frame | nothing: it is the default |
//! | `(w … EXCLUDE TIES)` | `("?TIES?w" …)` |

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result, SqlState};

/// Rewrites one statement's tokens (which have neither white space nor comments).
///
/// # Errors
/// 42809 for operators that order nothing.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) -> Result<()> {
    let mut at = 0;
    while at < tokens.len() {
        match keyword(tokens.get(at)) {
            Keyword::TABLE if starts_query(tokens, at) && names_table(tokens, at) => {
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
            _ if is_item_row(tokens, at) => {
                tokens.remove(at.saturating_add(2));
                tokens.remove(at);
            }
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

/// Whether a name follows TABLE: else the word is one itself, as in `SELECT 1 AS table`.
fn names_table(tokens: &[TokenWithSpan], at: usize) -> bool {
    let next = tokens.get(at.saturating_add(1));
    let word = matches!(next.map(|token| &token.token), Some(Token::Word(_)));
    word && !matches!(
        keyword(next),
        Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::WINDOW
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::OFFSET
            | Keyword::FETCH
            | Keyword::FOR
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::INTO
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

/// Whether `(t).*` is an item of a list. (Behind a name, it would be a call.)
fn is_item_row(tokens: &[TokenWithSpan], at: usize) -> bool {
    let token = |at: usize| tokens.get(at).map(|token| &token.token);
    let row = [0, 1, 2, 3, 4].map(|ahead| token(at.saturating_add(ahead)));
    let before = at.checked_sub(1);
    let listed = match before.and_then(token) {
        Some(Token::Comma) => true,
        _ => matches!(
            keyword(before.and_then(|before| tokens.get(before))),
            Keyword::SELECT | Keyword::ALL | Keyword::DISTINCT | Keyword::RETURNING
        ),
    };
    listed
        && matches!(
            row,
            [
                Some(Token::LParen),
                Some(Token::Word(_)),
                Some(Token::RParen),
                Some(Token::Period),
                Some(Token::Mul),
            ]
        )
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
        ("NO", "OTHERS") if window_of(tokens, at).is_some() => {
            tokens.drain(at..at.saturating_add(3));
            Ok(())
        }
        ("CURRENT", "ROW") => mark_window(tokens, at, 3, "?CURRENT ROW"),
        (form @ ("GROUP" | "TIES"), "") => {
            let mark = format!("?{form}");
            mark_window(tokens, at, 2, &mark)
        }
        _ => Ok(()),
    }
}

/// Where the definition of the window around a token begins. Without a frame there is nothing to
/// exclude from: a syntax error.
fn window_of(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let open = tokens.iter().take(at).rposition(|token| match token.token {
        Token::RParen => {
            depth = depth.saturating_add(1);
            false
        }
        Token::LParen if depth > 0 => {
            depth = depth.saturating_sub(1);
            false
        }
        Token::LParen => true,
        _ => false,
    });
    let first = open?.saturating_add(1);
    let units = [Keyword::ROWS, Keyword::RANGE, Keyword::GROUPS];
    let mut inside = tokens.iter().take(at).skip(first);
    inside
        .any(|token| units.contains(&keyword(Some(token))))
        .then_some(first)
}

/// Moves EXCLUDE to where the window's base may stand, before its name: sqlparser knows no EXCLUDE.
fn mark_window(
    tokens: &mut Vec<TokenWithSpan>,
    at: usize,
    length: usize,
    mark: &str,
) -> Result<()> {
    let closes = tokens.get(at.saturating_add(length));
    if !matches!(closes.map(|token| &token.token), Some(Token::RParen)) {
        return Ok(());
    }
    let Some(first) = window_of(tokens, at) else {
        return Ok(());
    };
    let Some(span) = tokens.get(at).map(|token| token.span) else {
        return Ok(());
    };
    let starts = [
        Keyword::PARTITION,
        Keyword::ORDER,
        Keyword::ROWS,
        Keyword::RANGE,
        Keyword::GROUPS,
    ];
    let base = match tokens.get(first).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_some() => Some(word.value.clone()),
        Some(Token::Word(word)) if !starts.contains(&word.keyword) => {
            Some(word.value.to_lowercase())
        }
        _ => None,
    };
    let value = match &base {
        Some(base) => format!("{mark}?{base}"),
        None => mark.to_owned(),
    };
    let name = TokenWithSpan {
        token: Token::Word(Word {
            value,
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        }),
        span,
    };
    tokens.drain(at..at.saturating_add(length));
    tokens.splice(
        first..first.saturating_add(usize::from(base.is_some())),
        [name],
    );
    Ok(())
}
