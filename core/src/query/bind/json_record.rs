//! `json_to_record(…) AS r (a int, b text)` and its kin: columns that the query itself defines.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use super::call::no_function;
use super::decorrelate::columns_of;
use super::scope::{OutColumn, Typed};
use super::{Binder, fold, syntax};
use crate::error::Result;
use crate::query::functions::set_columns;
use crate::types::cast::Context;
use crate::types::names::{element_of, from_sql};
use crate::types::{Datum, PgType, oid};

/// The function that gives the JSON objects, and whether they are a set; `None` for a function that
/// has columns of its own.
pub(super) fn objects(name: &str) -> Option<(&'static str, bool)> {
    Some(match name {
        "json_to_record" | "jsonb_to_record" => ("json_record_op", false),
        "json_to_recordset" => ("json_recordset_op", true),
        "jsonb_to_recordset" => ("jsonb_recordset_op", true),
        _ => return None,
    })
}

/// Whether a function in FROM has a definition list when it needs one, and only then.
pub(super) fn check_definitions(name: &str, alias: Option<&ast::TableAlias>) -> Result<()> {
    let columns = alias.map_or(&[][..], |alias| &alias.columns);
    let defined = columns.iter().any(|column| column.data_type.is_some());
    let complete = columns.iter().all(|column| column.data_type.is_some());
    match (objects(name).is_some(), defined) {
        (true, true) if complete => Ok(()),
        (true, _) => {
            syntax("a column definition list is required for functions returning \"record\"")
        }
        (false, false) => Ok(()),
        (false, true) => syntax(match set_columns(name).map_or(1, <[_]>::len) {
            1 => "a column definition list is only allowed for functions returning \"record\"",
            _ => "a column definition list is redundant for a function with OUT parameters",
        }),
    }
}

impl Binder<'_> {
    /// The one argument of `json_to_record` and its kin.
    pub(super) fn document(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let ty = match name.starts_with("jsonb") {
            true => PgType::JSONB,
            false => PgType::JSON,
        };
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        match <[Typed; 1]>::try_from(args) {
            Ok([arg]) if arg.ty.oid == ty.oid || arg.ty.oid == oid::UNKNOWN => {
                self.coerce(arg, ty, Context::Implicit)
            }
            _ => Err(no_function(name, &types)),
        }
    }

    /// The defined columns in place of the JSON object in `row`, which is a column of `plan`.
    pub(super) fn defined_columns(
        &mut self,
        plan: LogicalPlan,
        row: &OutColumn,
        alias: &ast::TableAlias,
        qualifier: &str,
    ) -> Result<(LogicalPlan, Vec<OutColumn>)> {
        let rest = columns_of(&plan).into_iter();
        let mut exprs: Vec<Expr> = rest
            .filter(|expr| !matches!(expr, Expr::Column(known) if *known == row.column))
            .collect();
        let mut columns = Vec::with_capacity(alias.columns.len());
        for (at, definition) in alias.columns.iter().enumerate() {
            let Some(data_type) = &definition.data_type else {
                continue;
            };
            let name = fold(&definition.name);
            let value = self.field_of_object(row, &name, from_sql(data_type)?)?;
            let inner = format!("{qualifier}.defined.{at}");
            exprs.push(value.expr.alias(&inner));
            columns.push(OutColumn {
                name,
                column: Column::new_unqualified(inner),
                ty: value.ty,
                data: value.data,
                ..row.clone()
            });
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok((plan, columns))
    }

    /// A value of a JSON object, read as the input of a type.
    fn field_of_object(&mut self, row: &OutColumn, name: &str, ty: PgType) -> Result<Typed> {
        let key = super::coerce::literal(&Datum::text(name.to_owned()), PgType::TEXT)?;
        let args = vec![row.typed(), key];
        if matches!(ty.oid, oid::JSON | oid::JSONB) {
            let value = self.call_named("json_get_op", args)?;
            return self.coerce(value, ty, Context::Explicit);
        }
        let text = match element_of(ty.oid) {
            Some(_) => {
                let value = self.call_named("json_get_op", args)?;
                self.call_named("json_array_literal_op", vec![value])?
            }
            None => self.call_named("json_get_text_op", args)?,
        };
        // As assignments, strings that are too long for their type are refused.
        let context = match ty.oid {
            oid::VARCHAR | oid::BPCHAR => Context::Assignment,
            _ => Context::Explicit,
        };
        self.coerce(text, ty, context)
    }
}
