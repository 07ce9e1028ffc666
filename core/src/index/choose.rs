//! Which structure a column gets: the fastest, measured on its own keys.
//!
//! Candidates are recursive models of several sizes and the static search tree. With a clock each
//! answers the same kind of sample, alone and in groups; the best sum of both ratios wins. So no
//! column is served slower than by the tree, apart from noise. Without a clock that is fine enough,
//! the choice follows the work that a structure's look-ups do, and is the same on every run.

use super::batch::GROUP;
use super::column::KeyColumn;
use super::search::Window;
use super::train::{RmiShape, train};
use super::tree::Tree;
use super::{Model, Shape};
use crate::env::Clock;

/// The smallest model that any keys get.
const COARSE: RmiShape = RmiShape {
    keys_per_slot: 256,
    root_slots: 0,
};
/// For keys in even steps, as numbers that count rows are: so few slots that they stay in a processor's
/// own cache.
const EVEN: RmiShape = RmiShape {
    keys_per_slot: 1 << 14,
    root_slots: 0,
};
/// The models that are tried besides it, from fine to coarse. With a coarse root each of its slots is a
/// node, as skewed keys need it.
const FINER: [RmiShape; 3] = [
    RmiShape {
        keys_per_slot: 16,
        root_slots: 0,
    },
    RmiShape {
        keys_per_slot: 64,
        root_slots: 0,
    },
    RmiShape {
        keys_per_slot: 16,
        root_slots: 4096,
    },
];

/// Fewer keys are searched without waiting for memory, whatever the structure.
const WORTH_TIMING: usize = 1 << 14;
/// Look-ups in one measurement of one candidate: one for so many keys, within limits.
const KEYS_PER_LOOKUP: usize = 128;
const FEWEST: usize = 1 << 12;
const MOST: usize = 1 << 15;
/// Measurements of each candidate. The fastest counts: the others had a disturbance.
const ROUNDS: usize = 5;
/// A measurement of fewer microseconds says that the clock does not tick finely.
const SHORTEST: i64 = 20;
/// Random numbers of the sample start here: two builds of one column ask for the same keys.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// All structures for a column; the best first.
pub(super) fn choose<C: KeyColumn>(column: &C, clock: Option<&dyn Clock>) -> (Model, Shape) {
    let coarse = train(column, COARSE);
    if coarse.leaves_at_most(C::LANES as u32) {
        // One slot is read, then some keys are compared at once: no other takes fewer steps.
        let even = train(column, EVEN);
        return match even.leaves_at_most(C::LANES as u32) {
            true => (Model::Rmi(even), Shape::Rmi(EVEN)),
            false => (Model::Rmi(coarse), Shape::Rmi(COARSE)),
        };
    }
    let finer = FINER
        .into_iter()
        .map(|shape| (Model::Rmi(train(column, shape)), Shape::Rmi(shape)));
    let coarse = (Model::Rmi(coarse), Shape::Rmi(COARSE));
    let mut candidates: Vec<_> = std::iter::once(coarse).chain(finer).collect();
    candidates.push((Model::Tree(Tree::build(column)), Shape::Tree));
    let clock = clock.filter(|_| column.len() >= WORTH_TIMING);
    let costs = clock
        .and_then(|clock| measure(column, &candidates, clock))
        .unwrap_or_else(|| {
            candidates
                .iter()
                .map(|(model, _)| work(column, model))
                .collect()
        });
    let best = candidates
        .into_iter()
        .zip(costs)
        .min_by(|(_, left), (_, right)| left.total_cmp(right));
    best.map_or((Model::Tree(Tree::default()), Shape::Tree), |(best, _)| {
        best
    })
}

/// Time of each candidate relative to the best, alone plus in groups. `None` when the clock is too
/// coarse.
fn measure<C: KeyColumn>(
    column: &C,
    candidates: &[(Model, Shape)],
    clock: &dyn Clock,
) -> Option<Vec<f64>> {
    let mut times = vec![[i64::MAX; 2]; candidates.len()];
    let mut random = SplitMix(SEED);
    let mut answers = [0; GROUP];
    for _ in 0..ROUNDS {
        for ((model, _), [alone, grouped]) in candidates.iter().zip(&mut times) {
            // Other keys for each: what one candidate has warmed must not help the next.
            let probes = sample(column, &mut random);
            let start = clock.now();
            let mut sum = 0_usize;
            for &probe in &probes {
                sum = sum.wrapping_add(model.lower_bound(column, probe));
            }
            std::hint::black_box(sum);
            *alone = clock.now().saturating_sub(start).min(*alone);
            let probes = sample(column, &mut random);
            let start = clock.now();
            for group in probes.chunks(GROUP) {
                super::batch::lower_bounds(column, model, group, &mut answers);
                std::hint::black_box(&answers);
            }
            *grouped = clock.now().saturating_sub(start).min(*grouped);
        }
    }
    let best = |kind: fn(&[i64; 2]) -> i64| times.iter().map(kind).min().unwrap_or(0);
    let (alone, grouped) = (best(|t| t[0]), best(|t| t[1]));
    if alone < SHORTEST || grouped < SHORTEST {
        return None;
    }
    let relative = |time: i64, best: i64| time as f64 / best as f64;
    Some(
        times
            .iter()
            .map(|times| relative(times[0], alone) + relative(times[1], grouped))
            .collect(),
    )
}

/// Keys and what is just above keys, in equal parts.
fn sample<'c, C: KeyColumn>(column: &'c C, random: &mut SplitMix) -> Vec<C::Probe<'c>> {
    (0..(column.len() / KEYS_PER_LOOKUP).clamp(FEWEST, MOST))
        .filter_map(|turn| {
            let at = random.below(column.len());
            let key = column.key(at)?;
            if turn % 2 == 0 {
                Some(key)
            } else {
                C::after(key)
            }
        })
        .collect()
}

/// The steps of a look-up that wait for memory or for a comparison, as a mean over a sample.
fn work<C: KeyColumn>(column: &C, model: &Model) -> f64 {
    /// A step from node to node, in halvings of a window.
    const STEP: f64 = 2.0;
    let mut random = SplitMix(SEED);
    let mut sum = 0.0;
    let probes = sample(column, &mut random);
    for &probe in &probes {
        let head = column.probe_head(probe);
        let Window { len, .. } = model.window(head);
        let steps = match model {
            Model::Rmi(rmi) => rmi.depth(head),
            Model::Tree(tree) => tree.levels.len(),
        };
        sum += STEP * steps as f64 + f64::from(len.max(C::LANES as u32)).log2();
    }
    sum / probes.len().max(1) as f64
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
