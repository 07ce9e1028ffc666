//! Names of result columns (PostgreSQL's `FigureColname`).

use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr};

use super::super::bind::fold;
use crate::types::names::{element_of, from_sql, internal_name};

/// The name of a select list item without an alias.
pub fn column_name(expr: &Expr) -> String {
    match figure(expr) {
        Some((name, _)) => name,
        None => "?column?".to_owned(),
    }
}

/// A name and whether it is a good one (a column's or a function's, not a mere type's).
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let good = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(name) => Some((fold(name), true)),
        Expr::CompoundIdentifier(names) => names.last().map(|name| (fold(name), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Cast {
            expr, data_type, ..
        } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => type_name(data_type),
        },
        Expr::TypedString(typed) => type_name(&typed.data_type),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Function(call) => {
            if matches!(call.args, ast::FunctionArguments::Subquery(_)) {
                return good("array");
            }
            call.name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(|name| (fold(name), true))
        }
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Extract { .. } => good("extract"),
        Expr::Position { .. } => good("position"),
        Expr::Substring { .. } => good("substring"),
        Expr::Overlay { .. } => good("overlay"),
        Expr::Ceil { .. } => good("ceil"),
        Expr::Floor { .. } => good("floor"),
        Expr::AtTimeZone { .. } => good("timezone"),
        Expr::Trim { trim_where, .. } => good(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Exists { .. } => good("exists"),
        Expr::Array(_) => good("array"),
        Expr::Tuple(_) => good("row"),
        Expr::Subquery(query) => subquery(&query.body),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(name)) => Some((fold(name), true)),
                _ => None,
            });
            field.or_else(|| figure(root))
        }
        _ => None,
    }
}

fn type_name(ty: &ast::DataType) -> Option<(String, bool)> {
    let ty = from_sql(ty).ok()?;
    // An array is named after its items.
    let named = element_of(ty.oid).unwrap_or(ty.oid);
    internal_name(named).map(|name| (name, false))
}

fn subquery(body: &SetExpr) -> Option<(String, bool)> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::UnnamedExpr(expr) => figure(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
            _ => None,
        },
        SetExpr::Query(query) => subquery(&query.body),
        _ => None,
    }
}
