//! Expressions that the catalog keeps: DEFAULT and CHECK. They are checked when they are given, and
//! stored with the names of sequences resolved, so that a later search path cannot change them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Value,
    visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::super::Context;
use crate::catalog::{Catalog, Column, Object, QualifiedName, Table, fold, quote};
use crate::error::{Error, Result, SqlState};
use crate::query::{Plan, PlanContext};
use crate::types::{Datum, PgType, cast, names, text};

/// Functions whose value differs from row to row.
const VOLATILE: &[&str] = &[
    "nextval",
    "currval",
    "lastval",
    "setval",
    "random",
    "gen_random_uuid",
    "uuid_generate_v4",
    "clock_timestamp",
    "timeofday",
];

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "bool_and",
    "bool_or",
    "every",
    "json_agg",
    "jsonb_agg",
    "stddev",
    "variance",
];

/// Parses the stored text of an expression.
///
/// # Errors
/// XX001 when it is not one.
pub(super) fn parse(stored: &str) -> Result<Expr> {
    let dialect = SqlDialect;
    Parser::new(&dialect)
        .try_with_sql(stored)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| Error::corrupted(format!("stored expression \"{stored}\": {error}")))
}

/// Where an expression stands, for messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Default,
    Check,
    /// USING of ALTER COLUMN TYPE.
    Transform,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Default => "DEFAULT expressions",
            Place::Check => "check constraints",
            Place::Transform => "transform expressions",
        }
    }
}

/// Refuses what an expression in that place may not hold.
pub(super) fn check_shape(expr: &Expr, place: Place) -> Result<()> {
    let broken = visit_expressions(expr, |part| {
        let problem = match part {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => Some(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                match place {
                    Place::Default => "cannot use subquery in DEFAULT expression",
                    Place::Check => "cannot use subquery in check constraint",
                    Place::Transform => "cannot use subquery in transform expression",
                },
            )),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if place == Place::Default => {
                Some(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot use column reference in DEFAULT expression",
                ))
            }
            Expr::Function(function) if function.over.is_some() => Some(Error::new(
                SqlState::WINDOWING_ERROR,
                format!("window functions are not allowed in {}", place.name()),
            )),
            Expr::Function(function) if AGGREGATES.contains(&function_name(function).as_str()) => {
                Some(Error::new(
                    SqlState::GROUPING_ERROR,
                    format!("aggregate functions are not allowed in {}", place.name()),
                ))
            }
            _ => None,
        };
        match problem {
            Some(error) => ControlFlow::Break(error),
            None => ControlFlow::Continue(()),
        }
    });
    match broken {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Whether an expression's value may differ from row to row.
pub(super) fn is_volatile(expr: &Expr) -> bool {
    visit_expressions(expr, |part| match part {
        Expr::Function(function) if VOLATILE.contains(&function_name(function).as_str()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn function_name(function: &Function) -> String {
    function
        .name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .map(fold)
        .unwrap_or_default()
}

/// Positions of the columns of `table` that an expression names.
pub(super) fn columns_of(expr: &Expr, table: &Table) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let _: ControlFlow<()> = visit_expressions(expr, |part| {
        let ident = match part {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(at) = ident.and_then(|ident| table.column(&fold(ident))) {
            found.insert(at);
        }
        ControlFlow::Continue(())
    });
    found
}

/// Gives a column another name in an expression.
pub(super) fn rename_column(expr: &mut Expr, old: &str, new: &str) {
    let _: ControlFlow<()> = visit_expressions_mut(expr, |part| {
        let ident = match part {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last_mut(),
            _ => None,
        };
        if let Some(ident) = ident.filter(|ident| fold(ident) == old) {
            *ident = ast::Ident::with_quote('"', new);
        }
        ControlFlow::Continue(())
    });
}

/// Replaces the sequence names in `nextval('s')` and its like by qualified ones.
pub(super) fn qualify_sequences(context: &Context<'_>, expr: &mut Expr) -> Result<()> {
    let catalog: &Catalog = context.catalog;
    let path = &context.info.search_path;
    let broken = visit_expressions_mut(expr, |part| {
        let Expr::Function(function) = part else {
            return ControlFlow::Continue(());
        };
        if !matches!(
            function_name(function).as_str(),
            "nextval" | "currval" | "setval"
        ) {
            return ControlFlow::Continue(());
        }
        let Some(argument) = first_argument(function) else {
            return ControlFlow::Continue(());
        };
        let Some(written) = string_literal(argument) else {
            return ControlFlow::Continue(());
        };
        let resolved = parse_regclass(&written).and_then(|name| {
            let object = catalog.resolve_relation(&name, path)?;
            let schema = object
                .schema()
                .and_then(|oid| catalog.schema_name(oid))
                .unwrap_or("");
            Ok(format!("{}.{}", quote(schema), quote(object.name())))
        });
        match resolved {
            Ok(name) => {
                *argument = regclass(&name);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    match broken {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn first_argument(function: &mut Function) -> Option<&mut Expr> {
    match &mut function.args {
        FunctionArguments::List(list) => match list.args.first_mut()? {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        },
        _ => None,
    }
}

/// The text of `'x'`, `'x'::regclass` or `'x'::text`.
pub(super) fn string_literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Some(text.clone())
            }
            Value::DollarQuotedString(text) => Some(text.value.clone()),
            _ => None,
        },
        Expr::Cast {
            expr, data_type, ..
        } => {
            let name = data_type.to_string().to_lowercase();
            matches!(name.as_str(), "regclass" | "text")
                .then(|| string_literal(expr))
                .flatten()
        }
        Expr::Nested(expr) => string_literal(expr),
        _ => None,
    }
}

/// `'name'::regclass`.
fn regclass(name: &str) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(Expr::Value(
            Value::SingleQuotedString(name.to_owned()).into(),
        )),
        data_type: ast::DataType::Custom(ObjectName::from(vec!["regclass".into()]), Vec::new()),
        array: false,
        format: None,
    }
}

/// A relation's name as text spells it: parts in quotes or folded.
pub(super) fn parse_regclass(written: &str) -> Result<QualifiedName> {
    let dialect = SqlDialect;
    let name = Parser::new(&dialect)
        .try_with_sql(written)
        .and_then(|mut parser| parser.parse_object_name(false))
        .map_err(|_| Error::new(SqlState::INVALID_NAME, "invalid name syntax"))?;
    QualifiedName::from_ast(&name)
}

/// OIDs of the sequences that a stored default takes values from.
pub(super) fn sequences_of(catalog: &Catalog, stored: &str) -> Vec<u32> {
    if !stored.contains("val(") {
        return Vec::new();
    }
    let Ok(mut expr) = parse(stored) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |part| {
        if let Expr::Function(function) = part
            && let Some(name) = first_argument(function).and_then(|expr| string_literal(expr))
        {
            let path = crate::catalog::SearchPath(Arc::from(Vec::new()));
            let object = parse_regclass(&name)
                .ok()
                .and_then(|name| catalog.resolve(&name, &path).cloned());
            if let Some(Object::Sequence(sequence)) = object {
                found.push(sequence.oid);
            }
        }
        ControlFlow::Continue(())
    });
    found
}

/// The table's name with its schema, as SQL.
pub(super) fn qualified(context: &Context<'_>, table: &Table) -> String {
    let schema = context.catalog.schema_name(table.schema);
    format!(
        "{}.{}",
        quote(schema.unwrap_or("public")),
        quote(&table.name)
    )
}

/// The plan of a query that this engine has made, without parameters.
pub(super) async fn plan(context: &Context<'_>, sql: &str) -> Result<Plan> {
    let query = parse_query(sql)?;
    let planning = PlanContext {
        parameters: &[],
        ..context.plan_context()
    };
    context.engine.query.plan(&query, &planning).await
}

/// The type of each expression, over the rows of `table` if there is one.
pub(super) async fn types_of(
    context: &Context<'_>,
    table: Option<&Table>,
    expressions: &[&Expr],
) -> Result<Vec<PgType>> {
    let list: Vec<String> = expressions.iter().map(|expr| format!("({expr})")).collect();
    let mut sql = format!("SELECT {}", list.join(", "));
    if let Some(table) = table {
        sql.push_str(&format!(" FROM {}", qualified(context, table)));
    }
    let plan = plan(context, &sql).await?;
    Ok(plan.columns.iter().map(|column| column.ty).collect())
}

/// Parses text that this engine has made.
pub(super) fn parse_query(sql: &str) -> Result<ast::Query> {
    let dialect = SqlDialect;
    Parser::new(&dialect)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query())
        .map(|query| *query)
        .map_err(|error| Error::internal(format!("cannot read \"{sql}\": {error}")))
}

/// Checks a DEFAULT for a column and gives the text to store; `None` for `DEFAULT NULL`.
pub(super) async fn default_for(
    context: &Context<'_>,
    column: &Column,
    expr: &Expr,
) -> Result<Option<String>> {
    check_shape(expr, Place::Default)?;
    let mut expr = expr.clone();
    while let Expr::Nested(inner) = expr {
        expr = *inner;
    }
    qualify_sequences(context, &mut expr)?;
    if let Expr::Value(value) = &expr {
        match &value.value {
            Value::Null => return Ok(None),
            Value::SingleQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::DollarQuotedString(_) => {
                let text = string_literal(&expr).unwrap_or_default();
                text::parse(column.ty, &text, &context.info.style)?;
                let ty = names::format_type(PgType::new(column.ty.oid));
                let text = text.replace('\'', "''");
                return Ok(Some(format!("'{text}'::{ty}")));
            }
            _ => {}
        }
    }
    let found = types_of(context, None, &[&expr]).await?;
    let found = found.first().copied().unwrap_or(PgType::UNKNOWN);
    check_assignable(found, column.ty, || {
        format!(
            "column \"{}\" is of type {} but default expression is of type {}",
            column.name,
            names::format_type(PgType::new(column.ty.oid)),
            names::format_type(PgType::new(found.oid))
        )
    })?;
    Ok(Some(expr.to_string()))
}

/// 42804 with `message` unless a value of type `from` may be assigned to a column of type `to`.
pub(super) fn check_assignable(
    from: PgType,
    to: PgType,
    message: impl FnOnce() -> String,
) -> Result<()> {
    if from.oid == to.oid
        || from == PgType::UNKNOWN
        || cast::allowed(from, to, cast::Context::Assignment)
    {
        return Ok(());
    }
    Err(Error::new(SqlState::DATATYPE_MISMATCH, message())
        .hint("You will need to rewrite or cast the expression."))
}

/// Checks the condition of a CHECK constraint over the rows of `table`.
pub(super) async fn check_condition(
    context: &Context<'_>,
    table: &Table,
    expr: &Expr,
) -> Result<()> {
    check_shape(expr, Place::Check)?;
    let found = types_of(context, Some(table), &[expr]).await?;
    let found = found.first().copied().unwrap_or(PgType::UNKNOWN);
    if found != PgType::BOOL && found != PgType::UNKNOWN {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "argument of CHECK must be type boolean, not type {}",
                names::format_type(PgType::new(found.oid))
            ),
        ));
    }
    Ok(())
}

/// The value of an expression without columns, cast to a column's type.
pub(super) async fn constant(
    context: &mut Context<'_>,
    expr: &Expr,
    ty: PgType,
) -> Result<Datum<'static>> {
    let (datum, from) = context.evaluate(expr).await?;
    cast::cast(
        datum,
        from,
        ty,
        cast::Context::Assignment,
        &context.info.style,
    )
}
