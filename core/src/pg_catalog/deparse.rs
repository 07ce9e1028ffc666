//! Definitions as SQL text, in the words of PostgreSQL's `ruleutils`: what `\d` and the
//! `pg_get_*def` functions show.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, UnaryOperator, Value, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::catalog::{
    Action, Catalog, Constraint, ConstraintKind, Index, Object, SearchPath, Table, View, fold,
    quote,
};
use crate::query::SessionInfo;
use crate::types::{PgType, names, oid};

/// `CREATE UNIQUE INDEX i ON public.t USING btree (a, b DESC)`.
pub fn index_definition(catalog: &Catalog, index: &Index) -> Option<String> {
    let table = catalog.table(index.table)?;
    let schema = catalog.schema_name(table.schema)?;
    let unique = if index.unique { "UNIQUE " } else { "" };
    let columns: Vec<String> = index
        .columns
        .iter()
        .enumerate()
        .filter_map(|(at, position)| {
            let name = quote(&table.columns.get(*position)?.name);
            let desc = index.descending.get(at).copied().unwrap_or(false);
            Some(if desc { format!("{name} DESC") } else { name })
        })
        .collect();
    let nulls = if index.nulls_not_distinct {
        " NULLS NOT DISTINCT"
    } else {
        ""
    };
    Some(format!(
        "CREATE {unique}INDEX {} ON {}.{} USING btree ({}){nulls}",
        quote(&index.name),
        quote(schema),
        quote(&table.name),
        columns.join(", ")
    ))
}

/// `FOREIGN KEY (a) REFERENCES p(id) ON DELETE CASCADE`, `CHECK ((a > 0))`, ….
pub fn constraint_definition(
    catalog: &Catalog,
    path: &SearchPath,
    table: &Table,
    constraint: &Constraint,
    pretty: bool,
) -> String {
    let list = |table: &Table, columns: &[usize]| {
        let names: Vec<String> = columns
            .iter()
            .filter_map(|at| Some(quote(&table.columns.get(*at)?.name)))
            .collect();
        names.join(", ")
    };
    let key = |index: u32| match catalog.object(index) {
        Some(Object::Index(index)) => list(table, &index.columns),
        _ => String::new(),
    };
    match &constraint.kind {
        ConstraintKind::PrimaryKey { index } => format!("PRIMARY KEY ({})", key(*index)),
        ConstraintKind::Unique { index } => {
            let nulls = match catalog.object(*index) {
                Some(Object::Index(index)) if index.nulls_not_distinct => "NULLS NOT DISTINCT ",
                _ => "",
            };
            format!("UNIQUE {nulls}({})", key(*index))
        }
        ConstraintKind::Check { expression } => {
            format!("CHECK ({})", expression_text(table, expression, pretty))
        }
        ConstraintKind::ForeignKey(it) => {
            let Some(parent) = catalog.table(it.table) else {
                return String::new();
            };
            let name = catalog.display_name(&Object::Table(Arc::clone(parent)), path);
            let mut out = format!(
                "FOREIGN KEY ({}) REFERENCES {name}({})",
                list(table, &it.columns),
                list(parent, &it.referenced)
            );
            if it.match_full {
                out.push_str(" MATCH FULL");
            }
            for (event, action) in [("UPDATE", it.on_update), ("DELETE", it.on_delete)] {
                let action = match action {
                    Action::NoAction => continue,
                    Action::Restrict => "RESTRICT",
                    Action::Cascade => "CASCADE",
                    Action::SetNull => "SET NULL",
                    Action::SetDefault => "SET DEFAULT",
                };
                out.push_str(&format!(" ON {event} {action}"));
            }
            out
        }
    }
}

/// A view's query, as `pg_get_viewdef` ends it.
pub(super) fn view_text(view: &View) -> String {
    format!(" {};", view.query)
}

/// A stored default as the session shows it: sequences without a schema that its path finds.
pub(super) fn default_text(catalog: &Catalog, info: &SessionInfo, stored: &str) -> String {
    let Some(mut expr) = parse(stored) else {
        return stored.to_owned();
    };
    let _: ControlFlow<()> =
        datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut expr, |part| {
            if let Expr::Cast {
                expr, data_type, ..
            } = part
                && data_type.to_string().eq_ignore_ascii_case("regclass")
                && let Expr::Value(value) = expr.as_mut()
                && let Value::SingleQuotedString(name) = &mut value.value
            {
                *name = shorten(catalog, info, name);
            }
            ControlFlow::Continue(())
        });
    Deparser {
        table: None,
        pretty: false,
    }
    .text(&expr)
}

fn shorten(catalog: &Catalog, info: &SessionInfo, name: &str) -> String {
    let Ok(parsed) = Parser::new(&SqlDialect)
        .try_with_sql(name)
        .and_then(|mut parser| parser.parse_object_name(false))
    else {
        return name.to_owned();
    };
    let Ok(parsed) = crate::catalog::QualifiedName::from_ast(&parsed) else {
        return name.to_owned();
    };
    match catalog.resolve(&parsed, &info.search_path) {
        Some(object) => catalog.display_name(object, &info.search_path),
        None => name.to_owned(),
    }
}

/// A stored expression over the columns of `table`, as PostgreSQL writes it.
/// With `pretty`, parentheses that precedence makes needless are left out.
pub fn expression_text(table: &Table, stored: &str, pretty: bool) -> String {
    match parse(stored) {
        Some(expr) => Deparser {
            table: Some(table),
            pretty,
        }
        .text(&expr),
        None => stored.to_owned(),
    }
}

/// Positions of the columns that a stored expression names.
pub(super) fn columns_of(table: &Table, stored: &str) -> Vec<usize> {
    let mut found = std::collections::BTreeSet::new();
    if let Some(expr) = parse(stored) {
        let _: ControlFlow<()> = visit_expressions(&expr, |part| {
            let ident = match part {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            found.extend(ident.and_then(|ident| table.column(&fold(ident))));
            ControlFlow::Continue(())
        });
    }
    found.into_iter().collect()
}

fn parse(stored: &str) -> Option<Expr> {
    Parser::new(&SqlDialect)
        .try_with_sql(stored)
        .and_then(|mut parser| parser.parse_expr())
        .ok()
}

/// Writes expressions with PostgreSQL's parentheses and casts. What it does not know it writes as
/// it was given.
struct Deparser<'a> {
    table: Option<&'a Table>,
    pretty: bool,
}

impl Deparser<'_> {
    fn text(&self, expr: &Expr) -> String {
        self.typed(expr, None)
    }

    /// `beside` is the type of the other operand, which string constants take.
    fn typed(&self, expr: &Expr, beside: Option<PgType>) -> String {
        match expr {
            Expr::Nested(inner) => self.typed(inner, beside),
            Expr::Identifier(ident) => quote(&fold(ident)),
            Expr::CompoundIdentifier(parts) => parts
                .last()
                .map_or_else(String::new, |ident| quote(&fold(ident))),
            Expr::Value(value) => self.value(&value.value, beside),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => match inner.as_ref() {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, _) => {
                        let ty = if digits.contains(['.', 'e', 'E']) {
                            "numeric"
                        } else if digits.parse::<i32>().is_ok() {
                            "integer"
                        } else {
                            "bigint"
                        };
                        format!("'-{digits}'::{ty}")
                    }
                    _ => expr.to_string(),
                },
                inner => self.wrap(format!("- {}", self.text(inner))),
            },
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => self.wrap(format!("NOT {}", self.text(expr))),
            Expr::IsNull(expr) => self.wrap(format!("{} IS NULL", self.operand(expr))),
            Expr::IsNotNull(expr) => self.wrap(format!("{} IS NOT NULL", self.operand(expr))),
            Expr::IsTrue(expr) => self.wrap(format!("{} IS TRUE", self.operand(expr))),
            Expr::IsFalse(expr) => self.wrap(format!("{} IS FALSE", self.operand(expr))),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let (from, to, glue) = if *negated {
                    ("<", ">", "OR")
                } else {
                    (">=", "<=", "AND")
                };
                let ty = self.type_of(expr);
                let it = self.operand(expr);
                let low = self.wrap(format!("{it} {from} {}", self.typed(low, ty)));
                let high = self.wrap(format!("{it} {to} {}", self.typed(high, ty)));
                self.wrap(format!("{low} {glue} {high}"))
            }
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let ty = self.type_of(expr);
                let items: Vec<String> = list.iter().map(|item| self.list_item(item, ty)).collect();
                let items = items.join(", ");
                let (op, word) = if *negated {
                    ("<>", "ALL")
                } else {
                    ("=", "ANY")
                };
                let list = match (ty.is_some_and(|ty| ty.oid == oid::VARCHAR), self.pretty) {
                    (false, _) => format!("ARRAY[{items}]"),
                    (true, false) => format!("(ARRAY[{items}])::text[]"),
                    (true, true) => format!("ARRAY[{items}]::text[]"),
                };
                self.wrap(format!("{} {op} {word} ({list})", self.operand(expr)))
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                any: false,
                escape_char: None,
            } => self.like(expr, if *negated { "!~~" } else { "~~" }, pattern),
            Expr::ILike {
                negated,
                expr,
                pattern,
                any: false,
                escape_char: None,
            } => self.like(expr, if *negated { "!~~*" } else { "~~*" }, pattern),
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                let ty = match names::from_sql(data_type) {
                    Ok(ty) => names::format_type(ty),
                    Err(_) => data_type.to_string(),
                };
                match inner.as_ref() {
                    Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
                        format!("{}::{ty}", value.value)
                    }
                    inner => format!("({})::{ty}", self.text(inner)),
                }
            }
            Expr::Function(function) if function.over.is_none() => self.function(function, expr),
            Expr::Substring { .. } | Expr::Trim { .. } => expr.to_string(),
            other => other.to_string(),
        }
    }

    fn function(
        &self,
        function: &datafusion::sql::sqlparser::ast::Function,
        whole: &Expr,
    ) -> String {
        use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};

        let name = function.name.to_string().to_lowercase();
        let FunctionArguments::List(list) = &function.args else {
            return match &function.args {
                FunctionArguments::None => name.to_uppercase(),
                _ => whole.to_string(),
            };
        };
        let mut arguments = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    arguments.push(self.text(expr))
                }
                _ => return whole.to_string(),
            }
        }
        let name = if matches!(name.as_str(), "coalesce" | "greatest" | "least" | "nullif") {
            name.to_uppercase()
        } else {
            name
        };
        format!("{name}({})", arguments.join(", "))
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
        let op = match op {
            BinaryOperator::NotEq => "<>".to_owned(),
            BinaryOperator::PGLikeMatch => "~~".to_owned(),
            op => op.to_string(),
        };
        let (left_ty, right_ty) = (self.type_of(left), self.type_of(right));
        if matches!(op.as_str(), "AND" | "OR") {
            // A chain of one connective has one pair of parentheses.
            let mut parts = Vec::new();
            self.chain(left, &op, &mut parts);
            self.chain(right, &op, &mut parts);
            return self.wrap(parts.join(&format!(" {op} ")));
        }
        let side = |expr: &Expr, own: Option<PgType>, other: Option<PgType>| match own {
            Some(_) => self.operand(expr),
            None => {
                let text = self.typed(expr, other);
                if self.pretty && is_operator(expr) {
                    format!("({text})")
                } else {
                    text
                }
            }
        };
        let (left, right) = (
            side(left, left_ty, right_ty),
            side(right, right_ty, left_ty),
        );
        self.wrap(format!("{left} {op} {right}"))
    }

    /// Parentheses around an operator's expression, which the pretty form does without.
    fn wrap(&self, text: String) -> String {
        if self.pretty {
            text
        } else {
            format!("({text})")
        }
    }

    fn chain(&self, expr: &Expr, op: &str, parts: &mut Vec<String>) {
        match expr {
            Expr::Nested(inner) => self.chain(inner, op, parts),
            Expr::BinaryOp {
                left,
                op: own,
                right,
            } if own.to_string() == op => {
                self.chain(left, op, parts);
                self.chain(right, op, parts);
            }
            // OR inside AND keeps its parentheses.
            Expr::BinaryOp {
                op: BinaryOperator::Or,
                ..
            } if self.pretty => {
                parts.push(format!("({})", self.text(expr)));
            }
            other => parts.push(self.text(other)),
        }
    }

    fn like(&self, expr: &Expr, op: &str, pattern: &Expr) -> String {
        let pattern = self.typed(pattern, self.type_of(expr));
        self.wrap(format!("{} {op} {pattern}", self.operand(expr)))
    }

    /// A column beside a comparison: varchar compares as text.
    fn operand(&self, expr: &Expr) -> String {
        let text = self.text(expr);
        match self.type_of(expr) {
            Some(ty) if ty.oid == oid::VARCHAR => format!("{}::text", self.wrap(text)),
            _ => text,
        }
    }

    fn list_item(&self, expr: &Expr, ty: Option<PgType>) -> String {
        match (expr, ty) {
            (Expr::Value(value), Some(ty)) if ty.oid == oid::VARCHAR => {
                format!("{}::character varying", value.value)
            }
            (expr, ty) => self.typed(expr, ty),
        }
    }

    fn value(&self, value: &Value, beside: Option<PgType>) -> String {
        match value {
            Value::SingleQuotedString(_) => {
                let ty = match beside {
                    Some(ty) if ty.oid != oid::VARCHAR => PgType::new(ty.oid),
                    _ => PgType::TEXT,
                };
                format!("{value}::{}", names::format_type(ty))
            }
            Value::Number(digits, _) => match beside {
                // A constant beside a column of another number type is converted beforehand.
                Some(ty) if ty.oid == oid::NUMERIC && !digits.contains('.') => {
                    format!("{}::numeric", self.wrap(digits.clone()))
                }
                Some(ty) if ty.oid == oid::FLOAT8 => {
                    format!("{}::double precision", self.wrap(digits.clone()))
                }
                _ => digits.clone(),
            },
            Value::Boolean(flag) => flag.to_string(),
            Value::Null => "NULL".to_owned(),
            other => other.to_string(),
        }
    }

    /// The type of a column; other expressions are not looked into.
    fn type_of(&self, expr: &Expr) -> Option<PgType> {
        let ident = match expr {
            Expr::Nested(inner) => return self.type_of(inner),
            Expr::Identifier(ident) => ident,
            Expr::CompoundIdentifier(parts) => parts.last()?,
            _ => return None,
        };
        let table = self.table?;
        Some(table.columns.get(table.column(&fold(ident))?)?.ty)
    }
}

fn is_operator(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_operator(inner),
        Expr::BinaryOp { .. } | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
        _ => false,
    }
}
