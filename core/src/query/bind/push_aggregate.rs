//! A grouping in a sub-query, for all bindings of the outer rows.

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::{AggregateFunction, Case, Sort};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, Pushed, columns_of};
use super::outer::inward;
use super::push_join::join_on_keys;
use crate::error::Result;

impl Binder<'_> {
    pub(super) fn push_aggregate(
        &mut self,
        aggregate: &Aggregate,
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
        let mut grouped: Vec<Expr> = Vec::new();
        let mut whole = aggregate.group_expr.is_empty();
        for group in &aggregate.group_expr {
            groups.push(match inward(group.clone(), domain, &input.keys)? {
                Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                    whole |= sets.iter().any(Vec::is_empty);
                    for column in sets.iter().flatten() {
                        if !grouped.contains(column) {
                            grouped.push(column.clone());
                        }
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
        // An aggregate without groups has a row for a binding without rows too, and so has a grouping set
        // without columns: there, these are NULL.
        let number = self.next_number();
        let hit = format!("__hit_{number}");
        let mut values = Vec::with_capacity(calls.len());
        let mut outputs = grouped;
        let before = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        for (at, (call, name)) in calls.into_iter().enumerate() {
            let place = format!("__value_{number}_{at}");
            let column = Expr::Column(Column::new_unqualified(&place));
            let nothing = match &call {
                Expr::AggregateFunction(function) => {
                    let data = aggregate.schema.field(before + at).data_type();
                    match function.func.name() {
                        "grouping" => all_grouped(function.params.args.len(), data)?,
                        _ => function.func.default_value(data)?,
                    }
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
        // The number of a row's set is there only until GROUPING is made of it.
        marked.retain(|column| {
            !matches!(column, Expr::Column(column) if column.name == Aggregate::INTERNAL_GROUPING_ID)
        });
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

/// GROUPING of so many columns where the set has none of them.
fn all_grouped(columns: usize, data: &DataType) -> Result<ScalarValue> {
    let bits = u32::try_from(columns).ok();
    let bits = bits.and_then(|columns| 1_i64.checked_shl(columns));
    Ok(ScalarValue::Int64(bits.map(|bits| bits - 1)).cast_to(data)?)
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
