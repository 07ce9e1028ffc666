//! The index against a sorted vector: adversarial keys, every structure, every kind of probe.
//!
//! Random tests print their seed; `OMENDB_INDEX_SEED=<seed> cargo test index::` replays one.

mod blob;
mod choice;
mod strings;
mod words;

use std::ops::Bound;

use super::{ABSENT, Index, KeyColumn, RmiShape, Shape};

/// Structures that each test goes through: what is chosen, and what would not be chosen.
fn shapes() -> Vec<Shape> {
    let rmi = |keys_per_slot, root_slots| {
        Shape::Rmi(RmiShape {
            keys_per_slot,
            root_slots,
        })
    };
    vec![
        rmi(1, 0),
        rmi(8, 0),
        rmi(64, 0),
        rmi(100_000, 0),
        rmi(8, 64),
        Shape::Tree,
    ]
}

/// All indexes that a column can get.
fn indexes<C: KeyColumn>(column: &C) -> Vec<Index> {
    let mut indexes: Vec<_> = shapes()
        .into_iter()
        .map(|shape| Index::build_as(column, shape).unwrap())
        .collect();
    indexes.push(Index::build(column, None).unwrap());
    indexes
}

/// Every question about each probe, alone and in groups, against the number of keys below it
/// (`.0`) and the number of keys up to it (`.1`).
fn verify<C: KeyColumn>(
    index: &Index,
    column: &C,
    probes: &[C::Probe<'_>],
    expected: &[(usize, usize)],
    context: &str,
) {
    let what = index.describe();
    for (at, (&probe, &(lower, upper))) in probes.iter().zip(expected).enumerate() {
        let context = format!("{context}: probe {at}, {what}");
        assert_eq!(index.lower_bound(column, probe), lower, "{context}");
        assert_eq!(index.upper_bound(column, probe), upper, "{context}");
        let found = (lower < upper).then_some(lower);
        assert_eq!(index.get(column, probe), found, "{context}");
    }
    let mut answers = vec![7; 3];
    index.lower_bound_batch(column, probes, &mut answers);
    let lower: Vec<_> = expected.iter().map(|&(lower, _)| lower as u32).collect();
    assert_eq!(answers, lower, "{context}: {what}");
    index.get_batch(column, probes, &mut answers);
    let found: Vec<_> = expected
        .iter()
        .map(|&(lower, upper)| if lower < upper { lower as u32 } else { ABSENT })
        .collect();
    assert_eq!(answers, found, "{context}: {what}");
    for (pair, bounds) in probes.windows(2).zip(expected.windows(2)) {
        let (from, to) = (pair[0], pair[1]);
        let ((from_lower, from_upper), (to_lower, to_upper)) = (bounds[0], bounds[1]);
        for (from, start) in [
            (Bound::Included(from), from_lower),
            (Bound::Excluded(from), from_upper),
            (Bound::Unbounded, 0),
        ] {
            for (to, end) in [
                (Bound::Included(to), to_upper),
                (Bound::Excluded(to), to_lower),
                (Bound::Unbounded, column.len()),
            ] {
                let range = index.range(column, from, to);
                assert_eq!(range, start..end.max(start), "{context}: {what}");
            }
        }
    }
}

/// Every claim of a model about the heads of a column holds: no answer needed the full search.
fn bounds_are_exact<C: KeyColumn>(index: &Index, column: &C, heads: &[u64], context: &str) {
    let all: Vec<_> = (0..column.len()).map(|at| column.head(at)).collect();
    let limit = column.len();
    for &head in heads {
        let window = index.model.window(head);
        let (start, len) = (window.start as usize, window.len as usize);
        let lower = all.partition_point(|&key| key < head);
        let upper = all.partition_point(|&key| key <= head);
        let first = start == 0 || start < lower;
        let highest = if C::EXACT { lower } else { upper };
        let last = start + len >= limit || highest < start + len;
        // The tree says where a head starts, up to the end of a block.
        let last = last || (matches!(index.model, super::Model::Tree(_)) && lower <= start + len);
        assert!(
            first && last,
            "{context}: {} claims {window:?} for {head}, which stands at {lower}..={upper}",
            index.describe()
        );
    }
}

/// The seed of a random test: given or a fixed one, printed either way.
fn seed(test: &str) -> u64 {
    let seed = std::env::var("OMENDB_INDEX_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_260_101);
    println!("{test}: OMENDB_INDEX_SEED={seed}");
    seed
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
