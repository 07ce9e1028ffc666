//! Names of relations and how they are found.

use std::fmt;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{Catalog, Index, Object, PG_CATALOG_SCHEMA, Sequence, Table, View};
use crate::error::{Error, Result, SqlState};

/// Bytes of a name that are kept (PostgreSQL's `NAMEDATALEN - 1`).
pub const MAX_NAME_BYTES: usize = 63;

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

/// The name that an identifier means: lower case unless it was quoted, and cut to
/// [`MAX_NAME_BYTES`].
pub fn fold(ident: &Ident) -> String {
    let name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    truncate(name)
}

/// Cuts a name to [`MAX_NAME_BYTES`], never inside a character.
pub fn truncate(mut name: String) -> String {
    if name.len() > MAX_NAME_BYTES {
        let mut end = MAX_NAME_BYTES;
        while !name.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        name.truncate(end);
    }
    name
}

/// An identifier as SQL writes it: quoted where it must be.
pub fn quote(name: &str) -> String {
    let plain = name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !super::keywords::is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl QualifiedName {
    pub fn new(schema: Option<&str>, name: &str) -> Self {
        QualifiedName {
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The name that a parsed one means.
    ///
    /// # Errors
    /// 0A000 for a name with a database in front, 42601 for a longer one.
    pub fn from_ast(name: &ObjectName) -> Result<Self> {
        let mut parts = Vec::with_capacity(name.0.len());
        for part in &name.0 {
            match part {
                ObjectNamePart::Identifier(ident) => parts.push(fold(ident)),
                ObjectNamePart::Function(_) => {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!("improper qualified name: {name}"),
                    ));
                }
            }
        }
        let written = parts.join(".");
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, ..) => Ok(QualifiedName { schema: None, name }),
            (Some(schema), Some(name), None, _) => Ok(QualifiedName {
                schema: Some(schema),
                name,
            }),
            (Some(_), Some(_), Some(_), None) => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("cross-database references are not implemented: \"{written}\""),
            )),
            _ => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("improper qualified name (too many dotted names): {written}"),
            )),
        }
    }
}

/// As error messages show it: `schema.name`, without quotes.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// 42703: a column that a relation does not have.
pub fn undefined_column(column: &str, relation: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_COLUMN,
        format!("column \"{column}\" of relation \"{relation}\" does not exist"),
    )
}

/// `relation "x" does not exist` (42P01).
pub fn undefined_relation(name: &QualifiedName) -> Error {
    Error::new(
        SqlState::UNDEFINED_TABLE,
        format!("relation \"{name}\" does not exist"),
    )
}

/// `schema "x" does not exist` (3F000).
pub fn undefined_schema(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_SCHEMA_NAME,
        format!("schema \"{name}\" does not exist"),
    )
}

impl Catalog {
    /// The relation that `name` means.
    pub fn resolve(&self, name: &QualifiedName, path: &SearchPath) -> Option<&Object> {
        if let Some(schema) = &name.schema {
            return self.relation(self.schema(schema)?.oid, &name.name);
        }
        if !path.0.iter().any(|schema| schema == "pg_catalog")
            && let Some(found) = self.relation(PG_CATALOG_SCHEMA, &name.name)
        {
            return Some(found);
        }
        path.0
            .iter()
            .filter_map(|schema| self.schema(schema))
            .find_map(|schema| self.relation(schema.oid, &name.name))
    }

    /// The relation that `name` means.
    ///
    /// # Errors
    /// 42P01 when there is none.
    pub fn resolve_relation(&self, name: &QualifiedName, path: &SearchPath) -> Result<&Object> {
        self.resolve(name, path)
            .ok_or_else(|| undefined_relation(name))
    }

    /// The table that `name` means.
    ///
    /// # Errors
    /// 42P01 when there is no such relation, 42809 when it is not a table.
    pub fn resolve_table(&self, name: &QualifiedName, path: &SearchPath) -> Result<Arc<Table>> {
        match self.resolve_relation(name, path)? {
            Object::Table(table) => Ok(table.clone()),
            other => Err(wrong_kind(other, "a table")),
        }
    }

    /// The sequence that `name` means; errors as [`resolve_table`](Self::resolve_table).
    pub fn resolve_sequence(
        &self,
        name: &QualifiedName,
        path: &SearchPath,
    ) -> Result<Arc<Sequence>> {
        match self.resolve_relation(name, path)? {
            Object::Sequence(sequence) => Ok(sequence.clone()),
            other => Err(wrong_kind(other, "a sequence")),
        }
    }

    /// The view that `name` means; errors as [`resolve_table`](Self::resolve_table).
    pub fn resolve_view(&self, name: &QualifiedName, path: &SearchPath) -> Result<Arc<View>> {
        match self.resolve_relation(name, path)? {
            Object::View(view) => Ok(view.clone()),
            other => Err(wrong_kind(other, "a view")),
        }
    }

    /// The index that `name` means; errors as [`resolve_table`](Self::resolve_table).
    pub fn resolve_index(&self, name: &QualifiedName, path: &SearchPath) -> Result<Arc<Index>> {
        match self.resolve_relation(name, path)? {
            Object::Index(index) => Ok(index.clone()),
            other => Err(wrong_kind(other, "an index")),
        }
    }

    /// OID of the schema in which new objects are made when the name has no schema.
    ///
    /// # Errors
    /// 3F000 when no schema of the path exists.
    pub fn creation_schema(&self, path: &SearchPath) -> Result<u32> {
        path.0
            .iter()
            .filter(|name| *name != "pg_catalog" || path.0.len() == 1)
            .find_map(|name| self.schema(name))
            .map(|schema| schema.oid)
            .ok_or_else(|| {
                Error::new(
                    SqlState::INVALID_SCHEMA_NAME,
                    "no schema has been selected to create in",
                )
            })
    }

    /// Whether an unqualified name finds this relation (`pg_table_is_visible`).
    pub fn is_visible(&self, relation: &Object, path: &SearchPath) -> bool {
        let name = QualifiedName::new(None, relation.name());
        self.resolve(&name, path)
            .is_some_and(|found| found.oid() == relation.oid())
    }

    /// Name of a relation as messages and `regclass` show it: with its schema when the path does
    /// not find it.
    pub fn display_name(&self, relation: &Object, path: &SearchPath) -> String {
        if self.is_visible(relation, path) {
            return quote(relation.name());
        }
        let schema = relation
            .schema()
            .and_then(|oid| self.schema_name(oid))
            .unwrap_or_default();
        format!("{}.{}", quote(schema), quote(relation.name()))
    }

    /// Name of the schema of that OID.
    pub fn schema_name(&self, oid: u32) -> Option<&str> {
        match self.objects.get(&oid)? {
            Object::Schema(schema) => Some(&schema.name),
            _ => None,
        }
    }
}

fn wrong_kind(object: &Object, wanted: &str) -> Error {
    Error::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("\"{}\" is not {wanted}", object.name()),
    )
}
