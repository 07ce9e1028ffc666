//! A join in a sub-query, for all bindings of the outer rows.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, JoinType, NullEquality};
use datafusion::functions::core::coalesce;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, Pushed, columns_of};
use super::outer::{inward, mentioned, mentions};
use crate::error::{Error, Result};

impl Binder<'_> {
    pub(super) fn push_join(&mut self, join: &Join, domain: &Domain) -> Result<Pushed> {
        let in_left = mentions(&join.left, domain);
        let in_right = mentions(&join.right, domain);
        let in_condition = join
            .filter
            .iter()
            .chain(join.on.iter().flat_map(|(left, right)| [left, right]))
            .any(|expr| mentioned(expr, domain));
        // A side whose rows all come out needs them for each binding.
        let (left_kept, right_kept) = match join.join_type {
            JoinType::Inner => (in_condition && !in_right, false),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
            JoinType::Right => (false, true),
            JoinType::Full => (true, true),
            _ => {
                return Err(Error::internal("a join that no query has"));
            }
        };
        let left = match in_left || left_kept {
            true => Some(self.push(&join.left, domain)?),
            false => None,
        };
        let right = match in_right || right_kept {
            true => Some(self.push(&join.right, domain)?),
            false => None,
        };
        let mut on = join.on.clone();
        let keys = match (&left, &right) {
            (Some(left), Some(right)) => {
                for (l, r) in left.keys.iter().zip(&right.keys) {
                    let pairs = same(
                        (l, &left.plan),
                        (r, &right.plan),
                        join.null_equality == NullEquality::NullEqualsNull,
                    )?;
                    on.extend(pairs);
                }
                match join.join_type {
                    JoinType::Right => right.keys.clone(),
                    _ => left.keys.clone(),
                }
            }
            (Some(one), None) | (None, Some(one)) => one.keys.clone(),
            (None, None) => return Err(Error::internal("a join without its bindings")),
        };
        let inner_keys = keys.clone();
        let pairs = left
            .as_ref()
            .zip(right.as_ref())
            .map(|(left, right)| (left.keys.clone(), right.keys.clone()));
        let mut moved = Vec::with_capacity(on.len());
        for (l, r) in on {
            moved.push((
                inward(l, domain, &inner_keys)?,
                inward(r, domain, &inner_keys)?,
            ));
        }
        let filter = match &join.filter {
            Some(filter) => Some(inward(filter.clone(), domain, &inner_keys)?),
            None => None,
        };
        let side = |pushed: Option<Pushed>, plan: &Arc<LogicalPlan>| match pushed {
            Some(pushed) => Arc::new(pushed.plan),
            None => plan.clone(),
        };
        let filter = match (moved.is_empty(), filter, join.join_type) {
            (true, None, kind) if kind != JoinType::Inner => {
                Some(Expr::Literal(ScalarValue::Boolean(Some(true)), None))
            }
            (_, filter, _) => filter,
        };
        let plan = LogicalPlan::Join(Join::try_new(
            side(left, &join.left),
            side(right, &join.right),
            moved,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        let (JoinType::Full, Some((lefts, rights))) = (join.join_type, pairs) else {
            return Ok(Pushed {
                plan,
                keys,
                order: None,
            });
        };
        // Each row has its binding on one side or on both.
        let number = self.next_number();
        let mut exprs = columns_of(&plan);
        let mut keys = Vec::with_capacity(lefts.len());
        for (at, (l, r)) in lefts.into_iter().zip(rights).enumerate() {
            let name = format!("__key_{number}_{at}");
            let either = coalesce().call(vec![Expr::Column(l), Expr::Column(r)]);
            exprs.push(either.alias(&name));
            keys.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok(Pushed {
            plan,
            keys,
            order: None,
        })
    }
}

/// Joins two plans where their keys are the same, NULLs too, and the filter holds.
pub(super) fn join_on_keys(
    left: LogicalPlan,
    left_keys: &[Column],
    right: LogicalPlan,
    right_keys: &[Column],
    kind: JoinType,
    filter: Option<Expr>,
) -> Result<LogicalPlan> {
    let mut on = Vec::with_capacity(left_keys.len());
    for (l, r) in left_keys.iter().zip(right_keys) {
        on.extend(same((l, &left), (r, &right), false)?);
    }
    let filter = match filter {
        None if on.is_empty() && kind != JoinType::Inner => {
            Some(Expr::Literal(ScalarValue::Boolean(Some(true)), None))
        }
        filter => filter,
    };
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        kind,
        datafusion::common::JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}

/// Pairs that are equal where two keys are the same. The optimizer adds further equalities to a join
/// and gives them the join's treatment of NULLs: so nullable keys compare by two values without NULLs.
fn same(
    (left, left_plan): (&Column, &LogicalPlan),
    (right, right_plan): (&Column, &LogicalPlan),
    nulls_equal: bool,
) -> Result<Vec<(Expr, Expr)>> {
    let left_field = left_plan.schema().field_from_column(left)?;
    let right_field = right_plan.schema().field_from_column(right)?;
    let (l, r) = (Expr::Column(left.clone()), Expr::Column(right.clone()));
    if nulls_equal || !left_field.is_nullable() || !right_field.is_nullable() {
        return Ok(vec![(l, r)]);
    }
    let filler = Expr::Literal(ScalarValue::new_default(left_field.data_type())?, None);
    let filled = |expr: &Expr| coalesce().call(vec![expr.clone(), filler.clone()]);
    Ok(vec![(filled(&l), filled(&r)), (l.is_null(), r.is_null())])
}
