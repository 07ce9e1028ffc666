//! Who has a value in a unique index.

use std::ops::Bound;

use crate::catalog::{Index, Table, keys};
use crate::error::Result;
use crate::txn::View;
use crate::types::key;

/// Key of the row of `table` whose entry in a unique index starts with `prefix` (the encoded values).
pub(super) fn holder(
    view: &View,
    table: &Table,
    index: &Index,
    prefix: &[u8],
) -> Result<Option<Vec<u8>>> {
    let Some(storage) = index.storage else {
        return Ok(view.get(table.storage, prefix)?.map(|_| prefix.to_vec()));
    };
    let end = key::prefix_end(prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    match view.range(storage, Bound::Included(prefix), to)?.next() {
        None => Ok(None),
        Some(entry) => {
            let (entry, _) = entry?;
            let row_key = keys::row_key_of(index, table, entry.as_ref())?;
            Ok(Some(row_key.to_vec()))
        }
    }
}
