//! Names in a statement: folding identifiers, and finding the relation that a statement writes.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ObjectName, TableFactor, Visit, Visitor};

use crate::catalog::{
    Catalog, Object, QualifiedName, Table, fold, undefined_column, undefined_relation,
};
use crate::error::{Error, Result, SqlState};
use crate::query::SessionInfo;

/// The folded parts of a dotted name.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident().map(fold))
        .collect()
}

/// The statement's verb, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Insert,
    Update,
    Delete,
    Copy,
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verb::Insert => "INSERT",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
            Verb::Copy => "COPY FROM",
        }
    }
}

/// The table that a statement writes.
///
/// # Errors
/// 42P01 when there is none, 55000 for a view, 42809 for anything else that is not a table.
pub(super) fn writable(
    name: &ObjectName,
    verb: Verb,
    catalog: &Catalog,
    info: &SessionInfo,
) -> Result<Arc<Table>> {
    let wanted = QualifiedName::from_ast(name)?;
    match catalog.resolve(&wanted, &info.search_path) {
        Some(Object::Table(table)) => Ok(table.clone()),
        Some(Object::View(view)) => {
            let doing = match verb {
                Verb::Insert => "insert into",
                Verb::Update => "update",
                Verb::Delete => "delete from",
                Verb::Copy => "copy to",
            };
            let state = match verb {
                Verb::Copy => SqlState::WRONG_OBJECT_TYPE,
                _ => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            };
            Err(
                Error::new(state, format!("cannot {doing} view \"{}\"", view.name))
                    .detail("Views are not updatable.")
                    .hint("Write to the table that the view reads."),
            )
        }
        Some(Object::Sequence(sequence)) => Err(wrong_kind(
            match verb {
                Verb::Copy => "cannot copy to",
                _ => "cannot change",
            },
            "sequence",
            &sequence.name,
        )),
        Some(Object::Index(index)) => Err(wrong_kind("cannot open", "index", &index.name)),
        _ => {
            let system = match &wanted.schema {
                Some(schema) => schema == "pg_catalog" || schema == "information_schema",
                None => wanted.name.starts_with("pg_"),
            };
            if system {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied for table {}", wanted.name),
                )
                .hint("System tables are changed by DDL only."));
            }
            Err(undefined_relation(&wanted))
        }
    }
}

fn wrong_kind(doing: &str, kind: &str, name: &str) -> Error {
    Error::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("{doing} {kind} \"{name}\""),
    )
}

/// The positions of the columns of a list.
///
/// # Errors
/// 42703 for a column that the table does not have, 42701 for one that is named twice.
pub(super) fn positions(
    table: &Table,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    for name in names {
        let at = table.column(&name);
        let at = at.ok_or_else(|| undefined_column(&name, &table.name))?;
        if columns.contains(&at) {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        columns.push(at);
    }
    Ok(columns)
}

/// A plain table of a FROM list: its name and the name it goes by. `None` for everything else
/// (joins, sub-queries, functions, samples).
pub(super) fn plain_table(factor: &TableFactor) -> Option<(&ObjectName, Option<&ast::TableAlias>)> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            Some((name, alias.as_ref()))
        }
        _ => None,
    }
}

/// The conditions that AND combines, in order.
pub(super) fn conjuncts<'a>(expr: &'a ast::Expr, out: &mut Vec<&'a ast::Expr>) {
    match expr {
        ast::Expr::Nested(inner) => conjuncts(inner, out),
        ast::Expr::BinaryOp {
            left,
            op: ast::BinaryOperator::And,
            right,
        } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        other => out.push(other),
    }
}

/// Aggregates that every value list refuses by name.
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
];

/// 42803 for an aggregate and 42P20 for a window function in a place that is computed for one row.
pub(super) fn refuse_over_rows(expr: &ast::Expr, place: &str) -> Result<()> {
    let mut calls = Calls::default();
    let _ = expr.visit(&mut calls);
    let (state, what) = match calls {
        Calls { window: true, .. } => (SqlState::WINDOWING_ERROR, "window"),
        Calls {
            aggregate: true, ..
        } => (SqlState::GROUPING_ERROR, "aggregate"),
        _ => return Ok(()),
    };
    let message = format!("{what} functions are not allowed in {place}");
    Err(Error::new(state, message))
}

/// What an expression calls outside of its sub-queries.
#[derive(Default)]
struct Calls {
    queries: usize,
    aggregate: bool,
    window: bool,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        self.queries = self.queries.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        self.queries = self.queries.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(function) = expr
            && self.queries == 0
        {
            let name = parts(&function.name).pop().unwrap_or_default();
            match function.over {
                Some(_) => self.window = true,
                None => self.aggregate |= AGGREGATES.contains(&name.as_str()),
            }
        }
        ControlFlow::Continue(())
    }
}
