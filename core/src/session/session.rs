//! The engine's session: messages in, steps out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::locate::locate;
use super::parsed::Parsed;
use super::portal::{Portal, Running, State};
use super::prepared::Prepared;
use super::shared::Shared;
use super::simple::Simple;
use super::template::Templates;
use super::transaction::Open;
use super::{
    Ahead, ConnectOptions, Format, Notice, Parameter, ResultColumn, SqlSession,
    StatementDescription, Step, TransactionStatus,
};
use crate::catalog::Catalog;
use crate::error::{Error, Result, SqlState};
use crate::query::SessionInfo;
use crate::sql::settings::{Settings, severity};
use crate::sql::{Body, CopySink, Engine, RunningSession, Statement, Verb, parse};
use crate::txn::Interrupt;
use crate::types::text::TextStyle;

/// Bytes of a text that is parsed in moments.
const BRIEF_TEXT: usize = 8192;

/// A session of the engine. See [`SqlSession`].
pub struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) shared: Arc<Shared>,
    pub(super) interrupt: Interrupt,
    pub(super) database: String,
    pub(super) process_id: i32,
    pub(super) statements: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) open: Option<Open>,
    pub(super) copy: Option<CopyState>,
    pub(super) notices: Vec<Notice>,
    /// Whether the running query string has several statements.
    pub(super) many_statements: bool,
    /// `statement_timestamp()`, µs since 1970 UTC.
    pub(super) statement_start: i64,
    /// When `statement_timeout` ends the running statement, µs since 1970 UTC.
    pub(super) deadline: Option<i64>,
    pub(super) parsed: Parsed,
    pub(super) templates: Templates,
    pub(super) simple: Option<Simple>,
    /// What the client was told of settings, and the settings that were looked at last.
    reported: BTreeMap<&'static str, String>,
    reported_at: Option<Arc<Settings>>,
    /// The facts of the last statement, and the settings they come from.
    pub(super) facts: Option<(Arc<Settings>, Arc<SessionInfo>)>,
    /// The committed catalog that was looked at last, and its version. While it is here, it is also
    /// the one in `shared`.
    pub(super) catalog_at: Option<(u64, Arc<Catalog>)>,
}

/// A COPY that takes data.
pub(super) struct CopyState {
    pub sink: Box<dyn CopySink>,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, options: ConnectOptions) -> Result<Session> {
        let settings = Settings::new(&options.user, &options.parameters)?;
        let interrupt = Interrupt::default();
        let locks = engine.transactions.session(options.process_id);
        let running = RunningSession {
            user: options.user.clone(),
            interrupt: interrupt.clone(),
            locks: locks.group(),
        };
        engine.sessions.lock().insert(options.process_id, running);
        let shared = Shared::new(
            engine.clone(),
            settings,
            locks,
            interrupt.clone(),
            options.user,
        );
        Ok(Session {
            shared: Arc::new(shared),
            engine,
            interrupt,
            database: options.database,
            process_id: options.process_id,
            statements: HashMap::new(),
            portals: HashMap::new(),
            open: None,
            copy: None,
            notices: Vec::new(),
            many_statements: false,
            statement_start: 0,
            deadline: None,
            parsed: Parsed::default(),
            templates: Templates::default(),
            simple: None,
            reported: BTreeMap::new(),
            reported_at: None,
            facts: None,
            catalog_at: None,
        })
    }

    /// What running queries may know of the session.
    pub(super) fn info(&mut self) -> Result<Arc<SessionInfo>> {
        let open = self.open()?;
        let (start, read_only) = (open.start, open.modes.read_only);
        let settings = self.shared.settings();
        // Mostly nobody holds the last statement's facts any more: only the times are new.
        if let Some((known, info)) = &mut self.facts
            && Arc::ptr_eq(known, &settings)
            && let Some(info) = Arc::get_mut(info)
            && let Some(style) = Arc::get_mut(&mut info.style)
        {
            style.now = start;
            info.transaction_start = start;
            info.read_only = read_only;
            info.search_path = self.shared.search_path();
            info.statement_start = self.statement_start;
        } else {
            let info = self.new_info(&settings, start, read_only);
            self.facts = Some((settings, Arc::new(info)));
        }
        match &self.facts {
            Some((_, info)) => Ok(info.clone()),
            None => Err(Error::internal("a session has no facts")),
        }
    }

    fn new_info(&self, settings: &Settings, start: i64, read_only: bool) -> SessionInfo {
        let typed = &settings.typed;
        let style = TextStyle {
            now: start,
            ..(*typed.style).clone()
        };
        SessionInfo {
            user: typed.user.as_ref().to_owned(),
            session_user: typed.session_user.as_ref().to_owned(),
            database: self.database.clone(),
            search_path: self.shared.search_path(),
            zone: typed.zone.clone(),
            style: Arc::new(style),
            transaction_start: start,
            read_only,
            statement_start: self.statement_start,
            process_id: self.process_id,
            interrupt: self.interrupt.clone(),
            access: self.shared.clone(),
        }
    }

    pub(super) fn warn(&mut self, state: SqlState, message: &str) {
        self.notices.push(Notice {
            severity: "WARNING",
            error: Error::new(state, message),
        });
    }

    /// Runs `work`; an error ends or fails the transaction.
    pub(super) fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.fail();
        }
        result
    }
}

impl SqlSession for Session {
    async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<()> {
        let result = Box::pin(self.do_parse(name, sql, types)).await;
        self.settle(result)
    }

    async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        parameters: &[Parameter<'_>],
        result_formats: &[Format],
    ) -> Result<()> {
        if portal.is_empty() {
            self.portals.remove(portal);
        }
        let result = self
            .do_bind(portal, statement, parameters, result_formats)
            .await;
        self.settle(result)
    }

    async fn describe_statement(&mut self, name: &str) -> Result<StatementDescription> {
        let result = async {
            let prepared = self.statement(name)?;
            self.begin_statement();
            let planned = self.planned(&prepared).await?;
            Ok(StatementDescription {
                parameters: planned.parameters.iter().map(|ty| ty.oid).collect(),
                columns: planned.columns.clone(),
            })
        };
        let result = Box::pin(result).await;
        self.settle(result)
    }

    async fn describe_portal(
        &mut self,
        name: &str,
    ) -> Result<Option<(Arc<[ResultColumn]>, Arc<[Format]>)>> {
        let result = self
            .portal(name)
            .map(|portal| Some((portal.columns.clone()?, portal.formats.clone())));
        self.settle(result)
    }

    async fn execute(&mut self, portal: &str, max_rows: usize) -> Result<Step> {
        let result = match self.execute_now(portal, max_rows) {
            Some(result) => result,
            None => Box::pin(self.do_execute(portal, max_rows)).await,
        };
        self.settle(result)
    }

    fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
        self.shared.unlist_prepared(Some(name));
    }

    fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    async fn simple(&mut self, sql: &str) -> Result<()> {
        self.statements.remove("");
        self.portals.remove("");
        let (bound, shape) = self.bind_template(sql);
        if let Some(bound) = bound {
            self.many_statements = false;
            self.simple = Some(Simple {
                bound: Some(bound),
                ..Simple::default()
            });
            return Ok(());
        }
        let settings = self.shared.settings();
        let statements: VecDeque<_> = match self.parsed.find(sql, &[], &settings) {
            Some(known) => [known].into(),
            None => {
                let result = parse(sql);
                let new = |statement| Arc::new(Prepared::new(statement, Vec::new(), false));
                let statements: VecDeque<_> = self.settle(result)?.into_iter().map(new).collect();
                if let (1, Some(only)) = (statements.len(), statements.front()) {
                    self.parsed.keep(sql, &[], only);
                }
                statements
            }
        };
        self.many_statements = statements.len() > 1;
        self.simple = Some(Simple {
            empty: statements.is_empty(),
            statements,
            shape,
            ..Simple::default()
        });
        Ok(())
    }

    async fn plan_simple(&mut self) -> Result<()> {
        let result = self.do_plan_simple().await;
        if result.is_err() {
            self.simple = None;
            self.many_statements = false;
        }
        self.settle(result)
    }

    fn is_brief(&self, ahead: Ahead<'_>) -> bool {
        match ahead {
            Ahead::Text(sql) => sql.len() <= BRIEF_TEXT,
            Ahead::Portal(name) => {
                let portal = self.portals.get(name);
                portal.is_none_or(|portal| self.is_brief_portal(portal))
            }
            Ahead::Simple => {
                let running = self.simple.as_ref().and_then(|it| it.running.as_ref());
                running.is_none_or(|portal| self.is_brief_portal(portal))
            }
            Ahead::Sync => self.ends_briefly(),
        }
    }

    async fn next_simple(&mut self) -> Result<Option<Step>> {
        let result = self.do_next_simple().await;
        if result.is_err() {
            self.simple = None;
        }
        if self.simple.is_none() {
            self.many_statements = false;
        }
        self.settle(result)
    }

    async fn copy_data(&mut self, data: &[u8]) -> Result<()> {
        let result = Box::pin(self.feed_copy(data)).await;
        if result.is_err() {
            self.simple = None;
        }
        self.settle(result)
    }

    async fn copy_done(&mut self) -> Result<Step> {
        let result = async {
            let tag = self.finish_copy().await?;
            self.end_copy(tag).await
        };
        let result = Box::pin(result).await;
        if result.is_err() {
            self.simple = None;
        }
        self.settle(result)
    }

    async fn copy_fail(&mut self, message: &str) -> Error {
        self.simple = None;
        self.fail();
        Error::new(
            SqlState::QUERY_CANCELED,
            format!("COPY from stdin failed: {message}"),
        )
    }

    async fn sync(&mut self) -> Result<()> {
        match &self.open {
            Some(open) if !open.block => {
                let result = Box::pin(self.commit()).await;
                self.settle(result)
            }
            Some(_) => {
                self.end_statement();
                Ok(())
            }
            // Portals of look-ups that needed no transaction end here as well.
            None => {
                self.close_transaction_portals();
                Ok(())
            }
        }
    }

    fn status(&self) -> TransactionStatus {
        self.transaction_status()
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.extend(self.shared.take_notices());
        if self.notices.is_empty() {
            return Vec::new();
        }
        let least = self.shared.settings().typed.min_messages;
        let mut notices = std::mem::take(&mut self.notices);
        notices.retain(|notice| severity(notice.severity) >= least);
        notices
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        let settings = self.shared.settings();
        let mut changes = Vec::new();
        let same = |known: &Arc<Settings>| Arc::ptr_eq(known, &settings);
        if self.reported_at.as_ref().is_some_and(same) {
            return changes;
        }
        for (name, value) in settings.reported() {
            if self.reported.get(name).is_none_or(|known| known != value) {
                self.reported.insert(name, value.to_owned());
                changes.push((name.to_owned(), value.to_owned()));
            }
        }
        self.reported_at = Some(settings);
        changes
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    fn idle_in_transaction_timeout(&self) -> u64 {
        match self.open {
            Some(_) => self.shared.settings().typed.idle_in_transaction,
            None => 0,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.rollback();
        self.shared.locks.unlock_all();
        self.engine.sessions.lock().remove(&self.process_id);
    }
}

/// The error with its place in the query string.
pub(super) fn placed(error: Error, prepared: &Prepared) -> Error {
    locate(error, &prepared.statement)
}

/// Statements that run in a failed block.
pub(super) fn ends_transaction(statement: &Statement) -> bool {
    matches!(
        statement.body,
        Body::Session(Verb::Commit { .. } | Verb::Rollback { .. } | Verb::RollbackTo(_))
    )
}

/// A running result for a portal.
pub(super) fn running(
    rows: futures::stream::BoxStream<'static, Result<crate::query::Rows>>,
    tag: crate::sql::Tag,
    style: Arc<TextStyle>,
) -> State {
    State::Rows(Running::new(rows, tag, style))
}
