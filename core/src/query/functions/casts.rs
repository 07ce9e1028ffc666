//! Casts value by value, and between names and OIDs.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::super::bind::{ZONE, arrow_type};
use super::super::context::RunContext;
use super::row::{Call, RowFunction};
use crate::catalog::{Object, QualifiedName};
use crate::error::{Error, Result, SqlState};
use crate::types::cast::{self, Context};
use crate::types::columns::{self, ColumnBuilder};
use crate::types::names::{element_of, format_type, from_name, no_such_type};
use crate::types::{Datum, PgType, io_functions, oid};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Days, counted from 1970, that surely lie in the range of timestamps.
const SAFE_DAYS: RangeInclusive<i32> = -1_000_000..=100_000_000;

/// A cast with PostgreSQL's rounding and checks.
pub(in crate::query) fn cast_function(
    from: PgType,
    to: PgType,
    context: Context,
) -> Arc<ScalarUDF> {
    let zoned =
        |ty: PgType| ty.oid == oid::TIMESTAMPTZ || element_of(ty.oid) == Some(oid::TIMESTAMPTZ);
    let stable = zoned(from) || zoned(to);
    let volatility = if stable {
        Volatility::Stable
    } else {
        Volatility::Immutable
    };
    Arc::new(ScalarUDF::new_from_impl(CastFunction {
        from,
        to,
        context,
        signature: Signature::any(1, volatility),
    }))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CastFunction {
    from: PgType,
    to: PgType,
    context: Context,
    signature: Signature,
}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.from.hash(state);
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        "cast"
    }

    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let shown: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(format!("{}::{}", shown.join(","), format_type(self.to)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(arrow_type(self.to))
    }

    fn is_strict(&self) -> bool {
        true
    }

    /// A date compared with a timestamp is compared with a date: `d + 0:00 < t` as `d < date of t`.
    fn preimage(
        &self,
        args: &[Expr],
        value: &Expr,
        _info: &SimplifyContext,
    ) -> DfResult<PreimageResult> {
        let ([date], Expr::Literal(ScalarValue::TimestampMicrosecond(Some(value), None), _)) =
            (args, value)
        else {
            return Ok(PreimageResult::None);
        };
        let infinite = [i64::MIN, i64::MAX].contains(value);
        if infinite || (self.from.oid, self.to.oid) != (oid::DATE, oid::TIMESTAMP) {
            return Ok(PreimageResult::None);
        }
        // The first date that does not begin before the timestamp, and the first that begins after it.
        let day = value.div_euclid(DAY);
        let (lower, upper) = match value.rem_euclid(DAY) {
            0 => (day, day + 1),
            _ => (day + 1, day + 1),
        };
        let (Some(lower), Some(upper)) = (finite_day(lower), finite_day(upper)) else {
            return Ok(PreimageResult::None);
        };
        let date_of = |day| ScalarValue::Date32(Some(day));
        Ok(PreimageResult::Range {
            expr: date.clone(),
            interval: Box::new(Interval::try_new(date_of(lower), date_of(upper))?),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let context = RunContext::of(&args.config_options)?;
        let style = &context.info.style;
        let [arg] = args.args.as_slice() else {
            return Err(Error::internal("a cast takes one value").into());
        };
        let (array, constant) = match arg {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        if (self.from.oid, self.to.oid) == (oid::DATE, oid::TIMESTAMP)
            && !constant
            && let Some(result) = midnights(&array)
        {
            return Ok(ColumnarValue::Array(result));
        }
        let mut builder = ColumnBuilder::new(self.to, ZONE, array.len());
        for row in 0..array.len() {
            let value = columns::get(array.as_ref(), row, self.from)?;
            if value.is_null() {
                builder.append_null();
                continue;
            }
            let value = cast::cast(value, self.from, self.to, self.context, style)?;
            builder.append(&value)?;
        }
        let result = builder.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The first moments of dates; `None` when one of them is no timestamp's.
fn midnights(array: &ArrayRef) -> Option<ArrayRef> {
    let dates = array.as_primitive_opt::<Date32Type>()?;
    if !dates.values().iter().all(|day| SAFE_DAYS.contains(day)) {
        return None;
    }
    let moments =
        dates.unary::<_, TimestampMicrosecondType>(|day| i64::from(day).wrapping_mul(DAY));
    Some(Arc::new(moments))
}

/// A day that is neither infinity.
fn finite_day(day: i64) -> Option<i32> {
    let day = i32::try_from(day).ok()?;
    (day > i32::MIN && day < i32::MAX).then_some(day)
}

/// Names to OIDs (`'t'::regclass`) and back (`oid::regclass::text`).
pub(in crate::query) fn names_function(from: PgType, to: PgType) -> Arc<ScalarUDF> {
    let to_oid = matches!(
        to.oid,
        oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE | oid::REGPROC
    );
    let name = if to_oid { "to_oid" } else { "to_name" };
    let run = if to_oid { to_oid_of } else { to_name_of };
    RowFunction::new(name, vec![from], to, Volatility::Stable, true, run).into_udf()
}

fn to_oid_of(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let Some(Datum::Text(name)) = args.first() else {
        return Ok(Datum::Null);
    };
    oid_of_name(call, name, call.result).map(Datum::Oid)
}

/// The OID that a name (or a number) means as a value of a reg* type.
pub(super) fn oid_of_name(call: &Call<'_>, name: &str, ty: PgType) -> Result<u32> {
    let trimmed = name.trim();
    if trimmed == "-" {
        return Ok(0);
    }
    if let Ok(oid) = trimmed.parse::<u32>() {
        return Ok(oid);
    }
    match ty.oid {
        oid::REGTYPE => match (type_of_name(trimmed), qualified(trimmed).schema) {
            (Some(ty), _) => Ok(ty.oid),
            (None, Some(schema)) => {
                schema_oid(call, &schema).and_then(|_| Err(no_such_type(trimmed)))
            }
            (None, None) => Err(no_such_type(trimmed)),
        },
        oid::REGNAMESPACE => schema_oid(call, &one_name(trimmed)),
        oid::REGROLE => {
            let name = one_name(trimmed);
            call.catalog
                .role(&name)
                .map(|role| role.oid)
                .ok_or_else(|| {
                    Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("role \"{name}\" does not exist"),
                    )
                })
        }
        oid::REGPROC => {
            let name = qualified(trimmed);
            let mut known = io_functions::all().filter(|_| is_system(&name));
            let found = known.find(|function| function.name == name.name);
            found.map(|function| function.oid).ok_or_else(|| {
                Error::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("function \"{trimmed}\" does not exist"),
                )
            })
        }
        _ => {
            let name = qualified(trimmed);
            match call.catalog.resolve(&name, &call.info.search_path) {
                Some(object) => Ok(object.oid()),
                None => system_oid(&name).ok_or_else(|| crate::catalog::undefined_relation(&name)),
            }
        }
    }
}

fn schema_oid(call: &Call<'_>, name: &str) -> Result<u32> {
    let schema = call.catalog.schema(name).map(|schema| schema.oid);
    schema.ok_or_else(|| {
        Error::new(
            SqlState::INVALID_SCHEMA_NAME,
            format!("schema \"{name}\" does not exist"),
        )
    })
}

/// A type by its name, which may be quoted and have its schema.
fn type_of_name(text: &str) -> Option<PgType> {
    from_name(text).or_else(|| {
        let name = qualified(text);
        match name.name.as_str() {
            _ if !is_system(&name) => None,
            "char" => Some(PgType::CHAR),
            plain => from_name(plain),
        }
    })
}

fn is_system(name: &QualifiedName) -> bool {
    let schema = name.schema.as_deref();
    schema.is_none_or(|schema| schema == "pg_catalog")
}

/// OID of a system table.
fn system_oid(name: &QualifiedName) -> Option<u32> {
    let schema = name.schema.as_deref().unwrap_or("pg_catalog");
    crate::catalog::system_relation(schema, &name.name)
}

fn system_name(oid: u32) -> Option<&'static str> {
    crate::catalog::system_relation_name(oid)
}

fn one_name(text: &str) -> String {
    qualified(text).name
}

/// A name with quotes and dots as SQL reads it.
pub(super) fn qualified(text: &str) -> QualifiedName {
    let mut parts: Vec<String> = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(part) = parts.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                part.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    let name = parts.pop().unwrap_or_default();
    QualifiedName {
        schema: parts.pop(),
        name,
    }
}

fn to_name_of(call: &Call<'_>, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let (Some(Datum::Oid(value)), Some(ty)) = (args.first(), call.types.first()) else {
        return Ok(Datum::Null);
    };
    Ok(Datum::text(name_of_oid(call, *value, *ty)))
}

/// The text form of a reg* value.
pub(super) fn name_of_oid(call: &Call<'_>, value: u32, ty: PgType) -> String {
    if value == 0 {
        return "-".to_owned();
    }
    let found = match ty.oid {
        oid::REGTYPE if value == oid::BPCHAR => Some("character".to_owned()),
        oid::REGTYPE => {
            crate::types::names::is_known(value).then(|| format_type(PgType::new(value)))
        }
        oid::REGNAMESPACE => call.catalog.schema_name(value).map(crate::catalog::quote),
        oid::REGROLE => match call.catalog.object(value) {
            Some(Object::Role(role)) => Some(crate::catalog::quote(&role.name)),
            _ => None,
        },
        oid::REGPROC => io_functions::all()
            .find(|function| function.oid == value)
            .map(|function| function.name),
        oid::REGCLASS => match call.catalog.object(value) {
            Some(object) => Some(call.catalog.display_name(object, &call.info.search_path)),
            None => system_name(value).map(str::to_owned),
        },
        _ => None,
    };
    found.unwrap_or_else(|| value.to_string())
}
