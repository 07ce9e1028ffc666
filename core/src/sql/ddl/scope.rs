//! Where DDL works: names resolved to schemas and objects, locks taken in the right order, and the
//! catalog brought up to date after every wait.
//!
//! Two rules keep concurrent DDL right. A new name is locked before it is looked up, so of two
//! transactions that make it, the second sees the first one's. An existing object is locked, and
//! then looked up again in a new snapshot, for it may have changed while the lock was awaited.

use std::sync::Arc;

use super::super::Context;
pub(super) use crate::catalog::is_system_schema;
use crate::catalog::{
    Catalog, Index, Object, Privileges, QualifiedName, Rights, Role, Schema, Sequence, Table, View,
    object_row_key, relation_name_lock, role_name_lock, schema_name_lock, undefined_relation,
    undefined_schema,
};
use crate::error::{Error, Result, SqlState};
use crate::storage::CATALOG_TABLE;
use crate::txn::{RelationMode, RowLock, RowMode, Wait};

/// What the current role needs to be of a relation that a statement locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    Owner,
    /// All of these.
    Privileges(Privileges),
    /// The caller looks itself.
    Nothing,
}

impl Context<'_> {
    /// What the current role may do.
    pub(super) fn rights(&self) -> Rights {
        self.catalog.rights(&self.info.user)
    }

    /// 42501 unless the current role is the owner of an object, or one of its members.
    pub(super) fn check_owner(&self, object: &Object) -> Result<()> {
        self.catalog.check_owner(&self.rights(), object)
    }

    /// 42501 unless the current role may use the schema so.
    pub(super) fn check_schema(&self, schema: u32, wanted: Privileges) -> Result<()> {
        self.catalog.check_schema(&self.rights(), schema, wanted)
    }

    /// 42501 unless what the current role makes may belong to `owner`.
    pub(super) fn check_member(&self, owner: u32) -> Result<()> {
        if self.catalog.is_member(self.rights().role, owner) {
            return Ok(());
        }
        let name = self.catalog.object(owner).map_or("", Object::name);
        Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("must be member of role \"{name}\""),
        ))
    }

    fn check_needed(&self, object: &Object, needed: Needed) -> Result<()> {
        match needed {
            Needed::Owner => self.check_owner(object),
            Needed::Privileges(wanted) => self.catalog.check(&self.rights(), object, wanted),
            Needed::Nothing => Ok(()),
        }
    }

    /// Reads the catalog anew (READ COMMITTED: with a new snapshot).
    pub(super) fn refresh(&mut self) -> Result<()> {
        self.txn.start_statement()?;
        let view = self.txn.view()?;
        *self.catalog = self.engine.catalog.catalog(&view)?;
        Ok(())
    }

    /// Adds or replaces an object.
    pub(super) fn put(&mut self, object: Object) -> Result<()> {
        Arc::make_mut(self.catalog).put(self.txn, object)
    }

    pub(super) fn put_table(&mut self, table: Table) -> Result<Arc<Table>> {
        let table = Arc::new(table);
        self.put(Object::Table(table.clone()))?;
        Ok(table)
    }

    pub(super) fn put_index(&mut self, index: Index) -> Result<()> {
        self.put(Object::Index(Arc::new(index)))
    }

    pub(super) fn put_sequence(&mut self, sequence: Sequence) -> Result<()> {
        self.put(Object::Sequence(Arc::new(sequence)))
    }

    pub(super) fn remove(&mut self, oid: u32) -> Result<()> {
        Arc::make_mut(self.catalog).remove(self.txn, oid)
    }

    pub(super) fn new_oid(&self) -> Result<u32> {
        self.engine.sequences.next_oid()
    }

    /// OID of the role that owns what this session makes.
    pub(super) fn owner(&self) -> Result<u32> {
        Ok(find_role(self.catalog, &self.info.user)?.oid)
    }

    /// The schema in which an object of that name is made.
    pub(super) fn creation_schema(&self, name: &QualifiedName) -> Result<u32> {
        let Some(schema) = &name.schema else {
            let found = self.catalog.creation_schema(&self.info.search_path)?;
            self.check_schema(found, Privileges::CREATE)?;
            return Ok(found);
        };
        let found = self
            .catalog
            .schema(schema)
            .ok_or_else(|| undefined_schema(schema))?;
        if is_system_schema(found.oid) {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to create \"{schema}.{}\"", name.name),
            )
            .detail("System catalog modifications are currently disallowed."));
        }
        self.check_schema(found.oid, Privileges::CREATE)?;
        Ok(found.oid)
    }

    /// Locks the name of a relation that is about to be made and looks for one that has it.
    pub(super) async fn lock_new_relation(
        &mut self,
        schema: u32,
        name: &str,
    ) -> Result<Option<Object>> {
        let wait = self.wait();
        let target = relation_name_lock(schema, name);
        self.txn.lock_key(target, RowMode::Update, wait).await?;
        self.refresh()?;
        if self.catalog.object(schema).is_none() {
            return Err(undefined_schema("of the new object"));
        }
        Ok(self.catalog.relation(schema, name).cloned())
    }

    /// As [`lock_new_relation`](Self::lock_new_relation), failing with 42P07 when there is one.
    pub(super) async fn claim_relation_name(&mut self, schema: u32, name: &str) -> Result<()> {
        match self.lock_new_relation(schema, name).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            )),
        }
    }

    pub(super) async fn lock_schema_name(&mut self, name: &str) -> Result<Option<Arc<Schema>>> {
        let wait = self.wait();
        self.txn
            .lock_key(schema_name_lock(name), RowMode::Update, wait)
            .await?;
        self.refresh()?;
        Ok(self.catalog.schema(name).cloned())
    }

    pub(super) async fn lock_role_name(&mut self, name: &str) -> Result<Option<Arc<Role>>> {
        let wait = self.wait();
        self.txn
            .lock_key(role_name_lock(name), RowMode::Update, wait)
            .await?;
        self.refresh()?;
        Ok(self.catalog.role(name).cloned())
    }

    /// Keeps a role from being dropped while something of this transaction comes to name it.
    pub(super) async fn hold_role(&mut self, role: u32) -> Result<()> {
        let name = match self.catalog.object(role) {
            Some(object) => object.name().to_owned(),
            None => return Err(dropped_role(role)),
        };
        let wait = self.wait();
        self.txn
            .lock_key(role_name_lock(&name), RowMode::Share, wait)
            .await?;
        self.refresh()?;
        match self.catalog.role(&name) {
            Some(found) if found.oid == role => Ok(()),
            _ => Err(dropped_role(role)),
        }
    }

    /// Resolves a name, locks what it means and resolves it again, until both agree. `None` when
    /// there is no such relation (or schema). What changes a relation is its owner's to do.
    pub(super) async fn lock_by_name(
        &mut self,
        name: &QualifiedName,
        mode: RelationMode,
        wait: Wait,
    ) -> Result<Option<Object>> {
        let needed = match mode >= RelationMode::ShareUpdateExclusive {
            true => Needed::Owner,
            false => Needed::Nothing,
        };
        self.lock_needed(name, mode, wait, needed).await
    }

    /// As [`lock_by_name`](Self::lock_by_name), for who has what is needed: nobody else gets to
    /// wait in line.
    pub(super) async fn lock_needed(
        &mut self,
        name: &QualifiedName,
        mode: RelationMode,
        wait: Wait,
        needed: Needed,
    ) -> Result<Option<Object>> {
        let mut locked = None;
        if let Some(schema) = name.schema.as_ref().and_then(|it| self.catalog.schema(it)) {
            self.check_schema(schema.oid, Privileges::USAGE)?;
        }
        loop {
            let found = self.catalog.resolve(name, &self.info.search_path).cloned();
            let Some(found) = found else {
                return Ok(None);
            };
            let oid = found.oid();
            self.check_needed(&found, needed)?;
            if locked == Some(oid) {
                return Ok(Some(found));
            }
            self.txn.lock_relation(oid, mode, wait).await?;
            if mode >= RelationMode::ShareUpdateExclusive {
                self.lock_catalog_row(&found).await?;
            }
            locked = Some(oid);
            self.refresh()?;
        }
    }

    /// Locks a relation that is known by its OID (a child table, an index's table) and gives it as
    /// it is now; 42P01 when it was dropped meanwhile.
    pub(super) async fn lock_by_oid(&mut self, oid: u32, mode: RelationMode) -> Result<Object> {
        let gone = || {
            Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation with OID {oid} does not exist"),
            )
        };
        let found = self.catalog.object(oid).cloned().ok_or_else(gone)?;
        let wait = self.wait();
        self.txn.lock_relation(oid, mode, wait).await?;
        if mode >= RelationMode::ShareUpdateExclusive {
            self.lock_catalog_row(&found).await?;
        }
        self.refresh()?;
        self.catalog.object(oid).cloned().ok_or_else(gone)
    }

    /// Locks the row of an object that is about to be changed. REPEATABLE READ and SERIALIZABLE
    /// fail here (40001) when it changed since their snapshot.
    pub(super) async fn lock_catalog_row(&mut self, object: &Object) -> Result<()> {
        let wait = self.wait();
        let key = object_row_key(object);
        match self
            .txn
            .lock_row(CATALOG_TABLE, &key, RowMode::Update, wait)
            .await?
        {
            RowLock::Unchanged | RowLock::Changed(_) | RowLock::Skipped => Ok(()),
        }
    }

    /// The table of that name, locked. 42P01, or 3F000 when the schema does not exist; 42809 when
    /// it is something else.
    pub(super) async fn lock_table(
        &mut self,
        name: &QualifiedName,
        mode: RelationMode,
    ) -> Result<Arc<Table>> {
        let wait = self.wait();
        let found = self.lock_by_name(name, mode, wait).await?;
        self.as_table(found, name)
    }

    /// As [`lock_table`](Self::lock_table), for who has these privileges.
    pub(super) async fn lock_table_for(
        &mut self,
        name: &QualifiedName,
        mode: RelationMode,
        privileges: Privileges,
    ) -> Result<Arc<Table>> {
        let wait = self.wait();
        let needed = Needed::Privileges(privileges);
        let found = self.lock_needed(name, mode, wait, needed).await?;
        self.as_table(found, name)
    }

    fn as_table(&self, found: Option<Object>, name: &QualifiedName) -> Result<Arc<Table>> {
        match found {
            Some(Object::Table(table)) => {
                check_user_object(table.schema, &table.name)?;
                Ok(table)
            }
            Some(other) => Err(not_a(&other, "a table")),
            None => Err(self.missing_relation(name)),
        }
    }

    /// Why a relation was not found.
    pub(super) fn missing_relation(&self, name: &QualifiedName) -> Error {
        match &name.schema {
            Some(schema) if self.catalog.schema(schema).is_none() => undefined_schema(schema),
            _ => undefined_relation(name),
        }
    }

    /// The object's name for messages: with its schema when the search path does not find it.
    pub(super) fn shown(&self, object: &Object) -> String {
        self.catalog.display_name(object, &self.info.search_path)
    }

    /// `NOTICE: …, skipping`.
    pub(super) fn skipping(&mut self, state: SqlState, message: String) {
        self.notice(Error::new(state, format!("{message}, skipping")));
    }
}

/// `"x" is not a table` (42809).
pub(super) fn not_a(object: &Object, wanted: &str) -> Error {
    Error::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("\"{}\" is not {wanted}", object.name()),
    )
}

/// Objects of the system schemas stay as they are.
pub(super) fn check_user_object(schema: u32, name: &str) -> Result<()> {
    if is_system_schema(schema) {
        return Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        ));
    }
    Ok(())
}

fn dropped_role(role: u32) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("role {role} was concurrently dropped"),
    )
}

pub(super) fn find_role<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Arc<Role>> {
    catalog.role(name).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("role \"{name}\" does not exist"),
        )
    })
}

/// The owner of a relation changed (OWNER TO).
pub(super) fn with_owner(object: &Object, owner: u32) -> Object {
    match object {
        Object::Table(it) => Object::Table(Arc::new(Table {
            owner,
            ..it.as_ref().clone()
        })),
        Object::View(it) => Object::View(Arc::new(View {
            owner,
            ..it.as_ref().clone()
        })),
        Object::Sequence(it) => Object::Sequence(Arc::new(Sequence {
            owner,
            ..it.as_ref().clone()
        })),
        Object::Schema(it) => Object::Schema(Arc::new(Schema {
            owner,
            ..it.as_ref().clone()
        })),
        Object::Index(_) | Object::Role(_) => object.clone(),
    }
}
