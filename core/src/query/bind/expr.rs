//! Scalar expressions.

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, Expr as Ast, TrimWhereField, Value,
};

use super::literal::unknown;
use super::scope::Typed;
use super::{Binder, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::cast::Context;
use crate::types::names::{element_of, from_sql};
use crate::types::{Datum, PgType};

impl Binder<'_> {
    pub(super) fn expr(&mut self, expr: &Ast) -> Result<Typed> {
        self.deeper(|binder| {
            if is_transparent(expr) {
                return binder.expr_inner(expr);
            }
            binder.conditional += 1;
            let result = binder.expr_inner(expr);
            binder.conditional -= 1;
            result
        })
    }

    fn expr_inner(&mut self, expr: &Ast) -> Result<Typed> {
        match expr {
            Ast::Identifier(name) => self.column(std::slice::from_ref(name)),
            Ast::CompoundIdentifier(names) => self.column(names),
            Ast::Nested(inner) => self.expr(inner),
            Ast::Value(value) => self.value(&value.value),
            Ast::TypedString(typed) => {
                let text = string(&typed.value.value)?;
                let ty = from_sql(&typed.data_type)?;
                self.coerce(unknown(Some(text)), ty, Context::Explicit)
            }
            Ast::Interval(interval) => self.interval(interval),
            Ast::BinaryOp { .. } => self.chain(expr),
            Ast::UnaryOp { op, expr } => self.unary(op, expr),
            Ast::Cast {
                kind,
                expr,
                data_type,
                array,
                format,
            } => {
                if matches!(kind, CastKind::TryCast | CastKind::SafeCast)
                    || *array
                    || format.is_some()
                {
                    return syntax(format!("syntax error at or near \"{kind:?}\""));
                }
                self.cast(expr, data_type)
            }
            Ast::IsNull(inner) => self.null_test(inner, false),
            Ast::IsNotNull(inner) => self.null_test(inner, true),
            Ast::IsTrue(inner) => self.truth(inner, "IS TRUE", Expr::IsTrue),
            Ast::IsNotTrue(inner) => self.truth(inner, "IS NOT TRUE", Expr::IsNotTrue),
            Ast::IsFalse(inner) => self.truth(inner, "IS FALSE", Expr::IsFalse),
            Ast::IsNotFalse(inner) => self.truth(inner, "IS NOT FALSE", Expr::IsNotFalse),
            Ast::IsUnknown(inner) => self.truth(inner, "IS UNKNOWN", Expr::IsUnknown),
            Ast::IsNotUnknown(inner) => self.truth(inner, "IS NOT UNKNOWN", Expr::IsNotUnknown),
            Ast::IsDistinctFrom(left, right) => {
                self.distinct_from(left, right, Operator::IsDistinctFrom)
            }
            Ast::IsNotDistinctFrom(left, right) => {
                self.distinct_from(left, right, Operator::IsNotDistinctFrom)
            }
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, *negated, low, high),
            Ast::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated),
            Ast::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated),
            Ast::Exists { subquery, negated } => self.exists(subquery, *negated),
            Ast::Subquery(query) => self.scalar_subquery(query),
            Ast::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.quantified(left, compare_op, right, false),
            Ast::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, compare_op, right, true),
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like_ast(expr, pattern, escape_char.as_ref(), *negated, false),
            Ast::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like_ast(expr, pattern, escape_char.as_ref(), *negated, true),
            Ast::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => self.similar(expr, pattern, escape_char.as_ref(), *negated),
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Ast::Function(function) => self.function(function),
            Ast::Extract { field, expr, .. } => {
                let source = self.expr(expr)?;
                let field = unknown(Some(field.to_string().to_lowercase()));
                self.call_named("extract", vec![field, source])
            }
            Ast::Position { expr, r#in } => {
                let needle = self.expr(expr)?;
                let text = self.expr(r#in)?;
                self.call_named("position", vec![text, needle])
            }
            Ast::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let mut args = vec![self.expr(expr)?];
                match substring_from {
                    Some(from) => args.push(self.expr(from)?),
                    None => args.push(self.constant(&Datum::Int4(1), PgType::INT4)?),
                }
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.call_named("substring", args)
            }
            Ast::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args = vec![
                    self.expr(expr)?,
                    self.expr(overlay_what)?,
                    self.expr(overlay_from)?,
                ];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length)?);
                }
                self.call_named("overlay", args)
            }
            Ast::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                for what in trim_characters.iter().flatten() {
                    args.push(self.expr(what)?);
                }
                self.call_named(name, args)
            }
            Ast::Ceil { expr, field } => self.rounding("ceil", expr, field),
            Ast::Floor { expr, field } => self.rounding("floor", expr, field),
            Ast::AtTimeZone {
                timestamp,
                time_zone,
            } => {
                let timestamp = self.expr(timestamp)?;
                let zone = self.expr(time_zone)?;
                self.call_named("timezone", vec![zone, timestamp])
            }
            Ast::Collate { expr, collation } => {
                let name = collation
                    .0
                    .last()
                    .and_then(|part| part.as_ident())
                    .map(fold);
                let typed = self.expr(expr)?;
                match name.as_deref() {
                    Some("C" | "POSIX" | "default" | "ucs_basic" | "C.UTF-8" | "C.utf8") => {
                        Ok(typed)
                    }
                    other => Err(Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "collation \"{}\" for encoding \"UTF8\" does not exist",
                            other.unwrap_or_default()
                        ),
                    )
                    .hint("Text compares by its bytes: use the collation \"C\".")),
                }
            }
            Ast::Array(array) => self.array(&array.elem),
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Tuple(items) => self.row_constructor(&items.iter().collect::<Vec<_>>()),
            Ast::QualifiedWildcard(name, _) => {
                let table = name.0.last().and_then(|part| part.as_ident()).map(fold);
                let table = table.unwrap_or_default();
                match self.whole_row(&table) {
                    Some(row) => row,
                    None => Err(self.no_item(&table)),
                }
            }
            other => unsupported(
                &format!("the expression {other}"),
                "Use the syntax of PostgreSQL.",
            ),
        }
    }

    /// Binary operators associate to the left and chains of them are long: no recursion there.
    pub(super) fn chain(&mut self, expr: &Ast) -> Result<Typed> {
        let mut spine: Vec<(&BinaryOperator, &Ast)> = Vec::new();
        let mut first = expr;
        while let Ast::BinaryOp { left, op, right } = first {
            spine.push((op, right));
            first = left;
        }
        // What surrounds each right side, and the first left one: (ORs, operators but AND and OR).
        let mut around = (0, 0);
        let places: Vec<(usize, usize)> = spine
            .iter()
            .map(|(op, _)| {
                match op {
                    BinaryOperator::And => {}
                    BinaryOperator::Or => around.0 = 1,
                    _ => around.1 = 1,
                }
                around
            })
            .collect();
        let mut places = places.into_iter().rev();
        let (Some((op, right)), Some(place)) = (spine.pop(), places.next()) else {
            return self.expr(first);
        };
        let mut result = self.under(place, |binder| binder.binary(first, op, right))?;
        // The operands of ANDs, or of ORs, in a row: they stand for `result`.
        let mut run: Option<(Operator, Vec<Expr>)> = None;
        for (at, ((op, right), place)) in spine.into_iter().rev().zip(places).enumerate() {
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                let (name, operator) = match op {
                    BinaryOperator::And => ("AND", Operator::And),
                    _ => ("OR", Operator::Or),
                };
                let mut operands = match run.take() {
                    Some((known, operands)) if known == operator => operands,
                    Some((known, operands)) => vec![joined(known, operands)],
                    None => vec![self.condition(result.clone(), name)?],
                };
                let right = self.under(place, |binder| binder.expr(right))?;
                operands.push(self.condition(right, name)?);
                run = Some((operator, operands));
            } else {
                if let Some((operator, operands)) = run.take() {
                    result = boolean(joined(operator, operands));
                }
                let right = self.under(place, |binder| binder.expr(right))?;
                result = self.operate(op, result, right)?;
                if at % functions::LONG_CHAIN == functions::LONG_CHAIN - 1 {
                    result.expr = functions::flattened(result.expr);
                }
            }
        }
        Ok(match run {
            Some((operator, operands)) => boolean(joined(operator, operands)),
            None => result,
        })
    }

    /// Binds below so many ORs and other operators.
    fn under<T>(
        &mut self,
        (alternatives, others): (usize, usize),
        inner: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.alternative += alternatives;
        self.conditional += others;
        let result = inner(self);
        self.alternative -= alternatives;
        self.conditional -= others;
        result
    }

    pub(super) fn cast(&mut self, expr: &Ast, data_type: &ast::DataType) -> Result<Typed> {
        let ty = from_sql(data_type)?;
        if let Ast::Array(array) = expr
            && let Some(element) = element_of(ty.oid)
        {
            let element = PgType::with_typmod(element, ty.typmod);
            return self.array_of(&array.elem, Some(element));
        }
        let typed = self.expr(expr)?;
        self.coerce(typed, ty, Context::Explicit)
    }

    fn interval(&mut self, interval: &ast::Interval) -> Result<Typed> {
        let value = match interval.value.as_ref() {
            Ast::Value(value) => string(&value.value)?,
            other => {
                return syntax(format!("syntax error at or near \"{other}\""));
            }
        };
        let bare = value.trim().parse::<f64>().is_ok();
        let text = match (&interval.leading_field, &interval.last_field) {
            (Some(field), None) if bare => format!("{value} {field}"),
            // One colon would part hours and minutes.
            (Some(ast::DateTimeField::Minute), Some(ast::DateTimeField::Second))
                if value.matches(':').count() == 1 =>
            {
                let value = value.trim();
                match value.strip_prefix('-') {
                    Some(value) => format!("-00:{value}"),
                    None => format!("00:{value}"),
                }
            }
            _ => value,
        };
        self.coerce(unknown(Some(text)), PgType::INTERVAL, Context::Explicit)
    }

    fn case(
        &mut self,
        operand: Option<&Ast>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Typed> {
        let operand = match operand {
            Some(operand) => {
                let typed = self.expr(operand)?;
                Some(self.settle(typed)?)
            }
            None => None,
        };
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for case in conditions {
            let condition = self.expr(&case.condition)?;
            whens.push(match &operand {
                Some(operand) => self.compare(Operator::Eq, operand.clone(), condition)?.expr,
                None => self.condition(condition, "CASE/WHEN")?,
            });
            results.push(self.expr(&case.result)?);
        }
        // PostgreSQL looks at ELSE first.
        let otherwise = match otherwise {
            Some(otherwise) => self.expr(otherwise)?,
            None => unknown(None),
        };
        results.insert(0, otherwise);
        let (mut results, ty, data) = self.unify(results, "CASE")?;
        let otherwise = results.remove(0);
        let pairs = whens
            .into_iter()
            .zip(results)
            .map(|(when, then)| (Box::new(when), Box::new(then.expr)))
            .collect();
        Ok(Typed {
            expr: Expr::Case(Case::new(None, pairs, Some(Box::new(otherwise.expr)))),
            ty,
            data,
        })
    }

    fn rounding(&mut self, name: &str, expr: &Ast, field: &CeilFloorKind) -> Result<Typed> {
        match field {
            CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {
                let typed = self.expr(expr)?;
                self.call_named(name, vec![typed])
            }
            _ => syntax(format!("syntax error in {name}")),
        }
    }
}

/// Operands of AND or OR as a tree that is as deep as need be: whoever walks a long chain of them as it
/// is written takes time that grows with the square of its length.
fn joined(operator: Operator, operands: Vec<Expr>) -> Expr {
    let join = |left: Expr, right: Expr| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
    };
    let mut operands = operands;
    if operands.len() <= functions::LONG_CHAIN {
        return operands.into_iter().reduce(join).unwrap_or_default();
    }
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop().unwrap_or_default()
}

/// Whether a sub-query below an expression stands in the same place as the expression.
fn is_transparent(expr: &Ast) -> bool {
    match expr {
        Ast::Nested(_)
        | Ast::BinaryOp { .. }
        | Ast::InSubquery { .. }
        | Ast::Exists { .. }
        | Ast::AnyOp { .. }
        | Ast::AllOp { .. } => true,
        Ast::UnaryOp {
            op: ast::UnaryOperator::Not,
            expr,
        } => negatable(expr).is_some(),
        _ => false,
    }
}

/// `x IN (SELECT …)` or EXISTS with the opposite sign.
pub(super) fn negatable(expr: &Ast) -> Option<Ast> {
    match expr {
        Ast::Nested(inner) => negatable(inner),
        Ast::InSubquery {
            expr,
            subquery,
            negated,
        } => Some(Ast::InSubquery {
            expr: expr.clone(),
            subquery: subquery.clone(),
            negated: !negated,
        }),
        Ast::Exists { subquery, negated } => Some(Ast::Exists {
            subquery: subquery.clone(),
            negated: !negated,
        }),
        _ => None,
    }
}

pub(super) fn boolean(expr: Expr) -> Typed {
    Typed {
        expr,
        ty: PgType::BOOL,
        data: DataType::Boolean,
    }
}

/// The text of a string literal.
pub(super) fn string(value: &Value) -> Result<String> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text) => Ok(text.clone()),
        Value::DollarQuotedString(text) => Ok(text.value.clone()),
        other => syntax(format!("syntax error at or near \"{other}\"")),
    }
}
