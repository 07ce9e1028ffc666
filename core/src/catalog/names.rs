//! Names of relations and how they are found.

use std::sync::Arc;

use super::{Catalog, Object, PG_CATALOG_SCHEMA};

/// A name as written, identifiers already folded: an optional schema, and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualifiedName {
    pub schema: Option<String>,
    pub name: String,
}

/// Schemas in which an unqualified name is looked for, in order; `pg_catalog` comes first unless
/// it is listed. The first existing one is where new objects go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath(pub Arc<[String]>);

impl Catalog {
    /// The relation that `name` means.
    pub fn resolve(&self, name: &QualifiedName, path: &SearchPath) -> Option<&Object> {
        if let Some(schema) = &name.schema {
            return self.relation(self.schema(schema)?.oid, &name.name);
        }
        if !path.0.iter().any(|schema| schema == "pg_catalog") {
            if let Some(found) = self.relation(PG_CATALOG_SCHEMA, &name.name) {
                return Some(found);
            }
        }
        path.0
            .iter()
            .filter_map(|schema| self.schema(schema))
            .find_map(|schema| self.relation(schema.oid, &name.name))
    }
}
