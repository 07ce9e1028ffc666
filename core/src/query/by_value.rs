//! Grouping, sorting and joining by the number, not by its display scale.
//!
//! A packed numeric (Arrow's Binary) is its key and its scale: `1.0` and `1.00` are equal, and two
//! different byte strings. So a plan orders, partitions and joins by the key, and groups by it with
//! the first value of each group shown, as PostgreSQL does.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Alias, GroupingSet, Sort, WindowFunctionParams,
};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Window,
    WindowFrame, WindowFrameBound, WindowFrameUnits,
};

use super::functions::keyed;
use crate::error::Result;

/// The plan with every such place changed.
pub(super) fn by_value(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(change)?.data)
}

fn change(plan: LogicalPlan) -> datafusion::error::Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            let schema = sort.input.schema().clone();
            let changed = sort_keys(&mut sort.expr, &schema);
            Ok(mark(LogicalPlan::Sort(sort), changed))
        }
        LogicalPlan::Window(window) => change_window(window),
        LogicalPlan::Join(mut join) => {
            let changed = join_keys(&mut join);
            Ok(mark(LogicalPlan::Join(join), changed))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let packed = input
                .schema()
                .fields()
                .iter()
                .any(|field| field.data_type() == &DataType::Binary);
            if !packed {
                return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
            }
            let groups = input
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            let aggregate = Aggregate::try_new(input, groups, Vec::new())?;
            Ok(Transformed::yes(group(aggregate)?))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let schema = aggregate.input.schema();
            let grouped = group_columns(&aggregate.group_expr)
                .iter()
                .any(|expr| is_packed(expr, schema));
            let counted = aggregate
                .aggr_expr
                .iter()
                .any(|expr| counts_values(expr, schema));
            if !grouped && !counted {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            }
            Ok(Transformed::yes(group(aggregate)?))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn mark(plan: LogicalPlan, changed: bool) -> Transformed<LogicalPlan> {
    if changed {
        Transformed::yes(plan)
    } else {
        Transformed::no(plan)
    }
}

fn is_packed(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Binary))
}

fn key(expr: Expr) -> Expr {
    keyed(expr, &DataType::Binary)
}

fn sort_keys(keys: &mut [Sort], schema: &DFSchema) -> bool {
    let mut changed = false;
    for item in keys {
        if is_packed(&item.expr, schema) {
            item.expr = key(item.expr.clone());
            changed = true;
        }
    }
    changed
}

/// The columns of a window keep their names under an alias.
fn change_window(window: Window) -> datafusion::error::Result<Transformed<LogicalPlan>> {
    let schema = window.input.schema().clone();
    let mut changed = false;
    let mut exprs = Vec::with_capacity(window.window_expr.len());
    for expr in &window.window_expr {
        let name = expr.schema_name().to_string();
        let rewritten = expr.clone().transform_up(|node| {
            let Expr::WindowFunction(mut call) = node else {
                return Ok(Transformed::no(node));
            };
            let mut touched = sort_keys(&mut call.params.order_by, &schema);
            touched |= frame_of_peers(&mut call.params, &schema)?;
            for item in &mut call.params.partition_by {
                if is_packed(item, &schema) {
                    *item = key(item.clone());
                    touched = true;
                }
            }
            let node = Expr::WindowFunction(call);
            Ok(if touched {
                Transformed::yes(node)
            } else {
                Transformed::no(node)
            })
        })?;
        changed |= rewritten.transformed;
        exprs.push((name, rewritten.data));
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    // Below, the expressions have names of their own; above, the plan's old names.
    let names = window.schema.columns();
    let before = window.input.schema().fields().len();
    let calls: Vec<Expr> = exprs.into_iter().map(|(_, expr)| expr).collect();
    let inner = Window::try_new(calls, window.input.clone())?;
    let columns = inner.schema.columns();
    let items = names
        .into_iter()
        .zip(columns)
        .enumerate()
        .map(|(at, (old, new))| {
            if at < before {
                Expr::Column(new)
            } else {
                renamed(Expr::Column(new), &old)
            }
        })
        .collect::<Vec<_>>();
    let plan = LogicalPlanBuilder::from(LogicalPlan::Window(inner))
        .project(items)?
        .build()?;
    Ok(Transformed::yes(plan))
}

/// DataFusion has no RANGE frames over binary keys. One without offsets is the same as a frame of
/// GROUPS: both end with the peers of a row.
fn frame_of_peers(
    params: &mut WindowFunctionParams,
    schema: &DFSchema,
) -> datafusion::error::Result<bool> {
    let frame = &params.window_frame;
    let Some(first) = params.order_by.first() else {
        return Ok(false);
    };
    let binary = matches!(
        first.expr.get_type(schema)?,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    if frame.units != WindowFrameUnits::Range || !binary {
        return Ok(false);
    }
    let (Some(start), Some(end)) = (
        without_offset(&frame.start_bound),
        without_offset(&frame.end_bound),
    ) else {
        return Ok(false);
    };
    params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end);
    Ok(true)
}

/// A bound of a RANGE as one of GROUPS; `None` for one with an offset.
fn without_offset(bound: &WindowFrameBound) -> Option<WindowFrameBound> {
    let unbounded = ScalarValue::UInt64(None);
    match bound {
        WindowFrameBound::CurrentRow => Some(WindowFrameBound::CurrentRow),
        WindowFrameBound::Preceding(value) if value.is_null() => {
            Some(WindowFrameBound::Preceding(unbounded))
        }
        WindowFrameBound::Following(value) if value.is_null() => {
            Some(WindowFrameBound::Following(unbounded))
        }
        _ => None,
    }
}

fn renamed(expr: Expr, column: &Column) -> Expr {
    Expr::Alias(Alias::new(
        expr,
        column.relation.clone(),
        column.name.clone(),
    ))
}

fn join_keys(join: &mut Join) -> bool {
    let mut changed = false;
    for (left, right) in &mut join.on {
        if is_packed(left, join.left.schema()) && is_packed(right, join.right.schema()) {
            *left = key(left.clone());
            *right = key(right.clone());
            changed = true;
        }
    }
    changed
}

/// The expressions that rows are grouped by, each once.
fn group_columns(groups: &[Expr]) -> Vec<Expr> {
    let mut all: Vec<Expr> = Vec::new();
    for expr in groups {
        match expr {
            Expr::GroupingSet(set) => {
                for item in set.distinct_expr() {
                    if !all.contains(item) {
                        all.push(item.clone());
                    }
                }
            }
            other => all.push(other.clone()),
        }
    }
    all
}

/// `count(DISTINCT packed)`.
fn counts_values(expr: &Expr, schema: &DFSchema) -> bool {
    let mut found = false;
    let _ = expr.apply(|node| {
        if let Expr::AggregateFunction(call) = node
            && call.params.distinct
            && call.func.name() == "count"
            && call.params.args.iter().any(|arg| is_packed(arg, schema))
        {
            found = true;
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

/// Groups by keys, and shows of each group its first value.
fn group(aggregate: Aggregate) -> datafusion::error::Result<LogicalPlan> {
    let Aggregate {
        input,
        group_expr,
        aggr_expr,
        schema,
        ..
    } = aggregate;
    let source = input.schema().clone();
    let columns = group_columns(&group_expr);
    let swap = |expr: &Expr| -> Expr {
        if is_packed(expr, &source) {
            key(expr.clone())
        } else {
            expr.clone()
        }
    };
    let mut groups = Vec::with_capacity(group_expr.len());
    for expr in &group_expr {
        groups.push(match expr {
            Expr::GroupingSet(GroupingSet::Rollup(items)) => {
                Expr::GroupingSet(GroupingSet::Rollup(items.iter().map(&swap).collect()))
            }
            Expr::GroupingSet(GroupingSet::Cube(items)) => {
                Expr::GroupingSet(GroupingSet::Cube(items.iter().map(&swap).collect()))
            }
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                Expr::GroupingSet(GroupingSet::GroupingSets(
                    sets.iter()
                        .map(|set| set.iter().map(&swap).collect())
                        .collect(),
                ))
            }
            other => swap(other),
        });
    }
    let mut calls = Vec::with_capacity(aggr_expr.len());
    for expr in &aggr_expr {
        let changed = expr.clone().transform_up(|node| match node {
            Expr::AggregateFunction(mut call)
                if call.params.distinct && call.func.name() == "count" =>
            {
                for arg in &mut call.params.args {
                    *arg = swap(arg);
                }
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
                for arg in &mut call.params.args {
                    *arg = swap(arg);
                }
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            node => Ok(Transformed::no(node)),
        })?;
        calls.push(changed.data);
    }
    let own = calls.len();
    let packed: Vec<&Expr> = columns
        .iter()
        .filter(|expr| is_packed(expr, &source))
        .collect();
    for expr in &packed {
        calls.push(Expr::AggregateFunction(AggregateFunction::new_udf(
            first_value_udaf(),
            vec![(*expr).clone()],
            false,
            None,
            Vec::new(),
            None,
        )));
    }
    let inner = Aggregate::try_new(input, groups, calls)?;
    let found = inner.schema.columns();
    let old = schema.columns();
    // The inner columns: the groups (and an id of the grouping set), the calls, the first values.
    let first = found.len().saturating_sub(packed.len());
    let leading = first.saturating_sub(own);
    let mut next = first;
    let mut items = Vec::with_capacity(old.len());
    for (at, name) in old.iter().enumerate() {
        let Some(column) = found.get(at) else {
            return Err(crate::error::Error::internal("a lost group").into());
        };
        let value = Expr::Column(column.clone());
        let shown = columns.get(at).is_some_and(|expr| is_packed(expr, &source));
        if at < leading && shown {
            let Some(first) = found.get(next) else {
                return Err(crate::error::Error::internal("a lost value").into());
            };
            next += 1;
            // A group that a set leaves out is NULL.
            let absent = Expr::Literal(ScalarValue::Binary(None), None);
            let case = datafusion::logical_expr::expr::Case::new(
                None,
                vec![(Box::new(value.is_null()), Box::new(absent))],
                Some(Box::new(Expr::Column(first.clone()))),
            );
            items.push(renamed(Expr::Case(case), name));
        } else {
            items.push(renamed(value, name));
        }
    }
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(inner))
        .project(items)?
        .build()
}
