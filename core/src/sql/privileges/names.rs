//! Column references: which relation's column a name means.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, Visit, Visitor};

use super::Walk;
use crate::catalog::{Privileges, fold};

/// The FROM items of one query.
#[derive(Default)]
pub(super) struct Frame {
    pub items: Vec<Item>,
}

/// A FROM item under its alias.
pub(super) struct Item {
    pub name: String,
    /// Names and numbers in the relation.
    pub columns: Vec<(String, u32)>,
    /// Which needs a reference adds to: none for sub-queries and functions, several for a join
    /// under an alias.
    pub needs: Vec<usize>,
    /// Columns are not told apart: any reference means all of them.
    pub opaque: bool,
}

impl Item {
    fn number(&self, name: &str) -> Option<u32> {
        self.columns
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, number)| *number)
    }
}

impl Walk<'_> {
    /// All columns of the item are read.
    pub(super) fn mark_all(&mut self, needs: &[usize]) {
        for at in needs {
            if let Some(need) = self.needs.get_mut(*at) {
                need.privileges = need.privileges.with(Privileges::SELECT);
                need.selected.all = true;
            }
        }
    }

    fn mark(&mut self, needs: &[usize], number: u32) {
        for at in needs {
            if let Some(need) = self.needs.get_mut(*at) {
                need.privileges = need.privileges.with(Privileges::SELECT);
                need.selected.numbers.insert(number);
            }
        }
    }

    /// `name` on its own: a column of the innermost query that has one, else a whole row.
    pub(super) fn plain(&mut self, name: &str) {
        let mut marks = Vec::new();
        for frame in self.frames.iter().rev() {
            for item in &frame.items {
                if item.opaque {
                    // It may be one of its columns, or not: both are asked for.
                    marks.push((item.needs.clone(), None));
                } else if let Some(number) = item.number(name) {
                    marks.push((item.needs.clone(), Some(number)));
                }
            }
            if marks.iter().any(|(_, number)| number.is_some()) {
                break;
            }
        }
        if !marks.iter().any(|(_, number)| number.is_some()) {
            let item = self
                .frames
                .iter()
                .rev()
                .find_map(|frame| frame.items.iter().find(|item| item.name == name));
            marks.extend(item.map(|item| (item.needs.clone(), None)));
        }
        for (needs, number) in marks {
            match number {
                Some(number) => self.mark(&needs, number),
                None => self.mark_all(&needs),
            }
        }
    }

    /// `table.name`, or `table.*` without a name.
    pub(super) fn qualified(&mut self, table: &str, name: Option<&str>) {
        let item = self
            .frames
            .iter()
            .rev()
            .find_map(|frame| frame.items.iter().find(|item| item.name == table));
        let Some(item) = item else { return };
        let needs = item.needs.clone();
        match name.filter(|_| !item.opaque) {
            None => self.mark_all(&needs),
            Some(name) => match item.number(name) {
                Some(number) => self.mark(&needs, number),
                // A field of a whole row, or nothing that there is.
                None => self.mark_all(&needs),
            },
        }
    }

    /// `*` of the innermost query.
    pub(super) fn star(&mut self) {
        let needs: Vec<usize> = self
            .frames
            .last()
            .into_iter()
            .flat_map(|frame| &frame.items)
            .flat_map(|item| item.needs.iter().copied())
            .collect();
        self.mark_all(&needs);
    }

    /// A column that USING or NATURAL joins by: of every item that has it.
    pub(super) fn merged(&mut self, name: &str) {
        let found: Vec<(Vec<usize>, u32)> = self
            .frames
            .last()
            .into_iter()
            .flat_map(|frame| &frame.items)
            .filter_map(|item| Some((item.needs.clone(), item.number(name)?)))
            .collect();
        for (needs, number) in found {
            self.mark(&needs, number);
        }
    }

    /// Everything that a part of a statement names in the innermost frame.
    pub(super) fn within(&mut self, part: &impl Visit) {
        let _ = part.visit(&mut References {
            walk: self,
            queries: 0,
        });
    }
}

/// Finds the references in expressions. Queries inside are walked by themselves.
struct References<'w, 'a> {
    walk: &'w mut Walk<'a>,
    /// Queries around the place: what stands in them is not looked at here.
    queries: usize,
}

impl Visitor for References<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if self.queries == 0 {
            self.walk.deeper(|walk| {
                walk.query(query, &[]);
            });
        }
        self.queries = self.queries.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.queries = self.queries.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Identifier(name) => self.walk.plain(&fold(name)),
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<String> = parts.iter().map(fold).collect();
                match parts.as_slice() {
                    [.., table, name] => self.walk.qualified(table, Some(name)),
                    [name] => self.walk.plain(name),
                    [] => {}
                }
            }
            Expr::QualifiedWildcard(name, _) => self.wildcard(name),
            Expr::Wildcard(_) => {}
            Expr::Function(function) => {
                if let ast::FunctionArguments::List(list) = &function.args {
                    for arg in &list.args {
                        let (FunctionArg::Unnamed(arg)
                        | FunctionArg::Named { arg, .. }
                        | FunctionArg::ExprNamed { arg, .. }) = arg;
                        if let FunctionArgExpr::QualifiedWildcard(name) = arg {
                            self.wildcard(name);
                        }
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl References<'_, '_> {
    fn wildcard(&mut self, name: &ast::ObjectName) {
        if let Some(table) = name.0.last().and_then(|part| part.as_ident()) {
            self.walk.qualified(&fold(table), None);
        }
    }
}
