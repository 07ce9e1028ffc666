//! COALESCE, NULLIF, GREATEST and LEAST: calls whose arguments share a type.

use datafusion::functions::core::coalesce as coalesce_udf;
use datafusion::logical_expr::{Expr, Operator};

use super::Binder;
use super::call::no_function;
use super::coerce;
use super::scope::Typed;
use crate::error::{Error, Result};
use crate::types::{Datum, oid};

impl Binder<'_> {
    pub(super) fn coalesce(&mut self, args: Vec<Typed>) -> Result<Typed> {
        let (args, ty, data) = self.unify(args, "COALESCE")?;
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(self.call(coalesce_udf(), args, ty, data))
    }

    pub(super) fn nullif(&mut self, args: Vec<Typed>) -> Result<Typed> {
        let mut args = args.into_iter();
        let (Some(first), Some(second)) = (args.next(), args.next()) else {
            return Err(no_function("nullif", &[]));
        };
        let first = if second.is_unknown() {
            first
        } else {
            self.open_as(first, second.ty)?
        };
        let first = self.settle(first)?;
        let same = self.compare(Operator::Eq, first.clone(), second.clone())?;
        // The result is of the type in which the two are compared.
        let second = match second.is_unknown() {
            true => first.ty,
            false => second.ty,
        };
        let first = match super::comparison::comparable(first.ty, second) {
            Some(ty) if ty.oid != first.ty.oid => self.implicit(first, ty)?,
            _ => first,
        };
        let null = coerce::with_data(
            coerce::literal(&Datum::Null, first.ty)?,
            first.ty,
            &first.data,
        );
        let case = datafusion::logical_expr::expr::Case::new(
            None,
            vec![(Box::new(same.expr), Box::new(null.expr))],
            Some(Box::new(first.expr.clone())),
        );
        Ok(Typed {
            expr: Expr::Case(case),
            ..first
        })
    }

    /// GREATEST and LEAST: NULLs do not count.
    pub(super) fn extreme(&mut self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        let what = if name == "greatest" {
            "GREATEST"
        } else {
            "LEAST"
        };
        let (args, ty, data) = self.unify(args, what)?;
        let function = if name == "greatest" {
            datafusion::functions::core::greatest()
        } else {
            datafusion::functions::core::least()
        };
        if let [_] = args.as_slice() {
            return args
                .into_iter()
                .next()
                .ok_or_else(|| Error::internal("no argument"));
        }
        match ty.oid {
            oid::INTERVAL => return self.call_named(&format!("interval_{name}_op"), args),
            oid::JSONB => return self.call_named(&format!("jsonb_{name}_op"), args),
            _ => {}
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        Ok(self.call(function, args, ty, data))
    }
}
