//! Casts between types, with PostgreSQL's rounding, range checks and errors.

use super::text::TextStyle;
use super::{Datum, PgType};
use crate::error::Result;

/// How far a cast may go: an explicit `CAST` truncates `varchar(n)`, an assignment raises 22001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    Implicit,
    Assignment,
    Explicit,
}

/// Whether PostgreSQL has this cast in this context.
pub fn allowed(from: PgType, to: PgType, context: Context) -> bool {
    let _ = (from, to, context);
    todo!()
}

/// Casts one value; NULL stays NULL. The modifier of `to` is applied.
///
/// # Errors
/// 42846 when there is no such cast, 22003, 22P02, 22001 … when the value does not fit.
pub fn cast(
    datum: Datum<'_>,
    from: PgType,
    to: PgType,
    context: Context,
    style: &TextStyle,
) -> Result<Datum<'static>> {
    let _ = (datum, from, to, context, style);
    todo!()
}
