//! Changes of one column: adding it, its type, default, NOT NULL and identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, CastKind, DataType, Expr};

use super::super::Context;
use super::columns::{self, NewColumn};
use super::depends;
use super::rewrite::{Change, NewValue, rewrite};
use super::sequence_options::SequenceOptions;
use super::{constraint, drop, expressions, foreign_key, rows, table};
use crate::catalog::{Column, ConstraintKind, Identity, Object, Table, fold};
use crate::error::{Error, Result, SqlState};
use crate::types::text::TextStyle;
use crate::types::{Datum, PgType, cast, names, oid, text};

/// Adds a column; rows that are there get its default: by a note in the catalog when one value
/// serves them all, else by writing them anew.
pub(super) async fn add(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    new: NewColumn,
) -> Result<Arc<Table>> {
    let at = table.columns.len();
    let mut column = table::make_column(context, table, at, new).await?;
    let mut changed = table.as_ref().clone();
    let generated = column.sequence.is_some();
    let default = column
        .default
        .as_deref()
        .map(expressions::parse)
        .transpose()?;
    let volatile = generated || default.as_ref().is_some_and(expressions::is_volatile);
    let empty = rows::is_empty(context, table.storage)?;
    if empty {
        changed.columns.push(column);
        return context.put_table(changed);
    }
    if !volatile {
        let value = match &default {
            Some(expr) => expressions::constant(context, expr, column.ty).await?,
            None => Datum::Null,
        };
        if value.is_null() && column.not_null {
            changed.columns.push(column);
            return Err(constraint::null_in_column(context, &changed, at));
        }
        if !value.is_null() {
            column.missing = Some(text::to_string(&value, column.ty, &TextStyle::default()));
        }
        changed.columns.push(column);
        return context.put_table(changed);
    }
    let (ty, sequence) = (column.ty, column.sequence);
    changed.columns.push(column);
    let sequence = sequence.and_then(|oid| match context.catalog.object(oid) {
        Some(Object::Sequence(sequence)) => Some(sequence.clone()),
        _ => None,
    });
    let value = match (sequence, default) {
        (Some(sequence), _) => NewValue::Next(sequence),
        (None, Some(expr)) => NewValue::Default(expr),
        (None, None) => return Err(Error::internal("a volatile default that is none")),
    };
    rewrite(context, table, changed, &Change::Append { ty, value }).await
}

pub(super) fn set_not_null(context: &mut Context<'_>, table: &Arc<Table>, at: usize) -> Result<()> {
    rows::for_each_row(context, table, |context, _, row| match row.get(at) {
        Some(datum) if !datum.is_null() => Ok(()),
        _ => Err(constraint::null_in_column(context, table, at)),
    })?;
    change(context, table, at, |column| column.not_null = true)
}

pub(super) fn drop_not_null(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
) -> Result<()> {
    let name = column_name(table, at);
    if table.primary_key.contains(&at) {
        return Err(Error::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("column \"{name}\" is in a primary key"),
        ));
    }
    if table
        .columns
        .get(at)
        .is_some_and(|column| column.identity.is_some())
    {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "column \"{name}\" of relation \"{}\" is an identity column",
                table.name
            ),
        ));
    }
    change(context, table, at, |column| column.not_null = false)
}

pub(super) async fn set_default(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
    expr: Option<&Expr>,
) -> Result<()> {
    let Some(column) = table.columns.get(at) else {
        return Ok(());
    };
    if column.identity.is_some() {
        let error = Error::new(
            SqlState::SYNTAX_ERROR,
            format!(
                "column \"{}\" of relation \"{}\" is an identity column",
                column.name, table.name
            ),
        );
        return Err(match expr {
            Some(_) => error,
            None => error.hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead."),
        });
    }
    let default = match expr {
        Some(expr) => expressions::default_for(context, column, expr).await?,
        None => None,
    };
    // A SERIAL column that gets another default still owns its sequence, but does not use it.
    change(context, table, at, |column| {
        column.default = default;
        column.sequence = None;
    })
}

/// ALTER COLUMN TYPE: checks that defaults and constraints still fit, foreign keys excepted
/// ([`foreign_key::check_again`]); where values do not stay what they are, converts every row and builds
/// the indexes anew.
pub(super) async fn set_type(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
    data_type: &DataType,
    using: Option<&Expr>,
) -> Result<()> {
    let Some(column) = table.columns.get(at) else {
        return Ok(());
    };
    let ty = columns::column_type(&column.name, data_type)?;
    if let Some(view) = depends::views_on_column(context.catalog, table, at).first() {
        let view = context.catalog.object(*view).cloned();
        let view = view.map_or_else(String::new, |view| context.shown(&view));
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "cannot alter type of a column used by a view or rule",
        )
        .detail(format!(
            "rule _RETURN on view {view} depends on column \"{}\"",
            column.name
        )));
    }
    if column.identity.is_some() && super::sequence_options::range(ty).is_none() {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "identity column type must be smallint, integer, or bigint",
        ));
    }
    let old_ty = column.ty;
    if using.is_none()
        && old_ty.oid != ty.oid
        && !cast::allowed(old_ty, ty, cast::Context::Assignment)
    {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "column \"{}\" cannot be cast automatically to type {}",
                column.name,
                names::format_type(PgType::new(ty.oid))
            ),
        )
        .hint(format!(
            "You might need to specify \"USING {}::{}\".",
            crate::catalog::quote(&column.name),
            names::format_type(ty)
        )));
    }
    let default = new_default(context, column, ty).await?;
    if foreign_key::has_column(context.catalog, table, at) {
        foreign_key::lock_partners(context, table).await?;
    }
    if keeps_values(old_ty, ty) && using.is_none_or(|expr| is_column(expr, &column.name, ty)) {
        change(context, table, at, |column| {
            column.ty = ty;
            column.default = default;
        })?;
        return match context.catalog.table(table.oid).cloned() {
            Some(changed) => recheck(context, &changed, at).await,
            None => Ok(()),
        };
    }
    if let Some(expr) = using {
        check_transform(context, table, at, ty, expr).await?;
    }
    let mut changed = table.as_ref().clone();
    if let Some(column) = changed.columns.get_mut(at) {
        column.ty = ty;
        column.missing = None;
        column.default = default;
    }
    // Every row is written with all of its columns, so no column is missing in any.
    for column in &mut changed.columns {
        column.missing = None;
    }
    constraint::check_orderable(&changed, &indexed_columns(context, table))?;
    let old_sequence = column.sequence.filter(|_| column.identity.is_some());
    let values = match using {
        None => Change::Cast {
            at,
            from: old_ty,
            to: ty,
        },
        Some(expr) => Change::Transform { at, to: ty, expr },
    };
    let new = rewrite(context, table, changed, &values).await?;
    if let Some(Object::Sequence(sequence)) =
        old_sequence.and_then(|oid| context.catalog.object(oid).cloned())
    {
        let options = SequenceOptions {
            ty: Some(ty),
            ..SequenceOptions::default()
        };
        let changed = super::sequence::change(context, &sequence, &options)?;
        context.put_sequence(changed)?;
    }
    recheck(context, &new, at).await
}

fn indexed_columns(context: &Context<'_>, table: &Table) -> Vec<usize> {
    let all: BTreeSet<usize> = context
        .catalog
        .indexes(table)
        .iter()
        .flat_map(|index| index.columns.clone())
        .collect();
    all.into_iter().collect()
}

/// Whether an expression, over the rows of `table` if there is one, can be given to a column of that type.
async fn is_assignable(
    context: &Context<'_>,
    table: Option<&Table>,
    expr: &Expr,
    ty: PgType,
) -> Result<bool> {
    let found = expressions::types_of(context, table, &[expr]).await?;
    let found = found.first().copied().unwrap_or(PgType::UNKNOWN);
    Ok(found.oid == ty.oid
        || found == PgType::UNKNOWN
        || cast::allowed(found, ty, cast::Context::Assignment))
}

/// The default as one of the new type; 42804 when it cannot be.
async fn new_default(context: &Context<'_>, column: &Column, ty: PgType) -> Result<Option<String>> {
    let Some(stored) = &column.default else {
        return Ok(None);
    };
    let expr = expressions::parse(stored)?;
    if !is_assignable(context, None, &expr, ty).await? {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "default for column \"{}\" cannot be cast automatically to type {}",
                column.name,
                names::format_type(PgType::new(ty.oid))
            ),
        ));
    }
    Ok(Some(stored.clone()))
}

/// Whether every value of a column is one of another type as it is stored, so that a table's rows and
/// indexes stay as they are. The pairs of types are those that PostgreSQL does not rewrite for.
fn keeps_values(from: PgType, to: PgType) -> bool {
    let loosened = to.typmod < 0 || (from.typmod >= 0 && from.typmod <= to.typmod);
    match (from.oid, to.oid) {
        _ if from == to => true,
        (oid::TEXT | oid::VARCHAR, oid::TEXT) | (oid::TEXT, oid::VARCHAR) => to.typmod < 0,
        (oid::VARCHAR, oid::VARCHAR) => loosened,
        (oid::NUMERIC, oid::NUMERIC) => match (from.precision_scale(), to.precision_scale()) {
            (_, None) => true,
            (Some((before, scale)), Some((after, same))) => before <= after && scale == same,
            (None, Some(_)) => false,
        },
        (oid::TIME, oid::TIME)
        | (oid::TIMESTAMP, oid::TIMESTAMP)
        | (oid::TIMESTAMPTZ, oid::TIMESTAMPTZ) => loosened,
        _ => false,
    }
}

/// Whether USING gives the column itself, perhaps cast to its new type.
fn is_column(expr: &Expr, name: &str, ty: PgType) -> bool {
    match expr {
        Expr::Identifier(ident) => fold(ident) == name,
        Expr::Nested(inner) => is_column(inner, name, ty),
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon,
            expr,
            data_type,
            format: None,
            ..
        } => {
            let same = columns::column_type(name, data_type).is_ok_and(|to| to == ty);
            same && is_column(expr, name, ty)
        }
        _ => false,
    }
}

/// Whether USING can give values of the new type.
async fn check_transform(
    context: &Context<'_>,
    table: &Arc<Table>,
    at: usize,
    ty: PgType,
    expr: &Expr,
) -> Result<()> {
    expressions::check_shape(expr, expressions::Place::Transform)?;
    if !is_assignable(context, Some(table), expr, ty).await? {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "result of USING clause for column \"{}\" cannot be cast automatically to type {}",
                column_name(table, at),
                names::format_type(PgType::new(ty.oid))
            ),
        )
        .hint("You might need to add an explicit cast."));
    }
    Ok(())
}

/// Checks the CHECK constraints that name a column whose type changed.
async fn recheck(context: &mut Context<'_>, table: &Arc<Table>, at: usize) -> Result<()> {
    for it in &table.constraints {
        if let ConstraintKind::Check { expression } = &it.kind {
            let expr = expressions::parse(expression)?;
            if expressions::columns_of(&expr, table).contains(&at) {
                expressions::check_condition(context, table, &expr).await?;
                constraint::check_condition_holds(context, table, &expr, &it.name).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn add_identity(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
    identity: Identity,
    options: &[ast::SequenceOptions],
) -> Result<()> {
    let Some(column) = table.columns.get(at) else {
        return Ok(());
    };
    let refused = |problem: &str| {
        Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "column \"{}\" of relation \"{}\" {problem}",
                column.name, table.name
            ),
        ))
    };
    if column.identity.is_some() {
        return refused("is already an identity column");
    }
    if column.default.is_some() {
        return refused("already has a default value");
    }
    if !column.not_null {
        return refused("must be declared NOT NULL before identity can be added");
    }
    let mut new = NewColumn {
        column: column.clone(),
        default: None,
        sequence: None,
        constraints: Vec::new(),
    };
    columns::set_identity(&mut new, identity, SequenceOptions::from_ast(options)?)?;
    let made = table::make_column(context, table, at, new).await?;
    change(context, table, at, |column| *column = made)
}

/// DROP IDENTITY, which only the token parser reads.
pub(super) async fn drop_identity(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
    if_exists: bool,
) -> Result<()> {
    let Some(column) = table.columns.get(at) else {
        return Ok(());
    };
    let Some(sequence) = column.sequence.filter(|_| column.identity.is_some()) else {
        let message = format!(
            "column \"{}\" of relation \"{}\" is not an identity column",
            column.name, table.name
        );
        if if_exists {
            context.skipping(SqlState::SUCCESSFUL_COMPLETION, message);
            return Ok(());
        }
        return Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            message,
        ));
    };
    change(context, table, at, |column| {
        column.identity = None;
        column.sequence = None;
    })?;
    drop::remove(context, &[depends::Part::Relation(sequence)], false).await
}

/// SET GENERATED, and options of the identity's sequence.
pub(super) fn set_identity(
    context: &mut Context<'_>,
    table: &Arc<Table>,
    at: usize,
    identity: Option<Identity>,
    options: &SequenceOptions,
) -> Result<()> {
    let Some(column) = table.columns.get(at) else {
        return Ok(());
    };
    let Some(sequence) = column.sequence.filter(|_| column.identity.is_some()) else {
        return Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "column \"{}\" of relation \"{}\" is not an identity column",
                column.name, table.name
            ),
        ));
    };
    if let Some(Object::Sequence(sequence)) = context.catalog.object(sequence).cloned() {
        let changed = super::sequence::change(context, &sequence, options)?;
        context.put_sequence(changed)?;
    }
    match identity {
        Some(identity) => change(context, table, at, |column| {
            column.identity = Some(identity)
        }),
        None => Ok(()),
    }
}

fn change(
    context: &mut Context<'_>,
    table: &Table,
    at: usize,
    change: impl FnOnce(&mut Column),
) -> Result<()> {
    let mut changed = table.clone();
    if let Some(column) = changed.columns.get_mut(at) {
        change(column);
    }
    context.put_table(changed)?;
    Ok(())
}

fn column_name(table: &Table, at: usize) -> &str {
    table
        .columns
        .get(at)
        .map_or("", |column| column.name.as_str())
}
