//! Adding constraints to a table: PRIMARY KEY, UNIQUE, CHECK, FOREIGN KEY. The rows that are there
//! are checked.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    ConstraintReferenceMatchKind, Expr, ForeignKeyConstraint, ReferentialAction,
};

use super::super::Context;
use super::columns::{NewConstraint, NewKind};
use super::naming::{Names, joined};
use super::rewrite::{Change, rewrite};
use super::scope::Needed;
use super::{expressions, rows};
use crate::catalog::{
    Action, Catalog, Constraint, ConstraintKind, ForeignKey, Index, Object, Privileges,
    QualifiedName, Table, keys, quote,
};
use crate::error::{Error, Result, SqlState};
use crate::query::PlanContext;
use crate::storage::TableId;
use crate::txn::RelationMode;
use crate::types::{PgType, cast, names, oid};

/// Adds a constraint to a table that is in the catalog and locked; gives the table as it then is.
pub(super) async fn add(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    new: &NewConstraint,
) -> Result<Arc<Table>> {
    if let Some(name) = &new.name
        && table
            .constraints
            .iter()
            .any(|constraint| constraint.name == *name)
    {
        return Err(Error::new(
            SqlState::DUPLICATE_OBJECT,
            format!(
                "constraint \"{name}\" for relation \"{}\" already exists",
                table.name
            ),
        ));
    }
    match &new.kind {
        NewKind::PrimaryKey(columns) => {
            if !table.primary_key.is_empty() {
                return Err(multiple_primary_keys(&table.name));
            }
            let columns = key_positions(table, columns, "primary key")?;
            add_primary_key(context, table, columns, new.name.as_deref()).await
        }
        NewKind::Unique(columns) => {
            let columns = key_positions(table, columns, "unique")?;
            let nulls = new.nulls_not_distinct;
            add_unique(context, table, columns, new.name.as_deref(), nulls).await
        }
        NewKind::Check(expr) => add_check(context, table, expr, new.name.as_deref()).await,
        NewKind::ForeignKey {
            columns,
            definition,
        } => add_foreign_key(context, table, columns, definition, new.name.as_deref()).await,
    }
}

pub(super) fn multiple_primary_keys(table: &str) -> Error {
    Error::new(
        SqlState::INVALID_TABLE_DEFINITION,
        format!("multiple primary keys for table \"{table}\" are not allowed"),
    )
}

fn key_positions(table: &Table, columns: &[String], kind: &str) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(columns.len());
    for name in columns {
        let at = table.column(name).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            )
        })?;
        if positions.contains(&at) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in {kind} constraint"),
            ));
        }
        positions.push(at);
    }
    check_orderable(table, &positions)?;
    Ok(positions)
}

/// 42704 for a column whose type has no order.
pub(super) fn check_orderable(table: &Table, columns: &[usize]) -> Result<()> {
    for &at in columns {
        let Some(column) = table.columns.get(at) else {
            continue;
        };
        if matches!(column.ty.oid, oid::JSON | oid::XID | oid::ACLITEM) {
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "data type {} has no default operator class for access method \"btree\"",
                    names::format_type(PgType::new(column.ty.oid))
                ),
            )
            .hint(
                "You must specify an operator class for the index or define a default operator \
                 class for the data type.",
            ));
        }
    }
    Ok(())
}

/// The name of a new index, given or made; locked against others that make it.
async fn index_name(
    context: &mut Context<'_>,
    table: &Table,
    given: Option<&str>,
    columns: Option<&str>,
    label: &str,
) -> Result<String> {
    if let Some(name) = given {
        context.claim_relation_name(table.schema, name).await?;
        return Ok(name.to_owned());
    }
    loop {
        let name = {
            let mut names = Names::new(context.catalog, table.schema);
            names.constraint(Some(table), &table.name, columns, label)
        };
        if context
            .lock_new_relation(table.schema, &name)
            .await?
            .is_none()
        {
            return Ok(name);
        }
    }
}

async fn add_primary_key(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    columns: Vec<usize>,
    name: Option<&str>,
) -> Result<Arc<Table>> {
    let name = index_name(context, table, name, None, "pkey").await?;
    let (index, constraint) = (context.new_oid()?, context.new_oid()?);
    let mut changed = table.as_ref().clone();
    for &at in &columns {
        if let Some(column) = changed.columns.get_mut(at) {
            column.not_null = true;
        }
    }
    rows::for_each_row(context, table, |context, _, row| {
        for &at in &columns {
            if row.get(at).is_none_or(|datum| datum.is_null()) {
                return Err(null_in_column(context, table, at));
            }
        }
        Ok(())
    })?;
    changed.indexes.insert(0, index);
    changed.constraints.push(Constraint {
        oid: constraint,
        name: name.clone(),
        kind: ConstraintKind::PrimaryKey { index },
    });
    changed.primary_key = columns.clone();
    let descending = vec![false; columns.len()];
    context.put_index(Index {
        oid: index,
        name,
        schema: table.schema,
        table: table.oid,
        storage: None,
        columns,
        descending,
        unique: true,
        primary: true,
        nulls_not_distinct: false,
    })?;
    // The rows are stored under their primary key, so they have to move.
    if rows::is_empty(context, table.storage)? {
        return context.put_table(changed);
    }
    rewrite(context, table, changed, &Change::Nothing).await
}

/// `column "a" of relation "t" contains null values` (23502).
pub(super) fn null_in_column(context: &Context<'_>, table: &Table, at: usize) -> Error {
    let column = table
        .columns
        .get(at)
        .map_or("", |column| column.name.as_str());
    Error::new(
        SqlState::NOT_NULL_VIOLATION,
        format!(
            "column \"{column}\" of relation \"{}\" contains null values",
            table.name
        ),
    )
    .schema(
        context
            .catalog
            .schema_name(table.schema)
            .unwrap_or_default(),
    )
    .table(&table.name)
    .column(column)
}

async fn add_unique(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    columns: Vec<usize>,
    name: Option<&str>,
    nulls_not_distinct: bool,
) -> Result<Arc<Table>> {
    let label = joined(
        columns
            .iter()
            .filter_map(|at| Some(table.columns.get(*at)?.name.as_str())),
    );
    let name = index_name(context, table, name, Some(&label), "key").await?;
    let (oid, constraint) = (context.new_oid()?, context.new_oid()?);
    let descending = vec![false; columns.len()];
    let index = Index {
        oid,
        name: name.clone(),
        schema: table.schema,
        table: table.oid,
        storage: Some(TableId::from(context.new_oid()?)),
        columns,
        descending,
        unique: true,
        primary: false,
        nulls_not_distinct,
    };
    rows::build_index(context, table, &index).await?;
    context.put_index(index)?;
    let mut changed = table.as_ref().clone();
    changed.indexes.push(oid);
    changed.constraints.push(Constraint {
        oid: constraint,
        name,
        kind: ConstraintKind::Unique { index: oid },
    });
    context.put_table(changed)
}

async fn add_check(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    expr: &Expr,
    name: Option<&str>,
) -> Result<Arc<Table>> {
    let mut expr = expr.clone();
    expressions::qualify_sequences(context, &mut expr)?;
    expressions::check_condition(context, table, &expr).await?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let used = expressions::columns_of(&expr, table);
            let column = match used.iter().next() {
                Some(at) if used.len() == 1 => table.columns.get(*at),
                _ => None,
            };
            Names::new(context.catalog, table.schema).constraint(
                Some(table),
                &table.name,
                column.map(|column| column.name.as_str()),
                "check",
            )
        }
    };
    check_condition_holds(context, table, &expr, &name).await?;
    let mut changed = table.as_ref().clone();
    changed.constraints.push(Constraint {
        oid: context.new_oid()?,
        name,
        kind: ConstraintKind::Check {
            expression: expr.to_string(),
        },
    });
    context.put_table(changed)
}

/// 23514 when some row makes the condition of a CHECK constraint false.
pub(super) async fn check_condition_holds(
    context: &mut Context<'_>,
    table: &Table,
    expr: &Expr,
    name: &str,
) -> Result<()> {
    if rows::is_empty(context, table.storage)? || !violates(context, table, expr).await? {
        return Ok(());
    }
    Err(Error::new(
        SqlState::CHECK_VIOLATION,
        format!(
            "check constraint \"{name}\" of relation \"{}\" is violated by some row",
            table.name
        ),
    )
    .schema(
        context
            .catalog
            .schema_name(table.schema)
            .unwrap_or_default(),
    )
    .table(&table.name)
    .constraint(name))
}

/// Whether some row makes the condition false.
async fn violates(context: &mut Context<'_>, table: &Table, expr: &Expr) -> Result<bool> {
    use futures::StreamExt;

    let schema = context
        .catalog
        .schema_name(table.schema)
        .unwrap_or("public");
    let sql = format!(
        "SELECT 1 FROM {}.{} WHERE NOT ({expr}) LIMIT 1",
        quote(schema),
        quote(&table.name)
    );
    let query = expressions::parse_query(&sql)?;
    let plan = context
        .engine
        .query
        .plan(
            &query,
            &PlanContext {
                parameters: &[],
                ..context.plan_context()
            },
        )
        .await?;
    let mut execution = context.execution()?;
    execution.parameters = Vec::new();
    let mut found = context.engine.query.run(&plan, execution).await?;
    while let Some(rows) = found.next().await {
        if !rows?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

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

async fn add_foreign_key(
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
    let positions = fk_positions(table, columns)?;
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

fn fk_positions(table: &Table, columns: &[String]) -> Result<Vec<usize>> {
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
    let positions = fk_positions(parent, written)?;
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

/// Checks that every row of the referencing table has its row in the referenced one (23503).
pub(super) fn check_rows(
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
        let nulls = key
            .columns
            .iter()
            .filter(|at| row.get(**at).is_none_or(|datum| datum.is_null()))
            .count();
        if nulls == key.columns.len() || (nulls > 0 && !key.match_full) {
            return Ok(());
        }
        let violation = |detail: String| {
            Err(Error::new(
                SqlState::FOREIGN_KEY_VIOLATION,
                format!(
                    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                    table.name, key.name
                ),
            )
            .detail(detail)
            .schema(
                context
                    .catalog
                    .schema_name(table.schema)
                    .unwrap_or_default(),
            )
            .table(&table.name)
            .constraint(&key.name))
        };
        if nulls > 0 {
            return violation(
                "MATCH FULL does not allow mixing of null and nonnull key values.".into(),
            );
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
            match cast::cast(datum, from.ty, to, cast::Context::Explicit, &style) {
                Ok(datum) => values.push(datum),
                // A value that the referenced type cannot hold is in no referenced row.
                Err(_) => break,
            }
        }
        let found = if values.len() < index.columns.len() {
            false
        } else {
            let prefix = keys::index_prefix(index, parent, &values)?;
            known.contains_key(&prefix) || {
                let found = rows::has_referenced(&view, parent, index, &values)?;
                if found && known.len() < MAX_KNOWN_KEYS {
                    known.insert(prefix, ());
                }
                found
            }
        };
        if found {
            return Ok(());
        }
        violation(format!(
            "Key {} is not present in table \"{}\".",
            rows::key_detail(context, table, &key.columns, &row),
            parent.name
        ))
    })
}

/// Referenced keys that are remembered while rows are checked.
const MAX_KNOWN_KEYS: usize = 100_000;
