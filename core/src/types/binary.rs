//! Binary format: PostgreSQL's `*recv` and `*send` functions.

use super::{Datum, PgType};
use crate::error::Result;

/// Reads a binary parameter of type `ty`, its modifier applied.
///
/// # Errors
/// 22P03 when the bytes are not such a value; 0A000 for a type without a binary format here.
pub fn parse(ty: PgType, bytes: &[u8]) -> Result<Datum<'static>> {
    let _ = (ty, bytes);
    todo!()
}

/// Appends the binary form of `datum` (not NULL) of type `ty` to `out`, without a length prefix.
pub fn write(datum: &Datum<'_>, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    let _ = (datum, ty, out);
    todo!()
}
