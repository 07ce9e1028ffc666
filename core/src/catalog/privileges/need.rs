//! What a statement needs on one relation, and whether a role has it.

use std::collections::BTreeSet;

use super::kinds::Privileges;
use super::rights::{Rights, denied};
use crate::catalog::{Catalog, Object};
use crate::error::Result;

/// Columns by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    pub numbers: BTreeSet<u32>,
    /// The whole row: every column that is there.
    pub all: bool,
}

impl Columns {
    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && !self.all
    }
}

/// What a statement does with a relation. SELECT, INSERT and UPDATE may be given for columns.
#[derive(Clone, Debug)]
pub struct Need {
    pub relation: u32,
    /// The owner of the view that the relation is read through; `None` is the current role.
    pub role: Option<u32>,
    pub privileges: Privileges,
    pub selected: Columns,
    pub inserted: Columns,
    pub updated: Columns,
}

impl Need {
    pub fn new(relation: u32, role: Option<u32>, privileges: Privileges) -> Need {
        Need {
            relation,
            role,
            privileges,
            selected: Columns::default(),
            inserted: Columns::default(),
            updated: Columns::default(),
        }
    }
}

impl Catalog {
    /// 42501 unless everything that is needed is there.
    pub fn check_needs(&self, needs: &[Need], current: &Rights) -> Result<()> {
        for need in needs {
            let other;
            let rights = match need.role {
                None => current,
                Some(role) => {
                    other = self.rights_of(role);
                    &other
                }
            };
            if !rights.superuser && !self.has(need, rights) {
                let (kind, name) = match self.object(need.relation) {
                    Some(object) => (object.kind(), object.name()),
                    None => super::restricted_name(need.relation),
                };
                return Err(denied(kind, name));
            }
        }
        Ok(())
    }

    fn has(&self, need: &Need, rights: &Rights) -> bool {
        let Some(object) = self.object(need.relation) else {
            return false;
        };
        let held = self.privileges(rights, object, need.privileges);
        let missing = need.privileges.without(held);
        if missing.is_empty() {
            return true;
        }
        let by_column = [
            (Privileges::SELECT, &need.selected),
            (Privileges::INSERT, &need.inserted),
            (Privileges::UPDATE, &need.updated),
        ];
        let some = by_column
            .iter()
            .fold(Privileges::NONE, |all, (it, _)| all.with(*it));
        if !some.contains(missing) {
            return false;
        }
        by_column
            .iter()
            .filter(|(privilege, _)| missing.contains(*privilege))
            .all(|(privilege, columns)| self.has_columns(rights, object, *privilege, columns))
    }

    fn has_columns(
        &self,
        rights: &Rights,
        object: &Object,
        privilege: Privileges,
        columns: &Columns,
    ) -> bool {
        let has = |number: u32| {
            self.column_privileges(rights, object.oid(), number, privilege) == privilege
        };
        if columns.is_empty() {
            return column_numbers(object).any(has);
        }
        // What has no columns (a sequence) cannot be had by them.
        let whole = !columns.all
            || column_numbers(object).next().is_some() && column_numbers(object).all(has);
        whole && columns.numbers.iter().all(|number| has(*number))
    }
}

/// The numbers of a relation's live columns.
pub fn column_numbers(object: &Object) -> impl Iterator<Item = u32> {
    let numbers: Vec<u32> = match object {
        Object::Table(table) => table
            .live_columns()
            .filter_map(|(at, _)| u32::try_from(at.saturating_add(1)).ok())
            .collect(),
        Object::View(view) => (1..=view.columns.len())
            .filter_map(|number| u32::try_from(number).ok())
            .collect(),
        _ => Vec::new(),
    };
    numbers.into_iter()
}
