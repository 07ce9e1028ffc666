//! The catalog of a view, read once for each version of it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Catalog;
use crate::error::Result;
use crate::storage::CATALOG_TABLE;
use crate::txn::View;

/// Versions that are kept: the newest, and those that long transactions still read.
const MAX_VERSIONS: usize = 8;

/// Keeps the newest catalogs that were read. Shared by all sessions.
///
/// The same version gives the same `Arc`, so whoever kept one (a prepared plan) learns by comparing
/// pointers that nothing changed.
#[derive(Default)]
pub struct Cache {
    /// Newest use last.
    versions: Mutex<Vec<(u64, Arc<Catalog>)>>,
}

impl Cache {
    /// The catalog at `view`: the cached one when the view's catalog table is of its version, else
    /// read from the view (own uncommitted DDL included).
    pub fn catalog(&self, view: &View) -> Result<Arc<Catalog>> {
        let Some(version) = view.version(CATALOG_TABLE) else {
            return Ok(Arc::new(Catalog::read(view)?));
        };
        if let Some(found) = self.find(version) {
            return Ok(found);
        }
        let read = Arc::new(Catalog::read(view)?);
        let mut versions = self.versions.lock();
        // Another session may have read it meanwhile; all must get one and the same.
        if let Some((_, found)) = versions.iter().find(|(known, _)| *known == version) {
            return Ok(found.clone());
        }
        if versions.len() >= MAX_VERSIONS {
            versions.remove(0);
        }
        versions.push((version, read.clone()));
        Ok(read)
    }

    fn find(&self, version: u64) -> Option<Arc<Catalog>> {
        let mut versions = self.versions.lock();
        let at = versions.iter().position(|(known, _)| *known == version)?;
        let last = versions.len().saturating_sub(1);
        if at != last {
            let entry = versions.remove(at);
            versions.push(entry);
        }
        versions.last().map(|(_, catalog)| catalog.clone())
    }
}
