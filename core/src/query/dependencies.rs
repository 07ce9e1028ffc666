//! What DataFusion may conclude of a grouping.
//!
//! Of a grouping over rows that were grouped before and then joined, it concludes that the first grouping's
//! keys alone determine each row: it takes them for a key of the new groups, and leaves out a DISTINCT,
//! or other columns that are grouped by. All that is true of a grouping is that all its columns together
//! are a key. Rules that draw conclusions see the plan with that.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Dependency, FunctionalDependence, FunctionalDependencies};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::rules::{Passage, Rule, has_node};

/// For rules that draw conclusions.
pub(super) fn guard(rule: &Rule, plan: LogicalPlan) -> DfResult<Passage> {
    // A rule that is shown every node looks at these only.
    let concerned = rule.apply_order().is_none()
        || matches!(plan, LogicalPlan::Distinct(_) | LogicalPlan::Join(_));
    Ok(Passage::Free(
        match concerned && has_node(&plan, is_misleading)? {
            true => plan.transform_up_with_subqueries(corrected)?.data,
            false => plan,
        },
    ))
}

/// A grouping of rows of which something is known.
fn is_misleading(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Aggregate(aggregate)
        if !aggregate.input.schema().functional_dependencies().is_empty())
}

fn corrected(node: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(mut aggregate) = node else {
        return Ok(Transformed::yes(node.recompute_schema()?));
    };
    let schema = aggregate.schema.as_ref().clone();
    let known = schema.with_functional_dependencies(dependencies(&aggregate))?;
    aggregate.schema = Arc::new(known);
    Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
}

/// The columns that are grouped by are a key, but with grouping sets.
fn dependencies(aggregate: &Aggregate) -> FunctionalDependencies {
    let groups = &aggregate.group_expr;
    if groups.is_empty() || groups.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
        return FunctionalDependencies::empty();
    }
    let fields = aggregate.schema.fields();
    let nullable = fields
        .iter()
        .take(groups.len())
        .any(|field| field.is_nullable());
    let key = (0..groups.len()).collect();
    let all = (0..fields.len()).collect();
    let whole = FunctionalDependence::new(key, all, nullable).with_mode(Dependency::Single);
    FunctionalDependencies::new(vec![whole])
}
