//! What the system schemas contribute to queries: their tables and functions.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;

use super::SessionInfo;
use crate::catalog::Catalog;

/// The tables of `pg_catalog` and `information_schema`, and functions beyond the built-in ones.
///
/// Fields carry their PostgreSQL type in their metadata
/// ([`columns::field`](crate::types::columns::field)), functions in that of their return field.
pub trait SystemCatalog: Debug + Send + Sync {
    /// The table `schema.name` as `catalog` and the session show it; `None` when there is none.
    fn table(
        &self,
        schema: &str,
        name: &str,
        catalog: &Arc<Catalog>,
        info: &Arc<SessionInfo>,
    ) -> Option<Arc<dyn TableProvider>>;

    /// Names of the tables of `schema`.
    fn names(&self, schema: &str) -> Vec<&'static str>;

    /// Functions that are found by their name, unqualified or as `pg_catalog.name`. They are not
    /// folded into a cached plan unless they are immutable.
    fn scalar_functions(&self) -> Vec<ScalarUDF>;
}

/// The schema under which [`SystemCatalog::table`] gives the rows of functions without arguments.
pub const SYSTEM_FUNCTIONS: &str = "()";

/// No system tables and no further functions.
#[derive(Debug)]
pub struct NoSystemCatalog;

impl SystemCatalog for NoSystemCatalog {
    fn table(
        &self,
        _schema: &str,
        _name: &str,
        _catalog: &Arc<Catalog>,
        _info: &Arc<SessionInfo>,
    ) -> Option<Arc<dyn TableProvider>> {
        None
    }

    fn names(&self, _schema: &str) -> Vec<&'static str> {
        Vec::new()
    }

    fn scalar_functions(&self) -> Vec<ScalarUDF> {
        Vec::new()
    }
}
