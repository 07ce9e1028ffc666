//! Arrays: their constructor, their items and slices.

use datafusion::sql::sqlparser::ast::{self, AccessExpr, Expr as Ast, Subscript};

use super::coerce::{self, arrow_type};
use super::scope::Typed;
use super::{Binder, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};
use crate::query::functions;
use crate::types::cast::Context;
use crate::types::names::{array_type, element_of, format_type};
use crate::types::{Array, Datum, PgType, oid};

impl Binder<'_> {
    pub(super) fn array(&mut self, items: &[Ast]) -> Result<Typed> {
        self.array_of(items, None)
    }

    pub(super) fn array_of(&mut self, items: &[Ast], element: Option<PgType>) -> Result<Typed> {
        let mut bound = Vec::with_capacity(items.len());
        for item in items {
            let item = self.expr(item)?;
            bound.push(match element {
                Some(element) => self.coerce(item, element, Context::Explicit)?,
                None => item,
            });
        }
        if bound.is_empty() && element.is_none() {
            return Err(Error::new(
                SqlState::INDETERMINATE_DATATYPE,
                "cannot determine type of empty array",
            )
            .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
        }
        let (bound, element, _) = match element {
            Some(element) => self.unify_to(bound, PgType::new(element.oid))?,
            None => self.unify(bound, "ARRAY")?,
        };
        if element_of(element.oid).is_some() {
            return unsupported(
                "an array of more than one dimension",
                "Use a one-dimensional array or jsonb.",
            );
        }
        let element = PgType::new(element.oid);
        let ty = array_type(element)?;
        let values: Option<Vec<Datum<'static>>> = bound.iter().map(coerce::constant).collect();
        if let Some(items) = values {
            let array = Datum::Array(Box::new(Array { element, items }));
            return self.constant(&array, ty);
        }
        let function =
            functions::array_builder(element, bound.iter().map(|item| item.ty).collect());
        let args = bound.into_iter().map(|item| item.expr).collect();
        Ok(self.call(function, args, ty, arrow_type(ty)))
    }

    pub(super) fn access(&mut self, root: &Ast, chain: &[AccessExpr]) -> Result<Typed> {
        if matches!(root, Ast::Array(_)) {
            return syntax("syntax error at or near \"[\"");
        }
        // `a.b[1]`: leading names belong to the column reference.
        let mut names: Vec<ast::Ident> = match root {
            Ast::Identifier(name) => vec![name.clone()],
            Ast::CompoundIdentifier(names) => names.clone(),
            // `(e).name`: a field of the row `e`.
            Ast::Nested(inner) => match (inner.as_ref(), chain.first()) {
                (Ast::Identifier(name), Some(AccessExpr::Dot(Ast::Identifier(_)))) => {
                    vec![name.clone()]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let mut rest = chain;
        while let (false, Some((AccessExpr::Dot(Ast::Identifier(name)), after))) =
            (names.is_empty(), rest.split_first())
        {
            names.push(name.clone());
            rest = after;
        }
        let mut value = if names.is_empty() {
            self.expr(root)?
        } else {
            self.column(&names)?
        };
        for access in rest {
            value = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    if value.ty.oid == oid::JSONB {
                        self.call_named("json_get_op", vec![value, index])?
                    } else if element_of(value.ty.oid).is_some() {
                        let index = self.coerce(index, PgType::INT4, Context::Assignment)?;
                        self.call_named("array_get_op", vec![value, index])?
                    } else {
                        return Err(Error::new(
                            SqlState::DATATYPE_MISMATCH,
                            format!(
                                "cannot subscript type {} because it does not support subscripting",
                                format_type(value.ty)
                            ),
                        ));
                    }
                }
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride: None,
                }) => {
                    let lower = self.bound(lower_bound.as_ref(), i32::MIN)?;
                    let upper = self.bound(upper_bound.as_ref(), i32::MAX)?;
                    self.call_named("array_slice_op", vec![value, lower, upper])?
                }
                AccessExpr::Dot(Ast::Identifier(field)) if value.ty.oid == oid::RECORD => {
                    self.field(&value, &fold(field))?
                }
                AccessExpr::Dot(Ast::Identifier(field)) => {
                    return Err(Error::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!(
                            "column notation .{} applied to type {}, which is not a composite type",
                            fold(field),
                            format_type(value.ty)
                        ),
                    ));
                }
                other => {
                    return unsupported(
                        &format!("the field access {other}"),
                        "Select the column itself.",
                    );
                }
            };
        }
        Ok(value)
    }

    fn bound(&mut self, bound: Option<&Ast>, open: i32) -> Result<Typed> {
        match bound {
            Some(bound) => {
                let typed = self.expr(bound)?;
                self.coerce(typed, PgType::INT4, Context::Assignment)
            }
            None => self.constant(&Datum::Int4(open), PgType::INT4),
        }
    }
}
