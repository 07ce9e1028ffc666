//! Small expressions over datums: what a compiled statement evaluates without DataFusion.
//!
//! An expression is built by [`super::Compiler`], which has resolved names, operators and types;
//! evaluation only follows the tree.

use crate::error::{Error, Result};
use crate::query::SessionInfo;
use crate::types::cast::{self, Context};
use crate::types::ops::{self, BinaryOp};
use crate::types::row::RowRef;
use crate::types::{Datum, PgType};

/// A typed expression.
#[derive(Clone, Debug)]
pub struct Expr {
    pub node: Node,
    pub ty: PgType,
}

#[derive(Clone, Debug)]
pub enum Node {
    Constant(Datum<'static>),
    /// A physical column of the row; of the second row (`excluded`) from [`Row::SECOND`] on.
    Column(usize),
    /// `$n`, counted from 0.
    Parameter(usize),
    /// Operands have the operator's types.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// `IS [NOT] DISTINCT FROM`; the flag is NOT.
    Distinct(bool, Box<Expr>, Box<Expr>),
    Coalesce(Vec<Expr>),
    Cast(Box<Expr>, Context),
    /// `now()`, and what casts from it.
    TransactionStart,
    StatementStart,
    Clock,
    /// `nextval`, by sequence OID.
    NextValue(u32),
    /// The next value of an identity column, which needs no privilege.
    NextIdentity(u32),
    RandomUuid,
    CurrentUser,
    SessionUser,
}

/// What columns are read from.
#[derive(Clone, Copy)]
pub enum Row<'a> {
    None,
    /// One datum for each physical column.
    Values(&'a [Datum<'a>]),
    /// As stored; columns that it lacks have these values.
    Stored(RowRef<'a>, &'a [PgType], &'a [Datum<'static>]),
    /// The row, and a second one (`excluded`, or values from other FROM items).
    Two(&'a [Datum<'a>], &'a [Datum<'a>]),
}

impl<'a> Row<'a> {
    /// Column numbers from here on belong to the second row.
    pub const SECOND: usize = 1 << 20;

    /// The value of a column.
    pub fn get(self, at: usize) -> Result<Datum<'a>> {
        let missing = || Error::internal("an expression reads a column that its row lacks");
        match self {
            Row::None => Err(missing()),
            Row::Values(values) => values.get(at).map(borrow).ok_or_else(missing),
            Row::Stored(row, types, absent) => {
                if at < row.columns() {
                    return row.get(at, *types.get(at).ok_or_else(missing)?);
                }
                absent.get(at).map(borrow).ok_or_else(missing)
            }
            Row::Two(first, second) => match at.checked_sub(Row::SECOND) {
                Some(at) => second.get(at).map(borrow).ok_or_else(missing),
                None => first.get(at).map(borrow).ok_or_else(missing),
            },
        }
    }
}

/// What an expression is evaluated with.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    pub row: Row<'a>,
    pub parameters: &'a [Datum<'static>],
    pub info: &'a SessionInfo,
}

/// The same value, borrowing its bytes.
pub fn borrow<'a>(datum: &'a Datum<'_>) -> Datum<'a> {
    match datum {
        Datum::Text(text) => Datum::Text(std::borrow::Cow::Borrowed(text.as_ref())),
        Datum::Bytea(bytes) => Datum::Bytea(std::borrow::Cow::Borrowed(bytes.as_ref())),
        Datum::Null => Datum::Null,
        Datum::Bool(v) => Datum::Bool(*v),
        Datum::Int2(v) => Datum::Int2(*v),
        Datum::Int4(v) => Datum::Int4(*v),
        Datum::Int8(v) => Datum::Int8(*v),
        Datum::Float4(v) => Datum::Float4(*v),
        Datum::Float8(v) => Datum::Float8(*v),
        Datum::Numeric(v) => Datum::Numeric(v.clone()),
        Datum::Date(v) => Datum::Date(*v),
        Datum::Time(v) => Datum::Time(*v),
        Datum::Timestamp(v) => Datum::Timestamp(*v),
        Datum::Timestamptz(v) => Datum::Timestamptz(*v),
        Datum::Interval(v) => Datum::Interval(*v),
        Datum::Uuid(v) => Datum::Uuid(*v),
        Datum::Oid(v) => Datum::Oid(*v),
        Datum::Array(v) => Datum::Array(v.clone()),
    }
}

impl Expr {
    pub fn constant(datum: Datum<'static>, ty: PgType) -> Self {
        Expr {
            node: Node::Constant(datum),
            ty,
        }
    }

    /// Evaluates to a value of type [`Expr::ty`].
    pub fn eval<'a>(&'a self, env: &Env<'a>) -> Result<Datum<'a>> {
        Ok(match &self.node {
            Node::Constant(datum) => borrow(datum),
            Node::Column(at) => env.row.get(*at)?,
            Node::Parameter(at) => match env.parameters.get(*at) {
                Some(datum) => borrow(datum),
                None => return Err(Error::internal("a parameter has no value")),
            },
            Node::Binary(op, left, right) => {
                let (left, right) = (left.eval(env)?, right.eval(env)?);
                if left.is_null() || right.is_null() {
                    return Ok(Datum::Null);
                }
                ops::apply(*op, &left, &right)?
            }
            Node::And(left, right) => match left.eval(env)? {
                Datum::Bool(false) => Datum::Bool(false),
                left => match (left, right.eval(env)?) {
                    (_, Datum::Bool(false)) => Datum::Bool(false),
                    (Datum::Bool(true), Datum::Bool(true)) => Datum::Bool(true),
                    _ => Datum::Null,
                },
            },
            Node::Or(left, right) => match left.eval(env)? {
                Datum::Bool(true) => Datum::Bool(true),
                left => match (left, right.eval(env)?) {
                    (_, Datum::Bool(true)) => Datum::Bool(true),
                    (Datum::Bool(false), Datum::Bool(false)) => Datum::Bool(false),
                    _ => Datum::Null,
                },
            },
            Node::Not(inner) => match inner.eval(env)? {
                Datum::Bool(value) => Datum::Bool(!value),
                _ => Datum::Null,
            },
            Node::IsNull(inner) => Datum::Bool(inner.eval(env)?.is_null()),
            Node::Distinct(not, left, right) => {
                let (left, right) = (left.eval(env)?, right.eval(env)?);
                let same = match (left.is_null(), right.is_null()) {
                    (false, false) => ops::compare(&left, &right).is_eq(),
                    (left, right) => left == right,
                };
                Datum::Bool(same == *not)
            }
            Node::Coalesce(items) => {
                for item in items {
                    let value = item.eval(env)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Node::Cast(inner, context) => {
                let value = inner.eval(env)?;
                cast::cast(value, inner.ty, self.ty, *context, &env.info.style)?
            }
            Node::TransactionStart => Datum::Timestamptz(env.info.transaction_start),
            Node::StatementStart => Datum::Timestamptz(env.info.statement_start),
            Node::Clock => Datum::Timestamptz(env.info.access.clock()),
            Node::NextValue(sequence) => {
                Datum::Int8(env.info.writer("nextval()")?.next_value(*sequence)?)
            }
            Node::NextIdentity(sequence) => Datum::Int8(env.info.access.next_identity(*sequence)?),
            Node::RandomUuid => Datum::Uuid(random_uuid(env.info.access.random())),
            Node::CurrentUser => Datum::text(env.info.user.as_str()),
            Node::SessionUser => Datum::text(env.info.session_user.as_str()),
        })
    }

    /// Evaluates a condition: only true counts.
    pub fn holds(&self, env: &Env<'_>) -> Result<bool> {
        Ok(matches!(self.eval_short(env)?, Datum::Bool(true)))
    }

    fn eval_short(&self, env: &Env<'_>) -> Result<Datum<'static>> {
        Ok(self.eval(env)?.into_owned())
    }

    /// Whether it reads a column.
    pub fn reads_row(&self) -> bool {
        match &self.node {
            Node::Column(_) => true,
            Node::Binary(_, left, right)
            | Node::And(left, right)
            | Node::Or(left, right)
            | Node::Distinct(_, left, right) => left.reads_row() || right.reads_row(),
            Node::Not(inner) | Node::IsNull(inner) | Node::Cast(inner, _) => inner.reads_row(),
            Node::Coalesce(items) => items.iter().any(Expr::reads_row),
            _ => false,
        }
    }

    /// Whether its value depends on nothing of the session but how values are written.
    pub fn is_plain(&self) -> bool {
        match &self.node {
            Node::Constant(_) | Node::Column(_) | Node::Parameter(_) => true,
            Node::Binary(_, left, right)
            | Node::And(left, right)
            | Node::Or(left, right)
            | Node::Distinct(_, left, right) => left.is_plain() && right.is_plain(),
            Node::Not(inner) | Node::IsNull(inner) => inner.is_plain(),
            Node::Cast(inner, _) => {
                inner.is_plain() && inner.ty.is_timeless() && self.ty.is_timeless()
            }
            Node::Coalesce(items) => items.iter().all(Expr::is_plain),
            Node::TransactionStart
            | Node::StatementStart
            | Node::Clock
            | Node::NextValue(_)
            | Node::NextIdentity(_)
            | Node::RandomUuid
            | Node::CurrentUser
            | Node::SessionUser => false,
        }
    }

    /// Whether evaluating it twice may give two results, or does something.
    pub fn is_volatile(&self) -> bool {
        match &self.node {
            Node::NextValue(_) | Node::NextIdentity(_) | Node::RandomUuid | Node::Clock => true,
            Node::Binary(_, left, right)
            | Node::And(left, right)
            | Node::Or(left, right)
            | Node::Distinct(_, left, right) => left.is_volatile() || right.is_volatile(),
            Node::Not(inner) | Node::IsNull(inner) | Node::Cast(inner, _) => inner.is_volatile(),
            Node::Coalesce(items) => items.iter().any(Expr::is_volatile),
            _ => false,
        }
    }
}

/// A version 4 UUID (RFC 9562) of random bytes.
fn random_uuid(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}
