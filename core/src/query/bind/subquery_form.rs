//! What a sub-query is, as far as it decides how its rows meet the outer rows, and what is left to DataFusion.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Subquery, Volatility};
use datafusion::scalar::ScalarValue;

use super::decorrelate::Domain;
use super::outer::{is_equality, mentions, subquery_of};
use crate::query::{functions, series, shared};

/// Aggregates that give the same value whatever the order of their rows, but for floats.
const EXACT: &[&str] = &[
    "count", "min", "max", "sum", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor",
];

/// Whether a scalar sub-query that refers to outer rows is in an expression.
pub(super) fn has_outer_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| {
        Ok(matches!(node, Expr::ScalarSubquery(inner) if !inner.outer_ref_columns.is_empty()))
    });
    found.unwrap_or(true)
}

/// The columns of a plan among those that a sub-query refers to.
pub(super) fn local_references(plan: &LogicalPlan, references: &[Expr]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for reference in references {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && plan.schema().has_column(column)
            && !columns.contains(column)
        {
            columns.push(column.clone());
        }
    }
    columns
}

/// Whether a plan gives one row whatever it reads: an aggregate without groups.
pub(super) fn yields_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => yields_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => yields_one_row(&alias.input),
        LogicalPlan::Sort(sort) => yields_one_row(&sort.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// Whether EXISTS or IN over this plan is a semi join that DataFusion finds: conditions over a plan
/// that refers to nothing outside.
pub(super) fn is_semi_join(plan: &LogicalPlan, references: &[Expr]) -> bool {
    if references.is_empty() {
        return true;
    }
    let domain = Domain {
        outer: plan.clone(),
        work: Vec::new(),
        columns: references
            .iter()
            .filter_map(|reference| match reference {
                Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
                _ => None,
            })
            .collect(),
    };
    conditions_over(plan, &domain).is_some()
}

/// The conditions that refer to the domain, if there is nothing else that does.
fn conditions_over(plan: &LogicalPlan, domain: &Domain) -> Option<Vec<Expr>> {
    let mut conditions = Vec::new();
    let mut node = plan;
    loop {
        match node {
            _ if !mentions(node, domain) => return Some(conditions),
            LogicalPlan::Projection(projection) => {
                if projection.expr.iter().any(has_reference) {
                    return None;
                }
                node = &projection.input;
            }
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction_owned(filter.predicate.clone()) {
                    let nested = condition.exists(|expr| {
                        Ok(subquery_of(expr).is_some_and(|inner| {
                            inner.outer_ref_columns.iter().any(|reference| {
                                matches!(reference, Expr::OuterReferenceColumn(_, column)
                                    if domain.columns.contains(column))
                            })
                        }))
                    });
                    if nested.unwrap_or(true) {
                        return None;
                    }
                    if has_reference(&condition) {
                        conditions.push(condition);
                    }
                }
                node = &filter.input;
            }
            _ => return None,
        }
    }
}

fn has_reference(expr: &Expr) -> bool {
    expr.contains_outer()
        || expr
            .exists(|node| Ok(subquery_of(node).is_some()))
            .unwrap_or(true)
}

/// Whether there is a division in an expression whose divisor may be zero. The one of an average is NULL
/// where nothing was counted.
fn may_divide_by_zero(expr: &Expr) -> bool {
    let found = expr.exists(|node| {
        let Expr::ScalarFunction(call) = node else {
            return Ok(false);
        };
        Ok(match (call.func.name(), call.args.as_slice()) {
            ("/" | "%", [_, divisor]) => {
                let mut divisor = divisor;
                while let Some(inner) = recast_of(divisor) {
                    divisor = inner;
                }
                match divisor {
                    Expr::Case(_) => false,
                    Expr::Literal(value, _) => !is_nonzero(value),
                    _ => true,
                }
            }
            ("/" | "%", _) => true,
            _ => false,
        })
    });
    found.unwrap_or(true)
}

/// What is cast.
fn recast_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast(cast) => Some(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "numeric_recast" => call.args.first(),
        _ => None,
    }
}

fn is_nonzero(value: &ScalarValue) -> bool {
    let zero = ScalarValue::new_zero(&value.data_type());
    zero.is_ok_and(|zero| !value.is_null() && *value != zero)
}

/// Whether a scalar sub-query is an aggregate over rows found by equalities with the outer row.
pub(super) fn joins_by_equality(subquery: &Subquery) -> bool {
    let mut node = subquery.subquery.as_ref();
    let aggregate = loop {
        match node {
            LogicalPlan::Projection(projection) => {
                let refused = |expr: &Expr| has_reference(expr) || may_divide_by_zero(expr);
                if projection.expr.iter().any(refused) {
                    return false;
                }
                node = &projection.input;
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                break aggregate;
            }
            _ => return false,
        }
    };
    // An aggregate that fails for some rows may do so for rows that nobody asked for. A sum of decimals
    // has room for all of them.
    let schema = aggregate.input.schema();
    let plain = aggregate.aggr_expr.iter().all(|call| {
        let fails_not = match call.clone().unalias() {
            Expr::AggregateFunction(inner) => match inner.func.name() {
                "avg" => true,
                "numeric_sum" => call
                    .get_type(schema)
                    .is_ok_and(|data| data != DataType::Binary),
                name => EXACT.contains(&name),
            },
            _ => false,
        };
        fails_not && !has_reference(call)
    });
    let domain = Domain {
        outer: subquery.subquery.as_ref().clone(),
        work: Vec::new(),
        columns: subquery
            .outer_ref_columns
            .iter()
            .filter_map(|reference| match reference {
                Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
                _ => None,
            })
            .collect(),
    };
    plain
        && conditions_over(&aggregate.input, &domain)
            .is_some_and(|conditions| conditions.iter().all(is_plain_equality))
}

/// Whether a condition compares a column with one of the outer row: what DataFusion can join by.
fn is_plain_equality(condition: &Expr) -> bool {
    let sides = |expr: &Expr| {
        let Expr::BinaryExpr(equality) = expr else {
            return false;
        };
        [&equality.left, &equality.right]
            .iter()
            .all(|side| matches!(***side, Expr::Column(_) | Expr::OuterReferenceColumn(..)))
    };
    is_equality(condition) && sides(condition)
}

/// Whether a plan gives the same rows whenever it is read.
pub(super) fn repeats(plan: &LogicalPlan) -> bool {
    let mut same = true;
    let _ = plan.apply_with_subqueries(|node| {
        same &= match node {
            LogicalPlan::TableScan(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Projection(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Distinct(Distinct::All(_))
            | LogicalPlan::Union(_)
            | LogicalPlan::Unnest(_) => true,
            LogicalPlan::Sort(sort) => sort.fetch.is_none(),
            LogicalPlan::Aggregate(aggregate) => {
                aggregate.aggr_expr.iter().all(|call| {
                    matches!(call.clone().unalias(), Expr::AggregateFunction(call)
                    if EXACT.contains(&call.func.name()))
                }) && !aggregate
                    .schema
                    .fields()
                    .iter()
                    .any(|field| field.data_type().is_floating())
            }
            LogicalPlan::Extension(extension) => {
                shared::is_shared(extension) || series::is_series(extension)
            }
            _ => false,
        };
        node.apply_expressions(|expr| {
            same &= !expr.exists(|node| Ok(is_volatile(node)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match same {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    });
    same
}

fn is_volatile(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call)
        if call.func.signature().volatility == Volatility::Volatile
            && !functions::only_looks_volatile(call.func.name()))
}
