//! INSERT, UPDATE, DELETE and COPY: statements that write rows. Also the compiled way, which
//! reads and writes single rows by key without DataFusion.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement;

use super::{Context, Engine, ExplainOptions, Locking, Outcome};
use crate::error::Result;
use crate::query::{PlanContext, ResultColumn};
use crate::types::PgType;

/// A prepared statement of this folder.
pub struct Prepared {
    pub parameters: Vec<PgType>,
    /// The columns of RETURNING (or of a compiled SELECT), if any.
    pub columns: Option<Arc<[ResultColumn]>>,
}

impl Prepared {
    /// Whether it runs without DataFusion; then it looks at the interrupt itself where it waits.
    pub fn is_compiled(&self) -> bool {
        todo!()
    }
}

/// Prepares INSERT, UPDATE, DELETE, SELECT with `locking` clauses, and those SELECTs that compile;
/// `None` for any other statement. `locking` holds what stood behind a query (the AST has none).
pub async fn prepare(
    engine: &Arc<Engine>,
    statement: &Statement,
    locking: &[Locking],
    context: &PlanContext<'_>,
) -> Result<Option<Arc<Prepared>>> {
    let _ = (engine, statement, locking, context);
    todo!()
}

/// Runs a prepared statement.
pub async fn execute(context: &mut Context<'_>, prepared: &Prepared) -> Result<Outcome> {
    let _ = (context, prepared);
    todo!()
}

/// Starts `COPY` in either direction.
pub async fn copy(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let _ = (context, statement);
    todo!()
}

/// The plan as `EXPLAIN` shows it, one line each; `analyze` runs the statement.
pub async fn explain(
    context: &mut Context<'_>,
    prepared: &Prepared,
    options: ExplainOptions,
) -> Result<Vec<String>> {
    let _ = (context, prepared, options);
    todo!()
}
