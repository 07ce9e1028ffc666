//! The text of a view's query as it is stored: relations by their full names, and `*` written out,
//! so that neither another search path nor a column added later changes what the view is.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::catalog::{Catalog, Object, QualifiedName, SearchPath, fold, quote};
use crate::error::{Error, Result};

/// Rewrites a query in place and gives the OIDs of the relations that it reads.
///
/// # Errors
/// 0A000 and 42601 for what cannot be a relation's name.
pub(super) fn qualify(
    query: &mut Query,
    catalog: &Catalog,
    path: &SearchPath,
) -> Result<BTreeSet<u32>> {
    let mut ctes = BTreeSet::new();
    let mut collect = CteNames(&mut ctes);
    let _ = VisitMut::visit(query, &mut collect);
    let mut rewriter = Rewriter {
        catalog,
        path,
        ctes,
        reads: BTreeSet::new(),
    };
    match VisitMut::visit(query, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(rewriter.reads),
    }
}

/// Whether the text of a view names this column, or may mean it.
pub(super) fn mentions(query: &str, column: &str) -> bool {
    let tokens = Tokenizer::new(&SqlDialect, query)
        .tokenize()
        .unwrap_or_default();
    tokens.iter().any(|token| match token {
        Token::Word(word) => {
            let ident = Ident {
                value: word.value.clone(),
                quote_style: word.quote_style,
                span: datafusion::sql::sqlparser::tokenizer::Span::empty(),
            };
            fold(&ident) == column
        }
        _ => false,
    })
}

struct CteNames<'a>(&'a mut BTreeSet<String>);

impl VisitorMut for CteNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.0.insert(fold(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }
}

struct Rewriter<'a> {
    catalog: &'a Catalog,
    path: &'a SearchPath,
    ctes: BTreeSet<String>,
    reads: BTreeSet<u32>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        if let Err(error) = QualifiedName::from_ast(name) {
            return ControlFlow::Break(error);
        }
        let Some(object) = self.find(name) else {
            return ControlFlow::Continue(());
        };
        self.reads.insert(object.oid());
        let Some(schema) = object
            .schema()
            .and_then(|oid| self.catalog.schema_name(oid))
        else {
            return ControlFlow::Continue(());
        };
        if alias.is_none() {
            *alias = Some(TableAlias {
                explicit: false,
                name: ident(object.name()),
                columns: Vec::new(),
                at: None,
            });
        }
        *name = ObjectName::from(vec![ident(schema), ident(object.name())]);
        ControlFlow::Continue(())
    }

    // After the inner queries, so that their columns are written out already.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let mut projection = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            let expanded = match item {
                SelectItem::Wildcard(options) if is_plain(options) => self.all(select),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) if is_plain(options) => self.of(select, name),
                _ => None,
            };
            match expanded {
                Some(mut items) => projection.append(&mut items),
                None => projection.push(item.clone()),
            }
        }
        select.projection = projection;
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    /// The relation of the catalog that a name in FROM means.
    fn find(&self, name: &ObjectName) -> Option<Object> {
        let name = QualifiedName::from_ast(name).ok()?;
        if name.schema.is_none() && self.ctes.contains(&name.name) {
            return None;
        }
        self.catalog.resolve(&name, self.path).cloned()
    }

    /// What `*` stands for.
    fn all(&self, select: &Select) -> Option<Vec<SelectItem>> {
        let mut items = Vec::new();
        for from in &select.from {
            items.append(&mut self.items(&from.relation)?);
            for join in &from.joins {
                if merges_columns(&join.join_operator) {
                    return None;
                }
                items.append(&mut self.items(&join.relation)?);
            }
        }
        Some(items)
    }

    /// What `t.*` stands for.
    fn of(&self, select: &Select, name: &ObjectName) -> Option<Vec<SelectItem>> {
        let wanted = QualifiedName::from_ast(name).ok()?.name;
        select
            .from
            .iter()
            .flat_map(|from| {
                std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
            })
            .find(|factor| alias_of(factor).as_deref() == Some(wanted.as_str()))
            .and_then(|factor| self.items(factor))
    }

    fn items(&self, factor: &TableFactor) -> Option<Vec<SelectItem>> {
        let alias = alias_of(factor)?;
        let columns = self.columns(factor)?;
        Some(
            columns
                .into_iter()
                .map(|column| {
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![
                        ident(&alias),
                        ident(&column),
                    ]))
                })
                .collect(),
        )
    }

    /// Names of the columns of a FROM item, where they can be told.
    fn columns(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let (mut names, alias) = match factor {
            TableFactor::Table {
                name,
                args: None,
                alias,
                ..
            } => (self.find(name)?.column_names()?, alias),
            TableFactor::Derived {
                subquery, alias, ..
            } => (output_names(&subquery.body)?, alias),
            _ => return None,
        };
        if let Some(alias) = alias {
            for (name, column) in names.iter_mut().zip(&alias.columns) {
                *name = fold(&column.name);
            }
        }
        Some(names)
    }
}

/// Output names of a query whose items all have an obvious one.
fn output_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(fold(ident)),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(fold),
                SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
                _ => None,
            })
            .collect(),
        SetExpr::Query(query) => output_names(&query.body),
        SetExpr::SetOperation { left, .. } => output_names(left),
        _ => None,
    }
}

fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        } => Some(fold(&alias.name)),
        TableFactor::Table { name, .. } => Some(QualifiedName::from_ast(name).ok()?.name),
        _ => None,
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
}

fn merges_columns(operator: &JoinOperator) -> bool {
    let constraint = match operator {
        JoinOperator::Join(it)
        | JoinOperator::Inner(it)
        | JoinOperator::Left(it)
        | JoinOperator::LeftOuter(it)
        | JoinOperator::Right(it)
        | JoinOperator::RightOuter(it)
        | JoinOperator::FullOuter(it) => it,
        _ => return false,
    };
    matches!(
        constraint,
        JoinConstraint::Using(_) | JoinConstraint::Natural
    )
}

fn ident(name: &str) -> Ident {
    if quote(name) == name {
        Ident::new(name)
    } else {
        Ident::with_quote('"', name)
    }
}
