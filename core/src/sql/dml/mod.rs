//! INSERT, UPDATE, DELETE and COPY: statements that write rows; SELECT … FOR UPDATE, which locks
//! them. Also the compiled way, which reads and writes single rows by key without DataFusion.
//!
//! See `README.md` in this folder for how a statement runs.

mod assign;
mod begin;
mod bulk;
mod check;
mod compiled;
mod copy;
mod delete;
mod explain;
mod foreign_key;
mod forms;
mod general;
mod insert;
mod insert_source;
mod lock_rows;
mod matches;
mod names;
mod on_conflict;
mod returning;
mod search;
mod target;
mod update;
mod values;
mod write;
mod writing_with;

pub use explain::explain;
pub use forms::{Forms, take as take_forms};

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, SetExpr, Statement, visit_expressions};

use self::compiled::Compiler;
pub use self::compiled::{RangeSelect, Select};
use self::delete::Delete;
use self::insert::Insert;
use self::lock_rows::LockRows;
use self::update::Update;
use self::writing_with::WritingWith;
use super::{Context, Engine, ExplainOptions, Locking, Outcome};
use crate::error::{Error, Result};
use crate::query::{PlanContext, ResultColumn};
use crate::types::PgType;

/// A prepared statement of this folder.
pub struct Prepared {
    pub parameters: Vec<PgType>,
    /// The columns of RETURNING (or of a compiled or locking SELECT), if any.
    pub columns: Option<Arc<[ResultColumn]>>,
    kind: Kind,
}

enum Kind {
    Select(Box<Select>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    LockRows(Box<LockRows>),
    With(Box<WritingWith>),
}

impl Kind {
    /// The columns of the rows that it gives, if it gives any.
    fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        let returning = match self {
            Kind::Select(select) => return Some(select.columns.clone()),
            Kind::LockRows(lock) => return Some(lock.columns.clone()),
            Kind::With(with) => return with.columns(),
            Kind::Insert(insert) => &insert.returning,
            Kind::Update(update) => &update.returning,
            Kind::Delete(delete) => &delete.returning,
        };
        returning.as_ref().map(|list| list.columns.clone())
    }
}

impl Prepared {
    /// The SELECT of one row by its key that asks nothing of the session, if it is one.
    pub fn point(&self) -> Option<&Select> {
        match &self.kind {
            Kind::Select(select) if select.is_plain() => Some(select),
            _ => None,
        }
    }

    /// Whether it is done in moments: it is compiled, and writes few rows, and none of other tables.
    pub fn is_brief(&self) -> bool {
        self.is_compiled()
            && match &self.kind {
                Kind::Update(update) => !update.may_cascade(),
                Kind::Delete(delete) => delete.target.referencing.is_empty(),
                Kind::Insert(insert) => !insert.has_many_rows(),
                Kind::Select(_) | Kind::LockRows(_) | Kind::With(_) => true,
            }
    }

    /// Whether it runs without DataFusion; then it looks at the interrupt itself where it waits.
    pub fn is_compiled(&self) -> bool {
        match &self.kind {
            Kind::Select(_) => true,
            Kind::Insert(insert) => insert.is_compiled(),
            Kind::Update(update) => update.is_compiled(),
            Kind::Delete(delete) => delete.is_compiled(),
            Kind::LockRows(_) | Kind::With(_) => false,
        }
    }
}

/// Prepares INSERT, UPDATE, DELETE, SELECT with `locking` clauses, and those SELECTs that compile;
/// `None` for any other statement. `locking` holds what stood behind a query (the AST has none).
///
/// # Errors
/// Those of PostgreSQL's parse analysis: unknown names, types that do not fit.
pub async fn prepare(
    engine: &Arc<Engine>,
    statement: &Statement,
    locking: &[Locking],
    context: &PlanContext<'_>,
) -> Result<Option<Arc<Prepared>>> {
    let mut compiler = Compiler::new(context.catalog, context.info, context.parameters);
    let kind = match statement {
        statement if handled(statement) && writing_with::has_parts(statement) => {
            if !locking.is_empty() {
                return Err(Error::unsupported(
                    "FOR UPDATE/SHARE beside a data-modifying WITH query",
                    "Lock the rows in a statement of their own.",
                ));
            }
            count_parameters(statement, &mut compiler);
            let with = WritingWith::prepare(engine, statement, context, &mut compiler).await?;
            Kind::With(Box::new(with))
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
            write(engine, statement, None, context, &mut compiler).await?
        }
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => {
                write(engine, inner, query.with.as_ref(), context, &mut compiler).await?
            }
            _ => {
                if locking.is_empty() {
                    match Select::compile(&mut compiler, query)? {
                        Some(select) => Kind::Select(Box::new(select)),
                        None => return Ok(None),
                    }
                } else {
                    let lock =
                        LockRows::prepare(engine, query, locking, context, &mut compiler).await?;
                    Kind::LockRows(Box::new(lock))
                }
            }
        },
        _ => return Ok(None),
    };
    let columns = kind.columns();
    // What nothing decided is text.
    let parameters = compiler
        .parameters
        .iter()
        .map(|ty| {
            if *ty == PgType::UNKNOWN {
                PgType::TEXT
            } else {
                *ty
            }
        })
        .collect();
    Ok(Some(Arc::new(Prepared {
        parameters,
        columns,
        kind,
    })))
}

async fn write(
    engine: &Arc<Engine>,
    statement: &Statement,
    with: Option<&ast::With>,
    context: &PlanContext<'_>,
    compiler: &mut Compiler<'_>,
) -> Result<Kind> {
    count_parameters(statement, compiler);
    Ok(match statement {
        Statement::Insert(insert) => Kind::Insert(Box::new(
            Insert::prepare(engine, insert, with, context, compiler).await?,
        )),
        Statement::Update(update) => Kind::Update(Box::new(
            Update::prepare(engine, update, with, context, compiler).await?,
        )),
        Statement::Delete(delete) => Kind::Delete(Box::new(
            Delete::prepare(engine, delete, with, context, compiler).await?,
        )),
        _ => return Err(Error::internal("not a statement that writes rows")),
    })
}

fn handled(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
    )
}

/// Makes room for every parameter that the statement names, so that their number is known before
/// the first expression is compiled.
fn count_parameters(statement: &Statement, compiler: &mut Compiler<'_>) {
    let mut count = 0_usize;
    let _ = visit_expressions(statement, |expr| {
        if let ast::Expr::Value(value) = expr
            && let ast::Value::Placeholder(name) = &value.value
            && let Some(n) = name.strip_prefix('$').and_then(|n| n.parse::<u16>().ok())
        {
            count = count.max(usize::from(n));
        }
        ControlFlow::<()>::Continue(())
    });
    if compiler.parameters.len() < count {
        compiler.parameters.resize(count, PgType::UNKNOWN);
    }
}

/// Runs a prepared statement.
///
/// # Errors
/// Those of constraints, locks and expressions.
pub async fn execute(context: &mut Context<'_>, prepared: &Prepared) -> Result<Outcome> {
    run(context, &prepared.kind).await
}

async fn run(context: &mut Context<'_>, kind: &Kind) -> Result<Outcome> {
    match kind {
        Kind::Select(select) => select.execute(context),
        Kind::Insert(insert) => insert.execute(context).await,
        Kind::Update(update) => update.execute(context).await,
        Kind::Delete(delete) => delete.execute(context).await,
        Kind::LockRows(lock) => Box::pin(lock.execute(context)).await,
        Kind::With(with) => Box::pin(with.execute(context)).await,
    }
}

/// Starts `COPY` in either direction.
///
/// # Errors
/// 42601 and 0A000 for options, 42P01 for tables, 42501 for files of the server.
pub async fn copy(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    copy::start(context, statement).await
}
