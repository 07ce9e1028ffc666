//! What is known of the running system and of its storage.

use super::{Source, int, look_up, oid, string};
use crate::error::Result;
use crate::types::Datum;

pub(super) fn filenode(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(
        match oid(args.first()).and_then(|it| source.catalog.table(it)) {
            Some(table) => u32::try_from(table.storage).map_or(Datum::Null, Datum::Oid),
            None => Datum::Null,
        },
    )
}

/// Rows share the pages of one file, so no relation has pages of its own to count.
pub(super) fn size(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let found = match string(args.first()) {
        Some(name) => Some(look_up::relation_by_name(source, name)?),
        None => oid(args.first())
            .and_then(|it| source.catalog.object(it))
            .cloned(),
    };
    Ok(found.map_or(Datum::Null, |_| Datum::Int8(0)))
}

/// Sizes of what is not a relation: not told.
pub(super) fn no_size(_: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Null)
}

/// When the database was opened.
pub(super) fn start_time(source: &Source, _: &[Datum<'_>]) -> Result<Datum<'static>> {
    Ok(Datum::Timestamptz(source.info.access.started()))
}

/// `8192 bytes`, `16 kB`, …, rounded as PostgreSQL rounds.
pub(super) fn size_pretty(_: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    const LIMIT: i64 = 10 * 1024;
    let Some(bytes) = int(args.first()) else {
        return Ok(Datum::Null);
    };
    if bytes.saturating_abs() < LIMIT {
        return Ok(Datum::text(format!("{bytes} bytes")));
    }
    // One bit more than shown is kept, to round by.
    let mut size = bytes >> 9;
    let units = ["kB", "MB", "GB", "TB", "PB"];
    for (at, unit) in units.iter().enumerate() {
        if size.saturating_abs() < 2 * LIMIT - 1 || at == units.len() - 1 {
            let half = if size > 0 {
                size.saturating_add(1) / 2
            } else {
                size.saturating_sub(1) / 2
            };
            return Ok(Datum::text(format!("{half} {unit}")));
        }
        size >>= 10;
    }
    Ok(Datum::Null)
}

/// Bits of the commands that write to a relation: UPDATE 4, INSERT 8, DELETE 16.
pub(super) fn updatable(source: &Source, args: &[Datum<'_>]) -> Result<Datum<'static>> {
    let table = oid(args.first()).and_then(|it| source.catalog.table(it));
    Ok(Datum::Int4(if table.is_some() { 28 } else { 0 }))
}
