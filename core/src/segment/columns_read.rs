//! Reads columns of the Parquet object, one row group at a time. Every piece is checked against the
//! manifest's checksum before the decoder sees it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::codec::checksum;
use super::layout::{restore, stored_type};
use super::meta::{Piece, SegmentMeta};
use super::objects::Objects;
use crate::error::{Error, Result};
use crate::types::columns::compact;
use crate::types::kinds::Kind;
use crate::types::{Datum, PgType};

/// Rows of a piece of a column: those of a batch of a scan.
pub const PIECE_ROWS: usize = if cfg!(test) { 64 } else { 8192 };
/// Bytes of the footer's length and the magic number behind it.
const TAIL: usize = 8;

/// The parsed footer of a Parquet object.
pub(super) struct Footer {
    metadata: ArrowReaderMetadata,
}

impl Footer {
    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        self.metadata.metadata().memory_size() as u64
    }

    pub fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }
}

/// Says which object is damaged.
pub(super) fn damaged(path: &str, what: &str) -> Error {
    Error::corrupted(format!("object {path} is damaged: {what}"))
}

pub(super) fn undecodable(path: &str, error: &dyn std::fmt::Display) -> Error {
    damaged(path, &error.to_string())
}

/// A checked piece of the Parquet object.
pub(super) fn piece(objects: &Objects, path: &str, piece: &Piece, what: &str) -> Result<Bytes> {
    let end = piece.offset.saturating_add(piece.length);
    let bytes = objects.read(path, piece.offset..end)?;
    if checksum(&bytes) != piece.checksum {
        return Err(damaged(path, &format!("wrong checksum of {what}")));
    }
    Ok(bytes)
}

/// Reads the footer.
pub(super) fn footer(objects: &Objects, meta: &SegmentMeta) -> Result<Footer> {
    let path = meta.parquet_path();
    let bytes = piece(objects, &path, &meta.footer, "its footer")?;
    let body = bytes
        .len()
        .checked_sub(TAIL)
        .and_then(|end| bytes.get(..end));
    let body = body.ok_or_else(|| damaged(&path, "no footer"))?;
    let metadata =
        ParquetMetaDataReader::decode_metadata(body).map_err(|error| undecodable(&path, &error))?;
    if metadata.num_row_groups() != meta.groups.len() {
        return Err(damaged(&path, "another number of row groups"));
    }
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
        .map_err(|error| undecodable(&path, &error))?;
    Ok(Footer { metadata })
}

/// One piece of a file, at its place.
pub(super) struct Window {
    pub offset: u64,
    pub bytes: Bytes,
    pub file: u64,
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.file
    }
}

impl Window {
    fn at(&self, start: u64) -> Result<Bytes, ParquetError> {
        start
            .checked_sub(self.offset)
            .and_then(|start| usize::try_from(start).ok())
            .filter(|&start| start <= self.bytes.len())
            .map(|start| self.bytes.slice(start..))
            .ok_or_else(|| ParquetError::EOF("outside of the column".to_owned()))
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.at(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.at(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF("outside of the column".to_owned()));
        }
        Ok(bytes.slice(..length))
    }
}

/// Which column of a row group.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Position(usize),
    Key,
}

/// A decoded column of a row group, in pieces of [`PIECE_ROWS`] rows, the last of them shorter. Each has
/// memory of its own, so that who keeps one keeps no other.
pub type Pieces = Arc<[ArrayRef]>;

/// Reads and decodes a column of a row group, as Parquet holds it ([`stored_type`]).
///
/// # Errors
/// XX001 naming the object when it is damaged, 58030 when it cannot be read.
pub(super) fn stored_column(
    objects: &Objects,
    meta: &SegmentMeta,
    footer: &Footer,
    group: usize,
    wanted: Wanted,
) -> Result<ArrayRef> {
    let rows = meta.groups.get(group).map_or(0, |group| group.rows) as usize;
    let pieces = stored_pieces(objects, meta, footer, (group, wanted), rows, None)?;
    whole(&pieces)
}

/// The pieces of a column as one array.
pub(super) fn whole(pieces: &[ArrayRef]) -> Result<ArrayRef> {
    if let [piece] = pieces {
        return Ok(Arc::clone(piece));
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    Ok(concat(&pieces)?)
}

/// All rows, or `some`, which are ascending and apart.
fn stored_pieces(
    objects: &Objects,
    meta: &SegmentMeta,
    footer: &Footer,
    (group, wanted): (usize, Wanted),
    piece_rows: usize,
    some: Option<&[Range<usize>]>,
) -> Result<Vec<ArrayRef>> {
    let path = meta.parquet_path();
    let absent = || Error::internal(format!("no such column in row group {group} of {path}"));
    let found = meta.groups.get(group).ok_or_else(absent)?;
    let (leaf, place, name) = match wanted {
        Wanted::Position(position) => {
            let column = found.columns.get(position).and_then(Option::as_ref);
            let leaf = meta.layout.leaf(position).ok_or_else(absent)?;
            let name = meta.layout.columns.get(position).map(|column| &column.name);
            (leaf, column.ok_or_else(absent)?.piece, name)
        }
        Wanted::Key => (
            meta.layout.stored().count(),
            found.key.ok_or_else(absent)?,
            None,
        ),
    };
    let what = format!(
        "column \"{}\" in row group {group}",
        name.map_or("__key", String::as_str)
    );
    let window = Window {
        bytes: piece(objects, &path, &place, &what)?,
        offset: place.offset,
        file: meta.parquet_bytes,
    };
    let fail = |error: &dyn std::fmt::Display| damaged(&path, &format!("{what}: {error}"));
    let all = found.rows as usize;
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(window, footer.metadata.clone());
    if let Some(some) = some {
        let ranges = some.iter().cloned();
        builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(ranges, all));
    }
    let rows = some.map_or(all, |some| some.iter().map(Range::len).sum());
    let mask = ProjectionMask::roots(builder.parquet_schema(), [leaf]);
    let batches = builder
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(piece_rows)
        .build()
        .map_err(|error| fail(&error))?;
    let mut parts = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| fail(&error))?;
        let array = batch.columns().first().cloned().ok_or_else(absent)?;
        // Not the pages of short strings, which views hold themselves.
        parts.push(compact(array));
    }
    if parts.iter().map(|part| part.len()).sum::<usize>() != rows {
        return Err(fail(&"another number of rows"));
    }
    Ok(parts)
}

/// Pieces of a column of a row group, in the Arrow type of its type: all, or those of some numbers, which
/// are ascending.
///
/// # Errors
/// As [`stored_column`].
pub(super) fn pieces(
    objects: &Objects,
    meta: &SegmentMeta,
    footer: &Footer,
    (group, position): (usize, usize),
    ty: PgType,
    numbers: Option<&[usize]>,
) -> Result<Vec<ArrayRef>> {
    let wanted = (group, Wanted::Position(position));
    let rows = meta.groups.get(group).map_or(0, |group| group.rows) as usize;
    let range = |number: &usize| {
        let start = rows.min(number.saturating_mul(PIECE_ROWS));
        start..rows.min(start.saturating_add(PIECE_ROWS))
    };
    let some = numbers.map(|numbers| numbers.iter().map(range).collect::<Vec<_>>());
    let pieces = stored_pieces(objects, meta, footer, wanted, PIECE_ROWS, some.as_deref())?;
    in_pieces(pieces, ty)?.collect()
}

/// What was read, in pieces of equal size, the last of them perhaps shorter.
fn in_pieces(
    mut pieces: Vec<ArrayRef>,
    ty: PgType,
) -> Result<impl Iterator<Item = Result<ArrayRef>>> {
    let full = |piece: &ArrayRef| piece.len() == PIECE_ROWS;
    if pieces.iter().rev().skip(1).any(|piece| !full(piece)) {
        let all = whole(&pieces)?;
        let starts = (0..all.len()).step_by(PIECE_ROWS);
        pieces = starts
            .map(|start| all.slice(start, PIECE_ROWS.min(all.len() - start)))
            .collect();
    }
    Ok(pieces.into_iter().map(move |piece| restore(piece, ty)))
}

/// A bloom filter.
///
/// # Errors
/// As [`stored_column`].
pub(super) fn bloom(objects: &Objects, meta: &SegmentMeta, place: &Piece) -> Result<Sbbf> {
    let path = meta.parquet_path();
    let bytes = piece(objects, &path, place, "a bloom filter")?;
    Sbbf::from_bytes(&bytes).map_err(|error| undecodable(&path, &error))
}

/// Whether a bloom filter of a column of type `ty` may have one of some values.
pub(super) fn may_contain(filter: &Sbbf, values: &[Datum<'_>], ty: PgType) -> bool {
    let kind = Kind::of(stored_type(ty));
    values.iter().any(|value| match (kind, value) {
        (Kind::Int4, Datum::Int4(value)) => filter.check(value),
        (Kind::Int8, Datum::Int8(value)) => filter.check(value),
        (Kind::Text, Datum::Text(value)) => filter.check(value.as_ref()),
        (Kind::Bytea, Datum::Bytea(value)) => filter.check(value.as_ref()),
        (Kind::Uuid, Datum::Uuid(value)) => filter.check(value.as_slice()),
        _ => true,
    })
}
