//! Tests that give true, false or NULL: IS, BETWEEN, IN a list, LIKE, SIMILAR TO.

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, Like, Operator};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr as Ast};

use super::coerce;
use super::expr::{boolean, string};
use super::literal::unknown;
use super::scope::Typed;
use super::{Binder, syntax};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::{PgType, oid};

impl Binder<'_> {
    pub(super) fn null_test(&mut self, inner: &Ast, not: bool) -> Result<Typed> {
        let typed = self.expr(inner)?;
        if let Some(test) = self.row_null_test(&typed, not)? {
            return Ok(test);
        }
        let typed = self.settle(typed)?;
        let inner = Box::new(typed.expr);
        Ok(boolean(if not {
            Expr::IsNotNull(inner)
        } else {
            Expr::IsNull(inner)
        }))
    }

    pub(super) fn truth(
        &mut self,
        inner: &Ast,
        what: &str,
        build: fn(Box<Expr>) -> Expr,
    ) -> Result<Typed> {
        let typed = self.expr(inner)?;
        let condition = self.condition(typed, what)?;
        Ok(boolean(build(Box::new(condition))))
    }

    pub(super) fn distinct_from(&mut self, left: &Ast, right: &Ast, op: Operator) -> Result<Typed> {
        if let (Some(lefts), Some(rights)) = (self.row(left), self.row(right)) {
            let (lefts, rights) = (self.exprs(&lefts)?, self.exprs(&rights)?);
            return self.distinct_rows_from(op, lefts, rights);
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        if let (Some(lefts), Some(rights)) = (self.fields(&left), self.fields(&right)) {
            return self.distinct_rows_from(op, lefts, rights);
        }
        self.compare(op, left, right)
    }

    pub(super) fn between(
        &mut self,
        expr: &Ast,
        negated: bool,
        low: &Ast,
        high: &Ast,
    ) -> Result<Typed> {
        let value = self.expr(expr)?;
        let low = self.expr(low)?;
        let high = self.expr(high)?;
        let (from, to) = if negated {
            (Operator::Lt, Operator::Gt)
        } else {
            (Operator::GtEq, Operator::LtEq)
        };
        let low = self.compare(from, value.clone(), low)?.expr;
        let high = self.compare(to, value, high)?.expr;
        Ok(boolean(if negated { low.or(high) } else { low.and(high) }))
    }

    pub(super) fn in_list(&mut self, expr: &Ast, list: &[Ast], negated: bool) -> Result<Typed> {
        if self.row(expr).is_some() {
            let mut any: Option<Expr> = None;
            for item in list {
                let equal = self.binary(expr, &BinaryOperator::Eq, item)?.expr;
                any = Some(match any {
                    Some(any) => any.or(equal),
                    None => equal,
                });
            }
            let any = any.ok_or_else(|| {
                Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \")\"")
            })?;
            return Ok(boolean(if negated {
                Expr::Not(Box::new(any))
            } else {
                any
            }));
        }
        let value = self.expr(expr)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.expr(item)?);
        }
        self.in_items(value, items, negated)
    }

    pub(super) fn in_items(
        &mut self,
        value: Typed,
        items: Vec<Typed>,
        negated: bool,
    ) -> Result<Typed> {
        // An open left side takes the type of the items.
        let value = match items.iter().find(|item| !item.is_unknown()) {
            Some(known) if value.is_unknown() => {
                let ty = known.ty;
                self.implicit(value, ty)?
            }
            _ => value,
        };
        let mut lefts = Vec::with_capacity(items.len());
        let mut rights = Vec::with_capacity(items.len());
        for item in items {
            let (left, right) = self.comparands(Operator::Eq, value.clone(), item)?;
            lefts.push(left);
            rights.push(right);
        }
        let data = rights
            .iter()
            .map(|right| right.data.clone())
            .reduce(|left, right| match functions::is_numeric(&left) {
                true => coerce::comparable_layout(&left, &right),
                false => left,
            });
        let (Some(data), Some(first)) = (data, lefts.first()) else {
            return syntax("syntax error at or near \")\"");
        };
        let ty = first.ty;
        let same_kind = lefts.iter().all(|left| left.ty.oid == ty.oid);
        if same_kind {
            let left = coerce::with_data(first.clone(), ty, &data);
            let list = rights
                .into_iter()
                .map(|right| coerce::with_data(right, ty, &data).expr)
                .collect();
            return Ok(boolean(Expr::InList(InList::new(
                Box::new(left.expr),
                list,
                negated,
            ))));
        }
        let any = lefts
            .into_iter()
            .zip(rights)
            .map(|(left, right)| left.expr.eq(right.expr))
            .reduce(Expr::or);
        match any {
            Some(any) if negated => Ok(boolean(Expr::Not(Box::new(any)))),
            Some(any) => Ok(boolean(any)),
            None => syntax("syntax error at or near \")\""),
        }
    }

    pub(super) fn like_ast(
        &mut self,
        expr: &Ast,
        pattern: &Ast,
        escape: Option<&ast::ValueWithSpan>,
        negated: bool,
        insensitive: bool,
    ) -> Result<Typed> {
        let text = self.expr(expr)?;
        let pattern = self.expr(pattern)?;
        let escape = match escape {
            Some(value) => Some(string(&value.value)?),
            None => None,
        };
        self.like(text, pattern, escape, negated, insensitive)
    }

    pub(super) fn like(
        &mut self,
        text: Typed,
        pattern: Typed,
        escape: Option<String>,
        negated: bool,
        insensitive: bool,
    ) -> Result<Typed> {
        let name = match (insensitive, negated) {
            (false, false) => "~~",
            (true, false) => "~~*",
            (false, true) => "!~~",
            (true, true) => "!~~*",
        };
        let texty = |typed: &Typed| typed.is_unknown() || coerce::category(typed.ty) == 'S';
        if !texty(&text) || !texty(&pattern) {
            return Err(super::operator::no_operator(
                name,
                Some(text.ty),
                pattern.ty,
            ));
        }
        let text = self.keep_padding(text)?;
        let mut pattern = self.implicit(pattern, PgType::TEXT)?;
        if let Some(escape) = escape {
            pattern = self.call_named("like_escape", vec![pattern, unknown(Some(escape))])?;
        }
        if let Expr::Literal(ScalarValue::Utf8View(Some(known)), _) = &pattern.expr
            && !insensitive
            && let Some(like) = functions::like_pieces(&text.expr, known)
        {
            return Ok(boolean(match negated {
                true => Expr::Not(Box::new(like)),
                false => like,
            }));
        }
        Ok(boolean(Expr::Like(Like::new(
            negated,
            Box::new(text.expr),
            Box::new(pattern.expr),
            None,
            insensitive,
        ))))
    }

    /// `char(n)` is matched with its padding, unlike when it is cast to text.
    fn keep_padding(&mut self, text: Typed) -> Result<Typed> {
        if text.ty.oid == oid::BPCHAR {
            return Ok(text);
        }
        self.implicit(text, PgType::TEXT)
    }

    pub(super) fn similar(
        &mut self,
        expr: &Ast,
        pattern: &Ast,
        escape: Option<&ast::ValueWithSpan>,
        negated: bool,
    ) -> Result<Typed> {
        let text = self.expr(expr)?;
        let mut args = vec![self.expr(pattern)?];
        if let Some(escape) = escape {
            args.push(unknown(Some(string(&escape.value)?)));
        }
        let pattern = self.call_named("similar_to_escape", args)?;
        let name = if negated {
            "textregexne"
        } else {
            "textregexeq"
        };
        self.call_named(name, vec![text, pattern])
    }
}
