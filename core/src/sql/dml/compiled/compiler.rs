//! From a parsed expression to an [`Expr`]: names, operators and types resolved as PostgreSQL does.
//!
//! The compiler knows a small part of SQL. What it does not know it leaves alone (`None`), and
//! DataFusion evaluates it. So it never reports an error for an expression that it might have
//! misread, except where [`Compiler::assign`] says so.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, CastKind, UnaryOperator, Value};

use super::convert::{
    assignment, boolean, converted, is_number, is_plain_input, negate, number, open_type, operator,
    parameter, string_value,
};
use super::expr::{Expr, Node, Row};
use crate::catalog::{Catalog, Table, fold};
use crate::error::Result;
use crate::query::SessionInfo;
use crate::types::cast::Context;
use crate::types::ops::BinaryOp;
use crate::types::{Datum, PgType, names, oid, text};

/// Which names an expression may use.
#[derive(Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The table, and the name it goes by.
    pub table: Option<(&'a Table, &'a str)>,
    /// Columns of the second row: of `excluded`, or of other FROM items.
    pub second: &'a [SecondColumn],
    /// Whether those may be named without their qualifier.
    pub plain_second: bool,
}

/// A column of an expression's second row.
#[derive(Clone, Debug)]
pub struct SecondColumn {
    pub qualifier: String,
    pub name: String,
    pub ty: PgType,
}

impl<'a> Scope<'a> {
    /// Columns of one table, plain or behind its alias.
    pub fn table(table: &'a Table, alias: &'a str) -> Self {
        Scope {
            table: Some((table, alias)),
            second: &[],
            plain_second: false,
        }
    }
}

/// A compiled expression, or one whose type its surroundings decide.
pub enum Item {
    Known(Expr),
    /// A string literal.
    Literal(String),
    Null,
    /// A parameter whose type the client left open.
    Parameter(usize),
}

/// Compiles the expressions of one statement.
pub struct Compiler<'a> {
    pub catalog: &'a Catalog,
    pub info: &'a SessionInfo,
    /// Types of the parameters: as given, then as inferred; `UNKNOWN` where still open.
    pub parameters: Vec<PgType>,
}

/// Parameters that one statement may have (the protocol counts them in 16 bits).
const MAX_PARAMETERS: usize = 65535;

impl<'a> Compiler<'a> {
    pub fn new(catalog: &'a Catalog, info: &'a SessionInfo, parameters: &[PgType]) -> Self {
        let parameters = parameters
            .iter()
            .map(|ty| if ty.oid == 0 { PgType::UNKNOWN } else { *ty })
            .collect();
        Compiler {
            catalog,
            info,
            parameters,
        }
    }

    /// Compiles an expression whose surroundings say nothing about its type.
    pub fn compile(&mut self, expr: &ast::Expr, scope: Scope<'_>) -> Option<Expr> {
        let item = self.item(expr, scope)?;
        self.known(item)
    }

    /// Compiles a condition.
    pub fn condition(&mut self, expr: &ast::Expr, scope: Scope<'_>) -> Option<Expr> {
        let item = self.item(expr, scope)?;
        let expr = self.coerce(item, PgType::BOOL)?;
        (expr.ty.oid == oid::BOOL).then_some(expr)
    }

    /// Compiles the value assigned to a column of type `ty`. `None` when it does not compile.
    ///
    /// # Errors
    /// What PostgreSQL raises for a literal that is no value of the type (22P02, …), and 42804 when
    /// there is no assignment cast.
    pub fn assign(
        &mut self,
        expr: &ast::Expr,
        scope: Scope<'_>,
        column: &str,
        ty: PgType,
    ) -> Result<Option<Expr>> {
        let Some(item) = self.item(expr, scope) else {
            return Ok(None);
        };
        match item {
            Item::Known(expr) => assignment(expr, column, ty).map(Some),
            Item::Literal(literal) => {
                let datum = text::parse(ty, &literal, &self.info.style)?;
                Ok(Some(Expr::constant(datum, ty)))
            }
            Item::Null => Ok(Some(Expr::constant(Datum::Null, ty))),
            Item::Parameter(at) => {
                self.infer(at, ty);
                let base = PgType::new(ty.oid);
                assignment(parameter(at, base), column, ty).map(Some)
            }
        }
    }

    fn infer(&mut self, at: usize, ty: PgType) {
        if let Some(slot) = self.parameters.get_mut(at)
            && slot.oid == oid::UNKNOWN
        {
            *slot = PgType::new(ty.oid);
        }
    }

    /// Settles what is still open as text, as PostgreSQL does in the end.
    fn known(&mut self, item: Item) -> Option<Expr> {
        match item {
            Item::Known(expr) => Some(expr),
            open => self.coerce(open, PgType::TEXT),
        }
    }

    /// Gives an open item the type `ty`; a known one stays as it is.
    pub(super) fn coerce(&mut self, item: Item, ty: PgType) -> Option<Expr> {
        Some(match item {
            Item::Known(expr) => expr,
            Item::Literal(literal) => {
                let datum = text::parse(ty, &literal, &self.info.style).ok()?;
                Expr::constant(datum, ty)
            }
            Item::Null => Expr::constant(Datum::Null, ty),
            Item::Parameter(at) => {
                self.infer(at, ty);
                parameter(at, PgType::new(ty.oid))
            }
        })
    }

    pub(super) fn item(&mut self, expr: &ast::Expr, scope: Scope<'_>) -> Option<Item> {
        Some(Item::Known(match expr {
            ast::Expr::Nested(inner) => return self.item(inner, scope),
            ast::Expr::Identifier(name) => {
                return column(scope, None, &fold(name)).map(Item::Known);
            }
            ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => {
                    return column(scope, Some(&fold(table)), &fold(name)).map(Item::Known);
                }
                _ => return None,
            },
            ast::Expr::Value(value) => return self.literal(&value.value),
            ast::Expr::UnaryOp { op, expr } => return self.unary(*op, expr, scope),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, scope)?,
            ast::Expr::IsNull(inner) => {
                let inner = self.compile(inner, scope)?;
                boolean(Node::IsNull(Box::new(inner)))
            }
            ast::Expr::IsNotNull(inner) => {
                let inner = self.compile(inner, scope)?;
                boolean(Node::Not(Box::new(boolean(Node::IsNull(Box::new(inner))))))
            }
            ast::Expr::IsDistinctFrom(left, right) => self.distinct(false, left, right, scope)?,
            ast::Expr::IsNotDistinctFrom(left, right) => self.distinct(true, left, right, scope)?,
            ast::Expr::IsTrue(inner) => self.truth(inner, true, true, scope)?,
            ast::Expr::IsNotTrue(inner) => self.truth(inner, true, false, scope)?,
            ast::Expr::IsFalse(inner) => self.truth(inner, false, true, scope)?,
            ast::Expr::IsNotFalse(inner) => self.truth(inner, false, false, scope)?,
            ast::Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let low = self.comparison(BinaryOp::GtEq, expr, low, scope)?;
                let high = self.comparison(BinaryOp::LtEq, expr, high, scope)?;
                if low.is_volatile() {
                    return None;
                }
                negate(*negated, boolean(Node::And(Box::new(low), Box::new(high))))
            }
            ast::Expr::InList {
                expr,
                list,
                negated,
            } => {
                let mut any: Option<Expr> = None;
                for item in list {
                    let equal = self.comparison(BinaryOp::Eq, expr, item, scope)?;
                    if equal.is_volatile() {
                        return None;
                    }
                    any = Some(match any {
                        None => equal,
                        Some(any) => boolean(Node::Or(Box::new(any), Box::new(equal))),
                    });
                }
                negate(*negated, any?)
            }
            ast::Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                let ty = names::from_sql(data_type).ok()?;
                match self.item(expr, scope)? {
                    Item::Known(inner) => converted(inner, ty, Context::Explicit)?,
                    Item::Parameter(at) => {
                        self.infer(at, ty);
                        converted(parameter(at, PgType::new(ty.oid)), ty, Context::Explicit)?
                    }
                    Item::Literal(literal) => self.typed_literal(&literal, ty)?,
                    Item::Null => Expr::constant(Datum::Null, ty),
                }
            }
            ast::Expr::TypedString(typed) => {
                let ty = names::from_sql(&typed.data_type).ok()?;
                let literal = string_value(&typed.value.value)?;
                self.typed_literal(literal, ty)?
            }
            ast::Expr::Function(function) => self.function(function, scope)?,
            _ => return None,
        }))
    }

    /// A literal cast explicitly: its modifier truncates instead of raising an error.
    fn typed_literal(&self, literal: &str, ty: PgType) -> Option<Expr> {
        // `regclass`, `now`-like inputs and whatever else depends on the moment is not a constant.
        if !is_plain_input(ty, literal) {
            return None;
        }
        let datum = text::parse(PgType::new(ty.oid), literal, &self.info.style).ok()?;
        let constant = Expr::constant(datum, PgType::new(ty.oid));
        if ty.typmod < 0 {
            return Some(constant);
        }
        converted(constant, ty, Context::Explicit)
    }

    fn literal(&mut self, value: &Value) -> Option<Item> {
        Some(match value {
            Value::Null => Item::Null,
            Value::Boolean(value) => Item::Known(Expr::constant(Datum::Bool(*value), PgType::BOOL)),
            Value::Number(digits, _) => Item::Known(number(digits)?),
            Value::Placeholder(name) => {
                let at: usize = name.strip_prefix('$')?.parse().ok()?;
                let at = at.checked_sub(1).filter(|at| *at < MAX_PARAMETERS)?;
                if at >= self.parameters.len() {
                    self.parameters.resize(at + 1, PgType::UNKNOWN);
                }
                match self.parameters.get(at) {
                    Some(ty) if ty.oid != oid::UNKNOWN => Item::Known(parameter(at, *ty)),
                    _ => Item::Parameter(at),
                }
            }
            other => Item::Literal(string_value(other)?.to_owned()),
        })
    }

    fn unary(&mut self, op: UnaryOperator, expr: &ast::Expr, scope: Scope<'_>) -> Option<Item> {
        match op {
            UnaryOperator::Not => {
                let inner = self.condition(expr, scope)?;
                Some(Item::Known(boolean(Node::Not(Box::new(inner)))))
            }
            UnaryOperator::Plus => match self.item(expr, scope)? {
                Item::Known(expr) if is_number(expr.ty) => Some(Item::Known(expr)),
                _ => None,
            },
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = expr
                    && let Value::Number(digits, _) = &value.value
                {
                    return Some(Item::Known(number(&format!("-{digits}"))?));
                }
                let inner = match self.item(expr, scope)? {
                    Item::Known(inner) if is_number(inner.ty) => inner,
                    _ => return None,
                };
                let zero = Expr::constant(Datum::Int2(0), PgType::INT2);
                // Zero minus a float would lose the sign of zero.
                if matches!(inner.ty.oid, oid::FLOAT4 | oid::FLOAT8) {
                    return None;
                }
                operator(BinaryOp::Sub, zero, inner).map(Item::Known)
            }
            _ => None,
        }
    }

    fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        scope: Scope<'_>,
    ) -> Option<Expr> {
        let op = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let left = Box::new(self.condition(left, scope)?);
                let right = Box::new(self.condition(right, scope)?);
                return Some(boolean(match op {
                    BinaryOperator::And => Node::And(left, right),
                    _ => Node::Or(left, right),
                }));
            }
            BinaryOperator::Plus => BinaryOp::Add,
            BinaryOperator::Minus => BinaryOp::Sub,
            BinaryOperator::Multiply => BinaryOp::Mul,
            BinaryOperator::Divide => BinaryOp::Div,
            BinaryOperator::Modulo => BinaryOp::Mod,
            BinaryOperator::StringConcat => BinaryOp::Concat,
            BinaryOperator::Eq => BinaryOp::Eq,
            BinaryOperator::NotEq => BinaryOp::NotEq,
            BinaryOperator::Lt => BinaryOp::Lt,
            BinaryOperator::LtEq => BinaryOp::LtEq,
            BinaryOperator::Gt => BinaryOp::Gt,
            BinaryOperator::GtEq => BinaryOp::GtEq,
            _ => return None,
        };
        self.comparison(op, left, right, scope)
    }

    /// Any binary operator: an open operand takes the other's type.
    fn comparison(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        scope: Scope<'_>,
    ) -> Option<Expr> {
        let (left, right) = (self.item(left, scope)?, self.item(right, scope)?);
        let (left, right) = self.matched(op, left, right)?;
        operator(op, left, right)
    }

    fn matched(&mut self, op: BinaryOp, left: Item, right: Item) -> Option<(Expr, Expr)> {
        Some(match (left, right) {
            (Item::Known(left), Item::Known(right)) => (left, right),
            (Item::Known(left), open) => {
                let ty = open_type(op, left.ty)?;
                let right = self.coerce(open, ty)?;
                (left, right)
            }
            (open, Item::Known(right)) => {
                let ty = open_type(op, right.ty)?;
                (self.coerce(open, ty)?, right)
            }
            (left, right) => {
                if matches!(
                    op,
                    BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod
                ) {
                    return None;
                }
                (
                    self.coerce(left, PgType::TEXT)?,
                    self.coerce(right, PgType::TEXT)?,
                )
            }
        })
    }

    fn distinct(
        &mut self,
        not: bool,
        left: &ast::Expr,
        right: &ast::Expr,
        scope: Scope<'_>,
    ) -> Option<Expr> {
        let (left, right) = (self.item(left, scope)?, self.item(right, scope)?);
        let (left, right) = self.matched(BinaryOp::Eq, left, right)?;
        match operator(BinaryOp::Eq, left, right)?.node {
            Node::Binary(_, left, right) => Some(boolean(Node::Distinct(not, left, right))),
            _ => None,
        }
    }

    /// `IS [NOT] TRUE/FALSE`.
    fn truth(
        &mut self,
        inner: &ast::Expr,
        value: bool,
        is: bool,
        scope: Scope<'_>,
    ) -> Option<Expr> {
        let inner = self.condition(inner, scope)?;
        let value = Expr::constant(Datum::Bool(value), PgType::BOOL);
        Some(boolean(Node::Distinct(
            is,
            Box::new(inner),
            Box::new(value),
        )))
    }
}

fn column(scope: Scope<'_>, qualifier: Option<&str>, name: &str) -> Option<Expr> {
    let own = scope
        .table
        .filter(|(_, alias)| qualifier.is_none_or(|qualifier| qualifier == *alias))
        .and_then(|(table, _)| table.column(name).map(|at| (table, at)));
    let mut found = match own {
        Some((table, at)) => Some((at, table.columns.get(at)?.ty)),
        None => None,
    };
    if qualifier.is_some() || scope.plain_second {
        for (at, column) in scope.second.iter().enumerate() {
            let named = qualifier.is_none_or(|qualifier| qualifier == column.qualifier);
            if named && column.name == name {
                if found.is_some() {
                    return None;
                }
                found = Some((Row::SECOND.checked_add(at)?, column.ty));
            }
        }
    }
    let (at, ty) = found?;
    Some(Expr {
        node: Node::Column(at),
        ty,
    })
}
