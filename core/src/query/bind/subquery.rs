//! Sub-queries as expressions.

use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::coerce::{self, arrow_type};
use super::expr::boolean;
use super::operator::comparison_of;
use super::query::Place;
use super::scope::{OutColumn, Typed};
use super::{Binder, Bound, Clause, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::names::{array_of, array_type, element_of};
use crate::types::{Datum, PgType};

impl Binder<'_> {
    /// Binds a sub-query; also the columns of enclosing queries that it refers to.
    pub(super) fn inner_query(&mut self, query: &ast::Query) -> Result<(Bound, Vec<Expr>)> {
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let conditional = std::mem::take(&mut self.conditional);
        self.references.push(Vec::new());
        let bound = self.deeper(|binder| binder.query(query, Place::Inner));
        self.clause = clause;
        self.conditional = conditional;
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
    fn outer_form(&self, expr: Expr) -> Result<(Expr, Vec<Expr>)> {
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
        if !outer.is_empty() && !yields_one_row(&plan) {
            // A correlated sub-query becomes a join: it must be seen to give one row.
            plan = aggregate_one(plan, functions::single_value(), &column)?;
        } else if outer.is_empty() {
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
        if self.filters() {
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

    /// Whether the expression is a condition on rows: sub-queries there become joins.
    fn filters(&self) -> bool {
        matches!(self.clause, Clause::Where | Clause::JoinOn) && self.conditional == 0
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

    /// `ARRAY(SELECT …)`.
    pub(super) fn array_subquery(&mut self, query: &ast::Query) -> Result<Typed> {
        let (bound, outer) = self.inner_query(query)?;
        let column = self.one_column(&bound)?;
        let element = PgType::new(column.ty.oid);
        let ty = array_type(element)?;
        let plan = aggregate_one(bound.plan, array_agg_udaf(), &column)?;
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
        let value = self.expr(expr)?;
        let (bound, outer) = self.inner_query(query)?;
        let column = match bound.columns.as_slice() {
            [column] => column.clone(),
            _ => return syntax("subquery has too many columns"),
        };
        if !self.filters() {
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

    /// `(a, b) IN (SELECT …)`: as EXISTS, which differs only where NULL would be the answer.
    fn row_in_subquery(
        &mut self,
        items: &[ast::Expr],
        query: &ast::Query,
        negated: bool,
    ) -> Result<Typed> {
        if negated {
            return unsupported(
                "NOT IN with a row and a subquery",
                "Use NOT EXISTS with a condition on each column.",
            );
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.expr(item)?);
        }
        let (bound, mut outer) = self.inner_query(query)?;
        if bound.columns.len() != values.len() {
            return syntax(if bound.columns.len() < values.len() {
                "subquery has too few columns"
            } else {
                "subquery has too many columns"
            });
        }
        // Names that nothing outside has.
        let number = self.next_number();
        let items = bound.columns.iter().enumerate();
        let items = items
            .map(|(at, column)| (format!("__member_{number}_{at}"), column.typed()))
            .collect();
        let inner = self.project(bound.plan, items)?;
        let mut plan = LogicalPlanBuilder::from(inner.plan);
        let columns = inner.columns;
        for (value, column) in values.into_iter().zip(&columns) {
            let (expr, references) = self.outer_form(value.expr.clone())?;
            for reference in references {
                if !outer.contains(&reference) {
                    outer.push(reference);
                }
            }
            let value = Typed { expr, ..value };
            let (value, item) = self.comparands(Operator::Eq, value, column.typed())?;
            plan = plan.filter(item.expr.eq(value.expr))?;
        }
        let plan = plan.build()?;
        if !self.filters() {
            return Ok(boolean(Expr::Not(Box::new(
                count_rows(plan, outer)?.eq(int8(0)),
            ))));
        }
        Ok(boolean(Expr::Exists(Exists::new(
            subquery(plan, outer),
            false,
        ))))
    }

    /// `x op ANY (…)`, `x op ALL (…)` over a sub-query or an array.
    pub(super) fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed> {
        let value = self.expr(left)?;
        if let ast::Expr::Subquery(query) = right {
            let Some(comparison) = comparison_of(op) else {
                return unsupported(
                    &format!("{op} with ANY or ALL of a subquery"),
                    "Use EXISTS.",
                );
            };
            return self.quantified_subquery(value, comparison, query, all);
        }
        let array = self.expr(right)?;
        let comparison = comparison_of(op);
        let array = if array.is_unknown() {
            let element = if value.is_unknown() {
                PgType::TEXT
            } else {
                PgType::new(value.ty.oid)
            };
            self.implicit(array, array_type(element)?)?
        } else {
            array
        };
        let Some(element) = element_of(array.ty.oid).map(PgType::new) else {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "op {} (array) requires array on right side",
                    if all { "ALL" } else { "ANY" }
                ),
            ));
        };
        let Some(comparison) = comparison else {
            return self.quantified_match(value, op, array, all);
        };
        if let (Some(Datum::Array(items)), Operator::Eq, false) =
            (coerce::constant(&array), comparison, all)
        {
            let items: Result<Vec<Typed>> = items
                .items
                .iter()
                .map(|item| coerce::literal(item, element))
                .collect();
            let items = items?;
            if !items.is_empty() {
                return self.in_items(value, items, false);
            }
        }
        // Both sides in the type of the comparison.
        let probe = Typed {
            expr: Expr::Literal(datafusion::scalar::ScalarValue::Null, None),
            ty: element,
            data: arrow_type(element),
        };
        let (value, probe) = self.comparands(
            comparison,
            value,
            Typed {
                expr: Expr::Column("item".into()),
                ..probe
            },
        )?;
        let array = match array_of(probe.ty.oid) {
            Some(wanted) if wanted != array.ty.oid => self.coerce(
                array,
                PgType::new(wanted),
                crate::types::cast::Context::Explicit,
            )?,
            _ => array,
        };
        let function = functions::quantified(comparison, all, value.ty, PgType::new(probe.ty.oid));
        Ok(self.call(
            function,
            vec![value.expr, array.expr],
            PgType::BOOL,
            arrow_type(PgType::BOOL),
        ))
    }

    /// `x LIKE ANY (array)` and its kin, item by item over a constant array.
    fn quantified_match(
        &mut self,
        value: Typed,
        op: &BinaryOperator,
        array: Typed,
        all: bool,
    ) -> Result<Typed> {
        let Some(Datum::Array(items)) = coerce::constant(&array) else {
            return unsupported(
                &format!("{op} with ANY or ALL of an array that is not constant"),
                "Use a list of conditions.",
            );
        };
        let mut result = Expr::Literal(datafusion::scalar::ScalarValue::Boolean(Some(all)), None);
        for item in &items.items {
            let item = coerce::literal(item, items.element)?;
            let matched = self.operate(op, value.clone(), item)?.expr;
            result = if all {
                result.and(matched)
            } else {
                result.or(matched)
            };
        }
        Ok(boolean(result))
    }

    fn quantified_subquery(
        &mut self,
        value: Typed,
        op: Operator,
        query: &ast::Query,
        all: bool,
    ) -> Result<Typed> {
        let (bound, outer) = self.inner_query(query)?;
        let column = self.one_column(&bound)?;
        let (value, plan) = self.match_column(op, value, bound.plan, &column)?;
        let subquery = subquery(plan, outer);
        let expr = match (op, all) {
            (Operator::Eq, false) => {
                Expr::InSubquery(InSubquery::new(Box::new(value.expr), subquery, false))
            }
            (Operator::NotEq, true) => {
                Expr::InSubquery(InSubquery::new(Box::new(value.expr), subquery, true))
            }
            _ => {
                let quantifier = if all {
                    SetQuantifier::All
                } else {
                    SetQuantifier::Any
                };
                Expr::SetComparison(SetComparison::new(
                    Box::new(value.expr),
                    subquery,
                    op,
                    quantifier,
                ))
            }
        };
        Ok(boolean(expr))
    }
}

fn int8(value: i64) -> Expr {
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

/// Whether a plan gives one row whatever it reads: an aggregate without groups.
fn yields_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => yields_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => yields_one_row(&alias.input),
        LogicalPlan::Sort(sort) => yields_one_row(&sort.input),
        _ => false,
    }
}

/// The plan's only column, aggregated over all rows.
fn aggregate_one(
    plan: LogicalPlan,
    function: Arc<AggregateUDF>,
    column: &OutColumn,
) -> Result<LogicalPlan> {
    let call = Expr::AggregateFunction(AggregateFunction::new_udf(
        function,
        vec![Expr::Column(column.column.clone())],
        false,
        None,
        Vec::new(),
        None,
    ));
    let none: Vec<Expr> = Vec::new();
    Ok(LogicalPlanBuilder::from(plan)
        .aggregate(none, vec![call.alias("one")])?
        .build()?)
}
