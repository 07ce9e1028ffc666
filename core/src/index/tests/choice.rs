//! Which structure is chosen, and by what.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;

use super::super::{Index, Model, Words};
use super::{Random, seed, verify};
use crate::env::Clock;

/// A clock that advances by a fixed time with each look at it.
struct Ticking {
    now: AtomicI64,
    step: i64,
}

impl Clock for Ticking {
    fn now(&self) -> i64 {
        self.now.fetch_add(self.step, Ordering::Relaxed)
    }

    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::pending())
    }
}

fn ticking(step: i64) -> Ticking {
    Ticking {
        now: AtomicI64::new(0),
        step,
    }
}

#[test]
fn without_a_fine_clock_the_choice_is_the_same_each_time() {
    let mut random = Random(seed("without_a_fine_clock"));
    let mut keys: Vec<_> = (0..40_000).map(|_| random.next()).collect();
    keys.sort_unstable();
    let column = Words::new(&keys);
    let chosen = Index::build(&column, None).unwrap();
    assert_eq!(chosen, Index::build(&column, None).unwrap());
    // Clocks that stand still, tick too coarsely, or run backwards.
    for step in [0, 5, -1000] {
        assert_eq!(chosen, Index::build(&column, Some(&ticking(step))).unwrap());
    }
}

#[test]
fn with_a_clock_answers_are_the_same() {
    let mut random = Random(seed("with_a_clock"));
    let keys: Vec<_> = (0..40_000).map(|i| i * 3).collect();
    let column = Words::new(&keys);
    let index = Index::build(&column, Some(&ticking(100))).unwrap();
    let probes: Vec<_> = (0..2000).map(|_| random.below(130_000)).collect();
    let expected: Vec<_> = probes
        .iter()
        .map(|&probe| {
            let lower = keys.partition_point(|&key| key < probe);
            (lower, keys.partition_point(|&key| key <= probe))
        })
        .collect();
    verify(&index, &column, &probes, &expected, "with a clock");
}

#[test]
fn a_line_gets_a_model_and_duplicates_get_a_tree() {
    let line: Vec<u64> = (0..100_000).map(|i| 1_000_000 + i * 7).collect();
    let index = Index::build(&Words::new(&line), None).unwrap();
    assert!(matches!(index.model, Model::Rmi(_)), "{}", index.describe());
    assert!(index.size() < line.len(), "{} bytes", index.size());
    let runs: Vec<u64> = (0..100_000).map(|i| (i / 5000) << 40).collect();
    let index = Index::build(&Words::new(&runs), None).unwrap();
    assert!(
        matches!(index.model, Model::Tree(_)),
        "{}",
        index.describe()
    );
}

#[test]
fn keys_in_even_steps_get_a_few_slots() {
    let lines = [
        (1_000_000, 0, 1),
        (1_000_000, 1 << 63, 1),
        (80_000, 1_700_000_000_000_000, 1_000_000),
    ];
    for (count, first, step) in lines {
        let line: Vec<u64> = (0..count).map(|i| first + i * step).collect();
        let index = Index::build(&Words::new(&line), None).unwrap();
        assert!(index.size() < 1000, "{}", index.describe());
    }
}
