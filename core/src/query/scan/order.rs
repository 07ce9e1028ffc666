//! In which order rows come, and where a table can be cut into ranges.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};

use super::prune::bounds;
use super::ranges::{Access, EVERYTHING, KeyRange};
use super::sealed::{SealedScan, Work};
use super::walk::Reading;
use crate::catalog::Table;
use crate::error::Result;
use crate::query::context::ReadContext;
use crate::types::{Datum, PgType, key, oid};

/// Rows come in the order of their key, as far as the scan has its columns.
pub(super) fn ordering(
    table: &Table,
    access: &Access,
    positions: &[Option<usize>],
    schema: &SchemaRef,
) -> EquivalenceProperties {
    let mut properties = EquivalenceProperties::new(schema.clone());
    let columns: &[usize] = match access {
        Access::Full | Access::Ranges(_) | Access::Keys(_) | Access::Nothing => &table.primary_key,
        Access::Index(..) => &[],
    };
    let mut sort: Vec<PhysicalSortExpr> = Vec::new();
    for at in columns {
        let ordered = table
            .columns
            .get(*at)
            .is_some_and(|column| same_order(column.ty));
        let Some(place) = positions
            .iter()
            .position(|known| *known == Some(*at))
            .filter(|_| ordered)
        else {
            break;
        };
        let Some(field) = schema.fields().get(place) else {
            break;
        };
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
        // PostgreSQL's default order; a key has no NULLs, so both places of them are right.
        sort.push(PhysicalSortExpr::new(
            expr,
            SortOptions {
                descending: false,
                nulls_first: false,
            },
        ));
    }
    if !sort.is_empty() {
        properties.add_ordering(sort);
    }
    properties
}

/// Whether Arrow orders values of a type as their keys do.
fn same_order(ty: PgType) -> bool {
    matches!(
        ty.oid,
        oid::BOOL
            | oid::INT2
            | oid::INT4
            | oid::INT8
            | oid::TEXT
            | oid::VARCHAR
            | oid::NAME
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::NUMERIC
            | oid::UUID
            | oid::BYTEA
            | oid::OID
    )
}

/// Ranges of unsealed rows of about equal size, where the first key column (or the row id) is an
/// integer.
pub(super) fn split(table: &Table, read: &ReadContext, count: usize) -> Result<Vec<KeyRange>> {
    let whole = || vec![EVERYTHING];
    let ty = match table.primary_key.first() {
        None => PgType::INT8,
        Some(at) => match table.columns.get(*at).map(|column| column.ty) {
            Some(ty) if matches!(ty.oid, oid::INT2 | oid::INT4 | oid::INT8) => ty,
            _ => return Ok(whole()),
        },
    };
    let mut entries =
        read.view
            .unsealed_range(table.storage, Bound::Unbounded, Bound::Unbounded)?;
    let (Some(first), Some(last)) = (entries.next(), entries.next_back()) else {
        return Ok(whole());
    };
    let number = |bytes: &[u8]| -> Result<Option<i64>> {
        let mut rest = bytes;
        Ok(match key::decode(&mut rest, ty)? {
            Datum::Int2(value) => Some(i64::from(value)),
            Datum::Int4(value) => Some(i64::from(value)),
            Datum::Int8(value) => Some(value),
            _ => None,
        })
    };
    let (Some(low), Some(high)) = (number(first?.0.as_ref())?, number(last?.0.as_ref())?) else {
        return Ok(whole());
    };
    let width = i128::from(high) - i128::from(low);
    if width < count as i128 {
        return Ok(whole());
    }
    let mut ranges = Vec::with_capacity(count);
    let mut from: Bound<Vec<u8>> = Bound::Unbounded;
    for part in 1..count {
        let at = i128::from(low) + width * part as i128 / count as i128;
        let datum = match ty.oid {
            oid::INT2 => Datum::Int2(at as i16),
            oid::INT4 => Datum::Int4(at as i32),
            _ => Datum::Int8(at as i64),
        };
        let mut bytes = Vec::new();
        key::encode(&datum, ty, &mut bytes)?;
        ranges.push((from, Bound::Excluded(bytes.clone())));
        from = Bound::Included(bytes);
    }
    ranges.push((from, Bound::Unbounded));
    Ok(ranges)
}

/// The work of a scan with those row groups first that have what comes first in an order. `None` when
/// nothing is known of it.
pub(super) fn by_bounds(
    reading: &Reading,
    scan: &SealedScan,
    first: &PhysicalSortExpr,
) -> Option<Vec<Work>> {
    let column = first.expr.downcast_ref::<Column>()?.index();
    let descending = first.options.descending;
    let mut work: Vec<(Option<ScalarValue>, Work)> = Vec::with_capacity(scan.work.len());
    for piece in &scan.work {
        let bound = match piece {
            Work::Sealed(morsel) => {
                let (min, max) = bounds(reading, scan, morsel, column)?;
                if descending { max } else { min }
            }
            Work::Unsealed(_) | Work::UnsealedRanges(_) => None,
        };
        work.push((bound, piece.clone()));
    }
    // What is not known may come first.
    work.sort_by(|(one, _), (other, _)| match (one, other) {
        (Some(one), Some(other)) => {
            let order = one.partial_cmp(other).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
        (one, other) => one.is_some().cmp(&other.is_some()),
    });
    Some(work.into_iter().map(|(_, piece)| piece).collect())
}
