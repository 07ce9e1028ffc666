//! Scalar expressions over rows of one table: CHECK, DEFAULT, SET.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;

use super::bind::{Item, OutColumn, ZONE, arrow_type};
use super::{Execution, PlanContext, QueryEngine};
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::types::columns::{self, ColumnBuilder};
use crate::types::{Datum, PgType};

impl QueryEngine {
    /// Evaluates scalar expressions over rows of one table (CHECK, DEFAULT, SET): `rows[i]` holds
    /// the table's live columns in order; the result has one row for each, one value for each
    /// expression. Sub-queries are refused.
    pub async fn evaluate(
        &self,
        expressions: &[ast::Expr],
        table: Option<&Table>,
        rows: &[Vec<Datum<'static>>],
        context: &PlanContext<'_>,
        execution: &Execution,
    ) -> Result<Vec<Vec<(Datum<'static>, PgType)>>> {
        if expressions.is_empty() || rows.is_empty() {
            return Ok(rows.iter().map(|_| Vec::new()).collect());
        }
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for (at, column) in table.into_iter().flat_map(|table| table.live_columns()) {
            fields.push(Field::new(&column.name, arrow_type(column.ty), true));
            columns.push(OutColumn {
                name: column.name.clone(),
                column: Column::new_unqualified(&column.name),
                ty: column.ty,
                data: arrow_type(column.ty),
                table: table.map_or(0, |table| table.oid),
                attribute: i16::try_from(at + 1).unwrap_or(0),
                hidden: false,
                merged: None,
            });
        }
        let types: Vec<PgType> = columns.iter().map(|column| column.ty).collect();
        let items = table
            .map(|table| Item {
                relation: None,
                name: table.name.clone(),
                columns,
                key: Vec::new(),
                nullable: false,
                scalar: false,
            })
            .into_iter()
            .collect();
        let mut binder = self.binder(context);
        let bound = binder.scalars(expressions, items)?;
        let (parameter_types, late) = binder.finish();

        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(types.len());
        for (at, ty) in types.iter().enumerate() {
            let mut builder = ColumnBuilder::new(*ty, ZONE, rows.len());
            for row in rows {
                let value = row
                    .get(at)
                    .ok_or_else(|| Error::internal("a row lacks a column"))?;
                builder.append(value)?;
            }
            arrays.push(builder.finish());
        }
        let schema = Arc::new(Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;

        let state = self.state_for(&execution.info, context.catalog, None);
        let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
        let replaced = |expr: Expr| -> Result<Expr> {
            let expr = expr.transform_up(|node| {
                let Expr::Placeholder(placeholder) = &node else {
                    return Ok(Transformed::no(node));
                };
                if let Some(late) = late.iter().find(|late| late.id == placeholder.id) {
                    return Ok(Transformed::yes(late.expr.clone()));
                }
                let at = placeholder
                    .id
                    .trim_start_matches('$')
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| at.checked_sub(1));
                let value = at
                    .and_then(|at| Some((execution.parameters.get(at)?, parameter_types.get(at)?)));
                match value {
                    Some((datum, ty)) => {
                        let value = columns::scalar(datum, *ty, ZONE)?;
                        Ok(Transformed::yes(Expr::Literal(value, None)))
                    }
                    None => Ok(Transformed::no(node)),
                }
            })?;
            Ok(expr.data)
        };
        let mut results: Vec<Vec<(Datum<'static>, PgType)>> = rows
            .iter()
            .map(|_| Vec::with_capacity(bound.len()))
            .collect();
        for typed in bound {
            refuse_queries(&typed.expr)?;
            // A session value may itself hold parameters.
            let expr = replaced(replaced(typed.expr)?)?;
            let physical = physical(expr, &df_schema, &state)?;
            let array = physical.evaluate(&batch)?.into_array(rows.len())?;
            for (row, result) in results.iter_mut().enumerate() {
                result.push((
                    columns::get(array.as_ref(), row, typed.ty)?.into_owned(),
                    typed.ty,
                ));
            }
        }
        Ok(results)
    }
}

/// An expression that no optimizer has seen, ready to be evaluated. DataFusion evaluates `coalesce` in
/// another form only, which its optimizer gives it.
pub(super) fn physical(
    expr: Expr,
    schema: &DFSchema,
    state: &SessionState,
) -> DfResult<Arc<dyn PhysicalExpr>> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(state.config_options().clone())
        .build();
    let expr = expr.transform_up(|node| match node {
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => {
            Ok(match call.func.simplify(call.args, &context)? {
                ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
                ExprSimplifyResult::Original(args) => Transformed::no(call.func.call(args)),
            })
        }
        node => Ok(Transformed::no(node)),
    })?;
    state.create_physical_expr(expr.data, schema)
}

/// Whether a query stands in an expression.
pub(super) fn holds_query(expr: &Expr) -> DfResult<bool> {
    expr.exists(|node| {
        Ok(matches!(
            node,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
}

fn refuse_queries(expr: &Expr) -> Result<()> {
    if holds_query(expr)? {
        return Err(Error::unsupported(
            "a subquery in this expression",
            "Compute the value in a query of its own.",
        ));
    }
    Ok(())
}

/// A batch of one row without columns.
pub(super) fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .unwrap_or_else(|_| RecordBatch::new_empty(Arc::new(Schema::empty())))
}
