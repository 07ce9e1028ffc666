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

/// What is computed before rows are grouped: groups that are not plain columns, under names of their own.
#[derive(Default)]
struct Computed {
    columns: Vec<(Expr, Column)>,
    firsts: Vec<First>,
    /// What the plan below gets.
    added: Vec<Expr>,
}

/// A group of values that are equal and yet differ: the first of them is shown.
struct First {
    key: Column,
    /// What is shown, once the rows are grouped; and before.
    shown: Column,
    value: Expr,
}

/// Where the values of a query are once its rows are grouped.
struct Grouped<'a> {
    grouping: &'a Grouping,
    /// One for each group.
    groups: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// The columns of the aggregates.
    names: Vec<String>,
}

impl Binder<'_> {
    /// Groups the rows of `plan`, and makes what comes `after` refer to the groups and aggregates.
    pub(super) fn aggregate(
        &mut self,
        plan: LogicalPlan,
        grouping: &Grouping,
        aggregates: Vec<Expr>,
        after: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
        check_grouping_calls(grouping, &aggregates)?;
        let calls = named(&aggregates);
        // Sub-queries in groups and arguments are computed before.
        let found = sub_queries(grouping.exprs.iter().chain(&calls))?;
        let (plan, values) = self.attach(plan, found)?;
        let computed = self.computed(grouping, &values)?;
        let plan = computed.below(plan)?;
        let (plan, order) = self.ordered(plan, &calls)?;
        let calls: Vec<Expr> = calls
            .into_iter()
            .map(|call| computed.call(call, &values, order.as_ref()))
            .collect::<Result<_>>()?;
        let names = calls.iter().map(column_name).collect();
        let groups: Vec<Expr> = grouping
            .exprs
            .iter()
            .map(|expr| computed.group(expr))
            .collect();
        let by = match &grouping.sets {
            Some(sets) => {
                let set = |set: &Vec<Expr>| set.iter().map(|expr| computed.group(expr)).collect();
                let sets = sets.iter().map(set).collect();
                vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))]
            }
            None => groups.clone(),
        };
        let firsts = computed.firsts.iter().map(First::call);
        let aggregated = LogicalPlanBuilder::from(plan)
            .aggregate(by, calls.into_iter().chain(firsts))?
            .build()?;
        let in_sets = grouping.sets.is_some();
        let groups = groups.into_iter();
        let grouped = Grouped {
            grouping,
            groups: groups.map(|group| computed.shown(group, in_sets)).collect(),
            aggregates,
            names,
        };
        let allowed = grouped.columns(&computed.firsts);
        let (moved, places) = grouped.moved(&aggregated);
        for expr in after.iter_mut() {
            let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
            let over = grouped.over(taken)?;
            **expr = match moved.columns.is_empty() {
                true => over,
                false => inward(over, &moved, &places)?,
            };
            self.all_grouped(expr, &allowed)?;
        }
        Ok(aggregated)
    }

    /// What has to be computed before the rows are grouped. `values` are those of sub-queries.
    fn computed(&mut self, grouping: &Grouping, values: &[(Expr, Expr)]) -> Result<Computed> {
        let mut computed = Computed::default();
        let number = self.next_number();
        for (at, expr) in grouping.exprs.iter().enumerate() {
            let ty = grouping.types.iter().find(|(known, _)| known == expr);
            let key = match ty {
                Some((expr, ty)) => self.key_of(&Typed {
                    expr: with_values(values, expr.clone())?,
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
            computed.columns.push((expr.clone(), column.clone()));
            let value = with_values(values, expr.clone())?;
            match key {
                // A key of the value's own type does for it.
                Some(key) if grouping.sets.is_some() && ty.is_some_and(|(_, ty)| *ty == key.ty) => {
                    computed.added.push(key.expr.alias(&name));
                }
                Some(key) => {
                    computed.added.push(key.expr.alias(&name));
                    computed.firsts.push(First {
                        key: column,
                        shown: Column::new_unqualified(format!("__first_{number}_{at}")),
                        value,
                    });
                }
                None => computed.added.push(value.alias(&name)),
            }
        }
        Ok(computed)
    }

    /// Rows that a sub-query in FROM ordered are aggregated in that order: the column that has it, where
    /// that makes a difference.
    fn ordered(
        &mut self,
        plan: LogicalPlan,
        calls: &[Expr],
    ) -> Result<(LogicalPlan, Option<Column>)> {
        let counts = |call: &Expr| {
            let plain = call.clone().unalias();
            in_order(plain.clone(), &Column::new_unqualified("")) != plain
        };
        match is_ordered(&plan) && calls.iter().any(counts) {
            true => self.with_order(plan),
            false => Ok((plan, None)),
        }
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

impl Computed {
    /// The plan with what is computed.
    fn below(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if self.added.is_empty() {
            return Ok(plan);
        }
        let exprs = columns_of(&plan).into_iter().chain(self.added.clone());
        Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
    }

    fn column(&self, expr: &Expr) -> Option<Expr> {
        let found = self.columns.iter().find(|(known, _)| known == expr);
        found.map(|(_, column)| Expr::Column(column.clone()))
    }

    /// What rows are grouped by.
    fn group(&self, expr: &Expr) -> Expr {
        self.column(expr).unwrap_or_else(|| expr.clone())
    }

    /// An aggregate over what is computed.
    fn call(&self, call: Expr, values: &[(Expr, Expr)], order: Option<&Column>) -> Result<Expr> {
        match call {
            call @ Expr::AggregateFunction(_) => rewrite(call, &mut |expr| self.column(expr)),
            Expr::Alias(alias) => {
                let call = with_values(values, alias.expr.unalias())?;
                let call = match order {
                    Some(order) => in_order(call, order),
                    None => call,
                };
                Ok(call.alias(alias.name))
            }
            call => Ok(call),
        }
    }

    /// What is shown of a group. `in_sets` says whether there are groupings without it.
    fn shown(&self, group: Expr, in_sets: bool) -> Expr {
        let mut firsts = self.firsts.iter();
        let first =
            firsts.find(|first| matches!(&group, Expr::Column(column) if *column == first.key));
        let Some(first) = first else {
            return group;
        };
        let value = Expr::Column(first.shown.clone());
        if !in_sets {
            return value;
        }
        // In a set without it the group is NULL, and so is its key.
        let when = vec![(Box::new(group.is_not_null()), Box::new(value))];
        Expr::Case(Case::new(None, when, None))
    }
}

impl First {
    fn call(&self) -> Expr {
        let call = AggregateFunction::new_udf(
            first_value_udaf(),
            vec![self.value.clone()],
            false,
            None,
            Vec::new(),
            None,
        );
        Expr::AggregateFunction(call).alias(&self.shown.name)
    }
}

impl Grouped<'_> {
    /// The columns that there are.
    fn columns(&self, firsts: &[First]) -> HashSet<Column> {
        let groups = self.groups.iter().filter_map(|expr| match expr {
            Expr::Column(column) => Some(column.clone()),
            _ => None,
        });
        let firsts = firsts.iter();
        groups
            .chain(self.names.iter().map(Column::new_unqualified))
            .chain(firsts.flat_map(|first| [first.key.clone(), first.shown.clone()]))
            .collect()
    }

    /// Columns that sub-queries refer to and that are elsewhere now; and where.
    fn moved(&self, aggregated: &LogicalPlan) -> (Domain, Vec<Column>) {
        let pairs = self.grouping.exprs.iter().zip(&self.groups);
        let moved = pairs.filter_map(|pair| match pair {
            (Expr::Column(old), Expr::Column(new)) if old != new => {
                Some((old.clone(), new.clone()))
            }
            _ => None,
        });
        let (old, new) = moved.unzip();
        let domain = Domain {
            outer: aggregated.clone(),
            columns: old,
            work: Vec::new(),
        };
        (domain, new)
    }

    /// An expression over the rows before, over those after.
    fn over(&self, expr: Expr) -> Result<Expr> {
        rewrite(expr, &mut |node| {
            if let Some(at) = self.aggregates.iter().position(|known| known == node) {
                let name = self.names.get(at);
                return name.map(|name| Expr::Column(Column::new_unqualified(name)));
            }
            let exprs = &self.grouping.exprs;
            let at = exprs.iter().position(|known| known == node)?;
            self.groups.get(at).cloned()
        })
    }
}

fn is_grouping_call(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "grouping")
}

/// 42803 for GROUPING of what is no group.
fn check_grouping_calls(grouping: &Grouping, aggregates: &[Expr]) -> Result<()> {
    let is_group = |arg: &Expr| grouping.exprs.contains(arg);
    for expr in aggregates.iter().filter(|expr| is_grouping_call(expr)) {
        if let Expr::AggregateFunction(call) = expr
            && !call.params.args.iter().all(is_group)
        {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "arguments to GROUPING must be grouping expressions of the associated query level",
            ));
        }
    }
    Ok(())
}

/// The aggregates under names of their own, but for GROUPING, which the planner knows by its name.
fn named(aggregates: &[Expr]) -> Vec<Expr> {
    let name = |(at, expr): (usize, &Expr)| match is_grouping_call(expr) {
        true => expr.clone(),
        false => expr.clone().alias(format!("__aggregate_{at}")),
    };
    aggregates.iter().enumerate().map(name).collect()
}

/// The column that an aggregate of [`named`] becomes.
fn column_name(call: &Expr) -> String {
    match call {
        Expr::Alias(alias) => alias.name.clone(),
        call => call.schema_name().to_string(),
    }
}

/// The scalar sub-queries in some expressions, each once.
fn sub_queries<'e>(exprs: impl Iterator<Item = &'e Expr>) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in exprs {
        expr.apply(|node| {
            if matches!(node, Expr::ScalarSubquery(_)) && !found.contains(node) {
                found.push(node.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

/// The expression with the values of sub-queries in their places.
fn with_values(values: &[(Expr, Expr)], expr: Expr) -> Result<Expr> {
    rewrite(expr, &mut |node| {
        let found = values.iter().find(|(known, _)| known == node);
        found.map(|(_, value)| value.clone())
    })
}
