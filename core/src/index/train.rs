//! Training a recursive model index. Reads every key; nothing about error bounds is sampled.

use super::column::KeyColumn;
use super::rmi::{MAX_DEPTH, Node, Place, Rmi, Slot, scaled};

/// How a model is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmiShape {
    /// Keys per slot, on average. Fewer make finer and larger models.
    pub keys_per_slot: u32,
    /// Slots of the root; 0 for as many as `keys_per_slot` gives.
    pub root_slots: u32,
}

/// A slot whose window is wider becomes a node, if a node can divide it.
const WIDEST_LEAF: u32 = 62;
/// A slot with so many times the average of keys becomes a node without an attempt at a line.
const CROWDED: usize = 16;
/// Such a slot has at least so many keys: few keys are searched faster than predicted.
const CROWDED_AT_LEAST: usize = 1024;
/// Keys looked at to choose between root functions. Not for error bounds.
const LAYOUT_SAMPLE: usize = 1024;
/// Trimmed from both ends for a root function, as a divisor of the number of keys; 0 for nothing.
const TRIMS: [usize; 4] = [0, 1024, 128, 16];
/// Halvings of a slot that trimming more has to save a key. What is trimmed needs nodes of its own.
const WORTH_TRIMMING: f64 = 0.25;

/// Keys that a node will be made for.
struct Task {
    /// The slot that leads to the node; `None` for the root.
    parent: Option<usize>,
    from: usize,
    to: usize,
    depth: usize,
}

struct Trainer<'c, C> {
    column: &'c C,
    shape: RmiShape,
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    tasks: Vec<Task>,
    points: Vec<Point>,
}

/// An answer that a leaf has to give: for the heads at `offset` it is `lower..=upper`.
#[derive(Clone, Copy)]
struct Point {
    offset: f64,
    lower: i64,
    upper: i64,
}

/// Trains on all keys. The number of keys fits `i32`.
pub(super) fn train<C: KeyColumn>(column: &C, shape: RmiShape) -> Rmi {
    let mut trainer = Trainer {
        column,
        shape,
        nodes: Vec::new(),
        slots: Vec::new(),
        tasks: Vec::new(),
        points: Vec::new(),
    };
    let mut root = None;
    trainer.tasks.push(Task {
        parent: None,
        from: 0,
        to: column.len(),
        depth: 0,
    });
    while let Some(task) = trainer.tasks.pop() {
        let node = trainer.node(&task);
        let number = trainer.nodes.len();
        match task.parent {
            None => root = Some(node),
            Some(parent) => {
                trainer.nodes.push(node);
                if let Some(slot) = trainer.slots.get_mut(parent) {
                    *slot = Slot {
                        low: number as i32,
                        slope: 0,
                        span: Slot::NODE,
                    };
                }
            }
        }
    }
    Rmi {
        root: root.unwrap_or(whole(0, column.len())),
        nodes: trainer.nodes,
        slots: trainer.slots,
    }
}

/// A node that says no more than what it was made for.
fn whole(from: usize, to: usize) -> Node {
    Node {
        origin: 0,
        scale: 0.0,
        first: from as u32,
        count: (to - from) as u32,
    }
}

impl<C: KeyColumn> Trainer<'_, C> {
    /// Makes a node for the keys of a task, with its slots. Slots that need nodes become tasks.
    fn node(&mut self, task: &Task) -> Node {
        let Task { from, to, .. } = *task;
        let smallest = self.column.head(from);
        let largest = self.column.head(to.saturating_sub(1));
        if to - from < 2 || smallest == largest || task.depth >= MAX_DEPTH - 1 {
            return whole(from, to);
        }
        let count = match (task.parent, self.shape.root_slots) {
            (Some(_), _) | (None, 0) => (to - from) / self.shape.keys_per_slot.max(1) as usize,
            (None, slots) => slots as usize,
        };
        let count = count.max(2);
        let mut node = self.linear(from, to, count);
        node.first = self.slots.len() as u32;
        self.slots.resize(self.slots.len() + count, Slot::default());
        self.fill(&node, task);
        node
    }

    /// The linear function that divides the keys most evenly: from quantile to quantile, with the
    /// trimmed keys clamped to the outer slots.
    fn linear(&self, from: usize, to: usize, count: usize) -> Node {
        let function = |trim: usize, count: usize| {
            let trimmed = (to - from).checked_div(trim).unwrap_or(0);
            let origin = self.column.head(from + trimmed);
            let width = self.column.head(to - 1 - trimmed).saturating_sub(origin);
            (width > 0).then(|| Node {
                origin,
                scale: (count - 1) as f64 / width as f64,
                first: 0,
                count: count as u32,
            })
        };
        let step = ((to - from) / LAYOUT_SAMPLE).max(1);
        let sample = || (from..to).step_by(step).map(|at| self.column.head(at));
        let margin = WORTH_TRIMMING * sample().len() as f64;
        let buckets = count.min(LAYOUT_SAMPLE);
        let mut best = (f64::INFINITY, 0);
        for trim in TRIMS {
            let Some(node) = function(trim, buckets) else {
                continue;
            };
            let cost = unevenness(sample().map(|head| node.place(head).slot));
            if cost + margin < best.0 {
                best = (cost, trim);
            }
        }
        // Without a trim there is a width: the outermost keys differ.
        function(best.1, count).unwrap_or(whole(from, to))
    }

    /// Fills the slots of a node.
    fn fill(&mut self, node: &Node, task: &Task) {
        let mut next = node.first as usize;
        let mut start = task.from;
        while start < task.to {
            let slot = node.place(self.column.head(start)).slot as usize;
            self.empty(next, slot, start);
            let end = self.end_of_slot(node, slot, start, task.to);
            self.slot(node, slot, start, end, task.depth);
            start = end;
            next = slot + 1;
        }
        self.empty(next, node.first as usize + node.count as usize, task.to);
    }

    /// Slots without keys: whatever comes there is answered by the keys behind.
    fn empty(&mut self, from: usize, to: usize, answer: usize) {
        for slot in self.slots.get_mut(from..to).unwrap_or_default() {
            slot.low = answer as i32;
        }
    }

    /// The first position behind `start` that belongs to another slot.
    fn end_of_slot(&self, node: &Node, slot: usize, start: usize, to: usize) -> usize {
        let mut end = start + 1;
        while end < to && node.place(self.column.head(end)).slot as usize == slot {
            end += 1;
        }
        end
    }

    /// One slot with keys: a leaf when a line describes them, else a task.
    fn slot(&mut self, node: &Node, slot: usize, from: usize, to: usize, depth: usize) {
        let divisible = depth + 2 < MAX_DEPTH && self.column.head(from) != self.column.head(to - 1);
        let crowd = CROWDED * self.shape.keys_per_slot as usize;
        let crowded = divisible && to - from > crowd.max(CROWDED_AT_LEAST);
        let leaf = if crowded || to - from > usize::from(Slot::NODE) {
            None
        } else {
            self.leaf(node, slot, from, to)
                .filter(|leaf| !divisible || u32::from(leaf.span) <= WIDEST_LEAF)
        };
        match (leaf, self.slots.get_mut(slot)) {
            (Some(leaf), Some(slot)) => *slot = leaf,
            _ => self.tasks.push(Task {
                parent: Some(slot),
                from,
                to,
                depth: depth + 1,
            }),
        }
    }

    /// The better of two lines through the keys of a slot, with its exact bounds. `None` when no leaf
    /// can say it.
    fn leaf(&mut self, node: &Node, slot: usize, from: usize, to: usize) -> Option<Slot> {
        self.points.clear();
        let mut first = 0.0;
        let mut last = 0.0;
        let mut at = from;
        while at < to {
            let head = self.column.head(at);
            let offset = node.place(head).offset;
            let mut end = at + 1;
            while end < to && self.column.head(end) == head {
                end += 1;
            }
            if at == from {
                first = offset;
            }
            last = offset;
            let (lower, upper) = (at as i64, end as i64);
            // At the head itself, then just behind it. Whole keys with the same head may be answered
            // by any position among them, and by the one behind.
            self.points.push(Point {
                offset,
                lower,
                upper: if C::EXACT { lower } else { upper },
            });
            let behind = match head.checked_add(1).map(|head| node.place(head)) {
                Some(Place { slot: same, offset }) if same as usize == slot => offset,
                _ => 0.5,
            };
            self.points.push(Point {
                offset: behind,
                lower: upper,
                upper,
            });
            at = end;
        }
        // Heads before the first key of the slot and behind the last. Nothing is placed in the outer
        // halves of the outer slots.
        let is_first = slot == node.first as usize;
        let is_last = slot + 1 == node.first as usize + node.count as usize;
        let lowest = if is_first { 0.0 } else { -0.5 };
        let highest = if is_last { 0.0 } else { 0.5 };
        for (offset, answer) in [(lowest, from as i64), (highest, to as i64)] {
            self.points.push(Point {
                offset,
                lower: answer,
                upper: answer,
            });
        }
        let keys = (to - from) as f64;
        let slopes = [keys, (keys - 1.0) / (last - first)];
        let lines = slopes.into_iter().filter_map(|slope| self.line(slope));
        lines.min_by_key(|line| line.span)
    }

    /// The line with a slope, and its bounds.
    fn line(&self, slope: f64) -> Option<Slot> {
        // Saturates; NaN is 0. Bounds make good for whatever is rounded here.
        let slope = slope.round() as u16;
        let mut low = i64::MAX;
        let mut high = i64::MIN;
        for point in &self.points {
            let predicted = i64::from(scaled(slope, point.offset));
            low = low.min(point.lower - predicted);
            high = high.max(point.upper - predicted);
        }
        let span = u16::try_from(high.checked_sub(low)?).ok()?;
        (span != Slot::NODE).then_some(())?;
        Some(Slot {
            low: i32::try_from(low).ok()?,
            slope,
            span,
        })
    }
}

/// Expected depth of a binary search in the slot of a key, summed: lower is more even.
fn unevenness(slots: impl Iterator<Item = u32>) -> f64 {
    let cost = |run: u32| f64::from(run) * f64::from(run).log2();
    let mut sum = 0.0;
    let mut current = (u32::MAX, 0_u32);
    for slot in slots {
        if slot == current.0 {
            current.1 += 1;
        } else {
            if current.1 > 0 {
                sum += cost(current.1);
            }
            current = (slot, 1);
        }
    }
    sum + if current.1 > 0 { cost(current.1) } else { 0.0 }
}
