//! The page index of the Parquet object: smallest and largest values, and NULLs, of the pages of columns.
//! From them follow those of the pieces that scans read, so that a scan can leave out pieces that nothing
//! in memory tells of.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt64Array};
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::codec::checksum;
use super::columns_read::{Footer, PIECE_ROWS, Window, damaged, undecodable};
use super::layout::{restore, schema};
use super::meta::SegmentMeta;
use super::objects::Objects;
use crate::error::Result;

/// The page index, decoded and checked.
pub(super) struct PageIndex {
    metadata: ParquetMetaData,
}

/// What is known of a column in one piece of a row group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PieceStats {
    /// No value sorts below it.
    pub min: Option<ScalarValue>,
    /// No value sorts above it.
    pub max: Option<ScalarValue>,
    pub nulls: Option<u64>,
}

/// One page of a column.
struct Page {
    rows: Range<usize>,
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    nulls: Option<u64>,
}

impl PageIndex {
    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        self.metadata.memory_size() as u64
    }

    /// `None` for a segment whose page index nobody can check.
    ///
    /// # Errors
    /// XX001 naming the object when it is damaged, 58030 when it cannot be read.
    pub fn read(
        objects: &Objects,
        meta: &SegmentMeta,
        footer: &Footer,
    ) -> Result<Option<PageIndex>> {
        let Some(known) = meta.rest else {
            return Ok(None);
        };
        let path = meta.parquet_path();
        let (mut all, mut last) = (Vec::new(), None);
        for range in meta.unnamed() {
            let bytes = objects.read(&path, range.clone())?;
            all.extend_from_slice(&bytes);
            last = Some((range.start, bytes));
        }
        if checksum(&all) != known {
            return Err(damaged(&path, "wrong checksum of its page index"));
        }
        let Some((offset, bytes)) = last else {
            return Ok(None);
        };
        let window = Window {
            offset,
            bytes,
            file: meta.parquet_bytes,
        };
        let metadata = footer.metadata().clone();
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = reader
            .read_page_indexes(&window)
            .and_then(|()| reader.finish())
            .map_err(|error| undecodable(&path, &error))?;
        Ok(Some(PageIndex { metadata }))
    }

    /// What is known of the pieces of a column in a row group; `None` for nothing. A group's own
    /// statistics say whether the values have an order, and that none of them is NaN.
    pub fn pieces(
        &self,
        meta: &SegmentMeta,
        group: usize,
        position: usize,
    ) -> Result<Option<Vec<PieceStats>>> {
        let Some(pages) = self.pages(meta, group, position)? else {
            return Ok(None);
        };
        let rows = meta.groups.get(group).map_or(0, |group| group.rows) as usize;
        let starts = (0..rows).step_by(PIECE_ROWS);
        let pieces = starts.map(|start| {
            let end = rows.min(start + PIECE_ROWS);
            let first = pages.partition_point(|page| page.rows.end <= start);
            let within = pages.iter().skip(first);
            of_pages(start..end, within.take_while(|page| page.rows.start < end))
        });
        Ok(Some(pieces.collect()))
    }

    fn pages(
        &self,
        meta: &SegmentMeta,
        group: usize,
        position: usize,
    ) -> Result<Option<Vec<Page>>> {
        let Some(found) = meta.groups.get(group) else {
            return Ok(None);
        };
        let ordered = found
            .stats(position)
            .is_some_and(|stats| stats.min.is_some());
        let (Some(leaf), Some(column)) = (
            meta.layout.leaf(position),
            meta.layout.columns.get(position).filter(|_| ordered),
        ) else {
            return Ok(None);
        };
        let (Some(columns), Some(offsets)) =
            (self.metadata.column_index(), self.metadata.offset_index())
        else {
            return Ok(None);
        };
        let schema = schema(&meta.layout, None);
        let Some(field) = schema.fields().get(leaf) else {
            return Ok(None);
        };
        let locations = offsets.get(group).and_then(|group| group.get(leaf));
        let Some(locations) = locations.map(|column| column.page_locations()) else {
            return Ok(None);
        };
        let file = self.metadata.file_metadata().schema_descr();
        let groups = [group];
        type Bounds = (ArrayRef, ArrayRef, UInt64Array);
        let read = || -> parquet::errors::Result<Bounds> {
            let converter = StatisticsConverter::from_column_index(leaf, field, file)?
                .with_missing_null_counts_as_zero(false);
            Ok((
                converter.data_page_mins(columns, offsets, &groups)?,
                converter.data_page_maxes(columns, offsets, &groups)?,
                converter.data_page_null_counts(columns, offsets, &groups)?,
            ))
        };
        let path = meta.parquet_path();
        let (mins, maxes, nulls) = read().map_err(|error| undecodable(&path, &error))?;
        let (mins, maxes) = (restore(mins, column.ty)?, restore(maxes, column.ty)?);
        let count = locations.len();
        if [mins.len(), maxes.len(), nulls.len()] != [count; 3] {
            return Ok(None);
        }
        let starts: Vec<usize> = locations
            .iter()
            .map(|page| usize::try_from(page.first_row_index).unwrap_or(usize::MAX))
            .chain([found.rows as usize])
            .collect();
        if starts.first() != Some(&0) || !starts.is_sorted() {
            return Ok(None);
        }
        let pages = starts.windows(2).enumerate().map(|(at, ends)| Page {
            rows: ends.first().copied().unwrap_or(0)..ends.last().copied().unwrap_or(0),
            min: value(&mins, at).map(|min| zero(min, true)),
            max: value(&maxes, at).map(|max| zero(max, false)),
            nulls: nulls.is_valid(at).then(|| nulls.value(at)),
        });
        Ok(Some(pages.collect()))
    }
}

fn value(values: &ArrayRef, at: usize) -> Option<ScalarValue> {
    match values.is_valid(at) {
        true => ScalarValue::try_from_array(values, at).ok(),
        false => None,
    }
}

/// A bound of zero is -0 below and 0 above, whichever of them is there: one stands for both.
fn zero(bound: ScalarValue, negative: bool) -> ScalarValue {
    let sign = if negative { -1.0_f32 } else { 1.0 };
    match bound {
        ScalarValue::Float32(Some(0.0)) => ScalarValue::Float32(Some(0.0_f32.copysign(sign))),
        ScalarValue::Float64(Some(0.0)) => {
            ScalarValue::Float64(Some(0.0_f64.copysign(f64::from(sign))))
        }
        other => other,
    }
}

/// What the pages that some rows lie in tell of them.
fn of_pages<'p>(rows: Range<usize>, pages: impl Iterator<Item = &'p Page>) -> PieceStats {
    let (mut min, mut max) = (Some(None), Some(None));
    let (mut all_null, mut none_null, mut counted) = (true, true, Some(0));
    for page in pages {
        let within = rows.start <= page.rows.start && page.rows.end <= rows.end;
        counted = counted
            .zip(page.nulls.filter(|_| within))
            .map(|(sum, nulls)| sum + nulls);
        let null = page.nulls == Some(page.rows.len() as u64);
        all_null &= null;
        none_null &= page.nulls == Some(0);
        if null {
            continue;
        }
        min = lesser(min, &page.min, Ordering::Less);
        max = lesser(max, &page.max, Ordering::Greater);
    }
    PieceStats {
        min: min.flatten(),
        max: max.flatten(),
        nulls: match (all_null, none_null) {
            (true, _) => Some(rows.len() as u64),
            (_, true) => Some(0),
            _ => counted,
        },
    }
}

/// The one of two bounds that comes first in an order; `None` once one of them is not known.
fn lesser(
    known: Option<Option<ScalarValue>>,
    other: &Option<ScalarValue>,
    first: Ordering,
) -> Option<Option<ScalarValue>> {
    let (known, other) = (known?, other.as_ref()?);
    let Some(known) = known else {
        return Some(Some(other.clone()));
    };
    match other.partial_cmp(&known)? {
        order if order == first => Some(Some(other.clone())),
        _ => Some(Some(known)),
    }
}
