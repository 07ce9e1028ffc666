//! Forms of PostgreSQL that the parser does not read. A statement that has one is refused by its name,
//! not as a mistake.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::Error;

/// Words in a row, what they are of, what to do instead. `[` and `)` stand for themselves, `_` for any
/// one token.
const FORMS: &[(&[&str], &str, &str)] = &[
    (
        &["SEARCH", "DEPTH", "FIRST"],
        "SEARCH in a recursive query",
        "Collect the path in an array or a text, and order by it.",
    ),
    (
        &["SEARCH", "BREADTH", "FIRST"],
        "SEARCH in a recursive query",
        "Count the level, and order by it.",
    ),
    (
        &[")", "CYCLE"],
        "CYCLE in a recursive query",
        "Collect the path in an array, and stop at rows that are in it.",
    ),
    (
        &["GROUP", "BY", "DISTINCT"],
        "GROUP BY DISTINCT",
        "Write the grouping sets out.",
    ),
    (
        &["ROWS", "FROM", "("],
        "ROWS FROM",
        "Use unnest with several arrays, or join on WITH ORDINALITY.",
    ),
    (
        &["INCLUDING"],
        "LIKE … INCLUDING",
        "Name the columns with what they shall have.",
    ),
    (
        &["EXCLUDING"],
        "LIKE … EXCLUDING",
        "Leave it out: LIKE copies columns and NOT NULL only.",
    ),
    (
        &["SIMILAR", "_", "ESCAPE"],
        "substring(… SIMILAR …)",
        "Use substring(… FROM regular expression).",
    ),
    (
        &[")", "WHERE", "_", "_", "_", "DO"],
        "ON CONFLICT (…) WHERE",
        "Leave the condition out: there are no partial indexes.",
    ),
    (
        &["SET", "_", "["],
        "an assignment to an item of an array",
        "Assign the whole array, for example with array_replace() or slices.",
    ),
    (
        &["CREATE", "SCHEMA", "_", "CREATE"],
        "CREATE SCHEMA with objects",
        "Create them in statements of their own.",
    ),
];

/// The refusal of a statement that could not be read.
pub(super) fn refused(tokens: &[TokenWithSpan]) -> Option<Error> {
    let (_, what, instead) = FORMS.iter().find(|(form, ..)| {
        tokens.windows(form.len()).any(|tokens| {
            tokens
                .iter()
                .zip(*form)
                .all(|(token, word)| is(token, word))
        })
    })?;
    Some(Error::unsupported(*what, *instead))
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    match (&token.token, word) {
        (_, "_") | (Token::LBracket, "[") | (Token::LParen, "(") | (Token::RParen, ")") => true,
        (Token::Word(found), word) => {
            found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
        }
        _ => false,
    }
}
