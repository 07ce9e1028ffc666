//! Function calls.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Unnest;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::coerce::{self, comparable_layout};
use super::record::makes_json;
use super::scope::Typed;
use super::{Binder, Clause, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions::{Output, argument_names, set_columns};
use crate::types::cast::Context;
use crate::types::names::{element_of, format_type};
use crate::types::{Datum, PgType, columns, oid};

/// 42883 for functions.
pub(super) fn no_function(name: &str, types: &[PgType]) -> Error {
    let types: Vec<String> = types
        .iter()
        .map(|ty| format_type(PgType::new(ty.oid)))
        .collect();
    Error::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("function {name}({}) does not exist", types.join(", ")),
    )
    .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// The arguments of a call; `None` for `*`.
pub(super) fn arguments(call: &ast::Function) -> Result<Option<Vec<Cow<'_, ast::Expr>>>> {
    let list = match &call.args {
        FunctionArguments::None => return Ok(Some(Vec::new())),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => {
            return syntax("a subquery as argument needs its own parentheses");
        }
    };
    let mut args = Vec::with_capacity(list.args.len());
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(Cow::Borrowed(expr)),
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                let row = ast::Expr::QualifiedWildcard(name.clone(), AttachedToken::empty());
                args.push(Cow::Owned(row));
            }
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => return Ok(None),
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                return unsupported(
                    "named function arguments",
                    "Give the arguments by position.",
                );
            }
            _ => return unsupported("a whole row as an argument", "Give the columns one by one."),
        }
    }
    Ok(Some(args))
}

/// The arguments of a call with names among them, in the order of the function's own; `None` in
/// place of those that were left out.
fn named_arguments<'c>(
    name: &str,
    call: &'c ast::Function,
) -> Result<Option<Vec<Option<&'c ast::Expr>>>> {
    let FunctionArguments::List(list) = &call.args else {
        return Ok(None);
    };
    let is_named = |arg: &FunctionArg| {
        matches!(
            arg,
            FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. }
        )
    };
    if !list.args.iter().any(is_named) {
        return Ok(None);
    }
    let Some(names) = argument_names(name) else {
        return unsupported(
            &format!("named arguments of the function {name}"),
            "Give the arguments by position.",
        );
    };
    let mut found: Vec<Option<&ast::Expr>> = vec![None; names.len()];
    for (at, arg) in list.args.iter().enumerate() {
        let (slot, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(at), value),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let name = fold(name);
                (names.iter().position(|known| *known == name), value)
            }
            FunctionArg::ExprNamed {
                name: ast::Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let name = fold(name);
                (names.iter().position(|known| *known == name), value)
            }
            _ => return unsupported("a whole row as an argument", "Give the columns one by one."),
        };
        match slot.and_then(|slot| found.get_mut(slot)) {
            Some(slot) if slot.is_none() => *slot = Some(value),
            _ => return Err(no_function(name, &[])),
        }
    }
    while found.last() == Some(&None) {
        found.pop();
    }
    Ok(Some(found))
}

impl Binder<'_> {
    pub(super) fn function(&mut self, call: &ast::Function) -> Result<Typed> {
        if call.uses_odbc_syntax || !matches!(call.parameters, FunctionArguments::None) {
            return syntax("syntax error in a function call");
        }
        let parts: Vec<String> = call
            .name
            .0
            .iter()
            .filter_map(|part| part.as_ident().map(fold))
            .collect();
        let name = match parts.as_slice() {
            [name] => name.clone(),
            [schema, name] if schema == "pg_catalog" => name.clone(),
            [schema, name] if schema == "information_schema" && name == "_pg_expandarray" => {
                let args = arguments(call)?.unwrap_or_default();
                let [array] = args.as_slice() else {
                    return Err(no_function(name, &[]));
                };
                let array = self.expr(array)?;
                return self.expanded_array(array);
            }
            other => {
                let types = match arguments(call)? {
                    Some(args) => {
                        let mut types = Vec::new();
                        for arg in args {
                            types.push(self.expr(&arg)?.ty);
                        }
                        types
                    }
                    None => Vec::new(),
                };
                return Err(no_function(&other.join("."), &types));
            }
        };
        if let FunctionArguments::Subquery(query) = &call.args
            && name == "array"
        {
            return self.array_subquery(query);
        }
        if let Some(over) = &call.over {
            return self.window_function(&name, call, over);
        }
        if super::aggregate::is_aggregate(&name) {
            return self.aggregate_call(&name, call);
        }
        if super::window::is_window_function(&name) {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("window function {name} requires an OVER clause"),
            ));
        }
        let plain = match &call.args {
            FunctionArguments::List(list) => {
                list.duplicate_treatment.is_none() && list.clauses.is_empty()
            }
            _ => true,
        };
        if !plain
            || call.filter.is_some()
            || !call.within_group.is_empty()
            || call.null_treatment.is_some()
        {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{name} is not an aggregate function"),
            ));
        }
        if let Some(args) = named_arguments(&name, call)? {
            let mut bound = Vec::with_capacity(args.len());
            for arg in args {
                bound.push(match arg {
                    Some(arg) => self.expr(arg)?,
                    // Every function with names takes 0 for what is left out.
                    None => self.constant(&Datum::Int4(0), PgType::INT4)?,
                });
            }
            return self.call_by_name(&name, bound);
        }
        let Some(args) = arguments(call)? else {
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("{name}(*) specified, but {name} is not an aggregate function"),
            ));
        };
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push(self.expr(&arg)?);
        }
        if name == "row" && parts.len() == 1 {
            return self.row_of_values(bound);
        }
        self.call_by_name(&name, bound)
    }

    /// A function by the name that a user gave.
    pub(super) fn call_by_name(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        match name {
            "coalesce" if !args.is_empty() => return self.coalesce(args),
            "nullif" if args.len() == 2 => return self.nullif(args),
            "greatest" | "least" if !args.is_empty() => return self.extreme(name, args),
            "pg_typeof" if args.len() == 1 => {
                let oid = args.first().map_or(0, |arg| arg.ty.oid);
                return self.constant(&Datum::Oid(oid), PgType::REGTYPE);
            }
            "pg_partition_ancestors" if args.len() == 1 => {
                let none = self.no_partitions()?;
                return self.set_returning(Some(none), name);
            }
            "unnest" if args.len() == 1 => {
                return self.set_returning(args.into_iter().next(), name);
            }
            "row_to_json" if args.len() == 1 => {
                let row = args.into_iter().next();
                return match row {
                    Some(row) if row.ty.oid == oid::RECORD => {
                        let json = self.json_argument(row)?;
                        Ok(Typed {
                            ty: PgType::JSON,
                            ..json
                        })
                    }
                    row => Err(no_function(
                        name,
                        &row.map(|row| row.ty).into_iter().collect::<Vec<_>>(),
                    )),
                };
            }
            _ => {}
        }
        let args = match makes_json(name) {
            true => self.json_arguments(args)?,
            false => args,
        };
        if name == "regexp_matches" {
            // Each row is an array, which travels as its text.
            let rows = self.call_named("regexp_matches_op", args)?;
            let row = self.set_returning(Some(rows), name)?;
            return self.coerce(row, PgType::TEXT_ARRAY, Context::Explicit);
        }
        if let Some(parts) = set_columns(name) {
            let [(_, function)] = parts else {
                return unsupported(&format!("{name} in a select list"), "Call it in FROM.");
            };
            let array = self.call_named(function, args)?;
            return self.set_returning(Some(array), name);
        }
        // Helpers of the engine have names that end so; nobody calls them.
        if name.ends_with("_op") {
            let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
            return Err(no_function(name, &types));
        }
        self.call_named(name, args)
    }

    /// The ancestors of a table: none, for none is a partition.
    pub(super) fn no_partitions(&self) -> Result<Typed> {
        let none = crate::types::Array {
            element: PgType::OID,
            items: Vec::new(),
        };
        self.constant(&Datum::Array(Box::new(none)), PgType::new(oid::OID_ARRAY))
    }

    pub(super) fn set_returning(&mut self, array: Option<Typed>, name: &str) -> Result<Typed> {
        if !matches!(self.clause, Clause::Select | Clause::OrderBy) {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!(
                    "set-returning functions are not allowed in {}",
                    self.clause.name()
                ),
            ));
        }
        let array = array.ok_or_else(|| Error::internal("no array"))?;
        let (Some(element), DataType::List(field)) = (element_of(array.ty.oid), &array.data) else {
            return Err(no_function(name, &[array.ty]));
        };
        Ok(Typed {
            expr: Expr::Unnest(Unnest::new(array.expr)),
            ty: PgType::new(element),
            data: field.data_type().clone(),
        })
    }

    /// A function of the engine or of the system schemas.
    pub(super) fn call_named(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        match self.functions.resolve(name, &types)? {
            Some(output) => self.call_resolved(name, output, args),
            None => match self.functions.system.get(name).cloned() {
                Some(function) => self.call_system(function, args),
                None => Err(no_function(name, &types)),
            },
        }
    }

    fn call_resolved(&mut self, name: &str, output: Output, args: Vec<Typed>) -> Result<Typed> {
        let mut cast = Vec::with_capacity(args.len());
        for (arg, ty) in args.into_iter().zip(&output.args) {
            let context = if arg.is_unknown() {
                Context::Implicit
            } else {
                Context::Assignment
            };
            // A modifier is the value's, not the argument's.
            let ty = if arg.ty.oid == ty.oid { arg.ty } else { *ty };
            cast.push(self.coerce(arg, ty, context)?);
        }
        let types = cast.iter().map(|arg| arg.ty).collect();
        let mut function = output.function.row_function(types, output.result);
        if output.result.oid == oid::NUMERIC
            && let Some(ty) = numeric_result(name, &cast)
        {
            function.built = ty;
        }
        let data = columns::data_type(function.built, coerce::ZONE);
        let args = cast.into_iter().map(|arg| arg.expr).collect();
        Ok(self.call(function.into_udf(), args, output.result, data))
    }

    /// A function that a system catalog lends: its own signature decides.
    fn call_system(
        &mut self,
        function: Arc<datafusion::logical_expr::ScalarUDF>,
        args: Vec<Typed>,
    ) -> Result<Typed> {
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        let name = function.name().to_owned();
        let mut settled = Vec::with_capacity(args.len());
        for arg in args {
            settled.push(self.settle(arg)?);
        }
        let fields: Vec<arrow::datatypes::FieldRef> = settled
            .iter()
            .map(|arg| {
                Arc::new(
                    columns::field("", arg.ty, true, coerce::ZONE).with_data_type(arg.data.clone()),
                )
            })
            .collect();
        let coerced = datafusion::logical_expr::type_coercion::functions::fields_with_udf(
            &fields,
            function.as_ref(),
        )
        .map_err(|_| no_function(&name, &types))?;
        let exprs: Vec<Expr> = settled
            .into_iter()
            .zip(&coerced)
            .map(|(arg, field)| coerce::native(arg.clone(), arg.ty, field.data_type().clone()).expr)
            .collect();
        let scalars: Vec<Option<&datafusion::scalar::ScalarValue>> = exprs
            .iter()
            .map(|expr| match expr {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            })
            .collect();
        let field = function.return_field_from_args(datafusion::logical_expr::ReturnFieldArgs {
            arg_fields: &coerced,
            scalar_arguments: &scalars,
        })?;
        let ty = columns::pg_type(&field);
        let data = field.data_type().clone();
        Ok(self.call(function, exprs, ty, data))
    }

    pub(super) fn open_as(&mut self, typed: Typed, ty: PgType) -> Result<Typed> {
        if typed.is_unknown() {
            self.implicit(typed, ty)
        } else {
            Ok(typed)
        }
    }
}

/// Precision and scale of a numeric result, where the arguments tell.
fn numeric_result(name: &str, args: &[Typed]) -> Option<PgType> {
    let whole = |scale: u8| {
        Some(PgType::numeric(
            u16::from(coerce::SHORT_DIGITS),
            i16::from(scale),
        ))
    };
    let first = args.first()?;
    let short = |data: &DataType| matches!(data, DataType::Decimal128(..));
    match (name, args.len()) {
        ("round" | "trunc", 2) => match coerce::constant(args.get(1)?) {
            Some(Datum::Int4(scale)) if short(&first.data) => u8::try_from(scale.max(0))
                .ok()
                .filter(|scale| *scale <= 30)
                .and_then(whole),
            _ => None,
        },
        ("round" | "trunc" | "ceil" | "ceiling" | "floor" | "sign" | "div", _)
            if short(&first.data) =>
        {
            whole(0)
        }
        ("abs" | "negate_op" | "trim_scale", 1) => match &first.data {
            DataType::Decimal128(precision, scale) if name != "trim_scale" => {
                Some(PgType::numeric(u16::from(*precision), i16::from(*scale)))
            }
            _ => None,
        },
        ("mod", 2) => match comparable_layout(&first.data, &args.get(1)?.data) {
            DataType::Decimal128(precision, scale) => {
                Some(PgType::numeric(u16::from(precision), i16::from(scale)))
            }
            _ => None,
        },
        ("extract", 2) => match coerce::constant(first) {
            Some(Datum::Text(_)) if args.get(1)?.ty.oid == oid::DATE => {
                Some(PgType::numeric(20, 0))
            }
            Some(Datum::Text(field)) => match field.to_lowercase().as_str() {
                "second" | "seconds" | "epoch" => whole(6),
                "millisecond" | "milliseconds" => whole(3),
                "julian" => None,
                _ => Some(PgType::numeric(20, 0)),
            },
            _ => None,
        },
        _ => None,
    }
}
