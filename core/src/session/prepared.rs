//! Prepared statements: they keep their plan, and plan again when the catalog has changed.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use super::Session;
use crate::catalog::{Catalog, SearchPath};
use crate::error::{Error, Result, SqlState};
use crate::query::{Plan, PlanContext, ResultColumn, SessionInfo};
use crate::sql::settings::{Settings, Typed};
use crate::sql::{Body, Engine, Locking, Statement, Verb, ddl, dml, privileges};
use crate::storage::CATALOG_TABLE;
use crate::types::PgType;

/// A statement that was parsed, with the plan of its last use.
pub(super) struct Prepared {
    pub statement: Statement,
    /// Parameter types as the client declared them; `UNKNOWN` where it left them open.
    pub declared: Vec<PgType>,
    planned: Mutex<Option<Arc<Planned>>>,
    /// What `pg_prepared_statements` shows.
    pub text: String,
    /// Whether PREPARE made it, for `pg_prepared_statements`.
    pub from_sql: bool,
}

/// A plan, and what it was made against.
pub(super) struct Planned {
    catalog: Arc<Catalog>,
    /// The settings from which the following come.
    settings: Arc<Settings>,
    search_path: SearchPath,
    zone: String,
    /// The current role, and why it may not run the statement.
    user: Arc<str>,
    denied: Option<Error>,
    pub parameters: Vec<PgType>,
    pub columns: Option<Arc<[ResultColumn]>>,
    pub way: Way,
}

/// How a statement is run.
pub(super) enum Way {
    Verb(Verb),
    /// Perhaps with what reads a few rows sooner than the plan would.
    Query(Plan, Option<Box<dml::RangeSelect>>),
    Dml(Arc<dml::Prepared>),
    Copy,
    Ddl,
    Empty,
}

impl Planned {
    /// 42501 when the current role may not run the statement.
    pub fn allowed(&self) -> Result<()> {
        match &self.denied {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}

impl Prepared {
    pub fn new(statement: Statement, declared: Vec<PgType>, from_sql: bool) -> Self {
        let text = statement.text.clone();
        Prepared {
            statement,
            declared,
            planned: Mutex::new(None),
            text,
            from_sql,
        }
    }

    /// The plan of its last use, if there is one.
    pub fn kept(&self) -> Option<Arc<Planned>> {
        self.planned.lock().clone()
    }

    pub fn forget_plan(&self) {
        *self.planned.lock() = None;
    }
}

impl Planned {
    pub fn is_current(&self, catalog: &Arc<Catalog>, settings: &Arc<Settings>) -> bool {
        let same = |typed: &Typed| {
            self.search_path == typed.search_path
                && self.zone == typed.zone
                && self.user == typed.user
        };
        Arc::ptr_eq(&self.catalog, catalog)
            && (Arc::ptr_eq(&self.settings, settings) || same(&settings.typed))
    }
}

impl Session {
    /// The statement's plan: the kept one while the catalog is the same, else a new one.
    pub(super) async fn planned(&mut self, prepared: &Prepared) -> Result<Arc<Planned>> {
        if let Body::Session(verb) = &prepared.statement.body {
            return Box::pin(self.planned_verb(prepared, verb)).await;
        }
        let catalog = self.catalog()?;
        let settings = self.shared.settings();
        let kept = prepared.kept();
        if let Some(kept) = &kept
            && kept.is_current(&catalog, &settings)
        {
            return Ok(kept.clone());
        }
        let info = self.info()?;
        // Boxed, as all that is large and seldom: the futures around it are moved for each message.
        let engine = self.engine.clone();
        let work = Box::pin(plan_body(engine, prepared, catalog, &info, settings));
        let planned = self.limits().guard(work).await?;
        let planned = Arc::new(planned);
        if let Some(kept) = kept
            && kept.columns.as_ref().map(|columns| shape(columns))
                != planned.columns.as_ref().map(|columns| shape(columns))
        {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            )
            .routine("RevalidateCachedQuery"));
        }
        *prepared.planned.lock() = Some(planned.clone());
        Ok(planned)
    }

    /// Whether a kept plan, if there is one, was made for the catalog and settings of now.
    pub(super) fn is_current(&mut self, prepared: &Prepared) -> Result<bool> {
        let Some(kept) = prepared.kept() else {
            return Ok(true);
        };
        let catalog = self.catalog()?;
        Ok(kept.is_current(&catalog, &self.shared.settings()))
    }

    /// Session statements are not planned, but some return rows.
    async fn planned_verb(&mut self, prepared: &Prepared, verb: &Verb) -> Result<Arc<Planned>> {
        let columns = match verb {
            Verb::Show(name) => Some(self.show_columns(name.as_deref())?),
            Verb::Explain { .. } => Some(explain_columns()),
            Verb::Execute { name, .. } => {
                let inner = self.statement(name)?;
                Box::pin(self.planned(&inner)).await?.columns.clone()
            }
            Verb::Fetch { cursor, .. } => Some(
                self.portal(cursor)?
                    .columns
                    .clone()
                    .ok_or_else(|| no_cursor(cursor))?,
            ),
            _ => None,
        };
        // EXPLAIN takes the parameters of what it explains.
        let parameters = match verb {
            Verb::Explain { statement, .. } => {
                let inner = Prepared::new((**statement).clone(), prepared.declared.clone(), false);
                Box::pin(self.planned(&inner)).await?.parameters.clone()
            }
            _ => Vec::new(),
        };
        let settings = self.shared.settings();
        let typed = &settings.typed;
        Ok(Arc::new(Planned {
            catalog: Arc::default(),
            search_path: typed.search_path.clone(),
            zone: typed.zone.clone(),
            user: typed.user.clone(),
            settings: settings.clone(),
            denied: None,
            parameters,
            columns,
            way: Way::Verb(verb.clone()),
        }))
    }

    /// The prepared statement of that name.
    pub(super) fn statement(&self, name: &str) -> Result<Arc<Prepared>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// The catalog at the transaction's snapshot.
    pub(super) fn catalog(&mut self) -> Result<Arc<Catalog>> {
        let version = self.open()?.txn.catalog_version()?;
        if let Some(catalog) = version.and_then(|version| self.known_catalog(version)) {
            return Ok(catalog.clone());
        }
        let engine = self.engine.clone();
        let open = self.open()?;
        let view = open.txn.view()?;
        let catalog = if version.is_some() {
            engine.catalog.catalog(&view)?
        } else {
            // The transaction's own DDL makes the catalog its own: read once for each change.
            let base = view.snapshot().last_modified(CATALOG_TABLE);
            match &open.own_catalog {
                Some((known, catalog)) if *known == base => catalog.clone(),
                _ => {
                    let catalog = engine.catalog.catalog(&view)?;
                    open.own_catalog = Some((base, catalog.clone()));
                    catalog
                }
            }
        };
        self.catalog_at = version.map(|version| (version, catalog.clone()));
        self.shared.set_catalog(catalog.clone());
        Ok(catalog)
    }
}

/// Chooses the way of a statement that is not the session's own.
async fn plan_body(
    engine: Arc<Engine>,
    prepared: &Prepared,
    catalog: Arc<Catalog>,
    info: &Arc<SessionInfo>,
    settings: Arc<Settings>,
) -> Result<Planned> {
    let body = &prepared.statement.body;
    let denied = privileges::denied(&catalog, &info.user, &info.search_path, body)?;
    let context = PlanContext {
        catalog: &catalog,
        info,
        parameters: &prepared.declared,
        row_keys: &[],
    };
    let (parameters, columns, way) = match &prepared.statement.body {
        Body::Session(verb) => (Vec::new(), None, Way::Verb(verb.clone())),
        Body::Ddl(_) => (Vec::new(), None, Way::Ddl),
        Body::Empty => (Vec::new(), None, Way::Empty),
        Body::Sql(statement, locking) => match statement.as_ref() {
            ast::Statement::Copy { .. } => (Vec::new(), None, Way::Copy),
            statement if ddl::handles(statement) => (Vec::new(), None, Way::Ddl),
            statement => plan_sql(&engine, statement, locking, &context).await?,
        },
    };
    let typed = &settings.typed;
    Ok(Planned {
        catalog,
        search_path: typed.search_path.clone(),
        zone: typed.zone.clone(),
        user: typed.user.clone(),
        settings,
        denied,
        parameters,
        columns,
        way,
    })
}

/// Plans a query or a write.
async fn plan_sql(
    engine: &Arc<Engine>,
    statement: &ast::Statement,
    locking: &[Locking],
    context: &PlanContext<'_>,
) -> Result<(Vec<PgType>, Option<Arc<[ResultColumn]>>, Way)> {
    if let Some(prepared) = dml::prepare(engine, statement, locking, context).await? {
        return Ok((
            prepared.parameters.clone(),
            prepared.columns.clone(),
            Way::Dml(prepared),
        ));
    }
    let ast::Statement::Query(query) = statement else {
        return Err(unsupported(statement));
    };
    let plan = engine.query.plan(query, context).await?;
    let range = match locking.is_empty() {
        true => dml::RangeSelect::compile(query, &plan, context)?,
        false => None,
    };
    Ok((
        plan.parameters.clone(),
        Some(plan.columns.clone()),
        Way::Query(plan, range.map(Box::new)),
    ))
}

fn shape(columns: &[ResultColumn]) -> Vec<(&str, PgType)> {
    columns
        .iter()
        .map(|column| (column.name.as_str(), column.ty))
        .collect()
}

pub(super) fn no_cursor(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("cursor \"{name}\" does not exist"),
    )
}

/// The one column of EXPLAIN.
pub(super) fn explain_columns() -> Arc<[ResultColumn]> {
    [ResultColumn {
        name: "QUERY PLAN".into(),
        ty: PgType::TEXT,
        table: 0,
        attribute: 0,
    }]
    .into()
}

fn unsupported(statement: &ast::Statement) -> Error {
    let text = statement.to_string();
    let words: Vec<&str> = text
        .split_whitespace()
        .take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()))
        .take(2)
        .collect();
    let name = if words.is_empty() {
        "this statement".to_owned()
    } else {
        words.join(" ")
    };
    Error::unsupported(name, "See the list of statements in the documentation.")
}
