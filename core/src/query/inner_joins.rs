//! Inner joins, where DataFusion's own rules are wrong or too slow.
//!
//! [`CrossJoins`] takes the place of `eliminate_cross_join`. That one loses a condition over three
//! tables when a key of two of them is found first, gives all joins of a group the null equality of
//! one of them, and takes time that grows with the fourth power of the number of joins.
//!
//! [`guard`] stands before `extract_equijoin_predicate`, which adds `a = b` to the keys of a join that
//! takes NULLs for equal.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{can_hash, conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, Join, JoinConstraint, JoinType, LogicalPlan, Operator,
    Projection,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::evaluate::holds_query;
use super::rules::{Passage, Rule};

/// Equalities of a join's condition become its keys, but not where these take NULLs for equal.
pub(super) fn guard(_: &Rule, plan: LogicalPlan) -> DfResult<Passage> {
    Ok(match &plan {
        LogicalPlan::Join(join)
            if join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty() =>
        {
            Passage::Barred(plan)
        }
        _ => Passage::Free(plan),
    })
}

/// `FROM a, b, c WHERE a.x = c.x AND c.y = b.y` as joins by these keys.
#[derive(Debug)]
pub(super) struct CrossJoins;

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        "eliminate_cross_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> DfResult<Transformed<LogicalPlan>> {
        let (predicate, root) = match &plan {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
            other => (None, other),
        };
        let mut group = Group::default();
        if joins_freely(root).is_some() {
            group.collect(root, predicate)?;
        }
        match group.joined(root)? {
            Some(joined) => Ok(Transformed::yes(joined)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// A join whose inputs may be joined in any order, by `=`.
fn joins_freely(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) => {
            let equality = join.null_equality == NullEquality::NullEqualsNothing;
            let free = join.join_type == JoinType::Inner && !join.null_aware;
            (free && (equality || join.on.is_empty())).then_some(join)
        }
        _ => None,
    }
}

/// The inputs of adjacent inner joins and what was said about their rows.
#[derive(Default)]
struct Group<'p> {
    inputs: Vec<&'p Arc<LogicalPlan>>,
    conditions: Vec<Condition>,
    /// Joins without a key.
    crosses: usize,
}

/// A condition; where it can be a join's key, with its two sides.
struct Condition {
    expr: Expr,
    key: Option<Key>,
    /// It follows from another condition: it need not be checked.
    implied: bool,
}

struct Key {
    sides: [Side; 2],
    used: bool,
}

struct Side {
    expr: Expr,
    /// The inputs whose columns it reads.
    reads: Vec<usize>,
}

impl<'p> Group<'p> {
    fn collect(&mut self, root: &'p LogicalPlan, predicate: Option<&Expr>) -> DfResult<()> {
        let mut exprs: Vec<(Expr, bool)> = Vec::new();
        self.flatten(root, &mut exprs);
        if let Some(predicate) = predicate {
            for expr in split_conjunction(predicate) {
                let implied = common_equalities(expr);
                exprs.push((expr.clone(), false));
                exprs.extend(implied.into_iter().map(|equality| (equality, true)));
            }
        }
        if self.crosses == 0 {
            return Ok(());
        }
        let mut owners: HashMap<Column, usize> = HashMap::new();
        for (at, input) in self.inputs.iter().enumerate() {
            owners.extend(
                input
                    .schema()
                    .columns()
                    .into_iter()
                    .map(|column| (column, at)),
            );
        }
        for (expr, implied) in exprs {
            let key = key(&expr, root, &owners)?;
            if key.is_some() || !implied {
                self.conditions.push(Condition { expr, key, implied });
            }
        }
        Ok(())
    }

    fn flatten(&mut self, plan: &'p LogicalPlan, exprs: &mut Vec<(Expr, bool)>) {
        let Some(join) = joins_freely(plan) else {
            return;
        };
        if join.on.is_empty() {
            self.crosses += 1;
        }
        for (left, right) in &join.on {
            exprs.push((left.clone().eq(right.clone()), false));
        }
        if let Some(filter) = &join.filter {
            let parts = split_conjunction(filter).into_iter();
            exprs.extend(parts.map(|expr| (expr.clone(), false)));
        }
        for input in [&join.left, &join.right] {
            match joins_freely(input) {
                Some(_) => self.flatten(input, exprs),
                None => self.inputs.push(input),
            }
        }
    }

    /// The inputs joined by all the keys that can be; `None` when that leaves no fewer joins without a
    /// key than there are.
    fn joined(mut self, root: &LogicalPlan) -> DfResult<Option<LogicalPlan>> {
        let Some((first, _)) = self.inputs.split_first() else {
            return Ok(None);
        };
        if self.crosses == 0 {
            return Ok(None);
        }
        let mut plan: Arc<LogicalPlan> = Arc::clone(first);
        let mut placed = vec![false; self.inputs.len()];
        let mut crosses = 0;
        let mut next = Some(0);
        while let Some(at) = next {
            if at > 0 {
                let on = self.keys_of(at, &placed);
                crosses += usize::from(on.is_empty());
                let Some(input) = self.inputs.get(at) else {
                    break;
                };
                plan = Arc::new(LogicalPlan::Join(Join::try_new(
                    plan,
                    Arc::clone(input),
                    on,
                    None,
                    JoinType::Inner,
                    JoinConstraint::On,
                    NullEquality::NullEqualsNothing,
                    false,
                )?));
            }
            if let Some(place) = placed.get_mut(at) {
                *place = true;
            }
            next = self.next(&placed);
        }
        if crosses >= self.crosses {
            return Ok(None);
        }
        let left = self.conditions.into_iter().filter(|condition| {
            let used = condition.key.as_ref().is_some_and(|key| key.used);
            !used && !condition.implied
        });
        if let Some(rest) = conjunction(left.map(|condition| condition.expr)) {
            plan = Arc::new(LogicalPlan::Filter(Filter::try_new(rest, plan)?));
        }
        if plan.schema() != root.schema() {
            let columns = Projection::new_from_schema(plan, Arc::clone(root.schema()));
            return Ok(Some(LogicalPlan::Projection(columns)));
        }
        Ok(Some(Arc::unwrap_or_clone(plan)))
    }

    /// The next input: the first that a key joins to those before, else the first that is left.
    fn next(&self, placed: &[bool]) -> Option<usize> {
        let keys = self
            .conditions
            .iter()
            .filter_map(|condition| condition.key.as_ref());
        let joined = keys
            .filter_map(|key| key.joins(placed).map(|(_, at)| at))
            .min();
        joined.or_else(|| placed.iter().position(|placed| !placed))
    }

    /// The keys between the inputs before and this one.
    fn keys_of(&mut self, at: usize, placed: &[bool]) -> Vec<(Expr, Expr)> {
        let mut on = Vec::new();
        let keys = self
            .conditions
            .iter_mut()
            .filter_map(|condition| condition.key.as_mut());
        for key in keys {
            let Some((flipped, _)) = key.joins(placed).filter(|(_, input)| *input == at) else {
                continue;
            };
            let [left, right] = &key.sides;
            let (left, right) = match flipped {
                false => (left, right),
                true => (right, left),
            };
            let pair = (left.expr.clone(), right.expr.clone());
            if !on.contains(&pair) {
                on.push(pair);
            }
            key.used = true;
        }
        on
    }
}

impl Key {
    /// Whether one side can be computed of what is placed, and the other of one input that is not: that
    /// input, and whether its side is the left one.
    fn joins(&self, placed: &[bool]) -> Option<(bool, usize)> {
        let is_placed = |at: &usize| placed.get(*at) == Some(&true);
        let [left, right] = &self.sides;
        [(false, left, right), (true, right, left)]
            .into_iter()
            .find_map(|(flipped, before, new)| match new.reads.as_slice() {
                [at] if !is_placed(at) && before.reads.iter().all(is_placed) => {
                    Some((flipped, *at))
                }
                _ => None,
            })
    }
}

/// An equality as a key, if its sides read different inputs.
fn key(expr: &Expr, root: &LogicalPlan, owners: &HashMap<Column, usize>) -> DfResult<Option<Key>> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = expr
    else {
        return Ok(None);
    };
    let (Some(left), Some(right)) = (side(left, owners)?, side(right, owners)?) else {
        return Ok(None);
    };
    let apart = !left.reads.iter().any(|at| right.reads.contains(at));
    let data = left.expr.get_type(root.schema())?;
    let alike = data == right.expr.get_type(root.schema())?;
    let sides = [left, right];
    Ok((apart && alike && can_hash(&data)).then_some(Key { sides, used: false }))
}

fn side(expr: &Expr, owners: &HashMap<Column, usize>) -> DfResult<Option<Side>> {
    let fixed = expr.is_volatile() || expr.contains_outer() || holds_query(expr)?;
    let mut reads = Vec::new();
    for column in expr.column_refs() {
        match owners.get(column) {
            Some(at) if reads.contains(at) => {}
            Some(at) => reads.push(*at),
            None => return Ok(None),
        }
    }
    let expr = expr.clone();
    Ok((!fixed && !reads.is_empty()).then_some(Side { expr, reads }))
}

/// The equalities that hold in each branch of an OR.
fn common_equalities(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => {
            let right = equalities(right);
            let mut left = equalities(left);
            left.retain(|equality| right.contains(equality));
            left
        }
        _ => Vec::new(),
    }
}

fn equalities(expr: &Expr) -> Vec<Expr> {
    let mut found = Vec::new();
    for part in split_conjunction(expr) {
        match part {
            Expr::BinaryExpr(BinaryExpr {
                op: Operator::Eq, ..
            }) => found.push(part.clone()),
            other => found.extend(common_equalities(other)),
        }
    }
    found
}
