//! Writes the Parquet object: row group by row group, each of them built as Arrow columns first.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::columns_read::PIECE_ROWS;
use super::layout::{Layout, ZONE, key_column_name, narrow, schema, stored_datum, stored_type};
use super::meta::{Group, GroupColumn, Piece};
use super::stats::ColumnStats;
use crate::error::{Error, Result};
use crate::types::columns::ColumnBuilder;
use crate::types::kinds::Kind;
use crate::types::row::RowRef;
use crate::types::{Datum, PgType, oid};

/// Values that are encoded at once; pages end between them.
const WRITE_ROWS: usize = 1024;
/// Level of zstd for column pages.
const LEVEL: i32 = 1;
/// Values of a column that are looked at to choose how it is encoded.
const SAMPLE: usize = 8192;
/// With more distinct values in the sample than one in so many, a dictionary costs more than it saves.
const REPEATED: usize = 4;
/// False positives of a bloom filter.
const BLOOM_ERROR: f64 = 0.02;

/// Rows on their way into row groups.
pub(super) struct ColumnsWriter {
    columns: Vec<StoredColumn>,
    keys: Option<BinaryBuilder>,
    key_name: String,
    /// Positions of the columns that the keys are made of.
    key: Vec<usize>,
    layout: Arc<Layout>,
    rows: usize,
    /// Made for the first row group: its values choose how columns are encoded.
    writer: Option<ArrowWriter<Vec<u8>>>,
    groups: Vec<(u32, Vec<ColumnStats>)>,
}

struct StoredColumn {
    position: usize,
    ty: PgType,
    stored: PgType,
    missing: Datum<'static>,
    builder: ColumnBuilder,
}

/// A finished Parquet object.
pub(super) struct Columns {
    pub object: Bytes,
    pub footer: Piece,
    pub groups: Vec<Group>,
}

fn failed(error: ParquetError) -> Error {
    Error::internal(format!("writing Parquet: {error}"))
}

impl ColumnsWriter {
    /// `key`: the positions of the columns that the keys are made of; without it, keys get a column.
    pub fn new(layout: Arc<Layout>, key: Option<&[usize]>) -> Self {
        let columns = layout.stored().map(|(position, column)| {
            let stored = stored_type(column.ty);
            StoredColumn {
                position,
                ty: column.ty,
                stored,
                missing: stored_datum(column.missing.clone()),
                builder: ColumnBuilder::new(stored, ZONE, 0),
            }
        });
        ColumnsWriter {
            columns: columns.collect(),
            keys: key.is_none().then(BinaryBuilder::new),
            key_name: key_column_name(&layout),
            key: key.unwrap_or_default().to_vec(),
            layout,
            rows: 0,
            writer: None,
            groups: Vec::new(),
        }
    }

    /// Rows of the row group that is being collected.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the object so far.
    pub fn size(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::bytes_written)
    }

    /// `row` is `None` for a table whose rows have no bytes.
    ///
    /// # Errors
    /// XX001 when the row is not of the layout.
    pub fn push(&mut self, key: &[u8], row: Option<&RowRef<'_>>) -> Result<()> {
        for column in &mut self.columns {
            match row {
                Some(row) if column.position < row.columns() => {
                    row.append_to(column.position, column.stored, &mut column.builder)?;
                }
                _ => column.builder.append(&column.missing)?,
            }
        }
        if let Some(keys) = &mut self.keys {
            keys.append_value(key);
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends a row group.
    ///
    /// # Errors
    /// XX000 when a column that is never NULL has a NULL.
    pub fn end_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut arrays = Vec::with_capacity(self.columns.len() + 1);
        let mut stats = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let array = column.builder.finish();
            stats.push(match column.stored == column.ty {
                true => ColumnStats::of(&array, column.ty)?,
                // It has no order.
                false => ColumnStats {
                    nulls: array.null_count() as u32,
                    ..ColumnStats::default()
                },
            });
            arrays.push(narrow(array)?);
        }
        if let Some(keys) = &mut self.keys {
            arrays.push(Arc::new(keys.finish()) as ArrayRef);
        }
        let key_name = self.keys.is_some().then_some(self.key_name.as_str());
        let schema = Arc::new(schema(&self.layout, key_name));
        if arrays.is_empty() {
            // A table without columns whose rows have keys has a key column.
            return Err(Error::internal("a segment without columns and keys"));
        }
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| {
            Error::internal(format!("rows that are not of the layout: {error}"))
        })?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let properties = properties(&batch, &self.layout, key_name, &self.key)?;
                let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties));
                none.insert(writer.map_err(failed)?)
            }
        };
        writer.write(&batch).map_err(failed)?;
        writer.flush().map_err(failed)?;
        self.groups.push((self.rows as u32, stats));
        self.rows = 0;
        Ok(())
    }

    /// The object.
    ///
    /// # Errors
    /// XX000 when there are no rows.
    pub fn finish(mut self) -> Result<Columns> {
        self.end_group()?;
        let mut writer = self
            .writer
            .ok_or_else(|| Error::internal("a Parquet object without rows"))?;
        let metadata = writer.finish().map_err(failed)?;
        let object = std::mem::take(writer.inner_mut());
        let footer = footer(&object)?;
        let groups = groups(&self.layout, &metadata, &object, self.groups)?;
        Ok(Columns {
            object: object.into(),
            footer,
            groups,
        })
    }
}

/// The footer with its length and the magic number behind it.
fn footer(object: &[u8]) -> Result<Piece> {
    let size = object.len() as u64;
    let tail = object
        .last_chunk::<8>()
        .and_then(|tail| tail.first_chunk::<4>())
        .ok_or_else(|| Error::internal("a Parquet file without a footer"))?;
    let length = u64::from(u32::from_le_bytes(*tail)) + 8;
    Piece::of(object, size.saturating_sub(length), length)
}

/// What the manifest keeps of the row groups.
fn groups(
    layout: &Layout,
    metadata: &ParquetMetaData,
    object: &[u8],
    written: Vec<(u32, Vec<ColumnStats>)>,
) -> Result<Vec<Group>> {
    let mut first_row = 0_u32;
    let mut groups = Vec::with_capacity(written.len());
    for (found, (rows, stats)) in metadata.row_groups().iter().zip(written) {
        let mut chunks = found.columns().iter();
        let mut columns = vec![None; layout.columns.len()];
        for ((position, _), stats) in layout.stored().zip(stats) {
            let chunk = chunks
                .next()
                .ok_or_else(|| Error::internal("a Parquet file without one of its columns"))?;
            let (offset, length) = chunk.byte_range();
            let bloom = match (chunk.bloom_filter_offset(), chunk.bloom_filter_length()) {
                (Some(offset), Some(length)) => Some(Piece::of(
                    object,
                    offset.unsigned_abs(),
                    length.unsigned_abs().into(),
                )?),
                _ => None,
            };
            if let Some(slot) = columns.get_mut(position) {
                *slot = Some(GroupColumn {
                    piece: Piece::of(object, offset, length)?,
                    bloom,
                    stats,
                });
            }
        }
        let key = match chunks.next() {
            Some(chunk) => {
                let (offset, length) = chunk.byte_range();
                Some(Piece::of(object, offset, length)?)
            }
            None => None,
        };
        groups.push(Group {
            first_row,
            rows,
            columns,
            key,
        });
        first_row += rows;
    }
    Ok(groups)
}

/// The order of the rows as Parquet knows it: key columns, up to the first whose values Parquet
/// orders otherwise.
fn sorting(layout: &Layout, key: &[usize]) -> Vec<SortingColumn> {
    let same_order = |ty: PgType| match Kind::of(ty) {
        // NaN and -0, trailing spaces.
        Kind::Float4 | Kind::Float8 => false,
        Kind::Text => ty.oid != oid::BPCHAR,
        Kind::Interval | Kind::Array => false,
        _ => true,
    };
    key.iter()
        .map_while(|&position| {
            let ty = layout.columns.get(position)?.ty;
            let leaf = layout.leaf(position).filter(|_| same_order(ty))?;
            Some(SortingColumn {
                column_idx: leaf as i32,
                descending: false,
                nulls_first: false,
            })
        })
        .collect()
}

fn properties(
    batch: &RecordBatch,
    layout: &Layout,
    key_name: Option<&str>,
    key: &[usize],
) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(LEVEL).map_err(failed)?;
    let sorting = sorting(layout, key);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("OmenDB ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::Page)
        // A page is a piece of a scan.
        .set_data_page_row_count_limit(PIECE_ROWS)
        .set_write_batch_size(PIECE_ROWS.min(WRITE_ROWS))
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_max_row_group_row_count(None)
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting));
    for ((position, column), array) in layout.stored().zip(batch.columns()) {
        if !many_distinct(array) {
            continue;
        }
        let path = ColumnPath::from(column.name.clone());
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        if is_integer(array.data_type()) {
            properties =
                properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        // Values of the first key column stand together: their bounds say as much.
        if has_bloom(column.ty) && key.first() != Some(&position) {
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_ERROR)
                .set_column_bloom_filter_max_ndv(path, batch.num_rows() as u64);
        }
    }
    if let Some(key) = key_name {
        let path = ColumnPath::from(key.to_owned());
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties.build())
}

/// Types whose columns get a bloom filter when nearly every row has a value of its own: a search for
/// one value then reads one row group of many. With few values, all row groups have all of them.
pub(super) fn has_bloom(ty: PgType) -> bool {
    matches!(
        Kind::of(ty),
        Kind::Text | Kind::Bytea | Kind::Uuid | Kind::Int4 | Kind::Int8
    )
}

/// Whether Parquet holds values as integers.
fn is_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(precision, _) => *precision <= 18,
        other => other.is_integer() || other.is_temporal(),
    }
}

/// Whether values seldom repeat.
fn many_distinct(array: &ArrayRef) -> bool {
    let step = (array.len() / SAMPLE).max(1);
    let sample = (0..array.len())
        .step_by(step)
        .filter(|&at| array.is_valid(at));
    fn hashes<T: Hash>(sample: impl Iterator<Item = T>) -> (usize, usize) {
        let mut seen = HashSet::new();
        let mut taken = 0;
        for value in sample {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            seen.insert(hasher.finish());
            taken += 1;
        }
        (seen.len(), taken)
    }
    macro_rules! primitive {
        ($kind:ty) => {
            hashes(sample.map(|at| array.as_primitive::<$kind>().value(at)))
        };
    }
    let (distinct, taken) = match array.data_type() {
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::UInt32 => primitive!(UInt32Type),
        DataType::Date32 => primitive!(Date32Type),
        DataType::Time64(_) => primitive!(Time64MicrosecondType),
        DataType::Timestamp(..) => primitive!(TimestampMicrosecondType),
        DataType::Decimal128(..) => primitive!(Decimal128Type),
        DataType::Float32 => {
            hashes(sample.map(|at| array.as_primitive::<Float32Type>().value(at).to_bits()))
        }
        DataType::Float64 => {
            hashes(sample.map(|at| array.as_primitive::<Float64Type>().value(at).to_bits()))
        }
        DataType::Utf8View => hashes(sample.map(|at| array.as_string_view().value(at))),
        DataType::BinaryView => hashes(sample.map(|at| array.as_binary_view().value(at))),
        DataType::Binary => hashes(sample.map(|at| array.as_binary::<i32>().value(at))),
        DataType::FixedSizeBinary(_) => {
            hashes(sample.map(|at| array.as_fixed_size_binary().value(at)))
        }
        _ => return false,
    };
    distinct > taken / REPEATED
}
