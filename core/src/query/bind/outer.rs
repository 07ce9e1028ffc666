//! References to outer rows: where they are, and as columns of rows that carry them.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Subquery};

use super::decorrelate::Domain;
use crate::error::Result;

fn is_reference(expr: &Expr, domain: &Domain) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, column) if domain.columns.contains(column))
}

/// Whether an expression, or a sub-query in it, refers to the domain.
pub(super) fn mentioned(expr: &Expr, domain: &Domain) -> bool {
    let mut found = false;
    let _ = expr.apply(|node| {
        found |= is_reference(node, domain);
        if let Some(inner) = subquery_of(node) {
            found |= mentions(&inner.subquery, domain);
        }
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    found
}

/// Whether a plan refers to the domain.
pub(super) fn mentions(plan: &LogicalPlan, domain: &Domain) -> bool {
    let mut found = false;
    let _ = plan.apply(|node| {
        found |= domain.carried_by(node);
        node.apply_expressions(|expr| {
            found |= mentioned(expr, domain);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    found
}

/// The sub-query that an expression evaluates.
pub(super) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(member) => Some(&member.subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

fn subquery_of_mut(expr: &mut Expr) -> Option<&mut Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&mut exists.subquery),
        Expr::InSubquery(member) => Some(&mut member.subquery),
        Expr::SetComparison(comparison) => Some(&mut comparison.subquery),
        _ => None,
    }
}

/// An expression over rows that carry the bindings: references become columns, and in sub-queries
/// that are left, references to those columns.
pub(super) fn inward(expr: Expr, domain: &Domain, keys: &[Column]) -> Result<Expr> {
    let place = |column: &Column| {
        let at = domain.columns.iter().position(|known| known == column)?;
        keys.get(at).cloned()
    };
    let moved = expr.transform_up(|mut node| {
        if let Expr::OuterReferenceColumn(_, column) = &node
            && let Some(key) = place(column)
        {
            return Ok(Transformed::yes(Expr::Column(key)));
        }
        let Some(subquery) = subquery_of_mut(&mut node) else {
            return Ok(Transformed::no(node));
        };
        let renamed = |expr: Expr| {
            expr.transform_up(|node| {
                Ok(match node {
                    Expr::OuterReferenceColumn(field, column) => match place(&column) {
                        Some(key) => Transformed::yes(Expr::OuterReferenceColumn(field, key)),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    node => Transformed::no(node),
                })
            })
        };
        let plan = subquery
            .subquery
            .as_ref()
            .clone()
            .transform_up_with_subqueries(|plan| plan.map_expressions(renamed))?;
        subquery.subquery = Arc::new(plan.data);
        let mut outer = Vec::with_capacity(subquery.outer_ref_columns.len());
        for reference in std::mem::take(&mut subquery.outer_ref_columns) {
            outer.push(renamed(reference)?.data);
        }
        subquery.outer_ref_columns = outer;
        Ok(Transformed::yes(node))
    })?;
    Ok(moved.data)
}

/// Whether an expression compares inner and outer rows for equality: what DataFusion can join on.
pub(super) fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(datafusion::logical_expr::BinaryExpr {
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
