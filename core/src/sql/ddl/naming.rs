//! The names that PostgreSQL gives to what a statement leaves unnamed: `t_pkey`, `t_a_b_key`,
//! `t_a_idx`, `t_a_fkey`, `t_check`, `t_a_seq`, numbered where they clash, cut to 63 bytes.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, MAX_NAME_BYTES, Table};

/// Names in use: those of the catalog, and those that the running statement has given already.
pub(super) struct Names<'c> {
    catalog: &'c Catalog,
    schema: u32,
    taken: BTreeSet<String>,
}

impl<'c> Names<'c> {
    pub(super) fn new(catalog: &'c Catalog, schema: u32) -> Self {
        Names {
            catalog,
            schema,
            taken: BTreeSet::new(),
        }
    }

    /// Marks a name as given.
    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// A name that no relation of the schema has, as `ChooseRelationName` makes it.
    pub(super) fn relation(&mut self, table: &str, column: Option<&str>, label: &str) -> String {
        self.choose(table, column, label, |names, name| {
            names.catalog.relation(names.schema, name).is_none()
        })
    }

    /// A name that no constraint of the table has, as `ChooseConstraintName` makes it.
    pub(super) fn constraint(
        &mut self,
        existing: Option<&Table>,
        table: &str,
        column: Option<&str>,
        label: &str,
    ) -> String {
        self.choose(table, column, label, |names, name| {
            names.catalog.relation(names.schema, name).is_none()
                && !existing.is_some_and(|table| {
                    table
                        .constraints
                        .iter()
                        .any(|constraint| constraint.name == name)
                })
        })
    }

    fn choose(
        &mut self,
        table: &str,
        column: Option<&str>,
        label: &str,
        free: impl Fn(&Self, &str) -> bool,
    ) -> String {
        let mut number = 0_u64;
        loop {
            let label = match number {
                0 => label.to_owned(),
                number => format!("{label}{number}"),
            };
            let name = object_name(table, column, &label);
            if !self.taken.contains(&name) && free(self, &name) {
                self.take(&name);
                return name;
            }
            number = number.saturating_add(1);
        }
    }
}

/// `makeObjectName`: `table_column_label`, of which table and column are cut, the longer one first,
/// until all of it fits.
pub(super) fn object_name(table: &str, column: Option<&str>, label: &str) -> String {
    let overhead = label
        .len()
        .saturating_add(1)
        .saturating_add(usize::from(column.is_some()));
    let room = MAX_NAME_BYTES.saturating_sub(overhead);
    let column_text = column.unwrap_or("");
    let (mut first, mut second) = (table.len(), column_text.len());
    while first.saturating_add(second) > room {
        if first > second {
            first = first.saturating_sub(1);
        } else {
            second = second.saturating_sub(1);
        }
    }
    let first = clip(table, first);
    match column {
        Some(column) => format!("{first}_{}_{label}", clip(column, second)),
        None => format!("{first}_{label}"),
    }
}

/// At most `len` bytes of `text`, never half a character.
fn clip(text: &str, mut len: usize) -> &str {
    while !text.is_char_boundary(len) {
        len = len.saturating_sub(1);
    }
    text.get(..len).unwrap_or(text)
}

/// The column part of a name: all columns, joined, as `ChooseIndexNameAddition` does.
pub(super) fn joined<'n>(columns: impl IntoIterator<Item = &'n str>) -> String {
    let mut out = String::new();
    for column in columns {
        if !out.is_empty() {
            out.push('_');
        }
        out.push_str(column);
        if out.len() >= MAX_NAME_BYTES {
            break;
        }
    }
    clip(&out, out.len().min(MAX_NAME_BYTES)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_postgresql_cuts_them() {
        assert_eq!(object_name("t", Some("a_b"), "key"), "t_a_b_key");
        assert_eq!(object_name("t", None, "pkey"), "t_pkey");
        let long = "x".repeat(63);
        assert_eq!(
            object_name(&long, None, "pkey"),
            format!("{}_pkey", "x".repeat(58))
        );
        assert_eq!(
            object_name(&long, Some(&long), "fkey"),
            format!("{}_{}_fkey", "x".repeat(29), "x".repeat(28))
        );
        let wide = "é".repeat(40);
        assert!(object_name(&wide, None, "pkey").len() <= MAX_NAME_BYTES);
    }

    #[test]
    fn clashing_names_are_numbered() {
        let catalog = Catalog::default();
        let mut names = Names::new(&catalog, 2200);
        assert_eq!(names.relation("t", Some("a"), "key"), "t_a_key");
        assert_eq!(names.relation("t", Some("a"), "key"), "t_a_key1");
        assert_eq!(names.constraint(None, "t", None, "check"), "t_check");
        assert_eq!(names.constraint(None, "t", None, "check"), "t_check1");
    }
}
