//! GROUP BY: the sets of a query's groups.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::sql::sqlparser::ast::{self, GroupByExpr};

use super::outer::subquery_of;
use super::query::{ordinal, pick};
use super::scope::Typed;
use super::select::Output;
use super::{Binder, Clause, fold, syntax};
use crate::error::{Error, Result, SqlState};
use crate::types::PgType;

/// The most grouping sets of a query, as in PostgreSQL.
const MAX_GROUPING_SETS: usize = 4096;

/// The grouping of a query.
#[derive(Default)]
pub(super) struct Grouping {
    pub exprs: Vec<Expr>,
    /// Their types, as far as they matter.
    pub(super) types: Vec<(Expr, PgType)>,
    /// The sets, when there are ROLLUP, CUBE or GROUPING SETS.
    pub(super) sets: Option<Vec<Vec<Expr>>>,
    pub present: bool,
}

impl Binder<'_> {
    pub(super) fn grouping(
        &mut self,
        group_by: &GroupByExpr,
        outputs: &[Output],
    ) -> Result<Grouping> {
        let exprs = match group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            GroupByExpr::Expressions(..) => return syntax("syntax error at or near \"WITH\""),
            GroupByExpr::All(_) => return syntax("syntax error at or near \"ALL\""),
        };
        let mut grouping = Grouping {
            present: !exprs.is_empty(),
            ..Grouping::default()
        };
        // The cross product of the sets of each element.
        let mut sets: Vec<Vec<Expr>> = vec![Vec::new()];
        let mut plain = true;
        for expr in exprs {
            let element = match expr {
                ast::Expr::Rollup(parts) => {
                    plain = false;
                    let parts = self.group_parts(parts, outputs, &mut grouping.types)?;
                    rollup(&parts)
                }
                ast::Expr::Cube(parts) => {
                    plain = false;
                    let parts = self.group_parts(parts, outputs, &mut grouping.types)?;
                    cube(&parts)?
                }
                ast::Expr::GroupingSets(parts) => {
                    plain = false;
                    let mut all = Vec::new();
                    for part in parts {
                        all.extend(self.group_sets(part, outputs, &mut grouping.types)?);
                    }
                    all
                }
                ast::Expr::Tuple(items) => {
                    let mut set = Vec::new();
                    for item in items {
                        set.push(self.group_expr(item, outputs, &mut grouping.types)?);
                    }
                    if items.is_empty() {
                        plain = false;
                    }
                    vec![set]
                }
                expr => vec![vec![self.group_expr(expr, outputs, &mut grouping.types)?]],
            };
            if sets.len().saturating_mul(element.len()) > MAX_GROUPING_SETS {
                return Err(too_many_sets());
            }
            sets = sets
                .iter()
                .flat_map(|set| {
                    element.iter().map(move |more| {
                        let mut set = set.clone();
                        set.extend(more.iter().cloned());
                        set
                    })
                })
                .collect();
        }
        if plain {
            for expr in sets.into_iter().flatten() {
                if !grouping.exprs.contains(&expr) {
                    grouping.exprs.push(expr);
                }
            }
        } else {
            for set in &sets {
                for expr in set {
                    if !grouping.exprs.contains(expr) {
                        grouping.exprs.push(expr.clone());
                    }
                }
            }
            grouping.sets = Some(sets);
        }
        Ok(grouping)
    }

    fn group_parts(
        &mut self,
        parts: &[Vec<ast::Expr>],
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Vec<Vec<Expr>>> {
        parts
            .iter()
            .map(|part| {
                part.iter()
                    .map(|expr| self.group_expr(expr, outputs, types))
                    .collect()
            })
            .collect()
    }

    /// The sets of one part of GROUPING SETS: one, or those of a ROLLUP or CUBE in it.
    fn group_sets(
        &mut self,
        part: &[ast::Expr],
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Vec<Vec<Expr>>> {
        // sqlparser reads these as calls.
        if let [ast::Expr::Function(call)] = part
            && let [name] = call.name.0.as_slice()
            && let Some(name) = name.as_ident().filter(|name| name.quote_style.is_none())
        {
            let name = fold(name);
            if matches!(name.as_str(), "rollup" | "cube")
                && let Some(args) = super::call::arguments(call)?
            {
                let lists: Vec<Vec<ast::Expr>> = args
                    .into_iter()
                    .map(|arg| match arg.into_owned() {
                        ast::Expr::Tuple(items) => items,
                        arg => vec![arg],
                    })
                    .collect();
                let parts = self.group_parts(&lists, outputs, types)?;
                return match name.as_str() {
                    "rollup" => Ok(rollup(&parts)),
                    _ => cube(&parts),
                };
            }
        }
        self.group_parts(&[part.to_vec()], outputs, types)
    }

    fn group_expr(
        &mut self,
        expr: &ast::Expr,
        outputs: &[Output],
        types: &mut Vec<(Expr, PgType)>,
    ) -> Result<Expr> {
        let typed = self.group_typed(expr, outputs)?;
        types.push((typed.expr.clone(), typed.ty));
        Ok(typed.expr)
    }

    fn group_typed(&mut self, expr: &ast::Expr, outputs: &[Output]) -> Result<Typed> {
        if let Some(at) = ordinal(expr) {
            return self.no_aggregate(pick(at, outputs, "GROUP BY")?.typed.clone());
        }
        if let ast::Expr::Identifier(name) = expr {
            // A column of FROM comes first, as SQL-92 has it.
            if let Err(error) = self.find_column(std::slice::from_ref(name)) {
                let name = fold(name);
                let mut named = outputs.iter().filter(|output| output.name == name);
                return match (named.next(), error.state()) {
                    (Some(output), SqlState::UNDEFINED_COLUMN) => {
                        let typed = output.typed.clone();
                        if named.any(|other| other.typed.expr != typed.expr) {
                            return Err(Error::new(
                                SqlState::AMBIGUOUS_COLUMN,
                                format!("GROUP BY \"{name}\" is ambiguous"),
                            ));
                        }
                        self.no_aggregate(typed)
                    }
                    _ => Err(error),
                };
            }
        }
        let typed = self.within(Clause::GroupBy, |binder| binder.expr(expr))?;
        self.settle(typed)
    }

    fn no_aggregate(&self, typed: Typed) -> Result<Typed> {
        if !find_aggregate_exprs([&typed.expr]).is_empty() {
            return Err(Error::new(
                SqlState::GROUPING_ERROR,
                "aggregate functions are not allowed in GROUP BY",
            ));
        }
        Ok(typed)
    }

    /// A whole primary key in GROUP BY determines the table's other columns: those that `after` refers
    /// to become groups, too. The others would only make groups wider.
    pub(super) fn add_dependents(
        &self,
        grouping: &mut Grouping,
        after: &[&mut Expr],
    ) -> Result<()> {
        if grouping.sets.is_some() {
            return Ok(());
        }
        let mut used: HashSet<Column> = HashSet::new();
        for expr in after {
            used.extend(expr.column_refs().into_iter().cloned());
            used.extend(outer_columns(expr)?);
        }
        let Some(frame) = self.frames.last() else {
            return Ok(());
        };
        for item in &frame.items {
            if item.key.is_empty() {
                continue;
            }
            let grouped = |name: &String| {
                item.columns
                    .iter()
                    .find(|column| !column.hidden && column.name == *name)
                    .is_some_and(|column| {
                        grouping
                            .exprs
                            .contains(&Expr::Column(column.column.clone()))
                    })
            };
            if !item.key.iter().all(grouped) {
                continue;
            }
            for column in &item.columns {
                let expr = Expr::Column(column.column.clone());
                let wanted = column.merged.is_none() && used.contains(&column.column);
                if wanted && !grouping.exprs.contains(&expr) {
                    grouping.exprs.push(expr);
                }
            }
        }
        Ok(())
    }

    pub(super) fn next_number(&mut self) -> usize {
        self.next += 1;
        self.next
    }
}

/// The columns of this query that sub-queries of an expression refer to.
pub(super) fn outer_columns(expr: &Expr) -> Result<Vec<Column>> {
    let mut outer: Vec<Column> = Vec::new();
    expr.apply(|node| {
        if let Some(inner) = subquery_of(node) {
            for reference in &inner.outer_ref_columns {
                if let Expr::OuterReferenceColumn(_, column) = reference {
                    outer.push(column.clone());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(outer)
}

fn rollup(parts: &[Vec<Expr>]) -> Vec<Vec<Expr>> {
    (0..=parts.len())
        .rev()
        .map(|length| parts.iter().take(length).flatten().cloned().collect())
        .collect()
}

fn cube(parts: &[Vec<Expr>]) -> Result<Vec<Vec<Expr>>> {
    if parts.len() > 12 {
        return Err(too_many_sets());
    }
    let mut all: Vec<Vec<Expr>> = Vec::new();
    for mask in (0..1_usize << parts.len()).rev() {
        let set = parts
            .iter()
            .enumerate()
            .filter(|(at, _)| mask & (1 << (parts.len() - 1 - at)) != 0)
            .flat_map(|(_, part)| part.clone())
            .collect();
        all.push(set);
    }
    Ok(all)
}

fn too_many_sets() -> Error {
    Error::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        format!("too many grouping sets present (maximum {MAX_GROUPING_SETS})"),
    )
}
