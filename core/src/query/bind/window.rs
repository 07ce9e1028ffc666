//! Window functions: OVER (…).

use datafusion::functions_window::{
    cume_dist::cume_dist_udwf,
    lead_lag::{lag_udwf, lead_udwf},
    nth_value::{first_value_udwf, last_value_udwf, nth_value_udwf},
    ntile::ntile_udwf,
    rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf},
    row_number::row_number_udwf,
};
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, WindowFrame, WindowFrameBound, WindowFunctionDefinition};
use datafusion::sql::sqlparser::ast::{self, NamedWindowExpr, WindowSpec, WindowType};

use super::coerce::{self, arrow_type, native};
use super::query::sort;
use super::scope::Typed;
use super::window_frame::Bounds;
use super::{Binder, Clause, check, fold, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::framed::{Exclude, Over, framed};
use crate::query::shift::shifted;
use crate::types::cast::Context;
use crate::types::{Datum, PgType, oid};

/// A resolved window.
pub(super) struct Window {
    partition_by: Vec<Expr>,
    pub order_by: Vec<Sort>,
    /// The values that `order_by` is the order of.
    pub keys: Vec<Typed>,
    pub frame: Option<ast::WindowFrame>,
    pub exclude: Option<Exclude>,
}

/// Aggregates that take back the values that leave a frame, exactly. A float does not come out of a sum
/// as if it had never been in it, nor does a NaN.
const RETRACTED: &[&str] = &[
    "count",
    "sum",
    "numeric_sum",
    "min",
    "max",
    "bit_xor",
    "array_agg",
];

/// Functions that need an OVER clause.
pub(super) fn is_window_function(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

impl Binder<'_> {
    pub(super) fn window_function(
        &mut self,
        name: &str,
        call: &ast::Function,
        over: &WindowType,
    ) -> Result<Typed> {
        if matches!(
            self.clause,
            Clause::Where
                | Clause::GroupBy
                | Clause::Having
                | Clause::JoinOn
                | Clause::Values
                | Clause::Limit
                | Clause::Aggregate
                | Clause::Window
                | Clause::Scalar
                | Clause::From
        ) {
            return Err(Error::new(
                SqlState::WINDOWING_ERROR,
                format!("window functions are not allowed in {}", self.clause.name()),
            ));
        }
        let mut window = self.within(Clause::Window, |binder| binder.window(over))?;
        let bounds = self.frame(&mut window)?;
        let Some(args) = super::call::arguments(call)? else {
            return self.window_aggregate(name, call, window, bounds);
        };
        if !is_window_function(name) {
            return self.window_aggregate(name, call, window, bounds);
        }
        if call.null_treatment.is_some() {
            return unsupported("RESPECT or IGNORE NULLS", "Use a condition in the query.");
        }
        if call.filter.is_some() {
            return unsupported(
                "FILTER of a window function that is no aggregate",
                "Use CASE.",
            );
        }
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            bound.push(self.within(Clause::Window, |binder| binder.expr(&arg))?);
        }
        self.ranking(name, bound, window, bounds)
    }

    fn ranking(
        &mut self,
        name: &str,
        mut args: Vec<Typed>,
        window: Window,
        bounds: Bounds,
    ) -> Result<Typed> {
        if !matches!(name, "lag" | "lead") || args.len() < 3 {
            // The default of these may give a literal its type, and the other way round.
            if let Some(first) = args.first_mut() {
                *first = self.settle(first.clone())?;
            }
        }
        let types: Vec<PgType> = args.iter().map(|arg| arg.ty).collect();
        let missing = || super::call::no_function(name, &types);
        let (function, ty) = match (name, args.len()) {
            ("row_number", 0) => (row_number_udwf(), PgType::INT8),
            ("rank", 0) => (rank_udwf(), PgType::INT8),
            ("dense_rank", 0) => (dense_rank_udwf(), PgType::INT8),
            ("percent_rank", 0) => (percent_rank_udwf(), PgType::FLOAT8),
            ("cume_dist", 0) => (cume_dist_udwf(), PgType::FLOAT8),
            ("ntile", 1) => {
                let count = args.remove(0);
                let count = self.coerce(count, PgType::INT4, Context::Implicit)?;
                if let Some(Datum::Int4(count)) = coerce::constant(&count)
                    && count <= 0
                {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "argument of ntile must be greater than zero",
                    ));
                }
                args.push(native(count, PgType::INT8, arrow_type(PgType::INT8)));
                (ntile_udwf(), PgType::INT4)
            }
            ("lag" | "lead", 1..=3) => {
                let ty = match (args.first(), args.get(2)) {
                    (Some(value), Some(default)) => {
                        self.common_type(&[value.clone(), default.clone()], name)?
                    }
                    (Some(value), None) => value.ty,
                    _ => return Err(missing()),
                };
                let mut offset = None;
                let mut values: Vec<Typed> = Vec::new();
                for (at, arg) in args.into_iter().enumerate() {
                    if at == 1 {
                        let count = self.coerce(arg, PgType::INT4, Context::Implicit)?;
                        offset = Some(self.coerce(count, PgType::INT8, Context::Implicit)?);
                    } else {
                        values.push(arg);
                    }
                }
                let (values, ty, _) = self.unify_to(values, ty)?;
                let default = values.get(1);
                let plain = |arg: &Typed| coerce::constant(arg).is_some_and(|it| !it.is_null());
                let constant = offset.as_ref().is_none_or(plain)
                    && default.is_none_or(|it| matches!(it.expr, Expr::Literal(..)));
                let function = match (constant, name) {
                    (false, _) => shifted(name),
                    (true, "lag") => lag_udwf(),
                    (true, _) => lead_udwf(),
                };
                let mut values = values.into_iter();
                args = values.next().into_iter().collect();
                args.extend(offset);
                args.extend(values);
                (function, ty)
            }
            ("first_value" | "last_value", 1) => {
                let ty = args.first().map_or(PgType::TEXT, |arg| arg.ty);
                let function = if name == "first_value" {
                    first_value_udwf()
                } else {
                    last_value_udwf()
                };
                let function = match (bounds.own.is_given(), name) {
                    (true, _) => function,
                    (false, "first_value") => framed(name, Over::First, bounds.own),
                    (false, _) => framed(name, Over::Last, bounds.own),
                };
                (function, ty)
            }
            ("nth_value", 2) => {
                let ty = args.first().map_or(PgType::TEXT, |arg| arg.ty);
                let at = args.remove(1);
                args.push(self.coerce(at, PgType::INT8, Context::Implicit)?);
                // DataFusion takes a literal only.
                let constant = args.last().and_then(coerce::constant);
                let constant = constant.is_some_and(|at| !at.is_null());
                let function = match bounds.own.is_given() && constant {
                    true => nth_value_udwf(),
                    false => framed(name, Over::Nth, bounds.own),
                };
                (function, ty)
            }
            _ => return Err(missing()),
        };
        let value = matches!(
            name,
            "lag" | "lead" | "first_value" | "last_value" | "nth_value"
        );
        let data = match args.first() {
            Some(first) if value => first.data.clone(),
            _ => arrow_type(ty),
        };
        let mut args: Vec<Expr> = args.into_iter().map(|arg| arg.expr).collect();
        if matches!(name, "first_value" | "last_value" | "nth_value") {
            args.extend(bounds.args);
        }
        let call = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(function),
            params: WindowFunctionParams {
                args,
                partition_by: window.partition_by,
                order_by: window.order_by,
                window_frame: bounds.given,
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        }));
        if value || ty.oid == PgType::FLOAT8.oid {
            return Ok(Typed {
                expr: call,
                ty,
                data,
            });
        }
        // DataFusion counts in unsigned integers.
        let counted = Typed {
            expr: call,
            ty,
            data: arrow::datatypes::DataType::UInt64,
        };
        Ok(native(counted, ty, data))
    }

    fn window_aggregate(
        &mut self,
        name: &str,
        call: &ast::Function,
        window: Window,
        bounds: Bounds,
    ) -> Result<Typed> {
        if !call.within_group.is_empty() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("OVER is not supported for ordered-set aggregate {name}"),
            ));
        }
        let typed = self.within(Clause::Window, |binder| binder.aggregate_call(name, call))?;
        // The aggregates inside become window functions over this window.
        let expr = replace_aggregates(typed.expr, &|aggregate| {
            if !aggregate.params.order_by.is_empty() {
                return Err(Error::unsupported(
                    "ORDER BY inside an aggregate with OVER",
                    "Order the window instead.",
                ));
            }
            if aggregate.params.distinct {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "DISTINCT is not implemented for window functions",
                ));
            }
            let mut args = aggregate.params.args.clone();
            let mut filter = aggregate.params.filter.clone();
            let retracted = match aggregate.func.name() {
                "sum" => !matches!(typed.ty.oid, oid::FLOAT4 | oid::FLOAT8),
                name => RETRACTED.contains(&name),
            };
            let own = bounds.own;
            let fun = match own.is_given() && (retracted || !slides(&bounds.given)) {
                true => WindowFunctionDefinition::AggregateUDF(aggregate.func.clone()),
                false => {
                    let over = Over::Aggregate(aggregate.func.clone(), filter.is_some());
                    args.extend(filter.take().map(|condition| *condition));
                    args.extend(bounds.args.iter().cloned());
                    let function = framed(aggregate.func.name(), over, own);
                    WindowFunctionDefinition::WindowUDF(function)
                }
            };
            Ok(Expr::WindowFunction(Box::new(WindowFunction {
                fun,
                params: WindowFunctionParams {
                    args,
                    partition_by: window.partition_by.clone(),
                    order_by: window.order_by.clone(),
                    window_frame: bounds.given.clone(),
                    filter,
                    null_treatment: None,
                    distinct: false,
                },
            })))
        })?;
        Ok(Typed { expr, ..typed })
    }

    fn window(&mut self, over: &WindowType) -> Result<Window> {
        match over {
            WindowType::NamedWindow(name) => self.named_window(&fold(name)),
            WindowType::WindowSpec(spec) => self.window_spec(spec),
        }
    }

    fn named_window(&mut self, name: &str) -> Result<Window> {
        let found = self
            .frames
            .last()
            .and_then(|frame| frame.windows.iter().find(|(known, _)| known == name))
            .map(|(_, window)| window.clone());
        match found {
            Some(NamedWindowExpr::NamedWindow(other)) if fold(&other) != name => {
                self.named_window(&fold(&other))
            }
            Some(NamedWindowExpr::WindowSpec(spec)) => {
                self.deeper(|binder| binder.window_spec(&spec))
            }
            _ => Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("window \"{name}\" does not exist"),
            )),
        }
    }

    fn window_spec(&mut self, spec: &WindowSpec) -> Result<Window> {
        let (exclude, base) = excluded(spec.window_name.as_ref());
        let base = match base {
            Some(name) => Some(self.named_window(&name)?),
            None => None,
        };
        let mut partition_by = Vec::with_capacity(spec.partition_by.len());
        for expr in &spec.partition_by {
            let typed = self.expr(expr)?;
            let typed = self.settle(typed)?;
            partition_by.push(self.order_expr(typed)?);
        }
        let mut order_by = Vec::with_capacity(spec.order_by.len());
        let mut keys = Vec::with_capacity(spec.order_by.len());
        for item in &spec.order_by {
            check::order_by(item)?;
            let typed = self.expr(&item.expr)?;
            let typed = self.settle(typed)?;
            keys.push(typed.clone());
            let expr = self.order_expr(typed)?;
            order_by.push(sort(expr, item));
        }
        if let Some(base) = base {
            if !partition_by.is_empty() || !order_by.is_empty() && !base.order_by.is_empty() {
                return Err(Error::new(
                    SqlState::WINDOWING_ERROR,
                    "cannot override PARTITION BY clause of window",
                ));
            }
            partition_by = base.partition_by;
            if order_by.is_empty() {
                order_by = base.order_by;
                keys = base.keys;
            }
        }
        Ok(Window {
            partition_by,
            order_by,
            keys,
            frame: spec.window_frame.clone(),
            exclude,
        })
    }
}

/// What a window's frame excludes, and the window that it extends: the parser has no place for
/// EXCLUDE, so it stands before the name, marked by a `?`.
fn excluded(name: Option<&ast::Ident>) -> (Option<Exclude>, Option<String>) {
    let Some(name) = name else {
        return (None, None);
    };
    let marks = [
        ("?CURRENT ROW", Exclude::CurrentRow),
        ("?GROUP", Exclude::Group),
        ("?TIES", Exclude::Ties),
    ];
    for (mark, exclude) in marks {
        if let Some(rest) = name.value.strip_prefix(mark) {
            return (Some(exclude), rest.strip_prefix('?').map(str::to_owned));
        }
    }
    (None, Some(fold(name)))
}

/// Whether rows leave the frame from one row to the next.
fn slides(frame: &WindowFrame) -> bool {
    !matches!(&frame.start_bound, WindowFrameBound::Preceding(offset) if offset.is_null())
}

fn replace_aggregates(
    expr: Expr,
    replace: &dyn Fn(&datafusion::logical_expr::expr::AggregateFunction) -> Result<Expr>,
) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
    let rewritten = expr.transform_down(|node| match &node {
        Expr::AggregateFunction(aggregate) => {
            let new = replace(aggregate)?;
            Ok(Transformed::new(new, true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
}
