//! Any object of the catalog, and what all objects have.

use std::sync::Arc;

use super::{Index, Role, Schema, Sequence, Table, View, undefined_column};
use crate::error::Result;

/// Any object, shared.
#[derive(Clone, Debug)]
pub enum Object {
    Schema(Arc<Schema>),
    Table(Arc<Table>),
    Index(Arc<Index>),
    View(Arc<View>),
    Sequence(Arc<Sequence>),
    Role(Arc<Role>),
}

impl Object {
    pub fn oid(&self) -> u32 {
        match self {
            Object::Schema(it) => it.oid,
            Object::Table(it) => it.oid,
            Object::Index(it) => it.oid,
            Object::View(it) => it.oid,
            Object::Sequence(it) => it.oid,
            Object::Role(it) => it.oid,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Object::Schema(it) => &it.name,
            Object::Table(it) => &it.name,
            Object::Index(it) => &it.name,
            Object::View(it) => &it.name,
            Object::Sequence(it) => &it.name,
            Object::Role(it) => &it.name,
        }
    }

    /// The attribute number of a table's or a view's column.
    ///
    /// # Errors
    /// 42703 when there is no such column.
    pub fn column_number(&self, name: &str) -> Result<u32> {
        let at = match self {
            Object::Table(table) => table.column(name),
            Object::View(view) => view.columns.iter().position(|column| column.name == name),
            _ => None,
        };
        at.and_then(|at| u32::try_from(at.saturating_add(1)).ok())
            .ok_or_else(|| undefined_column(name, self.name()))
    }

    /// The names of a table's or a view's columns.
    pub fn column_names(&self) -> Option<Vec<String>> {
        match self {
            Object::Table(table) => {
                let columns = table.live_columns();
                Some(columns.map(|(_, column)| column.name.clone()).collect())
            }
            Object::View(view) => {
                let columns = view.columns.iter();
                Some(columns.map(|column| column.name.clone()).collect())
            }
            _ => None,
        }
    }

    /// OID of the schema that a relation is in.
    pub fn schema(&self) -> Option<u32> {
        match self {
            Object::Schema(_) | Object::Role(_) => None,
            Object::Table(it) => Some(it.schema),
            Object::Index(it) => Some(it.schema),
            Object::View(it) => Some(it.schema),
            Object::Sequence(it) => Some(it.schema),
        }
    }

    /// What messages call this kind of object.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::Schema(_) => "schema",
            Object::Table(_) => "table",
            Object::Index(_) => "index",
            Object::View(_) => "view",
            Object::Sequence(_) => "sequence",
            Object::Role(_) => "role",
        }
    }
}
