//! FROM: its items and the joins between them.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::apply::{has_outer_subquery, local_references};
use super::query::{Place, requalify};
use super::scope::{Frame, Item, OutColumn};
use super::table_function::table_function;
use super::{Binder, Bound, Clause, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};

/// What FROM gives: rows, and the names for their columns.
pub(super) struct From {
    pub plan: LogicalPlan,
    pub items: Vec<Item>,
    pub visible: Vec<OutColumn>,
}

impl From {
    pub(super) fn item(plan: LogicalPlan, item: Item) -> From {
        let visible = item.columns.clone();
        From {
            plan,
            items: vec![item],
            visible,
        }
    }

    pub(super) fn frame(&self) -> Frame {
        Frame {
            items: self.items.clone(),
            visible: self.visible.clone(),
            ..Frame::default()
        }
    }
}

impl Binder<'_> {
    pub(super) fn from(&mut self, tables: &[ast::TableWithJoins]) -> Result<From> {
        let mut from: Option<From> = None;
        for table in tables {
            from = Some(self.table_with_joins(table, from)?);
        }
        Ok(match from {
            Some(from) => from,
            None => From {
                plan: LogicalPlanBuilder::empty(true).build()?,
                items: Vec::new(),
                visible: Vec::new(),
            },
        })
    }

    /// One element of FROM, cross joined to what stands before it.
    fn table_with_joins(
        &mut self,
        table: &ast::TableWithJoins,
        before: Option<From>,
    ) -> Result<From> {
        let mut from = match before {
            None => match table_function(&table.relation) {
                Some(call) => self.function_item(&call)?,
                None => self.factor(&table.relation)?,
            },
            Some(before) if table.joins.is_empty() => {
                return self.join(
                    before,
                    &table.relation,
                    JoinType::Inner,
                    &JoinConstraint::None,
                );
            }
            Some(before) => {
                // The joins bind tighter than the comma; names on the left stay visible to LATERAL.
                let (right, references) =
                    self.lateral(&before, |binder| binder.table_with_joins(table, None))?;
                return self.join_bound(
                    before,
                    right,
                    &references,
                    JoinType::Inner,
                    &JoinConstraint::None,
                );
            }
        };
        for join in &table.joins {
            from = self.join_operator(from, join)?;
        }
        Ok(from)
    }

    fn join_operator(&mut self, left: From, join: &ast::Join) -> Result<From> {
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

    fn join(
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

    fn factor(&mut self, relation: &TableFactor) -> Result<From> {
        self.deeper(|binder| binder.factor_inner(relation))
    }

    fn factor_inner(&mut self, relation: &TableFactor) -> Result<From> {
        match relation {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let from = self.table(name, alias.as_ref())?;
                match sample {
                    Some(sample) => self.sample(from, sample),
                    None => Ok(from),
                }
            }
            TableFactor::Derived {
                sample: Some(_), ..
            } => syntax("syntax error at or near \"TABLESAMPLE\""),
            TableFactor::Table { args: Some(_), .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. } => match table_function(relation) {
                Some(call) => self.function_item(&call),
                None => syntax("syntax error in FROM"),
            },
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let hidden = match lateral {
                    true => Vec::new(),
                    false => self.hide_lateral(),
                };
                let bound = self.derived(subquery);
                self.show_lateral(hidden);
                let bound = bound?;
                let Some(alias) = alias else {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "subquery in FROM must have an alias",
                    )
                    .hint("For example, FROM (SELECT ...) [AS] foo."));
                };
                let bound = self.rename(bound, alias)?;
                self.aliased(bound, &fold(&alias.name), Vec::new())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let from = self.table_with_joins(table_with_joins, None)?;
                match alias {
                    None => Ok(from),
                    Some(alias) => {
                        let items = from
                            .visible
                            .iter()
                            .filter(|column| !column.hidden)
                            .map(|column| (column.name.clone(), column.typed()))
                            .collect();
                        let bound = self.project(from.plan, items)?;
                        let bound = self.rename(bound, alias)?;
                        self.aliased(bound, &fold(&alias.name), Vec::new())
                    }
                }
            }
            other => unsupported(
                &format!("FROM {other}"),
                "Use tables, subqueries and joins.",
            ),
        }
    }

    /// TABLESAMPLE: each row by chance. Rows lie in no pages here, so SYSTEM is as BERNOULLI.
    fn sample(&mut self, from: From, sample: &ast::TableSampleKind) -> Result<From> {
        let (ast::TableSampleKind::BeforeTableAlias(sample)
        | ast::TableSampleKind::AfterTableAlias(sample)) = sample;
        let method = sample.name.as_ref().map(ToString::to_string);
        let (Some("BERNOULLI" | "SYSTEM"), Some(quantity), None, None) = (
            method.as_deref(),
            &sample.quantity,
            &sample.bucket,
            &sample.offset,
        ) else {
            return syntax("syntax error at or near \"TABLESAMPLE\"");
        };
        if sample.seed.is_some() {
            return unsupported(
                "TABLESAMPLE with REPEATABLE",
                "Store the sample in a table, or order by a hash of the key.",
            );
        }
        let percent = self.within(Clause::From, |binder| binder.expr(&quantity.value))?;
        let percent = self.coerce(
            percent,
            crate::types::PgType::FLOAT8,
            crate::types::cast::Context::Assignment,
        )?;
        let wanted = match super::coerce::constant(&percent) {
            Some(crate::types::Datum::Float8(wanted)) if (0.0..=100.0).contains(&wanted) => wanted,
            Some(crate::types::Datum::Null) => {
                return Err(Error::new(
                    SqlState::INVALID_TABLESAMPLE_ARGUMENT,
                    "TABLESAMPLE parameter cannot be null",
                ));
            }
            Some(_) => {
                return Err(Error::new(
                    SqlState::INVALID_TABLESAMPLE_ARGUMENT,
                    "sample percentage must be between 0 and 100",
                ));
            }
            None => return unsupported("a sample size that is not constant", "Write a number."),
        };
        if wanted == 100.0 {
            return Ok(from);
        }
        let chance = self.call_named("random", Vec::new())?;
        let limit = Expr::Literal(
            datafusion::scalar::ScalarValue::Float64(Some(wanted / 100.0)),
            None,
        );
        let plan = LogicalPlanBuilder::from(from.plan)
            .filter(chance.expr.lt(limit))?
            .build()?;
        Ok(From { plan, ..from })
    }

    pub(super) fn derived(&mut self, query: &ast::Query) -> Result<Bound> {
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let bound = self.query(query, Place::Inner);
        self.clause = clause;
        bound
    }

    /// A plan under a unique alias, known to the query as `name`.
    pub(super) fn aliased(&mut self, bound: Bound, name: &str, key: Vec<String>) -> Result<From> {
        let qualifier = self.qualifier(name);
        let plan = LogicalPlanBuilder::from(bound.plan)
            .alias(datafusion::common::TableReference::bare(qualifier))?
            .build()?;
        let columns = requalify(&plan, &bound.columns);
        Ok(From::item(
            plan,
            Item {
                relation: None,
                name: name.to_owned(),
                columns,
                key,
            },
        ))
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

pub(super) fn check_names(left: &[Item], right: &[Item]) -> Result<()> {
    for item in right {
        if left
            .iter()
            .any(|other| other.name == item.name && !item.name.is_empty())
        {
            return Err(Error::new(
                SqlState::DUPLICATE_ALIAS,
                format!("table name \"{}\" specified more than once", item.name),
            ));
        }
    }
    Ok(())
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    matches!(expr, Expr::OuterReferenceColumn(_, known) if known == column)
}

fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_))));
    found.unwrap_or(true)
}
