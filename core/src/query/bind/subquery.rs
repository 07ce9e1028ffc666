//! Sub-queries as expressions.

use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};
use datafusion::sql::sqlparser::ast;

use super::coerce::{self, arrow_type};
use super::expr::boolean;
use super::push_aggregate::in_order;
use super::query::Place;
use super::scope::{OutColumn, Typed};
use super::subquery_form::{has_outer_subquery, is_semi_join};
use super::{Binder, Bound, Clause, syntax};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::names::array_type;
use crate::types::{Datum, PgType};

/// Sub-queries in expressions of sub-queries. DataFusion checks a plan with each of its sub-queries,
/// and these with theirs, on every level: twice the time for one more.
const MAX_NESTED: usize = 12;

impl Binder<'_> {
    /// Binds a sub-query; also the columns of enclosing queries that it refers to.
    pub(super) fn inner_query(&mut self, query: &ast::Query) -> Result<(Bound, Vec<Expr>)> {
        if self.references.len() >= MAX_NESTED {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            )
            .hint(format!(
                "Sub-queries in expressions may be nested {MAX_NESTED} deep: put some of them into FROM."
            )));
        }
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let conditional = std::mem::take(&mut self.conditional);
        let alternative = std::mem::take(&mut self.alternative);
        if let Some(frame) = self.frames.last_mut() {
            frame.clause = Some(clause);
        }
        self.references.push(Vec::new());
        let bound = self.deeper(|binder| binder.query(query, Place::Inner));
        self.clause = clause;
        self.conditional = conditional;
        self.alternative = alternative;
        let outer = self.outer_references();
        Ok((bound?, outer))
    }

    /// What the sub-query that ends here refers to; what lies further out its parent refers to too.
    pub(super) fn outer_references(&mut self) -> Vec<Expr> {
        let parent_level = self.frames.len().saturating_sub(1);
        let mut outer = Vec::new();
        for (level, expr) in self.references.pop().unwrap_or_default() {
            if level < parent_level
                && let Some(parent) = self.references.last_mut()
            {
                parent.push((level, expr.clone()));
            }
            if !outer.contains(&expr) {
                outer.push(expr);
            }
        }
        outer
    }

    /// An expression of this query as a sub-query of it refers to it, and its references.
    pub(super) fn outer_form(&self, expr: Expr) -> Result<(Expr, Vec<Expr>)> {
        use datafusion::common::tree_node::{Transformed, TreeNode};
        let mut references = Vec::new();
        let rewritten = expr.transform_up(|node| {
            if let Expr::OuterReferenceColumn(..) = &node {
                references.push(node.clone());
            }
            let Expr::Column(column) = &node else {
                return Ok(Transformed::no(node));
            };
            let known = self.frames.last().and_then(|frame| {
                let columns = frame
                    .items
                    .iter()
                    .flat_map(|item| &item.columns)
                    .chain(&frame.visible);
                columns.into_iter().find(|known| known.column == *column)
            });
            let Some(known) = known else {
                return Ok(Transformed::no(node));
            };
            let field = arrow::datatypes::Field::new(column.name(), known.data.clone(), true);
            let reference = Expr::OuterReferenceColumn(Arc::new(field), column.clone());
            if !references.contains(&reference) {
                references.push(reference.clone());
            }
            Ok(Transformed::yes(reference))
        })?;
        Ok((rewritten.data, references))
    }

    fn one_column(&self, bound: &Bound) -> Result<OutColumn> {
        match bound.columns.as_slice() {
            [column] => Ok(column.clone()),
            _ => syntax("subquery must return only one column"),
        }
    }

    pub(super) fn scalar_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let (bound, outer) = self.inner_query(query)?;
        let column = self.one_column(&bound)?;
        let mut plan = bound.plan;
        if outer.is_empty() {
            // No rows give NULL, whatever the column may hold.
            let nullable = functions::nullable(vec![column.typed().expr]);
            plan = LogicalPlanBuilder::from(plan)
                .project(vec![nullable.alias(column.column.name())])?
                .build()?;
        }
        Ok(Typed {
            expr: Expr::ScalarSubquery(subquery(plan, outer)),
            ty: column.ty,
            data: column.data,
        })
    }

    pub(super) fn exists(&mut self, query: &ast::Query, negated: bool) -> Result<Typed> {
        let (bound, outer) = self.inner_query(query)?;
        if self.filters() && is_semi_join(&bound.plan, &outer) {
            return Ok(boolean(Expr::Exists(Exists::new(
                subquery(bound.plan, outer),
                negated,
            ))));
        }
        let count = count_rows(bound.plan, outer)?;
        let none = count.eq(int8(0));
        Ok(boolean(if negated {
            none
        } else {
            Expr::Not(Box::new(none))
        }))
    }

    /// Whether the expression is a condition on rows below nothing but AND: NULL is as good as false
    /// there, and sub-queries become joins.
    pub(super) fn filters(&self) -> bool {
        self.clause == Clause::Where && self.conditional == 0 && self.alternative == 0
    }

    /// `x IN (SELECT …)` as a value: the matches counted, NULL where SQL says so.
    fn membership(
        &mut self,
        value: Typed,
        plan: LogicalPlan,
        column: &OutColumn,
        outer: Vec<Expr>,
        negated: bool,
    ) -> Result<Typed> {
        let grouped = value.expr.exists(|node| {
            Ok(matches!(
                node,
                Expr::AggregateFunction(_) | Expr::WindowFunction(_)
            ))
        })?;
        if grouped {
            return self.member_of_array(value, plan, column, outer, negated);
        }
        let (value, plan) = self.match_column(Operator::Eq, value, plan, column)?;
        let name = plan.schema().columns().into_iter().next();
        let item =
            Expr::Column(name.ok_or_else(|| Error::internal("a subquery without a column"))?);
        let (outside, mut references) = self.outer_form(value.expr.clone())?;
        for reference in &outer {
            if !references.contains(reference) {
                references.push(reference.clone());
            }
        }
        let matches = LogicalPlanBuilder::from(plan.clone())
            .filter(item.clone().eq(outside))?
            .build()?;
        let nulls = LogicalPlanBuilder::from(plan.clone())
            .filter(item.is_null())?
            .build()?;
        let matches = Expr::Not(Box::new(count_rows(matches, references)?.eq(int8(0))));
        let empty = count_rows(plan, outer.clone())?.eq(int8(0));
        let unknown = value
            .expr
            .is_null()
            .or(Expr::Not(Box::new(count_rows(nulls, outer)?.eq(int8(0)))));
        let answer = |answer: Option<bool>| {
            Box::new(Expr::Literal(
                datafusion::scalar::ScalarValue::Boolean(answer),
                None,
            ))
        };
        Ok(boolean(Expr::Case(
            datafusion::logical_expr::expr::Case::new(
                None,
                vec![
                    (Box::new(matches), answer(Some(!negated))),
                    (Box::new(empty), answer(Some(negated))),
                    (Box::new(unknown), answer(None)),
                ],
                Some(answer(Some(negated))),
            ),
        )))
    }

    /// `aggregate IN (SELECT …)`: the value is only there after grouping, so the sub-query comes to it.
    fn member_of_array(
        &mut self,
        value: Typed,
        plan: LogicalPlan,
        column: &OutColumn,
        outer: Vec<Expr>,
        negated: bool,
    ) -> Result<Typed> {
        let element = PgType::new(column.ty.oid);
        let item = coerce::with_data(column.typed(), element, &arrow_type(element));
        let plan = LogicalPlanBuilder::from(plan)
            .project(vec![item.expr.alias(column.column.name())])?
            .build()?;
        let items = self.array_of_rows(plan, outer, column, None)?;
        let found = self.any_of(Operator::Eq, value, items, element, false)?;
        Ok(match negated {
            true => boolean(Expr::Not(Box::new(found.expr))),
            false => found,
        })
    }

    /// `ARRAY(SELECT …)`.
    pub(super) fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let (bound, outer) = self.inner_query(query)?;
        let column = self.one_column(&bound)?;
        let (plan, order) = self.with_order(bound.plan)?;
        self.array_of_rows(plan, outer, &column, order.as_ref())
    }

    /// The values of a column as one array, an empty one where there are no rows.
    fn array_of_rows(
        &mut self,
        plan: LogicalPlan,
        outer: Vec<Expr>,
        column: &OutColumn,
        order: Option<&datafusion::common::Column>,
    ) -> Result<Typed> {
        let element = PgType::new(column.ty.oid);
        let ty = array_type(element)?;
        let plan = aggregate_one(plan, array_agg_udaf(), column, order)?;
        let items = Typed {
            expr: Expr::ScalarSubquery(subquery(plan, outer)),
            ty,
            data: arrow_type(ty),
        };
        let none = self.constant(
            &Datum::Array(Box::new(crate::types::Array {
                element,
                items: Vec::new(),
            })),
            ty,
        )?;
        self.coalesce(vec![items, none])
    }

    pub(super) fn in_subquery(
        &mut self,
        expr: &ast::Expr,
        query: &ast::Query,
        negated: bool,
    ) -> Result<Typed> {
        if let ast::Expr::Tuple(items) = expr {
            return self.row_in_subquery(items, query, negated);
        }
        let joins = self.filters();
        self.conditional += 1;
        let value = self.expr(expr);
        self.conditional -= 1;
        let value = value?;
        let (bound, outer) = self.inner_query(query)?;
        let column = match bound.columns.as_slice() {
            [column] => column.clone(),
            _ => return syntax("subquery has too many columns"),
        };
        // DataFusion's NOT IN wants a column of the outer rows, and a sub-query of its own.
        let simple = !negated || outer.is_empty() && !value.expr.column_refs().is_empty();
        let joins = joins
            && simple
            && is_semi_join(&bound.plan, &outer)
            && !has_outer_subquery(&value.expr);
        if !joins {
            return self.membership(value, bound.plan, &column, outer, negated);
        }
        let (value, plan) = self.match_column(Operator::Eq, value, bound.plan, &column)?;
        let expr = InSubquery::new(Box::new(value.expr), subquery(plan, outer), negated);
        Ok(boolean(Expr::InSubquery(expr)))
    }

    /// Casts both the value and the sub-query's column to the type that they are compared in.
    fn match_column(
        &mut self,
        op: Operator,
        value: Typed,
        plan: LogicalPlan,
        column: &OutColumn,
    ) -> Result<(Typed, LogicalPlan)> {
        let (value, item) = self.comparands(op, value, column.typed())?;
        if item.expr == column.typed().expr {
            return Ok((value, plan));
        }
        let plan = LogicalPlanBuilder::from(plan)
            .project(vec![item.expr.alias(column.column.name())])?
            .build()?;
        Ok((value, plan))
    }
}

pub(super) fn check_width(columns: usize, values: usize) -> Result<()> {
    match columns.cmp(&values) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => syntax("subquery has too few columns"),
        std::cmp::Ordering::Greater => syntax("subquery has too many columns"),
    }
}

pub(super) fn add_references(known: &mut Vec<Expr>, more: Vec<Expr>) {
    for reference in more {
        if !known.contains(&reference) {
            known.push(reference);
        }
    }
}

pub(super) fn int8(value: i64) -> Expr {
    Expr::Literal(datafusion::scalar::ScalarValue::Int64(Some(value)), None)
}

/// The number of a sub-query's rows.
fn count_rows(plan: LogicalPlan, outer: Vec<Expr>) -> Result<Expr> {
    let count = Expr::AggregateFunction(AggregateFunction::new_udf(
        datafusion::functions_aggregate::count::count_udaf(),
        vec![int8(1)],
        false,
        None,
        Vec::new(),
        None,
    ));
    let none: Vec<Expr> = Vec::new();
    let plan = LogicalPlanBuilder::from(plan)
        .aggregate(none, vec![count.alias("count")])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery(plan, outer)))
}

pub(super) fn subquery(plan: LogicalPlan, outer_ref_columns: Vec<Expr>) -> Subquery {
    Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns,
        spans: Spans::new(),
    }
}

/// The plan's only column, aggregated over all rows.
fn aggregate_one(
    plan: LogicalPlan,
    function: Arc<AggregateUDF>,
    column: &OutColumn,
    order: Option<&datafusion::common::Column>,
) -> Result<LogicalPlan> {
    let call = Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![Expr::Column(column.column.clone())],
        false,
        None,
        Vec::new(),
        None,
    ));
    let call = match order {
        Some(order) => in_order(call, order),
        None => call,
    };
    let none: Vec<Expr> = Vec::new();
    Ok(LogicalPlanBuilder::from(plan)
        .aggregate(none, vec![call.alias("one")])?
        .build()?)
}
