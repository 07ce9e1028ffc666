//! Arithmetic and comparison of single values with PostgreSQL's results and errors, for the
//! statements that never enter DataFusion.

use std::cmp::Ordering;

use super::kinds::{Kind, array, date, interval, is_reg, timestamp};
use super::{Datum, Interval, PgType, oid};
use crate::error::{Error, Result, SqlState};

mod arithmetic;
mod dates;
pub mod roots;
mod small;

pub use arithmetic::{as_float, numeric_add, numeric_div, numeric_mul, numeric_rem, numeric_sub};
pub use small::{Small, numeric_small};

/// A binary operator on values of the types below; see [`result_type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Concat,
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// The operands' common types and the result's type, or `None` when PostgreSQL has no such operator,
/// or one whose result depends on the session (a time zone).
pub fn result_type(op: BinaryOp, left: PgType, right: PgType) -> Option<(PgType, PgType, PgType)> {
    let left = resolve(left, right);
    let right = resolve(right, left);
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => {
            if let Some(common) = common_number(left, right) {
                let float = matches!(common.oid, oid::FLOAT4 | oid::FLOAT8);
                return (!float || op != BinaryOp::Mod).then_some((common, common, common));
            }
            date_types(op, left, right)
        }
        BinaryOp::Concat => match (Kind::of(left), Kind::of(right)) {
            (Kind::Bytea, Kind::Bytea) => Some((PgType::BYTEA, PgType::BYTEA, PgType::BYTEA)),
            (Kind::Array, _) | (_, Kind::Array) => None,
            _ if left.oid == oid::JSONB && right.oid == oid::JSONB => None,
            _ if is_text(left) || is_text(right) => {
                Some((PgType::TEXT, PgType::TEXT, PgType::TEXT))
            }
            _ => None,
        },
        _ => comparison_type(left, right).map(|common| (common, common, PgType::BOOL)),
    }
}

/// A literal of unknown type becomes what stands on the other side, or text.
fn resolve(ty: PgType, other: PgType) -> PgType {
    match (ty.oid, other.oid) {
        (oid::UNKNOWN, oid::UNKNOWN) => PgType::TEXT,
        (oid::UNKNOWN, _) => other,
        _ => ty,
    }
}

fn is_text(ty: PgType) -> bool {
    matches!(ty.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME)
}

/// The type in which PostgreSQL computes with two numbers.
fn common_number(left: PgType, right: PgType) -> Option<PgType> {
    let rank = |ty: PgType| match ty.oid {
        oid::INT2 => Some(0),
        oid::INT4 => Some(1),
        oid::INT8 => Some(2),
        oid::NUMERIC => Some(3),
        oid::FLOAT4 => Some(4),
        oid::FLOAT8 => Some(5),
        _ => None,
    };
    let (a, b) = (rank(left)?, rank(right)?);
    Some(match (a.max(b), a.min(b)) {
        (0, _) => PgType::INT2,
        (1, _) => PgType::INT4,
        (2, _) => PgType::INT8,
        (3, _) => PgType::NUMERIC,
        (4, 4) => PgType::FLOAT4,
        // A real beside any other number makes both double precision.
        _ => PgType::FLOAT8,
    })
}

fn date_types(op: BinaryOp, left: PgType, right: PgType) -> Option<(PgType, PgType, PgType)> {
    use BinaryOp::{Add, Sub};
    let int = |ty: PgType| matches!(ty.oid, oid::INT2 | oid::INT4);
    Some(match (op, left.oid, right.oid) {
        (Add | Sub, oid::DATE, _) if int(right) => (PgType::DATE, PgType::INT4, PgType::DATE),
        (Add, _, oid::DATE) if int(left) => (PgType::INT4, PgType::DATE, PgType::DATE),
        (Sub, oid::DATE, oid::DATE) => (PgType::DATE, PgType::DATE, PgType::INT4),
        (Add | Sub, oid::DATE | oid::TIMESTAMP, oid::INTERVAL) => {
            (PgType::TIMESTAMP, PgType::INTERVAL, PgType::TIMESTAMP)
        }
        (Add, oid::INTERVAL, oid::DATE | oid::TIMESTAMP) => {
            (PgType::INTERVAL, PgType::TIMESTAMP, PgType::TIMESTAMP)
        }
        (Sub, oid::DATE | oid::TIMESTAMP, oid::DATE | oid::TIMESTAMP) => {
            (PgType::TIMESTAMP, PgType::TIMESTAMP, PgType::INTERVAL)
        }
        (Sub, oid::TIMESTAMPTZ, oid::TIMESTAMPTZ) => {
            (PgType::TIMESTAMPTZ, PgType::TIMESTAMPTZ, PgType::INTERVAL)
        }
        (Add | Sub, oid::INTERVAL, oid::INTERVAL) => {
            (PgType::INTERVAL, PgType::INTERVAL, PgType::INTERVAL)
        }
        (Add | Sub, oid::TIME, oid::INTERVAL) => (PgType::TIME, PgType::INTERVAL, PgType::TIME),
        (Add, oid::INTERVAL, oid::TIME) => (PgType::INTERVAL, PgType::TIME, PgType::TIME),
        (Sub, oid::TIME, oid::TIME) => (PgType::TIME, PgType::TIME, PgType::INTERVAL),
        (Add, oid::DATE, oid::TIME) => (PgType::DATE, PgType::TIME, PgType::TIMESTAMP),
        (Add, oid::TIME, oid::DATE) => (PgType::TIME, PgType::DATE, PgType::TIMESTAMP),
        _ => return None,
    })
}

/// The type in which two values are compared. `char(n)` becomes text: the cast drops the padding,
/// which does not count.
fn comparison_type(left: PgType, right: PgType) -> Option<PgType> {
    if let Some(common) = common_number(left, right) {
        return Some(common);
    }
    let plain = |ty: PgType| PgType::new(ty.oid);
    let oid_like = |ty: PgType| ty.oid == oid::OID || is_reg(ty.oid);
    match (Kind::of(left), Kind::of(right)) {
        (Kind::Text, Kind::Text) if is_text(left) && is_text(right) => Some(PgType::TEXT),
        (Kind::Text, Kind::Text) => {
            let same = left.oid == right.oid && left.oid == oid::CHAR;
            same.then(|| plain(left))
        }
        (Kind::Oid, Kind::Oid) => Some(if left.oid == right.oid {
            plain(left)
        } else {
            PgType::OID
        }),
        (Kind::Oid, Kind::Int2 | Kind::Int4) if oid_like(left) => Some(PgType::OID),
        (Kind::Int2 | Kind::Int4, Kind::Oid) if oid_like(right) => Some(PgType::OID),
        (Kind::Oid, Kind::Int8) if oid_like(left) => Some(PgType::INT8),
        (Kind::Int8, Kind::Oid) if oid_like(right) => Some(PgType::INT8),
        (Kind::Date, Kind::Timestamp) | (Kind::Timestamp, Kind::Date) => Some(PgType::TIMESTAMP),
        (Kind::Time, Kind::Interval) | (Kind::Interval, Kind::Time) => Some(PgType::INTERVAL),
        (Kind::Array, Kind::Array) => {
            let (a, b) = (array::element(left)?, array::element(right)?);
            (a.oid == b.oid && comparison_type(a, b).is_some()).then(|| plain(left))
        }
        (a, b) if a == b => Some(plain(left)),
        _ => None,
    }
}

/// Applies `op` to two values that already have the operand types of [`result_type`]; NULL with
/// anything is NULL.
///
/// # Errors
/// 22003 on overflow, 22012 on division by zero, 22008 for dates; XX000 for other operand types.
pub fn apply(op: BinaryOp, left: &Datum<'_>, right: &Datum<'_>) -> Result<Datum<'static>> {
    if left.is_null() || right.is_null() {
        return Ok(Datum::Null);
    }
    let order = || compare(left, right);
    Ok(Datum::Bool(match op {
        BinaryOp::Eq => order().is_eq(),
        BinaryOp::NotEq => order().is_ne(),
        BinaryOp::Lt => order().is_lt(),
        BinaryOp::LtEq => order().is_le(),
        BinaryOp::Gt => order().is_gt(),
        BinaryOp::GtEq => order().is_ge(),
        BinaryOp::Concat => {
            return match (left, right) {
                (Datum::Text(a), Datum::Text(b)) => Ok(Datum::text(format!("{a}{b}"))),
                (Datum::Bytea(a), Datum::Bytea(b)) => {
                    Ok(Datum::Bytea([a.as_ref(), b.as_ref()].concat().into()))
                }
                _ => Err(no_operator(op, left, right)),
            };
        }
        _ => {
            let found = match arithmetic::apply(op, left, right)? {
                Some(found) => Some(found),
                None => dates::apply(op, left, right)?,
            };
            return found.ok_or_else(|| no_operator(op, left, right));
        }
    }))
}

fn no_operator(op: BinaryOp, left: &Datum<'_>, right: &Datum<'_>) -> Error {
    Error::internal(format!("no operator {op:?} for {left:?} and {right:?}"))
}

fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// Compares two values of one type; NULLs last, NaN above all numbers. Numbers of different types
/// compare by value. Text compares by its bytes (the C collation).
pub fn compare(left: &Datum<'_>, right: &Datum<'_>) -> Ordering {
    match (left, right) {
        (Datum::Null, Datum::Null) => Ordering::Equal,
        (Datum::Null, _) => Ordering::Greater,
        (_, Datum::Null) => Ordering::Less,
        (Datum::Int4(a), Datum::Int4(b)) => a.cmp(b),
        (Datum::Int8(a), Datum::Int8(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        (Datum::Bytea(a), Datum::Bytea(b)) => a.cmp(b),
        (Datum::Date(a), Datum::Date(b)) => a.cmp(b),
        (Datum::Time(a), Datum::Time(b)) => a.cmp(b),
        (
            Datum::Timestamp(a) | Datum::Timestamptz(a),
            Datum::Timestamp(b) | Datum::Timestamptz(b),
        ) => a.cmp(b),
        (Datum::Interval(a), Datum::Interval(b)) => interval::compare(a, b),
        (Datum::Uuid(a), Datum::Uuid(b)) => a.cmp(b),
        (Datum::Oid(a), Datum::Oid(b)) => a.cmp(b),
        (Datum::Array(a), Datum::Array(b)) => {
            let mut pairs = a.items.iter().zip(&b.items);
            pairs
                .find_map(|(a, b)| Some(compare(a, b)).filter(|order| order.is_ne()))
                .unwrap_or_else(|| a.items.len().cmp(&b.items.len()))
        }
        _ => arithmetic::compare(left, right).unwrap_or_else(|| rank(left).cmp(&rank(right))),
    }
}

/// Orders values of types that do not compare, so that [`compare`] stays a total order.
fn rank(datum: &Datum<'_>) -> u8 {
    match datum {
        Datum::Bool(_) => 0,
        Datum::Int2(_) | Datum::Int4(_) | Datum::Int8(_) => 1,
        Datum::Float4(_) | Datum::Float8(_) | Datum::Numeric(_) => 1,
        Datum::Text(_) => 2,
        Datum::Bytea(_) => 3,
        Datum::Date(_) => 4,
        Datum::Time(_) => 5,
        Datum::Timestamp(_) | Datum::Timestamptz(_) => 6,
        Datum::Interval(_) => 7,
        Datum::Uuid(_) => 8,
        Datum::Oid(_) => 9,
        Datum::Array(_) => 10,
        Datum::Null => 11,
    }
}

/// `timestamp + interval`: months first (the day cut to the month's end), then days, then time.
///
/// # Errors
/// 22008 when the result is out of range.
pub fn timestamp_plus(micros: i64, by: &Interval) -> Result<i64> {
    dates::timestamp_plus(micros, by)
}

/// `timestamptz + interval`: months and days count in the local time of `zone`, the time part does not.
///
/// # Errors
/// 22008 when the result is out of range.
pub fn timestamptz_plus(micros: i64, by: &Interval, zone: &super::text::Zone) -> Result<i64> {
    dates::timestamptz_plus(micros, by, zone)
}

/// Whether a date or timestamp is one of the infinities.
pub(crate) fn is_infinite(micros: i64) -> bool {
    matches!(micros, i64::MIN | i64::MAX)
}

fn date_to_timestamp(days: i32) -> Result<i64> {
    date::to_timestamp(days)
}

fn timestamp_finite(micros: Option<i64>) -> Result<i64> {
    timestamp::finite(micros)
}
