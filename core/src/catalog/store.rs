//! Objects as rows of the catalog table.
//!
//! ```text
//! key     kind (1 byte) ‖ OID (4 bytes, big-endian)          an object: its JSON
//! key     COMMENT ‖ OID ‖ sub-object (4 bytes, big-endian)    a comment: its text
//! key     ACL ‖ OID ‖ sub-object                              who may do what: JSON
//! key     MEMBER ‖ role's OID ‖ member's OID                  a membership: JSON
//! key     DEFAULT_ACL ‖ role ‖ schema or 0 ‖ kind (1 byte)    ALTER DEFAULT PRIVILEGES: JSON
//! ```
//!
//! Readers ignore fields that they do not know and fill in the defaults of those that are missing,
//! so a field may be added without a new format. Bytes that are no such row are damage: XX001.

use std::ops::Bound;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    BOOTSTRAP_ROLE, Catalog, ConstraintKind, INFORMATION_SCHEMA, Object, PG_CATALOG_SCHEMA,
    PUBLIC_SCHEMA, Role, Schema,
};
use crate::error::{Error, Result};
use crate::storage::CATALOG_TABLE;
use crate::txn::{LockTarget, Transaction, View};

const SCHEMA: u8 = 1;
const TABLE: u8 = 2;
const INDEX: u8 = 3;
const VIEW: u8 = 4;
const SEQUENCE: u8 = 5;
const ROLE: u8 = 6;
const COMMENT: u8 = 7;
pub(super) const ACL: u8 = 8;
pub(super) const MEMBER: u8 = 9;
pub(super) const DEFAULT_ACL: u8 = 10;
/// Never stored: names are locked under keys of this kind.
const NAME: u8 = 0xff;

/// Writes what a fresh database starts with (schemas `pg_catalog`, `public`,
/// `information_schema`; the bootstrap role) unless it is there.
pub fn bootstrap(txn: &mut Transaction, owner: &str) -> Result<()> {
    let view = txn.view()?;
    if view
        .get(CATALOG_TABLE, &key(SCHEMA, PUBLIC_SCHEMA))?
        .is_some()
    {
        return Ok(());
    }
    let mut catalog = Catalog::default();
    for (oid, name) in [
        (PG_CATALOG_SCHEMA, "pg_catalog"),
        (PUBLIC_SCHEMA, "public"),
        (INFORMATION_SCHEMA, "information_schema"),
    ] {
        let schema = Schema {
            oid,
            name: name.to_owned(),
            owner: BOOTSTRAP_ROLE,
        };
        catalog.put(txn, Object::Schema(Arc::new(schema)))?;
    }
    catalog.set_comment(txn, PUBLIC_SCHEMA, 0, Some("standard public schema"))?;
    let role = Role {
        superuser: true,
        login: true,
        create_db: true,
        create_role: true,
        ..Role::new(BOOTSTRAP_ROLE, owner)
    };
    catalog.put(txn, Object::Role(Arc::new(role)))
}

/// What to lock while a relation of that name is made or renamed in that schema, so that two
/// transactions cannot both make one.
pub fn relation_name_lock(schema: u32, name: &str) -> LockTarget {
    name_lock(TABLE, schema, name)
}

/// As [`relation_name_lock`], for a schema's name.
pub fn schema_name_lock(name: &str) -> LockTarget {
    name_lock(SCHEMA, 0, name)
}

/// As [`relation_name_lock`], for a role's name.
pub fn role_name_lock(name: &str) -> LockTarget {
    name_lock(ROLE, 0, name)
}

fn name_lock(kind: u8, schema: u32, name: &str) -> LockTarget {
    let mut key = vec![NAME, kind];
    key.extend_from_slice(&schema.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    LockTarget::Row(CATALOG_TABLE, key)
}

impl Catalog {
    /// Reads the catalog through `view`.
    ///
    /// # Errors
    /// XX001 when a row is damaged.
    pub(super) fn read(view: &View) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        // Without own changes the snapshot itself answers, and nothing has to be merged.
        if view.version(CATALOG_TABLE).is_some() {
            let rows = view
                .snapshot()
                .range(CATALOG_TABLE, Bound::Unbounded, Bound::Unbounded)?;
            for row in rows {
                let (key, bytes) = row?;
                catalog.load(key.as_ref(), bytes.as_ref())?;
            }
        } else {
            for row in view.range(CATALOG_TABLE, Bound::Unbounded, Bound::Unbounded)? {
                let (key, bytes) = row?;
                catalog.load(key.as_ref(), bytes.as_ref())?;
            }
        }
        Ok(catalog)
    }

    /// Takes in one row of the catalog table.
    pub(super) fn load(&mut self, key: &[u8], bytes: &[u8]) -> Result<()> {
        let damaged = || Error::corrupted("the catalog has a row with a key of an unknown form");
        let (&kind, rest) = key.split_first().ok_or_else(damaged)?;
        if kind == COMMENT {
            let (oid, sub) = rest.split_at_checked(4).ok_or_else(damaged)?;
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Error::corrupted("a comment in the catalog is not UTF-8"))?;
            let key = (
                be_u32(oid).ok_or_else(damaged)?,
                be_u32(sub).ok_or_else(damaged)?,
            );
            self.comments.insert(key, text.into());
            return Ok(());
        }
        if matches!(kind, ACL | MEMBER | DEFAULT_ACL) {
            return self.load_grant(kind, rest, bytes).ok_or_else(damaged);
        }
        let oid = be_u32(rest).ok_or_else(damaged)?;
        let object = match kind {
            SCHEMA => Object::Schema(parse(oid, bytes)?),
            TABLE => Object::Table(parse(oid, bytes)?),
            INDEX => Object::Index(parse(oid, bytes)?),
            VIEW => Object::View(parse(oid, bytes)?),
            SEQUENCE => Object::Sequence(parse(oid, bytes)?),
            ROLE => Object::Role(parse(oid, bytes)?),
            _ => return Err(damaged()),
        };
        if object.oid() != oid {
            return Err(Error::corrupted(format!(
                "the catalog has object {} under the key of {oid}",
                object.oid()
            )));
        }
        self.insert(object);
        Ok(())
    }

    /// Adds or replaces an object, here and in the transaction.
    pub fn put(&mut self, txn: &mut Transaction, object: Object) -> Result<()> {
        let bytes = match &object {
            Object::Schema(it) => json(it.as_ref()),
            Object::Table(it) => json(it.as_ref()),
            Object::Index(it) => json(it.as_ref()),
            Object::View(it) => json(it.as_ref()),
            Object::Sequence(it) => json(it.as_ref()),
            Object::Role(it) => json(it.as_ref()),
        }?;
        txn.put(CATALOG_TABLE, object_row_key(&object), bytes)?;
        self.insert(object);
        Ok(())
    }

    /// Removes an object and its comments, here and in the transaction.
    pub fn remove(&mut self, txn: &mut Transaction, oid: u32) -> Result<()> {
        let subs: Vec<u32> = self
            .comments
            .range((oid, 0)..=(oid, u32::MAX))
            .map(|(&(_, sub), _)| sub)
            .collect();
        for sub in subs {
            self.set_comment(txn, oid, sub, None)?;
        }
        self.remove_grants(txn, oid)?;
        if let Some(object) = self.objects.get(&oid).cloned() {
            txn.delete(CATALOG_TABLE, object_row_key(&object))?;
            self.forget(oid);
        }
        Ok(())
    }

    /// Sets or removes the comment of an object (`sub` 0) or of a part of it (a column's number).
    pub fn set_comment(
        &mut self,
        txn: &mut Transaction,
        oid: u32,
        sub: u32,
        text: Option<&str>,
    ) -> Result<()> {
        let mut key = key(COMMENT, oid);
        key.extend_from_slice(&sub.to_be_bytes());
        match text {
            Some(text) => {
                txn.put(CATALOG_TABLE, key, text.as_bytes().to_vec())?;
                self.comments.insert((oid, sub), text.into());
            }
            None if self.comments.contains_key(&(oid, sub)) => {
                txn.delete(CATALOG_TABLE, key)?;
                self.comments.remove(&(oid, sub));
            }
            None => {}
        }
        Ok(())
    }

    /// Takes an object into the look-up maps, in place of an older one of its OID.
    pub(super) fn insert(&mut self, object: Object) {
        let oid = object.oid();
        self.forget(oid);
        let name = object.name().to_owned();
        match &object {
            Object::Schema(_) => {
                self.schemas.insert(name, oid);
            }
            Object::Role(_) => {
                self.roles.insert(name, oid);
            }
            Object::Table(table) => {
                self.relations.insert((table.schema, name), oid);
                for constraint in &table.constraints {
                    if let ConstraintKind::ForeignKey(key) = &constraint.kind {
                        self.references.insert((key.table, oid));
                    }
                }
            }
            Object::Index(_) | Object::View(_) | Object::Sequence(_) => {
                if let Some(schema) = object.schema() {
                    self.relations.insert((schema, name), oid);
                }
            }
        }
        self.objects.insert(oid, object);
    }

    /// Takes an object out of the look-up maps.
    fn forget(&mut self, oid: u32) {
        let Some(old) = self.objects.remove(&oid) else {
            return;
        };
        let name = old.name();
        match &old {
            Object::Schema(_) => {
                if self.schemas.get(name) == Some(&oid) {
                    self.schemas.remove(name);
                }
            }
            Object::Role(_) => {
                if self.roles.get(name) == Some(&oid) {
                    self.roles.remove(name);
                }
            }
            _ => {
                if let Some(schema) = old.schema() {
                    let key = (schema, name.to_owned());
                    if self.relations.get(&key) == Some(&oid) {
                        self.relations.remove(&key);
                    }
                }
            }
        }
        if let Object::Table(table) = &old {
            for constraint in &table.constraints {
                if let ConstraintKind::ForeignKey(key) = &constraint.kind {
                    self.references.remove(&(key.table, oid));
                }
            }
        }
    }
}

/// The key of an object's row in the catalog table.
pub fn object_row_key(object: &Object) -> Vec<u8> {
    let kind = match object {
        Object::Schema(_) => SCHEMA,
        Object::Table(_) => TABLE,
        Object::Index(_) => INDEX,
        Object::View(_) => VIEW,
        Object::Sequence(_) => SEQUENCE,
        Object::Role(_) => ROLE,
    };
    key(kind, object.oid())
}

pub(super) fn key(kind: u8, oid: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&oid.to_be_bytes());
    key
}

pub(super) fn be_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn json(object: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(object)
        .map_err(|error| Error::internal(format!("cannot write a catalog row: {error}")))
}

fn parse<T: DeserializeOwned>(oid: u32, bytes: &[u8]) -> Result<Arc<T>> {
    serde_json::from_slice(bytes)
        .map(Arc::new)
        .map_err(|error| Error::corrupted(format!("catalog row of object {oid}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Sequence, Table};
    use crate::types::PgType;

    fn table(oid: u32, name: &str) -> Object {
        Object::Table(Arc::new(Table {
            oid,
            name: name.to_owned(),
            schema: PUBLIC_SCHEMA,
            owner: BOOTSTRAP_ROLE,
            storage: u64::from(oid),
            columns: Vec::new(),
            primary_key: Vec::new(),
            indexes: Vec::new(),
            constraints: Vec::new(),
            comment: None,
        }))
    }

    #[test]
    fn renaming_moves_the_name() {
        let mut catalog = Catalog::default();
        catalog.insert(table(20_000, "a"));
        catalog.insert(table(20_000, "b"));
        assert!(catalog.relation(PUBLIC_SCHEMA, "a").is_none());
        assert_eq!(
            catalog.relation(PUBLIC_SCHEMA, "b").map(Object::oid),
            Some(20_000)
        );
    }

    #[test]
    fn rows_of_newer_and_older_versions_load() {
        let mut catalog = Catalog::default();
        let row = br#"{"oid":20001,"name":"s","schema":2200,"owner":10,
            "ty":{"oid":20,"typmod":-1},"start":1,"increment":1,"minimum":1,"maximum":9,
            "cache":1,"cycle":false,"field_of_tomorrow":[1]}"#;
        catalog.load(&key(SEQUENCE, 20_001), row).unwrap();
        let Some(Object::Sequence(sequence)) = catalog.relation(PUBLIC_SCHEMA, "s") else {
            panic!("not there");
        };
        let sequence: &Sequence = sequence;
        assert_eq!((sequence.ty, sequence.owned_by), (PgType::INT8, None));
    }

    #[test]
    fn damage_is_noticed() {
        let mut catalog = Catalog::default();
        for (key, row) in [
            (key(TABLE, 5), &b"{"[..]),
            (key(77, 5), b"{}"),
            (vec![TABLE, 1], b"{}"),
            (vec![], b""),
            (key(SCHEMA, 5), br#"{"oid":6,"name":"x","owner":10}"#),
            (key(COMMENT, 5), b"text"),
        ] {
            let error = catalog.load(&key, row).unwrap_err();
            assert_eq!(error.state().code(), "XX001", "{key:?}");
        }
    }

    #[test]
    fn objects_round_trip() {
        let Object::Table(before) = table(20_000, "Mixed \"Case\"") else {
            unreachable!()
        };
        let bytes = json(before.as_ref()).unwrap();
        let mut catalog = Catalog::default();
        catalog.load(&key(TABLE, 20_000), &bytes).unwrap();
        let after = catalog.table(20_000).unwrap();
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
    }
}
