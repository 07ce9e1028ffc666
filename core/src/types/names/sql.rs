//! Types as SQL spells them, with their modifiers.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName,
    TimezoneInfo,
};

use super::{array_of, by_internal_name, format_type, from_name, no_such_type};
use crate::error::{Error, Result, SqlState};
use crate::types::pg_type::{PgType, oid};

/// Largest `n` of `varchar(n)` and `char(n)`.
const MAX_LENGTH: i64 = 10_485_760;
/// Largest precision of `numeric(p, s)`, and largest scale in either direction.
pub const MAX_PRECISION: i64 = 1000;

fn invalid_modifier(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// `ty` with the modifiers of its SQL form: the length, the precision, precision and scale.
///
/// # Errors
/// 22023 for values out of range, 42601 where the type takes none.
pub fn modified(ty: PgType, arguments: &[i64]) -> Result<PgType> {
    if arguments.is_empty() {
        return Ok(ty);
    }
    let one = |what: &str| match arguments {
        [one] => Ok(*one),
        _ => Err(invalid_modifier(format!("invalid {what} modifier"))),
    };
    match ty.oid {
        oid::VARCHAR | oid::BPCHAR => {
            let name = if ty.oid == oid::VARCHAR {
                "varchar"
            } else {
                "char"
            };
            let length = one("type")?;
            if length < 1 {
                return Err(invalid_modifier(format!(
                    "length for type {name} must be at least 1"
                )));
            }
            if length > MAX_LENGTH {
                return Err(invalid_modifier(format!(
                    "length for type {name} cannot exceed {MAX_LENGTH}"
                )));
            }
            Ok(PgType::with_typmod(ty.oid, length as i32 + 4))
        }
        oid::NUMERIC => {
            let (precision, scale) = match arguments {
                [precision] => (*precision, 0),
                [precision, scale] => (*precision, *scale),
                _ => return Err(invalid_modifier("invalid NUMERIC type modifier".to_owned())),
            };
            numeric(precision, scale)
        }
        oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let precision = one("type")?.clamp(0, 6);
            Ok(PgType::with_typmod(ty.oid, precision as i32))
        }
        oid::FLOAT8 => match one("type")? {
            ..=0 => Err(invalid_modifier(
                "precision for type float must be at least 1 bit".to_owned(),
            )),
            1..=24 => Ok(PgType::FLOAT4),
            25..=53 => Ok(PgType::FLOAT8),
            _ => Err(invalid_modifier(
                "precision for type float must be less than 54 bits".to_owned(),
            )),
        },
        _ => Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "type modifier is not allowed for type \"{}\"",
                format_type(ty)
            ),
        )),
    }
}

fn numeric(precision: i64, scale: i64) -> Result<PgType> {
    if !(1..=MAX_PRECISION).contains(&precision) {
        return Err(invalid_modifier(format!(
            "NUMERIC precision {precision} must be between 1 and {MAX_PRECISION}"
        )));
    }
    if !(-MAX_PRECISION..=MAX_PRECISION).contains(&scale) {
        return Err(invalid_modifier(format!(
            "NUMERIC scale {scale} must be between -{MAX_PRECISION} and {MAX_PRECISION}"
        )));
    }
    Ok(PgType::numeric(precision as u16, scale as i16))
}

/// The type that a parsed SQL type names.
///
/// # Errors
/// 42704 for an unknown type, 0A000 for one that is known but not supported, 22023 for modifiers.
pub fn from_sql(ty: &SqlType) -> Result<PgType> {
    let plain = |oid: u32| Ok(PgType::new(oid));
    match ty {
        SqlType::Bool | SqlType::Boolean => plain(oid::BOOL),
        SqlType::SmallInt(None) | SqlType::Int2(None) => plain(oid::INT2),
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) => plain(oid::INT4),
        SqlType::BigInt(None) | SqlType::Int8(None) => plain(oid::INT8),
        SqlType::Real | SqlType::Float4 => plain(oid::FLOAT4),
        SqlType::Float8 | SqlType::DoublePrecision | SqlType::Double(ExactNumberInfo::None) => {
            plain(oid::FLOAT8)
        }
        SqlType::Float(arguments) => modified(PgType::FLOAT8, &number_info(arguments)?),
        SqlType::Numeric(arguments) | SqlType::Decimal(arguments) | SqlType::Dec(arguments) => {
            modified(PgType::NUMERIC, &number_info(arguments)?)
        }
        SqlType::Text => plain(oid::TEXT),
        SqlType::Varchar(length)
        | SqlType::CharacterVarying(length)
        | SqlType::CharVarying(length) => modified(PgType::VARCHAR, &char_length(length)?),
        SqlType::Char(None) | SqlType::Character(None) => modified(PgType::BPCHAR, &[1]),
        SqlType::Char(length) | SqlType::Character(length) => {
            modified(PgType::BPCHAR, &char_length(length)?)
        }
        SqlType::Bytea => plain(oid::BYTEA),
        SqlType::Date => plain(oid::DATE),
        SqlType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => modified(
            PgType::TIME,
            &precision.iter().copied().map(whole).collect::<Vec<_>>(),
        ),
        SqlType::Time(..) => Err(Error::unsupported(
            "type time with time zone",
            "Use timestamp with time zone.",
        )),
        SqlType::Timestamp(precision, zone) => {
            let base = match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => PgType::TIMESTAMP,
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => PgType::TIMESTAMPTZ,
            };
            modified(
                base,
                &precision.iter().copied().map(whole).collect::<Vec<_>>(),
            )
        }
        SqlType::Interval {
            fields: None,
            precision: None | Some(6),
        } => plain(oid::INTERVAL),
        SqlType::Interval { .. } => Err(Error::unsupported(
            "an interval with fields or precision",
            "Use interval without a modifier.",
        )),
        SqlType::JSON => plain(oid::JSON),
        SqlType::JSONB => plain(oid::JSONB),
        SqlType::Uuid => plain(oid::UUID),
        SqlType::Regclass => plain(oid::REGCLASS),
        SqlType::Array(
            ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Parenthesis(element),
        ) => {
            if matches!(element.as_ref(), SqlType::Array(_)) {
                return Err(Error::unsupported(
                    "an array of more than one dimension",
                    "Use a one-dimensional array or jsonb.",
                ));
            }
            array_type(from_sql(element)?)
        }
        SqlType::Custom(name, arguments) => custom(name, arguments),
        other => named(&other.to_string(), &[]),
    }
}

/// The array type of `element`, with its modifier.
pub fn array_type(element: PgType) -> Result<PgType> {
    array_of(element.oid)
        .map(|oid| PgType::with_typmod(oid, element.typmod))
        .ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "could not find array type for data type {}",
                    format_type(element)
                ),
            )
        })
}

fn custom(name: &ObjectName, arguments: &[String]) -> Result<PgType> {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| match part.as_ident() {
            Some(ident) if ident.quote_style.is_none() => ident.value.to_ascii_lowercase(),
            Some(ident) => ident.value.clone(),
            None => part.to_string(),
        })
        .collect();
    let quoted = name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|i| i.quote_style.is_some());
    match parts.as_slice() {
        [name] if quoted => by_internal_name(name).ok_or_else(|| no_such_type(name)),
        [name] => named(name, arguments),
        [schema, name] if schema == "pg_catalog" => {
            // `pg_catalog.char` is the one-byte type, not `char(n)`.
            let ty =
                by_internal_name(name).ok_or_else(|| no_such_type(&format!("{schema}.{name}")))?;
            modified(ty, &numbers(arguments)?)
        }
        _ => Err(no_such_type(&parts.join("."))),
    }
}

fn named(name: &str, arguments: &[String]) -> Result<PgType> {
    let ty = from_name(name).ok_or_else(|| {
        let name = name.to_ascii_lowercase();
        const ELSEWHERE: [&str; 21] = [
            "bit",
            "varbit",
            "bit varying",
            "box",
            "cidr",
            "circle",
            "hstore",
            "inet",
            "line",
            "lseg",
            "macaddr",
            "macaddr8",
            "money",
            "path",
            "point",
            "polygon",
            "timetz",
            "tsquery",
            "tsvector",
            "xml",
            "jsonpath",
        ];
        if ELSEWHERE.contains(&name.as_str()) {
            Error::unsupported(format!("type {name}"), "Store the value as text or jsonb.")
        } else {
            no_such_type(&name)
        }
    })?;
    modified(ty, &numbers(arguments)?)
}

fn numbers(arguments: &[String]) -> Result<Vec<i64>> {
    arguments
        .iter()
        .map(|argument| {
            argument.trim().parse().map_err(|_| {
                Error::new(
                    SqlState::SYNTAX_ERROR,
                    "type modifiers must be simple constants or identifiers",
                )
            })
        })
        .collect()
}

fn number_info(info: &ExactNumberInfo) -> Result<Vec<i64>> {
    Ok(match info {
        ExactNumberInfo::None => Vec::new(),
        ExactNumberInfo::Precision(precision) => vec![whole(*precision)],
        ExactNumberInfo::PrecisionAndScale(precision, scale) => vec![whole(*precision), *scale],
    })
}

/// A modifier as a signed number; one that is too large stays too large.
fn whole(modifier: u64) -> i64 {
    i64::try_from(modifier).unwrap_or(i64::MAX)
}

fn char_length(length: &Option<CharacterLength>) -> Result<Vec<i64>> {
    Ok(match length {
        None => Vec::new(),
        Some(CharacterLength::IntegerLength { length, unit: None }) => vec![whole(*length)],
        Some(_) => {
            return Err(Error::unsupported(
                "a length with a unit",
                "Write the length as a plain number of characters.",
            ));
        }
    })
}
