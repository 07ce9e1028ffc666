//! `TRIM(TRAILING FROM x)`: sqlparser wants the characters to trim, which SQL leaves to be spaces.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Writes the spaces where they are left out.
pub(super) fn rewrite(tokens: &mut Vec<TokenWithSpan>) {
    let word = |token: Option<&TokenWithSpan>, words: &[&str]| {
        matches!(token.map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none()
                && words.iter().any(|known| word.value.eq_ignore_ascii_case(known)))
    };
    let mut at = 0;
    while at < tokens.len() {
        let found = word(tokens.get(at), &["trim"])
            && matches!(
                tokens.get(at + 1).map(|token| &token.token),
                Some(Token::LParen)
            )
            && word(tokens.get(at + 2), &["leading", "trailing", "both"])
            && word(tokens.get(at + 3), &["from"]);
        if found && let Some(from) = tokens.get(at + 3) {
            let spaces = TokenWithSpan {
                token: Token::SingleQuotedString(" ".to_owned()),
                span: from.span,
            };
            tokens.insert(at + 3, spaces);
        }
        at += 1;
    }
}
