//! What the statements of a transaction read: snapshots, and own writes laid over them.

use std::sync::Arc;

use super::{Isolation, Transaction, View};
use crate::error::{Error, Result};
use crate::storage::{CATALOG_TABLE, Snapshot};

impl Transaction {
    /// Starts a statement: READ COMMITTED takes a new snapshot.
    pub fn start_statement(&mut self) -> Result<()> {
        self.held = None;
        self.found = 0;
        if self.options.isolation == Isolation::ReadCommitted {
            self.snapshot = None;
        }
        self.statement_snapshot().map(|_| ())
    }

    /// Ends a statement: READ COMMITTED gives its snapshot back, so that a transaction that is idle
    /// does not pin freed pages. Optional.
    pub fn end_statement(&mut self) {
        self.held = None;
        let found = std::mem::take(&mut self.found);
        if found > self.writes.bytes() {
            self.give_back();
        }
        if self.options.isolation == Isolation::ReadCommitted {
            self.snapshot = None;
        }
    }

    pub(super) fn statement_snapshot(&mut self) -> Result<&Arc<Snapshot>> {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.new_snapshot()?);
            self.had_snapshot = true;
        }
        self.snapshot
            .as_ref()
            .ok_or_else(|| Error::internal("no snapshot"))
    }

    fn new_snapshot(&mut self) -> Result<Arc<Snapshot>> {
        let shared = &self.manager.shared;
        // A transaction that only reads is as if it had run wholly at its snapshot.
        if self.options.isolation == Isolation::Serializable && !self.options.read_only {
            let (snapshot, claim) = shared.recent.claim(&shared.store)?;
            self.claim = Some(claim);
            self.reads = Some(Arc::default());
            return Ok(snapshot);
        }
        shared.store.snapshot()
    }

    /// The statement's snapshot ∪ own writes until now. Later writes do not show in it.
    pub fn view(&mut self) -> Result<View> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let snapshot = self.statement_snapshot()?.clone();
        let (tables, stamp) = self.writes.share();
        Ok(View::new(snapshot, tables, stamp, self.reads.clone()))
    }

    /// Number of the commit that changed the catalog last, as the statement's snapshot sees it;
    /// `None` when the transaction changed it itself. As [`View::version`], without making a view.
    pub fn catalog_version(&mut self) -> Result<Option<u64>> {
        if self.writes.touches(CATALOG_TABLE) {
            return Ok(None);
        }
        Ok(Some(
            self.statement_snapshot()?.last_modified(CATALOG_TABLE),
        ))
    }

    /// Whether a commit since the statement's snapshot changed the catalog.
    pub fn catalog_changed(&mut self) -> Result<bool> {
        let newest = self.manager.store().snapshot()?;
        let seen = self.statement_snapshot()?;
        Ok(newest.last_modified(CATALOG_TABLE) > seen.last_modified(CATALOG_TABLE))
    }

    /// From now on [`Self::view`] gives the present one, until it is released or the statement ends:
    /// the parts of one statement do not see each other's writes.
    pub fn hold_view(&mut self) -> Result<()> {
        self.held = Some(self.view()?);
        Ok(())
    }

    pub fn holds_view(&self) -> bool {
        self.held.is_some()
    }

    pub fn release_view(&mut self) {
        self.held = None;
    }

    /// The newest committed state ∪ own writes until now: for uniqueness and foreign keys.
    ///
    /// SERIALIZABLE does not validate what is read here. Lock what the answer depends on.
    pub fn latest(&mut self) -> Result<View> {
        let snapshot = self.manager.store().snapshot()?;
        let (tables, stamp) = self.writes.share();
        Ok(View::new(snapshot, tables, stamp, None))
    }
}
