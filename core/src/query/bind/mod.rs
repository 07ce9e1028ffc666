//! From a parsed query to a logical plan whose every expression has its PostgreSQL type.
//!
//! DataFusion's own planner is not used: PostgreSQL decides types of literals, parameters, operators
//! and functions while it resolves names, and reports mistakes then. The binder does the same, and
//! inserts every cast that is needed, so that DataFusion coerces nothing.
//!
//! | file | what it binds |
//! |---|---|
//! | `query`, `with`, `set_operation` | VALUES, ORDER BY, LIMIT; WITH; UNION and its kin |
//! | `select`, `grouping`, `grouped`, `sorting` | one SELECT: its list; GROUP BY; aggregates; DISTINCT, ORDER BY, LIMIT |
//! | `keys` | what stands for a value where equal values may differ in their bytes |
//! | `from`, `join`, `relation`, `table_function`, `json_record` | FROM: joins, tables and views, functions |
//! | `expr`, `predicate`, `array`, `record` | expressions |
//! | `subquery`, `quantified` | sub-queries in expressions |
//! | `apply`, `subquery_form`, `decorrelate`, `push_*`, `outer` | sub-queries that refer to outer rows, as joins |
//! | `operator`, `comparison`, `arithmetic`, `overlaps` | operators |
//! | `call`, `conditional`, `aggregate`, `aggregate_sum`, `outer_aggregate`, `window`, `window_frame` | calls |
//! | `coerce` | types: of unknown literals and parameters, common types, casts |

mod aggregate;
mod aggregate_sum;
mod apply;
mod arithmetic;
mod array;
mod call;
mod check;
mod coerce;
mod comparison;
mod conditional;
mod decorrelate;
mod expr;
mod from;
mod grouped;
mod grouping;
mod join;
mod json_record;
mod keys;
mod literal;
mod operator;
mod outer;
mod outer_aggregate;
mod overlaps;
mod predicate;
mod push_aggregate;
mod push_join;
mod push_recursive;
mod push_shared;
mod quantified;
mod query;
mod record;
mod relation;
mod resolve;
mod scope;
mod select;
mod set_operation;
mod sorting;
mod subquery;
mod subquery_form;
mod table_function;
mod window;
mod window_frame;
mod with;

pub(super) use coerce::{ZONE, arrow_type};
pub(super) use scope::{Item, OutColumn, Typed};

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;

use super::functions::Functions;
use super::{PlanContext, SystemCatalog};
use crate::error::{Error, Result, SqlState};
use crate::types::{Datum, PgType};
use scope::{Cte, Frame};

/// How deep queries, views and expressions may nest.
const MAX_DEPTH: usize = 160;

/// A bound query.
#[derive(Clone)]
pub(super) struct Bound {
    pub plan: LogicalPlan,
    /// One for each column of `plan`, in order.
    pub columns: Vec<OutColumn>,
}

/// Where an expression stands: what it may contain, and what it is called in messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Clause {
    Select,
    Where,
    JoinOn,
    GroupBy,
    Having,
    OrderBy,
    DistinctOn,
    Values,
    Limit,
    From,
    Aggregate,
    Window,
    Scalar,
}

impl Clause {
    fn name(self) -> &'static str {
        match self {
            Clause::Select => "SELECT",
            Clause::Where => "WHERE",
            Clause::JoinOn => "JOIN conditions",
            Clause::GroupBy => "GROUP BY",
            Clause::Having => "HAVING",
            Clause::OrderBy => "ORDER BY",
            Clause::DistinctOn => "DISTINCT ON",
            Clause::Values => "VALUES",
            Clause::Limit => "LIMIT",
            Clause::From => "functions in FROM",
            Clause::Aggregate => "aggregate function calls",
            Clause::Window => "window definitions",
            Clause::Scalar => "this expression",
        }
    }
}

/// A stable expression without columns (`now()`, `current_user`): evaluated once for each
/// execution, and a placeholder in the plan.
#[derive(Clone, Debug)]
pub(super) struct Late {
    pub id: String,
    pub expr: Expr,
}

/// Binds one statement.
pub(super) struct Binder<'a> {
    context: &'a PlanContext<'a>,
    functions: &'a Functions,
    system: &'a Arc<dyn SystemCatalog>,
    /// Types of parameters so far; UNKNOWN while open.
    parameters: Vec<PgType>,
    late: Vec<Late>,
    /// Table aliases in use: the plan's are unique, whatever the query's are.
    qualifiers: HashSet<String>,
    /// Enclosing queries, outermost first.
    frames: Vec<Frame>,
    ctes: Vec<Cte>,
    /// For each open sub-query, what it refers to outside, with the level of the frame.
    references: Vec<Vec<(usize, Expr)>>,
    clause: Clause,
    /// How many operators other than AND and OR surround the expression: a sub-query there is a
    /// value, elsewhere in a condition it may become a join.
    conditional: usize,
    /// How many ORs do.
    alternative: usize,
    /// How many SELECTs are being bound, one inside the other.
    selects: usize,
    /// How many recursive queries are being bound.
    recursing: usize,
    depth: usize,
    next: usize,
    /// Rows as values, whose fields are known.
    records: Vec<record::Record>,
    /// Shared rows that carry bindings already.
    pushed: Vec<push_shared::Carrying>,
}

impl<'a> Binder<'a> {
    pub fn new(
        context: &'a PlanContext<'a>,
        functions: &'a Functions,
        system: &'a Arc<dyn SystemCatalog>,
    ) -> Self {
        Binder {
            context,
            functions,
            system,
            parameters: context.parameters.to_vec(),
            late: Vec::new(),
            qualifiers: HashSet::new(),
            frames: Vec::new(),
            ctes: Vec::new(),
            references: Vec::new(),
            clause: Clause::Select,
            conditional: 0,
            alternative: 0,
            selects: 0,
            recursing: 0,
            depth: 0,
            next: 0,
            records: Vec::new(),
            pushed: Vec::new(),
        }
    }

    /// Binds a whole statement; its open parameters become text.
    pub fn statement(&mut self, query: &ast::Query) -> Result<Bound> {
        let bound = self.query(query, query::Place::Top)?;
        Ok(bound)
    }

    /// Types of all parameters and the expressions to evaluate for each execution.
    pub fn finish(self) -> (Vec<PgType>, Vec<Late>) {
        let parameters = self
            .parameters
            .into_iter()
            .map(|ty| {
                if ty.oid == PgType::UNKNOWN.oid {
                    PgType::TEXT
                } else {
                    ty
                }
            })
            .collect();
        (parameters, self.late)
    }

    /// Binds scalar expressions over the columns of one table, each with the columns of `items`.
    pub fn scalars(&mut self, expressions: &[ast::Expr], items: Vec<Item>) -> Result<Vec<Typed>> {
        self.frames.push(Frame::of(items));
        self.clause = Clause::Scalar;
        let bound = expressions
            .iter()
            .map(|expression| {
                let typed = self.expr(expression)?;
                self.settle(typed)
            })
            .collect();
        self.frames.pop();
        bound
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            )
            .hint("Nest expressions and queries less deeply."));
        }
        // Statements can be long: what stops them stops them here too.
        self.context.info.interrupt.check()?;
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Binds with another clause in force.
    fn within<T>(
        &mut self,
        clause: Clause,
        inner: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = std::mem::replace(&mut self.clause, clause);
        let conditional = std::mem::take(&mut self.conditional);
        let alternative = std::mem::take(&mut self.alternative);
        let result = inner(self);
        self.clause = before;
        self.conditional = conditional;
        self.alternative = alternative;
        result
    }

    /// A table alias that nothing else in the plan has.
    fn qualifier(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while !self.qualifiers.insert(name.clone()) {
            self.next += 1;
            name = format!("{wanted}_{}", self.next);
        }
        name
    }

    fn constant(&self, datum: &Datum<'_>, ty: PgType) -> Result<Typed> {
        coerce::literal(datum, ty)
    }
}

/// An identifier as PostgreSQL folds it.
pub(super) fn fold(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

fn unsupported<T>(what: &str, instead: &str) -> Result<T> {
    Err(Error::unsupported(what, instead))
}

fn syntax<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(SqlState::SYNTAX_ERROR, message))
}
