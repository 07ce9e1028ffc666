//! Forms of expressions that sqlparser reads otherwise, or not at all.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::Parsed;

/// Whether `(VALUES (…` follows, which sqlparser takes for a call in parentheses.
pub(super) fn is_values(parser: &Parser) -> bool {
    let [open, word, row] = [0, 1, 2].map(|ahead| &parser.peek_nth_token_ref(ahead).token);
    matches!((open, row), (Token::LParen, Token::LParen))
        && matches!(word, Token::Word(word)
            if word.keyword == Keyword::VALUES && word.quote_style.is_none())
}

pub(super) fn values_query(parser: &mut Parser) -> Parsed<Expr> {
    parser.expect_token(&Token::LParen)?;
    let query = parser.parse_query()?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Subquery(query))
}

/// `ISNULL`, which is no keyword to sqlparser.
pub(super) fn is_null_test(word: &Word) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull")
}

/// `[NOT] BETWEEN [SYMMETRIC | ASYMMETRIC]`: sqlparser knows neither word.
pub(super) fn symmetric(parser: &mut Parser, left: &Expr) -> Option<Parsed<Expr>> {
    let word = |at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let negated = word(0) == "NOT";
    let at = usize::from(negated);
    let symmetric = match (word(at).as_str(), word(at + 1).as_str()) {
        ("BETWEEN", "SYMMETRIC") => true,
        ("BETWEEN", "ASYMMETRIC") => false,
        _ => return None,
    };
    for _ in 0..at + 2 {
        parser.advance_token();
    }
    Some(parser.parse_between(left.clone(), negated).map(|between| {
        let Expr::Between {
            expr, low, high, ..
        } = &between
        else {
            return between;
        };
        if !symmetric {
            return between;
        }
        let swapped = Expr::Between {
            expr: expr.clone(),
            negated,
            low: high.clone(),
            high: low.clone(),
        };
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(between.clone()),
            op: match negated {
                true => BinaryOperator::And,
                false => BinaryOperator::Or,
            },
            right: Box::new(swapped),
        }))
    }))
}

/// `[NOT] LIKE ANY (array)` and its kin: the operators `~~`, `!~~` … with ANY or ALL.
pub(super) fn like_any(parser: &mut Parser, left: &Expr) -> Option<Parsed<Expr>> {
    let keyword = |parser: &Parser, at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let negated = keyword(parser, 0) == Keyword::NOT;
    let at = usize::from(negated);
    let compare_op = match (keyword(parser, at), negated) {
        (Keyword::LIKE, false) => BinaryOperator::PGLikeMatch,
        (Keyword::LIKE, true) => BinaryOperator::PGNotLikeMatch,
        (Keyword::ILIKE, false) => BinaryOperator::PGILikeMatch,
        (Keyword::ILIKE, true) => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    };
    let quantifier = keyword(parser, at + 1);
    if !matches!(quantifier, Keyword::ANY | Keyword::SOME | Keyword::ALL)
        || parser.peek_nth_token_ref(at + 2).token != Token::LParen
    {
        return None;
    }
    for _ in 0..at + 2 {
        parser.advance_token();
    }
    // The parenthesis belongs to a sub-query, or is only there.
    Some(parser.parse_prefix().map(|right| {
        let left = Box::new(left.clone());
        let right = Box::new(match right {
            Expr::Nested(inner) => *inner,
            other => other,
        });
        match quantifier {
            Keyword::ALL => Expr::AllOp {
                left,
                compare_op,
                right,
            },
            _ => Expr::AnyOp {
                left,
                compare_op,
                right,
                is_some: quantifier == Keyword::SOME,
            },
        }
    }))
}
