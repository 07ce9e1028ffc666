//! Clauses that PostgreSQL takes in places where sqlparser does not: their tokens are moved or left
//! out before it reads the statement.
//!
//! | written | read |
//! |---|---|
//! | `(a int UNIQUE NULLS NOT DISTINCT, …)` | `(a int, …, UNIQUE NULLS NOT DISTINCT (a))` |
//! | `ADD a int UNIQUE NULLS NOT DISTINCT` | `ADD a int, ADD UNIQUE NULLS NOT DISTINCT (a)` |
//! | `CREATE INDEX i ON ONLY t` | `CREATE INDEX i ON t` (there are no child tables) |
//! | `CREATE TABLE t (…) WITHOUT OIDS` | `CREATE TABLE t (…)` (no table has OIDs) |

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Makes a statement's tokens ones that sqlparser reads.
pub fn normalize(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let table = starts(&tokens, &["CREATE", "TABLE"]) || starts(&tokens, &["ALTER", "TABLE"]);
    let index = starts(&tokens, &["CREATE", "INDEX"]) || starts(&tokens, &["CREATE", "UNIQUE"]);
    if table {
        let tokens = without_oids(tokens);
        return unique_nulls(super::identity_order::reorder(tokens));
    }
    if index {
        return without_only(tokens);
    }
    tokens
}

fn is_word(token: Option<&TokenWithSpan>, word: &str) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(found))
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

fn starts(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    words
        .iter()
        .enumerate()
        .all(|(at, word)| is_word(tokens.get(at), word))
}

fn without_oids(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let end = tokens.len().saturating_sub(2);
    let last = tokens.get(end..).unwrap_or(&[]);
    if starts(last, &["WITHOUT", "OIDS"]) && is_word(tokens.first(), "CREATE") {
        tokens.truncate(end);
    }
    tokens
}

fn without_only(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let on = (0..tokens.len()).find(|at| is_word(tokens.get(*at), "ON"));
    let only = on.map(|at| at.saturating_add(1));
    if let Some(only) = only.filter(|at| is_word(tokens.get(*at), "ONLY")) {
        tokens.remove(only);
    }
    tokens
}

/// Makes table constraints of `UNIQUE NULLS [NOT] DISTINCT` behind a column.
fn unique_nulls(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_clause = |at: usize| {
        let rest = tokens.get(at..).unwrap_or(&[]);
        let length = if starts(rest, &["UNIQUE", "NULLS", "NOT", "DISTINCT"]) {
            4
        } else if starts(rest, &["UNIQUE", "NULLS", "DISTINCT"]) {
            3
        } else {
            return None;
        };
        // In front of a list of columns it is a table constraint already.
        let list = rest.get(length).is_some_and(|it| it.token == Token::LParen);
        (!list).then_some(length)
    };
    if !(0..tokens.len()).any(|at| is_clause(at).is_some()) {
        return tokens;
    }
    let alter = is_word(tokens.first(), "ALTER");
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut added: Vec<TokenWithSpan> = Vec::new();
    let mut column: Option<TokenWithSpan> = None;
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let (Some(length), Some(column)) = (is_clause(at), &column) {
            added.push(TokenWithSpan::wrap(Token::Comma));
            if alter {
                added.push(TokenWithSpan::wrap(Token::make_keyword("ADD")));
            }
            // `CONSTRAINT name` in front belongs to it.
            let named = out.len().checked_sub(2);
            if let Some(named) = named.filter(|it| is_word(out.get(*it), "CONSTRAINT")) {
                added.extend(out.drain(named..));
            }
            let end = at.saturating_add(length);
            added.extend(tokens.get(at..end).unwrap_or(&[]).iter().cloned());
            added.push(TokenWithSpan::wrap(Token::LParen));
            added.push(column.clone());
            added.push(TokenWithSpan::wrap(Token::RParen));
            at = end;
            continue;
        }
        match token.token {
            Token::LParen => depth = depth.saturating_add(1),
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !alter {
                    out.append(&mut added);
                }
            }
            _ => {}
        }
        out.push(token.clone());
        at = at.saturating_add(1);
        // A column's name follows the parenthesis or a comma of its list, or ADD [COLUMN].
        let begins = match alter {
            false => depth == 1 && matches!(token.token, Token::LParen | Token::Comma),
            true => depth == 0 && is_word(Some(token), "ADD"),
        };
        if begins {
            let mut next = at;
            for word in ["COLUMN", "IF", "NOT", "EXISTS"] {
                if alter && is_word(tokens.get(next), word) {
                    next = next.saturating_add(1);
                }
            }
            column = tokens.get(next).cloned();
        }
    }
    out.append(&mut added);
    out
}

#[cfg(test)]
pub(super) mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;
    use crate::query::SqlDialect;

    type Tokens = Vec<TokenWithSpan>;

    /// What a change of its tokens makes of a text.
    pub(in crate::sql::ddl) fn respelled(sql: &str, change: fn(Tokens) -> Tokens) -> String {
        let tokens = Tokenizer::new(&SqlDialect, sql)
            .tokenize_with_location()
            .unwrap();
        let tokens = tokens
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        let words: Vec<String> = change(tokens)
            .iter()
            .map(|token| token.token.to_string())
            .collect();
        words.join(" ")
    }

    fn normal(sql: &str) -> String {
        respelled(sql, normalize)
    }

    #[test]
    fn column_constraints_move_to_the_table() {
        assert_eq!(
            normal("CREATE TABLE t (a int CONSTRAINT u UNIQUE NULLS NOT DISTINCT NOT NULL, b int)"),
            "CREATE TABLE t ( a int NOT NULL , b int , CONSTRAINT u UNIQUE NULLS NOT DISTINCT ( a ) )"
        );
        assert_eq!(
            normal("ALTER TABLE t ADD COLUMN a int UNIQUE NULLS DISTINCT"),
            "ALTER TABLE t ADD COLUMN a int , ADD UNIQUE NULLS DISTINCT ( a )"
        );
        let table = "CREATE TABLE t ( a int , UNIQUE NULLS NOT DISTINCT ( a ) )";
        assert_eq!(normal(table), table);
    }

    #[test]
    fn words_without_meaning_here_go() {
        assert_eq!(
            normal("CREATE INDEX i ON ONLY t (a)"),
            "CREATE INDEX i ON t ( a )"
        );
        assert_eq!(
            normal("CREATE TABLE t (a int) WITHOUT OIDS"),
            "CREATE TABLE t ( a int )"
        );
    }
}
