//! FROM: its items and the joins between them.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, TableFactor};

use super::query::{Place, requalify};
use super::scope::{Frame, Item, OutColumn};
use super::table_function::table_function;
use super::{Binder, Bound, Clause, fold, syntax, unsupported};
use crate::error::{Error, Result, SqlState};

/// What FROM gives: rows, and the names for their columns.
pub(super) struct From {
    pub plan: LogicalPlan,
    pub items: Vec<Item>,
    pub visible: Vec<OutColumn>,
}

impl From {
    pub(super) fn item(plan: LogicalPlan, item: Item) -> From {
        let visible = item.columns.clone();
        From {
            plan,
            items: vec![item],
            visible,
        }
    }

    pub(super) fn frame(&self) -> Frame {
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
            None => match table_function(&table.relation) {
                Some(call) => self.function_item(&call)?,
                None => self.factor(&table.relation)?,
            },
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
                let (right, references) =
                    self.lateral(&before, |binder| binder.table_with_joins(table, None))?;
                return self.join_bound(
                    before,
                    right,
                    &references,
                    JoinType::Inner,
                    &JoinConstraint::None,
                );
            }
        };
        for join in &table.joins {
            from = self.join_operator(from, join)?;
        }
        Ok(from)
    }

    pub(super) fn factor(&mut self, relation: &TableFactor) -> Result<From> {
        self.deeper(|binder| binder.factor_inner(relation))
    }

    fn factor_inner(&mut self, relation: &TableFactor) -> Result<From> {
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
                sample,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let from = self.table(name, alias.as_ref())?;
                match sample {
                    Some(sample) => self.sample(from, sample),
                    None => Ok(from),
                }
            }
            TableFactor::Derived {
                sample: Some(_), ..
            } => syntax("syntax error at or near \"TABLESAMPLE\""),
            TableFactor::Table { args: Some(_), .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. } => match table_function(relation) {
                Some(call) => self.function_item(&call),
                None => syntax("syntax error in FROM"),
            },
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let hidden = match lateral {
                    true => Vec::new(),
                    false => self.hide_lateral(),
                };
                let bound = self.derived(subquery);
                self.show_lateral(hidden);
                let bound = bound?;
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

    /// TABLESAMPLE: each row by chance. Rows lie in no pages here, so SYSTEM is as BERNOULLI.
    fn sample(&mut self, from: From, sample: &ast::TableSampleKind) -> Result<From> {
        let (ast::TableSampleKind::BeforeTableAlias(sample)
        | ast::TableSampleKind::AfterTableAlias(sample)) = sample;
        let method = sample.name.as_ref().map(ToString::to_string);
        let (Some("BERNOULLI" | "SYSTEM"), Some(quantity), None, None) = (
            method.as_deref(),
            &sample.quantity,
            &sample.bucket,
            &sample.offset,
        ) else {
            return syntax("syntax error at or near \"TABLESAMPLE\"");
        };
        if sample.seed.is_some() {
            return unsupported(
                "TABLESAMPLE with REPEATABLE",
                "Store the sample in a table, or order by a hash of the key.",
            );
        }
        let percent = self.within(Clause::From, |binder| binder.expr(&quantity.value))?;
        let percent = self.coerce(
            percent,
            crate::types::PgType::FLOAT8,
            crate::types::cast::Context::Assignment,
        )?;
        let wanted = match super::coerce::constant(&percent) {
            Some(crate::types::Datum::Float8(wanted)) if (0.0..=100.0).contains(&wanted) => wanted,
            Some(crate::types::Datum::Null) => {
                return Err(Error::new(
                    SqlState::INVALID_TABLESAMPLE_ARGUMENT,
                    "TABLESAMPLE parameter cannot be null",
                ));
            }
            Some(_) => {
                return Err(Error::new(
                    SqlState::INVALID_TABLESAMPLE_ARGUMENT,
                    "sample percentage must be between 0 and 100",
                ));
            }
            None => return unsupported("a sample size that is not constant", "Write a number."),
        };
        if wanted == 100.0 {
            return Ok(from);
        }
        let chance = self.call_named("random", Vec::new())?;
        let limit = Expr::Literal(
            datafusion::scalar::ScalarValue::Float64(Some(wanted / 100.0)),
            None,
        );
        let plan = LogicalPlanBuilder::from(from.plan)
            .filter(chance.expr.lt(limit))?
            .build()?;
        Ok(From { plan, ..from })
    }

    pub(super) fn derived(&mut self, query: &ast::Query) -> Result<Bound> {
        let clause = std::mem::replace(&mut self.clause, Clause::Select);
        let bound = self.query(query, Place::Inner);
        self.clause = clause;
        bound
    }

    /// A plan under a unique alias, known to the query as `name`.
    pub(super) fn aliased(&mut self, bound: Bound, name: &str, key: Vec<String>) -> Result<From> {
        let qualifier = self.qualifier(name);
        let plan = LogicalPlanBuilder::from(bound.plan)
            .alias(datafusion::common::TableReference::bare(qualifier))?
            .build()?;
        let columns = requalify(&plan, &bound.columns);
        for (before, column) in bound.columns.iter().zip(&columns) {
            let known = self.known_record(&before.typed());
            self.keep_record(known, column)?;
        }
        Ok(From::item(
            plan,
            Item {
                relation: None,
                name: name.to_owned(),
                columns,
                key,
                nullable: false,
                scalar: false,
            },
        ))
    }
}

pub(super) fn check_names(left: &[Item], right: &[Item]) -> Result<()> {
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
