//! Who depends on what: what else goes when something is dropped, and what stands in the way.

use std::collections::BTreeSet;

use super::{expressions, view_text};
use crate::catalog::{Catalog, ConstraintKind, Index, Object, SearchPath, Table, quote};

/// Something that can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Schema(u32),
    /// A table, index, view or sequence.
    Relation(u32),
    /// Table OID and constraint OID.
    Constraint(u32, u32),
    /// Table OID and column position.
    Default(u32, usize),
    Column(u32, usize),
}

/// What a drop takes with it.
#[derive(Default)]
pub(super) struct Removal {
    /// Everything that goes, in no particular order.
    pub parts: BTreeSet<Part>,
    /// What goes only with CASCADE, each with what it depends on, in the order found.
    pub cascades: Vec<(Part, Part)>,
}

/// Finds what dropping `roots` takes with it.
pub(super) fn removal(catalog: &Catalog, roots: &[Part]) -> Removal {
    let mut out = Removal {
        parts: roots.iter().copied().collect(),
        cascades: Vec::new(),
    };
    let mut queue: std::collections::VecDeque<Part> = roots.iter().copied().collect();
    while let Some(part) = queue.pop_front() {
        // What belongs to a part goes silently.
        for own in owned(catalog, part) {
            if out.parts.insert(own) {
                queue.push_back(own);
            } else {
                // It was found as a dependent of something else before, and needs no mention.
                out.cascades.retain(|(dependent, _)| *dependent != own);
            }
        }
        for (dependent, on) in dependents(catalog, part) {
            let covered = is_inside(catalog, &out.parts, dependent);
            if !covered && out.parts.insert(dependent) {
                out.cascades.push((dependent, on));
                queue.push_back(dependent);
            }
        }
    }
    let parts = &out.parts;
    out.cascades
        .retain(|(dependent, _)| !is_inside(catalog, parts, *dependent));
    out
}

/// Whether a part goes anyway because what it is part of goes.
fn is_inside(catalog: &Catalog, parts: &BTreeSet<Part>, part: Part) -> bool {
    match part {
        Part::Constraint(table, _) | Part::Default(table, _) | Part::Column(table, _) => {
            parts.contains(&Part::Relation(table))
                || matches!(part, Part::Default(table, at) if parts.contains(&Part::Column(table, at)))
        }
        Part::Relation(oid) => match catalog.object(oid) {
            Some(Object::Index(index)) => parts.contains(&Part::Relation(index.table)),
            _ => false,
        },
        Part::Schema(_) => false,
    }
}

/// What belongs to a part and goes with it unasked.
fn owned(catalog: &Catalog, part: Part) -> Vec<Part> {
    let mut found = Vec::new();
    match part {
        Part::Relation(oid) => {
            if let Some(Object::Table(table)) = catalog.object(oid) {
                found.extend(table.indexes.iter().map(|index| Part::Relation(*index)));
                found.extend(sequences_of(catalog, oid, None));
            }
        }
        Part::Column(oid, at) => {
            let Some(table) = catalog.table(oid) else {
                return found;
            };
            found.extend(sequences_of(catalog, oid, Some(at)));
            for constraint in &table.constraints {
                if constraint_columns(catalog, table, &constraint.kind).contains(&at) {
                    found.push(Part::Constraint(oid, constraint.oid));
                }
            }
            for index in catalog.indexes(table) {
                if index.columns.contains(&at) {
                    found.push(Part::Relation(index.oid));
                }
            }
        }
        Part::Constraint(oid, constraint) => {
            if let Some(index) = constraint_index(catalog, oid, constraint) {
                found.push(Part::Relation(index));
            }
        }
        Part::Schema(_) | Part::Default(..) => {}
    }
    found
}

/// What else depends on a part, each with what it is said to depend on.
fn dependents(catalog: &Catalog, part: Part) -> Vec<(Part, Part)> {
    let mut found = Vec::new();
    match part {
        Part::Schema(schema) => {
            for object in catalog.objects() {
                let is_part = match object {
                    Object::Index(_) => true,
                    Object::Sequence(sequence) => sequence.owned_by.is_some(),
                    _ => false,
                };
                if object.schema() == Some(schema) && !is_part {
                    found.push((Part::Relation(object.oid()), part));
                }
            }
        }
        Part::Relation(oid) => match catalog.object(oid) {
            Some(Object::Table(_)) => {
                foreign_keys(catalog, oid, |_| true, part, &mut found);
                views_on(catalog, oid, None, part, &mut found);
            }
            Some(Object::View(_)) => views_on(catalog, oid, None, part, &mut found),
            Some(Object::Sequence(_)) => {
                views_on(catalog, oid, None, part, &mut found);
                for object in catalog.objects() {
                    let Object::Table(table) = object else {
                        continue;
                    };
                    for (at, column) in table.live_columns() {
                        let default = column.default.as_deref().unwrap_or("");
                        if expressions::sequences_of(catalog, default).contains(&oid) {
                            found.push((Part::Default(table.oid, at), part));
                        }
                    }
                }
            }
            Some(Object::Index(index)) => {
                foreign_keys(catalog, index.table, |key| key == oid, part, &mut found);
            }
            _ => {}
        },
        Part::Column(oid, at) => {
            if let Some(table) = catalog.table(oid) {
                let name = table.columns.get(at).map(|column| column.name.as_str());
                foreign_keys_on_column(catalog, table, at, part, &mut found);
                views_on(catalog, oid, name, part, &mut found);
            }
        }
        Part::Constraint(..) | Part::Default(..) => {}
    }
    found
}

fn foreign_keys(
    catalog: &Catalog,
    parent: u32,
    uses: impl Fn(u32) -> bool,
    on: Part,
    found: &mut Vec<(Part, Part)>,
) {
    for (child, key) in catalog.referencing(parent) {
        if !uses(key.index) {
            continue;
        }
        for constraint in &child.constraints {
            if constraint.name == key.name {
                found.push((Part::Constraint(child.oid, constraint.oid), on));
            }
        }
    }
}

fn foreign_keys_on_column(
    catalog: &Catalog,
    parent: &Table,
    at: usize,
    on: Part,
    found: &mut Vec<(Part, Part)>,
) {
    for (child, key) in catalog.referencing(parent.oid) {
        if !key.referenced.contains(&at) {
            continue;
        }
        for constraint in &child.constraints {
            if constraint.name == key.name {
                found.push((Part::Constraint(child.oid, constraint.oid), on));
            }
        }
    }
}

/// Views that read a relation (or name a column of it).
fn views_on(
    catalog: &Catalog,
    relation: u32,
    column: Option<&str>,
    on: Part,
    found: &mut Vec<(Part, Part)>,
) {
    for object in catalog.objects() {
        if let Object::View(view) = object {
            let reads = view.depends.contains(&relation);
            if reads && column.is_none_or(|column| view_text::mentions(&view.query, column)) {
                found.push((Part::Relation(view.oid), on));
            }
        }
    }
}

/// Views that read a column, for the messages of ALTER COLUMN.
pub(super) fn views_on_column(catalog: &Catalog, table: &Table, at: usize) -> Vec<u32> {
    let name = table.columns.get(at).map(|column| column.name.as_str());
    let mut found = Vec::new();
    views_on(
        catalog,
        table.oid,
        name,
        Part::Column(table.oid, at),
        &mut found,
    );
    found
        .into_iter()
        .filter_map(|(part, _)| match part {
            Part::Relation(oid) => Some(oid),
            _ => None,
        })
        .collect()
}

/// Sequences owned by a table, or by one column of it.
fn sequences_of(catalog: &Catalog, table: u32, column: Option<usize>) -> Vec<Part> {
    catalog
        .objects()
        .filter_map(|object| match object {
            Object::Sequence(sequence) => {
                let (owner, at) = sequence.owned_by?;
                (owner == table && column.is_none_or(|column| column == at))
                    .then_some(Part::Relation(sequence.oid))
            }
            _ => None,
        })
        .collect()
}

/// Positions of the columns that a constraint is about.
pub(super) fn constraint_columns(
    catalog: &Catalog,
    table: &Table,
    kind: &ConstraintKind,
) -> BTreeSet<usize> {
    match kind {
        ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => {
            match catalog.object(*index) {
                Some(Object::Index(index)) => index.columns.iter().copied().collect(),
                _ => BTreeSet::new(),
            }
        }
        ConstraintKind::ForeignKey(key) => key.columns.iter().copied().collect(),
        ConstraintKind::Check { expression } => match expressions::parse(expression) {
            Ok(expr) => expressions::columns_of(&expr, table),
            Err(_) => BTreeSet::new(),
        },
    }
}

/// The index behind a constraint.
pub(super) fn constraint_index(catalog: &Catalog, table: u32, constraint: u32) -> Option<u32> {
    let table = catalog.table(table)?;
    let found = table.constraints.iter().find(|it| it.oid == constraint)?;
    match found.kind {
        ConstraintKind::PrimaryKey { index } | ConstraintKind::Unique { index } => Some(index),
        _ => None,
    }
}

/// The constraint that an index stands behind: the table and the constraint's name.
pub(super) fn index_constraint<'c>(
    catalog: &'c Catalog,
    index: &Index,
) -> Option<(&'c Table, &'c str)> {
    let table = catalog.table(index.table)?;
    table
        .constraints
        .iter()
        .find(|constraint| constraint_index(catalog, table.oid, constraint.oid) == Some(index.oid))
        .map(|constraint| (table.as_ref(), constraint.name.as_str()))
}

/// A part as messages name it: `constraint c_p_fkey on table c`.
pub(super) fn describe(catalog: &Catalog, path: &SearchPath, part: Part) -> String {
    let relation = |oid: u32| match catalog.object(oid) {
        Some(object) => (object.kind(), catalog.display_name(object, path)),
        None => ("relation", oid.to_string()),
    };
    match part {
        Part::Schema(oid) => format!("schema {}", quote(catalog.schema_name(oid).unwrap_or(""))),
        Part::Relation(oid) => {
            let (kind, name) = relation(oid);
            format!("{kind} {name}")
        }
        Part::Constraint(table, oid) => {
            let found = catalog.table(table);
            let name = found
                .and_then(|table| table.constraints.iter().find(|it| it.oid == oid))
                .map_or("", |constraint| constraint.name.as_str());
            format!("constraint {} on table {}", quote(name), relation(table).1)
        }
        Part::Default(table, at) => {
            let column = catalog.table(table).and_then(|table| table.columns.get(at));
            let name = column.map_or("", |column| column.name.as_str());
            format!(
                "default value for column {} of table {}",
                quote(name),
                relation(table).1
            )
        }
        Part::Column(table, at) => {
            let column = catalog.table(table).and_then(|table| table.columns.get(at));
            let name = column.map_or("", |column| column.name.as_str());
            format!("column {} of table {}", quote(name), relation(table).1)
        }
    }
}
