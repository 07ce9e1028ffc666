//! From filters to the cheapest way into a table.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::source::TableSource;
use crate::catalog::Index;
use crate::error::Result;
use crate::query::functions::{KEY, of_key};
use crate::types::{Datum, PgType, columns, key, oid};

/// The most keys or ranges that a condition is turned into; with more the table is read as a whole.
const MAX_RANGES: usize = 4096;

/// A range of keys.
pub(in crate::query) type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// All keys.
pub(super) const EVERYTHING: KeyRange = (Bound::Unbounded, Bound::Unbounded);

pub(super) fn as_slices((from, to): &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (
        from.as_ref().map(Vec::as_slice),
        to.as_ref().map(Vec::as_slice),
    )
}

/// How a scan finds its rows.
#[derive(Clone, Debug)]
pub(in crate::query) enum Access {
    /// All rows.
    Full,
    /// Ranges of row keys, ascending and apart.
    Ranges(Vec<KeyRange>),
    /// Rows with these keys, ascending.
    Keys(Vec<Vec<u8>>),
    /// Ranges of an index's entries.
    Index(Arc<Index>, Vec<KeyRange>),
    /// No row can match.
    Nothing,
}

/// What the filters say about one column.
#[derive(Clone, Debug, Default)]
struct Limits {
    /// Allowed values.
    points: Option<Vec<Datum<'static>>>,
    low: Option<(Datum<'static>, bool)>,
    high: Option<(Datum<'static>, bool)>,
}

/// Whether a filter has a form that [`choose`] can use.
pub(super) fn may_help(source: &TableSource, filter: &Expr) -> bool {
    let indexed = |at: usize| {
        source.table.primary_key.first() == Some(&at)
            || source.table.primary_key.contains(&at)
            || source
                .indexes
                .iter()
                .any(|index| index.columns.contains(&at))
    };
    let column = |expr: &Expr| column_of(source, expr).is_some_and(|(at, _)| indexed(at));
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                column(left) && is_row_free(right) || column(right) && is_row_free(left)
            }
            Operator::And => may_help(source, left) || may_help(source, right),
            Operator::Or => may_help(source, left) && may_help(source, right),
            _ => false,
        },
        Expr::InList(list) => {
            !list.negated && column(&list.expr) && list.list.iter().all(is_row_free)
        }
        Expr::ScalarFunction(call) => {
            // `x = ANY ($1)` becomes a list once the parameter has its value.
            call.func.name() == "any" && call.args.first().is_some_and(column)
        }
        _ => false,
    }
}

fn is_row_free(expr: &Expr) -> bool {
    expr.column_refs().is_empty() && !expr.contains_outer()
}

/// The table's column that an expression is, and its type.
fn column_of(source: &TableSource, expr: &Expr) -> Option<(usize, PgType)> {
    match expr {
        Expr::Column(column) => {
            let at = source.table.column(column.name())?;
            Some((at, source.table.columns.get(at)?.ty))
        }
        // Another layout of the same numbers.
        Expr::ScalarFunction(call) if matches!(call.func.name(), KEY | "numeric_recast") => {
            let found = column_of(source, call.args.first()?)?;
            (found.1.oid == oid::NUMERIC).then_some(found)
        }
        // A float as it is compared.
        Expr::ScalarFunction(call) if call.func.name() == "float_key" => {
            column_of(source, call.args.first()?)
        }
        _ => None,
    }
}

/// The cheapest way: all of a unique key, else the longest prefix of the primary key or an index.
pub(super) fn choose(source: &TableSource, filters: &[Expr]) -> Result<Access> {
    let mut limits: Vec<(usize, Limits)> = Vec::new();
    for filter in filters {
        for condition in split_conjunction(filter) {
            if let Some((at, more)) = limits_of(source, condition) {
                match limits.iter_mut().find(|(known, _)| *known == at) {
                    Some((_, known)) => narrow(known, more),
                    None => limits.push((at, more)),
                }
            }
        }
    }
    if limits.is_empty() {
        return Ok(Access::Full);
    }
    let empty = limits
        .iter()
        .any(|(_, limits)| limits.points.as_ref().is_some_and(Vec::is_empty));
    if empty {
        return Ok(Access::Nothing);
    }
    let key = &source.table.primary_key;
    let own = ranges(source, key, &limits)?;
    let mut best: Option<(usize, Access)> = None;
    if let Some(found) = own {
        if found.exact == key.len() && !key.is_empty() {
            let keys: BTreeSet<Vec<u8>> = found.prefixes.into_iter().collect();
            return Ok(Access::Keys(keys.into_iter().collect()));
        }
        // Rows lie in key order: a prefix of it beats an index with as many columns.
        best = Some((found.score * 2 + 1, Access::Ranges(found.ranges())));
    }
    for index in &source.indexes {
        if index.storage.is_none() {
            continue;
        }
        let Some(found) = ranges(source, &index.columns, &limits)? else {
            continue;
        };
        let unique = index.unique && found.exact == index.columns.len();
        let score = if unique { usize::MAX } else { found.score * 2 };
        if best.as_ref().is_none_or(|(known, _)| score > *known) {
            best = Some((score, Access::Index(index.clone(), found.ranges())));
        }
    }
    Ok(best.map_or(Access::Full, |(_, access)| access))
}

/// Ranges over the leading columns of a key.
struct Found {
    /// Encoded values of the leading columns that are fixed.
    prefixes: Vec<Vec<u8>>,
    /// How many columns they are.
    exact: usize,
    /// Bounds of the column after them.
    low: Option<(Vec<u8>, bool)>,
    high: Option<(Vec<u8>, bool)>,
    score: usize,
}

impl Found {
    fn ranges(&self) -> Vec<KeyRange> {
        let mut prefixes = self.prefixes.clone();
        prefixes.sort();
        prefixes.dedup();
        let (low, high) = (self.low.as_ref(), self.high.as_ref());
        let ranges = prefixes.iter();
        ranges
            .filter_map(|prefix| key::range(prefix, low, high))
            .collect()
    }
}

fn ranges(
    source: &TableSource,
    key_columns: &[usize],
    limits: &[(usize, Limits)],
) -> Result<Option<Found>> {
    let mut found = Found {
        prefixes: vec![Vec::new()],
        exact: 0,
        low: None,
        high: None,
        score: 0,
    };
    for at in key_columns {
        let Some((_, limit)) = limits.iter().find(|(known, _)| known == at) else {
            break;
        };
        let Some(ty) = source.table.columns.get(*at).map(|column| column.ty) else {
            break;
        };
        if let Some(points) = &limit.points {
            if found.prefixes.len().saturating_mul(points.len()) > MAX_RANGES {
                break;
            }
            let mut longer = Vec::with_capacity(found.prefixes.len() * points.len());
            for prefix in &found.prefixes {
                for point in points {
                    let mut bytes = prefix.clone();
                    key::encode(point, ty, &mut bytes)?;
                    longer.push(bytes);
                }
            }
            found.prefixes = longer;
            found.exact += 1;
            found.score += 2;
            continue;
        }
        let encoded = |limit: &Option<(Datum<'static>, bool)>| -> Result<Option<(Vec<u8>, bool)>> {
            let Some((value, inclusive)) = limit else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            key::encode(value, ty, &mut bytes)?;
            Ok(Some((bytes, *inclusive)))
        };
        found.low = encoded(&limit.low)?;
        found.high = encoded(&limit.high)?;
        if found.low.is_some() || found.high.is_some() {
            found.score += 1;
        }
        break;
    }
    Ok((found.score > 0).then_some(found))
}

fn narrow(known: &mut Limits, more: Limits) {
    if let Some(points) = more.points {
        known.points = Some(match known.points.take() {
            Some(before) => before
                .into_iter()
                .filter(|value| points.contains(value))
                .collect(),
            None => points,
        });
    }
    // The tighter bound would be better; any one is right, for the filter is applied again.
    if known.low.is_none() {
        known.low = more.low;
    }
    if known.high.is_none() {
        known.high = more.high;
    }
}

fn limits_of(source: &TableSource, condition: &Expr) -> Option<(usize, Limits)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if *op == Operator::Or {
                return either(source, left, right);
            }
            let (column, literal, op) = match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) => (column, value, *op),
                (Expr::Literal(value, _), column) => (column, value, op.swap()?),
                _ => return None,
            };
            let (at, ty) = column_of(source, column)?;
            let value = datum(literal, ty)?;
            let none = value.is_null();
            let mut limits = Limits::default();
            match op {
                _ if none => limits.points = Some(Vec::new()),
                Operator::Eq => limits.points = Some(vec![value]),
                Operator::Lt => limits.high = Some((value, false)),
                Operator::LtEq => limits.high = Some((value, true)),
                Operator::Gt => limits.low = Some((value, false)),
                Operator::GtEq => limits.low = Some((value, true)),
                _ => return None,
            }
            Some((at, limits))
        }
        Expr::InList(list) if !list.negated => {
            let (at, ty) = column_of(source, &list.expr)?;
            let mut points = Vec::with_capacity(list.list.len());
            for item in &list.list {
                let Expr::Literal(value, _) = item else {
                    return None;
                };
                let value = datum(value, ty)?;
                if !value.is_null() && !points.contains(&value) {
                    points.push(value);
                }
                if points.len() > MAX_RANGES {
                    return None;
                }
            }
            Some((
                at,
                Limits {
                    points: Some(points),
                    ..Limits::default()
                },
            ))
        }
        _ => None,
    }
}

/// `a = 1 OR a = 2`.
fn either(source: &TableSource, left: &Expr, right: &Expr) -> Option<(usize, Limits)> {
    let (at, left) = limits_of(source, left)?;
    let (other, right) = limits_of(source, right)?;
    let (Some(mut points), Some(more)) = (left.points, right.points) else {
        return None;
    };
    if at != other || points.len() + more.len() > MAX_RANGES {
        return None;
    }
    for value in more {
        if !points.contains(&value) {
            points.push(value);
        }
    }
    Some((
        at,
        Limits {
            points: Some(points),
            ..Limits::default()
        },
    ))
}

/// A constant as a value of a column's type.
fn datum(value: &ScalarValue, ty: PgType) -> Option<Datum<'static>> {
    if value.is_null() {
        return Some(Datum::Null);
    }
    if let (oid::NUMERIC, ScalarValue::LargeBinary(Some(key))) = (ty.oid, value) {
        return of_key(key);
    }
    let array = value.to_array().ok()?;
    let datum = columns::get(array.as_ref(), 0, ty).ok()?.into_owned();
    match (&datum, ty.oid) {
        // Padding is not part of a `char(n)`'s key form in a comparison; read it all.
        (Datum::Text(_), oid::BPCHAR) => None,
        (Datum::Float4(value), _) if value.is_nan() => None,
        (Datum::Float8(value), _) if value.is_nan() || *value == 0.0 => None,
        _ => Some(datum),
    }
}
