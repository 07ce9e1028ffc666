//! Statements of several parts: WITH queries that write, as in `WITH gone AS (DELETE … RETURNING *)
//! INSERT … SELECT … FROM gone`, and sub-queries that lock, as in `DELETE … WHERE id IN (SELECT … FOR
//! UPDATE SKIP LOCKED)`, which are WITH queries without a name.
//!
//! The parts run one after another and the main statement last. All of them read the state in which
//! the statement began, so none sees what another wrote but through RETURNING. The rows that a part
//! returns are kept and given on as arrays: where the other parts name it, they read
//! `unnest($n, …)`, and those parameters follow the statement's own.

mod parts;

pub(super) use parts::has_parts;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{self, Statement};
use datafusion::sql::sqlparser::parser::Parser;
use futures::StreamExt;

use super::compiled::Compiler;
use super::update::merge_parameters;
use super::values::value;
use super::{Kind, run, write};
use crate::catalog::fold;
use crate::error::{Error, Result, SqlState};
use crate::query::{Execution, Plan, PlanContext, ResultColumn, SqlDialect};
use crate::sql::{Context, Engine, Outcome, Tag};
use crate::types::names::{array_type, element_of, internal_name};
use crate::types::{Array, Datum, PgType, oid, text};
use parts::{Preparation, statement_of};

/// A statement with parts that write.
pub(super) struct WritingWith {
    parts: Vec<Part>,
    main: Main,
    /// Parameters of the statement itself.
    own: usize,
}

/// A WITH query that writes.
struct Part {
    kind: Kind,
    /// What it returns.
    columns: Vec<Column>,
}

/// A column of RETURNING.
struct Column {
    ty: PgType,
    /// Arrays are given on as text: there are no arrays of them.
    as_text: bool,
}

enum Main {
    Query(Box<Plan>),
    Write(Box<Kind>),
}

impl WritingWith {
    /// Prepares a statement that has parts, and these.
    ///
    /// # Errors
    /// Those of the parts; 0A000 for a part without RETURNING that is read.
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        statement: &Statement,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<WritingWith> {
        let own = compiler.parameters.len();
        let mut main = statement.clone();
        let with = match &mut main {
            Statement::Query(query) => query.with.take(),
            _ => None,
        };
        let silent: Vec<String> = with
            .iter()
            .flat_map(|with| &with.cte_tables)
            .filter(|cte| statement_of(&cte.query.body).is_some_and(returns_nothing))
            .map(|cte| fold(&cte.alias.name))
            .collect();
        refuse_use(statement, &silent)?;
        let mut preparation = Preparation {
            engine,
            context,
            compiler,
            parts: Vec::new(),
            before: ast::With {
                with_token: AttachedToken::empty(),
                recursive: with.as_ref().is_some_and(|with| with.recursive),
                cte_tables: Vec::new(),
            },
            locks: 0,
        };
        for cte in with.into_iter().flat_map(|with| with.cte_tables) {
            preparation.cte(cte).await?;
        }
        let depth = usize::from(!matches!(main, Statement::Query(_)));
        preparation.take_locks(&mut main, depth).await?;
        let Preparation {
            parts,
            before,
            compiler,
            ..
        } = preparation;
        let with = (!before.cte_tables.is_empty()).then_some(before);
        let writing = match &main {
            Statement::Query(query) => statement_of(&query.body),
            statement => Some(statement),
        };
        let main = match (writing, &main) {
            (Some(statement), _) => {
                let kind = Box::pin(write(engine, statement, with.as_ref(), context, compiler));
                Main::Write(Box::new(kind.await?))
            }
            (None, Statement::Query(query)) => {
                let main = ast::Query {
                    with,
                    ..query.as_ref().clone()
                };
                let context = PlanContext {
                    parameters: &compiler.parameters,
                    ..context.clone()
                };
                let plan = engine.query.plan(&main, &context).await?;
                merge_parameters(compiler, &plan.parameters);
                Main::Query(Box::new(plan))
            }
            (None, _) => return Err(Error::internal("a statement without a main part")),
        };
        compiler.parameters.truncate(own);
        Ok(WritingWith { parts, main, own })
    }

    pub(super) fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        match &self.main {
            Main::Query(plan) => Some(plan.columns.clone()),
            Main::Write(kind) => kind.columns(),
        }
    }

    /// Runs the parts, then the main statement. When one of them has to be planned again, nothing of
    /// the others stays.
    pub(super) async fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        let savepoint = context.txn.savepoint();
        context.txn.hold_view()?;
        let outcome = self.run_all(context).await;
        context.txn.release_view();
        if !matches!(outcome, Ok(Outcome::Command(_) | Outcome::Rows { .. })) {
            context.txn.rollback_to(savepoint);
        }
        context.txn.release(savepoint);
        outcome
    }

    async fn run_all(&self, context: &mut Context<'_>) -> Result<Outcome> {
        let mut parameters = context.parameters.to_vec();
        parameters.resize(self.own, Datum::Null);
        let mut types = context.parameter_types.to_vec();
        types.resize(self.own, PgType::TEXT);
        for part in &self.parts {
            let outcome = with_parameters(context, &parameters, &types, &part.kind).await?;
            let Some(arrays) = part.collect(context, outcome).await? else {
                return Ok(Outcome::Replan);
            };
            for (column, array) in part.columns.iter().zip(arrays) {
                types.push(column.array_type()?);
                parameters.push(Datum::Array(Box::new(array)));
            }
        }
        match &self.main {
            Main::Write(kind) => with_parameters(context, &parameters, &types, kind).await,
            Main::Query(plan) => {
                let execution = Execution {
                    parameters,
                    ..context.execution()?
                };
                let rows = context.engine.query.run(plan, execution).await?;
                Ok(Outcome::Rows {
                    columns: plan.columns.clone(),
                    rows,
                    tag: Tag::Counted("SELECT"),
                })
            }
        }
    }
}

impl Part {
    /// What it returned, an array for each column; `None` when it has to be planned again.
    async fn collect(&self, context: &Context<'_>, outcome: Outcome) -> Result<Option<Vec<Array>>> {
        let mut arrays: Vec<Array> = self
            .columns
            .iter()
            .map(|column| Array {
                element: column.element(),
                items: Vec::new(),
            })
            .collect();
        let mut rows = match outcome {
            Outcome::Command(_) => return Ok(Some(arrays)),
            Outcome::Replan => return Ok(None),
            Outcome::Rows { rows, .. } => rows,
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => {
                return Err(Error::internal("a COPY in WITH"));
            }
        };
        while let Some(block) = rows.next().await {
            let block = block?;
            context.interrupt.check()?;
            for row in 0..block.len() {
                let columns = self.columns.iter().zip(&mut arrays).enumerate();
                for (at, (column, array)) in columns {
                    let datum = value(&block, row, at, column.ty)?;
                    array.items.push(match (column.as_text, datum) {
                        (true, Datum::Null) => Datum::Null,
                        (true, datum) => {
                            let style = &context.info.style;
                            Datum::text(text::to_string(&datum, column.ty, style))
                        }
                        (false, datum) => datum,
                    });
                }
            }
        }
        Ok(Some(arrays))
    }
}

impl Column {
    fn element(&self) -> PgType {
        match self.as_text {
            true => PgType::TEXT,
            false => PgType::new(self.ty.oid),
        }
    }

    fn array_type(&self) -> Result<PgType> {
        array_type(self.element())
    }
}

fn column(column: &ResultColumn) -> Column {
    Column {
        ty: column.ty,
        as_text: element_of(column.ty.oid).is_some() || column.ty.oid == oid::RECORD,
    }
}

/// Runs a part with these parameters in place of the statement's.
async fn with_parameters(
    context: &mut Context<'_>,
    parameters: &[Datum<'static>],
    types: &[PgType],
    kind: &Kind,
) -> Result<Outcome> {
    let mut inner = Context {
        engine: context.engine,
        txn: &mut *context.txn,
        catalog: &mut *context.catalog,
        info: context.info.clone(),
        parameters,
        parameter_types: types,
        notices: &mut *context.notices,
        interrupt: context.interrupt.clone(),
        lock_timeout: context.lock_timeout,
        in_block: context.in_block,
    };
    Box::pin(run(&mut inner, kind)).await
}

/// The query that gives the kept rows: parameters from the number after `first` on.
fn stored_rows(returned: &[ResultColumn], columns: &[Column], first: usize) -> Result<ast::Query> {
    let mut items = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    let mut names = Vec::with_capacity(columns.len());
    for (at, (result, column)) in returned.iter().zip(columns).enumerate() {
        let number = first.saturating_add(at).saturating_add(1);
        let name = result.name.replace('"', "\"\"");
        let ty = |oid| {
            internal_name(oid)
                .map(|name| format!("\"{name}\""))
                .ok_or_else(|| Error::internal("a type without a name"))
        };
        arrays.push(format!("${number}::{}[]", ty(column.element().oid)?));
        names.push(format!("c{at}"));
        items.push(match column.as_text && result.ty.oid != oid::RECORD {
            true => format!("c{at}::{}::{} AS \"{name}\"", "text", ty(result.ty.oid)?),
            false => format!("c{at} AS \"{name}\""),
        });
    }
    let sql = format!(
        "SELECT {} FROM unnest({}) AS \"?\"({})",
        items.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    parsed(&sql)
}

fn parsed(sql: &str) -> Result<ast::Query> {
    Parser::new(&SqlDialect)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query())
        .map(|query| *query)
        .map_err(|error| Error::internal(error.to_string()))
}

fn returns_nothing(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => insert.returning.is_none(),
        Statement::Update(update) => update.returning.is_none(),
        Statement::Delete(delete) => delete.returning.is_none(),
        _ => true,
    }
}

/// 0A000 where a WITH query that returns nothing is read.
fn refuse_use(statement: &Statement, silent: &[String]) -> Result<()> {
    let used = ast::visit_relations(statement, |relation| {
        let name = match relation.0.as_slice() {
            [part] => part.as_ident().map(fold),
            _ => None,
        };
        match name.filter(|name| silent.contains(name)) {
            Some(name) => ControlFlow::Break(name),
            None => ControlFlow::Continue(()),
        }
    });
    match used {
        ControlFlow::Break(name) => Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("WITH query \"{name}\" does not have a RETURNING clause"),
        )),
        ControlFlow::Continue(()) => Ok(()),
    }
}
