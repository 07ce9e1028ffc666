//! The rows of a block column by column, and back, byte for byte.
//!
//! Values of one column stand together, those of one width as byte planes, and what all rows have in
//! common (their headers) is left out: zstd then finds a third to a half more than in rows.

use super::planes;
use crate::error::{Error, Result};
use crate::types::row::{self, RowRef};

/// How the values of a column are kept.
const ALL_NULL: u8 = 0;
const ONE_WIDTH: u8 = 1;
const ANY_LENGTH: u8 = 2;
/// Added when some are NULL: a bitmap comes first.
const SOME_NULL: u8 = 0x80;
/// A length that is given elsewhere, because it is no smaller than this.
const LONG: u8 = 0xff;

fn damaged() -> Error {
    Error::corrupted("block of rows: columns that do not fit")
}

/// Rows, one after another in `rows` and ending at `ends`, as columns. `None` when they are no rows of as
/// many columns each.
pub(super) fn columns_of(rows: &[u8], ends: &[u32]) -> Option<Vec<u8>> {
    let mut parsed = Vec::with_capacity(ends.len());
    let mut start = 0;
    for &end in ends {
        let row = RowRef::new(rows.get(start..end as usize)?).ok()?;
        start = end as usize;
        parsed.push(row);
    }
    let count = parsed.first()?.columns();
    if parsed.iter().any(|row| row.columns() != count) {
        return None;
    }
    let mut out = Vec::with_capacity(rows.len());
    out.extend_from_slice(&u16::try_from(count).ok()?.to_le_bytes());
    let mut values = Vec::new();
    let mut lengths: Vec<usize> = Vec::with_capacity(parsed.len());
    for column in 0..count {
        values.clear();
        lengths.clear();
        let mut nulls = vec![0_u8; parsed.len().div_ceil(8)];
        for (at, row) in parsed.iter().enumerate() {
            match row.stored(column).ok()? {
                Some(value) => {
                    values.extend_from_slice(value);
                    lengths.push(value.len());
                }
                None => *nulls.get_mut(at / 8)? |= 1 << (at % 8),
            }
        }
        if lengths.is_empty() {
            out.push(ALL_NULL);
            continue;
        }
        let width = lengths.first().copied().filter(|width| {
            let one = lengths.iter().all(|length| length == width);
            one && *width > 0 && *width <= u16::MAX.into()
        });
        let kind = match width {
            Some(_) => ONE_WIDTH,
            None => ANY_LENGTH,
        };
        let some_null = lengths.len() < parsed.len();
        out.push(kind | if some_null { SOME_NULL } else { 0 });
        if some_null {
            out.extend_from_slice(&nulls);
        }
        match width {
            Some(width) => {
                out.extend_from_slice(&(width as u16).to_le_bytes());
                planes::split(&values, width, &mut out);
            }
            None => {
                let short = |length: &usize| u8::try_from(*length).unwrap_or(LONG);
                out.extend(lengths.iter().map(short));
                for length in lengths.iter().filter(|length| short(length) == LONG) {
                    out.extend_from_slice(&u32::try_from(*length).ok()?.to_le_bytes());
                }
                out.extend_from_slice(&values);
            }
        }
    }
    Some(out)
}

/// A column on its way back.
struct Column<'a> {
    /// A bit for each row that is NULL; empty when none is.
    nulls: &'a [u8],
    all_null: bool,
    /// Of all values, or of each.
    width: Option<usize>,
    lengths: Vec<u32>,
    values: std::borrow::Cow<'a, [u8]>,
    /// Values and bytes that were taken.
    taken: usize,
    at: usize,
}

impl Column<'_> {
    /// The next value of row `row`; `None` is NULL.
    fn next(&mut self, row: usize) -> Option<Option<&[u8]>> {
        let null = match self.nulls.get(row / 8) {
            Some(byte) => byte & 1 << (row % 8) != 0,
            None => self.all_null,
        };
        if null {
            return Some(None);
        }
        let length = match self.width {
            Some(width) => width,
            None => *self.lengths.get(self.taken)? as usize,
        };
        let start = self.at;
        self.taken += 1;
        self.at += length;
        self.values.get(start..self.at).map(Some)
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn column(&mut self, rows: usize) -> Result<Column<'a>> {
        let [kind] = self.array()?;
        let mut column = Column {
            nulls: &[],
            all_null: kind == ALL_NULL,
            width: None,
            lengths: Vec::new(),
            values: (&[][..]).into(),
            taken: 0,
            at: 0,
        };
        if column.all_null {
            return Ok(column);
        }
        let mut count = rows;
        if kind & SOME_NULL != 0 {
            column.nulls = self.take(rows.div_ceil(8))?;
            let nulls: u32 = column.nulls.iter().map(|byte| byte.count_ones()).sum();
            count = rows.checked_sub(nulls as usize).ok_or_else(damaged)?;
        }
        match kind & !SOME_NULL {
            ONE_WIDTH => {
                let width = usize::from(u16::from_le_bytes(self.array()?));
                let length = count.checked_mul(width).ok_or_else(damaged)?;
                let planes = self.take(length)?;
                let mut values = Vec::new();
                planes::join(planes, width, &mut values);
                column.values = values.into();
                column.width = Some(width);
            }
            ANY_LENGTH => {
                let short = self.take(count)?;
                let mut total = 0_usize;
                for &length in short {
                    let length = match length {
                        LONG => u32::from_le_bytes(self.array()?),
                        length => length.into(),
                    };
                    total = total.checked_add(length as usize).ok_or_else(damaged)?;
                    column.lengths.push(length);
                }
                column.values = self.take(total)?.into();
            }
            _ => return Err(damaged()),
        }
        Ok(column)
    }
}

/// The rows whose columns these are: the end of each, then the rows.
///
/// # Errors
/// XX001 when they are no columns of so many rows.
pub(super) fn rows_of(columns: &[u8], rows: usize) -> Result<Vec<u8>> {
    const END: usize = 4;
    let mut input = Input(columns);
    let count = usize::from(u16::from_le_bytes(input.array()?));
    if count > row::MAX_COLUMNS {
        return Err(damaged());
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(input.column(rows)?);
    }
    if !input.0.is_empty() {
        return Err(damaged());
    }
    let mut out = Vec::with_capacity(columns.len() + rows * (2 * END + 2 * count));
    out.resize(END * rows, 0);
    let mut values: Vec<Option<(usize, usize)>> = Vec::with_capacity(count);
    for at in 0..rows {
        values.clear();
        for column in &mut all {
            let start = column.at;
            let value = column.next(at).ok_or_else(damaged)?;
            values.push(value.map(|value| (start, value.len())));
        }
        let stored = all.iter().zip(&values).map(|(column, place)| {
            place.and_then(|(start, length)| column.values.get(start..start + length))
        });
        row::put(stored, count, &mut out);
        let end = u32::try_from(out.len() - END * rows).map_err(|_| damaged())?;
        if let Some(slot) = out.get_mut(END * at..END * (at + 1)) {
            slot.copy_from_slice(&end.to_le_bytes());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Datum, PgType};

    fn round_trip(rows: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut ends = Vec::new();
        let mut all = Vec::new();
        for row in rows {
            all.extend_from_slice(row);
            ends.push(all.len() as u32);
        }
        let columns = columns_of(&all, &ends)?;
        let mut expected: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        expected.extend_from_slice(&all);
        assert_eq!(rows_of(&columns, rows.len()).unwrap(), expected);
        // Cut anywhere, it is damaged.
        for length in 0..columns.len() {
            assert!(rows_of(&columns[..length], rows.len()).is_err());
        }
        Some(columns)
    }

    #[test]
    fn rows_come_back_byte_for_byte() {
        let types = [PgType::INT4, PgType::TEXT, PgType::INT8, PgType::TEXT];
        let row = |at: usize| {
            let values = [
                Datum::Int4(at as i32),
                match at % 3 {
                    0 => Datum::Null,
                    1 => Datum::text("x".repeat(at * 40)),
                    _ => Datum::text(""),
                },
                match at % 5 {
                    0 => Datum::Null,
                    _ => Datum::Int8(-(at as i64)),
                },
                Datum::Null,
            ];
            row::encode(&values, &types).unwrap()
        };
        for count in [1, 2, 9, 40] {
            let rows: Vec<Vec<u8>> = (0..count).map(row).collect();
            assert!(round_trip(&rows).is_some());
        }
        assert!(round_trip(&vec![row::encode(&[], &[]).unwrap(); 5]).is_some());
        // Rows of different tables' ages, and what are no rows, stay rows.
        let shorter = row::encode(&[Datum::Int4(1)], &[PgType::INT4]).unwrap();
        assert!(round_trip(&[row(1), shorter]).is_none());
        assert!(round_trip(&[Vec::new()]).is_none());
        assert!(round_trip(&[b"what is no row".to_vec()]).is_none());
        let wide = row::encode(&[Datum::text("y".repeat(70_000))], &[PgType::TEXT]).unwrap();
        assert!(round_trip(&[wide]).is_some());
    }
}
