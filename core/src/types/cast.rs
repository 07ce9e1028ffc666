//! Casts between types, with PostgreSQL's rounding, range checks and errors.

mod numbers;

use std::borrow::Cow;

use numbers::to_number;

use super::kinds::calendar::USECS_PER_DAY;
use super::kinds::{
    Kind, array, date, is_reg, json, numeric, out_of_range, string, time, timestamp,
};
use super::text::{self, TextStyle};
use super::{Array, Datum, Interval, PgType, names, oid, ops};
use crate::error::{Error, Result, SqlState};

/// How far a cast may go: an explicit `CAST` truncates `varchar(n)`, an assignment raises 22001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    Implicit,
    Assignment,
    Explicit,
}

/// Whether PostgreSQL has this cast in this context.
pub fn allowed(from: PgType, to: PgType, context: Context) -> bool {
    least_context(from, to).is_some_and(|least| context >= least)
}

/// The weakest context in which the cast is applied, `None` when there is no such cast.
fn least_context(from: PgType, to: PgType) -> Option<Context> {
    use Context::{Assignment, Explicit, Implicit};
    if from.oid == to.oid || from.oid == oid::UNKNOWN {
        return Some(Implicit);
    }
    if let Some(listed) = pg_cast(from.oid, to.oid) {
        return Some(listed);
    }
    if let (Some(from), Some(to)) = (array::element(from), array::element(to)) {
        return least_context(from, to);
    }
    // Through the text form: into strings on assignment, out of strings on demand.
    if is_string(to) {
        return Some(Assignment);
    }
    is_string(from).then_some(Explicit)
}

/// The rows of PostgreSQL's `pg_cast` for the types we have.
fn pg_cast(from: u32, to: u32) -> Option<Context> {
    use Context::{Assignment, Explicit, Implicit};
    use oid::*;
    if is_reg(from) || is_reg(to) || from == OID || to == OID {
        return match (from, to) {
            (OID, _) if is_reg(to) => Some(Implicit),
            (_, OID) if is_reg(from) => Some(Implicit),
            (INT2 | INT4 | INT8, _) => Some(Implicit),
            (_, INT4 | INT8) => Some(Assignment),
            (TEXT | VARCHAR, REGCLASS) => Some(Implicit),
            _ => None,
        };
    }
    Some(match (from, to) {
        (INT2, INT4 | INT8 | FLOAT4 | FLOAT8 | NUMERIC) => Implicit,
        (INT4, INT8 | FLOAT4 | FLOAT8 | NUMERIC) => Implicit,
        (INT4, INT2) | (INT8, INT2 | INT4) => Assignment,
        (INT4, BOOL | CHAR) | (BOOL, INT4) | (CHAR, INT4) => Explicit,
        (INT8, FLOAT4 | FLOAT8 | NUMERIC) => Implicit,
        (FLOAT4, FLOAT8) | (NUMERIC, FLOAT4 | FLOAT8) => Implicit,
        (FLOAT8, FLOAT4) => Assignment,
        (FLOAT4 | FLOAT8, INT2 | INT4 | INT8 | NUMERIC) | (NUMERIC, INT2 | INT4 | INT8) => {
            Assignment
        }
        (BOOL, TEXT | VARCHAR | BPCHAR) => Assignment,
        (TEXT | VARCHAR | BPCHAR, TEXT | VARCHAR | BPCHAR | NAME) => Implicit,
        (TEXT | VARCHAR | BPCHAR, CHAR) => Assignment,
        (CHAR | NAME, TEXT) => Implicit,
        (CHAR | NAME, VARCHAR | BPCHAR) => Assignment,
        (PG_NODE_TREE, TEXT) => Implicit,
        (DATE, TIMESTAMP | TIMESTAMPTZ) | (TIMESTAMP, TIMESTAMPTZ) | (TIME, INTERVAL) => Implicit,
        (TIMESTAMP | TIMESTAMPTZ, DATE | TIME) | (TIMESTAMPTZ, TIMESTAMP) | (INTERVAL, TIME) => {
            Assignment
        }
        (JSON, JSONB) | (JSONB, JSON) => Assignment,
        (JSONB, BOOL | NUMERIC | INT2 | INT4 | INT8 | FLOAT4 | FLOAT8) => Explicit,
        (INT2VECTOR, INT2_ARRAY) | (OIDVECTOR, OID_ARRAY) => Implicit,
        _ => return None,
    })
}

/// PostgreSQL's string category.
fn is_string(ty: PgType) -> bool {
    matches!(ty.oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME)
}

/// The value of another type that equals this one; `None` when there is none there.
pub fn exactly(
    datum: &Datum<'_>,
    from: PgType,
    to: PgType,
    style: &TextStyle,
) -> Option<Datum<'static>> {
    let (from, to) = (PgType::new(from.oid), PgType::new(to.oid));
    if from == to {
        return Some(datum.clone().into_owned());
    }
    let there = cast(datum.clone(), from, to, Context::Explicit, style).ok()?;
    // A cast that rounds found another value.
    let back = cast(there.clone(), to, from, Context::Explicit, style).ok()?;
    ops::compare(&back, datum).is_eq().then_some(there)
}

/// Casts one value; NULL stays NULL. The modifier of `to` is applied.
///
/// # Errors
/// 42846 when there is no such cast, 22003, 22P02, 22001 … when the value does not fit.
pub fn cast(
    datum: Datum<'_>,
    from: PgType,
    to: PgType,
    context: Context,
    style: &TextStyle,
) -> Result<Datum<'static>> {
    if datum.is_null() {
        return Ok(Datum::Null);
    }
    let explicit = context == Context::Explicit;
    if from.oid == to.oid {
        return fit(datum.into_owned(), to, explicit);
    }
    if let Datum::Text(value) = &datum
        && (is_string(from) || from.oid == oid::UNKNOWN)
    {
        return from_string(value, from, to, explicit, style);
    }
    let found = match to.oid {
        _ if is_string(to) => Some(to_string(&datum, from, to, explicit, style)?),
        _ => convert(&datum, from, to, context, style)?,
    };
    found.ok_or_else(|| no_cast(from, to))
}

fn no_cast(from: PgType, to: PgType) -> Error {
    Error::new(
        SqlState::CANNOT_COERCE,
        format!(
            "cannot cast type {} to {}",
            names::sql_name(from.oid),
            names::sql_name(to.oid)
        ),
    )
}

/// Applies a modifier to a value that is already of the type.
///
/// # Errors
/// 22001 and 22003 when it does not fit.
pub fn fit(datum: Datum<'static>, ty: PgType, explicit: bool) -> Result<Datum<'static>> {
    if ty.typmod < 0 {
        return Ok(datum);
    }
    Ok(match datum {
        Datum::Text(value) => Datum::Text(string::fit(ty, value, explicit)?),
        Datum::Numeric(value) => Datum::Numeric(numeric::fit(value, ty)?),
        Datum::Time(value) => Datum::Time(time::fit(value, ty.typmod)),
        Datum::Timestamp(value) => Datum::Timestamp(timestamp::fit(value, ty.typmod)),
        Datum::Timestamptz(value) => Datum::Timestamptz(timestamp::fit(value, ty.typmod)),
        Datum::Array(value) => {
            let element = array::element(ty).unwrap_or(value.element);
            let items = value
                .items
                .into_iter()
                .map(|item| fit(item, element, explicit));
            Datum::Array(Box::new(Array {
                element,
                items: items.collect::<Result<_>>()?,
            }))
        }
        other => other,
    })
}

fn from_string(
    value: &str,
    from: PgType,
    to: PgType,
    explicit: bool,
    style: &TextStyle,
) -> Result<Datum<'static>> {
    let value = match from.oid {
        oid::BPCHAR if is_string(to) => string::without_padding(value),
        _ => value,
    };
    if is_string(to) && from.oid != oid::UNKNOWN {
        let fitted = string::fit(to, Cow::Borrowed(value), explicit)?;
        return Ok(Datum::Text(Cow::Owned(fitted.into_owned())));
    }
    if from.oid == oid::UNKNOWN && explicit && to.max_length().is_some() && is_string(to) {
        // A literal is read without the modifier, then coerced.
        let read = text::parse(PgType::new(to.oid), value, style)?;
        return fit(read, to, true);
    }
    text::parse(to, value, style)
}

fn to_string(
    datum: &Datum<'_>,
    from: PgType,
    to: PgType,
    explicit: bool,
    style: &TextStyle,
) -> Result<Datum<'static>> {
    let text = match datum {
        Datum::Bool(value) if to.oid != oid::NAME => value.to_string(),
        _ => text::to_string(datum, from, style),
    };
    let fitted = string::fit(to, Cow::Owned(text), explicit)?;
    Ok(Datum::Text(Cow::Owned(fitted.into_owned())))
}

/// The casts with a function of their own; `None` when there is none.
fn convert(
    datum: &Datum<'_>,
    from: PgType,
    to: PgType,
    context: Context,
    style: &TextStyle,
) -> Result<Option<Datum<'static>>> {
    if let Some(number) = to_number(datum, from, to)? {
        return Ok(Some(number));
    }
    Ok(Some(match (datum, Kind::of(to)) {
        (Datum::Int4(value), Kind::Bool) => Datum::Bool(*value != 0),
        (Datum::Bool(value), Kind::Int4) => Datum::Int4(i32::from(*value)),
        (Datum::Int4(value), Kind::Text) if to.oid == oid::CHAR => {
            let byte = i8::try_from(*value).map_err(|_| out_of_range("\"char\""))?;
            Datum::text(string::recv_char(&[byte as u8])?)
        }
        (Datum::Text(value), Kind::Int4) if from.oid == oid::CHAR => {
            Datum::Int4(i32::from(string::char_byte(value) as i8))
        }
        (Datum::Text(value), Kind::Text) => match (from.oid, to.oid) {
            (oid::JSON, oid::JSONB) => Datum::text(json::normalize(value)?),
            (oid::JSONB, oid::JSON) => Datum::text(value.as_ref()),
            _ => return Ok(None),
        },
        (Datum::Text(value), _) if from.oid == oid::JSONB => return from_jsonb(value, to, style),
        (Datum::Oid(value), Kind::Oid) => Datum::Oid(*value),
        (Datum::Date(value), Kind::Timestamp) => Datum::Timestamp(date::to_timestamp(*value)?),
        (Datum::Date(value), Kind::Timestamptz) => {
            let local = date::to_timestamp(*value)?;
            Datum::Timestamptz(zoned(local, |local| style.time_zone.to_utc(local))?)
        }
        (Datum::Timestamp(value), Kind::Timestamptz) => Datum::Timestamptz(timestamp::fit(
            zoned(*value, |local| style.time_zone.to_utc(local))?,
            to.typmod,
        )),
        (Datum::Timestamptz(value), Kind::Timestamp) => Datum::Timestamp(timestamp::fit(
            zoned(*value, |utc| style.time_zone.to_local(utc))?,
            to.typmod,
        )),
        (Datum::Timestamp(value), Kind::Date) => Datum::Date(day_of(*value)?),
        (Datum::Timestamptz(value), Kind::Date) => {
            Datum::Date(day_of(zoned(*value, |utc| style.time_zone.to_local(utc))?)?)
        }
        (Datum::Timestamp(value), Kind::Time) => time_of(*value, to),
        (Datum::Timestamptz(value), Kind::Time) => {
            time_of(zoned(*value, |utc| style.time_zone.to_local(utc))?, to)
        }
        (Datum::Interval(value), Kind::Time) => {
            Datum::Time(time::fit(value.micros.rem_euclid(USECS_PER_DAY), to.typmod))
        }
        (Datum::Time(value), Kind::Interval) => Datum::Interval(Interval {
            months: 0,
            days: 0,
            micros: *value,
        }),
        (Datum::Array(value), Kind::Array) => {
            let element = array::element(to).unwrap_or(value.element);
            let items = value
                .items
                .iter()
                .map(|item| cast(item.clone(), value.element, element, context, style));
            let items = items.collect::<Result<_>>()?;
            Datum::Array(Box::new(Array { element, items }))
        }
        _ => return Ok(None),
    }))
}

/// Applies a shift between local time and UTC to a finite timestamp.
fn zoned(micros: i64, shift: impl Fn(i64) -> Option<i64>) -> Result<i64> {
    match micros {
        i64::MIN | i64::MAX => Ok(micros),
        _ => timestamp::finite(shift(micros)),
    }
}

fn day_of(micros: i64) -> Result<i32> {
    match micros {
        i64::MAX => Ok(i32::MAX),
        i64::MIN => Ok(i32::MIN),
        _ => date::finite(micros.div_euclid(USECS_PER_DAY)).ok_or_else(date::out_of_range),
    }
}

/// The time of day; NULL for the infinities, as in PostgreSQL.
fn time_of(micros: i64, to: PgType) -> Datum<'static> {
    match micros {
        i64::MIN | i64::MAX => Datum::Null,
        _ => Datum::Time(time::fit(micros.rem_euclid(USECS_PER_DAY), to.typmod)),
    }
}

/// A jsonb number or boolean as a value of SQL.
fn from_jsonb(value: &str, to: PgType, style: &TextStyle) -> Result<Option<Datum<'static>>> {
    let kind = Kind::of(to);
    let is_number = matches!(
        kind,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8 | Kind::Numeric
    );
    if !is_number && kind != Kind::Bool {
        return Ok(None);
    }
    let found = match value.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "numeric",
    };
    match (kind, found) {
        (Kind::Bool, "boolean") => Ok(Some(Datum::Bool(value == "true"))),
        (_, "numeric") if is_number => {
            let number = text::parse(PgType::NUMERIC, value, style)?;
            cast(number, PgType::NUMERIC, to, Context::Explicit, style).map(Some)
        }
        _ => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!(
                "cannot cast jsonb {found} to type {}",
                names::sql_name(to.oid)
            ),
        )),
    }
}
