//! What stands for a value where PostgreSQL finds values equal whose bytes differ, or orders them
//! otherwise than Arrow does: `-0` and `0`, `NaN`s, intervals, `jsonb`, `char(n)` of several lengths.

use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::coerce::arrow_type;
use super::decorrelate::columns_of;
use super::push_join::join_on_keys;
use super::query::positions;
use super::scope::{OutColumn, Typed};
use super::{Binder, Bound, unsupported};
use crate::error::Result;
use crate::query::functions;
use crate::types::cast::Context;
use crate::types::{PgType, oid};

impl Binder<'_> {
    /// The key of a value, which is equal, and less or greater, as PostgreSQL says of the values;
    /// `None` when the value is its own.
    pub(super) fn key_of(&mut self, typed: &Typed) -> Result<Option<Typed>> {
        Ok(match typed.ty.oid {
            oid::FLOAT4 | oid::FLOAT8 => Some(Typed {
                expr: functions::float_key(typed.expr.clone()),
                ty: typed.ty,
                data: arrow_type(typed.ty),
            }),
            oid::JSONB => Some(Typed {
                expr: functions::jsonb_key(typed.expr.clone()),
                ty: PgType::BYTEA,
                data: arrow_type(PgType::BYTEA),
            }),
            oid::INTERVAL => Some(self.call_named("interval_span_op", vec![typed.clone()])?),
            oid::BPCHAR if typed.ty.typmod < 0 => {
                Some(self.coerce(typed.clone(), PgType::TEXT, Context::Implicit)?)
            }
            _ => None,
        })
    }

    /// What to sort, partition and group by in place of a value.
    pub(super) fn order_expr(&mut self, typed: Typed) -> Result<Expr> {
        if typed.ty.oid == oid::RECORD {
            return unsupported("an order of rows", "Name the columns.");
        }
        let key = self.key_of(&typed)?;
        Ok(key.map_or(typed.expr, |key| key.expr))
    }

    /// A column for each key that is not the value itself, beside the plan's own.
    fn with_keys(&mut self, bound: &Bound) -> Result<(LogicalPlan, Vec<Option<Expr>>)> {
        let number = self.next_number();
        let mut exprs = columns_of(&bound.plan);
        let mut keys = Vec::with_capacity(bound.columns.len());
        for (at, column) in bound.columns.iter().enumerate() {
            let key = self.key_of(&column.typed())?;
            keys.push(match key {
                Some(key) => {
                    let name = format!("__same_{number}_{at}");
                    exprs.push(key.expr.alias(&name));
                    Some(Expr::Column(datafusion::common::Column::new_unqualified(
                        name,
                    )))
                }
                None => None,
            });
        }
        let plan = match keys.iter().any(Option::is_some) {
            true => LogicalPlanBuilder::from(bound.plan.clone())
                .project(exprs)?
                .build()?,
            false => bound.plan.clone(),
        };
        Ok((plan, keys))
    }

    /// One of each of the rows that are equal.
    pub(super) fn distinct_rows(&mut self, bound: Bound) -> Result<Bound> {
        let (plan, keys) = self.with_keys(&bound)?;
        if keys.iter().all(Option::is_none) {
            let plan = LogicalPlanBuilder::from(plan).distinct()?.build()?;
            return Ok(Bound { plan, ..bound });
        }
        let number = self.next_number();
        let mut groups = Vec::new();
        let mut firsts = Vec::new();
        let mut outputs = Vec::new();
        for (at, (column, key)) in bound.columns.iter().zip(keys).enumerate() {
            let own = column.typed().expr;
            let Some(key) = key else {
                groups.push(own.clone());
                outputs.push(own);
                continue;
            };
            groups.push(key);
            let first = format!("__first_{number}_{at}");
            let call = Expr::AggregateFunction(AggregateFunction::new_udf(
                first_value_udaf(),
                vec![own],
                false,
                None,
                Vec::new(),
                None,
            ));
            firsts.push(call.alias(&first));
            let place = &column.column;
            outputs.push(
                Expr::Column(datafusion::common::Column::new_unqualified(first))
                    .alias_qualified(place.relation.clone(), place.name()),
            );
        }
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(groups, firsts)?
            .project(outputs)?
            .build()?;
        Ok(Bound { plan, ..bound })
    }

    /// INTERSECT or EXCEPT: the distinct rows of the left that the right has, or has not.
    pub(super) fn set_difference(
        &mut self,
        left: Bound,
        right: Bound,
        kept: datafusion::common::JoinType,
    ) -> Result<Bound> {
        let columns = left.columns.clone();
        let left = self.distinct_rows(left)?;
        let (left_plan, left_keys) = self.keyed(left)?;
        let (right_plan, right_keys) = self.keyed(right)?;
        let plan = join_on_keys(left_plan, &left_keys, right_plan, &right_keys, kept, None)?;
        let items = positions(&plan, &columns);
        self.project(plan, items)
    }

    /// A plan whose columns come first, with the columns to compare its rows by.
    fn keyed(&mut self, bound: Bound) -> Result<(LogicalPlan, Vec<datafusion::common::Column>)> {
        let (plan, keys) = self.with_keys(&bound)?;
        let columns = bound.columns.iter().map(OutColumn::typed).zip(keys);
        let compared: Vec<Expr> = columns
            .map(|(typed, key)| key.unwrap_or(typed.expr))
            .collect();
        let number = self.next_number();
        let mut names = Vec::with_capacity(compared.len());
        let mut exprs: Vec<Expr> = Vec::new();
        for (at, column) in bound.columns.iter().enumerate() {
            exprs.push(column.typed().expr.alias(format!("__set_{number}_{at}")));
        }
        for (at, expr) in compared.into_iter().enumerate() {
            let name = format!("__member_{number}_{at}");
            exprs.push(expr.alias(&name));
            names.push(datafusion::common::Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok((plan, names))
    }
}
