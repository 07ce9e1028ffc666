//! Queries: what stands in FROM needs SELECT, on the columns that are named.

use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::Walk;
use super::names::{Frame, Item};
use crate::catalog::{
    Object, Privileges, QualifiedName, View, column_numbers, fold, restricted, system_relation,
};
use crate::error::Error;
use crate::query::SqlDialect;
use crate::sql::Locking;

impl Walk<'_> {
    /// Walks a query; the names of its columns.
    pub(super) fn query(&mut self, query: &Query, locking: &[Locking]) -> Vec<String> {
        let (ctes, frames) = (self.ctes.len(), self.frames.len());
        if let Some(with) = &query.with {
            self.with(with);
        }
        let names = self.set_expr(&query.body);
        self.lock(locking);
        let own: Vec<Locking> = query.locks.iter().map(Locking::from).collect();
        self.lock(&own);
        if let Some(order) = &query.order_by
            && let OrderByKind::Expressions(list) = &order.kind
        {
            for item in list {
                // A plain name is first looked for among the query's own columns.
                let own = matches!(&item.expr, Expr::Identifier(name)
                    if self.frames.len() == frames || names.contains(&fold(name)));
                if !own {
                    self.within(&item.expr);
                }
            }
        }
        if let Some(limit) = &query.limit_clause {
            self.within(limit);
        }
        if let Some(fetch) = &query.fetch {
            self.within(fetch);
        }
        self.frames.truncate(frames);
        self.ctes.truncate(ctes);
        names
    }

    /// FOR UPDATE and its like also need UPDATE on what they lock.
    fn lock(&mut self, locking: &[Locking]) {
        for clause in locking {
            let needs: Vec<usize> = self
                .frames
                .last()
                .into_iter()
                .flat_map(|frame| &frame.items)
                .filter(|item| clause.of.is_empty() || clause.of.contains(&item.name))
                .flat_map(|item| item.needs.iter().copied())
                .collect();
            for at in needs {
                if let Some(need) = self.needs.get_mut(at) {
                    need.privileges = need.privileges.with(Privileges::UPDATE);
                }
            }
        }
    }

    pub(super) fn with(&mut self, with: &ast::With) {
        for cte in &with.cte_tables {
            let name = fold(&cte.alias.name);
            let renamed: Vec<String> = cte
                .alias
                .columns
                .iter()
                .map(|column| fold(&column.name))
                .collect();
            self.cte_names.insert(name.clone());
            let at = self.ctes.len();
            if with.recursive {
                let columns = match renamed.is_empty() {
                    true => first_columns(&cte.query.body),
                    false => renamed.clone(),
                };
                self.ctes.push((name.clone(), columns));
            }
            // A WITH query sees nothing of the query that it belongs to.
            let frames = std::mem::take(&mut self.frames);
            let mut columns = Vec::new();
            self.deeper(|walk| columns = walk.query(&cte.query, &[]));
            self.frames = frames;
            for (column, name) in columns.iter_mut().zip(renamed) {
                *column = name;
            }
            self.ctes.truncate(at);
            self.ctes.push((name, columns));
        }
    }

    /// Walks a body. That of a single SELECT leaves its frame behind, for ORDER BY.
    fn set_expr(&mut self, body: &SetExpr) -> Vec<String> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => {
                let mut names = Vec::new();
                self.deeper(|walk| names = walk.query(query, &[]));
                names
            }
            SetExpr::SetOperation { left, right, .. } => {
                let frames = self.frames.len();
                let mut names = Vec::new();
                self.deeper(|walk| {
                    names = walk.set_expr(left);
                    walk.frames.truncate(frames);
                    walk.set_expr(right);
                    walk.frames.truncate(frames);
                });
                names
            }
            SetExpr::Values(values) => {
                self.within(values);
                let width = values.rows.first().map_or(0, |row| row.len());
                (1..=width).map(|n| format!("column{n}")).collect()
            }
            SetExpr::Insert(inner)
            | SetExpr::Update(inner)
            | SetExpr::Delete(inner)
            | SetExpr::Merge(inner) => self.statement(inner, &[]),
            SetExpr::Table(table) => {
                let name = QualifiedName {
                    schema: table.schema_name.clone().map(|name| name.to_lowercase()),
                    name: table
                        .table_name
                        .clone()
                        .unwrap_or_default()
                        .trim_matches('"')
                        .to_owned(),
                };
                let item = self.relation(&name, None);
                self.mark_all(&item.needs);
                item.columns.into_iter().map(|(name, _)| name).collect()
            }
        }
    }

    fn select(&mut self, select: &Select) -> Vec<String> {
        self.frames.push(Frame::default());
        for table in &select.from {
            self.table_with_joins(table);
        }
        let mut names = Vec::new();
        for item in &select.projection {
            self.select_item(item, &mut names);
        }
        // Everything else but FROM, whatever it is.
        let rest = Select {
            from: Vec::new(),
            projection: Vec::new(),
            ..select.clone()
        };
        self.within(&rest);
        names
    }

    /// An item of a SELECT or RETURNING list.
    pub(super) fn select_item(&mut self, item: &SelectItem, names: &mut Vec<String>) {
        match item {
            SelectItem::Wildcard(_) => {
                self.star();
                if let Some(frame) = self.frames.last() {
                    let all = frame.items.iter().flat_map(|item| &item.columns);
                    names.extend(all.map(|(name, _)| name.clone()));
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let Some(table) = name.0.last().and_then(|part| part.as_ident()).map(fold) else {
                    return;
                };
                self.qualified(&table, None);
                let item = self
                    .frames
                    .iter()
                    .rev()
                    .find_map(|frame| frame.items.iter().find(|item| item.name == table));
                if let Some(item) = item {
                    names.extend(item.columns.iter().map(|(name, _)| name.clone()));
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                self.within(expr);
            }
            SelectItem::UnnamedExpr(expr) => {
                self.within(expr);
                names.push(expression_name(expr));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                self.within(expr);
                names.push(fold(alias));
            }
            SelectItem::ExprWithAliases { expr, aliases } => {
                self.within(expr);
                names.extend(aliases.iter().map(fold));
            }
        }
    }

    pub(super) fn table_with_joins(&mut self, table: &TableWithJoins) {
        self.factor(&table.relation);
        for join in &table.joins {
            let before = self.frames.last().map_or(0, |frame| frame.items.len());
            self.factor(&join.relation);
            match constraint(&join.join_operator) {
                Some(JoinConstraint::On(expr)) => self.within(expr),
                Some(JoinConstraint::Using(names)) => {
                    for name in names {
                        if let Some(name) = name.0.last().and_then(|part| part.as_ident()) {
                            self.merged(&fold(name));
                        }
                    }
                }
                Some(JoinConstraint::Natural) => {
                    for name in self.common(before) {
                        self.merged(&name);
                    }
                }
                Some(JoinConstraint::None) => {}
                None => self.within(&join.join_operator),
            }
        }
    }

    /// Columns that items from `split` on share with those before.
    fn common(&self, split: usize) -> Vec<String> {
        let Some(frame) = self.frames.last() else {
            return Vec::new();
        };
        let (left, right) = frame.items.split_at(split.min(frame.items.len()));
        right
            .iter()
            .flat_map(|item| &item.columns)
            .filter(|(name, _)| {
                left.iter()
                    .any(|item| item.columns.iter().any(|(other, _)| other == name))
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn factor(&mut self, factor: &TableFactor) {
        let item = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let Some(name) = self.qualified_name(name) else {
                    return;
                };
                self.relation(&name, alias.as_ref())
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                // Only LATERAL sees the items before it.
                let frame = match lateral {
                    true => None,
                    false => self.frames.pop(),
                };
                let mut columns = Vec::new();
                self.deeper(|walk| columns = walk.query(subquery, &[]));
                self.frames.extend(frame);
                named(columns, alias.as_ref())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let before = self.frames.last().map_or(0, |frame| frame.items.len());
                self.deeper(|walk| walk.table_with_joins(table_with_joins));
                let Some(alias) = alias else { return };
                let Some(frame) = self.frames.last_mut() else {
                    return;
                };
                let inner = frame.items.split_off(before.min(frame.items.len()));
                Item {
                    name: fold(&alias.name),
                    columns: inner.iter().flat_map(|item| item.columns.clone()).collect(),
                    needs: inner.iter().flat_map(|item| item.needs.clone()).collect(),
                    opaque: true,
                }
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, alias, .. } => {
                self.within(factor);
                let own = name.0.last().and_then(|part| part.as_ident()).map(fold);
                let mut item = named(Vec::new(), alias.as_ref());
                if alias.is_none() {
                    item.name = own.unwrap_or_default();
                    item.columns.push((item.name.clone(), 0));
                }
                item
            }
            other => {
                self.within(other);
                let alias = match other {
                    TableFactor::TableFunction { alias, .. }
                    | TableFactor::UNNEST { alias, .. }
                    | TableFactor::JsonTable { alias, .. }
                    | TableFactor::XmlTable { alias, .. } => alias.as_ref(),
                    _ => None,
                };
                named(Vec::new(), alias)
            }
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.items.push(item);
        }
    }

    /// A relation in FROM: SELECT on it.
    fn relation(&mut self, name: &QualifiedName, alias: Option<&TableAlias>) -> Item {
        if name.schema.is_none()
            && let Some((_, columns)) = self.ctes.iter().rev().find(|(cte, _)| *cte == name.name)
        {
            let mut item = named(columns.clone(), alias);
            if alias.is_none() {
                item.name.clone_from(&name.name);
            }
            return item;
        }
        let mut item = self.stored(name, Privileges::SELECT);
        if let Some(alias) = alias {
            item.name = fold(&alias.name);
            for (column, new) in item.columns.iter_mut().zip(&alias.columns) {
                column.0 = fold(&new.name);
            }
        }
        item
    }

    /// A relation of the catalog, with a need on it.
    pub(super) fn stored(&mut self, name: &QualifiedName, privileges: Privileges) -> Item {
        let mut item = Item {
            name: name.name.clone(),
            columns: Vec::new(),
            needs: Vec::new(),
            opaque: false,
        };
        let schema = name.schema.as_deref().unwrap_or("pg_catalog");
        let system_first =
            name.schema.is_some() || !self.path.0.iter().any(|schema| schema == "pg_catalog");
        let system = system_relation(schema, &name.name).is_some();
        if system && (system_first || self.catalog.resolve(name, self.path).is_none()) {
            if let Some(oid) = restricted(&name.name).filter(|_| schema == "pg_catalog") {
                self.need(oid, privileges);
            }
            return item;
        }
        let Some(object) = self.resolve(name) else {
            return item;
        };
        item.needs.push(self.need(object.oid(), privileges));
        let names = object.column_names().unwrap_or_default();
        item.columns = names.into_iter().zip(column_numbers(object)).collect();
        if let Object::View(view) = object {
            let view = view.clone();
            self.deeper(|walk| walk.view(&view, privileges));
        }
        item
    }

    /// A view is read as its owner, whoever reads it. What is written through it, too.
    fn view(&mut self, view: &View, privileges: Privileges) {
        let parsed = Parser::new(&SqlDialect)
            .try_with_sql(&view.query)
            .and_then(|mut parser| parser.parse_query());
        let query = match parsed {
            Ok(query) => query,
            Err(error) => {
                let message = format!("a view's query cannot be read: {error}");
                self.error.get_or_insert(Error::corrupted(message));
                return;
            }
        };
        let frames = std::mem::take(&mut self.frames);
        let ctes = std::mem::take(&mut self.ctes);
        let role = self.role.replace(view.owner);
        let first = self.needs.len();
        self.query(&query, &[]);
        let writes = privileges.without(Privileges::SELECT);
        if !writes.is_empty()
            && let Some(need) = self.needs.get_mut(first)
        {
            need.privileges = need.privileges.with(writes);
        }
        self.role = role;
        self.frames = frames;
        self.ctes = ctes;
    }
}

/// A sub-query or function under its alias.
fn named(columns: Vec<String>, alias: Option<&TableAlias>) -> Item {
    let mut columns: Vec<(String, u32)> = columns.into_iter().map(|name| (name, 0)).collect();
    let mut name = String::new();
    if let Some(alias) = alias {
        name = fold(&alias.name);
        for (at, new) in alias.columns.iter().enumerate() {
            match columns.get_mut(at) {
                Some(column) => column.0 = fold(&new.name),
                None => columns.push((fold(&new.name), 0)),
            }
        }
    }
    Item {
        name,
        columns,
        needs: Vec::new(),
        opaque: false,
    }
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(it)
        | JoinOperator::Inner(it)
        | JoinOperator::CrossJoin(it)
        | JoinOperator::Left(it)
        | JoinOperator::LeftOuter(it)
        | JoinOperator::Right(it)
        | JoinOperator::RightOuter(it)
        | JoinOperator::FullOuter(it) => Some(it),
        _ => None,
    }
}

/// What PostgreSQL calls the column of an expression, where that matters: names that could also
/// mean a table's column.
fn expression_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => fold(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        Expr::Function(function) => function
            .name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map(fold)
            .unwrap_or_default(),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => expression_name(inner),
        _ => "?column?".to_owned(),
    }
}

/// The column names of a recursive query, from its first part.
fn first_columns(body: &SetExpr) -> Vec<String> {
    match body {
        SetExpr::SetOperation { left, .. } => first_columns(left),
        SetExpr::Query(query) => first_columns(&query.body),
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(expr) => expression_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => fold(alias),
                _ => String::new(),
            })
            .collect(),
        _ => Vec::new(),
    }
}
