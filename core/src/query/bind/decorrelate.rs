//! Sub-queries that refer to the rows around them, rewritten as joins.
//!
//! The sub-query is evaluated once for all outer rows together. Its *domain*, the distinct values of
//! the outer columns that it refers to, is joined to its leaves; every operator above carries the
//! domain's columns along (a grouping groups by them, a LIMIT counts within them, …). The result has a
//! row for each binding and each row that the sub-query gives for it, and is joined back to the outer
//! rows on the bindings. (Neumann and Kemper, "Unnesting Arbitrary Queries".)

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, JoinType, NullEquality};
use datafusion::functions::core::coalesce;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{AggregateFunction, Case, Cast, Sort, WindowFunction};
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, GroupingSet, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    Subquery,
};
use datafusion::scalar::ScalarValue;

use super::Binder;
use crate::error::{Error, Result};

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

/// The outer rows and which of their columns a sub-query refers to.
pub(super) struct Domain {
    pub outer: LogicalPlan,
    pub columns: Vec<Column>,
}

/// A plan that carries the domain's columns.
pub(super) struct Pushed {
    pub plan: LogicalPlan,
    /// Where the domain's columns are, in its order.
    pub keys: Vec<Column>,
    /// The number of a row within its binding, when the sub-query orders its rows.
    pub order: Option<Column>,
}

impl Pushed {
    fn extra(&self) -> impl Iterator<Item = Expr> {
        let columns = self.keys.iter().chain(&self.order).cloned();
        columns.map(Expr::Column).collect::<Vec<_>>().into_iter()
    }

    fn key_exprs(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }
}

impl Binder<'_> {
    /// The distinct bindings, under names of their own.
    fn bindings(&mut self, domain: &Domain) -> Result<Pushed> {
        let number = self.next_number();
        let mut exprs = Vec::with_capacity(domain.columns.len());
        let mut keys = Vec::with_capacity(domain.columns.len());
        for (at, column) in domain.columns.iter().enumerate() {
            let name = format!("__key_{number}_{at}");
            exprs.push(Expr::Column(column.clone()).alias(&name));
            keys.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(domain.outer.clone())
            .project(exprs)?
            .distinct()?
            .build()?;
        Ok(Pushed {
            plan,
            keys,
            order: None,
        })
    }

    /// A sub-query's plan for every binding of the domain.
    pub(super) fn push(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<Pushed> {
        self.deeper(|binder| binder.push_inner(plan, domain))
    }

    fn push_inner(&mut self, plan: &LogicalPlan, domain: &Domain) -> Result<Pushed> {
        if !mentions(plan, domain) && !is_ordered(plan) {
            if domain.columns.is_empty() {
                return Ok(Pushed {
                    plan: plan.clone(),
                    keys: Vec::new(),
                    order: None,
                });
            }
            let bindings = self.bindings(domain)?;
            if matches!(plan, LogicalPlan::EmptyRelation(empty) if empty.produce_one_row) {
                return Ok(bindings);
            }
            let plan = LogicalPlanBuilder::from(bindings.plan)
                .cross_join(plan.clone())?
                .build()?;
            return Ok(Pushed { plan, ..bindings });
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = self.push(&projection.input, domain)?;
                let mut exprs = Vec::with_capacity(projection.expr.len());
                for (expr, (qualifier, field)) in
                    projection.expr.iter().zip(projection.schema.iter())
                {
                    let moved = inward(expr.clone(), domain, &input.keys)?;
                    exprs.push(
                        match moved.qualified_name() == (qualifier.cloned(), field.name().clone()) {
                            true => moved,
                            false => moved
                                .unalias()
                                .alias_qualified(qualifier.cloned(), field.name()),
                        },
                    );
                }
                exprs.extend(input.extra());
                let plan = LogicalPlanBuilder::from(input.plan)
                    .project(exprs)?
                    .build()?;
                Ok(Pushed { plan, ..input })
            }
            LogicalPlan::Filter(filter) => {
                let input = self.push(&filter.input, domain)?;
                let predicate = inward(filter.predicate.clone(), domain, &input.keys)?;
                let plan = LogicalPlanBuilder::from(input.plan)
                    .filter(predicate)?
                    .build()?;
                Ok(Pushed { plan, ..input })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.push(&alias.input, domain)?;
                let under =
                    |column: Column| Column::new(Some(alias.alias.clone()), column.name.clone());
                let plan = LogicalPlanBuilder::from(input.plan)
                    .alias(alias.alias.clone())?
                    .build()?;
                Ok(Pushed {
                    plan,
                    keys: input.keys.into_iter().map(under).collect(),
                    order: input.order.map(under),
                })
            }
            LogicalPlan::Join(join) => self.push_join(join, domain),
            LogicalPlan::Aggregate(aggregate) => self.push_aggregate(aggregate, domain),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                let input = self.push(&sort.input, domain)?;
                let mut order = Vec::with_capacity(sort.expr.len());
                for key in &sort.expr {
                    order.push(Sort {
                        expr: inward(key.expr.clone(), domain, &input.keys)?,
                        ..key.clone()
                    });
                }
                self.numbered(input, order)
            }
            LogicalPlan::Limit(limit) => {
                let input = self.push(&limit.input, domain)?;
                let input = match input.order {
                    Some(_) => input,
                    None => self.numbered(input, Vec::new())?,
                };
                let number = input.order.clone().map(Expr::Column);
                let number = number.ok_or_else(|| Error::internal("rows without their numbers"))?;
                let number = Expr::Cast(Cast::new(Box::new(number), DataType::Int64));
                let int8 = |value: i64| Expr::Literal(ScalarValue::Int64(Some(value)), None);
                let skip = match limit.skip.as_deref() {
                    None => int8(0),
                    Some(skip @ Expr::Literal(..)) => skip.clone(),
                    Some(skip) => coalesce().call(vec![skip.clone(), int8(0)]),
                };
                let mut wanted = number.clone().gt(skip.clone());
                if let Some(fetch) = limit.fetch.as_deref() {
                    let within = (number - skip).lt_eq(fetch.clone());
                    wanted = wanted.and(match fetch {
                        Expr::Literal(..) => within,
                        fetch => within.or(fetch.clone().is_null()),
                    });
                }
                let plan = LogicalPlanBuilder::from(input.plan)
                    .filter(wanted)?
                    .build()?;
                Ok(Pushed { plan, ..input })
            }
            LogicalPlan::Distinct(Distinct::All(inner)) => {
                let input = self.push(inner, domain)?;
                let mut exprs: Vec<Expr> = columns_of(inner);
                exprs.extend(input.key_exprs());
                let plan = LogicalPlanBuilder::from(input.plan)
                    .project(exprs)?
                    .distinct()?
                    .build()?;
                Ok(Pushed {
                    plan,
                    keys: input.keys,
                    order: None,
                })
            }
            LogicalPlan::Window(window) => {
                let input = self.push(&window.input, domain)?;
                let mut calls = Vec::with_capacity(window.window_expr.len());
                for call in &window.window_expr {
                    let name = call.schema_name().to_string();
                    let mut call = inward(call.clone().unalias(), domain, &input.keys)?;
                    if let Expr::WindowFunction(function) = &mut call {
                        function.params.partition_by.extend(input.key_exprs());
                    }
                    calls.push(call.alias(name));
                }
                let plan = LogicalPlanBuilder::from(input.plan)
                    .window(calls)?
                    .build()?;
                Ok(Pushed { plan, ..input })
            }
            LogicalPlan::Union(union) => self.push_union(union, domain),
            LogicalPlan::Unnest(unnest) => {
                let input = self.push(&unnest.input, domain)?;
                let plan = LogicalPlanBuilder::from(input.plan)
                    .unnest_columns_with_options(
                        unnest.exec_columns.clone(),
                        unnest.options.clone(),
                    )?
                    .build()?;
                Ok(Pushed { plan, ..input })
            }
            _ => Err(Error::unsupported(
                "a recursive query that refers to an outer row",
                "Join with the recursive query instead.",
            )),
        }
    }

    /// A plan with the number of each row in a column, if the query asked for an order.
    pub(super) fn with_order(
        &mut self,
        plan: LogicalPlan,
    ) -> Result<(LogicalPlan, Option<Column>)> {
        if !is_ordered(&plan) {
            return Ok((plan, None));
        }
        let none = Domain {
            outer: LogicalPlanBuilder::empty(true).build()?,
            columns: Vec::new(),
        };
        let pushed = self.push(&plan, &none)?;
        Ok((pushed.plan, pushed.order))
    }

    /// Numbers the rows of each binding, in this order.
    fn numbered(&mut self, input: Pushed, order: Vec<Sort>) -> Result<Pushed> {
        let name = format!("__order_{}", self.next_number());
        let mut number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())))
                .partition_by(input.key_exprs());
        if !order.is_empty() {
            number = number.order_by(order);
        }
        let plan = LogicalPlanBuilder::from(input.plan)
            .window(vec![number.build()?.alias(&name)])?
            .build()?;
        Ok(Pushed {
            plan,
            keys: input.keys,
            order: Some(Column::new_unqualified(name)),
        })
    }

    fn push_join(&mut self, join: &Join, domain: &Domain) -> Result<Pushed> {
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

    fn push_aggregate(
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

    fn push_union(
        &mut self,
        union: &datafusion::logical_expr::Union,
        domain: &Domain,
    ) -> Result<Pushed> {
        let number = self.next_number();
        let name = |at: usize| format!("__arm_{number}_{at}");
        let mut arms: Option<LogicalPlanBuilder> = None;
        for arm in &union.inputs {
            let pushed = self.push(arm, domain)?;
            let exprs: Vec<Expr> = columns_of(arm)
                .into_iter()
                .chain(pushed.key_exprs())
                .enumerate()
                .map(|(at, column)| column.alias(name(at)))
                .collect();
            let plan = LogicalPlanBuilder::from(pushed.plan).project(exprs)?;
            arms = Some(match arms {
                Some(arms) => arms.union(plan.build()?)?,
                None => plan,
            });
        }
        let arms = arms.ok_or_else(|| Error::internal("a union of nothing"))?;
        let width = union.schema.fields().len();
        let mut exprs: Vec<Expr> = union
            .schema
            .iter()
            .enumerate()
            .map(|(at, (qualifier, field))| {
                Expr::Column(Column::new_unqualified(name(at)))
                    .alias_qualified(qualifier.cloned(), field.name())
            })
            .collect();
        let keys: Vec<Column> = (width..width + domain.columns.len())
            .map(|at| Column::new_unqualified(name(at)))
            .collect();
        exprs.extend(keys.iter().cloned().map(Expr::Column));
        Ok(Pushed {
            plan: arms.project(exprs)?.build()?,
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

/// All columns of a plan.
pub(super) fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    let columns = plan.schema().columns();
    columns.into_iter().map(Expr::Column).collect()
}

/// Whether the rows come in an order that the query asked for.
pub(super) fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_ordered(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_ordered(&alias.input),
        LogicalPlan::Filter(filter) => is_ordered(&filter.input),
        LogicalPlan::Limit(limit) => is_ordered(&limit.input),
        _ => false,
    }
}

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

fn is_reference(expr: &Expr, domain: &Domain) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, column) if domain.columns.contains(column))
}

/// Whether an expression, or a sub-query in it, refers to the domain.
fn mentioned(expr: &Expr, domain: &Domain) -> bool {
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
fn inward(expr: Expr, domain: &Domain, keys: &[Column]) -> Result<Expr> {
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
