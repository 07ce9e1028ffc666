//! Sub-queries that refer to the rows around them, rewritten as joins.
//!
//! The sub-query is evaluated once for all outer rows together. Its *domain*, the distinct values of
//! the outer columns that it refers to, is joined to its leaves; every operator above carries the
//! domain's columns along (a grouping groups by them, a LIMIT counts within them, …). The result has a
//! row for each binding and each row that the sub-query gives for it, and is joined back to the outer
//! rows on the bindings. (Neumann and Kemper, "Unnesting Arbitrary Queries".)

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::functions::core::coalesce;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Cast, Sort, WindowFunction};
use datafusion::logical_expr::{Distinct, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::outer::{inward, mentions};
use super::push_recursive::WorkTable;
use crate::error::{Error, Result};
use crate::query::shared;

/// The outer rows and which of their columns a sub-query refers to.
pub(super) struct Domain {
    pub outer: LogicalPlan,
    pub columns: Vec<Column>,
    /// The work tables of recursive queries around the plan at hand that carry the bindings.
    pub work: Vec<WorkTable>,
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

    pub(super) fn key_exprs(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }
}

impl Binder<'_> {
    /// The distinct bindings, under names of their own.
    pub(super) fn bindings(&mut self, domain: &Domain) -> Result<Pushed> {
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
            LogicalPlan::RecursiveQuery(query) => self.push_recursive(query, domain),
            LogicalPlan::TableScan(scan) => self.push_work_table(scan, domain),
            LogicalPlan::Extension(extension) => match shared::parts(extension) {
                Some((number, input)) => self.push_shared(number, input, domain),
                None => Err(Error::internal("an extension that no sub-query has")),
            },
            _ => Err(Error::internal("a step that no sub-query has")),
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
            work: Vec::new(),
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
