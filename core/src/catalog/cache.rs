//! The catalog of a view, read once for each version of it.

use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::Catalog;
use crate::error::Result;
use crate::storage::CATALOG_TABLE;
use crate::txn::View;

/// Versions that are kept: the newest, and those that long transactions still read.
const MAX_VERSIONS: usize = 8;

/// Catalogs of open transactions with own DDL that are kept.
const MAX_OWN: usize = 8;

/// What names a catalog with own writes: a digest of all of its rows.
type Digest = [u8; 32];

/// Keeps the newest catalogs that were read. Shared by all sessions.
///
/// The same version gives the same `Arc`, so whoever kept one (a prepared plan) learns by comparing
/// pointers that nothing changed.
#[derive(Default)]
pub struct Cache {
    /// Newest use last.
    versions: Mutex<Vec<(u64, Arc<Catalog>)>>,
    own: Mutex<Vec<(Digest, Arc<Catalog>)>>,
}

impl Cache {
    /// The catalog at `view`: the cached one when the view's catalog table is of its version, else
    /// read from the view (own uncommitted DDL included).
    pub fn catalog(&self, view: &View) -> Result<Arc<Catalog>> {
        let Some(version) = view.version(CATALOG_TABLE) else {
            return self.own(view);
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

    /// The catalog of a view with own DDL. Its rows are looked at each time, but only parsed when
    /// they are others than before.
    fn own(&self, view: &View) -> Result<Arc<Catalog>> {
        let mut hash = Sha256::new();
        for row in view.range(CATALOG_TABLE, Bound::Unbounded, Bound::Unbounded)? {
            let (key, bytes) = row?;
            for part in [key.as_ref(), bytes.as_ref()] {
                hash.update(part.len().to_le_bytes());
                hash.update(part);
            }
        }
        let digest: Digest = hash.finalize().into();
        let known = |own: &[(Digest, Arc<Catalog>)]| {
            own.iter()
                .find(|(it, _)| *it == digest)
                .map(|(_, catalog)| catalog.clone())
        };
        if let Some(found) = known(&self.own.lock()) {
            return Ok(found);
        }
        let read = Arc::new(Catalog::read(view)?);
        let mut own = self.own.lock();
        if let Some(found) = known(&own) {
            return Ok(found);
        }
        if own.len() >= MAX_OWN {
            own.remove(0);
        }
        own.push((digest, read.clone()));
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
