//! The search for an order: what results are estimated to have, and which order has the fewest rows.

use super::{Class, Member, Tree};

/// Relations that are joined, and how many rows that gives.
pub(super) struct Set {
    pub relations: u64,
    pub rows: f64,
}

impl Set {
    pub fn of(relation: usize, rows: f64) -> Set {
        let relations = 1 << relation;
        Set { relations, rows }
    }
}

/// Steps of a join, and the rows of all their results.
#[derive(Default)]
struct Order {
    steps: Vec<(usize, usize)>,
    cost: f64,
}

impl Order {
    fn step(&mut self, (at, other): (usize, usize), sets: &mut [Option<Set>], tree: &Tree) {
        let right = sets.get_mut(other).and_then(Option::take);
        let left = sets.get_mut(at);
        if let (Some(Some(left)), Some(right)) = (left, right) {
            let (_, rows) = tree.joined_rows(left, &right);
            left.relations |= right.relations;
            left.rows = rows;
            self.cost += rows;
        }
        self.steps.push((at, other));
    }
}

/// Keeps the pair whose join has the fewest rows, the earlier one of equals. Products come last.
fn keep_less(
    best: &mut Option<((bool, f64), (usize, usize))>,
    rows: (bool, f64),
    pair: (usize, usize),
) {
    if best.as_ref().is_none_or(|(known, _)| rows < *known) {
        *best = Some((rows, pair));
    }
}

impl Tree {
    /// Which relations to join, step by step: the second of a pair goes into the place of the first.
    pub(super) fn cheapest(&self) -> Vec<(usize, usize)> {
        let mut best = self.by_smallest_pair();
        for start in 0..self.relations.len() {
            let order = self.from_one(start);
            if order.cost < best.cost {
                best = order;
            }
        }
        best.steps
    }

    fn sets(&self) -> Vec<Option<Set>> {
        let sets = self.relations.iter().enumerate();
        sets.map(|(at, relation)| Some(Set::of(at, relation.rows)))
            .collect()
    }

    fn by_smallest_pair(&self) -> Order {
        let mut sets = self.sets();
        let mut order = Order::default();
        loop {
            let mut best: Option<((bool, f64), (usize, usize))> = None;
            for (at, left) in sets.iter().enumerate() {
                for (other, right) in sets.iter().enumerate().skip(at + 1) {
                    if let (Some(left), Some(right)) = (left, right) {
                        keep_less(&mut best, self.joined_rows(left, right), (at, other));
                    }
                }
            }
            match best {
                Some((_, pair)) => order.step(pair, &mut sets, self),
                None => return order,
            }
        }
    }

    fn from_one(&self, start: usize) -> Order {
        let mut sets = self.sets();
        let mut order = Order::default();
        loop {
            let mut best: Option<((bool, f64), (usize, usize))> = None;
            if let Some(Some(left)) = sets.get(start) {
                for (other, right) in sets.iter().enumerate() {
                    if let (Some(right), true) = (right, other != start) {
                        keep_less(&mut best, self.joined_rows(left, right), (start, other));
                    }
                }
            }
            match best {
                Some((_, pair)) => order.step(pair, &mut sets, self),
                None => return order,
            }
        }
    }

    /// Whether a join is a product, and its rows.
    pub(super) fn joined_rows(&self, left: &Set, right: &Set) -> (bool, f64) {
        let (mut of_left, mut of_right) = (Values::default(), Values::default());
        for class in &self.classes {
            if let (Some(l), Some(r)) = (class.member(left), class.member(right)) {
                of_left.add(l);
                of_right.add(r);
            }
        }
        let values = of_left
            .product(&self.stored)
            .max(of_right.product(&self.stored));
        let rows = left.rows * right.rows / values.max(1.0);
        (of_left.0.is_empty(), rows.max(1.0))
    }
}

impl Class {
    pub(super) fn member(&self, set: &Set) -> Option<&Member> {
        let is_in = |member: &&Member| set.relations & (1 << member.relation) != 0;
        self.0.iter().find(is_in)
    }
}

/// Different values of the columns of one side of a join.
#[derive(Default)]
struct Values(Vec<(usize, f64)>);

impl Values {
    fn add(&mut self, member: &Member) {
        match self
            .0
            .iter_mut()
            .find(|(known, _)| *known == member.relation)
        {
            Some((_, values)) => *values *= member.values,
            None => self.0.push((member.relation, member.values)),
        }
    }

    /// Several columns of one relation have no more combinations than it has rows.
    fn product(&self, relations: &[f64]) -> f64 {
        let values = self.0.iter().map(|(relation, values)| {
            let rows = relations.get(*relation).copied().unwrap_or(f64::MAX);
            values.min(rows)
        });
        values.product()
    }
}
