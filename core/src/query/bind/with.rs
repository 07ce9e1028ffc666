//! WITH queries, and those that refer to themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::metadata::FieldMetadata;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, SetExpr, SetOperator, SetQuantifier};

use super::query::{Place, Tail, requalify};
use super::scope::{Cte, OutColumn};
use super::{Binder, Bound, Clause, coerce, fold, syntax};
use crate::error::{Error, Result, SqlState};
use crate::types::PgType;
use crate::types::columns::METADATA_KEY;
use crate::types::names::format_type;

impl Binder<'_> {
    pub(super) fn with_query(&mut self, cte: &ast::Cte, recursive: bool) -> Result<()> {
        if cte.from.is_some() {
            return syntax("syntax error at or near \"FROM\"");
        }
        let name = fold(&cte.alias.name);
        if self
            .ctes
            .iter()
            .any(|known| known.name == name && known.level == self.frames.len())
        {
            return Err(Error::new(
                SqlState::DUPLICATE_ALIAS,
                format!("WITH query name \"{name}\" specified more than once"),
            ));
        }
        let bound = if recursive && mentions(&cte.query, &name) {
            self.recursive_query(cte, &name)?
        } else {
            let clause = std::mem::replace(&mut self.clause, Clause::Select);
            let bound = self.deeper(|binder| binder.query(&cte.query, Place::Inner));
            self.clause = clause;
            let bound = bound?;
            check_width("WITH query", &cte.alias, bound.columns.len())?;
            self.rename(bound, &cte.alias)?
        };
        let level = self.frames.len();
        self.ctes.push(Cte { name, bound, level });
        Ok(())
    }

    /// Gives columns the names of `AS alias (names…)`.
    pub(super) fn rename(&self, mut bound: Bound, alias: &ast::TableAlias) -> Result<Bound> {
        let visible = bound.columns.iter().filter(|column| !column.hidden).count();
        check_width("table", alias, visible)?;
        for (column, name) in bound.columns.iter_mut().zip(&alias.columns) {
            if let Some(data_type) = &name.data_type {
                return syntax(format!("syntax error at or near \"{data_type}\""));
            }
            column.name = fold(&name.name);
        }
        Ok(bound)
    }

    fn recursive_query(&mut self, cte: &ast::Cte, name: &str) -> Result<Bound> {
        let query = &cte.query;
        let (
            SetExpr::SetOperation {
                left,
                op: SetOperator::Union,
                set_quantifier,
                right,
            },
            None,
            true,
        ) = (
            query.body.as_ref(),
            &query.with,
            Tail::of(query)?.is_empty(),
        )
        else {
            return Err(Error::new(
                SqlState::INVALID_RECURSION,
                format!(
                    "recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term"
                ),
            ));
        };
        let distinct = !matches!(set_quantifier, SetQuantifier::All);
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let first = self.deeper(|binder| binder.body(left, Tail::default(), Place::Inner))?;
        let first = self.rename(first, &cte.alias)?;
        let work_table = self.qualifier(name);
        // The work table's columns may be NULL whatever the first term says.
        let mut items = Vec::new();
        for column in &first.columns {
            items.push((column.name.clone(), column.typed()));
        }
        let first = self.project(first.plan, items)?;
        let fields: Vec<arrow::datatypes::Field> = first
            .columns
            .iter()
            .map(|column| {
                arrow::datatypes::Field::new(column.column.name(), column.data.clone(), true)
            })
            .collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let table = CteWorkTable::new(&work_table, schema);
        let scan = LogicalPlanBuilder::scan(
            work_table.as_str(),
            provider_as_source(Arc::new(table)),
            None,
        )?
        .build()?;
        let columns = requalify(&scan, &first.columns);
        let level = self.frames.len();
        self.ctes.push(Cte {
            name: name.to_owned(),
            bound: Bound {
                plan: scan,
                columns,
            },
            level,
        });
        self.recursing += 1;
        let second = self.deeper(|binder| binder.body(right, Tail::default(), Place::Arm));
        self.recursing -= 1;
        self.ctes.pop();
        self.clause = clause;
        let second = second?;
        if second.columns.len() != first.columns.len() {
            return syntax("each UNION query must have the same number of columns");
        }
        let mut items = Vec::new();
        for (at, (l, r)) in first.columns.iter().zip(&second.columns).enumerate() {
            if r.ty.oid != PgType::UNKNOWN.oid && r.ty.oid != l.ty.oid {
                return Err(Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
                        at + 1,
                        format_type(l.ty),
                        format_type(r.ty)
                    ),
                )
                .hint("Cast the output of the non-recursive term to the correct type."));
            }
            let typed = self.implicit(r.typed(), l.ty)?;
            items.push((
                l.column.name().to_owned(),
                coerce::with_data(typed, l.ty, &l.data),
            ));
        }
        let second = self.project(second.plan, items)?;
        let next = tagged(second.plan, &first.columns)?;
        let plan = LogicalPlanBuilder::from(tagged(first.plan, &first.columns)?)
            .to_recursive_query(work_table, next, distinct)?
            .build()?;
        let columns = requalify(&plan, &first.columns);
        Ok(Bound { plan, columns })
    }
}

/// A term whose columns say their types: DataFusion wants both terms to agree in that too.
fn tagged(plan: LogicalPlan, columns: &[OutColumn]) -> Result<LogicalPlan> {
    let places = plan.schema().columns().into_iter().zip(columns);
    let exprs: Vec<Expr> = places
        .map(|(place, column)| {
            let ty = format!("{}:{}", column.ty.oid, column.ty.typmod);
            let tag = BTreeMap::from([(METADATA_KEY.to_owned(), ty)]);
            let name = place.name().to_owned();
            Expr::Column(place).alias_with_metadata(name, Some(FieldMetadata::from(tag)))
        })
        .collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

/// Whether a query names a table `name` anywhere.
fn mentions(query: &ast::Query, name: &str) -> bool {
    use std::ops::ControlFlow;
    let found = ast::visit_relations(query, |relation| match relation.0.as_slice() {
        [part] if part.as_ident().is_some_and(|ident| fold(ident) == name) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether there is a column for each name of `AS alias (names…)`.
pub(super) fn check_width(what: &str, alias: &ast::TableAlias, available: usize) -> Result<()> {
    let specified = alias.columns.len();
    match specified > available {
        true => Err(Error::new(
            SqlState::INVALID_COLUMN_REFERENCE,
            format!(
                "{what} \"{}\" has {available} columns available but {specified} columns specified",
                fold(&alias.name),
            ),
        )),
        false => Ok(()),
    }
}
