//! Order-preserving keys: the bytes of two keys compare as the values do.
//!
//! NULLs sort last. Text compares by its bytes (the C collation). `numeric` keeps value equality:
//! `1.0` and `1.00` are one key, so a key alone does not give back the display scale.

use super::{Datum, PgType};
use crate::error::Result;

/// Appends one value of a key.
pub fn encode(datum: &Datum<'_>, ty: PgType, out: &mut Vec<u8>) -> Result<()> {
    let _ = (datum, ty, out);
    todo!()
}

/// Reads one value off the front of `bytes`.
pub fn decode(bytes: &mut &[u8], ty: PgType) -> Result<Datum<'static>> {
    let _ = (bytes, ty);
    todo!()
}

/// The smallest key that sorts after every key that starts with `prefix`; `None` if there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}
