//! Whole queries: WITH, set operations, VALUES, and the ORDER BY and LIMIT around them.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, LimitClause, OrderByKind, SetExpr};

use super::outer::subquery_of;
use super::scope::{Frame, Item, OutColumn, Typed};
use super::{Binder, Bound, Clause, check, coerce, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::types::cast::Context;
use crate::types::{Datum, PgType};

/// Where a query stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Its rows go to the client.
    Top,
    Inner,
    /// An arm of a set operation: open literals take the other arm's type.
    Arm,
}

/// ORDER BY, OFFSET and LIMIT of a query.
#[derive(Clone, Copy, Default)]
pub(super) struct Tail<'q> {
    pub order: &'q [ast::OrderByExpr],
    pub limit: Option<&'q ast::Expr>,
    pub offset: Option<&'q ast::Expr>,
    /// Rows that equal the last one in the order come too.
    pub ties: bool,
}

impl<'q> Tail<'q> {
    pub(super) fn of(query: &'q ast::Query) -> Result<Tail<'q>> {
        let mut tail = Tail::default();
        if let Some(order) = &query.order_by {
            match (&order.kind, &order.interpolate) {
                (OrderByKind::Expressions(items), None) => tail.order = items,
                _ => return syntax("syntax error in ORDER BY"),
            }
        }
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                tail.limit = limit.as_ref();
                tail.offset = offset.as_ref().map(|offset| &offset.value);
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    "LIMIT #,# syntax is not supported",
                )
                .hint("Use separate LIMIT and OFFSET clauses."));
            }
            Some(_) => return syntax("syntax error at or near \"BY\""),
        }
        if let Some(fetch) = &query.fetch {
            if fetch.percent {
                return syntax("syntax error at or near \"PERCENT\"");
            }
            tail.ties = fetch.with_ties;
            if tail.limit.is_some() {
                return syntax("multiple LIMIT clauses not allowed");
            }
            tail.limit = fetch.quantity.as_ref();
            if fetch.quantity.is_none() {
                return Ok(Tail {
                    limit: Some(one()),
                    ..tail
                });
            }
        }
        Ok(tail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.limit.is_none() && self.offset.is_none()
    }
}

/// The `1` of `FETCH FIRST ROW ONLY`.
fn one() -> &'static ast::Expr {
    static ONE: std::sync::OnceLock<ast::Expr> = std::sync::OnceLock::new();
    ONE.get_or_init(|| ast::Expr::value(ast::Value::Number("1".to_owned(), false)))
}

impl Binder<'_> {
    pub(super) fn query(&mut self, query: &ast::Query, place: Place) -> Result<Bound> {
        check::query(query)?;
        let mark = self.ctes.len();
        let result = self.query_inner(query, place);
        self.ctes.truncate(mark);
        result
    }

    fn query_inner(&mut self, query: &ast::Query, place: Place) -> Result<Bound> {
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                self.with_query(cte, with.recursive)?;
            }
        }
        let tail = Tail::of(query)?;
        self.body(&query.body, tail, place)
    }

    pub(super) fn body(&mut self, body: &SetExpr, tail: Tail<'_>, place: Place) -> Result<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, tail, place),
            SetExpr::Query(query) => {
                let bound = self.deeper(|binder| {
                    binder.query(query, if tail.is_empty() { place } else { Place::Inner })
                })?;
                self.tail(bound, tail)
            }
            SetExpr::SetOperation { .. } => {
                let bound = self.deeper(|binder| binder.set_operation(body))?;
                let bound = if place == Place::Arm {
                    bound
                } else {
                    self.settle_all(bound)?
                };
                self.tail(bound, tail)
            }
            SetExpr::Values(values) => {
                let bound = self.values(values, place)?;
                self.tail(bound, tail)
            }
            SetExpr::Table(table) => {
                let mut name = Vec::new();
                for part in [&table.schema_name, &table.table_name]
                    .into_iter()
                    .flatten()
                {
                    name.push(ast::Ident::new(part.clone()));
                }
                let bound = self.whole_table(&ast::ObjectName::from(name))?;
                self.tail(bound, tail)
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "WITH clause containing a data-modifying statement must be at the top level",
                ))
            }
        }
    }

    /// ORDER BY and LIMIT over a query's output columns.
    fn tail(&mut self, bound: Bound, tail: Tail<'_>) -> Result<Bound> {
        if tail.is_empty() {
            return Ok(bound);
        }
        let mut keys = Vec::with_capacity(tail.order.len());
        self.frames.push(Frame::of(vec![Item {
            relation: None,
            name: String::new(),
            columns: bound.columns.clone(),
            key: Vec::new(),
            nullable: false,
            scalar: false,
        }]));
        for item in tail.order {
            keys.push(self.within(Clause::OrderBy, |binder| {
                binder.output_key(item, &bound.columns)
            }));
        }
        let plan = match keys.into_iter().collect::<Result<Vec<_>>>() {
            Ok(keys) => self.sorted(bound.plan, keys, tail),
            Err(error) => Err(error),
        };
        self.frames.pop();
        Ok(Bound {
            plan: plan?,
            columns: bound.columns,
        })
    }

    fn output_key(&mut self, item: &ast::OrderByExpr, columns: &[OutColumn]) -> Result<Sort> {
        check::order_by(item)?;
        let typed = match ordinal(&item.expr) {
            Some(at) => pick(at, columns, "ORDER BY")?.typed(),
            None => match &item.expr {
                ast::Expr::Identifier(_) => self.expr(&item.expr)?,
                _ => {
                    return unsupported(
                        "an expression in the ORDER BY of UNION, INTERSECT, EXCEPT or VALUES",
                        "Order by a result column's name or number, or put the query into FROM.",
                    );
                }
            },
        };
        Ok(sort(self.order_expr(typed)?, item))
    }

    /// How many rows to leave out and how many to give.
    pub(super) fn row_counts(&mut self, tail: Tail<'_>) -> Result<(Option<Expr>, Option<Expr>)> {
        let fetch = self.row_count(
            tail.limit,
            "LIMIT",
            SqlState::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE,
        )?;
        let skip = self.row_count(
            tail.offset,
            "OFFSET",
            SqlState::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE,
        )?;
        Ok((skip, fetch))
    }

    fn row_count(
        &mut self,
        expr: Option<&ast::Expr>,
        what: &str,
        state: SqlState,
    ) -> Result<Option<Expr>> {
        let Some(expr) = expr else { return Ok(None) };
        if let ast::Expr::Identifier(name) = expr
            && fold(name) == "all"
        {
            return Ok(None);
        }
        let typed = self.within(Clause::Limit, |binder| binder.expr(expr))?;
        if self.reads_rows(&typed.expr)? {
            return Err(Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("argument of {what} must not contain variables"),
            ));
        }
        let typed = self.coerce(typed, PgType::INT8, Context::Assignment)?;
        match coerce::constant(&typed) {
            Some(Datum::Null) => Ok(None),
            Some(Datum::Int8(count)) if count < 0 => {
                Err(Error::new(state, format!("{what} must not be negative")))
            }
            _ => Ok(Some(typed.expr)),
        }
    }

    /// Whether an expression, or a sub-query in it, reads columns of the query at hand.
    fn reads_rows(&self, expr: &Expr) -> Result<bool> {
        let own = |column: &Column| {
            let items = self.frames.last().into_iter().flat_map(|own| &own.items);
            let mut columns = items.flat_map(|item| &item.columns);
            columns.any(|known| known.column == *column)
        };
        Ok(expr.exists(|node| {
            let inner = match node {
                Expr::Column(_) => return Ok(true),
                node => subquery_of(node),
            };
            let mut outer = inner.into_iter().flat_map(|inner| &inner.outer_ref_columns);
            Ok(outer.any(|reference| {
                matches!(reference, Expr::OuterReferenceColumn(_, column) if own(column))
            }))
        })?)
    }

    fn settle_all(&mut self, bound: Bound) -> Result<Bound> {
        if bound
            .columns
            .iter()
            .all(|column| column.ty.oid != PgType::UNKNOWN.oid)
        {
            return Ok(bound);
        }
        let mut items = Vec::with_capacity(bound.columns.len());
        for column in &bound.columns {
            let typed = self.settle(column.typed())?;
            items.push((column.name.clone(), typed));
        }
        self.project(bound.plan, items)
    }

    /// A projection whose columns have unique names in the plan.
    pub(super) fn project(
        &mut self,
        plan: LogicalPlan,
        items: Vec<(String, Typed)>,
    ) -> Result<Bound> {
        let mut exprs = Vec::with_capacity(items.len());
        let mut columns: Vec<OutColumn> = Vec::with_capacity(items.len());
        let mut used = std::collections::HashSet::new();
        // In a sub-query, names that no column of the query around it has.
        let suffix = match self.frames.len() {
            0 | 1 => String::new(),
            _ => format!("#{}", self.next_number()),
        };
        for (name, typed) in items {
            let mut inner = format!("{name}{suffix}");
            let mut number = 1;
            while !used.insert(inner.clone()) {
                number += 1;
                inner = format!("{name}_{number}{suffix}");
            }
            exprs.push(typed.expr.alias(&inner));
            columns.push(OutColumn {
                name,
                column: Column::new_unqualified(inner),
                ty: typed.ty,
                data: typed.data,
                table: 0,
                attribute: 0,
                hidden: false,
                merged: None,
            });
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok(Bound { plan, columns })
    }

    fn values(&mut self, values: &ast::Values, place: Place) -> Result<Bound> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        if values.rows.iter().any(|row| row.content.len() != width) {
            return syntax("VALUES lists must all be the same length");
        }
        let mut columns: Vec<Vec<Typed>> = (0..width).map(|_| Vec::new()).collect();
        // It has no rows of its own to refer to: all columns are those of queries around it.
        self.frames.push(Frame::default());
        let bound = values.rows.iter().try_for_each(|row| {
            let values = columns.iter_mut().zip(&row.content);
            for (column, value) in values {
                column.push(self.within(Clause::Values, |binder| binder.expr(value))?);
            }
            Ok::<_, Error>(())
        });
        self.frames.pop();
        bound?;
        let mut cast = Vec::with_capacity(width);
        for column in columns {
            let open = column.iter().all(Typed::is_unknown);
            let (column, ty, data) = self.unify(column, "VALUES")?;
            let ty = if open && place == Place::Arm {
                PgType::UNKNOWN
            } else {
                ty
            };
            cast.push((column, ty, data));
        }
        let rows: Vec<Vec<Expr>> = (0..values.rows.len())
            .map(|row| {
                cast.iter()
                    .filter_map(|(column, _, _)| column.get(row).map(|typed| typed.expr.clone()))
                    .collect()
            })
            .collect();
        let plan = values_plan(rows)?;
        let columns: Vec<OutColumn> = plan
            .schema()
            .columns()
            .into_iter()
            .zip(cast)
            .enumerate()
            .map(|(at, (column, (_, ty, data)))| OutColumn {
                name: format!("column{}", at + 1),
                column,
                ty,
                data,
                table: 0,
                attribute: 0,
                hidden: false,
                merged: None,
            })
            .collect();
        Ok(Bound { plan, columns })
    }
}

/// The same columns where another plan has them, by position.
pub(super) fn requalify(plan: &LogicalPlan, columns: &[OutColumn]) -> Vec<OutColumn> {
    plan.schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(place, column)| OutColumn {
            column: place,
            merged: None,
            ..column.clone()
        })
        .collect()
}

pub(super) fn positions(plan: &LogicalPlan, columns: &[OutColumn]) -> Vec<(String, Typed)> {
    requalify(plan, columns)
        .into_iter()
        .map(|column| (column.name.clone(), column.typed()))
        .collect()
}

/// Rows of constants. Sub-queries and references to other FROM items need a projection each.
fn values_plan(rows: Vec<Vec<Expr>>) -> Result<LogicalPlan> {
    let plain = rows.iter().flatten().all(coerce::is_row_free);
    if plain {
        return Ok(LogicalPlanBuilder::values(rows)?.build()?);
    }
    let mut plan: Option<LogicalPlanBuilder> = None;
    for row in rows {
        let exprs: Vec<Expr> = row
            .into_iter()
            .enumerate()
            .map(|(at, expr)| expr.alias(format!("column{}", at + 1)))
            .collect();
        let next = LogicalPlanBuilder::empty(true).project(exprs)?;
        plan = Some(match plan {
            Some(plan) => plan.union(next.build()?)?,
            None => next,
        });
    }
    match plan {
        Some(plan) => Ok(plan.build()?),
        None => Err(Error::internal("VALUES without rows")),
    }
}

/// `n` of `ORDER BY n`.
pub(super) fn ordinal(expr: &ast::Expr) -> Option<i64> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The column at a position, counted from 1; 42P10 when there is none.
pub(super) fn pick<'c, C>(at: i64, columns: &'c [C], clause: &str) -> Result<&'c C> {
    usize::try_from(at - 1)
        .ok()
        .and_then(|at| columns.get(at))
        .ok_or_else(|| {
            Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("{clause} position {at} is not in select list"),
            )
        })
}

/// A sort key; NULLs are the greatest values unless the query says otherwise.
pub(super) fn sort(expr: Expr, item: &ast::OrderByExpr) -> Sort {
    let ascending = item.options.asc.unwrap_or(true);
    let nulls_first = item.options.nulls_first.unwrap_or(!ascending);
    Sort::new(expr, ascending, nulls_first)
}
