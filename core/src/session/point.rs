//! Statements that are answered at once: a row by its key, or a few by a range of keys, from a plan that
//! is still true.
//!
//! Such a look-up takes a microsecond a row, less than the surroundings of a statement: a transaction,
//! its facts, futures that could wait. Here it runs with none of them. Whatever is not plainly of this
//! kind gets `None` and takes the usual way, which is always right.

use std::sync::Arc;

use super::portal::{Portal, State, block};
use super::prepared::{Planned, Prepared, Way};
use super::session::ends_transaction;
use super::{Session, Step};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::query::Rows;
use crate::sql::Verb;
use crate::sql::settings::Settings;
use crate::storage::{CATALOG_TABLE, Snapshot};
use crate::txn::{Isolation, View};

/// Rows whose commit is prepared in moments.
const BRIEF_WRITES: usize = 4096;

impl Session {
    /// The kept plan, if it was made for the catalog and the settings of now. Opens no transaction.
    pub(super) fn kept_plan(&mut self, prepared: &Prepared) -> Result<Option<Arc<Planned>>> {
        let Some(kept) = prepared.kept() else {
            return Ok(None);
        };
        let version = match &mut self.open {
            Some(open) => open.txn.catalog_version()?,
            None => Some(self.newest()?.last_modified(CATALOG_TABLE)),
        };
        let current = version
            .and_then(|version| self.known_catalog(version))
            .is_some_and(|catalog| kept.is_current(catalog, &self.shared.settings()));
        Ok(current.then_some(kept))
    }

    fn newest(&self) -> Result<Arc<Snapshot>> {
        self.engine.transactions.store().snapshot()
    }

    /// The catalog of this version, if it is the one that the session looked at last.
    pub(super) fn known_catalog(&self, version: u64) -> Option<&Arc<Catalog>> {
        let (known, catalog) = self.catalog_at.as_ref()?;
        (*known == version).then_some(catalog)
    }

    /// What a portal gives next, if that takes no waiting: its rows, or its end.
    pub(super) fn execute_now(&mut self, name: &str, max_rows: usize) -> Option<Result<Step>> {
        if self.open.as_ref().is_some_and(|open| open.failed) {
            return None;
        }
        let portal = self.portals.get_mut(name)?;
        if let State::Done(tag) = &mut portal.state {
            if tag.is_empty() || ends_transaction(&portal.statement.statement) {
                return None;
            }
            return Some(Ok(Step::Complete(std::mem::take(tag))));
        }
        // The portal leaves the map while it runs; a name is looked for only when it can.
        if !is_near(portal) || max_rows > 0 && matches!(portal.planned.way, Way::Query(..)) {
            return None;
        }
        let mut portal = self.portals.remove(name)?;
        let step = self.read_near(&mut portal).transpose();
        self.portals.insert(name.to_owned(), portal);
        step
    }

    /// The rows of a portal that has not begun and reads them by their keys.
    pub(super) fn read_near(&mut self, portal: &mut Portal) -> Result<Option<Step>> {
        let settings = self.shared.settings();
        let Some((known, info)) = &self.facts else {
            return Ok(None);
        };
        if !Arc::ptr_eq(known, &settings) || portal.planned.allowed().is_err() {
            return Ok(None);
        }
        let info = info.clone();
        let Some(view) = self.point_view(&settings)? else {
            return Ok(None);
        };
        let current = view
            .version(CATALOG_TABLE)
            .and_then(|version| self.known_catalog(version))
            .is_some_and(|catalog| portal.planned.is_current(catalog, &settings));
        if !current {
            return Ok(None);
        }
        let rows = match &portal.planned.way {
            Way::Dml(plan) => match plan.point() {
                Some(select) => {
                    let row = select.read(&view, &portal.parameters, &info)?;
                    Some(row.into_iter().collect())
                }
                None => None,
            },
            Way::Query(_, Some(range)) => range.read(&view, &portal.parameters, &info)?,
            _ => None,
        };
        let (Some(rows), Some(columns)) = (rows, &portal.planned.columns) else {
            return Ok(None);
        };
        let tag = format!("SELECT {}", rows.len());
        if rows.is_empty() {
            portal.state = State::told();
            return Ok(Some(Step::Complete(tag)));
        }
        portal.state = State::Done(tag);
        Ok(Some(Step::Rows(block(
            columns,
            &portal.formats,
            &settings.typed.style,
            Rows::Datums(rows),
        ))))
    }

    /// What a look-up reads: the open transaction's view, or the newest state. `None` where later
    /// statements of an implicit transaction have to read the same state.
    fn point_view(&mut self, settings: &Settings) -> Result<Option<View>> {
        match &mut self.open {
            Some(open) => {
                open.txn.start_statement()?;
                Ok(Some(open.txn.view()?))
            }
            None if settings.typed.isolation.isolation() == Isolation::ReadCommitted => {
                Ok(Some(View::of(self.newest()?)))
            }
            None => Ok(None),
        }
    }
}

impl Session {
    /// Whether a portal's next step is done in moments.
    pub(super) fn is_brief_portal(&self, portal: &Portal) -> bool {
        if matches!(portal.state, State::Done(_)) {
            return true;
        }
        match &portal.planned.way {
            Way::Verb(verb) => self.is_brief_verb(verb),
            Way::Query(_, Some(range)) => {
                matches!(portal.state, State::Ready) && range.expects_few()
            }
            way => is_brief_way(way),
        }
    }

    /// Whether the transaction ends in moments, apart from the sync.
    pub(super) fn ends_briefly(&self) -> bool {
        let writes = self.open.as_ref().map_or(0, |open| open.txn.written());
        writes <= BRIEF_WRITES && !self.holds_cursors()
    }

    fn is_brief_verb(&self, verb: &Verb) -> bool {
        match verb {
            Verb::Commit { .. } | Verb::Rollback { .. } => self.ends_briefly(),
            Verb::Execute { name, .. } => {
                let kept = self.statements.get(name).and_then(|it| it.kept());
                kept.is_some_and(|planned| is_brief_way(&planned.way))
            }
            Verb::Explain { .. }
            | Verb::Declare { .. }
            | Verb::Fetch { .. }
            | Verb::Move { .. } => false,
            _ => true,
        }
    }
}

fn is_brief_way(way: &Way) -> bool {
    match way {
        Way::Dml(plan) => plan.is_brief(),
        Way::Empty => true,
        Way::Verb(_) | Way::Query(..) | Way::Copy | Way::Ddl => false,
    }
}

/// Whether a portal has not begun and can perhaps be read with [`Session::read_near`].
pub(super) fn is_near(portal: &Portal) -> bool {
    matches!(portal.state, State::Ready)
        && match &portal.planned.way {
            Way::Dml(plan) => plan.point().is_some(),
            Way::Query(_, range) => range.is_some(),
            _ => false,
        }
}
