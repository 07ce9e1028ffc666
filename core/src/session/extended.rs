//! The extended protocol: Parse makes a prepared statement, Bind a portal, Execute runs it.

use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Location;

use super::portal::{Hold, Portal, State, formats};
use super::prepared::Prepared;
use super::session::{ends_transaction, placed};
use super::{Format, Parameter, Session, Step};
use crate::error::{Error, Result, SqlState};
use crate::sql::settings::Settings;
use crate::sql::{Body, Statement, parse};
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType, binary, oid, text};

/// Prepared statements that a session may keep.
const MAX_STATEMENTS: usize = 100_000;

/// Portals that a session may keep.
const MAX_PORTALS: usize = 10_000;

impl Session {
    pub(super) async fn do_parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<()> {
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

    pub(super) async fn do_bind(
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
        let planned = match self.kept_plan(&prepared)? {
            Some(kept) => kept,
            None => {
                self.begin_statement();
                self.planned(&prepared).await?
            }
        };
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
        let style = self.value_style(&settings, &planned.parameters);
        let parameters: Arc<[Datum<'static>]> = values
            .iter()
            .zip(&planned.parameters)
            .map(|(value, ty)| match self.named_relation(value, *ty) {
                Some(oid) => Ok(Datum::Oid(oid)),
                None => read_parameter(value, *ty, &style),
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

    /// How values that came as texts are read. Some mean the start of the transaction.
    pub(super) fn value_style(&self, settings: &Settings, types: &[PgType]) -> Arc<TextStyle> {
        let style = &settings.typed.style;
        if types.iter().all(|ty| ty.is_timeless()) {
            return style.clone();
        }
        let open = self.open.as_ref();
        Arc::new(TextStyle {
            now: open.map_or_else(|| self.engine.env.clock.now(), |open| open.start),
            ..(**style).clone()
        })
    }

    /// The OID of the relation that a text parameter of type regclass names.
    fn named_relation(&self, value: &Parameter<'_>, ty: PgType) -> Option<u32> {
        if ty.oid != oid::REGCLASS || value.format != Format::Text {
            return None;
        }
        let text = std::str::from_utf8(value.value?).ok()?;
        self.shared.relation(text)
    }

    pub(super) async fn do_execute(&mut self, name: &str, limit: usize) -> Result<Step> {
        let portal = self.portal(name)?;
        let ends = ends_transaction(&portal.statement.statement);
        let told = matches!(&portal.state, State::Done(tag) if tag.is_empty());
        let rows = portal.columns.is_some();
        if !ends {
            self.refuse_if_failed()?;
        }
        if told && rows {
            return Ok(Step::Complete("SELECT 0".to_owned()));
        }
        if told {
            return Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("portal \"{name}\" cannot be run"),
            ));
        }
        // The portal leaves the map while it runs: running may change other portals.
        let Some(mut portal) = self.portals.remove(name) else {
            return Err(Error::internal("a portal is not there any more"));
        };
        let step = self.advance(&mut portal, limit).await?;
        // A COMMIT or ROLLBACK ends all portals, the one that holds it too.
        if !ends {
            self.portals.insert(name.to_owned(), portal);
        }
        Ok(step)
    }
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
            if text.contains('\0') {
                return Err(Error::new(
                    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\": 0x00",
                ));
            }
            text::parse(ty, text, style)
        }
    }
}
