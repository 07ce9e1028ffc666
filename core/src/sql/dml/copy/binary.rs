//! Binary format: a signature, then records of counted fields, then a trailer.
//!
//! ```text
//! "PGCOPY\n\377\r\n\0"  flags: i32  extension length: i32  extension
//! record: fields: i16   { length: i32 (-1 is NULL)  bytes } …
//! trailer: -1: i16
//! ```

use super::lines::bad;
use crate::error::{Error, Result, SqlState};

pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Flag bits that a reader must understand; none is defined.
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// Bytes that one field may have.
const MAX_FIELD_BYTES: usize = 1 << 30;

/// What stands at a place of the input.
pub(super) enum Found<'a> {
    /// A record's fields, and where the next one starts.
    Record(Vec<Option<&'a [u8]>>, usize),
    /// The trailer, and where it ends.
    End(usize),
    /// Not all of it is there.
    Incomplete,
}

fn int<const N: usize>(input: &[u8], at: usize) -> Option<[u8; N]> {
    input.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Reads the header; gives where the records start, or `None` if it is incomplete.
///
/// # Errors
/// 22P04 for a wrong signature or flags.
pub(super) fn header(input: &[u8]) -> Result<Option<usize>> {
    let known = input.len().min(SIGNATURE.len());
    if input.get(..known) != SIGNATURE.get(..known) {
        return Err(bad("COPY file signature not recognized"));
    }
    let (Some(flags), Some(extension)) = (int::<4>(input, 11), int::<4>(input, 15)) else {
        return Ok(None);
    };
    if u32::from_be_bytes(flags) & CRITICAL_FLAGS != 0 {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    let extension = usize::try_from(i32::from_be_bytes(extension))
        .map_err(|_| bad("invalid COPY file header (missing length)"))?;
    let end = extension.saturating_add(19);
    Ok((input.len() >= end).then_some(end))
}

/// Reads the record at `start`.
///
/// # Errors
/// 22P04 for a record of another shape.
pub(super) fn next(input: &[u8], start: usize, columns: usize) -> Result<Found<'_>> {
    let Some(count) = int::<2>(input, start) else {
        return Ok(Found::Incomplete);
    };
    let count = i16::from_be_bytes(count);
    let mut at = start.saturating_add(2);
    if count == -1 {
        return Ok(Found::End(at));
    }
    if usize::try_from(count) != Ok(columns) {
        return Err(bad(format!(
            "row field count is {count}, expected {columns}"
        )));
    }
    let mut fields = Vec::with_capacity(columns);
    for _ in 0..columns {
        let Some(length) = int::<4>(input, at) else {
            return Ok(Found::Incomplete);
        };
        at = at.saturating_add(4);
        let length = match i32::from_be_bytes(length) {
            -1 => {
                fields.push(None);
                continue;
            }
            length => usize::try_from(length).map_err(|_| bad("invalid field size"))?,
        };
        if length > MAX_FIELD_BYTES {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a COPY field may have at most {MAX_FIELD_BYTES} bytes"),
            ));
        }
        let end = at.saturating_add(length);
        match input.get(at..end) {
            Some(bytes) => fields.push(Some(bytes)),
            None => return Ok(Found::Incomplete),
        }
        at = end;
    }
    Ok(Found::Record(fields, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there() {
        let mut input = SIGNATURE.to_vec();
        assert_eq!(header(&input).unwrap(), None);
        input.extend([0; 8]);
        assert_eq!(header(&input).unwrap(), Some(19));
        assert!(header(b"PGCOPX").is_err());
        let record = [0, 2, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff];
        match next(&record, 0, 2).unwrap() {
            Found::Record(fields, end) => {
                assert_eq!(fields, [Some([7_u8].as_slice()), None]);
                assert_eq!(end, record.len());
            }
            _ => panic!("no record"),
        }
        assert!(matches!(
            next(&record[..7], 0, 2).unwrap(),
            Found::Incomplete
        ));
        assert!(next(&record, 0, 3).is_err());
        assert!(matches!(next(&[0xff, 0xff], 0, 2).unwrap(), Found::End(2)));
    }
}
