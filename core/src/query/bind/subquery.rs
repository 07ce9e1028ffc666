//! Sub-queries as expressions.

use std::sync::Arc;

use datafusion::common::Spans;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::apply::{has_outer_subquery, is_semi_join};
use super::coerce::{self, arrow_type};
use super::decorrelate::in_order;
use super::expr::boolean;
use super::operator::comparison_of;
use super::query::Place;
use super::scope::{OutColumn, Typed};
use super::{Binder, Bound, Clause, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::names::{array_of, array_type, element_of};
use crate::types::{Datum, PgType, oid};

impl Binder<'_> {
    /// Binds a sub-query; also the columns of enclosing queries that it refers to.
    pub(super) fn inner_query(&mut self, query: &ast::Query) -> Result<(Bound, Vec<Expr>)> {
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let conditional = std::mem::take(&mut self.conditional);
        let alternative = std::mem::take(&mut self.alternative);
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
    fn filters(&self) -> bool {
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
        let ty = array_type(element)?;
        let item = coerce::with_data(column.typed(), element, &arrow_type(element));
        let plan = LogicalPlanBuilder::from(plan)
            .project(vec![item.expr.alias(column.column.name())])?
            .build()?;
        let plan = aggregate_one(plan, array_agg_udaf(), column, None)?;
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
        let items = self.coalesce(vec![items, none])?;
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
        let element = PgType::new(column.ty.oid);
        let ty = array_type(element)?;
        let (plan, order) = self.with_order(bound.plan)?;
        let plan = aggregate_one(plan, array_agg_udaf(), &column, order.as_ref())?;
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

    /// `(a, b) IN (SELECT …)`: a semi join where NULL is as good as false, else matches counted.
    fn row_in_subquery(
        &mut self,
        items: &[ast::Expr],
        query: &ast::Query,
        negated: bool,
    ) -> Result<Typed> {
        let joins = self.filters() && !negated;
        let items: Vec<&ast::Expr> = items.iter().collect();
        self.conditional += 1;
        let values = self.exprs(&items);
        self.conditional -= 1;
        let values = values?;
        let (bound, mut outer) = self.inner_query(query)?;
        check_width(bound.columns.len(), values.len())?;
        let joins = joins && is_semi_join(&bound.plan, &outer);
        let (bound, values, references) = self.beside_columns(bound, values)?;
        add_references(&mut outer, references);
        let columns = bound.columns.iter().map(OutColumn::typed).collect();
        let equal = self
            .compare_rows(&BinaryOperator::Eq, values, columns)?
            .expr;
        if !joins {
            return self.compared(bound.plan, equal, outer, false, negated);
        }
        let plan = LogicalPlanBuilder::from(bound.plan)
            .filter(equal)?
            .build()?;
        Ok(boolean(Expr::Exists(Exists::new(
            subquery(plan, outer),
            false,
        ))))
    }

    /// A sub-query's columns under names that nothing outside has, and values as it refers to them.
    fn beside_columns(
        &mut self,
        bound: Bound,
        values: Vec<Typed>,
    ) -> Result<(Bound, Vec<Typed>, Vec<Expr>)> {
        let number = self.next_number();
        let items = bound.columns.iter().enumerate();
        let items = items
            .map(|(at, column)| (format!("__member_{number}_{at}"), column.typed()))
            .collect();
        let inner = self.project(bound.plan, items)?;
        let mut outside = Vec::with_capacity(values.len());
        let mut references = Vec::new();
        for value in values {
            let (expr, found) = self.outer_form(value.expr)?;
            add_references(&mut references, found);
            outside.push(Typed { expr, ..value });
        }
        Ok((inner, outside, references))
    }

    /// Whether a comparison holds for any (or all) of a sub-query's rows; NULL where SQL says so.
    fn compared(
        &mut self,
        plan: LogicalPlan,
        condition: Expr,
        outer: Vec<Expr>,
        all: bool,
        negated: bool,
    ) -> Result<Typed> {
        let number = self.next_number();
        let count = |condition: Expr, name: &str| {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                datafusion::functions_aggregate::count::count_udaf(),
                vec![int8(1)],
                false,
                Some(Box::new(condition)),
                Vec::new(),
                None,
            ))
            .alias(name)
        };
        let (decisive, open) = (format!("__decisive_{number}"), format!("__open_{number}"));
        let wanted = match all {
            true => Expr::Not(Box::new(condition.clone())),
            false => condition.clone(),
        };
        let none: Vec<Expr> = Vec::new();
        let calls = vec![count(wanted, &decisive), count(condition.is_null(), &open)];
        let some = |name: &str| {
            let count = Expr::Column(datafusion::common::Column::new_unqualified(name));
            Box::new(count.gt(int8(0)))
        };
        let answer = |answer: Option<bool>| {
            Box::new(Expr::Literal(
                datafusion::scalar::ScalarValue::Boolean(answer.map(|answer| answer != negated)),
                None,
            ))
        };
        let result = Expr::Case(datafusion::logical_expr::expr::Case::new(
            None,
            vec![
                (some(&decisive), answer(Some(!all))),
                (some(&open), answer(None)),
            ],
            Some(answer(Some(all))),
        ));
        let plan = LogicalPlanBuilder::from(plan)
            .aggregate(none, calls)?
            .project(vec![result.alias("compared")])?
            .build()?;
        Ok(boolean(Expr::ScalarSubquery(subquery(plan, outer))))
    }

    /// The columns of `(a, b) = (SELECT …)`, each as a sub-query of its own.
    pub(super) fn row_subquery(&mut self, query: &ast::Query, width: usize) -> Result<Vec<Typed>> {
        let (bound, outer) = self.inner_query(query)?;
        check_width(bound.columns.len(), width)?;
        let mut values = Vec::with_capacity(width);
        for column in &bound.columns {
            let mut expr = column.typed().expr;
            if outer.is_empty() {
                expr = functions::nullable(vec![expr]);
            }
            let plan = LogicalPlanBuilder::from(bound.plan.clone())
                .project(vec![expr.alias(column.column.name())])?
                .build()?;
            values.push(Typed {
                expr: Expr::ScalarSubquery(subquery(plan, outer.clone())),
                ..column.typed()
            });
        }
        Ok(values)
    }

    /// `x op ANY (…)`, `x op ALL (…)` over a sub-query or an array.
    pub(super) fn quantified(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed> {
        if let ast::Expr::Subquery(query) = right {
            return self.quantified_subquery(left, op, query, all);
        }
        self.conditional += 1;
        let result = self.quantified_array(left, op, right, all);
        self.conditional -= 1;
        result
    }

    fn quantified_array(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        all: bool,
    ) -> Result<Typed> {
        let value = self.expr(left)?;
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
        self.any_of(comparison, value, array, element, all)
    }

    /// A comparison with the items of an array, both sides in the type of the comparison.
    fn any_of(
        &mut self,
        comparison: Operator,
        value: Typed,
        array: Typed,
        element: PgType,
        all: bool,
    ) -> Result<Typed> {
        let ty = match value.is_unknown() {
            true => Some(element),
            false => super::operator::comparable(value.ty, element),
        };
        // Arrays compare item by item as values do: keys are not for them.
        if let Some(ty) = ty
            && matches!(ty.oid, oid::FLOAT4 | oid::FLOAT8 | oid::INTERVAL)
        {
            let value = self.implicit(value, ty)?;
            let array = match array_of(ty.oid) {
                Some(wanted) if wanted != array.ty.oid => self.coerce(
                    array,
                    PgType::new(wanted),
                    crate::types::cast::Context::Explicit,
                )?,
                _ => array,
            };
            let function = functions::quantified(comparison, all, value.ty, ty);
            return Ok(self.call(
                function,
                vec![value.expr, array.expr],
                PgType::BOOL,
                arrow_type(PgType::BOOL),
            ));
        }
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
        left: &ast::Expr,
        op: &BinaryOperator,
        query: &ast::Query,
        all: bool,
    ) -> Result<Typed> {
        match (comparison_of(op), all) {
            (Some(Operator::Eq), false) => return self.in_subquery(left, query, false),
            (Some(Operator::NotEq), true) => return self.in_subquery(left, query, true),
            _ => {}
        }
        self.conditional += 1;
        let values = match self.row(left) {
            Some(items) => self.exprs(&items),
            None => self.expr(left).map(|value| vec![value]),
        };
        self.conditional -= 1;
        let values = values?;
        let (bound, mut outer) = self.inner_query(query)?;
        check_width(bound.columns.len(), values.len())?;
        let (bound, mut values, references) = self.beside_columns(bound, values)?;
        add_references(&mut outer, references);
        let mut columns: Vec<Typed> = bound.columns.iter().map(OutColumn::typed).collect();
        let condition = match (values.len(), values.pop(), columns.pop()) {
            (1, Some(value), Some(column)) => {
                let typed = self.operate(op, value, column)?;
                self.condition(typed, "ANY or ALL")?
            }
            (_, Some(value), Some(column)) => {
                values.push(value);
                columns.push(column);
                self.compare_rows(op, values, columns)?.expr
            }
            _ => return Err(Error::internal("a comparison of nothing")),
        };
        self.compared(bound.plan, condition, outer, all, false)
    }
}

fn check_width(columns: usize, values: usize) -> Result<()> {
    match columns.cmp(&values) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => syntax("subquery has too few columns"),
        std::cmp::Ordering::Greater => syntax("subquery has too many columns"),
    }
}

fn add_references(known: &mut Vec<Expr>, more: Vec<Expr>) {
    for reference in more {
        if !known.contains(&reference) {
            known.push(reference);
        }
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
