//! One SELECT: its list, grouping, windows, DISTINCT, and the order of its rows.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, UnnestOptions};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, GroupingSet, LogicalPlan, LogicalPlanBuilder,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, Distinct, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind,
};

use super::query::{Place, Tail, ordinal, sort};
use super::resolve::missing_from;
use super::scope::{OutColumn, Typed};
use super::{Binder, Bound, Clause, check, fold, syntax};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::oid;

/// The most grouping sets of a query, as in PostgreSQL.
const MAX_GROUPING_SETS: usize = 4096;

/// A column of the select list.
struct Output {
    name: String,
    typed: Typed,
    table: u32,
    attribute: i16,
}

/// What ORDER BY sorts by.
enum Key {
    /// A column of the select list.
    Output(usize),
    Other(Expr),
}

/// The grouping of a query.
#[derive(Default)]
struct Grouping {
    exprs: Vec<Expr>,
    /// The sets, when there are ROLLUP, CUBE or GROUPING SETS.
    sets: Option<Vec<Vec<Expr>>>,
    present: bool,
}

impl Binder<'_> {
    pub(super) fn select(
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
            let mut condition = self.within(Clause::Where, |binder| {
                let typed = binder.expr(selection)?;
                binder.condition(typed, "WHERE")
            })?;
            plan = self.correlate(plan, &mut [&mut condition])?;
            plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
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
        let mut distinct_on = match &select.distinct {
            Some(Distinct::On(exprs)) => {
                let mut on = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    on.push(
                        self.within(Clause::DistinctOn, |binder| {
                            binder.output_or_expr(expr, &outputs, "SELECT DISTINCT ON")
                        })?
                        .expr,
                    );
                }
                on
            }
            _ => Vec::new(),
        };

        // Everything that is computed after grouping.
        let mut after: Vec<&mut Expr> = Vec::new();
        after.extend(outputs.iter_mut().map(|output| &mut output.typed.expr));
        after.extend(having.iter_mut());
        after.extend(keys.iter_mut().filter_map(|(key, _)| match key {
            Key::Other(expr) => Some(expr),
            Key::Output(_) => None,
        }));
        after.extend(distinct_on.iter_mut());
        let aggregates = find_aggregate_exprs(after.iter().map(|expr| &**expr));
        if !aggregates.is_empty() || grouping.present || select.having.is_some() {
            self.add_dependents(&mut grouping);
            plan = self.aggregate(plan, &grouping, aggregates, &mut after)?;
        }
        drop(after);
        if let Some(having) = having {
            plan = LogicalPlanBuilder::from(plan).filter(having)?.build()?;
        }

        let mut after: Vec<&mut Expr> = Vec::new();
        after.extend(outputs.iter_mut().map(|output| &mut output.typed.expr));
        after.extend(keys.iter_mut().filter_map(|(key, _)| match key {
            Key::Other(expr) => Some(expr),
            Key::Output(_) => None,
        }));
        after.extend(distinct_on.iter_mut());
        plan = self.correlate(plan, &mut after)?;
        plan = windows(plan, &mut after)?;
        plan = unnest(plan, &mut after)?;
        drop(after);

        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        if !distinct_on.is_empty() {
            plan = self.first_of_each(plan, &distinct_on, &outputs, &keys, tail)?;
        }
        self.finish_select(plan, outputs, keys, tail, distinct, place)
    }

    fn outputs(&mut self, projection: &[SelectItem], place: Place) -> Result<Vec<Output>> {
        let mut outputs = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = functions::column_name(expr);
                    let output = self.output(expr, name, place)?;
                    outputs.push(output);
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
                            .map(from_column),
                    );
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    check::wildcard(options)?;
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return super::unsupported(
                            "the expansion of a composite value",
                            "Select its fields.",
                        );
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
                    let columns = columns.ok_or_else(|| missing_from(&table))?;
                    outputs.extend(
                        columns
                            .iter()
                            .filter(|column| !column.hidden)
                            .map(from_column),
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
            typed,
            table,
            attribute,
        })
    }

    fn grouping(&mut self, group_by: &GroupByExpr, outputs: &[Output]) -> Result<Grouping> {
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
                    let parts = self.group_parts(parts, outputs)?;
                    (0..=parts.len())
                        .rev()
                        .map(|length| parts.iter().take(length).flatten().cloned().collect())
                        .collect()
                }
                ast::Expr::Cube(parts) => {
                    plain = false;
                    let parts = self.group_parts(parts, outputs)?;
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
                    all
                }
                ast::Expr::GroupingSets(parts) => {
                    plain = false;
                    self.group_parts(parts, outputs)?
                }
                ast::Expr::Tuple(items) => {
                    let mut set = Vec::new();
                    for item in items {
                        set.push(self.group_expr(item, outputs)?);
                    }
                    if items.is_empty() {
                        plain = false;
                    }
                    vec![set]
                }
                expr => vec![vec![self.group_expr(expr, outputs)?]],
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
    ) -> Result<Vec<Vec<Expr>>> {
        parts
            .iter()
            .map(|part| {
                part.iter()
                    .map(|expr| self.group_expr(expr, outputs))
                    .collect()
            })
            .collect()
    }

    fn group_expr(&mut self, expr: &ast::Expr, outputs: &[Output]) -> Result<Expr> {
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
            return self.no_aggregate(output.typed.expr.clone());
        }
        if let ast::Expr::Identifier(name) = expr {
            // A column of FROM comes first, as SQL-92 has it.
            if let Err(error) = self.find_column(std::slice::from_ref(name)) {
                let name = fold(name);
                let mut named = outputs.iter().filter(|output| output.name == name);
                return match (named.next(), error.state()) {
                    (Some(output), SqlState::UNDEFINED_COLUMN) => {
                        let expr = output.typed.expr.clone();
                        if named.any(|other| other.typed.expr != expr) {
                            return Err(Error::new(
                                SqlState::AMBIGUOUS_COLUMN,
                                format!("GROUP BY \"{name}\" is ambiguous"),
                            ));
                        }
                        self.no_aggregate(expr)
                    }
                    _ => Err(error),
                };
            }
        }
        let typed = self.within(Clause::GroupBy, |binder| binder.expr(expr))?;
        Ok(self.settle(typed)?.expr)
    }

    fn no_aggregate(&self, expr: Expr) -> Result<Expr> {
        if !find_aggregate_exprs([&expr]).is_empty() {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "aggregate functions are not allowed in GROUP BY",
            ));
        }
        Ok(expr)
    }

    fn key(&mut self, item: &ast::OrderByExpr, outputs: &[Output]) -> Result<(Key, Sort)> {
        check::order_by(item)?;
        let placeholder = sort(Expr::Literal(ScalarValue::Null, None), item);
        if let Some(at) = ordinal(&item.expr) {
            let at = usize::try_from(at - 1)
                .ok()
                .filter(|at| *at < outputs.len())
                .ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("ORDER BY position {at} is not in select list"),
                    )
                })?;
            return Ok((Key::Output(at), placeholder));
        }
        if let ast::Expr::Identifier(name) = &item.expr {
            let name = fold(name);
            let mut named = outputs
                .iter()
                .enumerate()
                .filter(|(_, output)| output.name == name);
            if let Some((at, output)) = named.next() {
                if named.any(|(_, other)| other.typed.expr != output.typed.expr) {
                    return Err(Error::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("ORDER BY \"{name}\" is ambiguous"),
                    ));
                }
                return Ok((Key::Output(at), placeholder));
            }
        }
        let typed = self.expr(&item.expr)?;
        let typed = self.settle(typed)?;
        if typed.ty.oid == oid::JSON {
            return Err(Error::new(
                SqlState::UNDEFINED_FUNCTION,
                "could not identify an ordering operator for type json",
            ));
        }
        let known = outputs
            .iter()
            .position(|output| output.typed.expr == typed.expr);
        Ok((
            known.map_or(Key::Other(typed.expr), Key::Output),
            placeholder,
        ))
    }

    fn output_or_expr(
        &mut self,
        expr: &ast::Expr,
        outputs: &[Output],
        clause: &str,
    ) -> Result<Typed> {
        if let Some(at) = ordinal(expr) {
            let output = usize::try_from(at - 1)
                .ok()
                .and_then(|at| outputs.get(at))
                .ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        format!("{clause} position {at} is not in select list"),
                    )
                })?;
            return Ok(output.typed.clone());
        }
        if let ast::Expr::Identifier(name) = expr {
            let name = fold(name);
            if let Some(output) = outputs.iter().find(|output| output.name == name) {
                return Ok(output.typed.clone());
            }
        }
        let typed = self.expr(expr)?;
        self.settle(typed)
    }

    /// A whole primary key in GROUP BY determines the table's other columns.
    fn add_dependents(&self, grouping: &mut Grouping) {
        if grouping.sets.is_some() {
            return;
        }
        let Some(frame) = self.frames.last() else {
            return;
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
                if column.merged.is_none() && !grouping.exprs.contains(&expr) {
                    grouping.exprs.push(expr);
                }
            }
        }
    }

    fn aggregate(
        &mut self,
        plan: LogicalPlan,
        grouping: &Grouping,
        aggregates: Vec<Expr>,
        after: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
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
        // Groups that are not plain columns are computed first, under names of their own.
        let mut computed: Vec<(Expr, Column)> = Vec::new();
        let mut groups = Vec::with_capacity(grouping.exprs.len());
        let mut plan = plan;
        if grouping
            .exprs
            .iter()
            .any(|expr| !matches!(expr, Expr::Column(_)))
        {
            let mut exprs: Vec<Expr> = plan
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            for (at, expr) in grouping.exprs.iter().enumerate() {
                if !matches!(expr, Expr::Column(_)) {
                    let name = format!("__group_{}_{at}", self.next_number());
                    exprs.push(expr.clone().alias(&name));
                    computed.push((expr.clone(), Column::new_unqualified(name)));
                }
            }
            plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        }
        let replace = |expr: &Expr| {
            let found = computed.iter().find(|(known, _)| known == expr);
            found.map_or_else(|| expr.clone(), |(_, column)| Expr::Column(column.clone()))
        };
        for expr in &grouping.exprs {
            groups.push(replace(expr));
        }
        let calls: Vec<Expr> = calls
            .into_iter()
            .map(|call| match &call {
                Expr::AggregateFunction(_) => rewrite(call, &mut |expr| {
                    computed
                        .iter()
                        .find(|(known, _)| known == expr)
                        .map(|(_, column)| Expr::Column(column.clone()))
                }),
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
        let aggregated = LogicalPlanBuilder::from(plan)
            .aggregate(group_exprs, calls)?
            .build()?;
        let allowed: HashSet<Column> = groups
            .iter()
            .filter_map(|expr| match expr {
                Expr::Column(column) => Some(column.clone()),
                _ => None,
            })
            .chain(names.iter().map(Column::new_unqualified))
            .collect();
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
            self.all_grouped(expr, &allowed)?;
        }
        Ok(aggregated)
    }

    pub(super) fn next_number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// 42803 for a column that is neither grouped nor aggregated.
    fn all_grouped(&self, expr: &Expr, allowed: &HashSet<Column>) -> Result<()> {
        for column in expr.column_refs() {
            if allowed.contains(column) {
                continue;
            }
            let frame = self.frames.last();
            let shown = frame.and_then(|frame| {
                frame.items.iter().find_map(|item| {
                    let found = item.columns.iter().find(|known| known.column == *column)?;
                    Some(format!("{}.{}", item.name, found.name))
                })
            });
            let shown = shown.unwrap_or_else(|| column.name().to_owned());
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                format!(
                    "column \"{shown}\" must appear in the GROUP BY clause or be used in an aggregate function"
                ),
            ));
        }
        Ok(())
    }

    /// DISTINCT ON: the first row, in the query's order, of each group.
    fn first_of_each(
        &mut self,
        plan: LogicalPlan,
        on: &[Expr],
        outputs: &[Output],
        keys: &[(Key, Sort)],
        tail: Tail<'_>,
    ) -> Result<LogicalPlan> {
        let mut order = Vec::with_capacity(keys.len());
        for (at, (key, options)) in keys.iter().enumerate() {
            let expr = match key {
                Key::Output(at) => outputs.get(*at).map(|output| output.typed.expr.clone()),
                Key::Other(expr) => Some(expr.clone()),
            };
            let expr = expr.ok_or_else(|| Error::internal("a sort key without its column"))?;
            if at < on.len().min(tail.order.len()) && !on.contains(&expr) {
                return Err(Error::new(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                ));
            }
            order.push(Sort {
                expr,
                ..options.clone()
            });
        }
        let name = format!("__first_{}", self.next_number());
        let mut number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())))
                .partition_by(on.to_vec());
        if !order.is_empty() {
            number = number.order_by(order);
        }
        let number = number.build()?.alias(&name);
        let first = Expr::Column(Column::new_unqualified(name))
            .eq(Expr::Literal(ScalarValue::UInt64(Some(1)), None));
        Ok(LogicalPlanBuilder::from(plan)
            .window(vec![number])?
            .filter(first)?
            .build()?)
    }

    fn finish_select(
        &mut self,
        plan: LogicalPlan,
        outputs: Vec<Output>,
        keys: Vec<(Key, Sort)>,
        tail: Tail<'_>,
        distinct: bool,
        place: Place,
    ) -> Result<Bound> {
        let sources: Vec<(u32, i16)> = outputs
            .iter()
            .map(|output| (output.table, output.attribute))
            .collect();
        let count = outputs.len();
        let mut items: Vec<(String, Typed)> = Vec::with_capacity(count);
        let mut shown: Vec<bool> = Vec::with_capacity(count);
        let mut sorted: Vec<(usize, Sort)> = Vec::new();
        let mut extra: Vec<(String, Typed)> = Vec::new();
        let display = place == Place::Top && !distinct;
        for output in &outputs {
            let displayed = if display {
                functions::display(&output.typed)
            } else {
                None
            };
            shown.push(displayed.is_some());
            items.push((
                output.name.clone(),
                displayed.unwrap_or_else(|| output.typed.clone()),
            ));
        }
        for (key, options) in keys {
            let at = match key {
                Key::Output(at) if shown.get(at) == Some(&true) => {
                    let typed = outputs.get(at).map(|output| output.typed.clone());
                    extra.push((
                        "sort".to_owned(),
                        typed.ok_or_else(|| Error::internal("a lost column"))?,
                    ));
                    count + extra.len() - 1
                }
                Key::Output(at) => at,
                Key::Other(expr) => {
                    if distinct {
                        return Err(Error::new(
                            SqlState::INVALID_COLUMN_REFERENCE,
                            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                        ));
                    }
                    let typed = Typed {
                        expr,
                        ty: crate::types::PgType::UNKNOWN,
                        data: arrow::datatypes::DataType::Null,
                    };
                    extra.push(("sort".to_owned(), typed));
                    count + extra.len() - 1
                }
            };
            sorted.push((at, options));
        }
        let hidden = extra.len();
        items.extend(extra);
        let mut bound = self.project(plan, items)?;
        if distinct {
            bound.plan = LogicalPlanBuilder::from(bound.plan).distinct()?.build()?;
        }
        if !sorted.is_empty() {
            let mut keys = Vec::with_capacity(sorted.len());
            for (at, options) in sorted {
                let column = bound
                    .columns
                    .get(at)
                    .ok_or_else(|| Error::internal("a lost sort key"))?;
                keys.push(Sort {
                    expr: Expr::Column(column.column.clone()),
                    ..options
                });
            }
            bound.plan = LogicalPlanBuilder::from(bound.plan).sort(keys)?.build()?;
        }
        bound.plan = self.limit(bound.plan, tail)?;
        if hidden > 0 {
            bound.columns.truncate(count);
            let exprs: Vec<Expr> = bound
                .columns
                .iter()
                .map(|column| Expr::Column(column.column.clone()))
                .collect();
            bound.plan = LogicalPlanBuilder::from(bound.plan)
                .project(exprs)?
                .build()?;
        }
        for (column, (table, attribute)) in bound.columns.iter_mut().zip(sources) {
            column.table = table;
            column.attribute = attribute;
        }
        Ok(bound)
    }
}

fn too_many_sets() -> Error {
    Error::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        format!("too many grouping sets present (maximum {MAX_GROUPING_SETS})"),
    )
}

fn from_column(column: &OutColumn) -> Output {
    Output {
        name: column.name.clone(),
        typed: column.typed(),
        table: column.table,
        attribute: column.attribute,
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
