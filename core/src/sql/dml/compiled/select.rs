//! SELECT of one row by its key.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, GroupByExpr, LimitClause, SelectItem, SetExpr, Value};

use super::expr::{Env, Expr, Row};
use super::{Access, Compiler, Scope};
use crate::catalog::{Object, QualifiedName, Table, fold};
use crate::error::Result;
use crate::query::{ResultColumn, Rows, SessionInfo, column_name};
use crate::sql::dml::names::plain_table;
use crate::sql::dml::target::Target;
use crate::sql::{Context, Outcome, Tag};
use crate::txn::View;
use crate::types::Datum;

/// A compiled SELECT.
pub struct Select {
    target: Arc<Target>,
    access: Access,
    items: Vec<Expr>,
    pub columns: Arc<[ResultColumn]>,
    /// Whether no expression asks anything of the session but how values are written.
    plain: bool,
}

impl Select {
    /// Compiles a query; `None` when it is not one row of one table by its key.
    ///
    /// # Errors
    /// Only those of a damaged catalog.
    pub fn compile(compiler: &mut Compiler<'_>, query: &ast::Query) -> Result<Option<Select>> {
        let Some(shape) = shape(compiler, query) else {
            return Ok(None);
        };
        let Shape {
            select,
            table,
            alias,
            order: None,
            limit: _,
        } = shape
        else {
            return Ok(None);
        };
        // Without a WHERE clause there is no key: the common case of what is not compiled.
        if select.selection.is_none() {
            return Ok(None);
        }
        let target = Target::new(compiler.catalog, compiler.info, &table)?;
        let selection = select.selection.as_ref();
        let Some(access) = Access::compile(compiler, &target, &alias, selection) else {
            return Ok(None);
        };
        let scope = Scope::table(&target.table, &alias);
        let Some(items) = projection(compiler, &select.projection, scope) else {
            return Ok(None);
        };
        let (columns, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        Ok(Some(Select {
            target,
            plain: access.is_plain() && items.iter().all(Expr::is_plain),
            access,
            items,
            columns: columns.into(),
        }))
    }

    /// Name of the table it reads, for EXPLAIN.
    pub fn table_name(&self) -> &str {
        &self.target.table.name
    }

    /// Whether the row that it finds is sealed; `None` when it finds none.
    pub(in crate::sql::dml) fn is_sealed(&self, context: &mut Context<'_>) -> Result<Option<bool>> {
        self.access.is_sealed(context, &self.target)
    }

    /// Whether it can run without a statement's surroundings: see [`Select::read`].
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Runs it on the statement's view.
    pub fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        let view = context.txn.view()?;
        let row = self.read(&view, context.parameters, &context.info)?;
        let rows = Rows::Datums(row.into_iter().collect());
        Ok(Outcome::Rows {
            columns: self.columns.clone(),
            rows: Box::pin(futures::stream::iter([Ok(rows)])),
            tag: Tag::Counted("SELECT"),
        })
    }

    /// The row that a view shows, if there is one. Of `info`, a plain SELECT reads the text style
    /// alone.
    pub fn read(
        &self,
        view: &View,
        parameters: &[Datum<'static>],
        info: &SessionInfo,
    ) -> Result<Option<Vec<Datum<'static>>>> {
        let env = Env {
            row: Row::None,
            parameters,
            info,
        };
        let Some(key) = self.access.key(&env)? else {
            return Ok(None);
        };
        let Some(key) = self.access.row_key(view, &self.target, key)? else {
            return Ok(None);
        };
        let Some(entry) = view.get(self.target.table.storage, &key)? else {
            return Ok(None);
        };
        let row = self.target.stored(entry.as_ref())?;
        let env = Env { row, ..env };
        if let Some(residual) = &self.access.residual
            && !residual.holds(&env)?
        {
            return Ok(None);
        }
        let values = self.items.iter();
        values
            .map(|item| Ok(item.eval(&env)?.into_owned()))
            .collect::<Result<_>>()
            .map(Some)
    }
}

/// A query of one table.
pub(super) struct Shape<'q> {
    pub select: &'q ast::Select,
    pub table: Arc<Table>,
    pub alias: String,
    pub order: Option<&'q ast::OrderBy>,
    /// Not 0.
    pub limit: Option<u32>,
}

/// `SELECT … FROM table [WHERE …] [ORDER BY …] [LIMIT n > 0]` and nothing else.
pub(super) fn shape<'q>(compiler: &Compiler<'_>, query: &'q ast::Query) -> Option<Shape<'q>> {
    let ast::Query {
        with: None,
        body,
        order_by,
        limit_clause,
        fetch: None,
        locks,
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators,
    } = query
    else {
        return None;
    };
    if !locks.is_empty() || !pipe_operators.is_empty() {
        return None;
    }
    let limit = match limit_clause {
        None => None,
        Some(LimitClause::LimitOffset {
            limit: Some(ast::Expr::Value(value)),
            offset: None,
            limit_by,
        }) if limit_by.is_empty() => match &value.value {
            Value::Number(digits, _) => Some(digits.parse().ok().filter(|n| *n > 0)?),
            _ => return None,
        },
        Some(_) => return None,
    };
    let SetExpr::Select(select) = body.as_ref() else {
        return None;
    };
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(items, modifiers) => !items.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    if grouped
        || select.distinct.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.having.is_some()
        || !select.named_window.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some()
        || select.select_modifiers.is_some()
    {
        return None;
    }
    let [from] = select.from.as_slice() else {
        return None;
    };
    if !from.joins.is_empty() {
        return None;
    }
    let (name, alias) = plain_table(&from.relation)?;
    let name = QualifiedName::from_ast(name).ok()?;
    let alias = match alias {
        Some(alias) if !alias.columns.is_empty() => return None,
        Some(alias) => fold(&alias.name),
        None => name.name.clone(),
    };
    match compiler
        .catalog
        .resolve(&name, &compiler.info.search_path)?
    {
        Object::Table(table) => Some(Shape {
            select,
            table: table.clone(),
            alias,
            order: order_by.as_ref(),
            limit,
        }),
        _ => None,
    }
}

/// Compiles a select list; `None` when an item does not compile.
pub fn projection(
    compiler: &mut Compiler<'_>,
    items: &[SelectItem],
    scope: Scope<'_>,
) -> Option<Vec<(ResultColumn, Expr)>> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = column_name(expr);
                out.push(output(compiler.compile(expr, scope)?, name, scope));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                out.push(output(compiler.compile(expr, scope)?, fold(alias), scope));
            }
            SelectItem::Wildcard(options) if is_plain(options) && scope.second.is_empty() => {
                let (table, _) = scope.table?;
                all(table, &mut out);
            }
            SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if is_plain(options) => {
                let (table, alias) = scope.table?;
                let parts = crate::sql::dml::names::parts(name);
                if !matches!(parts.as_slice(), [name] if name == alias) {
                    return None;
                }
                all(table, &mut out);
            }
            _ => return None,
        }
    }
    Some(out)
}

fn is_plain(options: &ast::WildcardAdditionalOptions) -> bool {
    *options
        == ast::WildcardAdditionalOptions {
            wildcard_token: options.wildcard_token.clone(),
            ..Default::default()
        }
}

/// Every live column of a table.
fn all(table: &Table, out: &mut Vec<(ResultColumn, Expr)>) {
    for (at, column) in table.live_columns() {
        let expr = Expr {
            node: super::Node::Column(at),
            ty: column.ty,
        };
        let described = ResultColumn {
            name: column.name.clone(),
            ty: column.ty,
            table: table.oid,
            attribute: attribute(at),
        };
        out.push((described, expr));
    }
}

fn attribute(at: usize) -> i16 {
    i16::try_from(at.saturating_add(1)).unwrap_or(0)
}

fn output(expr: Expr, name: String, scope: Scope<'_>) -> (ResultColumn, Expr) {
    let (table, attribute) = match (&expr.node, scope.table) {
        (super::Node::Column(at), Some((table, _))) if *at < Row::SECOND => {
            (table.oid, attribute(*at))
        }
        _ => (0, 0),
    };
    let column = ResultColumn {
        name,
        ty: expr.ty,
        table,
        attribute,
    };
    (column, expr)
}
