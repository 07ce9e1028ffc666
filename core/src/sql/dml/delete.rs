//! DELETE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, FromTable};

use super::begin::begin;
use super::compiled::{Access, Compiler};
use super::foreign_key::Changes;
use super::matches::{self, Matches};
use super::names::Verb;
use super::returning::{Returned, Returning};
use super::search::{Found, Search};
use super::target::Target;
use super::update::{merge_parameters, target_of};
use crate::error::{Error, Result, SqlState};
use crate::query::PlanContext;
use crate::sql::{Context, Engine, Outcome};
use crate::txn::{RelationMode, RowMode};

/// A prepared DELETE.
pub(super) struct Delete {
    pub target: Arc<Target>,
    pub search: Search,
    pub returning: Option<Returning>,
}

impl Delete {
    pub(super) async fn prepare(
        engine: &Arc<Engine>,
        statement: &ast::Delete,
        with: Option<&ast::With>,
        context: &PlanContext<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<Delete> {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) =
            &statement.from;
        let [table] = tables.as_slice() else {
            return Err(syntax());
        };
        if !statement.tables.is_empty()
            || statement.output.is_some()
            || !statement.order_by.is_empty()
            || statement.limit.is_some()
            || matches!(statement.from, FromTable::WithoutKeyword(_))
        {
            return Err(syntax());
        }
        let (target, alias) = target_of(table, Verb::Delete, context)?;
        let using = statement.using.as_deref().unwrap_or(&[]);
        if using.is_empty()
            && with.is_none()
            && let Some(access) =
                Access::compile(compiler, &target, &alias, statement.selection.as_ref())
        {
            let returning = match &statement.returning {
                None => None,
                Some(list) => Some(
                    Returning::prepare(engine, context, compiler, list, &target, &alias, &[])
                        .await?,
                ),
            };
            return Ok(Delete {
                target,
                search: Search::Key(Box::new(access)),
                returning,
            });
        }
        let mut second = Vec::new();
        if statement.returning.is_some() && !using.is_empty() {
            second =
                matches::columns_of(engine, context, &compiler.parameters, with, using).await?;
        }
        let returning = match &statement.returning {
            None => None,
            Some(list) => Some(
                Returning::prepare(engine, context, compiler, list, &target, &alias, &second)
                    .await?,
            ),
        };
        let values = matches::second_items(&second).collect();
        let mut all = vec![table.clone()];
        all.extend_from_slice(using);
        let search = Matches::plan(
            engine,
            context,
            &compiler.parameters,
            &alias,
            with.cloned(),
            values,
            all,
            statement.selection.clone(),
        )
        .await?;
        merge_parameters(compiler, &search.plan.parameters);
        Ok(Delete {
            target,
            search: Search::Query(Box::new(search)),
            returning,
        })
    }

    pub(super) fn is_compiled(&self) -> bool {
        self.search.is_compiled() && self.returning.as_ref().is_none_or(Returning::is_compiled)
    }

    pub(super) async fn execute(&self, context: &mut Context<'_>) -> Result<Outcome> {
        if !begin(
            context,
            &self.target,
            RelationMode::RowExclusive,
            Verb::Delete,
        )
        .await?
        {
            return Ok(Outcome::Replan);
        }
        let mut changes = Changes::default();
        let mut returned = Returned::new(context, self.returning.as_ref())?;
        let mut count = 0_u64;
        let mut rows = self
            .search
            .lock(context, &self.target, RowMode::Update)
            .await?;
        while let Some(row) = rows.next(context, &self.target)? {
            self.remove(context, &mut changes, &mut returned, &row)
                .await?;
            count = count.saturating_add(1);
        }
        changes.finish(context).await?;
        Ok(returned.finish(format!("DELETE {count}")))
    }

    async fn remove(
        &self,
        context: &mut Context<'_>,
        changes: &mut Changes,
        returned: &mut Returned<'_>,
        row: &Found,
    ) -> Result<()> {
        let old = self.target.decode(&row.bytes)?;
        self.target.delete(context, changes, &row.row_key, &old)?;
        returned.add(context, &old, &row.values).await
    }
}

fn syntax() -> Error {
    Error::new(
        SqlState::SYNTAX_ERROR,
        "DELETE takes FROM one table, USING, WHERE and RETURNING",
    )
}
