//! Comparisons with the rows of a sub-query or the items of an array: ANY, ALL, rows of several columns.

use datafusion::logical_expr::expr::{AggregateFunction, Exists};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::coerce::{self, arrow_type};
use super::comparison::comparison_of;
use super::expr::boolean;
use super::scope::{OutColumn, Typed};
use super::subquery::{add_references, check_width, int8, subquery};
use super::subquery_form::is_semi_join;
use super::{Binder, Bound, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::names::{array_of, array_type, element_of};
use crate::types::{Datum, PgType, oid};

impl Binder<'_> {
    /// `(a, b) IN (SELECT …)`: a semi join where NULL is as good as false, else matches counted.
    pub(super) fn row_in_subquery(
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
    pub(super) fn compared(
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
    pub(super) fn any_of(
        &mut self,
        comparison: Operator,
        value: Typed,
        array: Typed,
        element: PgType,
        all: bool,
    ) -> Result<Typed> {
        let ty = match value.is_unknown() {
            true => Some(element),
            false => super::comparison::comparable(value.ty, element),
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
