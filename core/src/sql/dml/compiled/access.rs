//! How a compiled statement finds its row: by the full primary key, or by a unique index.

use datafusion::sql::sqlparser::ast;

use super::expr::{Env, Expr, Node, Row};
use super::{Compiler, Scope};
use crate::error::Result;
use crate::sql::Context;
use crate::sql::dml::names::conjuncts;
use crate::sql::dml::target::Target;
use crate::sql::unique_index::holder;
use crate::txn::View;
use crate::types::ops::BinaryOp;
use crate::types::{Datum, PgType, key, oid};

/// The way to at most one row.
pub struct Access {
    /// Position in the target's indexes; `None` is the primary key.
    index: Option<usize>,
    /// Values of the key's columns, in key order.
    parts: Vec<Part>,
    /// What else the row must satisfy.
    pub residual: Option<Expr>,
}

/// A value that a key's column is compared with.
pub(super) struct Part {
    pub value: Expr,
    /// The column's type.
    pub ty: PgType,
}

impl Access {
    /// A placeholder that finds nothing.
    pub fn none() -> Access {
        Access {
            index: None,
            parts: vec![Part {
                value: Expr::constant(Datum::Null, PgType::INT4),
                ty: PgType::INT4,
            }],
            residual: None,
        }
    }

    /// Compiles a WHERE clause. `None` when it does not fix the key of a unique index, or when a
    /// part of it does not compile.
    pub(in crate::sql::dml) fn compile(
        compiler: &mut Compiler<'_>,
        target: &Target,
        alias: &str,
        selection: Option<&ast::Expr>,
    ) -> Option<Access> {
        let mut asts = Vec::new();
        conjuncts(selection?, &mut asts);
        let scope = Scope::table(&target.table, alias);
        let mut conditions = Vec::with_capacity(asts.len());
        for ast in asts {
            conditions.push(compiler.condition(ast, scope)?);
        }
        // (condition's number, column, value)
        let mut fixed = Vec::new();
        for (n, condition) in conditions.iter().enumerate() {
            if let Some((column, value)) = fixes(condition) {
                fixed.push((n, column, value));
            }
        }
        let mut candidates = Vec::new();
        if !target.table.primary_key.is_empty() {
            candidates.push((None, &target.table.primary_key));
        }
        for (at, index) in target.indexes.iter().enumerate() {
            if index.unique && index.storage.is_some() {
                candidates.push((Some(at), &index.columns));
            }
        }
        for (index, columns) in candidates {
            let mut parts = Vec::with_capacity(columns.len());
            let mut used = Vec::with_capacity(columns.len());
            for column in columns {
                let Some((n, _, value)) = fixed.iter().find(|(_, at, _)| at == column) else {
                    break;
                };
                used.push(*n);
                parts.push(Part {
                    value: (*value).clone(),
                    ty: *target.types.get(*column)?,
                });
            }
            if parts.len() != columns.len() {
                continue;
            }
            let mut residual: Option<Expr> = None;
            for (n, condition) in conditions.iter().enumerate() {
                if !used.contains(&n) {
                    residual = Some(match residual {
                        None => condition.clone(),
                        Some(all) => Expr {
                            node: Node::And(Box::new(all), Box::new(condition.clone())),
                            ty: PgType::BOOL,
                        },
                    });
                }
            }
            return Some(Access {
                index,
                parts,
                residual,
            });
        }
        None
    }

    /// Whether the row with the key is sealed; `None` when there is none.
    pub(in crate::sql::dml) fn is_sealed(
        &self,
        context: &mut Context<'_>,
        target: &Target,
    ) -> Result<Option<bool>> {
        let env = Env {
            row: Row::None,
            parameters: context.parameters,
            info: &context.info,
        };
        let Some(key) = self.key(&env)? else {
            return Ok(None);
        };
        let view = context.txn.view()?;
        let Some(key) = self.row_key(&view, target, key)? else {
            return Ok(None);
        };
        let found = view.get(target.table.storage, &key)?;
        Ok(found.map(|entry| entry.is_sealed()))
    }

    /// [`Expr::is_plain`] of all its expressions.
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| part.value.is_plain())
            && self.residual.as_ref().is_none_or(Expr::is_plain)
    }

    /// The key's bytes; `None` when no row can have it.
    pub fn key(&self, env: &Env<'_>) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::with_capacity(16);
        for part in &self.parts {
            let value = part.value.eval(env)?;
            match narrowed(value, part.ty) {
                Some(value) => key::encode(&value, part.ty, &mut out)?,
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// Key of the row in the table, from [`Access::key`]; `None` when the index has no such entry.
    /// Whether the row exists is not looked at when the key is the primary key.
    pub(in crate::sql::dml) fn row_key(
        &self,
        view: &View,
        target: &Target,
        key: Vec<u8>,
    ) -> Result<Option<Vec<u8>>> {
        match self.index.and_then(|at| target.indexes.get(at)) {
            None => Ok(Some(key)),
            Some(index) => holder(view, &target.table, index, &key),
        }
    }

    /// Whether a row that changed is still the one looked for.
    pub(in crate::sql::dml) fn matches(
        &self,
        target: &Target,
        env: &Env<'_>,
        row: Row<'_>,
    ) -> Result<bool> {
        if let Some(index) = self.index.and_then(|at| target.indexes.get(at)) {
            for (part, at) in self.parts.iter().zip(&index.columns) {
                let (value, now) = (part.value.eval(env)?, row.get(*at)?);
                let Some(value) = narrowed(value, part.ty) else {
                    return Ok(false);
                };
                if now.is_null() || crate::types::ops::compare(&value, &now).is_ne() {
                    return Ok(false);
                }
            }
        }
        match &self.residual {
            None => Ok(true),
            Some(residual) => residual.holds(&Env { row, ..*env }),
        }
    }
}

/// `column = value`, where the value does not depend on the row and compares as the key does.
pub(super) fn fixes(condition: &Expr) -> Option<(usize, &Expr)> {
    let Node::Binary(BinaryOp::Eq, left, right) = &condition.node else {
        return None;
    };
    let (column, value) = match (key_column(left), key_column(right)) {
        (Some(column), _) if !right.reads_row() => (column, right),
        (_, Some(column)) if !left.reads_row() => (column, left),
        _ => return None,
    };
    (!value.is_volatile()).then_some((column, value.as_ref()))
}

/// A column, as it is or widened to a type in which comparisons mean the same.
pub(super) fn key_column(expr: &Expr) -> Option<usize> {
    match &expr.node {
        Node::Column(at) if *at < Row::SECOND => Some(*at),
        Node::Cast(inner, _) => {
            let Node::Column(at) = inner.node else {
                return None;
            };
            let same = matches!(
                (inner.ty.oid, expr.ty.oid),
                (oid::INT2 | oid::INT4, oid::INT4 | oid::INT8) | (oid::VARCHAR, oid::TEXT)
            );
            (same && at < Row::SECOND).then_some(at)
        }
        _ => None,
    }
}

/// A value as the key column's type; `None` when it is NULL or an integer that does not fit.
pub(super) fn narrowed<'a>(value: Datum<'a>, ty: PgType) -> Option<Datum<'a>> {
    let wide = match value {
        Datum::Int2(value) => i64::from(value),
        Datum::Int4(value) => i64::from(value),
        Datum::Int8(value) => value,
        Datum::Null => return None,
        other => return Some(other),
    };
    match ty.oid {
        oid::INT2 => i16::try_from(wide).ok().map(Datum::Int2),
        oid::INT4 => i32::try_from(wide).ok().map(Datum::Int4),
        oid::INT8 => Some(Datum::Int8(wide)),
        _ => None,
    }
}
