//! What is known of a scan's columns before it runs.

use std::cmp::Ordering;

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};

use super::prune::bounds;
use super::sealed::{Morsel, SealedScan, Work};
use super::walk::Reading;

/// Whether the segments' own statistics are those of the rows: nothing is added or gone.
fn is_exact(reading: &Reading, scan: &SealedScan) -> bool {
    let whole = scan
        .morsels()
        .map(|morsel| morsel.rows.len())
        .sum::<usize>();
    let rows = scan.parts.iter();
    let rows: usize = rows.map(|part| part.segment.meta().rows as usize).sum();
    let table = reading.table.storage;
    whole == rows
        && scan.work.iter().all(|work| matches!(work, Work::Sealed(_)))
        && scan.parts.iter().all(|part| part.deleted.is_empty())
        && !reading.read.view.has_own(table)
}

/// Statistics of the columns of a scan.
pub(super) fn columns(reading: &Reading, scan: &SealedScan) -> Vec<ColumnStatistics> {
    let exact = is_exact(reading, scan);
    let mut groups: Vec<&Morsel> = scan.morsels().collect();
    groups.sort_by_key(|morsel| (morsel.part, morsel.group));
    groups.dedup_by_key(|morsel| (morsel.part, morsel.group));
    let count = reading.positions.len();
    let columns = (0..count).map(|at| column(reading, scan, &groups, at, exact));
    columns
        .map(|found| found.unwrap_or_else(ColumnStatistics::new_unknown))
        .collect()
}

fn column(
    reading: &Reading,
    scan: &SealedScan,
    groups: &[&Morsel],
    at: usize,
    exact: bool,
) -> Option<ColumnStatistics> {
    let position = (*reading.positions.get(at)?)?;
    let data = reading.layout.schema.fields().get(at)?.data_type();
    let mut nulls = 0_usize;
    // A zero among the bounds of floats may have another sign than the value has.
    let mut exact_bounds = exact && !matches!(data, DataType::Float32 | DataType::Float64);
    let mut known = Some((None, None));
    for morsel in groups {
        let group = scan.group(morsel).ok()?;
        let stats = group.stats(position)?;
        nulls = nulls.saturating_add(stats.nulls as usize);
        if stats.nulls == group.rows {
            continue;
        }
        exact_bounds &= stats.exact;
        known = known.and_then(|(least, most)| {
            let (min, max) = bounds(reading, scan, morsel, at)?;
            Some((
                Some(better(least, min?, Ordering::Less)?),
                Some(better(most, max?, Ordering::Greater)?),
            ))
        });
    }
    let precise = |value: Option<ScalarValue>| match value {
        Some(value) if exact_bounds => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let (least, most) = known.unwrap_or_default();
    let mut statistics = ColumnStatistics::new_unknown();
    statistics.null_count = match exact {
        true => Precision::Exact(nulls),
        false => Precision::Inexact(nulls),
    };
    statistics.min_value = precise(least);
    statistics.max_value = precise(most);
    Some(statistics)
}

/// The one of two values that comes first in an order; `None` when they have none.
fn better(known: Option<ScalarValue>, other: ScalarValue, first: Ordering) -> Option<ScalarValue> {
    let Some(known) = known else {
        return Some(other);
    };
    match other.partial_cmp(&known)? {
        order if order == first => Some(other),
        _ => Some(known),
    }
}
