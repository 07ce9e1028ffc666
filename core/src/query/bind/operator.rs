//! Unary and binary operators: which one PostgreSQL means, and what computes it.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator};

use super::coerce::{self, arrow_type, category, with_data};
use super::scope::Typed;
use super::{Binder, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions::{self, Arithmetic};
use crate::types::names::{array_of, element_of, format_type};
use crate::types::ops::{self, BinaryOp};
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

pub(super) fn comparison_of(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

fn boolean(expr: Expr) -> Typed {
    Typed {
        expr,
        ty: PgType::BOOL,
        data: arrow::datatypes::DataType::Boolean,
    }
}

fn rank(ty: PgType) -> Option<u8> {
    Some(match ty.oid {
        oid::INT2 => 1,
        oid::INT4 => 2,
        oid::INT8 => 3,
        oid::NUMERIC => 4,
        oid::FLOAT4 => 5,
        oid::FLOAT8 => 6,
        _ => return None,
    })
}

fn is_integer(ty: PgType) -> bool {
    matches!(ty.oid, oid::INT2 | oid::INT4 | oid::INT8)
}

fn is_text(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::BPCHAR | oid::CHAR
    )
}

/// The type in which two types are compared.
pub(super) fn comparable(left: PgType, right: PgType) -> Option<PgType> {
    let plain = |oid| Some(PgType::new(oid));
    if left.oid == right.oid {
        return match left.oid {
            oid::JSON | oid::RECORD | oid::VOID => None,
            oid::VARCHAR | oid::NAME => plain(oid::TEXT),
            same => plain(same),
        };
    }
    if let (Some(l), Some(r)) = (rank(left), rank(right)) {
        let (low, high) = (l.min(r), l.max(r));
        return plain(match (low, high) {
            (5, 6) | (_, 5) | (_, 6) if low != high => oid::FLOAT8,
            (_, 4) => oid::NUMERIC,
            (_, 3) => oid::INT8,
            (_, 2) => oid::INT4,
            _ => left.oid,
        });
    }
    if is_text(left) && is_text(right) {
        let fixed = |ty: PgType| ty.oid == oid::BPCHAR;
        return plain(
            if fixed(left) && !matches!(right.oid, oid::TEXT | oid::NAME)
                || fixed(right) && !matches!(left.oid, oid::TEXT | oid::NAME)
            {
                oid::BPCHAR
            } else {
                oid::TEXT
            },
        );
    }
    let time = |ty: PgType| match ty.oid {
        oid::DATE => Some(1),
        oid::TIMESTAMP => Some(2),
        oid::TIMESTAMPTZ => Some(3),
        _ => None,
    };
    if let (Some(l), Some(r)) = (time(left), time(right)) {
        return plain(if l.max(r) == 3 {
            oid::TIMESTAMPTZ
        } else {
            oid::TIMESTAMP
        });
    }
    let oids = |ty: PgType| {
        matches!(
            ty.oid,
            oid::OID
                | oid::REGCLASS
                | oid::REGTYPE
                | oid::REGPROC
                | oid::REGNAMESPACE
                | oid::REGROLE
                | oid::XID
        )
    };
    if oids(left) && oids(right) {
        return plain(oid::OID);
    }
    if oids(left) && is_integer(right) || is_integer(left) && oids(right) {
        return plain(oid::INT8);
    }
    if let (Some(l), Some(r)) = (element_of(left.oid), element_of(right.oid)) {
        let element = comparable(PgType::new(l), PgType::new(r))?;
        return plain(array_of(element.oid)?);
    }
    None
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

    pub(super) fn row<'e>(&self, expr: &'e ast::Expr) -> Option<Vec<&'e ast::Expr>> {
        match expr {
            ast::Expr::Tuple(items) => Some(items.iter().collect()),
            ast::Expr::Nested(inner) => match inner.as_ref() {
                ast::Expr::Tuple(_) => self.row(inner),
                _ => None,
            },
            ast::Expr::Function(function)
                if function.name.to_string().eq_ignore_ascii_case("row") =>
            {
                match &function.args {
                    ast::FunctionArguments::List(list) => list
                        .args
                        .iter()
                        .map(|arg| match arg {
                            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => {
                                Some(expr)
                            }
                            _ => None,
                        })
                        .collect(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// `(a, b) < (c, d)`, column by column.
    pub(super) fn compare_rows(
        &mut self,
        op: &BinaryOperator,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<Typed> {
        if lefts.len() != rights.len() {
            return super::syntax("unequal number of entries in row expressions");
        }
        let Some(operator) = comparison_of(op) else {
            return unsupported(
                &format!("the operator {op} on rows"),
                "Compare the columns one by one.",
            );
        };
        let mut result: Option<Expr> = None;
        for (left, right) in lefts.into_iter().zip(rights).rev() {
            let equal = self
                .compare(Operator::Eq, left.clone(), right.clone())?
                .expr;
            result = Some(match operator {
                Operator::Eq => match result {
                    Some(rest) => equal.and(rest),
                    None => equal,
                },
                Operator::NotEq => {
                    let differs = self.compare(Operator::NotEq, left, right)?.expr;
                    match result {
                        Some(rest) => differs.or(rest),
                        None => differs,
                    }
                }
                _ => {
                    let strict = match operator {
                        Operator::LtEq => Operator::Lt,
                        Operator::GtEq => Operator::Gt,
                        other => other,
                    };
                    match result {
                        Some(rest) => {
                            let before = self.compare(strict, left, right)?.expr;
                            before.or(equal.and(rest))
                        }
                        None => self.compare(operator, left, right)?.expr,
                    }
                }
            });
        }
        match result {
            Some(expr) => Ok(boolean(expr)),
            None => super::syntax("cannot compare rows of zero length"),
        }
    }

    /// `(a, b) IS DISTINCT FROM (c, d)`: any of the columns is.
    pub(super) fn distinct_rows_from(
        &mut self,
        op: Operator,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<Typed> {
        if lefts.len() != rights.len() {
            return super::syntax("unequal number of entries in row expressions");
        }
        let mut result: Option<Expr> = None;
        for (left, right) in lefts.into_iter().zip(rights) {
            let compared = self.compare(op, left, right)?.expr;
            result = Some(match (result, op) {
                (None, _) => compared,
                (Some(result), Operator::IsDistinctFrom) => result.or(compared),
                (Some(result), _) => result.and(compared),
            });
        }
        match result {
            Some(expr) => Ok(boolean(expr)),
            None => super::syntax("cannot compare rows of zero length"),
        }
    }

    /// A comparison, both sides cast to the type that PostgreSQL compares them in.
    pub(super) fn compare(&mut self, op: Operator, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.comparands(op, left, right)?;
        Ok(boolean(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(left.expr),
            op,
            Box::new(right.expr),
        ))))
    }

    pub(super) fn comparands(
        &mut self,
        op: Operator,
        left: Typed,
        right: Typed,
    ) -> Result<(Typed, Typed)> {
        let name = match op {
            Operator::NotEq => "<>".to_owned(),
            Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".to_owned(),
            other => other.to_string(),
        };
        let missing = no_operator(&name, Some(left.ty), right.ty);
        let ty = match (left.is_unknown(), right.is_unknown()) {
            (true, true) => Some(PgType::TEXT),
            (true, false) => comparable(right.ty, right.ty),
            (false, true) => comparable(left.ty, left.ty),
            (false, false) => comparable(left.ty, right.ty),
        };
        let Some(ty) = ty else { return Err(missing) };
        let left = self.comparand(left, ty)?;
        let right = self.comparand(right, ty)?;
        if ty.oid == oid::NUMERIC {
            let data = coerce::comparable_layout(&left.data, &right.data);
            return Ok((with_data(left, ty, &data), with_data(right, ty, &data)));
        }
        Ok((left, right))
    }

    /// One side of a comparison: `char(n)` compares without its padding.
    fn comparand(&mut self, typed: Typed, ty: PgType) -> Result<Typed> {
        if ty.oid == oid::BPCHAR && typed.ty.oid == oid::BPCHAR {
            return self.coerce(typed, PgType::TEXT, crate::types::cast::Context::Implicit);
        }
        if ty.oid == oid::BPCHAR {
            let text = self.implicit(typed, PgType::BPCHAR)?;
            return self.coerce(text, PgType::TEXT, crate::types::cast::Context::Implicit);
        }
        if ty.oid == oid::INTERVAL {
            // A month is 30 days, and a day 24 hours, when intervals are compared.
            let span = self.coerce(
                typed,
                PgType::INTERVAL,
                crate::types::cast::Context::Implicit,
            )?;
            return self.call_named("interval_span_op", vec![span]);
        }
        let explicit = typed.ty.oid == oid::XID || ty.oid == oid::INT8;
        let context = if explicit {
            crate::types::cast::Context::Explicit
        } else {
            crate::types::cast::Context::Implicit
        };
        let typed = self.coerce(typed, ty, context)?;
        let key = self.key_of(&typed)?;
        Ok(key.unwrap_or(typed))
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
    fn named_operator(
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

    pub(super) fn arithmetic(
        &mut self,
        op: BinaryOp,
        name: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        if left.is_unknown() && right.is_unknown() {
            return Err(Error::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("operator is not unique: unknown {name} unknown"),
            )
            .hint("Could not choose a best candidate operator. You might need to add explicit type casts."));
        }
        let missing = no_operator(name, Some(left.ty), right.ty);
        let (l, r) = open_operands(op, left.ty, right.ty);
        if let Some(function) = span_function(op, l, r) {
            // The span of time comes second, except before a factor.
            let swapped = match op {
                BinaryOp::Add => l.oid == oid::INTERVAL,
                BinaryOp::Mul => l.oid != oid::INTERVAL,
                _ => false,
            };
            let left = self.coerce(
                left,
                PgType::new(l.oid),
                crate::types::cast::Context::Implicit,
            )?;
            let right = self.coerce(
                right,
                PgType::new(r.oid),
                crate::types::cast::Context::Implicit,
            )?;
            let args = if swapped {
                vec![right, left]
            } else {
                vec![left, right]
            };
            return self.call_named(function, args);
        }
        let Some((lt, rt, ty)) = ops::result_type(op, l, r) else {
            if matches!(op, BinaryOp::Sub) && left.ty.oid == oid::JSONB {
                return self.named_operator("-", "jsonb_delete", left, right);
            }
            return Err(missing);
        };
        let left = self.coerce(
            left,
            PgType::new(lt.oid),
            crate::types::cast::Context::Implicit,
        )?;
        let right = self.coerce(
            right,
            PgType::new(rt.oid),
            crate::types::cast::Context::Implicit,
        )?;
        if let (Some(l), Some(r)) = (coerce::constant(&left), coerce::constant(&right))
            && !l.is_null()
            && !r.is_null()
            && rank(ty).is_some()
        {
            // A failing constant may stand where it is never computed.
            if let Ok(value) = ops::apply(op, &l, &r)
                && let Ok(folded) = coerce::literal(&value, ty)
            {
                return Ok(folded);
            }
        }
        let (function, data) = functions::arithmetic(&Arithmetic {
            op,
            left: (left.ty, left.data.clone()),
            right: (right.ty, right.data.clone()),
            result: PgType::new(ty.oid),
        });
        Ok(self.call(
            function,
            vec![left.expr, right.expr],
            PgType::new(ty.oid),
            data,
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

    fn negate(&mut self, operand: &ast::Expr) -> Result<Typed> {
        // The least integer has no positive form: the sign belongs to the literal.
        if let ast::Expr::Value(value) = operand
            && let ast::Value::Number(digits, long) = &value.value
        {
            let signed = ast::Value::Number(format!("-{digits}"), *long);
            return self.value(&signed);
        }
        let typed = self.expr(operand)?;
        let typed = if typed.is_unknown() {
            self.implicit(typed, PgType::FLOAT8)?
        } else {
            typed
        };
        if let Some(value) = coerce::constant(&typed)
            && let Some(value) = functions::negated(&value)?
        {
            return coerce::literal(&value, typed.ty);
        }
        let missing = no_operator("-", None, typed.ty);
        match self.call_named("negate_op", vec![typed]) {
            Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => Err(missing),
            other => other,
        }
    }
}

/// Operand types of an arithmetic operator with open ones filled in.
fn open_operands(op: BinaryOp, left: PgType, right: PgType) -> (PgType, PgType) {
    let fill = |known: PgType| match (op, known.oid) {
        (BinaryOp::Add | BinaryOp::Sub, oid::TIMESTAMP | oid::TIMESTAMPTZ)
            if matches!(op, BinaryOp::Add) =>
        {
            PgType::INTERVAL
        }
        (BinaryOp::Add, oid::DATE) => PgType::INT4,
        (BinaryOp::Mul | BinaryOp::Div, oid::INTERVAL) => PgType::FLOAT8,
        _ => PgType::new(known.oid),
    };
    match (left.oid == oid::UNKNOWN, right.oid == oid::UNKNOWN) {
        (true, false) => (fill(right), right),
        (false, true) => (left, fill(left)),
        _ => (left, right),
    }
}

/// The function for spans of time with time zones and factors.
fn span_function(op: BinaryOp, left: PgType, right: PgType) -> Option<&'static str> {
    let number = |ty: PgType| rank(ty).is_some();
    Some(match (op, left.oid, right.oid) {
        (BinaryOp::Add, oid::TIMESTAMPTZ, oid::INTERVAL)
        | (BinaryOp::Add, oid::INTERVAL, oid::TIMESTAMPTZ) => "timestamptz_add_op",
        (BinaryOp::Sub, oid::TIMESTAMPTZ, oid::INTERVAL) => "timestamptz_sub_op",
        (BinaryOp::Mul, oid::INTERVAL, _) if number(right) => "interval_mul_op",
        (BinaryOp::Mul, _, oid::INTERVAL) if number(left) => "interval_mul_op",
        (BinaryOp::Div, oid::INTERVAL, _) if number(right) => "interval_div_op",
        _ => return None,
    })
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
