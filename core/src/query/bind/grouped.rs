//! The plan of a query with groups or aggregates, and what may stand after it.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Case};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, columns_of, is_ordered};
use super::grouping::{Grouping, outer_columns};
use super::outer::inward;
use super::push_aggregate::in_order;
use super::scope::Typed;
use super::select::rewrite;
use crate::error::{Error, Result, SqlState};

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        plan: LogicalPlan,
        grouping: &Grouping,
        aggregates: Vec<Expr>,
        after: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
        for call in &aggregates {
            if let Expr::AggregateFunction(call) = call
                && call.func.name() == "grouping"
                && !call
                    .params
                    .args
                    .iter()
                    .all(|arg| grouping.exprs.contains(arg))
            {
                return Err(Error::new(
                    SqlState::GROUPING_ERROR,
                    "arguments to GROUPING must be grouping expressions of the associated query level",
                ));
            }
        }
        let names: Vec<String> = aggregates
            .iter()
            .enumerate()
            .map(|(at, expr)| match expr {
                Expr::AggregateFunction(call) if call.func.name() == "grouping" => {
                    expr.schema_name().to_string()
                }
                _ => format!("__aggregate_{at}"),
            })
            .collect();
        let calls: Vec<Expr> = aggregates
            .iter()
            .zip(&names)
            .map(|(expr, name)| match expr {
                Expr::AggregateFunction(call) if call.func.name() == "grouping" => expr.clone(),
                _ => expr.clone().alias(name),
            })
            .collect();
        // Sub-queries in groups and arguments are computed before.
        let mut plan = plan;
        let mut found: Vec<Expr> = Vec::new();
        for expr in grouping.exprs.iter().chain(&calls) {
            expr.apply(|node| {
                if matches!(node, Expr::ScalarSubquery(_)) && !found.contains(node) {
                    found.push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let values = match found.is_empty() {
            true => Vec::new(),
            false => {
                let (attached, values) = self.attach(plan, found)?;
                plan = attached;
                values
            }
        };
        let with_values = |expr: Expr| {
            rewrite(expr, &mut |node| {
                let found = values.iter().find(|(known, _)| known == node);
                found.map(|(_, value)| value.clone())
            })
        };
        // Groups that are not plain columns are computed first, under names of their own; so is what
        // stands for values that are equal and yet differ: the first of them is shown.
        let mut computed: Vec<(Expr, Column)> = Vec::new();
        let mut shown: Vec<(Column, Column, Expr)> = Vec::new();
        let mut groups = Vec::with_capacity(grouping.exprs.len());
        let number = self.next_number();
        let mut added = Vec::new();
        for (at, expr) in grouping.exprs.iter().enumerate() {
            let ty = grouping.types.iter().find(|(known, _)| known == expr);
            let key = match ty {
                Some((expr, ty)) => self.key_of(&Typed {
                    expr: with_values(expr.clone())?,
                    ty: *ty,
                    data: arrow::datatypes::DataType::Null,
                })?,
                None => None,
            };
            if key.is_none() && matches!(expr, Expr::Column(_)) {
                continue;
            }
            let name = format!("__group_{number}_{at}");
            let column = Column::new_unqualified(&name);
            computed.push((expr.clone(), column.clone()));
            let value = with_values(expr.clone())?;
            match key {
                // A key of the value's own type does for it.
                Some(key) if grouping.sets.is_some() && ty.is_some_and(|(_, ty)| *ty == key.ty) => {
                    added.push(key.expr.alias(&name));
                }
                Some(key) => {
                    let first = Column::new_unqualified(format!("__first_{number}_{at}"));
                    added.push(key.expr.alias(&name));
                    shown.push((column, first, value));
                }
                None => added.push(value.alias(&name)),
            }
        }
        if !added.is_empty() {
            let exprs = columns_of(&plan).into_iter().chain(added);
            plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        }
        // Rows that a sub-query in FROM ordered are aggregated in that order.
        let ordered = is_ordered(&plan)
            && calls.iter().any(|call| {
                let plain = call.clone().unalias();
                in_order(plain.clone(), &Column::new_unqualified("")) != plain
            });
        let order = match ordered {
            true => {
                let (numbered, order) = self.with_order(plan)?;
                plan = numbered;
                order
            }
            false => None,
        };
        let replace = |expr: &Expr| {
            let found = computed.iter().find(|(known, _)| known == expr);
            found.map_or_else(|| expr.clone(), |(_, column)| Expr::Column(column.clone()))
        };
        for expr in &grouping.exprs {
            groups.push(replace(expr));
        }
        let mut calls: Vec<Expr> = calls
            .into_iter()
            .map(|call| match &call {
                Expr::AggregateFunction(_) => rewrite(call, &mut |expr| {
                    computed
                        .iter()
                        .find(|(known, _)| known == expr)
                        .map(|(_, column)| Expr::Column(column.clone()))
                }),
                Expr::Alias(alias) => {
                    let name = alias.name.clone();
                    let call = with_values(call.unalias())?;
                    Ok(match &order {
                        Some(order) => in_order(call, order),
                        None => call,
                    }
                    .alias(name))
                }
                _ => Ok(call),
            })
            .collect::<Result<_>>()?;
        let names: Vec<String> = calls
            .iter()
            .zip(names)
            .map(|(call, name)| match call {
                Expr::AggregateFunction(_) => call.schema_name().to_string(),
                _ => name,
            })
            .collect();
        let group_exprs = match &grouping.sets {
            Some(sets) => {
                let sets = sets
                    .iter()
                    .map(|set| set.iter().map(replace).collect())
                    .collect();
                vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))]
            }
            None => groups.clone(),
        };
        for (_, first, value) in &shown {
            let call = Expr::AggregateFunction(AggregateFunction::new_udf(
                first_value_udaf(),
                vec![value.clone()],
                false,
                None,
                Vec::new(),
                None,
            ));
            calls.push(call.alias(&first.name));
        }
        let aggregated = LogicalPlanBuilder::from(plan)
            .aggregate(group_exprs, calls)?
            .build()?;
        for group in &mut groups {
            let first = shown
                .iter()
                .find(|(key, _, _)| matches!(&*group, Expr::Column(column) if column == key));
            if let Some((key, first, _)) = first {
                let value = Expr::Column(first.clone());
                *group = match &grouping.sets {
                    None => value,
                    // In a set without it the group is NULL, and so is its key.
                    Some(_) => {
                        let kept = Expr::Column(key.clone()).is_not_null();
                        let when = vec![(Box::new(kept), Box::new(value))];
                        Expr::Case(Case::new(None, when, None))
                    }
                };
            }
        }
        let allowed: HashSet<Column> = groups
            .iter()
            .filter_map(|expr| match expr {
                Expr::Column(column) => Some(column.clone()),
                _ => None,
            })
            .chain(names.iter().map(Column::new_unqualified))
            .chain(
                shown
                    .iter()
                    .flat_map(|(key, first, _)| [key.clone(), first.clone()]),
            )
            .collect();
        // Sub-queries refer to columns that are elsewhere now.
        let (old, new): (Vec<Column>, Vec<Column>) = grouping
            .exprs
            .iter()
            .zip(&groups)
            .filter_map(|pair| match pair {
                (Expr::Column(old), Expr::Column(new)) if old != new => {
                    Some((old.clone(), new.clone()))
                }
                _ => None,
            })
            .unzip();
        let moved = Domain {
            outer: aggregated.clone(),
            columns: old,
            work: Vec::new(),
        };
        for expr in after.iter_mut() {
            let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
            **expr = rewrite(taken, &mut |node| {
                if let Some(at) = aggregates.iter().position(|known| known == node) {
                    return names
                        .get(at)
                        .map(|name| Expr::Column(Column::new_unqualified(name)));
                }
                let at = grouping.exprs.iter().position(|known| known == node)?;
                groups.get(at).cloned()
            })?;
            if !moved.columns.is_empty() {
                let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
                **expr = inward(taken, &moved, &new)?;
            }
            self.all_grouped(expr, &allowed)?;
        }
        Ok(aggregated)
    }

    /// A column of this query's FROM as messages call it.
    fn shown_column(&self, column: &Column) -> String {
        let shown = self.frames.last().and_then(|frame| {
            frame.items.iter().find_map(|item| {
                let found = item.columns.iter().find(|known| known.column == *column)?;
                Some(format!("{}.{}", item.name, found.name))
            })
        });
        shown.unwrap_or_else(|| column.name().to_owned())
    }

    /// 42803 for a column that is neither grouped nor aggregated.
    fn all_grouped(&self, expr: &Expr, allowed: &HashSet<Column>) -> Result<()> {
        let outer = outer_columns(expr)?;
        let here = |column: &Column| {
            self.frames.last().is_some_and(|frame| {
                let items = frame.items.iter().flat_map(|item| &item.columns);
                items.into_iter().any(|known| known.column == *column)
            })
        };
        if let Some(column) = outer
            .iter()
            .find(|column| here(column) && !allowed.contains(*column))
        {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                format!(
                    "subquery uses ungrouped column \"{}\" from outer query",
                    self.shown_column(column)
                ),
            ));
        }
        for column in expr.column_refs() {
            if allowed.contains(column) {
                continue;
            }
            let shown = self.shown_column(column);
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                format!(
                    "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
                ),
            ));
        }
        Ok(())
    }
}
