//! FROM: tables, views, sub-queries, functions, joins.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, NullEquality, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::coerce::arrow_type;
use super::query::{Place, requalify};
use super::scope::{Frame, Item, OutColumn, Typed};
use super::subquery::subquery;
use super::{Binder, Bound, Clause, fold, syntax, unsupported};
use crate::catalog::{self, Object, QualifiedName};
use crate::error::{Error, Result, SqlState};
use crate::query::ROW_KEY;
use crate::query::functions::set_columns;
use crate::query::scan::TableSource;
use crate::types::names::element_of;
use crate::types::{PgType, columns as arrow_columns};

/// What FROM gives: rows, and the names for their columns.
pub(super) struct From {
    pub plan: LogicalPlan,
    pub items: Vec<Item>,
    pub visible: Vec<OutColumn>,
}

impl From {
    fn item(plan: LogicalPlan, item: Item) -> From {
        let visible = item.columns.clone();
        From {
            plan,
            items: vec![item],
            visible,
        }
    }

    fn frame(&self) -> Frame {
        Frame {
            items: self.items.clone(),
            visible: self.visible.clone(),
            ..Frame::default()
        }
    }
}

impl Binder<'_> {
    pub(super) fn from(&mut self, tables: &[ast::TableWithJoins]) -> Result<From> {
        let mut from: Option<From> = None;
        for table in tables {
            from = Some(self.table_with_joins(table, from)?);
        }
        Ok(match from {
            Some(from) => from,
            None => From {
                plan: LogicalPlanBuilder::empty(true).build()?,
                items: Vec::new(),
                visible: Vec::new(),
            },
        })
    }

    /// One element of FROM, cross joined to what stands before it.
    fn table_with_joins(
        &mut self,
        table: &ast::TableWithJoins,
        before: Option<From>,
    ) -> Result<From> {
        let mut from = match before {
            None => self.factor(&table.relation, None)?,
            Some(before) if table.joins.is_empty() => {
                return self.join(
                    before,
                    &table.relation,
                    JoinType::Inner,
                    &JoinConstraint::None,
                );
            }
            Some(before) => {
                // The joins bind tighter than the comma; names on the left stay visible to LATERAL.
                let mut right = self.lateral_factor(&table.relation, &before)?;
                if right.1 {
                    right.0 = self.cross(before, right.0)?;
                    let mut from = right.0;
                    for join in &table.joins {
                        from = self.join_operator(from, join)?;
                    }
                    return Ok(from);
                }
                let mut from = right.0;
                for join in &table.joins {
                    from = self.join_operator(from, join)?;
                }
                return self.cross(before, from);
            }
        };
        for join in &table.joins {
            from = self.join_operator(from, join)?;
        }
        Ok(from)
    }

    fn join_operator(&mut self, left: From, join: &ast::Join) -> Result<From> {
        if join.global {
            return syntax("syntax error at or near \"GLOBAL\"");
        }
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (JoinType::Inner, constraint)
            }
            JoinOperator::CrossJoin(constraint) => (JoinType::Inner, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (JoinType::Left, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinType::Right, constraint)
            }
            JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
            _ => return syntax("syntax error at or near \"JOIN\""),
        };
        let crossed = matches!(join.join_operator, JoinOperator::CrossJoin(_));
        if matches!(constraint, JoinConstraint::None) && !crossed {
            return syntax("syntax error: JOIN needs ON or USING");
        }
        self.join(left, &join.relation, kind, constraint)
    }

    fn cross(&mut self, left: From, right: From) -> Result<From> {
        let plan = LogicalPlanBuilder::from(left.plan)
            .cross_join(right.plan)?
            .build()?;
        check_names(&left.items, &right.items)?;
        let mut items = left.items;
        items.extend(right.items);
        let mut visible = left.visible;
        visible.extend(right.visible);
        Ok(From {
            plan,
            items,
            visible,
        })
    }

    /// A FROM item that may refer to those before it; whether it does.
    fn lateral_factor(&mut self, relation: &TableFactor, left: &From) -> Result<(From, bool)> {
        self.references.push(Vec::new());
        self.frames.push(left.frame());
        let level = self.frames.len() - 1;
        let bound = match relation {
            TableFactor::Derived { lateral: true, .. } => self.factor(relation, Some(left)),
            _ => {
                self.frames.pop();
                let bound = self.factor(relation, Some(left));
                self.frames.push(left.frame());
                bound
            }
        };
        let own: Vec<Expr> = self
            .references
            .last()
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at == level)
            .map(|(_, expr)| expr.clone())
            .collect();
        self.outer_references();
        self.frames.pop();
        let mut bound = bound?;
        if own.is_empty() {
            return Ok((bound, false));
        }
        let mut outer: Vec<Expr> = Vec::new();
        for expr in own {
            if !outer.contains(&expr) {
                outer.push(expr);
            }
        }
        bound.plan = match bound.plan {
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = LogicalPlan::Subquery(subquery(alias.input.as_ref().clone(), outer));
                LogicalPlanBuilder::from(inner)
                    .alias(alias.alias)?
                    .build()?
            }
            plan => LogicalPlan::Subquery(subquery(plan, outer)),
        };
        Ok((bound, true))
    }

    fn join(
        &mut self,
        left: From,
        relation: &TableFactor,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        if let Some(call) = table_function(relation) {
            return self.join_function(left, call, kind, constraint);
        }
        let (right, lateral) = self.lateral_factor(relation, &left)?;
        if lateral
            && matches!(constraint, JoinConstraint::None)
            && let Some(exprs) = computed(&right.plan)
        {
            return self.extend(left, right, exprs);
        }
        self.join_bound(left, right, kind, constraint)
    }

    /// `LATERAL (SELECT expressions)` without FROM: further columns of the rows on the left.
    fn extend(&mut self, left: From, right: From, exprs: Vec<Expr>) -> Result<From> {
        check_names(&left.items, &right.items)?;
        let qualifier = self.qualifier("computed");
        let mut all: Vec<Expr> = left
            .plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut items = left.items;
        let mut visible = left.visible;
        for mut item in right.items {
            for (at, (column, expr)) in item.columns.iter_mut().zip(&exprs).enumerate() {
                let name = format!("{qualifier}.{at}");
                all.push(expr.clone().alias(&name));
                column.column = Column::new_unqualified(name);
            }
            visible.extend(item.columns.clone());
            items.push(item);
        }
        let plan = LogicalPlanBuilder::from(left.plan).project(all)?.build()?;
        Ok(From {
            plan,
            items,
            visible,
        })
    }

    fn join_bound(
        &mut self,
        left: From,
        right: From,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        check_names(&left.items, &right.items)?;
        let mut items = left.items.clone();
        items.extend(right.items.clone());
        let shared: Vec<String> = match constraint {
            JoinConstraint::Using(names) => names
                .iter()
                .filter_map(|name| name.0.last()?.as_ident().map(fold))
                .collect(),
            JoinConstraint::Natural => left
                .visible
                .iter()
                .filter(|column| !column.hidden)
                .map(|column| column.name.clone())
                .filter(|name| {
                    right
                        .visible
                        .iter()
                        .any(|other| !other.hidden && other.name == *name)
                })
                .collect(),
            _ => Vec::new(),
        };
        let mut conditions = Vec::new();
        let mut merged = Vec::new();
        for name in &shared {
            let l = one_named(&left.visible, name, "left")?;
            let r = one_named(&right.visible, name, "right")?;
            let condition =
                self.compare(datafusion::logical_expr::Operator::Eq, l.typed(), r.typed())?;
            conditions.push(condition.expr);
            merged.push(self.merge_columns(l, r, kind)?);
        }
        let mut visible = merged;
        for column in left.visible.iter().chain(&right.visible) {
            if !shared.contains(&column.name) {
                visible.push(column.clone());
            }
        }
        let mut condition: Option<Expr> = conditions.into_iter().reduce(Expr::and);
        if let JoinConstraint::On(on) = constraint {
            self.frames.push(Frame {
                items: items.clone(),
                visible: visible.clone(),
                ..Frame::default()
            });
            let bound = self.within(Clause::JoinOn, |binder| {
                let typed = binder.expr(on)?;
                binder.condition(typed, "JOIN/ON")
            });
            self.frames.pop();
            condition = Some(bound?);
        }
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = match condition {
            None if kind == JoinType::Inner => builder.cross_join(right.plan)?,
            condition => builder.join_detailed(
                right.plan,
                kind,
                (Vec::<Column>::new(), Vec::<Column>::new()),
                condition,
                NullEquality::NullEqualsNothing,
            )?,
        };
        Ok(From {
            plan: plan.build()?,
            items,
            visible,
        })
    }

    /// The one column that USING leaves of two.
    fn merge_columns(
        &mut self,
        left: &OutColumn,
        right: &OutColumn,
        kind: JoinType,
    ) -> Result<OutColumn> {
        Ok(match kind {
            JoinType::Right => OutColumn {
                name: left.name.clone(),
                ..right.clone()
            },
            JoinType::Full => {
                let typed = self.coalesce(vec![left.typed(), right.typed()])?;
                OutColumn {
                    ty: typed.ty,
                    data: typed.data,
                    merged: Some(typed.expr),
                    table: 0,
                    attribute: 0,
                    ..left.clone()
                }
            }
            _ => left.clone(),
        })
    }

    fn factor(&mut self, relation: &TableFactor, left: Option<&From>) -> Result<From> {
        self.deeper(|binder| binder.factor_inner(relation, left))
    }

    fn factor_inner(&mut self, relation: &TableFactor, left: Option<&From>) -> Result<From> {
        match relation {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.table(name, alias.as_ref())
            }
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => unsupported("TABLESAMPLE", "Use ORDER BY random() LIMIT n."),
            TableFactor::Table { args: Some(_), .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. } => match table_function(relation) {
                Some(call) => self.function_item(call, left),
                None => syntax("syntax error in FROM"),
            },
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let _ = lateral;
                let bound = self.derived(subquery)?;
                let Some(alias) = alias else {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "subquery in FROM must have an alias",
                    )
                    .hint("For example, FROM (SELECT ...) [AS] foo."));
                };
                let bound = self.rename(bound, alias)?;
                self.aliased(bound, &fold(&alias.name), Vec::new())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let from = self.table_with_joins(table_with_joins, None)?;
                match alias {
                    None => Ok(from),
                    Some(alias) => {
                        let items = from
                            .visible
                            .iter()
                            .filter(|column| !column.hidden)
                            .map(|column| (column.name.clone(), column.typed()))
                            .collect();
                        let bound = self.project(from.plan, items)?;
                        let bound = self.rename(bound, alias)?;
                        self.aliased(bound, &fold(&alias.name), Vec::new())
                    }
                }
            }
            other => unsupported(
                &format!("FROM {other}"),
                "Use tables, subqueries and joins.",
            ),
        }
    }

    fn derived(&mut self, query: &ast::Query) -> Result<Bound> {
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let bound = self.query(query, Place::Inner);
        self.clause = clause;
        bound
    }

    /// A plan under a unique alias, known to the query as `name`.
    fn aliased(&mut self, bound: Bound, name: &str, key: Vec<String>) -> Result<From> {
        let qualifier = self.qualifier(name);
        let plan = LogicalPlanBuilder::from(bound.plan)
            .alias(datafusion::common::TableReference::bare(qualifier))?
            .build()?;
        let columns = requalify(&plan, &bound.columns);
        Ok(From::item(
            plan,
            Item {
                name: name.to_owned(),
                columns,
                key,
            },
        ))
    }

    fn table(&mut self, name: &ast::ObjectName, alias: Option<&ast::TableAlias>) -> Result<From> {
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
            name: shown,
            columns: bound.columns,
            key,
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

    fn system_table(&mut self, name: &QualifiedName, alias: &str) -> Result<Option<Bound>> {
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

    /// A function in FROM, on its own or first.
    fn function_item(&mut self, call: TableCall<'_>, left: Option<&From>) -> Result<From> {
        let _ = left;
        let empty = From {
            plan: LogicalPlanBuilder::empty(true).build()?,
            items: Vec::new(),
            visible: Vec::new(),
        };
        self.join_function(empty, call, JoinType::Inner, &JoinConstraint::None)
    }

    /// Rows of a set-returning function for each row on its left: an array unnested.
    fn join_function(
        &mut self,
        left: From,
        call: TableCall<'_>,
        kind: JoinType,
        constraint: &JoinConstraint,
    ) -> Result<From> {
        self.frames.push(left.frame());
        let bound = self.within(Clause::From, |binder| binder.table_call(&call));
        self.frames.pop();
        let arrays = bound?;
        let lateral = arrays
            .iter()
            .any(|(_, typed, _)| mentions_columns(&typed.expr));
        if !left.visible.is_empty() && !lateral {
            let right = self.function_item(call, None)?;
            return self.join_bound(left, right, kind, constraint);
        }
        let always = match constraint {
            JoinConstraint::None => true,
            JoinConstraint::On(ast::Expr::Value(value)) => {
                matches!(value.value, ast::Value::Boolean(true))
            }
            _ => false,
        };
        if kind != JoinType::Inner && !left.visible.is_empty() || !always {
            return unsupported(
                "an outer or conditional join with a function of the joined rows",
                "Use CROSS JOIN LATERAL and a WHERE condition.",
            );
        }
        let name = call
            .alias
            .map_or_else(|| call.name.clone(), |alias| fold(&alias.name));
        let qualifier = self.qualifier(&name);
        let mut exprs: Vec<Expr> = left
            .plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut unnested = Vec::new();
        let mut columns = Vec::new();
        for (at, (column, typed, set)) in arrays.into_iter().enumerate() {
            let inner = format!("{qualifier}.{at}");
            exprs.push(typed.expr.alias(&inner));
            let (ty, data) = match (&typed.data, set) {
                (DataType::List(field), true) => {
                    unnested.push(Column::new_unqualified(inner.clone()));
                    let element = element_of(typed.ty.oid).map_or(PgType::TEXT, PgType::new);
                    (element, field.data_type().clone())
                }
                _ => (typed.ty, typed.data.clone()),
            };
            let name = match call.alias.and_then(|alias| alias.columns.get(at)) {
                Some(named) => fold(&named.name),
                None if call.alias.is_some() && column == call.name => name.clone(),
                None => column,
            };
            columns.push(OutColumn {
                name,
                column: Column::new_unqualified(inner),
                ty,
                data,
                table: 0,
                attribute: 0,
                hidden: false,
                merged: None,
            });
        }
        let mut builder = LogicalPlanBuilder::from(left.plan).project(exprs)?;
        if !unnested.is_empty() {
            let options = UnnestOptions::new().with_preserve_nulls(false);
            builder = builder.unnest_columns_with_options(unnested, options)?;
        }
        let item = Item {
            name,
            columns: columns.clone(),
            key: Vec::new(),
        };
        check_names(&left.items, std::slice::from_ref(&item))?;
        let mut items = left.items;
        items.push(item);
        let mut visible = left.visible;
        visible.extend(columns);
        Ok(From {
            plan: builder.build()?,
            items,
            visible,
        })
    }

    /// The columns of a function's result: name, value, and whether the value is a set (an array).
    fn table_call(&mut self, call: &TableCall<'_>) -> Result<Vec<(String, Typed, bool)>> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.expr(arg)?);
        }
        let mut columns = Vec::new();
        if call.name == "unnest" {
            for arg in args {
                columns.push(("unnest".to_owned(), arg, true));
            }
            for (_, typed, _) in &columns {
                if element_of(typed.ty.oid).is_none() {
                    return Err(super::call::no_function("unnest", &[typed.ty]));
                }
            }
        } else if let Some(parts) = set_columns(&call.name) {
            for (column, function) in parts {
                let name = if column.is_empty() {
                    call.name.clone()
                } else {
                    (*column).to_owned()
                };
                columns.push((name, self.call_named(function, args.clone())?, true));
            }
        } else {
            let typed = self.call_by_name(&call.name, args)?;
            columns.push((call.name.clone(), typed, false));
        }
        if call.ordinality {
            let Some((_, first, true)) = columns.first().cloned() else {
                return unsupported(
                    "WITH ORDINALITY of a function that returns one row",
                    "Leave it out.",
                );
            };
            let numbers = self.call_named("array_ordinals", vec![first])?;
            columns.push(("ordinality".to_owned(), numbers, true));
        }
        Ok(columns)
    }
}

/// The expressions of a lateral sub-query that reads nothing else, over the columns on its left.
fn computed(plan: &LogicalPlan) -> Option<Vec<Expr>> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let inner = match plan {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        plan => plan,
    };
    let LogicalPlan::Subquery(inner) = inner else {
        return None;
    };
    let LogicalPlan::Projection(projection) = inner.subquery.as_ref() else {
        return None;
    };
    let LogicalPlan::EmptyRelation(empty) = projection.input.as_ref() else {
        return None;
    };
    if !empty.produce_one_row {
        return None;
    }
    projection
        .expr
        .iter()
        .map(|expr| {
            let plain = expr.clone().transform_up(|node| {
                Ok(match node {
                    Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                    node => Transformed::no(node),
                })
            });
            plain.ok().map(|plain| plain.data.unalias())
        })
        .collect()
}

/// A function call in FROM.
struct TableCall<'q> {
    name: String,
    args: Vec<&'q ast::Expr>,
    alias: Option<&'q ast::TableAlias>,
    ordinality: bool,
}

fn table_function(relation: &TableFactor) -> Option<TableCall<'_>> {
    match relation {
        TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality,
            ..
        } => Some(TableCall {
            name: name.0.last()?.as_ident().map(fold)?,
            args: plain_args(&args.args)?,
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        TableFactor::Function {
            name,
            args,
            alias,
            with_ordinality,
            ..
        } => Some(TableCall {
            name: name.0.last()?.as_ident().map(fold)?,
            args: plain_args(args)?,
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset: false,
            with_ordinality,
            ..
        } => Some(TableCall {
            name: "unnest".to_owned(),
            args: array_exprs.iter().collect(),
            alias: alias.as_ref(),
            ordinality: *with_ordinality,
        }),
        _ => None,
    }
}

fn plain_args(args: &[ast::FunctionArg]) -> Option<Vec<&ast::Expr>> {
    args.iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

fn mentions_columns(expr: &Expr) -> bool {
    !expr.column_refs().is_empty()
}

fn one_named<'c>(columns: &'c [OutColumn], name: &str, side: &str) -> Result<&'c OutColumn> {
    let mut found = columns.iter().filter(|column| column.name == name);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column),
        (Some(_), Some(_)) => Err(Error::new(
            SqlState::AMBIGUOUS_COLUMN,
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )),
        (None, _) => Err(Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )),
    }
}

fn check_names(left: &[Item], right: &[Item]) -> Result<()> {
    for item in right {
        if left
            .iter()
            .any(|other| other.name == item.name && !item.name.is_empty())
        {
            return Err(Error::new(
                SqlState::DUPLICATE_ALIAS,
                format!("table name \"{}\" specified more than once", item.name),
            ));
        }
    }
    Ok(())
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
        Some([schema, name]) | Some([_, schema, name]) => Ok(QualifiedName {
            schema: Some(schema.clone()),
            name: name.clone(),
        }),
        _ => syntax(format!("improper relation name: {name}")),
    }
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
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(sql)
        .map_err(|error| broken(&error.to_string()))?;
    let query = parser
        .parse_query()
        .map_err(|error| broken(&error.to_string()))?;
    Ok(*query)
}
