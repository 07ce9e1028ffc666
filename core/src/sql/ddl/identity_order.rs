//! Options of an identity in a column definition: PostgreSQL takes them in any order, sqlparser in
//! one. They are put into that one before it reads them.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What begins an option, in sqlparser's order.
const ORDER: [&str; 6] = [
    "INCREMENT",
    "MINVALUE",
    "MAXVALUE",
    "START",
    "CACHE",
    "CYCLE",
];

/// Reorders what stands in `IDENTITY ( … )`; everything else stays.
pub fn reorder(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let opens = |at: usize| {
        is_word(tokens.get(at), "IDENTITY")
            && matches!(tokens.get(at.saturating_add(1)), Some(next) if next.token == Token::LParen)
    };
    if !(0..tokens.len()).any(opens) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut rest = tokens.iter().enumerate();
    while let Some((at, token)) = rest.next() {
        out.push(token.clone());
        if !opens(at) {
            continue;
        }
        out.extend(rest.next().map(|(_, paren)| paren.clone()));
        let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        let mut no = None;
        for (_, token) in rest.by_ref() {
            if token.token == Token::RParen {
                options.sort_by_key(|(rank, _)| *rank);
                out.extend(options.drain(..).flat_map(|(_, option)| option));
                out.push(token.clone());
                break;
            }
            if is_word(Some(token), "NO") {
                no = Some(token.clone());
                continue;
            }
            let rank = ORDER.iter().position(|word| is_word(Some(token), word));
            match (rank, options.last_mut()) {
                (Some(rank), _) => {
                    let mut option: Vec<TokenWithSpan> = no.take().into_iter().collect();
                    option.push(token.clone());
                    options.push((rank, option));
                }
                (None, Some((_, option))) => option.push(token.clone()),
                // Not an option: the parser says what is wrong with it.
                (None, None) => options.push((0, vec![token.clone()])),
            }
        }
        out.extend(options.into_iter().flat_map(|(_, option)| option));
    }
    out
}

fn is_word(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(word))
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ddl::token_forms::tests::respelled;

    #[test]
    fn options_are_put_in_order() {
        let text = "AS IDENTITY (NO CYCLE START WITH 10 NO MINVALUE INCREMENT BY -2) x";
        assert_eq!(
            respelled(text, reorder).trim_end_matches(" EOF"),
            "AS IDENTITY ( INCREMENT BY - 2 NO MINVALUE START WITH 10 NO CYCLE ) x"
        );
    }
}
