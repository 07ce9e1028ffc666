//! INSERT, UPDATE, DELETE and COPY: statements that write rows. Also the compiled way, which
//! reads and writes single rows by key without DataFusion.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement;

use super::{Context, Engine, Outcome};
use crate::error::Result;
use crate::query::{PlanContext, ResultColumn};
use crate::types::PgType;

/// A prepared statement of this folder.
pub struct Prepared {
    pub parameters: Vec<PgType>,
    /// The columns of RETURNING (or of a compiled SELECT), if any.
    pub columns: Option<Arc<[ResultColumn]>>,
}

/// Prepares INSERT, UPDATE, DELETE, and those SELECTs that compile; `None` for any other statement.
pub async fn prepare(
    engine: &Arc<Engine>,
    statement: &Statement,
    context: &PlanContext<'_>,
) -> Result<Option<Arc<Prepared>>> {
    let _ = (engine, statement, context);
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
