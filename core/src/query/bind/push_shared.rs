//! Shared rows in a sub-query, for all bindings of the outer rows.
//!
//! Several parts of the sub-query read the same rows, so all of them must find the same rows that carry
//! the bindings, too: these are shared in their turn.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::Binder;
use super::decorrelate::{Domain, Pushed, columns_of};
use crate::error::{Error, Result};
use crate::query::shared;

/// Shared rows that carry the bindings of a domain.
pub(super) struct Carrying {
    /// The number of the rows that carry none.
    number: usize,
    outer: LogicalPlan,
    columns: Vec<Column>,
    plan: LogicalPlan,
    keys: Vec<Column>,
}

impl Binder<'_> {
    pub(super) fn push_shared(
        &mut self,
        number: usize,
        input: &LogicalPlan,
        domain: &Domain,
    ) -> Result<Pushed> {
        if !domain.work.is_empty() {
            return Err(Error::unsupported(
                "a subquery for each of the rows that a recursive query limits or numbers",
                "Compute it outside of the recursive query.",
            ));
        }
        let known = self.pushed.iter().find(|known| {
            known.number == number && known.columns == domain.columns && known.outer == domain.outer
        });
        let (plan, keys) = match known {
            Some(known) => (known.plan.clone(), known.keys.clone()),
            None => {
                let pushed = self.push(input, domain)?;
                let plan = shared::node(self.next_number(), pushed.plan);
                self.pushed.push(Carrying {
                    number,
                    outer: domain.outer.clone(),
                    columns: domain.columns.clone(),
                    plan: plan.clone(),
                    keys: pushed.keys.clone(),
                });
                (plan, pushed.keys)
            }
        };
        // Each reader has names of its own for the bindings: it may be joined to another.
        let number = self.next_number();
        let mut exprs = columns_of(input);
        let mut renamed = Vec::with_capacity(keys.len());
        for (at, key) in keys.into_iter().enumerate() {
            let name = format!("__key_{number}_{at}");
            exprs.push(Expr::Column(key).alias(&name));
            renamed.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok(Pushed {
            plan,
            keys: renamed,
            order: None,
        })
    }
}
