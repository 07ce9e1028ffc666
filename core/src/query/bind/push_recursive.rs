//! A recursive query in a sub-query, for all bindings of the outer rows.
//!
//! Its work table has the bindings too: the first term gives each of its rows one, the recursive
//! term carries it along. So all bindings recurse together, each among its own rows, and UNION finds
//! equal rows within a binding only.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::{Column, ExprSchema};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, RecursiveQuery, TableScan};

use super::Binder;
use super::decorrelate::{Domain, Pushed, columns_of};
use crate::error::{Error, Result};

/// A work table that carries the bindings, and the one in whose place it stands.
#[derive(Clone)]
pub(super) struct WorkTable {
    old: String,
    new: String,
    /// The bindings' columns, after its own.
    keys: Vec<Field>,
}

/// The name of the work table that a scan reads.
fn work_table(scan: &TableScan) -> Option<(String, Arc<Schema>)> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table = provider.downcast_ref::<CteWorkTable>()?;
    Some((table.name().to_owned(), table.schema()))
}

impl Domain {
    /// Whether a plan reads a work table that carries the bindings.
    pub(super) fn carried_by(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) if !self.work.is_empty() => work_table(scan)
                .is_some_and(|(name, _)| self.work.iter().any(|work| work.old == name)),
            _ => false,
        }
    }
}

impl Binder<'_> {
    /// The scan of a work table, with the bindings.
    pub(super) fn push_work_table(&mut self, scan: &TableScan, domain: &Domain) -> Result<Pushed> {
        let lost = || Error::internal("a scan without its work table");
        let (name, schema) = work_table(scan).ok_or_else(lost)?;
        let work = domain.work.iter().find(|work| work.old == name);
        let work = work.ok_or_else(lost)?;
        let fields = schema.fields().iter().map(|field| field.as_ref().clone());
        let fields: Vec<Field> = fields.chain(work.keys.clone()).collect();
        let table = CteWorkTable::new(&work.new, Arc::new(Schema::new(fields)));
        let plan = LogicalPlanBuilder::scan(
            scan.table_name.clone(),
            provider_as_source(Arc::new(table)),
            None,
        )?
        .build()?;
        let keys = work.keys.iter();
        let keys = keys
            .map(|key| Column::new(Some(scan.table_name.clone()), key.name()))
            .collect();
        Ok(Pushed {
            plan,
            keys,
            order: None,
        })
    }

    pub(super) fn push_recursive(
        &mut self,
        query: &RecursiveQuery,
        domain: &Domain,
    ) -> Result<Pushed> {
        let first = self.push(&query.static_term, domain)?;
        let number = self.next_number();
        let names: Vec<String> = (0..first.keys.len())
            .map(|at| format!("__key_{number}_{at}"))
            .collect();
        let mut keys = Vec::with_capacity(names.len());
        for (key, name) in first.keys.iter().zip(&names) {
            let field = first.plan.schema().field_from_column(key)?;
            // With its metadata: both terms have to agree in that too.
            let field = field.as_ref().clone();
            keys.push(field.with_name(name).with_nullable(true));
        }
        let first = with_keys(first, columns_of(&query.static_term), &names)?;
        let work = self.qualifier(&query.name);
        let mut inner = Domain {
            outer: domain.outer.clone(),
            columns: domain.columns.clone(),
            work: domain.work.clone(),
        };
        inner.work.push(WorkTable {
            old: query.name.clone(),
            new: work.clone(),
            keys,
        });
        let next = self.push(&query.recursive_term, &inner)?;
        let next = with_keys(next, columns_of(&query.recursive_term), &names)?;
        let plan = LogicalPlanBuilder::from(first)
            .to_recursive_query(work, next, query.is_distinct)?
            .build()?;
        Ok(Pushed {
            plan,
            keys: names.into_iter().map(Column::new_unqualified).collect(),
            order: None,
        })
    }
}

/// The columns of a term, then the bindings under these names.
fn with_keys(pushed: Pushed, mut exprs: Vec<Expr>, names: &[String]) -> Result<LogicalPlan> {
    for (key, name) in pushed.keys.iter().zip(names) {
        exprs.push(Expr::Column(key.clone()).alias(name));
    }
    Ok(LogicalPlanBuilder::from(pushed.plan)
        .project(exprs)?
        .build()?)
}
