//! How SQL is read: sqlparser's PostgreSQL dialect with PostgreSQL's operator precedence.
//!
//! PostgreSQL's table, tightest first; all binary operators group to the left, but `=`, `<` and their
//! kin, `BETWEEN`, `LIKE` and `IS DISTINCT FROM` do not chain at all:
//!
//! | | level |
//! |---|---|
//! | `.` `::` `[ ]` | above the signs |
//! | unary `+` `-` | [`SIGN`] |
//! | `COLLATE`, `AT TIME ZONE`, `^`, `* / %`, `+ -` | sqlparser's |
//! | all other operators, as prefixes too | [`OTHER`] |
//! | `BETWEEN IN LIKE ILIKE SIMILAR` | [`MATCH`] |
//! | `< > = <= >= <>` | [`COMPARISON`] |
//! | `IS ISNULL NOTNULL` | [`IS`] |
//! | `NOT`, `AND`, `OR` | sqlparser's |

mod forms;
mod steps;

pub use steps::within_steps;

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ColumnOption, Expr, Statement, UnaryOperator,
};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::{
    Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use forms::{is_null_test, is_values, like_any, symmetric, values_query};
use steps::take_step;

/// What binds a sign's operand: casts, subscripts and fields only.
const SIGN: u8 = 120;
const OTHER: u8 = 70;
const MATCH: u8 = 60;
const COMPARISON: u8 = 50;
const IS: u8 = 40;

/// The dialect that every parser of SQL text uses.
#[derive(Debug, Default, Clone, Copy)]
pub struct SqlDialect;

const BASE: PostgreSqlDialect = PostgreSqlDialect {};

/// Words that other dialects reserve and PostgreSQL takes as an alias without AS.
const FOREIGN: &[Keyword] = &[
    Keyword::SORT,
    Keyword::TOP,
    Keyword::VIEW,
    Keyword::EXPLAIN,
    Keyword::MINUS,
    Keyword::EXCLUDE,
    Keyword::CLUSTER,
    Keyword::DISTRIBUTE,
    Keyword::PIVOT,
    Keyword::UNPIVOT,
    Keyword::GLOBAL,
    Keyword::ANTI,
    Keyword::SEMI,
    Keyword::OUTPUT,
    Keyword::ASOF,
    Keyword::QUALIFY,
    Keyword::PREWHERE,
    Keyword::SETTINGS,
    Keyword::FORMAT,
    Keyword::START,
    Keyword::CONNECT,
    Keyword::SAMPLE,
    Keyword::OPEN,
];

type Parsed<T> = Result<T, ParserError>;

impl Dialect for SqlDialect {
    /// sqlparser asks in places whether this is PostgreSQL's dialect.
    fn dialect(&self) -> TypeId {
        BASE.dialect()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Parsed<u8>> {
        match &parser.peek_token_ref().token {
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk
            | Token::DoubleEq
            | Token::Spaceship => Some(Ok(OTHER)),
            // There are no postfix operators.
            Token::ExclamationMark => Some(Ok(self.prec_unknown())),
            Token::Word(word) if is_null_test(word) => Some(Ok(IS)),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::OPERATOR => Some(Ok(OTHER)),
                // `NOT NULL` is a column's constraint, `NOTNULL` the operator.
                Keyword::NOT
                    if matches!(&parser.peek_nth_token_ref(1).token,
                        Token::Word(next) if next.keyword == Keyword::NULL) =>
                {
                    Some(Ok(self.prec_unknown()))
                }
                Keyword::XOR
                | Keyword::DIV
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MATCH
                | Keyword::MEMBER => Some(Ok(self.prec_unknown())),
                _ => BASE.get_next_precedence(parser),
            },
            Token::Word(_) => Some(Ok(self.prec_unknown())),
            _ => BASE.get_next_precedence(parser),
        }
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Parsed<Expr>> {
        if let Err(error) = take_step() {
            return Some(Err(error));
        }
        if is_values(parser) {
            return Some(values_query(parser));
        }
        let (op, precedence) = match &parser.peek_token_ref().token {
            Token::Plus => (UnaryOperator::Plus, SIGN),
            Token::Minus => (UnaryOperator::Minus, SIGN),
            Token::Tilde => (UnaryOperator::BitwiseNot, OTHER),
            Token::AtSign => (UnaryOperator::PGAbs, OTHER),
            Token::PGSquareRoot => (UnaryOperator::PGSquareRoot, OTHER),
            Token::PGCubeRoot => (UnaryOperator::PGCubeRoot, OTHER),
            _ => return None,
        };
        parser.advance_token();
        Some(parser.parse_subexpr(precedence).map(|expr| Expr::UnaryOp {
            op,
            expr: Box::new(expr),
        }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        precedence: u8,
    ) -> Option<Parsed<Expr>> {
        if matches!(precedence, COMPARISON | MATCH | IS) && level(left) == Some(precedence) {
            let found = parser.peek_token();
            return Some(parser.expected("the end of the expression", found));
        }
        let boxed = || Box::new(left.clone());
        let word = match &parser.peek_token_ref().token {
            Token::DoubleEq => {
                parser.advance_token();
                return Some(
                    parser
                        .parse_subexpr(precedence)
                        .map(|right| Expr::BinaryOp {
                            left: boxed(),
                            op: BinaryOperator::Custom("==".to_owned()),
                            right: Box::new(right),
                        }),
                );
            }
            Token::Word(word) if is_null_test(word) => {
                parser.advance_token();
                return Some(Ok(Expr::IsNull(boxed())));
            }
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            _ => return None,
        };
        match word {
            Keyword::COLLATE => {
                parser.advance_token();
                Some(
                    parser
                        .parse_object_name(false)
                        .map(|collation| Expr::Collate {
                            expr: boxed(),
                            collation,
                        }),
                )
            }
            Keyword::IS => {
                // sqlparser's own reads everything up to a comma as the right side.
                let negated = parser.parse_keywords(&[
                    Keyword::IS,
                    Keyword::NOT,
                    Keyword::DISTINCT,
                    Keyword::FROM,
                ]);
                if !negated
                    && !parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM])
                {
                    return None;
                }
                Some(parser.parse_subexpr(IS).map(|right| {
                    let right = Box::new(right);
                    match negated {
                        true => Expr::IsNotDistinctFrom(boxed(), right),
                        false => Expr::IsDistinctFrom(boxed(), right),
                    }
                }))
            }
            Keyword::NOT | Keyword::BETWEEN | Keyword::LIKE | Keyword::ILIKE => {
                symmetric(parser, left).or_else(|| like_any(parser, left))
            }
            _ => None,
        }
    }

    /// `(row).*`
    fn supports_select_expr_star(&self) -> bool {
        true
    }

    fn supports_factorial_operator(&self) -> bool {
        false
    }

    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        FOREIGN.contains(keyword) || !RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
    }

    fn is_table_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        FOREIGN.contains(keyword) || !RESERVED_FOR_TABLE_ALIAS.contains(keyword)
    }

    // What follows is PostgreSqlDialect's.

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        BASE.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        BASE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        BASE.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        BASE.is_identifier_part(ch)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        BASE.supports_unicode_string_literal()
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        BASE.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        BASE.is_custom_operator_part(ch)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        BASE.supports_filter_during_aggregation()
    }

    fn supports_group_by_expr(&self) -> bool {
        BASE.supports_group_by_expr()
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        BASE.prec_value(precedence)
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Parsed<Statement>> {
        BASE.parse_statement(parser)
    }

    fn parse_column_option(
        &self,
        parser: &mut Parser,
    ) -> Parsed<Option<Parsed<Option<ColumnOption>>>> {
        BASE.parse_column_option(parser)
    }

    fn allow_extract_custom(&self) -> bool {
        BASE.allow_extract_custom()
    }

    fn allow_extract_single_quotes(&self) -> bool {
        BASE.allow_extract_single_quotes()
    }

    fn supports_create_index_with_clause(&self) -> bool {
        BASE.supports_create_index_with_clause()
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        BASE.supports_explain_with_utility_options()
    }

    fn supports_listen_notify(&self) -> bool {
        BASE.supports_listen_notify()
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        BASE.supports_bitwise_shift_operators()
    }

    fn supports_comment_on(&self) -> bool {
        BASE.supports_comment_on()
    }

    fn supports_load_extension(&self) -> bool {
        BASE.supports_load_extension()
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        BASE.supports_named_fn_args_with_colon_operator()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        BASE.supports_named_fn_args_with_expr_name()
    }

    fn supports_empty_projections(&self) -> bool {
        BASE.supports_empty_projections()
    }

    fn supports_nested_comments(&self) -> bool {
        BASE.supports_nested_comments()
    }

    fn supports_string_escape_constant(&self) -> bool {
        BASE.supports_string_escape_constant()
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        BASE.supports_numeric_literal_underscores()
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        BASE.supports_array_typedef_with_brackets()
    }

    fn supports_geometric_types(&self) -> bool {
        BASE.supports_geometric_types()
    }

    fn supports_set_names(&self) -> bool {
        BASE.supports_set_names()
    }

    fn supports_alter_column_type_using(&self) -> bool {
        BASE.supports_alter_column_type_using()
    }

    fn supports_notnull_operator(&self) -> bool {
        BASE.supports_notnull_operator()
    }

    fn supports_interval_options(&self) -> bool {
        BASE.supports_interval_options()
    }

    fn supports_insert_table_alias(&self) -> bool {
        BASE.supports_insert_table_alias()
    }

    fn supports_create_table_like_parenthesized(&self) -> bool {
        BASE.supports_create_table_like_parenthesized()
    }

    fn supports_select_wildcard_with_alias(&self) -> bool {
        BASE.supports_select_wildcard_with_alias()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        BASE.supports_comma_separated_trim()
    }

    fn supports_xml_expressions(&self) -> bool {
        BASE.supports_xml_expressions()
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        BASE.supports_comment_optimizer_hint()
    }
}

/// The level of the operator that an expression ends with the operand of, if operators of that level
/// do not chain.
fn level(expr: &Expr) -> Option<u8> {
    match expr {
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
        )
        .then_some(COMPARISON),
        Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => {
            Some(MATCH)
        }
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => Some(IS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An expression with every operation in parentheses.
    fn grouped(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => {
                format!("({} {op} {})", grouped(left), grouped(right))
            }
            Expr::UnaryOp { op, expr } => format!("({op} {})", grouped(expr)),
            Expr::IsDistinctFrom(left, right) => {
                format!("({} distinct {})", grouped(left), grouped(right))
            }
            Expr::IsNull(inner) => format!("({} isnull)", grouped(inner)),
            Expr::Like { expr, pattern, .. } => {
                format!("({} like {})", grouped(expr), grouped(pattern))
            }
            Expr::Cast {
                expr, data_type, ..
            } => format!("({}::{data_type})", grouped(expr)),
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => format!("({} at {})", grouped(timestamp), grouped(time_zone)),
            other => other.to_string(),
        }
    }

    fn parsed(sql: &str) -> Result<String, ParserError> {
        let dialect = SqlDialect;
        let mut parser = Parser::new(&dialect).try_with_sql(sql)?;
        let expr = parser.parse_expr()?;
        parser.expect_token(&Token::EOF)?;
        Ok(grouped(&expr))
    }

    #[test]
    fn operators_group_as_in_postgres() {
        for (sql, wanted) in [
            ("-2 ^ 2", "((-2) ^ 2)"),
            ("2 ^ 3 ^ 3", "((2 ^ 3) ^ 3)"),
            ("a - b - c", "((a - b) - c)"),
            ("-a::int", "(-(a::INT))"),
            ("@ -5 + 3", "(@ ((-5) + 3))"),
            ("~ a + 1", "(~ (a + 1))"),
            ("a ~ b || c", "((a ~ b) || c)"),
            ("a ~ b = c", "((a ~ b) = c)"),
            ("a || b LIKE c", "((a || b) like c)"),
            ("a LIKE b = c", "((a like b) = c)"),
            ("a IS DISTINCT FROM b AND c", "((a distinct b) AND c)"),
            ("a = b ISNULL", "((a = b) isnull)"),
            ("NOT a = b", "(NOT (a = b))"),
            ("a + b AT TIME ZONE c", "(a + (b at c))"),
            (
                "a OPERATOR(pg_catalog.+) b * c",
                "(a OPERATOR(pg_catalog.+) (b * c))",
            ),
        ] {
            let found = parsed(sql).unwrap().replace("(- ", "(-");
            assert_eq!(found, wanted, "{sql}");
        }
    }

    #[test]
    fn comparisons_do_not_chain() {
        for sql in [
            "a = b = c",
            "a < b <> c",
            "a LIKE b LIKE c",
            "a BETWEEN b AND c BETWEEN d AND e",
            "a IS DISTINCT FROM b IS NULL",
            "a !",
        ] {
            assert!(parsed(sql).is_err(), "{sql}");
        }
        assert!(parsed("(a = b) = c").is_ok());
        assert!(parsed("a IS NULL IS NULL").is_ok());
        assert!(parsed("a IN (b) IN (c)").is_ok());
    }
}
