//! Joins: conditions, merged columns, LATERAL.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::apply::{has_outer_subquery, local_references};
use super::from::{From, check_names};
use super::scope::{Frame, OutColumn};
use super::table_function::table_function;
use super::{Binder, Clause, fold, syntax, unsupported};
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
            && let Some(exprs) = computed(&right.plan)
        {
            return self.extend(left, right, exprs);
        }
        self.join_bound(left, right, &references, kind, constraint)
    }

    /// `LATERAL (SELECT expressions)` without FROM: further columns of the rows on the left.
    fn extend(&mut self, left: From, right: From, exprs: Vec<Expr>) -> Result<From> {
        check_names(&left.items, &right.items)?;
        let qualifier = self.qualifier("computed");
        let mut all: Vec<Expr> = left
            .plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
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
                    _ => {
                        return unsupported(
                            "a subquery over both sides in the condition of an outer join",
                            "Join with a subquery in FROM instead.",
                        );
                    }
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
fn computed(plan: &LogicalPlan) -> Option<Vec<Expr>> {
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
    let exprs = projection.expr.iter();
    exprs
        .map(|expr| super::apply::outward(expr.clone()).ok().map(Expr::unalias))
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

fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_))));
    found.unwrap_or(true)
}
