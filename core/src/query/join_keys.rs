//! Join keys that are expressions, as columns of the sides.
//!
//! DataFusion's physical planner would do the same, but calls the sides `left` and `right` when they have
//! a column of one name, and then fails if one side has two such columns.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use super::rules::has_node;

/// The plan with columns in place of such keys, and without these columns above the joins.
pub(super) fn as_columns(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    if !has_node(&plan, has_expressions)? {
        return Ok(plan);
    }
    let changed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if !join.on.iter().all(are_columns) => {
            Ok(Transformed::yes(by_columns(join)?))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(changed.data)
}

fn has_expressions(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Join(join) if !join.on.iter().all(are_columns))
}

fn are_columns((left, right): &(Expr, Expr)) -> bool {
    matches!((left, right), (Expr::Column(_), Expr::Column(_)))
}

fn by_columns(join: Join) -> DfResult<LogicalPlan> {
    let columns = join.schema.columns();
    let (mut lefts, mut rights) = (Vec::new(), Vec::new());
    let mut on = Vec::with_capacity(join.on.len());
    for (at, (left, right)) in join.on.into_iter().enumerate() {
        on.push((
            as_column(left, format!("__left_key_{at}"), &mut lefts),
            as_column(right, format!("__right_key_{at}"), &mut rights),
        ));
    }
    let joined = LogicalPlan::Join(Join::try_new(
        extended(join.left, lefts)?,
        extended(join.right, rights)?,
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?);
    LogicalPlanBuilder::from(joined)
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

/// A key as a column; what it is computed by goes to `computed`.
fn as_column(key: Expr, name: String, computed: &mut Vec<Expr>) -> Expr {
    match key {
        Expr::Column(_) => key,
        key => {
            computed.push(key.alias(&name));
            Expr::Column(Column::new_unqualified(name))
        }
    }
}

fn extended(side: Arc<LogicalPlan>, computed: Vec<Expr>) -> DfResult<Arc<LogicalPlan>> {
    if computed.is_empty() {
        return Ok(side);
    }
    let columns = side.schema().columns().into_iter().map(Expr::Column);
    let exprs: Vec<Expr> = columns.chain(computed).collect();
    let plan = LogicalPlanBuilder::new_from_arc(side)
        .project(exprs)?
        .build()?;
    Ok(Arc::new(plan))
}
