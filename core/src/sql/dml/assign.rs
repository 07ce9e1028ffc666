//! SET lists: which column gets which value, for UPDATE and for ON CONFLICT DO UPDATE.

use datafusion::sql::sqlparser::ast::{self, Assignment, AssignmentTarget, SelectItem, SetExpr};

use super::check::generated_always;
use super::compiled::{Env, Expr, Row};
use super::matches;
use super::names::parts;
use super::target::{Default, Target};
use super::values::Conversion;
use crate::catalog::{Table, undefined_column};
use crate::error::{Error, Result, SqlState};
use crate::sql::Context;
use crate::types::Datum;

/// One column of a SET list, as written.
pub(super) struct Assigned {
    pub column: usize,
    pub value: Written,
}

pub(super) enum Written {
    Default,
    Expr(ast::Expr),
}

/// Resolves a SET list.
///
/// # Errors
/// 42703 for an unknown column, 42601 for one that is set twice or for lists of different length,
/// 428C9 for an identity column.
pub(super) fn assigned(table: &Table, list: &[Assignment]) -> Result<Vec<Assigned>> {
    let mut out: Vec<Assigned> = Vec::with_capacity(list.len());
    for assignment in list {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => {
                let column = column(table, name)?;
                push(table, &mut out, column, assignment.value.clone())?;
            }
            AssignmentTarget::Tuple(names) => {
                let values = row_of(&assignment.value, names.len())?;
                for (name, value) in names.iter().zip(values) {
                    push(table, &mut out, column(table, name)?, value)?;
                }
            }
        }
    }
    Ok(out)
}

fn column(table: &Table, name: &ast::ObjectName) -> Result<usize> {
    let parts = parts(name);
    let [name] = parts.as_slice() else {
        // PostgreSQL reads the first part as a column of a composite type.
        let first = parts.first().map_or("", String::as_str);
        return Err(undefined_column(first, &table.name));
    };
    table
        .column(name)
        .ok_or_else(|| undefined_column(name, &table.name))
}

fn push(table: &Table, out: &mut Vec<Assigned>, column: usize, value: ast::Expr) -> Result<()> {
    if out.iter().any(|other| other.column == column) {
        let name = table.columns.get(column).map_or("", |column| &column.name);
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!("multiple assignments to same column \"{name}\""),
        ));
    }
    let value = match is_default(&value) {
        true => Written::Default,
        false => Written::Expr(value),
    };
    if let (Written::Expr(_), Some(described)) = (&value, table.columns.get(column))
        && described.identity == Some(crate::catalog::Identity::Always)
    {
        return Err(generated_always(&described.name, false));
    }
    out.push(Assigned { column, value });
    Ok(())
}

/// The word DEFAULT in place of a value.
pub(super) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

/// The values of `(a, b) = …`: of a row, or of a sub-query's columns.
fn row_of(value: &ast::Expr, count: usize) -> Result<Vec<ast::Expr>> {
    let wrong = || {
        Error::new(
            SqlState::SYNTAX_ERROR,
            "number of columns does not match number of values",
        )
    };
    let values = match value {
        ast::Expr::Tuple(values) => values.clone(),
        ast::Expr::Function(function) if parts(&function.name) == ["row"] => {
            let ast::FunctionArguments::List(list) = &function.args else {
                return Err(wrong());
            };
            let mut values = Vec::with_capacity(list.args.len());
            for argument in &list.args {
                match argument {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => {
                        values.push(expr.clone());
                    }
                    _ => return Err(wrong()),
                }
            }
            values
        }
        ast::Expr::Subquery(query) => columns_of(query, count)?,
        // `(a) = (1)`
        ast::Expr::Nested(inner) if count == 1 => vec![inner.as_ref().clone()],
        _ => {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
            ));
        }
    };
    if values.len() != count {
        return Err(wrong());
    }
    Ok(values)
}

/// One scalar sub-query for each column of a query.
fn columns_of(query: &ast::Query, count: usize) -> Result<Vec<ast::Expr>> {
    let Some(width) = width_of(&query.body) else {
        return Err(Error::unsupported(
            "a multiple-column assignment from a subquery with *",
            "Name the columns.",
        ));
    };
    if width != count {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "number of columns does not match number of values",
        ));
    }
    let names: Vec<String> = (0..width).map(|at| format!("\"?{at}\"")).collect();
    let mut columns = Vec::with_capacity(width);
    for name in &names {
        let sql = format!("(SELECT 1) AS \"?\"({})", names.join(", "));
        let mut from = matches::from_items(&sql)?;
        if let Some(ast::TableFactor::Derived { subquery, .. }) =
            from.first_mut().map(|item| &mut item.relation)
        {
            **subquery = query.clone();
        }
        let item = matches::item("?", name.trim_matches('"'));
        let one = matches::query(None, vec![item], from, None)?;
        columns.push(ast::Expr::Subquery(Box::new(one)));
    }
    Ok(columns)
}

/// How many columns a query has; `None` if only its names would tell.
fn width_of(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain = select.projection.iter().all(|item| {
                matches!(
                    item,
                    SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
                )
            });
            plain.then_some(select.projection.len())
        }
        SetExpr::Query(query) => width_of(&query.body),
        SetExpr::SetOperation { left, .. } => width_of(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}

/// A column and how its new value is made.
pub(super) struct Set {
    pub column: usize,
    pub value: SetValue,
}

pub(super) enum SetValue {
    Compiled(Expr),
    /// A value that the search selected for the row, counted after the row key.
    Planned(usize, Conversion),
    /// A default that DataFusion evaluates.
    Default(Box<ast::Expr>),
}

impl SetValue {
    pub(super) fn from_default(default: Default) -> Self {
        match default {
            Default::Compiled(expr) => SetValue::Compiled(expr),
            Default::General(expr) => SetValue::Default(expr),
        }
    }

    /// The new value.
    pub(super) async fn eval(
        &self,
        context: &mut Context<'_>,
        target: &Target,
        column: usize,
        old: &[Datum<'_>],
        planned: &[Datum<'static>],
    ) -> Result<Datum<'static>> {
        match self {
            SetValue::Compiled(expr) => {
                let env = Env {
                    row: Row::Values(old),
                    parameters: context.parameters,
                    info: &context.info,
                };
                Ok(expr.eval(&env)?.into_owned())
            }
            SetValue::Planned(at, conversion) => {
                let value = planned
                    .get(*at)
                    .ok_or_else(|| Error::internal("a search gave fewer values than planned"))?;
                conversion.apply(value.clone(), &context.info.style)
            }
            SetValue::Default(expr) => Box::pin(default_value(context, target, column, expr)).await,
        }
    }
}

/// A column's default value.
pub(super) async fn default_of(
    context: &mut Context<'_>,
    target: &Target,
    column: usize,
    default: &Default,
) -> Result<Datum<'static>> {
    match default {
        Default::Compiled(expr) => constant(context, expr),
        Default::General(expr) => Box::pin(default_value(context, target, column, expr)).await,
    }
}

/// The value of an expression that reads no row.
pub(super) fn constant(context: &Context<'_>, expr: &Expr) -> Result<Datum<'static>> {
    let env = Env {
        row: Row::None,
        parameters: context.parameters,
        info: &context.info,
    };
    Ok(expr.eval(&env)?.into_owned())
}

/// Evaluates a default expression that does not compile.
pub(super) async fn default_value(
    context: &mut Context<'_>,
    target: &Target,
    column: usize,
    expr: &ast::Expr,
) -> Result<Datum<'static>> {
    let (value, ty) = context.evaluate(expr).await?;
    let column = target.column(column)?;
    let conversion = Conversion::new(
        ty,
        super::values::is_open_literal(expr),
        &column.name,
        column.ty,
    )?;
    conversion.apply(value, &context.info.style)
}
