//! Objects as rows of the catalog table.

use super::{Catalog, Object};
use crate::error::Result;
use crate::txn::Transaction;

/// Writes what a fresh database starts with (schemas `pg_catalog`, `public`,
/// `information_schema`; the bootstrap role) unless it is there.
pub fn bootstrap(txn: &mut Transaction, owner: &str) -> Result<()> {
    let _ = (txn, owner);
    todo!()
}

impl Catalog {
    /// Adds or replaces an object, here and in the transaction.
    pub fn put(&mut self, txn: &mut Transaction, object: Object) -> Result<()> {
        let _ = (txn, object);
        todo!()
    }

    /// Removes an object, here and in the transaction.
    pub fn remove(&mut self, txn: &mut Transaction, oid: u32) -> Result<()> {
        let _ = (txn, oid);
        todo!()
    }
}
