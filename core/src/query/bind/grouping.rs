//! GROUP BY and the aggregates over its groups.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Case};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, GroupByExpr};

use super::decorrelate::{Domain, columns_of, is_ordered};
use super::outer::{inward, subquery_of};
use super::push_aggregate::in_order;
use super::query::ordinal;
use super::scope::Typed;
use super::select::{Output, rewrite};
use super::{Binder, Clause, fold, syntax};
use crate::error::{Error, Result, SqlState};
use crate::types::PgType;

/// The most grouping sets of a query, as in PostgreSQL.
const MAX_GROUPING_SETS: usize = 4096;

/// The grouping of a query.
#[derive(Default)]
pub(super) struct Grouping {
    pub exprs: Vec<Expr>,
    /// Their types, as far as they matter.
    types: Vec<(Expr, PgType)>,
    /// The sets, when there are ROLLUP, CUBE or GROUPING SETS.
    sets: Option<Vec<Vec<Expr>>>,
    pub present: bool,
}

impl Binder<'_> {
    pub(super) fn grouping(
        &mut self,
        group_by: &GroupByExpr,
        outputs: &[Output],
    ) -> Result<Grouping> {
        let exprs = match group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            GroupByExpr::Expressions(..) => return syntax("syntax error at or near \"WITH\""),
            GroupByExpr::All(_) => return syntax("syntax error at or near \"ALL\""),
        };
        let mut grouping = Grouping {
            present: !exprs.is_empty(),
            ..Grouping::default()
        };
        // The cross product of the sets of each element.
        let mut sets: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut plain = true;
        for expr in exprs {
            let element = match expr {
                ast::Expr::Rollup(parts) => {
                    plain = false;
                    let parts = self.group_parts(parts, outputs, &mut grouping.types)?;
                    rollup(&parts)
                }
                ast::Expr::Cube(parts) => {
                    plain = false;
                    let parts = self.group_parts(parts, outputs, &mut grouping.types)?;
                    cube(&parts)?
                }
                ast::Expr::GroupingSets(parts) => {
                    plain = false;
                    let mut all = Vec::new();
                    for part in parts {
                        all.extend(self.group_sets(part, outputs, &mut grouping.types)?);
                    }
                    all
                }
                ast::Expr::Tuple(items) => {
                    let mut set = Vec::new();
                    for item in items {
                        set.push(self.group_expr(item, outputs, &mut grouping.types)?);
                    }
                    if items.is_empty() {
                        plain = false;
                    }
                    vec![set]
                }
                expr => vec![vec![self.group_expr(expr, outputs, &mut grouping.types)?]],
            };
            if sets.len().saturating_mul(element.len()) > MAX_GROUPING_SETS {
                return Err(too_many_sets());
            }
            sets = sets
                .iter()
                .flat_map(|set| {
                    element.iter().map(move |more| {
                        let mut set = set.clone();
                        set.extend(more.iter().cloned());
                        set
                    })
                })
                .collect();
        }
        if plain {
            for expr in sets.into_iter().flatten() {
                if !grouping.exprs.contains(&expr) {
                    grouping.exprs.push(expr);
                }
            }
        } else {
            for set in &sets {
                for expr in set {
                    if !grouping.exprs.contains(expr) {
                        grouping.exprs.push(expr.clone());
                    }
                }
            }
            grouping.sets = Some(sets);
        }
        Ok(grouping)
    }

    fn group_parts(
        &mut self,
        parts: &[Vec<ast::Expr>],
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Vec<Vec<Expr>>> {
        parts
            .iter()
            .map(|part| {
                part.iter()
                    .map(|expr| self.group_expr(expr, outputs, types))
                    .collect()
            })
            .collect()
    }

    /// The sets of one part of GROUPING SETS: one, or those of a ROLLUP or CUBE in it.
    fn group_sets(
        &mut self,
        part: &[ast::Expr],
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Vec<Vec<Expr>>> {
        // sqlparser reads these as calls.
        if let [ast::Expr::Function(call)] = part
            && let [name] = call.name.0.as_slice()
            && let Some(name) = name.as_ident().filter(|name| name.quote_style.is_none())
        {
            let name = fold(name);
            if matches!(name.as_str(), "rollup" | "cube")
                && let Some(args) = super::call::arguments(call)?
            {
                let lists: Vec<Vec<ast::Expr>> = args
                    .into_iter()
                    .map(|arg| match arg.into_owned() {
                        ast::Expr::Tuple(items) => items,
                        arg => vec![arg],
                    })
                    .collect();
                let parts = self.group_parts(&lists, outputs, types)?;
                return match name.as_str() {
                    "rollup" => Ok(rollup(&parts)),
                    _ => cube(&parts),
                };
            }
        }
        self.group_parts(&[part.to_vec()], outputs, types)
    }

    fn group_expr(
        &mut self,
        expr: &ast::Expr,
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Expr> {
        let typed = self.group_typed(expr, outputs)?;
        types.push((typed.expr.clone(), typed.ty));
        Ok(typed.expr)
    }

    fn group_typed(&mut self, expr: &ast::Expr, outputs: &[Output]) -> Result<Typed> {
        if let Some(at) = ordinal(expr) {
            let output = usize::try_from(at - 1)
                .ok()
                .and_then(|at| outputs.get(at))
                .ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("GROUP BY position {at} is not in select list"),
                    )
                })?;
            return self.no_aggregate(output.typed.clone());
        }
        if let ast::Expr::Identifier(name) = expr {
            // A column of FROM comes first, as SQL-92 has it.
            if let Err(error) = self.find_column(std::slice::from_ref(name)) {
                let name = fold(name);
                let mut named = outputs.iter().filter(|output| output.name == name);
                return match (named.next(), error.state()) {
                    (Some(output), SqlState::UNDEFINED_COLUMN) => {
                        let typed = output.typed.clone();
                        if named.any(|other| other.typed.expr != typed.expr) {
                            return Err(Error::new(
                                SqlState::AMBIGUOUS_COLUMN,
                                format!("GROUP BY \"{name}\" is ambiguous"),
                            ));
                        }
                        self.no_aggregate(typed)
                    }
                    _ => Err(error),
                };
            }
        }
        let typed = self.within(Clause::GroupBy, |binder| binder.expr(expr))?;
        self.settle(typed)
    }

    fn no_aggregate(&self, typed: Typed) -> Result<Typed> {
        if !find_aggregate_exprs([&typed.expr]).is_empty() {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "aggregate functions are not allowed in GROUP BY",
            ));
        }
        Ok(typed)
    }

    /// A whole primary key in GROUP BY determines the table's other columns: those that `after` refers
    /// to become groups, too. The others would only make groups wider.
    pub(super) fn add_dependents(
        &self,
        grouping: &mut Grouping,
        after: &[&mut Expr],
    ) -> Result<()> {
        if grouping.sets.is_some() {
            return Ok(());
        }
        let mut used: HashSet<Column> = HashSet::new();
        for expr in after {
            used.extend(expr.column_refs().into_iter().cloned());
            used.extend(outer_columns(expr)?);
        }
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        for item in &frame.items {
            if item.key.is_empty() {
                continue;
            }
            let grouped = |name: &String| {
                item.columns
                    .iter()
                    .find(|column| !column.hidden && column.name == *name)
                    .is_some_and(|column| {
                        grouping
                            .exprs
                            .contains(&Expr::Column(column.column.clone()))
                    })
            };
            if !item.key.iter().all(grouped) {
                continue;
            }
            for column in &item.columns {
                let expr = Expr::Column(column.column.clone());
                let wanted = column.merged.is_none() && used.contains(&column.column);
                if wanted && !grouping.exprs.contains(&expr) {
                    grouping.exprs.push(expr);
                }
            }
        }
        Ok(())
    }

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

    pub(super) fn next_number(&mut self) -> usize {
        self.next += 1;
        self.next
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

/// The columns of this query that sub-queries of an expression refer to.
fn outer_columns(expr: &Expr) -> Result<Vec<Column>> {
    let mut outer: Vec<Column> = Vec::new();
    expr.apply(|node| {
        if let Some(inner) = subquery_of(node) {
            for reference in &inner.outer_ref_columns {
                if let Expr::OuterReferenceColumn(_, column) = reference {
                    outer.push(column.clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(outer)
}

fn rollup(parts: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=parts.len())
        .rev()
        .map(|length| parts.iter().take(length).flatten().cloned().collect())
        .collect()
}

fn cube(parts: &[Vec<Expr>]) -> Result<Vec<Vec<Expr>>> {
    if parts.len() > 12 {
        return Err(too_many_sets());
    }
    let mut all: Vec<Vec<Expr>> = Vec::new();
    for mask in (0..1_usize << parts.len()).rev() {
        let set = parts
            .iter()
            .enumerate()
            .filter(|(at, _)| mask & (1 << (parts.len() - 1 - at)) != 0)
            .flat_map(|(_, part)| part.clone())
            .collect();
        all.push(set);
    }
    Ok(all)
}

fn too_many_sets() -> Error {
    Error::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        format!("too many grouping sets present (maximum {MAX_GROUPING_SETS})"),
    )
}
