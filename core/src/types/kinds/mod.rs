//! One file per type: how it is read and written as text (`parse`, `write`) and as bytes on the
//! wire (`recv`, `send`). A new type is a file here, an arm in [`super::text`] and
//! [`super::binary`], and a line in [`super::names`].

pub mod array;
pub mod bool;
pub mod bytea;
pub mod calendar;
pub mod date;
pub mod datetime;
pub mod float;
pub mod int;
pub mod interval;
pub mod json;
pub mod numeric;
pub mod string;
pub mod time;
pub mod timestamp;
pub mod uuid;

use super::PgType;
use super::names;
use super::pg_type::oid;
use crate::error::{Error, Result, SqlState};

/// How values of a type are held: which [`super::Datum`] variant, which row bytes, which Arrow array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Oid,
    Array,
}

impl Kind {
    /// The kind of a type; types that the engine does not know are text.
    pub fn of(ty: PgType) -> Kind {
        match ty.oid {
            oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON | oid::JSONB => {
                Kind::Text
            }
            oid::BOOL => Kind::Bool,
            oid::INT2 => Kind::Int2,
            oid::INT4 => Kind::Int4,
            oid::INT8 => Kind::Int8,
            oid::FLOAT4 => Kind::Float4,
            oid::FLOAT8 => Kind::Float8,
            oid::NUMERIC => Kind::Numeric,
            oid::BYTEA => Kind::Bytea,
            oid::DATE => Kind::Date,
            oid::TIME => Kind::Time,
            oid::TIMESTAMP => Kind::Timestamp,
            oid::TIMESTAMPTZ => Kind::Timestamptz,
            oid::INTERVAL => Kind::Interval,
            oid::UUID => Kind::Uuid,
            oid::OID | oid::XID => Kind::Oid,
            other if is_reg(other) => Kind::Oid,
            other if names::element_of(other).is_some() => Kind::Array,
            _ => Kind::Text,
        }
    }
}

/// Whether a type is one of the `reg*` types: an oid with a name as its text.
pub fn is_reg(oid: u32) -> bool {
    matches!(
        oid,
        oid::REGPROC | oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE
    ) || matches!(
        oid,
        names::REGPROCEDURE | names::REGOPER | names::REGOPERATOR | names::REGCOLLATION
    )
}

/// 22P02 `invalid input syntax for type integer: "x"`.
pub fn invalid_syntax(type_name: &str, text: &str) -> Error {
    Error::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}

/// 22003 `value "x" is out of range for type integer`.
pub fn value_out_of_range(type_name: &str, text: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {type_name}"),
    )
}

/// 22003 `integer out of range`.
pub fn out_of_range(type_name: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{type_name} out of range"),
    )
}

/// 22P03: the bytes of a binary value are not what its type says.
pub fn invalid_binary(what: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, what)
}

/// 08P01: a binary value ends too early.
pub fn short_binary() -> Error {
    Error::new(
        SqlState::PROTOCOL_VIOLATION,
        "insufficient data left in message",
    )
}

/// A binary value of exactly `N` bytes.
pub fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    <[u8; N]>::try_from(bytes).map_err(|_| match bytes.len() < N {
        true => short_binary(),
        false => invalid_binary("incorrect binary data format"),
    })
}

/// Spaces that PostgreSQL's input functions skip (C's `isspace`).
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}
