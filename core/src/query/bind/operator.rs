//! Unary and binary operators: which one PostgreSQL means, and what computes it.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::Binder;
use super::coerce::{arrow_type, category};
use super::comparison::{comparison_of, rank};
use super::expr::boolean;
use super::scope::Typed;
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::names::{element_of, format_type};
use crate::types::ops::BinaryOp;
use crate::types::{PgType, oid};

/// 42883 for operators.
pub(super) fn no_operator(op: &str, left: Option<PgType>, right: PgType) -> Error {
    let right = format_type(PgType::new(right.oid));
    let shown = match left {
        Some(left) => format!("{} {op} {right}", format_type(PgType::new(left.oid))),
        None => format!("{op} {right}"),
    };
    Error::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("operator does not exist: {shown}"),
    )
    .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

impl Binder<'_> {
    pub(super) fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Typed> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => return self.logical(left, op, right),
            _ => {}
        }
        match (self.row(left), self.row(right)) {
            (Some(lefts), Some(rights)) => {
                let lefts = self.exprs(&lefts)?;
                let rights = self.exprs(&rights)?;
                if matches!(op, BinaryOperator::Overlaps) {
                    return self.overlaps(lefts, rights);
                }
                return self.compare_rows(op, lefts, rights);
            }
            (Some(lefts), None) => {
                if let ast::Expr::Subquery(query) = right {
                    let lefts = self.exprs(&lefts)?;
                    let rights = self.row_subquery(query, lefts.len())?;
                    return self.compare_rows(op, lefts, rights);
                }
            }
            _ => {}
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        self.operate(op, left, right)
    }

    fn logical(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Typed> {
        let (name, operator) = match op {
            BinaryOperator::And => ("AND", Operator::And),
            _ => ("OR", Operator::Or),
        };
        let left = self.expr(left)?;
        let left = self.condition(left, name)?;
        let right = self.expr(right)?;
        let right = self.condition(right, name)?;
        Ok(boolean(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left),
            operator,
            Box::new(right),
        ))))
    }

    pub(super) fn exprs(&mut self, items: &[&ast::Expr]) -> Result<Vec<Typed>> {
        items.iter().map(|item| self.expr(item)).collect()
    }

    pub(super) fn operate(
        &mut self,
        op: &BinaryOperator,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        if let Some(comparison) = comparison_of(op) {
            if let Some(compared) = self.compare_records(op, &left, &right)? {
                return Ok(compared);
            }
            return self.compare(comparison, left, right);
        }
        let arithmetic = match op {
            BinaryOperator::Plus => Some(BinaryOp::Add),
            BinaryOperator::Minus => Some(BinaryOp::Sub),
            BinaryOperator::Multiply => Some(BinaryOp::Mul),
            BinaryOperator::Divide => Some(BinaryOp::Div),
            BinaryOperator::Modulo => Some(BinaryOp::Mod),
            _ => None,
        };
        if let Some(arithmetic) = arithmetic {
            return self.arithmetic(arithmetic, &op.to_string(), left, right);
        }
        match op {
            BinaryOperator::StringConcat => self.concat(left, right),
            BinaryOperator::PGRegexMatch => self.named_operator("~", "textregexeq", left, right),
            BinaryOperator::PGRegexIMatch => {
                self.named_operator("~*", "texticregexeq", left, right)
            }
            BinaryOperator::PGRegexNotMatch => {
                self.named_operator("!~", "textregexne", left, right)
            }
            BinaryOperator::PGRegexNotIMatch => {
                self.named_operator("!~*", "texticregexne", left, right)
            }
            BinaryOperator::PGLikeMatch => self.like(left, right, None, false, false),
            BinaryOperator::PGILikeMatch => self.like(left, right, None, false, true),
            BinaryOperator::PGNotLikeMatch => self.like(left, right, None, true, false),
            BinaryOperator::PGNotILikeMatch => self.like(left, right, None, true, true),
            BinaryOperator::PGStartsWith => self.named_operator("^@", "starts_with", left, right),
            BinaryOperator::PGExp | BinaryOperator::BitwiseXor
                if matches!(op, BinaryOperator::PGExp) =>
            {
                self.named_operator("^", "power", left, right)
            }
            BinaryOperator::BitwiseXor => self.named_operator("^", "power", left, right),
            BinaryOperator::BitwiseAnd => self.named_operator("&", "bit_and_op", left, right),
            BinaryOperator::BitwiseOr => self.named_operator("|", "bit_or_op", left, right),
            BinaryOperator::PGBitwiseXor => self.named_operator("#", "bit_xor_op", left, right),
            BinaryOperator::PGBitwiseShiftLeft => {
                self.named_operator("<<", "shift_left_op", left, right)
            }
            BinaryOperator::PGBitwiseShiftRight => {
                self.named_operator(">>", "shift_right_op", left, right)
            }
            BinaryOperator::Arrow => self.named_operator("->", "json_get_op", left, right),
            BinaryOperator::LongArrow => {
                self.named_operator("->>", "json_get_text_op", left, right)
            }
            BinaryOperator::HashArrow => self.named_operator("#>", "json_path_op", left, right),
            BinaryOperator::HashLongArrow => {
                self.named_operator("#>>", "json_path_text_op", left, right)
            }
            BinaryOperator::HashMinus => {
                self.named_operator("#-", "jsonb_delete_path", left, right)
            }
            BinaryOperator::AtArrow => self.named_operator("@>", "contains_op", left, right),
            BinaryOperator::ArrowAt => self.named_operator("<@", "contains_op", right, left),
            BinaryOperator::PGOverlap => self.named_operator("&&", "overlaps_op", left, right),
            BinaryOperator::Question => self.named_operator("?", "jsonb_exists", left, right),
            BinaryOperator::QuestionPipe => {
                self.named_operator("?|", "jsonb_exists_any", left, right)
            }
            BinaryOperator::QuestionAnd => {
                self.named_operator("?&", "jsonb_exists_all", left, right)
            }
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                let plain = parts.last().map(String::as_str).unwrap_or_default();
                match custom(plain) {
                    Some(op) => self.operate(&op, left, right),
                    None => Err(no_operator(plain, Some(left.ty), right.ty)),
                }
            }
            other => Err(no_operator(&other.to_string(), Some(left.ty), right.ty)),
        }
    }

    /// An operator that is computed by a function; 42883 names the operator.
    pub(super) fn named_operator(
        &mut self,
        op: &str,
        function: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        let missing = no_operator(op, Some(left.ty), right.ty);
        match self.call_named(function, vec![left, right]) {
            Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => Err(missing),
            other => other,
        }
    }

    fn concat(&mut self, left: Typed, right: Typed) -> Result<Typed> {
        let array = |typed: &Typed| element_of(typed.ty.oid).is_some();
        if array(&left) || array(&right) {
            return self.named_operator("||", "array_concat_op", left, right);
        }
        for both in [oid::JSONB, oid::BYTEA] {
            let is = |typed: &Typed| typed.ty.oid == both;
            if is(&left) && (is(&right) || right.is_unknown()) || is(&right) && left.is_unknown() {
                return self.named_operator("||", "concat_op", left, right);
            }
        }
        let texty = |typed: &Typed| typed.is_unknown() || category(typed.ty) == 'S';
        if !texty(&left) && !texty(&right) {
            return Err(no_operator("||", Some(left.ty), right.ty));
        }
        let left = self.coerce(left, PgType::TEXT, crate::types::cast::Context::Explicit)?;
        let right = self.coerce(right, PgType::TEXT, crate::types::cast::Context::Explicit)?;
        let function = functions::native("text_concat");
        Ok(self.call(
            function,
            vec![left.expr, right.expr],
            PgType::TEXT,
            arrow_type(PgType::TEXT),
        ))
    }

    pub(super) fn unary(&mut self, op: &UnaryOperator, operand: &ast::Expr) -> Result<Typed> {
        match op {
            UnaryOperator::Not => {
                if let Some(opposite) = super::expr::negatable(operand) {
                    return self.expr(&opposite);
                }
                let typed = self.expr(operand)?;
                let condition = self.condition(typed, "NOT")?;
                Ok(boolean(Expr::Not(Box::new(condition))))
            }
            UnaryOperator::Plus => {
                let typed = self.expr(operand)?;
                if typed.is_unknown() {
                    return self.implicit(typed, PgType::FLOAT8);
                }
                match rank(typed.ty) {
                    Some(_) => Ok(typed),
                    None => Err(no_operator("+", None, typed.ty)),
                }
            }
            UnaryOperator::Minus => self.negate(operand),
            UnaryOperator::BitwiseNot => self.prefix("~", "bit_not_op", operand),
            UnaryOperator::PGAbs => self.prefix("@", "abs", operand),
            UnaryOperator::PGSquareRoot => self.prefix("|/", "sqrt", operand),
            UnaryOperator::PGCubeRoot => self.prefix("||/", "cbrt", operand),
            other => {
                let typed = self.expr(operand)?;
                Err(no_operator(&other.to_string(), None, typed.ty))
            }
        }
    }

    fn prefix(&mut self, op: &str, function: &str, operand: &ast::Expr) -> Result<Typed> {
        let typed = self.expr(operand)?;
        let missing = no_operator(op, None, typed.ty);
        match self.call_named(function, vec![typed]) {
            Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => Err(missing),
            other => other,
        }
    }
}

/// The operator of `OPERATOR(pg_catalog.~)`.
fn custom(name: &str) -> Option<BinaryOperator> {
    Some(match name {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}
