//! Grants as rows of the catalog table; the keys are told in `store`.

use std::sync::Arc;

use super::store::{ACL, DEFAULT_ACL, MEMBER, be_u32, json, key};
use super::{Acl, Catalog, Kind, Membership};
use crate::error::Result;
use crate::storage::CATALOG_TABLE;
use crate::txn::Transaction;

impl Catalog {
    /// Takes in one row; `None` when it is damaged.
    pub(super) fn load_grant(&mut self, kind: u8, rest: &[u8], bytes: &[u8]) -> Option<()> {
        let (first, rest) = rest.split_at_checked(4)?;
        let (second, rest) = rest.split_at_checked(4)?;
        let (first, second) = (be_u32(first)?, be_u32(second)?);
        if kind == MEMBER {
            let membership = serde_json::from_slice(bytes).ok()?;
            self.members.insert((first, second), membership);
            return Some(());
        }
        let acl: Arc<Acl> = Arc::new(serde_json::from_slice(bytes).ok()?);
        match (kind, rest) {
            (ACL, []) => drop(self.acls.insert((first, second), acl)),
            (DEFAULT_ACL, [letter]) => {
                let key = (first, second, char::from(*letter));
                self.default_acls.insert(key, acl);
            }
            _ => return None,
        }
        Some(())
    }

    /// Sets the list of an object (`sub` 0) or of a column; `None` is the default one.
    pub fn set_acl(
        &mut self,
        txn: &mut Transaction,
        oid: u32,
        sub: u32,
        acl: Option<Acl>,
    ) -> Result<()> {
        let mut row = key(ACL, oid);
        row.extend_from_slice(&sub.to_be_bytes());
        match acl {
            Some(acl) => {
                txn.put(CATALOG_TABLE, row, json(&acl)?)?;
                self.acls.insert((oid, sub), Arc::new(acl));
            }
            None => {
                if self.acls.remove(&(oid, sub)).is_some() {
                    txn.delete(CATALOG_TABLE, row)?;
                }
            }
        }
        Ok(())
    }

    /// Makes `member` a member of `role`, or ends that.
    pub fn set_member(
        &mut self,
        txn: &mut Transaction,
        role: u32,
        member: u32,
        membership: Option<Membership>,
    ) -> Result<()> {
        let mut row = key(MEMBER, role);
        row.extend_from_slice(&member.to_be_bytes());
        match membership {
            Some(membership) => {
                txn.put(CATALOG_TABLE, row, json(&membership)?)?;
                self.members.insert((role, member), membership);
            }
            None => {
                if self.members.remove(&(role, member)).is_some() {
                    txn.delete(CATALOG_TABLE, row)?;
                }
            }
        }
        Ok(())
    }

    /// Sets what is granted on objects of that kind that `role` makes (in one schema, or in all: 0).
    pub fn set_default_acl(
        &mut self,
        txn: &mut Transaction,
        role: u32,
        schema: u32,
        kind: Kind,
        acl: Option<Acl>,
    ) -> Result<()> {
        let letter = kind.letter();
        let mut row = key(DEFAULT_ACL, role);
        row.extend_from_slice(&schema.to_be_bytes());
        row.push(u8::try_from(letter).unwrap_or_default());
        match acl {
            Some(acl) => {
                txn.put(CATALOG_TABLE, row, json(&acl)?)?;
                self.default_acls
                    .insert((role, schema, letter), Arc::new(acl));
            }
            None => {
                if self.default_acls.remove(&(role, schema, letter)).is_some() {
                    txn.delete(CATALOG_TABLE, row)?;
                }
            }
        }
        Ok(())
    }

    /// Removes what was granted on an object, and all that a role or a schema had to do with it.
    pub(super) fn remove_grants(&mut self, txn: &mut Transaction, oid: u32) -> Result<()> {
        let subs: Vec<u32> = self
            .acls
            .range((oid, 0)..=(oid, u32::MAX))
            .map(|(&(_, sub), _)| sub)
            .collect();
        for sub in subs {
            self.set_acl(txn, oid, sub, None)?;
        }
        let members: Vec<(u32, u32)> = self
            .members
            .keys()
            .filter(|(role, member)| *role == oid || *member == oid)
            .copied()
            .collect();
        for (role, member) in members {
            self.set_member(txn, role, member, None)?;
        }
        let defaults: Vec<(u32, u32, char)> = self
            .default_acls
            .keys()
            .filter(|(role, schema, _)| *role == oid || *schema == oid)
            .copied()
            .collect();
        for (role, schema, letter) in defaults {
            for kind in [Kind::Table, Kind::Sequence, Kind::Schema] {
                if kind.letter() == letter {
                    self.set_default_acl(txn, role, schema, kind, None)?;
                }
            }
        }
        Ok(())
    }
}
