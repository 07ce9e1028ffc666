//! COPY.

use datafusion::sql::sqlparser::ast::Statement;

use crate::error::{Error, Result};
use crate::sql::{Context, Outcome};

pub(super) async fn start(_context: &mut Context<'_>, _statement: &Statement) -> Result<Outcome> {
    Err(Error::unsupported("COPY", "Use INSERT."))
}
