//! FOREIGN KEY constraints: adding them, and checking them again when the type of a column changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    ConstraintReferenceMatchKind, ForeignKeyConstraint, ReferentialAction,
};

use super::super::Context;
use super::super::unique_index::holder;
use super::super::violation::key_values;
use super::naming::{Names, joined};
use super::rows;
use super::scope::Needed;
use crate::catalog::{
    Action, Catalog, Constraint, ConstraintKind, ForeignKey, Index, Object, Privileges,
    QualifiedName, Table, keys,
};
use crate::error::{Error, Result, SqlState};
use crate::txn::RelationMode;
use crate::types::{PgType, cast, names, oid};

/// Referenced keys that are remembered while rows are checked.
const MAX_KNOWN_KEYS: usize = 100_000;

/// A foreign key needs REFERENCES on both of its ends.
fn check_references(context: &Context<'_>, table: &Arc<Table>, columns: &[usize]) -> Result<()> {
    let rights = context.rights();
    let object = Object::Table(table.clone());
    let wanted = Privileges::REFERENCES;
    let catalog = &context.catalog;
    let whole = catalog.check(&rights, &object, wanted);
    let by_column = columns.iter().all(|at| {
        let number = u32::try_from(at.saturating_add(1)).unwrap_or(u32::MAX);
        catalog.column_privileges(&rights, table.oid, number, wanted) == wanted
    });
    if by_column { Ok(()) } else { whole }
}

pub(super) async fn add(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    columns: &[String],
    definition: &ForeignKeyConstraint,
    name: Option<&str>,
) -> Result<Arc<Table>> {
    let parent_name = QualifiedName::from_ast(&definition.foreign_table)?;
    let parent = if context
        .catalog
        .resolve(&parent_name, &context.info.search_path)
        .map(Object::oid)
        == Some(table.oid)
    {
        table.clone()
    } else {
        let wait = context.wait();
        let mode = RelationMode::ShareRowExclusive;
        let needed = Needed::Nothing;
        match context
            .lock_needed(&parent_name, mode, wait, needed)
            .await?
        {
            Some(Object::Table(parent)) => parent,
            Some(other) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("referenced relation \"{}\" is not a table", other.name()),
                ));
            }
            None => return Err(context.missing_relation(&parent_name)),
        }
    };
    let positions = positions(table, columns)?;
    let written: Vec<String> = definition
        .referred_columns
        .iter()
        .map(crate::catalog::fold)
        .collect();
    let (referenced, index) = referenced_key(context.catalog, &parent, &written)?;
    check_references(context, &parent, &referenced)?;
    check_references(context, table, &positions)?;
    if positions.len() != referenced.len() {
        return Err(Error::new(
            SqlState::INVALID_FOREIGN_KEY,
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => Names::new(context.catalog, table.schema).constraint(
            Some(table),
            &table.name,
            Some(&joined(columns.iter().map(String::as_str))),
            "fkey",
        ),
    };
    check_types(table, &positions, &parent, &referenced, &name)?;
    let (on_delete, on_update) = (action(definition.on_delete), action(definition.on_update));
    let match_full = match definition.match_kind {
        None | Some(ConstraintReferenceMatchKind::Simple) => false,
        Some(ConstraintReferenceMatchKind::Full) => true,
        Some(ConstraintReferenceMatchKind::Partial) => {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "MATCH PARTIAL not yet implemented",
            ));
        }
    };
    let key = ForeignKey {
        name: name.clone(),
        columns: positions,
        table: parent.oid,
        referenced,
        index: index.oid,
        on_delete,
        on_update,
        match_full,
    };
    check_rows(context, table, &parent, &index, &key)?;
    let mut changed = table.as_ref().clone();
    changed.constraints.push(Constraint {
        oid: context.new_oid()?,
        name,
        kind: ConstraintKind::ForeignKey(key),
    });
    context.put_table(changed)
}

fn positions(table: &Table, columns: &[String]) -> Result<Vec<usize>> {
    columns
        .iter()
        .map(|name| {
            table.column(name).ok_or_else(|| {
                Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{name}\" referenced in foreign key constraint does not exist"
                    ),
                )
            })
        })
        .collect()
}

/// The referenced columns and the unique index behind them.
fn referenced_key(
    catalog: &Catalog,
    parent: &Table,
    written: &[String],
) -> Result<(Vec<usize>, Arc<Index>)> {
    let indexes = catalog.indexes(parent);
    if written.is_empty() {
        let index = indexes
            .into_iter()
            .find(|index| index.primary)
            .ok_or_else(|| {
                Error::new(
                    SqlState::UNDEFINED_OBJECT,
                    format!(
                        "there is no primary key for referenced table \"{}\"",
                        parent.name
                    ),
                )
            })?;
        return Ok((index.columns.clone(), index));
    }
    let positions = positions(parent, written)?;
    for (at, position) in positions.iter().enumerate() {
        if positions
            .iter()
            .skip(at.saturating_add(1))
            .any(|other| other == position)
        {
            return Err(Error::new(
                SqlState::INVALID_FOREIGN_KEY,
                "foreign key referenced-columns list must not contain duplicates",
            ));
        }
    }
    let same = |index: &Index| {
        index.unique
            && index.columns.len() == positions.len()
            && index.columns.iter().all(|at| positions.contains(at))
    };
    match indexes.into_iter().find(|index| same(index)) {
        Some(index) => Ok((positions, index)),
        None => Err(Error::new(
            SqlState::INVALID_FOREIGN_KEY,
            format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                parent.name
            ),
        )),
    }
}

fn check_types(
    table: &Table,
    columns: &[usize],
    parent: &Table,
    referenced: &[usize],
    name: &str,
) -> Result<()> {
    for (from, to) in columns.iter().zip(referenced) {
        let (Some(from), Some(to)) = (table.columns.get(*from), parent.columns.get(*to)) else {
            continue;
        };
        if comparable(from.ty, to.ty) {
            continue;
        }
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!("foreign key constraint \"{name}\" cannot be implemented"),
        )
        .detail(format!(
            "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
            from.name,
            to.name,
            names::format_type(from.ty),
            names::format_type(to.ty)
        )));
    }
    Ok(())
}

/// Whether PostgreSQL compares these two types for equality with one operator family.
fn comparable(from: PgType, to: PgType) -> bool {
    const FAMILIES: [&[u32]; 3] = [
        &[oid::INT2, oid::INT4, oid::INT8],
        &[oid::FLOAT4, oid::FLOAT8],
        &[oid::TEXT, oid::VARCHAR],
    ];
    from.oid == to.oid
        || FAMILIES
            .iter()
            .any(|family| family.contains(&from.oid) && family.contains(&to.oid))
        || cast::allowed(from, to, cast::Context::Implicit)
}

fn action(written: Option<ReferentialAction>) -> Action {
    match written {
        None | Some(ReferentialAction::NoAction) => Action::NoAction,
        Some(ReferentialAction::Restrict) => Action::Restrict,
        Some(ReferentialAction::Cascade) => Action::Cascade,
        Some(ReferentialAction::SetNull) => Action::SetNull,
        Some(ReferentialAction::SetDefault) => Action::SetDefault,
    }
}

/// Locks the tables at the other ends of a table's foreign keys against changes. Those who check a reference
/// lock the table that they change, but not the one that they look into: they must not be under way while
/// its types change, or its rows get other storage.
pub(super) async fn lock_partners(context: &mut Context<'_>, table: &Table) -> Result<()> {
    let every = (0..table.columns.len()).collect();
    let ends = of_columns(context.catalog, table, &every)
        .into_iter()
        .flat_map(|(child, key)| [child.oid, key.table]);
    for oid in ends
        .filter(|oid| *oid != table.oid)
        .collect::<BTreeSet<_>>()
    {
        let mode = RelationMode::ShareRowExclusive;
        match context.lock_by_oid(oid, mode).await {
            // Dropped meanwhile, and the foreign key with it.
            Err(error) if error.state() == SqlState::UNDEFINED_TABLE => {}
            locked => drop(locked?),
        }
    }
    Ok(())
}

/// Whether a column is part of a foreign key, at either end.
pub(super) fn has_column(catalog: &Catalog, table: &Table, at: usize) -> bool {
    !of_columns(catalog, table, &BTreeSet::from([at])).is_empty()
}

/// The foreign keys that these columns are part of, at either end, with the table that each belongs to.
fn of_columns(
    catalog: &Catalog,
    table: &Table,
    columns: &BTreeSet<usize>,
) -> Vec<(Arc<Table>, ForeignKey)> {
    let part = |key: &[usize]| key.iter().any(|at| columns.contains(at));
    let mut found = catalog.referencing(table.oid);
    found.retain(|(_, key)| part(&key.referenced));
    let Some(table) = catalog.table(table.oid) else {
        return found;
    };
    for constraint in &table.constraints {
        if let ConstraintKind::ForeignKey(key) = &constraint.kind
            && part(&key.columns)
            && !(key.table == table.oid && part(&key.referenced))
        {
            found.push((table.clone(), key.clone()));
        }
    }
    found
}

/// Checks the foreign keys of columns that have got other types since the table was `before`: whether
/// both ends can still be compared; and, if values may have changed, all rows.
pub(super) fn check_again(
    context: &mut Context<'_>,
    before: &Table,
    retyped: &BTreeSet<usize>,
) -> Result<()> {
    let Some(now) = context.catalog.table(before.oid).cloned() else {
        return Ok(());
    };
    for (child, key) in of_columns(context.catalog, &now, retyped) {
        let parent = context.catalog.table(key.table).cloned();
        let (Some(parent), Some(Object::Index(index))) =
            (parent, context.catalog.object(key.index).cloned())
        else {
            return Err(Error::internal("a foreign key references no table"));
        };
        check_types(&child, &key.columns, &parent, &key.referenced, &key.name)?;
        if now.storage != before.storage {
            check_rows(context, &child, &parent, &index, &key)?;
        }
    }
    Ok(())
}

/// Checks that every row of the referencing table has its row in the referenced one (23503).
fn check_rows(
    context: &mut Context<'_>,
    table: &Table,
    parent: &Table,
    index: &Index,
    key: &ForeignKey,
) -> Result<()> {
    if rows::is_empty(context, table.storage)? {
        return Ok(());
    }
    let view = context.txn.latest()?;
    let style = context.info.style.clone();
    let mut known: HashMap<Vec<u8>, ()> = HashMap::new();
    rows::for_each_row(context, table, |context, _, row| {
        let nulls = key_values(&row, &key.columns)
            .filter(|value| value.is_null())
            .count();
        if !key.binds(nulls) {
            return Ok(());
        }
        if nulls > 0 {
            return Err(context.mixed_nulls(table, key));
        }
        // The index may list the columns in another order than the constraint.
        let mut values = Vec::with_capacity(index.columns.len());
        for position in &index.columns {
            let pair = key.referenced.iter().position(|at| at == position);
            let from = pair.and_then(|at| key.columns.get(at)).copied();
            let datum = from.and_then(|at| row.get(at).cloned());
            let (Some(from), Some(datum)) = (from.and_then(|at| table.columns.get(at)), datum)
            else {
                return Err(Error::corrupted(
                    "a foreign key names a column that does not exist",
                ));
            };
            let to = parent
                .columns
                .get(*position)
                .map_or(from.ty, |column| PgType::new(column.ty.oid));
            match cast::exactly(&datum, from.ty, to, &style) {
                Some(datum) => values.push(datum),
                // A value that the referenced type cannot hold is in no referenced row.
                None => break,
            }
        }
        let found = if values.len() < index.columns.len() {
            false
        } else {
            let prefix = keys::index_prefix(index, parent, &values)?;
            known.contains_key(&prefix) || {
                let found = holder(&view, parent, index, &prefix)?.is_some();
                if found && known.len() < MAX_KNOWN_KEYS {
                    known.insert(prefix, ());
                }
                found
            }
        };
        if found {
            return Ok(());
        }
        Err(context.not_referenced(table, key, key_values(&row, &key.columns), parent))
    })
}
