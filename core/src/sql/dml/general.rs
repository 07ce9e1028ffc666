//! Expressions over a row that do not compile: a planned query without tables, whose columns are
//! the row's values as parameters.
//!
//! `RETURNING lower(a)` of a table `t (id, a)` becomes
//! `SELECT lower(a) FROM (SELECT $1 AS id, $2 AS a) AS t`: planned once, run for each row. So an
//! expression may be whatever a query's may, sub-queries too.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem};
use futures::StreamExt;

use super::compiled::{Compiler, SecondColumn};
use super::matches;
use super::target::Target;
use super::update::merge_parameters;
use super::values::row_values;
use crate::catalog::quote;
use crate::error::{Error, Result};
use crate::query::{Execution, Plan, PlanContext};
use crate::sql::{Context, Engine};
use crate::txn::View;
use crate::types::{Datum, PgType};

/// Planned expressions over one row and its second row.
pub(super) struct General {
    plan: Plan,
    /// Parameters of the statement itself; the row's values follow them.
    parameters: usize,
}

impl General {
    /// Plans expressions over the target's row, behind `alias`, and the second row's columns.
    pub(super) async fn plan(
        engine: &Arc<Engine>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
        target: &Target,
        alias: &str,
        second: &[SecondColumn],
        expressions: Vec<ast::Expr>,
    ) -> Result<General> {
        let own = compiler.parameters.len();
        let columns = target.table.columns.iter().enumerate();
        let row = columns
            .filter(|(_, column)| !column.dropped)
            .map(|(at, column)| (at, column.name.as_str()));
        let mut from = vec![derived(own, row, alias)];
        let first = own.saturating_add(target.types.len());
        let mut qualifiers: Vec<&str> = Vec::new();
        for column in second {
            if !qualifiers.contains(&column.qualifier.as_str()) {
                qualifiers.push(&column.qualifier);
            }
        }
        for qualifier in qualifiers {
            let named = second
                .iter()
                .enumerate()
                .filter(|(_, column)| column.qualifier == qualifier && !column.name.is_empty());
            let named = named.map(|(at, column)| (at, column.name.as_str()));
            from.push(derived(first, named, qualifier));
        }
        let from = matches::from_items(&from.join(", "))?;
        let items = expressions
            .into_iter()
            .enumerate()
            .map(|(n, expr)| SelectItem::ExprWithAlias {
                expr,
                alias: Ident::with_quote('"', format!("__value_{n}")),
            })
            .collect();
        let query = matches::query(None, items, from, None)?;
        let mut types = compiler.parameters.clone();
        types.extend(target.types.iter().map(|ty| PgType::new(ty.oid)));
        types.extend(second.iter().map(|column| PgType::new(column.ty.oid)));
        let context = PlanContext {
            parameters: &types,
            row_keys: &[],
            ..context.clone()
        };
        let plan = engine.query.plan(&query, &context).await?;
        merge_parameters(compiler, plan.parameters.get(..own).unwrap_or(&[]));
        Ok(General {
            plan,
            parameters: own,
        })
    }

    /// Types of the expressions, in their order.
    pub(super) fn types(&self) -> impl Iterator<Item = PgType> {
        self.plan.columns.iter().map(|column| column.ty)
    }

    /// Evaluates them; sub-queries read `view`.
    pub(super) async fn eval(
        &self,
        context: &Context<'_>,
        view: View,
        row: &[Datum<'_>],
        second: &[Datum<'_>],
    ) -> Result<Vec<Datum<'static>>> {
        let mut parameters = context.parameters.to_vec();
        parameters.resize(self.parameters, Datum::Null);
        parameters.extend(
            row.iter()
                .chain(second)
                .map(|datum| datum.clone().into_owned()),
        );
        let execution = Execution {
            view,
            info: context.info.clone(),
            parameters,
            interrupt: context.interrupt.clone(),
            only: Default::default(),
        };
        let mut stream = context.engine.query.run(&self.plan, execution).await?;
        while let Some(rows) = stream.next().await {
            let rows = rows?;
            if !rows.is_empty() {
                return row_values(&self.plan, &rows, 0);
            }
        }
        Err(Error::internal("expressions gave no row"))
    }
}

/// `(SELECT $n AS name, …) AS alias`, parameters counted from `first`.
fn derived<'n>(
    first: usize,
    columns: impl Iterator<Item = (usize, &'n str)>,
    alias: &str,
) -> String {
    let items: Vec<String> = columns
        .map(|(at, name)| {
            let number = first.saturating_add(at).saturating_add(1);
            format!("${number} AS {}", always_quoted(name))
        })
        .collect();
    format!("(SELECT {}) AS {}", items.join(", "), quote(alias))
}

fn always_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
