//! Columns of 64-bit words.

use proptest::prelude::*;

use super::super::{Index, Words, from_f64, from_i64};
use super::{Random, bounds_are_exact, indexes, seed, verify};

/// Adversarial keys, by name: some easy, most not.
pub(super) fn distributions(random: &mut Random) -> Vec<(&'static str, Vec<u64>)> {
    let mut all: Vec<(&'static str, Vec<u64>)> = vec![
        ("empty", vec![]),
        ("zero", vec![0]),
        ("the largest", vec![u64::MAX]),
        ("one key", vec![random.next()]),
        ("both ends", vec![0, u64::MAX]),
        ("all equal", vec![random.next(); 5000]),
        ("all zero", vec![0; 300]),
        ("all the largest", vec![u64::MAX; 300]),
        ("a block", (0..16).collect()),
        ("a block and one", (0..17).collect()),
    ];
    let start = random.next() >> 8;
    all.push(("sequential", (start..start + 20_000).collect()));
    all.push((
        "sequential to the end",
        (u64::MAX - 3000..=u64::MAX).collect(),
    ));
    let step = 1 + random.below(1 << 40);
    all.push(("even gaps", (0..10_000).map(|i| i * step).collect()));
    let mut at = 0_u64;
    let mut growing = |random: &mut Random, gap: &mut dyn FnMut(&mut Random) -> u64, count| {
        at = 0;
        (0..count)
            .map(|_| {
                at = at.saturating_add(gap(random));
                at
            })
            .collect::<Vec<_>>()
    };
    all.push((
        "uneven gaps",
        growing(random, &mut |r| 1 + r.below(1000), 10_000),
    ));
    all.push((
        "bursts",
        growing(
            random,
            &mut |r| {
                if r.below(500) == 0 {
                    r.below(1 << 40)
                } else {
                    1
                }
            },
            20_000,
        ),
    ));
    all.push((
        "gaps of all sizes",
        growing(
            random,
            &mut |r| {
                let bits = r.below(50);
                1 + r.below(1 << bits)
            },
            20_000,
        ),
    ));
    let mut clusters = Vec::new();
    for _ in 0..40 {
        let center = random.next();
        let width = 1 << random.below(30);
        clusters.extend((0..300).map(|_| center.saturating_add(random.below(width))));
    }
    all.push(("clusters", clusters));
    all.push(("uniform", (0..20_000).map(|_| random.next()).collect()));
    all.push((
        "lognormal",
        (0..20_000)
            .map(|_| ((random.normal() * 2.0).exp() * 1e9) as u64)
            .collect(),
    ));
    all.push((
        "heavy tail",
        (0..20_000)
            .map(|_| (1e3 / (1.0 - random.unit()).powi(3)) as u64)
            .collect(),
    ));
    let mut outliers: Vec<_> = (0..20_000).map(|_| random.below(1 << 30)).collect();
    outliers.extend([1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX, u64::MAX]);
    all.push(("outliers at 2^63", outliers));
    let mut one = vec![u64::MAX; 1];
    one.extend(0..5000);
    all.push(("one outlier", one));
    all.push((
        "few values",
        (0..20_000).map(|_| random.below(50)).collect(),
    ));
    all.push((
        "runs of duplicates",
        (0..20_000_u64).map(|i| (i / 700) << 20).collect(),
    ));
    let mut long_run = vec![1 << 40; 70_000];
    long_run.extend((0..2000).map(|_| random.below(1 << 41)));
    all.push(("a long run among others", long_run));
    all.push(("powers of two", (0..64).map(|bit| 1 << bit).collect()));
    let mut close = Vec::new();
    for bit in 0..64_u32 {
        close.extend((0..200).map(|near| (1_u64 << bit).saturating_add(near)));
    }
    all.push(("around powers of two", close));
    all.push((
        "neighbours above 2^53",
        (0..5000).map(|i| u64::MAX - 20_000 + i * 3).collect(),
    ));
    let mut floats: Vec<_> = (0..5000)
        .map(|_| from_f64(f64::from_bits(random.next())))
        .collect();
    floats.extend(
        [
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::MAX,
            f64::MIN,
        ]
        .map(from_f64),
    );
    all.push(("floats", floats));
    all.push((
        "signed",
        (-5000..5000).map(|i: i64| from_i64(i * i * i)).collect(),
    ));
    for (_, keys) in &mut all {
        keys.sort_unstable();
    }
    all
}

/// Keys, their neighbours, and anything else.
pub(super) fn probes(keys: &[u64], random: &mut Random) -> Vec<u64> {
    let mut probes = vec![0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    let step = (keys.len() / 1000).max(1);
    for &key in keys.iter().step_by(step) {
        probes.extend([key, key.saturating_sub(1), key.saturating_add(1)]);
    }
    for _ in 0..300 {
        probes.push(random.next() >> random.below(64));
    }
    if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
        let width = last - first;
        probes.extend((0..300).map(|_| first + random.below(width)));
    }
    probes
}

fn expected(keys: &[u64], probes: &[u64]) -> Vec<(usize, usize)> {
    probes
        .iter()
        .map(|probe| {
            (
                keys.partition_point(|key| key < probe),
                keys.partition_point(|key| key <= probe),
            )
        })
        .collect()
}

#[test]
fn never_a_wrong_position() {
    let mut random = Random(seed("never_a_wrong_position"));
    for (name, keys) in distributions(&mut random) {
        let column = Words::new(&keys);
        let probes = probes(&keys, &mut random);
        let expected = expected(&keys, &probes);
        for index in indexes(&column) {
            verify(&index, &column, &probes, &expected, name);
            bounds_are_exact(&index, &column, &probes, name);
        }
    }
}

#[test]
fn words_in_a_file_answer_as_words_in_memory() {
    let mut random = Random(seed("words_in_a_file"));
    for (name, keys) in distributions(&mut random) {
        let mut bytes = vec![0];
        bytes.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
        // Not aligned, and with a byte too many.
        bytes.push(9);
        let column = Words::from_le_bytes(&bytes[1..]);
        let index = Index::build(&Words::new(&keys), None).unwrap();
        index.fits(&column).unwrap();
        let probes = probes(&keys, &mut random);
        verify(&index, &column, &probes, &expected(&keys, &probes), name);
    }
}

#[test]
fn order_preserving_words() {
    let mut floats = vec![
        f64::NEG_INFINITY,
        f64::MIN,
        -1.0,
        -f64::MIN_POSITIVE,
        0.0,
        f64::from_bits(1),
        1.0,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
    ];
    let words: Vec<_> = floats.iter().map(|&float| from_f64(float)).collect();
    assert!(words.is_sorted_by(|left, right| left < right));
    assert_eq!(from_f64(-0.0), from_f64(0.0));
    assert_eq!(from_f64(-f64::NAN), from_f64(f64::NAN));
    floats.clear();
    let integers = [i64::MIN, -1, 0, 1, i64::MAX].map(from_i64);
    assert!(integers.is_sorted_by(|left, right| left < right));
}

#[test]
fn unsorted_keys_are_refused() {
    let keys = [1, 2, 4, 3];
    let error = Index::build(&Words::new(&keys), None).unwrap_err();
    assert_eq!(error.state().code(), "XX000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pieces of different shapes side by side, at any place and scale.
    #[test]
    fn any_mixture(
        pieces in prop::collection::vec(
            (any::<u64>(), 0_u32..64, 0_u32..40, 1_usize..400, any::<bool>()),
            0..12,
        ),
        asked in prop::collection::vec(any::<u64>(), 0..50),
        noise in any::<u64>(),
    ) {
        let mut random = Random(noise);
        let mut keys = Vec::new();
        for (base, shift, gap, count, even) in pieces {
            let mut key = base >> shift;
            for _ in 0..count {
                keys.push(key);
                let step = 1 << gap;
                key = key.saturating_add(if even { step } else { random.below(step) });
            }
        }
        keys.sort_unstable();
        let column = Words::new(&keys);
        let mut probes = probes(&keys, &mut random);
        probes.extend(asked);
        let expected = expected(&keys, &probes);
        for index in indexes(&column) {
            verify(&index, &column, &probes, &expected, "mixture");
            bounds_are_exact(&index, &column, &probes, "mixture");
        }
    }
}
