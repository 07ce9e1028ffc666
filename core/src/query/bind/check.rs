//! Clauses that the parser takes and PostgreSQL (or this engine) does not: refused, never ignored.

use datafusion::sql::sqlparser::ast;

use super::{syntax, unsupported};
use crate::error::Result;

pub(super) fn query(query: &ast::Query) -> Result<()> {
    if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
        return syntax("syntax error at or near \"FOR\"");
    }
    if !query.pipe_operators.is_empty() {
        return syntax("syntax error at or near \"|>\"");
    }
    if !query.locks.is_empty() {
        return unsupported(
            "FOR UPDATE/SHARE in a subquery or a view",
            "Lock the rows in a statement of their own.",
        );
    }
    Ok(())
}

pub(super) fn select(select: &ast::Select) -> Result<()> {
    if select.into.is_some() {
        return unsupported("SELECT INTO", "Use CREATE TABLE AS.");
    }
    let foreign = [
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "AS"),
        (select.select_modifiers.is_some(), "SELECT"),
        (
            !matches!(select.flavor, ast::SelectFlavor::Standard),
            "FROM",
        ),
    ];
    for (present, name) in foreign {
        if present {
            return syntax(format!("syntax error at or near \"{name}\""));
        }
    }
    Ok(())
}

pub(super) fn wildcard(options: &ast::WildcardAdditionalOptions) -> Result<()> {
    if options.opt_ilike.is_some()
        || options.opt_exclude.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
        || options.opt_alias.is_some()
    {
        return syntax("syntax error after \"*\"");
    }
    Ok(())
}

pub(super) fn order_by(item: &ast::OrderByExpr) -> Result<()> {
    if item.with_fill.is_some() {
        return syntax("syntax error at or near \"WITH\"");
    }
    Ok(())
}
