//! Statements that the session runs itself: transactions, settings, prepared statements, cursors,
//! EXPLAIN.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use super::Session;
use super::portal::State;
use super::prepared::{Prepared, Way, no_cursor};
use super::session::{placed, running};
use crate::error::{Error, Result, SqlState};
use crate::query::{PlanContext, ResultColumn, Rows};
use crate::sql::settings::switch;
use crate::sql::{
    Body, ExplainOptions, IsolationLevel, Modes, Outcome, SetValue, Statement, Tag, Verb, dml,
};
use crate::types::cast::{self, Context as CastContext};
use crate::types::{Datum, PgType};

impl Session {
    pub(super) async fn run_verb(
        &mut self,
        verb: &Verb,
        parameters: &Arc<[Datum<'static>]>,
        text: &str,
    ) -> Result<State> {
        let tag = match verb {
            Verb::Begin { modes, start } => {
                self.begin(*modes)?;
                if *start { "START TRANSACTION" } else { "BEGIN" }
            }
            Verb::Commit { chain } => self.commit_block(*chain).await?,
            Verb::Rollback { chain } => {
                self.rollback_block(*chain)?;
                "ROLLBACK"
            }
            Verb::Savepoint(name) => {
                self.savepoint(name.clone())?;
                "SAVEPOINT"
            }
            Verb::Release(name) => {
                self.release(name)?;
                "RELEASE"
            }
            Verb::RollbackTo(name) => {
                self.rollback_to(name)?;
                "ROLLBACK"
            }
            Verb::SetTransaction(modes) => {
                if !self.in_block() {
                    self.warn(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "SET TRANSACTION can only be used in transaction blocks",
                    );
                }
                self.set_modes(*modes)?;
                "SET"
            }
            Verb::SetSessionCharacteristics(modes) => {
                let on_off = |on: bool| if on { "on" } else { "off" };
                let defaults = [
                    ("isolation", modes.isolation.map(IsolationLevel::name)),
                    ("read_only", modes.read_only.map(on_off)),
                    ("deferrable", modes.deferrable.map(on_off)),
                ];
                for (mode, value) in defaults {
                    if let Some(value) = value {
                        let name = format!("default_transaction_{mode}");
                        self.shared.set(&name, Some(&[value.to_owned()]), false)?;
                    }
                }
                "SET"
            }
            Verb::SetConstraints => {
                if !self.in_block() {
                    self.warn(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "SET CONSTRAINTS can only be used in transaction blocks",
                    );
                }
                "SET CONSTRAINTS"
            }
            Verb::Set { name, value, local } => {
                self.set(name, value, *local)?;
                "SET"
            }
            Verb::Reset(Some(name)) => {
                self.set(name, &SetValue::Default, false)?;
                "RESET"
            }
            Verb::Reset(None) => {
                self.shared.reset_all()?;
                "RESET"
            }
            Verb::Show(name) => return self.show(name.as_deref()),
            Verb::DiscardAll => {
                self.discard_all()?;
                "DISCARD ALL"
            }
            Verb::DiscardPlans => {
                self.parsed.clear();
                self.statements
                    .values()
                    .for_each(|prepared| prepared.forget_plan());
                "DISCARD PLANS"
            }
            Verb::DiscardSequences => {
                self.shared.forget_sequences();
                "DISCARD SEQUENCES"
            }
            // There are no temporary tables to drop.
            Verb::DiscardTemp => "DISCARD TEMP",
            Verb::Prepare {
                name,
                types,
                statement,
            } => {
                Box::pin(self.prepare(name, types, statement, text)).await?;
                "PREPARE"
            }
            Verb::Execute { name, arguments } => {
                return Box::pin(self.execute_prepared(name, arguments)).await;
            }
            Verb::Deallocate(Some(name)) => {
                self.statement(name)?;
                self.statements.remove(name);
                self.shared.unlist_prepared(Some(name));
                "DEALLOCATE"
            }
            Verb::Deallocate(None) => {
                self.statements.clear();
                self.shared.unlist_prepared(None);
                "DEALLOCATE ALL"
            }
            Verb::Explain { options, statement } => {
                return Box::pin(self.explain(*options, statement, parameters)).await;
            }
            Verb::Declare { name, hold, query } => {
                Box::pin(self.declare(name, *hold, query, parameters)).await?;
                "DECLARE CURSOR"
            }
            Verb::Fetch { direction, cursor } => {
                return Box::pin(self.fetch(*direction, cursor)).await;
            }
            Verb::Move { direction, cursor } => {
                let (_, moved) = Box::pin(self.pull(*direction, cursor)).await?;
                return Ok(State::Done(format!("MOVE {moved}")));
            }
            Verb::Close(Some(name)) => {
                self.portals.remove(name).ok_or_else(|| no_cursor(name))?;
                "CLOSE CURSOR"
            }
            Verb::Close(None) => {
                self.portals.clear();
                "CLOSE CURSOR ALL"
            }
            Verb::Unlisten => "UNLISTEN",
        };
        Ok(State::Done(tag.to_owned()))
    }

    fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Result<()> {
        if local && !self.in_block() {
            self.warn(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            );
            // It ends with the statement's own transaction.
            self.open()?;
        }
        let values = match value {
            SetValue::Default => None,
            SetValue::Values(values) => Some(values.as_slice()),
        };
        let one = || values.and_then(|values| values.first());
        let mut modes = Modes::default();
        match name {
            "transaction_isolation" => {
                modes.isolation = Some(match one() {
                    None => self.shared.settings().typed.isolation,
                    Some(text) => IsolationLevel::from_name(text).ok_or_else(|| bad_level(text))?,
                });
            }
            "transaction_read_only" => {
                modes.read_only = Some(match one() {
                    None => self.shared.settings().typed.read_only,
                    Some(text) => switch(name, text)?,
                });
            }
            "transaction_deferrable" => {
                modes.deferrable = Some(match one() {
                    None => self.shared.settings().typed.deferrable,
                    Some(text) => switch(name, text)?,
                });
            }
            "session_authorization" | "role" => {
                // The roles are the newest that there are.
                self.catalog()?;
                return self.shared.set_role(name, one().map(String::as_str), local);
            }
            _ => return self.shared.set(name, values, local),
        }
        self.set_modes(modes)
    }

    pub(super) fn show_columns(&self, name: Option<&str>) -> Result<Arc<[ResultColumn]>> {
        let column = |name: &str| ResultColumn {
            name: name.to_owned(),
            ty: PgType::TEXT,
            table: 0,
            attribute: 0,
        };
        Ok(match name {
            None => [column("name"), column("setting"), column("description")].into(),
            Some(name) => [column(&self.shared.settings().show(name)?.0)].into(),
        })
    }

    fn show(&self, name: Option<&str>) -> Result<State> {
        let settings = self.shared.settings();
        let modes = self.modes();
        let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
        let value = |name: &str, value: String| match name {
            "transaction_isolation" => modes.isolation.name().to_owned(),
            "transaction_read_only" => on_off(modes.read_only),
            "transaction_deferrable" => on_off(modes.deferrable),
            _ => value,
        };
        let rows = match name {
            Some(name) => {
                let (name, text) = settings.show(name)?;
                vec![vec![Datum::text(value(&name, text))]]
            }
            None => settings
                .all()
                .into_iter()
                .map(|(name, text, description)| {
                    let text = value(&name, text);
                    vec![
                        Datum::text(name),
                        Datum::text(text),
                        Datum::text(description),
                    ]
                })
                .collect(),
        };
        Ok(self.fixed(rows, "SHOW"))
    }

    /// Rows that are all there.
    fn fixed(&self, rows: Vec<Vec<Datum<'static>>>, tag: &str) -> State {
        let style = self.shared.settings().typed.style.clone();
        let rows = futures::stream::iter([Ok(Rows::Datums(rows))]).boxed();
        running(rows, Tag::Fixed(tag.to_owned()), style)
    }

    fn discard_all(&mut self) -> Result<()> {
        if self.in_block() {
            return Err(Error::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        self.portals.clear();
        self.statements.clear();
        self.parsed.clear();
        self.shared.unlist_prepared(None);
        self.shared.set_role("session_authorization", None, false)?;
        self.shared.reset_all()?;
        self.shared.forget_sequences();
        self.shared.locks.unlock_all();
        Ok(())
    }

    async fn prepare(
        &mut self,
        name: &str,
        types: &[PgType],
        statement: &Statement,
        text: &str,
    ) -> Result<()> {
        let mut prepared = Prepared::new(statement.clone(), types.to_vec(), true);
        text.clone_into(&mut prepared.text);
        let prepared = Arc::new(prepared);
        let planned = Box::pin(self.planned(&prepared)).await;
        planned.map_err(|error| placed(error, &prepared))?;
        self.keep_statement(name, prepared)
    }

    async fn execute_prepared(&mut self, name: &str, arguments: &[ast::Expr]) -> Result<State> {
        let prepared = self.statement(name)?;
        let mut planned = Box::pin(self.planned(&prepared)).await?;
        let parameters = self.arguments(name, arguments, &planned.parameters).await?;
        let outcome = Box::pin(self.run(&prepared, &mut planned, &parameters)).await?;
        self.row_state(outcome)
    }

    pub(super) fn row_state(&self, outcome: Outcome) -> Result<State> {
        let style = self.shared.settings().typed.style.clone();
        match outcome {
            Outcome::Command(tag) => Ok(State::Done(tag)),
            Outcome::Rows { rows, tag, .. } => Ok(running(rows, tag, style)),
            Outcome::CopyIn(_) | Outcome::CopyOut(_) | Outcome::Replan => {
                Err(Error::internal("a prepared statement turned into a COPY"))
            }
        }
    }

    /// EXECUTE's arguments as values of the parameters' types.
    async fn arguments(
        &mut self,
        name: &str,
        arguments: &[ast::Expr],
        types: &[PgType],
    ) -> Result<Vec<Datum<'static>>> {
        if arguments.len() != types.len() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .detail(format!(
                "Expected {} parameters but got {}.",
                types.len(),
                arguments.len()
            )));
        }
        if arguments.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = self.catalog()?;
        let info = self.info()?;
        let execution = self.execution(&[])?;
        let context = PlanContext {
            catalog: &catalog,
            info: &info,
            parameters: &[],
            row_keys: &[],
        };
        let engine = self.engine.clone();
        let mut values = engine
            .query
            .evaluate(arguments, None, &[Vec::new()], &context, &execution)
            .await?;
        let row = values.pop().unwrap_or_default();
        row.into_iter()
            .zip(types)
            .map(|((datum, from), to)| {
                cast::cast(datum, from, *to, CastContext::Assignment, &info.style)
            })
            .collect()
    }

    async fn explain(
        &mut self,
        options: ExplainOptions,
        statement: &Statement,
        parameters: &[Datum<'static>],
    ) -> Result<State> {
        self.open()?.txn.start_statement()?;
        let (prepared, parameters) = match &statement.body {
            Body::Session(Verb::Execute { name, arguments }) => {
                let prepared = self.statement(name)?;
                let planned = Box::pin(self.planned(&prepared)).await?;
                let values = self.arguments(name, arguments, &planned.parameters).await?;
                (prepared, values)
            }
            _ => {
                let prepared = Prepared::new(statement.clone(), Vec::new(), false);
                (Arc::new(prepared), parameters.to_vec())
            }
        };
        let planned = Box::pin(self.planned(&prepared)).await;
        let planned = planned.map_err(|error| placed(error, &prepared))?;
        planned.allowed()?;
        let parameters = parameters.as_slice();
        let lines = match &planned.way {
            Way::Query(plan, _) => {
                let execution = self.execution(parameters)?;
                let engine = self.engine.clone();
                let work = engine
                    .query
                    .explain(plan, execution, options.analyze, options.verbose);
                self.limits().guard(work).await?
            }
            Way::Dml(plan) => {
                let types = planned.parameters.clone();
                self.with_context(parameters, &types, async |context| {
                    dml::explain(context, plan, options).await
                })
                .await?
            }
            Way::Ddl | Way::Copy | Way::Verb(_) | Way::Empty => {
                return Err(Error::unsupported(
                    "EXPLAIN of this statement",
                    "Explain its query alone.",
                ));
            }
        };
        Ok(self.fixed(
            lines
                .into_iter()
                .map(|line| vec![Datum::text(line)])
                .collect(),
            "EXPLAIN",
        ))
    }
}

fn bad_level(text: &str) -> Error {
    let message = format!("invalid value for parameter \"transaction_isolation\": \"{text}\"");
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .hint("Available values: serializable, repeatable read, read committed, read uncommitted.")
}
