//! Reading tokens one by one.

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::source::{Source, near};
use crate::error::{Error, Result};

/// A place in a statement's tokens.
pub struct Cursor<'a> {
    pub(super) source: &'a Source<'a>,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source<'a>, tokens: &'a [TokenWithSpan]) -> Self {
        Cursor {
            source,
            tokens,
            at: 0,
        }
    }

    /// The next token, which stays.
    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    pub fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Leaves the next token out.
    pub fn skip(&mut self) {
        self.at += usize::from(!self.is_end());
    }

    /// All tokens that are left.
    pub fn rest(&mut self) -> Vec<TokenWithSpan> {
        let rest = self.tokens.get(self.at..).unwrap_or(&[]).to_vec();
        self.at = self.tokens.len();
        rest
    }

    /// A mark to go [`back`](Self::back) to.
    pub fn mark(&self) -> usize {
        self.at
    }

    pub fn back(&mut self, mark: usize) {
        self.at = mark;
    }

    /// Takes the next token if it is this one.
    pub fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Takes the next token if it is this unquoted word.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    /// Takes the next tokens if they are these words, all of them.
    pub fn keywords(&mut self, keywords: &[&str]) -> bool {
        let mark = self.at;
        let found = keywords.iter().all(|keyword| self.keyword(keyword));
        if !found {
            self.at = mark;
        }
        found
    }

    pub fn expect_keyword(&mut self, keyword: &str) -> Result<()> {
        if self.keyword(keyword) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub fn expect(&mut self, token: &Token) -> Result<()> {
        if self.token(token) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// An identifier, folded to lower case unless quoted.
    pub fn identifier(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(if word.quote_style.is_some() {
                    word.value.clone()
                } else {
                    word.value.to_lowercase()
                })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A string constant.
    pub fn string(&mut self) -> Option<String> {
        let text = match self.peek()? {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text.clone(),
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    /// A number with an optional sign, as text.
    pub fn number(&mut self) -> Option<String> {
        let mark = self.at;
        let sign = if self.token(&Token::Minus) {
            "-"
        } else {
            self.token(&Token::Plus);
            ""
        };
        if let Some(Token::Number(digits, _)) = self.peek() {
            self.at += 1;
            return Some(format!("{sign}{digits}"));
        }
        self.at = mark;
        None
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<()> {
        if self.is_end() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// A syntax error at the next token.
    pub fn unexpected(&self) -> Error {
        match self.tokens.get(self.at) {
            Some(token) => near(self.source, token),
            None => near(
                self.source,
                &TokenWithSpan {
                    token: Token::EOF,
                    span: Span::empty(),
                },
            ),
        }
    }
}
