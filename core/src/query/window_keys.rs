//! The keys of windows without names.
//!
//! DataFusion's optimizer gives an expression that it computes beforehand the name that it had, in one
//! window function and not in another over the same window. Its planner takes them for two windows then.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::rules::has_node;

/// The plan with plain keys.
pub(super) fn plain(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let is_window = |node: &LogicalPlan| matches!(node, LogicalPlan::Window(_));
    if !has_node(&plan, is_window)? {
        return Ok(plan);
    }
    let changed = plan.transform_up_with_subqueries(|node| {
        if !is_window(&node) {
            return Ok(Transformed::no(node));
        }
        let names = NamePreserver::new_for_projection();
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(unnamed)?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(changed.data)
}

fn unnamed(node: Expr) -> DfResult<Transformed<Expr>> {
    let Expr::WindowFunction(mut call) = node else {
        return Ok(Transformed::no(node));
    };
    let params = &mut call.params;
    let mut changed = false;
    let orders = params.order_by.iter_mut().map(|sort| &mut sort.expr);
    for key in params.partition_by.iter_mut().chain(orders) {
        if matches!(key, Expr::Alias(_)) {
            *key = key.clone().unalias();
            changed = true;
        }
    }
    let call = Expr::WindowFunction(call);
    Ok(match changed {
        true => Transformed::yes(call),
        false => Transformed::no(call),
    })
}
