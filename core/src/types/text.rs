//! Text format: PostgreSQL's input and output syntax of every type.

use super::{Datum, PgType};
use crate::error::Result;

/// What input and output of text depends on: the session's `TimeZone`, `bytea_output`, ….
#[derive(Clone, Debug)]
pub struct TextStyle {
    /// Time zone of timestamptz input without an offset, and of all timestamptz output.
    pub time_zone: Zone,
    pub bytea_escape: bool,
    pub extra_float_digits: i32,
    /// Microseconds since 1970 UTC that 'now', 'today', … stand for.
    pub now: i64,
}

/// A time zone: a name of the IANA database, or a fixed offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zone {
    Named(chrono_tz::Tz),
    Fixed(chrono::FixedOffset),
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle {
            time_zone: Zone::Named(chrono_tz::UTC),
            bytea_escape: false,
            extra_float_digits: 1,
            now: 0,
        }
    }
}

/// Reads `text` as a value of type `ty`, its modifier applied.
///
/// # Errors
/// 22P02, 22007, 22008, 22003, 22001 as PostgreSQL's input functions raise them, with its messages.
pub fn parse(ty: PgType, text: &str, style: &TextStyle) -> Result<Datum<'static>> {
    let _ = (ty, text, style);
    todo!()
}

/// Appends the text form of `datum` (not NULL) of type `ty` to `out`.
pub fn write(datum: &Datum<'_>, ty: PgType, style: &TextStyle, out: &mut Vec<u8>) {
    let _ = (datum, ty, style, out);
    todo!()
}

/// [`write`] into a string of its own.
pub fn to_string(datum: &Datum<'_>, ty: PgType, style: &TextStyle) -> String {
    let mut out = Vec::new();
    write(datum, ty, style, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
