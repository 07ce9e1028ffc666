//! A grouping in a sub-query, for all bindings of the outer rows.

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::{AggregateFunction, Case, Sort};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, Pushed, columns_of};
use super::outer::inward;
use super::push_join::join_on_keys;
use crate::error::{Error, Result};

impl Binder<'_> {
    pub(super) fn push_aggregate(
        &mut self,
        aggregate: &datafusion::logical_expr::Aggregate,
        domain: &Domain,
    ) -> Result<Pushed> {
        let input = self.push(&aggregate.input, domain)?;
        let keys = input.key_exprs();
        let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
        for call in &aggregate.aggr_expr {
            let name = call.schema_name().to_string();
            let mut call = inward(call.clone().unalias(), domain, &input.keys)?;
            if let Some(order) = &input.order {
                call = in_order(call, order);
            }
            calls.push((call, name));
        }
        let mut groups = Vec::with_capacity(aggregate.group_expr.len() + keys.len());
        for group in &aggregate.group_expr {
            groups.push(match inward(group.clone(), domain, &input.keys)? {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                    if sets.iter().any(Vec::is_empty) && !keys.is_empty() {
                        return Err(Error::unsupported(
                            "an empty grouping set in a subquery that refers to an outer row",
                            "Compute the grand total in a subquery of its own.",
                        ));
                    }
                    let sets = sets
                        .into_iter()
                        .map(|set| set.into_iter().chain(keys.iter().cloned()).collect())
                        .collect();
                    Expr::GroupingSet(GroupingSet::GroupingSets(sets))
                }
                other => other,
            });
        }
        let with_sets = groups
            .iter()
            .any(|group| matches!(group, Expr::GroupingSet(_)));
        let whole = groups.is_empty();
        if !with_sets {
            groups.extend(keys.iter().cloned());
        }
        if !whole || keys.is_empty() {
            let calls: Vec<Expr> = calls
                .into_iter()
                .map(|(call, name)| call.alias(name))
                .collect();
            let plan = LogicalPlanBuilder::from(input.plan)
                .aggregate(groups, calls)?
                .build()?;
            return Ok(Pushed {
                plan,
                keys: input.keys,
                order: None,
            });
        }
        // An aggregate without groups has a row for a binding without rows too.
        let number = self.next_number();
        let hit = format!("__hit_{number}");
        let mut values = Vec::with_capacity(calls.len());
        let mut outputs = Vec::with_capacity(calls.len());
        for (at, (call, name)) in calls.into_iter().enumerate() {
            let place = format!("__value_{number}_{at}");
            let column = Expr::Column(Column::new_unqualified(&place));
            let nothing = match &call {
                Expr::AggregateFunction(function) => {
                    let data = aggregate.schema.field(at).data_type();
                    function.func.default_value(data)?
                }
                _ => ScalarValue::Null,
            };
            outputs.push(match nothing.is_null() {
                true => column.alias(name),
                false => Expr::Case(Case::new(
                    None,
                    vec![(
                        Box::new(Expr::Column(Column::new_unqualified(&hit)).is_null()),
                        Box::new(Expr::Literal(nothing, None)),
                    )],
                    Some(Box::new(column)),
                ))
                .alias(name),
            });
            values.push(call.alias(place));
        }
        let found_keys = input.keys.clone();
        let mut found = LogicalPlanBuilder::from(input.plan).aggregate(groups, values)?;
        let mut marked = columns_of(found.plan());
        marked.push(Expr::Literal(ScalarValue::Boolean(Some(true)), None).alias(&hit));
        found = found.project(marked)?;
        let bindings = self.bindings(domain)?;
        let joined = join_on_keys(
            bindings.plan,
            &bindings.keys,
            found.build()?,
            &found_keys,
            JoinType::Left,
            None,
        )?;
        outputs.extend(bindings.keys.iter().cloned().map(Expr::Column));
        let plan = LogicalPlanBuilder::from(joined).project(outputs)?.build()?;
        Ok(Pushed {
            plan,
            keys: bindings.keys,
            order: None,
        })
    }
}

/// Aggregates whose result depends on the order of their rows.
const ORDERED: &[&str] = &[
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "first_value",
];

/// An aggregate over rows in the order of `column`, if it matters to it and it has no order itself.
pub(super) fn in_order(call: Expr, column: &Column) -> Expr {
    match call {
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if params.order_by.is_empty() && !params.distinct && ORDERED.contains(&func.name()) =>
        {
            params.order_by = vec![Sort::new(Expr::Column(column.clone()), true, false)];
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        other => other,
    }
}
