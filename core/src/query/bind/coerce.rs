//! Types: constants, open types that take another's, common types, casts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility};

use super::scope::Typed;
use super::{Binder, Late};
use crate::error::{Error, Result, SqlState};
use crate::query::functions::{cast_function, is_numeric, names_function, recast};
use crate::types::cast::{self, Context};
use crate::types::names::{element_of, format_type, physical};
use crate::types::{Datum, Numeric, PgType, columns, oid, text};

/// Time zone of Arrow's timestamps with zone: values are UTC whatever the session shows, so that a
/// plan stays good when `TimeZone` changes.
pub(in crate::query) const ZONE: &str = "UTC";

/// Digits of a `numeric` expression that Arrow's 128 bit decimals hold.
pub(super) const SHORT_DIGITS: u8 = 38;
/// Digits of 256 bit decimals.
const LONG_DIGITS: u8 = 76;

pub(in crate::query) fn arrow_type(ty: PgType) -> DataType {
    columns::data_type(ty, ZONE)
}

pub(super) fn plain_field(name: &str, ty: PgType) -> FieldRef {
    Arc::new(Field::new(name, arrow_type(ty), true))
}

/// A constant. A numeric one keeps its own precision and scale.
pub(super) fn literal(datum: &Datum<'_>, ty: PgType) -> Result<Typed> {
    let scalar = scalar(datum, ty)?;
    let data = scalar.data_type();
    Ok(Typed {
        expr: Expr::Literal(scalar, None),
        ty,
        data,
    })
}

/// The scalar of a constant or a parameter: `numeric` as short as it is written.
pub(in crate::query) fn scalar(datum: &Datum<'_>, ty: PgType) -> Result<ScalarValue> {
    if let (Datum::Numeric(Numeric::Finite(value)), None) = (datum, ty.precision_scale()) {
        let (digits, scale) = value.as_bigint_and_scale();
        let scale = u8::try_from(scale).unwrap_or(u8::MAX);
        if scale <= SHORT_DIGITS
            && let Ok(unscaled) = i128::try_from(digits.as_ref())
        {
            let length = unscaled.unsigned_abs().checked_ilog10().unwrap_or(0) as u8 + 1;
            let precision = length.max(scale).max(1);
            if precision <= SHORT_DIGITS {
                return Ok(ScalarValue::Decimal128(
                    Some(unscaled),
                    precision,
                    scale as i8,
                ));
            }
        }
    }
    columns::scalar(datum, ty, ZONE)
}

/// The value of a constant expression.
pub(in crate::query) fn constant(typed: &Typed) -> Option<Datum<'static>> {
    let Expr::Literal(value, _) = &typed.expr else {
        return None;
    };
    if value.is_null() {
        return Some(Datum::Null);
    }
    let array = value.to_array().ok()?;
    let datum = columns::get(array.as_ref(), 0, typed.ty).ok()?;
    Some(datum.into_owned())
}

/// `typcategory`.
pub(super) fn category(ty: PgType) -> char {
    physical(ty.oid).map_or('X', |physical| physical.1)
}

pub(super) fn is_preferred(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::BOOL | oid::TEXT | oid::FLOAT8 | oid::OID | oid::TIMESTAMPTZ | oid::INTERVAL
    )
}

/// `oid` and the types that show one by name.
pub(super) fn is_oid(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::OID | oid::REGCLASS | oid::REGTYPE | oid::REGPROC | oid::REGNAMESPACE | oid::REGROLE
    )
}

/// Whether two types are one to Arrow and to comparison: a relabelling, no cast.
fn same_representation(from: PgType, to: PgType) -> bool {
    let texts = |ty: PgType| matches!(ty.oid, oid::TEXT | oid::VARCHAR | oid::NAME);
    (texts(from) && texts(to) && to.typmod < 0 && to.oid != oid::NAME)
        || (is_oid(from) && is_oid(to))
        || (from.oid == to.oid && (to.typmod < 0 || to.typmod == from.typmod))
}

fn integer_rank(ty: PgType) -> Option<u8> {
    match ty.oid {
        oid::INT2 => Some(1),
        oid::INT4 => Some(2),
        oid::INT8 => Some(3),
        _ => None,
    }
}

/// Digits of an integer type, for its `numeric` form.
fn integer_digits(ty: PgType) -> Option<u8> {
    match ty.oid {
        oid::INT2 => Some(5),
        oid::INT4 => Some(10),
        oid::INT8 => Some(19),
        _ => None,
    }
}

/// The layout in which two numerics are compared: a decimal that holds both, else the keys.
pub(super) fn comparable_layout(left: &DataType, right: &DataType) -> DataType {
    let (Some((p1, s1)), Some((p2, s2))) = (decimal(left), decimal(right)) else {
        return DataType::LargeBinary;
    };
    let scale = s1.max(s2);
    let precision = (p1 - s1).max(p2 - s2) + scale;
    decimal_of(precision, scale).unwrap_or(DataType::LargeBinary)
}

/// The layout of a column that shows two numerics: packed, unless both have the same scale.
pub(super) fn shared_layout(left: &DataType, right: &DataType) -> DataType {
    match (decimal(left), decimal(right)) {
        (Some((p1, s1)), Some((p2, s2))) if s1 == s2 => {
            decimal_of(p1.max(p2), s1).unwrap_or(DataType::Binary)
        }
        _ if left == right => left.clone(),
        _ => DataType::Binary,
    }
}

fn decimal_of(precision: i16, scale: i16) -> Option<DataType> {
    if precision <= i16::from(SHORT_DIGITS) {
        Some(DataType::Decimal128(precision.max(1) as u8, scale as i8))
    } else if precision <= i16::from(LONG_DIGITS) {
        Some(DataType::Decimal256(precision as u8, scale as i8))
    } else {
        None
    }
}

/// Precision and scale.
pub(super) fn decimal(data: &DataType) -> Option<(i16, i16)> {
    match data {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision), i16::from(*scale)))
        }
        _ => None,
    }
}

/// A cast by Arrow itself.
pub(super) fn native(typed: Typed, ty: PgType, data: DataType) -> Typed {
    if typed.data == data {
        return Typed { ty, ..typed };
    }
    if is_numeric(&typed.data) && (is_numeric(&data) || data == DataType::Float64) {
        return Typed {
            expr: recast(typed.expr, &typed.data, &data),
            ty,
            data,
        };
    }
    Typed {
        expr: Expr::Cast(Cast::new(Box::new(typed.expr), data.clone())),
        ty,
        data,
    }
}

/// Whether the expression reads no row: constants, parameters, functions of those.
pub(super) fn is_row_free(expr: &Expr) -> bool {
    let mut free = true;
    let _ = expr.apply(|node| {
        match node {
            Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::Unnest(_) => free = false,
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == Volatility::Volatile =>
            {
                free = false;
            }
            _ => {}
        }
        Ok(if free {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    free
}

impl Binder<'_> {
    /// Calls a function. What depends on the session but on no row is left to each execution.
    pub(super) fn call(
        &mut self,
        function: Arc<ScalarUDF>,
        args: Vec<Expr>,
        ty: PgType,
        data: DataType,
    ) -> Typed {
        let stable = function.signature().volatility == Volatility::Stable;
        let expr = Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(
            function, args,
        ));
        if stable && is_row_free(&expr) {
            return self.later(expr, ty, data);
        }
        Typed { expr, ty, data }
    }

    fn later(&mut self, expr: Expr, ty: PgType, data: DataType) -> Typed {
        let known = self.late.iter().find(|late| late.expr == expr);
        let id = match known {
            Some(late) => late.id.clone(),
            None => {
                let id = format!("$late{}", self.late.len() + 1);
                self.late.push(Late {
                    id: id.clone(),
                    expr,
                });
                id
            }
        };
        let field: FieldRef = Arc::new(Field::new(&id, data.clone(), true));
        Typed {
            expr: Expr::Placeholder(Placeholder::new_with_field(id, Some(field))),
            ty,
            data,
        }
    }

    /// An expression whose type stayed open becomes text.
    pub(super) fn settle(&mut self, typed: Typed) -> Result<Typed> {
        if typed.is_unknown() {
            return self.implicit(typed, PgType::TEXT);
        }
        Ok(typed)
    }

    pub(super) fn implicit(&mut self, typed: Typed, to: PgType) -> Result<Typed> {
        self.coerce(typed, to, Context::Implicit)
    }

    /// A boolean condition.
    pub(super) fn condition(&mut self, typed: Typed, what: &str) -> Result<Expr> {
        if typed.is_unknown() || typed.ty.oid == oid::BOOL {
            return Ok(self.implicit(typed, PgType::BOOL)?.expr);
        }
        Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "argument of {what} must be type boolean, not type {}",
                format_type(PgType::new(typed.ty.oid))
            ),
        ))
    }

    /// Casts to `to`.
    pub(super) fn coerce(&mut self, typed: Typed, to: PgType, context: Context) -> Result<Typed> {
        if typed.is_unknown() {
            return self.coerce_unknown(typed, to, context);
        }
        let from = typed.ty;
        if from.oid == oid::RECORD && category(to) == 'S' {
            let text = Typed {
                ty: PgType::TEXT,
                ..typed
            };
            return self.coerce(text, to, context);
        }
        if same_representation(from, to) {
            // An array of numerics and the like keep their own Arrow type.
            return Ok(Typed { ty: to, ..typed });
        }
        if from.oid == oid::BPCHAR && to.oid == oid::BPCHAR && context == Context::Implicit {
            return Ok(Typed { ty: to, ..typed });
        }
        if let Some(named) = self.coerce_name(&typed, to)? {
            return Ok(named);
        }
        if !cast::allowed(from, to, context) {
            return Err(Error::new(
                if context == Context::Explicit {
                    SqlState::CANNOT_COERCE
                } else {
                    SqlState::DATATYPE_MISMATCH
                },
                format!(
                    "cannot cast type {} to {}",
                    format_type(from),
                    format_type(PgType::new(to.oid))
                ),
            ));
        }
        let zoned =
            |ty: PgType| ty.oid == oid::TIMESTAMPTZ || element_of(ty.oid) == Some(oid::TIMESTAMPTZ);
        if let Some(datum) = constant(&typed)
            && !zoned(from)
            && !zoned(to)
            && from.oid != oid::TEXT
        {
            let style = &self.context.info.style;
            let value = cast::cast(datum, from, to, context, style)?;
            return literal(&value, to);
        }
        if let Some(native) = native_cast(&typed, to) {
            return Ok(native);
        }
        let function = cast_function(from, to, context);
        let data = arrow_type(to);
        Ok(self.call(function, vec![typed.expr], to, data))
    }

    /// Names of relations, types and roles become their OIDs, and back.
    fn coerce_name(&mut self, typed: &Typed, to: PgType) -> Result<Option<Typed>> {
        let is_name = |ty: PgType| {
            matches!(
                ty.oid,
                oid::REGCLASS | oid::REGTYPE | oid::REGNAMESPACE | oid::REGROLE | oid::REGPROC
            )
        };
        let is_text = |ty: PgType| matches!(ty.oid, oid::TEXT | oid::VARCHAR | oid::NAME);
        if is_text(typed.ty) && is_name(to) || is_name(typed.ty) && is_text(to) {
            let function = names_function(typed.ty, to);
            let data = arrow_type(to);
            return Ok(Some(self.call(
                function,
                vec![typed.expr.clone()],
                to,
                data,
            )));
        }
        Ok(None)
    }

    fn coerce_unknown(&mut self, typed: Typed, to: PgType, context: Context) -> Result<Typed> {
        if to.oid == oid::UNKNOWN {
            return Ok(typed);
        }
        let textual = Typed {
            ty: PgType::TEXT,
            ..typed
        };
        match &textual.expr {
            Expr::Placeholder(placeholder) if !placeholder.id.starts_with("$late") => {
                let id = placeholder.id.clone();
                let open = self.infer_parameter(&id, to)?;
                self.coerce(open, to, context)
            }
            Expr::Literal(ScalarValue::Utf8View(Some(value)), _) => {
                if let Some(named) = self.coerce_name(&textual, to)? {
                    return Ok(named);
                }
                let style = &self.context.info.style;
                // An explicit cast of a string truncates it; the type's input would refuse it.
                let limited =
                    matches!(to.oid, oid::VARCHAR | oid::BPCHAR) && context == Context::Explicit;
                let value = if limited {
                    cast::cast(Datum::text(value.clone()), PgType::TEXT, to, context, style)?
                } else {
                    text::parse(to, value, style)?
                };
                literal(&value, to)
            }
            Expr::Literal(value, _) if value.is_null() => literal(&Datum::Null, to),
            _ => self.coerce(textual, to, Context::Explicit),
        }
    }

    /// The type that several expressions (of CASE, UNION, VALUES, …) have in common.
    pub(super) fn common_type(&self, items: &[Typed], what: &str) -> Result<PgType> {
        let mut known = items.iter().filter(|item| !item.is_unknown());
        let Some(first) = known.next() else {
            return Ok(PgType::TEXT);
        };
        let mut best = first.ty;
        for item in known {
            let ty = item.ty;
            if ty.oid == best.oid {
                if ty.typmod != best.typmod {
                    best = PgType::new(best.oid);
                }
                continue;
            }
            if category(ty) != category(best) {
                return Err(Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "{what} types {} and {} cannot be matched",
                        format_type(PgType::new(best.oid)),
                        format_type(PgType::new(ty.oid))
                    ),
                ));
            }
            let takes = |from, to| cast::allowed(from, to, Context::Implicit);
            if !is_preferred(best) && takes(best, ty) && !takes(ty, best) {
                best = PgType::new(ty.oid);
            } else {
                best = PgType::new(best.oid);
            }
        }
        Ok(best)
    }

    /// Casts several expressions to their common type.
    pub(super) fn unify(
        &mut self,
        items: Vec<Typed>,
        what: &str,
    ) -> Result<(Vec<Typed>, PgType, DataType)> {
        let ty = self.common_type(&items, what)?;
        self.unify_to(items, ty)
    }

    pub(super) fn unify_to(
        &mut self,
        items: Vec<Typed>,
        ty: PgType,
    ) -> Result<(Vec<Typed>, PgType, DataType)> {
        let mut cast = Vec::with_capacity(items.len());
        for item in items {
            cast.push(self.implicit(item, ty)?);
        }
        // A NULL has no digits of its own.
        let is_null =
            |item: &Typed| matches!(&item.expr, Expr::Literal(value, _) if value.is_null());
        let mut data: Option<DataType> = None;
        for item in cast.iter().filter(|item| !is_null(item)) {
            data = Some(match data {
                Some(data) if ty.oid == oid::NUMERIC => shared_layout(&data, &item.data),
                Some(data) => data,
                None => item.data.clone(),
            });
        }
        let data = data.unwrap_or_else(|| arrow_type(ty));
        let cast = cast
            .into_iter()
            .map(|item| with_data(item, ty, &data))
            .collect();
        Ok((cast, ty, data))
    }
}

/// The same value in another Arrow type of its PostgreSQL type.
pub(super) fn with_data(item: Typed, ty: PgType, data: &DataType) -> Typed {
    let converted = is_numeric(&item.data) && is_numeric(data);
    if !converted
        && let Expr::Literal(value, _) = &item.expr
        && let Ok(value) = value.cast_to(data)
    {
        return Typed {
            expr: Expr::Literal(value, None),
            ty,
            data: data.clone(),
        };
    }
    native(item, ty, data.clone())
}

/// Casts that Arrow does exactly as PostgreSQL.
fn native_cast(typed: &Typed, to: PgType) -> Option<Typed> {
    let from = typed.ty;
    let wider = match (integer_rank(from), integer_rank(to)) {
        (Some(from), Some(to)) => from < to,
        _ => false,
    };
    let to_float =
        matches!(to.oid, oid::FLOAT8) && (integer_rank(from).is_some() || from.oid == oid::FLOAT4);
    let from_short_decimal =
        to.oid == oid::FLOAT8 && matches!(typed.data, DataType::Decimal128(p, _) if p <= 15);
    let from_oid = from.oid == oid::OID && to.oid == oid::INT8;
    if wider || to_float || from_short_decimal || from_oid {
        return Some(native(typed.clone(), to, arrow_type(to)));
    }
    if to.oid == oid::NUMERIC
        && to.typmod < 0
        && let Some(digits) = integer_digits(from)
    {
        return Some(native(typed.clone(), to, DataType::Decimal128(digits, 0)));
    }
    None
}
