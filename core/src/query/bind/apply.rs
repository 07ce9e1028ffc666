//! Where a sub-query's rows meet the outer rows: scalar sub-queries beside them, LATERAL items, and
//! which of the simple forms are left to DataFusion.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::Binder;
use super::decorrelate::{Domain, columns_of};
use super::outer::{is_equality, mentions, subquery_of};
use super::push_join::join_on_keys;
use super::select::rewrite;
use crate::error::{Error, Result};
use crate::query::functions;
use crate::query::{series, shared};

/// Aggregates that give the same value whatever the order of their rows, but for floats.
const EXACT: &[&str] = &[
    "count", "min", "max", "sum", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor",
];

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

/// Whether a scalar sub-query that refers to outer rows is in an expression.
pub(super) fn has_outer_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|node| {
        Ok(matches!(node, Expr::ScalarSubquery(inner) if !inner.outer_ref_columns.is_empty()))
    });
    found.unwrap_or(true)
}

/// The columns of a plan among those that a sub-query refers to.
pub(super) fn local_references(plan: &LogicalPlan, references: &[Expr]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for reference in references {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && plan.schema().has_column(column)
            && !columns.contains(column)
        {
            columns.push(column.clone());
        }
    }
    columns
}

/// Whether a plan gives one row whatever it reads: an aggregate without groups.
pub(super) fn yields_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => yields_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => yields_one_row(&alias.input),
        LogicalPlan::Sort(sort) => yields_one_row(&sort.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// Whether EXISTS or IN over this plan is a semi join that DataFusion finds: conditions over a plan
/// that refers to nothing outside.
pub(super) fn is_semi_join(plan: &LogicalPlan, references: &[Expr]) -> bool {
    if references.is_empty() {
        return true;
    }
    let domain = Domain {
        outer: plan.clone(),
        work: Vec::new(),
        columns: references
            .iter()
            .filter_map(|reference| match reference {
                Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
                _ => None,
            })
            .collect(),
    };
    conditions_over(plan, &domain).is_some()
}

/// The conditions that refer to the domain, if there is nothing else that does.
fn conditions_over(plan: &LogicalPlan, domain: &Domain) -> Option<Vec<Expr>> {
    let mut conditions = Vec::new();
    let mut node = plan;
    loop {
        match node {
            _ if !mentions(node, domain) => return Some(conditions),
            LogicalPlan::Projection(projection) => {
                if projection.expr.iter().any(has_reference) {
                    return None;
                }
                node = &projection.input;
            }
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction_owned(filter.predicate.clone()) {
                    let nested = condition.exists(|expr| {
                        Ok(subquery_of(expr).is_some_and(|inner| {
                            inner.outer_ref_columns.iter().any(|reference| {
                                matches!(reference, Expr::OuterReferenceColumn(_, column)
                                    if domain.columns.contains(column))
                            })
                        }))
                    });
                    if nested.unwrap_or(true) {
                        return None;
                    }
                    if has_reference(&condition) {
                        conditions.push(condition);
                    }
                }
                node = &filter.input;
            }
            _ => return None,
        }
    }
}

fn has_reference(expr: &Expr) -> bool {
    expr.contains_outer()
        || expr
            .exists(|node| Ok(subquery_of(node).is_some()))
            .unwrap_or(true)
}

/// Whether there is a division in an expression whose divisor may be zero. The one of an average is NULL
/// where nothing was counted.
fn may_divide_by_zero(expr: &Expr) -> bool {
    let found = expr.exists(|node| {
        let Expr::ScalarFunction(call) = node else {
            return Ok(false);
        };
        Ok(match (call.func.name(), call.args.as_slice()) {
            ("/" | "%", [_, divisor]) => {
                let mut divisor = divisor;
                while let Some(inner) = recast_of(divisor) {
                    divisor = inner;
                }
                match divisor {
                    Expr::Case(_) => false,
                    Expr::Literal(value, _) => !is_nonzero(value),
                    _ => true,
                }
            }
            ("/" | "%", _) => true,
            _ => false,
        })
    });
    found.unwrap_or(true)
}

/// What is cast.
fn recast_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast(cast) => Some(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "numeric_recast" => call.args.first(),
        _ => None,
    }
}

fn is_nonzero(value: &ScalarValue) -> bool {
    let zero = ScalarValue::new_zero(&value.data_type());
    zero.is_ok_and(|zero| !value.is_null() && *value != zero)
}

/// Whether a scalar sub-query is an aggregate over rows found by equalities with the outer row.
fn joins_by_equality(subquery: &Subquery) -> bool {
    let mut node = subquery.subquery.as_ref();
    let aggregate = loop {
        match node {
            LogicalPlan::Projection(projection) => {
                let refused = |expr: &Expr| has_reference(expr) || may_divide_by_zero(expr);
                if projection.expr.iter().any(refused) {
                    return false;
                }
                node = &projection.input;
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                break aggregate;
            }
            _ => return false,
        }
    };
    // An aggregate that fails for some rows may do so for rows that nobody asked for. A sum of decimals
    // has room for all of them.
    let schema = aggregate.input.schema();
    let plain = aggregate.aggr_expr.iter().all(|call| {
        let fails_not = match call.clone().unalias() {
            Expr::AggregateFunction(inner) => match inner.func.name() {
                "avg" => true,
                "numeric_sum" => call
                    .get_type(schema)
                    .is_ok_and(|data| data != DataType::Binary),
                name => EXACT.contains(&name),
            },
            _ => false,
        };
        fails_not && !has_reference(call)
    });
    let domain = Domain {
        outer: subquery.subquery.as_ref().clone(),
        work: Vec::new(),
        columns: subquery
            .outer_ref_columns
            .iter()
            .filter_map(|reference| match reference {
                Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
                _ => None,
            })
            .collect(),
    };
    plain
        && conditions_over(&aggregate.input, &domain)
            .is_some_and(|conditions| conditions.iter().all(is_plain_equality))
}

/// Whether a condition compares a column with one of the outer row: what DataFusion can join by.
fn is_plain_equality(condition: &Expr) -> bool {
    let sides = |expr: &Expr| {
        let Expr::BinaryExpr(equality) = expr else {
            return false;
        };
        [&equality.left, &equality.right]
            .iter()
            .all(|side| matches!(***side, Expr::Column(_) | Expr::OuterReferenceColumn(..)))
    };
    is_equality(condition) && sides(condition)
}

/// Whether a plan gives the same rows whenever it is read.
fn repeats(plan: &LogicalPlan) -> bool {
    let mut same = true;
    let _ = plan.apply_with_subqueries(|node| {
        same &= match node {
            LogicalPlan::TableScan(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Projection(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Distinct(Distinct::All(_))
            | LogicalPlan::Union(_)
            | LogicalPlan::Unnest(_) => true,
            LogicalPlan::Sort(sort) => sort.fetch.is_none(),
            LogicalPlan::Aggregate(aggregate) => {
                aggregate.aggr_expr.iter().all(|call| {
                    matches!(call.clone().unalias(), Expr::AggregateFunction(call)
                    if EXACT.contains(&call.func.name()))
                }) && !aggregate
                    .schema
                    .fields()
                    .iter()
                    .any(|field| field.data_type().is_floating())
            }
            LogicalPlan::Extension(extension) => {
                shared::is_shared(extension) || series::is_series(extension)
            }
            _ => false,
        };
        node.apply_expressions(|expr| {
            same &= !expr.exists(|node| Ok(is_volatile(node)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match same {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    });
    same
}

fn is_volatile(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call)
        if call.func.signature().volatility == Volatility::Volatile
            && !functions::only_looks_volatile(call.func.name()))
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
