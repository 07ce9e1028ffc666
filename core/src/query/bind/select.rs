//! One SELECT: its list, and what is computed in which order.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, UnnestOptions};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, Distinct, SelectItem, SelectItemQualifiedWildcardKind,
};

use super::outer_aggregate::with_values;
use super::query::{Place, Tail};
use super::record::Record;
use super::scope::{OutColumn, Typed};
use super::sorting::Key;
use super::{Binder, Bound, Clause, check, fold, syntax};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;

/// A column of the select list.
pub(super) struct Output {
    pub name: String,
    pub typed: Typed,
    pub table: u32,
    pub attribute: i16,
    /// What is known of its value, if that is a row.
    pub record: Option<Record>,
}

/// Entries of a select list, as in PostgreSQL.
const MAX_TARGETS: usize = 1_664;

impl Binder<'_> {
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        tail: Tail<'_>,
        place: Place,
    ) -> Result<Bound> {
        self.selects += 1;
        let result = self.select_inner(select, tail, place);
        self.selects -= 1;
        result
    }

    fn select_inner(
        &mut self,
        select: &ast::Select,
        tail: Tail<'_>,
        place: Place,
    ) -> Result<Bound> {
        check::select(select)?;
        let from = self.from(&select.from)?;
        let mut frame = super::scope::Frame {
            items: from.items,
            visible: from.visible,
            ..Default::default()
        };
        for window in &select.named_window {
            let name = fold(&window.0);
            if frame.windows.iter().any(|(known, _)| *known == name) {
                return Err(Error::new(
                    SqlState::WINDOWING_ERROR,
                    format!("window \"{name}\" is already defined"),
                ));
            }
            frame.windows.push((name, window.1.clone()));
        }
        self.frames.push(frame);
        let result = self.select_body(select, from.plan, tail, place);
        self.frames.pop();
        result
    }

    fn select_body(
        &mut self,
        select: &ast::Select,
        mut plan: LogicalPlan,
        tail: Tail<'_>,
        place: Place,
    ) -> Result<Bound> {
        if let Some(selection) = &select.selection {
            let condition = self.within(Clause::Where, |binder| {
                let typed = binder.expr(selection)?;
                binder.condition(typed, "WHERE")
            })?;
            plan = self.filter(plan, condition)?;
        }
        let mut outputs = self.outputs(&select.projection, place)?;
        let mut grouping = self.grouping(&select.group_by, &outputs)?;
        let mut having = match &select.having {
            Some(having) => Some(self.within(Clause::Having, |binder| {
                let typed = binder.expr(having)?;
                binder.condition(typed, "HAVING")
            })?),
            None => None,
        };
        let mut keys = Vec::with_capacity(tail.order.len());
        for item in tail.order {
            keys.push(self.within(Clause::OrderBy, |binder| binder.key(item, &outputs))?);
        }
        let mut distinct_on: Vec<Typed> = Vec::new();
        if let Some(Distinct::On(exprs)) = &select.distinct {
            for expr in exprs {
                distinct_on.push(self.within(Clause::DistinctOn, |binder| {
                    binder.output_or_expr(expr, &outputs, "SELECT DISTINCT ON")
                })?);
            }
            let on: Vec<Expr> = distinct_on.iter().map(|on| on.expr.clone()).collect();
            self.check_distinct_on(&on, &outputs, &keys)?;
        }

        let mut left = match self.frames.last_mut() {
            Some(frame) => std::mem::take(&mut frame.aggregates),
            None => Vec::new(),
        };
        // Everything that is computed after grouping.
        let mut after: Vec<&mut Expr> = Vec::new();
        after.extend(left.iter_mut().map(|aggregate| &mut aggregate.expr));
        after.extend(outputs.iter_mut().map(|output| &mut output.typed.expr));
        after.extend(having.iter_mut());
        after.extend(keys.iter_mut().filter_map(|(key, _)| match key {
            Key::Other(expr) => Some(expr),
            Key::Output(_) => None,
        }));
        after.extend(distinct_on.iter_mut().map(|on| &mut on.expr));
        let mut aggregates = find_aggregate_exprs(after.iter().map(|expr| &**expr));
        let grouped = grouping.present || select.having.is_some();
        if grouped && aggregates.is_empty() && grouping.exprs.is_empty() {
            // One group of all rows, of which nothing is asked.
            aggregates
                .push(count_udaf().call(vec![Expr::Literal(ScalarValue::Int64(Some(1)), None)]));
        }
        if grouped || !aggregates.is_empty() {
            self.add_dependents(&mut grouping, &after)?;
            plan = self.aggregate(plan, &grouping, aggregates, &mut after)?;
        }
        drop(after);
        plan = with_values(plan, left)?;
        if let Some(having) = having {
            plan = self.filter(plan, having)?;
        }

        let mut after: Vec<&mut Expr> = Vec::new();
        after.extend(outputs.iter_mut().map(|output| &mut output.typed.expr));
        after.extend(keys.iter_mut().filter_map(|(key, _)| match key {
            Key::Other(expr) => Some(expr),
            Key::Output(_) => None,
        }));
        after.extend(distinct_on.iter_mut().map(|on| &mut on.expr));
        // DataFusion evaluates no sub-query inside of a window function or an unnested array.
        let mut inside: Vec<&mut Expr> = Vec::new();
        for expr in &mut after {
            if holds_subquery(expr) {
                inside.push(expr);
            }
        }
        plan = self.compute_all(plan, &mut inside)?;
        plan = self.correlate(plan, &mut after)?;
        plan = windows(plan, &mut after)?;
        plan = unnest(plan, &mut after)?;
        drop(after);

        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        if !distinct_on.is_empty() {
            plan = self.first_of_each(plan, distinct_on, &outputs, &keys)?;
        }
        self.finish_select(plan, outputs, keys, tail, distinct, place)
    }

    fn outputs(&mut self, projection: &[SelectItem], place: Place) -> Result<Vec<Output>> {
        if projection.len() > MAX_TARGETS {
            return Err(Error::new(
                SqlState::TOO_MANY_COLUMNS,
                format!("target lists can have at most {MAX_TARGETS} entries"),
            ));
        }
        let mut outputs = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = functions::column_name(expr);
                    let output = self.output(expr, name, place)?;
                    outputs.push(output);
                }
                SelectItem::ExprWithAlias { alias, .. } if alias.quote_style == Some('\'') => {
                    return syntax(format!("syntax error at or near \"'{}'\"", alias.value));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let output = self.output(expr, fold(alias), place)?;
                    outputs.push(output);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return syntax("syntax error at or near \"(\"");
                }
                SelectItem::Wildcard(options) => {
                    check::wildcard(options)?;
                    let frame = self.frames.last();
                    if frame.is_none_or(|frame| frame.items.is_empty()) {
                        return syntax("SELECT * with no tables specified is not valid");
                    }
                    let columns: Vec<OutColumn> =
                        frame.map(|frame| frame.visible.clone()).unwrap_or_default();
                    outputs.extend(
                        columns
                            .iter()
                            .filter(|column| !column.hidden)
                            .map(|column| self.column_output(column)),
                    );
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    check::wildcard(options)?;
                    let name = match kind {
                        SelectItemQualifiedWildcardKind::ObjectName(name) => name,
                        SelectItemQualifiedWildcardKind::Expr(row) => {
                            let columns = self.expanded(row)?;
                            let shown = columns.iter().filter(|column| !column.hidden);
                            outputs.extend(shown.map(|column| self.column_output(column)));
                            continue;
                        }
                    };
                    let table = name
                        .0
                        .last()
                        .and_then(|part| part.as_ident())
                        .map(fold)
                        .unwrap_or_default();
                    let columns: Option<Vec<OutColumn>> = self
                        .frames
                        .last()
                        .and_then(|frame| frame.items.iter().find(|item| item.name == table))
                        .map(|item| item.columns.clone());
                    let columns = columns.ok_or_else(|| self.no_item(&table))?;
                    outputs.extend(
                        columns
                            .iter()
                            .filter(|column| !column.hidden)
                            .map(|column| self.column_output(column)),
                    );
                }
            }
        }
        Ok(outputs)
    }

    fn output(&mut self, expr: &ast::Expr, name: String, place: Place) -> Result<Output> {
        let mut plain = expr;
        while let ast::Expr::Nested(inner) = plain {
            plain = inner;
        }
        let source = match plain {
            ast::Expr::Identifier(ident) => Some(std::slice::from_ref(ident)),
            ast::Expr::CompoundIdentifier(idents) => Some(idents.as_slice()),
            _ => None,
        };
        let (table, attribute) = match source {
            Some(parts) => match self.find_column(parts) {
                Ok((column, _)) => (column.table, column.attribute),
                Err(_) => (0, 0),
            },
            None => (0, 0),
        };
        let typed = self.within(Clause::Select, |binder| binder.expr(expr))?;
        let typed = if place == Place::Arm {
            typed
        } else {
            self.settle(typed)?
        };
        Ok(Output {
            name,
            record: self.known_record(&typed),
            typed,
            table,
            attribute,
        })
    }

    fn column_output(&self, column: &OutColumn) -> Output {
        let typed = column.typed();
        Output {
            name: column.name.clone(),
            record: self.known_record(&typed),
            typed,
            table: column.table,
            attribute: column.attribute,
        }
    }
}

/// Replaces the outermost nodes for which `replace` has something.
pub(super) fn rewrite(expr: Expr, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Result<Expr> {
    let rewritten = expr.transform_down(|node| {
        Ok(match replace(&node) {
            Some(new) => Transformed::new(new, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })?;
    Ok(rewritten.data)
}

/// Computes the window functions in `after` and leaves columns in their place.
fn windows(plan: LogicalPlan, after: &mut [&mut Expr]) -> Result<LogicalPlan> {
    let calls = find_window_exprs(after.iter().map(|expr| &**expr));
    if calls.is_empty() {
        return Ok(plan);
    }
    let plan = LogicalPlanBuilder::window_plan(plan, calls.clone())?;
    for expr in after.iter_mut() {
        let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
        **expr = rewrite(taken, &mut |node| {
            calls
                .iter()
                .find(|call| *call == node)
                .map(|call| Expr::Column(Column::new_unqualified(call.schema_name().to_string())))
        })?;
    }
    Ok(plan)
}

/// Whether a window function or an unnested array in an expression holds a sub-query.
fn holds_subquery(expr: &Expr) -> bool {
    let inner = |expr: &Expr| expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_))));
    let found = expr.exists(|node| match node {
        Expr::WindowFunction(_) | Expr::Unnest(_) => inner(node),
        _ => Ok(false),
    });
    found.unwrap_or(true)
}

/// Unnests the set-returning functions in `after`, all in step.
fn unnest(plan: LogicalPlan, after: &mut [&mut Expr]) -> Result<LogicalPlan> {
    let mut sets: Vec<Expr> = Vec::new();
    for expr in after.iter() {
        expr.apply(|node| {
            if matches!(node, Expr::Unnest(_)) && !sets.contains(node) {
                sets.push(node.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    if sets.is_empty() {
        return Ok(plan);
    }
    let name = |at: usize| format!("__set_{at}");
    let mut exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let mut columns = Vec::with_capacity(sets.len());
    for (at, set) in sets.iter().enumerate() {
        let Expr::Unnest(unnest) = set else { continue };
        exprs.push(unnest.expr.as_ref().clone().alias(name(at)));
        columns.push(Column::new_unqualified(name(at)));
    }
    for expr in after.iter_mut() {
        let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
        **expr = rewrite(taken, &mut |node| {
            sets.iter()
                .position(|set| set == node)
                .map(|at| Expr::Column(Column::new_unqualified(name(at))))
        })?;
    }
    let options = UnnestOptions::new().with_preserve_nulls(false);
    Ok(LogicalPlanBuilder::from(plan)
        .project(exprs)?
        .unnest_columns_with_options(columns, options)?
        .build()?)
}
