//! The parts of a statement: WITH queries that write, and sub-queries that lock.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    self, Ident, SetExpr, Statement, Visit, VisitMut, Visitor, VisitorMut,
};

use super::super::compiled::Compiler;
use super::super::lock_rows::LockRows;
use super::super::{Kind, write};
use super::{Column, Part, column, parsed, stored_rows};
use crate::error::{Error, Result};
use crate::query::PlanContext;
use crate::sql::{Engine, Locking};

/// Looks for sub-queries that lock. The locking clauses of the statement itself stand elsewhere.
struct Locks {
    /// Queries around the one at hand.
    depth: usize,
}

impl Locks {
    fn new(statement: &Statement) -> Locks {
        Locks {
            depth: usize::from(!matches!(statement, Statement::Query(_))),
        }
    }

    fn find(mut self, statement: &Statement) -> bool {
        statement.visit(&mut self).is_break()
    }
}

impl Visitor for Locks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if self.depth > 0 && !query.locks.is_empty() {
            return ControlFlow::Break(());
        }
        self.depth = self.depth.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

/// Takes out sub-queries that lock, and leaves reads of their rows.
struct TakeLocks<'n> {
    depth: usize,
    taken: Vec<(Ident, ast::Query)>,
    number: &'n mut usize,
}

impl VisitorMut for TakeLocks<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Error> {
        if self.depth > 0 && !query.locks.is_empty() {
            *self.number = self.number.saturating_add(1);
            let name = format!("?lock {}", self.number);
            match parsed(&format!("SELECT * FROM \"{name}\"")) {
                Ok(rows) => {
                    let taken = std::mem::replace(query, rows);
                    self.taken.push((Ident::with_quote('"', name), taken));
                }
                Err(error) => return ControlFlow::Break(error),
            }
        }
        self.depth = self.depth.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<Error> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

/// What is prepared so far.
pub(super) struct Preparation<'p, 'c> {
    pub engine: &'p Arc<Engine>,
    pub context: &'p PlanContext<'p>,
    pub compiler: &'p mut Compiler<'c>,
    pub parts: Vec<Part>,
    /// The WITH queries before the one at hand; parts among them read what is kept.
    pub before: ast::With,
    pub locks: usize,
}

impl Preparation<'_, '_> {
    fn with(&self) -> Option<&ast::With> {
        (!self.before.cte_tables.is_empty()).then_some(&self.before)
    }

    /// Takes sub-queries that lock out of a query or statement; they become parts.
    pub(super) async fn take_locks(
        &mut self,
        inside: &mut impl VisitMut,
        depth: usize,
    ) -> Result<()> {
        let mut locks = TakeLocks {
            depth,
            taken: Vec::new(),
            number: &mut self.locks,
        };
        if let ControlFlow::Break(error) = inside.visit(&mut locks) {
            return Err(error);
        }
        for (name, query) in locks.taken {
            let alias = ast::TableAlias {
                explicit: true,
                name,
                columns: Vec::new(),
                at: None,
            };
            self.lock(alias, query).await?;
        }
        Ok(())
    }

    pub(super) async fn cte(&mut self, mut cte: ast::Cte) -> Result<()> {
        let locks = std::mem::take(&mut cte.query.locks);
        self.take_locks(cte.query.as_mut(), 0).await?;
        if !locks.is_empty() {
            cte.query.locks = locks;
            return self.lock(cte.alias, *cte.query).await;
        }
        let Some(statement) = statement_of(&cte.query.body) else {
            self.before.cte_tables.push(cte);
            return Ok(());
        };
        if cte.query.with.is_some() {
            return Err(Error::unsupported(
                "a WITH clause inside a data-modifying WITH query",
                "Move its queries into the outer WITH clause.",
            ));
        }
        let with = (!self.before.cte_tables.is_empty()).then_some(&self.before);
        let write = write(self.engine, statement, with, self.context, self.compiler);
        let kind = Box::pin(write).await?;
        self.part(kind, cte.alias)
    }

    /// A query that locks what it reads.
    async fn lock(&mut self, alias: ast::TableAlias, mut query: ast::Query) -> Result<()> {
        let locking: Vec<Locking> = query.locks.iter().map(Locking::from).collect();
        query.locks.clear();
        if let Some(before) = self.with() {
            let mut with = before.clone();
            with.cte_tables
                .extend(query.with.take().into_iter().flat_map(|own| own.cte_tables));
            query.with = Some(with);
        }
        let rows = LockRows::prepare(self.engine, &query, &locking, self.context, self.compiler);
        let kind = Kind::LockRows(Box::new(rows.await?));
        self.part(kind, alias)
    }

    fn part(&mut self, kind: Kind, alias: ast::TableAlias) -> Result<()> {
        let returned = kind.columns();
        let columns: Vec<Column> = returned.iter().flat_map(|c| c.iter()).map(column).collect();
        if let Some(returned) = &returned {
            let rows = stored_rows(returned, &columns, self.compiler.parameters.len())?;
            self.before.cte_tables.push(ast::Cte {
                alias,
                query: Box::new(rows),
                from: None,
                materialized: None,
                closing_paren_token: AttachedToken::empty(),
            });
            let types = columns.iter().map(Column::array_type);
            let types = types.collect::<Result<Vec<_>>>()?;
            self.compiler.parameters.extend(types);
        }
        self.parts.push(Part { kind, columns });
        Ok(())
    }
}

/// Whether a statement has parts that write or lock.
pub(in super::super) fn has_parts(statement: &Statement) -> bool {
    let writes = match statement {
        Statement::Query(query) => query.with.iter().any(|with| {
            let mut queries = with.cte_tables.iter().map(|cte| &cte.query);
            queries.any(|query| statement_of(&query.body).is_some())
        }),
        _ => false,
    };
    writes || Locks::new(statement).find(statement)
}

pub(super) fn statement_of(body: &SetExpr) -> Option<&Statement> {
    match body {
        SetExpr::Insert(inner)
        | SetExpr::Update(inner)
        | SetExpr::Delete(inner)
        | SetExpr::Merge(inner) => Some(inner),
        _ => None,
    }
}
