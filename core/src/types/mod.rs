//! PostgreSQL types: what a value is ([`Datum`]), what it is called ([`PgType`]), how it looks as
//! text and as bytes on the wire, how it is cast, and how it is stored: as a key, in a row, in an
//! Arrow array.

pub mod binary;
pub mod cast;
pub mod columns;
mod datum;
pub mod io_functions;
pub mod key;
pub mod kinds;
pub mod names;
mod numeric;
pub mod ops;
mod pg_type;
pub mod row;
#[cfg(test)]
mod tests;
pub mod text;
pub mod zone;
mod zone_abbreviations;

pub use datum::{Array, Datum, Interval};
pub use numeric::Numeric;
pub use pg_type::{PgType, oid};
