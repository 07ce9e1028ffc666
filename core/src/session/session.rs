//! The engine's session: messages in, steps out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Location;

use super::locate::locate;
use super::parsed::Parsed;
use super::portal::{Hold, Portal, Running, State, block, formats};
use super::prepared::Prepared;
use super::shared::Shared;
use super::transaction::Open;
use super::{
    ConnectOptions, CopyShape, Format, Notice, Parameter, ResultColumn, SqlSession,
    StatementDescription, Step, TransactionStatus,
};
use crate::error::{Error, Result, SqlState};
use crate::query::SessionInfo;
use crate::sql::settings::{Settings, severity};
use crate::sql::{Body, CopySink, Engine, RunningSession, Statement, Verb, parse};
use crate::txn::Interrupt;
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType, binary, oid, text};

/// Prepared statements that a session may keep.
const MAX_STATEMENTS: usize = 100_000;

/// Portals that a session may keep.
const MAX_PORTALS: usize = 10_000;

/// A session of the engine. See [`SqlSession`].
pub struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) shared: Arc<Shared>,
    pub(super) interrupt: Interrupt,
    pub(super) user: String,
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
    simple: Option<Simple>,
    /// What the client was told of settings, and the settings that were looked at last.
    reported: BTreeMap<&'static str, String>,
    reported_at: Option<Arc<Settings>>,
    /// The facts of the last statement, and the settings they come from.
    facts: Option<(Arc<Settings>, Arc<SessionInfo>)>,
}

/// A COPY that takes data.
pub(super) struct CopyState {
    pub sink: Box<dyn CopySink>,
}

/// A simple query under way.
struct Simple {
    statements: VecDeque<Arc<Prepared>>,
    running: Option<Box<Portal>>,
    described: bool,
    /// Whether the query string had no statement at all.
    empty: bool,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, options: ConnectOptions) -> Result<Session> {
        let settings = Settings::new(&options.user, &options.parameters)?;
        let interrupt = Interrupt::default();
        let locks = engine.transactions.session(options.process_id);
        let running = RunningSession {
            interrupt: interrupt.clone(),
            locks: locks.group(),
        };
        engine.sessions.lock().insert(options.process_id, running);
        let shared = Shared::new(engine.clone(), settings, locks, interrupt.clone());
        Ok(Session {
            shared: Arc::new(shared),
            engine,
            interrupt,
            user: options.user,
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
            simple: None,
            reported: BTreeMap::new(),
            reported_at: None,
            facts: None,
        })
    }

    /// What running queries may know of the session.
    pub(super) fn info(&mut self) -> Result<Arc<SessionInfo>> {
        let start = self.open()?.start;
        let settings = self.shared.settings();
        // Mostly nobody holds the last statement's facts any more: only the times are new.
        if let Some((known, info)) = &mut self.facts
            && Arc::ptr_eq(known, &settings)
            && let Some(info) = Arc::get_mut(info)
            && let Some(style) = Arc::get_mut(&mut info.style)
        {
            style.now = start;
            info.transaction_start = start;
            info.statement_start = self.statement_start;
        } else {
            let info = self.new_info(&settings, start);
            self.facts = Some((settings, Arc::new(info)));
        }
        match &self.facts {
            Some((_, info)) => Ok(info.clone()),
            None => Err(Error::internal("a session has no facts")),
        }
    }

    fn new_info(&self, settings: &Settings, start: i64) -> SessionInfo {
        let typed = &settings.typed;
        let style = TextStyle {
            now: start,
            ..(*typed.style).clone()
        };
        SessionInfo {
            user: settings
                .get("session_authorization")
                .unwrap_or(&self.user)
                .to_owned(),
            session_user: self.user.clone(),
            database: self.database.clone(),
            search_path: typed.search_path.clone(),
            zone: typed.zone.clone(),
            style: Arc::new(style),
            transaction_start: start,
            statement_start: self.statement_start,
            process_id: self.process_id,
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
    fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.fail();
        }
        result
    }

    async fn do_parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<()> {
        self.begin_statement();
        let settings = self.shared.settings();
        if let Some(known) = self.parsed.find(sql, types, &settings) {
            if !ends_transaction(&known.statement) {
                self.refuse_if_failed()?;
            }
            if self.is_current(&known)? {
                return self.keep_planned(name, known).await;
            }
        }
        let mut statements = parse(sql)?;
        if statements.len() > 1 {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let Some(statement) = statements.pop() else {
            let empty = Statement {
                body: Body::Empty,
                text: String::new(),
                offset: 0,
                start: Location::new(1, 1),
            };
            let empty = Prepared::new(empty, Vec::new(), false);
            return self.keep_statement(name, Arc::new(empty));
        };
        if !ends_transaction(&statement) {
            self.refuse_if_failed()?;
        }
        let declared = types
            .iter()
            .map(|oid| PgType::new(if *oid == 0 { oid::UNKNOWN } else { *oid }))
            .collect();
        let prepared = Arc::new(Prepared::new(statement, declared, false));
        self.parsed.keep(sql, types, &prepared);
        self.keep_planned(name, prepared).await
    }

    /// Keeps a statement that can be planned.
    async fn keep_planned(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<()> {
        if !matches!(prepared.statement.body, Body::Session(_)) {
            let planned = self.planned(&prepared).await;
            planned.map_err(|error| placed(error, &prepared))?;
        }
        self.keep_statement(name, prepared)
    }

    pub(super) fn keep_statement(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<()> {
        if !name.is_empty() {
            if self.statements.contains_key(name) {
                return Err(Error::new(
                    SqlState::DUPLICATE_PREPARED_STATEMENT,
                    format!("prepared statement \"{name}\" already exists"),
                ));
            }
            if self.statements.len() >= MAX_STATEMENTS {
                return Err(Error::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("a session may keep at most {MAX_STATEMENTS} prepared statements"),
                )
                .hint("Close or DEALLOCATE some."));
            }
        }
        if !name.is_empty() {
            self.shared
                .list_prepared(name, &prepared.text, prepared.from_sql);
        }
        self.statements.insert(name.to_owned(), prepared);
        Ok(())
    }

    async fn do_bind(
        &mut self,
        name: &str,
        statement: &str,
        values: &[Parameter<'_>],
        result_formats: &[Format],
    ) -> Result<()> {
        let prepared = self.statement(statement)?;
        if !ends_transaction(&prepared.statement) {
            self.refuse_if_failed()?;
        }
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        if self.portals.len() >= MAX_PORTALS {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a session may keep at most {MAX_PORTALS} portals"),
            ));
        }
        let planned = self.planned(&prepared).await?;
        if values.len() != planned.parameters.len() {
            return Err(Error::new(
                SqlState::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                    values.len(),
                    planned.parameters.len()
                ),
            ));
        }
        let settings = self.shared.settings();
        let parameters: Arc<[Datum<'static>]> = values
            .iter()
            .zip(&planned.parameters)
            .map(|(value, ty)| match self.named_relation(value, *ty) {
                Some(oid) => Ok(Datum::Oid(oid)),
                None => read_parameter(value, *ty, &settings.typed.style),
            })
            .collect::<Result<_>>()?;
        let columns = planned.columns.clone();
        let count = columns.as_ref().map_or(0, |columns| columns.len());
        let formats = formats(result_formats, count)?;
        let portal = Portal {
            statement: prepared,
            planned,
            parameters,
            columns,
            formats,
            state: State::Ready,
            hold: Hold::No,
        };
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// The OID of the relation that a text parameter of type regclass names.
    fn named_relation(&self, value: &Parameter<'_>, ty: PgType) -> Option<u32> {
        if ty.oid != oid::REGCLASS || value.format != Format::Text {
            return None;
        }
        let text = std::str::from_utf8(value.value?).ok()?;
        self.shared.relation(text)
    }

    async fn do_execute(&mut self, name: &str, limit: usize) -> Result<Step> {
        // The portal leaves the map while it runs: running may change other portals.
        let mut portal = self.portals.remove(name).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_CURSOR_NAME,
                format!("portal \"{name}\" does not exist"),
            )
        })?;
        if !ends_transaction(&portal.statement.statement) {
            self.refuse_if_failed()?;
        }
        let step = self.advance(&mut portal, limit).await?;
        // A COMMIT or ROLLBACK ends all portals, the one that holds it too.
        if !ends_transaction(&portal.statement.statement) {
            self.portals.insert(name.to_owned(), portal);
        }
        Ok(step)
    }

    /// The next step of a portal.
    async fn advance(&mut self, portal: &mut Portal, limit: usize) -> Result<Step> {
        if matches!(portal.state, State::Ready) {
            self.begin_statement();
            if matches!(portal.statement.statement.body, Body::Empty) {
                portal.state = State::Done(String::new());
                return Ok(Step::Empty);
            }
            if let Some(shape) = self.start(portal).await? {
                return Ok(Step::CopyIn(shape));
            }
        }
        match &mut portal.state {
            State::Ready => Err(Error::internal("a portal did not start")),
            State::Done(tag) => Ok(Step::Complete(std::mem::take(tag))),
            State::Rows(running) => {
                let rows = self.limits().guard(running.next(limit)).await?;
                match rows {
                    Some(rows) => {
                        let columns = portal.columns.clone().unwrap_or_else(|| Arc::from([]));
                        Ok(Step::Rows(block(
                            &columns,
                            &portal.formats,
                            &running.style,
                            rows,
                        )))
                    }
                    None => {
                        let tag = running.tag();
                        portal.state = State::Done(tag.clone());
                        Ok(Step::Complete(tag))
                    }
                }
            }
            State::CopyOut {
                source,
                announced,
                ended,
            } => {
                let format = if source.binary() {
                    Format::Binary
                } else {
                    Format::Text
                };
                if !*announced {
                    *announced = true;
                    return Ok(Step::CopyOut(CopyShape {
                        columns: source.columns(),
                        format,
                    }));
                }
                if *ended {
                    let tag = source.tag();
                    portal.state = State::Done(tag.clone());
                    return Ok(Step::Complete(tag));
                }
                match self.limits().guard(source.next()).await? {
                    Some(data) => Ok(Step::CopyData(data)),
                    None => {
                        *ended = true;
                        Ok(Step::CopyDone)
                    }
                }
            }
        }
    }

    async fn do_next_simple(&mut self) -> Result<Option<Step>> {
        loop {
            let Some(simple) = &mut self.simple else {
                return Ok(None);
            };
            let Some(mut portal) = simple.running.take() else {
                let Some(prepared) = simple.statements.pop_front() else {
                    let empty = simple.empty;
                    self.simple = None;
                    return Ok(empty.then_some(Step::Empty));
                };
                self.begin_statement();
                if !ends_transaction(&prepared.statement) {
                    self.refuse_if_failed()?;
                }
                if !self.is_current(&prepared)? {
                    prepared.forget_plan();
                }
                let planned = self.planned(&prepared).await;
                let planned = planned.map_err(|error| placed(error, &prepared))?;
                if let Some(missing) = planned.parameters.len().checked_sub(1) {
                    return Err(Error::new(
                        SqlState::UNDEFINED_PARAMETER,
                        format!("there is no parameter ${}", missing + 1),
                    ));
                }
                let columns = planned.columns.clone();
                let count = columns.as_ref().map_or(0, |columns| columns.len());
                let portal = Portal {
                    statement: prepared,
                    planned,
                    parameters: Arc::from([]),
                    columns: columns.clone(),
                    formats: formats(&[], count)?,
                    state: State::Ready,
                    hold: Hold::No,
                };
                if let Some(simple) = &mut self.simple {
                    simple.running = Some(Box::new(portal));
                    simple.described = false;
                }
                continue;
            };
            let described = simple.described;
            simple.described = true;
            if !described && let Some(columns) = portal.columns.clone() {
                simple.running = Some(portal);
                return Ok(Some(Step::Describe(columns)));
            }
            let step = self.advance(&mut portal, 0).await?;
            match &step {
                // The last statement is answered once its transaction is durable.
                Step::Complete(_) | Step::Empty => self.end_simple_statement().await?,
                _ => {
                    if let Some(simple) = &mut self.simple {
                        simple.running = Some(portal);
                    }
                }
            }
            return Ok(Some(step));
        }
    }

    /// Commits the implicit transaction of a query string behind its last statement.
    async fn end_simple_statement(&mut self) -> Result<()> {
        let last = self
            .simple
            .as_ref()
            .is_none_or(|simple| simple.statements.is_empty());
        let implicit = self.open.as_ref().is_some_and(|open| !open.block);
        if last && implicit {
            self.commit().await?;
        }
        self.end_statement();
        Ok(())
    }

    /// The COPY of a query string is over.
    async fn end_copy(&mut self, tag: String) -> Result<Step> {
        self.copy = None;
        if let Some(simple) = &mut self.simple {
            simple.running = None;
            self.end_simple_statement().await?;
        } else {
            for portal in self.portals.values_mut() {
                if matches!(portal.state, State::Ready) && portal.is_copy() {
                    portal.state = State::Done(tag.clone());
                }
            }
        }
        Ok(Step::Complete(tag))
    }
}

impl SqlSession for Session {
    async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<()> {
        let result = self.do_parse(name, sql, types).await;
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
            let planned = self.planned(&prepared).await?;
            Ok(StatementDescription {
                parameters: planned.parameters.iter().map(|ty| ty.oid).collect(),
                columns: planned.columns.clone(),
            })
        }
        .await;
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
        let result = self.do_execute(portal, max_rows).await;
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
        let empty = statements.is_empty();
        self.simple = Some(Simple {
            statements,
            running: None,
            described: false,
            empty,
        });
        Ok(())
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
        let result = self.feed_copy(data).await;
        if result.is_err() {
            self.simple = None;
        }
        self.settle(result)
    }

    async fn copy_done(&mut self) -> Result<Step> {
        let result = match self.finish_copy().await {
            Ok(tag) => self.end_copy(tag).await,
            Err(error) => Err(error),
        };
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
                let result = self.commit().await;
                self.settle(result)
            }
            _ => {
                self.end_statement();
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
fn ends_transaction(statement: &Statement) -> bool {
    matches!(
        statement.body,
        Body::Session(Verb::Commit { .. } | Verb::Rollback { .. } | Verb::RollbackTo(_))
    )
}

fn read_parameter(value: &Parameter<'_>, ty: PgType, style: &TextStyle) -> Result<Datum<'static>> {
    let Some(bytes) = value.value else {
        return Ok(Datum::Null);
    };
    match value.format {
        Format::Binary => binary::parse(ty, bytes),
        Format::Text => {
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let at = error.valid_up_to();
                let bad: Vec<String> = bytes
                    .iter()
                    .skip(at)
                    .take(1)
                    .map(|byte| format!("0x{byte:02x}"))
                    .collect();
                Error::new(
                    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                    format!(
                        "invalid byte sequence for encoding \"UTF8\": {}",
                        bad.join(" ")
                    ),
                )
            })?;
            text::parse(ty, text, style)
        }
    }
}

/// A running result for a portal.
pub(super) fn running(
    rows: futures::stream::BoxStream<'static, Result<crate::query::Rows>>,
    tag: crate::sql::Tag,
    style: Arc<TextStyle>,
) -> State {
    State::Rows(Running::new(rows, tag, style))
}
