//! Clauses of INSERT and COPY that sqlparser does not know: taken out of the tokens before it reads
//! them, and put into the AST after.

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::{CopyLegacyOption, Statement};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result, SqlState};

/// How `HEADER MATCH` is handed on: as a legacy option that nobody can write.
pub(super) const HEADER_MATCH: CopyLegacyOption = CopyLegacyOption::IgnoreHeader(u64::MAX);

/// The column name that stands for `FORCE_QUOTE *`.
pub(super) const ALL_COLUMNS: &str = "*";

/// What was taken out of a statement's tokens.
#[derive(Clone, Debug, Default)]
pub struct Forms {
    overriding: Option<Overriding>,
    header_match: bool,
    /// The condition of COPY FROM … WHERE.
    condition: Vec<TokenWithSpan>,
}

/// `OVERRIDING … VALUE`. It travels in two flags of the AST that PostgreSQL's INSERT does not use:
/// `overwrite` is SYSTEM, `replace_into` is USER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overriding {
    System,
    User,
}

/// Takes out the forms of a statement that starts with INSERT, WITH or COPY.
///
/// # Errors
/// What PostgreSQL says of options of COPY that sqlparser would call a syntax error.
pub fn take(tokens: &mut Vec<TokenWithSpan>) -> Result<Forms> {
    let mut forms = Forms::default();
    match tokens.first().and_then(word).as_deref() {
        Some("INSERT" | "WITH") => forms.overriding = take_overriding(tokens),
        Some("COPY") => {
            forms.condition = take_condition(tokens);
            forms.header_match = rewrite_copy(tokens)?;
        }
        Some("UPDATE") => drop_only(tokens, 1),
        Some("DELETE") => drop_only(tokens, 2),
        _ => {}
    }
    Ok(forms)
}

impl Forms {
    /// Puts what was taken out into the parsed statement.
    ///
    /// # Errors
    /// 42601 for words that sqlparser takes from other dialects.
    pub fn apply(self, statement: &mut Statement) -> Result<()> {
        use datafusion::sql::sqlparser::ast::SetExpr;
        match statement {
            Statement::Insert(insert) => {
                if insert.overwrite || insert.replace_into {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "INSERT OVERWRITE and REPLACE INTO are not PostgreSQL's",
                    )
                    .hint("Use INSERT … ON CONFLICT DO UPDATE."));
                }
                insert.overwrite = self.overriding == Some(Overriding::System);
                insert.replace_into = self.overriding == Some(Overriding::User);
            }
            Statement::Query(query) => {
                if let SetExpr::Insert(inner) = query.body.as_mut() {
                    return self.apply(inner);
                }
            }
            Statement::Copy {
                legacy_options,
                values,
                ..
            } => {
                if self.header_match {
                    legacy_options.push(HEADER_MATCH);
                }
                if !self.condition.is_empty() {
                    values.push(Some(condition(self.condition)?));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

fn is(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    token.and_then(word).as_deref() == Some(wanted)
}

/// ONLY leaves out the tables that inherit; none do, and sqlparser reads it as a table's name.
fn drop_only(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let names_a_table = matches!(
        tokens.get(at.saturating_add(1)).map(|token| &token.token),
        Some(Token::Word(word)) if !matches!(word.keyword, Keyword::SET | Keyword::AS)
            || word.quote_style.is_some()
    );
    if is(tokens.get(at), "ONLY") && names_a_table {
        tokens.remove(at);
    }
}

fn take_overriding(tokens: &mut Vec<TokenWithSpan>) -> Option<Overriding> {
    let mut depth = 0_i64;
    for at in 0..tokens.len() {
        match tokens.get(at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            _ => {}
        }
        let next = at.saturating_add(1);
        let last = at.saturating_add(2);
        if depth != 0 || !is(tokens.get(at), "OVERRIDING") || !is(tokens.get(last), "VALUE") {
            continue;
        }
        let overriding = match tokens.get(next).and_then(word).as_deref() {
            Some("SYSTEM") => Overriding::System,
            Some("USER") => Overriding::User,
            _ => continue,
        };
        tokens.drain(at..=last);
        return Some(overriding);
    }
    None
}

/// Takes out what stands behind WHERE of COPY, which sqlparser does not know. Its SQL travels where
/// sqlparser has data that follows the statement, which PostgreSQL sends in messages of its own.
fn take_condition(tokens: &mut Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut depth = 0_i64;
    let start = tokens.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0 && is(Some(token), "WHERE")
    });
    let Some(start) = start else {
        return Vec::new();
    };
    let mut condition = tokens.split_off(start);
    condition.remove(0);
    condition
}

fn condition(tokens: Vec<TokenWithSpan>) -> Result<String> {
    let wrong = || Error::new(SqlState::SYNTAX_ERROR, "syntax error in WHERE of COPY");
    let mut parser = Parser::new(&SqlDialect).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|_| wrong())?;
    if parser.peek_token().token != Token::EOF {
        return Err(wrong());
    }
    Ok(expr.to_string())
}

/// The options of COPY in parentheses.
const OPTIONS: [&str; 11] = [
    "FORMAT",
    "FREEZE",
    "DELIMITER",
    "NULL",
    "HEADER",
    "QUOTE",
    "ESCAPE",
    "FORCE_QUOTE",
    "FORCE_NOT_NULL",
    "FORCE_NULL",
    "ENCODING",
];

/// Rewrites COPY's options into those that sqlparser reads. Returns whether HEADER MATCH was said.
fn rewrite_copy(tokens: &mut Vec<TokenWithSpan>) -> Result<bool> {
    let mut header_match = false;
    let start = tokens
        .iter()
        .position(|token| matches!(word(token).as_deref(), Some("STDIN" | "STDOUT")));
    let Some(mut at) = start else {
        return Ok(false);
    };
    let mut depth = 0_i64;
    while let Some(token) = tokens.get(at) {
        let next = at.saturating_add(1);
        let starts_option = depth == 1
            && at
                .checked_sub(1)
                .and_then(|before| tokens.get(before))
                .is_some_and(|before| matches!(before.token, Token::LParen | Token::Comma));
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if let Token::Word(name) = &token.token
            && starts_option
            && !OPTIONS
                .iter()
                .any(|known| name.value.eq_ignore_ascii_case(known))
        {
            let name = name.value.to_lowercase();
            return Err(syntax(format!("option \"{name}\" not recognized")));
        }
        match word(token).as_deref() {
            Some(name @ ("FREEZE" | "HEADER")) => {
                let is_header = name == "HEADER";
                match tokens.get(next).map_or(Setting::None, boolean) {
                    Setting::Match if is_header => {
                        header_match = true;
                        tokens.remove(next);
                    }
                    Setting::On => {
                        tokens.remove(next);
                    }
                    Setting::Off => {
                        if let Some(value) = tokens.get_mut(next) {
                            value.token = Token::make_keyword("FALSE");
                        }
                    }
                    Setting::None => {}
                    Setting::Match | Setting::Wrong => {
                        return Err(syntax(match is_header {
                            true => "header requires a Boolean value or \"match\"",
                            false => "freeze requires a Boolean value",
                        }));
                    }
                }
            }
            Some(name @ ("DELIMITER" | "QUOTE" | "ESCAPE")) => {
                let name = name.to_lowercase();
                let value = match is(tokens.get(next), "AS") {
                    true => next.saturating_add(1),
                    false => next,
                };
                if let Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) =
                    tokens.get(value).map(|token| &token.token)
                    && text.len() != 1
                {
                    return Err(Error::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        format!("COPY {name} must be a single one-byte character"),
                    ));
                }
                if name == "quote" {
                    all_columns(tokens, at, false);
                }
            }
            Some("FORCE_QUOTE") => all_columns(tokens, at, true),
            _ => {}
        }
        if let Some(TokenWithSpan {
            token: token @ Token::EscapedStringLiteral(_),
            ..
        }) = tokens.get_mut(at)
            && let Token::EscapedStringLiteral(text) = token
        {
            *token = Token::SingleQuotedString(std::mem::take(text));
        }
        at = next;
    }
    Ok(header_match)
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

/// Gives `FORCE_QUOTE *` a column's name for its star.
fn all_columns(tokens: &mut Vec<TokenWithSpan>, at: usize, with_parens: bool) {
    let next = at.saturating_add(1);
    let Some(&TokenWithSpan {
        token: Token::Mul,
        span,
    }) = tokens.get(next)
    else {
        return;
    };
    let all = Token::Word(Word {
        value: ALL_COLUMNS.to_owned(),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    });
    let replacement = match with_parens {
        true => vec![Token::LParen, all, Token::RParen],
        false => vec![all],
    };
    let replacement: Vec<TokenWithSpan> = replacement
        .into_iter()
        .map(|token| TokenWithSpan { token, span })
        .collect();
    tokens.splice(next..=next, replacement);
}

enum Setting {
    On,
    Off,
    Match,
    /// The option stands alone.
    None,
    Wrong,
}

/// A Boolean option's value, as COPY takes it.
fn boolean(token: &TokenWithSpan) -> Setting {
    let text = match &token.token {
        Token::Word(word) => word.value.to_ascii_lowercase(),
        Token::SingleQuotedString(text) | Token::Number(text, _) => text.to_ascii_lowercase(),
        _ => return Setting::None,
    };
    match (text.as_str(), &token.token) {
        ("on" | "true" | "1", _) => Setting::On,
        ("off" | "false" | "0", _) => Setting::Off,
        ("match", _) => Setting::Match,
        // Options without parentheses follow each other, and none of them has a value.
        (_, Token::Word(word)) if word.keyword != Keyword::NoKeyword => Setting::None,
        _ => Setting::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn parse(sql: &str) -> Result<Statement> {
        let dialect = SqlDialect;
        let mut tokens: Vec<TokenWithSpan> = Tokenizer::new(&dialect, sql)
            .tokenize_with_location()
            .unwrap()
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        let forms = take(&mut tokens)?;
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let mut statement = parser.parse_statement().unwrap();
        forms.apply(&mut statement)?;
        Ok(statement)
    }

    #[test]
    fn overriding_becomes_a_flag() {
        for (sql, system, user) in [
            (
                "INSERT INTO t (id) OVERRIDING SYSTEM VALUE VALUES (1)",
                true,
                false,
            ),
            ("INSERT INTO t OVERRIDING USER VALUE SELECT 1", false, true),
            ("INSERT INTO t VALUES (1)", false, false),
        ] {
            match parse(sql).unwrap() {
                Statement::Insert(insert) => {
                    assert_eq!(
                        (insert.overwrite, insert.replace_into),
                        (system, user),
                        "{sql}"
                    );
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn copy_options_are_rewritten() {
        for sql in [
            "COPY t FROM STDIN WITH (freeze on)",
            "COPY t FROM STDIN (FORMAT csv, HEADER MATCH, DELIMITER E'\\t')",
            "COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE *, HEADER 'off')",
            "COPY t TO STDOUT CSV HEADER FORCE QUOTE *",
        ] {
            assert!(
                matches!(parse(sql).unwrap(), Statement::Copy { .. }),
                "{sql}"
            );
        }
        match parse("COPY t FROM STDIN (FORMAT csv, HEADER MATCH)").unwrap() {
            Statement::Copy { legacy_options, .. } => assert_eq!(legacy_options, [HEADER_MATCH]),
            other => panic!("{other}"),
        }
    }
}
