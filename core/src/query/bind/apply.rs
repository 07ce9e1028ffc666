//! Where a sub-query's rows meet the outer rows: scalar sub-queries beside them, and LATERAL items.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, columns_of};
use super::push_join::join_on_keys;
use super::select::rewrite;
use super::subquery_form::{
    has_outer_subquery, joins_by_equality, local_references, repeats, yields_one_row,
};
use crate::error::{Error, Result};
use crate::query::functions;
use crate::query::shared;

impl Binder<'_> {
    /// Filters by a condition with sub-queries in it; what needs none of them comes first.
    pub(super) fn filter(&mut self, plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
        let (later, first): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(condition)
            .into_iter()
            .partition(has_outer_subquery);
        let mut plan = match conjunction(first) {
            Some(first) => LogicalPlanBuilder::from(plan).filter(first)?.build()?,
            None => plan,
        };
        let Some(mut condition) = conjunction(later) else {
            return Ok(plan);
        };
        plan = self.compute(plan, &mut [&mut condition], Left::Conditions)?;
        Ok(LogicalPlanBuilder::from(plan).filter(condition)?.build()?)
    }

    /// Computes the sub-queries of `exprs` that refer to outer rows beside the rows of `plan`.
    pub(super) fn correlate(
        &mut self,
        plan: LogicalPlan,
        exprs: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
        self.compute(plan, exprs, Left::Uncorrelated)
    }

    /// Computes all scalar sub-queries of `exprs` beside the rows of `plan`: for places where
    /// DataFusion takes none.
    pub(super) fn compute_all(
        &mut self,
        plan: LogicalPlan,
        exprs: &mut [&mut Expr],
    ) -> Result<LogicalPlan> {
        self.compute(plan, exprs, Left::Nothing)
    }

    fn compute(
        &mut self,
        plan: LogicalPlan,
        exprs: &mut [&mut Expr],
        left: Left,
    ) -> Result<LogicalPlan> {
        let mut found: Vec<Expr> = Vec::new();
        for expr in exprs.iter() {
            expr.apply(|node| {
                if let Expr::ScalarSubquery(subquery) = node
                    && !left.leaves(subquery)
                    && !found.contains(node)
                {
                    found.push(node.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let (plan, values) = self.attach(plan, found)?;
        for (node, value) in values {
            for expr in exprs.iter_mut() {
                let taken = std::mem::replace(&mut **expr, Expr::Literal(ScalarValue::Null, None));
                **expr = rewrite(taken, &mut |known| (*known == node).then(|| value.clone()))?;
            }
        }
        Ok(plan)
    }

    /// The rows of `plan` with the values of sub-queries beside them, and where those values are.
    pub(super) fn attach(
        &mut self,
        plan: LogicalPlan,
        found: Vec<Expr>,
    ) -> Result<(LogicalPlan, Vec<(Expr, Expr)>)> {
        if found.is_empty() {
            return Ok((plan, Vec::new()));
        }
        let correlated = found.iter().any(has_outer_subquery);
        let base = match correlated {
            true => self.repeatable(plan)?,
            false => plan,
        };
        let mut plan = base.clone();
        let mut values = Vec::with_capacity(found.len());
        for node in found {
            let Expr::ScalarSubquery(inner) = &node else {
                continue;
            };
            let (joined, value) = self.beside(plan, &base, inner)?;
            plan = joined;
            values.push((node, value));
        }
        Ok((plan, values))
    }

    /// The rows of `plan`, which extend those of `base`, with the sub-query's value.
    fn beside(
        &mut self,
        plan: LogicalPlan,
        base: &LogicalPlan,
        inner: &Subquery,
    ) -> Result<(LogicalPlan, Expr)> {
        let domain = Domain {
            columns: local_references(base, &inner.outer_ref_columns),
            outer: base.clone(),
            work: Vec::new(),
        };
        let pushed = self.push(&inner.subquery, &domain)?;
        let number = self.next_number();
        let (value, count) = (format!("__value_{number}"), format!("__count_{number}"));
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        let source = inner.subquery.schema().columns().into_iter().next();
        let source = Expr::Column(source.ok_or_else(|| Error::internal("no column to give"))?);
        let keys: Vec<Expr> = pushed.keys.iter().cloned().map(Expr::Column).collect();
        let single = yields_one_row(&inner.subquery);
        let rows = match single {
            true => {
                let mut exprs = keys;
                exprs.push(source.alias(&value));
                LogicalPlanBuilder::from(pushed.plan).project(exprs)?
            }
            false => {
                let call = |function, arg| {
                    Expr::AggregateFunction(AggregateFunction::new_udf(
                        function,
                        vec![arg],
                        false,
                        None,
                        Vec::new(),
                        None,
                    ))
                };
                let one = Expr::Literal(ScalarValue::Int64(Some(1)), None);
                let calls = vec![
                    call(first_value_udaf(), source).alias(&value),
                    call(count_udaf(), one).alias(&count),
                ];
                LogicalPlanBuilder::from(pushed.plan).aggregate(keys, calls)?
            }
        };
        // Join keys are columns of plain names: an alias in the sub-query may have qualified them.
        let (rows, keys) = self.renamed_keys(rows.build()?, &pushed.keys)?;
        let plan = join_on_keys(plan, &domain.columns, rows, &keys, JoinType::Left, None)?;
        Ok((
            plan,
            match single {
                true => column(&value),
                false => functions::single(column(&value), column(&count)),
            },
        ))
    }

    fn renamed_keys(
        &mut self,
        plan: LogicalPlan,
        keys: &[Column],
    ) -> Result<(LogicalPlan, Vec<Column>)> {
        if keys.iter().all(|key| key.relation.is_none()) {
            return Ok((plan, keys.to_vec()));
        }
        let number = self.next_number();
        let mut renamed = Vec::with_capacity(keys.len());
        let mut exprs = Vec::new();
        for expr in columns_of(&plan) {
            let at = keys
                .iter()
                .position(|key| matches!(&expr, Expr::Column(column) if column == key));
            match at {
                Some(at) => {
                    let name = format!("__key_{number}_{at}");
                    exprs.push(expr.alias(&name));
                }
                None => exprs.push(expr),
            }
        }
        for at in 0..keys.len() {
            renamed.push(Column::new_unqualified(format!("__key_{number}_{at}")));
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok((plan, renamed))
    }

    /// Joins a FROM item to the rows that it refers to.
    pub(super) fn join_lateral(
        &mut self,
        left: LogicalPlan,
        right: &LogicalPlan,
        references: &[Expr],
        kind: JoinType,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let left = self.repeatable(left)?;
        let domain = Domain {
            columns: local_references(&left, references),
            outer: left.clone(),
            work: Vec::new(),
        };
        let pushed = self.push(right, &domain)?;
        if kind == JoinType::Inner {
            let plan = join_on_keys(left, &domain.columns, pushed.plan, &pushed.keys, kind, None)?;
            return match condition {
                Some(condition) => self.filter(plan, condition),
                None => Ok(plan),
            };
        }
        join_on_keys(
            left,
            &domain.columns,
            pushed.plan,
            &pushed.keys,
            kind,
            condition,
        )
    }

    /// A plan that gives the same rows each time that it is read within one execution.
    pub(super) fn repeatable(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if repeats(&plan) {
            return Ok(plan);
        }
        if self.recursing > 0 {
            return Err(Error::unsupported(
                "a subquery for each of the rows that a recursive query limits or numbers",
                "Compute it outside of the recursive query.",
            ));
        }
        let number = self.next_number();
        Ok(shared::node(number, plan))
    }
}

/// Which sub-queries are left where they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Those that refer to nothing outside, and comparisons that DataFusion joins by itself.
    Conditions,
    /// Those that refer to nothing outside.
    Uncorrelated,
    Nothing,
}

impl Left {
    fn leaves(self, subquery: &Subquery) -> bool {
        match self {
            Left::Nothing => false,
            Left::Uncorrelated => subquery.outer_ref_columns.is_empty(),
            Left::Conditions => {
                subquery.outer_ref_columns.is_empty() || joins_by_equality(subquery)
            }
        }
    }
}

/// References to columns of rows that are at hand now, as these columns.
pub(super) fn outward(expr: Expr, at_hand: &dyn Fn(&Column) -> bool) -> Result<Expr> {
    let rewritten = expr.transform_up(|node| {
        Ok(match node {
            Expr::OuterReferenceColumn(_, column) if at_hand(&column) => {
                Transformed::yes(Expr::Column(column))
            }
            node => Transformed::no(node),
        })
    })?;
    Ok(rewritten.data)
}
