//! Statements that change the catalog, one file a verb.

use datafusion::sql::sqlparser::ast::Statement;

use super::{Context, Outcome};
use crate::error::Result;

/// Whether `statement` is one of this folder's.
pub fn handles(statement: &Statement) -> bool {
    let _ = statement;
    todo!()
}

/// Runs a DDL statement.
pub async fn execute(context: &mut Context<'_>, statement: &Statement) -> Result<Outcome> {
    let _ = (context, statement);
    todo!()
}
