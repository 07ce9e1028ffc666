//! Calls of the few functions that compile.

use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::compiler::{Compiler, Item, Scope};
use super::convert::{converted, string_value};
use super::expr::{Expr, Node};
use crate::catalog::{Object, QualifiedName};
use crate::types::cast::Context;
use crate::types::{PgType, names, oid};

impl Compiler<'_> {
    pub(super) fn function(&mut self, function: &ast::Function, scope: Scope<'_>) -> Option<Expr> {
        if function.filter.is_some()
            || function.over.is_some()
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None)
        {
            return None;
        }
        let parts = super::super::names::parts(&function.name);
        let name = match parts.as_slice() {
            [name] => name.as_str(),
            [schema, name] if schema == "pg_catalog" => name.as_str(),
            _ => return None,
        };
        let (bare, arguments) = match &function.args {
            FunctionArguments::None => (true, Vec::new()),
            FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return None;
                }
                let mut arguments = Vec::with_capacity(list.args.len());
                for argument in &list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(expr),
                        _ => return None,
                    }
                }
                (false, arguments)
            }
            FunctionArguments::Subquery(_) => return None,
        };
        let now = Expr {
            node: Node::TransactionStart,
            ty: PgType::TIMESTAMPTZ,
        };
        Some(match (name, bare, arguments.as_slice()) {
            ("now" | "transaction_timestamp", false, []) | ("current_timestamp", true, []) => now,
            ("statement_timestamp", false, []) => Expr {
                node: Node::StatementStart,
                ty: PgType::TIMESTAMPTZ,
            },
            ("clock_timestamp", false, []) => Expr {
                node: Node::Clock,
                ty: PgType::TIMESTAMPTZ,
            },
            ("localtimestamp", true, []) => converted(now, PgType::TIMESTAMP, Context::Explicit)?,
            ("current_date", true, []) => converted(now, PgType::DATE, Context::Explicit)?,
            ("gen_random_uuid", false, []) => Expr {
                node: Node::RandomUuid,
                ty: PgType::UUID,
            },
            ("current_user" | "user" | "current_role", true, []) => Expr {
                node: Node::CurrentUser,
                ty: PgType::NAME,
            },
            ("session_user", true, []) => Expr {
                node: Node::SessionUser,
                ty: PgType::NAME,
            },
            ("nextval", false, [sequence]) => {
                let name = sequence_name(sequence)?;
                let oid = self.sequence(&name)?;
                Expr {
                    node: Node::NextValue(oid),
                    ty: PgType::INT8,
                }
            }
            ("coalesce", false, [_, ..]) => {
                let mut items = Vec::with_capacity(arguments.len());
                for argument in &arguments {
                    items.push(self.item(argument, scope)?);
                }
                let ty = items.iter().find_map(|item| match item {
                    Item::Known(expr) => Some(PgType::new(expr.ty.oid)),
                    _ => None,
                });
                let ty = ty.unwrap_or(PgType::TEXT);
                let mut same = Vec::with_capacity(items.len());
                for item in items {
                    let item = self.coerce(item, ty)?;
                    // Different types need PostgreSQL's rules for a common one.
                    if item.ty.oid != ty.oid {
                        return None;
                    }
                    same.push(item);
                }
                Expr {
                    node: Node::Coalesce(same),
                    ty,
                }
            }
            _ => return None,
        })
    }

    fn sequence(&self, text: &str) -> Option<u32> {
        let name = sequence_reference(text)?;
        match self.catalog.resolve(&name, &self.info.search_path)? {
            Object::Sequence(sequence) => Some(sequence.oid),
            _ => None,
        }
    }
}

/// The text in `nextval('name')` or `nextval('name'::regclass)`.
fn sequence_name(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::Value(value) => string_value(&value.value).map(str::to_owned),
        ast::Expr::Nested(inner) => sequence_name(inner),
        ast::Expr::Cast {
            expr, data_type, ..
        } => {
            let ty = names::from_sql(data_type).ok()?;
            matches!(ty.oid, oid::REGCLASS | oid::TEXT)
                .then(|| sequence_name(expr))
                .flatten()
        }
        _ => None,
    }
}

/// A name in a string: parts separated by dots, quoted or folded.
fn sequence_reference(text: &str) -> Option<QualifiedName> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            c if quoted => part.push(c),
            c => part.extend(c.to_lowercase()),
        }
    }
    parts.push(part);
    match parts.as_slice() {
        [name] => Some(QualifiedName {
            schema: None,
            name: name.clone(),
        }),
        [schema, name] => Some(QualifiedName {
            schema: Some(schema.clone()),
            name: name.clone(),
        }),
        _ => None,
    }
}
