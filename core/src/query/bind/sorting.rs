//! DISTINCT, DISTINCT ON, ORDER BY and LIMIT of one SELECT.

use datafusion::common::Column;
use datafusion::functions_window::rank::rank_udwf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use super::query::{Place, Tail, ordinal, pick, sort};
use super::scope::Typed;
use super::select::Output;
use super::{Binder, Bound, check, fold};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::oid;

/// What ORDER BY sorts by.
pub(super) enum Key {
    /// A column of the select list.
    Output(usize),
    Other(Expr),
}

impl Binder<'_> {
    pub(super) fn key(
        &mut self,
        item: &ast::OrderByExpr,
        outputs: &[Output],
    ) -> Result<(Key, Sort)> {
        check::order_by(item)?;
        let placeholder = sort(Expr::Literal(ScalarValue::Null, None), item);
        if let Some(at) = ordinal(&item.expr) {
            let at = usize::try_from(at - 1)
                .ok()
                .filter(|at| *at < outputs.len())
                .ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("ORDER BY position {at} is not in select list"),
                    )
                })?;
            return Ok((Key::Output(at), placeholder));
        }
        if let ast::Expr::Identifier(name) = &item.expr {
            let name = fold(name);
            let mut named = outputs
                .iter()
                .enumerate()
                .filter(|(_, output)| output.name == name);
            if let Some((at, output)) = named.next() {
                if named.any(|(_, other)| other.typed.expr != output.typed.expr) {
                    return Err(Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("ORDER BY \"{name}\" is ambiguous"),
                    ));
                }
                return Ok((Key::Output(at), placeholder));
            }
        }
        let typed = self.expr(&item.expr)?;
        let typed = self.settle(typed)?;
        if typed.ty.oid == oid::JSON {
            return Err(Error::new(
                SqlState::UNDEFINED_FUNCTION,
                "could not identify an ordering operator for type json",
            ));
        }
        let known = outputs
            .iter()
            .position(|output| output.typed.expr == typed.expr);
        let key = match known {
            Some(at) => Key::Output(at),
            None => Key::Other(self.order_expr(typed)?),
        };
        Ok((key, placeholder))
    }

    pub(super) fn output_or_expr(
        &mut self,
        expr: &ast::Expr,
        outputs: &[Output],
        clause: &str,
    ) -> Result<Typed> {
        if let Some(at) = ordinal(expr) {
            return Ok(pick(at, outputs, clause)?.typed.clone());
        }
        if let ast::Expr::Identifier(name) = expr {
            let name = fold(name);
            if let Some(output) = outputs.iter().find(|output| output.name == name) {
                return Ok(output.typed.clone());
            }
        }
        let typed = self.expr(expr)?;
        self.settle(typed)
    }

    /// 42P10 unless the first keys of ORDER BY are those of DISTINCT ON, in any order.
    pub(super) fn check_distinct_on(
        &self,
        on: &[Expr],
        outputs: &[Output],
        keys: &[(Key, Sort)],
    ) -> Result<()> {
        let mut seen: Vec<&Expr> = Vec::new();
        let mut skipped = false;
        for (key, _) in keys {
            let expr = match key {
                Key::Output(at) => outputs.get(*at).map(|output| &output.typed.expr),
                Key::Other(expr) => Some(expr),
            };
            let expr = expr.ok_or_else(|| Error::internal("a sort key without its column"))?;
            match on.contains(expr) {
                true if skipped => return Err(mismatch()),
                true => seen.push(expr),
                false => skipped = true,
            }
        }
        if skipped && !on.iter().all(|expr| seen.contains(&expr)) {
            return Err(mismatch());
        }
        Ok(())
    }

    /// DISTINCT ON: the first row, in the query's order, of each group.
    pub(super) fn first_of_each(
        &mut self,
        plan: LogicalPlan,
        on: Vec<Typed>,
        outputs: &[Output],
        keys: &[(Key, Sort)],
    ) -> Result<LogicalPlan> {
        let mut order = Vec::with_capacity(keys.len());
        for (key, options) in keys {
            let expr = match key {
                Key::Output(at) => {
                    let output = outputs.get(*at).map(|output| output.typed.clone());
                    let output =
                        output.ok_or_else(|| Error::internal("a sort key without its column"))?;
                    self.order_expr(output)?
                }
                Key::Other(expr) => expr.clone(),
            };
            order.push(Sort {
                expr,
                ..options.clone()
            });
        }
        let mut groups = Vec::with_capacity(on.len());
        for typed in on {
            groups.push(self.order_expr(typed)?);
        }
        let name = format!("__first_{}", self.next_number());
        let mut number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())))
                .partition_by(groups);
        if !order.is_empty() {
            number = number.order_by(order);
        }
        let number = number.build()?.alias(&name);
        let first = Expr::Column(Column::new_unqualified(name))
            .eq(Expr::Literal(ScalarValue::UInt64(Some(1)), None));
        Ok(LogicalPlanBuilder::from(plan)
            .window(vec![number])?
            .filter(first)?
            .build()?)
    }

    /// Sorts, and takes the rows that LIMIT, OFFSET and WITH TIES leave.
    pub(super) fn sorted(
        &mut self,
        plan: LogicalPlan,
        keys: Vec<Sort>,
        tail: Tail<'_>,
    ) -> Result<LogicalPlan> {
        let (skip, fetch) = self.row_counts(tail)?;
        // DataFusion takes plain counts only.
        let counted = skip
            .iter()
            .chain(&fetch)
            .any(|count| super::join::has_subquery(count) || count.contains_outer());
        if tail.ties || counted {
            return self.limit_by_number(plan, keys, (skip, fetch), tail.ties);
        }
        let mut plan = LogicalPlanBuilder::from(plan);
        if !keys.is_empty() {
            plan = plan.sort(keys)?;
        }
        if skip.is_some() || fetch.is_some() {
            plan = plan.limit_by_expr(skip, fetch)?;
        }
        Ok(plan.build()?)
    }

    /// LIMIT by the numbers of the rows. WITH TIES, the rows that equal the last one in the order come
    /// too.
    fn limit_by_number(
        &mut self,
        plan: LogicalPlan,
        keys: Vec<Sort>,
        (skip, fetch): (Option<Expr>, Option<Expr>),
        ties: bool,
    ) -> Result<LogicalPlan> {
        if keys.is_empty() && ties {
            return super::syntax("WITH TIES cannot be specified without ORDER BY clause");
        }
        let columns = super::decorrelate::columns_of(&plan);
        let number = self.next_number();
        let (rank, row) = (format!("__rank_{number}"), format!("__row_{number}"));
        let call = |function| {
            let call = Expr::WindowFunction(Box::new(WindowFunction::new(function, Vec::new())));
            match keys.is_empty() {
                true => Ok(call),
                false => call.order_by(keys.clone()).build(),
            }
        };
        let mut numbers = vec![call(row_number_udwf())?.alias(&row)];
        if ties {
            numbers.push(call(rank_udwf())?.alias(&rank));
        }
        let last = if ties { &rank } else { &row };
        let number = |name: &str| {
            Expr::Cast(datafusion::logical_expr::expr::Cast::new(
                Box::new(Expr::Column(Column::new_unqualified(name))),
                arrow::datatypes::DataType::Int64,
            ))
        };
        let zero = Expr::Literal(ScalarValue::Int64(Some(0)), None);
        let skip = match skip {
            Some(skip) => datafusion::functions::core::coalesce().call(vec![skip, zero]),
            None => zero,
        };
        let mut wanted = number(&row).gt(skip.clone());
        if let Some(fetch) = fetch {
            let within = (number(last) - skip).lt_eq(fetch.clone());
            wanted = wanted.and(within.or(fetch.is_null()));
        }
        let numbered = LogicalPlanBuilder::from(plan).window(numbers)?;
        let mut rows = LogicalPlanBuilder::from(self.filter(numbered.build()?, wanted)?);
        if !keys.is_empty() {
            rows = rows.sort(keys)?;
        }
        Ok(rows.project(columns)?.build()?)
    }

    pub(super) fn finish_select(
        &mut self,
        plan: LogicalPlan,
        outputs: Vec<Output>,
        keys: Vec<(Key, Sort)>,
        tail: Tail<'_>,
        distinct: bool,
        place: Place,
    ) -> Result<Bound> {
        let sources: Vec<(u32, i16)> = outputs
            .iter()
            .map(|output| (output.table, output.attribute))
            .collect();
        let records: Vec<_> = outputs.iter().map(|output| output.record.clone()).collect();
        let count = outputs.len();
        let mut items: Vec<(String, Typed)> = Vec::with_capacity(count);
        let mut shown: Vec<bool> = Vec::with_capacity(count);
        let mut sorted: Vec<(usize, Sort)> = Vec::new();
        let mut extra: Vec<(String, Typed)> = Vec::new();
        let display = place == Place::Top && !distinct;
        for output in &outputs {
            let displayed = if display {
                functions::display(&output.typed)
            } else {
                None
            };
            shown.push(displayed.is_some());
            items.push((
                output.name.clone(),
                displayed.unwrap_or_else(|| output.typed.clone()),
            ));
        }
        for (key, options) in keys {
            let at = match key {
                Key::Output(at) if shown.get(at) == Some(&true) => {
                    let typed = outputs.get(at).map(|output| output.typed.clone());
                    extra.push((
                        "sort".to_owned(),
                        typed.ok_or_else(|| Error::internal("a lost column"))?,
                    ));
                    count + extra.len() - 1
                }
                Key::Output(at) => at,
                Key::Other(expr) => {
                    if distinct {
                        return Err(Error::new(
                            SqlState::INVALID_COLUMN_REFERENCE,
                            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                        ));
                    }
                    let typed = Typed {
                        expr,
                        ty: crate::types::PgType::UNKNOWN,
                        data: arrow::datatypes::DataType::Null,
                    };
                    extra.push(("sort".to_owned(), typed));
                    count + extra.len() - 1
                }
            };
            sorted.push((at, options));
        }
        let hidden = extra.len();
        items.extend(extra);
        let mut bound = self.project(plan, items)?;
        if distinct {
            bound = self.distinct_rows(bound)?;
        }
        let mut keys = Vec::with_capacity(sorted.len());
        for (at, options) in sorted {
            let column = bound
                .columns
                .get(at)
                .ok_or_else(|| Error::internal("a lost sort key"))?;
            let typed = column.typed();
            keys.push(Sort {
                expr: self.order_expr(typed)?,
                ..options
            });
        }
        bound.plan = self.sorted(bound.plan, keys, tail)?;
        if hidden > 0 {
            bound.columns.truncate(count);
            let exprs: Vec<Expr> = bound
                .columns
                .iter()
                .map(|column| Expr::Column(column.column.clone()))
                .collect();
            bound.plan = LogicalPlanBuilder::from(bound.plan)
                .project(exprs)?
                .build()?;
        }
        for (column, (table, attribute)) in bound.columns.iter_mut().zip(sources) {
            column.table = table;
            column.attribute = attribute;
        }
        for (column, record) in bound.columns.iter().zip(records) {
            self.keep_record(record, column)?;
        }
        Ok(bound)
    }
}

fn mismatch() -> Error {
    Error::new(
        SqlState::INVALID_COLUMN_REFERENCE,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    )
}
