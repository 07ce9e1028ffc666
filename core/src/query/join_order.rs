//! The order of inner joins: the one whose intermediate results have the fewest rows.
//!
//! DataFusion joins tables as they stand in FROM. Here a tree of inner joins is taken apart into its
//! relations, the equalities between their columns and other conditions, and put together again. Orders
//! are found greedily: the pair with the smallest result first, and from every relation on whatever
//! keeps the result smallest; the cheapest of these is taken. Columns that are equal to one another by several equalities may be joined by any of them
//! (`a.x = b.x AND b.x = c.x` joins `a` and `c`, too). Estimates come from the view that the plan runs
//! on, so this is done for each execution; they decide about time alone, never about rows.

mod search;

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder, Projection,
};

use self::search::Set;
use super::estimate::Estimator;

/// Relations of one tree at most: sets of them are bits of a word, and every pair is looked at in every
/// round.
const MOST_RELATIONS: usize = 32;

/// The plan with its inner joins in another order.
pub(super) fn order_joins(plan: LogicalPlan, estimator: &Estimator<'_>) -> DfResult<LogicalPlan> {
    let mut joins = 0;
    plan.apply_with_subqueries(|node| {
        joins += usize::from(is_inner_join(node));
        Ok(match joins {
            0 | 1 => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Stop,
        })
    })?;
    match joins {
        0 | 1 => Ok(plan),
        _ => Ok(walk(plan, estimator)?.data),
    }
}

fn walk(plan: LogicalPlan, estimator: &Estimator<'_>) -> DfResult<Transformed<LogicalPlan>> {
    let plan = plan.map_uncorrelated_subqueries(|inner| walk(inner, estimator))?;
    plan.transform_sibling(|plan| {
        if is_inner_join(&plan)
            && let Some(tree) = Tree::of(&plan, estimator)
        {
            let mut tree = tree;
            for relation in &mut tree.relations {
                let taken = std::mem::take(&mut relation.plan);
                relation.plan = walk(taken, estimator)?.data;
            }
            return Ok(Transformed::yes(tree.join(plan.schema().columns())?));
        }
        plan.map_children(|child| walk(child, estimator))
    })
}

fn is_inner_join(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if is_plain(join))
}

fn is_plain(join: &Join) -> bool {
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && !join.null_aware
}

/// Inner joins, taken apart.
struct Tree {
    relations: Vec<Relation>,
    /// Rows of each relation before its conditions.
    stored: Vec<f64>,
    classes: Vec<Class>,
    /// Other conditions, and which relations they refer to.
    conditions: Vec<(u64, Expr)>,
}

struct Relation {
    plan: LogicalPlan,
    rows: f64,
}

/// Expressions of different relations that are equal to one another.
struct Class(Vec<Member>);

struct Member {
    relation: usize,
    expr: Expr,
    /// Different values of it.
    values: f64,
}

struct Joined {
    set: Set,
    plan: LogicalPlan,
}

impl Tree {
    /// `None` where there is no choice, or where it cannot be told whose a column is.
    fn of(plan: &LogicalPlan, estimator: &Estimator<'_>) -> Option<Tree> {
        let mut parts = Parts::default();
        parts.take(plan);
        let relations = parts.relations;
        if relations.len() < 3 || relations.len() > MOST_RELATIONS {
            return None;
        }
        let mut owners: Vec<(Column, usize)> = Vec::new();
        let mut known: HashSet<Column> = HashSet::new();
        for (at, relation) in relations.iter().enumerate() {
            for column in relation.schema().columns() {
                if !known.insert(column.clone()) {
                    return None;
                }
                owners.push((column, at));
            }
        }
        let relations_of = |expr: &Expr| {
            let mut bits = 0_u64;
            for column in expr.column_refs() {
                let (_, owner) = owners.iter().find(|(known, _)| known == column)?;
                bits |= 1 << owner;
            }
            (!expr.is_volatile()).then_some(bits)
        };
        let mut conditions = Vec::new();
        for condition in parts.conditions {
            conditions.push((relations_of(&condition)?, condition));
        }
        let mut pairs: Vec<[(usize, Expr); 2]> = Vec::new();
        for (left, right) in parts.pairs {
            let (l, r) = (relations_of(&left)?, relations_of(&right)?);
            match (l.is_power_of_two(), r.is_power_of_two()) {
                (true, true) if l != r => pairs.push([
                    (l.trailing_zeros() as usize, left),
                    (r.trailing_zeros() as usize, right),
                ]),
                _ => conditions.push((l | r, left.eq(right))),
            }
        }
        let relations: Vec<Relation> = relations
            .into_iter()
            .map(|plan| Relation {
                rows: estimator.rows(plan),
                plan: plan.clone(),
            })
            .collect();
        let classes = classes(pairs)
            .into_iter()
            .map(|class| {
                let members = class.into_iter().filter_map(|(relation, expr)| {
                    let plan = &relations.get(relation)?.plan;
                    Some(Member {
                        relation,
                        values: estimator.values(plan, &expr),
                        expr,
                    })
                });
                Class(members.collect())
            })
            .collect();
        let stored = relations
            .iter()
            .map(|relation| estimator.stored(&relation.plan));
        Some(Tree {
            stored: stored.collect(),
            relations,
            classes,
            conditions,
        })
    }

    /// Joins all of it, and shows these columns.
    fn join(mut self, columns: Vec<Column>) -> DfResult<LogicalPlan> {
        let order = self.cheapest();
        let mut sets: Vec<Option<Joined>> = Vec::with_capacity(self.relations.len());
        for (at, relation) in std::mem::take(&mut self.relations).into_iter().enumerate() {
            let set = Set::of(at, relation.rows);
            let mut plan = LogicalPlanBuilder::from(relation.plan);
            if let Some(condition) = self.conditions_within(set.relations) {
                plan = plan.filter(condition)?;
            }
            let plan = plan.build()?;
            sets.push(Some(Joined { set, plan }));
        }
        let mut last = None;
        for (left, right) in order {
            let mut take = |at: usize| sets.get_mut(at).and_then(Option::take);
            let (Some(left_side), Some(right_side)) = (take(left), take(right)) else {
                return datafusion::common::internal_err!("a relation that is joined twice");
            };
            let joined = self.join_two(left_side, right_side, &columns)?;
            if let Some(place) = sets.get_mut(left) {
                *place = Some(joined);
            }
            last = Some(left);
        }
        let whole = last.and_then(|at| sets.get_mut(at)?.take());
        match whole {
            Some(whole) => project(whole.plan, columns.into_iter().map(Expr::Column).collect()),
            None => datafusion::common::internal_err!("a join of nothing"),
        }
    }

    fn join_two(&mut self, left: Joined, right: Joined, columns: &[Column]) -> DfResult<Joined> {
        let (_, rows) = self.joined_rows(&left.set, &right.set);
        // The smaller side is the one that is hashed.
        let (left, right) = match left.set.rows <= right.set.rows {
            true => (left, right),
            false => (right, left),
        };
        let relations = left.set.relations | right.set.relations;
        let on = self.classes.iter().filter_map(|class| {
            let (l, r) = (class.member(&left.set)?, class.member(&right.set)?);
            Some((l.expr.clone(), r.expr.clone()))
        });
        let on: Vec<(Expr, Expr)> = on.collect();
        let filter = self.conditions_within(relations);
        let join = LogicalPlan::Join(Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            on,
            filter,
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?);
        let needed = self.needed(relations, columns);
        let wanted: Vec<Expr> = join
            .schema()
            .columns()
            .into_iter()
            .filter(|column| needed.contains(column))
            .map(Expr::Column)
            .collect();
        Ok(Joined {
            set: Set { relations, rows },
            plan: project(join, wanted)?,
        })
    }

    /// The conditions that refer to no other relations, each once.
    fn conditions_within(&mut self, relations: u64) -> Option<Expr> {
        let within = |(needs, _): &mut (u64, Expr)| *needs & !relations == 0;
        let found = self.conditions.extract_if(.., within);
        conjunction(found.map(|(_, condition)| condition).collect::<Vec<_>>())
    }

    /// Columns that are shown, or needed by what is not joined yet.
    fn needed<'a>(&'a self, relations: u64, columns: &'a [Column]) -> HashSet<&'a Column> {
        let mut needed: HashSet<&Column> = columns.iter().collect();
        for (_, condition) in &self.conditions {
            needed.extend(condition.column_refs());
        }
        for class in &self.classes {
            let open = |member: &Member| relations & (1 << member.relation) == 0;
            if class.0.iter().any(open) {
                needed.extend(class.0.iter().flat_map(|member| member.expr.column_refs()));
            }
        }
        needed
    }
}

/// What a tree of joins is made of.
#[derive(Default)]
struct Parts<'a> {
    relations: Vec<&'a LogicalPlan>,
    pairs: Vec<(Expr, Expr)>,
    conditions: Vec<Expr>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, plan: &'a LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_plain(join) => {
                self.pairs.extend(join.on.iter().cloned());
                if let Some(filter) = &join.filter {
                    self.conditions
                        .extend(split_conjunction_owned(filter.clone()));
                }
                self.take(&join.left);
                self.take(&join.right);
            }
            LogicalPlan::Filter(filter) if leads_to_join(&filter.input) => {
                self.conditions
                    .extend(split_conjunction_owned(filter.predicate.clone()));
                self.take(&filter.input);
            }
            LogicalPlan::Projection(projection)
                if selects(projection) && leads_to_join(&projection.input) =>
            {
                self.take(&projection.input);
            }
            relation => self.relations.push(relation),
        }
    }
}

/// Whether there is an inner join below nothing but conditions and selections of columns.
fn leads_to_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => leads_to_join(&filter.input),
        LogicalPlan::Projection(projection) => {
            selects(projection) && leads_to_join(&projection.input)
        }
        plan => is_inner_join(plan),
    }
}

/// Whether a projection leaves out columns, and does nothing else.
fn selects(projection: &Projection) -> bool {
    let mut columns = projection.expr.iter();
    columns.all(|expr| matches!(expr, Expr::Column(_)))
}

/// Joins what is equal to the same into classes: of each relation one member at most, for a class says
/// nothing of two columns of one relation. Where it would, pairs stay pairs.
fn classes(pairs: Vec<[(usize, Expr); 2]>) -> Vec<Vec<(usize, Expr)>> {
    let mut classes: Vec<Vec<(usize, Expr)>> = Vec::new();
    for pair in &pairs {
        let (mut touched, rest): (Vec<_>, Vec<_>) = classes
            .into_iter()
            .partition(|class| pair.iter().any(|member| class.contains(member)));
        let mut merged: Vec<(usize, Expr)> = touched.drain(..).flatten().collect();
        for member in pair {
            if !merged.contains(member) {
                merged.push(member.clone());
            }
        }
        classes = rest;
        classes.push(merged);
    }
    let is_plain = |class: &Vec<(usize, Expr)>| {
        let mut seen = HashSet::new();
        class.iter().all(|(relation, _)| seen.insert(*relation))
    };
    if classes.iter().all(is_plain) {
        return classes;
    }
    pairs.into_iter().map(Vec::from).collect()
}

/// A projection, if it changes anything. One without columns is none: rows are counted by what is there.
fn project(plan: LogicalPlan, columns: Vec<Expr>) -> DfResult<LogicalPlan> {
    let own = plan.schema().columns();
    let same = own.len() == columns.len()
        && own
            .iter()
            .zip(&columns)
            .all(|(own, wanted)| matches!(wanted, Expr::Column(wanted) if wanted == own));
    if same || columns.is_empty() {
        return Ok(plan);
    }
    let projection = Projection::try_new(columns, Arc::new(plan))?;
    Ok(LogicalPlan::Projection(projection))
}
