//! What a statement needs to be allowed, read off its parsed form.
//!
//! Every way of running a statement begins here: the session asks once, when it plans, and keeps
//! the answer with the plan; a GRANT or REVOKE makes another catalog, and so another plan. The walk
//! resolves names as the binder does, but only as far as privileges go: which columns of which
//! relations are read and written. Where it cannot tell, it asks for more, never for less.
//!
//! | file | what it walks |
//! |---|---|
//! | `statement` | INSERT, UPDATE, DELETE, MERGE, COPY |
//! | `query` | queries, FROM, views (as their owners) |
//! | `names` | column references |

mod names;
mod query;
mod statement;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, visit_relations};

use super::ddl::Form;
use super::{Body, Locking};
use crate::catalog::{Catalog, Need, Object, Privileges, QualifiedName, Rights, SearchPath};
use crate::error::{Error, Result};
use names::Frame;

/// How deep queries and views may nest, as in the binder.
const MAX_DEPTH: usize = 160;

/// Why the statement may not run: it may be prepared all the same.
///
/// # Errors
/// 42501 for a schema that may not even be looked into.
pub fn denied(
    catalog: &Catalog,
    user: &str,
    path: &SearchPath,
    body: &Body,
) -> Result<Option<Error>> {
    let rights = catalog.rights(user);
    let (statement, locking): (&ast::Statement, &[Locking]) = match body {
        Body::Sql(statement, locking) => (statement, locking),
        Body::Ddl(form) => match form.as_ref() {
            Form::CreateTableAs { statement, .. } => (statement, &[]),
            _ => return Ok(None),
        },
        Body::Session(_) | Body::Empty => return Ok(None),
    };
    // A superuser is only ever refused what a view's owner may not do.
    if rights.superuser && !mentions_view(catalog, path, statement) {
        return Ok(None);
    }
    let mut walk = Walk::new(catalog, path, &rights);
    walk.statement(statement, locking);
    walk.leftovers(statement);
    if let Some(error) = walk.error {
        return Err(error);
    }
    Ok(catalog.check_needs(&walk.needs, &rights).err())
}

fn mentions_view(catalog: &Catalog, path: &SearchPath, statement: &ast::Statement) -> bool {
    visit_relations(statement, |name| match QualifiedName::from_ast(name) {
        Ok(name) => match catalog.resolve(&name, path) {
            Some(Object::View(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        // The walk refuses a name that cannot be told.
        Err(_) => ControlFlow::Break(()),
    })
    .is_break()
}

/// One walk over a statement.
struct Walk<'a> {
    catalog: &'a Catalog,
    path: &'a SearchPath,
    rights: &'a Rights,
    /// The owner of the view that is being read; `None` outside of views.
    role: Option<u32>,
    needs: Vec<Need>,
    /// Names in scope, outermost query first.
    frames: Vec<Frame>,
    /// WITH queries in scope, and the names of their columns.
    ctes: Vec<(String, Vec<String>)>,
    /// Every name that was taken for a WITH query.
    cte_names: HashSet<String>,
    depth: usize,
    error: Option<Error>,
}

impl<'a> Walk<'a> {
    fn new(catalog: &'a Catalog, path: &'a SearchPath, rights: &'a Rights) -> Self {
        Walk {
            catalog,
            path,
            rights,
            role: None,
            needs: Vec::new(),
            frames: Vec::new(),
            ctes: Vec::new(),
            cte_names: HashSet::new(),
            depth: 0,
            error: None,
        }
    }

    /// The relation of that name, if it is one of the catalog's. Remembers 42501 when its schema
    /// may not be used: what views name was resolved when they were made.
    fn resolve(&mut self, name: &QualifiedName) -> Option<&'a Object> {
        if self.role.is_none()
            && let Some(schema) = &name.schema
            && let Some(schema) = self.catalog.schema(schema)
            && let Err(error) =
                self.catalog
                    .check_schema(self.rights, schema.oid, Privileges::USAGE)
        {
            self.error.get_or_insert(error);
        }
        self.catalog.resolve(name, self.path)
    }

    /// A relation's name as it is written. Remembers the error of one that names nothing that could
    /// be checked: what cannot be told is refused.
    fn qualified_name(&mut self, name: &ast::ObjectName) -> Option<QualifiedName> {
        QualifiedName::from_ast(name)
            .map_err(|error| self.error.get_or_insert(error))
            .ok()
    }

    /// A need on a relation; its place among the needs.
    fn need(&mut self, relation: u32, privileges: Privileges) -> usize {
        self.needs.push(Need::new(relation, self.role, privileges));
        self.needs.len().saturating_sub(1)
    }

    /// Relations that stand where the walk did not look: all of such a relation must be readable.
    fn leftovers(&mut self, statement: &ast::Statement) {
        let mut names = Vec::new();
        let _ = visit_relations(statement, |name| {
            names.extend(self.qualified_name(name));
            ControlFlow::<()>::Continue(())
        });
        for name in names {
            if name.schema.is_none() && self.cte_names.contains(&name.name) {
                continue;
            }
            let Some(object) = self.catalog.resolve(&name, self.path) else {
                continue;
            };
            let oid = object.oid();
            if matches!(object, Object::Index(_)) || self.needs.iter().any(|it| it.relation == oid)
            {
                continue;
            }
            // What DDL makes or changes is checked where that is done.
            if matches!(
                statement,
                ast::Statement::Insert(_)
                    | ast::Statement::Update(_)
                    | ast::Statement::Delete(_)
                    | ast::Statement::Query(_)
                    | ast::Statement::Merge(_)
            ) {
                let at = self.need(oid, Privileges::SELECT);
                if let Some(need) = self.needs.get_mut(at) {
                    need.selected.all = true;
                }
            }
        }
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self)) {
        if self.depth >= MAX_DEPTH {
            self.error.get_or_insert_with(|| {
                Error::new(
                    crate::error::SqlState::STATEMENT_TOO_COMPLEX,
                    "stack depth limit exceeded",
                )
                .hint("Nest expressions and queries less deeply.")
            });
            return;
        }
        self.depth = self.depth.saturating_add(1);
        inner(self);
        self.depth = self.depth.saturating_sub(1);
    }
}
