//! The rows that an UPDATE or DELETE is about, found by DataFusion: planned as a query that selects
//! each row's key, run, and locked row by row.
//!
//! All rows are collected before the first is written, so a statement never meets its own writes.
//! A row that changed while its lock was awaited is looked at again, as READ COMMITTED asks: the
//! same query, on the newest state, restricted to the rows in question.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::query::SqlDialect;
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, SetExpr, TableWithJoins};
use datafusion::sql::sqlparser::parser::Parser;
use futures::StreamExt;

use super::compiled::SecondColumn;
use super::target::Target;
use super::values::row_values;
use crate::catalog::QualifiedName;
use crate::error::{Error, Result};
use crate::query::{Execution, Plan, PlanContext, ROW_KEY};
use crate::sql::{Context, Engine};
use crate::txn::{RowLock, RowMode, View};
use crate::types::{Datum, PgType};

/// What a row that was found takes besides its key and values, about.
const MATCH_BYTES: usize = 150;

/// A planned search for rows.
pub(super) struct Matches {
    pub plan: Plan,
    /// What the target goes by in the query.
    pub alias: String,
}

/// Writes the target's schema before its name: a WITH query of the same name hides the table from
/// the rest of the statement, but is never what is written.
fn qualify_target(context: &PlanContext<'_>, from: &mut [TableWithJoins]) {
    let Some(ast::TableFactor::Table { name, .. }) =
        from.first_mut().map(|item| &mut item.relation)
    else {
        return;
    };
    let Ok(QualifiedName {
        schema: None,
        name: plain,
    }) = QualifiedName::from_ast(name)
    else {
        return;
    };
    let plain = QualifiedName {
        schema: None,
        name: plain,
    };
    let schema = context
        .catalog
        .resolve(&plain, &context.info.search_path)
        .and_then(|object| object.schema())
        .and_then(|oid| context.catalog.schema_name(oid));
    if let Some(schema) = schema {
        *name = ast::ObjectName::from(vec![
            Ident::with_quote('"', schema),
            Ident::with_quote('"', &plain.name),
        ]);
    }
}

/// A row found: its key, and what else the query selects for it.
pub(super) struct Match {
    pub row_key: Vec<u8>,
    pub values: Vec<Datum<'static>>,
}

/// `SELECT … [FROM …] [WHERE …]` as an AST.
pub(super) fn query(
    with: Option<ast::With>,
    projection: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<ast::Expr>,
) -> Result<ast::Query> {
    let mut parser = Parser::new(&SqlDialect)
        .try_with_sql("SELECT 1")
        .map_err(|error| Error::internal(error.to_string()))?;
    let mut query = parser
        .parse_query()
        .map_err(|error| Error::internal(error.to_string()))?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::internal("a SELECT is no SELECT"));
    };
    select.projection = projection;
    select.from = from;
    select.selection = selection;
    query.with = with;
    Ok(*query)
}

/// `alias.column` as a select item.
pub(super) fn item(alias: &str, column: &str) -> SelectItem {
    SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![
        Ident::with_quote('"', alias),
        Ident::with_quote('"', column),
    ]))
}

impl Matches {
    /// Plans the search: the row key of `alias` first, then `values`.
    #[expect(clippy::too_many_arguments)]
    pub(super) async fn plan(
        engine: &Arc<Engine>,
        context: &PlanContext<'_>,
        parameters: &[PgType],
        alias: &str,
        with: Option<ast::With>,
        values: Vec<SelectItem>,
        mut from: Vec<TableWithJoins>,
        selection: Option<ast::Expr>,
    ) -> Result<Matches> {
        if with.is_some() {
            qualify_target(context, &mut from);
        }
        let mut projection = vec![item(alias, ROW_KEY)];
        projection.extend(values);
        let query = query(with, projection, from, selection)?;
        let row_keys = [alias.to_owned()];
        let context = PlanContext {
            parameters,
            row_keys: &row_keys,
            ..context.clone()
        };
        let plan = engine.query.plan(&query, &context).await?;
        Ok(Matches {
            plan,
            alias: alias.to_owned(),
        })
    }

    /// Runs the search on `view`; `only` restricts it to these rows. Each row is found once: where
    /// a join finds it several times, the first counts.
    async fn run(
        &self,
        context: &mut Context<'_>,
        view: View,
        only: Option<Vec<Vec<u8>>>,
    ) -> Result<Vec<Match>> {
        let only = match only {
            None => HashMap::new(),
            Some(keys) => HashMap::from([(self.alias.clone(), Arc::new(keys))]),
        };
        let execution = Execution {
            view,
            info: context.info.clone(),
            parameters: context.parameters.to_vec(),
            interrupt: context.interrupt.clone(),
            only,
        };
        let mut stream = context.engine.query.run(&self.plan, execution).await?;
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        while let Some(rows) = stream.next().await {
            let rows = rows?;
            context.interrupt.check()?;
            for row in 0..rows.len() {
                let mut values = row_values(&self.plan, &rows, row)?.into_iter();
                let row_key = match values.next() {
                    Some(Datum::Bytea(key)) => key.into_owned(),
                    _ => return Err(Error::internal("a search for rows gave no row key")),
                };
                if !seen.insert(row_key.clone()) {
                    continue;
                }
                let values: Vec<Datum<'static>> = values.collect();
                let bytes = MATCH_BYTES + 2 * row_key.len() + Datum::weight_of(&values);
                context.txn.keep(bytes)?;
                found.push(Match { row_key, values });
            }
        }
        Ok(found)
    }

    /// Finds the rows at the statement's snapshot and locks them. Rows that no longer match are
    /// left out.
    pub(super) async fn locked(
        &self,
        context: &mut Context<'_>,
        target: &Target,
        mode: RowMode,
    ) -> Result<Vec<Match>> {
        let view = context.txn.view()?;
        let mut found = self.run(context, view, None).await?;
        let storage = target.table.storage;
        let mut changed = Vec::new();
        let mut gone = HashSet::new();
        for found in &found {
            let wait = context.wait();
            match context
                .txn
                .lock_row(storage, &found.row_key, mode, wait)
                .await?
            {
                RowLock::Unchanged => {}
                RowLock::Changed(Some(_)) => changed.push(found.row_key.clone()),
                RowLock::Changed(None) | RowLock::Skipped => {
                    gone.insert(found.row_key.clone());
                }
            }
        }
        if !changed.is_empty() {
            let view = context.txn.latest()?;
            let again = self.run(context, view, Some(changed.clone())).await?;
            let mut again: HashMap<Vec<u8>, Vec<Datum<'static>>> = again
                .into_iter()
                .map(|found| (found.row_key, found.values))
                .collect();
            let changed: HashSet<Vec<u8>> = changed.into_iter().collect();
            for found in &mut found {
                if changed.contains(&found.row_key) {
                    match again.remove(&found.row_key) {
                        Some(values) => found.values = values,
                        None => {
                            gone.insert(found.row_key.clone());
                        }
                    }
                }
            }
        }
        if !gone.is_empty() {
            found.retain(|found| !gone.contains(&found.row_key));
        }
        Ok(found)
    }
}

/// The columns of FROM or USING items, for RETURNING: every item's, behind its alias.
pub(super) async fn columns_of(
    engine: &Arc<Engine>,
    context: &PlanContext<'_>,
    parameters: &[PgType],
    with: Option<&ast::With>,
    from: &[TableWithJoins],
) -> Result<Vec<SecondColumn>> {
    let mut aliases = Vec::new();
    for item in from {
        aliases.extend(factor_alias(&item.relation));
        aliases.extend(
            item.joins
                .iter()
                .filter_map(|join| factor_alias(&join.relation)),
        );
    }
    let mut columns = Vec::new();
    for alias in aliases {
        let all = SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(
                vec![Ident::with_quote('"', alias.as_str())].into(),
            ),
            Default::default(),
        );
        let query = query(with.cloned(), vec![all], from.to_vec(), None)?;
        let context = PlanContext {
            parameters,
            row_keys: &[],
            ..context.clone()
        };
        let plan = engine.query.plan(&query, &context).await?;
        columns.extend(plan.columns.iter().map(|column| SecondColumn {
            qualifier: alias.clone(),
            name: column.name.clone(),
            ty: column.ty,
        }));
    }
    Ok(columns)
}

/// Those columns as items of a select list, under names of their own.
pub(super) fn second_items(second: &[SecondColumn]) -> impl Iterator<Item = SelectItem> {
    let quoted = |name: &str| Ident::with_quote('"', name);
    second
        .iter()
        .enumerate()
        .map(move |(n, column)| SelectItem::ExprWithAlias {
            expr: ast::Expr::CompoundIdentifier(vec![
                quoted(&column.qualifier),
                quoted(&column.name),
            ]),
            alias: quoted(&format!("__second_{n}")),
        })
}

/// The name that a FROM item goes by.
pub(super) fn factor_alias(factor: &ast::TableFactor) -> Option<String> {
    use crate::catalog::fold;
    match factor {
        ast::TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(fold(&alias.name)),
            None => super::names::parts(name).pop(),
        },
        ast::TableFactor::Derived { alias, .. }
        | ast::TableFactor::NestedJoin { alias, .. }
        | ast::TableFactor::TableFunction { alias, .. }
        | ast::TableFactor::Function { alias, .. }
        | ast::TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|alias| fold(&alias.name)),
        _ => None,
    }
}

/// Reads the items of a FROM clause.
pub(super) fn from_items(sql: &str) -> Result<Vec<TableWithJoins>> {
    Parser::new(&SqlDialect)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_comma_separated(Parser::parse_table_and_joins))
        .map_err(|error| Error::internal(error.to_string()))
}
