//! Correlated scalar sub-queries that DataFusion does not turn into joins by itself.
//!
//! It joins on equalities between the two sides. Any other reference to the outer row (`<>`, a
//! condition on the outer row alone, an outer column in the result) is handled here: number the outer
//! rows, join the sub-query's rows to them, and aggregate for each number.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::select::rewrite;
use crate::error::Result;
use crate::query::functions;

/// A sub-query taken apart: aggregates over `base` joined on `conditions`, then `result`.
struct Parts {
    base: LogicalPlan,
    conditions: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// The aggregates' columns as `result` calls them.
    names: Vec<String>,
    /// The value, over the aggregates' columns.
    result: Expr,
}

impl Binder<'_> {
    /// Computes such sub-queries of `exprs` beside the rows of `plan`.
    pub(super) fn correlate(
        &mut self,
        mut plan: LogicalPlan,
        exprs: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
        let mut found: Vec<Expr> = Vec::new();
        for expr in exprs.iter() {
            expr.apply(|node| {
                if let Expr::ScalarSubquery(subquery) = node
                    && !subquery.outer_ref_columns.is_empty()
                    && !found.contains(node)
                {
                    found.push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        for subquery in found {
            let Expr::ScalarSubquery(inner) = &subquery else {
                continue;
            };
            if computes_outside(&inner.subquery) {
                // Nobody can join this. It matters only if there are rows to compute it for.
                let args = inner
                    .outer_ref_columns
                    .iter()
                    .cloned()
                    .filter_map(here)
                    .collect();
                let data = inner.subquery.schema().field(0).data_type().clone();
                let refused = functions::refused(args, data);
                for expr in exprs.iter_mut() {
                    let taken =
                        std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
                    **expr = rewrite(taken, &mut |node| {
                        (*node == subquery).then(|| refused.clone())
                    })?;
                }
                continue;
            }
            let Some(parts) = take_apart(&inner.subquery) else {
                continue;
            };
            let (joined, value) = self.join_parts(plan, parts)?;
            plan = joined;
            for expr in exprs.iter_mut() {
                let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
                **expr = rewrite(taken, &mut |node| {
                    (*node == subquery).then(|| value.clone())
                })?;
            }
        }
        Ok(plan)
    }

    fn join_parts(&mut self, plan: LogicalPlan, parts: Parts) -> Result<(LogicalPlan, Expr)> {
        let number = self.next_number();
        let (row, hit) = (format!("__row_{number}"), format!("__hit_{number}"));
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        let count =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())));
        let outer = LogicalPlanBuilder::from(plan)
            .window(vec![count.alias(&row)])?
            .build()?;
        let groups: Vec<Expr> = outer
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut inner: Vec<Expr> = parts
            .base
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        inner.push(Expr::Literal(ScalarValue::Boolean(Some(true)), None).alias(&hit));
        let inner = LogicalPlanBuilder::from(parts.base)
            .project(inner)?
            .build()?;
        let condition = parts.conditions.into_iter().reduce(Expr::and);
        let joined = LogicalPlanBuilder::from(outer)
            .join_detailed(
                inner,
                JoinType::Left,
                (Vec::<Column>::new(), Vec::<Column>::new()),
                Some(
                    condition
                        .unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(true)), None)),
                ),
                NullEquality::NullEqualsNothing,
            )?
            .build()?;
        // Only rows that the join found count.
        let mut names = Vec::with_capacity(parts.aggregates.len());
        let mut calls = Vec::with_capacity(parts.aggregates.len());
        for (at, (call, original)) in parts.aggregates.into_iter().zip(parts.names).enumerate() {
            let name = format!("__value_{number}_{at}");
            let call = match call.unalias() {
                Expr::AggregateFunction(mut call) => {
                    let only = column(&hit);
                    call.params.filter = Some(Box::new(match call.params.filter.take() {
                        Some(filter) => filter.and(only),
                        None => only,
                    }));
                    Expr::AggregateFunction(call)
                }
                other => other,
            };
            calls.push(call.alias(&name));
            names.push((original, name));
        }
        let plan = LogicalPlanBuilder::from(joined)
            .aggregate(groups, calls)?
            .build()?;
        let value = rewrite(parts.result, &mut |node| match node {
            Expr::Column(known) => names
                .iter()
                .find(|(original, _)| original == known.name())
                .map(|(_, name)| Expr::Column(Column::new_unqualified(name))),
            _ => None,
        })?;
        Ok((plan, value))
    }
}

/// `None` when DataFusion can do it, or nobody here.
fn take_apart(plan: &LogicalPlan) -> Option<Parts> {
    let mut result: Option<Expr> = None;
    let mut node = plan;
    let aggregate = loop {
        match node {
            LogicalPlan::Projection(projection) => {
                result = Some(match result {
                    None => projection.expr.first()?.clone().unalias(),
                    Some(result) => inlined(result, projection)?,
                });
                node = &projection.input;
            }
            LogicalPlan::SubqueryAlias(_) => return None,
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                break aggregate;
            }
            _ => return None,
        }
    };
    let mut aggregates = aggregate.aggr_expr.clone();
    let names: Vec<String> = aggregates
        .iter()
        .map(|call| call.schema_name().to_string())
        .collect();
    let mut conditions = Vec::new();
    let mut node: &LogicalPlan = &aggregate.input;
    let base = loop {
        match node {
            LogicalPlan::Projection(projection) => {
                aggregates = aggregates
                    .into_iter()
                    .zip(&names)
                    .map(|(call, name)| {
                        inlined(call.unalias(), projection).map(|call| call.alias(name))
                    })
                    .collect::<Option<_>>()?;
                conditions = conditions
                    .into_iter()
                    .map(|condition| inlined(condition, projection))
                    .collect::<Option<_>>()?;
                node = &projection.input;
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                // The order of the rows is that of the aggregate's values.
                for call in &mut aggregates {
                    let mut plain = call.clone().unalias();
                    if let Expr::AggregateFunction(function) = &mut plain
                        && function.params.order_by.is_empty()
                        && function.func.name() == "array_agg"
                    {
                        function.params.order_by = sort.expr.clone();
                    }
                    *call = plain;
                }
                node = &sort.input;
            }
            LogicalPlan::Filter(filter) => {
                conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                node = &filter.input;
            }
            other => break other.clone(),
        }
    };
    if refers_out(&base) {
        return None;
    }
    let result = match result {
        Some(result) => result,
        None => Expr::Column(Column::new_unqualified(names.first()?)),
    };
    let joinable = conditions
        .iter()
        .all(|condition| !condition.contains_outer() || is_equality(condition));
    if joinable && !result.contains_outer() && !aggregates.iter().any(Expr::contains_outer) {
        return None;
    }
    Some(Parts {
        base,
        conditions: conditions.into_iter().map(here).collect::<Option<_>>()?,
        aggregates: aggregates.into_iter().map(here).collect::<Option<_>>()?,
        names,
        result: here(result)?,
    })
}

/// `inner = outer`, each side of one query.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return false;
    };
    let outer_only = |expr: &Expr| expr.contains_outer() && expr.column_refs().is_empty();
    let inner_only = |expr: &Expr| !expr.contains_outer() && !expr.column_refs().is_empty();
    outer_only(left) && inner_only(right) || inner_only(left) && outer_only(right)
}

/// An expression over a projection's input instead of its output.
fn inlined(expr: Expr, projection: &datafusion::logical_expr::Projection) -> Option<Expr> {
    let places = projection.schema.columns();
    let rewritten = expr.transform_up(|node| {
        let Expr::Column(column) = &node else {
            return Ok(Transformed::no(node));
        };
        let at = places.iter().position(|place| place == column);
        Ok(match at.and_then(|at| projection.expr.get(at)) {
            Some(source) => Transformed::yes(source.clone().unalias()),
            None => Transformed::no(node),
        })
    });
    rewritten.ok().map(|rewritten| rewritten.data)
}

/// Outer references as columns of the joined rows; `None` below a further sub-query.
fn here(expr: Expr) -> Option<Expr> {
    let nested = expr.exists(|node| {
        Ok(matches!(
            node,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    });
    if nested.unwrap_or(true) {
        return None;
    }
    let rewritten = expr.transform_up(|node| {
        Ok(match node {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            node => Transformed::no(node),
        })
    });
    rewritten.ok().map(|rewritten| rewritten.data)
}

/// Whether columns of the outer row enter the sub-query other than through a condition or its result.
fn computes_outside(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply(|node| {
        if let LogicalPlan::Unnest(unnest) = node {
            found |= refers_out(&unnest.input);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn refers_out(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    found
}
