//! Joins: conditions, merged columns, LATERAL.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::apply::outward;
use super::decorrelate::columns_of;
use super::from::{From, check_names};
use super::push_join::join_on_keys;
use super::scope::{Frame, OutColumn};
use super::subquery_form::{has_outer_subquery, local_references};
use super::table_function::table_function;
use super::{Binder, Clause, fold, syntax};
use crate::error::{Error, Result, SqlState};

impl Binder<'_> {
    pub(super) fn join_operator(&mut self, left: From, join: &ast::Join) -> Result<From> {
        if join.global {
            return syntax("syntax error at or near \"GLOBAL\"");
        }
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (JoinType::Inner, constraint)
            }
            JoinOperator::CrossJoin(constraint) => (JoinType::Inner, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (JoinType::Left, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinType::Right, constraint)
            }
            JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
            _ => return syntax("syntax error at or near \"JOIN\""),
        };
        let crossed = matches!(join.join_operator, JoinOperator::CrossJoin(_));
        if matches!(constraint, JoinConstraint::None) && !crossed {
            return syntax("syntax error: JOIN needs ON or USING");
        }
        self.join(left, &join.relation, kind, constraint)
    }

    /// Binds FROM items that may refer to those before them; what they refer to.
    pub(super) fn lateral(
        &mut self,
        left: &From,
        bind: impl FnOnce(&mut Self) -> Result<From>,
    ) -> Result<(From, Vec<Expr>)> {
        self.references.push(Vec::new());
        self.frames.push(Frame {
            lateral: Some(self.selects),
            ..left.frame()
        });
        let bound = bind(self);
        let references = self.outer_references();
        self.frames.pop();
        let references = local_references(&left.plan, &references)
            .into_iter()
            .filter_map(|column| references.iter().find(|known| is_column(known, &column)))
            .cloned()
            .collect();
        Ok((bound?, references))
    }

    pub(super) fn join(
        &mut self,
        left: From,
        relation: &TableFactor,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        if let Some(call) = table_function(relation) {
            return self.join_function(left, &call, kind, constraint);
        }
        let (right, references) = self.lateral(&left, |binder| binder.factor(relation))?;
        if !references.is_empty()
            && matches!(constraint, JoinConstraint::None)
            && let Some(exprs) = computed(&right.plan, &left.plan)
        {
            return self.extend(left, right, exprs);
        }
        self.join_bound(left, right, &references, kind, constraint)
    }

    /// `LATERAL (SELECT expressions)` without FROM: further columns of the rows on the left.
    fn extend(&mut self, left: From, right: From, exprs: Vec<Expr>) -> Result<From> {
        check_names(&left.items, &right.items)?;
        let qualifier = self.qualifier("computed");
        let mut all = columns_of(&left.plan);
        let mut items = left.items;
        let mut visible = left.visible;
        for mut item in right.items {
            for (at, (column, expr)) in item.columns.iter_mut().zip(&exprs).enumerate() {
                let name = format!("{qualifier}.{at}");
                all.push(expr.clone().alias(&name));
                column.column = Column::new_unqualified(name);
            }
            visible.extend(item.columns.clone());
            items.push(item);
        }
        let plan = LogicalPlanBuilder::from(left.plan).project(all)?.build()?;
        Ok(From {
            plan,
            items,
            visible,
        })
    }

    /// Joins two bound items; `references` are those of the right one to the left one.
    pub(super) fn join_bound(
        &mut self,
        left: From,
        right: From,
        references: &[Expr],
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        check_names(&left.items, &right.items)?;
        if !references.is_empty() && !matches!(kind, JoinType::Inner | JoinType::Left) {
            let table = left.items.first().map_or("", |item| item.name.as_str());
            return Err(Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!("invalid reference to FROM-clause entry for table \"{table}\""),
            )
            .detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."));
        }
        let mut items = left.items.clone();
        items.extend(right.items.clone());
        let shared: Vec<String> = match constraint {
            JoinConstraint::Using(names) => names
                .iter()
                .filter_map(|name| name.0.last()?.as_ident().map(fold))
                .collect(),
            JoinConstraint::Natural => left
                .visible
                .iter()
                .filter(|column| !column.hidden)
                .map(|column| column.name.clone())
                .filter(|name| {
                    right
                        .visible
                        .iter()
                        .any(|other| !other.hidden && other.name == *name)
                })
                .collect(),
            _ => Vec::new(),
        };
        let mut conditions = Vec::new();
        let mut merged = Vec::new();
        for name in &shared {
            let l = one_named(&left.visible, name, "left")?;
            let r = one_named(&right.visible, name, "right")?;
            let condition =
                self.compare(datafusion::logical_expr::Operator::Eq, l.typed(), r.typed())?;
            conditions.push(condition.expr);
            merged.push(self.merge_columns(l, r, kind)?);
        }
        let mut visible = merged;
        for column in left.visible.iter().chain(&right.visible) {
            if !shared.contains(&column.name) {
                visible.push(column.clone());
            }
        }
        let mut condition: Option<Expr> = conditions.into_iter().reduce(Expr::and);
        if let JoinConstraint::On(on) = constraint {
            self.frames.push(Frame {
                items: items.clone(),
                visible: visible.clone(),
                ..Frame::default()
            });
            let hidden = self.hide_lateral();
            let bound = self.within(Clause::JoinOn, |binder| {
                let typed = binder.expr(on)?;
                binder.condition(typed, "JOIN/ON")
            });
            self.show_lateral(hidden);
            self.frames.pop();
            condition = Some(bound?);
        }
        let plan = if !references.is_empty() {
            let condition = condition.or_else(|| match kind {
                JoinType::Inner => None,
                _ => Some(Expr::Literal(
                    datafusion::scalar::ScalarValue::Boolean(Some(true)),
                    None,
                )),
            });
            self.join_lateral(left.plan, &right.plan, references, kind, condition)?
        } else {
            self.join_plans(left.plan, right.plan, kind, condition)?
        };
        let lefts = left.items.len();
        for (at, item) in items.iter_mut().enumerate() {
            item.nullable |= match kind {
                JoinType::Left => at >= lefts,
                JoinType::Right => at < lefts,
                JoinType::Full => true,
                _ => false,
            };
        }
        Ok(From {
            plan,
            items,
            visible,
        })
    }

    fn join_plans(
        &mut self,
        mut left: LogicalPlan,
        mut right: LogicalPlan,
        kind: JoinType,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let Some(mut condition) = condition else {
            return Ok(match kind {
                JoinType::Inner => LogicalPlanBuilder::from(left).cross_join(right)?.build()?,
                _ => LogicalPlanBuilder::from(left)
                    .join_detailed(
                        right,
                        kind,
                        (Vec::<Column>::new(), Vec::<Column>::new()),
                        Some(Expr::Literal(
                            datafusion::scalar::ScalarValue::Boolean(Some(true)),
                            None,
                        )),
                        NullEquality::NullEqualsNothing,
                    )?
                    .build()?,
            });
        };
        if has_subquery(&condition) {
            if kind == JoinType::Inner {
                let plan = LogicalPlanBuilder::from(left).cross_join(right)?.build()?;
                return self.filter(plan, condition);
            }
            // What the condition asks of one side's rows is computed beside them.
            if has_outer_subquery(&condition) {
                let mut outer = Vec::new();
                let _ = condition.exists(|node| {
                    if let Expr::ScalarSubquery(inner) = node {
                        outer.extend(inner.outer_ref_columns.clone());
                    }
                    Ok(false)
                });
                let lefts = local_references(&left, &outer).len();
                let rights = local_references(&right, &outer).len();
                match (lefts, rights) {
                    (_, 0) => left = self.compute_all(left, &mut [&mut condition])?,
                    (0, _) => right = self.compute_all(right, &mut [&mut condition])?,
                    _ => return self.join_by_number(left, right, kind, condition),
                }
            } else {
                left = self.compute_all(left, &mut [&mut condition])?;
            }
        }
        Ok(LogicalPlanBuilder::from(left)
            .join_detailed(
                right,
                kind,
                (Vec::<Column>::new(), Vec::<Column>::new()),
                Some(condition),
                NullEquality::NullEqualsNothing,
            )?
            .build()?)
    }

    /// An outer join by a condition that asks for both sides at once: the pairs that meet it are
    /// found first, then rows without one are added. Rows are told apart by their numbers.
    fn join_by_number(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: JoinType,
        condition: Expr,
    ) -> Result<LogicalPlan> {
        let keeps_left = matches!(kind, JoinType::Left | JoinType::Full);
        let keeps_right = matches!(kind, JoinType::Right | JoinType::Full);
        let (left, left_number) = match keeps_left {
            true => self.with_numbers(left)?,
            false => (left, None),
        };
        let (right, right_number) = match keeps_right {
            true => self.with_numbers(right)?,
            false => (right, None),
        };
        let all = LogicalPlanBuilder::from(left.clone())
            .cross_join(right.clone())?
            .build()?;
        let pairs = self.filter(all, condition)?;
        let mut exprs = Vec::new();
        let mut paired = |number: &Option<Column>| {
            number.as_ref().map(|number| {
                let name = format!("{}_paired", number.name);
                exprs.push(Expr::Column(number.clone()).alias(&name));
                Column::new_unqualified(name)
            })
        };
        let (left_pair, right_pair) = (paired(&left_number), paired(&right_number));
        if !keeps_left {
            exprs.extend(columns_of(&left));
        }
        if !keeps_right {
            exprs.extend(columns_of(&right));
        }
        let mut plan = LogicalPlanBuilder::from(pairs).project(exprs)?.build()?;
        if let (Some(number), Some(pair)) = (left_number, left_pair) {
            plan = join_on_keys(left, &[number], plan, &[pair], JoinType::Left, None)?;
        }
        if let (Some(number), Some(pair)) = (right_number, right_pair) {
            let kind = match keeps_left {
                true => JoinType::Full,
                false => JoinType::Right,
            };
            plan = join_on_keys(plan, &[pair], right, &[number], kind, None)?;
        }
        Ok(plan)
    }

    fn with_numbers(&mut self, plan: LogicalPlan) -> Result<(LogicalPlan, Option<Column>)> {
        let name = format!("__side_{}", self.next_number());
        let number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())));
        let plan = LogicalPlanBuilder::from(plan)
            .window(vec![number.alias(&name)])?
            .build()?;
        let plan = self.repeatable(plan)?;
        Ok((plan, Some(Column::new_unqualified(name))))
    }

    /// The one column that USING leaves of two.
    fn merge_columns(
        &mut self,
        left: &OutColumn,
        right: &OutColumn,
        kind: JoinType,
    ) -> Result<OutColumn> {
        Ok(match kind {
            JoinType::Right => OutColumn {
                name: left.name.clone(),
                ..right.clone()
            },
            JoinType::Full => {
                let typed = self.coalesce(vec![left.typed(), right.typed()])?;
                OutColumn {
                    ty: typed.ty,
                    data: typed.data,
                    merged: Some(typed.expr),
                    table: 0,
                    attribute: 0,
                    ..left.clone()
                }
            }
            _ => left.clone(),
        })
    }
}

/// The expressions of a lateral sub-query that reads nothing else, over the columns on its left.
fn computed(plan: &LogicalPlan, left: &LogicalPlan) -> Option<Vec<Expr>> {
    let inner = match plan {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        plan => plan,
    };
    let LogicalPlan::Projection(projection) = inner else {
        return None;
    };
    let LogicalPlan::EmptyRelation(empty) = projection.input.as_ref() else {
        return None;
    };
    if !empty.produce_one_row {
        return None;
    }
    let plain =
        |expr: &Expr| !has_subquery(expr) && !matches!(expr.clone().unalias(), Expr::Unnest(_));
    if !projection.expr.iter().all(plain) {
        return None;
    }
    let at_hand = |column: &Column| left.schema().has_column(column);
    let exprs = projection.expr.iter();
    exprs
        .map(|expr| outward(expr.clone(), &at_hand).ok().map(Expr::unalias))
        .collect()
}

fn one_named<'c>(columns: &'c [OutColumn], name: &str, side: &str) -> Result<&'c OutColumn> {
    let mut found = columns.iter().filter(|column| column.name == name);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column),
        (Some(_), Some(_)) => Err(Error::new(
            SqlState::AMBIGUOUS_COLUMN,
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )),
        (None, _) => Err(Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )),
    }
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, known) if known == column)
}

pub(super) fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_))));
    found.unwrap_or(true)
}
