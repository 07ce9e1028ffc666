//! What a role may do: its own privileges and those of the roles that it is a member of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::acl::Acl;
use super::kinds::{Kind, Privileges};
use crate::catalog::{BOOTSTRAP_ROLE, Catalog, Object, PUBLIC_SCHEMA, is_system_schema};
use crate::error::{Error, Result, SqlState};

/// OID of the one database, under which its privileges are kept.
pub const DATABASE: u32 = 5;

/// That a role is a member of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub grantor: u32,
    /// Whether the member may give the membership to others.
    pub admin: bool,
}

/// A role's standing, computed once for a statement.
#[derive(Clone, Debug)]
pub struct Rights {
    pub role: u32,
    pub superuser: bool,
    /// Roles whose privileges it has without SET ROLE, itself included.
    roles: Vec<u32>,
}

impl Rights {
    /// Whether it may act as that owner.
    pub fn owns(&self, owner: u32) -> bool {
        self.superuser || self.roles.contains(&owner)
    }

    /// Those of `wanted` that a list gives it.
    pub fn held(&self, acl: &Acl, wanted: Privileges) -> Privileges {
        if self.superuser {
            return wanted;
        }
        acl.held(&self.roles).among(wanted)
    }

    /// Those that it may pass on.
    pub fn options(&self, acl: &Acl, owner: u32) -> Privileges {
        if self.owns(owner) {
            return Privileges(u16::MAX);
        }
        acl.options(&self.roles)
    }

    pub fn roles(&self) -> &[u32] {
        &self.roles
    }
}

impl Catalog {
    /// The rights of the role of that name; a role that is gone has none.
    pub fn rights(&self, name: &str) -> Rights {
        match self.roles.get(name) {
            Some(oid) => self.rights_of(*oid),
            None => Rights {
                role: u32::MAX,
                superuser: false,
                roles: Vec::new(),
            },
        }
    }

    pub fn rights_of(&self, role: u32) -> Rights {
        let superuser = matches!(self.object(role), Some(Object::Role(it)) if it.superuser);
        Rights {
            role,
            superuser,
            roles: self.memberships(role, true),
        }
    }

    /// The roles that `role` is a member of, directly or not, itself first; with `inherited`, those
    /// whose privileges it has without asking.
    pub fn memberships(&self, role: u32, inherited: bool) -> Vec<u32> {
        let mut all = vec![role];
        let mut at = 0;
        while let Some(member) = all.get(at).copied() {
            at = at.saturating_add(1);
            let passes = matches!(self.object(member), Some(Object::Role(it)) if it.inherit);
            if inherited && !passes {
                continue;
            }
            for (of, it) in self.members.keys() {
                if *it == member && !all.contains(of) {
                    all.push(*of);
                }
            }
        }
        all
    }

    /// Whether `role` may become `other` by SET ROLE.
    pub fn is_member(&self, role: u32, other: u32) -> bool {
        let superuser = matches!(self.object(role), Some(Object::Role(it)) if it.superuser);
        superuser || self.memberships(role, false).contains(&other)
    }

    /// Whether `role` may give membership in `other` to others.
    pub fn is_admin(&self, role: u32, other: u32) -> bool {
        let superuser = matches!(self.object(role), Some(Object::Role(it)) if it.superuser);
        superuser
            || self.memberships(role, false).iter().any(|it| {
                self.members
                    .get(&(other, *it))
                    .is_some_and(|membership| membership.admin)
            })
    }

    /// (role, member) → membership.
    pub fn members(&self) -> &BTreeMap<(u32, u32), Membership> {
        &self.members
    }

    /// The list that was stored for an object (`sub` 0) or a column (its number).
    pub fn stored_acl(&self, oid: u32, sub: u32) -> Option<&Acl> {
        self.acls.get(&(oid, sub)).map(AsRef::as_ref)
    }

    /// All stored lists: (object, column number or 0) → list.
    pub fn acls(&self) -> impl Iterator<Item = (u32, u32, &Acl)> {
        self.acls
            .iter()
            .map(|((oid, sub), acl)| (*oid, *sub, acl.as_ref()))
    }

    /// (role, schema or 0, kind's letter) → what is granted on objects that the role makes.
    pub fn default_acls(&self) -> impl Iterator<Item = ((u32, u32, char), &Acl)> {
        self.default_acls
            .iter()
            .map(|((role, schema, kind), acl)| ((*role, *schema, *kind), acl.as_ref()))
    }

    pub fn default_acl(&self, role: u32, schema: u32, kind: Kind) -> Option<&Acl> {
        self.default_acls
            .get(&(role, schema, kind.letter()))
            .map(AsRef::as_ref)
    }

    /// The list that is in force for an object.
    pub fn acl(&self, object: &Object) -> Acl {
        if let Some(acl) = self.stored_acl(object.oid(), 0) {
            return acl.clone();
        }
        let Some((kind, owner)) = kind_and_owner(object) else {
            return Acl::default();
        };
        let mut acl = Acl::default_of(kind, owner);
        // As initdb leaves them: everybody may look into these schemas.
        if matches!(object, Object::Schema(it) if it.oid == PUBLIC_SCHEMA || is_system_schema(it.oid))
        {
            acl.0.push(super::Grant {
                grantee: super::PUBLIC,
                grantor: owner,
                privileges: Privileges::USAGE,
                options: Privileges::NONE,
            });
        }
        acl
    }

    /// The database's list.
    pub fn database_acl(&self) -> Acl {
        match self.stored_acl(DATABASE, 0) {
            Some(acl) => acl.clone(),
            None => Acl::default_of(Kind::Database, BOOTSTRAP_ROLE),
        }
    }

    /// Those of `wanted` that `rights` give on a whole object; an owner's can be taken away too.
    pub fn privileges(&self, rights: &Rights, object: &Object, wanted: Privileges) -> Privileges {
        if rights.superuser {
            return wanted;
        }
        rights.held(&self.acl(object), wanted)
    }

    /// Those of `wanted` that `rights` give on a column by itself.
    pub fn column_privileges(
        &self,
        rights: &Rights,
        table: u32,
        number: u32,
        wanted: Privileges,
    ) -> Privileges {
        match self.stored_acl(table, number) {
            Some(acl) => rights.held(acl, wanted),
            None => Privileges::NONE,
        }
    }

    /// 42501 unless all of `wanted` are there.
    pub fn check(&self, rights: &Rights, object: &Object, wanted: Privileges) -> Result<()> {
        if self.privileges(rights, object, wanted) == wanted {
            return Ok(());
        }
        Err(denied(object.kind(), object.name()))
    }

    /// 42501 unless the schema may be used so.
    pub fn check_schema(&self, rights: &Rights, oid: u32, wanted: Privileges) -> Result<()> {
        match self.object(oid) {
            Some(object) => self.check(rights, object, wanted),
            None => Ok(()),
        }
    }

    /// 42501 unless `rights` are the owner's.
    pub fn check_owner(&self, rights: &Rights, object: &Object) -> Result<()> {
        let owner = match object {
            Object::Index(index) => self.table(index.table).map(|table| table.owner),
            object => kind_and_owner(object).map(|(_, owner)| owner),
        };
        if owner.is_none_or(|owner| rights.owns(owner)) {
            return Ok(());
        }
        Err(not_owner(object.kind(), object.name()))
    }
}

/// Which privileges an object has, and who owns it.
pub fn kind_and_owner(object: &Object) -> Option<(Kind, u32)> {
    Some(match object {
        Object::Schema(it) => (Kind::Schema, it.owner),
        Object::Table(it) => (Kind::Table, it.owner),
        Object::View(it) => (Kind::Table, it.owner),
        Object::Sequence(it) => (Kind::Sequence, it.owner),
        Object::Index(_) | Object::Role(_) => return None,
    })
}

/// `permission denied for table t` (42501).
pub fn denied(kind: &str, name: &str) -> Error {
    Error::new(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for {kind} {name}"),
    )
}

/// `must be owner of table t` (42501).
pub fn not_owner(kind: &str, name: &str) -> Error {
    Error::new(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("must be owner of {kind} {name}"),
    )
}
