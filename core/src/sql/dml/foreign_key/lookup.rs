//! The keys of one table in the other: converted, encoded, and found.

use crate::catalog::{ForeignKey, Object};
use crate::error::{Error, Result};
use crate::sql::Context;
use crate::sql::dml::target::Target;
use crate::sql::unique_index::holder;
use crate::txn::View;
use crate::types::{Datum, cast, key};

/// Values of one table's columns as values of the other's; `None` when one has no such value there
/// (so that nothing can equal it).
pub(super) fn converted(
    context: &Context<'_>,
    values: &[Datum<'static>],
    from: &Target,
    from_columns: &[usize],
    to: &Target,
    to_columns: &[usize],
) -> Option<Vec<Datum<'static>>> {
    let mut out = Vec::with_capacity(values.len());
    for (value, (from_at, to_at)) in values.iter().zip(from_columns.iter().zip(to_columns)) {
        let (from, to) = (*from.types.get(*from_at)?, *to.types.get(*to_at)?);
        out.push(cast::exactly(value, from, to, &context.info.style)?);
    }
    Some(out)
}

/// Key of the row that has `values` in the columns a foreign key references.
pub(super) fn find_parent(
    context: &Context<'_>,
    view: &View,
    parent: &Target,
    foreign: &ForeignKey,
    values: &[Datum<'_>],
) -> Result<Option<Vec<u8>>> {
    let index = match context.catalog.object(foreign.index) {
        Some(Object::Index(index)) => index.clone(),
        _ => return Err(Error::internal("a foreign key's index does not exist")),
    };
    let Some(prefix) = prefix(parent, &index.columns, &foreign.referenced, values)? else {
        return Err(Error::internal("a foreign key's index has other columns"));
    };
    holder(view, &parent.table, &index, &prefix)
}

/// Encodes `values` (of `columns`) in the order of an index whose first columns are those.
pub(super) fn prefix(
    target: &Target,
    order: &[usize],
    columns: &[usize],
    values: &[Datum<'_>],
) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    if order.len() < columns.len() {
        return Ok(None);
    }
    for at in order.iter().take(columns.len()) {
        let Some(n) = columns.iter().position(|column| column == at) else {
            return Ok(None);
        };
        let Some(value) = values.get(n) else {
            return Ok(None);
        };
        key::encode(value, target.column(*at)?.ty, &mut out)?;
    }
    Ok(Some(out))
}
