//! Rows as bytes: a fixed header that gives every column's place, so that one column is read
//! without decoding the others. The README of this folder shows the format byte by byte.

mod value;

use super::columns::ColumnBuilder;
use super::{Datum, PgType, names};
use crate::error::{Error, Result, SqlState};
use value::{append_value, decode_value, encode_value};

/// Version in the low four bits of the first byte.
const VERSION: u8 = 1;
/// Bits 4 and 5 of the first byte: an end offset takes 1 << n bytes.
const WIDTH_SHIFT: u8 = 4;
/// Version byte and column count.
const FIXED_HEADER: usize = 3;
/// Columns of one row, as in PostgreSQL.
pub const MAX_COLUMNS: usize = 1_600;
/// Bytes of one row: what redb takes as a value, with room to spare.
pub const MAX_ROW_BYTES: usize = 0x3fff_ffff;

/// Encodes a row; `values` and `types` are in the order of the table's physical columns.
///
/// # Errors
/// 54000 and 54011 for a row that is too large, XX000 when a value is not of its type.
pub fn encode(values: &[Datum<'_>], types: &[PgType]) -> Result<Vec<u8>> {
    if values.len() != types.len() {
        return Err(Error::internal(format!(
            "a row of {} values for {} columns",
            values.len(),
            types.len()
        )));
    }
    if values.len() > MAX_COLUMNS {
        return Err(Error::new(
            SqlState::TOO_MANY_COLUMNS,
            format!("a row can have at most {MAX_COLUMNS} columns"),
        ));
    }
    let nulls = values.len().div_ceil(8);
    let ends = FIXED_HEADER + nulls;
    // Laid out for short rows, whose ends are one byte each; a longer one is moved apart below.
    let start = ends + values.len();
    let mut row = Vec::with_capacity(start + values.len() * 8);
    row.resize(start, 0);
    let mut long_ends = Vec::new();
    for (at, (value, ty)) in values.iter().zip(types).enumerate() {
        if value.is_null() {
            if let Some(byte) = row.get_mut(FIXED_HEADER + at / 8) {
                *byte |= 1 << (at % 8);
            }
        } else {
            encode_value(value, *ty, &mut row)?;
        }
        let end = row.len() - start;
        if long_ends.is_empty()
            && let Ok(short) = u8::try_from(end)
        {
            if let Some(byte) = row.get_mut(ends + at) {
                *byte = short;
            }
        } else {
            if long_ends.is_empty() {
                let before = row.get(ends..ends + at).unwrap_or(&[]);
                long_ends.extend(before.iter().map(|end| u32::from(*end)));
            }
            // Checked against the limit before it is used.
            long_ends.push(end as u32);
        }
    }
    let length = row.len() - start;
    if length > MAX_ROW_BYTES {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("row is too big: {length} bytes, the limit is {MAX_ROW_BYTES}"),
        ));
    }
    let width_code: u8 = match length {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        _ => 2,
    };
    let header = [VERSION | width_code << WIDTH_SHIFT];
    let count = (values.len() as u16).to_le_bytes();
    for (to, from) in row.iter_mut().zip(header.into_iter().chain(count)) {
        *to = from;
    }
    if width_code > 0 {
        let width = 1_usize << width_code;
        let short = row;
        row = Vec::with_capacity(ends + long_ends.len() * width + length);
        row.extend_from_slice(short.get(..ends).unwrap_or(&[]));
        for end in long_ends {
            row.extend_from_slice(end.to_le_bytes().get(..width).unwrap_or(&[]));
        }
        row.extend_from_slice(short.get(start..).unwrap_or(&[]));
    }
    Ok(row)
}

/// Appends a row of stored values ([`RowRef::stored`]), as [`encode`] writes it.
pub fn put<'v>(
    stored: impl Iterator<Item = Option<&'v [u8]>> + Clone,
    columns: usize,
    out: &mut Vec<u8>,
) {
    let length: usize = stored.clone().flatten().map(<[u8]>::len).sum();
    let width_code: u8 = match length {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        _ => 2,
    };
    out.push(VERSION | width_code << WIDTH_SHIFT);
    out.extend_from_slice(&(columns as u16).to_le_bytes());
    let nulls = out.len();
    out.resize(nulls + columns.div_ceil(8), 0);
    let mut end = 0_u32;
    for (at, value) in stored.clone().enumerate() {
        match value {
            Some(value) => end += value.len() as u32,
            None => {
                if let Some(byte) = out.get_mut(nulls + at / 8) {
                    *byte |= 1 << (at % 8);
                }
            }
        }
        let width = 1_usize << width_code;
        out.extend_from_slice(end.to_le_bytes().get(..width).unwrap_or(&[]));
    }
    for value in stored.flatten() {
        out.extend_from_slice(value);
    }
}

fn wrong_type(value: &Datum<'_>, ty: PgType) -> Error {
    Error::internal(format!(
        "{value:?} is not of type {}",
        names::format_type(ty)
    ))
}

fn corrupted(what: &str) -> Error {
    Error::corrupted(format!("row: {what}"))
}

/// A row read in place.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    nulls: &'a [u8],
    ends: &'a [u8],
    body: &'a [u8],
    columns: usize,
    width: usize,
}

impl<'a> RowRef<'a> {
    /// # Errors
    /// XX001 when the header does not describe these bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let Some(([first, low, high], rest)) = bytes.split_first_chunk::<FIXED_HEADER>() else {
            return Err(corrupted("shorter than its header"));
        };
        let width_code = first >> WIDTH_SHIFT;
        if first & 0x0f != VERSION || width_code > 2 {
            return Err(corrupted(&format!("unknown format {first:#04x}")));
        }
        let columns = usize::from(u16::from_le_bytes([*low, *high]));
        let width = 1_usize << width_code;
        let (nulls, rest) = rest
            .split_at_checked(columns.div_ceil(8))
            .ok_or_else(|| corrupted("no null bitmap"))?;
        let (ends, body) = rest
            .split_at_checked(columns * width)
            .ok_or_else(|| corrupted("no offsets"))?;
        let row = RowRef {
            nulls,
            ends,
            body,
            columns,
            width,
        };
        let last = match columns.checked_sub(1) {
            Some(last) => row.end(last)?,
            None => 0,
        };
        if last != body.len() {
            return Err(corrupted("its length is not the last offset"));
        }
        Ok(row)
    }

    /// Number of columns this row was written with. A column added to the table later is not in
    /// it: its value is the column's default at the time it was added.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn end(&self, at: usize) -> Result<usize> {
        let start = at * self.width;
        let bytes = self
            .ends
            .get(start..start + self.width)
            .ok_or_else(|| corrupted("no such column"))?;
        Ok(match bytes {
            [a] => usize::from(*a),
            [a, b] => usize::from(u16::from_le_bytes([*a, *b])),
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
            _ => return Err(corrupted("offset width")),
        })
    }

    /// The stored bytes of column `at`, `None` for NULL.
    ///
    /// # Errors
    /// XX001 when there is no such column.
    pub fn stored(&self, at: usize) -> Result<Option<&'a [u8]>> {
        let byte = self
            .nulls
            .get(at / 8)
            .ok_or_else(|| corrupted("no such column"))?;
        if byte & 1 << (at % 8) != 0 {
            return Ok(None);
        }
        let start = match at.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => 0,
        };
        let end = self.end(at)?;
        match self.body.get(start..end) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(corrupted("offsets out of order")),
        }
    }

    /// Whether column `at` is NULL (`at < columns()`).
    pub fn is_null(&self, at: usize) -> Result<bool> {
        Ok(self.stored(at)?.is_none())
    }

    /// The value of column `at` (`at < columns()`).
    ///
    /// # Errors
    /// XX001 when the bytes are not a value of this type, or there is no such column.
    pub fn get(&self, at: usize, ty: PgType) -> Result<Datum<'a>> {
        match self.stored(at)? {
            Some(bytes) => decode_value(bytes, ty),
            None => Ok(Datum::Null),
        }
    }

    /// Appends column `at` to a builder of the same type, without a datum between.
    ///
    /// # Errors
    /// As [`RowRef::get`].
    pub fn append_to(&self, at: usize, ty: PgType, builder: &mut ColumnBuilder) -> Result<()> {
        match self.stored(at)? {
            Some(bytes) => append_value(bytes, ty, builder),
            None => {
                builder.append_null();
                Ok(())
            }
        }
    }
}
