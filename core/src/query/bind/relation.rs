//! Tables, views, sequences and WITH queries by their names.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;

use super::coerce::arrow_type;
use super::from::From;
use super::scope::{Item, OutColumn};
use super::{Binder, Bound, fold, syntax};
use crate::catalog::{self, Object, QualifiedName};
use crate::error::{Error, Result, SqlState};
use crate::query::scan::TableSource;
use crate::query::{ROW_KEY, SqlDialect};
use crate::types::{PgType, columns as arrow_columns};

/// Steps of a plan that a WITH query may have where it is used.
const MAX_CTE_NODES: usize = 4_000;

impl Binder<'_> {
    pub(super) fn table(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
    ) -> Result<From> {
        let qualified = qualified_name(name)?;
        let shown = match alias {
            Some(alias) => fold(&alias.name),
            None => qualified.name.clone(),
        };
        if qualified.schema.is_none() {
            let cte = self
                .ctes
                .iter()
                .rev()
                .find(|cte| cte.name == qualified.name)
                .cloned();
            if let Some(cte) = cte {
                refuse_explosion(&cte.bound.plan)?;
                let bound = match alias {
                    Some(alias) => self.rename(cte.bound, alias)?,
                    None => cte.bound,
                };
                return self.aliased(bound, &shown, Vec::new());
            }
        }
        let bound = self.relation(&qualified, &shown)?;
        let (bound, key) = bound;
        let bound = match alias {
            Some(alias) => self.rename(bound, alias)?,
            None => bound,
        };
        let item = Item {
            relation: (shown != qualified.name).then(|| qualified.name.clone()),
            name: shown,
            columns: bound.columns,
            key,
            nullable: false,
            scalar: false,
        };
        Ok(From::item(bound.plan, item))
    }

    pub(super) fn whole_table(&mut self, name: &ast::ObjectName) -> Result<Bound> {
        let from = self.table(name, None)?;
        let items = from
            .visible
            .iter()
            .filter(|column| !column.hidden)
            .map(|column| (column.name.clone(), column.typed()))
            .collect();
        self.project(from.plan, items)
    }

    /// A relation of the catalog or a system table, under a unique alias; its key columns.
    fn relation(&mut self, name: &QualifiedName, alias: &str) -> Result<(Bound, Vec<String>)> {
        let context = self.context;
        let path = &context.info.search_path;
        // The system's tables come first unless the search path says otherwise.
        let system_first = match &name.schema {
            Some(schema) => schema == "pg_catalog" || schema == "information_schema",
            None => !path.0.iter().any(|schema| schema == "pg_catalog"),
        };
        if system_first && let Some(bound) = self.system_table(name, alias)? {
            return Ok((bound, Vec::new()));
        }
        match context.catalog.resolve(name, path) {
            Some(Object::Table(table)) => {
                let table = table.clone();
                let key = table
                    .primary_key
                    .iter()
                    .filter_map(|at| table.columns.get(*at).map(|column| column.name.clone()))
                    .collect();
                Ok((self.stored_table(&table, alias)?, key))
            }
            Some(Object::View(view)) => {
                let view = view.clone();
                Ok((self.view(&view, alias)?, Vec::new()))
            }
            Some(Object::Sequence(sequence)) => {
                let sequence = sequence.oid;
                Ok((self.sequence(sequence, alias)?, Vec::new()))
            }
            Some(Object::Index(index)) => Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{}\" is an index", index.name),
            )),
            _ => {
                if !system_first && let Some(bound) = self.system_table(name, alias)? {
                    return Ok((bound, Vec::new()));
                }
                Err(no_relation(name))
            }
        }
    }

    pub(super) fn system_table(
        &mut self,
        name: &QualifiedName,
        alias: &str,
    ) -> Result<Option<Bound>> {
        let schema = name.schema.as_deref().unwrap_or("pg_catalog");
        let context = self.context;
        let Some(provider) = self
            .system
            .table(schema, &name.name, context.catalog, context.info)
        else {
            return Ok(None);
        };
        let schema = provider.schema();
        let qualifier = self.qualifier(alias);
        let reference = datafusion::common::TableReference::bare(qualifier);
        let plan =
            LogicalPlanBuilder::scan(reference, provider_as_source(provider), None)?.build()?;
        let columns = plan
            .schema()
            .columns()
            .into_iter()
            .zip(schema.fields())
            .map(|(column, field)| OutColumn {
                name: field.name().clone(),
                column,
                ty: arrow_columns::pg_type(field),
                data: field.data_type().clone(),
                table: 0,
                attribute: 0,
                hidden: false,
                merged: None,
            })
            .collect();
        Ok(Some(Bound { plan, columns }))
    }

    fn stored_table(&mut self, table: &Arc<catalog::Table>, alias: &str) -> Result<Bound> {
        let context = self.context;
        let keyed = context.row_keys.iter().any(|name| name == alias);
        let source = TableSource::new(
            table.clone(),
            context.catalog.indexes(table),
            keyed.then(|| alias.to_owned()),
        );
        let qualifier = self.qualifier(alias);
        let reference = datafusion::common::TableReference::bare(qualifier);
        let plan = LogicalPlanBuilder::scan(reference, provider_as_source(Arc::new(source)), None)?
            .build()?;
        let mut places = plan.schema().columns().into_iter();
        let mut columns = Vec::new();
        for (at, column) in table.live_columns() {
            let Some(place) = places.next() else {
                return Err(Error::internal("a table's description lacks a column"));
            };
            columns.push(OutColumn {
                name: column.name.clone(),
                column: place,
                ty: column.ty,
                data: arrow_type(column.ty),
                table: table.oid,
                attribute: i16::try_from(at + 1).unwrap_or(0),
                hidden: false,
                merged: None,
            });
        }
        if let (true, Some(place)) = (keyed, places.next()) {
            columns.push(OutColumn {
                name: ROW_KEY.to_owned(),
                column: place,
                ty: PgType::BYTEA,
                data: arrow_type(PgType::BYTEA),
                table: 0,
                attribute: 0,
                hidden: true,
                merged: None,
            });
        }
        Ok(Bound { plan, columns })
    }

    fn view(&mut self, view: &catalog::View, alias: &str) -> Result<Bound> {
        let query = parse_query(&view.query)?;
        // A view sees nothing of the query that uses it.
        let frames = std::mem::take(&mut self.frames);
        let ctes = std::mem::take(&mut self.ctes);
        let bound = self.derived(&query);
        self.frames = frames;
        self.ctes = ctes;
        let bound = bound?;
        let mut items = Vec::with_capacity(view.columns.len());
        for (declared, column) in view.columns.iter().zip(&bound.columns) {
            let typed = column.typed();
            let typed = if typed.ty.oid == declared.ty.oid {
                typed
            } else {
                self.coerce(typed, declared.ty, crate::types::cast::Context::Explicit)?
            };
            items.push((declared.name.clone(), typed));
        }
        let projected = self.project(bound.plan, items)?;
        let from = self.aliased(projected, alias, Vec::new())?;
        let columns = from
            .visible
            .into_iter()
            .enumerate()
            .map(|(at, column)| OutColumn {
                table: view.oid,
                attribute: i16::try_from(at + 1).unwrap_or(0),
                ..column
            })
            .collect();
        Ok(Bound {
            plan: from.plan,
            columns,
        })
    }

    /// `SELECT … FROM sequence`.
    fn sequence(&mut self, oid: u32, alias: &str) -> Result<Bound> {
        let sequence = self.constant(&crate::types::Datum::Oid(oid), PgType::REGCLASS)?;
        let mut items = Vec::new();
        for (name, function) in [
            ("last_value", "sequence_last_value"),
            ("log_cnt", "sequence_log_count"),
            ("is_called", "sequence_is_called"),
        ] {
            items.push((
                name.to_owned(),
                self.call_named(function, vec![sequence.clone()])?,
            ));
        }
        let plan = LogicalPlanBuilder::empty(true).build()?;
        let bound = self.project(plan, items)?;
        let from = self.aliased(bound, alias, Vec::new())?;
        Ok(Bound {
            plan: from.plan,
            columns: from.visible,
        })
    }
}

pub(super) fn qualified_name(name: &ast::ObjectName) -> Result<QualifiedName> {
    let parts: Option<Vec<String>> = name
        .0
        .iter()
        .map(|part| part.as_ident().map(fold))
        .collect();
    match parts.as_deref() {
        Some([name]) => Ok(QualifiedName {
            schema: None,
            name: name.clone(),
        }),
        Some([schema, name]) => Ok(QualifiedName {
            schema: Some(schema.clone()),
            name: name.clone(),
        }),
        // The check of privileges does not know such names: none may come through here.
        Some([_, _, _]) => Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("cross-database references are not implemented: \"{name}\""),
        )
        .hint("Leave out the database's name.")),
        _ => syntax(format!("improper relation name: {name}")),
    }
}

/// Each use of a WITH query has its plan anew, so uses of uses multiply.
fn refuse_explosion(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(match nodes > MAX_CTE_NODES {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if nodes > MAX_CTE_NODES {
        return Err(Error::new(
            SqlState::STATEMENT_TOO_COMPLEX,
            "WITH queries that use each other multiply beyond what can be planned",
        )
        .hint("Keep the result of one of them in a table."));
    }
    Ok(())
}

fn no_relation(name: &QualifiedName) -> Error {
    let shown = match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.clone(),
    };
    Error::new(
        SqlState::UNDEFINED_TABLE,
        format!("relation \"{shown}\" does not exist"),
    )
}

/// A stored query.
fn parse_query(sql: &str) -> Result<ast::Query> {
    let broken = |what: &str| Error::corrupted(format!("a view's query cannot be read: {what}"));
    let mut parser = Parser::new(&SqlDialect)
        .try_with_sql(sql)
        .map_err(|error| broken(&error.to_string()))?;
    let query = parser
        .parse_query()
        .map_err(|error| broken(&error.to_string()))?;
    Ok(*query)
}
