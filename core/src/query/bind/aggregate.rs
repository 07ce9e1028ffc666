//! Aggregate functions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf};
use datafusion::functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{AggregateUDF, Expr};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, DuplicateTreatment, FunctionArgumentClause, FunctionArguments,
};

use super::coerce::{arrow_type, native};
use super::query::sort;
use super::scope::Typed;
use super::{Binder, Clause, check, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions::{self, collecting};
use crate::types::cast::Context;
use crate::types::names::{array_type, element_of};
use crate::types::ops::BinaryOp;
use crate::types::{PgType, oid};

const NAMES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "grouping",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

pub(super) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What surrounds an aggregate's arguments.
#[derive(Clone, Default)]
pub(super) struct Shape {
    pub distinct: bool,
    pub filter: Option<Box<Expr>>,
    pub order_by: Vec<Sort>,
}

impl Shape {
    pub(super) fn call(&self, function: Arc<AggregateUDF>, args: Vec<Expr>) -> Expr {
        Expr::AggregateFunction(AggregateFunction::new_udf(
            function,
            args,
            self.distinct,
            self.filter.clone(),
            self.order_by.clone(),
            None,
        ))
    }
}

impl Binder<'_> {
    pub(super) fn aggregate_call(&mut self, name: &str, call: &ast::Function) -> Result<Typed> {
        let windowed = call.over.is_some();
        let refused = matches!(
            self.clause,
            Clause::Where
                | Clause::GroupBy
                | Clause::JoinOn
                | Clause::Values
                | Clause::Limit
                | Clause::From
                | Clause::Scalar
        );
        if self.clause == Clause::Aggregate {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "aggregate function calls cannot be nested",
            ));
        }
        let refused = (refused && !windowed).then(|| self.clause.name());
        // The arguments of a windowed aggregate may be aggregates themselves.
        let inside = if windowed {
            Clause::Window
        } else {
            Clause::Aggregate
        };
        self.within(inside, |binder| binder.aggregate_inner(name, call, refused))
    }

    /// `refused` names the clause where only aggregates of queries further out may stand.
    fn aggregate_inner(
        &mut self,
        name: &str,
        call: &ast::Function,
        refused: Option<&str>,
    ) -> Result<Typed> {
        let allowed = || match refused {
            None => Ok(()),
            Some(place) => Err(Error::new(
                SqlState::GROUPING_ERROR,
                format!("aggregate functions are not allowed in {place}"),
            )),
        };
        let mut shape = Shape::default();
        if let Some(filter) = &call.filter {
            let typed = self.expr(filter)?;
            shape.filter = Some(Box::new(self.condition(typed, "FILTER")?));
        }
        let mut order: &[ast::OrderByExpr] = &[];
        if let FunctionArguments::List(list) = &call.args {
            shape.distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
            for clause in &list.clauses {
                match clause {
                    FunctionArgumentClause::OrderBy(items) => order = items,
                    _ => return syntax("syntax error in the arguments of an aggregate"),
                }
            }
        }
        for item in order {
            check::order_by(item)?;
            let typed = self.expr(&item.expr)?;
            let typed = self.settle(typed)?;
            let expr = self.order_expr(typed)?;
            shape.order_by.push(sort(expr, item));
        }
        let mark = self.references.last().map_or(0, Vec::len);
        let Some(args) = super::call::arguments(call)? else {
            allowed()?;
            if name != "count" {
                return Err(super::call::no_function(name, &[]));
            }
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            return Ok(typed(shape.call(count_udaf(), vec![one]), PgType::INT8));
        };
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push(self.expr(&arg)?);
        }
        if super::record::makes_json(name) {
            bound = self.json_arguments(bound)?;
        }
        if let Some(level) = self.aggregate_level(&bound) {
            if shape.filter.is_some() || !shape.order_by.is_empty() || !call.within_group.is_empty()
            {
                return unsupported(
                    "FILTER or ORDER BY in an aggregate of an outer query's columns",
                    "Compute the aggregate in the outer query.",
                );
            }
            let args = self.moved_out(bound, level)?;
            if let Some(references) = self.references.last_mut() {
                references.truncate(mark);
            }
            let aggregate = self.aggregate_of(name, args, shape)?;
            return self.leave_aggregate(aggregate, level);
        }
        allowed()?;
        if !call.within_group.is_empty() {
            return self.ordered_set(name, bound, &call.within_group, shape);
        }
        self.aggregate_of(name, bound, shape)
    }

    fn aggregate_of(&mut self, name: &str, args: Vec<Typed>, shape: Shape) -> Result<Typed> {
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        let missing = || super::call::no_function(name, &types);
        match (name, args.len()) {
            ("count", 0) => {
                return Err(Error::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    "count(*) must be used to call a parameterless aggregate function",
                ));
            }
            ("grouping", 1..) => {
                let args = args.into_iter().map(|arg| arg.expr).collect();
                return Ok(typed(shape.call(grouping_udaf(), args), PgType::INT4));
            }
            ("string_agg", 2) => return self.string_agg(args, shape),
            ("json_object_agg" | "jsonb_object_agg", 2) => {
                let ty = if name == "json_object_agg" {
                    PgType::JSON
                } else {
                    PgType::JSONB
                };
                return self.collected(name, args, ty, shape);
            }
            (
                "corr" | "covar_pop" | "covar_samp" | "regr_avgx" | "regr_avgy" | "regr_count"
                | "regr_intercept" | "regr_r2" | "regr_slope" | "regr_sxx" | "regr_sxy"
                | "regr_syy",
                2,
            ) => {
                return self.regression(name, args, shape);
            }
            (_, 1) => {}
            _ => return Err(missing()),
        }
        let Some(arg) = args.into_iter().next() else {
            return Err(missing());
        };
        let arg = match arg.ty.oid {
            oid::FLOAT4 | oid::FLOAT8 if shape.distinct => self.key_of(&arg)?.unwrap_or(arg),
            _ => arg,
        };
        let shape = match name {
            "array_agg" | "json_agg" | "jsonb_agg" => self.distinct_in_order(&arg, shape)?,
            _ => shape,
        };
        match name {
            "count" => {
                let arg = self.settle(arg)?;
                let expr = match shape.distinct {
                    true => self.order_expr(arg)?,
                    false => arg.expr,
                };
                Ok(typed(shape.call(count_udaf(), vec![expr]), PgType::INT8))
            }
            "sum" => self.sum(arg, shape, missing()),
            "avg" => self.avg(arg, shape, missing()),
            "min" | "max" => {
                let arg = self.settle(arg)?;
                if matches!(arg.ty.oid, oid::FLOAT4 | oid::FLOAT8) {
                    // DataFusion's own take NaN and the infinities for what they are not.
                    let ty = arg.ty;
                    let function = match name {
                        "min" => min_udaf(),
                        _ => max_udaf(),
                    };
                    let value = native(arg, PgType::FLOAT8, DataType::Float64).expr;
                    let call = shape.call(function, vec![functions::float_rank(value)]);
                    let found = Typed {
                        expr: functions::float_of_rank(call),
                        ty: PgType::FLOAT8,
                        data: DataType::Float64,
                    };
                    return Ok(native(found, ty, arrow_type(ty)));
                }
                if arg.ty.oid == oid::INTERVAL || element_of(arg.ty.oid).is_some() {
                    // Arrow's order of them is not PostgreSQL's.
                    let ty = PgType::new(arg.ty.oid);
                    return self.collected(&format!("{name}_value"), vec![arg], ty, shape);
                }
                let ordered = !matches!(
                    arg.ty.oid,
                    oid::RECORD
                        | oid::BOOL
                        | oid::UUID
                        | oid::JSON
                        | oid::JSONB
                        | oid::BYTEA
                        | oid::XID
                );
                if !ordered {
                    return Err(missing());
                }
                let function = if name == "min" {
                    min_udaf()
                } else {
                    max_udaf()
                };
                let ty = match arg.ty.oid {
                    oid::VARCHAR | oid::NAME => PgType::TEXT,
                    _ => arg.ty,
                };
                Ok(Typed {
                    expr: shape.call(function, vec![arg.expr]),
                    ty,
                    data: arg.data,
                })
            }
            "bool_and" | "every" | "bool_or" => {
                let arg = self.implicit(arg, PgType::BOOL).map_err(|_| missing())?;
                let function = if name == "bool_or" {
                    bool_or_udaf()
                } else {
                    bool_and_udaf()
                };
                Ok(typed(shape.call(function, vec![arg.expr]), PgType::BOOL))
            }
            "bit_and" | "bit_or" | "bit_xor" => {
                if !matches!(arg.ty.oid, oid::INT2 | oid::INT4 | oid::INT8) {
                    return Err(missing());
                }
                let function = match name {
                    "bit_and" => bit_and_udaf(),
                    "bit_or" => bit_or_udaf(),
                    _ => bit_xor_udaf(),
                };
                let ty = arg.ty;
                Ok(typed(shape.call(function, vec![arg.expr]), ty))
            }
            "array_agg" => {
                let arg = self.settle(arg)?;
                let ty = array_type(PgType::new(arg.ty.oid))?;
                let data = DataType::List(Arc::new(arrow::datatypes::Field::new_list_field(
                    arg.data.clone(),
                    true,
                )));
                Ok(Typed {
                    expr: shape.call(array_agg_udaf(), vec![arg.expr]),
                    ty,
                    data,
                })
            }
            "json_agg" => self.collected(name, vec![arg], PgType::JSON, shape),
            "jsonb_agg" => self.collected(name, vec![arg], PgType::JSONB, shape),
            "stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop" => {
                self.spread(name, arg, shape, missing())
            }
            _ => Err(missing()),
        }
    }

    /// PostgreSQL sorts to find distinct values, and gives them in that order.
    fn distinct_in_order(&mut self, arg: &Typed, mut shape: Shape) -> Result<Shape> {
        if shape.distinct && shape.order_by.is_empty() {
            let arg = self.settle(arg.clone())?;
            let key = self.order_expr(arg.clone())?;
            if key == arg.expr {
                shape.order_by.push(Sort::new(key, true, false));
            }
        }
        Ok(shape)
    }

    fn string_agg(&mut self, args: Vec<Typed>, shape: Shape) -> Result<Typed> {
        let mut cast = Vec::with_capacity(2);
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        let shape = match args.first() {
            Some(arg) if arg.data == DataType::Utf8View => self.distinct_in_order(arg, shape)?,
            _ => shape,
        };
        for arg in args {
            let allowed = arg.is_unknown() || super::coerce::category(arg.ty) == 'S';
            if !allowed {
                return Err(super::call::no_function("string_agg", &types));
            }
            cast.push(self.coerce(arg, PgType::TEXT, Context::Implicit)?.expr);
        }
        let constant = matches!(cast.get(1), Some(Expr::Literal(..)));
        if !constant {
            let args = cast
                .into_iter()
                .map(|expr| Typed {
                    expr,
                    ty: PgType::TEXT,
                    data: DataType::Utf8View,
                })
                .collect();
            return self.collected("string_agg", args, PgType::TEXT, shape);
        }
        let call = Typed {
            expr: shape.call(string_agg_udaf(), cast),
            ty: PgType::TEXT,
            data: DataType::LargeUtf8,
        };
        Ok(native(call, PgType::TEXT, DataType::Utf8View))
    }

    fn regression(&mut self, name: &str, args: Vec<Typed>, shape: Shape) -> Result<Typed> {
        let mut cast = Vec::with_capacity(2);
        for arg in args {
            cast.push(self.implicit(arg, PgType::FLOAT8)?.expr);
        }
        if name == "regr_count" {
            let both = cast
                .iter()
                .cloned()
                .map(Expr::is_not_null)
                .reduce(Expr::and);
            let shape = Shape {
                filter: match (shape.filter.clone(), both) {
                    (Some(filter), Some(both)) => Some(Box::new(filter.and(both))),
                    (None, Some(both)) => Some(Box::new(both)),
                    (filter, None) => filter,
                },
                ..shape
            };
            let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
            return Ok(typed(shape.call(count_udaf(), vec![one]), PgType::INT8));
        }
        let Some(function) = functions::regression(name) else {
            return Err(super::call::no_function(name, &[]));
        };
        Ok(typed(shape.call(function, cast), PgType::FLOAT8))
    }

    /// An aggregate that needs all its values at once.
    pub(super) fn collected(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        result: PgType,
        shape: Shape,
    ) -> Result<Typed> {
        let mut settled = Vec::with_capacity(args.len());
        for arg in args {
            settled.push(self.settle(arg)?);
        }
        let types = settled.iter().map(|arg| arg.ty).collect();
        let Some(function) = collecting(name, types, result) else {
            return unsupported(
                &format!("the aggregate {name}"),
                "Compute it in the client.",
            );
        };
        let args = settled.into_iter().map(|arg| arg.expr).collect();
        Ok(typed(shape.call(function, args), result))
    }

    /// `percentile_cont(f) WITHIN GROUP (ORDER BY x)` and its kin.
    fn ordered_set(
        &mut self,
        name: &str,
        args: Vec<Typed>,
        order: &[ast::OrderByExpr],
        shape: Shape,
    ) -> Result<Typed> {
        let [item] = order else {
            return unsupported(
                "WITHIN GROUP with more than one column",
                "Order by one column.",
            );
        };
        check::order_by(item)?;
        let value = self.expr(&item.expr)?;
        let value = self.settle(value)?;
        let descending = item.options.asc == Some(false);
        match (name, args.len()) {
            ("mode", 0) => {
                let ty = value.ty;
                self.collected("mode", vec![value], ty, shape)
            }
            ("percentile_cont", 1) => {
                let value = if value.ty.oid == oid::INTERVAL {
                    value
                } else {
                    self.implicit(value, PgType::FLOAT8)?
                };
                let fraction = self.fraction(args, descending)?;
                let ty = value.ty;
                self.collected(name, vec![value, fraction], ty, shape)
            }
            ("percentile_disc", 1) => {
                let fraction = self.fraction(args, descending)?;
                let ty = value.ty;
                self.collected(name, vec![value, fraction], ty, shape)
            }
            _ => Err(super::call::no_function(name, &[value.ty])),
        }
    }

    /// The fraction, counted from the other end when the order is descending.
    fn fraction(&mut self, args: Vec<Typed>, descending: bool) -> Result<Typed> {
        match args.into_iter().next() {
            Some(arg) if descending => {
                let arg = self.implicit(arg, PgType::FLOAT8)?;
                let one = self.constant(&crate::types::Datum::Float8(1.0), PgType::FLOAT8)?;
                self.arithmetic(BinaryOp::Sub, "-", one, arg)
            }
            Some(arg) => self.implicit(arg, PgType::FLOAT8),
            None => syntax("a percentile needs its fraction"),
        }
    }
}

pub(super) fn typed(expr: Expr, ty: PgType) -> Typed {
    Typed {
        expr,
        ty,
        data: arrow_type(ty),
    }
}
