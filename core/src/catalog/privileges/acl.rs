//! Access control lists: who was given what, and by whom.
//!
//! The rules are PostgreSQL's. A grant is remembered with the role that gave it; what rests on a
//! grant option goes with it. An object without a list has its [`default`](Acl::default_of).

use serde::{Deserialize, Serialize};

use super::kinds::{Kind, Privileges};
use crate::error::{Error, Result, SqlState};

/// The OID that stands for PUBLIC: every role.
pub const PUBLIC: u32 = 0;

/// What one role gave another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub grantee: u32,
    pub grantor: u32,
    pub privileges: Privileges,
    /// Those of them that the grantee may pass on.
    pub options: Privileges,
}

/// A list of grants, at most one for each grantee and grantor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Acl(pub Vec<Grant>);

/// One change of a list.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub grantee: u32,
    pub grantor: u32,
    pub privileges: Privileges,
    pub options: Privileges,
    pub revoke: bool,
    /// REVOKE … CASCADE: takes away what others passed on, too.
    pub cascade: bool,
}

impl Acl {
    /// What an object has before anybody granted anything.
    pub fn default_of(kind: Kind, owner: u32) -> Acl {
        let own = |privileges| Grant {
            grantee: owner,
            grantor: owner,
            privileges,
            options: Privileges::NONE,
        };
        let everybody = Grant {
            grantee: PUBLIC,
            ..own(Privileges::TEMPORARY.with(Privileges::CONNECT))
        };
        match kind {
            Kind::Column => Acl::default(),
            Kind::Database => Acl(vec![everybody, own(Privileges::all(kind))]),
            _ => Acl(vec![own(Privileges::all(kind))]),
        }
    }

    /// What any of `roles` (or PUBLIC) holds.
    pub fn held(&self, roles: &[u32]) -> Privileges {
        self.0
            .iter()
            .filter(|it| it.grantee == PUBLIC || roles.contains(&it.grantee))
            .fold(Privileges::NONE, |all, it| all.with(it.privileges))
    }

    /// What any of `roles` may pass on. Owners may pass on everything: see `Rights`.
    pub fn options(&self, roles: &[u32]) -> Privileges {
        self.0
            .iter()
            .filter(|it| roles.contains(&it.grantee))
            .fold(Privileges::NONE, |all, it| all.with(it.options))
    }

    /// Whether the role gave or was given anything.
    pub fn mentions(&self, role: u32) -> bool {
        self.0
            .iter()
            .any(|it| it.grantee == role || it.grantor == role)
    }

    /// Makes a change. `owner` is the object's.
    ///
    /// # Errors
    /// 0LP01 for grant options of PUBLIC and for those that would come back to their giver; 2BP01
    /// when others passed on what a REVOKE without CASCADE takes away.
    pub fn change(&mut self, change: &Change, owner: u32) -> Result<()> {
        if change.grantee == PUBLIC && !change.revoke && !change.options.is_empty() {
            return Err(Error::new(
                SqlState::INVALID_GRANT_OPERATION,
                "grant options can only be granted to roles",
            ));
        }
        if !change.revoke && !change.options.is_empty() {
            self.check_circle(change, owner)?;
        }
        let found = self
            .0
            .iter()
            .position(|it| it.grantee == change.grantee && it.grantor == change.grantor);
        let at = found.unwrap_or(self.0.len());
        if found.is_none() {
            self.0.push(Grant {
                grantee: change.grantee,
                grantor: change.grantor,
                privileges: Privileges::NONE,
                options: Privileges::NONE,
            });
        }
        let Some(item) = self.0.get_mut(at) else {
            return Err(Error::internal("a grant is not where it was put"));
        };
        let before = item.options;
        if change.revoke {
            item.privileges = item.privileges.without(change.privileges);
            item.options = item.options.without(change.options);
        } else {
            item.privileges = item.privileges.with(change.privileges);
            item.options = item.options.with(change.options);
        }
        let lost = before.without(item.options);
        if item.privileges.is_empty() && item.options.is_empty() {
            self.0.remove(at);
        }
        if !lost.is_empty() {
            self.lose_options(change.grantee, lost, owner, change.cascade)?;
        }
        Ok(())
    }

    /// Takes away what a role passed on by grant options that it no longer has.
    fn lose_options(
        &mut self,
        role: u32,
        lost: Privileges,
        owner: u32,
        cascade: bool,
    ) -> Result<()> {
        if role == owner {
            return Ok(());
        }
        loop {
            let lost = lost.without(self.options(&[role]));
            let dependent = self
                .0
                .iter()
                .find(|it| it.grantor == role && it.privileges.overlaps(lost))
                .copied();
            let Some(dependent) = dependent else {
                return Ok(());
            };
            if !cascade {
                return Err(Error::new(
                    SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                    "dependent privileges exist",
                )
                .hint("Use CASCADE to revoke them too."));
            }
            let change = Change {
                grantee: dependent.grantee,
                grantor: role,
                privileges: lost,
                options: lost,
                revoke: true,
                cascade,
            };
            self.change(&change, owner)?;
        }
    }

    /// A grant option may not go back to a role that it came from.
    fn check_circle(&self, change: &Change, owner: u32) -> Result<()> {
        if change.grantor == owner {
            return Ok(());
        }
        // Without all that the grantee has, the grantor must still have its option.
        let mut without = self.clone();
        while let Some(item) = without
            .0
            .iter()
            .find(|it| it.grantee == change.grantee && !it.options.is_empty())
            .copied()
        {
            let remove = Change {
                grantee: item.grantee,
                grantor: item.grantor,
                privileges: item.options,
                options: item.options,
                revoke: true,
                cascade: true,
            };
            without.change(&remove, owner)?;
        }
        if without.options(&[change.grantor]).contains(change.options) {
            return Ok(());
        }
        Err(Error::new(
            SqlState::INVALID_GRANT_OPERATION,
            "grant options cannot be granted back to your own grantor",
        ))
    }

    /// The list after the object got another owner: what the old one had and gave is the new one's.
    #[must_use]
    pub fn with_owner(&self, old: u32, new: u32) -> Acl {
        let mut out: Vec<Grant> = Vec::with_capacity(self.0.len());
        for item in &self.0 {
            let role = |role: u32| if role == old { new } else { role };
            let item = Grant {
                grantee: role(item.grantee),
                grantor: role(item.grantor),
                ..*item
            };
            let same = out
                .iter_mut()
                .find(|it| it.grantee == item.grantee && it.grantor == item.grantor);
            match same {
                Some(same) => {
                    same.privileges = same.privileges.with(item.privileges);
                    same.options = same.options.with(item.options);
                }
                None => out.push(item),
            }
        }
        Acl(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u32 = 1;

    fn give(grantor: u32, grantee: u32, options: bool) -> Change {
        Change {
            grantee,
            grantor,
            privileges: Privileges::SELECT,
            options: if options {
                Privileges::SELECT
            } else {
                Privileges::NONE
            },
            revoke: false,
            cascade: false,
        }
    }

    fn take(grantor: u32, grantee: u32, cascade: bool) -> Change {
        Change {
            options: Privileges::SELECT,
            revoke: true,
            cascade,
            ..give(grantor, grantee, false)
        }
    }

    #[test]
    fn what_rests_on_a_grant_option_goes_with_it() {
        let mut acl = Acl::default_of(Kind::Table, OWNER);
        acl.change(&give(OWNER, 2, true), OWNER).unwrap();
        acl.change(&give(2, 3, true), OWNER).unwrap();
        acl.change(&give(3, 4, false), OWNER).unwrap();
        let before = acl.clone();
        let error = acl.change(&take(OWNER, 2, false), OWNER).unwrap_err();
        assert_eq!(error.state().code(), "2BP01");
        acl = before;
        acl.change(&take(OWNER, 2, true), OWNER).unwrap();
        assert_eq!(acl, Acl::default_of(Kind::Table, OWNER));
    }

    #[test]
    fn an_option_from_elsewhere_keeps_it() {
        let mut acl = Acl::default_of(Kind::Table, OWNER);
        acl.change(&give(OWNER, 2, true), OWNER).unwrap();
        acl.change(&give(OWNER, 3, true), OWNER).unwrap();
        acl.change(&give(3, 2, true), OWNER).unwrap();
        acl.change(&give(2, 4, false), OWNER).unwrap();
        acl.change(&take(OWNER, 2, false), OWNER).unwrap();
        assert!(acl.held(&[4]).contains(Privileges::SELECT));
    }

    #[test]
    fn options_do_not_go_in_circles() {
        let mut acl = Acl::default_of(Kind::Table, OWNER);
        acl.change(&give(OWNER, 2, true), OWNER).unwrap();
        acl.change(&give(2, 3, true), OWNER).unwrap();
        let error = acl.change(&give(3, 2, true), OWNER).unwrap_err();
        assert_eq!(error.state().code(), "0LP01");
        let public = acl.change(&give(OWNER, PUBLIC, true), OWNER).unwrap_err();
        assert_eq!(public.state().code(), "0LP01");
    }

    #[test]
    fn a_new_owner_takes_over_what_the_old_one_gave() {
        let mut acl = Acl::default_of(Kind::Table, OWNER);
        acl.change(&give(OWNER, 2, false), OWNER).unwrap();
        let acl = acl.with_owner(OWNER, 2);
        assert_eq!(acl.0.len(), 1);
        assert!(acl.0.iter().all(|it| it.grantor == 2 && it.grantee == 2));
    }
}
