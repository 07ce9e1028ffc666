//! The part of a session that functions inside running queries may touch.

mod access;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{self, Catalog, Object, Privileges, QualifiedName, SearchPath, Sequence};
use crate::error::{Error, Notice, Result, SqlState};
use crate::query::PreparedInfo;
use crate::sql::Engine;
use crate::sql::settings::Settings;
use crate::txn::{Interrupt, SessionLocks};

/// Settings, sequence values and advisory locks of one session.
pub(super) struct Shared {
    engine: Arc<Engine>,
    /// The role that logged in.
    user: String,
    settings: Mutex<SettingsState>,
    sequences: Mutex<SequenceValues>,
    /// The catalog of the running statement.
    catalog: Mutex<Arc<Catalog>>,
    usable: Mutex<Option<Usable>>,
    /// Named prepared statements, by name.
    prepared: Mutex<BTreeMap<String, PreparedInfo>>,
    /// Advisory locks.
    pub locks: SessionLocks,
    /// What stops the session's waits.
    interrupt: Interrupt,
    /// Warnings of functions, until they are sent.
    notices: Mutex<Vec<Notice>>,
}

/// Warnings that functions of one statement may leave; more are dropped.
const MAX_NOTICES: usize = 10_000;

/// SET lasts, SET LOCAL ends with the transaction, and both are undone by a rollback.
#[derive(Clone)]
pub(super) struct SettingsState {
    pub current: Arc<Settings>,
    /// What holds once the transaction has committed.
    pub lasting: Arc<Settings>,
}

/// The search path without the schemas that the current role may not use, and what it was made of.
struct Usable {
    catalog: Arc<Catalog>,
    settings: Arc<Settings>,
    path: SearchPath,
}

#[derive(Default)]
struct SequenceValues {
    current: HashMap<u32, i64>,
    last: Option<u32>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub fn new(
        engine: Arc<Engine>,
        settings: Settings,
        locks: SessionLocks,
        interrupt: Interrupt,
        user: String,
    ) -> Self {
        let settings = Arc::new(settings);
        Shared {
            engine,
            user,
            usable: Mutex::default(),
            settings: Mutex::new(SettingsState {
                current: settings.clone(),
                lasting: settings,
            }),
            sequences: Mutex::default(),
            prepared: Mutex::default(),
            catalog: Mutex::default(),
            locks,
            interrupt,
            notices: Mutex::default(),
        }
    }

    /// The settings now in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.lock().current.clone()
    }

    pub fn settings_state(&self) -> SettingsState {
        self.settings.lock().clone()
    }

    pub fn restore_settings(&self, before: SettingsState) {
        let mut state = self.settings.lock();
        let undone = std::mem::replace(&mut *state, before);
        if undone.current.has_more_names(&state.lasting) {
            state.lasting = Arc::new(state.lasting.with_names_of(&undone.current));
            state.current = Arc::new(state.current.with_names_of(&undone.current));
        }
    }

    /// The transaction ended: what was set LOCAL is over.
    pub fn end_local_settings(&self) {
        let mut state = self.settings.lock();
        if !Arc::ptr_eq(&state.current, &state.lasting) {
            if state.current.has_more_names(&state.lasting) {
                state.lasting = Arc::new(state.lasting.with_names_of(&state.current));
            }
            state.current = state.lasting.clone();
        }
    }

    /// Sets a setting (`None` is DEFAULT), for the transaction or for good.
    pub fn set(&self, name: &str, values: Option<&[String]>, local: bool) -> Result<()> {
        self.change_settings(local, |settings| settings.set(name, values))
    }

    fn change_settings(
        &self,
        local: bool,
        change: impl Fn(&mut Settings) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.settings.lock();
        let mut current = (*state.current).clone();
        change(&mut current)?;
        if !local {
            let mut lasting = (*state.lasting).clone();
            change(&mut lasting)?;
            state.lasting = Arc::new(lasting);
        }
        state.current = Arc::new(current);
        Ok(())
    }

    pub fn reset_all(&self) -> Result<()> {
        let mut state = self.settings.lock();
        let mut settings = (*state.lasting).clone();
        settings.reset_all()?;
        state.lasting = Arc::new(settings);
        state.current = state.lasting.clone();
        Ok(())
    }

    /// The OID of the relation of that name (`schema.name` or `name`, plain identifiers).
    pub fn relation(&self, text: &str) -> Option<u32> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema.to_lowercase()), name.to_lowercase()),
            None => (None, text.to_lowercase()),
        };
        let path = self.search_path();
        let system = catalog::system_relation(schema.as_deref().unwrap_or("pg_catalog"), &name);
        let name = QualifiedName { schema, name };
        let found = self.catalog.lock().resolve(&name, &path).map(Object::oid);
        found.or(system)
    }

    /// The schemas of the search path that the current role may use.
    pub fn search_path(&self) -> SearchPath {
        let (catalog, settings) = (self.catalog.lock().clone(), self.settings());
        let mut usable = self.usable.lock();
        if let Some(known) = usable.as_ref()
            && Arc::ptr_eq(&known.catalog, &catalog)
            && Arc::ptr_eq(&known.settings, &settings)
        {
            return known.path.clone();
        }
        let rights = catalog.rights(&settings.typed.user);
        let mut path = settings.typed.search_path.clone();
        if !rights.superuser {
            let may_use = |name: &&String| {
                catalog.schema(name).is_none_or(|schema| {
                    let usage = Privileges::USAGE;
                    catalog.check_schema(&rights, schema.oid, usage).is_ok()
                })
            };
            path = SearchPath(path.0.iter().filter(may_use).cloned().collect());
        }
        *usable = Some(Usable {
            catalog,
            settings,
            path: path.clone(),
        });
        path
    }

    /// SET ROLE and SET SESSION AUTHORIZATION; `None` is the role that logged in.
    pub fn set_role(&self, name: &str, value: Option<&str>, local: bool) -> Result<()> {
        let catalog = self.catalog.lock().clone();
        let session = name.eq_ignore_ascii_case("session_authorization");
        let none = if session { self.user.as_str() } else { "none" };
        let wanted = value.unwrap_or(none);
        if wanted != none {
            let role = catalog.role(wanted).ok_or_else(|| {
                Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("role \"{wanted}\" does not exist"),
                )
            })?;
            let from = match session {
                true => catalog.rights(&self.user),
                false => catalog.rights(&self.settings().typed.session_user),
            };
            let allowed = match session {
                true => from.superuser,
                false => catalog.is_member(from.role, role.oid),
            };
            if !allowed {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    match session {
                        true => "permission denied to set session authorization".to_owned(),
                        false => format!("permission denied to set role \"{wanted}\""),
                    },
                ));
            }
        }
        if session {
            self.set("role", None, local)?;
        }
        self.set(name, Some(&[wanted.to_owned()]), local)
    }

    /// 42501 unless the current role has one of these privileges on a sequence.
    fn check_sequence(&self, sequence: &Arc<Sequence>, wanted: Privileges) -> Result<()> {
        let catalog = self.catalog.lock().clone();
        let rights = catalog.rights(&self.settings().typed.user);
        let object = Object::Sequence(sequence.clone());
        if rights.superuser || !catalog.privileges(&rights, &object, wanted).is_empty() {
            return Ok(());
        }
        Err(catalog::denied("sequence", &sequence.name))
    }

    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        *self.catalog.lock() = catalog;
    }

    /// A statement was prepared under a name.
    pub fn list_prepared(&self, name: &str, statement: &str, from_sql: bool) {
        let info = PreparedInfo {
            name: name.to_owned(),
            statement: statement.to_owned(),
            prepared_at: self.engine.env.clock.now(),
            from_sql,
        };
        self.prepared.lock().insert(name.to_owned(), info);
    }

    /// A prepared statement is gone; `None` means all are.
    pub fn unlist_prepared(&self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.prepared.lock().remove(name)),
            None => self.prepared.lock().clear(),
        }
    }

    pub fn forget_sequences(&self) {
        *self.sequences.lock() = SequenceValues::default();
    }

    /// The warnings of functions since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.notices.lock())
    }

    fn sequence(&self, oid: u32) -> Result<Arc<Sequence>> {
        match self.catalog.lock().object(oid) {
            Some(Object::Sequence(sequence)) => Ok(sequence.clone()),
            _ => Err(Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("sequence with OID {oid} does not exist"),
            )),
        }
    }
}

/// What a cancel request raises.
pub fn canceled() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}
