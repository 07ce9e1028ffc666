//! Functions in FROM: arrays unnested, beside the rows that their arguments come from.

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, UnnestOptions};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, TableFactor};

use super::coerce::is_row_free;
use super::decorrelate::columns_of;
use super::from::{From, check_names};
use super::json_record::{check_definitions, objects};
use super::scope::{Item, OutColumn, Typed};
use super::with::check_width;
use super::{Binder, Bound, Clause, fold, unsupported};
use crate::catalog::QualifiedName;
use crate::error::{Error, Result, SqlState};
use crate::query::SYSTEM_FUNCTIONS;
use crate::query::functions::set_columns;
use crate::query::series;
use crate::types::PgType;
use crate::types::cast::Context;
use crate::types::names::element_of;

impl Binder<'_> {
    /// A function in FROM, on its own or first.
    pub(super) fn function_item(&mut self, call: &TableCall<'_>) -> Result<From> {
        if let Some(bound) = self.system_rows(call)? {
            let item = Item {
                relation: None,
                name: call
                    .alias
                    .map_or_else(|| call.name.clone(), |alias| fold(&alias.name)),
                columns: bound.columns,
                key: Vec::new(),
                nullable: false,
                scalar: false,
            };
            return Ok(From::item(bound.plan, item));
        }
        let empty = From {
            plan: LogicalPlanBuilder::empty(true).build()?,
            items: Vec::new(),
            visible: Vec::new(),
        };
        self.unnested(empty, call)
    }

    /// The rows of a function of the system schemas that takes no arguments.
    fn system_rows(&mut self, call: &TableCall<'_>) -> Result<Option<Bound>> {
        if !call.args.is_empty() || call.ordinality {
            return Ok(None);
        }
        let name = QualifiedName {
            schema: Some(SYSTEM_FUNCTIONS.to_owned()),
            name: call.name.clone(),
        };
        match (self.system_table(&name, &call.name)?, call.alias) {
            (Some(bound), Some(alias)) => self.rename(bound, alias).map(Some),
            (bound, _) => Ok(bound),
        }
    }

    /// A function joined to what stands on its left.
    pub(super) fn join_function(
        &mut self,
        left: From,
        call: &TableCall<'_>,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        if kind == JoinType::Inner
            && !call.args.is_empty()
            && matches!(constraint, JoinConstraint::None)
            && !left.visible.is_empty()
        {
            // Whether it reads the rows on its left shows when it is bound.
            self.references.push(Vec::new());
            self.frames.push(left.frame());
            let bound = self.within(Clause::From, |binder| binder.table_call(call));
            self.frames.pop();
            self.outer_references();
            let arrays = bound?;
            if arrays
                .iter()
                .any(|(_, typed, _)| !typed.expr.column_refs().is_empty())
            {
                return self.unnested(left, call);
            }
        }
        let (right, references) = self.lateral(&left, |binder| binder.function_item(call))?;
        self.join_bound(left, right, &references, kind, constraint)
    }

    /// Rows of a set-returning function for each row on its left: an array unnested.
    fn unnested(&mut self, left: From, call: &TableCall<'_>) -> Result<From> {
        check_definitions(&call.name, call.alias)?;
        self.frames.push(left.frame());
        let bound = self.within(Clause::From, |binder| binder.table_call(call));
        self.frames.pop();
        let arrays = bound?;
        if left.visible.is_empty()
            && let Some(series) = self.series(call, &arrays)?
        {
            return Ok(series);
        }
        let name = call
            .alias
            .map_or_else(|| call.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.qualifier(&name);
        let mut exprs = columns_of(&left.plan);
        let mut unnested = Vec::new();
        let mut columns = Vec::new();
        for (at, (column, typed, set)) in arrays.into_iter().enumerate() {
            let inner = format!("{qualifier}.{at}");
            exprs.push(typed.expr.alias(&inner));
            let (ty, data) = match (&typed.data, set) {
                (DataType::List(field), true) => {
                    unnested.push(Column::new_unqualified(inner.clone()));
                    let element = element_of(typed.ty.oid).map_or(PgType::TEXT, PgType::new);
                    (element, field.data_type().clone())
                }
                _ => (typed.ty, typed.data.clone()),
            };
            let name = match call.alias.and_then(|alias| alias.columns.get(at)) {
                Some(named) => fold(&named.name),
                None if call.alias.is_some() && column == call.name => name.clone(),
                None => column,
            };
            columns.push(OutColumn {
                name,
                column: Column::new_unqualified(inner),
                ty,
                data,
                table: 0,
                attribute: 0,
                hidden: false,
                merged: None,
            });
        }
        let mut builder = LogicalPlanBuilder::from(left.plan).project(exprs)?;
        if !unnested.is_empty() {
            let options = UnnestOptions::new().with_preserve_nulls(false);
            builder = builder.unnest_columns_with_options(unnested, options)?;
        }
        let mut plan = builder.build()?;
        if call.name == "regexp_matches"
            && let Some(matched) = columns.first_mut()
        {
            let text = matched.column.clone();
            let array = self.coerce(matched.typed(), PgType::TEXT_ARRAY, Context::Explicit)?;
            let name = format!("{qualifier}.array");
            let rest = columns_of(&plan).into_iter();
            let rest = rest.filter(|expr| !matches!(expr, Expr::Column(known) if *known == text));
            let exprs: Vec<Expr> = rest.chain([array.expr.alias(&name)]).collect();
            plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
            matched.column = Column::new_unqualified(name);
            (matched.ty, matched.data) = (array.ty, array.data);
        }
        let defined = objects(&call.name).is_some();
        if let (true, Some(row), Some(alias)) = (defined, columns.first(), call.alias) {
            (plan, columns) = self.defined_columns(plan, row, alias, &qualifier)?;
        }
        let item = Item {
            relation: None,
            name,
            columns: columns.clone(),
            key: Vec::new(),
            nullable: false,
            scalar: columns.len() == 1 && !defined,
        };
        check_names(&left.items, std::slice::from_ref(&item))?;
        let mut items = left.items;
        items.push(item);
        let mut visible = left.visible;
        visible.extend(columns);
        Ok(From {
            plan,
            items,
            visible,
        })
    }

    /// A series of integers that stands alone, when its ends need no rows: its values are made as they
    /// are read, not kept as an array.
    fn series(
        &mut self,
        call: &TableCall<'_>,
        arrays: &[(String, Typed, bool)],
    ) -> Result<Option<From>> {
        let [(_, typed, true)] = arrays else {
            return Ok(None);
        };
        let (Expr::ScalarFunction(function), DataType::List(field)) = (&typed.expr, &typed.data)
        else {
            return Ok(None);
        };
        let integers = matches!(field.data_type(), DataType::Int32 | DataType::Int64);
        if call.name != "generate_series"
            || function.name() != "generate_series_op"
            || !integers
            || !is_row_free(&typed.expr)
        {
            return Ok(None);
        }
        let name = call
            .alias
            .map_or_else(|| call.name.clone(), |alias| fold(&alias.name));
        let column = match call.alias.and_then(|alias| alias.columns.first()) {
            Some(named) => fold(&named.name),
            None => name.clone(),
        };
        let inner = format!("{}.0", self.qualifier(&name));
        let plan = series::node(&inner, field.data_type(), function.args.clone())?;
        let column = OutColumn {
            name: column,
            column: Column::new_unqualified(inner),
            ty: element_of(typed.ty.oid).map_or(PgType::INT8, PgType::new),
            data: field.data_type().clone(),
            table: 0,
            attribute: 0,
            hidden: false,
            merged: None,
        };
        let item = Item {
            relation: None,
            name,
            columns: vec![column.clone()],
            key: Vec::new(),
            nullable: false,
            scalar: true,
        };
        Ok(Some(From {
            plan,
            items: vec![item],
            visible: vec![column],
        }))
    }

    /// The columns of a function's result: name, value, and whether the value is a set (an array).
    fn table_call(&mut self, call: &TableCall<'_>) -> Result<Vec<(String, Typed, bool)>> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.expr(arg)?);
        }
        let mut columns = Vec::new();
        if call.name == "unnest" {
            for arg in args {
                columns.push(("unnest".to_owned(), arg, true));
            }
            for (_, typed, _) in &columns {
                if element_of(typed.ty.oid).is_none() {
                    return Err(super::call::no_function("unnest", &[typed.ty]));
                }
            }
        } else if call.name == "regexp_matches" {
            // Each row is an array, which travels as its text.
            let rows = self.call_named("regexp_matches_op", args)?;
            columns.push((call.name.clone(), rows, true));
        } else if call.name == "pg_partition_ancestors" {
            columns.push(("relid".to_owned(), self.no_partitions()?, true));
        } else if let Some((function, set)) = objects(&call.name) {
            let document = self.document(&call.name, args)?;
            let rows = self.call_named(function, vec![document])?;
            columns.push((call.name.clone(), rows, set));
        } else if let Some(parts) = set_columns(&call.name) {
            for (column, function) in parts {
                let name = if column.is_empty() {
                    call.name.clone()
                } else {
                    (*column).to_owned()
                };
                columns.push((name, self.call_named(function, args.clone())?, true));
            }
        } else {
            let typed = self.call_by_name(&call.name, args)?;
            columns.push((call.name.clone(), typed, false));
        }
        if call.ordinality && objects(&call.name).is_some() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "WITH ORDINALITY cannot be used with a column definition list",
            ));
        }
        if let (Some(alias), None) = (call.alias, objects(&call.name)) {
            let available = columns.len() + usize::from(call.ordinality);
            check_width("table", alias, available)?;
        }
        if call.ordinality {
            let Some((_, first, true)) = columns.first().cloned() else {
                return unsupported(
                    "WITH ORDINALITY of a function that returns one row",
                    "Leave it out.",
                );
            };
            let numbers = self.call_named("array_ordinals", vec![first])?;
            columns.push(("ordinality".to_owned(), numbers, true));
        }
        Ok(columns)
    }
}

/// A function call in FROM.
pub(super) struct TableCall<'q> {
    name: String,
    args: Vec<&'q ast::Expr>,
    alias: Option<&'q ast::TableAlias>,
    ordinality: bool,
}

pub(super) fn table_function(relation: &TableFactor) -> Option<TableCall<'_>> {
    match relation {
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality,
            ..
        } => Some(TableCall {
            name: name.0.last()?.as_ident().map(fold)?,
            args: plain_args(&args.args)?,
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        TableFactor::Function {
            name,
            args,
            alias,
            with_ordinality,
            ..
        } => Some(TableCall {
            name: name.0.last()?.as_ident().map(fold)?,
            args: plain_args(args)?,
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset: false,
            with_ordinality,
            ..
        } => Some(TableCall {
            name: "unnest".to_owned(),
            args: array_exprs.iter().collect(),
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        _ => None,
    }
}

fn plain_args(args: &[ast::FunctionArg]) -> Option<Vec<&ast::Expr>> {
    args.iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}
