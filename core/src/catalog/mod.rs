//! What exists: schemas, tables with their constraints and indexes, views, sequences, roles.
//!
//! Every object is one row of [`CATALOG_TABLE`](crate::storage::CATALOG_TABLE), written through the
//! same transactions as data: DDL is transactional, and a snapshot shows the catalog that fits its
//! rows. In memory a [`Catalog`] is an immutable value; changing one makes another.

mod cache;
pub mod keys;
mod keywords;
mod layout;
mod names;
mod object;
mod objects;
mod privileges;
mod sequences;
mod store;
mod store_grants;
mod system;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub use names::{
    MAX_NAME_BYTES, QualifiedName, SearchPath, fold, quote, truncate, undefined_column,
    undefined_relation, undefined_schema,
};
pub use object::Object;
pub use objects::*;
pub use privileges::*;
pub use sequences::{Sequences, row_id_mark, sequence_mark};
pub use store::{bootstrap, object_row_key, relation_name_lock, role_name_lock, schema_name_lock};
pub use system::{system_relation, system_relation_name};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All objects at one snapshot. Cloning shares the objects.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub(crate) objects: BTreeMap<u32, Object>,
    /// (schema OID, name) of relations (tables, indexes, views, sequences share one name space).
    pub(crate) relations: BTreeMap<(u32, String), u32>,
    pub(crate) schemas: BTreeMap<String, u32>,
    pub(crate) roles: BTreeMap<String, u32>,
    /// (referenced table, referencing table) of every foreign key.
    pub(crate) references: BTreeSet<(u32, u32)>,
    /// (object, part) → text; part 0 is the object itself. Tables, their columns and views keep
    /// theirs in the object.
    pub(crate) comments: BTreeMap<(u32, u32), Arc<str>>,
    /// (object, column number or 0) → who may do what with it.
    pub(crate) acls: BTreeMap<(u32, u32), Arc<Acl>>,
    /// (role, member).
    pub(crate) members: BTreeMap<(u32, u32), Membership>,
    /// (role, schema or 0, kind's letter) → what is granted on objects that the role makes.
    pub(crate) default_acls: BTreeMap<(u32, u32, char), Arc<Acl>>,
}

impl Catalog {
    pub fn object(&self, oid: u32) -> Option<&Object> {
        self.objects.get(&oid)
    }

    pub fn schema(&self, name: &str) -> Option<&Arc<Schema>> {
        match self.objects.get(self.schemas.get(name)?)? {
            Object::Schema(schema) => Some(schema),
            _ => None,
        }
    }

    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        match self.objects.get(self.roles.get(name)?)? {
            Object::Role(role) => Some(role),
            _ => None,
        }
    }

    /// The relation of that name in that schema.
    pub fn relation(&self, schema: u32, name: &str) -> Option<&Object> {
        self.objects
            .get(self.relations.get(&(schema, name.to_owned()))?)
    }

    pub fn table(&self, oid: u32) -> Option<&Arc<Table>> {
        match self.objects.get(&oid)? {
            Object::Table(table) => Some(table),
            _ => None,
        }
    }

    /// All objects in the order of their OIDs.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// The comment on an object that does not keep its own (see [`Catalog::set_comment`]).
    pub fn comment(&self, oid: u32, sub: u32) -> Option<&str> {
        self.comments.get(&(oid, sub)).map(AsRef::as_ref)
    }

    /// The indexes of a table, the primary key's own first; each is also listed in the table.
    pub fn indexes(&self, table: &Table) -> Vec<Arc<Index>> {
        table
            .indexes
            .iter()
            .filter_map(|oid| match self.objects.get(oid)? {
                Object::Index(index) => Some(index.clone()),
                _ => None,
            })
            .collect()
    }

    /// Foreign keys of any table that reference `table`.
    pub fn referencing(&self, table: u32) -> Vec<(Arc<Table>, ForeignKey)> {
        let mut found = Vec::new();
        for (_, child) in self.references.range((table, 0)..=(table, u32::MAX)) {
            let Some(child) = self.table(*child) else {
                continue;
            };
            for constraint in &child.constraints {
                if let ConstraintKind::ForeignKey(key) = &constraint.kind
                    && key.table == table
                {
                    found.push((child.clone(), key.clone()));
                }
            }
        }
        found
    }
}
