//! `pg_catalog` and `information_schema`: system tables computed from the live catalog.
//!
//! Every table has PostgreSQL 15's columns (`definitions.txt`); those of things that there are not
//! (triggers, publications, …) are empty. Objects keep the OIDs that the catalog gave them, and
//! what PostgreSQL has from the start (types, access methods, `pg_class` itself) has PostgreSQL's.

mod definitions;
mod deparse;
mod functions;
mod provider;
mod rows;
mod tables;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;

use crate::catalog::Catalog;
use crate::query::{SessionInfo, SystemCatalog};
use provider::SystemTable;
use rows::Source;

use crate::catalog::QualifiedName;
use crate::error::{Error, Result, SqlState};
use tables::{comments as comments_of, full_name as full_name_of, tables as tables_of};

pub use deparse::{constraint_definition, expression_text, index_definition};

/// The system schemas, as the query engine takes them.
#[derive(Debug)]
pub struct PgCatalog;

impl SystemCatalog for PgCatalog {
    fn table(
        &self,
        schema: &str,
        name: &str,
        catalog: &Arc<Catalog>,
        info: &Arc<SessionInfo>,
    ) -> Option<Arc<dyn TableProvider>> {
        let definition = definitions::find(schema, name)?;
        let source = Source {
            catalog: catalog.clone(),
            info: info.clone(),
        };
        Some(Arc::new(SystemTable { definition, source }))
    }

    fn names(&self, schema: &str) -> Vec<&'static str> {
        definitions::all()
            .iter()
            .filter(|definition| definition.schema == schema)
            .map(|definition| definition.name)
            .collect()
    }

    fn scalar_functions(&self) -> Vec<ScalarUDF> {
        functions::all()
    }
}

/// A relation's name as text spells it: parts in quotes or folded.
fn parse_name(written: &str) -> Result<QualifiedName> {
    use crate::query::SqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    let name = Parser::new(&SqlDialect)
        .try_with_sql(written)
        .and_then(|mut parser| parser.parse_object_name(false))
        .map_err(|_| Error::new(SqlState::INVALID_NAME, "invalid name syntax"))?;
    QualifiedName::from_ast(&name)
}
